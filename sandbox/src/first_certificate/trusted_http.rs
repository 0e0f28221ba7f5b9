//! The HTTP side of the ACME client: HTTPS to a server whose certificate chains to the given authorities and no
//! others, with every exchange bounded in time and size.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::body::{Body, Bytes};
use http::Request;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// The largest request body sent.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// The largest response body read.
const RESPONSE_BYTES_MAX: usize = 1024 * 1024;

/// An HTTPS client that trusts exactly the authorities in one file.
pub(super) struct TrustedHttp {
    client: reqwest::Client,
}

impl TrustedHttp {
    /// Reads the authorities from the PEM file `ca`.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub(super) fn new(ca: &Path) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(ca).with_context(|| format!("the CA file {} cannot be read", ca.display()))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let added = certificate.map_err(anyhow::Error::new).and_then(|certificate| Ok(roots.add(certificate)?));
            added.with_context(|| format!("the CA file {} holds a bad certificate", ca.display()))?;
        }
        ensure!(!roots.is_empty(), "the CA file {} holds no certificate in PEM form", ca.display());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no TLS version")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST_MAX)
            .build()
            .context("no HTTPS client could be made")?;
        Ok(Self { client })
    }
}

impl HttpClient for TrustedHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(exchange(self.client.clone(), request))
    }
}

async fn exchange(client: reqwest::Client, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), REQUEST_BYTES_MAX)
        .await
        .map_err(|error| Error::Other(Box::new(error)))?;
    let mut response = client
        .request(parts.method, parts.uri.to_string())
        .headers(parts.headers)
        .body(body)
        .send()
        .await
        .map_err(other)?;
    let (mut answer, ()) = http::Response::new(()).into_parts();
    answer.status = response.status();
    answer.headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(other)? {
        if body.len().saturating_add(chunk.len()) > RESPONSE_BYTES_MAX {
            return Err(Error::Other("the response is larger than 1 MiB".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(BytesResponse { parts: answer, body: Box::new(Bytes::from(body)) })
}

fn other(error: reqwest::Error) -> Error {
    Error::Other(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::listener::Listeners;

    struct Authority {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Authority { pem, issuer }
    }

    /// An HTTPS server on 127.0.0.1 that answers every request with `body_bytes` bytes.
    async fn start(authority: &Authority, body_bytes: usize) -> (Listeners, SocketAddr) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listeners = Listeners::default();
        let any = "127.0.0.1:0".parse().unwrap();
        let handle = move |stream, _peer| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {body_bytes}\r\n\r\n");
                let response = [head.into_bytes(), vec![b'x'; body_bytes]].concat();
                // The client may have gone already, which is one of the things tested.
                let _ = stream.write_all(&response).await;
            }
        };
        let lifetime = Duration::from_secs(20);
        let address = listeners.open(any, lifetime, handle).await.unwrap();
        (listeners, address)
    }

    fn ca_file(name: &str, contents: &str) -> std::path::PathBuf {
        let unique = format!("acme-sandbox-{}-{name}.pem", std::process::id());
        let file = std::env::temp_dir().join(unique);
        std::fs::write(&file, contents).unwrap();
        file
    }

    async fn fetch(http: &TrustedHttp, address: SocketAddr) -> Result<Bytes, String> {
        let request = Request::get(format!("https://{address}/"));
        let request = request.body(BodyWrapper::default()).unwrap();
        match http.request(request).await {
            Ok(mut response) => Ok(response.body.into_bytes().await.unwrap()),
            Err(error) => Err(format!("{:#}", anyhow::Error::new(error))),
        }
    }

    #[tokio::test]
    async fn every_authority_in_the_file_is_trusted_and_no_other() {
        let (mine, second, other) = (authority("Mine"), authority("Second"), authority("Other"));
        let file = ca_file("both", &format!("{}{}", mine.pem, second.pem));
        let http = TrustedHttp::new(&file).unwrap();
        for trusted in [&mine, &second] {
            let (_listeners, address) = start(trusted, 2).await;
            assert_eq!(fetch(&http, address).await.unwrap(), "xx");
        }
        let (_listeners, address) = start(&other, 2).await;
        let refused = fetch(&http, address).await.unwrap_err();
        assert!(refused.contains("UnknownIssuer"), "{refused}");
        std::fs::remove_file(file).unwrap();
    }

    #[tokio::test]
    async fn a_response_over_the_limit_is_refused() {
        let mine = authority("Mine");
        let file = ca_file("limit", &mine.pem);
        let http = TrustedHttp::new(&file).unwrap();
        let (_listeners, address) = start(&mine, RESPONSE_BYTES_MAX + 1).await;
        let refused = fetch(&http, address).await.unwrap_err();
        assert!(refused.contains("larger than 1 MiB"), "{refused}");
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let file = ca_file("empty", "nothing\n");
        let refused = TrustedHttp::new(&file).err().unwrap().to_string();
        assert!(refused.contains("holds no certificate"), "{refused}");
        std::fs::remove_file(&file).unwrap();
        let refused = TrustedHttp::new(&file).err().unwrap().to_string();
        assert!(refused.contains("cannot be read"), "{refused}");
    }
}
