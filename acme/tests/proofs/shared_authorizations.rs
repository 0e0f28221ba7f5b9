//! Several orders of one account that share authorizations, through arbitrary histories: new orders that rest on
//! earlier proofs, responses, key changes, outcomes of validation and issuance, authorizations given up and taken back,
//! replaced certificates, and time. Whatever happens, everything stays on the arrows of RFC 8555 §7.1.6, nothing comes
//! back from a final state, and no certificate is replaced by two orders at once.

use std::{collections::BTreeMap, time::Duration};

use acme::{
    account_key::Thumbprint,
    authorization::{Authorization, AuthorizationStatus, Response},
    certificate::CertificateId,
    challenge::{ChallengeKind, ChallengeState, Evidence, KeyAuthorization, Token, offer},
    identifier::Identifier,
    ids::{AuthorizationId, EndpointName, OrderId, ProfileName, RegistrationId},
    order::{CsrDigest, Finalize, Order, OrderStatus, Progress},
    problem::{Problem, ProblemKind},
    time::Timestamp,
};
use proptest::prelude::*;

use crate::arrows::{authorization_may, order_may};

const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const NAMES: [&str; 3] = ["a.test", "*.a.test", "b.test"];
const KINDS: [ChallengeKind; 2] = [ChallengeKind::Http01, ChallengeKind::Dns01];

/// One account and everything that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct World {
    now: Timestamp,
    /// How often the account key was changed.
    key: u8,
    authorizations: Vec<Authorization>,
    orders: Vec<Order>,
    /// Which order replaces a certificate.
    claims: BTreeMap<CertificateId, OrderId>,
}

/// What can happen. Orders and authorizations are named by a number that is taken modulo how many there are.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The names are bits; what is proven is reused or not; a certificate is replaced or not.
    Ordered {
        names: u8,
        reuse: bool,
        replaces: Option<usize>,
        lifetime_secs: u64,
    },
    Responded(usize, ChallengeKind),
    Proven(usize, ChallengeKind),
    NotProven(usize, ChallengeKind),
    GivenUp(usize),
    TakenBack(usize),
    KeyChanged,
    Finalized(usize, u8),
    Issued(usize),
    Failed(usize),
    Passed(u64),
}

impl World {
    fn new() -> Self {
        Self { now: START, key: 0, authorizations: Vec::new(), orders: Vec::new(), claims: BTreeMap::new() }
    }

    fn status(&self, order: &Order) -> OrderStatus {
        order.status(&self.authorizations, self.now)
    }

    fn order(&self, id: &OrderId) -> &Order {
        self.orders.iter().find(|order| order.id == *id).unwrap()
    }

    fn thumbprint(&self) -> Thumbprint {
        acme::base64url::encode([self.key; 32]).parse().unwrap()
    }

    fn certificates(&self) -> Vec<CertificateId> {
        let issued = |order: &Order| match &order.progress {
            Progress::Issued { certificate, .. } => Some(certificate.clone()),
            Progress::Open | Progress::Finalizing { .. } | Progress::Failed { .. } => None,
        };
        self.orders.iter().filter_map(issued).collect()
    }

