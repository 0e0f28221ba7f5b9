//! What the CM offers: profiles and issuers of each realm, read now and then and kept.
//!
//! Orders are judged by it, and directories are made from it. It changes rarely, and the CM judges
//! again, so an old catalogue is better than none while the CM is away.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, RwLock},
};

use acme::{
    ids::{IssuerName, ProfileName, RealmName},
    profile::Profile,
};
use cm_connector::{CertificateManager, CmError};

use super::Error;

/// Profiles and issuers by realm.
#[derive(Default)]
pub(crate) struct Catalogue {
    realms: RwLock<HashMap<RealmName, Arc<Offer>>>,
}

/// What one realm offers.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) profiles: Vec<Profile>,
    /// Subject key identifier and CAA names of each issuer that a profile names.
    pub(crate) issuers: HashMap<IssuerName, cm_connector::Issuer>,
    /// Profiles that were offered before, with their issuers: what was finalized under one of them is
    /// still held to it.
    withdrawn: Vec<(Profile, Option<cm_connector::Issuer>)>,
}

/// Most withdrawn profiles that are remembered, the latest.
const WITHDRAWN_MAX: usize = 100;

impl Offer {
    /// A profile that is offered or was, and its issuer.
    pub(crate) fn ever(&self, name: &ProfileName) -> Option<(&Profile, Option<&cm_connector::Issuer>)> {
        let now = self.profiles.iter().find(|profile| profile.name == *name);
        let now = now.map(|profile| (profile, self.issuers.get(&profile.issuer)));
        now.or_else(|| {
            let before = self.withdrawn.iter().rfind(|(profile, _)| profile.name == *name)?;
            Some((&before.0, before.1.as_ref()))
        })
    }

    /// What was offered, with what is not any more.
    fn withdrawn_by(&self, profiles: &[Profile]) -> Vec<(Profile, Option<cm_connector::Issuer>)> {
        let offered = |name: &ProfileName| profiles.iter().any(|profile| profile.name == *name);
        let issuer = |profile: &Profile| self.issuers.get(&profile.issuer).cloned();
        let before = self.withdrawn.iter().filter(|(profile, _)| !offered(&profile.name)).cloned();
        let just_now = self.profiles.iter().filter(|profile| !offered(&profile.name));
        let mut all: Vec<_> = before.chain(just_now.map(|profile| (profile.clone(), issuer(profile)))).collect();
        let too_many = all.len().saturating_sub(WITHDRAWN_MAX);
        all.drain(..too_many);
        all
    }

    /// The names by which CAA and dns-persist-01 records know the realm's issuers, in lower case,
    /// each once.
    pub(crate) fn caa_identities(&self) -> Vec<String> {
        Self::names_of(self.issuers.values())
    }

    /// The same of some of them.
    pub(crate) fn names_of<'a>(issuers: impl IntoIterator<Item = &'a cm_connector::Issuer>) -> Vec<String> {
        let names = issuers.into_iter().flat_map(|issuer| &issuer.caa_identities);
        let names: BTreeSet<_> = names.map(|name| name.to_ascii_lowercase()).collect();
        names.into_iter().collect()
    }
}

impl Catalogue {
    /// What a realm offers, as far as it was ever read.
    pub(crate) fn offer(&self, realm: &RealmName) -> Result<Arc<Offer>, Error> {
        let realms = self.realms.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        realms.get(realm).cloned().ok_or_else(|| {
            Error::unavailable(
                "the certificate authority behind this server has not been reached yet; try again later",
                None,
            )
        })
    }

    /// Reads what a realm offers.
    pub(crate) async fn refresh(&self, cm: &dyn CertificateManager, realm: &RealmName) -> Result<(), CmError> {
        let profiles = cm.profiles(realm).await?;
        let mut issuers = HashMap::new();
        for profile in &profiles {
            if !issuers.contains_key(&profile.issuer) {
                issuers.insert(profile.issuer.clone(), cm.issuer(&profile.issuer).await?);
            }
        }
        let mut realms = self.realms.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let withdrawn = realms.get(realm).map(|before| before.withdrawn_by(&profiles)).unwrap_or_default();
        realms.insert(realm.clone(), Arc::new(Offer { profiles, issuers, withdrawn }));
        Ok(())
    }
}
