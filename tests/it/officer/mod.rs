//! The program acme-officer against the real CM, and what clients of the gateway notice of it.

mod agreement;
mod approvals;
mod auditor;
mod both;
mod certificates;
mod console;
mod effective_policy;
mod explain;
mod external_account;
mod four_eyes;
mod identities;
mod import;
mod orders;
mod recipes;
mod registrations;
mod reports;
mod roles;
mod waivers;

use serde_json::{Value, json};
use tests::client::Client;

use crate::world;

/// Registers with the program; answers what it printed for programs.
fn created(more: &[&str]) -> Value {
    let arguments = ["registrations", "create", "--owner", "tests of the officer's program"];
    world().desk("officer").json(&[&arguments, more].concat())
}

fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {json}"))
}

/// A client that has bound its key with what `create` printed.
fn bound(registration: &Value) -> Client {
    let mut client = world().client("registered");
    let secret = tests::from_base64url(text(registration, "/eab/hmac_key"));
    let binding = client.binding(text(registration, "/eab/kid"), &secret);
    let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
    client
}
