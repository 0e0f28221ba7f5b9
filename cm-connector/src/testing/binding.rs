//! Bindings: an account key and a pre-registration, exactly once (CM contract section 4.3).

use std::{collections::BTreeSet, time::Duration};

use acme::{ids::RegistrationId, problem::ProblemKind, registration::RegistrationStatus};

use super::{
    Asked, ExternalAccount, Preregistration, Realm,
    expect::{RACERS, at_once, internal, now, refused, settled},
    person::Person,
    run::Subjects,
};
use crate::{CmError, DirectoryToken};

pub(super) async fn a_pre_registration_is_bound_with_its_secret_once(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, registered) = (subject.gateway(), subject.realm(Realm::Registered));
    let account = subject.preregister(&registered, &Preregistration::default());
    let (person, other) = (Person::new(subject), Person::new(subject));
    let bind = async |who: &Person<'_>, account: &ExternalAccount| {
        cm.bind_registration(&registered, &who.bound_request(&registered, account)).await
    };
    let wrong = ExternalAccount { secret: b"a secret of somebody else".to_vec(), ..account.clone() };
    refused(bind(&person, &wrong).await, ProblemKind::Unauthorized);
    let bound = bind(&person, &account).await.unwrap();
    assert!(bound.created);
    assert_eq!(bound.registration.id, account.registration);
    assert_eq!(bound.registration.external_account.as_deref(), Some(account.kid.as_str()));
    let again = bind(&person, &account).await.unwrap();
    assert_eq!((again.created, &again.registration), (false, &bound.registration));
    refused(bind(&other, &account).await, ProblemKind::Unauthorized);
    assert_eq!(cm.registration_by_key(&registered, &other.public_key().thumbprint()).await.unwrap(), None);
}

pub(super) async fn an_unknown_kid_and_a_wrong_secret_are_answered_alike(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, registered) = (subject.gateway(), subject.realm(Realm::Registered));
    let known = subject.preregister(&registered, &Preregistration::default());
    let person = Person::new(subject);
    let mut answers = Vec::new();
    for kid in [known.kid.as_str(), "nobody", "a/b", "../prereg/nobody", "%2e%2e"] {
        let guess = ExternalAccount { kid: kid.to_owned(), secret: b"a guess".to_vec(), ..known.clone() };
        match cm.bind_registration(&registered, &person.bound_request(&registered, &guess)).await {
            Err(CmError::BindingRefused(problem)) => answers.push(problem),
            other => panic!("{kid}: {other:?}"),
        }
    }
    assert!(answers.iter().all(|problem| *problem == answers[0]), "{answers:?}");
}

/// What becomes of so many that bind at once, each at a gateway of its own.
async fn race(
    subjects: &Subjects<'_>,
    account: &ExternalAccount,
    who: impl Fn() -> usize,
) -> Vec<Result<crate::Registered, CmError>> {
    let subject = subjects.shared();
    let registered = subject.realm(Realm::Registered);
    let people = [(); RACERS].map(|()| Person::new(subject));
    let racers = (0..RACERS).map(|_| {
        let request = people[who()].bound_request(&registered, account);
        let (cm, registered) = (subject.gateway(), registered.clone());
        async move { settled(async || cm.bind_registration(&registered, &request).await).await }
    });
    at_once(racers).await
}

/// Another one each time.
fn each() -> impl Fn() -> usize {
    let next = std::cell::Cell::new(0);
    move || next.replace(next.get() + 1)
}

pub(super) async fn of_many_clients_that_bind_at_once_one_wins(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let account = subject.preregister(&subject.realm(Realm::Registered), &Preregistration::default());
    let outcomes = race(subjects, &account, each()).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        refused(outcome, ProblemKind::Unauthorized);
    }
}

pub(super) async fn a_client_that_binds_many_times_at_once_has_one_account(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let account = subject.preregister(&subject.realm(Realm::Registered), &Preregistration::default());
    for outcome in race(subjects, &account, || 0).await {
        assert_eq!(outcome.unwrap().registration.id, account.registration);
    }
}

