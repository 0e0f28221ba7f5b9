//! What the reference CM is told: `cm.toml`, written at the first `init` and read by `serve`.
//!
//! Unknown keys are errors. The command line adds the ACME base URLs of realms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::allowlist::AllowedIdentifiers;
use super::identifier::Kind;
use super::moment::Span;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Capabilities that this CM has not.
    #[serde(default)]
    pub(crate) lacks: BTreeSet<Capability>,
    /// Identities of gateways and their realms.
    pub(crate) gateways: BTreeMap<String, Gateway>,
    /// Limits of the service.
    pub(crate) limits: Limits,
    /// The issuing CA.
    pub(crate) issuer: Issuer,
    /// Realms by name.
    pub(crate) realms: BTreeMap<String, Realm>,
    /// Profiles by name.
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// A capability that the CM can be without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Capability {
    /// When certificates should be renewed.
    RenewalInfo,
    /// A former secret that is taken beside the new one for a while.
    EabOverlap,
    /// Account keys taken away, so that another client is bound.
    Rebind,
    /// Directory URLs that bind to a registration.
    DirectoryLinks,
    /// Waivers of challenges.
    Waivers,
    /// What a realm allows to anybody.
    RealmPolicy,
}

impl Capability {
    /// The word of the contract.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RenewalInfo => "renewal-info",
            Self::EabOverlap => "eab-overlap",
            Self::Rebind => "rebind",
            Self::DirectoryLinks => "directory-links",
            Self::Waivers => "waivers",
            Self::RealmPolicy => "realm-policy",
        }
    }
}

/// A gateway identity.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    /// Realms it serves.
    pub(crate) realms: Vec<String>,
}

/// Limits of contract section 3.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Requests a second of one gateway identity.
    pub(crate) requests_per_second: u32,
    /// Requests of one gateway identity at the same time.
    pub(crate) in_flight: u32,
    /// Certificate requests a minute of one registration.
    pub(crate) certificate_requests_per_minute: u32,
    /// Failed bindings of one kid or one source address in ten minutes before throttling.
    pub(crate) eab_failures: u32,
}

/// The issuing CA.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    /// Names that CAA records may permit.
    pub(crate) caa_identities: Vec<String>,
}

/// How registrations come into a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RealmMode {
    /// newAccount creates them.
    Open,
    /// An officer creates them, EAB binds them.
    Preregistered,
    /// Either way.
    Both,
}

/// What is asked of the client's own signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proofs {
    /// They must be there and good.
    Required,
    /// They must be good if they are there.
    Verify,
    /// They are not looked at.
    Off,
}

/// A realm.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Realm {
    /// How registrations come into it.
    pub(crate) mode: RealmMode,
    /// What is asked of proofs.
    pub(crate) proofs: Proofs,
    /// Profile of registrations that name none.
    pub(crate) default_profile: String,
    /// Profiles that may be used.
    pub(crate) profiles: Vec<String>,
    /// Names that may be certified at all.
    pub(crate) allowed_identifiers: AllowedIdentifiers,
    /// URLs before `/new-account`, `/acct/…` and so on.
    #[serde(default)]
    pub(crate) acme_bases: Vec<String>,
    /// Whether gateways see owner, comment and officer.
    #[serde(default)]
    pub(crate) show_owner: bool,
}

/// How CAA counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CaaPolicy {
    /// Every DNS name needs a CAA result.
    Required,
    /// A result counts if it is there.
    Optional,
    /// Not looked at.
    Off,
}

/// How the TLS feature extension (RFC 7633) is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MustStaple {
    /// A CSR that asks for it is refused.
    Never,
    /// The certificate has it if the CSR asks for it.
    IfRequested,
    /// Every certificate has it.
    Always,
}

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ApprovalMode {
    /// The CM alone.
    Auto,
    /// An approver.
    Manual,
}

