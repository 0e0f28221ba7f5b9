//! What officers and approvers do, in the words of the contract (section 4.3 and 4.4). Whoever answers them speaks it: the
//! CM itself, or what stands in for it in the officer's own program.

use acme::{
    ids::{CertificateRequestId, RealmName, RegistrationId},
    registration::RegistrationStatus,
};
use cm_connector::{
    DirectoryToken,
    testing::{Decision, ExternalAccount, Preregistration},
};
use serde_json::{Value, json};
use tests::from_base64url;

/// Somebody who answers calls of the contract.
pub(crate) trait Contract {
    /// Status and body for a call below `/cm/v1`, made with a certificate of the throwaway PKI.
    fn ask(&self, role: &str, method: &str, path: &str, if_match: Option<u64>, body: Option<&Value>) -> (u16, Value);
}

/// A change of a registration, on the version that it has.
fn change(cm: &dyn Contract, role: &str, path: &str, method: &str, below: &str, body: Option<&Value>) -> (u16, Value) {
    let (status, registration) = cm.ask("officer", "GET", path, None, None);
    assert_eq!(status, 200, "{registration}");
    cm.ask(role, method, &format!("{path}{below}"), registration["version"].as_u64(), body)
}

fn registrations(realm: &RealmName) -> String {
    format!("/realms/{realm}/registrations")
}

fn suffixes(names: &[&str]) -> Value {
    let rule = |name: &&str| json!({"type": "dns", "match": "suffix", "value": name});
    match names {
        [] => json!({"mode": "any"}),
        names => json!({"mode": "listed", "rules": names.iter().map(rule).collect::<Vec<_>>()}),
    }
}

/// A pre-registration that nobody else has, as it is asked for.
pub(crate) fn new(wish: &Preregistration) -> Value {
    let random = tests::key::Key::p256().thumbprint();
    let mut eab = json!({"kid": format!("kid-{random}"), "use": "once"});
    if let Some(many) = wish.many {
        (eab["use"], eab["maxBindings"]) = (json!("multi"), json!(many));
    }
    if let Some(not_before) = wish.not_before {
        eab["notBefore"] = json!(not_before.to_string());
    }
    json!({"mode": "preregistered", "eab": eab, "owner": "tests", "allowedIdentifiers": suffixes(&wish.suffixes),
           "allowedProfiles": wish.profiles})
}

pub(crate) fn preregister(cm: &dyn Contract, realm: &RealmName, wish: &Preregistration) -> ExternalAccount {
    let (status, made) = cm.ask("officer", "POST", &registrations(realm), None, Some(&new(wish)));
    assert_eq!(status, 201, "{made}");
    let text = |pointer: &str| made.pointer(pointer).and_then(Value::as_str).expect("it is in the answer").to_owned();
    ExternalAccount {
        registration: text("/id").parse().unwrap(),
        kid: text("/eab/kid"),
        secret: from_base64url(&text("/eabSecret/hmacKey")),
    }
}

pub(crate) fn draw_link(cm: &dyn Contract, realm: &RealmName, id: &RegistrationId) -> DirectoryToken {
    let path = format!("{}/{id}", registrations(realm));
    let (status, drawn) = change(cm, "officer", &path, "POST", "/directory-link", None);
    assert_eq!(status, 201, "{drawn}");
    DirectoryToken::parse(drawn["directoryToken"].as_str().unwrap()).unwrap()
}

/// Sets a status with the certificate of this role.
pub(crate) fn set_status(
    cm: &dyn Contract,
    role: &str,
    realm: &RealmName,
    id: &RegistrationId,
    status: RegistrationStatus,
) -> (u16, Value) {
    let path = format!("{}/{id}", registrations(realm));
    let body = json!({"status": status, "reason": "a test"});
    change(cm, role, &path, "POST", "/status", Some(&body))
}

/// Lets a registration have names below this one, with the certificate of this role; any name without one.
pub(crate) fn limit(
    cm: &dyn Contract,
    role: &str,
    realm: &RealmName,
    id: &RegistrationId,
    suffix: Option<&str>,
) -> (u16, Value) {
    let path = format!("{}/{id}", registrations(realm));
    let names: Vec<&str> = suffix.into_iter().collect();
    change(cm, role, &path, "PATCH", "", Some(&json!({"allowedIdentifiers": suffixes(&names)})))
}

/// Draws a new secret with the certificate of this role.
pub(crate) fn take_secret(cm: &dyn Contract, role: &str, realm: &RealmName, id: &RegistrationId) -> (u16, Value) {
    change(cm, role, &format!("{}/{id}", registrations(realm)), "POST", "/eab", None)
}

pub(crate) fn decide(
    cm: &dyn Contract,
    realm: &RealmName,
    id: &CertificateRequestId,
    decision: Decision,
) -> Result<(), String> {
    let verb = match decision {
        Decision::Approve => "approve",
        Decision::Reject => "reject",
    };
    let path = format!("/realms/{realm}/certificate-requests/{id}/{verb}");
    done(cm.ask("approver", "POST", &path, None, Some(&json!({"reason": "a test"}))))
}

/// Whether it was done, or the words of the refusal.
pub(crate) fn done((status, body): (u16, Value)) -> Result<(), String> {
    if (200..300).contains(&status) { Ok(()) } else { Err(format!("{status} {body}")) }
}
