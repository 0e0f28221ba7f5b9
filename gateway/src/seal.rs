//! Sealing: short texts that only this gateway can make and read.
//!
//! AES-256-GCM-SIV with a fixed nonce is deterministic: sealing the same value twice gives the
//! same text, so a certificate has one URL; equal texts show equal values and nothing else
//! (RFC 8452 §9). Each use has its own context, so that a nonce never opens as a handle.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use acme::{base64url, secret::Secret};
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

/// The key that seals, in this file; the file is made if it is missing.
pub(crate) fn key_from_file(path: &Path) -> anyhow::Result<Secret<[u8; KEY_OCTETS]>> {
    key_of(path, "secrets.seal_key_file")
}

/// The key in the file that this setting names; the file is made if it is missing.
pub(crate) fn key_of(path: &Path, setting: &str) -> anyhow::Result<Secret<[u8; KEY_OCTETS]>> {
    if !path.exists() {
        let made = make_private_file(path, &base64url::encode(crate::random::octets::<KEY_OCTETS>()));
        let fix = "let the gateway's user write to its folder, or name another";
        if made.with_context(|| format!("cannot make {setting} {}; {fix}", path.display()))? {
            tracing::info!(path = %path.display(), setting, "the key file was not there; it was made, with a new key");
        }
    }
    crate::settings::require_private(path, setting)?;
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {setting} {}", path.display()))?;
    let key = base64url::decode(text.trim_end()).ok().and_then(|octets| <[u8; KEY_OCTETS]>::try_from(octets).ok());
    let key = key.with_context(|| {
        format!("{setting} {} does not hold a key: {KEY_OCTETS} octets in base64url", path.display())
    })?;
    Ok(Secret::new(key))
}

/// Makes a file for its owner only with a key in it, whole and durable or not at all: without its key everything in the
/// store is lost, as without one of an account the account is. `false` if somebody else has made the file meanwhile; then
/// that one counts.
pub(crate) fn make_private_file(path: &Path, text: &str) -> io::Result<bool> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.exists() {
        fs::create_dir_all(folder)?;
        if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
            File::open(above)?.sync_all()?;
        }
    }
    let unfinished = unfinished(path);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        // Unlike a rename it takes nobody's place.
        match fs::hard_link(&unfinished, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    };
    let made = write();
    let _absent = fs::remove_file(&unfinished);
    File::open(folder)?.sync_all()?;
    made
}

/// Where the key is written before it has its place: one that a crash has left there is never used.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    let random: String = crate::random::octets::<8>().iter().map(|octet| format!("{octet:02x}")).collect();
    name.push(format!(".{random}.unfinished"));
    PathBuf::from(name)
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

    /// Whoever comes second must not find half a file, nor make another key.
    #[test]
    fn of_many_that_start_at_once_all_have_one_key_and_nothing_else_is_left() {
        const STARTS: usize = 8;
        let folder = std::env::temp_dir().join(format!("acme-gateway-seal-keys-{}", std::process::id()));
        for round in 0..20 {
            let path = folder.join(round.to_string()).join("seal.key");
            let together = std::sync::Barrier::new(STARTS);
            let keys: Vec<_> = std::thread::scope(|scope| {
                let start = || {
                    together.wait();
                    *key_from_file(&path).unwrap().expose_secret()
                };
                let starts: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert!(keys.iter().all(|key| *key == keys[0]), "round {round}");
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_key_file_that_holds_no_key_is_refused_by_the_name_of_the_setting() {
        let path = std::env::temp_dir().join(format!("acme-gateway-seal-{}.key", std::process::id()));
        let _ = fs::remove_file(&path);
        let made = key_from_file(&path).unwrap();
        assert_eq!(key_from_file(&path).unwrap().expose_secret(), made.expose_secret());
        for text in ["", "AAAA", "not base64url!"] {
            fs::write(&path, text).unwrap();
            let refused = key_from_file(&path).unwrap_err().to_string();
            assert!(refused.contains("secrets.seal_key_file") && refused.contains("32 octets"), "{refused}");
        }
        fs::remove_file(&path).unwrap();
    }
}
