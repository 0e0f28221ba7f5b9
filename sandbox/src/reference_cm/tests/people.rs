//! Approvers with four eyes, officers, auditors.

use http::Method;
use serde_json::{Value, json};

use super::super::identity::Role;
use super::super::moment::Moment;
use super::world::{Account, Order, World, bound_account, preregister};

const REQUESTS: &str = "/realms/registered/certificate-requests";

async fn account_for_approval(world: &World, kid: &str) -> Account {
    let profiles = json!({"allowedProfiles": ["tls-server-approval"]});
    bound_account(world, &preregister(world, kid, profiles).await).await
}

async fn ask(world: &World, account: &Account) -> Value {
    let mut order = Order::of(&["www.example.test"]);
    order.profile = "tls-server-approval";
    let reply = world.post_once(Role::Gateway, REQUESTS, &account.request(&order)).await.expect(202);
    assert_eq!(reply.header("retry-after"), Some("60"));
    assert_eq!(reply.body["status"], "pending-approval");
    reply.body
}

async fn decide(world: &World, request: &Value, verb: &str, body: Option<Value>) -> super::world::Reply {
    let path = format!("{REQUESTS}/{}/{verb}", request["id"].as_str().unwrap());
    world.try_send(Role::Approver, Method::POST, &path, &[], body.map(|body| body.to_string())).await.unwrap()
}

#[tokio::test]
async fn an_approved_request_is_issued_and_a_rejected_one_says_why() {
    let world = World::start().await;
    let account = account_for_approval(&world, "kid-a").await;
    let request = ask(&world, &account).await;
    for _ in 0..2 {
        let approved = decide(&world, &request, "approve", None).await.expect(200);
        assert_eq!(approved.body["status"], "issued");
    }
    assert_eq!(decide(&world, &request, "reject", None).await.refusal(), (409, "already-issued"));
    let request = ask(&world, &account).await;
    let rejected = decide(&world, &request, "reject", Some(json!({"reason": "not our name"}))).await.expect(200);
    assert_eq!(rejected.body["problem"]["detail"], "not our name");
    assert_eq!(decide(&world, &request, "approve", None).await.refusal(), (409, "request-rejected"));
    assert_eq!(world.cm.books()["certificates"], 1);
}

#[tokio::test]
async fn a_request_that_nobody_decides_expires() {
    let world = World::start().await;
    let account = account_for_approval(&world, "kid-a").await;
    let request = ask(&world, &account).await;
    let later = Moment::now().plus_seconds(8 * 86_400);
    world.cm.tick(later).unwrap();
    let path = format!("{REQUESTS}/{}", request["id"].as_str().unwrap());
    let shown = world.get(Role::Gateway, &path).await.expect(200).body;
    assert_eq!((&shown["status"], &shown["problem"]["code"]), (&json!("expired"), &json!("request-expired")));
    assert_eq!(decide(&world, &request, "approve", None).await.refusal(), (409, "request-expired"));
}

#[tokio::test]
async fn who_created_the_registration_does_not_approve() {
    let world = World::start().await;
    let account = account_for_approval(&world, "kid-a").await;
    let request = ask(&world, &account).await;
    // The approver's name is berta; a registration created by officer berta is her own.
    world
        .cm
        .database
        .write(|tx| {
            tx.execute(
                "UPDATE registration SET document = json_set(document, '$.officer', 'urn:cm:officer:berta')",
                [],
            )?;
            Ok(())
        })
        .unwrap();
    assert_eq!(decide(&world, &request, "approve", None).await.refusal(), (403, "forbidden"));
    assert_eq!(decide(&world, &request, "reject", None).await.refusal(), (403, "forbidden"));
}

#[tokio::test]
async fn a_suspension_stops_an_approval_too() {
    let world = World::start().await;
    let account = account_for_approval(&world, "kid-a").await;
    let request = ask(&world, &account).await;
    let path = format!("/realms/registered/registrations/{}/status", account.id);
    world.post_at(Role::Officer, &path, 2, &json!({"status": "suspended"})).await.expect(200);
    assert_eq!(decide(&world, &request, "approve", None).await.refusal(), (403, "registration-not-active"));
    assert_eq!(world.cm.books()["certificates"], 0);
}

#[tokio::test]
async fn the_audit_trail_is_a_chain_and_a_changed_entry_shows() {
    let world = World::start().await;
    let prereg = preregister(&world, "kid-a", json!({})).await;
    let account = bound_account(&world, &prereg).await;
    let page = world.get(Role::Auditor, &format!("/audit?subject={}", account.id)).await.expect(200);
    let actions: Vec<&str> =
        page.body["items"].as_array().unwrap().iter().map(|item| item["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["createRegistration", "bindRegistration"]);
    assert_eq!(page.body["items"][0]["actor"], "urn:cm:officer:anna");
    assert!(!page.text.contains(prereg["eabSecret"]["hmacKey"].as_str().unwrap()));
    let verify = || world.cm.database.read(super::super::audit::verify_chain).unwrap();
    assert_eq!(verify(), Ok(()));
    world
        .cm
        .database
        .write(|tx| {
            tx.execute("UPDATE audit SET entry = replace(entry, 'anna', 'otto') WHERE position = 2", [])?;
            Ok(())
        })
        .unwrap();
    assert_eq!(verify(), Err(2));
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let world = World::start().await;
    let cursor = world.get(Role::Gateway, "/realms/registered/events?after=now").await.body["next"].clone();
    let account = account_for_approval(&world, "kid-a").await;
    let request = ask(&world, &account).await;
    let open = world.open_account().await;
    let mut order = Order::of(&["www.example.test"]);
    let key = super::world::fresh_key();
    order.reference.push('R');
    let body = open.request(&order);
    let headers = [("idempotency-key", key.as_str())];
    let issued = world.post(Role::Gateway, "/realms/open/certificate-requests", &headers, &body).await.expect(201);
    let (books, sample) = (world.cm.books(), world.cm.sample_eab().unwrap());

    let world = world.restart().await;
    assert_eq!(world.cm.books(), books);
    assert_eq!(world.cm.sample_eab().unwrap().hmac_key, sample.hmac_key);
    let again = world.post(Role::Gateway, "/realms/open/certificate-requests", &headers, &body).await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &issued.body));
    let path = format!("/realms/registered/events?after={}", cursor.as_str().unwrap());
    let events = world.get(Role::Gateway, &path).await.expect(200).body;
    assert_eq!(events["items"][0]["type"], "registration.created");
    assert_eq!(decide(&world, &request, "approve", None).await.expect(200).body["status"], "issued");
}
