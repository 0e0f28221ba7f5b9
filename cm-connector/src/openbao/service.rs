//! OpenBao itself: who we are to it, what can be done with it, its roles as profiles, its issuers (CM contract
//! sections 4.1 and 4.2).

use std::{collections::BTreeSet, time::Duration};

use acme::{
    certificate::{Validity, subject_key_id},
    ids::{IssuerName, ProfileName, RealmName},
    profile::Profile,
    time::Timestamp,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    OpenBaoCertificateManager,
    client::{Call, SIGN_SENT_WITHIN},
    exchange::CONNECT_MAX,
    failure::Failure,
    records::Realm,
};
use crate::{Capability, CmError, Identity, Issuer, Outcome, rest::door};

/// What this adapter can do with OpenBao, in the words of the contract. What is not among them is not asked for:
/// `approvals`, `revocation-reasons`, `events`, `audit`, `alternate-chains`, `search-spki`, `directory-links`, `waivers`,
/// and `proofs`: what the gateway itself would verify a second time proves nothing against a stolen one.
pub(super) const CAPABILITIES: [&str; 8] =
    ["registrations", "eab-verify", "bind-atomic", "idempotency", "renewal-info", "delivery", "eab-overlap", "rebind"];
/// On top of OpenBao's own limit: a sign is sent later than it is written down, and perhaps by a connection that has
/// to be made first; times are whole seconds, and one node's clock is compared with another's.
const MARGIN: Duration = Duration::from_secs(15);
/// How far the clocks of OpenBao's nodes may be apart.
const SKEW_MAX: Duration = Duration::from_secs(8);
const _: () = assert!(SIGN_SENT_WITHIN.as_secs() + CONNECT_MAX.as_secs() + 1 + SKEW_MAX.as_secs() <= MARGIN.as_secs());

/// A role of a realm's CA, as far as it says what certificates are like.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) issuer: IssuerName,
    ip: bool,
    wildcards: bool,
    key_type: String,
    key_bits: u64,
    ttl: u64,
    max_ttl: u64,
    not_after_bound: String,
}

#[derive(Deserialize)]
struct RoleIn {
    issuer_ref: String,
    #[serde(default)]
    allow_ip_sans: bool,
    #[serde(default)]
    allow_wildcard_certificates: bool,
    #[serde(default)]
    key_type: String,
    #[serde(default)]
    key_bits: u64,
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    max_ttl: u64,
    #[serde(default)]
    not_after_bound: String,
}

pub(super) fn offers(capability: Capability) -> bool {
    CAPABILITIES.contains(&capability.as_str())
}

pub(super) async fn check_identity(bao: &OpenBaoCertificateManager, realms: &[RealmName]) -> Result<Identity, CmError> {
    let identity = async {
        let health = bao.client.health().await?.json;
        let path = String::from("/v1/auth/token/lookup-self");
        let caller = bao.client.send(&Call::read("GET auth/token/lookup-self", path)).await?;
        // What cannot be read here could not be read for any client.
        for realm in realms {
            check_realm(bao, realm).await.map_err(|failure| failure.of_realm(realm))?;
        }
        let text = |json: &Value, member: &str| json.pointer(member).and_then(Value::as_str).map(str::to_owned);
        Ok(Identity {
            name: text(&caller, "/data/display_name").unwrap_or_default(),
            roles: BTreeSet::from([String::from("gateway")]),
            realms: realms.iter().cloned().collect(),
            time: time_of(&health)?,
            capabilities: CAPABILITIES.iter().map(|word| (*word).to_owned()).collect(),
            product: format!("OpenBao {}", text(&health, "/version").unwrap_or_default()),
        })
    };
    let identity: Result<Identity, Failure> = identity.await;
    identity.map_err(Failure::into_error)
}

async fn check_realm(bao: &OpenBaoCertificateManager, realm: &RealmName) -> Result<(), Failure> {
    let settings = bao.realm(realm).await?;
    for profile in &settings.profiles {
        let _readable = bao.role(realm, profile).await?;
    }
    Ok(())
}

pub(super) async fn ready(bao: &OpenBaoCertificateManager) -> Result<(), CmError> {
    match bao.client.health().await {
        // Who counts questions is there.
        Ok(_) | Err(Failure::Busy { .. }) => Ok(()),
        Err(failure) => Err(failure.into_error()),
    }
}

pub(super) async fn profiles(bao: &OpenBaoCertificateManager, realm: &RealmName) -> Result<Vec<Profile>, CmError> {
    let settings = bao.realm(realm).await.map_err(Failure::into_error)?;
    let mut profiles = Vec::new();
    for name in &settings.profiles {
        match bao.role(realm, name).await {
            Ok(role) => profiles.extend(profile(realm, name, &role, &settings)),
            // One that is not there must not take the others away.
            Err(failure @ (Failure::Refused { .. } | Failure::Broken(_))) => {
                tracing::warn!(%realm, role = %name, ?failure, "a profile of the realm is left out");
            }
            Err(failure) => return Err(failure.into_error()),
        }
    }
    Ok(profiles)
}

