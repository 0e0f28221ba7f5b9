//! Profiles that are stopped because the CM returned a bad certificate, and realms because it returned a second one,
//! until an operator lifts it (CM contract sections 7 and 8).
//!
//! The stop is a record in the store, read whenever something is to be asked for by the profile: it
//! outlives a restart, and no memory of ours can forget it. It goes with the store: one that starts empty has no stops,
//! and the alarm about it says so. A record that cannot be read is a stop all the same.

use std::time::Duration;

use acme::{
    certificate::FailedCheck,
    ids::{CertificateRequestId, ProfileName, RealmName},
    order::Order,
    time::Timestamp,
};
use cm_connector::Certificate;
use store::{BadCertificate, Commit, ProfileStop, ReadError, Stopped};

use super::Error;
use crate::{
    app::App,
    audit::{self, Event},
};

/// When clients should ask again: a person has to look first.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// Bad certificates that are kept, the latest, and how long.
const KEPT_MAX: usize = 50;
const KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Longest chain that is kept, in octets.
const CHAIN_OCTETS_MAX: usize = 128 * 1024;

/// Whether nothing may be asked for by this profile: it is stopped, or all of its realm.
///
/// # Errors
/// [`ReadError`]: nobody knows, so nothing may be asked for.
pub(crate) async fn is_stopped(app: &App, realm: &RealmName, profile: &ProfileName) -> Result<bool, ReadError> {
    let of_profile = app.store.profile_stop(realm, Some(profile)).await?;
    Ok(of_profile.is_some() || app.store.profile_stop(realm, None).await?.is_some())
}

/// Refuses what would lead to a certificate by a profile that is stopped.
pub(crate) async fn require_none(app: &App, realm: &RealmName, profile: &ProfileName) -> Result<(), Error> {
    if is_stopped(app, realm, profile).await? {
        return Err(Error::unavailable(
            "certificates are not issued by this profile at the moment, and the operator of this server knows why; \
             try again later",
            Some(ASK_AGAIN),
        ));
    }
    Ok(())
}

/// Adds to a commit what follows from a bad certificate: the record of it and, if the failure is one
/// after which a CM must not go on, the stop of its profile. Whoever commits tells it with [`show`].
pub(crate) async fn record(
    app: &App,
    commit: &mut Commit,
    (realm, order): (&RealmName, &Order),
    (request, certificate): (Option<&CertificateRequestId>, &Certificate),
    failed: &[FailedCheck],
    now: Timestamp,
) -> Result<(), ReadError> {
    let bad = keep(app, commit, (realm, order), (request, certificate), failed, now).await?;
    let is_alarm = failed.iter().any(|failed| failed.check.is_alarm());
    let profile = Some(bad.profile.clone());
    // That all of the realm is stopped is another stop: lifting it does not lift this one.
    if is_alarm && app.store.profile_stop(realm, profile.as_ref()).await?.is_none() {
        stop(app, commit, bad, profile, now);
    }
    Ok(())
}

/// Adds to a commit what follows from a second certificate for one request: the record of it, and the stop of all the
/// realm, because a CM that does so does not know any more what it has issued.
pub(crate) async fn record_second(
    app: &App,
    commit: &mut Commit,
    (realm, order): (&RealmName, &Order),
    (request, certificate): (&CertificateRequestId, &Certificate),
    failed: &[FailedCheck],
    now: Timestamp,
) -> Result<(), ReadError> {
    let bad = keep(app, commit, (realm, order), (Some(request), certificate), failed, now).await?;
    if app.store.profile_stop(realm, None).await?.is_none() {
        stop(app, commit, bad, None, now);
    }
    Ok(())
}

/// Keeps a bad certificate, and forgets the oldest one for it.
async fn keep(
    app: &App,
    commit: &mut Commit,
    (realm, order): (&RealmName, &Order),
    (request, certificate): (Option<&CertificateRequestId>, &Certificate),
    failed: &[FailedCheck],
    now: Timestamp,
) -> Result<BadCertificate, ReadError> {
    let default = certificate.chains.iter().find(|chain| chain.is_default).or(certificate.chains.first());
    let mut chain_pem = default.map(|chain| chain.pem.clone()).unwrap_or_default();
    if chain_pem.len() > CHAIN_OCTETS_MAX {
        chain_pem = chain_pem.chars().filter(char::is_ascii).take(CHAIN_OCTETS_MAX).collect();
    }
    let bad = BadCertificate {
        at: now,
        realm: realm.clone(),
        profile: order.profile.clone(),
        order: order.id.clone(),
        request: request.cloned(),
        certificate: certificate.id.clone(),
        failed: failed.to_vec(),
        chain_pem,
    };
    commit.keep_bad_certificate(&bad, now.plus(KEPT));
    let kept = app.store.bad_certificates().await?;
    let too_many = kept.len().saturating_add(1).saturating_sub(KEPT_MAX);
    kept.iter().take(too_many).for_each(|oldest| commit.forget_bad_certificate(oldest));
    Ok(bad)
}

fn stop(app: &App, commit: &mut Commit, bad: BadCertificate, profile: Option<ProfileName>, now: Timestamp) {
    let BadCertificate { realm, order, certificate, failed, .. } = bad;
    let stop = ProfileStop { realm, profile, since: now, order, certificate, failed };
    audit::add(app, commit, now, &Event::ProfileStopped { stop: &stop });
    commit.stop_profile(&stop);
}

/// Shows operators which profiles are stopped; at start, and whenever that has changed.
pub(crate) async fn show(app: &App) -> Result<(), ReadError> {
    let stops = app.store.profile_stops().await?;
    app.metrics.forget_stopped_profiles();
    for Stopped { realm, profile, why, .. } in &stops {
        for endpoint in app.endpoints.values().filter(|endpoint| endpoint.realm == *realm) {
            app.metrics.profile_stopped(&endpoint.name, profile.as_ref());
        }
        let name = profile.as_ref().map_or("all", ProfileName::as_str);
        match why {
            Ok(stop) => tracing::error!(%realm, profile = name, since = %stop.since, order = %stop.order,
                certificate = %stop.certificate, failed = ?stop.failed,
                "ALARM: the profile is stopped, because the CM returned a certificate by it that is not the one asked for, or all \
                 profiles, because it returned a second one for a request; when the CM is in order again: acme-gateway profile \
                 resume REALM PROFILE, or without PROFILE for all"),
            Err(error) => tracing::error!(%realm, profile = name, %error,
                "ALARM: the profile is stopped, or all profiles, and the record that says why cannot be read; look in the audit \
                 log for profile.stopped; when the CM is in order: acme-gateway profile resume REALM PROFILE, or without PROFILE \
                 for all"),
        }
    }
    Ok(())
}

/// Lifts the stop of a profile, or without one that of the realm; `None` if it is not stopped. `by` is who did it.
pub(crate) async fn resume(
    app: &App,
    realm: &RealmName,
    profile: Option<&ProfileName>,
    by: &str,
    now: Timestamp,
) -> Result<Option<Stopped>, Error> {
    let Some(stop) = app.store.profile_stop(realm, profile).await? else { return Ok(None) };
    let mut commit = Commit::new();
    commit.resume_profile(&stop);
    audit::add(app, &mut commit, now, &Event::ProfileResumed { stop: &stop, by });
    // A conflict means that somebody else did it at the same moment; the operator sees that in the list.
    app.store.commit(commit).await?;
    let name = profile.map_or("all", ProfileName::as_str);
    tracing::warn!(%realm, profile = name, by, "the profile is used again");
    show(app).await?;
    app.wake.now();
    Ok(Some(stop))
}

#[cfg(test)]
mod tests;
