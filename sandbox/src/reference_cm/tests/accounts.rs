//! Registrations: binding, looking up, changing, ending.

use std::sync::Arc;

use http::Method;
use serde_json::json;

use super::super::identity::Role;
use super::super::moment::Moment;
use super::world::{Account, OPEN, Order, REGISTERED, World, bound_account, jwk, new_key, preregister, sign};

const BIND: &str = "/realms/registered/registrations/bind";

#[tokio::test]
async fn a_preregistration_binds_once_and_a_repeat_gets_the_same_registration() {
    let world = World::start().await;
    let prereg = preregister(&world, "kid-once", json!({})).await;
    assert_eq!(prereg["status"], "pending");
    let (kid, secret) = ("kid-once", prereg["eabSecret"]["hmacKey"].as_str().unwrap());
    let account = Account::new(REGISTERED);
    let first = world.post(Role::Gateway, BIND, &[], &account.binding(kid, secret)).await.expect(201);
    assert_eq!(first.body["id"], prereg["id"]);
    assert_eq!(first.body["status"], "active");
    assert_eq!(first.header("etag"), Some("\"2\""));
    assert_eq!(first.body.get("owner"), None, "a gateway does not see the owner");
    let again = world.post(Role::Gateway, BIND, &[], &account.binding(kid, secret)).await.expect(200);
    assert_eq!(again.body, first.body);
    let other = Account::new(REGISTERED);
    let refused = world.post(Role::Gateway, BIND, &[], &other.binding(kid, secret)).await;
    assert_eq!(refused.refusal(), (403, "preregistration-exhausted"));
    let shown = world.get(Role::Officer, &format!("/realms/registered/registrations?eabKid={kid}")).await.body;
    assert_eq!(shown["items"][0]["owner"], "web team");
    assert!(!shown.to_string().contains(secret));
}

