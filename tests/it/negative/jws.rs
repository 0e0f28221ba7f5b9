//! Wrong envelopes: serialization, headers, algorithms and signatures (RFC 8555 §6.2; RFC 7515, RFC 7518, RFC 7797).

use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use serde_json::{Value, json};
use tests::{
    base64url,
    client::{Client, JOSE},
    from_base64url,
    jws::{Draft, sign_text},
    key::{Key, Kind},
    response::Response,
};

use super::{Row, prove, trial::Trial};

/// What a server must tell a client whose algorithm it refuses (RFC 8555 §6.2).
const ALGORITHMS: [&str; 5] = ["ES256", "ES384", "ES512", "EdDSA", "RS256"];

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-011", "The compact serialization is no request", 400, "malformed", |trial| {
        let client = trial.account();
        let jws = new_order(&client).sign();
        let part = |member: &str| jws[member].as_str().unwrap().to_owned();
        let compact = [part("protected"), part("payload"), part("signature")].join(".");
        let _ = trial.refuse("a.b.c", || send_text(&client, &compact));
        let _ = trial.refuse("the same in quotes", || send_text(&client, &format!("\"{compact}\"")));
    }),
    Row::refused("N-012", "The general serialization with one signature is no request", 400, "malformed", |trial| {
        spoil(trial, "one signature", |draft| general(&draft, 1));
    }),
    Row::refused("N-013", "Two signatures are no request", 400, "malformed", |trial| {
        spoil(trial, "two signatures", |draft| general(&draft, 2));
    }),
    Row::refused("N-014", "A flattened request has no member signatures", 400, "malformed", |trial| {
        spoil(trial, "signature and signatures", |draft| {
            let mut jws = draft.sign();
            jws["signatures"] = general(&draft, 1)["signatures"].take();
            jws
        });
    }),
    Row::refused("N-015", "A request has no unprotected header, be it empty", 400, "malformed", |trial| {
        spoil(trial, "an empty one", |draft| changed(&draft, |jws| jws["header"] = json!({})));
    }),
    Row::refused("N-016", "Algorithm and nonce count in the protected header only", 400, "malformed", |trial| {
        for member in ["alg", "nonce"] {
            spoil(trial, member, |draft| {
                let header = json!({member: draft.protected[member]});
                changed(&draft.without(member), |jws| jws["header"] = header)
            });
        }
    }),
    Row::refused("N-017", "A request has a payload, be it empty", 400, "malformed", |trial| {
        spoil(trial, "no member payload", |draft| changed(&draft, |jws| drop(remove(jws, "payload"))));
    }),
    Row::refused("N-018", "A payload of null is none", 400, "malformed", |trial| {
        spoil(trial, "null", |draft| changed(&draft, |jws| jws["payload"] = Value::Null));
        spoil(trial, "a number", |draft| changed(&draft, |jws| jws["payload"] = 7.into()));
    }),
    Row::refused("N-019", "Base64url has no padding", 400, "malformed", |trial| {
        for member in ["protected", "payload", "signature"] {
            spoil(trial, member, |draft| {
                changed(&draft, |jws| jws[member] = format!("{}=", jws[member].as_str().unwrap()).into())
            });
        }
    }),
    Row::refused("N-020", "A signature in plain base64 is none", 400, "malformed", |trial| {
        spoil(trial, "with + and /", |draft| {
            // Signatures by ES256 differ from time to time; one in a few has both characters that make the difference.
            loop {
                let mut jws = draft.sign();
                let signature = jws["signature"].as_str().unwrap();
                if signature.contains('-') && signature.contains('_') {
                    jws["signature"] = signature.replace('-', "+").replace('_', "/").into();
                    return jws;
                }
            }
        });
    }),
    Row::refused("N-021", "A protected header is a JSON object", 400, "malformed", |trial| {
        for header in ["[]", "\"alg\"", "null", "7", "", "{\"alg\":\"ES256\""] {
            spoil(trial, header, |draft| sign_text(header, &draft.payload, &draft.key));
        }
    }),
    Row::refused("N-022", "A protected header has each member once", 400, "malformed", |trial| {
        for member in ["url", "nonce", "alg", "kid"] {
            spoil(trial, member, |draft| {
                let header = Value::from(draft.protected.clone()).to_string();
                let twice = header.replacen('{', &format!("{{\"{member}\":{},", draft.protected[member]), 1);
                sign_text(&twice, &draft.payload, &draft.key)
            });
        }
    }),
    Row::refused("N-023", "Payloads that are not base64 are not negotiated", 400, "malformed", |trial| {
        spoil(trial, "b64 false, critical", |draft| draft.with("b64", false).with("crit", json!(["b64"])).sign());
        spoil(trial, "b64 false", |draft| draft.with("b64", false).sign());
    }),
    Row::refused("N-024", "Payloads that are base64 are not negotiated either", 400, "malformed", |trial| {
        spoil(trial, "b64 true", |draft| draft.with("b64", true).sign());
    }),
    Row::refused("N-025", "Extensions that must be understood are not", 400, "malformed", |trial| {
        spoil(trial, "foo", |draft| draft.with("foo", 1).with("crit", json!(["foo"])).sign());
    }),
    Row::refused("N-026", "A list of critical extensions is not empty", 400, "malformed", |trial| {
        spoil(trial, "crit []", |draft| draft.with("crit", json!([])).sign());
    }),
    Row::refused("N-027", "A request names its key in one way, not in two", 400, "malformed", |trial| {
        spoil(trial, "jwk and kid", |draft| {
            let jwk = draft.key.jwk();
            draft.with("jwk", jwk).sign()
        });
    }),
    Row::refused("N-028", "A request names its key", 400, "malformed", |trial| {
        spoil(trial, "neither jwk nor kid", |draft| draft.without("kid").sign());
    }),
    Row::refused("N-029", "An account orders by its URL, not by its key", 400, "malformed", |trial| {
        spoil(trial, "jwk of an account", |draft| {
            let jwk = draft.key.jwk();
            draft.without("kid").with("jwk", jwk).sign()
        });
    }),
    Row::refused("N-030", "An account is created by its key, not by a URL", 400, "malformed", |trial| {
        let client = trial.account();
        let url = client.url("new-account");
        let _ = trial.refuse("kid of an account", || client.post(&url, &json!({})));
    }),
    Row::refused("N-031", "No signature is none", 400, "badSignatureAlgorithm", |trial| {
        refuse_algorithm(trial, "none", |draft| {
            changed(&draft.with("alg", "none"), |jws| jws["signature"] = "".into())
        });
    }),
    Row::refused("N-032", "A MAC under a public key is no signature", 400, "badSignatureAlgorithm", |trial| {
        refuse_algorithm(trial, "HS256 with the octets of the public key", |draft| {
            let spki = draft.key.pkey().public_key_to_der().unwrap();
            changed(&draft.with("alg", "HS256"), |jws| {
                let input = format!("{}.{}", jws["protected"].as_str().unwrap(), jws["payload"].as_str().unwrap());
                let key = PKey::hmac(&spki).unwrap();
                let mac = Signer::new(MessageDigest::sha256(), &key).unwrap().sign_oneshot_to_vec(input.as_bytes());
                jws["signature"] = base64url(mac.unwrap()).into();
            })
        });
    }),
    Row::refused("N-033", "Weak and unknown algorithms are refused", 400, "badSignatureAlgorithm", |trial| {
        for algorithm in ["RS1", "XX999", "es256", ""] {
            refuse_algorithm(trial, &format!("alg {algorithm:?}"), |draft| draft.with("alg", algorithm).sign());
        }
    }),
    Row::refused("N-034", "A request says how it is signed", 400, "malformed", |trial| {
        spoil(trial, "no alg", |draft| draft.without("alg").sign());
    }),
    Row::refused("N-035", "A signature with one bit changed is none", 400, "malformed", |trial| {
        spoil(trial, "one bit", |draft| {
            changed(&draft, |jws| {
                let mut signature = from_base64url(jws["signature"].as_str().unwrap());
                signature[40] ^= 1;
                jws["signature"] = base64url(signature).into();
            })
        });
    }),
    Row::refused("N-036", "The signature of another payload is none of this one", 400, "malformed", |trial| {
        spoil(trial, "another payload", |draft| {
            let payload = "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"other.jws.example.test\"}]}";
            changed(&draft, |jws| jws["payload"] = base64url(payload).into())
        });
    }),
    Row::refused("N-037", "A signature by ES256 is two numbers, not DER", 400, "malformed", |trial| {
        spoil(trial, "DER", |draft| {
            changed(&draft, |jws| {
                let input = format!("{}.{}", jws["protected"].as_str().unwrap(), jws["payload"].as_str().unwrap());
                jws["signature"] = base64url(draft.key.sign_der(input.as_bytes())).into();
            })
        });
    }),
    Row::refused("N-039", "An account's key signs by its own algorithm", 400, "malformed", |trial| {
        let mut client = trial.world().client_with("open", Key::generate(Kind::Rsa(2048)));
        let _ = client.register(&json!({})).expect(201);
        trial.watch(&client);
        let _ = trial.refuse("ES256 for an RSA account, signed by another key", || {
            let draft = Draft { key: Key::p256(), ..new_order(&client).with("alg", "ES256") };
            client.send(&client.url("new-order"), &draft.sign())
        });
        let _ = trial.refuse("ES256 for an RSA account, signed by its key", || {
            client.send(&client.url("new-order"), &new_order(&client).with("alg", "ES256").sign())
        });
    }),
    Row::refused("N-046", "An account URL of another server is none of ours", 400, "malformed", |trial| {
        let (other, plain) =
            (|kid: &str| kid.replace("localhost", "example.test"), |kid: &str| kid.replace("https", "http"));
        spoil(trial, "another host", |draft| with_kid(draft, other));
        spoil(trial, "http", |draft| with_kid(draft, plain));
        spoil(trial, "the account of another directory", |draft| with_kid(draft, |kid| kid.replace("/open/", "/web/")));
        spoil(trial, "nothing", |draft| with_kid(draft, |_| String::new()));
    }),
    Row::refused("N-047", "An account URL that nobody has names no account", 400, "accountDoesNotExist", |trial| {
        spoil(trial, "made up", |draft| {
            with_kid(draft, |kid| format!("{}/reg_01ARZ3NDEKTSV4RRFFQ69G5FAV", kid.rsplit_once('/').unwrap().0))
        });
        spoil(trial, "of no form", |draft| with_kid(draft, |kid| format!("{}/x", kid.rsplit_once('/').unwrap().0)));
    }),
    Row::refused("N-048", "An account URL has no slash at its end", 400, "accountDoesNotExist", |trial| {
        spoil(trial, "a slash", |draft| with_kid(draft, |kid| format!("{kid}/")));
    }),
];

