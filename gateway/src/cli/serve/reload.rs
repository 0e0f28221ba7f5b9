//! What comes into use without a restart: renewed certificates and roots as soon as their files have
//! changed, settings when SIGHUP asks for it. What cannot be used is told, and changes nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use acme::{certificate::Validity, time::Timestamp};
use anyhow::Context as _;
use rustls::ServerConfig;
use tokio::{
    signal::unix::Signal,
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    cm::Cm,
    expiry::Expiries,
    introduce, validator,
    watched::{Look, Watch},
};
use crate::{
    app::{App, Current, Endpoint},
    audit::{self, Event, Fingerprints},
    cli::tls::{self, CM, Pairs, SERVER, SERVER_RSA},
    clock, server_certificate,
    server_certificate::Challenges,
    settings,
    settings::Settings,
    telemetry::logging::{self, Level},
};

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A connection to the CM gets no older than this (CM contract section 6).
const CM_EVERY: Duration = Duration::from_secs(600);
/// What settings are called in metrics.
const SETTINGS: &str = "settings";
/// Settings that name files which are read when the name changes.
const SERVER_FILES: [&str; 2] = ["server.certificate_file", "server.key_file"];
const SERVER_RSA_FILES: [&str; 2] = ["server.rsa_certificate_file", "server.rsa_key_file"];
const ISSUER_ROOTS_FILE: &str = "cm.issuer_roots_file";

/// Files that come into use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What clients see of us.
    Server,
    /// What clients see that know nothing but RSA, if there is such a pair.
    ServerRsa,
    /// What the CM sees of us, and how we know it.
    Cm,
    IssuerRoots,
}

impl Part {
    const ALL: [Self; 4] = [Self::Server, Self::ServerRsa, Self::Cm, Self::IssuerRoots];

    /// What it is called in log lines and metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Server => SERVER,
            Self::ServerRsa => SERVER_RSA,
            Self::Cm => CM,
            Self::IssuerRoots => "issuer_roots",
        }
    }

    fn look(self, settings: &Settings) -> Look {
        let cm = tls::cm_identity(&settings.cm);
        match self {
            Self::Server => {
                let server = tls::server_identity(settings);
                Look::at([&*server.certificate, &*server.key])
            }
            Self::ServerRsa => {
                let rsa = tls::rsa_identity(settings);
                Look::at(rsa.iter().flat_map(|identity| [&*identity.certificate, &*identity.key]))
            }
            Self::Cm => Look::at([&*cm.certificate, &*cm.key, settings.cm.ca_file.as_path()]),
            Self::IssuerRoots => Look::at([settings.cm.issuer_roots_file.as_path()]),
        }
    }
}

/// Everything that can be read again.
pub(super) struct Reload {
    file: PathBuf,
    current: Current,
    cm: Cm,
    cm_renewed: Instant,
    tls: watch::Sender<Arc<ServerConfig>>,
    /// What clients see.
    pairs: Pairs,
    own: OwnCertificate,
    expiries: Expiries,
    level: Level,
    watches: [(Part, Watch); 4],
}

/// What whoever keeps the gateway's own certificate has a hand in.
#[derive(Clone, Default)]
pub(super) struct OwnCertificate {
    /// Shown by the listener.
    pub(super) challenges: Arc<Challenges>,
    /// Told when there is another certificate.
    pub(super) installed: Arc<Notify>,
}

/// The files as they are before anything of them is read.
pub(super) struct Before([(Part, Watch); 4]);

impl Before {
    pub(super) fn of(settings: &Settings) -> Self {
        Self(Part::ALL.map(|part| (part, Watch::new(part.look(settings)))))
    }
}

impl Reload {
    /// From the settings' file, and the looks at the files that were taken before they were read.
    pub(super) fn new(
        file: &Path,
        before: Before,
        level: Level,
        current: Current,
        cm: Cm,
        (tls, pairs): (watch::Sender<Arc<ServerConfig>>, Pairs),
        own: OwnCertificate,
    ) -> Self {
        let (file, cm_renewed, watches) = (file.to_owned(), Instant::now(), before.0);
        let expiries = Expiries::default();
        let mut reload = Self { file, current, cm, cm_renewed, tls, pairs, own, expiries, level, watches };
        reload.begin_server();
        let app = reload.current.app();
        if let Ok(validity) = tls::cm_identity(&app.settings.cm).validity() {
            reload.begin(CM, validity);
        }
        reload
    }

