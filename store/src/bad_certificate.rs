//! Certificates that failed a check, kept for operators, and the profiles that are stopped because
//! of them (CM contract section 7).
//!
//! A stop stays until an operator lifts it. Of the certificates only the latest are kept.

use acme::{
    certificate::{CertificateId, FailedCheck},
    ids::{CertificateRequestId, OrderId, ProfileName, RealmName},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::{
    Commit, ReadError, SCAN_MAX, Store, Stored,
    backend::{Condition, Key, Version},
    keys,
    records::Kept,
};

/// A certificate that failed a check, and what it was the answer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadCertificate {
    /// When it was checked.
    pub at: Timestamp,
    /// The CM's realm.
    pub realm: RealmName,
    /// What it should have been issued by.
    pub profile: ProfileName,
    /// The order that it was for.
    pub order: OrderId,
    /// The CM's name of the request, if it said so.
    pub request: Option<CertificateRequestId>,
    /// The CM's name of the certificate.
    pub certificate: CertificateId,
    /// What is wrong with it.
    pub failed: Vec<FailedCheck>,
    /// Its default chain as the CM sent it, cut where it is longer than any chain is.
    pub chain_pem: String,
}

/// A profile by which nothing is asked of the CM, or all of a realm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileStop {
    /// The CM's realm.
    pub realm: RealmName,
    /// Which of its profiles; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// Since when.
    pub since: Timestamp,
    /// The order whose certificate failed.
    pub order: OrderId,
    /// The certificate that failed.
    pub certificate: CertificateId,
    /// What is wrong with it.
    pub failed: Vec<FailedCheck>,
}

/// What is stopped. Its place in the store says so, also where the record in it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The CM's realm.
    pub realm: RealmName,
    /// Which of its profiles; `None` for all.
    pub profile: Option<ProfileName>,
    /// Why, unless the record is damaged or of another release.
    pub why: Result<ProfileStop, ReadError>,
    version: Version,
}

impl Store {
    /// Whether a profile is stopped, or all of a realm without one; `None` if they are not.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`]; whoever cannot tell must not go on.
    pub async fn profile_stop(
        &self,
        realm: &RealmName,
        profile: Option<&ProfileName>,
    ) -> Result<Option<Stopped>, ReadError> {
        let key = keys::stopped(realm, profile);
        let Some(held) = self.backend.read(&key).await? else { return Ok(None) };
        let why = self.backend.decode(&key, &held.value);
        Ok(Some(Stopped { realm: realm.clone(), profile: profile.cloned(), why, version: held.version }))
    }

    /// All profiles that are stopped, by realm and name.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn profile_stops(&self) -> Result<Vec<Stopped>, ReadError> {
        let entries = self.backend.scan(&keys::stopped_range(), SCAN_MAX).await?;
        let read = entries.into_iter().filter_map(|entry| {
            let (realm, profile) = keys::read_stopped(&entry.key)?;
            let why = self.backend.decode(&entry.key, &entry.held.value);
            Some(Stopped { realm, profile, why, version: entry.held.version })
        });
        Ok(read.collect())
    }

    /// The bad certificates that are kept, oldest first. One that cannot be read is logged and
    /// passed over.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn bad_certificates(&self) -> Result<Vec<Stored<BadCertificate>>, ReadError> {
        let mut found = Vec::new();
        for entry in self.backend.scan(&keys::quarantine_range(), SCAN_MAX).await? {
            match self.backend.decode::<Kept<BadCertificate>>(&entry.key, &entry.held.value) {
                Ok(Kept { keep_until, value }) => {
                    found.push(Stored { value, version: entry.held.version, keep_until: Some(keep_until) });
                }
                Err(why) => error!(%why, "the record of a bad certificate cannot be read"),
            }
        }
        Ok(found)
    }
}

