//! Authorizations of others, and changes that there are not (RFC 8555 §7.5, §7.5.2).

use serde_json::{Value, json};
use tests::client::{Client, Order};

use super::{Row, prove};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-113", "An authorization of another account is not shown", 403, "unauthorized", |trial| {
        let client = trial.account();
        let other = trial.account();
        let (_, url) = pending(&other, "theirs.authorization.test");
        trial.watch(&other);
        let _ = trial.refuse("reading", || client.read(&url));
        let _ = trial.refuse("deactivation", || client.post(&url, &json!({"status": "deactivated"})));
        let elsewhere = url.replace("/open/", "/web/");
        let mut client = trial.world().client_with("web", client.key.clone());
        let _ = client.register(&json!({})).expect(201);
        trial.watch(&client);
        trial.refuse_as("reading it at another directory", 404, "malformed", || client.read(&elsewhere));
    }),
    Row::refused("N-114", "An authorization can be given up, and that is all", 400, "malformed", |trial| {
        let client = trial.account();
        let (_, url) = pending(&client, "update.authorization.test");
        trial.watch(&client);
        for payload in [
            json!({"status": "valid"}),
            json!({}),
            json!({"status": 7}),
            json!({"status": null}),
            json!({"status": "Deactivated"}),
            json!({"identifier": {"type": "dns", "value": "other.test"}}),
            json!([]),
            json!("deactivated"),
        ] {
            let _ = trial.refuse(&payload.to_string(), || client.post(&url, &payload));
        }
        let _ = client.post(&url, &json!({"status": "deactivated"})).expect(200);
        trial.watch_also(&client, &[&url]);
        let _ = trial.refuse("a second time", || client.post(&url, &json!({"status": "deactivated"})));
    }),
    Row::refused("N-115", "An authorization that does not exist is not found", 404, "malformed", |trial| {
        let client = trial.account();
        for id in ["AAAAAAAAAAAAAAAAAAAAAA", "1", "-", "%20", "..%2f"] {
            let _ = trial.refuse(id, || client.read(&format!("{}/{id}", client.url("authz"))));
        }
    }),
    Row::refused("N-116", "A wildcard is not proven ahead of an order", 400, "malformed", |trial| {
        let mut client = trial.world().client("ahead");
        let _ = client.register(&json!({})).expect(201);
        trial.watch(&client);
        let ask = |client: &Client, identifier: Value| {
            client.post(&client.url("new-authz"), &json!({"identifier": identifier}))
        };
        for name in ["*.a.org", "*", "a.*.org", "a..b", ""] {
            let _ = trial.refuse(&format!("{name:?}"), || ask(&client, json!({"type": "dns", "value": name})));
        }
        for identifier in [json!("a.org"), json!([]), json!({"type": "dns"}), json!(null)] {
            let _ = trial.refuse(&identifier.to_string(), || ask(&client, identifier.clone()));
        }
        let client = trial.account();
        trial.refuse_as("where it is not offered", 404, "malformed", || {
            ask(&client, json!({"type": "dns", "value": "a.org"}))
        });
    }),
];

#[test]
fn authorizations_are_kept_from_others_and_from_changes() {
    prove(ROWS);
}

/// A pending order for one name, with its authorization's URL.
fn pending(client: &Client, name: &str) -> (Order, String) {
    let order = client.order(&[name]);
    let url = order.object["authorizations"][0].as_str().map(str::to_owned);
    assert_eq!(order.object["authorizations"].as_array().map(Vec::len), Some(1), "{:?}", Value::from(name));
    (order, url.unwrap())
}
