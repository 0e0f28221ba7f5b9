//! When CAA is looked at again before issuance, and what becomes of the order if nobody answers.
//! The resolver of test gateways does not exist, so every look fails; on the paused clock at once.

use std::{sync::Arc, time::Duration};

use acme::{
    caa::{CaaPolicy, CaaResult},
    ids::{AuthorizationId, OrderId},
    order::{OrderStatus, Progress},
    problem::ProblemKind,
};
use store::{CaaLooks, Commit, Job, Stored, Submission, Work};

use super::*;
use crate::{
    testing::{Fault, Gateway, Moment, Operation, caa_look, new_csr},
    workers::issue,
};

const NAMES: [&str; 2] = ["a.test", "*.a.test"];

/// Beyond the seven hours that a look counts by default.
const LONG_AGO: Duration = Duration::from_secs(8 * 3600);

/// A gateway and a finalized order, whose names were looked at this long ago.
struct Case {
    gateway: Gateway,
    order: OrderId,
}

impl Case {
    async fn new(policy: CaaPolicy, settings: &str, ago: Duration, names: &[&str]) -> Self {
        let gateway = Gateway::with(settings).await;
        gateway.cm.change_profiles(|profile| profile.caa = policy);
        let endpoint = gateway.endpoint("open");
        gateway.app.catalogue.refresh(gateway.app.cm.as_ref(), &endpoint.realm).await.unwrap();
        let registration = gateway.registration();
        let order = gateway.ready_order(&registration, names).await;
        for id in &gateway.order_now(&order).await.authorizations {
            age(&gateway, id, ago).await;
        }
        gateway.finalize(&registration, &order, new_csr(names)).await.unwrap();
        Self { gateway, order }
    }

    async fn job(&self) -> Option<Stored<Job>> {
        self.gateway.job(&Job::issuance_id(&self.order)).await
    }

    async fn attempt(&self) {
        issue(&self.gateway.app, self.job().await.expect("there is an issuance job")).await.unwrap();
    }

    async fn work(&self) -> Work {
        self.job().await.expect("there is an issuance job").value.work
    }

    async fn caa(&self) -> CaaLooks {
        let Work::Issue { caa, .. } = self.work().await else { panic!("an issuance") };
        caa
    }

    /// The looks that came with the proofs do not count any more.
    async fn age_proofs(&self) {
        for id in &self.gateway.order_now(&self.order).await.authorizations {
            age(&self.gateway, id, LONG_AGO).await;
        }
    }

    /// The CM was asked and did not get it.
    async fn lose_the_request(&self) {
        self.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
        self.attempt().await;
    }

    /// The job has looked at both names itself, this long ago.
    async fn looked(&self, ago: Duration) {
        let job = self.job().await.unwrap();
        let mut looked = job.value.clone();
        let Work::Issue { caa, .. } = &mut looked.work else { panic!("an issuance") };
        let ids = self.gateway.order_now(&self.order).await.authorizations;
        caa.keep(ids.into_iter().map(|id| (id, caa_look(clock::now().minus(ago)))).collect());
        let mut commit = Commit::new();
        commit.update_job(&job, looked);
        self.gateway.app.store.commit(commit).await.unwrap();
    }

    fn submitted(&self) -> usize {
        self.gateway.cm.calls(Operation::Submit).len()
    }

    async fn problem(&self) -> Problem {
        let order = self.gateway.order_now(&self.order).await;
        let Progress::Failed { problem } = order.progress else { panic!("{order:?}") };
        problem
    }
}

/// Makes the look that came with a proof an old one.
async fn age(gateway: &Gateway, id: &AuthorizationId, ago: Duration) {
    put(gateway, id, caa_look(clock::now().minus(ago))).await;
}