pub(super) async fn a_pre_registration_for_many_is_bound_so_often_as_it_says(subjects: &Subjects<'_>) {
    const MANY: usize = 3;
    let subject = subjects.shared();
    let wish = Preregistration { many: Some(3), ..Preregistration::default() };
    let account = subject.preregister(&subject.realm(Realm::Registered), &wish);
    let outcomes = race(subjects, &account, each()).await;
    let ids: BTreeSet<RegistrationId> = outcomes.iter().flatten().map(|bound| bound.registration.id.clone()).collect();
    assert_eq!((ids.len(), outcomes.iter().flatten().count()), (MANY, MANY), "{outcomes:?}");
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        refused(outcome, ProblemKind::Unauthorized);
    }
}

pub(super) async fn one_account_key_has_one_registration(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, registered, person) = (subject.gateway(), subject.realm(Realm::Registered), Person::new(subject));
    let [first, second] = [(); 2].map(|()| subject.preregister(&registered, &Preregistration::default()));
    let bound = person.bind(&*cm, &registered, &first).await;
    let outcome = cm.bind_registration(&registered, &person.bound_request(&registered, &second)).await;
    assert!(matches!(&outcome, Err(CmError::KeyInUse { registration: Some(id) }) if *id == bound.id), "{outcome:?}");
    // Nothing of the second was used up.
    let other = Person::new(subject).bind(&*cm, &registered, &second).await;
    assert_eq!(other.id, second.registration);
}

pub(super) async fn a_window_that_has_not_begun_binds_nobody(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, registered, person) = (subject.gateway(), subject.realm(Realm::Registered), Person::new(subject));
    let tomorrow = Some(now().plus(Duration::from_secs(86_400)));
    let account =
        subject.preregister(&registered, &Preregistration { not_before: tomorrow, ..Preregistration::default() });
    refused(
        cm.bind_registration(&registered, &person.bound_request(&registered, &account)).await,
        ProblemKind::Unauthorized,
    );
    assert_eq!(cm.registration_by_key(&registered, &person.public_key().thumbprint()).await.unwrap(), None);
}

pub(super) async fn what_an_officer_has_ended_binds_nobody(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, registered) = (subject.gateway(), subject.realm(Realm::Registered));
    for status in [RegistrationStatus::Suspended, RegistrationStatus::Revoked] {
        let account = subject.preregister(&registered, &Preregistration::default());
        subject.set_status(&registered, &account.registration, status);
        let person = Person::new(subject);
        let outcome = cm.bind_registration(&registered, &person.bound_request(&registered, &account)).await;
        let is_refused = matches!(&outcome, Err(CmError::Refused(_) | CmError::BindingRefused(_)));
        assert!(is_refused, "{status:?}: {outcome:?}");
        assert_eq!(cm.registration_by_key(&registered, &person.public_key().thumbprint()).await.unwrap(), None);
    }
}

pub(super) async fn a_directory_link_binds_once(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, registered) = (subject.gateway(), subject.realm(Realm::Registered));
    let asked = Asked::of(subject, &*cm).await;
    let bind = async |who: &Person<'_>, token: &DirectoryToken| {
        cm.bind_registration(&registered, &who.linked_request(&registered, token)).await
    };
    let (person, other) = (Person::new(subject), Person::new(subject));
    let unknown = DirectoryToken::parse(&"A".repeat(DirectoryToken::CHARACTERS)).unwrap();
    if !asked.offers("directory-links") {
        internal(bind(&person, &unknown).await);
        asked.instead("directory-links", "binding by a link is refused as an alarm");
        return;
    }
    let account = subject.preregister(&registered, &Preregistration::default());
    let token = subject.draw_link(&registered, &account.registration);
    refused(bind(&person, &unknown).await, ProblemKind::Unauthorized);
    let bound = bind(&person, &token).await.unwrap();
    assert_eq!((bound.created, &bound.registration.id), (true, &account.registration));
    assert!(!bind(&person, &token).await.unwrap().created);
    refused(bind(&other, &token).await, ProblemKind::Unauthorized);
}
