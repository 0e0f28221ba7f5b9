//! Client certificates: which key a connection is said to have.

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SigningKey as _};
use rustls::{
    ClientConfig, HandshakeKind, SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion,
    client::{ResolvesClientCert, Resumption},
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::{CertifiedKey, Signer, SigningKey},
    version::{TLS12, TLS13},
};

use super::{
    tls::{handshake_as, provider},
    *,
};

/// A key and something that says it is a certificate of it.
#[derive(Debug)]
struct Device {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Device {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![String::from("printer.test")]).unwrap().self_signed(&key).unwrap();
        Self { certificate: certificate.der().clone(), key }
    }

    fn digest(&self) -> String {
        KeyDigest::of_spki(&self.key.subject_public_key_info()).to_string()
    }

    /// What it shows in a handshake.
    fn shown(&self) -> Arc<dyn ResolvesClientCert> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let key = provider().key_provider.load_private_key(key).unwrap();
        Arc::new(Shown(Arc::new(CertifiedKey::new(vec![self.certificate.clone()], key))))
    }
}

#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Signs with another key than the one in the certificate.
#[derive(Debug)]
struct Impostor(Arc<KeyPair>);

impl SigningKey for Impostor {
    fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Self(Arc::clone(&self.0))))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Impostor {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.0.sign(message).unwrap())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// A server that asks for certificates and says whose connection it is, and what its own has to be verified by.
fn start_asking() -> (SocketAddr, CertificateDer<'static>) {
    let (config, root) = tls::configuration_for(Arc::new(AnyClientCertificate::new(provider())));
    let (_sender, receiver) = watch::channel(config);
    (start(&Transport::Tls(receiver, Handshakes::new(1000, None)), GENEROUS).0, root)
}

/// Clients that connect one after the other and remember sessions.
fn client(
    root: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    shown: Option<Arc<dyn ResolvesClientCert>>,
) -> ClientConfig {
    let config = tls::client_configuration(root, &[version]);
    let mut config = match shown {
        Some(shown) => config.with_client_cert_resolver(shown),
        None => config.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(8);
    config
}

/// What the server says of a connection, and how its handshake went.
async fn asked(address: SocketAddr, config: &Arc<ClientConfig>) -> (String, HandshakeKind) {
    let socket = TcpStream::connect(address).await.unwrap();
    let mut stream = handshake_as(socket, Arc::clone(config)).await.unwrap();
    stream.write_all(b"GET /key HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await.0;
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    (answer.rsplit("\r\n").next().unwrap().to_owned(), kind)
}

#[tokio::test]
async fn a_connection_has_the_key_of_the_certificate_that_the_client_showed_or_none() {
    let (address, root) = start_asking();
    for version in [&TLS12, &TLS13] {
        let device = Device::new();
        let config = Arc::new(client(&root, version, Some(device.shown())));
        assert_eq!(asked(address, &config).await.0, device.digest(), "{version:?}");
        let config = Arc::new(client(&root, version, None));
        assert_eq!(asked(address, &config).await.0, "none", "{version:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_not_asked_has_no_key() {
    let (config, root) = tls::configuration();
    let (_sender, receiver) = watch::channel(config);
    let (address, _handle) = start(&Transport::Tls(receiver, Handshakes::new(1000, None)), GENEROUS);
    let config = Arc::new(client(&root, &TLS13, Some(Device::new().shown())));
    assert_eq!(asked(address, &config).await.0, "none");
    let mut plain = TcpStream::connect(start(&Transport::Plain, GENEROUS).0).await.unwrap();
    plain.write_all(b"GET /key HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut plain).await.0.ends_with("\r\nnone"));
}

#[tokio::test]
async fn a_session_that_is_resumed_has_the_key_of_the_handshake_that_it_comes_from() {
    let (address, root) = start_asking();
    for version in [&TLS12, &TLS13] {
        let device = Device::new();
        let config = Arc::new(client(&root, version, Some(device.shown())));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            assert_eq!(asked(address, &config).await, (device.digest(), expected), "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_session_without_a_key_gets_none_by_being_resumed() {
    let (address, root) = start_asking();
    for version in [&TLS12, &TLS13] {
        let without = client(&root, version, None);
        let sessions = without.resumption.clone();
        assert_eq!(asked(address, &Arc::new(without)).await, ("none".to_owned(), HandshakeKind::Full));
        // It has a certificate by now, and a session from before.
        let shown = Device::new().shown();
        let mut with = client(&root, version, Some(shown));
        with.resumption = sessions;
        let (key, kind) = asked(address, &Arc::new(with)).await;
        assert!(kind != HandshakeKind::Resumed || key == "none", "{version:?}: {key} by resumption");
    }
}

#[tokio::test]
async fn whoever_cannot_sign_with_the_key_of_the_certificate_is_not_connected() {
    let (address, root) = start_asking();
    for version in [&TLS12, &TLS13] {
        let device = Device::new();
        let stolen = CertifiedKey {
            cert: vec![device.certificate.clone()],
            key: Arc::new(Impostor(Arc::new(KeyPair::generate().unwrap()))),
            ocsp: None,
        };
        let config = client(&root, version, Some(Arc::new(Shown(Arc::new(stolen)))));
        let socket = TcpStream::connect(address).await.unwrap();
        // In TLS 1.3 the client hears of it when it reads.
        let answer = match handshake_as(socket, Arc::new(config)).await {
            Ok(mut stream) => {
                let _sent = stream.write_all(b"GET /key HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
                rest(&mut stream).await.0
            }
            Err(_) => String::new(),
        };
        assert_eq!(answer, "", "{version:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_none() {
    let (address, root) = start_asking();
    for version in [&TLS12, &TLS13] {
        let device = Device::new();
        for octets in [vec![0x30, 0x03, 0x02, 0x01, 0x00], device.certificate[..device.certificate.len() - 1].to_vec()]
        {
            let unreadable = Device { certificate: octets.into(), key: KeyPair::generate().unwrap() };
            let config = Arc::new(client(&root, version, Some(unreadable.shown())));
            for _ in 0..2 {
                assert_eq!(asked(address, &config).await.0, "none", "{version:?}");
            }
        }
    }
}
