//! Registrations (CM contract section 4.3).

use acme::{
    account_key::{PublicKey, Thumbprint},
    ids::{ProfileName, RealmName, RegistrationId},
    registration::{AccountKeyRecord, AllowedIdentifiers, Parent, Registration, RegistrationStatus},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Broken, ClientOut, ProofOut, allowed_identifiers, duration, parsed, waiver};
use crate::{Binding, DirectoryToken, Jws, NewRegistration, Proof, RegistrationUpdate};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct RegistrationIn {
    id: String,
    version: u64,
    realm: String,
    #[serde(default)]
    mode: String,
    status: String,
    #[serde(default)]
    key: Option<KeyIn>,
    #[serde(default)]
    previous_keys: Vec<Value>,
    #[serde(default)]
    contacts: Vec<String>,
    #[serde(default)]
    terms_of_service_agreed_at: Option<String>,
    #[serde(default)]
    eab: Option<EabIn>,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    allowed_identifiers: Value,
    #[serde(default)]
    allowed_profiles: Vec<String>,
    #[serde(default)]
    max_validity: Option<String>,
    #[serde(default)]
    waivers: Value,
}

#[derive(Debug, Deserialize)]
struct KeyIn {
    jwk: Map<String, Value>,
    thumbprint: String,
    #[serde(default)]
    since: Option<String>,
}

#[derive(Debug, Deserialize)]
struct EabIn {
    kid: String,
}

/// A registration as it stands in the answer, and the parent whose policy applies too.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::rest) struct Answered {
    pub(in crate::rest) registration: Registration,
    pub(in crate::rest) parent: Option<RegistrationId>,
}

impl RegistrationIn {
    /// Takes a registration of this realm.
    pub(in crate::rest) fn convert(self, realm: &RealmName) -> Result<Answered, Broken> {
        if self.realm != realm.as_str() {
            return Err(Broken(format!("a registration of realm {realm} was asked for")));
        }
        let id = parsed("id", &self.id)?;
        let parent = self.parent.map(|id| parsed("parent", &id)).transpose()?;
        // Only an officer's registration has waivers.
        let waivers = if self.mode == "preregistered" { self.waivers } else { Value::Null };
        let registration = Registration {
            waivers: waiver::convert(waivers, &id, parent.as_ref()),
            id,
            version: self.version,
            status: status(&self.status),
            key: self.key.map(KeyIn::convert).transpose()?,
            had_key: !self.previous_keys.is_empty(),
            contacts: self.contacts,
            terms_of_service_agreed_at: self
                .terms_of_service_agreed_at
                .map(|time| parsed("termsOfServiceAgreedAt", &time))
                .transpose()?,
            external_account: self.eab.map(|eab| eab.kid),
            allowed_identifiers: allowed_identifiers::convert(self.allowed_identifiers),
            allowed_profiles: profiles(&self.allowed_profiles)?,
            validity_max: self.max_validity.as_deref().map(duration).transpose()?,
            parent: None,
            realm: None,
        };
        Ok(Answered { registration, parent })
    }
}

/// An unknown word is taken for the strictest that may pass.
fn status(word: &str) -> RegistrationStatus {
    match word {
        "pending" => RegistrationStatus::Pending,
        "active" => RegistrationStatus::Active,
        "deactivated" => RegistrationStatus::Deactivated,
        "revoked" => RegistrationStatus::Revoked,
        _ => RegistrationStatus::Suspended,
    }
}

impl KeyIn {
    fn convert(self) -> Result<AccountKeyRecord, Broken> {
        let key = PublicKey::from_jwk(&self.jwk).map_err(|error| Broken(format!("key.jwk: {error}")))?;
        let thumbprint = key.thumbprint();
        if parsed::<Thumbprint>("key.thumbprint", &self.thumbprint)? != thumbprint {
            return Err(Broken(String::from("key.thumbprint is not that of key.jwk")));
        }
        let since = self.since.map(|time| parsed("key.since", &time)).transpose()?;
        Ok(AccountKeyRecord { key, thumbprint, since })
    }
}

