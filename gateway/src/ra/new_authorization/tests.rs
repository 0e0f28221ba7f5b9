//! What new orders rest on: earlier proofs while they are young, new authorizations otherwise; and
//! authorizations ahead of orders.

use std::time::Duration;

use acme::{
    authorization::AuthorizationStatus,
    challenge::ChallengeKind,
    ids::{AuthorizationId, OrderId},
    order::OrderStatus,
    profile::Profile,
};
use cm_connector::CmError;

use super::*;
use crate::{
    clock, ra,
    testing::{self, Fault, Gateway, Operation, new_csr, new_order, told},
};

const DAY: Duration = Duration::from_secs(86_400);

fn text(value: &str) -> IdentifierText {
    IdentifierText { kind: String::from("dns"), value: String::from(value) }
}

async fn authorizations_of(gateway: &Gateway, order: &OrderId) -> Vec<AuthorizationId> {
    gateway.order_now(order).await.authorizations
}

#[tokio::test(start_paused = true)]
async fn an_order_for_what_was_proven_lately_is_ready_at_once() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let first = gateway.ready_order(&registration, &["a.test", "b.test"]).await;
    let proven = authorizations_of(&gateway, &first).await;
    let view = gateway.order(&registration, &["b.test", "a.test"]).await.unwrap();
    assert_eq!(gateway.status(&view.order.id).await, OrderStatus::Ready);
    assert_eq!(view.order.authorizations, [proven[1].clone(), proven[0].clone()], "in the order of its identifiers");
    assert_eq!(view.order.reused, view.order.authorizations);
    assert!(view.order.expires <= gateway.order_now(&first).await.expires);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_not_proven_is_to_be_proven() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let proven = authorizations_of(&gateway, &gateway.ready_order(&registration, &["a.test"]).await).await;
    let view = gateway.order(&registration, &["a.test", "*.a.test", "x.a.test"]).await.unwrap();
    assert_eq!(view.order.reused, proven);
    assert_eq!(gateway.status(&view.order.id).await, OrderStatus::Pending);
    let statuses: Vec<_> = view.authorizations.iter().map(|one| one.status(clock::now())).collect();
    assert_eq!(statuses, [AuthorizationStatus::Valid, AuthorizationStatus::Pending, AuthorizationStatus::Pending]);
    assert!(view.authorizations.iter().all(|one| one.expires == view.order.expires), "nothing ends before the order");
}

#[tokio::test(start_paused = true)]
async fn proofs_of_others_of_other_endpoints_and_of_other_kinds_are_worth_nothing() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    gateway.ready_order(&registration, &["a.test"]).await;
    let stranger = gateway.registration();
    assert_eq!(gateway.order(&stranger, &["a.test"]).await.unwrap().order.reused, []);
    let short = Registration { allowed_profiles: vec!["short".parse().unwrap()], ..registration.clone() };
    let (web, request) = (gateway.endpoint("web"), new_order(&["a.test"]));
    let elsewhere = ra::order::create(&gateway.app, &web, &short, (&request, None), clock::now()).await;
    assert_eq!(elsewhere.unwrap().order.reused, []);
    gateway.cm.change_profiles(|profile| profile.methods = Some(vec![ChallengeKind::Dns01]));
    let gateway = gateway.restarted_with_catalogue().await;
    let view = gateway.order(&registration, &["a.test"]).await.unwrap();
    assert_eq!(view.order.reused, [], "the CM takes no proofs by http-01 any more");
    let offered: Vec<_> = view.authorizations[0].challenges.iter().map(|challenge| challenge.kind).collect();
    assert_eq!(offered, [ChallengeKind::Dns01], "so none is offered either");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_reused_every_order_is_proven_anew() {
    let gateway = Gateway::with("endpoint_defaults.authorization_reuse_secs = 0").await;
    let registration = gateway.registration();
    gateway.ready_order(&registration, &["a.test"]).await;
    let view = gateway.order(&registration, &["a.test"]).await.unwrap();
    assert_eq!(
        (view.order.reused, view.authorizations[0].status(clock::now())),
        (vec![], AuthorizationStatus::Pending)
    );
}

#[tokio::test(start_paused = true)]
async fn giving_up_a_proof_ends_every_order_that_waits_on_it_and_no_new_one_rests_on_it() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let first = gateway.ready_order(&registration, &["a.test"]).await;
    let second = gateway.order(&registration, &["a.test", "b.test"]).await.unwrap().order;
    let id = &second.reused[0];
    let endpoint = gateway.endpoint("open");
    ra::authorization::deactivate(&gateway.app, &endpoint, crate::testing::asked(&registration), id, clock::now())
        .await
        .unwrap();
    for order in [&first, &second.id] {
        assert_eq!(gateway.status(order).await, OrderStatus::Invalid);
    }
    let view = ra::order::read(&gateway.app, &endpoint, &registration.id, &second.id).await.unwrap();
    let error = view.order.error(&view.authorizations, clock::now()).unwrap();
    assert_eq!(error.subproblems.len(), 1);
    assert_eq!(error.subproblems[0].identifier.1, "a.test");
    assert_eq!(gateway.order(&registration, &["a.test"]).await.unwrap().order.reused, []);
}