pub(super) async fn issuer(bao: &OpenBaoCertificateManager, name: &IssuerName) -> Result<Issuer, CmError> {
    let unfit = |detail: String| CmError::Internal { outcome: Outcome::NotSent, detail };
    let (realm, own) = realm_and_issuer(name).ok_or_else(|| unfit(format!("{name} is no issuer of a realm")))?;
    let found = async {
        let answer = bao.issuer_answer(&realm, own).await?;
        let pem = answer.pointer("/data/certificate").and_then(Value::as_str).unwrap_or_default();
        let broken = || Failure::Broken(format!("issuer {name} has no certificate"));
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| broken())?;
        let caa_identities = bao.realm(&realm).await?.caa_identities;
        let not_after = Validity::of(&der).ok_or_else(broken)?.not_after;
        let is_active = not_after > super::clock::now();
        Ok(Issuer { name: name.clone(), is_active, not_after, subject_key_id: subject_key_id(&der), caa_identities })
    };
    let found: Result<Issuer, Failure> = found.await;
    found.map_err(Failure::into_error)
}

impl OpenBaoCertificateManager {
    /// A role, with its issuer called by its name.
    pub(super) async fn role(&self, realm: &RealmName, profile: &ProfileName) -> Result<Role, Failure> {
        let path = self.mounts(realm).pki(&format!("roles/{profile}"));
        let answer = self.client.send(&Call::read("GET pki/roles/{role}", path)).await?;
        let data = answer.get("data").cloned().unwrap_or_default();
        let role: RoleIn = serde_json::from_value(data).map_err(|error| Failure::Broken(format!("a role: {error}")))?;
        let issuer = self.issuer_answer(realm, &role.issuer_ref).await?;
        let named = issuer.pointer("/data/issuer_name").and_then(Value::as_str).filter(|name| !name.is_empty());
        // One without a name has an id.
        let named = named.or_else(|| issuer.pointer("/data/issuer_id").and_then(Value::as_str)).unwrap_or_default();
        let issuer = named.parse().map_err(|_| Failure::Broken(format!("the issuer of role {profile} has no name")))?;
        Ok(Role {
            issuer,
            ip: role.allow_ip_sans,
            wildcards: role.allow_wildcard_certificates,
            key_type: role.key_type,
            key_bits: role.key_bits,
            ttl: role.ttl,
            max_ttl: role.max_ttl,
            not_after_bound: role.not_after_bound,
        })
    }

    pub(super) async fn issuer_answer(&self, realm: &RealmName, issuer: &str) -> Result<Value, Failure> {
        let path = self.mounts(realm).pki(&format!("issuer/{issuer}/json"));
        self.client.send(&Call::read("GET pki/issuer/{issuer}/json", path)).await
    }

    /// OpenBao's clock.
    pub(super) async fn time(&self) -> Result<Timestamp, Failure> {
        time_of(&self.client.health().await?.json)
    }

    /// How long after it was written down a sign may still be at work.
    pub(super) fn sign_may_take(&self) -> Duration {
        self.settings.request_duration_max + MARGIN
    }
}

impl Role {
    /// How long its certificates live.
    pub(super) const fn ttl_secs(&self) -> u64 {
        self.ttl
    }

    /// How long they may: `ttl-limited` measures a `not_after` by the ttl, not by the longest one.
    fn longest_secs(&self) -> Option<u64> {
        let longest = if self.not_after_bound == "ttl-limited" || self.max_ttl == 0 { self.ttl } else { self.max_ttl };
        (longest > 0).then_some(longest)
    }

