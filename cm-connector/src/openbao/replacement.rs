//! Certificates that take the place of another (RFC 9773 §5): by one order each, whatever crashes.
//!
//! The order is written into the record of the certificate that is to be replaced, after the intent of its request and
//! before anything is signed. Whoever comes later finds it there, and in the request what became of it.

use acme::{
    ids::{OrderId, RealmName},
    problem::{Problem, ProblemKind},
};

use super::{
    OpenBaoCertificateManager,
    certificates::serial_in,
    failure::Failure,
    layout::Place,
    order::Wanted,
    records::{Certificate, Order},
    registration::crowded,
    store::Stored,
};
use crate::CmError;

/// How often a change is decided again because somebody else wrote meanwhile.
const ROUNDS_MAX: u32 = 5;

impl OpenBaoCertificateManager {
    /// Whether the certificate that is to be replaced is the account's own.
    pub(super) async fn check_replaced(&self, realm: &RealmName, wanted: &Wanted) -> Result<(), CmError> {
        if wanted.replaces.is_some() {
            let _own = self.replaced(realm, wanted).await?;
        }
        Ok(())
    }

    /// Makes this order the one that replaces the certificate. Another one's it stays if anything was or can still be
    /// issued for that.
    pub(super) async fn claim_replaced(&self, realm: &RealmName, wanted: &Wanted) -> Result<(), CmError> {
        let Some(serial) = wanted.replaces.as_ref().and_then(serial_in) else { return Ok(()) };
        for _ in 0..ROUNDS_MAX {
            let stored = self.replaced(realm, wanted).await?;
            match &stored.value.replaced_by {
                Some(order) if *order == wanted.order => return Ok(()),
                Some(order) => self.require_not_replaced_by(realm, order).await?,
                None => {}
            }
            let claimed = Certificate { replaced_by: Some(wanted.order.clone()), ..stored.value };
            let place = Place::Certificate(&serial);
            if self.update(realm, place, &claimed, stored.version).await.map_err(Failure::into_error)? {
                return Ok(());
            }
        }
        Err(crowded())
    }

    async fn require_not_replaced_by(&self, realm: &RealmName, order: &OrderId) -> Result<(), CmError> {
        let found = self.record::<Order>(realm, Place::Order(order)).await.map_err(Failure::into_error)?;
        let Some(found) = found else { return Ok(()) };
        match self.require_nothing_issued(realm, &found.value.request).await {
            Err(CmError::AlreadyIssued(_)) => {
                let detail = "the certificate to be replaced has been replaced already";
                Err(CmError::Refused(Problem::new(ProblemKind::AlreadyReplaced, detail)))
            }
            other => other,
        }
    }

    async fn replaced(&self, realm: &RealmName, wanted: &Wanted) -> Result<Stored<Certificate>, CmError> {
        let record = match wanted.replaces.as_ref().and_then(serial_in) {
            Some(serial) => self.record::<Certificate>(realm, Place::Certificate(&serial)).await,
            None => Ok(None),
        };
        let own = record.map_err(Failure::into_error)?.filter(|it| it.value.registration == wanted.registration);
        own.ok_or_else(|| {
            CmError::Refused(Problem::new(ProblemKind::Malformed, "the certificate to be replaced is not yours"))
        })
    }
}
