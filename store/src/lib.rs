//! What the gateway remembers between requests: orders, authorizations, jobs, and what follows
//! from them.
//!
//! Typed reads, and one [`Commit`] that is on disk whole or not at all. Nothing in here decides
//! anything about ACME; it knows records, their versions and how long they are kept. What is permanent is in the CM:
//! without the store the orders in flight are lost, revocations that the CM has not confirmed, pauses, and that a
//! profile is stopped.

pub mod backend;
mod bad_certificate;
mod commit;
#[cfg(test)]
mod conformance;
mod damaged_job;
mod failures;
mod index;
mod job;
mod keys;
mod open;
mod page;
mod records;
#[cfg(test)]
mod samples;
mod seal;
mod sealed;
mod serial;
mod sweep;
#[cfg(test)]
mod test_folder;
mod transcript;
mod watch;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use acme::{
    authorization::Authorization,
    ids::{AuthorizationId, EndpointName, JobId, OrderId, RegistrationId},
    order::Order,
    time::Timestamp,
};
use serde::de::DeserializeOwned;
use tracing::{debug, error};

pub use self::{
    backend::Unavailable,
    bad_certificate::{BadCertificate, ProfileStop, Stopped},
    commit::{Commit, CommitError, InvalidCommit},
    damaged_job::DamagedJob,
    job::{CaaLooks, Job, ProfileTerms, RevocationCall, RevocationWork, Submission, Work},
    open::{Aside, Opened, open},
    page::{AuditEntry, AuditHead, AuditSequence, NotACursor, OrderCursor, OrderPage},
    records::ReadError,
    seal::{RecordSeal, SECRET_OCTETS, SealFailure},
    serial::{Issued, SerialClaim},
    transcript::{CUT, ENTRY_OCTETS_MAX, TranscriptEntry, TranscriptPlace},
    watch::Watch,
};
use self::{
    backend::{Backend, Entry, Key, KeyRange, Version},
    records::{AuditRecord, Kept},
    sealed::Sealed,
    watch::Watcher,
};

/// Most entries that one call looks at, whatever its caller asks for.
const SCAN_MAX: usize = 1000;

/// A record and what the next commit needs to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// The record.
    pub value: T,
    version: Version,
    /// `None` for records that go when their work is done.
    keep_until: Option<Timestamp>,
}

/// Typed reads and one atomic commit.
#[derive(Clone)]
pub struct Store {
    backend: Sealed,
    numbers: Arc<Numbers>,
    /// Who is told of each commit.
    watcher: Watcher,
}

/// Tells apart what several processes write at the same time.
struct Numbers {
    process: u64,
    count: AtomicU64,
}

