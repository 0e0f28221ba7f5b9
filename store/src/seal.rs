//! How what lies on the disk is kept from whoever only has the disk.
//!
//! Two keys are derived from one secret with HKDF-SHA256 (RFC 5869), each under a label of its own. One
//! encrypts records with AES-256-GCM-SIV (RFC 8452), with the record's key as associated data, so that
//! a record that turns up under another key does not open. Each write has a random nonce of 96 bits.
//! Should one ever come twice, SIV shows no more than that two equal records are equal, so that no count
//! of writes has to be kept from start to start.
//!
//! The other key hides names. A name is short of entropy, so it is not hashed but put through
//! HMAC-SHA256, together with what stands before it in the key: one name has another digest with
//! each account.

use acme::{base64url, secret::Secret};
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
    hmac::{self, HMAC_SHA256},
};

use crate::backend::Key;

/// Octets of the secret that the keys are derived from.
pub const SECRET_OCTETS: usize = 32;
/// Octets of a nonce and of a tag.
const NONCE_OCTETS: usize = 12;
/// Octets of a digest that stands for a name.
const DIGEST_OCTETS: usize = 16;
const RECORDS: &[u8] = b"acme-gateway store records";
const NAMES: &[u8] = b"acme-gateway store names";

/// What seals the records of a store.
pub struct RecordSeal {
    records: LessSafeKey,
    names: hmac::Key,
}

/// The cryptographic library refused to do something that cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library has failed")]
pub struct SealFailure;

impl From<Unspecified> for SealFailure {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

impl RecordSeal {
    /// The seal that follows from this secret. The secret may serve other purposes too, as the keys are
    /// derived from it.
    ///
    /// # Errors
    /// [`SealFailure`].
    pub fn derive(secret: &Secret<[u8; SECRET_OCTETS]>) -> Result<Self, SealFailure> {
        let root = Salt::new(HKDF_SHA256, &[]).extract(secret.expose_secret());
        let records = UnboundKey::from(root.expand(&[RECORDS], &AES_256_GCM_SIV)?);
        let names = hmac::Key::from(root.expand(&[NAMES], HMAC_SHA256)?);
        Ok(Self { records: LessSafeKey::new(records), names })
    }

    /// A nonce, what these octets are encrypted, and the tag.
    pub(crate) fn seal(&self, key: &Key, octets: &[u8]) -> Result<Vec<u8>, SealFailure> {
        let nonce: [u8; NONCE_OCTETS] = rand::random();
        let mut sealed = Vec::with_capacity(octets.len().saturating_add(NONCE_OCTETS + AES_256_GCM_SIV.tag_len()));
        sealed.extend(nonce);
        sealed.extend(octets);
        let (_, text) = sealed.split_at_mut_checked(NONCE_OCTETS).ok_or(SealFailure)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.records.seal_in_place_separate_tag(nonce, Aad::from(key.as_str()), text)?;
        sealed.extend(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`RecordSeal::seal`] made for the same key of the store; `None` for everything else.
    pub(crate) fn open(&self, key: &Key, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk()?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.records.open_in_place(nonce, Aad::from(key.as_str()), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// The key as it stands in the backend: a name in angle brackets gives way to its digest.
    pub(crate) fn hide_name(&self, key: &Key) -> Key {
        let Some((before, rest)) = key.as_str().split_once('<') else { return key.clone() };
        let Some((name, after)) = rest.split_once('>') else { return key.clone() };
        let digest = hmac::sign(&self.names, format!("{before}{name}").as_bytes());
        let digest = digest.as_ref().first_chunk::<DIGEST_OCTETS>().map(base64url::encode).unwrap_or_default();
        Key::new(format!("{before}~{digest}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::seal;

    fn key(text: &str) -> Key {
        Key::new(text.to_owned())
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_and_secret_only() {
        let sealed = seal(7).seal(&key("order/o1"), b"record").unwrap();
        assert_eq!(seal(7).open(&key("order/o1"), &sealed).unwrap(), b"record");
        assert_eq!(seal(7).open(&key("order/o2"), &sealed), None);
        assert_eq!(seal(8).open(&key("order/o1"), &sealed), None);
        assert_eq!(seal(7).open(&key("order/o1"), &[]), None);
    }

    #[test]
    fn the_same_record_never_looks_the_same() {
        let sealed = || seal(7).seal(&key("order/o1"), b"record").unwrap();
        assert_ne!(sealed(), sealed());
    }

    #[test]
    fn a_name_has_one_digest_with_each_account_and_secret() {
        let hidden = |secret, account| seal(secret).hide_name(&key(&format!("failures/{account}/<a.test>/9")));
        let text = hidden(7, "reg_1").to_string();
        assert!(text.starts_with("failures/reg_1/~") && text.ends_with("/9") && !text.contains("a.test"), "{text}");
        assert_eq!(text.len(), "failures/reg_1/~/9".len() + 22);
        assert_eq!(hidden(7, "reg_1").to_string(), text);
        for other in [hidden(7, "reg_2"), hidden(8, "reg_1")] {
            assert_ne!(other.as_str().rsplit('~').next(), text.rsplit('~').next());
        }
        assert_eq!(seal(7).hide_name(&Key::new(text.clone())).as_str(), text);
    }
}
