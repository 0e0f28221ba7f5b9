//! When CAA is looked at again before issuance, and what becomes of the order if nobody answers.
//! The resolver of test gateways does not exist, so every look fails; on the paused clock at once.

use std::time::Duration;

use acme::{
    caa::{CaaPolicy, CaaResult},
    ids::{AuthorizationId, OrderId},
    order::{OrderStatus, Progress},
    problem::ProblemKind,
};
use store::{Commit, Job, Stored, Submission, Work};

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
    for attempt in 1..=2 {
        case.attempt().await;
        let job = case.job().await.unwrap().value;
        assert_eq!((job.attempt, case.gateway.status(&case.order).await), (attempt, OrderStatus::Processing));
        let Work::Issue { submission, .. } = job.work else { panic!("{job:?}") };
        assert_eq!(submission, Submission::NotSent);
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
async fn what_the_cm_never_got_is_not_sent_again_once_the_look_has_become_old() {
    let case = Case::new(CaaPolicy::Required, "", Duration::ZERO, &NAMES).await;
    case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
    case.attempt().await;
    let sent = case.submitted();
    for id in &case.gateway.order_now(&case.order).await.authorizations {
        age(&case.gateway, id, LONG_AGO).await;
    }
    case.attempt().await;
    assert_eq!((case.problem().await.kind, case.submitted()), (ProblemKind::Caa, sent));
    assert_eq!(case.gateway.cm.certificates(), []);
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
