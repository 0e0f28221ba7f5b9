//! Account key rollover (contract section 4.3, RFC 8555 section 7.3.5).

use rusqlite::{Transaction, params};
use serde::Deserialize;
use serde_json::Value;

use super::ReferenceCm;
use super::call::{Answer, Call};
use super::create::announce;
use super::jws::Jws;
use super::key::PublicKey;
use super::problem::{Code, Problem};
use super::proof::{self, Proof};
use super::registrations::{self, BoundKey, PreviousKey, Registration, by_thumbprint, must_not_be_retired};
use super::settings::Realm;
use super::wire::KeyIn;

/// Where key changes are sent, behind the base URL.
const KEY_CHANGE: &str = "/key-change";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyChange {
    new_key: KeyIn,
    proof: Option<Proof>,
}

/// The payload of the inner JWS.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InnerPayload {
    account: String,
    old_key: Value,
}

/// `POST …/registrations/{id}/key-change`
pub(crate) fn change_key(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let request: KeyChange = call.json()?;
    let version = call.if_match()?;
    let (realm_name, realm) = cm.realm(call)?;
    let new_key = request.new_key.read()?;
    let thumbprint = new_key.thumbprint();
    cm.database.write(|tx| {
        let mut registration = registrations::load(tx, realm_name, call.parameter("id"))?;
        let Some(current) = registration.key.clone() else {
            return Err(proof::invalid("the registration has no key to change"));
        };
        let repeated = current.thumbprint == thumbprint;
        let old_thumbprint = if repeated {
            registration
                .previous_keys
                .last()
                .map(|previous| previous.thumbprint.clone())
                .ok_or_else(|| in_use(&registration))?
        } else {
            current.thumbprint.clone()
        };
        check_proof(realm, request.proof.as_ref(), &registration, &old_thumbprint, &new_key)?;
        if repeated {
            return registration.answer(200, cm, call, tx);
        }
        registration.must_match(version)?;
        registration.must_be_active(tx)?;
        if let Some(other) = by_thumbprint(tx, realm_name, &thumbprint)? {
            return Err(in_use(&other));
        }
        must_not_be_retired(tx, realm_name, &thumbprint)?;
        replace_key(tx, call, &mut registration, current, &new_key)?;
        announce(tx, call, &registration, "registration.key-changed")?;
        registration.answer(200, cm, call, tx)
    })
}

fn in_use(registration: &Registration) -> Problem {
    Problem::new(Code::KeyInUse, "the new key belongs to a registration")
        .with("registration", serde_json::json!(registration.id))
}

/// Outer JWS by the old key, inner by the new one, both for the same URL and account.
fn check_proof(
    realm: &Realm,
    proof: Option<&Proof>,
    registration: &Registration,
    old_thumbprint: &str,
    new_key: &PublicKey,
) -> Result<(), Problem> {
    let Some(given) = proof else {
        // Whether a proof may be missing is for the realm to say.
        return proof::by_account(realm, None, registration, Some(KEY_CHANGE)).map(|_| ());
    };
    let inner: Jws = given
        .jws
        .payload()
        .ok()
        .and_then(|octets| serde_json::from_slice(&octets).ok())
        .ok_or_else(|| proof::invalid("the payload of the proof is no JWS"))?;
    let payload: InnerPayload = inner
        .payload()
        .ok()
        .and_then(|octets| serde_json::from_slice(&octets).ok())
        .ok_or_else(|| proof::invalid("the inner payload must have account and oldKey"))?;
    let old_key = PublicKey::from_jwk(&payload.old_key).map_err(proof::invalid)?;
    if old_key.thumbprint() != old_thumbprint {
        return Err(proof::invalid("oldKey is not the key of the registration"));
    }
    let Some(outer) = proof::by_account_key(realm, proof, registration, &old_key, Some(KEY_CHANGE))? else {
        return Ok(());
    };
    let header = inner.header().map_err(proof::invalid)?;
    let inner_key = header.jwk.as_ref().and_then(|jwk| PublicKey::from_jwk(jwk).ok());
    if inner_key.as_ref() != Some(new_key) || header.kid.is_some() {
        return Err(proof::invalid("the inner JWS must carry the new key as jwk"));
    }
    if header.url.as_deref() != Some(outer.url.as_str()) || header.nonce.is_some() {
        return Err(proof::invalid("the inner JWS must have the outer url and no nonce"));
    }
    let account_is_ours = given.jws.header().is_ok_and(|outer| outer.kid.as_deref() == Some(payload.account.as_str()));
    if !account_is_ours {
        return Err(proof::invalid("account is not the account of the outer JWS"));
    }
    inner.verify(new_key, &header).map_err(proof::invalid)
}

fn replace_key(
    tx: &Transaction<'_>,
    call: &Call,
    registration: &mut Registration,
    current: BoundKey,
    new_key: &PublicKey,
) -> Result<(), Problem> {
    tx.execute(
        "INSERT INTO retired_key (realm, thumbprint, registration) VALUES (?1, ?2, ?3)",
        params![registration.realm, current.thumbprint, registration.id],
    )?;
    registration.previous_keys.push(PreviousKey { thumbprint: current.thumbprint, from: current.since, to: call.now });
    registration.key = Some(BoundKey::new(new_key, call.now));
    registration.update(tx, call.now)
}
