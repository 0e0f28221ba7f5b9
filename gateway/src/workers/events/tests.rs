//! Officers act in the CM, and the gateway notices.

use acme::{
    ids::{JobId, OrderId},
    order::OrderStatus,
    registration::{Registration, RegistrationStatus},
};
use cm_connector::Event;
use store::{Job, Submission, Work};

use super::*;
use crate::{
    app::App,
    testing::{Gateway, Operation, Ruling, new_csr},
};

fn realm() -> RealmName {
    RealmName::parse("open").unwrap()
}

/// A gateway that follows the feed, once it has found its place.
async fn following() -> (Gateway, Feed) {
    let gateway = Gateway::new().await;
    let feed = Feed(tokio::spawn(follow(Current::from(gateway.app.clone()), realm())));
    until(async || gateway.cm.feed.asked() > 1).await;
    (gateway, feed)
}

/// Lets others work until it is so. On the paused clock this takes no time.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..10_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never comes to that");
}

async fn status_seen(gateway: &Gateway, registration: &Registration) -> RegistrationStatus {
    gateway.app.registrations.registration(&realm(), &registration.id).await.unwrap().unwrap().status
}

/// An order that waits for a person, and is not looked at for long.
async fn waiting(gateway: &Gateway) -> OrderId {
    let registration = gateway.registration();
    let order = gateway.ready_order(&registration, &["a.test"]).await;
    gateway.finalize(&registration, &order, new_csr(&["a.test"])).await.unwrap();
    gateway.cm.rule(Ruling::IssuedAfter(1));
    gateway.run_issuance(&order).await;
    assert_eq!(gateway.status(&order).await, OrderStatus::Processing);
    put_off(gateway, &order).await;
    order
}

async fn put_off(gateway: &Gateway, order: &OrderId) {
    let job = gateway.job(&Job::issuance_id(order)).await.unwrap();
    let Work::Issue { submission: Submission::Accepted { .. }, .. } = &job.value.work else { panic!("{job:?}") };
    let mut commit = store::Commit::new();
    commit.update_job(&job, Job { due_at: crate::clock::now().plus(WAIT * 30), ..job.value.clone() });
    gateway.app.store.commit(commit).await.unwrap();
}

