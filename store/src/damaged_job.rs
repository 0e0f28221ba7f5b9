//! Jobs whose record cannot be read. Nothing can be done about them, so they are found, told and forgotten: what stands
//! among the due jobs for ever also keeps the order that it belongs to.

use acme::{
    ids::{JobId, OrderId},
    time::Timestamp,
};

use tracing::error;

use crate::{
    Commit, Job, ReadError, SCAN_MAX, Store,
    backend::{Condition, Key, KeyRange, Version},
    keys,
};

/// A job that is due and whose record is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedJob {
    /// Which one: follows from what it was about.
    pub id: JobId,
    /// What is wrong with its record.
    pub why: ReadError,
    due: Key,
    version: Version,
}

impl Store {
    /// The damaged ones among the jobs that are due, at most as many as one look can see. Those that another
    /// release wrote are not damaged: it may come back.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn damaged_jobs(&self, now: Timestamp) -> Result<Vec<DamagedJob>, ReadError> {
        let mut found = Vec::new();
        for entry in self.backend.scan(&keys::due_until(now), SCAN_MAX).await? {
            let Some(id) = keys::read_due(&entry.key) else { continue };
            let key = keys::job(&id);
            let Some(held) = self.backend.read(&key).await? else { continue };
            match self.backend.decode::<Job>(&key, &held.value) {
                Ok(_) => {}
                Err(why @ ReadError::Damaged { .. }) => {
                    found.push(DamagedJob { id, why, due: entry.key, version: held.version });
                }
                Err(why @ (ReadError::UnknownVersion { .. } | ReadError::Unavailable(_))) => {
                    error!(%why, "a due job cannot be read; it waits for the release that wrote it");
                }
            }
        }
        Ok(found)
    }

    /// Whether the validation job of an authorization has this id. Every authorization may have to be looked at.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn is_validation(&self, job: &JobId) -> Result<bool, ReadError> {
        let mut range: KeyRange = keys::authorization_range();
        loop {
            let entries = self.backend.scan(&range, SCAN_MAX).await?;
            let Some(last) = entries.last() else { return Ok(false) };
            range.from = keys::successor(&last.key);
            let mut found = entries.iter().filter_map(|entry| keys::read_authorization(&entry.key));
            if found.any(|authorization| Job::validation_id(&authorization) == *job) {
                return Ok(true);
            }
        }
    }

    /// The order whose issuance job has this id. Every order may have to be looked at, but none is read.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn order_of_issuance(&self, job: &JobId) -> Result<Option<OrderId>, ReadError> {
        let mut range: KeyRange = keys::account_range();
        loop {
            let entries = self.backend.scan(&range, SCAN_MAX).await?;
            let Some(last) = entries.last() else { return Ok(None) };
            range.from = keys::successor(&last.key);
            let mut orders = entries.iter().filter_map(|entry| keys::read_account(&entry.key)).map(|(_, order)| order);
            if let Some(order) = orders.find(|order| Job::issuance_id(order) == *job) {
                return Ok(Some(order));
            }
        }
    }
}

impl Commit {
    /// Forgets a job that cannot be read.
    pub fn forget_damaged_job(&mut self, damaged: &DamagedJob) {
        let key = keys::job(&damaged.id);
        self.expect(key.clone(), Condition::Is(damaged.version));
        self.delete(key);
        self.delete(damaged.due.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use acme::{challenge::ChallengeKind, ids::AuthorizationId};

    use super::*;
    use crate::{
        backend::{Backend as _, Batch, Change, Memory},
        samples::{NOW, after, authorization, order, order_id, seal},
    };

    fn validation(authorization: &str) -> Job {
        Job::validate(AuthorizationId::parse(authorization).unwrap(), ChallengeKind::Http01, NOW)
    }

    /// Puts these octets in the place of the record of a job.
    async fn spoil(memory: &Memory, job: &JobId, octets: &[u8]) {
        let changes = [(keys::job(job), Change::Put(octets.to_vec()))].into();
        memory.apply(Batch { conditions: Vec::new(), changes }).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_damaged_is_found_and_forgotten_and_what_another_release_wrote_is_not() {
        let memory = Arc::new(Memory::new());
        let store = Store::new(memory.clone(), seal(7));
        let jobs = ["a1", "a2", "a3"].map(validation);
        let ids = jobs.clone().map(|job| job.id);
        let mut commit = Commit::new();
        jobs.into_iter().for_each(|job| commit.create_job(job));
        store.commit(commit).await.unwrap();
        spoil(&memory, &ids[0], b"nothing").await;
        const NEWER: u8 = 99;
        spoil(&memory, &ids[1], &crate::records::frame(&keys::job(&ids[1]), NEWER, b"{}")).await;
        let found = store.damaged_jobs(NOW).await.unwrap();
        let [damaged] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(damaged.id, ids[0]);
        let mut commit = Commit::new();
        commit.forget_damaged_job(damaged);
        store.commit(commit).await.unwrap();
        assert_eq!((store.damaged_jobs(NOW).await.unwrap(), store.job(&ids[0]).await.unwrap()), (Vec::new(), None));
        assert!(store.job(&ids[1]).await.is_err(), "for the release that wrote it");
        assert_eq!(store.due_jobs(NOW, 9).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_order_of_a_job_is_found_among_more_than_one_look_can_see() {
        let store = Store::new(Arc::new(Memory::new()), seal(7));
        for number in 0..=SCAN_MAX {
            let mut commit = Commit::new();
            commit.create_order(order(&format!("o{number}"), after(number as u64)), after(9_000));
            store.commit(commit).await.unwrap();
        }
        let last = order_id(&format!("o{SCAN_MAX}"));
        assert_eq!(store.order_of_issuance(&Job::issuance_id(&last)).await.unwrap(), Some(last));
        assert_eq!(store.order_of_issuance(&validation("a1").id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_validation_of_an_authorization_is_told_from_other_jobs() {
        let store = Store::new(Arc::new(Memory::new()), seal(7));
        let mut commit = Commit::new();
        commit.create_authorization(authorization("a1"), after(9_000));
        store.commit(commit).await.unwrap();
        let is_validation = async |id| store.is_validation(&id).await.unwrap();
        assert!(is_validation(validation("a1").id).await && !is_validation(validation("a2").id).await);
        assert!(!is_validation(Job::issuance_id(&order_id("a1"))).await);
    }
}
