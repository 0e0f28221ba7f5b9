//! The test vectors of the contract: keys, MAC, CSR, certificate and signatures that belong together.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::key::PublicKey;

fn all() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

/// Example `BindRequest`.
pub(crate) fn bind_request() -> Value {
    all()["bind_request"].clone()
}

/// Example `CertificateRequestCreate`.
pub(crate) fn certificate_request() -> Value {
    all()["certificate_request"].clone()
}

/// Example `CertificateRequest`, issued.
pub(crate) fn issued() -> Value {
    all()["issued"].clone()
}

/// Example `Revocation`.
pub(crate) fn revocation() -> Value {
    all()["revocation"].clone()
}

/// The EAB secret of the examples.
pub(crate) fn eab_secret() -> Vec<u8> {
    URL_SAFE_NO_PAD.decode("FX4DBzTpxeLNRsHBPtsUEmcfFytOfMDdAg-Pq1PALAs").unwrap()
}

/// The account key of the examples.
pub(crate) fn account_key() -> PublicKey {
    PublicKey::from_jwk(&bind_request()["key"]["jwk"]).unwrap()
}
