//! New accounts: made by anybody in open mode, or bound to a pre-registration exactly once (CM contract section 4.3).
//!
//! A binding takes three records, in this order: the use of the pre-registration, the key, the account. The first two
//! can be created and never changed, so of two clients one wins, whatever gateway they come to. A crash between
//! them leaves a use that knows its key: the same client again goes on with it, another finds it used, until an officer
//! ends that use. What an officer has ended (`uses_ended`) binds nobody, whoever is in the midst of it.

use acme::{
    account_key::Thumbprint,
    ids::{RealmName, RegistrationId},
    problem::{Problem, ProblemKind},
    registration::{Registration, RegistrationStatus},
    time::Timestamp,
};
use serde_json::Value;

use super::{
    OpenBaoCertificateManager,
    account::retired_keys,
    client::Call,
    clock::now,
    external_account,
    failure::Failure,
    layout::{Kid, Place},
    records::{Account, Binding, Key, Mode, PreRegistration, Uses},
    registration::{Whole, crowded, require_active, retired},
};
use crate::{CmError, NewRegistration, Outcome, Registered};

/// Most uses of a pre-registration: each new one looks at those before it.
pub(super) const BINDINGS_MAX: u32 = 1000;
/// How often one that lost the race for a number tries the next.
const RACES_MAX: u32 = 32;
/// How often a change is decided again because somebody else wrote meanwhile.
const ROUNDS_MAX: u32 = 5;

pub(super) async fn create_registration(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    request: &NewRegistration,
) -> Result<Registered, CmError> {
    let thumbprint = request.key.thumbprint();
    let use_number = 1;
    if let Some(key) = bao.key(realm, &thumbprint).await? {
        return bao.open(realm, request, &key, &Way { kid: None, use_number }).await;
    }
    if bao.realm(realm).await.map_err(Failure::into_error)?.mode == Mode::Preregistered {
        let detail = format!("realm {realm} is not open: its record in OpenBao has the mode preregistered");
        return Err(CmError::Internal { outcome: Outcome::NotSent, detail });
    }
    let key = Key { registration: fresh_id()?, kid: None };
    let key = bao.claim(realm, &thumbprint, key).await?;
    bao.open(realm, request, &key, &Way { kid: None, use_number }).await
}

pub(super) async fn bind_registration(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    request: &NewRegistration,
) -> Result<Registered, CmError> {
    let Some(crate::Binding::ExternalAccount(jws)) = &request.binding else {
        let detail = String::from("OpenBao binds registrations by an external account binding only");
        return Err(CmError::Internal { outcome: Outcome::NotSent, detail });
    };
    let (kid, pre_registration) = bao.known(realm, request, jws).await?;
    let thumbprint = request.key.thumbprint();
    // A repetition is answered whatever has become of the window since.
    if let Some(key) = bao.key(realm, &thumbprint).await? {
        let whole = bao.whole(realm, &key.registration).await.map_err(Failure::into_error)?;
        if let Found::Bound(registration) = judge(whole, &key, &thumbprint, Some(&kid))? {
            return Ok(Registered { registration: *registration, created: false });
        }
    }
    check_window(&pre_registration, now())?;
    let (use_number, registration) = bao.use_up(realm, &kid, &pre_registration, &thumbprint).await?;
    let key = Key { registration, kid: Some(kid.as_str().to_owned()) };
    let key = bao.claim(realm, &thumbprint, key).await?;
    bao.open(realm, request, &key, &Way { kid: Some(&kid), use_number }).await
}

/// By what a key comes to its account.
struct Way<'a> {
    /// `None` in open mode.
    kid: Option<&'a Kid>,
    use_number: u32,
}

/// What a key that is a registration's has come to.
enum Found {
    Bound(Box<Registration>),
    /// Its account is still to be made, or taken over from a key that an officer has taken away.
    Begun(Option<Box<Whole>>),
}

fn judge(whole: Option<Whole>, key: &Key, thumbprint: &Thumbprint, kid: Option<&Kid>) -> Result<Found, CmError> {
    let same_way = key.kid.as_deref() == kid.map(Kid::as_str);
    let in_use = || Err(CmError::KeyInUse { registration: Some(key.registration.clone()) });
    let Some(whole) = whole else { return if same_way { Ok(Found::Begun(None)) } else { in_use() } };
    let (account, is_withdrawn) = (&whole.account.value, whole.is_withdrawn());
    let is_its = account.thumbprint == *thumbprint;
    if account.previous_keys.iter().any(|previous| previous.thumbprint == *thumbprint) || (is_its && is_withdrawn) {
        return Err(retired());
    }
    match (is_its, is_withdrawn) {
        // In open mode a key that has any account is answered with it (RFC 8555 §7.3.1).
        (true, _) if same_way || kid.is_none() => Ok(Found::Bound(Box::new(whole.registration))),
        (false, true) if same_way => Ok(Found::Begun(Some(Box::new(whole)))),
        (true | false, _) => in_use(),
    }
}

