//! keyChange (RFC 8555 §7.3.5): what it changes at once, what it leaves alone, and every refusal.

use std::thread;

use openssl::rsa::Rsa;
use serde_json::{Map, Value, json};
use tests::{
    client::{Client, challenge, strings},
    csr::Csr,
    jws::Draft,
    key::{Key, Kind},
    response::Response,
    snapshot::assert_snapshot,
    weak_key,
};

use crate::{fragile_world, world};

/// The inner JWS that changes the client's key to this one, unsigned.
fn inner(client: &Client, new_key: &Key) -> Draft {
    let mut protected = Map::new();
    protected.insert("alg".to_owned(), new_key.algorithm().into());
    protected.insert("url".to_owned(), client.url("key-change").into());
    protected.insert("jwk".to_owned(), new_key.jwk());
    let payload = json!({"account": client.account_url(), "oldKey": client.key.jwk()});
    Draft { protected, payload: payload.to_string().into_bytes(), key: new_key.clone() }
}

fn request(client: &Client, inner: &Value) -> Response {
    client.post(&client.url("key-change"), inner)
}

pub(crate) fn change_key(client: &Client, new_key: &Key) -> Response {
    request(client, &inner(client, new_key).sign())
}

/// The same account in the hand of who has another key.
fn with_key(client: &Client, key: &Key) -> Client {
    let mut twin = client.twin();
    twin.key = key.clone();
    twin
}

/// What newAccount finds for a key.
fn found(client: &Client, key: &Key) -> Response {
    let url = client.url("new-account");
    client.send(&url, &client.self_signed(&url, &json!({"onlyReturnExisting": true}), key).sign())
}

#[test]
fn the_new_key_is_the_accounts_at_once_and_the_old_one_is_dead() {
    let client = world().account();
    let new_key = Key::p256();
    assert_snapshot("key_changed", &change_key(&client, &new_key).to_snapshot());
    let url = client.account_url();
    let renewed = with_key(&client, &new_key);
    assert_eq!(renewed.read(&url).expect(200).json()["status"], "valid");
    assert_eq!(found(&client, &new_key).expect(200).location(), url);
    let _ = client.read(&url).assert_refused(400, "malformed");
    let _ = client.new_order(&["old-key.rollover.test"]).assert_refused(400, "malformed");
    let _ = change_key(&client, &Key::p256()).assert_refused(400, "malformed");
    let _ = found(&client, &client.key).assert_refused(400, "accountDoesNotExist");
    let _ = renewed.order(&["new-key.rollover.test"]);
}

#[test]
fn a_key_that_was_given_up_is_never_taken_again() {
    let client = world().account();
    let new_key = Key::p256();
    let _ = change_key(&client, &new_key).expect(200);
    let mut again = world().client_with("open", client.key.clone());
    let _ = again.register(&json!({})).assert_refused(400, "badPublicKey");
    let renewed = with_key(&client, &new_key);
    let _ = change_key(&renewed, &client.key).assert_refused(400, "badPublicKey");
    let _ = renewed.read(&client.account_url()).expect(200);
}

#[test]
fn keys_of_every_kind_follow_each_other() {
    let mut client = world().account();
    for kind in [Kind::P384, Kind::P521, Kind::Ed25519, Kind::Rsa(2048), Kind::P256] {
        let new_key = Key::generate(kind);
        let _ = change_key(&client, &new_key).expect(200);
        client = with_key(&client, &new_key);
    }
    let _ = client.order(&["kinds.rollover.test"]);
}

#[test]
fn orders_and_certificates_stay_the_accounts() {
    let client = world().account();
    let issued = client.issue(&["stays.rollover.test"]);
    let order = client.ready_order(&["stays-too.rollover.test"]);
    let new_key = Key::p256();
    let _ = change_key(&client, &new_key).expect(200);
    let renewed = with_key(&client, &new_key);
    let csr = Csr::for_names(&["stays-too.rollover.test"]);
    let _ = renewed.finalize(&order, &csr.text(&new_key)).assert_refused(400, "badCSR");
    let _ = renewed.finalize(&order, &csr.text(&Key::p256())).expect(200);
    let _ = renewed.wait(&order, "valid");
    assert_eq!(renewed.read(&issued.url).expect(200).text(), issued.pem);
    let _ = renewed.revoke(&issued.leaf, Value::Null).expect(200);
}

