//! Transcripts: what happened to an order and to its authorizations, told in the commit of what
//! happened, so that whoever asks why can be answered afterwards
//! ([ADR 20](../../../docs/adr/0020-transcripts-are-told-with-the-change.md)).
//!
//! What is an event for auditors too is told by [`crate::audit::add`], which writes both; of the rest auditors are told as it
//! stands here. Operators read all of it ([`words`]), clients what is safe for
//! them ([`client_safe`]). Nothing is decided by a transcript, and reading one writes nothing.

pub(crate) mod client_safe;
mod entry;
pub(crate) mod story;
pub(crate) mod words;

use acme::{
    ids::{EndpointName, Reference},
    problem::ProblemKind,
    time::Timestamp,
};
use store::{Commit, Job, Work};

pub(crate) use self::entry::{CaaLook, Entry, PassedOver, PutOff, Subject};
use crate::{
    app::{App, Endpoint},
    audit::{self, Asked},
    ra::{Error, Refusal},
};

/// Entries about one order or authorization after which attempts and refusals are not told any more;
/// its end always is.
const ATTEMPTS_MAX: usize = 128;
/// Attempts that are told one by one. Of those that follow each whose number is a power of two is.
const FIRST_ATTEMPTS: u32 = 16;

/// Adds an entry to a commit, and tells auditors of it unless an event of their own does.
pub(crate) fn tell(app: &App, commit: &mut Commit, subject: &Subject, now: Timestamp, entry: &Entry) {
    keep(app, commit, subject, now, entry);
    audit::add_entry(commit, now, subject, entry, None);
}

/// The same of what somebody asked for at an endpoint, which auditors are told too.
pub(crate) fn tell_of(
    app: &App,
    commit: &mut Commit,
    subject: &Subject,
    now: Timestamp,
    entry: &Entry,
    asked: (&EndpointName, &Asked<'_>),
) {
    keep(app, commit, subject, now, entry);
    audit::add_entry(commit, now, subject, entry, Some(asked));
}

/// Adds an entry to a commit, for the transcript alone.
pub(crate) fn keep(app: &App, commit: &mut Commit, subject: &Subject, now: Timestamp, entry: &Entry) {
    match serde_json::to_value(entry) {
        Ok(body) => commit.tell(&subject.reference, now, body, app.keep_until(subject.ends)),
        // The change is worth more than what is told of it.
        Err(error) => tracing::error!(%error, reference = %subject.reference, "an entry of a transcript has no JSON"),
    }
}

/// The reference in what somebody pasted: an id, or a URL that has one.
pub(crate) fn reference_in(pasted: &str) -> Option<Reference> {
    const BEFORE: [&str; 4] = ["transcript", "order", "authz", "chall"];
    let trimmed = pasted.trim_matches(|character: char| !character.is_ascii_alphanumeric());
    if !trimmed.contains('/') {
        return Reference::parse(trimmed).ok();
    }
    let mut segments = trimmed.split(['/', '?', '#']);
    segments.find(|segment| BEFORE.contains(segment))?;
    Reference::parse(segments.next()?).ok()
}

/// Whether the attempt with this number, from 1, is told: a CM may be away for days.
pub(crate) const fn is_told(attempt: u32) -> bool {
    attempt <= FIRST_ATTEMPTS || attempt.is_power_of_two()
}

/// Whether there is room for one more attempt or refusal. If nobody can tell there is none.
pub(crate) async fn has_room(app: &App, about: &Reference) -> bool {
    app.store.transcript(about, ATTEMPTS_MAX).await.is_ok_and(|entries| entries.len() < ATTEMPTS_MAX)
}

/// The last entry, if there is room for one more.
pub(crate) async fn last_told(app: &App, about: &Reference) -> Option<Entry> {
    let entries = app.store.transcript(about, ATTEMPTS_MAX).await.ok()?;
    entries.last().filter(|_| entries.len() < ATTEMPTS_MAX).and_then(Entry::read)
}

/// Adds to a commit that an attempt at a job failed by a fault, ours or of something that we need; `next` is the job as
/// it runs again.
pub(crate) async fn job_failed(app: &App, commit: &mut Commit, next: &Job, error: &str, now: Timestamp) {
    let reference = match &next.work {
        Work::Validate { authorization, .. } => Reference::from(authorization),
        Work::Issue { order, .. } | Work::ConfirmDelivery { order: Some(order), .. } => Reference::from(order),
        Work::ConfirmDelivery { order: None, .. } | Work::Revoke(_) => return,
    };
    if is_told(next.attempt) && has_room(app, &reference).await {
        let failed = Entry::JobFailed { error: error.to_owned(), attempt: next.attempt, again_at: next.due_at };
        tell(app, commit, &Subject { reference, ends: now }, now, &failed);
    }
}

/// Tells of a refusal that changes nothing else, in a commit of its own, and gives the refusal the link to
/// it. Refusals by a limit or because something is away are not told, nor more of one account than
/// is good for the disk; they come back as they were, as does one that cannot be written down.
pub(crate) async fn refuse(
    app: &App,
    (endpoint, asked): (&Endpoint, Asked<'_>),
    subject: &Subject,
    entries: &[Entry],
    mut refusal: Box<Refusal>,
    now: Timestamp,
) -> Error {
    let told = is_of_the_client(refusal.problem.kind)
        && audit::has_room(app)
        && app.limits.may_tell_refusal(endpoint, &asked.registration.id)
        && has_room(app, &subject.reference).await;
    if told {
        let mut commit = Commit::new();
        for entry in entries {
            tell_of(app, &mut commit, subject, now, entry, (&endpoint.name, &asked));
        }
        match app.store.commit(commit).await {
            Ok(()) => refusal.transcript = Some(endpoint.links.transcript(&subject.reference)),
            Err(error) => tracing::warn!(%error, "a refusal could not be written down"),
        }
    }
    Error::Refused(refusal)
}

/// Whether a refusal is about what was asked for, not about when.
fn is_of_the_client(kind: ProblemKind) -> bool {
    !matches!(
        kind,
        ProblemKind::RateLimited
            | ProblemKind::Unavailable
            | ProblemKind::ServerInternal
            // Its link leads to the terms.
            | ProblemKind::UserActionRequired
    )
}

#[cfg(test)]
mod tests;
