//! Revocations that the CM does not confirm at once: called for until they are, and once only.

use acme::{
    certificate::PresentedCertificate,
    problem::{Problem, ProblemKind},
    registration::Registration,
    revocation::RevocationReason,
};
use cm_connector::{Certificate, CertificateManager as _, CertificateRequest, CmError, Outcome, Proof, Validation};
use store::{Work, backend::ApplyError};

use super::*;
use crate::{
    ra::{
        Error,
        revocation::{self, Request, Requester},
    },
    random,
    testing::{self, Fault, Gateway, Moment, Operation, new_csr, told},
    workers::damaged_jobs::end_damaged_jobs,
};

/// A gateway with a certificate that its account may revoke.
struct Case {
    gateway: Gateway,
    owner: Registration,
    certificate: Certificate,
}

impl Case {
    async fn new() -> Self {
        let gateway = Gateway::new().await;
        let owner = gateway.registration();
        let order = gateway.ready_order(&owner, &["a.test"]).await;
        let authorizations = gateway.order_now(&order).await.authorizations;
        let proven = gateway.authorization_now(&authorizations[0]).await;
        let csr = new_csr(&["a.test"]);
        let request = CertificateRequest {
            registration: owner.id.clone(),
            order,
            profile: "tls-server".parse().unwrap(),
            csr_der: csr.der().to_vec(),
            identifiers: csr.names().alternative.iter().cloned().collect(),
            validations: vec![Validation::of(&proven, false).unwrap()],
            not_before: None,
            not_after: None,
            replaces: None,
            client: testing::client(),
            proof: testing::proof(),
        };
        let octets = gateway.cm.certificate_request(&request).unwrap();
        gateway.cm.submit(&gateway.endpoint("open").realm, &random::id(), &octets, Duration::ZERO).await.unwrap();
        let certificate = gateway.cm.certificates().pop().unwrap();
        Self { gateway, owner, certificate }
    }

    async fn ask(&self) -> Result<(), Error> {
        self.ask_by(testing::proof()).await
    }

    async fn ask_by(&self, proof: Proof) -> Result<(), Error> {
        let certificate = PresentedCertificate {
            sha256: self.certificate.claims.sha256,
            serial: self.certificate.claims.serial.clone(),
            authority_key_id: Vec::new(),
            spki_der: Vec::new(),
            names: self.certificate.identifiers.iter().cloned().collect(),
            not_after: self.certificate.not_after,
        };
        let request = Request {
            certificate,
            reason: RevocationReason::Superseded,
            requester: Requester::Account(&self.owner.id),
            client: testing::client(),
            proof,
        };
        let endpoint = self.gateway.endpoint("open");
        revocation::revoke(&self.gateway.app, &endpoint, request, clock::now()).await
    }

    /// What the journal holds.
    async fn entries(&self) -> Vec<Stored<Job>> {
        let mut jobs = self.gateway.jobs().await;
        jobs.retain(|job| matches!(job.value.work, Work::Revoke(_)));
        jobs
    }

    /// One attempt of the only entry.
    async fn attempt(&self) -> anyhow::Result<()> {
        let job = self.entries().await.pop().expect("there is an entry");
        let Work::Revoke(work) = job.value.work.clone() else { panic!("{job:?}") };
        revoke(&self.gateway.app, job, &work).await
    }

    /// Whether operators and auditors were told of a promise that was not kept.
    async fn assert_failed(&self, is_told: bool) {
        let audited = self.gateway.audited().await;
        assert!(!audited.contains(&String::from("certificate.revoked")));
        assert_eq!(audited.contains(&String::from("revocation.failed")), is_told, "{audited:?}");
        assert_eq!(audited.contains(&String::from("revocation.unconfirmed")), !is_told, "it has an end: {audited:?}");
        assert_eq!(self.gateway.app.metrics.revocations_failed.get(), u64::from(is_told));
    }

    async fn assert_revoked_once(&self) {
        assert!(self.gateway.cm.certificates()[0].revocation.is_some());
        assert_eq!(self.entries().await, []);
        let told = self.gateway.audited().await;
        assert_eq!(told.iter().filter(|event| *event == "certificate.revoked").count(), 1, "{told:?}");
        let calls = self.gateway.cm.calls(Operation::Revoke);
        assert!(calls.windows(2).all(|pair| pair[0].key == pair[1].key), "one key for all calls: {calls:?}");
        assert!(calls.windows(2).all(|pair| pair[0].octets == pair[1].octets), "and the same octets: {calls:?}");
        let asked = self.gateway.cm.revocations();
        assert!(asked.windows(2).all(|pair| pair[0] == pair[1]), "the same is asked each time");
    }
}