#[test]
fn a_challenge_that_was_answered_with_the_old_key_is_validated_with_it() {
    let client = world().account();
    let names = ["answered.rollover.test", "unanswered.rollover.test"];
    let order = client.order(&names);
    let urls = strings(&order.object["authorizations"]);
    let authorizations: Vec<_> = urls.iter().map(|url| client.read(url).expect(200).json()).collect();
    let answered = challenge(&authorizations[0], "http-01");
    let path = format!("/.well-known/acme-challenge/{}", answered["token"].as_str().unwrap());
    // The first attempt hangs; the second comes after the key was changed.
    client.site().control("/set-http01-behaviour", &json!({"path": path, "behaviour": {"kind": "silence"}}));
    let _ = client.provide(&authorizations[0], "http-01");
    let _ = client.post(answered["url"].as_str().unwrap(), &json!({})).expect(200);
    let new_key = Key::p256();
    let _ = change_key(&client, &new_key).expect(200);
    let renewed = with_key(&client, &new_key);
    assert_eq!(renewed.read(answered["url"].as_str().unwrap()).member("status"), "processing");
    client.site().control("/clear-http01-behaviour", &json!({"path": path}));
    let unanswered = renewed.provide(&authorizations[1], "http-01");
    let _ = renewed.post(unanswered["url"].as_str().unwrap(), &json!({})).expect(200);
    let order = renewed.wait(&order, "ready");
    let _ = renewed.finalize(&order, &Csr::for_names(&names).text(&Key::p256())).expect(200);
    let _ = renewed.wait(&order, "valid");
}

#[test]
fn a_key_of_another_account_is_refused_with_its_url() {
    let (client, other) = (world().account(), world().account());
    let response = change_key(&client, &other.key);
    assert_snapshot("key_change_in_use", &response.to_snapshot());
    let _ = response.assert_refused(409, "malformed");
    assert_eq!(response.location(), other.account_url());
    let _ = client.read(&client.account_url()).expect(200);
    let _ = other.read(&other.account_url()).expect(200);
    let same = change_key(&client, &client.key);
    let detail = same.assert_refused(400, "malformed");
    assert!(detail.contains("already"), "{detail}");
}

#[test]
fn an_inner_jws_of_the_wrong_shape_is_malformed() {
    let client = world().account();
    let new_key = Key::p256();
    let good = || inner(&client, &new_key);
    let account = client.account_url();
    let payload = |value: Value| Draft { payload: value.to_string().into_bytes(), ..good() }.sign();
    let changed = |member: &str, value: Value| {
        let mut jws = good().sign();
        jws[member] = value;
        jws
    };
    let stranger = Draft { key: Key::p256(), ..good() }.sign();
    for (what, inner) in [
        ("no JWS", json!({})),
        ("the payload of drafts before the RFC", json!({"account": account, "newKey": new_key.jwk()})),
        ("an unprotected header", changed("header", json!({}))),
        ("no signature", changed("signature", json!(""))),
        ("a payload that nobody signed", changed("payload", json!("e30"))),
        ("the signature of a stranger", stranger),
        ("no jwk", good().without("jwk").sign()),
        ("kid only", good().without("jwk").with("kid", account.as_str()).sign()),
        ("kid too", good().with("kid", account.as_str()).sign()),
        ("a nonce", good().with("nonce", client.nonce()).sign()),
        ("no url", good().without("url").sign()),
        ("another url", good().with("url", client.url("new-order")).sign()),
        ("crit", good().with("crit", json!(["url"])).sign()),
        ("no payload", Draft { payload: Vec::new(), ..good() }.sign()),
        ("a payload that is no object", payload(json!([]))),
        ("no account", payload(json!({"oldKey": client.key.jwk()}))),
        ("no oldKey", payload(json!({"account": account}))),
        ("another account", payload(json!({"account": format!("{account}x"), "oldKey": client.key.jwk()}))),
        ("another oldKey", payload(json!({"account": account, "oldKey": new_key.jwk()}))),
        ("an oldKey that is no key", payload(json!({"account": account, "oldKey": {"kty": "oct"}}))),
        ("an account that is no text", payload(json!({"account": [account], "oldKey": client.key.jwk()}))),
    ] {
        let response = request(&client, &inner);
        assert_eq!(response.status, 400, "{what}: {response:?}");
        let _ = response.assert_refused(400, "malformed");
    }
    let url = client.url("key-change");
    let _ = client.read(&url).assert_refused(400, "malformed");
    let by_key = client.self_signed(&url, &good().sign(), &client.key).sign();
    let _ = client.send(&url, &by_key).assert_refused(400, "malformed");
    let _ = change_key(&client, &new_key).expect(200);
}

