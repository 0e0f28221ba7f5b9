//! Signed requests and external account bindings (RFC 8555 §6.2, §7.3.4), up to their signatures.

use serde_json::Value;

use crate::samples;

pub(crate) fn run(octets: &[u8]) {
    let _ = gateway::parsers::jws(octets);
    if let (Ok(binding), Some(key)) = (serde_json::from_slice::<Value>(octets), samples::account_key()) {
        let _ = gateway::parsers::external_account(&binding, "https://acme.test/acme/a/new-account", &key);
    }
}
