//! Proofs: the client's own JWS, verified here again (contract section 1).
//!
//! A stolen gateway cannot make these. What a proof must say (its payload) is checked by the
//! operation; here are signature, key, `url` and `kid`.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::jws::{Header, Jws};
use super::key::PublicKey;
use super::problem::{Code, Problem};
use super::registrations::Registration;
use super::settings::{Proofs, Realm};

/// The member `proof` of requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    #[serde(rename = "type")]
    kind: ProofKind,
    /// The JWS.
    pub(crate) jws: Jws,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProofKind {
    Acme,
}

/// A proof whose signature is good.
#[derive(Debug)]
pub(crate) struct Verified {
    /// What was signed, without the signature.
    pub(crate) digest: Vec<u8>,
    /// The payload.
    pub(crate) payload: Vec<u8>,
    /// Where it was sent.
    pub(crate) url: String,
}

impl Verified {
    /// Reads the payload; ACME payloads may have members that do not matter here.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.payload)
            .map_err(|_| invalid("the payload of the proof is not what this operation needs"))
    }
}

/// The refusal of a proof.
pub(crate) fn invalid(detail: &str) -> Problem {
    Problem::new(Code::ProofInvalid, detail)
}

/// The URLs that account requests of this realm may have been sent to: BASE + `path`.
fn is_url_of(realm: &Realm, url: &str, path: &str) -> bool {
    realm.acme_bases.iter().any(|base| url.strip_prefix(base.as_str()) == Some(path))
}

/// Whether proofs count in this realm, and the one that is there.
fn demanded<'a>(realm: &Realm, proof: Option<&'a Proof>) -> Result<Option<&'a Proof>, Problem> {
    match (realm.proofs, proof) {
        (Proofs::Off, _) | (Proofs::Verify, None) => Ok(None),
        (Proofs::Required, None) => Err(invalid("this realm requires a proof")),
        (Proofs::Required | Proofs::Verify, Some(proof)) => {
            let ProofKind::Acme = proof.kind;
            Ok(Some(proof))
        }
    }
}

fn open(proof: &Proof) -> Result<(Header, String), Problem> {
    let header = proof.jws.header().map_err(invalid)?;
    if header.nonce.is_none() {
        return Err(invalid("the proof has no nonce"));
    }
    if header.kid.is_some() == header.jwk.is_some() {
        return Err(invalid("the proof must have either kid or jwk"));
    }
    let url = header.url.clone().ok_or_else(|| invalid("the proof has no url"))?;
    Ok((header, url))
}

fn finish(proof: &Proof, header: &Header, key: &PublicKey, url: String) -> Result<Verified, Problem> {
    proof.jws.verify(key, header).map_err(invalid)?;
    Ok(Verified { digest: proof.jws.digest(), payload: proof.jws.payload().map_err(invalid)?, url })
}

/// A proof that carries its key (`jwk`): newAccount, or revocation by the certificate's key.
pub(crate) fn by_key(
    realm: &Realm,
    proof: Option<&Proof>,
    key: &PublicKey,
    path: &str,
) -> Result<Option<Verified>, Problem> {
    let Some(proof) = demanded(realm, proof)? else {
        return Ok(None);
    };
    let (header, url) = open(proof)?;
    let signer = header
        .jwk
        .as_ref()
        .ok_or_else(|| invalid("the proof must carry its key as jwk"))
        .and_then(|jwk| PublicKey::from_jwk(jwk).map_err(invalid))?;
    if signer != *key {
        return Err(invalid("the proof is signed by another key"));
    }
    if !is_url_of(realm, &url, path) {
        return Err(invalid("the proof was sent to another URL"));
    }
    finish(proof, &header, key, url).map(Some)
}

/// A proof by the current key of a registration (`kid` = its account URL).
///
/// `path` is what follows the base URL; `None` stands for the account URL itself.
pub(crate) fn by_account(
    realm: &Realm,
    proof: Option<&Proof>,
    registration: &Registration,
    path: Option<&str>,
) -> Result<Option<Verified>, Problem> {
    let Some(key) = registration.public_key() else {
        return Err(invalid("the registration has no key"));
    };
    by_account_key(realm, proof, registration, &key, path)
}

/// The same with the key given, for a key change that is repeated.
pub(crate) fn by_account_key(
    realm: &Realm,
    proof: Option<&Proof>,
    registration: &Registration,
    key: &PublicKey,
    path: Option<&str>,
) -> Result<Option<Verified>, Problem> {
    let Some(proof) = demanded(realm, proof)? else {
        return Ok(None);
    };
    let (header, url) = open(proof)?;
    let account = format!("/acct/{}", registration.id);
    let kid = header.kid.as_deref().ok_or_else(|| invalid("the proof must name its account by kid"))?;
    let base = realm
        .acme_bases
        .iter()
        .find(|base| kid.strip_prefix(base.as_str()) == Some(account.as_str()))
        .ok_or_else(|| invalid("kid is not the account URL of the registration"))?;
    if url.strip_prefix(base.as_str()) != Some(path.unwrap_or(&account)) {
        return Err(invalid("the proof was sent to another URL"));
    }
    finish(proof, &header, key, url).map(Some)
}
