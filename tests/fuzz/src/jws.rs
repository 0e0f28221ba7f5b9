//! Signed requests, external account bindings, and the JWS inside a key change (RFC 8555 §6.2, §7.3.4,
//! §7.3.5), up to their signatures.

use serde_json::Value;

use crate::samples;

pub(crate) fn run(octets: &[u8]) {
    let is_signed = gateway::parsers::jws(octets);
    let Some(key) = samples::account_key() else { return };
    if let Ok(binding) = serde_json::from_slice::<Value>(octets) {
        let _ = gateway::parsers::external_account(&binding, "https://acme.test/acme/a/new-account", &key);
    }
    let account = "https://acme.test/acme/a/acct/reg_1";
    let changes_key = gateway::parsers::key_change(octets, "https://acme.test/acme/a/key-change", account, &key);
    assert!(!(is_signed && changes_key), "a request has a nonce, and the JWS inside a key change has none");
}
