//! Accounts: creating, reading, updating, deactivating (RFC 8555 §7.3).
//!
//! An account is the face of a registration in the CM; nothing about it is stored here.

use std::{mem::ManuallyDrop, net::IpAddr, sync::Arc};

use acme::{
    account::{AccountStatus, check_contacts},
    account_key::PublicKey,
    ids::RegistrationId,
    problem::{Problem, ProblemKind},
    registration::{Registration, RegistrationStatus},
    time::Timestamp,
};
use cm_connector::{
    Binding, Client, CmError, DirectoryToken, NewRegistration, Proof, RegistrationUpdate, cached::Epoch,
};
use serde_json::Value;

use super::{Error, Refusal};
use crate::{
    app::{App, Endpoint},
    audit::{self, AccountAct, AccountRequest, Act, Asked, Event},
    jws::external_account::ExternalAccount,
    limits::{Purpose, Spent, Turn},
    random,
    settings::Mode,
};

/// What a client asks of newAccount.
pub(crate) struct NewAccount {
    pub(crate) key: PublicKey,
    pub(crate) contacts: Vec<String>,
    pub(crate) terms_of_service_agreed: bool,
    pub(crate) only_return_existing: bool,
    /// The binding as it was received.
    pub(crate) external_account_binding: Option<Value>,
    /// The directory link that it came by.
    pub(crate) directory_token: Option<DirectoryToken>,
    /// The URL that request and binding must both name.
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) proof: Proof,
}

/// An account, and whether this request made it.
pub(crate) struct Account {
    pub(crate) registration: Arc<Registration>,
    pub(crate) created: bool,
    /// The external account key that this request was bound by.
    pub(crate) bound_by: Option<String>,
}

/// Finds the account of this key, or creates it (RFC 8555 §7.3, §7.3.1).
///
/// For an existing account everything else in the request is ignored: clients repeat their binding
/// and their contacts at every start.
pub(crate) async fn create(
    app: &App,
    endpoint: &Endpoint,
    request: NewAccount,
    now: Timestamp,
) -> Result<Account, Error> {
    let from = request.client.ip;
    let thumbprint = request.key.thumbprint();
    let turn = if app.registrations.remembers_key(&endpoint.realm, &thumbprint) {
        None
    } else {
        Some(app.limits.turn(from, Purpose::Other).await?)
    };
    if let Some(registration) = app.registrations.registration_by_key(&endpoint.realm, &thumbprint).await? {
        return existing(endpoint, registration);
    }
    let is_too_many = turn.map_or(Ok(()), Turn::was_in_vain);
    if request.only_return_existing {
        return Err(Error::refused(
            ProblemKind::AccountDoesNotExist,
            "no account has this key; create one without onlyReturnExisting",
        ));
    }
    is_too_many?;
    audit::require(app, Act::Change)?;
    require_agreement(endpoint, request.terms_of_service_agreed)?;
    let (binding, bound_by) = binding(endpoint, &request)?;
    check_contacts(&request.contacts).map_err(|error| Problem::new(error.kind(), error.to_string()))?;
    policies::key::check_account_key(&request.key)
        .map_err(|weakness| Problem::new(ProblemKind::BadPublicKey, weakness.to_string()))?;
    let agreed_at = (endpoint.terms_of_service.is_some() && request.terms_of_service_agreed).then_some(now);
    let new = NewRegistration {
        key: request.key,
        contacts: request.contacts,
        terms_of_service_agreed_at: agreed_at,
        client: request.client,
        proof: request.proof,
        binding,
        idempotency_key: random::id(),
    };
    if new.binding.is_some() {
        app.limits.may_bind(from, endpoint, bound_by.as_deref())?;
    }
    let spent = app.limits.new_account(from)?;
    register(app, endpoint, (&new, bound_by), spent, now).await
}

/// The registration of an account, for somebody at this address who names it.
///
/// Anybody can make names up, and each is a question to the CM: those in vain are counted. An account
/// that was seen here before, lately or by its orders, never waits for strangers at its address.
pub(crate) async fn find(
    app: &App,
    endpoint: &Endpoint,
    id: &RegistrationId,
    from: IpAddr,
    purpose: Purpose,
) -> Result<Option<Arc<Registration>>, Error> {
    let was_seen = app.registrations.remembers(&endpoint.realm, id) || has_ordered(app, endpoint, id).await;
    let turn = if was_seen { None } else { Some(app.limits.turn(from, purpose).await?) };
    let found = app.registrations.registration(&endpoint.realm, id).await?;
    if found.is_none()
        && let Some(turn) = turn
        && let Err(met) = turn.was_in_vain()
    {
        // The truth is of more use to a client that asked for itself, and it has been found out.
        tracing::debug!(?met, "an account that does not exist, from an address that asked for many");
    }
    Ok(found)
}

