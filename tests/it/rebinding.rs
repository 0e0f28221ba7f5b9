//! A registration whose client lost its account key: an officer takes the key away, the next client that knows the new
//! external account key has the same account (CM contract section 4.3, "Rebinding").

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{client::Client, csr::Csr, key::Key, officer::Preregistration, wait_for};

use crate::{registration::waiting_for_approval, world};

/// From the officer's click to its effect on a busy machine; without an event it would come after a minute.
const AT_ONCE: Duration = Duration::from_secs(40);

/// Rebinds with the officer's program; answers the new external account key.
fn rebind(id: &str) -> Preregistration {
    let shown = world().desk("officer").json(&["registrations", "rebind", id, "--reason", "disk died"]);
    let text = |pointer: &str| shown.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    assert_eq!((text("/id").as_str(), text("/status").as_str()), (id, "pending"), "{shown}");
    Preregistration { id: text("/id"), kid: text("/eab/kid"), secret: tests::from_base64url(&text("/eab/hmac_key")) }
}

/// Waits until the gateway has heard that this client's key is gone; answers what it is told.
fn wait_until_withdrawn(client: &Client) -> String {
    let asked = Instant::now();
    let detail = wait_for("the withdrawal", AT_ONCE, || {
        let response = client.read(&client.account_url());
        (response.status != 200).then(|| response.assert_refused(401, "unauthorized"))
    });
    assert!(asked.elapsed() < AT_ONCE);
    detail
}

fn bind(client: &mut Client, key: &Preregistration) -> tests::response::Response {
    let binding = client.binding(&key.kid, &key.secret);
    client.register(&json!({"externalAccountBinding": binding}))
}

#[test]
fn the_old_key_does_nothing_any_more_at_once_after_the_officers_act() {
    let (mut lost, id) = world().registered_account(&json!({"mode": "any"}));
    let name = "lost.rebinding.test";
    let issued = lost.issue(&[name]);
    let order = lost.ready_order(&[name]);
    let key = rebind(&id);
    let detail = wait_until_withdrawn(&lost);
    assert!(detail.contains("withdrawn") && detail.contains("new account key"), "{detail}");
    let csr = Csr::for_names(&[name]).text(&Key::p256());
    let _ = lost.new_order(&[name]).assert_refused(401, "unauthorized");
    let _ = lost.finalize(&order, &csr).assert_refused(401, "unauthorized");
    let _ = lost.read(&order.url).assert_refused(401, "unauthorized");
    let _ = lost.revoke(&issued.leaf, Value::Null).assert_refused(401, "unauthorized");
    let _ = lost.register(&json!({"onlyReturnExisting": true})).assert_refused(400, "accountDoesNotExist");
    let detail = bind(&mut lost, &key).assert_refused(400, "badPublicKey");
    assert!(detail.contains("not accepted again") && detail.contains("use a new key"), "{detail}");
    assert_eq!(world().certificates_of(&order.url), 0);
    let by_key =
        lost.self_signed(&lost.url("revoke-cert"), &tests::client::revocation(&issued.leaf, Value::Null), &issued.key);
    let _ = lost.send(&lost.url("revoke-cert"), &by_key.sign()).expect(200);
}

#[test]
fn a_new_key_has_the_same_account_and_its_certificates() {
    let (lost, id) = world().registered_account(&json!({"mode": "any"}));
    let issued = lost.issue(&["before.rebinding.test"]);
    let key = rebind(&id);
    let _ = wait_until_withdrawn(&lost);
    let mut found = world().client("registered");
    assert_eq!(bind(&mut found, &key).expect(201).location(), lost.account_url());
    assert_eq!(found.read(&found.account_url()).expect(200).json()["status"], "valid");
    let again = found.issue(&["before.rebinding.test"]);
    assert_eq!(world().certificates_of(&again.order_url), 1);
    assert_eq!(found.read(&issued.url).expect(200).status, 200);
    let _ = found.revoke(&issued.leaf, json!(4)).expect(200);
    let _ = lost.new_order(&["before.rebinding.test"]).assert_refused(400, "malformed");
    let mut third = world().client("registered");
    let _ = bind(&mut third, &key).assert_refused(403, "unauthorized");
}

#[test]
fn an_order_of_the_old_key_is_not_finished_for_the_new_one() {
    let (lost, order) = waiting_for_approval("waits.rebinding.test");
    let id = lost.account_url().rsplit('/').next().unwrap().to_owned();
    let key = rebind(&id);
    assert_eq!(world().officer().request_status(&order.url), "cancelled");
    let _ = wait_until_withdrawn(&lost);
    let mut found = world().client("registered");
    let _ = bind(&mut found, &key).expect(201);
    let ended = found.wait(&order, "invalid");
    let detail = ended.object["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("withdrawn") && detail.contains("new order"), "{detail}");
    assert_eq!(world().certificates_of(&order.url), 0);
}

#[test]
fn a_registration_that_never_had_a_key_has_no_account() {
    let made = world().officer().preregister(&json!({}));
    let (client, _) = world().registered_account(&json!({"mode": "any"}));
    let url = format!("{}/{}", client.account_url().rsplit_once('/').unwrap().0, made.id);
    let stranger = client.draft(&client.url("new-order"), "{}").with("kid", url).sign();
    let _ = client.send(&client.url("new-order"), &stranger).assert_refused(400, "accountDoesNotExist");
}
