//! What the CM offers: profiles and issuers of each realm, read now and then and kept.
//!
//! Orders are judged by it, and directories are made from it. It changes rarely, and the CM judges
//! again, so an old catalogue is better than none while the CM is away.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, RwLock},
};

use acme::{
    csr::Csr,
    ids::{IssuerName, ProfileName, RealmName},
    profile::Profile,
};
use cm_connector::{CertificateManager, CmError};
use store::ProfileTerms;

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
}

impl Offer {
    /// What a profile that is offered says about the certificate for this CSR; `None` if it is not offered.
    pub(crate) fn terms(&self, name: &ProfileName, csr: &Csr) -> Option<ProfileTerms> {
        let profile = self.profiles.iter().find(|profile| profile.name == *name)?;
        Some(self.terms_of(profile, csr))
    }

    /// The same of one of its profiles.
    pub(crate) fn terms_of(&self, profile: &Profile, csr: &Csr) -> ProfileTerms {
        let issuer = self.issuers.get(&profile.issuer);
        ProfileTerms {
            issuer_key_ids: issuer.and_then(|issuer| issuer.subject_key_id.clone()).into_iter().collect(),
            validity_max: profile.validity_max,
            must_staple: profile.must_staple.is_due(csr.asks_must_staple()),
        }
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
        realms.insert(realm.clone(), Arc::new(Offer { profiles, issuers }));
        Ok(())
    }
}
