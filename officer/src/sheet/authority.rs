//! The CA that a machine must be told to trust, as a person recognizes it who was given its certificate: a path on the
//! officer's computer would say nothing to her.

use std::path::Path;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};

/// Most certificates of a file that the page has room for.
const CERTIFICATES_MAX: usize = 3;
/// Octets of a fingerprint that stand together.
const GROUP_OCTETS: usize = 2;

/// Names the certificates in this file by subject and SHA-256 fingerprint. What cannot be read is left out: the page
/// comes with a secret that is shown once, and must not be lost for it.
pub(crate) fn described(file: &Path) -> String {
    let found = CertificateDer::pem_file_iter(file).into_iter().flatten().flatten();
    let told: Vec<String> = found.take(CERTIFICATES_MAX).filter_map(|der| one(&der)).collect();
    let officer = "the CA certificate that the officer gives you";
    if told.is_empty() { officer.to_owned() } else { format!("{officer}, {}", told.join(", and ")) }
}

fn one(der: &[u8]) -> Option<String> {
    let subject = acme::certificate::subject(der)?;
    let digest = Sha256::digest(der);
    let groups = digest.chunks(GROUP_OCTETS).map(|group| data_encoding::HEXUPPER.encode(group));
    let fingerprint = groups.collect::<Vec<_>>().join(" ");
    Some(format!("{subject} with the SHA-256 fingerprint {fingerprint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_costs_nobody_the_page() {
        let text = described(Path::new("/does/not/exist/ca.pem"));
        assert_eq!(text, "the CA certificate that the officer gives you");
    }
}