/// Whether this account has orders here; nobody else can make them.
async fn has_ordered(app: &App, endpoint: &Endpoint, id: &RegistrationId) -> bool {
    let ever = Timestamp::from_unix_secs(0);
    // A store that cannot be read knows nobody.
    app.store.orders_made_since(&endpoint.name, id, ever, 1).await.is_ok_and(|orders| !orders.is_empty())
}

/// What the CM is to bind by, which verifies MAC and token, and the external account key that it names; the shape
/// is checked here (RFC 8555 §7.3.4).
fn binding(endpoint: &Endpoint, request: &NewAccount) -> Result<(Option<Binding>, Option<String>), Error> {
    match (endpoint.mode, &request.directory_token, &request.external_account_binding) {
        (Mode::Registered, None, None) => Err(Error::refused(
            ProblemKind::ExternalAccountRequired,
            "accounts here need an external account binding; ask the registration officer for a key id and a key",
        )),
        (Mode::Registered, None, Some(binding)) => {
            let checked = ExternalAccount::check(binding, &request.url, &request.key);
            let checked = checked.map_err(|error| Problem::from(&error))?;
            Ok((Some(Binding::ExternalAccount(checked.binding.into())), Some(checked.key_id)))
        }
        (Mode::Registered, Some(token), None) => Ok((Some(Binding::DirectoryLink(token.clone())), None)),
        (Mode::Registered, Some(_), Some(_)) => Err(Error::refused(
            ProblemKind::Malformed,
            format!(
                "this directory URL binds the account by itself; leave the external account binding out, or use it \
                 with the directory {}",
                endpoint.links.directory()
            ),
        )),
        (Mode::Open, ..) => Ok((None, None)), // nothing there can be bound, and a server may ignore it
    }
}

/// Has the CM create or bind what was checked. `spent` is given back for a binding that may be a guess, which is counted as
/// such: a stranger who asks in vain is in the audit too, and must not fill it.
async fn register(
    app: &App,
    endpoint: &Endpoint,
    (new, bound_by): (&NewRegistration, Option<String>),
    spent: Option<Spent<'_>>,
    now: Timestamp,
) -> Result<Account, Error> {
    let by_directory_link = matches!(new.binding, Some(Binding::DirectoryLink(_)));
    let (terms_of_service, key) = (endpoint.terms_of_service.as_deref(), new.key.thumbprint());
    let asked = AccountRequest {
        endpoint: &endpoint.name,
        client: new.client.ip,
        act: AccountAct::Create { key, external_account: bound_by.as_deref(), by_directory_link, terms_of_service },
    };
    audit::announce(app, now, &Event::AccountRequested(&asked)).await?;
    // Kept also if the client goes away before the CM has answered.
    let spent = spent.map(ManuallyDrop::new);
    let before = app.registrations.epoch();
    let answer = match endpoint.mode {
        Mode::Open => app.cm.create_registration(&endpoint.realm, new).await,
        Mode::Registered => app.cm.bind_registration(&endpoint.realm, new).await,
    };
    if let (Err(error), Some(_)) = (&answer, &new.binding) {
        // The CM alone knows why, and counts failures; operators need to know whose key it is about.
        let (kid, client) = (bound_by.as_deref().unwrap_or("(directory link)"), new.client.ip);
        tracing::info!(endpoint = %endpoint.name, kid, %client, %error, "a binding did not succeed");
    }
    if let Err(error @ CmError::BindingRefused(_)) = &answer {
        let event = Event::BindingRefused {
            endpoint: &endpoint.name,
            key_id: bound_by.as_deref(),
            key,
            client: new.client.ip,
            why: error.to_string(),
        };
        audit::record(app, now, &event).await;
        app.limits.binding_failed(new.client.ip, endpoint, bound_by.as_deref());
        drop(spent.map(ManuallyDrop::into_inner));
    } else if let Err(error) = &answer {
        unconfirmed(app, &asked, &error.to_string(), now).await;
    }
    let registered = match answer {
        // Somebody created it between our look and our request: to the client that is the account.
        Err(CmError::KeyInUse { .. }) => {
            let found = app.cm.registration_by_key(&endpoint.realm, &key).await?;
            let missing = || Error::internal(anyhow::anyhow!("the CM reports a key in use that it does not find"));
            return existing(endpoint, Arc::new(found.ok_or_else(missing)?));
        }
        answer => answer?,
    };
    let registration = Arc::new(registered.registration);
    app.registrations.remember(&endpoint.realm, Registration::clone(&registration), before);
    if !registered.created {
        unconfirmed(app, &asked, "the key has an account", now).await;
        return existing(endpoint, registration);
    }
    let event = Event::AccountCreated {
        endpoint: &endpoint.name,
        account: &registration.id,
        external_account: bound_by.as_deref().or(registration.external_account.as_deref()),
        by_directory_link,
        terms_of_service,
        key,
        client: new.client.ip,
    };
    audit::record(app, now, &event).await;
    Ok(Account { registration, created: true, bound_by })
}