    /// Looks for what has changed, for ever; `asked` is SIGHUP.
    pub(super) async fn keep_up(mut self, mut asked: Signal) {
        let installed = Arc::clone(&self.own.installed);
        // So that what was exchanged between two processes shows.
        for part in Part::ALL {
            tell_loaded(part, &self.current.app()).await;
        }
        loop {
            self.expiries.tell(clock::now());
            tokio::select! {
                () = installed.notified() => self.look_at_files(false).await,
                Some(()) = asked.recv() => {
                    self.read_settings().await;
                    self.look_at_files(true).await;
                }
                () = tokio::time::sleep(LOOK_EVERY) => self.look_at_files(false).await,
            }
        }
    }

    async fn look_at_files(&mut self, asked: bool) {
        for index in 0..self.watches.len() {
            let app = self.current.app();
            let Some((part, watch)) = self.watches.get(index) else { return };
            let (part, look) = (*part, part.look(&app.settings));
            let is_due = watch.is_due(&look);
            let is_old = part == Part::Cm && self.cm_renewed.elapsed() >= CM_EVERY;
            // Whoever asks need not hear of files that nobody has named.
            let is_asked = asked && look.has_files();
            if !is_due && !is_old && !is_asked {
                continue;
            }
            let outcome = self.read(part, &app, clock::now()).await;
            let Some((_, watch)) = self.watches.get_mut(index) else { return };
            match outcome {
                Ok(()) => {
                    watch.succeeded(look);
                    if is_due {
                        tell_loaded(part, &self.current.app()).await;
                        tracing::info!(of = part.name(), "certificates were read again and are in use");
                    }
                    // Last, so that whoever waits for it finds the rest told. Asking for what has not changed counts too.
                    if is_due || asked {
                        app.metrics.reloaded(part.name(), true);
                    }
                }
                Err(error) if !is_due && !asked => {
                    // The files are as they were: it is only that connections should not get old.
                    self.cm_renewed = Instant::now();
                    tracing::warn!(
                        reason = format!("{error:#}"),
                        "cannot renew the connections to the CM; they stay in use"
                    );
                }
                Err(error) => {
                    let reason = format!("{error:#}");
                    if watch.failed(&reason, asked) {
                        app.metrics.reloaded(part.name(), false);
                        let event = Event::IdentityRefused { of: part.name(), why: &reason };
                        audit::record(&app, clock::now(), &event).await;
                        tracing::error!(
                            of = part.name(),
                            reason,
                            "ALARM: changed files cannot be used; what was read before stays in use"
                        );
                    }
                }
            }
        }
    }

    /// Reads the files of one part and puts them into use, all or nothing.
    async fn read(&mut self, part: Part, app: &App, now: Timestamp) -> anyhow::Result<()> {
        match part {
            Part::Server => {
                let mut pairs = self.pairs.clone();
                pairs.exchange_first(&app.settings, now)?;
                self.show(app, pairs)?;
            }
            Part::ServerRsa => {
                let mut pairs = self.pairs.clone();
                pairs.exchange_rsa(&app.settings, now)?;
                self.show(app, pairs)?;
            }
            Part::Cm => {
                let validity = tls::cm_identity(&app.settings.cm).require_valid(now)?;
                let realms: Vec<_> = app.endpoints.values().map(|endpoint| endpoint.realm.clone()).collect();
                self.cm.reload(&realms).await.map_err(|error| anyhow::anyhow!("cm.{error}"))?;
                self.cm_renewed = Instant::now();
                self.begin(CM, validity);
            }
            Part::IssuerRoots => {
                let anchors = tls::anchors(&app.settings.cm.issuer_roots_file)?;
                self.current.exchange(App { anchors, ..app.clone() });
            }
        }
        Ok(())
    }

    /// Lets clients see other pairs.
    fn show(&mut self, app: &App, pairs: Pairs) -> anyhow::Result<()> {
        self.tls.send_replace(pairs.config(&app.settings, &self.own.challenges)?);
        self.pairs = pairs;
        self.begin_server();
        Ok(())
    }

    /// To be called when clients see other pairs.
    fn begin_server(&mut self) {
        let app = self.current.app();
        let is_awaited = server_certificate::is_awaited(&app.settings);
        let validities: Vec<_> = self.pairs.validities().collect();
        if validities.iter().all(|(name, _)| *name != SERVER_RSA) {
            self.expiries.end(SERVER_RSA);
            app.metrics.identity_gone(SERVER_RSA);
        }
        for (name, validity) in validities {
            if name != SERVER || !is_awaited {
                self.begin(name, validity);
            }
        }
    }

