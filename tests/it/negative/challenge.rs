//! Responses to challenges that start nothing (RFC 8555 §7.5.1, §8).

use serde_json::json;
use tests::client::strings;

use super::{Row, prove};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-117", "A response is a JSON object", 400, "malformed", |trial| {
        let attempt = trial.attempt("http-01", "shape.challenge.test");
        let client = &attempt.client;
        trial.watch(client);
        for payload in ["[]", "\"x\"", "null", "7", "{", "{}{}"] {
            let url = attempt.url();
            let _ = trial.refuse(payload, || client.send(url, &client.draft(url, payload).sign()));
        }
    }),
    Row::told("N-118", "A challenge that is only read starts nothing", |trial| {
        let attempt = trial.attempt("http-01", "read.challenge.test");
        attempt.provide();
        trial.watch(&attempt.client);
        let response = attempt.client.read(attempt.url()).expect(200);
        assert_eq!(response.member("status"), "pending");
        trial.show("POST-as-GET", &response);
        trial.assert_unchanged("POST-as-GET");
        // A validation that did start would have asked long before the next one has ended.
        let next = trial.attempt("http-01", "responded.challenge.test");
        next.provide();
        let _ = next.respond_and_wait("valid");
        let seen = next.client.site().control("/http-request-history", &json!({}));
        let asked = |token: &str| {
            let targets = seen.as_array().unwrap().iter().map(|request| request["target"].as_str().unwrap());
            targets.filter(|target| target.contains(token)).count()
        };
        assert_eq!((asked(attempt.token()), asked(next.token())), (0, 1), "{seen}");
        trial.assert_unchanged("afterwards");
    }),
    Row::refused("N-119", "A challenge of another account is not answered", 403, "unauthorized", |trial| {
        let attempt = trial.attempt("http-01", "theirs.challenge.test");
        let client = trial.account();
        trial.watch(&attempt.client);
        let _ = trial.refuse("{}", || client.post(attempt.url(), &json!({})));
        let _ = trial.refuse("POST-as-GET", || client.read(attempt.url()));
    }),
    Row::refused("N-120", "After a failure there is no second try", 400, "malformed", |trial| {
        let attempt = trial.attempt("http-01", "second.challenge.test");
        attempt.behave(&json!({"kind": "content", "content": "wrong"}));
        let _ = attempt.respond_and_wait("invalid");
        attempt.behave(&json!({"kind": "trailing-newline"}));
        let client = &attempt.client;
        let other = attempt.url().replace("http-01", "dns-01");
        trial.watch_also(client, &[&attempt.order.url, &attempt.authorization, attempt.url()]);
        let _ = trial.refuse("the same challenge", || client.post(attempt.url(), &json!({})));
        let _ = trial.refuse("another challenge", || client.post(&other, &json!({})));
        let given_up = trial.attempt("http-01", "given-up.challenge.test");
        let client = &given_up.client;
        let _ = client.post(&given_up.authorization, &json!({"status": "deactivated"})).expect(200);
        trial.watch_also(client, &[&given_up.order.url, &given_up.authorization]);
        let _ = trial.refuse("an authorization that was given up", || client.post(given_up.url(), &json!({})));
    }),
    Row::told("N-131", "A wildcard is not proven by a web server", |trial| {
        let client = trial.account();
        let order = client.order(&["*.wildcard.challenge.test", "wildcard.challenge.test"]);
        trial.watch(&client);
        let authorizations = strings(&order.object["authorizations"]);
        let wildcard = client.read(&authorizations[0]).expect(200);
        assert_eq!(wildcard.json()["wildcard"], true);
        trial.show("the authorization", &wildcard);
        let challenges = wildcard.json()["challenges"].clone();
        let offered: Vec<_> = challenges.as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
        assert_eq!(offered, ["dns-01"]);
        let url = challenges[0]["url"].as_str().unwrap();
        for kind in ["http-01", "tls-alpn-01", "dns-02"] {
            trial.refuse_as(kind, 404, "malformed", || client.post(&url.replace("dns-01", kind), &json!({})));
        }
    }),
];

#[test]
fn responses_that_start_nothing_are_refused() {
    prove(ROWS);
}
