//! A gateway in the process of a test: everything but HTTP, on a store in memory and a scripted
//! Certificate Manager, so that faults can be put exactly where they hurt.
//!
//! Compiled for tests only. Most tests run on tokio's paused clock, where waiting costs nothing;
//! due times of jobs go by the wall clock, so jobs are run by calling their workers.

pub(crate) mod authority;
mod certificate_manager;
mod disk;
mod feed;
mod script;
mod web;

use std::{future::Future, net::Ipv4Addr, sync::Arc, time::Duration};

use acme::{
    account_key::PublicKey,
    authorization::{Authorization, Response},
    caa::{CaaEvidence, CaaResult},
    challenge::{Evidence, KeyAuthorization},
    csr::Csr,
    ids::{AuthorizationId, EndpointName, JobId, OrderId},
    order::{Order, OrderStatus},
    problem::Problem,
    registration::{AccountKeyRecord, AllowedIdentifiers, Registration, RegistrationStatus},
    secret::Secret,
    time::Timestamp,
    wire::order::{IdentifierText, NewOrder},
};
use cm_connector::{
    Client, Jws, Proof,
    cached::{CachedRegistrations, Limits},
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use store::{Commit, Job, RecordSeal, SECRET_OCTETS, Store, Stored};
use validation::Validator;

pub(crate) use certificate_manager::{ScriptedCm, away};
pub(crate) use disk::{Disk, Moment};
pub(crate) use script::{Fault, Flaw, Operation, Ruling};
pub(crate) use web::Web;

use crate::{
    app::{App, Endpoint},
    audit::{
        Asked, Trail,
        checkpoint::{Keys, SigningKey},
    },
    clock,
    cm_condition::CmCondition,
    limits,
    nonce::Nonces,
    ra::{self, Error, catalogue::Catalogue, certificate::Downloads, order::OrderView, renewal_info::RenewalInfos},
    random,
    seal::Sealer,
    settings,
    telemetry::metrics::Metrics,
    workers::{Waiters, Wake},
};

/// What every test gateway is told; the rest are the defaults.
const SETTINGS: &str = "
    server.external_url = 'https://acme.example.com'
    cm.url = 'https://cm.example.net:9443'
    validation.danger_allow_loopback = true
    [endpoints.open]
    mode = 'open'
    [endpoints.registered]
    [endpoints.terms]
    mode = 'open'
    terms_of_service = 'https://example.com/terms'
    [endpoints.web]
    mode = 'open'
    profile = 'short'
    challenges = ['http-01']
    [endpoints.lenient]
    mode = 'open'
    compatibility = ['inactive-account-403']
";

/// A gateway and what it stands on.
pub(crate) struct Gateway {
    pub(crate) app: Arc<App>,
    pub(crate) cm: Arc<ScriptedCm>,
    pub(crate) disk: Arc<Disk>,
    settings: String,
}

impl Gateway {
    /// A gateway that has read what the CM offers.
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// As [`Gateway::new`], with settings of its own: lines of TOML with dotted keys.
    pub(crate) async fn with(own: &str) -> Self {
        let (cm, disk) = (Arc::new(ScriptedCm::new()), Arc::new(Disk::default()));
        let app = Arc::new(assemble(own, &cm, &disk));
        let gateway = Self { app, cm, disk, settings: own.to_owned() };
        gateway.read_catalogue().await;
        gateway
    }

    /// The gateway after a crash: what is on disk and in the CM is still there, and nothing else.
    pub(crate) fn restarted(&self) -> Self {
        let app = Arc::new(assemble(&self.settings, &self.cm, &self.disk));
        Self { app, cm: self.cm.clone(), disk: self.disk.clone(), settings: self.settings.clone() }
    }

    /// As [`Gateway::restarted`], when it has read what the CM offers.
    pub(crate) async fn restarted_with_catalogue(&self) -> Self {
        let restarted = self.restarted();
        restarted.read_catalogue().await;
        restarted
    }

    async fn read_catalogue(&self) {
        for endpoint in self.app.endpoints.values() {
            self.app.catalogue.refresh(self.app.cm.as_ref(), &endpoint.realm).await.unwrap();
        }
    }

    pub(crate) fn endpoint(&self, name: &str) -> Arc<Endpoint> {
        self.app.endpoints[&EndpointName::parse(name).unwrap()].clone()
    }

    /// An active registration that may ask for every name, with a key of its own.
    pub(crate) fn registration(&self) -> Registration {
        let registration = new_registration(new_key());
        self.cm.put(registration.clone());
        registration
    }

    /// A new order at the open endpoint.
    pub(crate) async fn order(&self, registration: &Registration, names: &[&str]) -> Result<OrderView, Error> {
        let endpoint = self.endpoint("open");
        ra::order::create(&self.app, &endpoint, registration, (&new_order(names), None), clock::now()).await
    }

    /// An order whose authorizations are all valid.
    pub(crate) async fn ready_order(&self, registration: &Registration, names: &[&str]) -> OrderId {
        let view = self.order(registration, names).await.unwrap();
        self.ready_order_of(registration, view.order).await
    }

    /// Proves everything that this order still needs.
    pub(crate) async fn ready_order_of(&self, registration: &Registration, order: Order) -> OrderId {
        for id in &order.authorizations {
            self.prove(registration, id).await;
        }
        order.id
    }

    /// Proves control by the first challenge, unless it is proven.
    pub(crate) async fn prove(&self, registration: &Registration, id: &AuthorizationId) {
        let stored = self.app.store.authorization(id).await.unwrap().unwrap();
        if stored.value.proof().is_some() {
            return;
        }
        let evidence = Evidence {
            perspective: String::from("local"),
            source: String::from("198.51.100.7"),
            target: String::from("192.0.2.10:80"),
            at: clock::now(),
            caa: Some(caa_look(clock::now())),
            reusable_until: None,
        };
        let challenge = &stored.value.challenges[0];
        let looked_for = KeyAuthorization::new(&challenge.token, &registration.key.as_ref().unwrap().thumbprint);
        let response = stored.value.respond(challenge.kind, looked_for, clock::now());
        let Ok(Response::Started(started)) = response else { panic!("{response:?}") };
        let proven = started.record_valid(challenge.kind, evidence);
        let mut commit = Commit::new();
        commit.update_authorization(&stored, proven, self.app.keep_until(stored.value.expires));
        self.app.store.commit(commit).await.unwrap();
    }

    /// One attempt at the issuance of a finalized order.
    pub(crate) async fn run_issuance(&self, order: &OrderId) {
        let job = self.job(&Job::issuance_id(order)).await.expect("the order was finalized");
        crate::workers::issue(&self.app, job).await.unwrap();
    }

    /// Finalizes at the open endpoint.
    pub(crate) async fn finalize(
        &self,
        registration: &Registration,
        order: &OrderId,
        csr: Csr,
    ) -> Result<OrderView, Error> {
        let endpoint = self.endpoint("open");
        let request = ra::finalize::Request {
            order: order.clone(),
            csr_der: csr.der().to_vec(),
            client: client(),
            client_certificate: None,
            proof: proof(),
        };
        ra::finalize::finalize(&self.app, &endpoint, registration, &request, clock::now()).await
    }

    pub(crate) async fn order_now(&self, id: &OrderId) -> Order {
        self.app.store.order(id).await.unwrap().unwrap().value
    }

    pub(crate) async fn authorization_now(&self, id: &AuthorizationId) -> Authorization {
        self.app.store.authorization(id).await.unwrap().unwrap().value
    }

    pub(crate) async fn status(&self, id: &OrderId) -> OrderStatus {
        let order = self.order_now(id).await;
        let authorizations = self.app.store.authorizations(&order.authorizations).await.unwrap();
        let authorizations: Vec<_> = authorizations.into_iter().map(|stored| stored.value).collect();
        order.status(&authorizations, clock::now())
    }

    pub(crate) async fn job(&self, id: &JobId) -> Option<Stored<Job>> {
        self.app.store.job(id).await.unwrap()
    }

    /// All jobs, whenever they are due.
    pub(crate) async fn jobs(&self) -> Vec<Stored<Job>> {
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        self.app.store.due_jobs(clock::now().plus(YEAR), 1000).await.unwrap()
    }

    /// Makes a job that was put off due now.
    pub(crate) async fn make_due(&self, id: &JobId) {
        let job = self.job(id).await.unwrap();
        let mut commit = Commit::new();
        commit.update_job(&job, Job { due_at: clock::now(), ..job.value.clone() });
        self.app.store.commit(commit).await.unwrap();
    }

    /// What was written for auditors, by the name of the event.
    pub(crate) async fn audited(&self) -> Vec<String> {
        let entries = self.app.store.audit_entries(1000).await.unwrap();
        entries.iter().map(|entry| entry.body["event"].as_str().unwrap().to_owned()).collect()
    }
}

/// A look that found no CAA records; the scripted CM's issuer goes by no name.
pub(crate) fn caa_look(at: Timestamp) -> CaaEvidence {
    CaaEvidence { result: CaaResult::NoRecords, checked_at: at, identities: Vec::new() }
}

/// Runs something until it hangs, and lets the process die there: whether it did hang.
///
/// For the paused clock: the hour is over as soon as nothing else can happen.
pub(crate) async fn dies(work: impl Future) -> bool {
    tokio::time::timeout(Duration::from_secs(3600), work).await.is_err()
}

/// The problem that a client is told.
pub(crate) fn told<T>(outcome: Result<T, Error>) -> Problem {
    match outcome {
        Err(Error::Refused(refusal)) => refusal.problem,
        Err(other) => panic!("not a refusal: {other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

pub(crate) fn new_key() -> PublicKey {
    PublicKey::Ed25519 { x: random::octets() }
}

pub(crate) fn new_registration(key: PublicKey) -> Registration {
    Registration {
        id: random::id(),
        version: 1,
        status: RegistrationStatus::Active,
        key: Some(AccountKeyRecord { thumbprint: key.thumbprint(), key, since: None }),
        had_key: false,
        contacts: vec![String::from("mailto:admin@example.org")],
        terms_of_service_agreed_at: None,
        external_account: None,
        allowed_identifiers: AllowedIdentifiers::Any { exclude: Vec::new() },
        allowed_profiles: Vec::new(),
        validity_max: None,
        parent: None,
        realm: None,
        waivers: Vec::new(),
    }
}

/// What newOrder asks for; addresses are told by their look.
pub(crate) fn new_order(names: &[&str]) -> NewOrder {
    let identifier = |name: &&str| {
        let is_address = name.parse::<std::net::IpAddr>().is_ok();
        IdentifierText { kind: String::from(if is_address { "ip" } else { "dns" }), value: String::from(*name) }
    };
    NewOrder {
        identifiers: names.iter().map(identifier).collect(),
        not_before: None,
        not_after: None,
        profile: None,
        replaces: None,
    }
}

/// A CSR for these names by a new key.
pub(crate) fn new_csr(names: &[&str]) -> Csr {
    let names: Vec<_> = names.iter().map(|name| String::from(*name)).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    Csr::parse(params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
}

pub(crate) fn client() -> Client {
    Client { ip: Ipv4Addr::new(203, 0, 113, 9).into(), user_agent: None }
}

/// This account, from the address of [`client`].
pub(crate) fn asked(registration: &Registration) -> Asked<'_> {
    Asked { registration, client: Some(client().ip) }
}

fn jws() -> Jws {
    Jws { protected: String::from("e30"), payload: String::from("e30"), signature: String::from("AA") }
}

pub(crate) fn proof() -> Proof {
    Proof(jws())
}

/// The same at each start, or those in a test's own files.
fn audit_keys(settings: &settings::Settings) -> Keys {
    match &settings.audit.key_file {
        Some(path) => Keys::from_files(path).unwrap(),
        None => Keys { own: SigningKey::from_seed(&[7; SECRET_OCTETS]).unwrap(), previous: None },
    }
}

fn assemble(own: &str, cm: &Arc<ScriptedCm>, disk: &Arc<Disk>) -> App {
    let settings = settings::from_text(&format!("{own}\n{SETTINGS}")).unwrap();
    let validator = Validator::new(validation::Settings {
        resolvers: vec![(Ipv4Addr::LOCALHOST, 9).into()],
        http_port: settings.validation.http_port,
        tls_port: settings.validation.tls_port,
        danger_allow_loopback: settings.validation.danger_allow_loopback,
        ..validation::Settings::default()
    });
    let metrics = Metrics::new().unwrap();
    App {
        endpoints: Endpoint::all(&settings).unwrap(),
        store: Store::new(disk.clone(), RecordSeal::derive(&Secret::new([7; SECRET_OCTETS])).unwrap()),
        audit: Arc::new(Trail::new(settings.audit_dir(), audit_keys(&settings))),
        registrations: Arc::new(CachedRegistrations::new(cm.clone(), Limits::default())),
        cm_condition: Arc::new(CmCondition::default()),
        catalogue: Arc::new(Catalogue::default()),
        downloads: Arc::new(Downloads::default()),
        renewal_infos: Arc::new(RenewalInfos::default()),
        anchors: vec![cm.authority.root_der.clone(), cm.other.root_der.clone()],
        validator: validator.unwrap(),
        limits: Arc::new(limits::Limits::new(&settings.limits, &metrics)),
        nonces: Arc::new(Nonces::new().unwrap()),
        sealer: Arc::new(Sealer::ephemeral().unwrap()),
        metrics: Arc::new(metrics),
        wake: Arc::new(Wake::default()),
        waiters: Arc::new(Waiters::default()),
        cm: cm.clone(),
        settings: Arc::new(settings),
    }
}
