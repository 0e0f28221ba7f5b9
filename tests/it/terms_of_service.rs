//! Terms of service: where they are shown, and what an account does when they have changed (RFC 8555 §7.3.3).

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tests::{client::Client, snapshot::assert_snapshot, time::rfc3339, world::World};

const TERMS: &str = "https://localhost/terms/v2";

/// A world whose endpoints all have terms, which have never changed.
fn world_with_terms() -> World {
    World::start_with(&[
        ("endpoint_defaults", &format!("terms_of_service = {TERMS:?}")),
        ("endpoint_defaults", "website = \"https://localhost/about\""),
    ])
}

/// The terms change now: the operator says so and starts the gateway again.
fn change_terms(world: &mut World) {
    let file = world.site().settings_file();
    let settings = fs::read_to_string(&file).unwrap();
    let changed = format!("[endpoint_defaults]\nterms_of_service_since = {:?}\n", rfc3339(seconds_now()));
    assert!(settings.contains("[endpoint_defaults]\n"), "{settings}");
    assert_eq!(world.stop_gateway(), Some(0));
    fs::write(&file, settings.replace("[endpoint_defaults]\n", &changed)).unwrap();
    world.restart_gateway();
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn agree(client: &Client) -> tests::response::Response {
    client.post(&client.account_url(), &json!({"termsOfServiceAgreed": true}))
}

#[test]
fn who_agreed_to_earlier_terms_orders_nothing_until_it_agrees_again() {
    let mut world = world_with_terms();
    let meta = world.site().send("GET", &world.site().url("open", "directory"), &[], None).json();
    assert_eq!(meta["meta"]["termsOfService"], TERMS);
    assert_eq!(meta["meta"]["website"], "https://localhost/about");
    let mut client = world.account();
    let earlier = seconds_now();
    let order = client.ready_order(&["before.terms.test"]);
    tests::wait_for("the next second", std::time::Duration::from_secs(120), || (seconds_now() > earlier).then_some(()));
    change_terms(&mut world);

    let refused = client.new_order(&["after.terms.test"]);
    assert_snapshot("terms_changed", &refused.to_snapshot());
    let _ = refused.assert_refused(403, "userActionRequired");
    assert_eq!(refused.link("terms-of-service"), Some(TERMS));
    assert_eq!(refused.json()["instance"], TERMS);
    // What was ordered before goes on, and the account can be read and changed.
    let csr = tests::csr::Csr::for_names(&["before.terms.test"]).text(&tests::key::Key::p256());
    let _ = client.finalize(&order, &csr).expect(200);
    let issued = client.download(&client.wait(&order, "valid"), tests::key::Key::p256());
    let _ = client.revoke(&issued.leaf, 4).expect(200);
    let url = client.account_url();
    let account = client.post(&url, &json!({"contact": ["mailto:terms@example.org"]})).expect(200).json();
    assert!(account.get("termsOfServiceAgreed").is_none(), "{account}");

    // Clients send newAccount at every start, and nobody reads anything then.
    assert_eq!(client.register(&json!({"termsOfServiceAgreed": true})).expect(200).location(), url);
    for no_word in [json!({"termsOfServiceAgreed": false}), json!({"termsOfServiceAgreed": "true"}), json!({})] {
        let _ = client.post(&url, &no_word).expect(200);
    }
    let _ = client.new_order(&["after.terms.test"]).assert_refused(403, "userActionRequired");

    let account = agree(&client).expect(200).json();
    assert_eq!(account["termsOfServiceAgreed"], true);
    assert_eq!(account["contact"], json!(["mailto:terms@example.org"]));
    let _ = client.issue(&["after.terms.test"]);
    assert_eq!(agree(&client).expect(200).json(), account, "once is enough");

    let newcomer = world.account();
    let _ = newcomer.order(&["newcomer.terms.test"]);
}