/// Tells auditors how a request ended that the CM has not carried out, as far as is known.
pub(super) async fn unconfirmed(app: &App, request: &AccountRequest<'_>, why: &str, now: Timestamp) {
    audit::record(app, now, &Event::AccountUnconfirmed { request, why }).await;
}

fn existing(endpoint: &Endpoint, registration: Arc<Registration>) -> Result<Account, Error> {
    require_usable(endpoint, &registration)?;
    Ok(Account { registration, created: false, bound_by: None })
}

/// A deactivated or revoked account signs nothing any more (RFC 8555 §7.3.6).
pub(crate) fn require_usable(endpoint: &Endpoint, registration: &Registration) -> Result<(), Error> {
    let detail = match AccountStatus::of(registration.status) {
        AccountStatus::Valid => return Ok(()),
        AccountStatus::Deactivated => "this account is deactivated; create a new one with another key",
        AccountStatus::Revoked => "this account was revoked by the registration officer",
    };
    Err(endpoint.compatibility.told(Problem::new(ProblemKind::AccountNotActive, detail)).into())
}

/// No key is left to verify a request of this account with: an officer took it away, so that another
/// client can be bound (CM contract section 4.3, "Rebinding").
pub(crate) fn key_withdrawn(endpoint: &Endpoint) -> Error {
    let detail = "the registration authority has withdrawn the key of this account; create the account again, with a new \
                  account key and the new external account key or directory URL that the registration officer gives out";
    endpoint.compatibility.told(Problem::new(ProblemKind::AccountNotActive, detail)).into()
}

fn require_agreement(endpoint: &Endpoint, agreed: bool) -> Result<(), Error> {
    match &endpoint.terms_of_service {
        Some(terms) if !agreed => {
            let detail = format!("agree to the terms of service at {terms} with termsOfServiceAgreed");
            Err(action_required(terms, detail))
        }
        Some(_) | None => Ok(()),
    }
}

