//! Revocations of certificates that were issued here, while the CM answers nothing at all.

use std::time::Duration;

use acme::{problem::ProblemKind, registration::Registration, revocation::RevocationReason};
use cm_connector::{Basis, Certificate, CmError};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use store::{Commit, SerialClaim, Stored, Work};
use tokio::time::Instant;

use super::*;
use crate::{
    clock,
    ra::revocation::{Request, Requester, revoke},
    random,
    testing::{self, Fault, Gateway, Moment, Operation, new_csr, new_key, told},
};

const LATER: Duration = Duration::from_secs(3600);

/// A gateway that has issued a certificate.
struct Case {
    gateway: Gateway,
    owner: Registration,
    certificate: Certificate,
    presented: PresentedCertificate,
}

impl Case {
    async fn new() -> Self {
        let gateway = Gateway::new().await;
        let owner = gateway.registration();
        let order = gateway.ready_order(&owner, &["a.test"]).await;
        gateway.finalize(&owner, &order, new_csr(&["a.test"])).await.unwrap();
        while gateway.job(&store::Job::issuance_id(&order)).await.is_some() {
            gateway.run_issuance(&order).await;
        }
        let certificate = gateway.cm.certificates().pop().unwrap();
        let chain = certificate.chains.iter().find(|chain| chain.is_default).unwrap();
        let der = CertificateDer::from_pem_slice(chain.pem.as_bytes()).unwrap();
        let presented = PresentedCertificate::parse(&der).unwrap();
        Self { gateway, owner, certificate, presented }
    }

    async fn ask(&self, presented: &PresentedCertificate, requester: Requester<'_>) -> Result<(), Error> {
        let request = Request {
            certificate: presented.clone(),
            reason: RevocationReason::Superseded,
            requester,
            client: testing::client(),
            proof: testing::proof(),
        };
        revoke(&self.gateway.app, &self.gateway.endpoint("open"), request, clock::now()).await
    }

    async fn ask_as_owner(&self) -> Result<(), Error> {
        self.ask(&self.presented, Requester::Account(&self.owner.id)).await
    }

    /// What is asked of the CM by the entries of the journal.
    async fn journal(&self) -> Vec<cm_connector::Revocation> {
        let read = |job: Stored<store::Job>| {
            let Work::Revoke(work) = job.value.work else { return None };
            Some(serde_json::from_slice(&work.call.revocation).unwrap())
        };
        self.gateway.jobs().await.into_iter().filter_map(read).collect()
    }

    /// The client is told to come back, and that what it wants goes on.
    fn assert_goes_on(&self, asked: Result<(), Error>) {
        let Err(Error::Refused(refusal)) = asked else { panic!("{asked:?}") };
        assert_eq!(refusal.problem.kind, ProblemKind::Unavailable);
        assert!(refusal.problem.detail.contains("goes on"), "{}", refusal.problem.detail);
        assert!(refusal.retry_after.is_some());
    }

    fn assert_nothing_but_revocations_was_asked(&self) {
        assert_eq!(self.gateway.cm.calls(Operation::Certificate), []);
    }
}

#[tokio::test(start_paused = true)]
async fn what_its_account_asks_is_written_down_while_the_cm_is_away() {
    let case = Case::new().await;
    case.gateway.cm.is_away(true);
    case.assert_goes_on(case.ask_as_owner().await);
    case.assert_goes_on(case.ask_as_owner().await);
    let [entry] = case.journal().await.try_into().expect("one entry, however often it is asked for");
    assert_eq!((&entry.certificate, entry.sha256), (&case.certificate.id, case.presented.sha256));
    assert_eq!(entry.basis, Basis::Account { registration: case.owner.id.clone() });
    case.gateway.cm.is_away(false);
    case.ask_as_owner().await.unwrap();
    assert_eq!(case.gateway.cm.revocations(), [entry]);
    assert_eq!(case.journal().await, []);
    case.gateway.cm.next(Operation::Revoke, Fault::Answers(CmError::AlreadyRevoked));
    assert_eq!(told(case.ask_as_owner().await).kind, ProblemKind::AlreadyRevoked, "the CM says so");
    case.assert_nothing_but_revocations_was_asked();
}