#[test]
fn wrong_envelopes_are_refused() {
    prove(ROWS);
}

/// A newOrder that nothing is wrong with.
fn new_order(client: &Client) -> Draft {
    let payload = json!({"identifiers": [{"type": "dns", "value": "jws.example.test"}]});
    client.draft(&client.url("new-order"), payload.to_string())
}

fn send_text(client: &Client, body: &str) -> Response {
    client.send_octets(&client.url("new-order"), body.as_bytes(), &[("Content-Type", JOSE)])
}

/// A newOrder of a new account, made wrong.
fn spoil(trial: &mut Trial, what: &str, make: impl FnOnce(Draft) -> Value) -> Response {
    let client = trial.account();
    trial.refuse(what, || client.send(&client.url("new-order"), &make(new_order(&client))))
}

fn refuse_algorithm(trial: &mut Trial, what: &str, make: impl FnOnce(Draft) -> Value) {
    let response = spoil(trial, what, make);
    assert_eq!(response.json()["algorithms"], json!(ALGORITHMS), "{what}");
}

fn with_kid(draft: Draft, change: impl FnOnce(&str) -> String) -> Value {
    let kid = change(draft.protected["kid"].as_str().unwrap());
    draft.with("kid", kid).sign()
}

/// The signed request with its members changed.
fn changed(draft: &Draft, change: impl FnOnce(&mut Value)) -> Value {
    let mut jws = draft.sign();
    change(&mut jws);
    jws
}

fn remove(jws: &mut Value, member: &str) -> Value {
    jws.as_object_mut().unwrap().remove(member).unwrap()
}

/// The general serialization, with the one signature so many times.
fn general(draft: &Draft, count: usize) -> Value {
    let jws = draft.sign();
    let one = json!({"protected": jws["protected"], "signature": jws["signature"]});
    json!({"payload": jws["payload"], "signatures": vec![one; count]})
}
