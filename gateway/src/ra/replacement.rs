//! Orders that replace a certificate (RFC 9773 §5): which certificate, and whether another order
//! has it already.

use acme::{
    certificate::CertificateId,
    identifier::Identifier,
    ids::{OrderId, RegistrationId},
    order::OrderStatus,
    problem::ProblemKind,
    time::Timestamp,
};
use cm_connector::Certificate;
use store::{ReadError, Stored};

use super::{Error, order_view::OrderView};
use crate::{
    app::{App, Endpoint},
    limits::{Asker, Purpose},
};

/// A certificate that an order may replace, if no other order does.
pub(crate) struct Replaced {
    pub(crate) certificate: CertificateId,
    /// End of its validity.
    pub(crate) not_after: Timestamp,
}

/// Whether a certificate can be replaced.
pub(crate) enum Standing {
    /// Nobody replaces it, or the order that wanted to has ended without a certificate. What was
    /// read has to be handed to the commit that claims it.
    Free(Option<Stored<OrderId>>),
    /// This order replaces it, or will.
    Claimed(Box<OrderView>),
    /// It was replaced; the order is forgotten.
    Replaced,
}

/// The certificate that `replaces` names: one of this account, with at least one name in common.
pub(crate) async fn find(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    replaces: &str,
    identifiers: &[Identifier],
) -> Result<Replaced, Error> {
    let refuse = |kind: ProblemKind, detail: String| Err(Error::refused(kind, detail));
    let id = match CertificateId::parse_ari(replaces) {
        Ok(id) => id,
        Err(error) => {
            return refuse(ProblemKind::Malformed, format!("replaces is {error}; leave it out to order anew"));
        }
    };
    // Anybody can make a certificate up, and each is a question to the CM.
    let asker = Asker::Account(&endpoint.name, account, Purpose::Other);
    app.limits.may_ask_for_unknown(asker)?;
    let found = app.cm.certificate(&endpoint.realm, &id).await?;
    let is_of_use = |found: &Certificate| found.registration == *account && has_any(found, identifiers);
    if !found.as_ref().is_some_and(is_of_use) {
        app.limits.was_unknown(asker);
    }
    let Some(found) = found else {
        let detail = "replaces names a certificate that was not issued here; leave it out to order anew";
        return refuse(ProblemKind::Malformed, detail.to_owned());
    };
    if found.registration != *account {
        let detail = "replaces names a certificate of another account; leave it out to order anew";
        return refuse(ProblemKind::Unauthorized, detail.to_owned());
    }
    if !has_any(&found, identifiers) {
        let detail = "replaces names a certificate that has no identifier in common with this order; leave it out";
        return refuse(ProblemKind::Malformed, detail.to_owned());
    }
    Ok(Replaced { certificate: id, not_after: found.not_after })
}

fn has_any(certificate: &Certificate, identifiers: &[Identifier]) -> bool {
    certificate.identifiers.iter().any(|identifier| identifiers.contains(identifier))
}

/// Whether the certificate can be replaced now.
pub(crate) async fn standing(
    app: &App,
    endpoint: &Endpoint,
    certificate: &CertificateId,
    now: Timestamp,
) -> Result<Standing, Error> {
    let Some(claim) = app.store.replacement(&endpoint.name, certificate).await? else {
        return Ok(Standing::Free(None));
    };
    let order = match app.store.order(&claim.value).await {
        Ok(Some(order)) => order,
        Ok(None) => return Ok(Standing::Replaced),
        Err(unavailable @ ReadError::Unavailable(_)) => return Err(unavailable.into()),
        // Nobody can tell any more; without `replaces` its client gets on.
        Err(why @ (ReadError::Damaged { .. } | ReadError::UnknownVersion { .. })) => {
            tracing::error!(%why, "an order that replaces a certificate cannot be read");
            return Ok(Standing::Replaced);
        }
    };
    let view = OrderView::of(app, order.value).await?;
    if view.order.status(&view.authorizations, now) == OrderStatus::Invalid {
        Ok(Standing::Free(Some(claim)))
    } else {
        Ok(Standing::Claimed(Box::new(view)))
    }
}

/// The refusal of a second replacement.
pub(crate) fn already_replaced() -> Error {
    Error::refused(
        ProblemKind::AlreadyReplaced,
        "another order replaces this certificate already; leave replaces out to order anew",
    )
}

#[cfg(test)]
mod tests;
