//! The gateway's own server certificate, from the CM by one of the gateway's own endpoints, if the settings say so
//! ([ADR 21](../../../docs/adr/0021-the-gateway-is-a-client-of-itself.md)).
//!
//! To the endpoint and to the CM this is an account like any other: an officer sees it and can suspend it, and the CM
//! verifies its signatures. What comes back is put into a file only when clients would accept it, and comes into use
//! as every renewed certificate does (`cli/serve/reload.rs`).

mod challenge;
mod client;
mod files;
pub(crate) mod loopback;
mod schedule;
pub(crate) mod session;
pub(crate) mod signing;
pub(crate) mod soundness;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use acme::{certificate::CertificateId, identifier::Identifier, time::Timestamp};
use anyhow::Context as _;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

pub(crate) use self::{challenge::Challenges, files::Files};
use self::{
    client::{Client, Progress},
    files::Held,
    schedule::Failure,
    session::ObtainError,
};
use crate::{
    app::{App, Current, Endpoint},
    clock,
    limits::{Asker, Purpose},
    ra::renewal_info,
    random,
    settings::Settings,
};

/// Between two looks at whether it is time. What an officer has revoked is replaced that soon.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at an order that waits for a decision of the CM.
const WAITING_EVERY: Duration = Duration::from_secs(60);
/// The longest that one try may take.
const TRY_MAX: Duration = Duration::from_secs(300);

/// Whether there is to be a certificate by the CM, and there is none yet.
pub(crate) fn is_awaited(settings: &Settings) -> bool {
    let own = &settings.server_certificate;
    own.from_endpoint.is_some() && Files::of(own).is_awaited()
}

/// That what the CM issued last can be shown to clients, if anything. What cannot be is moved aside at the start.
pub(crate) fn require_usable(settings: &Settings) -> anyhow::Result<()> {
    let own = &settings.server_certificate;
    if own.from_endpoint.is_none() { Ok(()) } else { Files::of(own).require_usable() }
}

/// Makes what the listener needs before it listens.
pub(crate) fn prepare(settings: &Settings) -> anyhow::Result<()> {
    let own = &settings.server_certificate;
    if own.from_endpoint.is_none() { Ok(()) } else { Files::of(own).prepare(&settings.server_names()) }
}

/// Obtains and renews it, for ever. `installed` is told when another file is there.
pub(crate) async fn keep(current: Current, challenges: Arc<Challenges>, installed: Arc<Notify>) {
    let mut keeper = Keeper { challenges, installed, failed: 0, drawn: None, useless: 0, rest: None };
    loop {
        let pause = keeper.look(current.app()).await;
        sleep(pause).await;
    }
}

struct Keeper {
    challenges: Arc<Challenges>,
    installed: Arc<Notify>,
    /// Tries in a row that came to nothing.
    failed: u32,
    /// Where in its window a certificate is renewed.
    drawn: Option<(CertificateId, f64)>,
    /// Certificates in a row that were of no use.
    useless: u32,
    rest: Option<Rest>,
}

/// When the CM wants a certificate renewed: from, to.
type Window = (Timestamp, Timestamp);

/// After a certificate came no other is asked for at once: the next may be no better.
struct Rest {
    until: Instant,
    is_useless: bool,
    names: Vec<String>,
    /// As it was first seen.
    window: Option<Window>,
}

impl Rest {
    /// Whether nothing has happened since that cannot wait: other names, an earlier window of the CM (it was revoked),
    /// a file that is gone.
    fn holds(&mut self, names: &[String], is_there: bool, window: Option<Window>) -> bool {
        let is_earlier = self.window.zip(window).is_some_and(|(first, now)| now.0 < first.0);
        self.window = self.window.or(window);
        Instant::now() < self.until && self.names == names && (is_there || self.is_useless) && !is_earlier
    }
}

impl Keeper {
    /// Asks for a certificate if it is time; how long to wait until the next look.
    async fn look(&mut self, app: Arc<App>) -> Duration {
        let own = &app.settings.server_certificate;
        let Some(endpoint) = own.from_endpoint.as_ref().and_then(|name| app.endpoints.get(name)).cloned() else {
            return LOOK_EVERY;
        };
        let names = app.settings.server_names();
        let held = Files::of(own).held().unwrap_or_else(|error| {
            tracing::error!(
                reason = format!("{error:#}"),
                "ALARM: the server certificate cannot be read; another is asked for"
            );
            None
        });
        let window = self.window(&app, &endpoint, held.as_ref()).await;
        let reason = self.reason(&names, held.as_ref(), window);
        let rests = self.rest.as_mut().is_some_and(|rest| rest.holds(&names, held.is_some(), window));
        let Some(reason) = reason.filter(|_| !rests) else { return LOOK_EVERY };
        tracing::info!(reason, endpoint = %endpoint.name, names = names.join(", "), "asking for a server certificate");
        // A certificate that was replaced before cannot be replaced again, so only the first try says what it replaces.
        let replaces = held.as_ref().filter(|_| self.failed == 0).map(|held| held.id.clone());
        match self.obtain(Arc::clone(&app), Arc::clone(&endpoint), names.clone(), replaces).await {
            Ok(Progress::Installed) => {
                tracing::info!("there is another server certificate");
                self.failed = 0;
                self.installed.notify_one();
                self.rest_after(&app, &endpoint, names).await;
                LOOK_EVERY
            }
            Ok(Progress::Waiting) => {
                tracing::info!("the order for the server certificate waits for a decision of the CM");
                WAITING_EVERY
            }
            Err(error) => self.failure(&error, held.as_ref()),
        }
    }

