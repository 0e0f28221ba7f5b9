//! Registrations kept for a short while, so that not every request asks the CM, and so that the
//! gateway can go on reading while the CM is away (CM contract section 8).
//!
//! What is cached is only ever an early check: the CM judges again when it issues. A registration
//! that does not exist is not remembered, for it may be made at any moment.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use acme::{
    account_key::Thumbprint,
    ids::{RealmName, RegistrationId},
    registration::Registration,
};
use tokio::{sync::OnceCell, time::Instant};

use crate::{CertificateManager, CmError};

/// Changes that answers on their way are compared with.
const INVALIDATED_MAX: usize = 256;

/// How long registrations are kept, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Up to this age the CM is not asked.
    pub fresh: Duration,
    /// Up to this age a registration is used while the CM is unavailable; zero to never do so.
    pub stale_if_unavailable: Duration,
    /// Most registrations; the one read longest ago goes first.
    pub entries_max: usize,
    /// Most octets of all of them, about: an officer's list may have a thousand entries.
    pub octets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(60),
            stale_if_unavailable: Duration::from_secs(15 * 60),
            entries_max: 10_000,
            octets_max: 64 * 1024 * 1024,
        }
    }
}

/// A [`CertificateManager`]'s registrations with a memory.
pub struct CachedRegistrations {
    certificate_manager: Arc<dyn CertificateManager>,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<RegistrationId, Entry>,
    by_key: HashMap<(RealmName, Thumbprint), RegistrationId>,
    /// The entries that have a parent: what is said of it is said of them.
    children: HashMap<RegistrationId, BTreeSet<RegistrationId>>,
    /// Entries in the order in which they were read.
    by_age: BTreeMap<u64, RegistrationId>,
    /// What all entries weigh.
    octets: usize,
    /// Counts what was invalidated: an answer that was asked for before that may be older than it.
    now: Epoch,
    /// What was invalidated last, and when.
    invalidated: VecDeque<(Epoch, Invalidated)>,
    next_turn: u64,
    /// Realms whose registrations are believed for this long only.
    age_limits: HashMap<RealmName, Duration>,
    flights: HashMap<Wanted, Flight>,
}

struct Entry {
    realm: RealmName,
    registration: Arc<Registration>,
    read_at: Instant,
    turn: u64,
    octets: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Wanted {
    Id(RealmName, RegistrationId),
    Key(RealmName, Thumbprint),
}

impl Wanted {
    const fn realm(&self) -> &RealmName {
        let (Self::Id(realm, _) | Self::Key(realm, _)) = self;
        realm
    }
}

/// A place in the order of what was invalidated: what was said of a registration since then is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(u64);

/// What the CM has said to be otherwise.
enum Invalidated {
    /// A registration, from this version on, if it said which.
    Registration(RegistrationId, Option<u64>),
    /// What a realm allows to all of its registrations.
    Realm(RealmName),
}

impl Invalidated {
    /// Whether an answer may lack this change. One that says nothing of its parent's version may rest on any.
    fn concerns(&self, realm: &RealmName, registration: &Registration) -> bool {
        match self {
            Self::Registration(id, version) => {
                let is_of_parent = registration.parent.as_ref().is_some_and(|parent| parent.id == *id);
                let lacks = version.is_none_or(|version| registration.version < version);
                is_of_parent || (registration.id == *id && lacks)
            }
            Self::Realm(changed) => changed == realm,
        }
    }
}

type Found = Result<Option<Arc<Registration>>, CmError>;
/// One question to the CM and when it was asked, shared by all who ask it at the same time.
type Flight = Arc<OnceCell<(Epoch, Found)>>;

impl CachedRegistrations {
    /// A cache with nothing in it.
    #[must_use]
    pub fn new(certificate_manager: Arc<dyn CertificateManager>, limits: Limits) -> Self {
        Self { certificate_manager, limits, state: Mutex::default() }
    }

    /// The registration with this id.
    ///
    /// # Errors
    /// The CM's, unless it is [`CmError::Unavailable`] and what is remembered is young enough.
    pub async fn registration(&self, realm: &RealmName, id: &RegistrationId) -> Found {
        self.find(Wanted::Id(realm.clone(), id.clone())).await
    }

    /// The registration that this account key is bound to.
    ///
    /// # Errors
    /// As [`Self::registration`].
    pub async fn registration_by_key(&self, realm: &RealmName, key: &Thumbprint) -> Found {
        self.find(Wanted::Key(realm.clone(), *key)).await
    }

    /// Whether the CM has ever named this registration and not denied it since; it may have to be
    /// asked again all the same.
    #[must_use]
    pub fn remembers(&self, realm: &RealmName, id: &RegistrationId) -> bool {
        self.state().recent(&Wanted::Id(realm.clone(), id.clone()), Duration::MAX).is_some()
    }

