//! A certificate is replaced by one order, whatever crashes and whoever races.

use std::sync::Arc;

use acme::{ids::RegistrationId, problem::ProblemKind};
use cm_connector::{Certificate, CmError, RequestState, openbao::OpenBaoCertificateManager};
use serde_json::json;

use crate::{
    SHARED, gateway,
    issuance::{begin, certificate, dashed, lose, submit, tests_wait},
    person::{Asking, Person},
};

const NAME: [&str; 1] = ["replace.example.com"];

/// An account with a certificate.
async fn issued(cm: &OpenBaoCertificateManager) -> (RegistrationId, Certificate) {
    let id = Person::new().register(cm).await.registration.id;
    let first = certificate(submit(cm, &Asking::of(&id, &NAME)).await);
    (id, first)
}

fn replacing(id: &RegistrationId, replaced: &Certificate) -> Asking {
    Asking::of(id, &NAME).with("replaces", replaced.id.as_str())
}

fn is_refused(outcome: &Result<RequestState, CmError>, expected: ProblemKind) -> bool {
    matches!(outcome, Err(CmError::Refused(problem)) if problem.kind == expected)
}

#[tokio::test]
async fn a_certificate_is_replaced_once_and_by_its_own_account() {
    let cm = gateway(&SHARED);
    let (id, first) = issued(&cm).await;
    let other = Person::new().register(&cm).await.registration.id;
    let foreign = submit(&cm, &replacing(&other, &first)).await;
    assert!(is_refused(&foreign, ProblemKind::Malformed), "{foreign:?}");
    let _second = certificate(submit(&cm, &replacing(&id, &first)).await);
    let again = submit(&cm, &replacing(&id, &first)).await;
    assert!(is_refused(&again, ProblemKind::AlreadyReplaced), "{again:?}");
}

#[tokio::test]
async fn a_replacement_whose_answer_was_lost_is_the_only_one() {
    let cm = gateway(&SHARED);
    let (id, first) = issued(&cm).await;
    let lost = replacing(&id, &first);
    let second = certificate(submit(&cm, &lost).await);
    lose(&lost, &second);
    let late = submit(&cm, &replacing(&id, &first)).await;
    assert!(is_refused(&late, ProblemKind::AlreadyReplaced), "{late:?}");
    assert_eq!(certificate(submit(&cm, &lost).await), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_orders_that_replace_one_certificate_at_once_one_does() {
    let cm = gateway(&SHARED);
    let (id, first) = issued(&cm).await;
    let asked: Vec<_> = (0..8).map(|_| Arc::new(replacing(&id, &first))).collect();
    let mut racers = tokio::task::JoinSet::new();
    for asking in &asked {
        let (cm, asking) = (gateway(&SHARED), Arc::clone(asking));
        racers.spawn(async move { submit(&cm, &asking).await });
    }
    let _first_answers = racers.join_all().await;
    let mut outcomes = Vec::new();
    for asking in &asked {
        let outcome = tests_wait(async || match submit(&cm, asking).await {
            Err(CmError::Unavailable { .. }) => None,
            other => Some(other),
        });
        outcomes.push(outcome.await);
    }
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    for outcome in outcomes.iter().filter(|outcome| outcome.is_err()) {
        assert!(
            is_refused(outcome, ProblemKind::AlreadyReplaced) || is_refused(outcome, ProblemKind::ServerInternal),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn an_order_that_was_never_signed_keeps_nobody_from_replacing() {
    let cm = gateway(&SHARED);
    let (id, first) = issued(&cm).await;
    // As if a gateway had died after it had written down order and intent, and before it signed.
    let dead = replacing(&id, &first);
    begin(&dead, "00");
    let order = json!({"options": {"cas": 0}, "data": {"request": dead.key}});
    let path = format!("acme/open/cm/data/order/{}", dead.order);
    let _ = SHARED.root(&["write", "-format=json", &path, "-"], Some(&order));
    claim(&first, &dead);
    let other = replacing(&id, &first);
    let early = submit(&cm, &other).await;
    assert!(matches!(early, Err(CmError::Unavailable { .. })), "it may be signed yet: {early:?}");
    let second = tests_wait(async || match submit(&cm, &other).await {
        Err(CmError::Unavailable { .. }) => None,
        done => Some(certificate(done)),
    })
    .await;
    let back = submit(&cm, &dead).await;
    assert!(matches!(back, Ok(RequestState::Refused { .. })), "{back:?}");
    assert_ne!(second.id, first.id);
}

/// Writes into the record of a certificate which order is about to replace it.
fn claim(certificate: &Certificate, by: &Asking) {
    let path = format!("acme/open/cm/data/cert/{}", dashed(&certificate.claims.serial));
    let mut data = SHARED.root(&["read", "-format=json", &path], None)["data"]["data"].clone();
    data["replacedBy"] = json!(by.order);
    let _ = SHARED.root(&["write", "-format=json", &path, "-"], Some(&json!({"options": {"cas": 1}, "data": data})));
}