#[tokio::test(start_paused = true)]
async fn an_order_does_not_rest_on_a_proof_that_is_given_up_while_it_is_made() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let first = gateway.ready_order(&registration, &["a.test"]).await;
    let proven = authorizations_of(&gateway, &first).await.remove(0);
    let endpoint = gateway.endpoint("open");
    let request = new_order(&["a.test"]);
    let mut held = gateway.disk.hold_next();
    let making = ra::order::create(&gateway.app, &endpoint, &registration, (&request, None), clock::now());
    let giving_up = async {
        held.come().await;
        ra::authorization::deactivate(
            &gateway.app,
            &endpoint,
            crate::testing::asked(&registration),
            &proven,
            clock::now(),
        )
        .await
        .unwrap();
        held.go();
    };
    let (made, ()) = tokio::join!(making, giving_up);
    let order = made.unwrap().order;
    assert_eq!((gateway.status(&order.id).await, order.reused), (OrderStatus::Pending, vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_the_cm_does_not_take_is_not_reused_by_anybody() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let first = gateway.ready_order(&registration, &["a.test"]).await;
    let second = gateway.order(&registration, &["a.test"]).await.unwrap().order.id;
    let problem = Problem::new(ProblemKind::Unauthorized, "prove control again");
    gateway.cm.next(Operation::Submit, Fault::Answers(CmError::EvidenceRefused(problem)));
    gateway.finalize(&registration, &first, new_csr(&["a.test"])).await.unwrap();
    gateway.run_issuance(&first).await;
    assert_eq!(gateway.status(&first).await, OrderStatus::Invalid);
    assert_eq!(gateway.status(&second).await, OrderStatus::Invalid, "it rested on the same proof");
    let proof = authorizations_of(&gateway, &first).await.remove(0);
    assert_eq!(gateway.authorization_now(&proof).await.status(clock::now()), AuthorizationStatus::Revoked);
    assert_eq!(gateway.order(&registration, &["a.test"]).await.unwrap().order.reused, []);
    assert!(gateway.audited().await.contains(&String::from("authorization.revoked")));
}

#[tokio::test(start_paused = true)]
async fn the_cm_is_told_which_evidence_is_reused() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    gateway.ready_order(&registration, &["a.test"]).await;
    let order = gateway.ready_order(&registration, &["a.test", "b.test"]).await;
    gateway.finalize(&registration, &order, new_csr(&["a.test", "b.test"])).await.unwrap();
    gateway.run_issuance(&order).await;
    assert_eq!(gateway.status(&order).await, OrderStatus::Valid);
    assert_eq!(gateway.cm.evidence_of(&order), [(String::from("a.test"), true), (String::from("b.test"), false)]);
}

#[tokio::test(start_paused = true)]
async fn an_order_lasts_no_longer_than_its_proofs_are_taken() {
    let gateway = Gateway::new().await;
    gateway.cm.change_profiles(|profile: &mut Profile| profile.proof_age_max = Some(DAY));
    let gateway = gateway.restarted_with_catalogue().await;
    let view = gateway.order(&gateway.registration(), &["a.test"]).await.unwrap();
    assert!(view.order.expires <= clock::now().plus(DAY));
}

async fn ahead(gateway: &Gateway, registration: &Registration, value: &str) -> Result<Authorization, Error> {
    create(&gateway.app, &gateway.endpoint("open"), testing::asked(registration), &text(value), clock::now()).await
}

#[tokio::test(start_paused = true)]
async fn without_the_setting_nothing_is_authorized_ahead_of_orders() {
    let gateway = Gateway::new().await;
    let problem = told(ahead(&gateway, &gateway.registration(), "a.test").await);
    assert_eq!(problem.kind, ProblemKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn ahead_of_orders_names_are_judged_as_in_orders_and_wildcards_are_refused() {
    let gateway = Gateway::with("endpoint_defaults.pre_authorization = true").await;
    let registration = gateway.registration();
    let none = acme::registration::AllowedIdentifiers::Listed { rules: Vec::new(), exclude: Vec::new() };
    let restricted = Registration { allowed_identifiers: none, ..registration.clone() };
    let table = [
        (&registration, "*.a.test", ProblemKind::Malformed),
        (&registration, "a..test", ProblemKind::Malformed),
        (&restricted, "a.test", ProblemKind::RejectedIdentifier),
    ];
    for (registration, name, kind) in table {
        assert_eq!(told(ahead(&gateway, registration, name).await).kind, kind, "{name}");
    }
    let audited = gateway.audited().await;
    assert_eq!(audited.iter().filter(|event| *event == "authorization.refused").count(), table.len());
    assert!(!audited.contains(&String::from("authorization.created")), "nothing was made");
}

#[tokio::test(start_paused = true)]
async fn an_order_rests_on_what_was_authorized_ahead_of_it() {
    let gateway = Gateway::with("endpoint_defaults.pre_authorization = true").await;
    let registration = gateway.registration();
    let made = ahead(&gateway, &registration, "a.test").await.unwrap();
    assert_eq!(made.status(clock::now()), AuthorizationStatus::Pending);
    assert_eq!(gateway.order(&registration, &["a.test"]).await.unwrap().order.reused, [], "it is not proven yet");
    gateway.prove(&registration, &made.id).await;
    let view = gateway.order(&registration, &["a.test"]).await.unwrap();
    assert_eq!((gateway.status(&view.order.id).await, view.order.reused), (OrderStatus::Ready, vec![made.id.clone()]));
    assert_eq!(ahead(&gateway, &registration, "a.test").await.unwrap().id, made.id, "there is a proof already");
    let audited = gateway.audited().await;
    let made: Vec<_> = audited.iter().filter(|event| event.ends_with(".created")).collect();
    assert_eq!(made, ["authorization.created", "order.created", "order.created"]);
}
