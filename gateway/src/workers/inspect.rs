//! The inspection of a certificate before any client sees it (CM contract section 7): the facts
//! that the pure checks need are put together here.

use std::sync::Arc;

use acme::{
    certificate::{self, Check, CheckedCertificate, Expectation, FailedCheck},
    csr::Csr,
    ids::RealmName,
    order::Order,
    time::Timestamp,
};
use cm_connector::{Certificate, RequestClaims};
use store::ProfileTerms;

use crate::{app::App, ra::catalogue::Offer};

/// What a certificate is the answer to.
pub(super) struct Asked<'a> {
    pub(super) realm: &'a RealmName,
    pub(super) order: &'a Order,
    /// The CSR in DER.
    pub(super) csr: &'a [u8],
    /// What the profile said at finalize.
    pub(super) terms: Option<&'a ProfileTerms>,
}

/// The eleven checks of CM contract section 7 on every chain; chains beside the default one that
/// fail are left out. The outer error is ours, the inner one the certificate's.
pub(super) async fn inspect(
    app: &App,
    asked: Asked<'_>,
    (certificate, claims): (&Certificate, &RequestClaims),
    now: Timestamp,
) -> anyhow::Result<Result<Vec<CheckedCertificate>, Vec<FailedCheck>>> {
    let Asked { realm, order, csr, terms } = asked;
    let csr = Csr::parse(csr)?;
    let offered = offer(app, realm).await?.terms(&order.profile, &csr);
    let terms = offered.as_ref().or(terms);
    let expected = Expectation {
        spki_der: csr.spki_der(),
        identifiers: &order.identifiers,
        not_before: order.not_before,
        not_after: order.not_after,
        validity_max: terms.and_then(|terms| terms.validity_max),
        issuer_key_ids: terms.map_or(&[], |terms| terms.issuer_key_ids.as_slice()),
        anchors: &app.anchors,
        must_staple: terms.map_or(csr.asks_must_staple(), |terms| terms.must_staple),
        now,
    };
    let asked = RequestClaims {
        registration: order.account.clone(),
        order_ref: Some(order.id.clone()),
        csr_sha256: Some(csr.digest().0),
    };
    let mut failed: Vec<_> = claims.check(certificate, &asked).err().into_iter().collect();
    let mut chains: Vec<_> = certificate.chains.iter().collect();
    chains.sort_by_key(|chain| !chain.is_default);
    let mut checked = Vec::new();
    if chains.is_empty() {
        failed.push(FailedCheck { check: Check::Form, detail: String::from("the CM sent no chain") });
    }
    for (index, chain) in chains.into_iter().enumerate() {
        match certificate::check(chain.pem.as_bytes(), &expected, &certificate.claims) {
            Ok(good) => checked.push(good),
            Err(bad) if index == 0 => failed.extend(bad),
            Err(bad) => {
                tracing::warn!(certificate = %certificate.id, chain = %chain.name, ?bad, "an alternate chain is left out")
            }
        }
    }
    if let Some(first) = checked.first() {
        let owner = app.store.serial_owner(&first.authority_key_id, &first.serial).await?;
        if owner.is_some_and(|owner| owner != order.id) {
            failed.push(FailedCheck {
                check: Check::Serial,
                detail: String::from("the serial was issued to another order"),
            });
        }
    }
    Ok(if failed.is_empty() { Ok(checked) } else { Err(failed) })
}

/// What the CM offers, asked for now if it was away since the start: without it nobody knows the
/// issuer (V5), the longest validity (V6) and how much CAA counts.
pub(super) async fn offer(app: &App, realm: &RealmName) -> anyhow::Result<Arc<Offer>> {
    if let Ok(offer) = app.catalogue.offer(realm) {
        return Ok(offer);
    }
    app.catalogue.refresh(app.cm.as_ref(), realm).await?;
    Ok(app.catalogue.offer(realm)?)
}
