//! `acme-gateway serve`: puts the parts together and runs them until it is told to stop.
//!
//! Read it from top to bottom: it is the only place that knows all parts.

use std::{
    net::{IpAddr, ToSocketAddrs as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use acme::ids::RealmName;
use anyhow::{Context as _, bail};
use cm_connector::{
    CertificateManager, CmError,
    cached::{self, CachedRegistrations},
    rest::{self, RestCertificateManager},
};
use ipnet::IpNet;
use store::{Store, backend};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use validation::Validator;

use super::{check_config::check_files, tls};
use crate::{
    app::{App, Endpoint},
    clock, http,
    limits::Limits,
    nonce::Nonces,
    ra::{catalogue::Catalogue, certificate::Downloads, renewal_info::RenewalInfos},
    seal::Sealer,
    settings::{self, Settings},
    telemetry::{logging, metrics::Metrics},
    workers::{self, Runner, Waiters, Wake},
};

/// Where the CM's API begins (CM contract section 3).
const CM_API: &str = "/cm/v1";

/// Serves until SIGTERM or SIGINT.
pub(super) fn run(config: &Path) -> anyhow::Result<()> {
    let settings = settings::load(config)?;
    logging::start(&settings.log)?;
    check_files(&settings)?;
    for danger in settings.dangers() {
        tracing::warn!("{danger}");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let cm = connect(&settings)?;
    let app = Arc::new(assemble(settings, Arc::new(cm.clone()))?);
    introduce(&app).await?;

    // Work that an earlier process left behind is taken up before anyone is served.
    let (tls_sender, tls) = watch::channel(tls::server_config(&app.settings.server)?);
    let mut background = JoinSet::new();
    background.spawn(Runner::new(app.clone()).run());
    background.spawn(workers::sweep(app.clone()));
    background.spawn(workers::keep_audit(app.clone()));
    background.spawn(workers::keep_catalogue(app.clone()));
    background.spawn(renew_identities(app.clone(), cm, tls_sender));

    let ops = http::ops::listen(&app, app.settings.ops.listen)?;
    let server = http::listen::listen(&app, tls)?;
    let (handle, ops_handle) = (server.handle(), ops.handle());
    let (server, ops) = (tokio::spawn(server), tokio::spawn(ops));
    for endpoint in app.endpoints.values() {
        tracing::info!(directory = endpoint.links.directory(), realm = %endpoint.realm, "serving");
    }
    let stopped = tokio::select! {
        told = told_to_stop() => told,
        // Without its background work this process cannot keep what it promises.
        Some(ended) = background.join_next() => Err(anyhow::anyhow!("background work has ended: {ended:?}")),
    };
    tracing::info!("stopping; requests in flight may finish");
    handle.stop(true).await;
    ops_handle.stop(false).await;
    server.await??;
    ops.await??;
    if let Err(error) = app.nonces.hand_over(&app.settings.store.dir, clock::now()) {
        tracing::warn!(error = format!("{error:#}"), "the next process will not know the nonces of this one");
    }
    stopped
}

fn assemble(settings: Settings, cm: Arc<dyn CertificateManager>) -> anyhow::Result<App> {
    let metrics = Metrics::new()?;
    let store = open_store(&settings, &metrics)?;
    let registrations = CachedRegistrations::new(
        cm.clone(),
        cached::Limits {
            fresh: settings.cm.registration_cache.duration(),
            stale_if_unavailable: settings.cm.registration_stale.duration(),
            ..cached::Limits::default()
        },
    );
    Ok(App {
        endpoints: Endpoint::all(&settings)?,
        store,
        registrations,
        cm,
        catalogue: Catalogue::default(),
        downloads: Downloads::default(),
        renewal_infos: RenewalInfos::default(),
        anchors: tls::anchors(&settings.cm.issuer_roots_file)?,
        validator: validator(&settings)?,
        limits: Limits::new(&settings.limits, &metrics),
        nonces: Nonces::resume(&settings.store.dir, clock::now())?,
        sealer: Sealer::from_file(&settings.secrets.seal_key_file)?,
        metrics,
        wake: Wake::default(),
        waiters: Waiters::default(),
        settings,
    })
}

/// A store that cannot be opened is moved aside: what is in it are orders in flight, and their
/// clients start again.
fn open_store(settings: &Settings, metrics: &Metrics) -> anyhow::Result<Store> {
    const MIB: u64 = 1024 * 1024;
    let ballast_octets = u64::from(settings.store.ballast_mib) * MIB;
    let options = backend::Options { ballast_octets, ..backend::Options::default() };
    let opened = backend::open(&settings.store.dir, &options)
        .with_context(|| format!("store.dir: cannot open the store in {}", settings.store.dir.display()))?;
    if let Some(aside) = opened.quarantined {
        tracing::error!(moved_to = %aside.display(),
            "ALARM: the store was damaged and was moved aside; orders in flight are lost, accounts and certificates are not");
        metrics.store_quarantined.set(1);
    }
    Ok(Store::new(Arc::new(opened.backend)))
}

fn connect(settings: &Settings) -> anyhow::Result<RestCertificateManager> {
    Ok(RestCertificateManager::new(rest::Settings {
        base_url: format!("{}{CM_API}", settings.cm.url.trim_end_matches('/')),
        ca_file: settings.cm.ca_file.clone(),
        certificate_file: settings.cm.certificate_file.clone(),
        key_file: settings.cm.key_file.clone(),
    })?)
}

/// Renewed certificates come into use without a restart, and no connection to the CM gets old.
/// What cannot be used is told and changes nothing.
async fn renew_identities(app: Arc<App>, cm: RestCertificateManager, tls: watch::Sender<Arc<rustls::ServerConfig>>) {
    const EVERY: Duration = Duration::from_secs(600);
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = cm.reload().await {
            tracing::error!(%error, "cannot renew the connection to the CM; the old credentials stay in use");
        }
        match tls::server_config(&app.settings.server) {
            Ok(config) => drop(tls.send_replace(config)),
            Err(error) => tracing::error!(error = format!("{error:#}"), "the server certificate stays as it is"),
        }
    }
}

fn validator(settings: &Settings) -> anyhow::Result<Validator> {
    let validation = &settings.validation;
    let contact = validation.contact_url.as_deref().unwrap_or("no contact configured");
    Ok(Validator::new(validation::Settings {
        resolvers: validation.resolvers.clone(),
        dns_timeout: validation.dns_timeout.duration(),
        http_port: validation.http_port,
        https_port: validation.https_port,
        tls_port: validation.tls_port,
        allow: validation.allow.clone(),
        public_addresses: validation.public_addresses,
        never: never_dialled(settings)?,
        danger_allow_loopback: validation.danger_allow_loopback,
        dial_timeout: validation.dial_timeout.duration(),
        attempt_timeout: validation.attempt_timeout.duration(),
        redirects_max: validation.redirects_max,
        user_agent: format!("acme-gateway/{} (domain validation; {contact})", env!("CARGO_PKG_VERSION")),
        ..validation::Settings::default()
    })?)
}

/// This host and the CM are never dialled for validation, whoever's name points at them. Loopback
/// has a rule of its own, so that a demonstration on one host can lift it.
fn never_dialled(settings: &Settings) -> anyhow::Result<Vec<IpNet>> {
    let own = if_addrs::get_if_addrs().context("cannot list the addresses of this host")?;
    let cm = cm_addresses(&settings.cm.url);
    let found = own.into_iter().map(|interface| interface.ip()).chain(cm).filter(|address| !address.is_loopback());
    Ok(settings.validation.never.iter().copied().chain(found.map(IpNet::from)).collect())
}

/// A CM whose name does not resolve now is not known by address; its network can be listed in
/// `validation.never`.
fn cm_addresses(url: &str) -> Vec<IpAddr> {
    const HTTPS: u16 = 443;
    let Ok(uri) = url.parse::<::http::Uri>() else { return Vec::new() };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    match (host, uri.port_u16().unwrap_or(HTTPS)).to_socket_addrs() {
        Ok(addresses) => addresses.map(|address| address.ip()).collect(),
        Err(error) => {
            tracing::warn!(host, error = %error, "the CM's name does not resolve; add its network to validation.never");
            Vec::new()
        }
    }
}

/// Who are we to the CM? A wrong role or realm is a mistake of the settings and ends the start; a
/// CM that is away is not.
async fn introduce(app: &App) -> anyhow::Result<()> {
    let realms: Vec<RealmName> = app.endpoints.values().map(|endpoint| endpoint.realm.clone()).collect();
    match app.cm.check_identity(&realms).await {
        Ok(identity) => {
            tracing::info!(name = identity.name, product = identity.product, "known to the CM");
            Ok(())
        }
        Err(error @ CmError::Unavailable { .. }) => {
            tracing::warn!(error = %error, "the CM cannot be reached; serving what can be served without it");
            Ok(())
        }
        Err(error) => bail!(
            "the CM does not accept this gateway: {error}; check cm.certificate_file and the realms of the endpoints"
        ),
    }
}

async fn told_to_stop() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
