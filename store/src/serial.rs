//! Serials: which order a certificate was issued for, and what is to be known of it without asking the CM.
//!
//! A claim lasts as long as its certificate, and longer than its order.

use acme::{
    certificate::CertificateId,
    ids::{OrderId, RealmName, RegistrationId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{Commit, ReadError, Store, backend::Condition, keys};

/// Whose certificate a serial belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialClaim {
    /// The order that it was issued for.
    pub order: OrderId,
    /// The certificate; `None` if an earlier release made the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Issued>,
}

/// A certificate that was issued through this gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The CM's realm.
    pub realm: RealmName,
    /// The account that it was issued to.
    pub account: RegistrationId,
    /// The CM's name of it.
    pub certificate: CertificateId,
    /// SHA-256 of its DER: anybody can make a certificate that carries a serial.
    pub sha256: [u8; 32],
}

impl Store {
    /// The order that has claimed a certificate's serial with [`Commit::claim_serial`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn serial_owner(&self, authority_key_id: &[u8], serial: &str) -> Result<Option<OrderId>, ReadError> {
        Ok(self.serial_claim(authority_key_id, serial).await?.map(|claim| claim.order))
    }

    /// The claim to a certificate's serial, which is in lowercase hex without leading zero octets.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn serial_claim(&self, authority_key_id: &[u8], serial: &str) -> Result<Option<SerialClaim>, ReadError> {
        let claim = self.kept(&keys::serial(authority_key_id, serial)).await?;
        Ok(claim.map(|claim| claim.value))
    }
}

impl Commit {
    /// Records whose certificate has this serial, in lowercase hex without leading zero octets.
    /// [`CommitError::Conflict`] if the serial has an owner already, even if it is this order.
    ///
    /// [`CommitError::Conflict`]: crate::CommitError::Conflict
    pub fn claim_serial(&mut self, authority_key_id: &[u8], serial: &str, claim: &SerialClaim, keep_until: Timestamp) {
        let key = keys::serial(authority_key_id, serial);
        self.expect(key.clone(), Condition::Absent);
        self.put_kept(key, claim, keep_until, None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{
        CommitError,
        backend::Memory,
        samples::{account, after, order_id, seal},
    };

    fn claim(order: &str) -> SerialClaim {
        let issued = Issued {
            realm: RealmName::parse("open").unwrap(),
            account: account("reg_1"),
            certificate: CertificateId::parse("AQI.Cg").unwrap(),
            sha256: [7; 32],
        };
        SerialClaim { order: order_id(order), issued: Some(issued) }
    }

    #[tokio::test]
    async fn a_serial_belongs_to_the_order_that_claimed_it_first() {
        let store = Store::new(Arc::new(Memory::new()), seal(7));
        let make = async |serial: &str, order: &str| {
            let mut commit = Commit::new();
            commit.claim_serial(&[1, 2], serial, &claim(order), after(60));
            store.commit(commit).await
        };
        assert_eq!(store.serial_owner(&[1, 2], "0a").await.unwrap(), None);
        make("0a", "o1").await.unwrap();
        assert_eq!(make("0a", "o2").await, Err(CommitError::Conflict));
        assert_eq!(store.serial_owner(&[1, 2], "0a").await.unwrap(), Some(order_id("o1")));
        assert_eq!(store.serial_claim(&[1, 2], "0a").await.unwrap(), Some(claim("o1")));
        assert_eq!(store.serial_owner(&[1, 3], "0a").await.unwrap(), None);
    }

    #[test]
    fn claims_of_earlier_releases_are_read() {
        let read: SerialClaim = serde_json::from_value(json!({"order": "o1"})).unwrap();
        assert_eq!(read, SerialClaim { issued: None, ..claim("o1") });
        let written = serde_json::to_value(claim("o1")).unwrap();
        assert_eq!(serde_json::from_value::<SerialClaim>(written).unwrap(), claim("o1"));
    }
}
