//! Account key rollover (RFC 8555 §7.3.5). The CM binds the new key and never takes the old one
//! again; this gateway believes the new one from the CM's answer on.
//!
//! If the answer is lost, nobody here knows which key counts. Then neither is believed until the CM
//! has been asked, and the client gets 503: it tries the new key with newAccount and
//! `onlyReturnExisting`, or the old one again.

use acme::{
    account_key::PublicKey,
    ids::RegistrationId,
    problem::{Problem, ProblemKind},
    registration::Registration,
    time::Timestamp,
};
use cm_connector::{Client, CmError, Proof};

use super::{Error, account};
use crate::{
    app::{App, Endpoint},
    audit::{self, AccountAct, AccountRequest, Act, Asked, Event},
};

/// A key change that both keys have signed.
pub(crate) struct Request<'a> {
    pub(crate) new_key: &'a PublicKey,
    pub(crate) client: &'a Client,
    /// The request with the inner JWS in it.
    pub(crate) proof: &'a Proof,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum KeyChanged {
    /// The account has the new key.
    Done(Box<Registration>),
    /// This account has it; nothing was changed.
    InUse(RegistrationId),
}

/// Changes the key of an account.
pub(crate) async fn change_key(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<KeyChanged, Error> {
    policies::registration::may_order(registration.status)?;
    audit::require(app, Act::Change)?;
    policies::key::check_account_key(request.new_key)
        .map_err(|weakness| Problem::new(ProblemKind::BadPublicKey, weakness.to_string()))?;
    let asked = Asked { registration, client: Some(request.client.ip) };
    let act = AccountAct::ChangeKey { asked, new_key: request.new_key.thumbprint() };
    let told = AccountRequest { endpoint: &endpoint.name, client: request.client.ip, act };
    audit::announce(app, now, &Event::AccountRequested(&told)).await?;
    let before = app.registrations.epoch();
    let answer = app.cm.change_key(&endpoint.realm, registration, request.new_key, request.proof).await;
    if let Err(error) = &answer {
        account::unconfirmed(app, &told, &error.to_string(), now).await;
    }
    let changed = match account::remember(app, endpoint, registration, before, answer) {
        Ok(changed) => changed,
        Err(CmError::KeyInUse { registration: Some(owner) }) => return Ok(KeyChanged::InUse(owner)),
        Err(CmError::KeyInUse { registration: None }) => {
            let owner = app.cm.registration_by_key(&endpoint.realm, &request.new_key.thumbprint()).await?;
            let missing = || Error::internal(anyhow::anyhow!("the CM reports a key in use that it does not find"));
            return Ok(KeyChanged::InUse(owner.ok_or_else(missing)?.id));
        }
        Err(error) => return Err(error.into()),
    };
    let event = Event::AccountKeyChanged {
        endpoint: &endpoint.name,
        account: &registration.id,
        old_key: registration.key.as_ref().map(|bound| &bound.thumbprint),
        new_key: request.new_key.thumbprint(),
        client: request.client.ip,
    };
    audit::record(app, now, &event).await;
    Ok(KeyChanged::Done(Box::new(changed)))
}

#[cfg(test)]
mod tests;