    /// In the contract's words.
    fn key_types(&self) -> Vec<&'static str> {
        const EC: [(u64, &str); 3] = [(256, "EC-P256"), (384, "EC-P384"), (521, "EC-P521")];
        const RSA: [(u64, &str); 3] = [(2048, "RSA-2048"), (3072, "RSA-3072"), (4096, "RSA-4096")];
        let from = |list: [(u64, &'static str); 3], bits: u64| list.into_iter().filter(move |known| known.0 >= bits);
        let words: Vec<_> = match self.key_type.as_str() {
            "ec" => from(EC, self.key_bits).collect(),
            "rsa" => from(RSA, self.key_bits).collect(),
            "any" => from(EC, 0).chain(from(RSA, 0)).collect(),
            _ => Vec::new(),
        };
        words.into_iter().map(|(_, word)| word).collect()
    }
}

/// A role as a profile in the contract's form.
pub(super) fn described(
    realm: &RealmName,
    name: &ProfileName,
    role: &Role,
    settings: &Realm,
) -> Result<Value, Failure> {
    let types = if role.ip { json!(["dns", "ip"]) } else { json!(["dns"]) };
    Ok(json!({
        "name": name, "description": "", "status": "active", "default": *name == settings.default_profile,
        "issuer": issuer_name(realm, role.issuer.as_str())?, "identifierTypes": types,
        "wildcards": role.wildcards, "keyTypes": role.key_types(),
        "validity": {"max": role.longest_secs().map(|secs| format!("PT{secs}S")), "clientMayChoose": true},
        "approval": {"mode": "auto"}, "mustStaple": "never",
        "validation": if settings.validation.is_null() { json!({}) } else { settings.validation.clone() },
    }))
}

/// A role as a profile; `None`, with a warning, for one that cannot be one.
fn profile(realm: &RealmName, name: &ProfileName, role: &Role, settings: &Realm) -> Option<Profile> {
    match door::profile(described(realm, name, role, settings).ok()?) {
        Ok(profile) => profile,
        Err(error) => {
            tracing::warn!(%realm, role = %name, %error, "a profile of the realm is left out");
            None
        }
    }
}

/// What an issuer is called outside its realm: each realm has a CA of its own.
pub(super) fn issuer_name(realm: &RealmName, issuer: &str) -> Result<IssuerName, Failure> {
    let is_plain = !issuer.contains('.');
    let name = format!("{realm}.{issuer}").parse().ok().filter(|_| is_plain);
    name.ok_or_else(|| Failure::Broken(format!("an issuer of realm {realm} needs a shorter name without dots")))
}

fn realm_and_issuer(name: &IssuerName) -> Option<(RealmName, &str)> {
    let (realm, issuer) = name.as_str().rsplit_once('.')?;
    Some((realm.parse().ok()?, issuer))
}

pub(super) fn time_of(health: &Value) -> Result<Timestamp, Failure> {
    let seconds = health.get("server_time_utc").and_then(Value::as_i64);
    seconds.map(Timestamp::from_unix_secs).ok_or_else(|| Failure::Broken(String::from("sys/health tells no time")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role() -> Role {
        Role {
            issuer: "issuing-1".parse().unwrap(),
            ip: true,
            wildcards: true,
            key_type: String::from("any"),
            key_bits: 0,
            ttl: 7_776_000,
            max_ttl: 8_553_600,
            not_after_bound: String::from("ttl-limited"),
        }
    }

    fn realm() -> Realm {
        let json = json!({"mode": "both", "allowedIdentifiers": {"mode": "any"}, "profiles": ["tls", "short"],
                          "defaultProfile": "tls", "validation": {"methods": ["http-01"], "caa": "required"}});
        serde_json::from_value(json).unwrap()
    }

    fn seen(role: &Role) -> Profile {
        profile(&"tls".parse().unwrap(), &"tls".parse().unwrap(), role, &realm()).unwrap()
    }

    #[test]
    fn a_role_is_a_profile() {
        let profile = seen(&role());
        assert!(profile.is_default && profile.dns && profile.ip && profile.wildcards);
        assert_eq!(profile.issuer.as_str(), "tls.issuing-1");
        assert_eq!(profile.key_types.len(), 6);
        assert_eq!(profile.approval_timeout, None);
        assert_eq!(profile.methods.as_ref().map(Vec::len), Some(1));
        assert_eq!(profile.caa, acme::caa::CaaPolicy::Required);
    }

    #[test]
    fn what_a_client_may_choose_ends_where_openbao_refuses() {
        let longest = |role: &Role| seen(role).validity_max.unwrap().as_secs();
        assert_eq!(longest(&role()), 7_776_000);
        assert_eq!(longest(&Role { not_after_bound: String::from("forbid"), ..role() }), 8_553_600);
        assert_eq!(seen(&Role { ttl: 0, max_ttl: 0, ..role() }).validity_max, None);
    }

    #[test]
    fn kinds_of_keys_are_in_the_contracts_words() {
        let kinds = |key_type: &str, key_bits| Role { key_type: key_type.into(), key_bits, ..role() }.key_types();
        assert_eq!(kinds("ec", 384), ["EC-P384", "EC-P521"]);
        assert_eq!(kinds("rsa", 0), ["RSA-2048", "RSA-3072", "RSA-4096"]);
        assert!(kinds("ed25519", 0).is_empty());
    }

    #[test]
    fn issuers_of_different_realms_have_different_names() {
        let realm: RealmName = "a.b".parse().unwrap();
        let name = issuer_name(&realm, "issuing-1").unwrap();
        assert_eq!(realm_and_issuer(&name), Some((realm.clone(), "issuing-1")));
        assert!(issuer_name(&realm, "issuing.1").is_err());
        assert_eq!(realm_and_issuer(&"issuing-1".parse().unwrap()), None);
    }

    #[test]
    fn what_openbao_cannot_do_is_not_offered() {
        assert!(offers(Capability::RenewalInfo));
        for word in ["events", "approvals", "waivers", "directory-links", "proofs", "audit", "revocation-reasons"] {
            assert!(!CAPABILITIES.contains(&word), "{word}");
        }
    }
}