/// Names that we cannot take are left out, but never all of them: an empty list would mean the
/// default profile, which nobody allowed.
fn profiles(names: &[String]) -> Result<Vec<ProfileName>, Broken> {
    let known: Vec<ProfileName> = names.iter().filter_map(|name| name.parse().ok()).collect();
    if known.is_empty() && !names.is_empty() {
        return Err(Broken(String::from("no name in allowedProfiles can be a profile's")));
    }
    Ok(known)
}

/// A child under its parent: suspended with it, within its policy, and bound by its key. `None` stands for a parent
/// that the CM does not know, which is no reason to trust the child.
pub(in crate::rest) fn under(mut child: Registration, parent: Option<Registration>) -> Registration {
    let parent_holds = parent.as_ref().is_some_and(|parent| match parent.status {
        RegistrationStatus::Pending | RegistrationStatus::Active => true,
        RegistrationStatus::Suspended | RegistrationStatus::Deactivated | RegistrationStatus::Revoked => false,
    });
    if !parent_holds && child.status == RegistrationStatus::Active {
        child.status = RegistrationStatus::Suspended;
    }
    if let Some(parent) = parent {
        let own = std::mem::replace(&mut child.allowed_identifiers, AllowedIdentifiers::Any { exclude: Vec::new() });
        child.allowed_identifiers = allowed_identifiers::narrowed(own, parent.allowed_identifiers);
        child.external_account = child.external_account.or(parent.external_account);
        child.validity_max = child.validity_max.into_iter().chain(parent.validity_max).min();
        child.parent = Some(Parent { id: parent.id, allowed_profiles: parent.allowed_profiles });
    }
    child
}

#[derive(Debug, Serialize)]
struct KeyOut {
    jwk: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct CreateOpenOut<'a> {
    mode: &'static str,
    key: KeyOut,
    contacts: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    terms_of_service_agreed_at: Option<String>,
    client: ClientOut,
    proof: ProofOut<'a>,
}

/// Not to be printed: it has the token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct BindOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    eab: Option<&'a Jws>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory_token: Option<&'a str>,
    key: KeyOut,
    contacts: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    terms_of_service_agreed_at: Option<String>,
    client: ClientOut,
    proof: ProofOut<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct UpdateOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terms_of_service_agreed_at: Option<String>,
    proof: ProofOut<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct KeyChangeOut<'a> {
    new_key: KeyOut,
    proof: ProofOut<'a>,
}

#[derive(Debug, Serialize)]
pub(in crate::rest) struct DeactivationOut<'a> {
    status: &'static str,
    proof: ProofOut<'a>,
}

impl<'a> CreateOpenOut<'a> {
    pub(in crate::rest) fn of(request: &'a NewRegistration) -> Self {
        Self {
            mode: "open",
            key: KeyOut { jwk: request.key.to_jwk() },
            contacts: &request.contacts,
            terms_of_service_agreed_at: request.terms_of_service_agreed_at.map(|time| time.to_string()),
            client: ClientOut::of(&request.client),
            proof: ProofOut::of(&request.proof),
        }
    }
}

impl<'a> BindOut<'a> {
    /// `None` if the request names nothing that it is bound by.
    pub(in crate::rest) fn of(request: &'a NewRegistration) -> Option<Self> {
        let (eab, directory_token) = match request.binding.as_ref()? {
            Binding::ExternalAccount(jws) => (Some(jws), None),
            Binding::DirectoryLink(token) => (None, Some(DirectoryToken::expose_secret(token).as_str())),
        };
        Some(Self {
            eab,
            directory_token,
            key: KeyOut { jwk: request.key.to_jwk() },
            contacts: &request.contacts,
            terms_of_service_agreed_at: request.terms_of_service_agreed_at.map(|time| time.to_string()),
            client: ClientOut::of(&request.client),
            proof: ProofOut::of(&request.proof),
        })
    }
}

