//! Who may do what: the CM says no, whatever the adapter would like (CM contract sections 1 and 2).

use acme::{ids::IdempotencyKey, problem::ProblemKind, registration::RegistrationStatus};

use super::{
    Caller, OfficersAct, Preregistration, Realm, Subject,
    asking::Asking,
    difference::realms,
    expect::{fresh, fresh_name, internal},
    holder::Holder,
    person::Person,
    run::Subjects,
};
use crate::CmError;

/// Whoever is not a gateway is told nothing that a client would be told, and nothing comes of what it asks for.
async fn is_no_gateway(subject: &dyn Subject, caller: Caller) {
    let (cm, open, person) =
        (subject.gateway_at(subject.address(), caller), subject.realm(Realm::Open), Person::new(subject));
    let identity = cm.check_identity(&realms(subject)).await;
    assert!(matches!(identity, Err(CmError::Internal { .. } | CmError::Unavailable { .. })), "{identity:?}");
    let made = cm.create_registration(&open, &person.request()).await;
    assert!(matches!(made, Err(CmError::Internal { .. } | CmError::Unavailable { .. })), "{made:?}");
    let found = subject.gateway().registration_by_key(&open, &person.public_key().thumbprint()).await;
    assert_eq!(found.unwrap(), None);
}

pub(super) async fn an_officers_certificate_is_no_gateway(subjects: &Subjects<'_>) {
    is_no_gateway(subjects.shared(), Caller::Officer).await;
}

pub(super) async fn whoever_has_no_certificate_of_a_role_gets_nothing(subjects: &Subjects<'_>) {
    is_no_gateway(subjects.shared(), Caller::Stranger).await;
}

pub(super) async fn a_gateway_gets_nothing_of_a_realm_that_is_not_its_own(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (foreign, holder) = (subject.realm(Realm::Foreign), Holder::new(subject).await);
    let account = subject.preregister(&foreign, &Preregistration::default());
    let cm = &*holder.cm;
    internal(cm.registration(&foreign, &account.registration).await);
    internal(cm.registration_by_key(&foreign, &holder.person.public_key().thumbprint()).await);
    internal(cm.bind_registration(&foreign, &holder.person.bound_request(&foreign, &account)).await);
    internal(cm.profiles(&foreign).await);
    let asking = holder.ask().await;
    let elsewhere = cm.submit(&foreign, &asking.key, &asking.octets(cm), std::time::Duration::ZERO).await;
    internal(elsewhere);
    internal(cm.request_by_key(&foreign, &IdempotencyKey::from_random(fresh())).await);
    assert_eq!(subject.certificates(&foreign, &asking.name()), 0);
}

pub(super) async fn a_registration_of_one_realm_gets_nothing_in_another(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let (cm, registered) = (&*holder.cm, holder.subject.realm(Realm::Registered));
    assert_eq!(cm.registration(&registered, &holder.id).await.unwrap(), None);
    let thumbprint = holder.person.public_key().thumbprint();
    assert_eq!(cm.registration_by_key(&registered, &thumbprint).await.unwrap(), None);
    let name = fresh_name("example.com");
    let asking = Asking::of(holder.subject, &holder.person, &holder.id, cm, &registered, &[&name]).await;
    super::expect::refused(asking.submit(cm).await, ProblemKind::AccountDoesNotExist);
    assert_eq!(holder.count(&asking), 0);
}

pub(super) async fn a_gateway_cannot_do_what_is_an_officers(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, realm) = (subject.gateway(), subject.realm(Realm::Registered));
    let wish = Preregistration { suffixes: vec!["example.com"], ..Preregistration::default() };
    let account = subject.preregister(&realm, &wish);
    let person = Person::new(subject);
    let bound = person.bind(&*cm, &realm, &account).await;
    subject.set_status(&realm, &bound.id, RegistrationStatus::Suspended);
    let before = cm.registration(&realm, &bound.id).await.unwrap().unwrap();
    for act in OfficersAct::ALL {
        let outcome = subject.attempt(act, &realm, &account);
        assert!(outcome.is_err_and(|words| !words.is_empty()), "{act:?} was done");
        assert_eq!(cm.registration(&realm, &bound.id).await.unwrap().as_ref(), Some(&before), "{act:?}");
    }
}
