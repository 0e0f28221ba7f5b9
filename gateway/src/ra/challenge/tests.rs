//! Responses to challenges: each proof is looked at by one job.

use acme::{authorization::AuthorizationStatus, challenge::ChallengeState, registration::Registration};
use serde_json::json;
use store::{Stored, Work};

use super::*;
use crate::{
    clock,
    ra::order::OrderView,
    testing::{self, Gateway, told},
};

/// A gateway with a pending order.
struct Case {
    gateway: Gateway,
    registration: Registration,
    authorization: AuthorizationId,
}

impl Case {
    async fn new() -> Self {
        let gateway = Gateway::new().await;
        let registration = gateway.registration();
        let OrderView { order, .. } = gateway.order(&registration, &["a.test"]).await.unwrap();
        Self { gateway, registration, authorization: order.authorizations[0].clone() }
    }

    async fn respond(&self, kind: ChallengeKind) -> Result<Authorization, Error> {
        let endpoint = self.gateway.endpoint("open");
        let key = &self.registration.key.as_ref().unwrap().key;
        let account = (testing::asked(&self.registration), key);
        respond(&self.gateway.app, &endpoint, account, &self.authorization, kind, clock::now()).await
    }

    /// What the jobs will look at.
    async fn promised(&self) -> Vec<ChallengeKind> {
        let kind = |job: Stored<Job>| {
            let Work::Validate { kind, .. } = job.value.work else { panic!("{job:?}") };
            kind
        };
        self.gateway.jobs().await.into_iter().map(kind).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_fixes_the_key_authorization_and_promises_a_validation() {
    let case = Case::new().await;
    let responded = case.respond(ChallengeKind::Http01).await.unwrap();
    let thumbprint = case.registration.key.as_ref().unwrap().thumbprint;
    let challenge = responded.challenge(ChallengeKind::Http01).unwrap();
    let ChallengeState::Processing { key_authorization, .. } = &challenge.state else { panic!("{challenge:?}") };
    assert_eq!(key_authorization.as_str(), format!("{}.{thumbprint}", challenge.token.as_str()));
    assert_eq!(case.promised().await, [ChallengeKind::Http01]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_response_starts_no_second_job() {
    let case = Case::new().await;
    let first = case.respond(ChallengeKind::Http01).await.unwrap();
    assert_eq!(case.respond(ChallengeKind::Http01).await.unwrap(), first);
    assert_eq!(case.promised().await, [ChallengeKind::Http01]);
}

#[tokio::test(start_paused = true)]
async fn while_one_challenge_is_looked_at_a_response_to_another_changes_nothing() {
    let case = Case::new().await;
    let first = case.respond(ChallengeKind::Dns01).await.unwrap();
    assert_eq!(case.respond(ChallengeKind::Http01).await.unwrap(), first);
    assert_eq!(case.promised().await, [ChallengeKind::Dns01]);
}

#[tokio::test(start_paused = true)]
async fn of_two_responses_at_the_same_moment_the_first_to_be_written_counts() {
    let case = Case::new().await;
    let mut held = case.gateway.disk.hold_next();
    let fast = async {
        held.come().await;
        let responded = case.respond(ChallengeKind::Dns01).await;
        held.go();
        responded
    };
    let (slow, fast) = tokio::join!(case.respond(ChallengeKind::Http01), fast);
    assert_eq!(slow.unwrap(), fast.unwrap());
    assert_eq!(case.promised().await, [ChallengeKind::Dns01]);
}

#[tokio::test(start_paused = true)]
async fn a_response_to_an_authorization_that_was_given_up_is_refused() {
    let case = Case::new().await;
    let endpoint = case.gateway.endpoint("open");
    let (app, account) = (&case.gateway.app, crate::testing::asked(&case.registration));
    let given_up = authorization::deactivate(app, &endpoint, account, &case.authorization, clock::now()).await.unwrap();
    assert_eq!(given_up.status(clock::now()), AuthorizationStatus::Deactivated);
    assert_eq!(told(case.respond(ChallengeKind::Http01).await).kind, ProblemKind::Malformed);
    assert_eq!(case.promised().await, []);
}

#[tokio::test(start_paused = true)]
async fn auditors_learn_who_answers_a_challenge_and_who_gives_an_authorization_up() {
    let case = Case::new().await;
    let endpoint = case.gateway.endpoint("open");
    let _ = case.respond(ChallengeKind::Http01).await.unwrap();
    let asked = testing::asked(&case.registration);
    let again = case.gateway.order(&case.registration, &["b.test"]).await.unwrap().order.authorizations[0].clone();
    let _ = authorization::deactivate(&case.gateway.app, &endpoint, asked, &again, clock::now()).await.unwrap();
    let entries = case.gateway.app.store.audit_entries(100).await.unwrap();
    for name in ["challenge.answered", "authorization.deactivated"] {
        let told = &entries.iter().find(|entry| entry.body["event"] == name).expect(name).body;
        assert_eq!(told["account"], json!(case.registration.id), "{name}");
        let key = &case.registration.key.as_ref().unwrap().thumbprint;
        assert_eq!(told["accountKey"], json!(key.to_string()), "{name}");
        assert_eq!(told["client"], json!(testing::client().ip), "{name}");
    }
}