fn away() -> Fault {
    Fault::Answers(testing::away(Outcome::NotSent))
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_known_again_by_who_asks_and_the_code_of_the_reason() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Revoke, Fault::AnswerLost(Moment::BeforeTheEffect));
    assert!(case.ask().await.is_err());
    let [job] = case.entries().await.try_into().unwrap();
    let Work::Revoke(work) = job.value.work else { panic!("a revocation") };
    assert_eq!(work.asked, format!("{}/4", case.owner.id), "it must not change from version to version");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_is_confirmed_leaves_no_entry() {
    let case = Case::new().await;
    case.ask().await.unwrap();
    case.assert_revoked_once().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_client_was_told_to_repeat_is_done_also_if_it_never_does() {
    for lost in [away(), Fault::AnswerLost(Moment::BeforeTheEffect), Fault::AnswerLost(Moment::AfterTheEffect)] {
        let case = Case::new().await;
        case.gateway.cm.next(Operation::Revoke, lost);
        assert!(matches!(case.ask().await, Err(Error::Refused(_))));
        assert!(case.entries().await[0].value.due_at <= clock::now(), "the worker goes on at once");
        case.gateway.cm.next(Operation::Revoke, away());
        case.attempt().await.unwrap();
        assert_eq!(case.entries().await.len(), 1, "the CM is still away");
        case.attempt().await.unwrap();
        case.assert_revoked_once().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_step_loses_no_revocation_that_was_written_down() {
    for moment in Moment::BOTH {
        let case = Case::new().await;
        case.gateway.cm.next(Operation::Revoke, Fault::Hangs(moment));
        let hung = tokio::select! { () = case.gateway.cm.hung() => true, _ = case.ask() => false };
        assert!(hung);
        let case = Case { gateway: case.gateway.restarted_with_catalogue().await, ..case };
        case.attempt().await.unwrap();
        case.assert_revoked_once().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_repeats_meets_the_same_entry() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Revoke, away());
    case.gateway.cm.next(Operation::Revoke, away());
    assert!(case.ask().await.is_err());
    assert!(case.ask().await.is_err());
    assert_eq!(case.entries().await.len(), 1);
    case.ask().await.unwrap();
    case.assert_revoked_once().await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_an_earlier_release_wrote_without_octets_is_carried_out() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Revoke, away());
    assert!(case.ask().await.is_err());
    let job = case.entries().await.pop().unwrap();
    let Work::Revoke(mut work) = job.value.work.clone() else { panic!("{job:?}") };
    assert!(!std::mem::take(&mut work.call.request).is_empty(), "octets are stored");
    let mut commit = Commit::new();
    commit.update_job(&job, Job { work: Work::Revoke(work), ..job.value.clone() });
    case.gateway.app.store.commit(commit).await.unwrap();
    case.attempt().await.unwrap();
    assert!(case.gateway.cm.certificates()[0].revocation.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_ends_the_entry() {
    let refused = Problem::new(ProblemKind::Unauthorized, "you may not");
    for answer in [CmError::AlreadyRevoked, CmError::Refused(refused.clone()), CmError::EvidenceRefused(refused)] {
        let case = Case::new().await;
        case.gateway.cm.next(Operation::Revoke, away());
        assert!(case.ask().await.is_err());
        let is_done = answer == CmError::AlreadyRevoked;
        case.gateway.cm.next(Operation::Revoke, Fault::Answers(answer));
        case.attempt().await.unwrap();
        assert_eq!(case.entries().await, []);
        // Its client was told that it goes on.
        case.assert_failed(!is_done).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cm_that_refuses_the_gateway_and_not_the_request_ends_nothing() {
    for outcome in [Outcome::NotSent, Outcome::Unknown] {
        let case = Case::new().await;
        let forbidden = || {
            let detail = String::from("the CM answered forbidden: the gateway has no role");
            Fault::Answers(CmError::Internal { outcome, detail })
        };
        case.gateway.cm.next(Operation::Revoke, forbidden());
        let problem = told(case.ask().await);
        assert_eq!(problem.kind, ProblemKind::Unavailable);
        assert!(problem.detail.contains("goes on"), "{}", problem.detail);
        case.gateway.cm.next(Operation::Revoke, forbidden());
        case.attempt().await.unwrap();
        case.attempt().await.unwrap();
        case.assert_revoked_once().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_its_client_hears_is_no_broken_promise() {
    let case = Case::new().await;
    let refused = CmError::Refused(Problem::new(ProblemKind::Unauthorized, "you may not"));
    case.gateway.cm.next(Operation::Revoke, Fault::Answers(refused));
    assert_eq!(told(case.ask().await).kind, ProblemKind::Unauthorized);
    assert_eq!(case.entries().await, []);
    case.assert_failed(false).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_cm_says_no_to_gives_way_to_what_the_client_has_asked_last() {
    let stale = Problem::new(ProblemKind::Unauthorized, "the evidence is stale");
    let by_another_key = String::from("the CM answered proof-invalid");
    for no in [CmError::Internal { outcome: Outcome::NotSent, detail: by_another_key }, CmError::EvidenceRefused(stale)]
    {
        let case = Case::new().await;
        case.gateway.cm.next(Operation::Revoke, away());
        case.gateway.cm.next(Operation::Revoke, away());
        assert!(case.ask().await.is_err());
        let Proof(mut jws) = testing::proof();
        jws.signature = String::from("Bg");
        let newer = Proof(jws);
        assert!(case.ask_by(newer.clone()).await.is_err());
        // What was asked first may have had its effect, so it is asked again as long as nothing is said against it.
        case.gateway.cm.next(Operation::Revoke, Fault::Answers(no));
        case.attempt().await.unwrap();
        assert_eq!(case.entries().await, []);
        let made = case.gateway.cm.revocations().pop().unwrap();
        assert_eq!(made.proof, Some(newer));
        let keys: Vec<_> = case.gateway.cm.calls(Operation::Revoke).into_iter().map(|call| call.key).collect();
        assert_eq!(keys.len(), 4);
        assert!(
            keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3],
            "another request, another key: {keys:?}"
        );
        assert!(case.gateway.audited().await.contains(&String::from("certificate.revoked")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cm_that_forgot_the_certificate_is_asked_again() {
    let case = Case::new().await;
    let gone = Problem::new(ProblemKind::NotFound, "restored from a backup");
    case.gateway.cm.next(Operation::Revoke, Fault::Answers(CmError::Refused(gone)));
    assert_eq!(told(case.ask().await).kind, ProblemKind::NotFound);
    case.attempt().await.unwrap();
    case.assert_revoked_once().await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_ends_when_its_certificate_has_expired() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Revoke, away());
    assert!(case.ask().await.is_err());
    let job = case.entries().await.pop().unwrap();
    let Work::Revoke(work) = job.value.work.clone() else { panic!("{job:?}") };
    let expired = RevocationWork { not_after: clock::now(), ..work };
    revoke(&case.gateway.app, job, &expired).await.unwrap();
    assert_eq!(case.entries().await, []);
    case.assert_failed(true).await;
    assert_eq!(case.gateway.cm.calls(Operation::Revoke).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_promise_that_nobody_can_read_any_more_is_told_as_one_that_is_not_kept() {
    for is_expired in [true, false] {
        let case = Case::new().await;
        case.gateway.cm.next(Operation::Revoke, away());
        assert!(case.ask().await.is_err());
        let job = case.entries().await.pop().unwrap();
        let Work::Revoke(mut work) = job.value.work.clone() else { panic!("{job:?}") };
        if is_expired {
            (work.not_after, work.call.revocation) = (clock::now(), b"nothing".to_vec());
            let mut commit = Commit::new();
            commit.update_job(&job, Job { work: Work::Revoke(work), ..job.value.clone() });
            case.gateway.app.store.commit(commit).await.unwrap();
            case.attempt().await.unwrap();
        } else {
            case.gateway.disk.damage(&format!("job/{}", job.value.id)).await;
            end_damaged_jobs(&case.gateway.app).await.unwrap();
        }
        assert_eq!(case.entries().await, []);
        case.assert_failed(true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_written_to_keeps_no_certificate_from_being_revoked() {
    let case = Case::new().await;
    case.gateway.disk.refuse_next(ApplyError::Full);
    case.ask().await.unwrap();
    assert!(!case.gateway.disk.forget_interruption(), "the store was asked");
    assert!(case.gateway.cm.certificates()[0].revocation.is_some());
    assert_eq!(case.entries().await, []);
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_the_account_is_looked_at_anew() {
    let case = Case::new().await;
    let endpoint = case.gateway.endpoint("open");
    let remembered = async || {
        let found = case.gateway.app.registrations.registration(&endpoint.realm, &case.owner.id).await;
        found.unwrap().unwrap().key.clone()
    };
    let before = remembered().await;
    // By way of another node.
    let new_key = testing::new_key();
    case.gateway.cm.change_key(&endpoint.realm, &case.owner, &new_key, &testing::proof()).await.unwrap();
    assert_eq!(remembered().await, before, "not heard of yet");
    let refused = CmError::Internal { outcome: Outcome::NotSent, detail: String::from("proof-invalid") };
    case.gateway.cm.next(Operation::Revoke, Fault::Answers(refused));
    assert!(case.ask().await.is_err());
    assert_eq!(remembered().await.unwrap().key, new_key);
}
