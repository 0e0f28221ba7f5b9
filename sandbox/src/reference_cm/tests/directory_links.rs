//! Directory links: drawn, replaced, removed, and bound by.

use http::Method;
use serde_json::{Value, json};

use super::super::identity::Role;
use super::super::moment::Moment;
use super::world::{Account, Order, REGISTERED, Reply, World, preregister};
use crate::faults::Fault;

const BIND: &str = "/realms/registered/registrations/bind";

/// What a gateway sends for an account that came by a link.
fn binding(account: &Account, token: &str) -> Value {
    let jws = account.sign_new(&format!("/r/{token}/new-account"), &json!({"contact": []}));
    json!({"directoryToken": token, "key": {"jwk": account.jwk()}, "client": {"ip": "203.0.113.9"},
           "proof": {"type": "acme", "jws": jws}})
}

async fn bind(world: &World, account: &Account, token: &str) -> Reply {
    world.post(Role::Gateway, BIND, &[], &binding(account, token)).await
}

fn path_of(registration: &Value) -> String {
    format!("/realms/registered/registrations/{}", registration["id"].as_str().unwrap())
}

/// Draws a link for the registration as it is now.
async fn draw(world: &World, registration: &Value, wish: Option<Value>) -> Reply {
    let path = path_of(registration);
    let version = world.get(Role::Officer, &path).await.body["version"].as_i64().unwrap();
    let etag = format!("\"{version}\"");
    let body = wish.map(|wish| wish.to_string());
    let link = format!("{path}/directory-link");
    world.try_send(Role::Officer, Method::POST, &link, &[("if-match", &etag)], body).await.unwrap()
}

