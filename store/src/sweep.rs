//! Forgetting what nobody may ask for any more.
//!
//! The keep index names records by the time from which on they may go; the record itself has the
//! last word, since it may have been given more time. An order whose issuance job is still there
//! stays: the job is looked at again later. A transcript stays as long as what it tells of.

use std::time::Duration;

use acme::{
    authorization::Authorization,
    ids::OrderId,
    order::{Order, Progress},
    time::Timestamp,
};
use tracing::error;

use crate::{
    Commit, CommitError, Job, ReadError, SCAN_MAX, Store,
    backend::{Condition, Entry, Key, Versioned},
    index::{account_key, proven_key, replacement_key},
    keys,
    records::{KeepList, Kept, KeptUntil, Replacement},
};

/// Most records that one commit forgets; each is at most three keys.
const RECORDS_PER_COMMIT: usize = 40;
/// When an order that is still worked on is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

impl Store {
    /// Removes records that may be forgotten at this time, and tells how many. About `limit` of
    /// them go at once; call it again while it removes as many.
    ///
    /// # Errors
    /// [`CommitError`]; what was removed before stays removed. Conflicts are left for next time.
    pub async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, CommitError> {
        let mut removed: usize = 0;
        let entries = self.backend.scan(&keys::keep_until(now), limit.min(SCAN_MAX)).await?;
        for entry in entries {
            if removed >= limit {
                break;
            }
            removed = removed.saturating_add(self.sweep_entry(&entry, now).await?);
        }
        Ok(removed)
    }

    /// Settles one entry of the keep index.
    async fn sweep_entry(&self, entry: &Entry, now: Timestamp) -> Result<usize, CommitError> {
        let mut names = match self.backend.decode::<KeepList>(&entry.key, &entry.held.value) {
            Ok(list) => list.keys,
            Err(why) => {
                error!(%why, "records cannot be forgotten");
                Vec::new()
            }
        };
        let later = names.split_off(names.len().min(RECORDS_PER_COMMIT));
        let mut commit = Commit::new();
        let mut removed: usize = 0;
        for name in names {
            if self.forget(&Key::new(name), now, &mut commit).await? {
                removed = removed.saturating_add(1);
            }
        }
        for name in later {
            commit.keep(&Key::new(name), now);
        }
        commit.expect(entry.key.clone(), Condition::Is(entry.held.version));
        commit.delete(entry.key.clone());
        match self.commit(commit).await {
            Ok(()) => Ok(removed),
            Err(CommitError::Conflict) => Ok(0),
            Err(error @ (CommitError::Full | CommitError::Unavailable(_) | CommitError::Invalid(_))) => Err(error),
        }
    }

    /// Adds the removal of a record to the commit if it may go.
    async fn forget(&self, key: &Key, now: Timestamp, commit: &mut Commit) -> Result<bool, CommitError> {
        let Some(held) = self.backend.read(key).await? else { return Ok(false) };
        match self.backend.decode::<KeptUntil>(key, &held.value) {
            Ok(record) if record.keep_until > now => return Ok(false),
            Ok(_) => {}
            Err(ReadError::Unavailable(unavailable)) => return Err(unavailable.into()),
            // Of no use to anybody, and its time has come.
            Err(ReadError::Damaged { .. }) => {}
            // Of use to another release.
            Err(ReadError::UnknownVersion { .. }) => {
                commit.keep(key, now.plus(LOOK_AGAIN));
                return Ok(false);
            }
        }
        if let Some((subject, _)) = keys::read_told(key)
            && let Some(until) = self.subject_kept_until(&subject, now).await?
        {
            commit.keep(key, until.max(now.plus(LOOK_AGAIN)));
            return Ok(false);
        }
        if let Some(id) = keys::read_order(key)
            && !self.forget_order(key, &id, &held, commit).await?
        {
            commit.keep(key, now.plus(LOOK_AGAIN));
            return Ok(false);
        }
        if keys::read_authorization(key).is_some()
            && let Ok(authorization) = self.backend.decode::<Kept<Authorization>>(key, &held.value)
            && let Some(proven) = proven_key(&authorization.value)
        {
            commit.delete(proven);
        }
        commit.expect(key.clone(), Condition::Is(held.version));
        commit.delete(key.clone());
        Ok(true)
    }

    /// Adds what an order leaves in indexes; `false` if a job still works on it.
    async fn forget_order(
        &self,
        key: &Key,
        id: &OrderId,
        held: &Versioned,
        commit: &mut Commit,
    ) -> Result<bool, CommitError> {
        let job = Job::issuance_id(id);
        if self.backend.read(&keys::job(&job)).await?.is_some() {
            return Ok(false);
        }
        commit.expect_no_job(&job);
        if let Ok(order) = self.backend.decode::<Kept<Order>>(key, &held.value) {
            commit.delete(account_key(&order.value));
            self.release_replacement(&order.value, commit).await?;
        }
        Ok(true)
    }

    /// An order that ended without a certificate replaces nothing. Afterwards nobody could tell.
    async fn release_replacement(&self, order: &Order, commit: &mut Commit) -> Result<(), CommitError> {
        let Some(key) = replacement_key(order) else { return Ok(()) };
        if matches!(order.progress, Progress::Issued { .. }) {
            return Ok(());
        }
        if let Some(held) = self.backend.read(&key).await?
            && self
                .backend
                .decode::<Kept<Replacement>>(&key, &held.value)
                .is_ok_and(|kept| kept.value.order == order.id)
        {
            commit.expect(key.clone(), Condition::Is(held.version));
            commit.delete(key);
        }
        Ok(())
    }
}
