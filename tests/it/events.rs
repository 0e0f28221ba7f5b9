//! Officers and approvers act in the CM, and clients notice within two seconds (CM contract section 4.8).

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{client::Client, wait_for};

use crate::{fragile_world, registration::waiting_for_approval, world};

/// From the officer's click to its effect on a busy machine; without an event it would come after a minute.
const AT_ONCE: Duration = Duration::from_secs(40);

/// Waits until new orders get this status.
fn wait_for_orders(client: &Client, status: u16, within: Duration) {
    wait_for("the effect", within, || (client.new_order(&["clicked.events.test"]).status == status).then_some(()));
}

#[test]
fn what_an_officer_does_to_a_registration_takes_effect_at_once() {
    let (client, id) = world().registered_account(&json!({"mode": "any"}));
    for _ in 0..3 {
        let _ = client.order(&["clicked.events.test"]);
        world().officer().set_status(&id, "suspended");
        wait_for_orders(&client, 403, AT_ONCE);
        world().officer().set_status(&id, "active");
        wait_for_orders(&client, 201, AT_ONCE);
    }
    world().officer().set_status(&id, "revoked");
    wait_for_orders(&client, 401, AT_ONCE);
}

#[test]
fn an_order_is_valid_at_once_when_it_is_approved() {
    for name in ["one.events.test", "two.events.test", "three.events.test"] {
        let (client, order) = waiting_for_approval(name);
        let seen = || client.read(&order.url).expect(200).member("status").to_owned();
        assert_eq!(seen(), "processing");
        world().officer().decide(&order.url, "approve");
        let decided = Instant::now();
        wait_for("the certificate", AT_ONCE, || (seen() == "valid").then_some(()));
        assert!(decided.elapsed() < AT_ONCE);
    }
}

#[test]
fn what_happens_while_the_feed_is_broken_is_made_up_for_when_it_is_back() {
    let world = fragile_world();
    let (client, id) = world.registered_account(&json!({"mode": "any"}));
    let (other, _) = world.registered_account(&json!({"mode": "any"}));
    let _ = client.order(&["clicked.events.test"]);
    let feeds_broken = || world.faults()[0]["count"].as_u64().unwrap_or_default();
    world.set_faults("getEvents", 100_000, &json!({"kind": "reset-before"}));
    // Whatever was being waited for is answered by this, and the next questions break.
    let _ = world.officer().preregister(&json!({}));
    wait_for("broken feeds", Duration::from_secs(120), || (feeds_broken() < 100_000).then_some(()));
    world.officer().set_status(&id, "suspended");
    let _ = client.order(&["clicked.events.test"]);
    let _ = other.order(&["clicked.events.test"]);
    world.clear_faults();
    wait_for_orders(&client, 403, Duration::from_secs(40));
}
