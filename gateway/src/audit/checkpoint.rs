//! Signed checkpoints: this gateway's word that the chain was so far, so that whoever can write the file cannot write
//! another history.
//!
//! A checkpoint is one word, `acme-audit-1.SEQUENCE.HASH.SIGNATURE`, which stands in the file and goes to the log: a copy
//! that is kept elsewhere proves later that nothing was cut away. The signature is Ed25519 (RFC 8032) over
//! `acme-audit-1.SEQUENCE.HASH`; numbers are decimal, octets base64url.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use acme::base64url;
use anyhow::Context as _;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::record::{Digest, Head};
use crate::seal;

const FORM: &str = "acme-audit-1";

/// What signs: the gateway's own key for this and nothing else.
pub(crate) struct SigningKey(Ed25519KeyPair);

/// Our own key, and the one that was ours before if it is there to announce this one.
pub(crate) struct Keys {
    pub(crate) own: SigningKey,
    pub(crate) previous: Option<SigningKey>,
}

impl Keys {
    /// The key in this file, which is made if it is missing, and the one in the file beside it that has `.previous` after its
    /// name, if there is one.
    ///
    /// # Errors
    /// A file cannot be made or read, is not private, or holds no key; the text names the setting.
    pub(crate) fn from_files(path: &Path) -> anyhow::Result<Self> {
        let mut previous = path.as_os_str().to_owned();
        previous.push(".previous");
        let previous = Some(PathBuf::from(previous)).filter(|previous| previous.exists());
        Ok(Self {
            own: SigningKey::from_file(path)?,
            previous: previous.map(|previous| SigningKey::from_file(&previous)).transpose()?,
        })
    }

    /// The one of them that this is the public half of.
    pub(crate) fn with(&self, public: PublicKey) -> Option<&SigningKey> {
        Some(&self.own).into_iter().chain(&self.previous).find(|key| key.public() == public)
    }
}

/// Who signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublicKey([u8; 32]);

/// The record up to which the chain is vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) head: Head,
    signature: Vec<u8>,
}

/// A text that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOne {
    #[error("not a checkpoint; give the word that begins with acme-audit-1. as it stands in the log")]
    Checkpoint,
    #[error("not a public key of the audit trail; give 32 octets in base64url, as in the record audit.segment")]
    PublicKey,
}

impl SigningKey {
    /// The key in this file; it is made if it is missing.
    ///
    /// # Errors
    /// The file cannot be made or read, is not private, or holds no key; the text names the setting.
    fn from_file(path: &Path) -> anyhow::Result<Self> {
        Self::from_seed(seal::key_of(path, "audit.key_file")?.expose_secret())
    }

    /// A key that nobody else has.
    #[cfg(test)]
    pub(crate) fn ephemeral() -> Self {
        Self::from_seed(&crate::random::octets()).unwrap()
    }

    /// The key that grows from these octets.
    ///
    /// # Errors
    /// None does.
    pub(crate) fn from_seed(seed: &[u8; seal::KEY_OCTETS]) -> anyhow::Result<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).ok().context("audit.key_file: not a key for signatures")
    }

    pub(crate) fn public(&self) -> PublicKey {
        let mut octets = [0; 32];
        octets.iter_mut().zip(self.0.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        PublicKey(octets)
    }

    pub(crate) fn sign(&self, head: Head) -> Checkpoint {
        Checkpoint { head, signature: self.0.sign(signed(head).as_bytes()).as_ref().to_vec() }
    }
}

impl Checkpoint {
    /// Whether the holder of this key made it.
    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        UnparsedPublicKey::new(&ED25519, key.0).verify(signed(self.head).as_bytes(), &self.signature).is_ok()
    }
}

fn signed(head: Head) -> String {
    format!("{FORM}.{}.{}", head.sequence, head.hash)
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", signed(self.head), base64url::encode(&self.signature))
    }
}

impl FromStr for Checkpoint {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let mut parts = text.trim().split('.');
        let mut part = || parts.next().ok_or(NotOne::Checkpoint);
        let (form, sequence, hash, signature) = (part()?, part()?, part()?, part()?);
        let sequence = sequence.parse().ok().filter(|_| form == FORM && parts.next().is_none());
        let signature = base64url::decode(signature).map_err(|_| NotOne::Checkpoint)?;
        let (sequence, hash) = (sequence.ok_or(NotOne::Checkpoint)?, Digest::parse(hash).ok_or(NotOne::Checkpoint)?);
        Ok(Self { head: Head { sequence, hash }, signature })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&base64url::encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let octets = base64url::decode(text.trim()).ok().and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or(NotOne::PublicKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_from_its_text_and_holds_for_its_own_record_and_key_alone() {
        let (key, other) = (SigningKey::ephemeral(), SigningKey::ephemeral());
        let head = Head { sequence: 7, hash: Digest::of(b"seven") };
        let checkpoint: Checkpoint = key.sign(head).to_string().parse().unwrap();
        assert_eq!(checkpoint, key.sign(head));
        assert!(checkpoint.is_signed_by(&key.public()) && !checkpoint.is_signed_by(&other.public()));
        for head in [Head { sequence: 8, ..head }, Head { hash: Digest::of(b"other"), ..head }] {
            assert!(!Checkpoint { head, ..checkpoint.clone() }.is_signed_by(&key.public()));
        }
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
    }

    #[test]
    fn other_texts_are_none() {
        let good = SigningKey::ephemeral().sign(Head::NONE).to_string();
        for text in ["", "acme-audit-1", &good.replace("-1.", "-2."), &format!("{good}.x"), "acme-audit-1.x.AA.AA"] {
            assert_eq!(text.parse::<Checkpoint>(), Err(NotOne::Checkpoint), "{text}");
        }
        assert_eq!("AA".parse::<PublicKey>(), Err(NotOne::PublicKey));
    }
}
