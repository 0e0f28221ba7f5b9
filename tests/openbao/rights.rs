//! What a stolen gateway cannot do, because OpenBao says no: the policy that the script writes.

use serde_json::{Value, json};

use crate::SHARED;

/// What OpenBao answers somebody of this role who writes (or reads, without a body) at this path.
fn asked(role: &str, path: &str, body: Option<&Value>) -> Result<(), String> {
    let token = SHARED.token(role);
    SHARED.as_holder(&token, path, body)
}

fn is_denied(outcome: Result<(), String>) -> bool {
    outcome.is_err_and(|said| said.contains("Code: 403"))
}

#[test]
fn a_gateway_cannot_do_what_is_an_officers() {
    let _secret = SHARED.preregister("registered", "rights", &json!({}));
    let record = |data: Value| json!({"options": {"cas": 1}, "data": data});
    let prereg = record(json!({"status": "active", "allowedIdentifiers": {"mode": "any"}}));
    let hold = json!({"options": {"cas": 0}, "data": {"status": "active"}});
    let nothing = json!({});
    let table: [(&str, Option<&Value>); 8] = [
        ("cm/data/prereg/rights", Some(&prereg)),
        ("cm/data/hold/reg_rights", Some(&hold)),
        ("cm/data/realm", Some(&prereg)),
        ("eab/export/hmac-key/rights", None),
        ("eab/hmac/rights/sha2-256", Some(&nothing)),
        ("eab/keys/rights", Some(&nothing)),
        ("pki/sign-verbatim/tls-server", Some(&nothing)),
        ("pki/issue/tls-server", Some(&nothing)),
    ];
    for (path, body) in table {
        let path = format!("acme/registered/{path}");
        assert!(is_denied(asked("gateway", &path, body)), "{path}");
    }
    asked("gateway", "acme/registered/cm/data/prereg/rights", None).unwrap();
    asked("officer", "acme/registered/cm/data/hold/reg_rights", Some(&hold)).unwrap();
}

#[test]
fn an_officer_cannot_do_what_is_a_gateways() {
    let body = json!({"options": {"cas": 0}, "data": {}});
    for path in ["cm/data/acct/reg_x", "cm/data/key/x", "cm/data/bind/x/1", "cm/data/req/x", "pki/sign/tls-server"] {
        let path = format!("acme/registered/{path}");
        assert!(is_denied(asked("officer", &path, Some(&body))), "{path}");
    }
}

#[test]
fn what_is_written_once_stays() {
    let body = |version: u64| json!({"options": {"cas": version}, "data": {"registration": "reg_x"}});
    for path in ["acme/registered/cm/data/bind/stays/1", "acme/registered/cm/data/key/stays"] {
        asked("gateway", path, Some(&body(0))).unwrap();
        for version in [0, 1] {
            assert!(asked("gateway", path, Some(&body(version))).is_err(), "{path} {version}");
        }
    }
}

#[test]
fn preparing_a_realm_again_changes_nothing_that_an_officer_wrote_and_takes_no_realm_away() {
    let realm = || SHARED.root(&["read", "-format=json", "acme/registered/cm/data/realm"], None)["data"].clone();
    let before = realm();
    SHARED.prepare("registered", "both", &["--allow", "example.org"]);
    assert_eq!(realm(), before);
    for name in ["open", "registered"] {
        asked("gateway", &format!("acme/{name}/cm/data/realm"), None).unwrap();
        asked("officer", &format!("acme/{name}/cm/data/realm"), None).unwrap();
    }
}

#[test]
fn an_auditor_reads_and_changes_nothing() {
    let _secret = SHARED.preregister("registered", "audited", &json!({}));
    let record = |version: u64| json!({"options": {"cas": version}, "data": {"status": "active"}});
    let (first, second, nothing) = (record(0), record(1), json!({}));
    let table: [(&str, &Value); 10] = [
        ("cm/data/prereg/audited", &second),
        ("cm/data/prereg/new", &first),
        ("cm/data/hold/reg_audited", &first),
        ("cm/data/realm", &second),
        ("cm/data/acct/reg_audited", &first),
        ("cm/data/cert/43-40", &first),
        ("cm/metadata/prereg/audited", &nothing),
        ("eab/keys/audited/rotate", &nothing),
        ("pki/revoke", &nothing),
        ("pki/sign/tls-server", &nothing),
    ];
    for (path, body) in table {
        assert!(is_denied(asked("auditor", &format!("acme/registered/{path}"), Some(body))), "{path}");
    }
    assert!(is_denied(asked("auditor", "acme/registered/eab/export/hmac-key/audited", None)), "a key");
    asked("auditor", "acme/registered/cm/data/prereg/audited", None).unwrap();
}

#[test]
fn an_officer_cannot_take_a_gateways_or_an_auditors_part() {
    for role in ["acme-gateway", "acme-auditor"] {
        let login = json!({"name": role});
        let refused = SHARED.as_holder("", "auth/cert/login", Some(&login));
        assert!(refused.is_err_and(|said| said.contains("Code: 400")), "{role}");
    }
    SHARED.as_holder("", "auth/cert/login", Some(&json!({"name": "acme-officer"}))).unwrap();
}
