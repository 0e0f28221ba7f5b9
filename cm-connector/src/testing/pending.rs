//! Requests that wait for a person (CM contract section 4.4, 202).

use std::time::Duration;

use acme::{ids::CertificateRequestId, problem::ProblemKind};

use super::{
    Asked, Decision, Preregistration, Realm, Subject,
    asking::Asking,
    expect::{eventually, fresh_name, issued},
    holder::Holder,
    person::Person,
    run::Subjects,
};
use crate::RequestState;

/// A request that waits, with who made it; `None` if the CM has nobody that it could wait for, and then it was
/// asserted that nothing waits.
async fn waiting(subject: &'static dyn Subject) -> Option<(Holder, Asking, CertificateRequestId)> {
    let (cm, person, realm) = (subject.gateway(), Person::new(subject), subject.realm(Realm::Registered));
    let asked = Asked::of(subject, &*cm).await;
    let mut profiles: Vec<_> = cm.profiles(&realm).await.unwrap().into_iter().map(|profile| profile.name).collect();
    if !asked.offers("approvals") {
        assert_eq!(subject.approving_profile(), None);
        let holder = Holder::new(subject).await;
        let asking = holder.ask().await;
        let (key, octets) = (&asking.key, asking.octets(&*cm));
        let _certificate = issued(cm.submit(&asking.realm, key, &octets, Duration::ZERO).await);
        asked
            .instead("approvals", "no profile waits, and submit answers with the certificate although it may not wait");
        return None;
    }
    let approving = subject.approving_profile().expect("approvals are offered");
    profiles.retain(|name| *name != approving);
    profiles.insert(0, approving.clone());
    let account = subject.preregister(&realm, &Preregistration { profiles, ..Preregistration::default() });
    let id = person.bind(&*cm, &realm, &account).await.id;
    let name = fresh_name("example.com");
    let mut asking = Asking::of(subject, &person, &id, &*cm, &realm, &[&name]).await;
    asking.request.profile = approving;
    let outcome = cm.submit(&realm, &asking.key, &asking.octets(&*cm), Duration::ZERO).await;
    let Ok(RequestState::Pending { id: request, approval: true, .. }) = outcome else {
        panic!("a request that waits for a person expected: {outcome:?}")
    };
    let holder = Holder { subject, cm, person, id };
    for state in [asking.outcome(&*holder.cm).await, holder.cm.request(&realm, &request).await] {
        assert!(matches!(state, Ok(Some(RequestState::Pending { approval: true, .. }))), "{state:?}");
    }
    assert_eq!(holder.count(&asking), 0);
    Some((holder, asking, request))
}

/// What it has become, once it does not wait any more.
async fn decided(holder: &Holder, asking: &Asking) -> RequestState {
    eventually(async || match asking.outcome(&*holder.cm).await.unwrap().unwrap() {
        RequestState::Pending { .. } => None,
        decided @ (RequestState::Issued { .. } | RequestState::Refused { .. }) => Some(decided),
    })
    .await
}

pub(super) async fn what_waits_for_a_person_is_issued_once_she_agrees(subjects: &Subjects<'_>) {
    let Some((holder, asking, request)) = waiting(subjects.shared()).await else { return };
    holder.subject.decide(&asking.realm, &request, Decision::Approve).unwrap();
    let certificate = issued(Ok(decided(&holder, &asking).await));
    assert_eq!(issued(asking.submit(&*holder.cm).await), certificate);
    assert_eq!(holder.count(&asking), 1);
}

pub(super) async fn what_a_person_refuses_is_refused_and_never_issued(subjects: &Subjects<'_>) {
    let Some((holder, asking, request)) = waiting(subjects.shared()).await else { return };
    holder.subject.decide(&asking.realm, &request, Decision::Reject).unwrap();
    let state = decided(&holder, &asking).await;
    let RequestState::Refused { refusal, .. } = &state else { panic!("a refusal expected: {state:?}") };
    assert_eq!((refusal.problem.kind, refusal.evidence_refused), (ProblemKind::Unauthorized, false));
    holder.subject.decide(&asking.realm, &request, Decision::Approve).unwrap_err();
    assert_eq!((decided(&holder, &asking).await, holder.count(&asking)), (state, 0));
}

pub(super) async fn what_is_withdrawn_while_it_waits_is_never_issued(subjects: &Subjects<'_>) {
    let Some((holder, asking, request)) = waiting(subjects.shared()).await else { return };
    holder.cm.cancel(&asking.realm, &request).await.unwrap();
    let state = decided(&holder, &asking).await;
    assert!(matches!(state, RequestState::Refused { .. }), "{state:?}");
    holder.subject.decide(&asking.realm, &request, Decision::Approve).unwrap_err();
    assert_eq!((decided(&holder, &asking).await, holder.count(&asking)), (state, 0));
}
