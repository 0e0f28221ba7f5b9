//! One operation's changes, which become durable together.
//!
//! Whatever is updated carries the version it was read with. If any of it has changed since, the
//! whole commit is refused, and the caller reads and decides again. Indexes are kept here, next to
//! the records they belong to, so that none can be forgotten.

use std::collections::BTreeMap;

use acme::{
    authorization::Authorization,
    certificate::CertificateId,
    ids::{EndpointName, JobId, OrderId},
    order::Order,
    time::Timestamp,
};
use serde::Serialize;

use crate::{
    AuditHead, AuditSequence, Job, Stored,
    backend::{
        ApplyError, BATCH_KEYS_MAX, BATCH_OCTETS_MAX, Batch, Change, Condition, KEY_OCTETS_MAX, Key, Unavailable,
    },
    index::{account_key, proven_key},
    keys,
    records::{AuditRecord, KeepList, Kept, Replacement},
    transcript::Told,
};

/// Changes that are written together or not at all.
#[derive(Debug, Default)]
pub struct Commit {
    batch: Batch,
    /// Keys that may be forgotten, by the time from which on they may.
    keep: BTreeMap<Timestamp, Vec<String>>,
    audit: Vec<AuditRecord>,
    pub(crate) told: Vec<Told>,
    invalid: Option<InvalidCommit>,
}

/// Why a commit was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Something that was read has changed, or something that is to be made exists: read again and
    /// decide again. Nothing was written.
    #[error("something that was read has changed")]
    Conflict,
    /// There is no space. Nothing was written; try again later.
    #[error("the store has no space left")]
    Full,
    /// The store failed. Whether it was written is unknown: read again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It can never be written; a defect of whoever built it. Nothing was written.
    #[error(transparent)]
    Invalid(#[from] InvalidCommit),
}

/// What is wrong with a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCommit {
    /// An update names another record than the one that was read, or changes what may not change
    /// about it: its id, the endpoint and account it belongs to, when it was made, the work of a
    /// job.
    #[error("the update of {key} is for a different record than the one that was read")]
    DifferentRecord {
        /// Where the update would have gone.
        key: String,
    },
    /// More keys, or more octets, than one commit may have.
    #[error(
        "the commit has {keys} keys and {octets} octets; at most {BATCH_KEYS_MAX} and {BATCH_OCTETS_MAX} are possible"
    )]
    TooLarge {
        /// How many keys.
        keys: usize,
        /// How many octets.
        octets: usize,
    },
    /// A record has no JSON.
    #[error("the record {key} cannot be written as JSON: {why}")]
    NoJson {
        /// Where it would have been.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<ApplyError> for CommitError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Conflict => Self::Conflict,
            ApplyError::Full => Self::Full,
            ApplyError::Unavailable(unavailable) => Self::Unavailable(unavailable),
        }
    }
}

impl Commit {
    /// A commit that does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an order. It may be forgotten from `keep_until` on, unless its issuance job is still
    /// there.
    pub fn create_order(&mut self, order: Order, keep_until: Timestamp) {
        let key = keys::order(&order.id);
        self.expect(key.clone(), Condition::Absent);
        self.put_index(account_key(&order));
        self.put_kept(key, &order, keep_until, None);
    }

    /// Replaces an order by a later state of it.
    pub fn update_order(&mut self, was: &Stored<Order>, order: Order, keep_until: Timestamp) {
        let key = keys::order(&order.id);
        self.require_same(&key, account_key(&was.value) == account_key(&order));
        self.expect(key.clone(), Condition::Is(was.version));
        self.put_kept(key, &order, keep_until, was.keep_until);
    }

    /// Adds an authorization. It may be forgotten from `keep_until` on.
    pub fn create_authorization(&mut self, authorization: Authorization, keep_until: Timestamp) {
        let key = keys::authorization(&authorization.id);
        self.expect(key.clone(), Condition::Absent);
        if let Some(proven) = proven_key(&authorization) {
            self.put_index(proven);
        }
        self.put_kept(key, &authorization, keep_until, None);
    }

    /// Replaces an authorization by a later state of it.
    pub fn update_authorization(
        &mut self,
        was: &Stored<Authorization>,
        authorization: Authorization,
        keep_until: Timestamp,
    ) {
        let key = keys::authorization(&authorization.id);
        self.require_same(&key, same_owner(&was.value, &authorization));
        self.expect(key.clone(), Condition::Is(was.version));
        self.move_index(proven_key(&was.value), proven_key(&authorization));
        self.put_kept(key, &authorization, keep_until, was.keep_until);
    }

    /// Promises work. [`CommitError::Conflict`] if the same work is promised already.
    pub fn create_job(&mut self, job: Job) {
        let key = keys::job(&job.id);
        self.require_same(&key, job.id == job.work.job_id());
        self.expect(key.clone(), Condition::Absent);
        self.put_index(keys::due(job.due_at, &job.id));
        self.put(key, &job);
    }

    /// Replaces a job by a later state of it, due at another time perhaps.
    pub fn update_job(&mut self, was: &Stored<Job>, job: Job) {
        let key = keys::job(&job.id);
        self.require_same(&key, was.value.id == job.id && job.id == job.work.job_id());
        self.expect(key.clone(), Condition::Is(was.version));
        self.delete(keys::due(was.value.due_at, &was.value.id));
        self.put_index(keys::due(job.due_at, &job.id));
        self.put(key, &job);
    }

    /// Removes a job whose work is done.
    pub fn finish_job(&mut self, was: &Stored<Job>) {
        let key = keys::job(&was.value.id);
        self.expect(key.clone(), Condition::Is(was.version));
        self.delete(keys::due(was.value.due_at, &was.value.id));
        self.delete(key);
    }

