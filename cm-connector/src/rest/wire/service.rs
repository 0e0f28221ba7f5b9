//! The CM itself, its health and its issuers (CM contract sections 4.1 and 4.2).

use std::collections::{BTreeMap, BTreeSet};

use acme::ids::RealmName;
use serde::Deserialize;

use super::{Broken, octets, parsed};
use crate::{Identity, Issuer};

/// The major version of the contract that we speak.
const API_MAJOR: &str = "1";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct InfoIn {
    #[serde(default)]
    product: String,
    #[serde(default)]
    version: String,
    api_versions: Vec<String>,
    time: String,
    capabilities: BTreeSet<String>,
    #[serde(default)]
    limits: LimitsIn,
}

/// What else it limits we stay below anyway.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitsIn {
    #[serde(default)]
    requests_per_second: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct WhoAmIIn {
    pub(in crate::rest) identity: String,
    pub(in crate::rest) roles: BTreeSet<String>,
    pub(in crate::rest) realms: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::rest) struct HealthIn {
    serves: BTreeMap<String, bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct IssuerIn {
    id: String,
    status: String,
    not_after: String,
    #[serde(default)]
    subject_key_id: Option<String>,
    #[serde(default)]
    caa_identities: Vec<String>,
}

impl InfoIn {
    /// How many requests a second the CM takes, if it says so.
    pub(in crate::rest) fn requests_per_second(&self) -> Option<u32> {
        self.limits.requests_per_second.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX))
    }

    /// Joins both answers. Realms whose names we cannot take are left out: nobody can configure
    /// them.
    pub(in crate::rest) fn convert(self, caller: WhoAmIIn) -> Result<Identity, Broken> {
        let ours = |version: &String| version.split('.').next() == Some(API_MAJOR);
        if !self.api_versions.iter().any(ours) {
            return Err(Broken(format!("it speaks none of version {API_MAJOR} of the API")));
        }
        Ok(Identity {
            name: caller.identity,
            roles: caller.roles,
            realms: caller.realms.iter().filter_map(|realm| RealmName::parse(realm).ok()).collect(),
            time: parsed("time", &self.time)?,
            capabilities: self.capabilities,
            product: format!("{} {}", self.product, self.version),
        })
    }
}

impl HealthIn {
    /// True if the CM does anything at all.
    pub(in crate::rest) fn serves_something(&self) -> bool {
        self.serves.values().any(|serves| *serves)
    }
}

impl IssuerIn {
    pub(in crate::rest) fn convert(self) -> Result<Issuer, Broken> {
        Ok(Issuer {
            name: parsed("issuer.id", &self.id)?,
            is_active: self.status == "active",
            not_after: parsed("issuer.notAfter", &self.not_after)?,
            subject_key_id: self.subject_key_id.as_deref().map(octets).transpose()?,
            caa_identities: self.caa_identities,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::read, *};
    use crate::rest::examples;

    fn who_am_i() -> WhoAmIIn {
        let json = json!({"identity": "urn:cm:gateway:dmz-1", "roles": ["gateway"], "realms": ["tls", "not a name"],
            "certificateNotAfter": "2027-02-18T09:00:00Z"});
        read(json).unwrap()
    }

    #[test]
    fn info_and_whoami_make_an_identity() {
        let identity = read::<InfoIn>(examples::info()).unwrap().convert(who_am_i()).unwrap();
        assert_eq!(identity.name, "urn:cm:gateway:dmz-1");
        assert_eq!(identity.realms, BTreeSet::from(["tls".parse().unwrap()]));
        assert_eq!(identity.time.to_string(), "2026-11-22T00:43:00Z");
        assert_eq!(identity.product, "Example CM 9.2.1");
        assert!(identity.capabilities.contains("bind-atomic"));
    }

    #[test]
    fn the_rate_is_that_of_the_limits_if_there_are_any() {
        let per_second = |limits: serde_json::Value| {
            let mut info = examples::info();
            info["limits"] = limits;
            read::<InfoIn>(info).unwrap().requests_per_second()
        };
        assert_eq!(read::<InfoIn>(examples::info()).unwrap().requests_per_second(), Some(50));
        assert_eq!(per_second(json!({"requestsPerSecond": 10_000_000_000_u64})), Some(u32::MAX));
        assert_eq!(per_second(json!({"bodyBytes": 1})), None);
    }

    #[test]
    fn another_major_version_is_not_spoken() {
        let mut info = examples::info();
        info["apiVersions"] = json!(["2.0", "10.1"]);
        assert!(read::<InfoIn>(info).unwrap().convert(who_am_i()).is_err());
    }

    #[test]
    fn health_tells_whether_anything_works() {
        let mut health = examples::health();
        assert!(read::<HealthIn>(health.clone()).unwrap().serves_something());
        health["serves"] = json!({"registrations": false});
        assert!(!read::<HealthIn>(health).unwrap().serves_something());
    }

    #[test]
    fn the_contracts_issuer_is_understood() {
        let mut json = examples::issuer();
        let issuer = read::<IssuerIn>(json.clone()).unwrap().convert().unwrap();
        assert_eq!((issuer.name.as_str(), issuer.is_active), ("issuing-1", true));
        assert_eq!(issuer.subject_key_id.unwrap().len(), 20);
        assert_eq!(issuer.caa_identities, ["ca.example.net"]);
        json["status"] = json!("moved");
        assert!(!read::<IssuerIn>(json).unwrap().convert().unwrap().is_active);
    }
}