impl Commit {
    /// Stops a profile. [`CommitError::Conflict`](crate::CommitError::Conflict) if it is stopped already.
    pub fn stop_profile(&mut self, stop: &ProfileStop) {
        let key = keys::stopped(&stop.realm, stop.profile.as_ref());
        self.expect(key.clone(), Condition::Absent);
        self.put(key, stop);
    }

    /// Refuses the commit if a profile is stopped when it is made, or all of its realm.
    pub fn not_stopped(&mut self, realm: &RealmName, profile: &ProfileName) {
        for key in [keys::stopped(realm, Some(profile)), keys::stopped(realm, None)] {
            self.expect(key, Condition::Absent);
        }
    }

    /// Lifts a stop, whether or not its record can be read.
    pub fn resume_profile(&mut self, was: &Stopped) {
        let key = keys::stopped(&was.realm, was.profile.as_ref());
        self.expect(key.clone(), Condition::Is(was.version));
        self.delete(key);
    }

    /// Keeps a bad certificate. It may be forgotten from `keep_until` on.
    pub fn keep_bad_certificate(&mut self, bad: &BadCertificate, keep_until: Timestamp) {
        let key = key_of(bad);
        self.expect(key.clone(), Condition::Absent);
        self.put_kept(key, bad, keep_until, None);
    }

    /// Forgets a bad certificate. That it is gone already is no conflict.
    pub fn forget_bad_certificate(&mut self, was: &Stored<BadCertificate>) {
        self.delete(key_of(&was.value));
    }
}

