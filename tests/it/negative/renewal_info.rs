//! Certificates that there is nothing to tell about, and that are not replaced (RFC 9773 §4, §5).

use serde_json::{Value, json};
use tests::{
    client::{Client, Order},
    csr::Csr,
    key::Key,
    response::Response,
};

use super::{Row, prove, trial::Trial};
use crate::renewal_info::certificate_id;

/// The example of RFC 9773 §4.1: well-formed, and of nobody here.
const UNKNOWN: &str = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-108", "What names no certificate is not replaced", 400, "malformed", |trial| {
        let client = trial.account();
        for replaces in ["garbage", "AAAA.AQ==", ".", "a.b.c", "+AAA.AQ", "AAAA.AA", UNKNOWN] {
            let _ = trial.refuse(replaces, || renew(&client, "garbage.replace.test", replaces));
        }
        for replaces in [json!(7), json!({}), json!(["AAAA.AQ"])] {
            let _ = trial.refuse(&replaces.to_string(), || renew(&client, "garbage.replace.test", replaces));
        }
    }),
    Row::refused("N-109", "A certificate of another account is not replaced", 403, "unauthorized", |trial| {
        let (other, id) = issued(trial, "theirs.replace.test");
        let client = trial.account();
        let _ = trial.refuse("for the same name", || renew(&client, "theirs.replace.test", id.as_str()));
        let _ = made(renew(&other, "theirs.replace.test", id.as_str()));
    }),
    Row::refused("N-110", "A certificate is replaced by one for a name of its own", 400, "malformed", |trial| {
        let (client, id) = issued(trial, "own.replace.test");
        let _ = trial.refuse("another name", || renew(&client, "disjoint.replace.test", id.as_str()));
        let _ = trial.refuse("a wildcard of it", || renew(&client, "*.own.replace.test", id.as_str()));
        let _ = made(renew(&client, "own.replace.test", id.as_str()));
    }),
    Row::refused("N-111", "A certificate is replaced once", 409, "alreadyReplaced", |trial| {
        let name = "once.replace.test";
        let (client, id) = issued(trial, name);
        let order = made(renew(&client, name, id.as_str()));
        trial.watch(&client);
        let two = json!([{"type": "dns", "value": name}, {"type": "dns", "value": "more.replace.test"}]);
        let payload = json!({"identifiers": two, "replaces": id});
        let _ =
            trial.refuse("by an order for more while one is open", || client.post(&client.url("new-order"), &payload));
        let ready = client.prove(&order);
        let _ = client.finalize(&ready, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
        let _ = client.wait(&ready, "valid");
        trial.watch(&client);
        let _ = trial.refuse("by a second certificate", || renew(&client, name, id.as_str()));
    }),
    Row::refused("N-159", "Of what names no certificate there is nothing to tell", 400, "malformed", |trial| {
        for id in ["abc", ".", "a.b.c", "AAAA.", ".AAAA", "+AAA.AQ", "AAAA.AA"] {
            ask(trial, id, id);
        }
    }),
    Row::refused("N-160", "Of an unknown certificate there is nothing to tell", 404, "malformed", |trial| {
        ask(trial, "of another authority", UNKNOWN);
        let (client, id) = issued(trial, "unknown.renewal.test");
        let (authority, _) = id.split_once('.').unwrap();
        ask(trial, "of our authority", &format!("{authority}.AQIDBAUGBwgJ"));
        let elsewhere = client.url("renewal-info").replace("/open/", "/web/");
        let web = trial.world().client("web");
        trial.watch(&web);
        let _ = trial.refuse_other("at another directory", || client.site().get(&format!("{elsewhere}/{id}")));
    }),
    Row::refused("N-161", "The name of a certificate has no padding", 400, "malformed", |trial| {
        let (_, id) = issued(trial, "padding.renewal.test");
        ask(trial, "after the serial", &format!("{id}="));
        ask(trial, "after both", &format!("{}=", id.replace('.', "=.")));
    }),
];

#[test]
fn certificates_that_are_not_ours_are_not_renewed() {
    prove(ROWS);
}

/// A certificate of a watched account, and what it is called.
fn issued(trial: &mut Trial, name: &str) -> (Client, String) {
    let client = trial.account();
    let id = certificate_id(&client.issue(&[name]).leaf);
    trial.watch(&client);
    (client, id)
}

fn renew(client: &Client, name: &str, replaces: impl Into<Value>) -> Response {
    let identifiers = json!([{"type": "dns", "value": name}]);
    client.post(&client.url("new-order"), &json!({"identifiers": identifiers, "replaces": replaces.into()}))
}

fn made(response: Response) -> Order {
    let response = response.expect(201);
    Order { url: response.location(), object: response.json() }
}

/// renewalInfo, by GET as everybody may and by POST-as-GET.
fn ask(trial: &mut Trial, what: &str, id: &str) {
    let client = trial.account();
    let url = format!("{}/{id}", client.url("renewal-info"));
    let _ = trial.refuse_other(what, || client.site().get(&url));
    let _ = trial.refuse(&format!("{what}, by POST-as-GET"), || client.read(&url));
}
