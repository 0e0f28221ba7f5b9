//! `acme-gateway serve`: puts the parts together and runs them until it is told to stop.
//!
//! Read it from top to bottom: it is the only place that knows all parts.

pub(super) mod cm;
mod expiry;
mod readiness;
mod reload;
mod validator;
mod watched;

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use self::{
    cm::Cm,
    readiness::State,
    reload::{OwnCertificate, Reload},
    validator::validator,
};
use super::{
    VERSION,
    check_config::check_files,
    tls::{self, Pairs},
};
use crate::{
    admin::{self, Listener},
    app::{App, Current, Endpoint},
    audit::{self, Trail, checkpoint::Keys},
    clock,
    cm_condition::CmCondition,
    http,
    limits::Limits,
    nonce::Nonces,
    ra::{catalogue::Catalogue, certificate::Downloads, profile_stop, renewal_info::RenewalInfos},
    seal::{self, Sealer},
    server_certificate,
    settings::{self, Settings},
    telemetry::{
        logging::{self, Level},
        metrics::Metrics,
    },
    workers::{self, Runner, Waiters, Wake},
};
use acme::ids::RealmName;
use anyhow::{Context as _, bail};
use cm_connector::{
    CmError,
    cached::{self, CachedRegistrations},
};
use store::{Aside, RecordSeal, Store, backend};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// For threads that are in the middle of a write to the disk when everything else has ended.
const SHUTDOWN: Duration = Duration::from_secs(1);
/// For audit events of what was done while everything else ended.
const LAST_AUDIT: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT; the second one ends it at once.
pub(super) fn run(config: &Path) -> anyhow::Result<()> {
    let settings = settings::load(config)?;
    let level = logging::start(&settings.log)?;
    check_files(&settings)?;
    if let Err(error) = http::open_files::raise_limit() {
        tracing::warn!(%error, "no more files can be open than this process began with");
    }
    for danger in settings.dangers() {
        tracing::warn!("{danger}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(config, level, settings));
    // Whatever still runs is somewhere between two commits, where it may end.
    runtime.shutdown_timeout(SHUTDOWN);
    outcome
}

async fn serve(config: &Path, level: Level, settings: Settings) -> anyhow::Result<()> {
    // Before anything is read or waited for: SIGHUP would end a process that does not listen to it.
    let asked_to_reload = signal(SignalKind::hangup())?;
    server_certificate::prepare(&settings)?;
    let before = reload::Before::of(&settings);
    let cm = Cm::new(&settings.cm)?;
    let app = Arc::new(assemble(settings, &cm).await?);
    app.metrics.listen_to(&app.store, app.cm.as_ref());
    let current = Current::from(app.clone());
    introduce(&app).await?;
    // What cannot be written is told, and tried again; until then nothing is issued.
    let _told = audit::drain(&app).await;

    // Work that an earlier process left behind is taken up before anyone is served.
    let own = OwnCertificate::default();
    let pairs = Pairs::read(&app.settings)?;
    let (tls_sender, tls) = watch::channel(pairs.config(&app.settings, &own.challenges)?);
    let runner = Runner::new(current.clone());
    let reload = Reload::new(config, before, level, current.clone(), cm, (tls_sender, pairs), own.clone());
    let mut background = JoinSet::new();
    background.spawn(runner.clone().run());
    background.spawn(workers::sweep(app.clone()));
    background.spawn(workers::keep_audit(app.clone()));
    background.spawn(workers::keep_catalogue(current.clone()));
    background.spawn(workers::follow_events(current.clone()));
    background.spawn(workers::watch_cm(current.clone()));
    background.spawn(workers::watch_backlog(current.clone()));
    background.spawn(reload.keep_up(asked_to_reload));
    profile_stop::show(&app).await?;
    background.spawn(Listener::bind(&admin::socket(&app.settings))?.run(current.clone()));

    let stopping = http::ops::Stopping::default();
    let ops = http::ops::listen(&current, app.settings.ops.listen, &stopping)?;
    let server = http::listen::listen(&current, tls)?;
    if app.settings.server_certificate.from_endpoint.is_some() {
        background.spawn(server_certificate::keep(current.clone(), own.challenges, own.installed));
    }
    let (handle, ops_handle) = (server.handle(), ops.handle());
    let (server, ops) = (tokio::spawn(server), tokio::spawn(ops));
    for endpoint in app.endpoints.values() {
        tracing::info!(directory = endpoint.links.directory(), realm = %endpoint.realm, version = VERSION, "serving");
    }
    let mut stop = Stop::new()?;
    readiness::tell(State::Ready);
    let stopped = tokio::select! {
        () = stop.told() => Ok(()),
        // Without its background work this process cannot keep what it promises.
        Some(ended) = background.join_next() => Err(anyhow::anyhow!("background work has ended: {ended:?}")),
    };

    // Requests in flight and jobs under way may finish, within bounds. Whatever is left is in the
    // store, and the next process goes on with it.
    stopping.store(true, Ordering::Relaxed);
    readiness::tell(State::Stopping);
    let rest = async {
        if stopped.is_ok() && app.settings.server.drain_secs > 0 {
            let drain_secs = app.settings.server.drain_secs;
            tracing::info!(drain_secs, "told to stop; serving on while balancers notice");
            sleep(Duration::from_secs(drain_secs.into())).await;
        }
        tracing::info!("stopping; what is under way may finish");
        app.waiters.close();
        background.shutdown().await;
        let patience = app.settings.server.shutdown_timeout.duration();
        let (jobs, ()) = tokio::join!(timeout(patience, runner.idle()), handle.stop(true));
        if jobs.is_err() {
            tracing::info!("jobs under way are left to the next process");
        }
        audit::drain_all(&app, LAST_AUDIT).await;
        ops_handle.stop(false).await;
    };
    tokio::select! {
        () = rest => {}
        () = stop.told() => bail!("told twice to stop: what is under way is left to the next process"),
    }
    server.await??;
    ops.await??;
    if let Err(error) = app.nonces.hand_over(&app.settings.store.dir, clock::now()) {
        tracing::warn!(error = format!("{error:#}"), "the next process will not know the nonces of this one");
    }
    stopped
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns when one of them has come.
    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn assemble(settings: Settings, cm: &Cm) -> anyhow::Result<App> {
    let metrics = Metrics::new()?;
    let seal_key = seal::key_from_file(&settings.secrets.seal_key_file)?;
    let audit = Trail::new(settings.audit_dir(), Keys::from_files(&settings.audit_key_file())?);
    let store = open_store(&settings, RecordSeal::derive(&seal_key)?, &metrics).await?;
    let lifetimes = cached::Limits {
        fresh: cm.registrations_fresh(&settings),
        stale_if_unavailable: settings.cm.registration_stale.duration(),
        ..cached::Limits::default()
    };
    let cm = cm.adapter();
    Ok(App {
        endpoints: Endpoint::all(&settings)?,
        store,
        audit: Arc::new(audit),
        registrations: Arc::new(CachedRegistrations::new(cm.clone(), lifetimes)),
        cm,
        cm_condition: Arc::new(CmCondition::default()),
        catalogue: Arc::new(Catalogue::default()),
        downloads: Arc::new(Downloads::default()),
        renewal_infos: Arc::new(RenewalInfos::default()),
        anchors: tls::anchors(&settings.cm.issuer_roots_file)?,
        validator: validator(&settings)?,
        limits: Arc::new(Limits::new(&settings.limits, &metrics)),
        nonces: Arc::new(Nonces::resume(&settings.store.dir, clock::now())?),
        sealer: Arc::new(Sealer::from_key(seal_key.expose_secret())?),
        metrics: Arc::new(metrics),
        wake: Arc::new(Wake::default()),
        waiters: Arc::new(Waiters::default()),
        settings: Arc::new(settings),
    })
}

/// A store that cannot be opened, or was sealed with another key, is moved aside. The clients of the orders in it start
/// again; that a profile was stopped, and what was to be revoked, somebody has to look up.
async fn open_store(settings: &Settings, seal: RecordSeal, metrics: &Metrics) -> anyhow::Result<Store> {
    const MIB: u64 = 1024 * 1024;
    let ballast_octets = u64::from(settings.store.ballast_mib) * MIB;
    let options = backend::Options { ballast_octets, ..backend::Options::default() };
    let opened = store::open(&settings.store.dir, &options, seal)
        .await
        .with_context(|| format!("store.dir: cannot open the store in {}", settings.store.dir.display()))?;
    match &opened.aside {
        Some(Aside::Damaged(moved_to)) => tracing::error!(moved_to = %moved_to.display(),
            "ALARM: the store was damaged and was moved aside; orders in flight, revocations that the CM has not confirmed and stops of \
             profiles are lost, accounts and certificates are not; see in the log before this whether a profile was \
             stopped or a revocation not confirmed"),
        Some(Aside::OtherKey(moved_to)) => tracing::error!(moved_to = %moved_to.display(),
            seal_key_file = %settings.secrets.seal_key_file.display(),
            "ALARM: the store was sealed with another key than the one in secrets.seal_key_file and was moved aside; orders in \
             flight, revocations that the CM has not confirmed and stops of profiles are lost, accounts and certificates are not; if \
             the right key can be found, stop, put both back and start again; else see in the log before this whether a profile was \
             stopped or a revocation not confirmed"),
        None => {}
    }
    metrics.store_quarantined.set(i64::from(opened.aside.is_some()));
    Ok(opened.store)
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
