//! What clients change in their registrations: contacts, key, their end (RFC 8555 §7.3.2 to §7.3.6). One record, by
//! check-and-set, on the word of the key that the registration had when the request was verified.

use acme::{
    account_key::PublicKey,
    ids::RealmName,
    problem::{Problem, ProblemKind},
    registration::{Registration, RegistrationStatus},
};

use super::{
    OpenBaoCertificateManager,
    clock::now,
    failure::Failure,
    layout::Place,
    records::{Account, Key, PreviousKey},
    registration::{Whole, crowded, key_was_changed, no_such_account, require_active, retired},
};
use crate::{CmError, RegistrationUpdate};

/// How often a change is decided again because somebody else wrote meanwhile.
const ROUNDS_MAX: u32 = 5;
/// Most keys that a registration can have had: by these a replaced one is known.
const PREVIOUS_KEYS_MAX: usize = 1000;

pub(super) async fn update_registration(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    registration: &Registration,
    update: &RegistrationUpdate,
) -> Result<Registration, CmError> {
    bao.change(realm, registration, |whole| {
        require_active(&whole.registration)?;
        if update.is_in(&whole.registration) {
            return Ok(None);
        }
        let mut account = whole.account.value.clone();
        if let Some(contacts) = &update.contacts {
            account.contacts.clone_from(contacts);
        }
        account.terms_of_service_agreed_at = update.terms_of_service_agreed_at.or(account.terms_of_service_agreed_at);
        Ok(Some(account))
    })
    .await
}

pub(super) async fn deactivate(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    registration: &Registration,
) -> Result<Registration, CmError> {
    bao.change(realm, registration, |whole| {
        if whole.registration.status == RegistrationStatus::Deactivated {
            return Ok(None);
        }
        require_active(&whole.registration)?;
        Ok(Some(Account { status: String::from("deactivated"), ..whole.account.value.clone() }))
    })
    .await
}

/// First the new key becomes this registration's for ever, then its account gets it. A crash between the two leaves a
/// key that nobody can use but this registration, by the same change again.
pub(super) async fn change_key(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    registration: &Registration,
    new_key: &PublicKey,
) -> Result<Registration, CmError> {
    let new = new_key.thumbprint();
    let id = &registration.id;
    let current = bao.whole(realm, id).await.map_err(Failure::into_error)?.ok_or_else(no_such_account)?;
    if current.account.value.thumbprint == new && !current.is_withdrawn() {
        return Ok(current.registration);
    }
    require_key_of(&current, registration)?;
    require_active(&current.registration)?;
    if current.account.value.previous_keys.iter().any(|previous| previous.thumbprint == new) {
        return Err(retired());
    }
    let wanted = Key { registration: id.clone(), kid: current.account.value.kid.clone() };
    let claimed = bao.claim(realm, &new, wanted).await?;
    if claimed.registration != *id {
        return Err(CmError::KeyInUse { registration: Some(claimed.registration) });
    }
    bao.change(realm, registration, |whole| {
        require_active(&whole.registration)?;
        with_key(&whole.account.value, new_key).map(Some)
    })
    .await
}

impl OpenBaoCertificateManager {
    /// Decides on the account as it is and writes it, until nobody wrote in between. `None`: it is as it should be.
    async fn change(
        &self,
        realm: &RealmName,
        registration: &Registration,
        decide: impl Fn(&Whole) -> Result<Option<Account>, CmError> + Send,
    ) -> Result<Registration, CmError> {
        let id = &registration.id;
        let mut written: Option<Account> = None;
        for _ in 0..ROUNDS_MAX {
            let whole = self.whole(realm, id).await.map_err(Failure::into_error)?.ok_or_else(no_such_account)?;
            // An attempt whose answer was lost has changed it, the key perhaps.
            if written.as_ref() == Some(&whole.account.value) {
                return Ok(whole.registration);
            }
            require_key_of(&whole, registration)?;
            let Some(account) = decide(&whole)? else { return Ok(whole.registration) };
            let version = whole.account.version;
            let is_written =
                self.update(realm, Place::Account(id), &account, version).await.map_err(Failure::into_error)?;
            written = Some(account);
            if is_written {
                let changed = self.whole(realm, id).await.map_err(|failure| failure.after(crate::Outcome::Unknown));
                return changed.map_err(Failure::into_error)?.map(|whole| whole.registration).ok_or_else(crowded);
            }
        }
        Err(crowded())
    }
}

/// The word that a change rests on is not worth anything once the registration has another key.
fn require_key_of(whole: &Whole, registration: &Registration) -> Result<(), CmError> {
    let is_the_same = registration.key.as_ref().is_some_and(|bound| bound.thumbprint == whole.account.value.thumbprint);
    if is_the_same { Ok(()) } else { Err(key_was_changed()) }
}

fn with_key(account: &Account, new_key: &PublicKey) -> Result<Account, CmError> {
    let (previous_keys, mut changed) = (retired_keys(account)?, account.clone());
    (changed.jwk, changed.thumbprint, changed.key_since) = (new_key.to_jwk(), new_key.thumbprint(), now());
    Ok(Account { previous_keys, ..changed })
}

/// The keys that this account has had once it has another.
pub(super) fn retired_keys(account: &Account) -> Result<Vec<PreviousKey>, CmError> {
    if account.previous_keys.len() >= PREVIOUS_KEYS_MAX {
        let detail = "this account has had too many keys; create a new account";
        return Err(CmError::Refused(Problem::new(ProblemKind::RateLimited, detail)));
    }
    let mut keys = account.previous_keys.clone();
    keys.push(PreviousKey { thumbprint: account.thumbprint, until: now() });
    Ok(keys)
}
