//! The gateway's own TLS, and the roots it trusts for issued certificates.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    http::ALPN,
    settings::{Server, require_private, require_readable},
};

/// TLS 1.2 and 1.3, HTTP/1.1 only: the server's HTTP/2 would bring an unmaintained library.
pub(super) fn server_config(settings: &Server) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = certificates(&settings.certificate_file, "server.certificate_file")?;
    require_private(&settings.key_file, "server.key_file")?;
    let key = PrivateKeyDer::from_pem_file(&settings.key_file)
        .with_context(|| format!("server.key_file: {} holds no private key in PEM", settings.key_file.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("server.certificate_file and server.key_file do not belong together")?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The roots that issued certificates must chain to, in DER.
pub(super) fn anchors(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let roots = certificates(file, "cm.issuer_roots_file")?;
    Ok(roots.into_iter().map(|root| root.to_vec()).collect())
}

fn certificates(file: &Path, setting: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    require_readable(file, setting)?;
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .with_context(|| format!("{setting}: {} does not hold certificates in PEM", file.display()))?;
    if certificates.is_empty() {
        bail!("{setting}: {} holds no certificate in PEM", file.display());
    }
    Ok(certificates)
}