async fn is_due(gateway: &Gateway, id: &JobId) -> bool {
    gateway.job(id).await.unwrap().value.due_at <= crate::clock::now()
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_was_suspended_is_forgotten_at_once() {
    let (gateway, _feed) = following().await;
    let registration = gateway.registration();
    assert_eq!(status_seen(&gateway, &registration).await, RegistrationStatus::Active);
    gateway.cm.change(&registration.id, |found| found.status = RegistrationStatus::Suspended);
    assert_eq!(status_seen(&gateway, &registration).await, RegistrationStatus::Active, "it is remembered");
    gateway.cm.feed.tell(Event::Registration { id: registration.id.clone(), version: Some(2) });
    let told = Instant::now();
    until(async || status_seen(&gateway, &registration).await == RegistrationStatus::Suspended).await;
    assert!(told.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_is_known_already_is_not_forgotten() {
    let (gateway, _feed) = following().await;
    let registration = gateway.registration();
    let _ = status_seen(&gateway, &registration).await;
    let asked = gateway.cm.feed.asked();
    gateway.cm.feed.tell(Event::Registration { id: registration.id.clone(), version: Some(1) });
    until(async || gateway.cm.feed.asked() > asked).await;
    let _ = status_seen(&gateway, &registration).await;
    assert_eq!(gateway.cm.calls(Operation::Registration).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_is_looked_at_as_soon_as_its_request_was_decided() {
    let (gateway, _feed) = following().await;
    let (order, other) = (waiting(&gateway).await, waiting(&gateway).await);
    gateway.cm.feed.tell(Event::CertificateRequest(order.clone()));
    until(async || is_due(&gateway, &Job::issuance_id(&order)).await).await;
    assert!(!is_due(&gateway, &Job::issuance_id(&other)).await, "nobody decided on the other one");
    gateway.run_issuance(&order).await;
    assert_eq!(gateway.status(&order).await, OrderStatus::Valid);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_being_looked_at_is_looked_at_again() {
    let (gateway, _feed) = following().await;
    let order = waiting(&gateway).await;
    let id = Job::issuance_id(&order);
    gateway.make_due(&id).await;
    gateway.cm.feed.tell(Event::CertificateRequest(order.clone()));
    tokio::time::sleep(Duration::from_millis(600)).await;
    // It asked before the decision, and is put off only now.
    put_off(&gateway, &order).await;
    until(async || is_due(&gateway, &id).await).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_nothing_remembered_is_believed_and_every_order_that_waits_looks_again() {
    let (gateway, _feed) = following().await;
    let (registration, order) = (gateway.registration(), waiting(&gateway).await);
    assert_eq!(status_seen(&gateway, &registration).await, RegistrationStatus::Active);
    gateway.cm.change(&registration.id, |found| found.status = RegistrationStatus::Revoked);
    gateway.cm.feed.lose();
    until(async || status_seen(&gateway, &registration).await == RegistrationStatus::Revoked).await;
    until(async || is_due(&gateway, &Job::issuance_id(&order)).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_was_away_goes_on_where_it_was() {
    let (gateway, _feed) = following().await;
    let order = waiting(&gateway).await;
    gateway.cm.feed.is_away(true);
    gateway.cm.feed.tell(Event::CertificateRequest(order.clone()));
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(!is_due(&gateway, &Job::issuance_id(&order)).await, "nobody could tell");
    gateway.cm.feed.is_away(false);
    until(async || is_due(&gateway, &Job::issuance_id(&order)).await).await;
}

/// A registration that was read is suspended, and two seconds later it is.
async fn suspend_and_see(gateway: &Gateway) {
    let registration = gateway.registration();
    assert_eq!(status_seen(gateway, &registration).await, RegistrationStatus::Active);
    gateway.cm.change(&registration.id, |found| found.status = RegistrationStatus::Suspended);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(status_seen(gateway, &registration).await, RegistrationStatus::Suspended);
}

#[tokio::test(start_paused = true)]
async fn a_suspension_counts_within_two_seconds_while_the_feed_is_away_however_long() {
    let (gateway, _feed) = following().await;
    gateway.cm.feed.is_away(true);
    tokio::time::sleep(Duration::from_millis(10)).await;
    suspend_and_see(&gateway).await;
    tokio::time::sleep(GONE + PAUSE_MAX + PAUSE_MAX).await;
    suspend_and_see(&gateway).await;
}

#[tokio::test(start_paused = true)]
async fn a_suspension_counts_within_two_seconds_where_there_is_no_feed() {
    let gateway = Gateway::new().await;
    gateway.cm.feed.is_missing();
    let _following = Feed(tokio::spawn(follow_events(Current::from(gateway.app.clone()))));
    until(async || gateway.app.cm_condition.is_without_feed(&realm())).await;
    suspend_and_see(&gateway).await;
    assert_eq!(gateway.cm.feed.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_asked_for_once_a_second_at_most_while_the_feed_is_away() {
    let (gateway, _feed) = following().await;
    let registration = gateway.registration();
    let asked = || gateway.cm.calls(Operation::Registration).len();
    gateway.cm.feed.is_away(true);
    tokio::time::sleep(Duration::from_millis(10)).await;
    for _ in 0..50 {
        let _ = status_seen(&gateway, &registration).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(asked(), 3, "in two and a half seconds");
    gateway.cm.feed.is_away(false);
    tokio::time::sleep(PAUSE_MAX).await;
    let _ = status_seen(&gateway, &registration).await;
    let before = asked();
    tokio::time::sleep(WAIT).await;
    let _ = status_seen(&gateway, &registration).await;
    assert_eq!(asked(), before, "it is told what changes again");
}

#[tokio::test(start_paused = true)]
async fn when_the_feed_has_been_gone_for_long_every_order_that_waits_looks_within_half_a_minute() {
    let (gateway, _feed) = following().await;
    let order = waiting(&gateway).await;
    let due = async || gateway.job(&Job::issuance_id(&order)).await.unwrap().value.due_at;
    let planned = due().await;
    gateway.cm.feed.is_away(true);
    tokio::time::sleep(GONE - PAUSE_MAX).await;
    assert_eq!(due().await, planned, "it may come back");
    tokio::time::sleep(PAUSE_MAX * 3).await;
    assert!(due().await <= crate::clock::now().plus(POLLED_WHEN_GONE));
    assert!(gateway.app.cm_condition.is_without_feed(&realm()));
    gateway.cm.feed.is_away(false);
    until(async || !gateway.app.cm_condition.is_without_feed(&realm())).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_cm_offers_is_read_again_when_it_has_changed() {
    let (gateway, _feed) = following().await;
    gateway.cm.withdraw_profiles();
    assert!(!gateway.app.catalogue.offer(&realm()).unwrap().profiles.is_empty());
    gateway.cm.feed.tell(Event::Offer);
    until(async || gateway.app.catalogue.offer(&realm()).unwrap().profiles.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn every_registration_is_forgotten_when_its_realm_has_changed() {
    let (gateway, _feed) = following().await;
    let known = gateway.registration();
    gateway.app.registrations.remember(&realm(), known.clone(), gateway.app.registrations.epoch());
    gateway.cm.feed.tell(Event::Offer);
    gateway.cm.feed.tell(Event::Realm);
    until(async || !gateway.app.registrations.remembers(&realm(), &known.id)).await;
}

#[test]
fn pauses_grow_to_half_a_minute_and_are_never_nothing() {
    let most: Vec<u128> = (1..=10).map(|failed| pause(failed, 1.0).as_millis()).collect();
    assert_eq!(most, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    assert_eq!(pause(u32::MAX, 0.0), PAUSE_MAX / 2);
    assert_eq!(pause(1, 0.0), Duration::from_millis(125));
}

/// The realms whose feeds can be seen to be late.
fn watched(gateway: &Gateway) -> Vec<String> {
    let text = gateway.app.metrics.text();
    let realms = text.lines().filter_map(|line| {
        let (realm, _) =
            line.strip_prefix("acme_gateway_event_feed_answered_timestamp_seconds{realm=\"")?.split_once('"')?;
        Some(realm.to_owned())
    });
    realms.collect()
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_never_answers_can_be_seen_to_be_late_until_its_realm_is_gone() {
    let gateway = Gateway::new().await;
    gateway.cm.is_away(true);
    let (current, mut feeds) = (Current::from(gateway.app.clone()), Feeds::default());
    assert!(watched(&gateway).is_empty());
    feeds.keep(&current).await;
    let all: Vec<_> = realms(&current).iter().map(ToString::to_string).collect();
    assert!(!all.is_empty() && watched(&gateway) == all, "{:?}", watched(&gateway));
    let mut endpoints = gateway.app.endpoints.clone();
    endpoints.retain(|_, endpoint| endpoint.realm != realm());
    current.exchange(App { endpoints, ..App::clone(&gateway.app) });
    feeds.keep(&current).await;
    let left: Vec<_> = all.into_iter().filter(|name| *name != realm().as_str()).collect();
    assert_eq!(watched(&gateway), left);
    assert_eq!(feeds.0.len(), left.len());
}
