//! External account keys: exchanged with an overlap, and drawn anew for a client that lost its account key.

use http::Method;
use serde_json::{Value, json};

use super::super::identity::Role;
use super::super::moment::Moment;
use super::world::{Account, OPEN, Order, REGISTERED, Reply, World, bound_account, preregister};
use crate::faults::Fault;

const REALM: &str = "/realms/registered";

async fn bind(world: &World, account: &Account, secret: &Value) -> Reply {
    let binding = account.binding(secret["kid"].as_str().unwrap(), secret["hmacKey"].as_str().unwrap());
    world.post(Role::Gateway, &format!("{REALM}/registrations/bind"), &[], &binding).await
}

fn path_of(id: &Value) -> String {
    format!("{REALM}/registrations/{}", id.as_str().unwrap())
}

/// Asks for a new secret, at the version that the registration has now.
async fn draw(world: &World, id: &Value, wish: Value) -> Reply {
    let version = world.get(Role::Officer, &path_of(id)).await.body["version"].as_i64().unwrap();
    world.post_at(Role::Officer, &format!("{}/eab", path_of(id)), version, &wish).await
}

fn rebinding() -> Value {
    json!({"rebind": true, "reason": "disk died"})
}

#[tokio::test]
async fn either_secret_binds_during_the_overlap_and_the_former_one_not_after_it() {
    let world = World::start().await;
    let made = preregister(&world, "kid-m", json!({"eab": {"kid": "kid-m", "use": "multi"}})).await;
    let exchanged = draw(&world, &made["id"], json!({"overlap": "PT1H"})).await.expect(201).body;
    let until = Moment::parse(exchanged["eab"]["previousUntil"].as_str().unwrap()).unwrap();
    let left = until.millis() - Moment::now().millis();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    let (former, secret) = (&made["eabSecret"], &exchanged["eabSecret"]);
    assert_ne!(former, secret);
    for either in [former, secret] {
        bind(&world, &Account::new(REGISTERED), either).await.expect(201);
    }
    world.order_fault("bindRegistration", Fault::SkewedClock { seconds: 3_601 });
    assert_eq!(bind(&world, &Account::new(REGISTERED), former).await.refusal(), (403, "eab-rejected"));
}

#[tokio::test]
async fn an_exchange_without_an_overlap_and_a_second_one_end_what_was() {
    let world = World::start().await;
    let made = preregister(&world, "kid-m", json!({"eab": {"kid": "kid-m", "use": "multi"}})).await;
    let second = draw(&world, &made["id"], json!({"overlap": "P30D"})).await.expect(201).body;
    let third = draw(&world, &made["id"], json!({"overlap": "P1D"})).await.expect(201).body;
    let refused = bind(&world, &Account::new(REGISTERED), &made["eabSecret"]).await;
    assert_eq!(refused.refusal(), (403, "eab-rejected"), "two exchanges ago");
    bind(&world, &Account::new(REGISTERED), &second["eabSecret"]).await.expect(201);
    let fourth = draw(&world, &made["id"], json!({})).await.expect(201).body;
    assert_eq!(fourth["eab"].get("previousUntil"), None);
    for dead in [&second, &third] {
        let refused = bind(&world, &Account::new(REGISTERED), &dead["eabSecret"]).await;
        assert_eq!(refused.refusal(), (403, "eab-rejected"));
    }
    bind(&world, &Account::new(REGISTERED), &fourth["eabSecret"]).await.expect(201);
}

