//! What the gateway's policy has to grant in a realm, path by path, for whoever wants to compare it with what a token may
//! do (`sys/capabilities-self`). The policy itself is written by `deploy/openbao/prepare`.

use acme::ids::{ProfileName, RealmName};

/// A name that no record has: rights are asked for a path, not for a pattern.
const ANY: &str = "doctor";

/// A path, from the API's root on, and what is needed or forbidden there, in OpenBao's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Such as `acme/tls/cm/data/realm`.
    pub path: String,
    /// Such as `read`.
    pub capabilities: &'static [&'static str],
    /// What cannot be done without it, or, of what is forbidden, what could be done with it.
    pub purpose: &'static str,
}

const READ: &[&str] = &["read"];
const UPDATE: &[&str] = &["update"];
const LIST: &[&str] = &["list"];
const CREATE_READ: &[&str] = &["create", "read"];
const CREATE_READ_UPDATE: &[&str] = &["create", "read", "update"];
const CHANGE: &[&str] = &["create", "update", "patch", "delete", "root"];

/// What every realm needs.
#[must_use]
pub fn of_realm(mount: &str, realm: &RealmName) -> Vec<Right> {
    let needed: [(&str, &'static [&'static str], &'static str); 16] = [
        ("cm/data/realm", READ, "every account and order"),
        ("cm/data/prereg/*", READ, "accounts of registered clients"),
        ("cm/data/hold/*", READ, "suspending accounts"),
        ("cm/data/acct/*", CREATE_READ_UPDATE, "accounts"),
        ("cm/data/key/*", CREATE_READ, "accounts"),
        ("cm/data/bind/*", CREATE_READ, "accounts of registered clients"),
        ("cm/metadata/bind/*", LIST, "accounts of registered clients"),
        ("eab/verify/*/sha2-256", UPDATE, "accounts of registered clients"),
        ("cm/data/req/*", CREATE_READ_UPDATE, "issuance"),
        ("cm/data/order/*", CREATE_READ_UPDATE, "issuance"),
        ("cm/data/cert/*", CREATE_READ_UPDATE, "issuance and revocation"),
        ("cm/data/digest/*", CREATE_READ, "revocation"),
        ("pki/certs/detailed", LIST, "finding a certificate whose answer was lost"),
        ("pki/cert/*", READ, "downloading certificates"),
        ("pki/issuer/*/json", READ, "every order"),
        ("pki/revoke", UPDATE, "revocation"),
    ];
    needed.into_iter().map(|(path, capabilities, purpose)| right(mount, realm, path, capabilities, purpose)).collect()
}

/// What each profile of a realm needs besides.
#[must_use]
pub fn of_profile(mount: &str, realm: &RealmName, profile: &ProfileName) -> Vec<Right> {
    let (sign, role) = (format!("pki/sign/{profile}"), format!("pki/roles/{profile}"));
    vec![right(mount, realm, &sign, UPDATE, "issuance"), right(mount, realm, &role, READ, "every order")]
}

/// What is the officers' alone: a gateway with any of these could make up registrations.
#[must_use]
pub fn of_officers(mount: &str, realm: &RealmName) -> Vec<Right> {
    let forbidden: [(&str, &'static [&'static str], &'static str); 5] = [
        ("cm/data/realm", CHANGE, "change what the realm allows"),
        ("cm/data/prereg/*", CHANGE, "register clients"),
        ("cm/data/hold/*", CHANGE, "lift suspensions"),
        ("eab/export/hmac-key/*", &["read", "root"], "read the secrets of external accounts"),
        ("eab/hmac/*/sha2-256", &["create", "update", "root"], "act as any external account"),
    ];
    forbidden
        .into_iter()
        .map(|(path, capabilities, purpose)| right(mount, realm, path, capabilities, purpose))
        .collect()
}

/// The record that says what a realm is.
#[must_use]
pub fn realm_record(mount: &str, realm: &RealmName) -> String {
    format!("{mount}/{realm}/cm/data/realm")
}

fn right(
    mount: &str,
    realm: &RealmName,
    path: &str,
    capabilities: &'static [&'static str],
    purpose: &'static str,
) -> Right {
    Right { path: format!("{mount}/{realm}/{}", path.replace('*', ANY)), capabilities, purpose }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The policy of gateways as the script writes it, by path.
    fn policy() -> BTreeMap<String, Vec<String>> {
        let script = include_str!("../../../deploy/openbao/prepare");
        let (_, policy) = script.split_once("policy write \"$NAME-gateway\"").unwrap();
        let (policy, _) = policy.split_once("\nHCL\n").unwrap();
        let mut found = BTreeMap::new();
        for rule in policy.split("path \"").skip(1) {
            let (path, rest) = rule.split_once('"').unwrap();
            let (_, rest) = rest.split_once("capabilities = [").unwrap();
            let (list, _) = rest.split_once(']').unwrap();
            let words = list.split(',').map(|word| word.trim().trim_matches('"').to_owned()).collect();
            let path = path.replace("$AT", "acme/tls").replace("$PROFILE", "web").replace(['*', '+'], ANY);
            let _ = found.insert(path, words);
        }
        found
    }

    #[test]
    fn the_script_grants_what_is_needed_and_in_a_realm_nothing_else() {
        let (realm, profile) = ("tls".parse().unwrap(), "web".parse().unwrap());
        let needed = [of_realm("acme", &realm), of_profile("acme", &realm, &profile)].concat();
        let needed: BTreeMap<_, Vec<_>> = needed
            .into_iter()
            .map(|right| (right.path, right.capabilities.iter().map(|word| (*word).to_owned()).collect()))
            .collect();
        let mut granted = policy();
        assert!(granted.remove("sys/capabilities-self").is_some(), "a token may ask what it may do");
        granted.retain(|path, _| !path.starts_with("auth/token/"));
        assert_eq!(granted, needed);
    }

    #[test]
    fn nothing_that_is_needed_is_the_officers() {
        let realm = "tls".parse().unwrap();
        let needed = of_realm("acme", &realm);
        for forbidden in of_officers("acme", &realm) {
            let both = needed.iter().filter(|right| right.path == forbidden.path);
            for right in both {
                assert!(right.capabilities.iter().all(|word| !forbidden.capabilities.contains(word)), "{right:?}");
            }
        }
    }
}