impl<'a> UpdateOut<'a> {
    pub(in crate::rest) fn of(update: &'a RegistrationUpdate, proof: &'a Proof) -> Self {
        Self {
            contacts: update.contacts.as_deref(),
            terms_of_service_agreed_at: update.terms_of_service_agreed_at.map(|time| time.to_string()),
            proof: ProofOut::of(proof),
        }
    }
}

impl<'a> KeyChangeOut<'a> {
    pub(in crate::rest) fn of(new_key: &PublicKey, proof: &'a Proof) -> Self {
        Self { new_key: KeyOut { jwk: new_key.to_jwk() }, proof: ProofOut::of(proof) }
    }
}

impl<'a> DeactivationOut<'a> {
    pub(in crate::rest) const fn of(proof: &'a Proof) -> Self {
        Self { status: "deactivated", proof: ProofOut::of(proof) }
    }
}

#[cfg(test)]
mod tests {
    use acme::ids::IdempotencyKey;
    use serde_json::json;

    use super::*;
    use crate::{Client, rest::examples};

    fn answered(change: impl FnOnce(&mut Value)) -> Result<Answered, Broken> {
        let mut json = examples::registration();
        change(&mut json);
        super::super::read::<RegistrationIn>(json)?.convert(&"tls".parse().unwrap())
    }

    #[test]
    fn the_contracts_registration_is_understood() {
        let Answered { registration, parent } = answered(|_| ()).unwrap();
        assert_eq!(registration.id.as_str(), "reg_01KANM3T9V5R8YFZ2Q6W4XH7CE");
        assert_eq!((registration.version, registration.status), (2, RegistrationStatus::Active));
        let bound = registration.key.unwrap();
        assert_eq!(bound.thumbprint.to_string(), "ahIyRbwOXzMFPMuEDVyIX3geBBhi9oEWKOEyg1TMZ4s");
        assert_eq!(bound.since.unwrap().to_string(), "2026-11-22T00:40:12Z");
        assert_eq!(registration.contacts, ["mailto:pki@web.example.com"]);
        assert_eq!(registration.terms_of_service_agreed_at.unwrap().to_string(), "2026-11-22T00:40:11Z");
        assert_eq!(registration.external_account.as_deref(), Some("kid-2026-0417"));
        assert_eq!(registration.allowed_profiles, ["tls-server".parse().unwrap()]);
        let AllowedIdentifiers::Listed { rules, exclude } = registration.allowed_identifiers else { panic!("listed") };
        assert_eq!((rules.len(), exclude.len(), parent), (3, 1, None));
    }

    #[test]
    fn a_registration_whose_key_was_taken_away_had_one() {
        let withdrawn = answered(|json| {
            json["key"] = Value::Null;
            json["previousKeys"] = json!([{"thumbprint": "ahIyRbwOXzMFPMuEDVyIX3geBBhi9oEWKOEyg1TMZ4s"}]);
        });
        let withdrawn = withdrawn.unwrap().registration;
        assert_eq!((withdrawn.key, withdrawn.had_key), (None, true));
        assert!(!answered(|_| ()).unwrap().registration.had_key);
    }

    #[test]
    fn words_that_are_not_understood_are_taken_strictly() {
        let status = |word: &str| answered(|json| json["status"] = json!(word)).unwrap().registration.status;
        assert_eq!(status("quarantined"), RegistrationStatus::Suspended);
        assert_eq!(status("Active"), RegistrationStatus::Suspended);
        assert!(answered(|json| json["allowedProfiles"] = json!(["not a name"])).is_err());
        let some = answered(|json| json["allowedProfiles"] = json!(["not a name", "tls"])).unwrap();
        assert_eq!(some.registration.allowed_profiles, ["tls".parse().unwrap()]);
        let none = answered(|json| {
            json.as_object_mut().unwrap().remove("allowedIdentifiers");
        });
        let nothing = AllowedIdentifiers::Listed { rules: vec![], exclude: vec![] };
        assert_eq!(none.unwrap().registration.allowed_identifiers, nothing);
    }