async fn token_of(world: &World, registration: &Value, wish: Option<Value>) -> String {
    let drawn = draw(world, registration, wish).await.expect(201);
    drawn.body["directoryToken"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_link_binds_once_and_a_repeat_gets_the_same_registration() {
    let world = World::start().await;
    let prereg = preregister(&world, "kid-1", json!({})).await;
    assert_eq!(prereg["directoryLink"], Value::Null);
    let drawn = draw(&world, &prereg, None).await.expect(201);
    assert_eq!((drawn.header("cache-control"), drawn.header("etag")), (Some("no-store"), Some("\"2\"")));
    assert_eq!(drawn.body["directoryLink"]["previousUntil"], Value::Null);
    let token = drawn.body["directoryToken"].as_str().unwrap();
    assert_eq!(token.len(), 43);
    let mut account = Account::new(REGISTERED);
    let bound = bind(&world, &account, token).await.expect(201);
    assert_eq!((&bound.body["id"], &bound.body["status"]), (&prereg["id"], &json!("active")));
    assert_eq!(bound.body["eab"]["bindings"], 1);
    assert_eq!(bind(&world, &account, token).await.expect(200).body, bound.body);
    let other = bind(&world, &Account::new(REGISTERED), token).await;
    assert_eq!(other.refusal(), (403, "preregistration-exhausted"));
    account.id = bound.body["id"].as_str().unwrap().to_owned();
    let order = account.request(&Order::of(&["www.example.test"]));
    world.post_once(Role::Gateway, "/realms/registered/certificate-requests", &order).await.expect(201);
}

#[tokio::test]
async fn kid_and_link_are_counted_together() {
    let world = World::start().await;
    let eab = json!({"eab": {"kid": "kid-multi", "use": "multi", "maxBindings": 2}});
    let prereg = preregister(&world, "kid-multi", eab).await;
    let secret = prereg["eabSecret"]["hmacKey"].as_str().unwrap();
    let token = token_of(&world, &prereg, None).await;
    let child = bind(&world, &Account::new(REGISTERED), &token).await.expect(201).body;
    assert_eq!(child["parent"], prereg["id"]);
    let by_kid = Account::new(REGISTERED).binding("kid-multi", secret);
    world.post(Role::Gateway, BIND, &[], &by_kid).await.expect(201);
    let third = bind(&world, &Account::new(REGISTERED), &token).await;
    assert_eq!(third.refusal(), (403, "preregistration-exhausted"));
    let of_a_child = draw(&world, &child, None).await;
    assert_eq!(of_a_child.refusal(), (404, "not-found"), "a child has no link of its own");
}

#[tokio::test]
async fn a_former_token_lives_as_long_as_the_overlap_and_dies_with_the_next_exchange() {
    let world = World::start().await;
    let eab = json!({"eab": {"kid": "kid-many", "use": "multi"}});
    let prereg = preregister(&world, "kid-many", eab).await;
    let first = token_of(&world, &prereg, None).await;
    let drawn = draw(&world, &prereg, Some(json!({"overlap": "PT1H"}))).await.expect(201).body;
    let second = drawn["directoryToken"].as_str().unwrap();
    let until = Moment::parse(drawn["directoryLink"]["previousUntil"].as_str().unwrap()).unwrap();
    let left = until.millis() - Moment::now().millis();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    for token in [first.as_str(), second] {
        bind(&world, &Account::new(REGISTERED), token).await.expect(201);
    }
    world.order_fault("bindRegistration", skewed(3_601));
    let late = bind(&world, &Account::new(REGISTERED), &first).await;
    assert_eq!(late.refusal(), (403, "link-rejected"), "the overlap is over");
    let third = token_of(&world, &prereg, Some(json!({"overlap": "PT1H"}))).await;
    assert_eq!(bind(&world, &Account::new(REGISTERED), &first).await.refusal(), (403, "link-rejected"));
    bind(&world, &Account::new(REGISTERED), second).await.expect(201);
    let fourth = token_of(&world, &prereg, None).await;
    for dead in [second, &third] {
        assert_eq!(bind(&world, &Account::new(REGISTERED), dead).await.refusal(), (403, "link-rejected"));
    }
    bind(&world, &Account::new(REGISTERED), &fourth).await.expect(201);
}

#[tokio::test]
async fn unknown_replaced_and_removed_tokens_get_the_same_answer_and_then_throttling() {
    let world = World::start().await;
    let prereg = preregister(&world, "kid-2", json!({})).await;
    let replaced = token_of(&world, &prereg, None).await;
    let removed = token_of(&world, &prereg, Some(json!({"overlap": "P1D"}))).await;
    let link = format!("{}/directory-link", path_of(&prereg));
    let delete = async |version: &str| {
        world.try_send(Role::Officer, Method::DELETE, &link, &[("if-match", version)], None).await.unwrap()
    };
    assert_eq!(delete("\"1\"").await.refusal(), (412, "precondition-failed"));
    let gone = delete("\"3\"").await.expect(200).body;
    assert_eq!((&gone["directoryLink"], &gone["version"]), (&Value::Null, &json!(4)));
    assert_eq!(delete("\"3\"").await.expect(200).body["version"], 4, "a repeat is harmless");
    let mut answers = Vec::new();
    for token in [&replaced, &removed, &"A".repeat(43)] {
        let mut refused = bind(&world, &Account::new(REGISTERED), token).await.expect(403).body;
        refused.as_object_mut().unwrap().remove("requestId");
        answers.push(refused);
    }
    assert_eq!(answers[0]["code"], "link-rejected");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let good = token_of(&world, &prereg, None).await;
    for _ in 0..7 {
        bind(&world, &Account::new(REGISTERED), &replaced).await.expect(403);
    }
    assert_eq!(bind(&world, &Account::new(REGISTERED), &good).await.refusal(), (429, "eab-throttled"));
}

#[tokio::test]
async fn window_and_status_are_told_only_to_who_knows_the_token() {
    let world = World::start().await;
    let prereg = preregister(&world, "kid-3", json!({})).await;
    let soon = Moment::now().plus_seconds(600);
    let token = token_of(&world, &prereg, Some(json!({"notAfter": soon}))).await;
    world.order_fault("bindRegistration", skewed(601));
    let late = bind(&world, &Account::new(REGISTERED), &token).await;
    assert_eq!(late.refusal(), (403, "preregistration-not-in-window"));
    let status = format!("{}/status", path_of(&prereg));
    let suspend = json!({"status": "suspended", "reason": "moved"});
    world.post_at(Role::Officer, &status, 2, &suspend).await.expect(200);
    let held = bind(&world, &Account::new(REGISTERED), &token).await;
    assert_eq!(held.refusal(), (403, "registration-not-active"));
}

#[tokio::test]
async fn a_proof_is_for_this_link_and_for_nothing_else() {
    let world = World::start().await;
    let prereg = preregister(&world, "kid-4", json!({})).await;
    let (kid, secret) = ("kid-4", prereg["eabSecret"]["hmacKey"].as_str().unwrap());
    let token = token_of(&world, &prereg, None).await;
    let account = Account::new(REGISTERED);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = binding(&account, &token);
        change(&mut body);
        body
    };
    let proof = |path: &str, payload: Value| json!({"type": "acme", "jws": account.sign_new(path, &payload)});
    let path = format!("/r/{token}/new-account");
    let eab = account.binding(kid, secret);
    for (what, body, refusal) in [
        ("both", with(&|body| body["eab"] = eab["eab"].clone()), (400, "malformed")),
        ("neither", with(&|body| _ = body.as_object_mut().unwrap().remove("directoryToken")), (400, "malformed")),
        ("no token", with(&|body| body["directoryToken"] = json!("short")), (400, "malformed")),
        ("no proof", with(&|body| _ = body.as_object_mut().unwrap().remove("proof")), (422, "proof-invalid")),
        ("elsewhere", with(&|body| body["proof"] = proof("/new-account", json!({}))), (422, "proof-invalid")),
        ("with contacts", with(&|body| body["contacts"] = json!(["mailto:a@example.test"])), (422, "proof-invalid")),
        (
            "with a binding",
            with(&|body| body["proof"] = proof(&path, json!({"externalAccountBinding": eab["eab"]}))),
            (422, "proof-invalid"),
        ),
        (
            "only a question",
            with(&|body| body["proof"] = proof(&path, json!({"onlyReturnExisting": true}))),
            (422, "proof-invalid"),
        ),
    ] {
        let refused = world.post(Role::Gateway, BIND, &[], &body).await;
        assert_eq!(refused.refusal(), refusal, "{what}");
        assert!(!refused.text.contains(&token), "{what}");
    }
    // The other way round: what was signed for a link is worth nothing where links do not count.
    let mut by_kid = eab.clone();
    by_kid["proof"] = proof(&path, json!({"externalAccountBinding": eab["eab"]}));
    assert_eq!(world.post(Role::Gateway, BIND, &[], &by_kid).await.status, 403);
    bind(&world, &account, &token).await.expect(201);
}

#[tokio::test]
async fn a_link_is_drawn_within_its_limits_only() {
    let world = World::start().await;
    let prereg = preregister(&world, "kid-5", json!({})).await;
    for (wish, refusal) in [
        (json!({"overlap": "P31D"}), (400, "malformed")),
        (json!({"notAfter": "2020-01-01T00:00:00Z"}), (422, "validity-not-allowed")),
        (json!({"rebind": true}), (400, "malformed")),
    ] {
        assert_eq!(draw(&world, &prereg, Some(wish.clone())).await.refusal(), refusal, "{wish}");
    }
    let link = format!("{}/directory-link", path_of(&prereg));
    let bare = world.try_send(Role::Officer, Method::POST, &link, &[], None).await.unwrap();
    assert_eq!(bare.refusal(), (428, "precondition-required"));
    let status = format!("{}/status", path_of(&prereg));
    world.post_at(Role::Officer, &status, 1, &json!({"status": "revoked", "reason": "x"})).await.expect(200);
    assert_eq!(draw(&world, &prereg, None).await.refusal(), (403, "registration-not-active"));
}

#[tokio::test]
async fn a_cm_without_links_says_so() {
    let world = World::start_with(|file| file.replace("lacks = []", "lacks = [\"directory-links\"]")).await;
    let info = world.get(Role::Officer, "/info").await.expect(200).body;
    assert!(!info["capabilities"].as_array().unwrap().contains(&json!("directory-links")));
    let prereg = preregister(&world, "kid-6", json!({})).await;
    assert_eq!(draw(&world, &prereg, None).await.refusal(), (501, "capability-missing"));
    let refused = bind(&world, &Account::new(REGISTERED), &"A".repeat(43)).await;
    assert_eq!(refused.refusal(), (501, "capability-missing"));
}

#[tokio::test]
async fn a_token_is_kept_nowhere() {
    let world = World::start().await;
    let prereg = preregister(&world, "kid-7", json!({})).await;
    let token = token_of(&world, &prereg, None).await;
    bind(&world, &Account::new(REGISTERED), &token).await.expect(201);
    bind(&world, &Account::new(REGISTERED), &token).await.expect(403);
    for path in ["/audit", "/realms/registered/events?after=", "/realms/registered/registrations?status=active"] {
        let text = world.get(Role::Auditor, path).await.text;
        assert!(!text.contains(&token), "{path}: {text}");
    }
    world.order_fault("newDirectoryLink", Fault::ReplayedAnswer);
    let again = draw(&world, &prereg, None).await.expect(201);
    assert_ne!(again.body["directoryToken"], json!(token), "an answer with a token is not kept for a fault either");
    for file in std::fs::read_dir(world.scratch.path()).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            let octets = std::fs::read(&file).unwrap();
            let found = octets.windows(token.len()).any(|window| window == token.as_bytes());
            assert!(!found, "{}", file.display());
        }
    }
}

fn skewed(seconds: i32) -> Fault {
    Fault::SkewedClock { seconds }
}
