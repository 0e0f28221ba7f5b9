//! Whether an order may still have a certificate: what has changed since it was finalized.

use acme::{
    account::AccountStatus,
    identifier::Identifier,
    ids::RealmName,
    order::{Order, Progress},
    problem::{Problem, ProblemKind, Subproblem},
};
use policies::identifier::{Verdict, allowed};
use store::ReadError;

use super::Issuance;
use crate::{app::App, clock};

/// The registration may have been suspended, or its list narrowed, since finalize. While the CM is
/// away its last word holds: it judges again when the request arrives.
pub(super) async fn refused_meanwhile(app: &App, realm: &RealmName, order: &Order) -> Option<Problem> {
    let Some(registration) = app.registrations.registration(realm, &order.account).await.ok()? else {
        return Some(Problem::new(ProblemKind::AccountDoesNotExist, "this account does not exist any more"));
    };
    if let Err(problem) = policies::registration::may_order(registration.status) {
        return Some(problem);
    }
    let refused = |identifier: &Identifier| match allowed(identifier, &registration.allowed_identifiers) {
        Verdict::Allowed { .. } => None,
        Verdict::Refused(refusal) => Some(Subproblem::new(ProblemKind::RejectedIdentifier, identifier, refusal.detail)),
    };
    let refused: Vec<_> = order.identifiers.iter().filter_map(refused).collect();
    (!refused.is_empty()).then(|| Problem::about_identifiers(refused, order.identifiers.len()))
}

/// The CM takes a request only on the word of the key that the account has when it arrives. One that
/// was finalized before a key change and arrives after it is nobody's fault.
pub(super) async fn signed_by_an_old_key(app: &App, issuance: &Issuance) -> Option<Problem> {
    let Progress::Finalizing { since, .. } = issuance.order.value.progress else { return None };
    let account = &issuance.order.value.account;
    // It may have been changed by way of another node.
    app.registrations.invalidate(account);
    let registration = app.registrations.registration(&issuance.realm, account).await.ok()??;
    let bound_since = registration.key.as_ref()?.since?;
    let detail = "the key of the account was changed before the certificate authority had the request, which the \
                  old key had signed; create a new order";
    (bound_since >= since).then(|| Problem::new(ProblemKind::Unauthorized, detail))
}

/// Nothing is issued on a proof that its account has given up (RFC 8555 §7.5.2), nor on one that
/// the CM did not take.
pub(super) async fn withdrawn(app: &App, order: &Order) -> Result<Option<Problem>, ReadError> {
    let authorizations = app.store.authorizations(&order.authorizations).await?;
    let authorizations: Vec<_> = authorizations.into_iter().map(|stored| stored.value).collect();
    Ok(order.withdrawn(&authorizations, clock::now()))
}

/// An account that has ended waits for no certificate (RFC 8555 §7.3.6, CM contract section 4.4). One
/// that is suspended may come back; and while CM or store cannot be asked, nothing is given up.
pub(super) async fn given_up(app: &App, issuance: &Issuance) -> Option<Problem> {
    if let Ok(Some(problem)) = withdrawn(app, &issuance.order.value).await {
        return Some(problem);
    }
    let account = &issuance.order.value.account;
    let registration = app.registrations.registration(&issuance.realm, account).await.ok()??;
    match AccountStatus::of(registration.status) {
        AccountStatus::Valid => None,
        AccountStatus::Deactivated | AccountStatus::Revoked => {
            policies::registration::may_order(registration.status).err()
        }
    }
}
