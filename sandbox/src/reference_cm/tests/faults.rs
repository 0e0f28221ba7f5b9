//! Faults that are ordered happen, and leave the books right.

use http::Method;
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::super::identity::Role;
use super::super::moment::Moment;
use super::world::{Order, World, fresh_key, leaf_der};
use crate::faults::{Fault, Rule};

const REQUESTS: &str = "/realms/open/certificate-requests";

impl World {
    pub(super) fn order_fault(&self, operation: &str, fault: Fault) {
        self.faults.add(Rule { operation: operation.to_owned(), count: 1, fault }).unwrap();
    }
}

#[tokio::test]
async fn a_reset_comes_before_or_after_the_work() {
    let world = World::start().await;
    let account = world.open_account().await;
    for (fault, certificates) in [(Fault::ResetBefore, 0), (Fault::ResetAfter, 1)] {
        world.order_fault("requestCertificate", fault);
        let body = account.request(&Order::of(&["www.example.test"]));
        let key = fresh_key();
        let headers = [("idempotency-key", key.as_str())];
        let broken = world.try_send(Role::Gateway, Method::POST, REQUESTS, &headers, Some(body.to_string())).await;
        assert!(broken.is_err());
        assert_eq!(world.cm.books()["certificates"], certificates);
        if certificates == 1 {
            let again = world.post(Role::Gateway, REQUESTS, &headers, &body).await.expect(201);
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert_eq!(world.cm.books()["certificates"], 1);
        }
    }
}

#[tokio::test]
async fn answers_are_late_cut_or_a_proxys_page() {
    let world = World::start().await;
    world.order_fault("getInfo", Fault::DelayAfterCommit { millis: 300 });
    let begun = Moment::now();
    world.get(Role::Gateway, "/info").await.expect(200);
    assert!(Moment::now().millis() - begun.millis() >= 300);
    world.order_fault("getInfo", Fault::Unavailable { retry_after_secs: Some(7) });
    let unavailable = world.get(Role::Gateway, "/info").await;
    assert_eq!((unavailable.refusal(), unavailable.header("retry-after")), ((503, "overloaded"), Some("7")));
    world.order_fault("getInfo", Fault::TruncatedBody);
    assert!(world.try_send(Role::Gateway, Method::GET, "/info", &[], None).await.is_err());
    world.order_fault("getInfo", Fault::HtmlPage);
    let page = world.get(Role::Gateway, "/info").await;
    assert_eq!((page.status, page.header("content-type")), (502, Some("text/html")));
    world.get(Role::Gateway, "/info").await.expect(200);
}

#[tokio::test]
async fn a_replayed_answer_is_that_of_the_request_before_and_the_work_is_done() {
    let world = World::start().await;
    let account = world.open_account().await;
    let first = world.issue(&account, &Order::of(&["first.example.test"])).await.expect(201).body;
    world.order_fault("requestCertificate", Fault::ReplayedAnswer);
    let replayed = world.issue(&account, &Order::of(&["second.example.test"])).await.expect(201).body;
    assert_eq!(replayed, first);
    assert_eq!(world.cm.books()["certificates"], 2);
}

#[tokio::test]
async fn a_frozen_connection_says_nothing_and_stays_open() {
    let world = World::start().await;
    world.order_fault("getInfo", Fault::FrozenConnection);
    let frozen = world.try_send(Role::Gateway, Method::GET, "/info", &[], None);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(700), frozen).await.is_err(), "no answer, no end");
    // Other connections are served.
    world.get(Role::Officer, "/info").await.expect(200);
}

#[tokio::test]
async fn a_skewed_clock_dates_what_is_done_by_it() {
    let world = World::start().await;
    world.order_fault("getInfo", Fault::SkewedClock { seconds: -86_400 });
    let told = |reply: &Value| Moment::parse(reply["time"].as_str().unwrap()).unwrap().seconds();
    let skewed = told(&world.get(Role::Gateway, "/info").await.expect(200).body);
    let right = told(&world.get(Role::Gateway, "/info").await.expect(200).body);
    assert!((86_390..=86_400).contains(&(right - skewed)), "{skewed} {right}");
}

