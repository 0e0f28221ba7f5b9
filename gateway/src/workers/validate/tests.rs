//! Validation jobs against a web server on loopback, at an address so that no name has to be
//! looked up. Sockets need the real clock, and nothing here waits for it.

use acme::{
    authorization::AuthorizationStatus,
    failure_run::FailureRun,
    ids::OrderId,
    order::OrderStatus,
    registration::{AllowedIdentifiers, Registration, RegistrationStatus},
};

use super::*;
use crate::{
    ra,
    testing::{self, Gateway, Web},
};

/// A gateway with an order whose only challenge the client has responded to.
struct Case {
    gateway: Gateway,
    web: Web,
    registration: Registration,
    order: OrderId,
    authorization: AuthorizationId,
}

impl Case {
    async fn new() -> Self {
        let web = Web::start().await;
        let gateway = Gateway::with(&format!("validation.http_port = {}", web.port)).await;
        let registration = gateway.registration();
        let order = gateway.order(&registration, &["127.0.0.1"]).await.unwrap().order;
        let authorization = order.authorizations[0].clone();
        let case = Self { gateway, web, registration, order: order.id, authorization };
        case.respond().await;
        case
    }

    /// The same client orders the same once more.
    async fn order_again(&mut self) {
        let order = self.gateway.order(&self.registration, &["127.0.0.1"]).await.unwrap().order;
        (self.authorization, self.order) = (order.authorizations[0].clone(), order.id);
        self.respond().await;
    }

    async fn respond(&self) {
        let (app, endpoint) = (&self.gateway.app, self.gateway.endpoint("open"));
        let account = (testing::asked(&self.registration), &self.registration.key.as_ref().unwrap().key);
        let kind = ChallengeKind::Http01;
        ra::challenge::respond(app, &endpoint, account, &self.authorization, kind, clock::now()).await.unwrap();
    }

    async fn failure_run(&self) -> Option<FailureRun> {
        let now = self.gateway.authorization_now(&self.authorization).await;
        let run = self.gateway.app.store.failure_run(&now.endpoint, &now.account, &now.identifier).await.unwrap();
        run.map(|run| run.value)
    }

    async fn job(&self) -> Option<Stored<Job>> {
        self.gateway.job(&Job::validation_id(&self.authorization)).await
    }

    async fn attempt(&self) -> anyhow::Result<()> {
        let job = self.job().await.expect("there is a validation job");
        validate(&self.gateway.app, &job, &self.authorization, ChallengeKind::Http01).await
    }

    /// What the client would show.
    async fn prove(&self) {
        let now = self.gateway.authorization_now(&self.authorization).await;
        let challenge = now.challenge(ChallengeKind::Http01).unwrap();
        let ChallengeState::Processing { key_authorization, .. } = &challenge.state else { panic!("{challenge:?}") };
        self.web.show(key_authorization.as_str());
    }

    async fn status(&self) -> AuthorizationStatus {
        self.gateway.authorization_now(&self.authorization).await.status(clock::now())
    }

    async fn failure(&self) -> Problem {
        self.gateway.authorization_now(&self.authorization).await.failure().unwrap().clone()
    }

