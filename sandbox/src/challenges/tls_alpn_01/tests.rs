//! Handshakes with an open responder, and what its certificate says.

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::*;

use super::*;

/// A validator looks at the certificate itself; nothing is trusted by its chain.
#[derive(Debug)]
struct AcceptAll;

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

struct Shown {
    certificate: Vec<u8>,
    alpn: Option<Vec<u8>>,
}

async fn connect(address: SocketAddr, name: &str, alpn: &[u8]) -> std::io::Result<Shown> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAll))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (_, connection) = stream.get_ref();
    Ok(Shown {
        certificate: connection.peer_certificates().unwrap()[0].to_vec(),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
    })
}

async fn start(identifier: &str, flaw: Flaw) -> (TlsResponder, SocketAddr) {
    let responder = TlsResponder::default();
    responder.set(identifier, [7; 32], flaw).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let address = responder.listen(any).await.unwrap();
    (responder, address)
}

/// Whether the acmeIdentifier extension is critical and its content; `None` without one.
fn acme_identifier(der: &[u8]) -> Option<(bool, Vec<u8>)> {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let extension =
        certificate.extensions().iter().find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")?;
    Some((extension.critical, extension.value.to_vec()))
}

fn names(der: &[u8]) -> Vec<String> {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let names = certificate.subject_alternative_name().unwrap();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    names.map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_certificate_proves_the_key_authorization() {
    let (responder, address) = start("WWW.example.test", Flaw::None).await;
    let shown = connect(address, "www.example.test", b"acme-tls/1").await.unwrap();
    let content = [[0x04, 0x20].as_slice(), &[7; 32]].concat();
    assert_eq!(acme_identifier(&shown.certificate), Some((true, content)));
    assert_eq!(names(&shown.certificate), ["DNSName(WWW.example.test)"]);
    assert_eq!(shown.alpn.as_deref(), Some(ACME_TLS_1));
    let seen = responder.seen();
    assert_eq!(seen[0].server_name.as_deref(), Some("www.example.test"));
    assert_eq!(seen[0].alpn, ["acme-tls/1"]);
}

#[tokio::test]
async fn an_ip_address_is_asked_for_by_its_reverse_name() {
    let (_responder, address) = start("192.0.2.7", Flaw::None).await;
    let shown = connect(address, "7.2.0.192.in-addr.arpa", b"acme-tls/1").await.unwrap();
    assert_eq!(names(&shown.certificate), ["IPAddress(c0:00:02:07)"]);
}

#[test]
fn an_ipv6_address_has_its_nibbles_reversed() {
    let expected = format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23));
    assert_eq!(server_name("2001:db8::1"), expected);
}

#[tokio::test]
async fn unknown_names_and_other_protocols_get_no_certificate() {
    let (responder, address) = start("www.example.test", Flaw::None).await;
    let unknown = connect(address, "other.example.test", b"acme-tls/1").await;
    assert!(unknown.is_err());
    let other = connect(address, "www.example.test", b"h2").await;
    assert!(other.is_err());
    responder.delete("www.example.test");
    let deleted = connect(address, "www.example.test", b"acme-tls/1").await;
    assert!(deleted.is_err());
    assert_eq!(responder.seen().len(), 3);
}

#[tokio::test]
async fn every_flaw_is_visible() {
    let name = "www.example.test";
    for flaw in [
        Flaw::NotCritical,
        Flaw::NoExtension,
        Flaw::NumberOfDrafts,
        Flaw::ShortDigest,
        Flaw::CommonNameOnly,
        Flaw::SignedByAnother,
        Flaw::OtherName,
        Flaw::ExtraName,
        Flaw::NoAlpn,
    ] {
        let (_responder, address) = start(name, flaw).await;
        let shown = connect(address, name, b"acme-tls/1").await.unwrap();
        let extension = acme_identifier(&shown.certificate);
        let critical = extension.as_ref().map(|(critical, _)| *critical);
        let (_, certificate) = X509Certificate::from_der(&shown.certificate).unwrap();
        let names = names(&shown.certificate);
        let right_alpn = shown.alpn.as_deref() == Some(ACME_TLS_1);
        match flaw {
            Flaw::None => unreachable!("not in the list"),
            Flaw::NotCritical => assert_eq!(critical, Some(false)),
            Flaw::NoExtension | Flaw::NumberOfDrafts => assert_eq!(critical, None),
            Flaw::ShortDigest => assert_eq!(extension.unwrap().1.len(), 33),
            Flaw::CommonNameOnly => assert!(names.is_empty()),
            Flaw::SignedByAnother => assert!(certificate.verify_signature(None).is_err()),
            Flaw::OtherName => assert_eq!(names, ["DNSName(other.invalid)"]),
            Flaw::ExtraName => assert_eq!(names.len(), 2),
            Flaw::NoAlpn => assert!(!right_alpn),
        }
        assert_eq!(right_alpn, flaw != Flaw::NoAlpn);
    }
}