    /// A certificate of this gateway is in use.
    fn begin(&mut self, identity: &'static str, validity: Validity) {
        self.current.app().metrics.identity_in_use(identity, validity);
        self.expiries.begin(identity, validity);
    }

    async fn read_settings(&mut self) {
        let metrics = Arc::clone(&self.current.app().metrics);
        let outcome = self.exchange_settings().await;
        metrics.reloaded(SETTINGS, outcome.is_ok());
        if let Err(error) = outcome {
            let event = Event::SettingsRefused { why: format!("{error:#}") };
            audit::record(&self.current.app(), clock::now(), &event).await;
            tracing::error!(
                reason = format!("{error:#}"),
                "ALARM: the settings were read again and are refused; those before stay in force"
            );
        }
    }

    /// All or nothing: everything that can be refused comes before anything is changed.
    async fn exchange_settings(&mut self) -> anyhow::Result<()> {
        let running = self.current.app();
        let settings::Reloaded { settings, changed, waiting } = settings::reload(&self.file, &running.settings)?;
        let filter = logging::filter(&settings.log)?;
        let is_changed = |name: &&str| changed.iter().any(|changed| changed == name);
        // Files whose names did not change are looked at by themselves.
        let (mut pairs, now) = (self.pairs.clone(), clock::now());
        if SERVER_FILES.iter().any(is_changed) {
            pairs.exchange_first(&settings, now)?;
        }
        if SERVER_RSA_FILES.iter().any(is_changed) {
            pairs.exchange_rsa(&settings, now)?;
        }
        let server = pairs.config(&settings, &self.own.challenges)?;
        let anchors = if is_changed(&ISSUER_ROOTS_FILE) {
            tls::anchors(&settings.cm.issuer_roots_file)?
        } else {
            running.anchors.clone()
        };
        let app = {
            let running = Arc::clone(&running);
            tokio::task::spawn_blocking(move || adapted(&running, settings, anchors)).await.context("settings")??
        };
        let is_new = |endpoint: &&Arc<Endpoint>| running.endpoints.values().all(|old| old.realm != endpoint.realm);
        let strangers: Vec<_> = app.endpoints.values().filter(is_new).cloned().collect();
        if !strangers.is_empty() {
            introduce(&app).await?;
        }
        for endpoint in strangers {
            // What cannot be read now is read by and by.
            let _by_and_by = app.catalogue.refresh(app.cm.as_ref(), &endpoint.realm).await;
        }

        self.level.change(filter)?;
        for danger in app.settings.dangers() {
            tracing::warn!("{danger}");
        }
        self.current.exchange(app);
        self.tls.send_replace(server);
        self.pairs = pairs;
        self.begin_server();
        for setting in &waiting {
            tracing::warn!(setting, "this setting was changed and needs a restart; its value before stays in force");
        }
        let app = self.current.app();
        let event = Event::SettingsLoaded { changed: &changed, waiting: &waiting, digest: app.settings.digest() };
        audit::record(&app, now, &event).await;
        tracing::info!(changed = changed.join(", "), "the settings were read again and are in force");
        Ok(())
    }
}

/// Tells auditors which certificates are shown and trusted now.
async fn tell_loaded(part: Part, app: &App) {
    let settings = &app.settings;
    let (shown, trusted) = match part {
        Part::Server => (Fingerprints::of_file(&tls::server_identity(settings).certificate), None),
        Part::ServerRsa => (tls::rsa_identity(settings).and_then(|rsa| Fingerprints::of_file(&rsa.certificate)), None),
        Part::Cm => (
            Fingerprints::of_file(&tls::cm_identity(&settings.cm).certificate),
            Fingerprints::of_file(&settings.cm.ca_file),
        ),
        Part::IssuerRoots => (None, Some(Fingerprints::of(&app.anchors))),
    };
    // Not every gateway has each of them, or has it yet.
    if shown.is_some() || trusted.is_some() {
        let event = Event::IdentityLoaded { of: part.name(), shown, trusted };
        audit::record(app, clock::now(), &event).await;
    }
}

/// The running App under other settings.
fn adapted(running: &App, settings: Settings, anchors: Vec<Vec<u8>>) -> anyhow::Result<App> {
    Ok(App {
        endpoints: Endpoint::all(&settings)?,
        validator: validator::validator(&settings)?,
        limits: Arc::new(running.limits.changed(&settings.limits, &running.metrics)),
        anchors,
        settings: Arc::new(settings),
        ..running.clone()
    })
}