    /// The world after the event; the same one if the event is refused.
    fn after(&self, event: Event) -> Self {
        let mut next = self.clone();
        let now = self.now;
        let authorization = |place: usize| (!self.authorizations.is_empty()).then(|| place % self.authorizations.len());
        let order = |place: usize| (!self.orders.is_empty()).then(|| place % self.orders.len());
        match event {
            Event::Ordered { names, reuse, replaces, lifetime_secs } => {
                next.make_order(names, reuse, replaces, lifetime_secs);
            }
            Event::Responded(place, kind) => {
                let Some(place) = authorization(place) else { return next };
                let was = &self.authorizations[place];
                let Some(challenge) = was.challenge(kind) else { return next };
                let looked_for = KeyAuthorization::new(&challenge.token, &self.thumbprint());
                if let Ok(Response::Started(started)) = was.respond(kind, looked_for, now) {
                    next.authorizations[place] = *started;
                }
            }
            Event::Proven(place, kind) => {
                let Some(place) = authorization(place) else { return next };
                next.authorizations[place] = self.authorizations[place].record_valid(kind, evidence(now));
            }
            Event::NotProven(place, kind) => {
                let Some(place) = authorization(place) else { return next };
                let problem = Problem::new(ProblemKind::Connection, "refused");
                next.authorizations[place] = self.authorizations[place].record_invalid(kind, problem, now);
            }
            Event::GivenUp(place) => {
                let Some(place) = authorization(place) else { return next };
                if let Some(given_up) = self.authorizations[place].deactivate(now) {
                    next.authorizations[place] = given_up;
                }
            }
            Event::TakenBack(place) => {
                let Some(place) = authorization(place) else { return next };
                if let Some(revoked) = self.authorizations[place].revoke(now) {
                    next.authorizations[place] = revoked;
                }
            }
            Event::KeyChanged => next.key = self.key.wrapping_add(1),
            Event::Finalized(place, csr) => {
                let Some(place) = order(place) else { return next };
                let decided = self.orders[place].finalize(&self.authorizations, CsrDigest([csr; 32]), now);
                if let Ok(Finalize::Accepted(accepted)) = decided {
                    next.orders[place] = *accepted;
                }
            }
            Event::Issued(place) => {
                let Some(place) = order(place) else { return next };
                let certificate =
                    CertificateId::parse(&format!("AAAA.{}", acme::base64url::encode(format!("{place}"))));
                next.orders[place] = self.orders[place]
                    .record_issued(certificate.unwrap())
                    .unwrap_or_else(|| self.orders[place].clone());
            }
            Event::Failed(place) => {
                let Some(place) = order(place) else { return next };
                let problem = self.orders[place].withdrawn(&self.authorizations, now);
                let problem = problem.unwrap_or_else(|| Problem::new(ProblemKind::Caa, "no"));
                next.orders[place] =
                    self.orders[place].record_failed(problem).unwrap_or_else(|| self.orders[place].clone());
            }
            Event::Passed(seconds) => next.now = now.plus(Duration::from_secs(seconds)),
        }
        next
    }

    /// As newOrder does it: what is proven is reused, the rest is new, and all of it ends together.
    fn make_order(&mut self, names: u8, reuse: bool, replaces: Option<usize>, lifetime_secs: u64) {
        let replaces = replaces.and_then(|place| {
            let certificates = self.certificates();
            certificates.get(place % certificates.len().max(1)).cloned()
        });
        if let Some(certificate) = &replaces
            && let Some(claimed) = self.claims.get(certificate)
            && self.status(self.order(claimed)) != OrderStatus::Invalid
        {
            return;
        }
        let wanted = (0..).zip(NAMES).filter(|(bit, _)| names >> bit & 1 == 1).map(|(_, name)| name);
        let identifiers: Vec<_> = wanted.map(|name| Identifier::parse_dns(name).unwrap()).collect();
        if identifiers.is_empty() {
            return;
        }
        let proven = |identifier: &Identifier| {
            let mut valid =
                self.authorizations.iter().rev().filter(|one| one.status(self.now) == AuthorizationStatus::Valid);
            valid.find(|one| reuse && one.identifier == *identifier).cloned()
        };
        let proven: Vec<_> = identifiers.iter().map(proven).collect();
        let end = self.now.plus(Duration::from_secs(lifetime_secs));
        let expires = proven.iter().flatten().map(|one| one.expires).fold(end, Timestamp::min);
        let (mut authorizations, mut reused) = (Vec::new(), Vec::new());
        for (identifier, proven) in identifiers.iter().zip(proven) {
            if let Some(proven) = proven {
                reused.push(proven.id.clone());
                authorizations.push(proven.id);
                continue;
            }
            let id = AuthorizationId::parse(&format!("a{}", self.authorizations.len())).unwrap();
            authorizations.push(id.clone());
            self.authorizations.push(Authorization {
                id,
                endpoint: EndpointName::parse("open").unwrap(),
                account: RegistrationId::parse("reg_1").unwrap(),
                identifier: identifier.clone(),
                challenges: offer(&KINDS, identifier, &Token::from_random([7; 32]), &[]),
                expires,
                deactivated_at: None,
                revoked_at: None,
            });
        }
        let id = OrderId::parse(&format!("o{}", self.orders.len())).unwrap();
        if let Some(certificate) = &replaces {
            self.claims.insert(certificate.clone(), id.clone());
        }
        self.orders.push(Order {
            id,
            endpoint: EndpointName::parse("open").unwrap(),
            account: RegistrationId::parse("reg_1").unwrap(),
            identifiers,
            authorizations,
            reused,
            profile: ProfileName::parse("tls-server").unwrap(),
            replaces,
            not_before: None,
            not_after: None,
            created: self.now,
            expires,
            progress: Progress::Open,
        });
    }
}

