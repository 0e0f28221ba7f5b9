//! Keys, signatures and CSRs for the clients of the suite, by OpenSSL.

use cm_connector::testing::{ClientKey, Cryptography, Wanted};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use serde_json::{Map, Value};
use tests::{csr::Csr, key::Key};

/// The only one that there is.
pub(crate) struct OpenSsl;

struct P256(Key);

impl Cryptography for OpenSsl {
    fn new_key(&self) -> Box<dyn ClientKey> {
        Box::new(P256(Key::p256()))
    }

    fn mac(&self, secret: &[u8], input: &[u8]) -> Vec<u8> {
        let key = PKey::hmac(secret).unwrap();
        Signer::new(MessageDigest::sha256(), &key).unwrap().sign_oneshot_to_vec(input).unwrap()
    }
}

impl ClientKey for P256 {
    fn jwk(&self) -> Map<String, Value> {
        self.0.jwk().as_object().cloned().unwrap()
    }

    fn algorithm(&self) -> &'static str {
        self.0.algorithm()
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        self.0.sign(input)
    }

    fn csr(&self, wanted: &Wanted<'_>) -> Vec<u8> {
        Csr { common_name: wanted.common_name, ..Csr::for_names(wanted.names) }.der(&self.0)
    }
}
