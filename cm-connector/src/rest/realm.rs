//! What a realm allows to anybody (CM contract section 4.2), kept for moments: each registration is read under it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use acme::{ids::RealmName, registration::AllowedIdentifiers};
use tokio::time::Instant;

use super::{RestCertificateManager, call::decode, failure::Failure, wire::realm::RealmIn};
use crate::{Capability, Event, Events, transport::lane::Lane};

/// So old may it be when a registration is read; the registration's own age comes on top.
const FRESH: Duration = Duration::from_secs(5);

/// The lists that were read lately. There are no more realms than the settings name.
#[derive(Debug, Default)]
pub(super) struct Realms(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lists: HashMap<RealmName, (Arc<AllowedIdentifiers>, Instant)>,
    /// Counts what was heard of changes: a list that was asked for before one is not kept.
    changes: u64,
}

impl Realms {
    /// Forgets what a page of events says has changed, or may have.
    pub(super) fn heard(&self, realm: &RealmName, heard: &Events) {
        let is_changed = match heard {
            Events::Page { events, .. } => events.contains(&Event::Realm),
            Events::CursorExpired => true,
        };
        if is_changed {
            let mut state = self.state();
            state.changes = state.changes.wrapping_add(1);
            state.lists.remove(realm);
        }
    }

    fn fresh(&self, realm: &RealmName) -> Result<Arc<AllowedIdentifiers>, u64> {
        let state = self.state();
        match state.lists.get(realm) {
            Some((list, read_at)) if read_at.elapsed() < FRESH => Ok(Arc::clone(list)),
            Some(_) | None => Err(state.changes),
        }
    }

    /// Keeps a list; one that is as before is the same one, so that registrations share it.
    fn keep(&self, realm: &RealmName, list: AllowedIdentifiers, asked_at: u64) -> Arc<AllowedIdentifiers> {
        let mut state = self.state();
        let list = match state.lists.get(realm) {
            Some((before, _)) if **before == list => Arc::clone(before),
            Some(_) | None => Arc::new(list),
        };
        if state.changes == asked_at {
            state.lists.insert(realm.clone(), (Arc::clone(&list), Instant::now()));
        }
        list
    }

    /// A panic elsewhere leaves old lists behind, which are read again soon.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RestCertificateManager {
    /// What the realm allows to anybody; `None` of a CM that does not say so. It judges by it when it issues.
    pub(super) async fn realm_list(&self, realm: &RealmName) -> Result<Option<Arc<AllowedIdentifiers>>, Failure> {
        if !self.standing.has_said(Capability::RealmPolicy) {
            return Ok(None);
        }
        let asked_at = match self.realms.fresh(realm) {
            Ok(list) => return Ok(Some(list)),
            Err(asked_at) => asked_at,
        };
        let answer = self.read(Lane::Rest, format!("/realms/{realm}"), None).await?;
        let list = decode::<RealmIn>(answer.json)?.convert(realm).map_err(Failure::Broken)?;
        Ok(Some(self.realms.keep(realm, list, asked_at)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::EventCursor;

    const ANY: AllowedIdentifiers = AllowedIdentifiers::Any { exclude: Vec::new() };
    const NOTHING: AllowedIdentifiers = AllowedIdentifiers::Listed { rules: Vec::new(), exclude: Vec::new() };

    fn realm() -> RealmName {
        "tls".parse().unwrap()
    }

    fn page(events: Vec<Event>) -> Events {
        Events::Page { events, next: EventCursor::parse("c").unwrap() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_believed_for_moments_and_shared_while_it_stays() {
        let realms = Realms::default();
        let asked_at = realms.fresh(&realm()).unwrap_err();
        let first = realms.keep(&realm(), ANY, asked_at);
        assert!(Arc::ptr_eq(&first, &realms.fresh(&realm()).unwrap()));
        advance(FRESH).await;
        let asked_at = realms.fresh(&realm()).unwrap_err();
        assert!(Arc::ptr_eq(&first, &realms.keep(&realm(), ANY, asked_at)));
        assert_eq!(*realms.keep(&realm(), NOTHING, asked_at), NOTHING);
        assert_eq!(*realms.fresh(&realm()).unwrap(), NOTHING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_heard_even_by_who_has_asked_before_it() {
        let realms = Realms::default();
        let asked_at = realms.fresh(&realm()).unwrap_err();
        realms.heard(&realm(), &page(vec![Event::Realm]));
        assert_eq!(*realms.keep(&realm(), ANY, asked_at), ANY, "who asked is answered");
        let asked_at = realms.fresh(&realm()).expect_err("and nobody else is");
        let _kept = realms.keep(&realm(), NOTHING, asked_at);
        realms.heard(&realm(), &page(vec![Event::Offer]));
        assert!(realms.fresh(&realm()).is_ok(), "nothing was said about the realm");
        realms.heard(&realm(), &Events::CursorExpired);
        assert!(realms.fresh(&realm()).is_err(), "nobody knows what was said");
    }
}