fn evidence(at: Timestamp) -> Evidence {
    Evidence {
        perspective: "local".into(),
        source: "192.0.2.1".into(),
        target: "192.0.2.2:80".into(),
        at,
        caa: None,
        reusable_until: None,
    }
}

fn events() -> impl Strategy<Value = Event> {
    let place = || 0..12_usize;
    let kind = || prop::sample::select(KINDS.to_vec());
    let ordered = (1..8_u8, prop::bool::weighted(0.8), prop::option::of(place()), 20..200_u64)
        .prop_map(|(names, reuse, replaces, lifetime_secs)| Event::Ordered { names, reuse, replaces, lifetime_secs });
    prop_oneof![
        5 => ordered,
        8 => (place(), kind()).prop_map(|(place, kind)| Event::Responded(place, kind)),
        8 => (place(), kind()).prop_map(|(place, kind)| Event::Proven(place, kind)),
        1 => (place(), kind()).prop_map(|(place, kind)| Event::NotProven(place, kind)),
        1 => place().prop_map(Event::GivenUp),
        1 => place().prop_map(Event::TakenBack),
        1 => Just(Event::KeyChanged),
        8 => (place(), 1..3_u8).prop_map(|(place, csr)| Event::Finalized(place, csr)),
        5 => place().prop_map(Event::Issued),
        1 => place().prop_map(Event::Failed),
        2 => (1..30_u64).prop_map(Event::Passed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn orders_that_share_authorizations_never_leave_their_arrows(
        history in prop::collection::vec(events(), 1..80),
    ) {
        let mut world = World::new();
        for event in history {
            let next = world.after(event);
            for (before, after) in world.authorizations.iter().zip(&next.authorizations) {
                let (from, to) = (before.status(world.now), after.status(next.now));
                prop_assert!(authorization_may(from, to), "{:?}: authorization {:?} to {:?}", event, from, to);
            }
            for (before, after) in world.orders.iter().zip(&next.orders) {
                let (from, to) = (world.status(before), next.status(after));
                prop_assert!(order_may(from, to), "{:?}: order {:?} to {:?}", event, from, to);
            }
            if !matches!(event, Event::Ordered { .. } | Event::KeyChanged | Event::Passed(_)) {
                prop_assert_eq!(&next.after(event), &next, "{:?} again changes nothing", event);
            }
            assert_new_orders(&world, &next, event)?;
            assert_withdrawn(&world, &next, event)?;
            assert_facts(&next)?;
            assert_keys(&world, &next)?;
            world = next;
        }
    }
}

/// A new order rests on valid proofs, and nothing that it rests on ends before it.
fn assert_new_orders(before: &World, world: &World, event: Event) -> Result<(), TestCaseError> {
    for order in &world.orders[before.orders.len()..] {
        let found = |id: &AuthorizationId| world.authorizations.iter().find(|one| one.id == *id).unwrap();
        prop_assert!(
            order.authorizations.iter().all(|id| found(id).expires >= order.expires),
            "{:?}: {:?}",
            event,
            order
        );
        for id in &order.authorizations {
            let valid = found(id).status(world.now) == AuthorizationStatus::Valid;
            prop_assert_eq!(valid, order.reused.contains(id), "{:?}", order);
        }
        let ready = order.reused.len() == order.authorizations.len();
        let expected = if ready { OrderStatus::Ready } else { OrderStatus::Pending };
        prop_assert_eq!(world.status(order), expected);
    }
    Ok(())
}

/// What is given up or taken back ends every order on it that was not finalized, at once, and no other order.
fn assert_withdrawn(before: &World, world: &World, event: Event) -> Result<(), TestCaseError> {
    let withdrawn = |one: &&Authorization| one.is_withdrawn();
    let gone: Vec<_> = world.authorizations.iter().filter(withdrawn).map(|one| &one.id).collect();
    for (was, order) in before.orders.iter().zip(&world.orders) {
        let touched = order.authorizations.iter().any(|id| gone.contains(&id));
        if touched && order.progress == Progress::Open {
            prop_assert_eq!(world.status(order), OrderStatus::Invalid, "{:?}", event);
        }
        let of_it = order.withdrawn(&world.authorizations, world.now);
        prop_assert_eq!(of_it.is_some(), touched);
        if matches!(event, Event::GivenUp(_) | Event::TakenBack(_)) && !touched {
            prop_assert_eq!(before.status(was), world.status(order));
        }
    }
    Ok(())
}

/// What holds in every world.
fn assert_facts(world: &World) -> Result<(), TestCaseError> {
    for order in &world.orders {
        let status = world.status(order);
        prop_assert_eq!(status == OrderStatus::Invalid, order.error(&world.authorizations, world.now).is_some());
        if matches!(status, OrderStatus::Pending | OrderStatus::Ready) {
            prop_assert!(world.now < order.expires, "an open order has time left");
        }
    }
    for certificate in world.certificates() {
        let alive = |order: &&Order| {
            order.replaces.as_ref() == Some(&certificate) && world.status(order) != OrderStatus::Invalid
        };
        let alive: Vec<_> = world.orders.iter().filter(alive).map(|order| &order.id).collect();
        prop_assert!(alive.len() <= 1, "{} is replaced by {:?}", certificate, alive);
        prop_assert!(alive.iter().all(|id| world.claims.get(&certificate) == Some(*id)));
    }
    let certificates = world.certificates();
    let different: std::collections::BTreeSet<_> = certificates.iter().collect();
    prop_assert_eq!(different.len(), certificates.len(), "one order, one certificate");
    Ok(())
}

/// A validation looks for the key that the account had when the client responded (RFC 8555 §8.3).
fn assert_keys(before: &World, world: &World) -> Result<(), TestCaseError> {
    for (was, is) in before.authorizations.iter().zip(&world.authorizations) {
        for (was, is) in was.challenges.iter().zip(&is.challenges) {
            match (&was.state, &is.state) {
                (
                    ChallengeState::Processing { key_authorization: old, .. },
                    ChallengeState::Processing { key_authorization: new, .. },
                ) => prop_assert_eq!(old, new),
                (ChallengeState::Pending, ChallengeState::Processing { key_authorization, .. }) => {
                    prop_assert_eq!(key_authorization, &KeyAuthorization::new(&is.token, &world.thumbprint()));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[test]
fn a_history_in_which_much_happens_is_possible() {
    let order = |replaces| Event::Ordered { names: 1, reuse: true, replaces, lifetime_secs: 100 };
    let steps = [
        order(None),
        Event::Responded(0, ChallengeKind::Http01),
        Event::KeyChanged,
        Event::Proven(0, ChallengeKind::Http01),
        Event::Finalized(0, 1),
        Event::Issued(0),
        order(Some(0)),
        order(Some(0)),
        Event::TakenBack(0),
        order(Some(0)),
    ];
    let world = steps.into_iter().fold(World::new(), |world, event| world.after(event));
    let statuses: Vec<_> = world.orders.iter().map(|order| world.status(order)).collect();
    assert_eq!(statuses, [OrderStatus::Valid, OrderStatus::Invalid, OrderStatus::Pending]);
    assert_eq!(world.orders[1].reused, world.orders[0].authorizations);
    assert_eq!(world.orders[2].reused, []);
}
