//! Sealing: short texts that only this gateway can make and read.
//!
//! AES-256-GCM-SIV with a fixed nonce is deterministic: sealing the same value twice gives the
//! same text, so a certificate has one URL; equal texts show equal values and nothing else
//! (RFC 8452 §9). Each use has its own context, so that a nonce never opens as a handle.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use acme::base64url;
use anyhow::Context as _;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};

/// Octets of a key.
pub(crate) const KEY_OCTETS: usize = 32;
/// Same nonce for all: uniqueness comes from the sealed value (see the module comment).
const FIXED_NONCE: [u8; 12] = [0; 12];

/// A key that seals and opens.
pub(crate) struct Sealer {
    key: LessSafeKey,
}

impl Sealer {
    /// A sealer whose key nobody else has.
    #[cfg(test)]
    pub(crate) fn ephemeral() -> anyhow::Result<Self> {
        Self::from_key(&crate::random::octets::<KEY_OCTETS>())
    }

    /// A sealer whose key is in this file; the file is made if it is missing.
    pub(crate) fn from_file(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            make_key_file(path).with_context(|| format!("cannot make secrets.seal_key_file {}", path.display()))?;
        }
        crate::settings::require_private(path, "secrets.seal_key_file")?;
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read secrets.seal_key_file {}", path.display()))?;
        let key = base64url::decode(text.trim_end())
            .with_context(|| format!("secrets.seal_key_file {} does not hold a key", path.display()))?;
        Self::from_key(&key)
    }

    /// A sealer with this key of 32 octets.
    pub(crate) fn from_key(key: &[u8]) -> anyhow::Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key).map_err(|_| anyhow::anyhow!("a sealing key has 32 octets"))?;
        Ok(Self { key: LessSafeKey::new(key) })
    }

    /// Seals a value for one use.
    pub(crate) fn seal(&self, context: &'static str, value: &[u8]) -> String {
        let mut octets = value.to_vec();
        let nonce = Nonce::assume_unique_for_key(FIXED_NONCE);
        match self.key.seal_in_place_append_tag(nonce, Aad::from(context), &mut octets) {
            Ok(()) => base64url::encode(octets),
            // Sealing fails only for values of gigabytes; an empty text opens as nothing.
            Err(_) => String::new(),
        }
    }

    /// Opens what [`Sealer::seal`] made for the same use; `None` for everything else.
    pub(crate) fn open(&self, context: &'static str, text: &str) -> Option<Vec<u8>> {
        let mut octets = base64url::decode(text).ok()?;
        let nonce = Nonce::assume_unique_for_key(FIXED_NONCE);
        self.key.open_in_place(nonce, Aad::from(context), &mut octets).ok().map(|value| value.to_vec())
    }
}

fn make_key_file(path: &Path) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", base64url::encode(crate::random::octets::<KEY_OCTETS>()))?;
    file.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_the_same_use_only() {
        let sealer = Sealer::ephemeral().unwrap();
        let text = sealer.seal("certificate", b"AA.BB reg_1");
        assert_eq!(sealer.seal("certificate", b"AA.BB reg_1"), text, "one value has one text");
        assert_eq!(sealer.open("certificate", &text).unwrap(), b"AA.BB reg_1");
        assert_eq!(sealer.open("nonce", &text), None);
        assert_eq!(Sealer::ephemeral().unwrap().open("certificate", &text), None);
        assert_eq!(sealer.open("certificate", "AAAA"), None);
    }
}