    /// The same for the registration that this account key is bound to.
    #[must_use]
    pub fn remembers_key(&self, realm: &RealmName, key: &Thumbprint) -> bool {
        self.state().recent(&Wanted::Key(realm.clone(), *key), Duration::MAX).is_some()
    }

    /// Now, to be handed to [`Self::remember`] with the answer to a write that begins after this.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.state().now
    }

    /// Remembers what the CM has answered to a write, unless something else has changed since the moment before that
    /// write: an officer may have suspended what the answer, late on its way, calls active.
    pub fn remember(&self, realm: &RealmName, registration: Registration, before: Epoch) {
        let now = Instant::now();
        let mut state = self.state();
        // A read that began before the write must not overwrite it.
        state.ground_flights_of(&registration.id);
        if !state.may_be_older(realm, &registration, before, state.now) {
            state.insert(realm, Arc::new(registration), now, &self.limits);
        }
    }

    /// Forgets a registration and its children: the next question goes to the CM. So does every question that is
    /// asked from now on, even if an older one is still under way.
    pub fn invalidate(&self, id: &RegistrationId) {
        let mut state = self.state();
        state.remove(id);
        state.note_change_of(id, None);
    }

    /// The same, but the registration itself stays if what is remembered is this version or a later one.
    pub fn invalidate_before(&self, id: &RegistrationId, version: u64) {
        let mut state = self.state();
        if state.entries.get(id).is_some_and(|entry| entry.registration.version < version) {
            state.remove(id);
        }
        state.note_change_of(id, Some(version));
    }

    /// Forgets every registration of a realm.
    pub fn forget_all(&self, realm: &RealmName) {
        let mut state = self.state();
        state.flights.retain(|wanted, _| wanted.realm() != realm);
        state.note(Invalidated::Realm(realm.clone()));
        let ids: Vec<_> =
            state.entries.iter().filter(|(_, entry)| entry.realm == *realm).map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| state.remove(id));
    }

    /// Believes registrations of this realm for at most so long, or again as long as the limits say:
    /// while nobody tells us what has changed we ask more often.
    pub fn limit_age(&self, realm: &RealmName, age_max: Option<Duration>) {
        let mut state = self.state();
        match age_max {
            Some(age_max) => state.age_limits.insert(realm.clone(), age_max),
            None => state.age_limits.remove(realm),
        };
    }

    async fn find(&self, wanted: Wanted) -> Found {
        let asked = self.epoch();
        loop {
            let flight = {
                let mut state = self.state();
                if let Some(fresh) = state.fresh(&wanted, self.limits.fresh) {
                    return Ok(Some(fresh));
                }
                Arc::clone(state.flights.entry(wanted.clone()).or_default())
            };
            let boarded = Boarded { cache: self, wanted: &wanted, flight };
            // If the one who asks goes away, one of those who wait asks instead.
            let (began, found) = boarded.flight.get_or_init(|| self.ask(&wanted, &boarded.flight)).await.clone();
            drop(boarded);
            match found {
                // Whoever boards after a change gets no answer from before it. The next flight begins after this one.
                Ok(Some(found)) if self.state().may_be_older(wanted.realm(), &found, began, asked) => {}
                Err(error @ CmError::Unavailable { .. }) => {
                    let stale = self.state().recent(&wanted, self.limits.stale_if_unavailable);
                    return stale.map_or(Err(error), |registration| Ok(Some(registration)));
                }
                found => return found,
            }
        }
    }

    async fn ask(&self, wanted: &Wanted, flight: &Flight) -> (Epoch, Found) {
        let began = self.epoch();
        let realm = wanted.realm();
        let answer = match wanted {
            Wanted::Id(_, id) => self.certificate_manager.registration(realm, id).await,
            Wanted::Key(_, key) => self.certificate_manager.registration_by_key(realm, key).await,
        };
        let found = answer.map(|found| found.map(Arc::new));
        let mut state = self.state();
        if state.is_current(wanted, flight) {
            match &found {
                Ok(Some(registration)) if state.may_be_older(realm, registration, began, state.now) => {}
                Ok(Some(registration)) => {
                    state.insert(realm, Arc::clone(registration), Instant::now(), &self.limits);
                }
                Ok(None) => {
                    if let Some(id) = state.id_of(wanted).cloned() {
                        state.remove(&id);
                    }
                }
                Err(_) => {}
            }
        }
        (began, found)
    }

    /// A panic elsewhere leaves a cache behind that is incomplete at worst.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a question off the board when it is answered, or when nobody waits for it any more.
struct Boarded<'a> {
    cache: &'a CachedRegistrations,
    wanted: &'a Wanted,
    flight: Flight,
}

