//! Requests that are not what RFC 8555 §6.2 to §6.4 asks for: each is refused by its own rule, and none has an effect.

use serde_json::{Value, json};
use tests::{
    base64url,
    client::Client,
    jws::{Draft, sign_text},
    key::{Key, Kind},
    response::Response,
};

use crate::world;

/// Sends a newOrder that was made wrong, and asserts that it left no order behind.
#[track_caller]
fn refused(client: &Client, status: u16, kind: &str, make: impl FnOnce(Draft) -> Value) -> Response {
    let response = client.send(&client.url("new-order"), &make(new_order(client)));
    let _ = response.assert_refused(status, kind);
    let orders = client.read(&format!("{}/orders", client.account_url())).expect(200).json();
    assert_eq!(orders["orders"], json!([]), "a refused request had an effect");
    response
}

fn new_order(client: &Client) -> Draft {
    let payload = json!({"identifiers": [{"type": "dns", "value": "jws.example.test"}]});
    client.draft(&client.url("new-order"), payload.to_string())
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

#[test]
fn bodies_that_are_no_flattened_jws_are_malformed() {
    let client = world().account();
    let url = client.url("new-order");
    let bodies: [&[u8]; 7] = [b"", b"hello", b"\xff\xfe{}", b"a.b.c", b"[]", b"{}", b"\xef\xbb\xbf{}"];
    for body in bodies {
        let _ = client
            .send_octets(&url, body, &[("Content-Type", "application/jose+json")])
            .assert_refused(400, "malformed");
    }
}

#[test]
fn other_serializations_are_malformed() {
    let client = world().account();
    let one = |jws: &Value| json!({"protected": jws["protected"], "signature": jws["signature"]});
    let general = |draft: Draft, count: usize| {
        changed(&draft, |jws| {
            let signatures = vec![one(jws); count];
            *jws = json!({"payload": jws["payload"], "signatures": signatures});
        })
    };
    let _ = refused(&client, 400, "malformed", |draft| general(draft, 1));
    let _ = refused(&client, 400, "malformed", |draft| general(draft, 2));
    let _ = refused(&client, 400, "malformed", |draft| changed(&draft, |jws| jws["signatures"] = json!([one(jws)])));
}

#[test]
fn unprotected_headers_are_malformed() {
    let client = world().account();
    let _ = refused(&client, 400, "malformed", |draft| changed(&draft, |jws| jws["header"] = json!({})));
    let _ = refused(&client, 400, "malformed", |draft| {
        let header = json!({"alg": draft.protected["alg"], "nonce": draft.protected["nonce"]});
        changed(&draft.without("alg").without("nonce"), |jws| jws["header"] = header)
    });
}

#[test]
fn a_payload_must_be_there_and_be_text() {
    let client = world().account();
    let _ = refused(&client, 400, "malformed", |draft| changed(&draft, |jws| drop(remove(jws, "payload"))));
    let _ = refused(&client, 400, "malformed", |draft| changed(&draft, |jws| jws["payload"] = Value::Null));
    let _ = refused(&client, 400, "malformed", |draft| changed(&draft, |jws| jws["payload"] = json!({})));
}

#[test]
fn base64_that_is_not_base64url_without_padding_is_malformed() {
    let client = world().account();
    let spoil = |member: &'static str, spoil: fn(&str) -> String| {
        move |draft: Draft| changed(&draft, |jws| jws[member] = spoil(jws[member].as_str().unwrap()).into())
    };
    for member in ["protected", "payload", "signature"] {
        let _ = refused(&client, 400, "malformed", spoil(member, |text| format!("{text}=")));
        let _ = refused(&client, 400, "malformed", spoil(member, |text| format!("{text}\n")));
        let _ = refused(&client, 400, "malformed", spoil(member, |text| format!("+/{text}")));
    }
}

#[test]
fn the_protected_header_is_one_json_object_with_every_member_once() {
    let client = world().account();
    for header in ["[]", "\"alg\"", "null", "", "{\"alg\":\"ES256\""] {
        let _ = refused(&client, 400, "malformed", |draft| sign_text(header, &draft.payload, &draft.key));
    }
    let _ = refused(&client, 400, "malformed", |draft| {
        let text = Value::from(draft.protected.clone()).to_string();
        let twice = text.replacen('{', &format!("{{\"url\":{},", draft.protected["url"]), 1);
        sign_text(&twice, &draft.payload, &draft.key)
    });
}

