//! When a certificate should be renewed (RFC 9773). The CM decides; here it is remembered for a
//! while, because every client asks several times a day and anybody may ask.

use std::time::Duration;

use acme::{
    certificate::CertificateId,
    ids::RealmName,
    problem::{Problem, ProblemKind},
};
use cm_connector::{CmError, RenewalInfo};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{Error, Refusal, recent::Recent};
use crate::{
    app::{App, Endpoint},
    limits::Asker,
};

/// Certificates remembered, and ids that the CM does not know.
const KNOWN_MAX: usize = 10_000;
const UNKNOWN_MAX: usize = 1_000;
/// How long an answer is believed at most, so that a revocation in the CM is soon seen here.
const FRESH_MAX: Duration = Duration::from_secs(600);
/// How long the CM is believed not to know a certificate.
const UNKNOWN_FRESH: Duration = Duration::from_secs(60);
/// How long an answer is used while the CM is away. Most windows last longer.
const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Questions to the CM at a time: strangers ask these, and accounts need the CM too.
const ASKING_MAX: usize = 2;
/// How long one waits for its turn to ask.
const TURN_MAX: Duration = Duration::from_secs(5);
/// When to ask again if everybody asks at once.
const CROWDED_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Renewal information that was asked for lately.
pub(crate) struct RenewalInfos {
    known: Recent<(RealmName, CertificateId), Known>,
    unknown: Recent<(RealmName, CertificateId), Instant>,
    asking: Semaphore,
}

#[derive(Clone)]
struct Known {
    info: RenewalInfo,
    read_at: Instant,
}

impl Default for RenewalInfos {
    fn default() -> Self {
        Self { known: Recent::new(KNOWN_MAX), unknown: Recent::new(UNKNOWN_MAX), asking: Semaphore::new(ASKING_MAX) }
    }
}

impl RenewalInfos {
    /// Asks the CM next time: something has changed.
    pub(crate) fn forget(&self, realm: &RealmName, certificate: &CertificateId) {
        let wanted = (realm.clone(), certificate.clone());
        self.known.forget(&wanted);
        self.unknown.forget(&wanted);
    }

    /// Asks the CM next time, whatever it is about.
    pub(crate) fn forget_all(&self) {
        self.known.forget_all();
        self.unknown.forget_all();
    }

    /// What need not be asked again; `Some(None)` for a certificate that the CM does not know.
    fn fresh(&self, wanted: &(RealmName, CertificateId)) -> Option<Option<RenewalInfo>> {
        let known = self.known.get(wanted).filter(|known| known.read_at.elapsed() < fresh_for(&known.info));
        let unknown = || self.unknown.get(wanted).filter(|read_at| read_at.elapsed() < UNKNOWN_FRESH);
        known.map(|known| Some(known.info)).or_else(|| unknown().map(|_| None))
    }

    fn stale(&self, wanted: &(RealmName, CertificateId)) -> Option<RenewalInfo> {
        self.known.get(wanted).filter(|known| known.read_at.elapsed() < STALE_MAX).map(|known| known.info)
    }

    fn keep(&self, wanted: (RealmName, CertificateId), found: Option<RenewalInfo>) {
        let read_at = Instant::now();
        match found {
            Some(info) => self.known.keep(wanted, Known { info, read_at }),
            None => {
                self.known.forget(&wanted);
                self.unknown.keep(wanted, read_at);
            }
        }
    }
}

/// How long an answer is believed: as long as the CM says, within bounds.
pub(crate) fn fresh_for(info: &RenewalInfo) -> Duration {
    info.retry_after.unwrap_or(FRESH_MAX).min(FRESH_MAX)
}

/// When a certificate should be renewed. While the CM is away its last word holds for a day.
///
/// Ids can be made up: those that the CM does not know are counted for whoever asks, and he is refused
/// before he takes a turn from others.
pub(crate) async fn look_up(
    app: &App,
    endpoint: &Endpoint,
    certificate: &CertificateId,
    asker: Asker<'_>,
) -> Result<RenewalInfo, Error> {
    let wanted = (endpoint.realm.clone(), certificate.clone());
    let found = match app.renewal_infos.fresh(&wanted) {
        Some(found) => found,
        None => ask(app, wanted, asker).await?,
    };
    found.ok_or_else(|| Error::not_found("certificate"))
}

async fn ask(app: &App, wanted: (RealmName, CertificateId), asker: Asker<'_>) -> Result<Option<RenewalInfo>, Error> {
    let infos = &app.renewal_infos;
    // What was once known is not made up.
    let is_known = infos.known.get(&wanted).is_some();
    let require_left = || if is_known { Ok(()) } else { app.limits.may_ask_for_unknown(asker) };
    require_left()?;
    let Ok(Ok(_turn)) = timeout(TURN_MAX, infos.asking.acquire()).await else {
        return infos.stale(&wanted).map(Some).ok_or_else(crowded);
    };
    // Whoever had the turn before may have asked the same.
    if let Some(found) = infos.fresh(&wanted) {
        return Ok(found);
    }
    // Of many who waited the first may have spent all that was left.
    require_left()?;
    match app.cm.renewal_info(&wanted.0, &wanted.1).await {
        Ok(found) => {
            if found.is_none() {
                app.limits.was_unknown(asker);
            }
            infos.keep(wanted, found.clone());
            Ok(found)
        }
        Err(away @ (CmError::Unavailable { .. } | CmError::RateLimited { .. })) => {
            infos.stale(&wanted).map(Some).ok_or_else(|| away.into())
        }
        Err(error) => Err(error.into()),
    }
}

fn crowded() -> Error {
    let problem =
        Problem::new(ProblemKind::Unavailable, "too many clients ask for renewal information; try again later");
    Error::Refused(Box::new(Refusal {
        problem,
        retry_after: Some(CROWDED_RETRY_AFTER),
        terms_of_service: None,
        transcript: None,
    }))
}

#[cfg(test)]
mod tests;