fn key_of(bad: &BadCertificate) -> Key {
    keys::quarantine(bad.at, &bad.order)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use acme::certificate::Check;

    use super::*;
    use crate::{
        CommitError,
        backend::Memory,
        samples::{NOW, after, order_id, seal},
    };

    fn realm() -> RealmName {
        RealmName::parse("open").unwrap()
    }

    fn profile(name: &str) -> ProfileName {
        ProfileName::parse(name).unwrap()
    }

    fn stop(name: &str) -> ProfileStop {
        ProfileStop {
            realm: realm(),
            profile: Some(profile(name)),
            since: NOW,
            order: order_id("o1"),
            certificate: CertificateId::parse("AQ.Ag").unwrap(),
            failed: vec![FailedCheck { check: Check::PublicKey, detail: String::from("another key") }],
        }
    }

    fn bad(order: &str, at: Timestamp) -> BadCertificate {
        let ProfileStop { realm, certificate, failed, .. } = stop("tls-server");
        let profile = profile("tls-server");
        let chain_pem = String::from("-----BEGIN CERTIFICATE-----");
        BadCertificate { at, realm, profile, order: order_id(order), request: None, certificate, failed, chain_pem }
    }

    async fn commit(store: &Store, fill: impl FnOnce(&mut Commit)) -> Result<(), CommitError> {
        let mut commit = Commit::new();
        fill(&mut commit);
        store.commit(commit).await
    }

    #[tokio::test]
    async fn a_profile_is_stopped_once_and_resumed_once() {
        let store = Store::new(Arc::new(Memory::new()), seal(7));
        commit(&store, |commit| commit.stop_profile(&stop("a"))).await.unwrap();
        assert_eq!(commit(&store, |commit| commit.stop_profile(&stop("a"))).await, Err(CommitError::Conflict));
        assert_eq!(store.profile_stop(&realm(), Some(&profile("b"))).await.unwrap(), None);
        let found = store.profile_stop(&realm(), Some(&profile("a"))).await.unwrap().unwrap();
        assert_eq!(found.why, Ok(stop("a")));
        assert_eq!(store.profile_stops().await.unwrap(), std::slice::from_ref(&found));
        commit(&store, |commit| commit.resume_profile(&found)).await.unwrap();
        assert_eq!(store.profile_stops().await.unwrap(), []);
        assert_eq!(commit(&store, |commit| commit.resume_profile(&found)).await, Err(CommitError::Conflict));
    }

    #[tokio::test]
    async fn a_realm_is_stopped_beside_its_profiles() {
        let store = Store::new(Arc::new(Memory::new()), seal(7));
        let whole = ProfileStop { profile: None, ..stop("a") };
        commit(&store, |commit| commit.stop_profile(&whole)).await.unwrap();
        assert_eq!(store.profile_stop(&realm(), Some(&profile("a"))).await.unwrap(), None);
        commit(&store, |commit| commit.stop_profile(&stop("a"))).await.unwrap();
        let found = store.profile_stop(&realm(), None).await.unwrap().unwrap();
        assert_eq!(found.why, Ok(whole));
        commit(&store, |commit| commit.resume_profile(&found)).await.unwrap();
        let left: Vec<_> = store.profile_stops().await.unwrap().into_iter().map(|stop| stop.why).collect();
        assert_eq!(left, [Ok(stop("a"))]);
    }

    #[tokio::test]
    async fn a_stop_that_cannot_be_read_is_a_stop_and_can_be_lifted() {
        let memory = Arc::new(Memory::new());
        commit(&Store::new(memory.clone(), seal(7)), |commit| commit.stop_profile(&stop("a"))).await.unwrap();
        let other_key = Store::new(memory, seal(8));
        let stops = other_key.profile_stops().await.unwrap();
        let [damaged] = stops.as_slice() else { panic!("{stops:?}") };
        assert_eq!((&damaged.realm, &damaged.profile), (&realm(), &Some(profile("a"))));
        assert!(matches!(damaged.why, Err(ReadError::Damaged { .. })), "{damaged:?}");
        assert_eq!(other_key.profile_stop(&realm(), Some(&profile("a"))).await.unwrap().as_ref(), Some(damaged));
        commit(&other_key, |commit| commit.resume_profile(damaged)).await.unwrap();
        assert_eq!(other_key.profile_stops().await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_rests_on_a_profile_is_not_committed_once_it_or_its_realm_is_stopped() {
        for (stopped, expected) in [
            (stop("a"), Err(CommitError::Conflict)),
            (ProfileStop { profile: None, ..stop("a") }, Err(CommitError::Conflict)),
            (stop("b"), Ok(())),
        ] {
            let store = Store::new(Arc::new(Memory::new()), seal(7));
            commit(&store, |commit| commit.stop_profile(&stopped)).await.unwrap();
            let outcome = commit(&store, |commit| {
                commit.not_stopped(&realm(), &profile("a"));
                commit.keep_bad_certificate(&bad("o1", NOW), after(60));
            });
            assert_eq!(outcome.await, expected, "{stopped:?}");
        }
    }

    #[tokio::test]
    async fn a_stop_outlives_every_sweep() {
        let store = Store::new(Arc::new(Memory::new()), seal(7));
        commit(&store, |commit| commit.stop_profile(&stop("a"))).await.unwrap();
        assert_eq!(store.sweep(after(1_000_000_000), 99).await.unwrap(), 0);
        assert_eq!(store.profile_stops().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn bad_certificates_come_oldest_first_and_are_forgotten_in_time_or_by_hand() {
        let store = Store::new(Arc::new(Memory::new()), seal(7));
        for (order, at) in [("o2", after(5)), ("o1", after(1)), ("o3", after(9))] {
            commit(&store, |commit| commit.keep_bad_certificate(&bad(order, at), after(60))).await.unwrap();
        }
        let found = store.bad_certificates().await.unwrap();
        let orders: Vec<_> = found.iter().map(|bad| bad.value.order.as_str()).collect();
        assert_eq!(orders, ["o1", "o2", "o3"]);
        commit(&store, |commit| commit.forget_bad_certificate(&found[0])).await.unwrap();
        assert_eq!(store.bad_certificates().await.unwrap().len(), 2);
        assert_eq!(store.sweep(after(60), 99).await.unwrap(), 2);
        assert_eq!(store.bad_certificates().await.unwrap(), []);
    }
}
