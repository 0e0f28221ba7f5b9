//! The job behind a challenge response: look at the proof, try again a few times, write down what
//! came of it (RFC 8555 §7.5.1, §8.2).

use std::time::Duration;

use acme::{
    authorization::{Authorization, AuthorizationStatus},
    challenge::{Challenge, ChallengeKind, ChallengeState, Evidence, KeyAuthorization},
    ids::AuthorizationId,
    problem::{Problem, ProblemKind},
};
use store::{Commit, CommitError, Job, Stored};
use validation::{Expected, Failure, Observation, observed};

use super::{caa, finish};
use crate::{
    app::{App, Endpoint},
    audit::{self, Event},
    clock, ra,
    redaction::without_tokens,
    telemetry::metrics::Step,
    transcript::{self, Entry, Subject},
};

/// Makes one attempt.
pub(super) async fn validate(
    app: &App,
    job: &Stored<Job>,
    authorization: &AuthorizationId,
    kind: ChallengeKind,
) -> anyhow::Result<()> {
    let Some((stored, challenge, key_authorization)) = in_progress(app, authorization, kind).await? else {
        return finish(app, job).await;
    };
    let (outcome, seen) = observed(look(app, &stored.value, &challenge, &key_authorization)).await;
    match outcome {
        Err(failure) if failure.retry && job.value.attempt + 1 < app.settings.validation.attempts_max => {
            put_off(app, job, (&stored.value, kind), &failure, seen).await
        }
        outcome => record(app, job, authorization, kind, outcome.map_err(|failure| failure.problem), &seen).await,
    }
}

/// One look at the proof, and at CAA records if it is there.
async fn look(
    app: &App,
    authorization: &Authorization,
    challenge: &Challenge,
    key_authorization: &KeyAuthorization,
) -> Result<Evidence, Failure> {
    let endpoint = still_allowed(app, authorization).await.map_err(|problem| Failure { problem, retry: false })?;
    let expected = Expected {
        token: &challenge.token,
        key_authorization,
        account_url: &endpoint.links.account(&authorization.account),
        issuer_domain_names: &challenge.issuer_domain_names,
    };
    let timer = app.metrics.issuance.begin(Step::Validation);
    let evidence = app.validator.validate(challenge.kind, &authorization.identifier, &expected, clock::now()).await?;
    drop(timer);
    caa::after_proof(app, endpoint, (authorization, challenge.kind), evidence).await
}

/// The challenge, if it is still waiting for its validation.
async fn in_progress(
    app: &App,
    id: &AuthorizationId,
    kind: ChallengeKind,
) -> anyhow::Result<Option<(Stored<Authorization>, Challenge, KeyAuthorization)>> {
    let Some(stored) = app.store.authorization(id).await? else { return Ok(None) };
    if stored.value.status(clock::now()) != AuthorizationStatus::Pending {
        return Ok(None);
    }
    let Some(challenge) = stored.value.challenge(kind).cloned() else { return Ok(None) };
    let ChallengeState::Processing { key_authorization, .. } = &challenge.state else { return Ok(None) };
    let key_authorization = key_authorization.clone();
    Ok(Some((stored, challenge, key_authorization)))
}

/// Only names that the registration may have are ever contacted; the list may have changed since
/// the order. While the CM is away its last word holds: it judges again before it issues.
async fn still_allowed<'a>(app: &'a App, authorization: &Authorization) -> Result<&'a Endpoint, Problem> {
    let Some(endpoint) = app.endpoints.get(&authorization.endpoint) else {
        return Err(Problem::new(ProblemKind::ServerInternal, "this server does not serve this directory any more"));
    };
    let Ok(found) = app.registrations.registration(&endpoint.realm, &authorization.account).await else {
        return Ok(endpoint);
    };
    let Some(registration) = found else {
        return Err(Problem::new(ProblemKind::AccountDoesNotExist, "this account does not exist any more"));
    };
    ra::challenge::may_prove(app, endpoint, &authorization.identifier, &registration)?;
    Ok(endpoint)
}

async fn put_off(
    app: &App,
    job: &Stored<Job>,
    (authorization, method): (&Authorization, ChallengeKind),
    failure: &Failure,
    seen: Vec<Observation>,
) -> anyhow::Result<()> {
    let attempt = job.value.attempt + 1;
    let wait = Duration::from_secs(1 << attempt.min(6));
    let reason = without_tokens(&failure.problem, authorization).detail;
    tracing::debug!(job = %job.value.id, attempt, %reason, "validation will be tried again");
    let (now, mut commit) = (clock::now(), Commit::new());
    let again_at = now.plus(wait);
    if transcript::is_told(attempt) {
        let attempted = Entry::attempted((authorization, method), (attempt, again_at), &failure.problem, seen);
        transcript::tell(app, &mut commit, &Subject::from(authorization), now, &attempted);
    }
    commit.update_job(job, Job { due_at: again_at, attempt, ..job.value.clone() });
    Ok(app.store.commit(commit).await?)
}

async fn record(
    app: &App,
    job: &Stored<Job>,
    id: &AuthorizationId,
    kind: ChallengeKind,
    outcome: Result<Evidence, Problem>,
    seen: &[Observation],
) -> anyhow::Result<()> {
    app.metrics.validated(kind, outcome.as_ref().map(|_| ()).map_err(|problem| problem.kind));
    loop {
        let Some((stored, ..)) = in_progress(app, id, kind).await? else { return finish(app, job).await };
        let now = clock::now();
        let next = match &outcome {
            Ok(evidence) => stored.value.record_valid(kind, evidence.clone()),
            Err(problem) => stored.value.record_invalid(kind, told(app, &stored.value, problem), now),
        };
        let mut commit = Commit::new();
        ra::pause::record(app, &mut commit, &stored.value, outcome.as_ref().err(), now).await?;
        let attempt = job.value.attempt.saturating_add(1);
        let event = Event::Validated { authorization: &next, kind, outcome: &outcome, attempt, seen };
        audit::add(app, &mut commit, now, &event);
        commit.update_authorization(&stored, next, app.keep_until(stored.value.expires));
        commit.finish_job(job);
        match app.store.commit(commit).await {
            // Deactivated meanwhile, perhaps: look again. Whoever changed the job has taken it over.
            Err(CommitError::Conflict) if app.store.job(&job.value.id).await?.as_ref() == Some(job) => {}
            Err(CommitError::Conflict) => return Ok(()),
            Ok(()) => {
                if let Err(problem) = &outcome {
                    app.limits.validation_failed(&stored.value, problem.kind);
                }
                return Ok(());
            }
            done => return Ok(done?),
        }
    }
}

/// The problem as the clients of this endpoint want to read it.
fn told(app: &App, authorization: &Authorization, problem: &Problem) -> Problem {
    match app.endpoints.get(&authorization.endpoint) {
        Some(endpoint) => endpoint.compatibility.told(problem.clone()),
        None => problem.clone(),
    }
}

#[cfg(test)]
mod tests;
