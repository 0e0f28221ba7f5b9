//! What is kept of the gateway's own server certificate, outside the store: the account key, the
//! certificate with its key, and the order under way.
//!
//! Certificate and key are one file, so they are exchanged in one step. Every file is whole or not
//! there, and for its owner only.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use acme::{
    certificate::{CertificateId, PresentedCertificate, Validity},
    identifier::Identifier,
};
use anyhow::Context as _;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use serde::{Deserialize, Serialize};

use crate::settings::{ServerCertificate, require_private};

/// Key and chain by the CM.
const ISSUED: &str = "server.pem";
/// What was there and could not be used.
const UNUSABLE: &str = "server.pem.unusable";
/// Key and certificate by nobody, shown until there is one by the CM.
const PROVISIONAL: &str = "provisional.pem";
const ACCOUNT_KEY: &str = "account.key";
const ORDER: &str = "order.json";
/// What the settings call the folder.
const SETTING: &str = "server_certificate.dir";

/// The folder.
pub(crate) struct Files<'a>(&'a Path);

/// The certificate that the CM issued last.
pub(super) struct Held {
    pub(super) id: CertificateId,
    pub(super) names: BTreeSet<Identifier>,
    pub(super) validity: Validity,
}

/// An order that was finalized and whose certificate is not here yet.
#[derive(Serialize, Deserialize)]
pub(super) struct UnderWay {
    pub(super) url: String,
    pub(super) names: Vec<String>,
    pub(super) key_pem: String,
}

impl<'a> Files<'a> {
    pub(crate) fn of(settings: &'a ServerCertificate) -> Self {
        Self(&settings.dir)
    }

    /// The file that is in use: key and certificates.
    pub(crate) fn shown(&self) -> PathBuf {
        self.0.join(if self.is_awaited() { PROVISIONAL } else { ISSUED })
    }

    /// Whether there is no certificate by the CM yet.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.0.join(ISSUED).exists()
    }

    /// Whether there is no account key yet.
    pub(crate) fn has_account_key(&self) -> bool {
        self.0.join(ACCOUNT_KEY).exists()
    }

    /// That the certificate by the CM can be shown to clients, if there is one; expired or not.
    pub(crate) fn require_usable(&self) -> anyhow::Result<()> {
        if self.is_awaited() {
            return Ok(());
        }
        let path = self.0.join(ISSUED);
        let _leaf = read_leaf(&path)?;
        require_private(&path, SETTING)?;
        let chain: Vec<_> = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect)?;
        let key = PrivateKeyDer::from_pem_file(&path)
            .with_context(|| format!("{SETTING}: {} holds no private key in PEM", path.display()))?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .with_context(|| format!("{SETTING}: key and certificate in {} do not belong together", path.display()))?;
        Ok(())
    }

    /// Makes the folder, puts aside what cannot be used, and makes something to show to clients if there is nothing.
    pub(crate) fn prepare(&self, names: &[String]) -> anyhow::Result<()> {
        const OWNER_ONLY: u32 = 0o700;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(OWNER_ONLY)
            .create(self.0)
            .with_context(|| format!("{SETTING}: cannot make {}", self.0.display()))?;
        if let Err(error) = self.require_usable() {
            let (path, moved_to) = (self.0.join(ISSUED), self.0.join(UNUSABLE));
            fs::rename(&path, &moved_to)
                .with_context(|| format!("{SETTING}: cannot move {} to {}", path.display(), moved_to.display()))?;
            tracing::error!(
                reason = format!("{error:#}"),
                moved_to = %moved_to.display(),
                "ALARM: the server certificate cannot be used and was moved aside; another is asked for, and until it comes \
                 clients see one that nobody vouches for"
            );
        }
        if self.is_awaited() {
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new(names.to_vec())?.self_signed(&key)?;
            self.write(PROVISIONAL, &(key.serialize_pem() + &certificate.pem()))?;
        }
        Ok(())
    }

    /// The certificate in use that clients see, its own first octet to the last.
    pub(super) fn shown_leaf(&self) -> anyhow::Result<CertificateDer<'static>> {
        read_leaf(&self.shown())
    }

    /// The certificate by the CM, if there is one.
    pub(super) fn held(&self) -> anyhow::Result<Option<Held>> {
        if self.is_awaited() {
            return Ok(None);
        }
        let path = self.0.join(ISSUED);
        let leaf = read_leaf(&path)?;
        let held = || {
            let names = PresentedCertificate::parse(&leaf).ok()?.names;
            Some(Held { id: CertificateId::of(&leaf)?, names, validity: Validity::of(&leaf)? })
        };
        held().map(Some).with_context(|| format!("{SETTING}: {} holds no certificate of a server", path.display()))
    }

    /// Puts a certificate and its key into use.
    pub(super) fn install(&self, key_pem: &str, chain_pem: &str) -> anyhow::Result<()> {
        self.write(ISSUED, &format!("{key_pem}{chain_pem}"))
    }

    /// The account key, made if it is missing.
    pub(super) fn account_key(&self) -> anyhow::Result<PrivatePkcs8KeyDer<'static>> {
        let path = self.0.join(ACCOUNT_KEY);
        if !path.exists() {
            self.write(ACCOUNT_KEY, &KeyPair::generate()?.serialize_pem())?;
        }
        require_private(&path, SETTING)?;
        PrivatePkcs8KeyDer::from_pem_file(&path)
            .with_context(|| format!("{SETTING}: {} holds no account key in PEM", path.display()))
    }

    /// The order under way; what cannot be read is none.
    pub(super) fn under_way(&self) -> Option<UnderWay> {
        serde_json::from_slice(&fs::read(self.0.join(ORDER)).ok()?).ok()
    }

    pub(super) fn keep_under_way(&self, order: &UnderWay) -> anyhow::Result<()> {
        self.write(ORDER, &serde_json::to_string(order)?)
    }

    pub(super) fn forget_under_way(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.0.join(ORDER)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("cannot remove an order"),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        const OWNER_ONLY: u32 = 0o600;
        let (unfinished, path) = (self.0.join(format!("{name}.unfinished")), self.0.join(name));
        let write = || {
            // One that a crash has left may be half, and have another mode.
            let _absent = fs::remove_file(&unfinished);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(self.0)?.sync_all()
        };
        write().with_context(|| format!("{SETTING}: cannot write {}", path.display()))
    }
}

