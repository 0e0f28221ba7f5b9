//! Nothing is decided yet: when to come back, and with what state.

use std::time::Duration;

use acme::ids::CertificateRequestId;
use cm_connector::CmError;
use store::{Commit, Submission};

use super::{Issuance, tale::is_news};
use crate::{
    app::App,
    clock,
    transcript::{Entry, PutOff},
    workers::events::POLLED_WHEN_GONE,
};

/// Between two looks at a request that waits for a person or for the CM.
const PENDING_FIRST: Duration = Duration::from_secs(2);
const PENDING_MAX: Duration = Duration::from_secs(900);
/// Between two looks at whether a profile is still stopped.
pub(super) const STOPPED_PAUSE: Duration = Duration::from_secs(15);
/// Between two tries while the CM is away.
pub(super) const AWAY_MAX: Duration = Duration::from_secs(60);

/// The CM has the request and will decide: look again later, for days if a person decides.
pub(super) async fn wait(
    app: &App,
    issuance: &Issuance,
    request: CertificateRequestId,
    retry_after: Option<Duration>,
    approval: bool,
) -> anyhow::Result<()> {
    let since = match issuance.submission {
        Submission::Accepted { since, .. } => since,
        Submission::NotSent | Submission::MayHaveBeenSent { .. } => clock::now(),
    };
    let waited = clock::now().since(since);
    let pause = retry_after.unwrap_or(waited / 4).clamp(PENDING_FIRST, PENDING_MAX);
    // The first looks come soon: most pending requests are slow ones, not ones that wait for people.
    let pause = if waited < Duration::from_secs(60) { pause.min(Duration::from_secs(5)) } else { pause };
    // Without a feed nobody tells when it is decided (CM contract section 8).
    let is_without_feed = app.cm_condition.is_without_feed(&issuance.realm);
    let pause = if is_without_feed { pause.min(POLLED_WHEN_GONE) } else { pause };
    let why = PutOff::Pending { request: request.clone() };
    put_off(app, issuance, why, Submission::Accepted { request, since, approval }, pause, 0).await
}

/// Nothing was decided; come back, asking first what became of the request.
pub(super) async fn come_back(app: &App, issuance: &Issuance, error: &CmError) -> anyhow::Result<()> {
    let attempt = issuance.job.value.attempt;
    let order = &issuance.order.value.id;
    if matches!(error, CmError::Unavailable { .. } | CmError::RateLimited { .. }) {
        tracing::warn!(%order, attempt, %error, "the CM has not decided; the order stays in processing");
    } else {
        tracing::error!(%order, attempt, %error, "ALARM: the CM's answer is of no use; the order stays in processing");
    }
    let wanted = match error {
        CmError::Unavailable { retry_after, .. } | CmError::RateLimited { retry_after, .. } => {
            retry_after.unwrap_or_default()
        }
        CmError::Internal { .. }
        | CmError::Refused(_)
        | CmError::EvidenceRefused(_)
        | CmError::BindingRefused(_)
        | CmError::KeyInUse { .. }
        | CmError::AlreadyRevoked
        | CmError::AlreadyIssued(_) => AWAY_MAX,
    };
    let backoff = Duration::from_secs(1 << attempt.min(6)).min(AWAY_MAX);
    let submission = match &issuance.submission {
        Submission::NotSent => Submission::MayHaveBeenSent { since: clock::now() },
        other @ (Submission::MayHaveBeenSent { .. } | Submission::Accepted { .. }) => other.clone(),
    };
    let why = PutOff::CmUndecided { error: error.to_string() };
    // Whatever the CM wants, an order that expires is told so.
    let wanted = wanted.min(issuance.order.value.expires.since(clock::now()));
    put_off(app, issuance, why, submission, wanted.max(backoff), attempt.saturating_add(1)).await
}

pub(super) async fn put_off(
    app: &App,
    issuance: &Issuance,
    why: PutOff,
    submission: Submission,
    pause: Duration,
    attempt: u32,
) -> anyhow::Result<()> {
    let (now, mut commit) = (clock::now(), Commit::new());
    let (again_at, order) = (now.plus(pause), &issuance.order.value);
    if is_news(app, order, &why, attempt).await {
        issuance.tale.add(Entry::IssuancePutOff { why, attempt, again_at });
        issuance.tale.write(app, &mut commit, order, now);
    }
    commit.update_job(&issuance.job, issuance.job_with(submission, again_at, attempt));
    Ok(app.store.commit(commit).await?)
}