#[tokio::test]
async fn of_thirty_racing_binds_exactly_one_wins() {
    let world = Arc::new(World::start().await);
    let prereg = preregister(&world, "kid-race", json!({})).await;
    let secret = prereg["eabSecret"]["hmacKey"].as_str().unwrap().to_owned();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let (world, secret) = (Arc::clone(&world), secret.clone());
        tasks.spawn(async move {
            let binding = Account::new(REGISTERED).binding("kid-race", &secret);
            world.post(Role::Gateway, BIND, &[], &binding).await
        });
    }
    let mut won = 0;
    while let Some(reply) = tasks.join_next().await {
        let reply = reply.unwrap();
        if reply.status == 201 {
            won += 1;
        } else {
            assert_eq!(reply.refusal(), (403, "preregistration-exhausted"));
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn an_unknown_kid_and_a_wrong_mac_get_the_same_answer_and_then_throttling() {
    let world = World::start().await;
    let prereg = preregister(&world, "kid-known", json!({})).await;
    let secret = prereg["eabSecret"]["hmacKey"].as_str().unwrap();
    let wrong = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let account = Account::new(REGISTERED);
    let mut answers = Vec::new();
    for kid in ["kid-known", "kid-unknown"] {
        let mut refused = world.post(Role::Gateway, BIND, &[], &account.binding(kid, wrong)).await.expect(403);
        refused.body.as_object_mut().unwrap().remove("requestId");
        answers.push(refused.body);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0]["code"], "eab-rejected");
    for _ in 0..8 {
        world.post(Role::Gateway, BIND, &[], &account.binding("kid-known", wrong)).await.expect(403);
    }
    let throttled = world.post(Role::Gateway, BIND, &[], &account.binding("kid-known", secret)).await;
    assert_eq!(throttled.refusal(), (429, "eab-throttled"));
    assert!(throttled.header("retry-after").is_some());
    let audit = world.get(Role::Auditor, "/audit?action=bindRegistration").await.expect(200).text;
    assert!(audit.contains("unknown kid") && audit.contains("wrong MAC"));
}

#[tokio::test]
async fn a_multi_use_preregistration_has_children_that_follow_it() {
    let world = World::start().await;
    let eab = json!({"eab": {"kid": "kid-multi", "use": "multi", "maxBindings": 2}});
    let prereg = preregister(&world, "kid-multi", eab).await;
    let first = bound_account(&world, &prereg).await;
    let second = bound_account(&world, &prereg).await;
    assert_ne!(first.id, second.id);
    let secret = prereg["eabSecret"]["hmacKey"].as_str().unwrap();
    let third = Account::new(REGISTERED).binding("kid-multi", secret);
    let exhausted = world.post(Role::Gateway, BIND, &[], &third).await;
    assert_eq!(exhausted.refusal(), (403, "preregistration-exhausted"));

    let parent = prereg["id"].as_str().unwrap();
    let version = world.get(Role::Officer, &format!("/realms/registered/registrations/{parent}")).await.body["version"]
        .as_i64()
        .unwrap();
    let status = format!("/realms/registered/registrations/{parent}/status");
    let suspend = json!({"status": "suspended", "reason": "moved"});
    world.post_at(Role::Officer, &status, version, &suspend).await.expect(200);
    let child = world.get(Role::Gateway, &format!("/realms/registered/registrations/{}", first.id)).await.body;
    assert_eq!((&child["status"], &child["parent"]), (&json!("suspended"), &json!(parent)));
    let refused = world
        .post_once(
            Role::Gateway,
            "/realms/registered/certificate-requests",
            &first.request(&Order::of(&["a.example.test"])),
        )
        .await;
    assert_eq!(refused.refusal(), (403, "registration-not-active"));
    world.post_at(Role::Officer, &status, version + 1, &json!({"status": "active"})).await.expect(200);
    let resumed = world.get(Role::Gateway, &format!("/realms/registered/registrations/{parent}")).await.body;
    assert_eq!(resumed["status"], "pending");
}

#[tokio::test]
async fn a_window_limits_binding_by_the_clock_of_the_cm() {
    let world = World::start().await;
    let past = json!({"eab": {"kid": "kid-late", "use": "once", "notBefore": "2020-01-01T00:00:00Z",
                              "notAfter": "2020-02-01T00:00:00Z"}});
    let prereg = preregister(&world, "kid-late", past).await;
    let secret = prereg["eabSecret"]["hmacKey"].as_str().unwrap();
    let binding = Account::new(REGISTERED).binding("kid-late", secret);
    let refused = world.post(Role::Gateway, BIND, &[], &binding).await;
    assert_eq!(refused.refusal(), (403, "preregistration-not-in-window"));
}

#[tokio::test]
async fn a_lost_secret_is_replaced_and_the_old_one_is_worth_nothing() {
    let world = World::start().await;
    let prereg = preregister(&world, "kid-lost", json!({})).await;
    let old = prereg["eabSecret"]["hmacKey"].as_str().unwrap();
    let path = format!("/realms/registered/registrations/{}/eab", prereg["id"].as_str().unwrap());
    let etag = [("if-match", "\"1\"")];
    let new = world.try_send(Role::Officer, Method::POST, &path, &etag, None).await.unwrap().expect(201);
    assert_eq!(new.header("cache-control"), Some("no-store"));
    let new = new.body["eabSecret"]["hmacKey"].as_str().unwrap().to_owned();
    let account = Account::new(REGISTERED);
    world.post(Role::Gateway, BIND, &[], &account.binding("kid-lost", old)).await.expect(403);
    world.post(Role::Gateway, BIND, &[], &account.binding("kid-lost", &new)).await.expect(201);
}

#[tokio::test]
async fn the_sample_of_init_binds_and_issues() {
    let world = World::start().await;
    let sample = world.cm.sample_eab().unwrap();
    assert_eq!(sample.hmac_key.len(), 64);
    assert!(!sample.hmac_key.contains(['-', '_']));
    let mut account = Account::new(REGISTERED);
    let binding = account.binding(&sample.kid, &sample.hmac_key);
    account.id =
        world.post(Role::Gateway, BIND, &[], &binding).await.expect(201).body["id"].as_str().unwrap().to_owned();
    for (name, status) in [("a.registered.quickstart.test", 201), ("a.quickstart.test", 422)] {
        let body = account.request(&Order::of(&[name]));
        world.post_once(Role::Gateway, "/realms/registered/certificate-requests", &body).await.expect(status);
    }
}

#[tokio::test]
async fn an_unchanged_registration_is_not_sent_again() {
    let world = World::start().await;
    let account = world.open_account().await;
    let path = format!("/realms/open/registrations/{}", account.id);
    let tag = [("if-none-match", "\"1\"")];
    let unchanged = world.try_send(Role::Gateway, Method::GET, &path, &tag, None).await.unwrap();
    assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
    let by_key = format!(
        "/realms/open/registrations?key={}",
        world.get(Role::Gateway, &path).await.body["key"]["thumbprint"].as_str().unwrap()
    );
    let found = world.get(Role::Gateway, &by_key).await.expect(200);
    assert_eq!(found.body["items"][0]["id"], account.id);
    let search = world.get(Role::Gateway, "/realms/open/registrations?status=active").await;
    assert_eq!(search.refusal(), (403, "forbidden"));
    let search = world.get(Role::Auditor, "/realms/open/registrations?status=active").await.expect(200);
    assert_eq!(search.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn contacts_change_with_the_holders_signature_and_policy_by_the_officer() {
    let world = World::start().await;
    let account = world.open_account().await;
    let path = format!("/realms/open/registrations/{}", account.id);
    let contacts = json!(["mailto:new@example.test"]);
    let proof = json!({"type": "acme", "jws": account.sign_for(None, &json!({"contact": contacts}))});
    let patch = json!({"contacts": contacts, "proof": proof});
    let bare = world.try_send(Role::Gateway, Method::PATCH, &path, &[], Some(patch.to_string())).await.unwrap();
    assert_eq!(bare.refusal(), (428, "precondition-required"));
    let stale = world.patch(Role::Gateway, &path, 7, &patch).await;
    assert_eq!(stale.refusal(), (412, "precondition-failed"));
    assert_eq!(stale.header("etag"), Some("\"1\""));
    let done = world.patch(Role::Gateway, &path, 1, &patch).await.expect(200);
    assert_eq!((&done.body["contacts"], &done.body["version"]), (&contacts, &json!(2)));
    let lie = json!({"contacts": ["mailto:evil@example.test"], "proof": patch["proof"]});
    assert_eq!(world.patch(Role::Gateway, &path, 2, &lie).await.refusal(), (422, "proof-invalid"));
    let wider = json!({"allowedIdentifiers": {"mode": "any"}});
    assert_eq!(world.patch(Role::Gateway, &path, 2, &wider).await.refusal(), (403, "forbidden"));
    assert_eq!(world.patch(Role::Officer, &path, 2, &json!({"status": "active"})).await.status, 403);
    assert_eq!(world.patch(Role::Officer, &path, 2, &json!({"colour": "red"})).await.status, 400);
    let policy = json!({"maxValidity": "P10D", "comment": "short", "owner": null});
    let done = world.patch(Role::Officer, &path, 2, &policy).await.expect(200);
    assert_eq!((&done.body["maxValidity"], &done.body["comment"]), (&json!("P10D"), &json!("short")));
}

#[tokio::test]
async fn a_key_changes_once_and_the_old_one_is_retired() {
    let world = World::start().await;
    let mut account = world.open_account().await;
    let path = format!("/realms/open/registrations/{}/key-change", account.id);
    let key = new_key();
    let change = |account: &Account| {
        let url = format!("{OPEN}/key-change");
        let inner_payload = json!({"account": format!("{OPEN}/acct/{}", account.id), "oldKey": account.jwk()});
        let inner = sign(&key, &json!({"alg": "ES256", "jwk": jwk(&key), "url": url}), &inner_payload);
        json!({"newKey": {"jwk": jwk(&key)},
               "proof": {"type": "acme", "jws": account.sign_for(Some("/key-change"), &inner)}})
    };
    let body = change(&account);
    let done = world.post_at(Role::Gateway, &path, 1, &body).await.expect(200);
    assert_eq!(done.body["key"]["jwk"], jwk(&key));
    assert_eq!(done.body["previousKeys"].as_array().unwrap().len(), 1);
    let repeated = world.post_at(Role::Gateway, &path, 1, &body).await.expect(200);
    assert_eq!(repeated.body["version"], 2);

    let old = Account::new(OPEN);
    let old = Account { key: std::mem::replace(&mut account.key, old.key), ..Account::new(OPEN) };
    let retired = world.post_once(Role::Gateway, "/realms/open/registrations", &old.creation(&[])).await;
    assert_eq!(retired.refusal(), (409, "key-retired"));
    account.key = key;
    world.issue(&account, &Order::of(&["www.example.test"])).await.expect(201);
    let forged = Account { id: account.id.clone(), ..old };
    let refused = world.issue(&forged, &Order::of(&["www.example.test"])).await;
    assert_eq!(refused.refusal(), (422, "proof-invalid"));
}

#[tokio::test]
async fn a_deactivated_account_is_over() {
    let world = World::start().await;
    let account = world.open_account().await;
    let path = format!("/realms/open/registrations/{}/status", account.id);
    let bare = json!({"status": "deactivated"});
    assert_eq!(world.post_at(Role::Gateway, &path, 1, &bare).await.refusal(), (422, "proof-invalid"));
    let proof = json!({"type": "acme", "jws": account.sign_for(None, &bare)});
    let body = json!({"status": "deactivated", "proof": proof});
    world.post_at(Role::Gateway, &path, 1, &body).await.expect(200);
    let again = world.post_at(Role::Gateway, &path, 1, &body).await.expect(200);
    assert_eq!(again.body["version"], 2);
    let refused = world.issue(&account, &Order::of(&["www.example.test"])).await;
    assert_eq!(refused.refusal(), (403, "registration-not-active"));
    let resume = world.post_at(Role::Officer, &path, 2, &json!({"status": "active"})).await;
    assert_eq!(resume.refusal(), (403, "registration-not-active"));
}

#[tokio::test]
async fn revoking_a_registration_may_revoke_its_certificates() {
    let world = World::start().await;
    let account = world.open_account().await;
    let issued = world.issue(&account, &Order::of(&["www.example.test"])).await.expect(201).body;
    let path = format!("/realms/open/registrations/{}/status", account.id);
    let body = json!({"status": "revoked", "reason": "abuse", "revokeCertificates": true});
    world.post_at(Role::Officer, &path, 1, &body).await.expect(200);
    let id = issued["certificate"]["id"].as_str().unwrap();
    let shown = world.get(Role::Gateway, &format!("/realms/open/certificates/{id}")).await.body;
    assert_eq!(shown["status"], "revoked");
    assert_eq!(shown["revocation"]["reason"], "privilegeWithdrawn");
}

#[tokio::test]
async fn the_feed_tells_of_changes_and_wakes_those_who_wait() {
    let world = Arc::new(World::start().await);
    let start = world.get(Role::Gateway, "/realms/open/events?after=now").await.expect(200).body;
    assert_eq!(start["items"], json!([]));
    let cursor = start["next"].as_str().unwrap().to_owned();
    let waiting = {
        let (world, path) = (Arc::clone(&world), format!("/realms/open/events?after={cursor}"));
        tokio::spawn(async move {
            let prefer = [("prefer", "wait=20")];
            world.try_send(Role::Gateway, Method::GET, &path, &prefer, None).await.unwrap()
        })
    };
    let begun = Moment::now();
    let account = world.open_account().await;
    let woken = waiting.await.unwrap().expect(200).body;
    assert!(Moment::now().millis() - begun.millis() < 15_000);
    assert_eq!(woken["items"][0]["type"], "registration.created");
    assert_eq!(woken["items"][0]["subject"], account.id);
    let of_type = format!("/realms/open/events?after={cursor}&types=certificate.issued");
    assert_eq!(world.get(Role::Gateway, &of_type).await.expect(200).body["items"], json!([]));
    let foreign = world.get(Role::Gateway, "/realms/open/events?after=YWJjOjE").await;
    assert_eq!(foreign.refusal(), (410, "cursor-expired"));
    assert_eq!(world.get(Role::Gateway, "/realms/open/events?after=*").await.status, 400);
}