    /// Refuses the commit if this order has changed since it was read.
    pub fn unchanged_order(&mut self, was: &Stored<Order>) {
        self.expect(keys::order(&was.value.id), Condition::Is(was.version));
    }

    /// Refuses the commit if this authorization has changed since it was read.
    pub fn unchanged_authorization(&mut self, was: &Stored<Authorization>) {
        self.expect(keys::authorization(&was.value.id), Condition::Is(was.version));
    }

    /// Records that this order replaces a certificate. `was` is what [`Store::replacement`] read:
    /// [`CommitError::Conflict`] if another order has got it since.
    ///
    /// [`Store::replacement`]: crate::Store::replacement
    pub fn claim_replacement(
        &mut self,
        endpoint: &EndpointName,
        certificate: &CertificateId,
        was: Option<&Stored<OrderId>>,
        order: &OrderId,
        keep_until: Timestamp,
    ) {
        let key = keys::replacement(endpoint, certificate);
        self.expect(key.clone(), was.map_or(Condition::Absent, |was| Condition::Is(was.version)));
        let was_until = was.and_then(|was| was.keep_until);
        self.put_kept(key, &Replacement { order: order.clone() }, keep_until, was_until);
    }

    /// Adds an audit entry.
    pub fn audit(&mut self, at: Timestamp, body: serde_json::Value) {
        self.audit.push(AuditRecord { at, body });
    }

    /// Removes an audit entry that was handed on. That it is gone already is no conflict.
    pub fn forget_audit(&mut self, sequence: &AuditSequence) {
        self.delete(keys::audit(&sequence.0));
    }

    /// Remembers the last audit entry that was handed on.
    pub fn keep_audit_head(&mut self, head: &AuditHead) {
        self.put(keys::audit_head(), head);
    }

    /// Refuses the commit if there is such a job.
    pub(crate) fn expect_no_job(&mut self, id: &JobId) {
        self.expect(keys::job(id), Condition::Absent);
    }

    pub(crate) fn expect(&mut self, key: Key, condition: Condition) {
        self.batch.conditions.push((key, condition));
    }

    pub(crate) fn delete(&mut self, key: Key) {
        self.batch.changes.insert(key, Change::Delete);
    }

    /// Names a record that may be forgotten from this time on.
    pub(crate) fn keep(&mut self, key: &Key, until: Timestamp) {
        self.keep.entry(until).or_default().push(key.to_string());
    }

    /// Whether it changes nothing yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.changes.is_empty()
    }

    /// What is asked of the backend, with its records in JSON. `position` makes places for entries that have no id.
    pub(crate) fn into_batch(mut self, mut position: impl FnMut(Timestamp) -> String) -> Result<Batch, InvalidCommit> {
        for Told { subject, record, keep_until } in std::mem::take(&mut self.told) {
            let key = keys::told(&subject, &position(record.at));
            self.expect(key.clone(), Condition::Absent);
            self.put_kept(key, &record, keep_until, None);
        }
        for (until, keys) in std::mem::take(&mut self.keep) {
            self.put(keys::keep(&position(until)), &KeepList { keys });
        }
        for record in std::mem::take(&mut self.audit) {
            let key = keys::audit(&position(record.at));
            self.expect(key.clone(), Condition::Absent);
            self.put(key, &record);
        }
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        let octets = self.batch.octets();
        let keys = self.batch.changes.len().max(self.batch.conditions.len());
        let keys_fit = self.batch.changes.keys().all(|key| key.as_str().len() <= KEY_OCTETS_MAX);
        if keys > BATCH_KEYS_MAX || octets > BATCH_OCTETS_MAX || !keys_fit {
            return Err(InvalidCommit::TooLarge { keys, octets });
        }
        Ok(self.batch)
    }

    /// A new entry is made in the keep index only if the time has changed: the old entry stays, and
    /// sweeping goes by what the record says.
    pub(crate) fn put_kept(
        &mut self,
        key: Key,
        value: &impl Serialize,
        until: Timestamp,
        was_until: Option<Timestamp>,
    ) {
        if was_until != Some(until) {
            self.keep(&key, until);
        }
        self.put(key, &Kept { keep_until: until, value });
    }

    pub(crate) fn put(&mut self, key: Key, record: &impl Serialize) {
        match serde_json::to_vec(record) {
            Ok(json) => {
                self.batch.changes.insert(key, Change::Put(json));
            }
            Err(why) => {
                self.invalid.get_or_insert(InvalidCommit::NoJson { key: key.to_string(), why: why.to_string() });
            }
        }
    }

    pub(crate) fn put_index(&mut self, key: Key) {
        self.batch.changes.insert(key, Change::Put(Vec::new()));
    }

    /// Changes what a record leaves in an index.
    fn move_index(&mut self, was: Option<Key>, is: Option<Key>) {
        if was == is {
            return;
        }
        if let Some(was) = was {
            self.delete(was);
        }
        if let Some(is) = is {
            self.put_index(is);
        }
    }

    pub(crate) fn require_same(&mut self, key: &Key, same: bool) {
        if !same {
            self.invalid.get_or_insert(InvalidCommit::DifferentRecord { key: key.to_string() });
        }
    }
}

/// An authorization is about one account's control of one identifier, for ever.
fn same_owner(was: &Authorization, is: &Authorization) -> bool {
    (&was.id, &was.endpoint, &was.account, &was.identifier) == (&is.id, &is.endpoint, &is.account, &is.identifier)
}
