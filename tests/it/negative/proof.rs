//! That a trial can fail: answers that are wrong in one thing each, and a refusal that had an effect.

use serde_json::Value;
use tests::{
    client::{Client, JOSE},
    response::Response,
};

use super::{Row, trial::Trial, world};

static ROW: Row = Row::refused("N-000", "A row that is no row", 400, "malformed", |_| {});

/// Whether a trial takes what this sends for the refusal that it should be.
fn passes(make: impl FnOnce(&Client) -> Response) -> bool {
    let mut trial = Trial::new(&ROW, world());
    let client = trial.account();
    !tests::panics(|| drop(trial.refuse("a request", || make(&client))))
}

/// A rightly refused request.
fn refused(client: &Client) -> Response {
    client.new_order(&["a..b"])
}

fn changed(change: impl FnOnce(&mut Response)) -> bool {
    passes(|client| {
        let mut response = refused(client);
        change(&mut response);
        response
    })
}

fn with_member(name: &str, value: Value) -> bool {
    changed(|response| {
        let mut problem = response.json();
        problem[name] = value;
        response.body = problem.to_string().into_bytes();
        set(response, "content-length", &response.body.len().to_string());
    })
}

fn set(response: &mut Response, name: &str, value: &str) {
    let found = response.headers.iter_mut().find(|header| header.0.eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("no {name}")).1 = value.to_owned();
}

fn without(name: &str) -> bool {
    changed(|response| response.headers.retain(|header| !header.0.eq_ignore_ascii_case(name)))
}

fn twice(name: &str) -> bool {
    changed(|response| {
        let header = response.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name)).unwrap().clone();
        response.headers.push(header);
    })
}

#[test]
fn a_right_refusal_passes() {
    assert!(passes(refused));
    assert!(changed(|_| {}));
}

#[test]
fn a_refusal_that_is_wrong_in_one_thing_fails() {
    let wrong = [
        ("another status", changed(|response| response.status = 403)),
        ("our fault", changed(|response| response.status = 500)),
        ("another status in the document", with_member("status", 403.into())),
        ("another type", with_member("type", "urn:ietf:params:acme:error:badCSR".into())),
        ("no detail", with_member("detail", Value::Null)),
        ("two lines", with_member("detail", "one\ntwo".into())),
        ("double quotes", with_member("detail", "a \"b\"".into())),
        ("an identifier at the top", with_member("identifier", "a..b".into())),
        ("another media type", changed(|response| set(response, "content-type", "application/json"))),
        ("a parameter", changed(|response| set(response, "content-type", "application/problem+json; charset=utf-8"))),
        ("no nonce", without("replay-nonce")),
        ("two nonces", twice("replay-nonce")),
        ("a short nonce", changed(|response| set(response, "replay-nonce", "AAAA"))),
        ("no links", without("link")),
        ("may be cached", without("cache-control")),
        ("another length", changed(|response| set(response, "content-length", "1"))),
        ("moved", changed(|response| response.headers.push(("Location".to_owned(), "/".to_owned())))),
        (
            "a date to come again",
            changed(|response| response.headers.push(("Retry-After".to_owned(), "soon".to_owned()))),
        ),
        ("no refusal", passes(|client| client.new_order(&["done.proof.test"]))),
    ];
    for (what, passed) in wrong {
        assert!(!passed, "{what} was taken for right");
    }
}

#[test]
fn a_refusal_that_had_an_effect_fails() {
    let with_order = |client: &Client| {
        let _ = client.order(&["effect.proof.test"]);
        refused(client)
    };
    let with_contact = |client: &Client| {
        let contact = serde_json::json!({"contact": ["mailto:effect@example.org"]});
        let _ = client.post(&client.account_url(), &contact).expect(200);
        refused(client)
    };
    let with_spent_nonce = |client: &Client| {
        let url = client.account_url();
        let reading = client.draft(&url, "");
        let response = refused(client);
        let spent = reading.with("nonce", response.header("replay-nonce").unwrap()).sign().to_string();
        let headers = [("Content-Type", JOSE)];
        let _ = client.site().send("POST", &url, &headers, Some(spent.as_bytes())).expect(200);
        response
    };
    assert!(!passes(with_order), "an order was made");
    assert!(!passes(with_contact), "a contact was changed");
    assert!(!passes(with_spent_nonce), "the nonce was good for nothing");
}