    #[test]
    fn a_registration_that_contradicts_itself_is_broken() {
        assert!(answered(|json| json["realm"] = json!("other")).is_err());
        assert!(answered(|json| json["key"]["thumbprint"] = json!("A".repeat(43))).is_err());
        assert!(answered(|json| json["key"]["jwk"]["kty"] = json!("oct")).is_err());
        assert!(answered(|json| json["id"] = json!("../whoami")).is_err());
        assert!(answered(|json| json["version"] = json!("2")).is_err());
    }

    #[test]
    fn a_child_was_bound_by_the_key_of_its_parent() {
        let of = |key_id: Option<&str>| {
            let registration = answered(|_| ()).unwrap().registration;
            Registration { external_account: key_id.map(str::to_owned), ..registration }
        };
        assert_eq!(under(of(None), Some(of(Some("shared")))).external_account.as_deref(), Some("shared"));
        assert_eq!(under(of(None), None).external_account, None);
    }

    #[test]
    fn only_what_an_officer_registered_has_waivers() {
        let waivers = |mode: &str| {
            let change = |json: &mut Value| {
                json["mode"] = json!(mode);
                json["waivers"] = json!([examples::waiver()]);
            };
            answered(change).unwrap().registration.waivers.len()
        };
        assert_eq!((waivers("preregistered"), waivers("open"), waivers("unheard-of")), (1, 0, 0));
    }

    #[test]
    fn a_child_is_suspended_with_its_parent() {
        let child = || answered(|_| ()).unwrap().registration;
        let status = |parent: Option<RegistrationStatus>| {
            let parent = parent.map(|status| Registration { status, ..child() });
            under(child(), parent).status
        };
        assert_eq!(status(Some(RegistrationStatus::Pending)), RegistrationStatus::Active);
        assert_eq!(status(Some(RegistrationStatus::Suspended)), RegistrationStatus::Suspended);
        assert_eq!(status(Some(RegistrationStatus::Revoked)), RegistrationStatus::Suspended);
        assert_eq!(status(None), RegistrationStatus::Suspended);
        let revoked = Registration { status: RegistrationStatus::Revoked, ..child() };
        assert_eq!(under(revoked, None).status, RegistrationStatus::Revoked);
    }

    #[test]
    fn requests_are_those_of_the_contract() {
        let bind = examples::bind_request();
        let jws = |json: &Value| serde_json::from_value::<Jws>(json.clone()).unwrap();
        let mut request = NewRegistration {
            key: PublicKey::from_jwk(bind["key"]["jwk"].as_object().unwrap()).unwrap(),
            contacts: vec![String::from("mailto:pki@web.example.com")],
            terms_of_service_agreed_at: Some("2026-11-22T00:40:11Z".parse().unwrap()),
            client: Client { ip: "203.0.113.9".parse().unwrap(), user_agent: Some("certbot/5.1.0".into()) },
            proof: Proof(jws(&bind["proof"]["jws"])),
            binding: Some(Binding::ExternalAccount(jws(&bind["eab"]))),
            idempotency_key: IdempotencyKey::from_random([1; 16]),
        };
        assert_eq!(serde_json::to_value(BindOut::of(&request).unwrap()).unwrap(), bind);
        request.client.user_agent = None;
        assert_eq!(serde_json::to_value(CreateOpenOut::of(&request)).unwrap(), examples::create_open());
        request.binding = None;
        assert!(BindOut::of(&request).is_none());
        let token = "FX4DBzTpxeLNRsHBPtsUEmcfFytOfMDdAg-Pq1PALAs";
        request.binding = Some(Binding::DirectoryLink(DirectoryToken::parse(token).unwrap()));
        let by_link = serde_json::to_value(BindOut::of(&request).unwrap()).unwrap();
        assert_eq!((&by_link["directoryToken"], by_link.get("eab")), (&json!(token), None));
        assert_eq!(by_link["proof"], bind["proof"]);
    }
}
