//! What follows from one bad certificate, and how it ends.

use std::time::Duration;

use acme::{
    ids::{OrderId, ProfileName, RealmName},
    order::OrderStatus,
    problem::{Problem, ProblemKind},
    registration::Registration,
};
use cm_connector::Delivery;
use store::Work;

use super::*;
use crate::{
    clock,
    testing::{Fault, Flaw, Gateway, Moment, Operation, Ruling, new_csr},
};

const NAMES: [&str; 1] = ["a.test"];

fn profile() -> (RealmName, ProfileName) {
    (RealmName::parse("open").unwrap(), ProfileName::parse("tls-server").unwrap())
}

/// An order that was finalized.
async fn finalized(gateway: &Gateway, registration: &Registration) -> OrderId {
    let order = gateway.ready_order(registration, &NAMES).await;
    gateway.finalize(registration, &order, new_csr(&NAMES)).await.unwrap();
    order
}

/// A gateway whose CM has returned a certificate with this flaw for that order.
async fn after(flaw: Flaw) -> (Gateway, Registration, OrderId) {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    gateway.cm.rule(Ruling::Wrong(flaw));
    let order = finalized(&gateway, &registration).await;
    gateway.run_issuance(&order).await;
    (gateway, registration, order)
}

async fn is_stopped_now(gateway: &Gateway) -> bool {
    let (realm, profile) = profile();
    is_stopped(&gateway.app, &realm, &profile).await.unwrap()
}