    /// When the CM wants it renewed. Without a word of the CM its life decides.
    async fn window(&self, app: &App, endpoint: &Endpoint, held: Option<&Held>) -> Option<Window> {
        let asker = Asker::Address(IpAddr::V4(Ipv4Addr::LOCALHOST), Purpose::RenewalInfo);
        let info = renewal_info::look_up(app, endpoint, &held?.id, asker).await.ok()?;
        Some((info.start, info.end))
    }

    /// Why it is time, if it is.
    fn reason(&mut self, names: &[String], held: Option<&Held>, window: Option<Window>) -> Option<&'static str> {
        let Some(held) = held else { return Some("there is none") };
        let wanted: Option<BTreeSet<_>> = names.iter().map(|name| Identifier::parse_dns(name).ok()).collect();
        if wanted.is_some_and(|wanted| wanted != held.names) {
            return Some("it is for other names");
        }
        (self.renew_at(held, window) <= clock::now()).then_some("it is to be renewed")
    }

    fn renew_at(&mut self, held: &Held, window: Option<Window>) -> Timestamp {
        let dice = match &self.drawn {
            Some((id, dice)) if *id == held.id => *dice,
            Some(_) | None => random::between(0.0, 1.0),
        };
        self.drawn = Some((held.id.clone(), dice));
        schedule::renew_at(held.validity, window, dice)
    }

    /// Sees whether the certificate that has just come is of any use, and how long no other is asked for.
    async fn rest_after(&mut self, app: &App, endpoint: &Endpoint, names: Vec<String>) {
        let held = Files::of(&app.settings.server_certificate).held().ok().flatten();
        let window = self.window(app, endpoint, held.as_ref()).await;
        let is_wanted = self.reason(&names, held.as_ref(), window).is_none();
        let useful = held.filter(|_| is_wanted).filter(|held| {
            let due_in = self.renew_at(held, window).since(clock::now());
            !schedule::is_too_soon(due_in)
        });
        let is_useless = useful.is_none();
        let pause = if let Some(held) = useful {
            self.useless = 0;
            schedule::rest(held.validity)
        } else {
            self.useless = self.useless.saturating_add(1);
            let pause = schedule::rest_after_useless(self.useless, random::between(0.0, 1.0));
            tracing::error!(
                retry_secs = pause.as_secs(),
                "ALARM: the server certificate that came is to be renewed at once; see the validity and the renewal \
                 window that the CM gives to this account's certificates"
            );
            pause
        };
        self.rest = Some(Rest { until: Instant::now() + pause, is_useless, names, window });
    }

    /// One try, whose panic would be its own.
    async fn obtain(
        &self,
        app: Arc<App>,
        endpoint: Arc<Endpoint>,
        names: Vec<String>,
        replaces: Option<CertificateId>,
    ) -> Result<Progress, ObtainError> {
        let challenges = Arc::clone(&self.challenges);
        let attempt = tokio::spawn(async move {
            let files = Files::of(&app.settings.server_certificate);
            let client = Client { app: &app, endpoint: &endpoint, names: &names, files, challenges: &challenges };
            timeout(TRY_MAX, client.obtain(replaces.as_ref())).await.context("it took too long")?
        });
        attempt.await.context("the try has ended in a panic")?
    }

    fn failure(&mut self, error: &ObtainError, held: Option<&Held>) -> Duration {
        self.failed = self.failed.saturating_add(1);
        let (failure, reason) = match error {
            ObtainError::Refused { reason, .. } => (Failure::Refused, reason.clone()),
            ObtainError::Failed(error) => (Failure::Away, format!("{error:#}")),
        };
        let pause = schedule::pause(failure, self.failed, random::between(0.0, 1.0));
        let retry_secs = pause.as_secs();
        match held {
            Some(held) if schedule::is_late(held.validity, clock::now()) => tracing::error!(
                reason, retry_secs, expires = %held.validity.not_after,
                "ALARM: the server certificate is not renewed, and less than a quarter of its life is left"
            ),
            Some(_) => tracing::warn!(reason, retry_secs, "the server certificate is not renewed yet"),
            None => tracing::warn!(
                reason,
                retry_secs,
                "there is no server certificate yet; clients see one that nobody vouches for"
            ),
        }
        pause
    }
}
