//! Revocation (RFC 8555 §7.6): by the account that was given the certificate, by an account that has
//! proven control of all its names, or by whoever holds its private key. Success is reported when the
//! CM confirmed it, never before; until then it is journalled.
//!
//! The reason is the one that the client signed: the CM compares it with the proof. Who holds the
//! key and says that it is compromised also has it barred from new certificates, and may say so of a
//! certificate that is revoked for another reason already; whether that counts the CM decides.
//!
//! A certificate that was issued here is known here, and by what right it may be revoked. Then nothing is asked before the
//! revocation is written down. Of others the CM is asked first whose they are: anybody can present any certificate.

mod answer;
mod journal;
mod known;

use acme::{
    account_key::PublicKey,
    authorization::{Authorization, AuthorizationStatus},
    certificate::PresentedCertificate,
    identifier::Identifier,
    ids::RegistrationId,
    problem::ProblemKind,
    revocation::RevocationReason,
    time::Timestamp,
};
use cm_connector::{Basis, Client, Proof, Revocation, RevocationRecord, Validation};
use store::Stored;

pub(crate) use self::journal::Entry;
use self::known::Known;
use super::Error;
use crate::{
    app::{App, Endpoint},
    audit::{self, Act, Event},
    limits::{Asker, Purpose},
};

/// Proofs of one identifier that are looked at for one that still counts. Only expired ones are
/// passed over, and the latest come first.
const PROOFS_MAX: usize = 10;
/// The CM's word for [`RevocationReason::KeyCompromise`] (CM contract section 4.6).
const KEY_COMPROMISE: &str = "keyCompromise";

/// Who asks for a revocation.
#[derive(Clone, Copy)]
pub(crate) enum Requester<'a> {
    /// An account.
    Account(&'a RegistrationId),
    /// The holder of this key.
    Key(&'a PublicKey),
}

/// What a client asks of revokeCert.
pub(crate) struct Request<'a> {
    pub(crate) certificate: PresentedCertificate,
    pub(crate) reason: RevocationReason,
    pub(crate) requester: Requester<'a>,
    pub(crate) client: Client,
    pub(crate) proof: Proof,
}

/// Revokes a certificate.
pub(crate) async fn revoke(app: &App, endpoint: &Endpoint, request: Request<'_>, now: Timestamp) -> Result<(), Error> {
    // The key is compared before the CM is asked: whoever holds the key needs no record of ours.
    if let Requester::Key(key) = request.requester
        && key.to_spki_der() != request.certificate.spki_der
    {
        return Err(Error::refused(
            ProblemKind::Unauthorized,
            "the request is signed by a key that is not the certificate's",
        ));
    }
    if request.certificate.not_after <= now {
        return Err(Error::refused(
            ProblemKind::Unauthorized,
            "the certificate has expired; there is nothing left to revoke",
        ));
    }
    // Anybody can present any certificate, and each is a question to the CM: what comes to nothing counts.
    let (requester, from, serial) = (request.requester, request.client.ip, request.certificate.serial.clone());
    match requester {
        Requester::Key(_) => {
            let turn = app.limits.turn(from, Purpose::Revocation).await?;
            let asked = ask(app, endpoint, request, now).await;
            if is_in_vain(&asked)
                && let Err(met) = turn.was_in_vain()
            {
                tracing::debug!(?met, "a revocation for nothing, from an address that asked for many");
            }
            asked
        }
        Requester::Account(account) => {
            let asker = Asker::Account(&endpoint.name, account, Purpose::Revocation);
            app.limits.may_ask_for_unknown(asker)?;
            let asked = ask(app, endpoint, request, now).await;
            if is_in_vain(&asked) {
                app.limits.was_unknown(asker);
            }
            if let Err(Error::Refused(refusal)) = &asked
                && refusal.problem.kind != ProblemKind::Unavailable
                && audit::has_room(app)
                && app.limits.may_tell_refusal(endpoint, account)
            {
                let (endpoint, problem) = (&endpoint.name, &refusal.problem);
                let event = Event::RevocationRefused { endpoint, account, client: from, serial: &serial, problem };
                audit::record(app, now, &event).await;
            }
            asked
        }
    }
}

/// Whether a request was one for nothing. That the CM or the store is away is not the client's doing.
fn is_in_vain(asked: &Result<(), Error>) -> bool {
    matches!(asked, Err(Error::Refused(refusal)) if refusal.problem.kind != ProblemKind::Unavailable)
}

async fn ask(app: &App, endpoint: &Endpoint, request: Request<'_>, now: Timestamp) -> Result<(), Error> {
    let Known { certificate, owner, revocation } = known::certificate(app, endpoint, &request.certificate).await?;
    let basis = match request.requester {
        Requester::Key(_) => Basis::CertificateKey,
        Requester::Account(account) if owner == *account => Basis::Account { registration: account.clone() },
        Requester::Account(account) => {
            let validations = proofs(app, endpoint, account, &request.certificate, now).await?;
            Basis::Authorizations { registration: account.clone(), validations }
        }
    };
    if let Some(record) = &revocation
        && !is_news(record, &basis, request.reason)
    {
        return Err(Error::refused(ProblemKind::AlreadyRevoked, "the certificate is revoked already"));
    }
    audit::require(app, Act::Ending)?;
    let not_after = request.certificate.not_after;
    let revocation = Revocation {
        certificate,
        sha256: request.certificate.sha256,
        reason: request.reason,
        block_key: matches!(basis, Basis::CertificateKey) && request.reason == RevocationReason::KeyCompromise,
        basis,
        client: request.client,
        proof: Some(request.proof),
    };
    let entry = Entry::write(app, endpoint, revocation, not_after, now).await;
    entry.begin(app).await
}

/// Whether a revocation says more than the one that is on record: that the key is compromised, by
/// the word of the key.
fn is_news(record: &RevocationRecord, basis: &Basis, reason: RevocationReason) -> bool {
    matches!(basis, Basis::CertificateKey)
        && reason == RevocationReason::KeyCompromise
        && record.reason != KEY_COMPROMISE
}

/// What an account has proven of all the names in somebody else's certificate. A wildcard name is
/// proven as such, not by the name below it.
async fn proofs(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    certificate: &PresentedCertificate,
    now: Timestamp,
) -> Result<Vec<Validation>, Error> {
    let mut validations = Vec::new();
    for identifier in &certificate.names {
        let found = app.store.proven(&endpoint.name, account, identifier, PROOFS_MAX).await?;
        let counts = |stored: &&Stored<Authorization>| stored.value.status(now) == AuthorizationStatus::Valid;
        let validation = found.iter().find(counts).and_then(|stored| Validation::of(&stored.value, true));
        validations.push(validation.ok_or_else(|| not_proven(identifier))?);
    }
    if validations.is_empty() {
        return Err(Error::not_yours("certificate"));
    }
    Ok(validations)
}

fn not_proven(identifier: &Identifier) -> Error {
    let detail = format!(
        "this certificate belongs to another account, and this one has no valid authorization for {identifier} \
         (RFC 8555 section 7.6); revoke with the account that got it, with its own key, or prove control of all its names"
    );
    Error::refused(ProblemKind::Unauthorized, detail)
}

#[cfg(test)]
mod tests;
