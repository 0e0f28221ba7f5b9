//! Certificates: exactly one for each order, and only for what may be had (CM contract sections 3 and 4.4).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use acme::{
    identifier::Identifier, ids::OrderId, problem::ProblemKind, registration::RegistrationStatus, waiver::Waived,
};

use super::{
    Asked, Preregistration, Realm, Subject, Wanted,
    asking::Asking,
    expect::{RACERS, at_once, fresh, fresh_name, internal, issued, now, refused, settled},
    holder::Holder,
    person::Person,
    run::Subjects,
};
use crate::{CmError, Delivery, RequestState};

fn request_id(outcome: &Result<RequestState, CmError>) -> acme::ids::CertificateRequestId {
    match outcome {
        Ok(RequestState::Issued { id, .. }) => id.clone(),
        other => panic!("a certificate expected: {other:?}"),
    }
}

fn evidence_refused(outcome: Result<RequestState, CmError>) {
    assert!(matches!(outcome, Err(CmError::EvidenceRefused(_))), "the evidence is to be refused: {outcome:?}");
}

pub(super) async fn the_same_request_again_gets_the_same_certificate(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let (cm, realm) = (&*holder.cm, holder.subject.realm(Realm::Open));
    let name = fresh_name("example.com");
    let asking = holder.asking(&[&name, &format!("*.{name}")]).await;
    let outcome = asking.submit(cm).await;
    let id = request_id(&outcome);
    let first = issued(outcome);
    assert_eq!((first.order_ref.as_ref(), &first.registration), (Some(&asking.request.order), &holder.id));
    assert_eq!(issued(asking.submit(cm).await), first);
    // Another gateway sees the same, by whatever it asks.
    let cm = &*holder.subject.gateway();
    assert_eq!(issued(asking.submit(cm).await), first);
    let by_key = asking.outcome(cm).await.unwrap().unwrap();
    let by_order = cm.request_by_order(&realm, &asking.request.order).await.unwrap().unwrap();
    let by_id = cm.request(&realm, &id).await.unwrap().unwrap();
    for state in [by_key, by_order, by_id] {
        let RequestState::Issued { claims, .. } = &state else { panic!("{state:?}") };
        claims.check(&first, claims).unwrap();
        assert_eq!((&claims.registration, claims.order_ref.as_ref()), (&holder.id, Some(&asking.request.order)));
        assert_eq!(issued(Ok(state)), first);
    }
    let other = holder.asking(&[&name]).await.for_order_of(&holder.person, &asking);
    let again = other.submit(cm).await;
    assert!(matches!(&again, Err(CmError::AlreadyIssued(known)) if **known == first), "{again:?}");
    assert_eq!(holder.count(&asking), 1);
}

/// The serials of those that got a certificate when all were sent at once, each by a gateway of its own. Whoever did
/// not is told that it never will.
async fn race(holder: &Holder, askings: Vec<Arc<Asking>>) -> BTreeSet<String> {
    let racers = askings.into_iter().map(|asking| {
        let cm = holder.subject.gateway();
        async move { settled(async || asking.submit(&*cm).await).await }
    });
    let serial = |outcome: Result<RequestState, CmError>| match outcome {
        Ok(RequestState::Refused { .. }) => None,
        Err(CmError::AlreadyIssued(known)) => Some(known.claims.serial),
        other => Some(issued(other).claims.serial),
    };
    at_once(racers).await.into_iter().filter_map(serial).collect()
}

pub(super) async fn many_at_once_with_one_key_get_one_certificate(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let asking = Arc::new(holder.ask().await);
    let serials = race(&holder, vec![Arc::clone(&asking); RACERS]).await;
    assert_eq!((serials.len(), holder.count(&asking)), (1, 1));
    let found = issued(Ok(asking.outcome(&*holder.cm).await.unwrap().unwrap()));
    assert!(serials.contains(&found.claims.serial));
}

pub(super) async fn many_requests_of_one_order_at_once_get_one_certificate(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let first = Arc::new(holder.ask().await);
    let mut askings = vec![Arc::clone(&first)];
    for _ in 1..RACERS {
        askings.push(Arc::new(holder.asking(&[&first.name()]).await.for_order_of(&holder.person, &first)));
    }
    let serials = race(&holder, askings).await;
    assert_eq!((serials.len(), holder.count(&first)), (1, 1));
}

pub(super) async fn other_octets_under_a_known_key_are_refused(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let asking = holder.ask().await;
    let first = issued(asking.submit(&*holder.cm).await);
    let mut other = holder.ask().await;
    other.key = asking.key.clone();
    internal(other.submit(&*holder.cm).await);
    assert_eq!((holder.count(&asking), holder.count(&other)), (1, 0));
    assert_eq!(issued(Ok(asking.outcome(&*holder.cm).await.unwrap().unwrap())), first);
}

