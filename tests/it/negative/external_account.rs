//! External account bindings that bind nothing (RFC 8555 §7.3.4).

use serde_json::{Value, json};
use tests::{
    client::Client,
    jws::Binding,
    key::{Key, Kind},
    officer::Preregistration,
    response::Response,
};

use super::{Row, prove, trial::Trial};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-068", "Where officers register, a binding is needed", 403, "externalAccountRequired", |trial| {
        let client = trial.stranger("registered");
        let _ = trial.refuse("no member", || new_account(&client, &json!({})));
        let _ = trial.refuse("null", || new_account(&client, &json!({"externalAccountBinding": null})));
    }),
    Row::refused("N-069", "A key id that nobody has binds nothing", 403, "unauthorized", |trial| {
        let (client, account) = preregistered(trial);
        let _ = trial.refuse("made up", || bind(&client, &client.binding("kid-of-nobody", &account.secret)));
    }),
    Row::refused(
        "N-070",
        "A wrong secret is told in the same words as an unknown key id",
        403,
        "unauthorized",
        |trial| {
            let (client, account) = preregistered(trial);
            let unknown = trial.refuse("unknown key id", || bind(&client, &client.binding("kid-of-nobody", &[7; 32])));
            let wrong = trial.refuse("wrong secret", || bind(&client, &client.binding(&account.kid, &[7; 32])));
            assert_eq!(unknown.body, wrong.body, "whether a key id exists is nobody's business");
            let _ = bind(&client, &client.binding(&account.kid, &account.secret)).expect(201);
        },
    ),
    Row::refused("N-071", "A binding is a MAC", 400, "malformed", |trial| {
        for algorithm in ["RS256", "ES256", "none", "HS1"] {
            spoil(trial, algorithm, |binding| {
                let mut header = binding.header();
                header["alg"] = algorithm.into();
                binding.sign_with(&header)
            });
        }
        spoil(trial, "ES256, signed by the account key", |binding| {
            let key = Key::generate(Kind::P256);
            let header = json!({"alg": "ES256", "kid": binding.kid, "url": binding.url});
            tests::jws::sign_text(&header.to_string(), key.jwk().to_string().as_bytes(), &key)
        });
    }),
    Row::refused("N-072", "A binding has no nonce of its own", 400, "malformed", |trial| {
        spoil(trial, "a nonce", |binding| {
            let mut header = binding.header();
            header["nonce"] = "AAAAAAAAAAAAAAAAAAAAAA".into();
            binding.sign_with(&header)
        });
    }),
    Row::refused("N-073", "A binding is meant for the URL of its request", 400, "malformed", |trial| {
        for url in ["https://localhost/acme/registered/new-account", "https://example.test/", ""] {
            spoil(trial, &format!("{url:?}"), |binding| Binding { url, ..binding }.sign());
        }
    }),
    Row::refused("N-074", "A binding is for the key that asks", 400, "badPublicKey", |trial| {
        spoil(trial, "another key", |binding| Binding { jwk: Key::p256().jwk(), ..binding }.sign());
    }),
    Row::refused("N-075", "A credential for one account is good for one account", 403, "unauthorized", |trial| {
        let (first, account) = preregistered(trial);
        let _ = bind(&first, &first.binding(&account.kid, &account.secret)).expect(201);
        trial.watch(&first);
        let second = trial.stranger("registered");
        let _ = trial.refuse("a second key", || bind(&second, &second.binding(&account.kid, &account.secret)));
    }),
    Row::refused("N-076", "A binding is a JSON object with the parts of a JWS", 400, "malformed", |trial| {
        for (what, value) in
            [("a text", json!("e30.e30.AA")), ("a number", json!(7)), ("a list", json!([])), ("{}", json!({}))]
        {
            spoil(trial, what, |_| value);
        }
        spoil(trial, "an unprotected header", |binding| {
            let mut jws = binding.sign();
            jws["header"] = json!({});
            jws
        });
        spoil(trial, "no payload", |binding| {
            let mut jws = binding.sign();
            let _ = jws.as_object_mut().unwrap().remove("payload");
            jws
        });
    }),
];

#[test]
fn bindings_that_bind_nothing_are_refused() {
    prove(ROWS);
}

/// A registration that waits for its key, and a stranger to bind.
fn preregistered(trial: &mut Trial) -> (Client, Preregistration) {
    (trial.stranger("registered"), trial.world().officer().preregister(&json!({})))
}

fn new_account(client: &Client, payload: &Value) -> Response {
    let url = client.url("new-account");
    client.send(&url, &client.self_signed(&url, payload, &client.key).sign())
}

fn bind(client: &Client, binding: &Value) -> Response {
    new_account(client, &json!({"externalAccountBinding": binding}))
}

/// A binding that was made wrong uses nothing up: the right one is good afterwards.
fn spoil(trial: &mut Trial, what: &str, make: impl FnOnce(Binding<'_>) -> Value) {
    let (client, account) = preregistered(trial);
    let url = client.url("new-account");
    let jwk = client.key.jwk();
    let binding = make(Binding { algorithm: "HS256", kid: &account.kid, secret: &account.secret, url: &url, jwk });
    let _ = trial.refuse(what, || bind(&client, &binding));
    let _ = bind(&client, &client.binding(&account.kid, &account.secret)).expect(201);
    trial.watch(&client);
}
