//! Which certificates are shown and trusted, by their SHA-256, so that whoever exchanged one has left a trace.

use std::path::Path;

use acme::base64url;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};

/// As many are told one by one; of more a digest over all of them is.
const TOLD_MAX: usize = 8;

/// The fingerprints of some certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprints(Vec<Vec<u8>>);

impl Fingerprints {
    /// Of certificates in DER.
    pub(crate) fn of<Der: AsRef<[u8]>>(certificates: impl IntoIterator<Item = Der>) -> Self {
        let fingerprint = |der: Der| digest(&SHA256, der.as_ref()).as_ref().to_vec();
        Self(certificates.into_iter().map(fingerprint).collect())
    }

    /// Of those in this file in PEM; `None` if there are none that can be read.
    pub(crate) fn of_file(file: &Path) -> Option<Self> {
        let certificates: Vec<_> = CertificateDer::pem_file_iter(file).ok()?.collect::<Result<_, _>>().ok()?;
        (!certificates.is_empty()).then(|| Self::of(certificates))
    }

    /// How many, and each, in the order of the file; or a digest over all of them, sorted.
    pub(super) fn to_json(&self) -> Value {
        if self.0.len() <= TOLD_MAX {
            return json!({"count": self.0.len(), "sha256": self.0.iter().map(base64url::encode).collect::<Vec<_>>()});
        }
        let mut sorted = self.0.clone();
        sorted.sort();
        json!({"count": sorted.len(), "sha256OfAll": base64url::encode(digest(&SHA256, &sorted.concat()))})
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use acme::time::Timestamp;

    use super::*;
    use crate::{
        random, testing,
        testing::authority::{Authority, Leaf},
    };

    #[test]
    fn few_are_told_one_by_one_and_many_by_a_digest_that_changes_with_any() {
        let mut ders: Vec<[u8; 32]> = (0..TOLD_MAX).map(|_| random::octets()).collect();
        let few = Fingerprints::of(&ders).to_json();
        let each: Vec<_> = ders.iter().map(|der| base64url::encode(digest(&SHA256, der))).collect();
        assert_eq!(few, json!({"count": TOLD_MAX, "sha256": each}));
        ders.push(random::octets());
        let many = Fingerprints::of(&ders).to_json();
        assert_eq!((&many["count"], &many["sha256"]), (&json!(TOLD_MAX + 1), &Value::Null));
        ders.reverse();
        assert_eq!(Fingerprints::of(&ders).to_json(), many, "whatever their order");
        ders[0] = random::octets();
        assert_ne!(Fingerprints::of(&ders).to_json(), many);
    }

    #[test]
    fn the_certificates_of_a_file_are_told_and_what_is_no_certificate_is_not() {
        let file = std::env::temp_dir().join(format!("acme-gateway-fingerprints-{}.pem", std::process::id()));
        let leaf = Leaf {
            spki_der: &testing::new_key().to_spki_der(),
            names: vec![String::from("a.test")],
            serial: [1; 16],
            not_before: Timestamp::from_unix_secs(0),
            not_after: Timestamp::from_unix_secs(1),
            for_servers: true,
        };
        let signed = Authority::new("a root").sign(&leaf);
        fs::write(&file, &signed.pem).unwrap();
        assert_eq!(Fingerprints::of_file(&file), Some(Fingerprints(vec![signed.claims.sha256.to_vec()])));
        fs::write(&file, "nothing").unwrap();
        assert_eq!(Fingerprints::of_file(&file), None);
        fs::remove_file(&file).unwrap();
        assert_eq!(Fingerprints::of_file(&file), None);
    }
}
