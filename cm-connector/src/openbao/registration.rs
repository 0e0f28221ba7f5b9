//! Registrations as the gateway sees them: put together from what the officer, the client and the realm say, of
//! which the strictest word counts (CM contract section 4.3).

use acme::{
    account_key::Thumbprint,
    ids::{RealmName, RegistrationId},
    problem::{Problem, ProblemKind},
    registration::{Registration, RegistrationStatus},
};
use serde_json::json;

use super::{
    OpenBaoCertificateManager,
    failure::Failure,
    layout::{Kid, Place},
    records::{Account, Hold, Key, PreRegistration, PreviousKey, Realm},
    store::Stored,
};
use crate::{CmError, Outcome, rest::door};

/// A registration and what it was put together from.
pub(super) struct Whole {
    pub(super) registration: Registration,
    pub(super) account: Stored<Account>,
    pub(super) pre_registration: Option<PreRegistration>,
    pub(super) realm: Realm,
}

impl Whole {
    /// Whether an officer has taken the account's key away.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.pre_registration.as_ref().is_some_and(|pre| self.account.value.is_withdrawn(pre))
    }
}

pub(super) async fn registration(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    id: &RegistrationId,
) -> Result<Option<Registration>, CmError> {
    let found = bao.whole(realm, id).await.map_err(Failure::into_error)?;
    Ok(found.map(|whole| whole.registration))
}

pub(super) async fn registration_by_key(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    thumbprint: &Thumbprint,
) -> Result<Option<Registration>, CmError> {
    let found = async {
        let Some(key) = bao.record::<Key>(realm, Place::Key(thumbprint)).await? else { return Ok(None) };
        // A key that was replaced or taken away, or is about to be bound, is nobody's.
        let whole = bao.whole(realm, &key.value.registration).await?;
        Ok(whole.filter(|whole| whole.account.value.thumbprint == *thumbprint && !whole.is_withdrawn()))
    };
    let found: Result<_, Failure> = found.await;
    Ok(found.map_err(Failure::into_error)?.map(|whole| whole.registration))
}

impl OpenBaoCertificateManager {
    /// A registration to which a key is bound.
    pub(super) async fn whole(&self, realm: &RealmName, id: &RegistrationId) -> Result<Option<Whole>, Failure> {
        let Some(account) = self.record::<Account>(realm, Place::Account(id)).await? else { return Ok(None) };
        self.put_together(realm, id, account).await.map(Some)
    }

    /// An account with the officer's and the realm's words about it.
    pub(super) async fn put_together(
        &self,
        realm: &RealmName,
        id: &RegistrationId,
        account: Stored<Account>,
    ) -> Result<Whole, Failure> {
        let settings = self.realm(realm).await?;
        let hold = self.record::<Hold>(realm, Place::Hold(id)).await?.map(|stored| stored.value);
        let pre_registration = match account.value.kid.as_deref().and_then(Kid::parse) {
            Some(kid) => self.record::<PreRegistration>(realm, Place::PreRegistration(&kid)).await?,
            None => None,
        };
        let pre_registration = pre_registration.map(|stored| stored.value);
        if account.value.kid.is_some() && pre_registration.is_none() {
            tracing::error!(registration = %id, "its pre-registration is gone; it counts as suspended");
        }
        let registration = effective(realm, id, &account, hold.as_ref(), pre_registration.as_ref(), &settings)?;
        Ok(Whole { registration, account, pre_registration, realm: settings })
    }

    /// What the realm is.
    pub(super) async fn realm(&self, realm: &RealmName) -> Result<Realm, Failure> {
        let found = self.record::<Realm>(realm, Place::Realm).await?;
        found.map(|stored| stored.value).ok_or_else(|| Failure::Refused {
            status: 404,
            errors: format!("realm {realm} has no record of what it is"),
        })
    }
}

