//! What every request and every worker shares, and how it is put together.
//!
//! An [`App`] never changes. Other settings make another one that shares everything but what the
//! settings say, and [`Current`] is where the newest is found
//! ([ADR 17](../../docs/adr/0017-settings-are-exchanged-whole.md)).

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use acme::{
    ids::{EndpointName, ProfileName, RealmName},
    time::Timestamp,
};
use cm_connector::{CertificateManager, cached::CachedRegistrations};
use store::Store;
use validation::Validator;

use crate::{
    audit::Trail,
    cm_condition::CmCondition,
    http::links::Links,
    limits::Limits,
    nonce::Nonces,
    ra::{catalogue::Catalogue, certificate::Downloads, renewal_info::RenewalInfos},
    seal::Sealer,
    settings::{self, Compatibility, Mode, Settings},
    telemetry::metrics::Metrics,
    workers::{Waiters, Wake},
};

/// The shared parts, behind an `Arc`. Whoever has one sees the same settings to the end of what he does.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) settings: Arc<Settings>,
    pub(crate) endpoints: BTreeMap<EndpointName, Arc<Endpoint>>,
    pub(crate) store: Store,
    pub(crate) audit: Arc<Trail>,
    pub(crate) cm: Arc<dyn CertificateManager>,
    pub(crate) cm_condition: Arc<CmCondition>,
    pub(crate) registrations: Arc<CachedRegistrations>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) downloads: Arc<Downloads>,
    pub(crate) renewal_infos: Arc<RenewalInfos>,
    /// Roots that issued certificates must chain to, in DER.
    pub(crate) anchors: Vec<Vec<u8>>,
    pub(crate) validator: Validator,
    pub(crate) nonces: Arc<Nonces>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) metrics: Arc<Metrics>,
    /// Told when there is new work for the workers.
    pub(crate) wake: Arc<Wake>,
    /// Finalize requests that wait for their certificate.
    pub(crate) waiters: Arc<Waiters>,
}

/// The App of this moment. A request and a job take it once, at their beginning; clones of this are
/// one place.
#[derive(Clone)]
pub(crate) struct Current(Arc<RwLock<Arc<App>>>);

impl Current {
    pub(crate) fn app(&self) -> Arc<App> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What begins from now on begins with this App; what is under way keeps its own.
    pub(crate) fn exchange(&self, app: App) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(app);
    }
}

/// An App that nobody has exchanged yet.
impl From<Arc<App>> for Current {
    fn from(app: Arc<App>) -> Self {
        Self(Arc::new(RwLock::new(app)))
    }
}

impl App {
    /// Until when a record that ends at this time is remembered.
    pub(crate) fn keep_until(&self, end: Timestamp) -> Timestamp {
        end.plus(days(self.settings.store.keep_after_end_days))
    }

    /// Until when an order that got its certificate at this time is remembered, if it expires then.
    pub(crate) fn keep_issued_until(&self, issued: Timestamp, expires: Timestamp) -> Timestamp {
        issued.plus(days(self.settings.store.keep_issued_days)).max(self.keep_until(expires))
    }
}

const fn days(days: u32) -> Duration {
    const DAY_SECS: u64 = 24 * 60 * 60;
    Duration::from_secs(days as u64 * DAY_SECS)
}

/// One ACME directory.
pub(crate) struct Endpoint {
    pub(crate) name: EndpointName,
    pub(crate) realm: RealmName,
    pub(crate) mode: Mode,
    pub(crate) profile: Option<ProfileName>,
    pub(crate) challenges: Vec<acme::challenge::ChallengeKind>,
    /// How much CAA records count where the profile leaves it open.
    pub(crate) caa: acme::caa::Weight,
    /// Oldest proof of control that a new order rests on; zero for none.
    pub(crate) authorization_reuse: Duration,
    pub(crate) pre_authorization: bool,
    pub(crate) terms_of_service: Option<String>,
    /// From when on an agreement counts.
    pub(crate) terms_of_service_since: Option<Timestamp>,
    pub(crate) website: Option<String>,
    pub(crate) compatibility: Compatibility,
    pub(crate) links: Links,
}

impl Endpoint {
    /// The endpoints that the settings name. A realm that is not named is called like its endpoint.
    pub(crate) fn all(settings: &Settings) -> anyhow::Result<BTreeMap<EndpointName, Arc<Self>>> {
        let make = |(name, endpoint): (&EndpointName, &settings::Endpoint)| {
            let realm = match &endpoint.realm {
                Some(realm) => realm.clone(),
                None => RealmName::parse(name.as_str())?,
            };
            let made = Self {
                name: name.clone(),
                realm,
                mode: endpoint.mode,
                profile: endpoint.profile.clone(),
                challenges: endpoint.challenges.clone(),
                caa: endpoint.caa,
                authorization_reuse: Duration::from_secs(endpoint.authorization_reuse_secs.into()),
                pre_authorization: endpoint.pre_authorization,
                terms_of_service: endpoint.terms_of_service.clone(),
                terms_of_service_since: endpoint.terms_of_service_since,
                website: endpoint.website.clone(),
                compatibility: endpoint.compatibility.clone(),
                links: Links::new(settings.server.external_url.as_str(), name),
            };
            Ok((name.clone(), Arc::new(made)))
        };
        settings.endpoints.iter().map(make).collect()
    }
}