#[tokio::test]
async fn wrong_certificates_are_wrong_in_the_way_that_was_ordered() {
    let world = World::start().await;
    let account = world.open_account().await;
    for fault in [Fault::WrongKey, Fault::WrongNames, Fault::WrongChain] {
        world.order_fault("requestCertificate", fault.clone());
        let order = Order::of(&["www.example.test"]);
        let issued = world.issue(&account, &order).await.expect(201).body;
        let certificate: &Value = &issued["certificate"];
        let der = leaf_der(certificate);
        let (_, leaf) = X509Certificate::from_der(&der).unwrap();
        let key_is_right = leaf.public_key().raw == rcgen::PublicKeyData::subject_public_key_info(&order.key);
        let names = format!("{:?}", leaf.subject_alternative_name().unwrap().unwrap().value);
        let pem = certificate["chains"][0]["pem"].as_str().unwrap();
        let issuer = x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes()).nth(1).unwrap().unwrap();
        let issuer = issuer.parse_x509().unwrap();
        let chain_is_right = leaf.verify_signature(Some(issuer.public_key())).is_ok();
        assert_eq!(key_is_right, fault != Fault::WrongKey);
        assert_eq!(names.contains("www.example.test"), fault != Fault::WrongNames);
        assert_eq!(chain_is_right, fault != Fault::WrongChain);
    }
}

#[tokio::test]
async fn a_pending_request_is_waited_for_as_long_as_is_preferred() {
    let world = World::start().await;
    let account = world.open_account().await;
    world.order_fault("requestCertificate", Fault::Pending { millis: 400 });
    let body = account.request(&Order::of(&["www.example.test"]));
    let key = fresh_key();
    let at_once = world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &body).await.expect(202);
    assert_eq!(at_once.body["status"], "processing");
    assert!(at_once.header("retry-after").is_some());
    let waited = world
        .post(Role::Gateway, REQUESTS, &[("idempotency-key", &key), ("prefer", "wait=20")], &body)
        .await
        .expect(201);
    assert_eq!(waited.body["id"], at_once.body["id"]);
    assert_eq!(waited.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn a_rejected_request_stays_rejected() {
    let world = World::start().await;
    let account = world.open_account().await;
    world.order_fault("requestCertificate", Fault::Rejected);
    let order = Order::of(&["www.example.test"]);
    let rejected = world.issue(&account, &order).await.expect(202).body;
    assert_eq!(
        (rejected["status"].as_str(), rejected["problem"]["code"].as_str()),
        (Some("rejected"), Some("request-rejected"))
    );
    assert_eq!(world.issue(&account, &order).await.refusal(), (409, "request-rejected"));
}

#[tokio::test]
async fn a_cancelled_request_is_never_issued() {
    let world = World::start().await;
    let account = world.open_account().await;
    world.order_fault("requestCertificate", Fault::Pending { millis: 600_000 });
    let pending = world.issue(&account, &Order::of(&["www.example.test"])).await.expect(202).body;
    let id = pending["id"].as_str().unwrap();
    let path = format!("{REQUESTS}/{id}/cancel");
    for _ in 0..2 {
        let cancelled = world.try_send(Role::Gateway, Method::POST, &path, &[], None).await.unwrap().expect(200);
        assert_eq!(cancelled.body["status"], "cancelled");
    }
    world.cm.tick(Moment::now().plus_seconds(3_600)).unwrap();
    assert_eq!(world.cm.books()["certificates"], 0);
    let issued = world.issue(&account, &Order::of(&["www.example.test"])).await.expect(201).body;
    let path = format!("{REQUESTS}/{}/cancel", issued["id"].as_str().unwrap());
    let late = world.try_send(Role::Gateway, Method::POST, &path, &[], None).await.unwrap();
    assert_eq!(late.refusal(), (409, "already-issued"));
    assert_eq!(late.body["certificate"], issued["certificate"]);
}
