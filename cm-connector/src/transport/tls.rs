//! Mutual TLS with the CM: our certificate, and the CM's own CA as the only trust (CM contract
//! section 2).

use std::{fs::File, io::Read, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{Settings, SetupError};

/// Largest PEM file that is read, in octets.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

/// Reads the PEM files and makes a TLS client of them: TLS 1.3 or 1.2 with aws-lc-rs, HTTP/2
/// preferred, no trust but the CA file's.
pub(crate) fn client_config(settings: &Settings) -> Result<ClientConfig, SetupError> {
    let mut trust = RootCertStore::empty();
    for certificate in certificates("ca_file", &settings.ca_file)? {
        trust.add(certificate).map_err(|error| bad("ca_file", &settings.ca_file, &error))?;
    }
    let chain = certificates("certificate_file", &settings.certificate_file)?;
    let key_pem = read("key_file", &settings.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| bad("key_file", &settings.key_file, &error))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Client(error.to_string()))?
        .with_root_certificates(trust)
        .with_client_auth_cert(chain, key)
        .map_err(|error| bad("key_file", &settings.key_file, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(field: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let pem = read(field, path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(bad(field, path, &"it has no certificate in PEM")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(bad(field, path, &error)),
    }
}

fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, SetupError> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(|error| bad(field, path, &error))?;
    let octets = file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut content).map_err(|error| bad(field, path, &error))?;
    if u64::try_from(octets).is_ok_and(|octets| octets > FILE_OCTETS_MAX) {
        return Err(bad(field, path, &"it is larger than 1 MiB"));
    }
    Ok(content)
}

fn bad(field: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> SetupError {
    SetupError::File { field, path: path.to_owned(), reason: reason.to_string() }
}

/// True if a connection failed because one side did not accept the other's certificate: no repeat
/// will change that (section 6).
pub(crate) fn is_refused_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(error) = source {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
        if tls.is_some_and(concerns_certificate) {
            return true;
        }
        // An io::Error answers `source` with its content's source, so its content is looked at first.
        source = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

const fn concerns_certificate(error: &rustls::Error) -> bool {
    use rustls::{AlertDescription as Alert, Error};
    matches!(
        error,
        Error::InvalidCertificate(_)
            | Error::AlertReceived(
                Alert::BadCertificate
                    | Alert::UnsupportedCertificate
                    | Alert::CertificateRevoked
                    | Alert::CertificateExpired
                    | Alert::CertificateUnknown
                    | Alert::UnknownCA
                    | Alert::AccessDenied
                    | Alert::CertificateRequired
                    // A CA of the same name with another key.
                    | Alert::DecryptError
            )
    )
}