/// Puts a registration together; the strictest word of all counts.
fn effective(
    realm: &RealmName,
    id: &RegistrationId,
    account: &Stored<Account>,
    hold: Option<&Hold>,
    pre_registration: Option<&PreRegistration>,
    settings: &Realm,
) -> Result<Registration, Failure> {
    let Account { thumbprint, jwk, key_since, contacts, terms_of_service_agreed_at, kid, .. } = &account.value;
    let words = [
        Some(account.value.status.as_str()),
        hold.map(|hold| hold.status.as_str()),
        pre_registration.map(|pre_registration| pre_registration.status.as_str()),
        (kid.is_some() && pre_registration.is_none()).then_some("suspended"),
    ];
    let profiles = pre_registration.map_or(&settings.open_profiles, |pre| &pre.allowed_profiles);
    let validity_max_secs = pre_registration.and_then(|pre| pre.validity_max_secs);
    let (mut status, mut previous_keys) = (strictest(&words), account.value.previous_keys.clone());
    let mut key = Some(json!({"jwk": jwk, "thumbprint": thumbprint, "since": key_since}));
    if pre_registration.is_some_and(|pre| account.value.is_withdrawn(pre)) {
        key = None;
        previous_keys.push(PreviousKey { thumbprint: *thumbprint, until: account.written_at });
        if status == "active" {
            status = "pending";
        }
    }
    let json = json!({
        "id": id, "version": account.version, "realm": realm, "status": status, "key": key,
        "previousKeys": previous_keys,
        "contacts": contacts, "termsOfServiceAgreedAt": terms_of_service_agreed_at,
        "eab": kid.as_ref().map(|kid| json!({"kid": kid})),
        "allowedIdentifiers": settings.allowed_identifiers, "allowedProfiles": profiles,
        "maxValidity": validity_max_secs.map(|secs| format!("PT{secs}S")),
    });
    let (mut registration, _) =
        door::registration(realm, json).map_err(|error| Failure::Broken(format!("registration {id}: {error}")))?;
    let lists =
        [pre_registration.map(|pre| &pre.allowed_identifiers), hold.and_then(|hold| hold.allowed_identifiers.as_ref())];
    for own in lists.into_iter().flatten() {
        let own = door::allowed_identifiers(own.clone());
        registration.allowed_identifiers = door::narrowed(own, registration.allowed_identifiers);
    }
    Ok(registration)
}

/// The strictest of some words; an unknown one is `suspended`.
pub(super) fn strictest<'a>(words: &[Option<&'a str>]) -> &'a str {
    const BY_STRICTNESS: [&str; 4] = ["active", "suspended", "deactivated", "revoked"];
    let strictness = |word: &str| BY_STRICTNESS.iter().position(|known| *known == word).unwrap_or(1);
    let most = words.iter().flatten().map(|word| strictness(word)).max().unwrap_or(1);
    BY_STRICTNESS.get(most).copied().unwrap_or("suspended")
}

/// Whether the account may do what it asks for.
pub(super) fn require_active(registration: &Registration) -> Result<(), CmError> {
    let refuse = |kind, detail: &'static str| Err(CmError::Refused(Problem::new(kind, detail)));
    match registration.status {
        RegistrationStatus::Active => Ok(()),
        RegistrationStatus::Suspended => {
            refuse(ProblemKind::Unauthorized, "the account is suspended; ask the RA officer")
        }
        // It has an account, so it had a key.
        RegistrationStatus::Pending => refuse(
            ProblemKind::Unauthorized,
            "the registration authority has withdrawn the account key that this was asked for with; bind a new one, \
             and create a new order",
        ),
        RegistrationStatus::Deactivated | RegistrationStatus::Revoked => {
            refuse(ProblemKind::AccountNotActive, "the account has been deactivated or revoked")
        }
    }
}

pub(super) fn no_such_account() -> CmError {
    CmError::Refused(Problem::new(ProblemKind::AccountDoesNotExist, "there is no such account"))
}

pub(super) fn retired() -> CmError {
    CmError::Refused(Problem::new(ProblemKind::BadPublicKey, "this account key was replaced by another; use a new key"))
}

/// To the client the same as a signature that does not verify, for that is what it is now.
pub(super) fn key_was_changed() -> CmError {
    CmError::Refused(Problem::new(
        ProblemKind::Malformed,
        "the key of this account was changed meanwhile (RFC 8555 section 7.3.5); sign with the key it has now",
    ))
}

/// Somebody else writes all the time.
pub(super) const fn crowded() -> CmError {
    CmError::Unavailable { retry_after: None, outcome: Outcome::NotSent }
}

#[cfg(test)]
mod tests {
    use acme::{
        identifier::DnsName,
        registration::{AllowedIdentifiers, IdentifierRule},
    };
    use serde_json::Value;

    use super::*;

    fn account(status: &str, kid: Option<&str>) -> Stored<Account> {
        let jwk = json!({"crv": "P-256", "kty": "EC", "x": "_gjcgbP2cGgPl_VSlAiYy_Db4XSk_lsHXnatnSLD7i8",
                         "y": "43HGvYbvqinnQ1uLaxp3Z72dIUGkYkL2OkB0hIqVg0E"});
        let account = json!({"status": status, "jwk": jwk, "thumbprint": "ahIyRbwOXzMFPMuEDVyIX3geBBhi9oEWKOEyg1TMZ4s",
                             "keySince": "2026-11-22T00:00:00Z", "createdAt": "2026-11-22T00:00:00Z", "kid": kid});
        let value = serde_json::from_value(account).unwrap();
        Stored { value, version: 3, written_at: "2026-11-22T00:00:00Z".parse().unwrap() }
    }