#[tokio::test]
async fn a_rebinding_takes_the_key_away_and_the_next_client_has_the_same_registration() {
    let world = World::start().await;
    let made = preregister(&world, "kid-r", json!({})).await;
    let lost = bound_account(&world, &made).await;
    let requests = format!("{REALM}/certificate-requests");
    let order = Order::of(&["www.example.test"]);
    let issued = world.post_once(Role::Gateway, &requests, &lost.request(&order)).await.expect(201).body;
    let feed = world.get(Role::Gateway, &format!("{REALM}/events?after=now")).await.expect(200).body;

    let anew = draw(&world, &made["id"], rebinding()).await.expect(201);
    assert_eq!(anew.header("cache-control"), Some("no-store"));
    let anew = anew.body;
    assert_eq!((&anew["id"], &anew["status"], &anew["key"]), (&made["id"], &json!("pending"), &Value::Null));
    assert_eq!((&anew["eab"]["bindings"], &anew["eab"]["kid"]), (&json!(0), &json!("kid-r")));
    assert_eq!(anew["previousKeys"].as_array().unwrap().len(), 1);
    assert_eq!(anew["statusReason"], "disk died");
    let told = format!("{REALM}/events?after={}", feed["next"].as_str().unwrap());
    let event = world.get(Role::Gateway, &told).await.expect(200).body["items"][0].clone();
    assert_eq!((&event["type"], &event["data"]["status"]), (&json!("registration.status"), &json!("pending")));
    let path = format!("/audit?action=rebindRegistration&subject={}", made["id"].as_str().unwrap());
    let trail = world.get(Role::Auditor, &path).await.expect(200).body;
    let withdrawn = &anew["previousKeys"][0]["thumbprint"];
    assert_eq!(trail["items"].as_array().unwrap().len(), 1, "{trail}");
    assert_eq!(&trail["items"][0]["before"]["thumbprint"], withdrawn);
    assert_eq!(&trail["items"][0]["after"]["withdrawnThumbprint"], withdrawn);

    let refused = world.post_once(Role::Gateway, &requests, &lost.request(&Order::of(&["b.example.test"]))).await;
    assert_eq!(refused.refusal(), (403, "registration-not-active"));
    assert_eq!(bind(&world, &lost, &made["eabSecret"]).await.refusal(), (403, "eab-rejected"));
    assert_eq!(bind(&world, &lost, &anew["eabSecret"]).await.refusal(), (409, "key-retired"));
    let mut found = Account::new(REGISTERED);
    let bound = bind(&world, &found, &anew["eabSecret"]).await.expect(201).body;
    assert_eq!((&bound["id"], &bound["status"], &bound["statusReason"]), (&made["id"], &json!("active"), &Value::Null));
    let another = bind(&world, &Account::new(REGISTERED), &anew["eabSecret"]).await;
    assert_eq!(another.refusal(), (403, "preregistration-exhausted"));

    found.id = lost.id;
    world.post_once(Role::Gateway, &requests, &found.request(&Order::of(&["b.example.test"]))).await.expect(201);
    let certificate = &issued["certificate"];
    let revoke = format!("{REALM}/certificates/{}/revoke", certificate["id"].as_str().unwrap());
    let revocation = found.revocation(certificate, "superseded", 4);
    world.post_once(Role::Gateway, &revoke, &revocation).await.expect(200);
}

#[tokio::test]
async fn a_rebinding_ends_what_waits_the_link_and_both_secrets() {
    let world = World::start().await;
    let made = preregister(&world, "kid-w", json!({"allowedProfiles": ["tls-server-approval"]})).await;
    let account = bound_account(&world, &made).await;
    let link = format!("{}/directory-link", path_of(&made["id"]));
    world.try_send(Role::Officer, Method::POST, &link, &[("if-match", "\"2\"")], None).await.unwrap().expect(201);
    let mut order = Order::of(&["www.example.test"]);
    order.profile = "tls-server-approval";
    let requests = format!("{REALM}/certificate-requests");
    let waiting = world.post_once(Role::Gateway, &requests, &account.request(&order)).await.expect(202).body;
    let exchanged = draw(&world, &made["id"], json!({"overlap": "P1D"})).await.expect(201).body;
    let anew = draw(&world, &made["id"], rebinding()).await.expect(201).body;
    assert_eq!((&anew["directoryLink"], anew["eab"].get("previousUntil")), (&Value::Null, None));
    for dead in [&made, &exchanged] {
        let refused = bind(&world, &Account::new(REGISTERED), &dead["eabSecret"]).await;
        assert_eq!(refused.refusal(), (403, "eab-rejected"));
    }
    let path = format!("{requests}/{}", waiting["id"].as_str().unwrap());
    assert_eq!(world.get(Role::Gateway, &path).await.expect(200).body["status"], "cancelled");
}