/// A profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// For people.
    pub(crate) description: String,
    /// Types of identifiers it certifies.
    pub(crate) identifier_types: Vec<Kind>,
    /// Whether it certifies wildcards.
    pub(crate) wildcards: bool,
    /// Most identifiers of a certificate.
    pub(crate) identifiers_max: usize,
    /// Keys it certifies: `EC-P256`, `EC-P384`, `RSA-2048`, `RSA-3072`, `RSA-4096`.
    pub(crate) key_types: Vec<String>,
    /// Life of a certificate if the client does not say.
    pub(crate) validity_default: Span,
    /// Longest life.
    pub(crate) validity_max: Span,
    /// How far before now a certificate begins.
    pub(crate) backdate: Span,
    /// Whether the client may say.
    pub(crate) client_may_choose_validity: bool,
    /// Validation methods that count.
    pub(crate) validation_methods: Vec<String>,
    /// How old a validation may be.
    pub(crate) validation_age_max: Span,
    /// Valid results that must come from elsewhere than `local`.
    pub(crate) remote_perspectives_min: usize,
    /// How CAA counts.
    pub(crate) caa: CaaPolicy,
    /// Who decides.
    pub(crate) approval: ApprovalMode,
    /// How long a decision may take.
    pub(crate) approval_timeout: Span,
    /// Must-staple.
    pub(crate) must_staple: MustStaple,
}

impl Settings {
    /// Reads the file and checks that what it says fits together.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}; run init first", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is wrong", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut settings: Self = toml::from_str(text)?;
        for (name, realm) in &mut settings.realms {
            realm.allowed_identifiers = realm
                .allowed_identifiers
                .clone()
                .normalized()
                .map_err(|(place, reason)| anyhow::anyhow!("realms.{name}.allowed_identifiers{place}: {reason}"))?;
            ensure!(
                realm.profiles.contains(&realm.default_profile),
                "realms.{name}.default_profile must be one of its profiles"
            );
            for profile in &realm.profiles {
                ensure!(
                    settings.profiles.contains_key(profile),
                    "realms.{name}.profiles: there is no profile {profile}"
                );
            }
        }
        for (name, gateway) in &settings.gateways {
            for realm in &gateway.realms {
                ensure!(settings.realms.contains_key(realm), "gateways.{name}.realms: there is no realm {realm}");
            }
        }
        for (name, profile) in &settings.profiles {
            ensure!(
                profile.validity_default <= profile.validity_max,
                "profiles.{name}.validity_default is above validity_max"
            );
        }
        Ok(settings)
    }

    /// Adds base URLs given as `realm=URL` on the command line.
    pub(crate) fn add_acme_bases(&mut self, bases: &[String]) -> anyhow::Result<()> {
        for base in bases {
            let Some((realm, url)) = base.split_once('=') else {
                bail!("--acme-base must be REALM=URL, not {base}");
            };
            let Some(realm) = self.realms.get_mut(realm) else {
                bail!("--acme-base: there is no realm {realm} in cm.toml");
            };
            let url = url.trim_end_matches('/').to_owned();
            if !realm.acme_bases.contains(&url) {
                realm.acme_bases.push(url);
            }
        }
        Ok(())
    }
}

/// The file that the first `init` writes.
pub(crate) fn first_file(gateway_name: &str) -> String {
    include_str!("cm.toml").replace("@GATEWAY@", gateway_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_is_good_and_takes_base_urls() {
        let mut settings = Settings::parse(&first_file("quickstart")).unwrap();
        settings.add_acme_bases(&["open=https://localhost/acme/open/".to_owned()]).unwrap();
        assert_eq!(settings.realms["open"].acme_bases, ["https://localhost/acme/open"]);
        assert!(settings.gateways.contains_key("quickstart"));
        assert!(settings.add_acme_bases(&["other=https://a".to_owned()]).is_err());
        assert!(settings.add_acme_bases(&["https://a".to_owned()]).is_err());
    }

    #[test]
    fn keys_that_do_not_exist_and_names_that_lead_nowhere_are_refused() {
        let good = first_file("quickstart");
        for (old, new) in [
            ("requests_per_second", "request_per_second"),
            ("lacks = []", "lacks = [\"renewal\"]"),
            ("default_profile = \"tls-server\"", "default_profile = \"tls\""),
            ("realms = [\"open\", \"registered\"]", "realms = [\"elsewhere\"]"),
            ("validity_default = \"P90D\"", "validity_default = \"P91D\""),
        ] {
            assert!(good.contains(old), "{old}");
            assert!(Settings::parse(&good.replacen(old, new, 1)).is_err(), "{new}");
        }
    }
}
