//! Client certificates: asked for, never demanded, and vouched for by nobody.
//!
//! What counts is the key that a client proved to hold in the handshake (RFC 8446 §4.4.3, RFC 5246 §7.4.8), not who signed
//! what is written about it ([ADR 31](../../../../docs/adr/0031-client-certificates-are-keys.md)). Names, dates, usages and
//! chains are not looked at, and nothing of them is kept.

use std::sync::Arc;

use acme::waiver::KeyDigest;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

/// The key that a client proved to hold in the handshake of its connection, or of the one that this one resumes: that of
/// the first of its certificates. One that cannot be read is none.
pub(super) fn proven_key(certificates: Option<&[CertificateDer<'_>]>) -> Option<KeyDigest> {
    let own = certificates?.first()?;
    let key = ParsedCertificate::try_from(own).ok()?.subject_public_key_info();
    Some(KeyDigest::of_spki(&key))
}

/// Asks for a certificate and takes any or none.
#[derive(Debug)]
pub(crate) struct AnyClientCertificate(Arc<CryptoProvider>);

impl AnyClientCertificate {
    /// Verifies what clients sign by the algorithms of this provider.
    pub(crate) const fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }

    /// Whether a certificate can be read, that is, has a key that its holder can have signed with. A handshake does not fail
    /// for one that cannot: nothing is said of its client, as if it had sent none. [`proven_key`] asks in the same words.
    fn is_readable(certificate: &CertificateDer<'_>) -> bool {
        ParsedCertificate::try_from(certificate).is_ok()
    }
}

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: clients choose a certificate by this list, and any will do.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !Self::is_readable(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !Self::is_readable(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