#[tokio::test]
async fn only_an_active_registration_with_a_key_of_its_own_is_bound_anew() {
    let world = World::start().await;
    let pending = preregister(&world, "kid-p", json!({})).await;
    let many = preregister(&world, "kid-m", json!({"eab": {"kid": "kid-m", "use": "multi"}})).await;
    let child = bind(&world, &Account::new(REGISTERED), &many["eabSecret"]).await.expect(201).body;
    let held = preregister(&world, "kid-h", json!({})).await;
    bound_account(&world, &held).await;
    let status = format!("{}/status", path_of(&held["id"]));
    let suspend = json!({"status": "suspended", "reason": "r"});
    world.post_at(Role::Officer, &status, 2, &suspend).await.expect(200);
    for id in [&pending["id"], &many["id"], &child["id"], &held["id"]] {
        let before = world.get(Role::Officer, &path_of(id)).await.body;
        assert_eq!(draw(&world, id, rebinding()).await.refusal(), (409, "cannot-rebind"));
        assert_eq!(world.get(Role::Officer, &path_of(id)).await.body, before);
    }
    let open = world.open_account().await;
    let path = format!("/realms/open/registrations/{}/eab", open.id);
    assert_eq!(world.post_at(Role::Officer, &path, 1, &rebinding()).await.refusal(), (409, "cannot-rebind"));
    assert_eq!(open.base, OPEN);
}

#[tokio::test]
async fn a_wish_that_makes_no_sense_changes_nothing() {
    let world = World::start().await;
    let made = preregister(&world, "kid-1", json!({})).await;
    bound_account(&world, &made).await;
    let table = [
        (json!({"overlap": "P31D"}), (400, "malformed")),
        (json!({"overlap": "P1D", "rebind": true, "reason": "r"}), (400, "malformed")),
        (json!({"rebind": true}), (400, "malformed")),
        (json!({"rebind": true, "reason": " "}), (400, "malformed")),
        (json!({"reason": "r"}), (400, "malformed")),
        (json!({"colour": "red"}), (400, "malformed")),
        (json!({"notAfter": "2020-01-01T00:00:00Z"}), (422, "validity-not-allowed")),
    ];
    for (wish, refusal) in table {
        assert_eq!(draw(&world, &made["id"], wish.clone()).await.refusal(), refusal, "{wish}");
    }
    let path = path_of(&made["id"]);
    let stale = world.post_at(Role::Officer, &format!("{path}/eab"), 1, &rebinding()).await;
    assert_eq!(stale.refusal(), (412, "precondition-failed"));
    assert_eq!(world.get(Role::Officer, &path).await.body["version"], 2);
}

#[tokio::test]
async fn a_window_is_moved_by_the_officer_and_by_a_new_secret() {
    let world = World::start().await;
    let made = preregister(&world, "kid-1", json!({})).await;
    let path = path_of(&made["id"]);
    let window = json!({"eab": {"notBefore": "2020-01-01T00:00:00Z", "notAfter": "2020-02-01T00:00:00Z"}});
    let shown = world.patch(Role::Officer, &path, 1, &window).await.expect(200).body;
    assert_eq!(shown["eab"]["notBefore"], "2020-01-01T00:00:00Z");
    let turned = json!({"eab": {"notBefore": "2020-03-01T00:00:00Z"}});
    assert_eq!(world.patch(Role::Officer, &path, 2, &turned).await.refusal(), (400, "malformed"));
    let refused = bind(&world, &Account::new(REGISTERED), &made["eabSecret"]).await;
    assert_eq!(refused.refusal(), (403, "preregistration-not-in-window"));
    let longer = draw(&world, &made["id"], json!({"notAfter": "2040-01-01T00:00:00Z"})).await.expect(201).body;
    bind(&world, &Account::new(REGISTERED), &longer["eabSecret"]).await.expect(201);
    let over = json!({"eab": {"notAfter": "2020-02-01T00:00:00Z"}});
    world.patch(Role::Officer, &path, 4, &over).await.expect(200);
    assert_eq!(draw(&world, &made["id"], rebinding()).await.refusal(), (422, "validity-not-allowed"));
    let again = json!({"rebind": true, "reason": "r", "notAfter": "2040-01-01T00:00:00Z"});
    draw(&world, &made["id"], again).await.expect(201);
}

#[tokio::test]
async fn a_cm_without_them_offers_neither_overlap_nor_rebinding() {
    let lacking = |file: String| file.replace("lacks = []", "lacks = [\"eab-overlap\", \"rebind\"]");
    let world = World::start_with(lacking).await;
    let offered = world.get(Role::Officer, "/info").await.body["capabilities"].to_string();
    assert!(!offered.contains("eab-overlap") && !offered.contains("rebind"), "{offered}");
    let made = preregister(&world, "kid-1", json!({})).await;
    for wish in [json!({"overlap": "P1D"}), rebinding()] {
        assert_eq!(draw(&world, &made["id"], wish).await.refusal(), (501, "capability-missing"));
    }
    draw(&world, &made["id"], json!({})).await.expect(201);
}
