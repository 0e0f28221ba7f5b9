//! Answers to the tls-alpn-01 challenges for the gateway's own names (RFC 8737 §3): certificates that
//! the ACME listener shows to whoever asks for `acme-tls/1` while a challenge is open, and to nobody else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{crypto::aws_lc_rs, pki_types::PrivateKeyDer, server::ClientHello, sign::CertifiedKey};

use crate::http::ACME_TLS_1;

/// What is shown now, by name. Shared by the listener and whoever proves control.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Mutex<HashMap<String, Arc<CertifiedKey>>>);

/// An answer that is shown until this is dropped.
#[must_use]
pub(super) struct Answer {
    challenges: Arc<Challenges>,
    name: String,
}

impl Challenges {
    /// Shows the certificate for a name, whose key authorization has this SHA-256.
    pub(super) fn show(self: &Arc<Self>, name: &str, digest: &[u8]) -> anyhow::Result<Answer> {
        let certificate = Arc::new(certificate(name, digest)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), certificate);
        Ok(Answer { challenges: Arc::clone(self), name: name.to_owned() })
    }

    /// Whether a client came for a challenge: it offers that protocol and no other (RFC 8737 §3).
    pub(crate) fn is_meant(client: &ClientHello<'_>) -> bool {
        client.alpn().is_some_and(|protocols| protocols.eq([ACME_TLS_1]))
    }

    /// The certificate for the name that a client asks for, if its challenge is open.
    pub(crate) fn certificate(&self, client: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(client.server_name()?).map(Arc::clone)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.challenges.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// Self-signed, with the name and the digest and nothing else (RFC 8737 §3).
fn certificate(name: &str, digest: &[u8]) -> anyhow::Result<CertifiedKey> {
    const SHA256_OCTETS: usize = 32;
    ensure!(digest.len() == SHA256_OCTETS, "a digest of {} octets", digest.len());
    let mut parameters = CertificateParams::new([name.to_owned()])?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let secret = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    // Not from_der, which reads the certificate and stumbles over the critical extension.
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(secret).context("a key for a challenge")?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_shown_until_it_is_dropped() {
        let challenges = Arc::new(Challenges::default());
        let shown = |name: &str| challenges.0.lock().unwrap().contains_key(name);
        let answer = challenges.show("acme.example.test", &[7; 32]).unwrap();
        assert!(shown("acme.example.test") && !shown("other.example.test"));
        drop(answer);
        assert!(!shown("acme.example.test"));
        assert!(challenges.show("acme.example.test", &[7; 31]).is_err());
    }
}
