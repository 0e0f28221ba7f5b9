//! Pausing of clients that only ever fail, and what lifts a pause: a success, a person who opens
//! the link in the refusal, or time.
//!
//! What is counted is durable and committed with the validation that it tells of. The policy is in
//! [`policies::pause`].

use std::{net::IpAddr, time::Duration};

use acme::{
    authorization::Authorization,
    failure_run::FailureRun,
    identifier::Identifier,
    ids::{EndpointName, RegistrationId},
    problem::{Problem, ProblemKind, Subproblem},
    time::Timestamp,
};
use policies::pause::is_of_the_client;
use store::{Commit, ReadError, Stored};

use super::{Error, Refusal, again_on_conflict};
use crate::{
    app::{App, Endpoint},
    audit::{self, Act, Event},
    redaction::without_tokens,
};

/// Use of the sealer for links that lift pauses.
const CONTEXT: &str = "unpause";
/// Runs of failures that are read at a time, and changed in one commit.
const PAGE: usize = 50;
/// Paused identifiers that a page shows.
const SHOWN_MAX: usize = 100;
/// Pages that are read to show them: whoever looks must not have all the failures of an account read.
const SHOWN_PAGES_MAX: usize = 20;
/// When a paused client that does not read should ask again: often enough to notice that the pause
/// was lifted, seldom enough to bother nobody.
const ASK_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Adds to a commit what the end of a validation means for its run of failures. Whoever commits
/// meets a conflict if the run has changed meanwhile, and calls this again.
///
/// # Errors
/// The store cannot be read. A run that is damaged is left alone: it is no reason to lose a result.
pub(crate) async fn record(
    app: &App,
    commit: &mut Commit,
    authorization: &Authorization,
    failure: Option<&Problem>,
    now: Timestamp,
) -> Result<(), ReadError> {
    let Some(policy) = app.settings.pausing.policy() else { return Ok(()) };
    if failure.is_some_and(|problem| !is_of_the_client(problem.kind)) {
        return Ok(());
    }
    let Authorization { endpoint, account, identifier, .. } = authorization;
    let was = match app.store.failure_run(endpoint, account, identifier).await {
        Err(why @ (ReadError::Damaged { .. } | ReadError::UnknownVersion { .. })) => {
            tracing::error!(%why, "failures of this account and identifier are not counted");
            return Ok(());
        }
        read => read?,
    };
    let Some(problem) = failure else {
        if let Some(was) = &was {
            commit.end_failure_run(was);
        }
        return Ok(());
    };
    let failed = FailureRun {
        endpoint: endpoint.clone(),
        account: account.clone(),
        identifier: identifier.clone(),
        failures: 1,
        first: now,
        last: now,
        // Auditors and the page behind the link read it.
        problem: without_tokens(problem, authorization),
        paused_at: None,
    };
    let run = policy.after_failure(was.as_ref().map(|was| &was.value), failed);
    if run.paused_at == Some(now) {
        audit::add(app, commit, now, &Event::IdentifierPaused { run: &run, authorization });
    }
    commit.put_failure_run(was.as_ref(), &run, policy.forget_at(&run));
    Ok(())
}

/// Refuses if one of these identifiers is paused for the account.
pub(super) async fn require_none(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    identifiers: &[&Identifier],
    now: Timestamp,
) -> Result<(), Error> {
    let Some(policy) = app.settings.pausing.policy() else { return Ok(()) };
    let mut paused = Vec::new();
    for identifier in identifiers {
        match app.store.failure_run(&endpoint.name, account, identifier).await {
            Ok(Some(run)) if policy.is_paused(&run.value, now) => paused.push(run.value),
            Ok(_) | Err(ReadError::Damaged { .. } | ReadError::UnknownVersion { .. }) => {}
            Err(error @ ReadError::Unavailable(_)) => return Err(error.into()),
        }
    }
    match paused.split_first() {
        None => Ok(()),
        Some((first, rest)) => Err(refusal(app, endpoint, first, rest, now)),
    }
}

fn refusal(app: &App, endpoint: &Endpoint, first: &FailureRun, rest: &[FailureRun], now: Timestamp) -> Error {
    let told = |run: &FailureRun| {
        format!("validation has failed {} times since {} and never succeeded since then", run.failures, run.first)
    };
    let others = if rest.is_empty() { String::new() } else { format!(" (and {} more, see subproblems)", rest.len()) };
    let detail = format!(
        "{}{others}: {}; orders for it are paused (pausing.failures) until somebody opens this page: {}",
        first.identifier,
        told(first),
        link(app, endpoint, &first.account, now),
    );
    let mut problem = Problem::new(ProblemKind::RateLimited, detail);
    if !rest.is_empty() {
        let runs = std::iter::once(first).chain(rest);
        let subproblem = |run: &FailureRun| Subproblem::new(ProblemKind::RateLimited, &run.identifier, told(run));
        problem.subproblems = runs.map(subproblem).collect();
    }
    app.metrics.limit("pausing").refused.inc();
    Error::Refused(Box::new(Refusal {
        problem,
        retry_after: Some(ASK_AGAIN),
        terms_of_service: None,
        transcript: None,
    }))
}

