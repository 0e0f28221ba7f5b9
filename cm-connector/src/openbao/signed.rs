//! A certificate that OpenBao signed: how it is got, how it is found again when its answer was lost, and what is
//! written down about it.

use std::collections::BTreeSet;

use acme::{
    certificate::{PresentedCertificate, subject_key_id},
    identifier::Identifier,
    ids::{IdempotencyKey, OrderId, RealmName},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{
    OpenBaoCertificateManager,
    client::Call,
    failure::Failure,
    layout::{Place, Serial},
    order::{Wanted, hex},
    records::{self, Request, State},
    store::Stored,
};
use crate::{Certificate, Outcome, transport::lane::Lane};

/// Certificates on a page of the list.
const PAGE: usize = 500;
/// Most pages that are read: half a million certificates.
const PAGES_MAX: usize = 1000;
/// A certificate begins half a minute before it is signed; the rest is for the clocks of several nodes.
const BEGINS_BEFORE: std::time::Duration = std::time::Duration::from_secs(90);
/// How often a change is decided again because somebody else wrote meanwhile.
const ROUNDS_MAX: u32 = 5;

/// A certificate and where it is.
pub(super) struct Signed {
    pub(super) serial: Serial,
    pub(super) der: Vec<u8>,
    pem: String,
}

#[derive(Deserialize)]
struct Page {
    data: Listed,
}

#[derive(Deserialize)]
struct Listed {
    keys: Vec<String>,
    #[serde(default)]
    key_info: std::collections::HashMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    dns_names: Option<Vec<String>>,
    not_before: acme::time::Timestamp,
}

impl Signed {
    pub(super) fn read(pem: &str) -> Result<Self, Failure> {
        let broken = || Failure::Broken(String::from("what OpenBao calls a certificate is none"));
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| broken())?.to_vec();
        let serial = serial_of(&der).ok_or_else(broken)?;
        Ok(Self { serial, der, pem: pem.trim_end().to_owned() + "\n" })
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }
}

impl OpenBaoCertificateManager {
    /// Signs, once: what arrives issues another certificate each time. `since` is the moment before the intent was
    /// written down.
    pub(super) async fn sign(
        &self,
        realm: &RealmName,
        wanted: &Wanted,
        question: Value,
        since: Instant,
    ) -> Result<Signed, Failure> {
        let path = self.mounts(realm).pki(&format!("sign/{}", wanted.profile));
        let call = Call::sign("POST pki/sign/{role}", path, question, since).by(Lane::Issuance);
        let answer = self.client.send(&call).await?;
        let pem = answer.pointer("/data/certificate").and_then(Value::as_str);
        Signed::read(pem.unwrap_or_default())
    }

