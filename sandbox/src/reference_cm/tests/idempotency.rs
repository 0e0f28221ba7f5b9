//! Idempotency-Key: the seven rules of contract section 3.

use serde_json::{Value, json};

use super::super::identity::Role;
use super::super::moment::Moment;
use super::world::{Account, OPEN, Order, World, fresh_key};
use crate::faults::{Fault, Rule};

const REQUESTS: &str = "/realms/open/certificate-requests";

#[tokio::test]
async fn the_same_key_and_octets_get_the_same_certificate() {
    let world = World::start().await;
    let account = world.open_account().await;
    let body = account.request(&Order::of(&["www.example.test"]));
    let key = fresh_key();
    let first = world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &body).await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    let second = world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &body).await.expect(201);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!((&first.body, first.header("location")), (&second.body, second.header("location")));
    assert_eq!(world.cm.books()["certificates"], 1);
    let found = world.get(Role::Gateway, &format!("{REQUESTS}?idempotencyKey={key}")).await.expect(200);
    assert_eq!(found.body["items"][0]["id"], first.body["id"]);
}

#[tokio::test]
async fn a_key_is_needed_well_formed_and_good_for_one_body() {
    let world = World::start().await;
    let account = world.open_account().await;
    let body = account.request(&Order::of(&["www.example.test"]));
    let other = account.request(&Order::of(&["www.example.test"]));
    let reply = world.post(Role::Gateway, REQUESTS, &[], &body).await;
    assert_eq!(reply.refusal(), (400, "idempotency-key-missing"));
    let reply = world.post(Role::Gateway, REQUESTS, &[("idempotency-key", "short")], &body).await;
    assert_eq!(reply.refusal(), (400, "malformed"));
    let key = fresh_key();
    world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &body).await.expect(201);
    let reply = world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &other).await;
    assert_eq!(reply.refusal(), (422, "idempotency-key-reused"));
}

#[tokio::test]
async fn a_judgement_is_stored_and_a_limit_is_not() {
    let world = World::start_with(|settings| {
        settings.replace("certificate_requests_per_minute = 600", "certificate_requests_per_minute = 2")
    })
    .await;
    let account = world.open_account().await;
    let mut bad = account.request(&Order::of(&["www.example.test"]));
    bad["profile"] = json!("other");
    let key = fresh_key();
    let first = world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &bad).await;
    assert_eq!(first.refusal(), (422, "profile-not-allowed"));
    let second = world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &bad).await;
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(second.body, first.body);

    world.issue(&account, &Order::of(&["www.example.test"])).await.expect(201);
    let limited = world.issue(&account, &Order::of(&["www.example.test"])).await;
    assert_eq!(limited.refusal(), (429, "rate-limited"));
    assert_eq!(limited.body["scope"], "registration");
    let stored = world.cm.database.read(|tx| {
        Ok(tx.query_row("SELECT count(*) FROM idempotency WHERE operation = 'requestCertificate'", [], |row| {
            row.get::<_, i64>(0)
        })?)
    });
    assert_eq!(stored.unwrap(), 2);
}

#[tokio::test]
async fn another_key_for_an_issued_order_gets_the_certificate_in_the_problem() {
    let world = World::start().await;
    let account = world.open_account().await;
    let order = Order::of(&["www.example.test"]);
    let first = world.issue(&account, &order).await.expect(201);
    let second = world.issue(&account, &order).await;
    assert_eq!(second.refusal(), (409, "order-already-issued"));
    assert_eq!(second.body["certificate"], first.body["certificate"]);
    assert_eq!(world.cm.books()["certificatesByOrderRef"][&order.reference], 1);
}

#[tokio::test]
async fn twenty_requests_at_once_with_one_key_issue_once() {
    let world = std::sync::Arc::new(World::start().await);
    let account = world.open_account().await;
    let order = Order::of(&["www.example.test"]);
    let body = account.request(&order);
    let key = fresh_key();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (world, body, key) = (std::sync::Arc::clone(&world), body.clone(), key.clone());
        tasks.spawn(async move { world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &body).await });
    }
    let mut issued = 0;
    while let Some(reply) = tasks.join_next().await {
        let reply = reply.unwrap();
        match reply.status {
            201 => issued += 1,
            _ => assert_eq!(reply.refusal(), (409, "request-in-progress")),
        }
    }
    assert!(issued >= 1);
    assert_eq!(world.cm.books()["certificatesByOrderRef"][&order.reference], 1);
}

#[tokio::test]
async fn a_crash_between_plan_and_certificate_is_settled_before_serving() {
    let world = World::start().await;
    let account = world.open_account().await;
    let order = Order::of(&["www.example.test"]);
    let body = account.request(&order);
    let key = fresh_key();
    let fault = Fault::Pending { millis: 600_000 };
    world.faults.add(Rule { operation: "requestCertificate".to_owned(), count: 1, fault }).unwrap();
    let accepted = world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &body).await.expect(202);
    let planned = world
        .cm
        .database
        .write(|tx| {
            // What the database looks like if the process ended right after the first transaction.
            tx.execute("UPDATE certificate_request SET document = json_remove(document, '$.plan.releaseAt')", [])?;
            tx.execute("UPDATE idempotency SET status = NULL WHERE operation = 'requestCertificate'", [])?;
            Ok(tx.query_row("SELECT json_extract(document, '$.plan.serial') FROM certificate_request", [], |row| {
                row.get::<_, String>(0)
            })?)
        })
        .unwrap();
    let running = world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &body).await;
    assert_eq!(running.refusal(), (409, "request-in-progress"));
    assert!(running.header("retry-after").is_some());

    world.cm.recover(Moment::now()).unwrap();
    let settled = world.post(Role::Gateway, REQUESTS, &[("idempotency-key", &key)], &body).await.expect(201);
    assert_eq!(settled.header("idempotency-replayed"), Some("true"));
    assert_eq!(settled.body["id"], accepted.body["id"]);
    assert_eq!(settled.body["certificate"]["serial"], planned);
    assert_eq!(world.cm.books()["certificatesByOrderRef"][&order.reference], 1);
}

#[tokio::test]
async fn a_registration_is_created_once_and_found_again_by_its_key() {
    let world = World::start().await;
    let account = Account::new(OPEN);
    let body = account.creation(&[]);
    let key = fresh_key();
    let path = "/realms/open/registrations";
    let first = world.post(Role::Gateway, path, &[("idempotency-key", &key)], &body).await.expect(201);
    let second = world.post(Role::Gateway, path, &[("idempotency-key", &key)], &body).await.expect(201);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(second.header("etag"), Some("\"1\""));
    let third = world.post_once(Role::Gateway, path, &account.creation(&[])).await.expect(200);
    let ids: Vec<&Value> = [&first, &second, &third].iter().map(|reply| &reply.body["id"]).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
}
