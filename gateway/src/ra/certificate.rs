//! Certificates: their sealed URLs, and downloading them (RFC 8555 §7.4.2).
//!
//! A certificate URL carries the CM's name of the certificate and the account, sealed. So every
//! certificate ever issued can be downloaded again from the CM, whatever became of our store.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use acme::{
    certificate::{self, CertificateId},
    ids::RegistrationId,
    time::Timestamp,
};

use super::Error;
use crate::{
    app::{App, Endpoint},
    seal::Sealer,
};

/// What sealed certificate handles are sealed for.
const CONTEXT: &str = "certificate";

/// The chains of one certificate in PEM, the default one first.
pub(crate) type ChainList = Arc<[String]>;

/// Makes the handle that a certificate's URL ends in.
pub(crate) fn seal(sealer: &Sealer, certificate: &CertificateId, account: &RegistrationId) -> String {
    sealer.seal(CONTEXT, format!("{certificate} {account}").as_bytes())
}

/// The chains of a certificate for its owner.
pub(crate) async fn download(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    handle: &str,
    now: Timestamp,
) -> Result<ChainList, Error> {
    let opened = app.sealer.open(CONTEXT, handle).and_then(|value| String::from_utf8(value).ok());
    let parts = opened.as_deref().and_then(|value| value.split_once(' '));
    let (id, owner) = parts.ok_or_else(|| Error::not_found("certificate"))?;
    if owner != account.as_str() {
        return Err(Error::not_yours("certificate"));
    }
    let id = CertificateId::parse(id).map_err(Error::internal)?;
    match app.chains.get(&id) {
        Some(chains) => Ok(chains),
        None => fetch(app, endpoint, account, &id, now).await,
    }
}

async fn fetch(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    id: &CertificateId,
    now: Timestamp,
) -> Result<ChainList, Error> {
    let found = app.cm.certificate(&endpoint.realm, id).await?.ok_or_else(|| Error::not_found("certificate"))?;
    if found.registration != *account {
        return Err(Error::not_yours("certificate"));
    }
    let mut chains: Vec<_> = found.chains.iter().collect();
    chains.sort_by_key(|chain| !chain.is_default);
    let checked =
        chains.into_iter().map(|chain| certificate::recheck(chain.pem.as_bytes(), &found.claims, &app.anchors, now));
    let checked: Vec<_> = checked.filter_map(Result::ok).collect();
    if checked.is_empty() {
        return Err(Error::internal(anyhow::anyhow!("the CM sent no good chain for certificate {id}")));
    }
    let chains: ChainList = checked.into();
    app.chains.keep(id.clone(), chains.clone());
    Ok(chains)
}

/// Chains of certificates that were issued or downloaded lately: most clients download right after
/// finalize, and the CM need not be asked for what it just said.
#[derive(Default)]
pub(crate) struct Chains {
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    chains: HashMap<CertificateId, ChainList>,
    order: VecDeque<CertificateId>,
}

impl Chains {
    /// Certificates remembered.
    const MOST: usize = 4096;

    pub(crate) fn get(&self, id: &CertificateId) -> Option<ChainList> {
        self.lock().chains.get(id).cloned()
    }

    pub(crate) fn keep(&self, id: CertificateId, chains: ChainList) {
        let mut recent = self.lock();
        if recent.chains.insert(id.clone(), chains).is_none() {
            recent.order.push_back(id);
        }
        while recent.order.len() > Self::MOST {
            if let Some(oldest) = recent.order.pop_front() {
                recent.chains.remove(&oldest);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