/// Gives a proof this look.
async fn put(gateway: &Gateway, id: &AuthorizationId, look: CaaEvidence) {
    let stored = gateway.app.store.authorization(id).await.unwrap().unwrap();
    let mut aged = stored.value.clone();
    for challenge in &mut aged.challenges {
        if let acme::challenge::ChallengeState::Valid { evidence } = &mut challenge.state {
            evidence.caa = Some(look.clone());
        }
    }
    let mut commit = Commit::new();
    commit.update_authorization(&stored, aged.clone(), gateway.app.keep_until(aged.expires));
    gateway.app.store.commit(commit).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_look_that_still_counts_is_not_repeated() {
    for (policy, ago) in [(CaaPolicy::Required, Duration::ZERO), (CaaPolicy::Optional, Duration::from_secs(6 * 3600))] {
        let case = Case::new(policy, "", ago, &NAMES).await;
        case.attempt().await;
        assert_eq!(case.gateway.status(&case.order).await, OrderStatus::Valid);
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_the_order_waits_a_little_and_is_then_refused_unsent() {
    let case = Case::new(CaaPolicy::Optional, "", LONG_AGO, &NAMES).await;
    for attempt in 1..=3 {
        case.attempt().await;
        assert_eq!(case.gateway.status(&case.order).await, OrderStatus::Processing);
        assert_eq!(case.caa().await.unanswered, attempt);
        assert!(matches!(case.work().await, Work::Issue { submission: Submission::NotSent, .. }));
    }
    case.attempt().await;
    let problem = case.problem().await;
    assert_eq!((problem.kind, problem.subproblems.len()), (ProblemKind::Caa, 2));
    assert!(problem.subproblems[1].detail.starts_with("looking up CAA at a.test for a.test: "), "{problem:?}");
    assert_eq!((case.submitted(), case.job().await), (0, None));
}

#[tokio::test(start_paused = true)]
async fn how_much_it_counts_is_the_profiles_to_say_and_then_the_endpoints() {
    let advisory = "endpoint_defaults.caa = 'advisory'";
    let off = "endpoint_defaults.caa = 'off'";
    let table = [
        (CaaPolicy::Required, off, OrderStatus::Processing),
        (CaaPolicy::Required, advisory, OrderStatus::Processing),
        (CaaPolicy::Optional, "", OrderStatus::Processing),
        (CaaPolicy::Optional, advisory, OrderStatus::Valid),
        (CaaPolicy::Optional, off, OrderStatus::Valid),
        (CaaPolicy::Off, "", OrderStatus::Valid),
    ];
    for (policy, settings, status) in table {
        let case = Case::new(policy, settings, LONG_AGO, &NAMES).await;
        case.attempt().await;
        assert_eq!(case.gateway.status(&case.order).await, status, "{policy:?}, {settings}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_for_an_issuer_of_another_name_does_not_count() {
    let case = Case::new(CaaPolicy::Optional, "", Duration::ZERO, &NAMES).await;
    let other = CaaEvidence { identities: vec!["ca.example.net".to_owned()], ..caa_look(clock::now()) };
    put(&case.gateway, &case.gateway.order_now(&case.order).await.authorizations[0], other).await;
    case.attempt().await;
    assert_eq!((case.gateway.status(&case.order).await, case.submitted()), (OrderStatus::Processing, 0));
}

#[tokio::test(start_paused = true)]
async fn addresses_are_issued_without_any_look() {
    let case = Case::new(CaaPolicy::Required, "", LONG_AGO, &["127.0.0.1"]).await;
    case.attempt().await;
    assert_eq!(case.gateway.status(&case.order).await, OrderStatus::Valid);
}

#[tokio::test(start_paused = true)]
async fn an_order_of_many_slow_names_gives_its_slot_back_before_all_of_them_were_looked_at() {
    let names: Vec<_> = (0..100).map(|number| format!("n{number}.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let case = Case::new(CaaPolicy::Required, "", LONG_AGO, &names).await;
    let mut attempts = 0;
    while case.gateway.status(&case.order).await == OrderStatus::Processing {
        let began = Instant::now();
        case.attempt().await;
        let took = began.elapsed();
        assert!(took <= LOOKS_MAX + Duration::from_secs(1), "{took:?}");
        attempts += 1;
    }
    assert_eq!((attempts, case.submitted()), (4, 0), "as many as for a few names");
    let problem = case.problem().await;
    assert_eq!((problem.kind, problem.subproblems.len()), (ProblemKind::Caa, 100));
    let last = &problem.subproblems[99].detail;
    assert!(last.contains("not done within 20 seconds"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn what_the_cm_never_got_waits_a_little_for_a_new_look_before_it_is_sent_again() {
    let case = Case::new(CaaPolicy::Required, "", Duration::ZERO, &NAMES).await;
    case.lose_the_request().await;
    // However long the CM was away, the DNS has its own tries.
    for _ in 0..5 {
        case.gateway.cm.next(Operation::RequestByKey, Fault::AnswerLost(Moment::BeforeTheEffect));
        case.attempt().await;
    }
    case.age_proofs().await;
    for unanswered in 1..=3 {
        case.attempt().await;
        assert_eq!(case.gateway.status(&case.order).await, OrderStatus::Processing);
        assert_eq!((case.caa().await.unanswered, case.submitted()), (unanswered, 1));
        assert!(matches!(case.work().await, Work::Issue { submission: Submission::MayHaveBeenSent { .. }, .. }));
    }
    case.attempt().await;
    assert_eq!((case.problem().await.kind, case.submitted()), (ProblemKind::Caa, 1));
    assert_eq!(case.gateway.cm.certificates(), []);
}

#[tokio::test(start_paused = true)]
async fn a_look_of_the_job_itself_is_not_repeated_while_it_counts_and_goes_into_what_is_not_sent_yet() {
    for is_sent in [true, false] {
        let case = Case::new(CaaPolicy::Required, "", Duration::ZERO, &NAMES).await;
        if is_sent {
            case.lose_the_request().await;
        }
        case.age_proofs().await;
        let Work::Issue { request: before, .. } = case.work().await else { panic!("an issuance") };
        case.looked(Duration::from_secs(3600)).await;
        case.attempt().await;
        assert_eq!(case.gateway.status(&case.order).await, OrderStatus::Valid, "{is_sent}");
        let calls = case.gateway.cm.calls(Operation::Submit);
        assert_eq!(calls.last().unwrap().octets == before, is_sent, "octets that may have been sent stay as they are");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_of_the_job_itself_becomes_old_too() {
    let case = Case::new(CaaPolicy::Required, "", LONG_AGO, &NAMES).await;
    case.looked(LONG_AGO).await;
    case.attempt().await;
    assert_eq!((case.caa().await.unanswered, case.submitted()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_record_forbids_is_not_tried_again_though_another_name_has_no_answer() {
    let case = Case::new(CaaPolicy::Required, "", Duration::ZERO, &NAMES).await;
    let order = case.gateway.order_now(&case.order).await;
    let mut authorizations = Vec::new();
    for id in &order.authorizations {
        authorizations.push(case.gateway.authorization_now(id).await);
    }
    for (failures, waits) in [([true, true], true), ([true, false], false), ([false, true], false)] {
        let failure = |retry| Failure { problem: Problem::new(ProblemKind::Caa, "a reason"), retry };
        let looks = authorizations.iter().zip(failures).map(|(one, retry)| (one, Err(failure(retry)))).collect();
        let Standing::Refused { retry, .. } = standing(&order, Weight::Enforce, looks) else { panic!("permitted") };
        assert_eq!(retry, waits, "{failures:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn newer_looks_go_into_the_octets_before_they_are_sent() {
    let case = Case::new(CaaPolicy::Required, "", Duration::ZERO, &NAMES).await;
    let order = case.gateway.order_now(&case.order).await;
    let Work::Issue { request, .. } = case.job().await.unwrap().value.work else { panic!("an issuance") };
    let result = CaaResult::Permitted { domain: "a.test".to_owned(), issuewild: true };
    let look = CaaEvidence { result, ..caa_look(clock::now()) };
    let looks = [(order.authorizations[1].clone(), look)];
    let renewed = case.gateway.app.cm.renew_caa(&request, &looks).unwrap();
    assert!(!String::from_utf8_lossy(&request).contains("issuewild"));
    assert_eq!(String::from_utf8_lossy(&renewed).matches("issuewild").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_no_record_can_name_is_told_where_records_count() {
    for (policy, weight, told) in [
        (CaaPolicy::Required, Weight::Off, true),
        (CaaPolicy::Optional, Weight::Enforce, true),
        (CaaPolicy::Optional, Weight::Advisory, false),
        (CaaPolicy::Off, Weight::Enforce, false),
    ] {
        let gateway = Gateway::new().await;
        gateway.cm.change_profiles(|profile| profile.caa = policy);
        let catalogue = crate::ra::catalogue::Catalogue::default();
        let realm = gateway.endpoint("open").realm.clone();
        catalogue.refresh(gateway.app.cm.as_ref(), &realm).await.unwrap();
        let offer = catalogue.offer(&realm).unwrap();
        assert_eq!(nameless(weight, &offer).len(), if told { offer.profiles.len() } else { 0 }, "{policy:?}");
        drop(catalogue);
        let mut named = Arc::into_inner(offer).unwrap();
        named.issuers.values_mut().for_each(|issuer| issuer.caa_identities = vec![String::from("ca.example")]);
        assert_eq!(nameless(weight, &named), [], "{policy:?}");
    }
}
