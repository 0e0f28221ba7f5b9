//! Profiles (CM contract section 4.2).

use std::time::Duration;

use acme::{
    caa::CaaPolicy,
    challenge::ChallengeKind,
    profile::{MustStaple, Profile},
};
use serde::Deserialize;

use super::{Broken, duration, parsed};

/// How long a person may take to approve if the CM does not say.
const APPROVAL_TIMEOUT: Duration = Duration::from_secs(7 * 86_400);
/// Most identifiers in a certificate if the CM does not say (section 3, Limits).
const IDENTIFIERS_MAX: usize = 100;
/// The method of an identifier whose proof is waived (section 4.3, Waivers).
pub(super) const WAIVED: &str = "waived";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct ProfileIn {
    name: String,
    #[serde(default)]
    description: String,
    status: String,
    #[serde(default)]
    default: bool,
    issuer: String,
    identifier_types: Vec<String>,
    #[serde(default)]
    wildcards: bool,
    #[serde(default)]
    max_identifiers: Option<usize>,
    #[serde(default)]
    key_types: Vec<String>,
    validity: ValidityIn,
    approval: ApprovalIn,
    #[serde(default)]
    must_staple: Option<String>,
    #[serde(default)]
    validation: ValidationIn,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValidationIn {
    #[serde(default)]
    methods: Option<Vec<String>>,
    #[serde(default)]
    max_age: Option<String>,
    #[serde(default)]
    caa: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValidityIn {
    #[serde(default)]
    max: Option<String>,
    #[serde(default)]
    client_may_choose: bool,
}

#[derive(Debug, Deserialize)]
struct ApprovalIn {
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    timeout: Option<String>,
}

impl ProfileIn {
    /// `None` if the profile is not in use.
    pub(in crate::rest) fn convert(self) -> Result<Option<Profile>, Broken> {
        if self.status != "active" {
            return Ok(None);
        }
        let offers = |kind: &str| self.identifier_types.iter().any(|offered| offered == kind);
        let approval_timeout = match self.approval.mode.as_deref() {
            Some("auto") => None,
            Some(_) | None => Some(self.approval.timeout.as_deref().map_or(Ok(APPROVAL_TIMEOUT), duration)?),
        };
        Ok(Some(Profile {
            name: parsed("profile.name", &self.name)?,
            description: acme::problem::shown(&self.description).into_owned(),
            is_default: self.default,
            issuer: parsed("profile.issuer", &self.issuer)?,
            dns: offers("dns"),
            ip: offers("ip"),
            wildcards: self.wildcards,
            identifiers_max: self.max_identifiers.unwrap_or(IDENTIFIERS_MAX).min(IDENTIFIERS_MAX),
            validity_max: self.validity.max.as_deref().map(duration).transpose()?,
            client_may_choose_validity: self.validity.client_may_choose,
            approval_timeout,
            must_staple: match self.must_staple.as_deref() {
                Some("always") => MustStaple::Always,
                Some("if-requested") => MustStaple::IfRequested,
                Some(_) | None => MustStaple::Never,
            },
            caa: match self.validation.caa.as_deref() {
                None | Some("optional") => CaaPolicy::Optional,
                Some("off") => CaaPolicy::Off,
                Some(_) => CaaPolicy::Required,
            },
            waivers: self.validation.methods.iter().flatten().any(|method| method == WAIVED),
            methods: self.validation.methods.map(|methods| known(&methods)),
            proof_age_max: self.validation.max_age.as_deref().map(duration).transpose()?,
            key_types: self.key_types,
        }))
    }
}

/// The methods that we know, in our order; the others we cannot offer.
fn known(methods: &[String]) -> Vec<ChallengeKind> {
    ChallengeKind::ALL.into_iter().filter(|kind| methods.iter().any(|method| method == kind.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rest::examples;

    fn converted(change: impl FnOnce(&mut Value)) -> Result<Option<Profile>, Broken> {
        let mut json = examples::profile();
        change(&mut json);
        super::super::read::<ProfileIn>(json)?.convert()
    }

    #[test]
    fn the_contracts_profile_is_understood() {
        let profile = converted(|_| ()).unwrap().unwrap();
        let expected = Profile {
            name: "tls-server".parse().unwrap(),
            description: String::from("TLS server, 90 days"),
            is_default: true,
            issuer: "issuing-1".parse().unwrap(),
            dns: true,
            ip: true,
            wildcards: true,
            identifiers_max: 100,
            key_types: ["EC-P256", "EC-P384", "RSA-2048", "RSA-3072", "RSA-4096"].map(String::from).to_vec(),
            validity_max: Some(Duration::from_secs(90 * 86_400)),
            client_may_choose_validity: true,
            approval_timeout: None,
            must_staple: MustStaple::IfRequested,
            caa: CaaPolicy::Required,
            methods: Some(vec![
                ChallengeKind::Http01,
                ChallengeKind::Dns01,
                ChallengeKind::TlsAlpn01,
                ChallengeKind::DnsAccount01,
            ]),
            waivers: false,
            proof_age_max: Some(Duration::from_secs(8 * 86_400)),
        };
        assert_eq!(profile, expected);
    }

    #[test]
    fn a_profile_that_is_not_in_use_is_left_out() {
        for status in ["retired", "draft"] {
            assert_eq!(converted(|json| json["status"] = json!(status)), Ok(None));
        }
    }

    #[test]
    fn what_is_not_understood_never_widens() {
        let with = |pointer: &str, value: Value| {
            converted(|json| *json.pointer_mut(pointer).unwrap() = value).map(Option::unwrap)
        };
        assert_eq!(with("/approval/mode", json!("two-people")).unwrap().approval_timeout, Some(APPROVAL_TIMEOUT));
        assert_eq!(with("/mustStaple", json!("sometimes")).unwrap().must_staple, MustStaple::Never);
        assert_eq!(with("/mustStaple", json!("always")).unwrap().must_staple, MustStaple::Always);
        for (text, policy) in
            [("off", CaaPolicy::Off), ("optional", CaaPolicy::Optional), ("sometimes", CaaPolicy::Required)]
        {
            assert_eq!(with("/validation/caa", json!(text)).unwrap().caa, policy);
        }
        let methods = with("/validation/methods", json!(["carrier-pigeon-01", "dns-01"])).unwrap().methods;
        assert_eq!(methods, Some(vec![ChallengeKind::Dns01]));
        for (methods, waivers) in [
            (json!(["waived"]), true),
            (json!(["dns-01", "waived"]), true),
            (json!(["Waived", "waived-02"]), false),
            (json!([]), false),
            (json!(null), false),
        ] {
            assert_eq!(with("/validation/methods", methods.clone()).unwrap().waivers, waivers, "{methods}");
        }
        assert!(with("/validation/maxAge", json!("a week")).is_err());
        assert!(with("/validity/max", json!("three months")).is_err());
        assert_eq!(with("/maxIdentifiers", json!(100_000)).unwrap().identifiers_max, 100);
        assert!(!with("/identifierTypes", json!(["email"])).unwrap().dns);
    }
}