/// What a link stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) account: RegistrationId,
    expires: Timestamp,
}

impl Ticket {
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }
}

/// The page on which a pause can be lifted; whoever has the URL may do that, for a while.
pub(crate) fn link(app: &App, endpoint: &Endpoint, account: &RegistrationId, now: Timestamp) -> String {
    let expires = now.plus(app.settings.pausing.link_lifetime.duration());
    let value = format!("{} {} {account}", endpoint.name, expires.unix_secs());
    endpoint.links.unpause(&app.sealer.seal(CONTEXT, value.as_bytes()))
}

/// What the last segment of such a URL stands for; `None` if it was not made here, for this
/// endpoint.
pub(crate) fn open_link(app: &App, endpoint: &EndpointName, sealed: &str) -> Option<Ticket> {
    let value = String::from_utf8(app.sealer.open(CONTEXT, sealed)?).ok()?;
    let mut parts = value.splitn(3, ' ');
    let (name, expires, account) = (parts.next()?, parts.next()?, parts.next()?);
    let ticket = Ticket {
        account: RegistrationId::parse(account).ok()?,
        expires: Timestamp::from_unix_secs(expires.parse().ok()?),
    };
    (name == endpoint.as_str()).then_some(ticket)
}

/// What is paused for an account; the first hundred, of the first thousand that ever failed.
pub(crate) struct Paused {
    pub(crate) runs: Vec<FailureRun>,
    /// There is nothing more.
    pub(crate) is_all: bool,
}

impl Paused {
    /// As people look for them; the store has them in no order.
    fn in_order(mut runs: Vec<FailureRun>, is_all: bool) -> Self {
        runs.sort_by(|one, other| one.identifier.cmp(&other.identifier));
        Self { runs, is_all }
    }
}

/// Looks up what is paused for an account.
pub(crate) async fn paused(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    now: Timestamp,
) -> Result<Paused, Error> {
    let mut runs = Vec::new();
    let mut after: Option<Identifier> = None;
    for _ in 0..SHOWN_PAGES_MAX {
        let (paused, last) = page(app, endpoint, account, after.as_ref(), now).await?;
        runs.extend(paused.into_iter().map(|run| run.value));
        let is_all = last.is_none() && runs.len() <= SHOWN_MAX;
        if last.is_none() || runs.len() >= SHOWN_MAX {
            runs.truncate(SHOWN_MAX);
            return Ok(Paused::in_order(runs, is_all));
        }
        after = last;
    }
    Ok(Paused::in_order(runs, false))
}

/// Lifts every pause of an account; answers how many. Doing it again does nothing.
pub(crate) async fn unpause(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    client: IpAddr,
    now: Timestamp,
) -> Result<usize, Error> {
    let (mut count, mut after): (usize, Option<Identifier>) = (0, None);
    loop {
        let (lifted, last) = again_on_conflict(async || {
            let (paused, last) = page(app, endpoint, account, after.as_ref(), now).await?;
            if paused.is_empty() {
                return Ok((0, last));
            }
            audit::require(app, Act::Change)?;
            let mut commit = Commit::new();
            paused.iter().for_each(|run| commit.end_failure_run(run));
            let identifiers = paused.iter().map(|run| &run.value.identifier).collect();
            let event = Event::IdentifiersUnpaused { endpoint: &endpoint.name, account, identifiers, client };
            audit::add(app, &mut commit, now, &event);
            app.store.commit(commit).await?;
            Ok((paused.len(), last))
        })
        .await?;
        count = count.saturating_add(lifted);
        let Some(last) = last else { return Ok(count) };
        after = Some(last);
    }
}

/// The paused ones of some runs of an account, and where to go on if there are more.
async fn page(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    after: Option<&Identifier>,
    now: Timestamp,
) -> Result<(Vec<Stored<FailureRun>>, Option<Identifier>), Error> {
    let Some(policy) = app.settings.pausing.policy() else { return Ok((Vec::new(), None)) };
    let mut runs = app.store.failure_runs_of(&endpoint.name, account, after, PAGE).await?;
    let last = runs.last().filter(|_| runs.len() >= PAGE).map(|run| run.value.identifier.clone());
    runs.retain(|run| policy.is_paused(&run.value, now));
    Ok((runs, last))
}

#[cfg(test)]
mod tests;