/// Terms that have changed since an account agreed to them must be agreed to again before it gets
/// anything new (RFC 8555 §7.3.3).
pub(crate) fn require_current_agreement(
    endpoint: &Endpoint,
    registration: &Registration,
    now: Timestamp,
) -> Result<(), Error> {
    match &endpoint.terms_of_service {
        Some(terms) if !agreement_is_current(endpoint, registration, now) => {
            let detail = format!(
                "the terms of service at {terms} have changed (RFC 8555 section 7.3.3); \
                 read them and agree by an account update with termsOfServiceAgreed, or create a new account"
            );
            Err(action_required(terms, detail))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether an account has agreed to the terms as they are now, if it must have.
pub(crate) fn agreement_is_current(endpoint: &Endpoint, registration: &Registration, now: Timestamp) -> bool {
    let changed = endpoint.terms_of_service_since.filter(|since| *since <= now);
    changed.is_none_or(|changed| registration.terms_of_service_agreed_at.is_some_and(|agreed| agreed >= changed))
}

fn action_required(terms: &str, detail: String) -> Error {
    Error::Refused(Box::new(Refusal {
        problem: Problem::new(ProblemKind::UserActionRequired, detail),
        retry_after: None,
        terms_of_service: Some(terms.to_owned()),
        transcript: None,
    }))
}

/// What a client asks of an account update.
pub(crate) struct Update<'a> {
    pub(crate) contacts: Option<Vec<String>>,
    pub(crate) terms_of_service_agreed: bool,
    pub(crate) client: &'a Client,
    /// The request; it is signed by the account key, which the CM wants for an agreement too.
    pub(crate) proof: &'a Proof,
}

/// Replaces the contacts (RFC 8555 §7.3.2), and takes the agreement to terms that have changed.
///
/// Where nothing has to be agreed to again, `termsOfServiceAgreed` is ignored, as §7.3.2 demands.
/// newAccount is no way to agree: clients send it at every start, without anybody having read
/// anything, and what it says about an existing account does not count (§7.3.1).
pub(crate) async fn update(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    request: Update<'_>,
    now: Timestamp,
) -> Result<Registration, Error> {
    let agrees = request.terms_of_service_agreed && !agreement_is_current(endpoint, registration, now);
    let terms_of_service_agreed_at = agrees.then_some(now);
    let update = RegistrationUpdate { contacts: request.contacts, terms_of_service_agreed_at };
    if update == RegistrationUpdate::default() {
        return Ok(registration.clone());
    }
    policies::registration::may_order(registration.status)?;
    audit::require(app, Act::Change)?;
    check_contacts(update.contacts.as_deref().unwrap_or_default())
        .map_err(|error| Problem::new(error.kind(), error.to_string()))?;
    let asked = Asked { registration, client: Some(request.client.ip) };
    let has_contacts = update.contacts.is_some();
    let terms_of_service = endpoint.terms_of_service.as_deref().filter(|_| agrees);
    let act = AccountAct::Update { asked, has_contacts, terms_of_service };
    let told = AccountRequest { endpoint: &endpoint.name, client: request.client.ip, act };
    audit::announce(app, now, &Event::AccountRequested(&told)).await?;
    let before = app.registrations.epoch();
    let answer = app.cm.update_registration(&endpoint.realm, registration, &update, request.proof).await;
    if let Err(error) = &answer {
        unconfirmed(app, &told, &error.to_string(), now).await;
    }
    let updated = remember(app, endpoint, registration, before, answer)?;
    let endpoint = &endpoint.name;
    if has_contacts {
        audit::record(app, now, &Event::AccountUpdated { endpoint, asked }).await;
    }
    if let Some(terms_of_service) = terms_of_service {
        audit::record(app, now, &Event::AccountAgreed { endpoint, asked, terms_of_service }).await;
    }
    Ok(updated)
}

/// Ends the account, for good (RFC 8555 §7.3.6).
pub(crate) async fn deactivate(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    (client, proof): (&Client, &Proof),
    now: Timestamp,
) -> Result<Registration, Error> {
    audit::require(app, Act::Ending)?;
    let asked = Asked { registration, client: Some(client.ip) };
    let act = AccountAct::Deactivate { asked };
    let told = AccountRequest { endpoint: &endpoint.name, client: client.ip, act };
    // A store that cannot be written to keeps nobody from giving an account up; that is an alarm.
    audit::record(app, now, &Event::AccountRequested(&told)).await;
    let before = app.registrations.epoch();
    let answer = app.cm.deactivate(&endpoint.realm, registration, proof).await;
    if let Err(error) = &answer {
        unconfirmed(app, &told, &error.to_string(), now).await;
    }
    let ended = remember(app, endpoint, registration, before, answer)?;
    if ended.status != RegistrationStatus::Deactivated {
        return Err(Error::internal(anyhow::anyhow!("the CM did not deactivate registration {}", registration.id)));
    }
    audit::record(app, now, &Event::AccountDeactivated { endpoint: &endpoint.name, asked }).await;
    Ok(ended)
}

/// Believes what the CM answered to a change, unless more has changed since the moment before it was asked. If it was not done, or nobody knows, what was believed
/// before is not any more: the CM is asked. A refusal is put as the endpoint's clients want to read it.
pub(super) fn remember(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    before: Epoch,
    answer: Result<Registration, CmError>,
) -> Result<Registration, CmError> {
    match &answer {
        Ok(changed) => app.registrations.remember(&endpoint.realm, changed.clone(), before),
        Err(_) => app.registrations.invalidate(&registration.id),
    }
    let Err(CmError::Refused(problem)) = answer else { return answer };
    Err(CmError::Refused(endpoint.compatibility.told(problem)))
}

#[cfg(test)]
mod tests;