pub(super) async fn a_csr_that_is_not_about_the_order_is_refused(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let (name, more) = (fresh_name("example.com"), fresh_name("example.com"));
    let csrs = [
        Wanted { names: &[&name, &more], common_name: None },
        Wanted { names: &[&more], common_name: None },
        Wanted { names: &[&name], common_name: Some(&more) },
    ];
    for csr in csrs {
        let asking = holder.asking(&[&name]).await.with_csr(&holder.person, &csr);
        refused(asking.submit(&*holder.cm).await, ProblemKind::BadCsr);
    }
    let both = holder.asking(&[&name, &more]).await;
    let fewer = both.with_csr(&holder.person, &Wanted { names: &[&name], common_name: None });
    refused(fewer.submit(&*holder.cm).await, ProblemKind::BadCsr);
    for name in [&name, &more] {
        assert_eq!(holder.subject.certificates(&holder.subject.realm(Realm::Open), name), 0);
    }
}

pub(super) async fn an_end_of_validity_is_met_to_the_second_or_refused(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let asking_until = async |end| {
        let mut asking = holder.ask().await;
        asking.request.not_after = Some(end);
        asking
    };
    let tomorrow = now().plus(Duration::from_secs(86_400));
    assert_eq!(issued(asking_until(tomorrow).await.submit(&*holder.cm).await).not_after, tomorrow);
    let years = Duration::from_secs(20 * 365 * 86_400);
    for end in [now().plus(years), now().minus(Duration::from_secs(86_400))] {
        let asking = asking_until(end).await;
        refused(asking.submit(&*holder.cm).await, ProblemKind::Malformed);
        assert_eq!(holder.count(&asking), 0);
        // What was refused was not issued, so the order may have another request.
        let mended = holder.asking(&[&asking.name()]).await.for_order_of(&holder.person, &asking);
        let _issued = issued(settled(async || mended.submit(&*holder.cm).await).await);
    }
}

pub(super) async fn what_nobody_proved_is_not_issued(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let mut nothing = holder.ask().await;
    nothing.request.validations.clear();
    let mut another = holder.ask().await;
    another.request.validations[0].identifier = Identifier::parse_dns(&fresh_name("example.com")).unwrap();
    for asking in [nothing, another] {
        evidence_refused(asking.submit(&*holder.cm).await);
        assert_eq!(holder.count(&asking), 0);
    }
}

pub(super) async fn a_waiver_that_nobody_approved_is_no_evidence(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let asked = Asked::of(holder.subject, &*holder.cm).await;
    let mut asking = holder.ask().await;
    asking.request.validations[0].waived = Some(Waived {
        waiver: "wav_none".parse().unwrap(),
        proposed_by: String::from("urn:cm:officer:nobody"),
        decided_by: String::from("urn:cm:approver:nobody"),
        reason: String::from("nobody said so"),
        address: "192.0.2.1".parse().unwrap(),
        client_certificate: None,
    });
    evidence_refused(asking.submit(&*holder.cm).await);
    assert_eq!(holder.count(&asking), 0);
    let registration = holder.cm.registration(&asking.realm, &holder.id).await.unwrap().unwrap();
    assert_eq!(registration.waivers, []);
    if !asked.offers("waivers") {
        asked.instead("waivers", "registrations have none, and a request that names one is refused for its evidence");
    }
}

pub(super) async fn a_profile_that_is_not_there_and_a_stranger_get_nothing(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let mut elsewhere = holder.ask().await;
    elsewhere.request.profile = "another".parse().unwrap();
    refused(elsewhere.submit(&*holder.cm).await, ProblemKind::InvalidProfile);
    let stranger = "reg_none".parse().unwrap();
    let name = fresh_name("example.com");
    let asking = Asking::open(holder.subject, &holder.person, &stranger, &*holder.cm, &[&name]).await;
    refused(asking.submit(&*holder.cm).await, ProblemKind::AccountDoesNotExist);
    assert_eq!((holder.count(&elsewhere), holder.count(&asking)), (0, 0));
}

/// Somebody with a registration that allows names below `example.com`.
async fn limited(subject: &'static dyn Subject) -> Holder {
    let (cm, person, realm) = (subject.gateway(), Person::new(subject), subject.realm(Realm::Registered));
    let wish = Preregistration { suffixes: vec!["example.com"], ..Preregistration::default() };
    let account = subject.preregister(&realm, &wish);
    let id = person.bind(&*cm, &realm, &account).await.id;
    Holder { subject, cm, person, id }
}

impl Holder {
    /// A request of the registered realm.
    pub(super) async fn registered(&self, below: &str) -> Asking {
        let (realm, name) = (self.subject.realm(Realm::Registered), fresh_name(below));
        Asking::of(self.subject, &self.person, &self.id, &*self.cm, &realm, &[&name]).await
    }