    /// Looks for the certificate of a request among all that there are, by all that it asks for. One that is another
    /// order's is passed over: clients use a key again.
    pub(super) async fn search(&self, realm: &RealmName, stored: &Stored<Request>) -> Result<Option<Signed>, Failure> {
        let begins = stored.written_at.minus(BEGINS_BEFORE);
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!("certs/detailed?list=true&detailed=true&limit={PAGE}&after={after}");
            let call = Call::read("GET pki/certs/detailed?list=", self.mounts(realm).pki(&path)).by(Lane::Issuance);
            let Some(answer) = self.client.find(&call).await? else { return Ok(None) };
            let Page { data: Listed { keys, key_info } } =
                serde_json::from_value(answer).map_err(|error| Failure::Broken(format!("a list: {error}")))?;
            for (serial, entry) in &key_info {
                if entry.not_before < begins || !entry.may_be(&stored.value) {
                    continue;
                }
                let Some(serial) = Serial::parse(serial) else { continue };
                let Some(found) = self.signed(realm, &serial).await? else { continue };
                let Ok(certificate) = PresentedCertificate::parse(&found.der) else { continue };
                if stored.value.is_answered_by(&certificate)
                    && self.is_issued_by(realm, &stored.value, &certificate).await?
                    && self.owner(realm, &serial).await?.is_none_or(|order| order == stored.value.order_ref)
                {
                    return Ok(Some(found));
                }
            }
            match keys.last() {
                Some(last) if keys.len() >= PAGE => after.clone_from(last),
                Some(_) | None => return Ok(None),
            }
        }
        Err(Failure::Broken(format!("more than {} certificates in the list; tidy the expired ones", PAGE * PAGES_MAX)))
    }

    /// A certificate of the mount.
    pub(super) async fn signed(&self, realm: &RealmName, serial: &Serial) -> Result<Option<Signed>, Failure> {
        let path = self.mounts(realm).pki(&format!("cert/{}", serial.hyphens()));
        let Some(answer) = self.client.find(&Call::read("GET pki/cert/{serial}", path)).await? else { return Ok(None) };
        let pem = answer.pointer("/data/certificate").and_then(Value::as_str).unwrap_or_default();
        Signed::read(pem).map(Some)
    }

    /// Whether it is of the request's issuer, by the key that this signs with.
    async fn is_issued_by(
        &self,
        realm: &RealmName,
        request: &Request,
        certificate: &PresentedCertificate,
    ) -> Result<bool, Failure> {
        let answer = self.issuer_answer(realm, request.issuer.as_str()).await?;
        let pem = answer.pointer("/data/certificate").and_then(Value::as_str).unwrap_or_default();
        let issuer = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
        let key_id = issuer.and_then(|der| subject_key_id(&der));
        let key_id =
            key_id.ok_or_else(|| Failure::Broken(format!("issuer {} does not name its key", request.issuer)))?;
        Ok(certificate.authority_key_id == key_id)
    }

    /// The order that a certificate was written down for.
    async fn owner(&self, realm: &RealmName, serial: &Serial) -> Result<Option<OrderId>, Failure> {
        let record = self.record::<records::Certificate>(realm, Place::Certificate(serial)).await?;
        Ok(record.map(|stored| stored.value.order_ref))
    }

    /// Writes down whose certificate it is; every part can be written again.
    pub(super) async fn adopt(
        &self,
        realm: &RealmName,
        key: &IdempotencyKey,
        stored: Stored<Request>,
        signed: Signed,
    ) -> Result<Certificate, Failure> {
        let Request { registration, order_ref, profile, issuer, .. } = stored.value.clone();
        let certificate =
            records::Certificate { registration, order_ref, profile, issuer, replaced_by: None, revocation: None };
        let is_new = self.create(realm, Place::Certificate(&signed.serial), &certificate).await?;
        if !is_new && self.owner(realm, &signed.serial).await?.as_ref() != Some(&stored.value.order_ref) {
            // An order with the same key was looking for its own and took this one. The next look passes it over.
            return Err(Failure::not_active(0, Outcome::Unknown));
        }
        let digest = records::Digest { serial: signed.serial.to_string() };
        self.create(realm, Place::Digest(&signed.sha256()), &digest).await?;
        self.close(realm, key, stored, &signed.serial).await?;
        let found = self.certificate_with(realm, signed.serial.colons()).await?;
        found.ok_or_else(|| Failure::Broken(format!("certificate {} is not there after it was signed", signed.serial)))
    }

    /// Writes the end of the request, whoever else writes it.
    async fn close(
        &self,
        realm: &RealmName,
        key: &IdempotencyKey,
        mut stored: Stored<Request>,
        serial: &Serial,
    ) -> Result<(), Failure> {
        for _ in 0..ROUNDS_MAX {
            if stored.value.state == State::Issued && stored.value.serial.as_deref() == Some(serial.colons()) {
                return Ok(());
            }
            let mut ended = stored.value.clone();
            (ended.state, ended.serial) = (State::Issued, Some(serial.to_string()));
            if self.update(realm, Place::Request(key), &ended, stored.version).await? {
                return Ok(());
            }
            let Some(again) = self.record(realm, Place::Request(key)).await? else { break };
            stored = again;
        }
        Err(Failure::not_active(0, Outcome::Unknown))
    }
}

impl Entry {
    /// The list shows five names at most, so it only tells what a certificate cannot be.
    fn may_be(&self, request: &Request) -> bool {
        let is_wanted = |name: &String| request.dns_names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        self.dns_names.iter().flatten().all(is_wanted)
    }
}

impl Request {
    /// Whether a certificate has the key and exactly the names that are asked for, and the end if one is.
    fn is_answered_by(&self, certificate: &PresentedCertificate) -> bool {
        let (addresses, names): (BTreeSet<_>, BTreeSet<_>) =
            certificate.names.iter().partition(|name| matches!(name, Identifier::Ip(_)));
        let are = |found: &BTreeSet<&Identifier>, wanted: &[String]| {
            let found: BTreeSet<_> = found.iter().map(ToString::to_string).collect();
            found == wanted.iter().cloned().collect()
        };
        hex(&certificate.spki_der) == self.spki_sha256
            && are(&names, &self.dns_names)
            && self.ip_addresses.as_ref().is_none_or(|wanted| are(&addresses, wanted))
            && self.not_after.is_none_or(|end| certificate.not_after == end)
    }
}

/// The serial of a certificate in DER.
fn serial_of(der: &[u8]) -> Option<Serial> {
    let read = PresentedCertificate::parse(der).ok()?;
    let digits = if read.serial.len().is_multiple_of(2) { read.serial } else { format!("0{}", read.serial) };
    Serial::of(&data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?)
}
