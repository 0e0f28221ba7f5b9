//! Wrong methods, media types, sizes and bodies (RFC 8555 §6.1 to §6.3; RFC 9110).

use serde_json::json;
use tests::{
    client::{Client, JOSE, strings},
    response::Response,
};

use super::{
    Row, prove,
    trial::{Trial, challenge_url},
};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-001", "newAccount is not read with GET", 405, "malformed", |trial| {
        let client = trial.account();
        let response = trial.refuse_other("GET", || client.site().get(&client.url("new-account")));
        assert_eq!(response.header("allow"), Some("POST"));
    }),
    Row::refused("N-002", "Orders and what belongs to them are not read with GET", 405, "malformed", |trial| {
        let client = trial.account();
        for (what, url) in owned(trial, &client) {
            let response = trial.refuse_other(what, || client.site().get(&url));
            assert_eq!(response.header("allow"), Some("POST"));
        }
    }),
    Row::refused("N-003", "The directory is not changed", 405, "malformed", |trial| {
        let client = trial.account();
        for method in ["PUT", "DELETE"] {
            let url = client.url("directory");
            let response = trial.refuse_other(method, || client.site().send(method, &url, &[], None));
            assert_eq!(response.header("allow"), Some("GET, HEAD, POST"));
        }
    }),
    Row::refused("N-004", "A URL that leads nowhere is not found", 404, "malformed", |trial| {
        let client = trial.account();
        let _ = trial.refuse("an unknown resource", || client.read(&client.url("nothing")));
        let _ = trial.refuse("an unknown resource, unsigned", || post(&client, "nothing", b"", &[]));
    }),
    Row::refused("N-005", "A request of type application/json is no request", 415, "malformed", |trial| {
        let client = trial.account();
        let _ = trial.refuse("application/json", || new_order(&client, &[("Content-Type", "application/json")]));
    }),
    Row::refused("N-006", "A request without a type is no request", 415, "malformed", |trial| {
        let client = trial.account();
        let _ = trial.refuse("no Content-Type", || new_order(&client, &[]));
    }),
    Row::refused("N-007", "A body of 1 MiB is too large", 413, "malformed", |trial| {
        let client = trial.account();
        let body = format!("{{\"payload\":\"{}\"}}", "A".repeat(1024 * 1024));
        let _ =
            trial.refuse("1 MiB of JSON", || post(&client, "new-order", body.as_bytes(), &[("Content-Type", JOSE)]));
    }),
    Row::refused("N-008", "An empty body is no request", 400, "malformed", |trial| {
        let client = trial.account();
        let _ = trial.refuse("nothing", || post(&client, "new-order", b"", &[("Content-Type", JOSE)]));
    }),
    Row::refused("N-009", "A body that is no JSON is no request", 400, "malformed", |trial| {
        let client = trial.account();
        let _ = trial.refuse("hello", || post(&client, "new-order", b"hello", &[("Content-Type", JOSE)]));
    }),
    Row::refused("N-010", "A body that is no UTF-8 is no request", 400, "malformed", |trial| {
        let client = trial.account();
        let mut body = signed_new_order(&client).into_bytes();
        body.splice(1..1, *b"\"a\":\"\xff\xfe\",");
        let _ = trial
            .refuse("two octets that are no text", || post(&client, "new-order", &body, &[("Content-Type", JOSE)]));
    }),
    Row::refused("N-165", "A slash at the end of a URL is one too many", 404, "malformed", |trial| {
        let client = trial.account();
        let fixed = ["new-account", "new-order", "revoke-cert", "key-change", "new-nonce"];
        for (what, url) in
            fixed.map(|resource| (resource, client.url(resource))).into_iter().chain(owned(trial, &client))
        {
            let url = format!("{url}/");
            let _ = trial.refuse(what, || client.read(&url));
        }
    }),
];

#[test]
fn wrong_http_is_refused() {
    prove(ROWS);
}

fn post(client: &Client, resource: &str, body: &[u8], headers: &[(&str, &str)]) -> Response {
    client.send_octets(&client.url(resource), body, headers)
}

/// A newOrder in which nothing but its surroundings is wrong.
fn signed_new_order(client: &Client) -> String {
    let payload = json!({"identifiers": [{"type": "dns", "value": "http.example.test"}]});
    client.draft(&client.url("new-order"), payload.to_string()).sign().to_string()
}

fn new_order(client: &Client, headers: &[(&str, &str)]) -> Response {
    post(client, "new-order", signed_new_order(client).as_bytes(), headers)
}

/// One URL of each kind that belongs to an account.
fn owned(trial: &mut Trial, client: &Client) -> Vec<(&'static str, String)> {
    let order = client.order(&["owned.http.example.test"]);
    let authorization = strings(&order.object["authorizations"]).remove(0);
    let challenge = challenge_url(&client.read(&authorization).expect(200).json(), "http-01");
    let issued = client.issue(&["issued.http.example.test"]);
    trial.watch(client);
    let account = client.account_url();
    vec![
        ("account", account.clone()),
        ("orders", format!("{account}/orders")),
        ("order", order.url.clone()),
        ("finalize", order.object["finalize"].as_str().unwrap().to_owned()),
        ("authorization", authorization),
        ("challenge", challenge),
        ("certificate", issued.url),
    ]
}