    async fn deactivate(&self) {
        let (app, endpoint) = (&self.gateway.app, self.gateway.endpoint("open"));
        let account = crate::testing::asked(&self.registration);
        ra::authorization::deactivate(app, &endpoint, account, &self.authorization, clock::now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_proof_that_is_seen_makes_the_order_ready() {
    let case = Case::new().await;
    case.prove().await;
    case.attempt().await.unwrap();
    assert_eq!((case.status().await, case.web.requests()), (AuthorizationStatus::Valid, 1));
    let now = case.gateway.authorization_now(&case.authorization).await;
    let (kind, evidence) = now.proof().unwrap();
    assert_eq!((kind, evidence.target.clone()), (ChallengeKind::Http01, format!("127.0.0.1:{}", case.web.port)));
    assert_eq!(case.gateway.status(&case.order).await, OrderStatus::Ready);
    assert_eq!(case.job().await, None);
    assert_eq!(case.gateway.audited().await.last().unwrap(), "validation.ended");
}

#[tokio::test]
async fn a_proof_that_is_not_there_yet_is_looked_for_again_and_less_and_less_often() {
    let case = Case::new().await;
    case.web.is_busy(true);
    for (attempt, pause_secs) in [(1, 2), (2, 4), (3, 8)] {
        let before = clock::now();
        case.attempt().await.unwrap();
        let job = case.job().await.unwrap().value;
        assert_eq!((case.status().await, job.attempt), (AuthorizationStatus::Pending, attempt));
        let pause = job.due_at.since(before).as_secs();
        assert!((pause_secs..pause_secs * 2).contains(&pause), "{pause}");
    }
    case.attempt().await.unwrap();
    assert_eq!(
        (case.status().await, case.failure().await.kind),
        (AuthorizationStatus::Invalid, ProblemKind::IncorrectResponse)
    );
    assert_eq!(case.job().await, None);
    assert_eq!(case.gateway.status(&case.order).await, OrderStatus::Invalid);
}

#[tokio::test]
async fn a_proof_that_comes_before_the_last_attempt_counts() {
    let case = Case::new().await;
    case.web.is_busy(true);
    for _ in 0..3 {
        case.attempt().await.unwrap();
    }
    assert_eq!(case.status().await, AuthorizationStatus::Pending);
    case.web.is_busy(false);
    case.prove().await;
    case.attempt().await.unwrap();
    assert_eq!(case.status().await, AuthorizationStatus::Valid);
}

#[tokio::test]
async fn a_wrong_proof_ends_the_authorization_at_once() {
    let case = Case::new().await;
    case.web.show("something else");
    case.attempt().await.unwrap();
    assert_eq!(case.status().await, AuthorizationStatus::Invalid);
    assert_eq!(case.failure().await.kind, ProblemKind::IncorrectResponse);
    assert_eq!((case.web.requests(), case.job().await), (1, None));
}

#[tokio::test]
async fn a_failure_is_counted_with_its_result_and_a_success_ends_the_count() {
    let mut case = Case::new().await;
    case.web.show("something else");
    case.attempt().await.unwrap();
    let failed = case.failure_run().await.unwrap();
    assert_eq!((failed.failures, failed.problem.kind), (1, case.failure().await.kind));
    let token = case.gateway.authorization_now(&case.authorization).await.challenges[0].token.as_str().to_owned();
    assert!(case.failure().await.detail.contains(&token), "the client is told what was looked for");
    assert!(!failed.problem.detail.contains(&token), "others are not: {}", failed.problem.detail);
    case.order_again().await;
    assert!(case.failure_run().await.is_some(), "a new order changes nothing");
    case.prove().await;
    case.attempt().await.unwrap();
    assert_eq!((case.status().await, case.failure_run().await), (AuthorizationStatus::Valid, None));
}

#[tokio::test]
async fn what_the_registration_may_not_have_any_more_is_never_contacted() {
    let nothing = AllowedIdentifiers::Listed { rules: Vec::new(), exclude: Vec::new() };
    let suspended = Case::new().await;
    let change = |found: &mut Registration| found.status = RegistrationStatus::Suspended;
    suspended.gateway.cm.change(&suspended.registration.id, change);
    let narrowed = Case::new().await;
    narrowed.gateway.cm.change(&narrowed.registration.id, |found| found.allowed_identifiers = nothing);
    let gone = Case::new().await;
    gone.gateway.cm.lose(&gone.registration.id);
    let cases = [
        (suspended, ProblemKind::Unauthorized),
        (narrowed, ProblemKind::RejectedIdentifier),
        (gone, ProblemKind::AccountDoesNotExist),
    ];
    for (case, kind) in cases {
        case.prove().await;
        case.attempt().await.unwrap();
        assert_eq!((case.failure().await.kind, case.web.requests()), (kind, 0));
    }
}

#[tokio::test]
async fn while_the_cm_is_away_its_last_word_holds_and_proofs_are_looked_at() {
    let case = Case::new().await;
    case.prove().await;
    case.gateway.cm.is_away(true);
    case.attempt().await.unwrap();
    assert_eq!(case.status().await, AuthorizationStatus::Valid);
}

#[tokio::test]
async fn an_authorization_given_up_before_the_attempt_is_never_contacted() {
    let case = Case::new().await;
    case.deactivate().await;
    case.attempt().await.unwrap();
    assert_eq!((case.status().await, case.web.requests()), (AuthorizationStatus::Deactivated, 0));
    assert_eq!(case.job().await, None);
}

#[tokio::test]
async fn an_authorization_that_has_expired_is_never_contacted() {
    let case = Case::new().await;
    let stored = case.gateway.app.store.authorization(&case.authorization).await.unwrap().unwrap();
    let expired = Authorization { expires: clock::now(), ..stored.value.clone() };
    let mut commit = Commit::new();
    commit.update_authorization(&stored, expired, case.gateway.app.keep_until(clock::now()));
    case.gateway.app.store.commit(commit).await.unwrap();
    case.attempt().await.unwrap();
    assert_eq!((case.status().await, case.web.requests()), (AuthorizationStatus::Expired, 0));
    assert_eq!(case.job().await, None);
    assert_eq!(
        case.gateway.audited().await,
        ["order.judged", "order.created", "challenge.answered"],
        "nothing is said to be validated"
    );
}

#[tokio::test]
async fn an_authorization_given_up_while_its_proof_is_written_down_stays_given_up() {
    let case = Case::new().await;
    case.prove().await;
    let mut held = case.gateway.disk.hold_next();
    let give_up = async {
        held.come().await;
        case.deactivate().await;
        held.go();
    };
    let (attempt, ()) = tokio::join!(case.attempt(), give_up);
    attempt.unwrap();
    assert_eq!(case.status().await, AuthorizationStatus::Deactivated);
    assert_eq!(case.job().await, None);
    assert!(!case.gateway.audited().await.contains(&String::from("validation.ended")));
}

#[tokio::test]
async fn an_attempt_whose_job_somebody_else_has_taken_further_leaves_it_to_them() {
    let case = Case::new().await;
    case.prove().await;
    let mut held = case.gateway.disk.hold_next();
    let take_over = async {
        held.come().await;
        case.gateway.make_due(&Job::validation_id(&case.authorization)).await;
        held.go();
    };
    let (attempt, ()) = tokio::join!(case.attempt(), take_over);
    attempt.unwrap();
    assert_eq!(case.status().await, AuthorizationStatus::Pending);
    assert!(case.job().await.is_some(), "the job is theirs");
}
