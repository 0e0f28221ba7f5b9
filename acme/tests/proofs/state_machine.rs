//! Orders and authorizations through arbitrary histories: whatever happens in whatever order,
//! statuses change only along the arrows of RFC 8555 §7.1.6.

use std::time::Duration;

use acme::{
    authorization::{Authorization, AuthorizationStatus, Response, ResponseRefused},
    certificate::CertificateId,
    challenge::{self, Challenge, ChallengeKind, ChallengeState, Evidence, KeyAuthorization, Token},
    identifier::Identifier,
    ids::{AuthorizationId, EndpointName, OrderId, ProfileName, RegistrationId},
    order::{CsrDigest, Finalize, NotReady, Order, OrderStatus, Progress},
    problem::{Problem, ProblemKind},
    time::Timestamp,
    waiver::Waived,
};
use proptest::prelude::*;

use crate::arrows::{authorization_may, order_may};

const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const CSRS: [CsrDigest; 2] = [CsrDigest([1; 32]), CsrDigest([2; 32])];

/// An order and everything that it hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct World {
    now: Timestamp,
    order: Order,
    authorizations: Vec<Authorization>,
}

/// What can happen. The authorization is named by its place.
#[derive(Debug, Clone, Copy)]
enum Event {
    Responded(usize, ChallengeKind),
    Proven(usize, ChallengeKind),
    NotProven(usize, ChallengeKind),
    GivenUp(usize),
    Passed(u64),
    Finalized(usize),
    Issued,
    Failed,
}

fn token(first: u8) -> Token {
    Token::from_random([first; 32])
}

fn authorization(id: &str, name: &str, lifetime: u64) -> Authorization {
    let identifier = Identifier::parse_dns(name).unwrap();
    let offered = ChallengeKind::ALL.into_iter().filter(|kind| kind.can_prove(&identifier));
    let challenges = offered.zip(1..).map(|(kind, first)| Challenge::new(kind, token(first))).collect();
    Authorization {
        id: AuthorizationId::parse(id).unwrap(),
        endpoint: EndpointName::parse("open").unwrap(),
        account: RegistrationId::parse("reg_1").unwrap(),
        identifier,
        challenges,
        expires: START.plus(Duration::from_secs(lifetime)),
        deactivated_at: None,
        revoked_at: None,
    }
}

fn world(order_lifetime: u64, lifetimes: [u64; 2]) -> World {
    let authorizations =
        vec![authorization("a1", "a.test", lifetimes[0]), authorization("a2", "*.b.test", lifetimes[1])];
    let order = Order {
        id: OrderId::parse("o1").unwrap(),
        endpoint: EndpointName::parse("open").unwrap(),
        account: RegistrationId::parse("reg_1").unwrap(),
        identifiers: authorizations.iter().map(|one| one.identifier.clone()).collect(),
        authorizations: authorizations.iter().map(|one| one.id.clone()).collect(),
        reused: Vec::new(),
        profile: ProfileName::parse("tls-server").unwrap(),
        replaces: None,
        not_before: None,
        not_after: None,
        created: START,
        expires: START.plus(Duration::from_secs(order_lifetime)),
        progress: Progress::Open,
    };
    World { now: START, order, authorizations }
}