#[test]
fn algorithms_and_keys_are_judged_as_those_of_new_accounts() {
    let client = world().account();
    let unknown = inner(&client, &Key::p256()).with("alg", "HS256").sign();
    let response = request(&client, &unknown);
    let _ = response.assert_refused(400, "badSignatureAlgorithm");
    assert!(response.json()["algorithms"].as_array().unwrap().contains(&json!("ES256")));
    let _ =
        request(&client, &inner(&client, &Key::p256()).with("alg", "ES384").sign()).assert_refused(400, "badPublicKey");
    let weak = [Rsa::generate(1024).unwrap(), weak_key::small_exponent(), weak_key::roca(), weak_key::close_primes()];
    for weak in weak {
        let _ = change_key(&client, &Key::from_rsa(weak)).assert_refused(400, "badPublicKey");
    }
    let _ = client.read(&client.account_url()).expect(200);
}

#[test]
fn the_key_of_another_account_changes_nothing_here() {
    let (client, other) = (world().account(), world().account());
    let new_key = Key::p256();
    // A good inner JWS for one account, sent by another one.
    let _ = request(&other, &inner(&client, &new_key).sign()).assert_refused(400, "malformed");
    let _ = client.read(&client.account_url()).expect(200);
    let _ = found(&client, &new_key).assert_refused(400, "accountDoesNotExist");
}

#[test]
fn of_two_key_changes_at_once_one_wins() {
    let client = world().account();
    let keys = [Key::p256(), Key::p256(), Key::p256()];
    let racers = keys.each_ref().map(|key| {
        let (twin, key) = (client.twin(), key.clone());
        thread::spawn(move || change_key(&twin, &key))
    });
    let responses = racers.map(|racer| racer.join().unwrap());
    let winners: Vec<_> = keys.iter().zip(&responses).filter(|(_, response)| response.status == 200).collect();
    assert_eq!(winners.len(), 1, "{responses:?}");
    responses.iter().filter(|response| response.status != 200).for_each(|response| {
        let _ = response.assert_refused(400, "malformed");
    });
    for (key, response) in keys.iter().zip(&responses) {
        let read = with_key(&client, key).read(&client.account_url());
        assert_eq!(read.status == 200, response.status == 200, "{read:?}");
    }
    let _ = client.read(&client.account_url()).assert_refused(400, "malformed");
}

#[test]
fn two_accounts_that_want_one_key_at_once_do_not_both_get_it() {
    let clients = [world().account(), world().account()];
    let new_key = Key::p256();
    let racers = clients.each_ref().map(|client| {
        let (twin, key) = (client.twin(), new_key.clone());
        thread::spawn(move || change_key(&twin, &key))
    });
    let mut responses = racers.map(|racer| racer.join().unwrap());
    responses.sort_by_key(|response| response.status);
    let [won, lost] = responses;
    let _ = lost.assert_refused(409, "malformed");
    let owner = found(&clients[0], &new_key).expect(200).location();
    assert_eq!(lost.location(), owner);
    assert_eq!(won.expect(200).json()["status"], "valid");
}

#[test]
fn a_suspended_account_keeps_its_key() {
    let (client, id) = world().registered_account(&json!({"mode": "any"}));
    world().officer().set_status(&id, "suspended");
    let new_key = Key::p256();
    let detail = change_key(&client, &new_key).assert_refused(403, "unauthorized");
    assert!(detail.contains("suspended"), "{detail}");
    let _ = client.read(&client.account_url()).expect(200);
    let _ = found(&client, &new_key).assert_refused(400, "accountDoesNotExist");
}

#[test]
fn a_bound_account_stays_bound() {
    let (client, id) = world().registered_account(&json!({"mode": "any"}));
    let new_key = Key::p256();
    let _ = change_key(&client, &new_key).expect(200);
    let renewed = with_key(&client, &new_key);
    assert!(found(&client, &new_key).expect(200).location().ends_with(&id));
    let _ = renewed.order(&["bound.rollover.test"]);
}