impl OpenBaoCertificateManager {
    /// The pre-registration that a binding names, if it was made with its secret. An unknown kid takes the same path
    /// as a wrong MAC: both questions are asked, and there is one answer.
    async fn known(
        &self,
        realm: &RealmName,
        request: &NewRegistration,
        jws: &crate::Jws,
    ) -> Result<(Kid, PreRegistration), CmError> {
        let binding = external_account::Binding::read(jws, &request.proof.0, &request.key).ok_or_else(rejected)?;
        let kid = Kid::parse(&binding.kid).ok_or_else(rejected)?;
        let found = self.record::<PreRegistration>(realm, Place::PreRegistration(&kid)).await;
        let found = found.map_err(Failure::into_error)?.map(|stored| stored.value);
        let versions = found.as_ref().map_or([1; 2], |found| found.binding_versions(now()));
        let mut is_right = false;
        for version in versions {
            is_right |= self.verify(realm, &kid, &binding.question(version)).await.map_err(Failure::into_error)?;
        }
        found.filter(|_| is_right).map(|found| (kid, found)).ok_or_else(rejected)
    }

    async fn verify(&self, realm: &RealmName, kid: &Kid, question: &Value) -> Result<bool, Failure> {
        let path = self.mounts(realm).verify(kid);
        match self.client.send(&Call::write("POST eab/verify/{kid}/sha2-256", path, question.clone())).await {
            Ok(answer) => Ok(answer.pointer("/data/valid").and_then(Value::as_bool) == Some(true)),
            Err(failure) if failure.is_unknown_key() => Ok(false),
            // A MAC of another form than this key's, or a version that transit does not have.
            Err(Failure::Refused { status: 400, .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Takes one use of a pre-registration for this key, or finds the one that it has; its number, and the registration
    /// that comes of it.
    async fn use_up(
        &self,
        realm: &RealmName,
        kid: &Kid,
        pre_registration: &PreRegistration,
        thumbprint: &Thumbprint,
    ) -> Result<(u32, RegistrationId), CmError> {
        let (numbers, registration) = match pre_registration.uses {
            Uses::Once => {
                let next = pre_registration.uses_ended.saturating_add(1);
                (next..=next, pre_registration.registration.clone())
            }
            Uses::Multi => (1..=pre_registration.max_bindings.min(BINDINGS_MAX), fresh_id()?),
        };
        let mine = Binding { registration, thumbprint: *thumbprint };
        let mut taken = self.bindings(realm, kid).await.map_err(Failure::into_error)?;
        taken.retain(|number| numbers.contains(number));
        // After a crash one of them may be this key's.
        for number in &taken {
            if let Some(registration) = self.bound(realm, kid, *number, thumbprint).await? {
                return Ok((*number, registration));
            }
        }
        for _ in 0..RACES_MAX {
            let Some(number) = numbers.clone().find(|number| !taken.contains(number)) else {
                return Err(exhausted());
            };
            let place = Place::Binding(kid, number);
            if self.create(realm, place, &mine).await.map_err(Failure::into_error)? {
                return Ok((number, mine.registration));
            }
            // Somebody's; or ours, from an attempt whose answer was lost.
            if let Some(registration) = self.bound(realm, kid, number, thumbprint).await? {
                return Ok((number, registration));
            }
            taken.push(number);
        }
        Err(crowded())
    }

    /// The registration of one use, if it is this key's.
    async fn bound(
        &self,
        realm: &RealmName,
        kid: &Kid,
        number: u32,
        thumbprint: &Thumbprint,
    ) -> Result<Option<RegistrationId>, CmError> {
        let binding = self.record::<Binding>(realm, Place::Binding(kid, number)).await.map_err(Failure::into_error)?;
        let binding = binding.map(|stored| stored.value).filter(|binding| binding.thumbprint == *thumbprint);
        Ok(binding.map(|binding| binding.registration))
    }

    pub(super) async fn key(&self, realm: &RealmName, thumbprint: &Thumbprint) -> Result<Option<Key>, CmError> {
        let key = self.record::<Key>(realm, Place::Key(thumbprint)).await.map_err(Failure::into_error)?;
        Ok(key.map(|stored| stored.value))
    }

    /// Makes a key a registration's for ever; the record that counts, which may be another's.
    pub(super) async fn claim(&self, realm: &RealmName, thumbprint: &Thumbprint, key: Key) -> Result<Key, CmError> {
        if self.create(realm, Place::Key(thumbprint), &key).await.map_err(Failure::into_error)? {
            return Ok(key);
        }
        let there = self.key(realm, thumbprint).await?;
        there.ok_or_else(crowded)
    }

    /// Makes the account of a key that is a registration's, goes on with making it, or finds it.
    async fn open(
        &self,
        realm: &RealmName,
        request: &NewRegistration,
        key: &Key,
        way: &Way<'_>,
    ) -> Result<Registered, CmError> {
        let (id, thumbprint) = (&key.registration, request.key.thumbprint());
        let (place, mut created) = (Place::Account(id), false);
        for _ in 0..ROUNDS_MAX {
            let whole = self.whole(realm, id).await.map_err(Failure::into_error)?;
            let account = account(request, &thumbprint, way);
            let written = match judge(whole, key, &thumbprint, way.kid)? {
                Found::Bound(registration) => return Ok(Registered { registration: *registration, created }),
                Found::Begun(None) => self.create(realm, place, &account).await,
                Found::Begun(Some(before)) => {
                    let after = taken_over(&before, account)?;
                    self.update(realm, place, &after, before.account.version).await
                }
            };
            created |= written.map_err(Failure::into_error)?;
        }
        Err(crowded())
    }
}

/// The account of a client whose key an officer has taken away, for the next one that knows the secret.
fn taken_over(before: &Whole, account: Account) -> Result<Account, CmError> {
    if before.registration.status != RegistrationStatus::Pending {
        require_active(&before.registration)?;
    }
    // An officer has ended this use too.
    if before.pre_registration.as_ref().is_none_or(|pre| account.is_withdrawn(pre)) {
        return Err(rejected());
    }
    let previous_keys = retired_keys(&before.account.value)?;
    Ok(Account { previous_keys, created_at: before.account.value.created_at, ..account })
}

fn account(request: &NewRegistration, thumbprint: &Thumbprint, way: &Way<'_>) -> Account {
    let now = now();
    Account {
        status: String::from("active"),
        jwk: request.key.to_jwk(),
        thumbprint: *thumbprint,
        key_since: now,
        previous_keys: Vec::new(),
        contacts: request.contacts.clone(),
        terms_of_service_agreed_at: request.terms_of_service_agreed_at,
        kid: way.kid.map(|kid| kid.as_str().to_owned()),
        use_number: way.use_number,
        created_at: now,
    }
}

fn check_window(pre_registration: &PreRegistration, now: Timestamp) -> Result<(), CmError> {
    let refuse = |detail: &'static str| Err(CmError::Refused(Problem::new(ProblemKind::Unauthorized, detail)));
    let too_soon = pre_registration.not_before.is_some_and(|from| now < from);
    if too_soon || pre_registration.not_after.is_some_and(|until| now >= until) {
        return refuse("the external account cannot be used at this time; ask its issuer");
    }
    if pre_registration.status != "active" {
        return refuse("the external account is suspended or revoked; ask its issuer");
    }
    Ok(())
}

fn rejected() -> CmError {
    CmError::BindingRefused(Problem::new(
        ProblemKind::Unauthorized,
        "the external account binding was not accepted; check the key identifier and the MAC key",
    ))
}

fn exhausted() -> CmError {
    CmError::Refused(Problem::new(
        ProblemKind::Unauthorized,
        "the external account has been used already; ask its issuer for another",
    ))
}

fn fresh_id() -> Result<RegistrationId, CmError> {
    let random = RegistrationId::from_random(rand::random());
    RegistrationId::parse(&format!("reg_{random}"))
        .map_err(|error| CmError::Internal { outcome: Outcome::NotSent, detail: error.to_string() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(status: &str, from: Option<&str>, until: Option<&str>, now: &str) -> bool {
        let json = json!({"registration": "reg_1", "status": status, "use": "once", "maxBindings": 1,
                          "notBefore": from, "notAfter": until, "allowedIdentifiers": {"mode": "any"}});
        check_window(&serde_json::from_value(json).unwrap(), now.parse().unwrap()).is_err()
    }

    #[test]
    fn a_pre_registration_binds_within_its_window_and_while_it_is_active() {
        let (from, until) = (Some("2026-11-20T00:00:00Z"), Some("2026-12-04T00:00:00Z"));
        assert!(!refused("active", None, None, "2026-11-22T00:00:00Z"));
        assert!(!refused("active", from, until, "2026-11-20T00:00:00Z"));
        assert!(refused("active", from, until, "2026-11-19T23:59:59Z"));
        assert!(refused("active", from, until, "2026-12-04T00:00:00Z"));
        for status in ["suspended", "revoked", "pending", ""] {
            assert!(refused(status, from, until, "2026-11-22T00:00:00Z"), "{status}");
        }
    }

    #[test]
    fn registrations_have_ids_that_nobody_guesses() {
        let (one, two) = (fresh_id().unwrap(), fresh_id().unwrap());
        assert!(one != two && one.as_str().starts_with("reg_") && one.as_str().len() == 30);
    }
}