fn assert_told_to_wait<T>(outcome: Result<T, Error>) {
    let Err(Error::Refused(refusal)) = outcome else { panic!("not refused") };
    assert_eq!((refusal.problem.kind, refusal.retry_after), (ProblemKind::Unavailable, Some(ASK_AGAIN)));
    let Problem { detail, .. } = &refusal.problem;
    assert!(!detail.contains("key") && !detail.contains("CM"), "nothing inside: {detail}");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_a_sound_cm_would_never_sign_stops_its_profile_and_a_wrong_setting_does_not() {
    for (flaw, stops) in [
        (Flaw::OtherKey, true),
        (Flaw::OtherName, true),
        (Flaw::UnknownRoot, true),
        (Flaw::OtherIssuer, true),
        (Flaw::NotForServers, true),
        (Flaw::FalseRegistration, true),
        (Flaw::TooLong, false),
        (Flaw::NoChain, false),
        (Flaw::UnknownAlternate, false),
    ] {
        let (gateway, registration, _) = after(flaw).await;
        assert_eq!(is_stopped_now(&gateway).await, stops, "{flaw:?}");
        assert_eq!(gateway.order(&registration, &NAMES).await.is_err(), stops, "{flaw:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn new_orders_and_finalize_are_refused_also_after_a_restart_and_other_profiles_go_on() {
    let gateway = Gateway::new().await;
    let mut registration = gateway.registration();
    registration.allowed_profiles = vec![profile().1, ProfileName::parse("short").unwrap()];
    gateway.cm.put(registration.clone());
    let ready = gateway.ready_order(&registration, &["b.test"]).await;
    gateway.cm.rule(Ruling::Wrong(Flaw::OtherKey));
    let bad = finalized(&gateway, &registration).await;
    gateway.run_issuance(&bad).await;
    for gateway in [&gateway, &gateway.restarted_with_catalogue().await] {
        assert_told_to_wait(gateway.order(&registration, &NAMES).await);
        assert_told_to_wait(gateway.finalize(&registration, &ready, new_csr(&["b.test"])).await);
        assert_eq!(gateway.status(&ready).await, OrderStatus::Ready, "it can be finalized later");
        let mut other = crate::testing::new_order(&NAMES);
        other.profile = Some(String::from("short"));
        let endpoint = gateway.endpoint("open");
        let made = crate::ra::order::create(&gateway.app, &endpoint, &registration, (&other, None), clock::now()).await;
        assert!(made.is_ok(), "another profile: {:?}", made.err());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_finalized_before_waits_and_is_issued_when_the_stop_is_lifted() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let waiting = finalized(&gateway, &registration).await;
    // Its submission was lost on the way before the profile was stopped.
    let lost = finalized(&gateway, &registration).await;
    gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
    gateway.run_issuance(&lost).await;
    gateway.cm.rule(Ruling::Wrong(Flaw::OtherKey));
    let bad = finalized(&gateway, &registration).await;
    gateway.run_issuance(&bad).await;
    let sent = gateway.cm.calls(Operation::Submit).len();
    for order in [&waiting, &lost] {
        gateway.run_issuance(order).await;
        assert_eq!(gateway.status(order).await, OrderStatus::Processing);
    }
    assert_eq!(gateway.cm.calls(Operation::Submit).len(), sent, "nothing was sent");
    let (realm, profile) = profile();
    let lifted = resume(&gateway.app, &realm, Some(&profile), "uid 0", clock::now()).await.unwrap().unwrap();
    assert_eq!(lifted.why.unwrap().order, bad);
    for order in [&waiting, &lost] {
        gateway.run_issuance(order).await;
        assert_eq!(gateway.status(order).await, OrderStatus::Valid);
    }
    assert!(gateway.order(&registration, &NAMES).await.is_ok());
    assert_eq!(resume(&gateway.app, &realm, Some(&profile), "uid 0", clock::now()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_certificate_is_kept_with_what_is_wrong_and_the_cm_is_told_as_often_as_it_takes() {
    let (gateway, _, order) = after(Flaw::OtherKey).await;
    let kept = gateway.app.store.bad_certificates().await.unwrap();
    let [bad] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!(bad.value.order, order);
    assert!(bad.value.request.is_some() && bad.value.chain_pem.contains("BEGIN CERTIFICATE"));
    assert_eq!(bad.value.failed[0].check.name(), "public-key");
    let jobs = gateway.jobs().await;
    gateway.cm.next(Operation::ConfirmDelivery, Fault::AnswerLost(Moment::BeforeTheEffect));
    let Work::ConfirmDelivery { realm, request, failed, .. } = &jobs[0].value.work else { panic!("{jobs:?}") };
    let report = async || crate::workers::confirm_delivery(&gateway.app, &jobs[0], realm, request, failed).await;
    assert!(report().await.is_err(), "the job stays");
    report().await.unwrap();
    assert_eq!(*failed, bad.value.failed);
    assert_eq!(gateway.cm.deliveries(), [Delivery::Refused(bad.value.failed.clone())]);
    assert!(gateway.jobs().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn stop_and_lift_are_shown_and_audited() {
    let (gateway, ..) = after(Flaw::OtherName).await;
    let line = "acme_gateway_profiles_stopped{endpoint=\"open\",profile=\"tls-server\"} 1";
    assert!(gateway.app.metrics.text().contains(line));
    let restarted = gateway.restarted();
    assert!(!restarted.app.metrics.text().contains(line));
    show(&restarted.app).await.unwrap();
    assert!(restarted.app.metrics.text().contains(line), "after a restart too");
    let (realm, profile) = profile();
    resume(&gateway.app, &realm, Some(&profile), "uid 0", clock::now()).await.unwrap().unwrap();
    assert!(!gateway.app.metrics.text().contains("profiles_stopped{"));
    let audited = gateway.audited().await;
    let of_profiles: Vec<_> = audited.iter().filter(|event| event.starts_with("profile.")).collect();
    assert_eq!(of_profiles, ["profile.stopped", "profile.resumed"]);
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_went_bad_while_its_realm_was_stopped_stays_stopped_when_the_realm_is_resumed() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    // It was sent before the realm was stopped, and the CM has taken its time.
    let order = finalized(&gateway, &registration).await;
    gateway.cm.rule(Ruling::Wrong(Flaw::OtherKey));
    gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
    gateway.run_issuance(&order).await;
    let (realm, profile) = profile();
    let whole = ProfileStop {
        realm: realm.clone(),
        profile: None,
        since: clock::now(),
        order: order.clone(),
        certificate: gateway.cm.certificates()[0].id.clone(),
        failed: Vec::new(),
    };
    let mut commit = Commit::new();
    commit.stop_profile(&whole);
    gateway.app.store.commit(commit).await.unwrap();
    gateway.run_issuance(&order).await;
    assert_eq!(gateway.status(&order).await, OrderStatus::Invalid);
    resume(&gateway.app, &realm, None, "uid 0", clock::now()).await.unwrap().unwrap();
    assert!(is_stopped_now(&gateway).await, "the CM has signed another key under this profile");
    resume(&gateway.app, &realm, Some(&profile), "uid 0", clock::now()).await.unwrap().unwrap();
    assert!(!is_stopped_now(&gateway).await);
}

#[tokio::test(start_paused = true)]
async fn a_stop_whose_record_is_damaged_holds_is_shown_and_can_be_lifted() {
    let (gateway, registration, _) = after(Flaw::OtherKey).await;
    gateway.disk.damage("stopped/").await;
    let restarted = gateway.restarted_with_catalogue().await;
    show(&restarted.app).await.unwrap();
    let line = "acme_gateway_profiles_stopped{endpoint=\"open\",profile=\"tls-server\"} 1";
    assert!(restarted.app.metrics.text().contains(line));
    assert_told_to_wait(restarted.order(&registration, &NAMES).await);
    let (realm, profile) = profile();
    let lifted = resume(&restarted.app, &realm, Some(&profile), "uid 0", clock::now()).await.unwrap().unwrap();
    assert!(lifted.why.is_err());
    assert!(!is_stopped_now(&restarted).await);
    assert!(restarted.order(&registration, &NAMES).await.is_ok());
    assert!(restarted.audited().await.contains(&String::from("profile.resumed")));
}

#[tokio::test(start_paused = true)]
async fn only_the_latest_bad_certificates_are_kept() {
    let (gateway, _, order) = after(Flaw::TooLong).await;
    let certificate = gateway.cm.certificates().remove(0);
    let order = gateway.order_now(&order).await;
    let realm = profile().0;
    for second in 1..=KEPT_MAX + 5 {
        let now = clock::now().plus(Duration::from_secs(second as u64));
        let mut commit = Commit::new();
        record(&gateway.app, &mut commit, (&realm, &order), (None, &certificate), &[], now).await.unwrap();
        gateway.app.store.commit(commit).await.unwrap();
    }
    let kept = gateway.app.store.bad_certificates().await.unwrap();
    assert_eq!(kept.len(), KEPT_MAX);
    assert!(kept[0].value.request.is_none(), "the oldest ones went");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_expires_while_it_waits_for_an_operator_ends() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let waiting = finalized(&gateway, &registration).await;
    gateway.cm.rule(Ruling::Wrong(Flaw::OtherKey));
    let bad = finalized(&gateway, &registration).await;
    gateway.run_issuance(&bad).await;
    let stored = gateway.app.store.order(&waiting).await.unwrap().unwrap();
    let mut commit = Commit::new();
    let mut expired = stored.value.clone();
    expired.expires = clock::now().minus(Duration::from_secs(1));
    commit.update_order(&stored, expired, clock::now().plus(Duration::from_secs(60)));
    gateway.app.store.commit(commit).await.unwrap();
    gateway.run_issuance(&waiting).await;
    assert_eq!(gateway.status(&waiting).await, OrderStatus::Invalid);
}