    async fn is_rejected(&self, below: &str) {
        let asking = self.registered(below).await;
        refused(asking.submit(&*self.cm).await, ProblemKind::RejectedIdentifier);
        assert_eq!(self.count(&asking), 0);
    }

    async fn is_issued(&self, below: &str) {
        let asking = self.registered(below).await;
        let _certificate = issued(asking.submit(&*self.cm).await);
        assert_eq!(self.count(&asking), 1);
    }
}

pub(super) async fn a_name_outside_the_list_is_refused_and_nothing_is_issued(subjects: &Subjects<'_>) {
    let holder = limited(subjects.shared()).await;
    holder.is_issued("example.com").await;
    // A suffix ends at a label.
    for below in ["example.org", "badexample.com", "com"] {
        holder.is_rejected(below).await;
    }
}

pub(super) async fn a_narrowed_registration_gets_what_is_left(subjects: &Subjects<'_>) {
    let holder = limited(subjects.shared()).await;
    let before = holder.registered("example.com").await;
    holder.subject.narrow(&before.realm, &holder.id, "a.example.com");
    // Its order is older than the officer's word.
    refused(before.submit(&*holder.cm).await, ProblemKind::RejectedIdentifier);
    assert_eq!(holder.count(&before), 0);
    holder.is_rejected("example.com").await;
    holder.is_issued("a.example.com").await;
}

pub(super) async fn a_suspension_between_reading_and_asking_counts(subjects: &Subjects<'_>) {
    let holder = limited(subjects.shared()).await;
    let asking = holder.registered("example.com").await;
    let read = holder.cm.registration(&asking.realm, &holder.id).await.unwrap().unwrap();
    assert_eq!(read.status, RegistrationStatus::Active);
    holder.subject.set_status(&asking.realm, &holder.id, RegistrationStatus::Suspended);
    refused(asking.submit(&*holder.cm).await, ProblemKind::Unauthorized);
    assert_eq!(holder.count(&asking), 0);
    holder.subject.set_status(&asking.realm, &holder.id, RegistrationStatus::Active);
    holder.is_issued("example.com").await;
    holder.subject.set_status(&asking.realm, &holder.id, RegistrationStatus::Revoked);
    let after = holder.registered("example.com").await;
    refused(after.submit(&*holder.cm).await, ProblemKind::AccountNotActive);
    assert_eq!(holder.count(&after), 0);
}

pub(super) async fn a_replaced_certificate_is_replaced_once_and_by_its_own_account(subjects: &Subjects<'_>) {
    let (holder, other) = (Holder::new(subjects.shared()).await, Holder::new(subjects.shared()).await);
    let first = issued(holder.ask().await.submit(&*holder.cm).await);
    let foreign = other.ask().await.replacing(&first.id);
    refused(foreign.submit(&*other.cm).await, ProblemKind::Malformed);
    let _second = issued(holder.ask().await.replacing(&first.id).submit(&*holder.cm).await);
    let again = holder.ask().await.replacing(&first.id);
    refused(again.submit(&*holder.cm).await, ProblemKind::AlreadyReplaced);
    assert_eq!((holder.count(&foreign), holder.count(&again)), (0, 0));
}

pub(super) async fn the_outcome_of_the_gateways_checks_can_be_told_again(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let asked = Asked::of(holder.subject, &*holder.cm).await;
    let asking = holder.ask().await;
    let outcome = asking.submit(&*holder.cm).await;
    let id = request_id(&outcome);
    for _ in 0..2 {
        let told = holder.cm.confirm_delivery(&asking.realm, &id, &Delivery::Accepted).await;
        if asked.offers("delivery") {
            told.unwrap();
        } else {
            internal(told);
            asked.instead("delivery", "the report is refused as an alarm");
        }
    }
    assert_eq!(issued(Ok(asking.outcome(&*holder.cm).await.unwrap().unwrap())), issued(outcome));
}

pub(super) async fn what_was_issued_cannot_be_withdrawn(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let asking = holder.ask().await;
    let outcome = asking.submit(&*holder.cm).await;
    let (id, certificate) = (request_id(&outcome), issued(outcome));
    let late = holder.cm.cancel(&asking.realm, &id).await;
    assert!(matches!(&late, Err(CmError::AlreadyIssued(known)) if **known == certificate), "{late:?}");
}

pub(super) async fn what_never_reached_the_cm_is_none(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let asking = holder.ask().await;
    let cm = &*holder.cm;
    assert_eq!(asking.outcome(cm).await.unwrap(), None);
    assert_eq!(cm.request_by_order(&asking.realm, &OrderId::from_random(fresh())).await.unwrap(), None);
    assert_eq!(cm.request(&asking.realm, &"req_none".parse().unwrap()).await.unwrap(), None);
    assert_eq!(holder.count(&asking), 0);
    // Asking about it has not spoilt it.
    let _issued = issued(asking.submit(cm).await);
}
