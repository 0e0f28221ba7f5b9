//! The gateway's own server certificate, from the CM by one of the gateway's own endpoints, if the settings say so
//! ([ADR 21](../../../docs/adr/0021-the-gateway-is-a-client-of-itself.md)).
//!
//! To the endpoint and to the CM this is an account like any other: an officer sees it and can suspend it, and the CM
//! verifies its signatures. What comes back is put into a file only when clients would accept it, and comes into use
//! as every renewed certificate does (`cli/serve/reload.rs`).

mod challenge;
mod client;
mod files;
mod loopback;
mod schedule;
mod session;
mod signing;
mod soundness;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use acme::{certificate::CertificateId, identifier::Identifier};
use anyhow::Context as _;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
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

/// Makes what the listener needs before it listens.
pub(crate) fn prepare(settings: &Settings) -> anyhow::Result<()> {
    let own = &settings.server_certificate;
    if own.from_endpoint.is_none() { Ok(()) } else { Files::of(own).prepare(&settings.server_names()) }
}

/// Obtains and renews it, for ever. `installed` is told when another file is there.
pub(crate) async fn keep(current: Current, challenges: Arc<Challenges>, installed: Arc<Notify>) {
    let mut keeper = Keeper { challenges, installed, failed: 0, drawn: None };
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
        let Some(reason) = self.reason(&app, &endpoint, &names, held.as_ref()).await else { return LOOK_EVERY };
        tracing::info!(reason, endpoint = %endpoint.name, names = names.join(", "), "asking for a server certificate");
        // A certificate that was replaced before cannot be replaced again, so only the first try says what it replaces.
        let replaces = held.as_ref().filter(|_| self.failed == 0).map(|held| held.id.clone());
        match self.obtain(app, endpoint, names, replaces).await {
            Ok(Progress::Installed) => {
                tracing::info!("there is another server certificate");
                self.failed = 0;
                self.installed.notify_one();
                LOOK_EVERY
            }
            Ok(Progress::Waiting) => {
                tracing::info!("the order for the server certificate waits for a decision of the CM");
                WAITING_EVERY
            }
            Err(error) => self.failure(&error, held.as_ref()),
        }
    }

    /// Why it is time, if it is.
    async fn reason(
        &mut self,
        app: &App,
        endpoint: &Endpoint,
        names: &[String],
        held: Option<&Held>,
    ) -> Option<&'static str> {
        let Some(held) = held else { return Some("there is none") };
        let wanted: Option<BTreeSet<_>> = names.iter().map(|name| Identifier::parse_dns(name).ok()).collect();
        if wanted.is_some_and(|wanted| wanted != held.names) {
            return Some("it is for other names");
        }
        let dice = match &self.drawn {
            Some((id, dice)) if *id == held.id => *dice,
            Some(_) | None => random::between(0.0, 1.0),
        };
        self.drawn = Some((held.id.clone(), dice));
        let asker = Asker::Address(IpAddr::V4(Ipv4Addr::LOCALHOST), Purpose::RenewalInfo);
        // Without a word of the CM its life decides.
        let window = renewal_info::look_up(app, endpoint, &held.id, asker).await.ok();
        let window = window.map(|info| (info.start, info.end));
        (schedule::renew_at(held.validity, window, dice) <= clock::now()).then_some("it is to be renewed")
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