#[test]
fn extensions_that_must_be_understood_are_malformed() {
    let client = world().account();
    let _ = refused(&client, 400, "malformed", |draft| draft.with("b64", false).with("crit", json!(["b64"])).sign());
    let _ = refused(&client, 400, "malformed", |draft| draft.with("b64", true).sign());
    let _ = refused(&client, 400, "malformed", |draft| draft.with("foo", 1).with("crit", json!(["foo"])).sign());
    let _ = refused(&client, 400, "malformed", |draft| draft.with("crit", json!([])).sign());
}

#[test]
fn members_that_mean_nothing_here_are_ignored() {
    let client = world().account();
    let strange = new_order(&client).with("typ", "JWT").with("cty", "x").with("jku", "https://127.0.0.1/keys");
    let _ = client.send(&client.url("new-order"), &strange.sign()).expect(201);
}

#[test]
fn exactly_one_of_jwk_and_kid_is_wanted_and_each_where_it_belongs() {
    let client = world().account();
    let jwk = client.key.jwk();
    let _ = refused(&client, 400, "malformed", |draft| draft.with("jwk", jwk.clone()).sign());
    let _ = refused(&client, 400, "malformed", |draft| draft.without("kid").sign());
    let _ = refused(&client, 400, "malformed", |draft| draft.without("kid").with("jwk", jwk.clone()).sign());
    let url = client.url("new-account");
    let by_account = client.draft(&url, json!({"onlyReturnExisting": true}).to_string());
    let _ = client.send(&url, &by_account.sign()).assert_refused(400, "malformed");
}

#[test]
fn algorithms_that_are_no_signatures_or_unknown_are_refused_with_a_list_of_good_ones() {
    let client = world().account();
    for algorithm in ["none", "HS256", "RS1", "XX999", "es256"] {
        let response = refused(&client, 400, "badSignatureAlgorithm", |draft| draft.with("alg", algorithm).sign());
        assert_eq!(response.json()["algorithms"], json!(["ES256", "ES384", "ES512", "EdDSA", "RS256"]));
    }
    let unsigned = |draft: Draft| changed(&draft.with("alg", "none"), |jws| jws["signature"] = "".into());
    let _ = refused(&client, 400, "badSignatureAlgorithm", unsigned);
    let _ = refused(&client, 400, "malformed", |draft| draft.without("alg").sign());
    let _ = refused(&client, 400, "malformed", |draft| draft.with("alg", json!(["ES256"])).sign());
}

#[test]
fn signatures_that_do_not_fit_are_malformed() {
    let client = world().account();
    let _ = refused(&client, 400, "malformed", |draft| {
        changed(&draft, |jws| {
            let mut signature = tests::from_base64url(jws["signature"].as_str().unwrap());
            signature[40] ^= 1;
            jws["signature"] = base64url(signature).into();
        })
    });
    let _ = refused(&client, 400, "malformed", |draft| {
        changed(&draft, |jws| jws["payload"] = base64url(b"{\"identifiers\":[]}").into())
    });
    let _ = refused(&client, 400, "malformed", |draft| {
        changed(&draft, |jws| {
            let input = format!("{}.{}", jws["protected"].as_str().unwrap(), jws["payload"].as_str().unwrap());
            jws["signature"] = base64url(draft.key.sign_der(input.as_bytes())).into();
        })
    });
    let _ = refused(&client, 400, "malformed", |draft| Draft { key: Key::p256(), ..draft }.sign());
}

#[test]
fn an_algorithm_must_fit_its_key() {
    let client = world().client("open");
    let url = client.url("new-account");
    let key = Key::generate(Kind::P384);
    let draft = client.self_signed(&url, &json!({}), &key).with("alg", "ES256");
    let _ = client.send(&url, &draft.sign()).assert_refused(400, "badPublicKey");

    let mut client = world().client_with("open", Key::generate(Kind::Rsa(2048)));
    let _ = client.register(&json!({})).expect(201);
    let _ = refused(&client, 400, "malformed", |draft| Draft { key: Key::p256(), ..draft.with("alg", "ES256") }.sign());
}