impl Drop for Boarded<'_> {
    fn drop(&mut self) {
        const BOARD_AND_US: usize = 2;
        let mut state = self.cache.state();
        let over = self.flight.initialized() || Arc::strong_count(&self.flight) <= BOARD_AND_US;
        if over && state.is_current(self.wanted, &self.flight) {
            state.flights.remove(self.wanted);
        }
    }
}

impl State {
    fn id_of<'a>(&'a self, wanted: &'a Wanted) -> Option<&'a RegistrationId> {
        match wanted {
            Wanted::Id(_, id) => Some(id),
            Wanted::Key(realm, key) => self.by_key.get(&(realm.clone(), *key)),
        }
    }

    fn fresh(&self, wanted: &Wanted, age_max: Duration) -> Option<Arc<Registration>> {
        let limited = self.age_limits.get(wanted.realm()).copied();
        self.recent(wanted, limited.map_or(age_max, |limit| limit.min(age_max)))
    }

    fn recent(&self, wanted: &Wanted, age_max: Duration) -> Option<Arc<Registration>> {
        let entry = self.entries.get(self.id_of(wanted)?)?;
        let is_recent = entry.read_at.elapsed() < age_max && entry.realm == *wanted.realm();
        is_recent.then(|| Arc::clone(&entry.registration))
    }

    /// What is under way about this registration is not remembered. Which one a key will turn out to have nobody
    /// knows, so none of the questions by key is; those about other registrations are let alone.
    fn ground_flights_of(&mut self, id: &RegistrationId) {
        self.flights.retain(|wanted, _| matches!(wanted, Wanted::Id(_, other) if other != id));
    }

    fn is_current(&self, wanted: &Wanted, flight: &Flight) -> bool {
        self.flights.get(wanted).is_some_and(|current| Arc::ptr_eq(current, flight))
    }

    /// What is said of a registration is said of its children.
    fn note_change_of(&mut self, id: &RegistrationId, version: Option<u64>) {
        self.ground_flights_of(id);
        self.note(Invalidated::Registration(id.clone(), version));
        let children = self.children.remove(id).unwrap_or_default();
        children.iter().for_each(|child| self.remove(child));
    }

    /// Only answers on their way have to know what was invalidated, and they are not long on it.
    fn note(&mut self, invalidated: Invalidated) {
        self.now = Epoch(self.now.0.saturating_add(1));
        if self.invalidated.len() == INVALIDATED_MAX {
            self.invalidated.pop_front();
        }
        self.invalidated.push_back((self.now, invalidated));
    }

    /// Whether what was asked for at one moment may lack a change that was known at the other.
    fn may_be_older(&self, realm: &RealmName, registration: &Registration, asked: Epoch, known: Epoch) -> bool {
        let is_lost = self.now.0.saturating_sub(asked.0) > INVALIDATED_MAX as u64;
        let mut meanwhile = self.invalidated.iter().filter(|(at, _)| *at > asked && *at <= known);
        asked < known && (is_lost || meanwhile.any(|(_, change)| change.concerns(realm, registration)))
    }

    fn insert(&mut self, realm: &RealmName, registration: Arc<Registration>, now: Instant, limits: &Limits) {
        let (id, octets) = (registration.id.clone(), weight::octets(&registration));
        self.remove(&id);
        let is_full = |state: &Self| {
            state.entries.len() >= limits.entries_max.max(1) || state.octets.saturating_add(octets) > limits.octets_max
        };
        while is_full(self) {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.remove(&oldest);
        }
        if let Some(key) = &registration.key {
            self.by_key.insert((realm.clone(), key.thumbprint), id.clone());
        }
        let turn = self.next_turn;
        self.next_turn = turn.wrapping_add(1);
        self.by_age.insert(turn, id.clone());
        if let Some(parent) = &registration.parent {
            self.children.entry(parent.id.clone()).or_default().insert(id.clone());
        }
        self.octets = self.octets.saturating_add(octets);
        self.entries.insert(id, Entry { realm: realm.clone(), registration, read_at: now, turn, octets });
    }

    fn remove(&mut self, id: &RegistrationId) {
        let Some(entry) = self.entries.remove(id) else { return };
        self.by_age.remove(&entry.turn);
        self.octets = self.octets.saturating_sub(entry.octets);
        if let Some(parent) = &entry.registration.parent
            && let Some(siblings) = self.children.get_mut(&parent.id)
        {
            siblings.remove(id);
            if siblings.is_empty() {
                self.children.remove(&parent.id);
            }
        }
        if let Some(key) = &entry.registration.key {
            let index = (entry.realm, key.thumbprint);
            if self.by_key.get(&index) == Some(id) {
                self.by_key.remove(&index);
            }
        }
    }
}

mod weight;

#[cfg(test)]
mod tests;
