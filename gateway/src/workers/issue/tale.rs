//! What is told of one attempt at an issuance: collected while it goes on, and written with whatever it
//! commits.

use std::sync::{Mutex, PoisonError};

use acme::{ids::Reference, order::Order, time::Timestamp};
use cm_connector::Call;
use store::Commit;

use crate::{
    app::App,
    transcript::{self, Entry, PutOff, Subject},
};

/// Entries that are not written yet.
#[derive(Default)]
pub(super) struct Tale(Mutex<Vec<Entry>>);

impl Tale {
    pub(super) fn add(&self, entry: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// What was asked of the CM, if anything was.
    pub(super) fn asked(&self, calls: Vec<Call>) {
        if !calls.is_empty() {
            self.add(Entry::CmAsked { calls });
        }
    }

    /// Adds what was told so far to a commit.
    pub(super) fn write(&self, app: &App, commit: &mut Commit, order: &Order, now: Timestamp) {
        let told = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        told.iter().for_each(|entry| transcript::tell(app, commit, &Subject::from(order), now, entry));
    }
}

/// Whether a pause is worth telling. Attempts that are counted are told ever more seldom, and a reason that
/// stays the same is told once.
pub(super) async fn is_news(app: &App, order: &Order, why: &PutOff, attempt: u32) -> bool {
    let about = Reference::from(&order.id);
    match why {
        PutOff::CmUndecided { .. } | PutOff::CaaUnanswered {} => {
            transcript::is_told(attempt) && transcript::has_room(app, &about).await
        }
        PutOff::ProfileStopped {}
        | PutOff::AuditUnwritable {}
        | PutOff::ClockBehind {}
        | PutOff::Pending { .. }
        | PutOff::Held {} => {
            let last = transcript::last_told(app, &about).await;
            last.is_some_and(|last| !matches!(last, Entry::IssuancePutOff { why: earlier, .. } if earlier == *why))
        }
    }
}