#[test]
fn a_kid_that_is_no_account_of_this_directory_is_refused() {
    let client = world().account();
    let account = client.account_url();
    let other = |kid: String| move |draft: Draft| draft.with("kid", kid).sign();
    let _ = refused(&client, 400, "malformed", other(account.replace("localhost", "example.test")));
    let _ = refused(&client, 400, "malformed", other(account.replace("/open/", "/registered/")));
    let _ = refused(&client, 400, "malformed", other(account.replace("https", "http")));
    let unknown = format!("{}/reg_01ARZ3NDEKTSV4RRFFQ69G5FAV", client.url("acct"));
    let _ = refused(&client, 400, "accountDoesNotExist", other(unknown));
    let _ = refused(&client, 400, "accountDoesNotExist", other(format!("{account}/")));
    let _ = refused(&client, 400, "malformed", |draft| draft.with("kid", 7).sign());
}

#[test]
fn a_url_that_is_not_the_one_given_out_is_not_authorized() {
    let client = world().account();
    let url = client.url("new-order");
    let other = |url: String| move |draft: Draft| draft.with("url", url).sign();
    let _ = refused(&client, 403, "unauthorized", other(client.url("revoke-cert")));
    let _ = refused(&client, 403, "unauthorized", other(url.replace("https", "http")));
    let _ = refused(&client, 403, "unauthorized", other(url.replace("localhost", "LOCALHOST")));
    let _ = refused(&client, 403, "unauthorized", other(format!("{url}?a=b")));
    let _ = refused(&client, 400, "malformed", |draft| draft.without("url").sign());
    let _ = refused(&client, 400, "malformed", |draft| draft.with("url", json!([url])).sign());
}

#[test]
fn a_nonce_that_cannot_be_one_is_malformed() {
    let client = world().account();
    let _ = refused(&client, 400, "malformed", |draft| draft.with("nonce", "!!!").sign());
    let _ = refused(&client, 400, "malformed", |draft| draft.with("nonce", 7).sign());
}

#[test]
fn payloads_that_are_no_json_object_are_malformed() {
    let client = world().account();
    for payload in ["", "[]", "null", "\"x\"", "{", "{} {}", "\u{feff}{}", "{\"identifiers\":[],\"identifiers\":[]}"] {
        let _ = refused(&client, 400, "malformed", |draft| Draft { payload: payload.into(), ..draft }.sign());
    }
    let deep = format!("{}{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    let _ = refused(&client, 400, "malformed", |draft| Draft { payload: deep.into(), ..draft }.sign());
    let _ = refused(&client, 400, "malformed", |draft| Draft { payload: vec![b'{', 0xff, b'}'], ..draft }.sign());
}

#[test]
fn a_payload_has_every_member_once_at_any_depth() {
    let client = world().account();
    for payload in [
        r#"{"identifiers":[{"type":"dns","value":"a.test"}],"identifiers":[{"type":"dns","value":"b.test"}]}"#,
        r#"{"identifiers":[{"type":"dns","value":"a.test","value":"b.test"}]}"#,
        r#"{"identifiers":[{"type":"dns","value":"a.test","v\u0061lue":"a.test"}]}"#,
        r#"{"identifiers":[{"type":"dns","value":"a.test"}],"unknown":{"a":[{"b":1,"b":1}]}}"#,
    ] {
        let url = client.url("new-order");
        let detail = client.send(&url, &client.draft(&url, payload).sign()).assert_refused(400, "malformed");
        assert!(detail.contains("twice"), "{payload}: {detail}");
    }
    let nobody = world().client("open");
    for payload in [
        r#"{"externalAccountBinding":{"protected":"e30","payload":"e30","payload":"","signature":"AA"}}"#,
        r#"{"contact":[],"onlyReturnExisting":true,"onlyReturnExisting":false}"#,
    ] {
        let url = nobody.url("new-account");
        let detail = nobody.send(&url, &nobody.draft(&url, payload).sign()).assert_refused(400, "malformed");
        assert!(detail.contains("twice"), "{payload}: {detail}");
    }
    let deep =
        format!(r#"{{"identifiers":[{{"type":"dns","value":"a.test"}}],"x":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    let _ = refused(&client, 400, "malformed", |draft| Draft { payload: deep.clone().into_bytes(), ..draft }.sign());
}