impl Store {
    /// A store that keeps its records in this backend, sealed. With another seal than before what is in the backend
    /// counts as damaged.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, seal: RecordSeal) -> Self {
        Self::under(backend, Arc::new(seal))
    }

    fn under(backend: Arc<dyn Backend>, seal: Arc<RecordSeal>) -> Self {
        let numbers = Numbers { process: rand::random(), count: AtomicU64::new(0) };
        Self { backend: Sealed::new(backend, seal), numbers: Arc::new(numbers), watcher: Watcher::default() }
    }

    /// An order; `None` if there is none, or no longer.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn order(&self, id: &OrderId) -> Result<Option<Stored<Order>>, ReadError> {
        self.kept(&keys::order(id)).await
    }

    /// An authorization; `None` if there is none, or no longer.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn authorization(&self, id: &AuthorizationId) -> Result<Option<Stored<Authorization>>, ReadError> {
        self.kept(&keys::authorization(id)).await
    }

    /// Those of these authorizations that exist, in the order asked for.
    ///
    /// # Errors
    /// [`ReadError`] if one of them cannot be read.
    pub async fn authorizations(&self, ids: &[AuthorizationId]) -> Result<Vec<Stored<Authorization>>, ReadError> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.authorization(id).await?);
        }
        Ok(found)
    }

    /// The orders of an account, newest last; at most `limit` of those after a cursor
    /// (RFC 8555 §7.1.2.1).
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn orders_of(
        &self,
        endpoint: &EndpointName,
        account: &RegistrationId,
        after: Option<&OrderCursor>,
        limit: usize,
    ) -> Result<OrderPage, ReadError> {
        let range = keys::orders_of(endpoint, account, after.map(|cursor| (cursor.created, &cursor.order)));
        let limit = limit.min(SCAN_MAX);
        let entries = self.backend.scan(&range, limit.saturating_add(1)).await?;
        let more = entries.len() > limit;
        let last = entries.iter().take(limit).next_back().and_then(|entry| keys::read_account(&entry.key));
        let orders = entries.iter().take(limit).filter_map(|entry| keys::read_account(&entry.key));
        Ok(OrderPage {
            orders: orders.map(|(_, order)| order).collect(),
            next: last.filter(|_| more).map(|(created, order)| OrderCursor { created, order }),
        })
    }

    /// The orders that an account made at this time or later, oldest first, each with its time; at
    /// most `limit`. None of them is read.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn orders_made_since(
        &self,
        endpoint: &EndpointName,
        account: &RegistrationId,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, OrderId)>, ReadError> {
        let range = keys::orders_since(endpoint, account, since);
        let entries = self.backend.scan(&range, limit.min(SCAN_MAX)).await?;
        Ok(entries.iter().filter_map(|entry| keys::read_account(&entry.key)).collect())
    }

    /// A job; `None` if its work is done or was never promised.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn job(&self, id: &JobId) -> Result<Option<Stored<Job>>, ReadError> {
        let key = keys::job(id);
        let Some(held) = self.backend.read(&key).await? else { return Ok(None) };
        Ok(Some(Stored { value: self.backend.decode(&key, &held.value)?, version: held.version, keep_until: None }))
    }

    /// Jobs that are due, those due longest first. A job that cannot be read is passed over, so that
    /// it does not stand in the way of the others; [`Store::damaged_jobs`] finds it.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn due_jobs(&self, now: Timestamp, limit: usize) -> Result<Vec<Stored<Job>>, ReadError> {
        self.jobs(keys::due_until(now), limit.min(SCAN_MAX)).await
    }

    /// All jobs after this one, those due first first, and unreadable ones passed over as by [`Store::due_jobs`]. One that is
    /// put off meanwhile comes again.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn jobs_after(&self, job: Option<&Job>, limit: usize) -> Result<Vec<Stored<Job>>, ReadError> {
        let mut range = keys::due_range();
        if let Some(job) = job {
            range.from = keys::successor(&keys::due(job.due_at, &job.id));
        }
        self.jobs(range, limit.min(SCAN_MAX)).await
    }

    /// When the next job is due, or was; `None` if there is no job.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn next_due(&self) -> Result<Option<Timestamp>, ReadError> {
        Ok(self.jobs(keys::due_range(), 1).await?.first().map(|job| job.value.due_at))
    }

    /// Audit entries that have not been forgotten, oldest first: by their time, then in the order
    /// in which this process committed them. One that cannot be read is logged and passed over.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn audit_entries(&self, limit: usize) -> Result<Vec<AuditEntry>, ReadError> {
        let mut found = Vec::new();
        for entry in self.backend.scan(&keys::audit_range(), limit.min(SCAN_MAX)).await? {
            let Some(position) = keys::read_audit(&entry.key) else { continue };
            match self.backend.decode::<AuditRecord>(&entry.key, &entry.held.value) {
                Ok(AuditRecord { at, body }) => {
                    found.push(AuditEntry { sequence: AuditSequence(position.to_owned()), at, body });
                }
                Err(why) => error!(%why, "an audit entry cannot be read"),
            }
        }
        Ok(found)
    }

    /// How many audit entries wait to be handed on; not counted any further than `most`.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn audit_waiting(&self, most: usize) -> Result<usize, ReadError> {
        let (mut range, mut count) = (keys::audit_range(), 0_usize);
        while count < most {
            let entries = self.backend.scan(&range, SCAN_MAX.min(most.saturating_sub(count))).await?;
            let Some(last) = entries.last() else { break };
            range.from = keys::successor(&last.key);
            count = count.saturating_add(entries.len());
        }
        Ok(count)
    }

    /// The last audit entry that was handed on; `None` if none was as far as this store knows.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn audit_head(&self) -> Result<Option<AuditHead>, ReadError> {
        let key = keys::audit_head();
        let Some(held) = self.backend.read(&key).await? else { return Ok(None) };
        Ok(Some(self.backend.decode(&key, &held.value)?))
    }

    /// Whether nothing new is taken now, because there is no space for it. It goes over by itself when there is some.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.backend.is_full()
    }

    /// Writes all of a commit, or nothing. Once it returns `Ok` the changes outlive a power cut.
    ///
    /// # Errors
    /// [`CommitError`].
    pub async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let begun = Instant::now();
        let outcome = self.write(commit).await;
        if let Some(watch) = self.watcher.watch() {
            watch.committed(begun.elapsed(), outcome.as_ref().copied());
        }
        outcome
    }

    /// Has this one told of each commit and flush from now on; the first who asks stays.
    pub fn watch(&self, watch: Arc<dyn Watch>) {
        self.backend.watch(Arc::clone(&watch));
        self.watcher.begin(watch);
    }

    async fn write(&self, commit: Commit) -> Result<(), CommitError> {
        let batch = commit.into_batch(|at| self.position(at))?;
        Ok(self.backend.apply(batch).await?)
    }

    async fn kept<Value: DeserializeOwned>(&self, key: &Key) -> Result<Option<Stored<Value>>, ReadError> {
        let Some(held) = self.backend.read(key).await? else { return Ok(None) };
        let Kept { keep_until, value } = self.backend.decode(key, &held.value)?;
        Ok(Some(Stored { value, version: held.version, keep_until: Some(keep_until) }))
    }

    /// The first jobs of a part of the due index.
    async fn jobs(&self, mut range: KeyRange, limit: usize) -> Result<Vec<Stored<Job>>, ReadError> {
        let mut found = Vec::new();
        loop {
            let missing = limit.saturating_sub(found.len());
            if missing == 0 {
                return Ok(found);
            }
            let entries = self.backend.scan(&range, missing).await?;
            let is_last = entries.len() < missing;
            for entry in entries {
                range.from = keys::successor(&entry.key);
                found.extend(self.job_at(&entry).await?);
            }
            if is_last {
                return Ok(found);
            }
        }
    }

    /// The job behind an entry of the due index; `None` if it was finished or put off meanwhile.
    async fn job_at(&self, entry: &Entry) -> Result<Option<Stored<Job>>, ReadError> {
        let Some(id) = keys::read_due(&entry.key) else { return Ok(None) };
        match self.job(&id).await {
            Ok(Some(job)) if keys::due(job.value.due_at, &id) == entry.key => Ok(Some(job)),
            Ok(Some(_) | None) => Ok(None),
            Err(unavailable @ ReadError::Unavailable(_)) => Err(unavailable),
            Err(why @ (ReadError::Damaged { .. } | ReadError::UnknownVersion { .. })) => {
                debug!(%why, "a job cannot be read");
                Ok(None)
            }
        }
    }

    /// A place that no other entry has.
    fn position(&self, at: Timestamp) -> String {
        keys::position(at, self.numbers.process, self.numbers.count.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
