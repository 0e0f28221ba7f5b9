//! What becomes of an order when the CM is slow, away, or wrong: it is finished exactly once, or refused honestly.

use serde_json::{Value, json};
use tests::{
    client::{Client, Order},
    csr::Csr,
    key::Key,
    world::World,
};

use crate::fragile_world;

/// Finalizes an order of `name` while the CM makes this fault. Answers what finalize answered.
fn finalize_with(world: &World, client: &Client, name: &str, fault: &Value) -> (Order, tests::response::Response) {
    let order = client.ready_order(&[name]);
    world.set_fault("requestCertificate", fault);
    let response = client.finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
    (order, response)
}

#[test]
fn an_order_is_finished_exactly_once_whatever_happens_to_the_answer_of_the_cm() {
    let world = fragile_world();
    let client = world.account();
    for fault in [
        json!({"kind": "unavailable"}),
        json!({"kind": "unavailable", "retry_after_secs": 1}),
        json!({"kind": "reset-before"}),
        json!({"kind": "reset-after"}),
        json!({"kind": "truncated-body"}),
        json!({"kind": "html-page"}),
        json!({"kind": "delay-before", "millis": 500}),
    ] {
        let (order, _) = finalize_with(&world, &client, "fault.example.test", &fault);
        let _ = client.wait(&order, "valid");
        assert_eq!(world.certificates_of(&order.url), 1, "{fault}");
        assert_eq!(world.faults(), json!([]), "{fault} did not happen");
    }
}

#[test]
fn while_the_cm_works_the_order_is_processing_and_says_when_to_look_again() {
    let world = fragile_world();
    let client = world.account();
    let (order, response) =
        finalize_with(&world, &client, "slow.example.test", &json!({"kind": "pending", "millis": 12_000}));
    assert_eq!(response.member("status"), "processing", "finalize does not wait for ever");
    assert_eq!(response.location(), order.url);
    let seconds: u64 = response.header("retry-after").expect("Retry-After").parse().expect("whole seconds");
    assert!((1..=60).contains(&seconds), "{response:?}");
    let other = Csr::for_names(&["slow.example.test"]).text(&Key::p256());
    let _ = client.finalize(&order, &other).assert_refused(403, "orderNotReady");
    assert!(client.read(&order.url).header("retry-after").is_some());
    let _ = client.wait(&order, "valid");
    assert_eq!(world.certificates_of(&order.url), 1);
}

#[test]
fn a_certificate_that_is_not_the_one_asked_for_is_withheld() {
    let world = fragile_world();
    let client = world.account();
    for kind in ["wrong-key", "wrong-names", "wrong-chain"] {
        let (order, _) = finalize_with(&world, &client, "withheld.example.test", &json!({"kind": kind}));
        let order = client.wait(&order, "invalid");
        assert_eq!(order.object["error"]["type"], "urn:ietf:params:acme:error:serverInternal", "{kind}: {order:?}");
        assert!(order.object.get("certificate").is_none(), "{kind}");
        let _ = world.command(&["profile", "resume", "open", "tls-server"]).unwrap();
    }
}

#[test]
fn an_order_that_the_cm_rejects_is_invalid() {
    let world = fragile_world();
    let client = world.account();
    let (order, _) = finalize_with(&world, &client, "rejected.example.test", &json!({"kind": "rejected"}));
    let order = client.wait(&order, "invalid");
    assert_eq!(order.object["error"]["type"], "urn:ietf:params:acme:error:unauthorized", "{order:?}");
}

#[test]
fn while_the_cm_is_away_new_accounts_are_told_to_come_back() {
    let world = fragile_world();
    world.set_faults("createRegistration", 12, &json!({"kind": "unavailable", "retry_after_secs": 2}));
    let mut client = world.client("open");
    let response = client.register(&json!({}));
    let _ = response.assert_refused(503, "serverInternal");
    assert!(response.header("retry-after").is_some(), "{response:?}");
    world.clear_faults();
    // The way to the CM was judged bad; it is tried again after a while.
    tests::wait_for("a new account", std::time::Duration::from_secs(120), || {
        (client.register(&json!({})).status == 201).then_some(())
    });
}

#[test]
fn a_lost_answer_to_newaccount_still_makes_one_account() {
    let world = fragile_world();
    world.set_fault("createRegistration", &json!({"kind": "reset-after"}));
    let mut client = world.client("open");
    let created = client.register(&json!({}));
    assert!(matches!(created.status, 200 | 201), "{created:?}");
    let account = client.account_url();
    assert_eq!(client.register(&json!({})).expect(200).location(), account);
}

#[test]
fn a_revocation_is_reported_only_when_the_cm_did_it() {
    let world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["revoke-fault.example.test"]);
    world.set_fault("revokeCertificate", &json!({"kind": "reset-after"}));
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
    assert_eq!(world.faults(), json!([]), "the fault did not happen");
    let _ = client.revoke(&issued.leaf, Value::Null).assert_refused(400, "alreadyRevoked");
}

