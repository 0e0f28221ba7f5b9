//! Certificates: their sealed URLs, and downloading them (RFC 8555 §7.4.2).
//!
//! A certificate URL carries the CM's name of the certificate, sealed. So every certificate ever
//! issued can be downloaded again from the CM, whatever became of our store. Whose it is the CM
//! knows.

use std::sync::Arc;

use acme::{
    base64url,
    certificate::{self, CertificateId},
    ids::RegistrationId,
    time::Timestamp,
};

use super::{Error, recent::Recent};
use crate::{
    app::{App, Endpoint},
    seal::Sealer,
};

/// What sealed certificate handles are sealed for.
const CONTEXT: &str = "certificate";
/// First character of every handle, so that none begins with a hyphen, which shells read as an option.
const MARK: char = 'c';

/// A certificate as its owner downloads it.
#[derive(Debug, Clone)]
pub(crate) struct Download {
    pub(crate) owner: RegistrationId,
    /// Its chains in PEM, the default one first.
    pub(crate) chains: Arc<[String]>,
}

/// Makes the handle that a certificate's URL ends in. Some clients' tables hold 200 characters of
/// a URL, so the handle is packed.
pub(crate) fn seal(sealer: &Sealer, certificate: &CertificateId) -> String {
    format!("{MARK}{}", sealer.seal(CONTEXT, &pack(certificate)))
}

/// The chains of a certificate for its owner.
pub(crate) async fn download(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    handle: &str,
    now: Timestamp,
) -> Result<Arc<[String]>, Error> {
    let opened = handle.strip_prefix(MARK).and_then(|sealed| app.sealer.open(CONTEXT, sealed));
    let id = opened.as_deref().and_then(unpack).ok_or_else(|| Error::not_found("certificate"))?;
    let found = match app.downloads.get(&id) {
        Some(found) => found,
        None => fetch(app, endpoint, &id, now).await?,
    };
    if found.owner == *account { Ok(found.chains) } else { Err(Error::not_yours("certificate")) }
}

async fn fetch(app: &App, endpoint: &Endpoint, id: &CertificateId, now: Timestamp) -> Result<Download, Error> {
    let found = app.cm.certificate(&endpoint.realm, id).await?.ok_or_else(|| Error::not_found("certificate"))?;
    let mut chains: Vec<_> = found.chains.iter().collect();
    chains.sort_by_key(|chain| !chain.is_default);
    let checked =
        chains.into_iter().map(|chain| certificate::recheck(chain.pem.as_bytes(), &found.claims, &app.anchors, now));
    let checked: Vec<_> = checked.filter_map(Result::ok).collect();
    if checked.is_empty() {
        return Err(Error::internal(anyhow::anyhow!("the CM sent no good chain for certificate {id}")));
    }
    let download = Download { owner: found.registration, chains: checked.into() };
    app.downloads.keep(id.clone(), download.clone());
    Ok(download)
}

/// Key identifier and serial as octets where the id is made of them, else its text.
fn pack(id: &CertificateId) -> Vec<u8> {
    let parts = id.as_str().split_once('.').and_then(|(authority, serial)| {
        let (authority, serial) = (base64url::decode(authority).ok()?, base64url::decode(serial).ok()?);
        Some((u8::try_from(authority.len()).ok().filter(|length| *length > 0)?, authority, serial))
    });
    match parts {
        Some((length, authority, serial)) => [&[length], authority.as_slice(), &serial].concat(),
        None => [&[0], id.as_str().as_bytes()].concat(),
    }
}

fn unpack(octets: &[u8]) -> Option<CertificateId> {
    let text = match octets.split_first()? {
        (0, text) => String::from_utf8(text.to_vec()).ok()?,
        (length, rest) => {
            let (authority, serial) = rest.split_at_checked(usize::from(*length))?;
            format!("{}.{}", base64url::encode(authority), base64url::encode(serial))
        }
    };
    CertificateId::parse(&text).ok()
}

/// Certificates that were issued or downloaded lately: most clients download right after finalize,
/// and the CM need not be asked for what it just said.
pub(crate) struct Downloads(Recent<CertificateId, Download>);

impl Default for Downloads {
    fn default() -> Self {
        const MOST: usize = 4096;
        Self(Recent::new(MOST))
    }
}

impl Downloads {
    pub(crate) fn get(&self, id: &CertificateId) -> Option<Download> {
        self.0.get(id)
    }

    pub(crate) fn keep(&self, id: CertificateId, download: Download) {
        self.0.keep(id, download);
    }

    pub(crate) fn forget_all(&self) {
        self.0.forget_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_certificate_id_go_into_a_handle_and_back() {
        let by_digest = format!("sha256-{}", "0".repeat(64));
        for text in ["H7DK09vx8N9sqX9XzokOmQ2YyCY.L-ITZvnF--QXqGeTLnlC4gFxjHA", &by_digest] {
            let id = CertificateId::parse(text).unwrap();
            assert_eq!(unpack(&pack(&id)), Some(id));
        }
        assert_eq!(unpack(&[]), None);
        assert_eq!(unpack(&[9, 1]), None);
    }
}
