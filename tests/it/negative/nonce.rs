//! Nonces that are missing, spent, made up or no nonces at all (RFC 8555 §6.5).

use serde_json::json;
use tests::{base64url, client::Client, jws::Draft, response::Response};

use super::{Row, prove};

/// Words that a widespread shell client searches an answer for.
const WORDS: &str = "JWS has an invalid anti-replay nonce";

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-053", "A request without a nonce is refused and gets one", 400, "badNonce", |trial| {
        let client = trial.account();
        for (what, draft) in [
            ("no nonce", new_order(&client).without("nonce")),
            ("an empty nonce", new_order(&client).with("nonce", "")),
        ] {
            let response = trial.refuse(what, || send(&client, &draft));
            assert!(response.member("detail").contains(WORDS), "{response:?}");
        }
    }),
    Row::refused("N-054", "A nonce that was used is spent", 400, "badNonce", |trial| {
        let client = trial.account();
        let jws = client.draft(&client.account_url(), "").sign();
        let _ = client.send(&client.account_url(), &jws).expect(200);
        let response = trial.refuse("the same request again", || client.send(&client.account_url(), &jws));
        assert!(response.member("detail").contains(WORDS), "{response:?}");
        let spent = new_order(&client);
        let _ = send(&client, &Draft { payload: b"{}".to_vec(), ..spent.clone() }).expect(400);
        let _ = trial.refuse("another request with the nonce of a refused one", || send(&client, &spent));
    }),
    Row::refused("N-055", "A nonce that was never given out is bad, and the next one good", 400, "badNonce", |trial| {
        let client = trial.account();
        for (what, nonce) in
            [("one octet", base64url([7])), ("forty", base64url([7; 40])), ("ninety", base64url([7; 90]))]
        {
            let bad = new_order(&client).with("nonce", nonce);
            let response = trial.refuse(what, || send(&client, &bad));
            assert!(response.member("detail").contains(WORDS), "{response:?}");
            let next = send(&client, &bad).expect(400).header("replay-nonce").unwrap().to_owned();
            let again = client.draft(&client.account_url(), "").with("nonce", next);
            let _ = client.send(&client.account_url(), &again.sign()).expect(200);
        }
    }),
    Row::refused("N-056", "What is no base64url is no nonce", 400, "malformed", |trial| {
        let client = trial.account();
        for nonce in ["!!!", "AAAA=", "AA+/", "AA AA"] {
            let _ = trial.refuse(nonce, || send(&client, &new_order(&client).with("nonce", nonce)));
        }
    }),
    Row::refused("N-058", "A number is no nonce", 400, "malformed", |trial| {
        let client = trial.account();
        for (what, nonce) in [("7", json!(7)), ("null", json!(null)), ("a list", json!(["AAAA"]))] {
            let _ = trial.refuse(what, || send(&client, &new_order(&client).with("nonce", nonce)));
        }
    }),
];

#[test]
fn bad_nonces_are_refused() {
    prove(ROWS);
}

fn new_order(client: &Client) -> Draft {
    let payload = json!({"identifiers": [{"type": "dns", "value": "nonce.example.test"}]});
    client.draft(&client.url("new-order"), payload.to_string())
}

fn send(client: &Client, draft: &Draft) -> Response {
    client.send(&client.url("new-order"), &draft.sign())
}