#[test]
fn a_lost_answer_of_the_cm_does_not_keep_the_key_from_being_changed() {
    let world = fragile_world();
    let client = world.account();
    let mut current = with_key(&client, &client.key);
    for kind in ["reset-before", "reset-after", "truncated-body", "html-page", "unavailable"] {
        let new_key = Key::p256();
        world.set_fault("changeKey", &json!({"kind": kind}));
        assert_eq!(change_key(&current, &new_key).expect(200).json()["status"], "valid", "{kind}");
        assert_eq!(world.faults(), json!([]), "{kind} did not happen");
        current = with_key(&current, &new_key);
        let _ = current.read(&client.account_url()).expect(200);
    }
}

#[test]
fn what_the_old_key_asked_for_and_the_cm_never_heard_of_is_not_issued() {
    let world = fragile_world();
    let client = world.account();
    let name = "unheard-of.rollover.test";
    let order = client.ready_order(&[name]);
    world.set_faults("requestCertificate", 100, &json!({"kind": "unavailable"}));
    let response = client.finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
    assert_eq!(response.member("status"), "processing");
    let new_key = Key::p256();
    // The way to the CM may have been judged bad meanwhile; it is tried again after a while.
    tests::wait_for("the key change", std::time::Duration::from_secs(120), || {
        (change_key(&client, &new_key).status == 200).then_some(())
    });
    world.clear_faults();
    let renewed = with_key(&client, &new_key);
    let order = renewed.wait(&order, "invalid");
    let detail = order.object["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("key of the account was changed"), "{order:?}");
    assert_eq!(world.certificates_of(&order.url), 0);
    let _ = renewed.issue(&[name]);
}

#[test]
fn while_the_cm_is_away_the_key_stays_and_the_client_is_told_to_come_back() {
    let world = fragile_world();
    let client = world.account();
    let new_key = Key::p256();
    world.set_faults("changeKey", 12, &json!({"kind": "unavailable", "retry_after_secs": 2}));
    let response = change_key(&client, &new_key);
    let _ = response.assert_refused(503, "serverInternal");
    assert!(response.header("retry-after").is_some(), "{response:?}");
    world.clear_faults();
    // The way to the CM was judged bad; it is tried again after a while.
    tests::wait_for("the key change", std::time::Duration::from_secs(120), || {
        (change_key(&client, &new_key).status == 200).then_some(())
    });
    let _ = with_key(&client, &new_key).read(&client.account_url()).expect(200);
}

#[test]
fn a_client_that_was_not_told_finds_out_which_key_counts() {
    let world = fragile_world();
    let client = world.account();
    let new_key = Key::p256();
    // Each attempt does its work or finds it done, and no answer arrives.
    world.set_faults("changeKey", 12, &json!({"kind": "reset-after"}));
    let _ = change_key(&client, &new_key).assert_refused(503, "serverInternal");
    world.clear_faults();
    let account = tests::wait_for("the account of the new key", std::time::Duration::from_secs(120), || {
        let response = found(&client, &new_key);
        (response.status == 200).then(|| response.location())
    });
    assert_eq!(account, client.account_url());
    let _ = client.read(&account).assert_refused(400, "malformed");
    let _ = with_key(&client, &new_key).order(&["found-out.rollover.test"]);
}

#[test]
fn what_the_old_key_asked_to_revoke_is_revoked_by_the_word_of_the_new_one() {
    let world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["revoked.rollover.test"]);
    let revoked = || world.books()["revoked"].as_u64().unwrap();
    let before = revoked();
    world.set_faults("revokeCertificate", 10_000, &json!({"kind": "unavailable"}));
    let _ = client.revoke(&issued.leaf, 4).assert_refused(503, "serverInternal");
    let new_key = Key::p256();
    // The way to the CM may have been judged bad meanwhile; it is tried again after a while.
    tests::wait_for("the key change", std::time::Duration::from_secs(120), || {
        (change_key(&client, &new_key).status == 200).then_some(())
    });
    let renewed = with_key(&client, &new_key);
    let _ = renewed.revoke(&issued.leaf, 4).assert_refused(503, "serverInternal");
    world.clear_faults();
    // Nobody asks again, and the CM takes nothing that the old key has signed.
    tests::wait_for("the revocation", std::time::Duration::from_secs(90), || (revoked() > before).then_some(()));
    let _ = renewed.revoke(&issued.leaf, 4).assert_refused(400, "alreadyRevoked");
}