    fn suffix(name: &str) -> Value {
        json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": name}]})
    }

    fn realm(allowed: Value) -> Realm {
        let realm =
            json!({"mode": "both", "allowedIdentifiers": allowed, "profiles": ["tls"], "defaultProfile": "tls"});
        serde_json::from_value(realm).unwrap()
    }

    fn pre_registration(status: &str, allowed: Value) -> PreRegistration {
        let json = json!({"registration": "reg_1", "status": status, "use": "once", "maxBindings": 1,
                          "allowedIdentifiers": allowed, "allowedProfiles": ["tls"]});
        serde_json::from_value(json).unwrap()
    }

    fn hold(status: &str, allowed: Option<Value>) -> Hold {
        Hold { status: status.into(), allowed_identifiers: allowed, reason: None, officer: None, at: None }
    }

    fn seen(
        account: &Stored<Account>,
        hold: Option<&Hold>,
        pre: Option<&PreRegistration>,
        settings: &Realm,
    ) -> Registration {
        effective(&"tls".parse().unwrap(), &"reg_1".parse().unwrap(), account, hold, pre, settings).unwrap()
    }

    #[test]
    fn the_strictest_word_about_a_registration_counts() {
        use RegistrationStatus::{Active, Deactivated, Revoked, Suspended};
        let table = [
            ("active", None, "active", Active),
            ("active", Some("active"), "active", Active),
            ("active", Some("suspended"), "active", Suspended),
            ("active", Some("revoked"), "suspended", Revoked),
            ("deactivated", Some("suspended"), "active", Deactivated),
            ("deactivated", None, "revoked", Revoked),
            ("active", Some("frozen-in-2031"), "active", Suspended),
            ("active", None, "", Suspended),
        ];
        for (client, officer, template, expected) in table {
            let hold = officer.map(|status| hold(status, None));
            let pre = pre_registration(template, json!({"mode": "any"}));
            let account = account(client, Some("kid-1"));
            let seen = seen(&account, hold.as_ref(), Some(&pre), &realm(json!({"mode": "any"})));
            assert_eq!(seen.status, expected, "{client} {officer:?} {template}");
        }
    }

    #[test]
    fn a_registration_whose_pre_registration_is_gone_is_suspended_and_one_of_open_mode_has_none() {
        let any = realm(json!({"mode": "any"}));
        assert_eq!(seen(&account("active", Some("kid-1")), None, None, &any).status, RegistrationStatus::Suspended);
        assert_eq!(seen(&account("active", None), None, None, &any).status, RegistrationStatus::Active);
    }

    #[test]
    fn the_names_are_those_that_officer_pre_registration_and_realm_all_allow() {
        let pre = pre_registration("active", suffix("a.example.com"));
        let narrowed = hold("active", Some(suffix("b.a.example.com")));
        let names = |hold: Option<&Hold>, settings: &Realm| {
            seen(&account("active", Some("kid-1")), hold, Some(&pre), settings).allowed_identifiers
        };
        let only = |name: &str| AllowedIdentifiers::Listed {
            rules: vec![IdentifierRule::Suffix { name: DnsName::parse(name).unwrap(), wildcards: true }],
            exclude: vec![],
        };
        assert_eq!(names(None, &realm(suffix("example.com"))), only("a.example.com"));
        assert_eq!(names(Some(&narrowed), &realm(json!({"mode": "any"}))), only("b.a.example.com"));
        let nothing = AllowedIdentifiers::Listed { rules: vec![], exclude: vec![] };
        assert_eq!(names(None, &realm(suffix("example.net"))), nothing);
        assert_eq!(names(None, &realm(json!({"mode": "all"}))), nothing, "what is not understood allows nothing");
    }

    #[test]
    fn who_came_by_a_kid_keeps_it_and_the_version_is_that_of_the_account() {
        let pre = pre_registration("active", suffix("example.com"));
        let seen = seen(&account("active", Some("kid-1")), None, Some(&pre), &realm(json!({"mode": "any"})));
        assert_eq!((seen.external_account.as_deref(), seen.version), (Some("kid-1"), 3));
        assert_eq!(seen.allowed_profiles.len(), 1);
    }
}
