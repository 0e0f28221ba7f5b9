//! Registrations: made, found, changed, given up, re-keyed (CM contract section 4.3).

use acme::{problem::ProblemKind, registration::RegistrationStatus};

use super::{
    Asked, Realm,
    expect::{RACERS, at_once, internal, refused, settled},
    person::{CONTACT, Person},
    run::Subjects,
};
use crate::CmError;

pub(super) async fn an_account_is_made_once_and_found_by_its_key(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, open) = (subject.gateway(), subject.realm(Realm::Open));
    let person = Person::new(subject);
    let thumbprint = person.public_key().thumbprint();
    assert_eq!(cm.registration_by_key(&open, &thumbprint).await.unwrap(), None);
    let (first, again) = (person.register(&*cm).await, person.register(&*cm).await);
    assert!(first.created && !again.created);
    assert_eq!(first.registration, again.registration);
    let registration = first.registration;
    assert_eq!(
        (registration.contacts.as_slice(), registration.status),
        (&[CONTACT.to_owned()][..], RegistrationStatus::Active)
    );
    assert_eq!(registration.key.as_ref().map(|record| &record.key), Some(&person.public_key()));
    // By another gateway too.
    let cm = subject.gateway();
    assert_eq!(cm.registration_by_key(&open, &thumbprint).await.unwrap().as_ref(), Some(&registration));
    assert_eq!(cm.registration(&open, &registration.id).await.unwrap().as_ref(), Some(&registration));
    assert_eq!(cm.registration(&open, &"reg_none".parse().unwrap()).await.unwrap(), None);
}

pub(super) async fn one_key_many_times_at_once_is_one_account(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (open, person) = (subject.realm(Realm::Open), Person::new(subject));
    let racers = (0..RACERS).map(|_| {
        let (cm, open, request) = (subject.gateway(), open.clone(), person.request());
        async move { settled(async || cm.create_registration(&open, &request).await).await.unwrap() }
    });
    let made = at_once(racers).await;
    assert!(made.iter().all(|one| one.registration.id == made[0].registration.id), "{made:?}");
    let found = subject.gateway().registration_by_key(&open, &person.public_key().thumbprint()).await.unwrap();
    assert_eq!(found.map(|found| found.id), Some(made[0].registration.id.clone()));
}

pub(super) async fn a_realm_that_is_not_open_makes_no_accounts(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, registered, person) = (subject.gateway(), subject.realm(Realm::Registered), Person::new(subject));
    internal(cm.create_registration(&registered, &person.request()).await);
    assert_eq!(cm.registration_by_key(&registered, &person.public_key().thumbprint()).await.unwrap(), None);
}

pub(super) async fn contacts_change_and_an_account_ends(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, open, person) = (subject.gateway(), subject.realm(Realm::Open), Person::new(subject));
    let stale = person.register(&*cm).await.registration;
    // The second time on the word of what was read before somebody else changed it.
    for contact in ["mailto:one@example.com", "mailto:two@example.com"] {
        let (update, proof) = person.update(&open, &stale.id, contact);
        let changed = cm.update_registration(&open, &stale, &update, &proof).await.unwrap();
        assert_eq!(changed.contacts, [contact]);
        assert!(changed.version > stale.version);
        assert_eq!(cm.registration(&open, &stale.id).await.unwrap(), Some(changed));
    }
    let proof = person.deactivation(&open, &stale.id);
    let ended = cm.deactivate(&open, &stale, &proof).await.unwrap();
    assert_eq!(ended.status, RegistrationStatus::Deactivated);
    assert_eq!(cm.deactivate(&open, &stale, &proof).await.unwrap().status, RegistrationStatus::Deactivated);
    let (update, proof) = person.update(&open, &stale.id, "mailto:three@example.com");
    refused(cm.update_registration(&open, &stale, &update, &proof).await, ProblemKind::AccountNotActive);
}

pub(super) async fn a_key_is_exchanged_once_and_never_comes_back(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, open) = (subject.gateway(), subject.realm(Realm::Open));
    let [person, next, other, late] = [(); 4].map(|()| Person::new(subject));
    let before = person.register(&*cm).await.registration;
    let others = other.register(&*cm).await.registration;
    let change = async |registration: &_, from: &Person<'_>, to: &Person<'_>| {
        let proof = from.key_change(&open, &before.id, to);
        cm.change_key(&open, registration, &to.public_key(), &proof).await
    };
    let taken = change(&before, &person, &other).await;
    assert!(matches!(&taken, Err(CmError::KeyInUse { registration: Some(id) }) if *id == others.id), "{taken:?}");
    let after = change(&before, &person, &next).await.unwrap();
    let key = after.key.as_ref().map(|record| record.key.clone());
    assert_eq!((&after.id, key), (&before.id, Some(next.public_key())));
    assert_eq!(change(&before, &person, &next).await.unwrap().version, after.version, "a repetition");
    refused(change(&before, &person, &late).await, ProblemKind::Malformed);
    assert_eq!(cm.registration_by_key(&open, &person.public_key().thumbprint()).await.unwrap(), None);
    refused(cm.create_registration(&open, &person.request()).await, ProblemKind::BadPublicKey);
    refused(change(&after, &next, &person).await, ProblemKind::BadPublicKey);
}

pub(super) async fn of_many_key_changes_at_once_one_wins(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, open, person) = (subject.gateway(), subject.realm(Realm::Open), Person::new(subject));
    let before = person.register(&*cm).await.registration;
    let racers = (0..RACERS).map(|_| {
        let (cm, open, before, next) = (subject.gateway(), open.clone(), before.clone(), Person::new(subject));
        let (key, proof) = (next.public_key(), person.key_change(&open, &before.id, &next));
        async move { settled(async || cm.change_key(&open, &before, &key, &proof).await).await.map(|_| key) }
    });
    let outcomes = at_once(racers).await;
    let won: Vec<_> = outcomes.iter().flatten().collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    let now = cm.registration(&open, &before.id).await.unwrap().unwrap();
    assert_eq!(now.key.map(|record| record.key).as_ref(), Some(won[0]));
    for outcome in outcomes.iter().filter(|outcome| outcome.is_err()) {
        refused(outcome.clone(), ProblemKind::Malformed);
    }
}

pub(super) async fn a_proof_by_another_key_makes_no_account(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, open) = (subject.gateway(), subject.realm(Realm::Open));
    let asked = Asked::of(subject, &*cm).await;
    let (person, forger) = (Person::new(subject), Person::new(subject));
    let outcome = cm.create_registration(&open, &person.forged_request(&forger)).await;
    if asked.offers("proofs") {
        internal(outcome);
        assert_eq!(cm.registration_by_key(&open, &person.public_key().thumbprint()).await.unwrap(), None);
    } else {
        assert!(outcome.unwrap().created);
        asked.instead("proofs", "the client's signature is the gateway's alone to check: one by another key is taken");
    }
}