fn key_authorization() -> KeyAuthorization {
    serde_json::from_str("\"token.thumbprint\"").unwrap()
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

fn certificate() -> CertificateId {
    CertificateId::parse("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE").unwrap()
}

impl World {
    fn order_status(&self) -> OrderStatus {
        self.order.status(&self.authorizations, self.now)
    }

    fn statuses(&self) -> Vec<AuthorizationStatus> {
        self.authorizations.iter().map(|one| one.status(self.now)).collect()
    }

    /// The world after the event; the same one if the event is refused.
    fn after(&self, event: Event) -> Self {
        let mut next = self.clone();
        let now = self.now;
        match event {
            Event::Responded(place, kind) => {
                if let Ok(Response::Started(started)) =
                    self.authorizations[place].respond(kind, key_authorization(), now)
                {
                    next.authorizations[place] = *started;
                }
            }
            Event::Proven(place, kind) => {
                next.authorizations[place] = self.authorizations[place].record_valid(kind, evidence(now));
            }
            Event::NotProven(place, kind) => {
                let problem = Problem::new(ProblemKind::Connection, "refused");
                next.authorizations[place] = self.authorizations[place].record_invalid(kind, problem, now);
            }
            Event::GivenUp(place) => {
                if let Some(given_up) = self.authorizations[place].deactivate(now) {
                    next.authorizations[place] = given_up;
                }
            }
            Event::Passed(seconds) => next.now = now.plus(Duration::from_secs(seconds)),
            Event::Finalized(csr) => {
                if let Ok(Finalize::Accepted(order)) = self.order.finalize(&self.authorizations, CSRS[csr], now) {
                    next.order = *order;
                }
            }
            Event::Issued => next.order = self.order.record_issued(certificate()).unwrap_or(next.order),
            Event::Failed => {
                let problem = Problem::new(ProblemKind::Caa, "no");
                next.order = self.order.record_failed(problem).unwrap_or(next.order);
            }
        }
        next
    }
}

/// The arrows of RFC 8555 §7.1.6 for challenges, and staying.
fn challenge_may(from: &ChallengeState, to: &ChallengeState) -> bool {
    from == to
        || matches!(
            (from, to),
            (ChallengeState::Pending, ChallengeState::Processing { .. })
                | (ChallengeState::Processing { .. }, ChallengeState::Valid { .. } | ChallengeState::Invalid { .. })
        )
}

fn events() -> impl Strategy<Value = Event> {
    let place = 0..2_usize;
    let kind = prop::sample::select(ChallengeKind::ALL.to_vec());
    prop_oneof![
        6 => (place.clone(), kind.clone()).prop_map(|(place, kind)| Event::Responded(place, kind)),
        6 => (place.clone(), kind.clone()).prop_map(|(place, kind)| Event::Proven(place, kind)),
        1 => (place.clone(), kind).prop_map(|(place, kind)| Event::NotProven(place, kind)),
        1 => place.prop_map(Event::GivenUp),
        3 => (1..40_u64).prop_map(Event::Passed),
        4 => (0..2_usize).prop_map(Event::Finalized),
        2 => Just(Event::Issued),
        1 => Just(Event::Failed),
    ]
}

fn worlds() -> impl Strategy<Value = World> {
    (20..200_u64, [20..200_u64, 20..200_u64], prop::bool::weighted(0.2)).prop_map(|(order, authorizations, waived)| {
        let mut world = world(order, authorizations);
        if waived {
            let first = &mut world.authorizations[0];
            let kinds = ChallengeKind::ALL;
            first.challenges = vec![challenge::waived(&kinds, &first.identifier, token(1), START, waiver())];
        }
        world
    })
}

fn waiver() -> Waived {
    Waived {
        waiver: "wav_1".parse().unwrap(),
        proposed_by: "anna".into(),
        decided_by: "bert".into(),
        reason: "no port 80".into(),
        address: "192.0.2.44".parse().unwrap(),
        client_certificate: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_history_leaves_the_arrows_of_rfc_8555(
        start in worlds(),
        history in prop::collection::vec(events(), 1..40),
    ) {
        let mut world = start;
        for event in history {
            let next = world.after(event);
            for (before, after) in world.authorizations.iter().zip(&next.authorizations) {
                let (from, to) = (before.status(world.now), after.status(next.now));
                prop_assert!(authorization_may(from, to), "{:?}: authorization {:?} to {:?}", event, from, to);
                for (old, new) in before.challenges.iter().zip(&after.challenges) {
                    prop_assert!(challenge_may(&old.state, &new.state), "{:?}: {:?} to {:?}", event, old, new);
                    prop_assert_eq!((old.kind, &old.token), (new.kind, &new.token));
                }
                prop_assert!(from == to || from == AuthorizationStatus::Pending || before.challenges == after.challenges);
            }
            let (from, to) = (world.order_status(), next.order_status());
            prop_assert!(order_may(from, to), "{:?}: order {:?} to {:?}", event, from, to);
            prop_assert_eq!(&next.after(event_again(event)), &next, "{:?} again changes nothing", event);
            assert_facts(&world, &next)?;
            world = next;
        }
    }

    /// The authorizations may be handed over in any order, and strangers among them change nothing.
    #[test]
    fn other_authorizations_do_not_matter(start in worlds(), history in prop::collection::vec(events(), 1..20)) {
        let world = history.into_iter().fold(start, |world, event| world.after(event));
        let mut mixed = world.authorizations.clone();
        mixed.reverse();
        mixed.insert(1, authorization("a3", "c.test", 1));
        prop_assert_eq!(world.order.status(&mixed, world.now), world.order_status());
    }
}

/// What is to change nothing when it happens twice. Time goes on when it goes on.
fn event_again(event: Event) -> Event {
    if let Event::Passed(_) = event { Event::Passed(0) } else { event }
}

/// What holds in every world.
fn assert_facts(before: &World, world: &World) -> Result<(), TestCaseError> {
    let status = world.order_status();
    let statuses = world.statuses();
    let open = world.order.progress == Progress::Open && world.now < world.order.expires;
    let proven = statuses.iter().all(|one| *one == AuthorizationStatus::Valid);
    prop_assert_eq!(status == OrderStatus::Ready, open && proven);
    let issued = matches!(&world.order.progress, Progress::Issued { certificate: id, .. } if *id == certificate());
    prop_assert_eq!(status == OrderStatus::Valid, issued);
    let finalizing = matches!(world.order.progress, Progress::Finalizing { .. });
    prop_assert_eq!(world.order.record_issued(certificate()).is_some(), finalizing);
    let problem = world.order.error(&world.authorizations, world.now);
    prop_assert_eq!(status == OrderStatus::Invalid, problem.is_some());

    for (csr, digest) in CSRS.into_iter().enumerate() {
        let accepted = world.order.finalize(&world.authorizations, digest, world.now);
        match (&world.order.progress, accepted) {
            (Progress::Open, Ok(Finalize::Accepted(next))) => {
                prop_assert_eq!(status, OrderStatus::Ready);
                prop_assert_eq!(next.progress, Progress::Finalizing { csr: CSRS[csr], since: world.now });
            }
            (Progress::Finalizing { csr: known, .. } | Progress::Issued { csr: known, .. }, Ok(Finalize::Repeated)) => {
                prop_assert_eq!(*known, digest);
            }
            (_, Err(NotReady(told))) => {
                prop_assert_eq!(told, status);
                prop_assert_ne!(status, OrderStatus::Ready);
            }
            (progress, accepted) => prop_assert!(false, "{:?}: {:?}", progress, accepted),
        }
    }
    for authorization in &world.authorizations {
        let valid = authorization.status(world.now) == AuthorizationStatus::Valid;
        prop_assert!(!valid || authorization.proof().is_some() != authorization.waived().is_some());
        let processing = authorization
            .challenges
            .iter()
            .filter(|one| matches!(one.state, ChallengeState::Processing { .. }))
            .count();
        prop_assert!(processing <= 1, "one validation at a time");
    }

    let fixed = |order: &Order| Order { progress: Progress::Open, ..order.clone() };
    prop_assert_eq!(fixed(&before.order), fixed(&world.order), "only the progress of an order changes");
    for (old, new) in before.authorizations.iter().zip(&world.authorizations) {
        prop_assert_eq!((&old.id, &old.account, &old.identifier), (&new.id, &new.account, &new.identifier));
    }
    let stored: Order = serde_json::from_value(serde_json::to_value(&world.order).unwrap()).unwrap();
    prop_assert_eq!(&stored, &world.order);
    let stored: Vec<Authorization> =
        serde_json::from_value(serde_json::to_value(&world.authorizations).unwrap()).unwrap();
    prop_assert_eq!(&stored, &world.authorizations);
    Ok(())
}

fn after(world: &World, events: &[Event]) -> World {
    events.iter().fold(world.clone(), |world, event| world.after(*event))
}

const PROVEN: [Event; 4] = [
    Event::Responded(0, ChallengeKind::Http01),
    Event::Proven(0, ChallengeKind::Http01),
    Event::Responded(1, ChallengeKind::Dns01),
    Event::Proven(1, ChallengeKind::Dns01),
];

#[test]
fn the_way_from_pending_to_valid_is_open() {
    let world = world(100, [100, 100]);
    let statuses: Vec<_> = [0, 2, 4]
        .map(|steps| after(&world, &PROVEN[..steps]).order_status())
        .into_iter()
        .chain([
            after(&world, &[PROVEN.as_slice(), &[Event::Finalized(0)]].concat()).order_status(),
            after(&world, &[PROVEN.as_slice(), &[Event::Finalized(0), Event::Issued]].concat()).order_status(),
        ])
        .collect();
    let expected =
        [OrderStatus::Pending, OrderStatus::Pending, OrderStatus::Ready, OrderStatus::Processing, OrderStatus::Valid];
    assert_eq!(statuses, expected);
}

#[test]
fn an_authorization_that_expires_ends_its_order_unless_it_is_finalized() {
    let world = world(100, [30, 100]);
    let expired = after(&world, &[Event::Passed(30)]);
    assert_eq!(expired.order_status(), OrderStatus::Invalid, "while it is pending");
    assert_eq!(expired.order.error(&expired.authorizations, expired.now).unwrap().kind, ProblemKind::Malformed);

    let ready = after(&world, &PROVEN);
    assert_eq!(ready.after(Event::Passed(29)).order_status(), OrderStatus::Ready, "a proof is good until then");
    assert_eq!(ready.after(Event::Passed(30)).order_status(), OrderStatus::Invalid, "and no longer");
    let finalized = after(&ready, &[Event::Finalized(0), Event::Passed(5000)]);
    assert_eq!(finalized.order_status(), OrderStatus::Processing, "R-FIN-8: expiry does not cancel issuance");
    assert_eq!(finalized.after(Event::Issued).order_status(), OrderStatus::Valid);
}

#[test]
fn a_proof_that_comes_too_late_proves_nothing() {
    let waiting = after(&world(100, [30, 100]), &[PROVEN[0]]);
    for (end, status) in [
        (Event::Passed(30), AuthorizationStatus::Expired),
        (Event::GivenUp(0), AuthorizationStatus::Deactivated),
        (Event::NotProven(0, ChallengeKind::Http01), AuthorizationStatus::Invalid),
    ] {
        let ended = waiting.after(end);
        assert_eq!(ended.after(PROVEN[1]), ended, "{end:?}");
        assert_eq!(ended.after(Event::NotProven(0, ChallengeKind::Http01)), ended, "{end:?}");
        assert_eq!(ended.statuses()[0], status);
        let late = ended.authorizations[0].respond(ChallengeKind::Dns01, key_authorization(), ended.now);
        assert_eq!(late, Err(ResponseRefused::AuthorizationFinal), "{end:?}");
    }
}

#[test]
fn a_proof_that_nobody_was_waiting_for_changes_nothing() {
    let world = world(100, [100, 100]);
    assert_eq!(world.after(Event::Proven(0, ChallengeKind::Http01)), world);
    assert_eq!(world.after(Event::NotProven(0, ChallengeKind::Http01)), world);
    let waiting = after(&world, &[PROVEN[0]]);
    assert_eq!(waiting.after(Event::Proven(0, ChallengeKind::Dns01)), waiting, "the other challenge is validated");
    let proven = after(&world, &PROVEN);
    assert_eq!(proven.after(Event::NotProven(0, ChallengeKind::Http01)), proven, "it is proven already");
    let again = proven.authorizations[0].record_valid(ChallengeKind::Http01, evidence(START));
    assert_eq!(again, proven.authorizations[0], "a proof is not prolonged");
}

#[test]
fn a_challenge_that_is_not_offered_cannot_be_responded_to() {
    let world = world(100, [100, 100]);
    let wildcard = &world.authorizations[1];
    assert!(wildcard.challenge(ChallengeKind::Http01).is_none());
    let response = wildcard.respond(ChallengeKind::Http01, key_authorization(), world.now);
    assert_eq!(response, Err(ResponseRefused::NotOffered));
    assert_eq!(world.after(Event::Proven(1, ChallengeKind::Http01)), world);

    let waiting = world.after(PROVEN[2]);
    let response = waiting.authorizations[1].respond(ChallengeKind::Http01, key_authorization(), waiting.now);
    assert_eq!(response, Err(ResponseRefused::NotOffered), "whatever else is going on");
}

#[test]
fn one_failed_authorization_ends_the_order_with_its_problem() {
    let failed = after(&world(100, [100, 100]), &[PROVEN[0], Event::NotProven(0, ChallengeKind::Http01)]);
    assert_eq!(failed.order_status(), OrderStatus::Invalid);
    assert_eq!(failed.order.error(&failed.authorizations, failed.now).unwrap().kind, ProblemKind::Connection);
}

#[test]
fn an_order_without_authorizations_is_never_ready() {
    let mut world = world(100, [100, 100]);
    world.order.authorizations.clear();
    assert_ne!(world.order_status(), OrderStatus::Ready);
    assert!(world.order.finalize(&[], CSRS[0], world.now).is_err());
}