fn read_leaf(path: &Path) -> anyhow::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(path)
        .with_context(|| format!("{SETTING}: {} holds no certificate in PEM", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::random;

    /// A folder that goes with its test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let id: acme::ids::OrderId = random::id();
            Self(std::env::temp_dir().join(format!("acme-gateway-server-certificate-{id}")))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn something_is_shown_from_the_start_and_the_certificate_takes_its_place() {
        let folder = Folder::new();
        let files = Files(&folder.0);
        let names = [String::from("acme.example.test")];
        files.prepare(&names).unwrap();
        assert!(files.is_awaited() && files.held().unwrap().is_none());
        let provisional = files.shown_leaf().unwrap();
        assert_eq!((mode(&folder.0), mode(&files.shown())), (0o700, 0o600));
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names.to_vec()).unwrap().self_signed(&key).unwrap();
        files.install(&key.serialize_pem(), &certificate.pem()).unwrap();
        assert_eq!(files.shown_leaf().unwrap(), *certificate.der());
        files.prepare(&names).unwrap();
        assert_eq!(files.shown_leaf().unwrap(), *certificate.der(), "a start changes nothing");
        assert_ne!(provisional, *certificate.der());
        assert_eq!(mode(&files.shown()), 0o600);
    }

    #[test]
    fn what_cannot_be_used_is_moved_aside_at_the_start_and_what_can_be_stays() {
        let folder = Folder::new();
        let files = Files(&folder.0);
        let names = [String::from("acme.example.test")];
        files.prepare(&names).unwrap();
        let [key, other] = [0, 1].map(|_| KeyPair::generate().unwrap());
        let certificate = CertificateParams::new(names.to_vec()).unwrap().self_signed(&key).unwrap().pem();
        let (key, other) = (key.serialize_pem(), other.serialize_pem());
        let issued = folder.0.join(ISSUED);
        for (text, mode) in [
            (String::new(), 0o600),
            (String::from("half a fi"), 0o600),
            (key.clone(), 0o600),
            (certificate.clone(), 0o600),
            (format!("{other}{certificate}"), 0o600),
            (format!("{key}{certificate}"), 0o644),
        ] {
            files.write(ISSUED, &text).unwrap();
            fs::set_permissions(&issued, fs::Permissions::from_mode(mode)).unwrap();
            assert!(files.require_usable().is_err(), "{mode:o} {text}");
            files.prepare(&names).unwrap();
            assert!(files.is_awaited() && files.require_usable().is_ok(), "{mode:o} {text}");
            assert!(files.shown_leaf().is_ok(), "there is something to show");
            assert_eq!(fs::read_to_string(folder.0.join(UNUSABLE)).unwrap(), text);
        }
        files.install(&key, &certificate).unwrap();
        files.prepare(&names).unwrap();
        assert_eq!(fs::read_to_string(&issued).unwrap(), format!("{key}{certificate}"));
    }

    #[test]
    fn the_account_key_is_made_once_and_the_order_under_way_is_read_back() {
        let folder = Folder::new();
        let files = Files(&folder.0);
        files.prepare(&[String::from("a.test")]).unwrap();
        assert!(!files.has_account_key());
        let key = files.account_key().unwrap();
        assert!(files.has_account_key());
        assert_eq!(files.account_key().unwrap(), key);
        assert!(files.under_way().is_none());
        let order = UnderWay {
            url: String::from("https://a.test/1"),
            names: vec![String::from("a.test")],
            key_pem: String::from("key"),
        };
        files.keep_under_way(&order).unwrap();
        assert_eq!(files.under_way().map(|order| (order.url, order.key_pem)), Some((order.url, order.key_pem)));
        for _ in 0..2 {
            files.forget_under_way().unwrap();
            assert!(files.under_way().is_none());
        }
    }
}
