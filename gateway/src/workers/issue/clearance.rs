//! Whether a request may be sent to the CM, for the first time or again: one answer for both, because
//! until the CM has the request all that was given up or forbidden since finalize counts.

use std::time::Duration;

use acme::problem::Problem;

use super::{
    Issuance,
    ending::over,
    standing::{Grounds, refused_meanwhile},
    waiting::STOPPED_PAUSE,
};
use crate::{
    app::App,
    audit::{self, Act},
    clock,
    ra::profile_stop::is_stopped,
    transcript::{CaaLook, Entry, PutOff},
    workers::caa::{self, Standing},
};

/// Longest pause before the CM's clock is looked at again.
const CLOCK_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Before it is looked again whether the audit files can be written.
const AUDIT_PAUSE: Duration = Duration::from_secs(5);

/// Whether a request may be sent.
pub(super) enum Clearance {
    /// It may, now, as long as it rests on this.
    Granted(Grounds),
    /// Not before this time has gone by.
    NotNow(PutOff, Duration),
    /// Never; the order ends.
    Refused(Problem),
}

/// Judges a request that the CM does not have. The looks at CAA that this takes are kept in the
/// issuance, for the octets if they are still to be sent and for the next time they are asked for.
///
/// # Errors
/// The store or the CM's offer cannot be read: nobody knows, so nothing may be sent.
pub(super) async fn may_be_sent(app: &App, issuance: &mut Issuance) -> anyhow::Result<Clearance> {
    if issuance.is_over() {
        return Ok(Clearance::Refused(over()));
    }
    if is_stopped(app, &issuance.realm, &issuance.order.value.profile).await? {
        return Ok(Clearance::NotNow(PutOff::ProfileStopped {}, STOPPED_PAUSE));
    }
    if audit::require(app, Act::Issuance).is_err() {
        return Ok(Clearance::NotNow(PutOff::AuditUnwritable {}, AUDIT_PAUSE));
    }
    if let Some(problem) = refused_meanwhile(app, issuance).await {
        return Ok(Clearance::Refused(problem));
    }
    let mut grounds = Grounds::of(app, &issuance.order.value).await?;
    if let Some(problem) = grounds.gone(app, issuance).await {
        return Ok(Clearance::Refused(problem));
    }
    // The CM would refuse it for good what seems to it to have been proven in its future.
    let now = clock::now();
    let pause = grounds.newest_proof().map_or(Duration::ZERO, |newest| app.cm_condition.until_believed(newest, now));
    if !pause.is_zero() {
        return Ok(Clearance::NotNow(PutOff::ClockBehind {}, pause.min(CLOCK_PAUSE_MAX)));
    }
    match caa::before_submission(app, &issuance.order.value, &issuance.caa.permitted).await? {
        Standing::Permitted(looks) if looks.is_empty() => {}
        Standing::Permitted(looks) => {
            issuance.tale.add(Entry::CaaLooked { permitted: CaaLook::all(&looks), problem: None });
            issuance.caa.keep(looks);
            issuance.caa.unanswered = 0;
            // The look took its time: an officer may have acted in it, a proof may have been given up, or a waiver withdrawn.
            if let Some(problem) = refused_meanwhile(app, issuance).await {
                return Ok(Clearance::Refused(problem));
            }
            grounds = Grounds::of(app, &issuance.order.value).await?;
            if let Some(problem) = grounds.gone(app, issuance).await {
                return Ok(Clearance::Refused(problem));
            }
        }
        Standing::Refused { retry: true, permitted, .. } if issuance.caa.unanswered < caa_retries(app) => {
            issuance.caa.keep_some(permitted);
            let pause = Duration::from_secs(1 << issuance.caa.unanswered.min(6));
            return Ok(Clearance::NotNow(PutOff::CaaUnanswered {}, pause));
        }
        Standing::Refused { problem, permitted, .. } => {
            let (permitted, told) = (CaaLook::all(&permitted), Some(problem.clone()));
            issuance.tale.add(Entry::CaaLooked { permitted, problem: told });
            return Ok(Clearance::Refused(problem));
        }
    }
    Ok(Clearance::Granted(grounds))
}

/// A resolver that does not answer may do so soon; so long the order waits, and no longer. What the
/// CM takes to come back is not counted.
fn caa_retries(app: &App) -> u32 {
    app.settings.validation.attempts_max.saturating_sub(1)
}
