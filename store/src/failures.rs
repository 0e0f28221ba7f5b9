//! Runs of failed validations: one record for each account and identifier that fails, gone with the
//! first success and with time.

use acme::{
    failure_run::FailureRun,
    identifier::Identifier,
    ids::{EndpointName, RegistrationId},
    time::Timestamp,
};
use tracing::error;

use crate::{
    Commit, ReadError, SCAN_MAX, Store, Stored,
    backend::{Condition, Key},
    keys,
    records::Kept,
};

impl Store {
    /// The failures in a row of an account with an identifier; `None` if the last validation was a
    /// success, or the run was forgotten.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn failure_run(
        &self,
        endpoint: &EndpointName,
        account: &RegistrationId,
        identifier: &Identifier,
    ) -> Result<Option<Stored<FailureRun>>, ReadError> {
        self.kept(&keys::failures(endpoint, account, identifier)).await
    }

    /// The runs of an account, from the one of `after` on; at most `limit`. They come in the order of the digests of
    /// their identifiers, which is always the same and says nothing. One that cannot be read is logged and passed over.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn failure_runs_of(
        &self,
        endpoint: &EndpointName,
        account: &RegistrationId,
        after: Option<&Identifier>,
        limit: usize,
    ) -> Result<Vec<Stored<FailureRun>>, ReadError> {
        let mut range = keys::failures_of(endpoint, account);
        if let Some(after) = after {
            range.from = keys::successor(&keys::failures(endpoint, account, after));
        }
        let mut found = Vec::new();
        for entry in self.backend.scan(&range, limit.min(SCAN_MAX)).await? {
            match self.backend.decode::<Kept<FailureRun>>(&entry.key, &entry.held.value) {
                Ok(Kept { keep_until, value }) => {
                    found.push(Stored { value, version: entry.held.version, keep_until: Some(keep_until) });
                }
                Err(why) => error!(%why, "a run of failures cannot be read"),
            }
        }
        Ok(found)
    }
}

impl Commit {
    /// Begins a run of failures, or replaces it by a later state. It may be forgotten from
    /// `keep_until` on.
    pub fn put_failure_run(&mut self, was: Option<&Stored<FailureRun>>, run: &FailureRun, keep_until: Timestamp) {
        let key = key_of(run);
        self.require_same(&key, was.is_none_or(|was| key_of(&was.value) == key));
        self.expect(key.clone(), was.map_or(Condition::Absent, |was| Condition::Is(was.version)));
        self.put_kept(key, run, keep_until, was.and_then(|was| was.keep_until));
    }

    /// Ends a run of failures.
    pub fn end_failure_run(&mut self, was: &Stored<FailureRun>) {
        let key = key_of(&was.value);
        self.expect(key.clone(), Condition::Is(was.version));
        self.delete(key);
    }
}

fn key_of(run: &FailureRun) -> Key {
    keys::failures(&run.endpoint, &run.account, &run.identifier)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use acme::problem::{Problem, ProblemKind};

    use super::*;
    use crate::{
        CommitError,
        backend::Memory,
        samples::{NOW, account, after, endpoint, seal},
    };

    fn run(name: &str, failures: u32) -> FailureRun {
        FailureRun {
            endpoint: endpoint(),
            account: account("reg_1"),
            identifier: Identifier::parse("dns", name).unwrap(),
            failures,
            first: NOW,
            last: NOW,
            problem: Problem::new(ProblemKind::Dns, "no"),
            paused_at: None,
        }
    }

    fn store() -> Store {
        Store::new(Arc::new(Memory::new()), seal(7))
    }

    async fn put(store: &Store, run: &FailureRun) {
        let mut commit = Commit::new();
        let was = store.failure_run(&run.endpoint, &run.account, &run.identifier).await.unwrap();
        commit.put_failure_run(was.as_ref(), run, after(60));
        store.commit(commit).await.unwrap();
    }

    #[tokio::test]
    async fn a_run_is_continued_ended_and_begun_again() {
        let store = store();
        for failures in [1, 2] {
            put(&store, &run("a.test", failures)).await;
        }
        let found = store.failure_run(&endpoint(), &account("reg_1"), &run("a.test", 0).identifier).await.unwrap();
        let found = found.unwrap();
        assert_eq!(found.value.failures, 2);
        let mut commit = Commit::new();
        commit.end_failure_run(&found);
        store.commit(commit).await.unwrap();
        put(&store, &run("a.test", 1)).await;
    }

    #[tokio::test]
    async fn of_two_failures_at_once_one_decides_again() {
        let store = store();
        let commit = || {
            let mut commit = Commit::new();
            commit.put_failure_run(None, &run("a.test", 1), after(60));
            commit
        };
        store.commit(commit()).await.unwrap();
        assert_eq!(store.commit(commit()).await, Err(CommitError::Conflict));
    }

    #[tokio::test]
    async fn the_runs_of_an_account_are_listed_and_nobody_elses() {
        let store = store();
        for name in ["b.test", "*.a.test", "a.test"] {
            put(&store, &run(name, 1)).await;
        }
        put(&store, &FailureRun { account: account("reg_12"), ..run("c.test", 1) }).await;
        let all = store.failure_runs_of(&endpoint(), &account("reg_1"), None, 9).await.unwrap();
        let mut names: Vec<_> = all.iter().map(|run| run.value.identifier.to_string()).collect();
        names.sort();
        assert_eq!(names, ["*.a.test", "a.test", "b.test"]);
        let first = store.failure_runs_of(&endpoint(), &account("reg_1"), None, 2).await.unwrap();
        assert_eq!(first, all[..2]);
        let rest =
            store.failure_runs_of(&endpoint(), &account("reg_1"), Some(&all[1].value.identifier), 9).await.unwrap();
        assert_eq!(rest, all[2..]);
    }

    #[tokio::test]
    async fn a_run_is_forgotten_when_its_time_has_come_and_not_before() {
        let store = store();
        put(&store, &run("a.test", 1)).await;
        assert_eq!(store.sweep(after(59), 9).await.unwrap(), 0);
        assert_eq!(store.sweep(after(60), 9).await.unwrap(), 1);
        assert!(store.failure_runs_of(&endpoint(), &account("reg_1"), None, 9).await.unwrap().is_empty());
    }
}
