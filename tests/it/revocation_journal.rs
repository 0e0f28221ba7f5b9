//! Revocations that are asked for while the CM answers nothing at all: written down, told honestly, and made once.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    client::{Client, Issued, revocation},
    key::Key,
    response::Response,
    wait_for,
    world::World,
};

use crate::fragile_world;

/// The way to a CM that was away is tried again after a while.
const SOON: Duration = Duration::from_secs(120);

fn revoked(world: &World) -> u64 {
    world.books()["revoked"].as_u64().unwrap()
}

fn revoke_by_key(client: &Client, issued: &Issued) -> Response {
    let url = client.url("revoke-cert");
    client.send(&url, &client.self_signed(&url, &revocation(&issued.leaf, 1), &issued.key).sign())
}

fn assert_goes_on(response: &Response) {
    let detail = response.assert_refused(503, "serverInternal");
    assert!(detail.contains("goes on"), "{detail}");
    let seconds: u64 = response.header("retry-after").expect("Retry-After").parse().expect("whole seconds");
    assert!(seconds > 0, "{response:?}");
}

#[test]
fn what_an_account_asks_of_a_dead_cm_outlives_the_gateway_too() {
    let mut world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["dead.journal.test"]);
    let before = revoked(&world);
    world.kill_cm();
    assert_goes_on(&client.revoke(&issued.leaf, Value::Null));
    world.kill_gateway();
    world.restart_gateway_unready();
    world.restart_cm();
    // The client never asks again.
    wait_for("the revocation", SOON, || (revoked(&world) > before).then_some(()));
    let _ = client.restarted().revoke(&issued.leaf, Value::Null).assert_refused(400, "alreadyRevoked");
    assert_eq!(revoked(&world), before + 1);
}

#[test]
fn what_the_key_asks_while_the_cm_answers_nothing_is_done_though_nobody_asks_again() {
    let mut world = fragile_world();
    let (owner, finder) = (world.account(), world.client("open"));
    let issued = owner.issue(&["found.journal.test"]);
    let before = revoked(&world);
    world.set_faults("*", 10_000, &json!({"kind": "reset-before"}));
    assert_goes_on(&revoke_by_key(&finder, &issued));
    world.kill_gateway();
    world.restart_gateway_unready();
    assert_eq!(revoked(&world), before);
    world.clear_faults();
    wait_for("the revocation", SOON, || (revoked(&world) > before).then_some(()));
    let _ = owner.restarted().revoke(&issued.leaf, Value::Null).assert_refused(400, "alreadyRevoked");
    assert_eq!(revoked(&world), before + 1);
}

#[test]
fn who_asks_again_is_told_the_truth_each_time() {
    let world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["again.journal.test"]);
    let before = revoked(&world);
    world.set_faults("*", 10_000, &json!({"kind": "unavailable"}));
    for _ in 0..3 {
        assert_goes_on(&client.revoke(&issued.leaf, 4));
        assert_eq!(revoked(&world), before, "nobody has said that it is done");
    }
    world.clear_faults();
    let told = wait_for("a word of the CM", SOON, || {
        let response = client.revoke(&issued.leaf, 4);
        (response.status != 503).then_some(response)
    });
    assert_eq!(revoked(&world), before + 1, "{told:?}");
    assert!(told.status == 200 || told.text().contains(":alreadyRevoked"), "{told:?}");
    let _ = client.revoke(&issued.leaf, 4).assert_refused(400, "alreadyRevoked");
}

#[test]
fn who_has_no_right_has_nothing_written_down_while_the_cm_is_away() {
    let world = fragile_world();
    let (client, other) = (world.account(), world.account());
    let issued = client.issue(&["stranger.journal.test"]);
    let before = revoked(&world);
    world.set_faults("*", 10_000, &json!({"kind": "reset-before"}));
    let _ = other.revoke(&issued.leaf, Value::Null).assert_refused(403, "unauthorized");
    let wrong_key = Issued { key: Key::p256(), ..issued };
    let _ = revoke_by_key(&other, &wrong_key).assert_refused(403, "unauthorized");
    world.clear_faults();
    // Whatever had been written down would be done before this one.
    let last = client.issue(&["last.journal.test"]);
    let told = wait_for("a word of the CM", SOON, || {
        let response = client.revoke(&last.leaf, 4);
        (response.status != 503).then_some(response)
    });
    assert!(matches!(told.status, 200 | 400), "{told:?}");
    assert_eq!(revoked(&world), before + 1);
}
