//! A protected `url` that is not the one that was given out (RFC 8555 §6.4).

use serde_json::json;
use tests::{client::Client, response::Response};

use super::{Row, prove};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-049", "A request that was meant for another resource is refused", 403, "unauthorized", |trial| {
        let client = trial.account();
        for resource in ["revoke-cert", "new-account", "acct/x", "new-orders"] {
            let _ = trial.refuse(resource, || new_order_for(&client, &client.url(resource)));
        }
        let elsewhere = client.url("new-order").replace("/open/", "/web/");
        let _ = trial.refuse("newOrder of another directory", || new_order_for(&client, &elsewhere));
        let _ = trial.refuse("nothing", || new_order_for(&client, ""));
    }),
    Row::refused("N-050", "URLs are compared letter by letter", 403, "unauthorized", |trial| {
        let client = trial.account();
        let url = client.url("new-order");
        let port = url.split(':').nth(2).and_then(|rest| rest.split('/').next()).unwrap();
        for (what, other) in [
            ("http", url.replace("https:", "http:")),
            ("the default port", url.replace(&format!(":{port}"), ":443")),
            ("no port", url.replace(&format!(":{port}"), "")),
            ("upper-case host", url.replace("localhost", "LOCALHOST")),
            ("upper-case scheme", url.replace("https:", "HTTPS:")),
            ("a query", format!("{url}?a=b")),
            ("an empty query", format!("{url}?")),
            ("a fragment", format!("{url}#a")),
            ("a slash", format!("{url}/")),
            ("two slashes", url.replace("/new-order", "//new-order")),
            ("an escape", url.replace("new-order", "new%2Dorder")),
            ("user information", url.replace("https://", "https://a@")),
            ("the path alone", url.replace(&client.site().external_url, "")),
        ] {
            assert_ne!(other, url, "{what}");
            let _ = trial.refuse(what, || new_order_for(&client, &other));
        }
    }),
    Row::refused("N-051", "A request says what it is meant for", 400, "malformed", |trial| {
        let client = trial.account();
        let url = client.url("new-order");
        let _ = trial.refuse("no url", || client.send(&url, &client.draft(&url, PAYLOAD).without("url").sign()));
    }),
    Row::refused("N-052", "A request is meant for one URL, which is text", 400, "malformed", |trial| {
        let client = trial.account();
        let url = client.url("new-order");
        for (what, other) in [("a list", json!([url])), ("a number", json!(7)), ("null", json!(null))] {
            let _ = trial.refuse(what, || client.send(&url, &client.draft(&url, PAYLOAD).with("url", other).sign()));
        }
    }),
];

const PAYLOAD: &str = "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"url.example.test\"}]}";

#[test]
fn requests_that_were_meant_for_another_url_are_refused() {
    prove(ROWS);
}

/// A newOrder in whose protected header this URL stands.
fn new_order_for(client: &Client, url: &str) -> Response {
    let to = client.url("new-order");
    client.send(&to, &client.draft(&to, PAYLOAD).with("url", url).sign())
}