#[test]
fn changes_of_an_account_are_done_whatever_happens_to_the_answer_of_the_cm() {
    let world = fragile_world();
    for kind in ["reset-before", "reset-after", "truncated-body", "html-page", "unavailable"] {
        let client = world.account();
        let url = client.account_url();
        let contacts = json!([format!("mailto:{kind}@example.org")]);
        world.set_fault("updateRegistration", &json!({"kind": kind}));
        assert_eq!(client.post(&url, &json!({"contact": contacts})).expect(200).json()["contact"], contacts, "{kind}");
        world.set_fault("setRegistrationStatus", &json!({"kind": kind}));
        let ended = client.post(&url, &json!({"status": "deactivated"})).expect(200);
        assert_eq!(ended.json()["status"], "deactivated", "{kind}");
        assert_eq!(world.faults(), json!([]), "{kind} did not happen");
        let _ = client.read(&url).assert_refused(401, "unauthorized");
    }
}

#[test]
fn an_account_that_the_cm_could_not_end_has_not_ended() {
    let world = fragile_world();
    let client = world.account();
    let url = client.account_url();
    world.set_faults("setRegistrationStatus", 12, &json!({"kind": "unavailable"}));
    let refused = client.post(&url, &json!({"status": "deactivated"}));
    let _ = refused.assert_refused(503, "serverInternal");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    world.clear_faults();
    // The way to the CM was judged bad; it is tried again after a while.
    let soon = std::time::Duration::from_secs(120);
    tests::wait_for("the account", soon, || (client.read(&url).status == 200).then_some(()));
    tests::wait_for("the deactivation", soon, || {
        (client.post(&url, &json!({"status": "deactivated"})).status == 200).then_some(())
    });
    let _ = client.read(&url).assert_refused(401, "unauthorized");
}

#[test]
fn a_revocation_that_the_client_does_not_repeat_is_done_when_the_cm_is_back() {
    let world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["unrepeated.example.test"]);
    let revoked = || world.books()["revoked"].as_u64().unwrap();
    let before = revoked();
    world.set_faults("revokeCertificate", 50, &json!({"kind": "unavailable"}));
    let refused = client.revoke(&issued.leaf, Value::Null);
    let _ = refused.assert_refused(503, "serverInternal");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(revoked(), before);
    world.clear_faults();
    let soon = std::time::Duration::from_secs(120);
    tests::wait_for("the revocation", soon, || (revoked() == before + 1).then_some(()));
    let _ = client.revoke(&issued.leaf, Value::Null).assert_refused(400, "alreadyRevoked");
}

#[test]
fn the_cm_is_told_which_certificates_were_taken_and_which_withheld() {
    let world = fragile_world();
    let client = world.account();
    let count = |what: &str| world.books()["publications"][what].as_u64().unwrap_or(0);
    let (published, withheld) = (count("published"), count("withheld"));
    let _ = client.issue(&["delivery.example.test"]);
    let soon = std::time::Duration::from_secs(120);
    tests::wait_for("publication", soon, || (count("published") > published).then_some(()));
    let (order, _) = finalize_with(&world, &client, "delivery.example.test", &json!({"kind": "wrong-key"}));
    let _ = client.wait(&order, "invalid");
    tests::wait_for("withholding", soon, || (count("withheld") > withheld).then_some(()));
    let _ = world.command(&["profile", "resume", "open", "tls-server"]).unwrap();
}

#[test]
fn while_the_cm_is_away_what_does_not_need_it_goes_on_and_the_rest_is_made_up_for() {
    let world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["away.example.test"]);
    let order = client.ready_order(&["away-too.example.test"]);
    let revoked = || world.books()["revoked"].as_u64().unwrap();
    let before = revoked();
    world.set_faults("*", 10_000, &json!({"kind": "reset-before"}));
    let _ = client.read(&client.account_url()).expect(200);
    let _ = client.read(&issued.url).expect(200);
    let _ = client.order(&["away.example.test"]);
    let csr = Csr::for_names(&["away-too.example.test"]).text(&Key::p256());
    assert_eq!(client.finalize(&order, &csr).expect(200).member("status"), "processing");
    let refused = client.revoke(&issued.leaf, Value::Null);
    let _ = refused.assert_refused(503, "serverInternal");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let _ = world.site().ops("/healthz").expect(200);
    world.clear_faults();
    let _ = client.wait(&order, "valid");
    assert_eq!(world.certificates_of(&order.url), 1);
    tests::wait_for("the revocation", std::time::Duration::from_secs(120), || {
        // It goes on by itself: it may be done before the client asks again.
        let _ = client.revoke(&issued.leaf, Value::Null);
        (revoked() > before).then_some(())
    });
}

#[test]
fn what_is_given_up_while_the_cm_is_away_is_not_issued_when_it_is_back() {
    let world = fragile_world();
    let client = world.account();
    let order = client.ready_order(&["given-up.example.test"]);
    world.set_faults("*", 10_000, &json!({"kind": "reset-before"}));
    let csr = Csr::for_names(&["given-up.example.test"]).text(&Key::p256());
    assert_eq!(client.finalize(&order, &csr).expect(200).member("status"), "processing");
    let authorization = order.object["authorizations"][0].as_str().unwrap();
    let _ = client.post(authorization, &json!({"status": "deactivated"})).expect(200);
    world.clear_faults();
    let order = client.wait(&order, "invalid");
    assert_eq!(order.object["error"]["type"], "urn:ietf:params:acme:error:unauthorized", "{order:?}");
    assert_eq!(world.certificates_of(&order.url), 0);
}
