//! What a record leaves in indexes. Each key follows from the record as it stands, so that whoever
//! changes or forgets the record knows what goes with it.

use acme::{
    authorization::Authorization,
    certificate::CertificateId,
    identifier::Identifier,
    ids::{EndpointName, OrderId, RegistrationId},
    order::Order,
};

use tracing::error;

use crate::{ReadError, SCAN_MAX, Store, Stored, backend::Key, keys, records::Replacement};

/// An order's place in the list of its account; contains all of it that never changes.
pub(crate) fn account_key(order: &Order) -> Key {
    keys::account(&order.endpoint, &order.account, order.created, &order.id)
}

/// Where it is recorded that an order replaces a certificate, if it does.
pub(crate) fn replacement_key(order: &Order) -> Option<Key> {
    order.replaces.as_ref().map(|certificate| keys::replacement(&order.endpoint, certificate))
}

/// An authorization's place among the proofs of its identifier; `None` while nothing is proven, and
/// once it was given up or taken back.
pub(crate) fn proven_key(authorization: &Authorization) -> Option<Key> {
    if authorization.is_withdrawn() {
        return None;
    }
    let Authorization { id, endpoint, account, identifier, .. } = authorization;
    authorization.proof().map(|(_, evidence)| keys::proven(endpoint, account, identifier, evidence.at, id))
}

impl Store {
    /// Authorizations by which an account has proven control of this very identifier, neither given
    /// up nor taken back, the latest proof first; at most `limit`. A wildcard is an identifier of its own.
    /// They may have expired: ask for their status. One that cannot be read is logged and passed over,
    /// for there are others, or control is proven anew.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn proven(
        &self,
        endpoint: &EndpointName,
        account: &RegistrationId,
        identifier: &Identifier,
        limit: usize,
    ) -> Result<Vec<Stored<Authorization>>, ReadError> {
        let range = keys::proofs_of(endpoint, account, identifier);
        let entries = self.backend.scan(&range, limit.min(SCAN_MAX)).await?;
        let mut found = Vec::new();
        for id in entries.iter().filter_map(|entry| keys::read_proven(&entry.key)) {
            match self.authorization(&id).await {
                // The record has the last word: it may have changed since the index was read.
                Ok(stored) => found.extend(stored.filter(|stored| proven_key(&stored.value).is_some())),
                Err(unavailable @ ReadError::Unavailable(_)) => return Err(unavailable),
                Err(why @ (ReadError::Damaged { .. } | ReadError::UnknownVersion { .. })) => {
                    error!(%why, "a proof cannot be read");
                }
            }
        }
        Ok(found)
    }

    /// The order that has claimed to replace a certificate with [`Commit::claim_replacement`]. It may
    /// have ended without a certificate: ask for its status. `Some` with an order that is not there
    /// any more means that it was issued.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// [`Commit::claim_replacement`]: crate::Commit::claim_replacement
    pub async fn replacement(
        &self,
        endpoint: &EndpointName,
        certificate: &CertificateId,
    ) -> Result<Option<Stored<OrderId>>, ReadError> {
        let found = self.kept::<Replacement>(&keys::replacement(endpoint, certificate)).await?;
        Ok(found.map(|Stored { value, version, keep_until }| Stored { value: value.order, version, keep_until }))
    }
}