#[tokio::test(start_paused = true)]
async fn what_its_key_asks_is_written_down_while_the_cm_is_away() {
    let case = Case::new().await;
    case.gateway.cm.is_away(true);
    let key = new_key();
    let presented = PresentedCertificate { spki_der: key.to_spki_der(), ..case.presented.clone() };
    case.assert_goes_on(case.ask(&presented, Requester::Key(&key)).await);
    let [entry] = case.journal().await.try_into().unwrap();
    assert_eq!((entry.basis, entry.certificate), (Basis::CertificateKey, case.certificate.id.clone()));
    // Another key is no right, whether the CM is there or not.
    assert_eq!(told(case.ask(&presented, Requester::Key(&new_key())).await).kind, ProblemKind::Unauthorized);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_proved_its_names_is_written_down_and_one_that_did_not_is_refused() {
    let case = Case::new().await;
    let (proven, stranger) = (case.gateway.registration(), case.gateway.registration());
    case.gateway.ready_order(&proven, &["a.test"]).await;
    case.gateway.cm.is_away(true);
    let refused = case.ask(&case.presented, Requester::Account(&stranger.id)).await;
    assert_eq!(told(refused).kind, ProblemKind::Unauthorized);
    assert_eq!(case.journal().await, []);
    case.assert_goes_on(case.ask(&case.presented, Requester::Account(&proven.id)).await);
    let [entry] = case.journal().await.try_into().unwrap();
    assert!(matches!(entry.basis, Basis::Authorizations { registration, .. } if registration == proven.id));
}

#[tokio::test(start_paused = true)]
async fn of_a_certificate_that_was_not_issued_here_nothing_is_written_down() {
    let case = Case::new().await;
    case.gateway.cm.is_away(true);
    let twin = PresentedCertificate { sha256: [9; 32], ..case.presented.clone() };
    let other_serial = PresentedCertificate { serial: String::from("0a"), ..case.presented.clone() };
    let other_issuer = PresentedCertificate { authority_key_id: vec![1, 2], ..case.presented.clone() };
    let owner = Requester::Account(&case.owner.id);
    for presented in [twin, other_serial, other_issuer] {
        assert_eq!(told(case.ask(&presented, owner).await).kind, ProblemKind::Unavailable);
        let key = new_key();
        let presented = PresentedCertificate { spki_der: key.to_spki_der(), ..presented };
        assert_eq!(told(case.ask(&presented, Requester::Key(&key)).await).kind, ProblemKind::Unavailable);
    }
    assert_eq!(case.journal().await, []);
}

#[tokio::test(start_paused = true)]
async fn of_a_certificate_of_another_realm_the_cm_is_asked() {
    let case = Case::new().await;
    let [here, elsewhere] = ["open", "lenient"].map(|name| case.gateway.endpoint(name));
    assert_ne!(here.realm, elsewhere.realm);
    assert!(issued_here(&case.gateway.app, &here, &case.presented).await.is_some());
    assert_eq!(issued_here(&case.gateway.app, &elsewhere, &case.presented).await, None);
}

#[tokio::test(start_paused = true)]
async fn of_a_certificate_that_an_earlier_release_issued_the_cm_is_asked() {
    let case = Case::new().await;
    let presented = PresentedCertificate { serial: String::from("0a"), ..case.presented.clone() };
    let mut commit = Commit::new();
    let claim = SerialClaim { order: random::id(), issued: None };
    commit.claim_serial(&presented.authority_key_id, "0a", &claim, clock::now().plus(LATER));
    case.gateway.app.store.commit(commit).await.unwrap();
    case.ask(&presented, Requester::Account(&case.owner.id)).await.unwrap();
    assert_eq!(case.gateway.cm.calls(Operation::Certificate).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_cannot_be_read_keeps_nobody_from_revoking() {
    let case = Case::new().await;
    let hex: String = case.presented.authority_key_id.iter().map(|octet| format!("{octet:02x}")).collect();
    let key = format!("serial/{hex}/{}", case.presented.serial);
    case.gateway.disk.damage(&key).await;
    case.ask_as_owner().await.unwrap();
    assert_eq!(case.gateway.cm.calls(Operation::Certificate).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_answered_in_20_seconds_and_the_entry_is_due_then() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Revoke, Fault::Hangs(Moment::BeforeTheEffect));
    let begun = Instant::now();
    case.assert_goes_on(case.ask_as_owner().await);
    assert_eq!(begun.elapsed().as_secs(), 20);
    let jobs = case.gateway.jobs().await;
    let due = jobs.iter().find(|job| matches!(job.value.work, Work::Revoke(_))).unwrap().value.due_at;
    assert!(due <= clock::now(), "the worker goes on at once");
}
