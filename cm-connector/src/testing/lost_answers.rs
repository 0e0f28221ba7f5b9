//! Answers that are lost after the CM has acted: nobody says that nothing was done, and asking again finds it (CM
//! contract sections 3 and 8).

use acme::ids::IdempotencyKey;

use super::{
    Preregistration, Realm,
    expect::{fresh, issued, lost, settled},
    holder::Holder,
    line::losing_the_answer,
    person::Person,
    revocation::Revocable,
    run::Subjects,
};
use crate::CertificateStatus;

pub(super) async fn an_account_whose_answer_was_lost_is_found_again(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, open, person) = (subject.gateway(), subject.realm(Realm::Open), Person::new(subject));
    let (request, thumbprint) = (person.request(), person.public_key().thumbprint());
    let outcome = losing_the_answer(
        subject,
        async |cm| cm.create_registration(&open, &request).await,
        async || cm.registration_by_key(&open, &thumbprint).await.unwrap().is_some(),
    )
    .await;
    lost(outcome);
    let found = cm.registration_by_key(&open, &thumbprint).await.unwrap().unwrap();
    // The same octets again; and a client that knows of nothing and begins anew.
    for request in [request, person.request()] {
        assert_eq!(cm.create_registration(&open, &request).await.unwrap().registration, found);
    }
}

pub(super) async fn a_binding_whose_answer_was_lost_is_the_same_when_repeated(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, realm, person) = (subject.gateway(), subject.realm(Realm::Registered), Person::new(subject));
    let account = subject.preregister(&realm, &Preregistration::default());
    let (request, thumbprint) = (person.bound_request(&realm, &account), person.public_key().thumbprint());
    let outcome = losing_the_answer(
        subject,
        async |cm| cm.bind_registration(&realm, &request).await,
        async || cm.registration_by_key(&realm, &thumbprint).await.unwrap().is_some(),
    )
    .await;
    lost(outcome);
    let again = cm.bind_registration(&realm, &person.bound_request(&realm, &account)).await.unwrap();
    assert_eq!((again.created, &again.registration.id), (false, &account.registration));
    let other = cm.bind_registration(&realm, &Person::new(subject).bound_request(&realm, &account)).await;
    super::expect::refused(other, acme::problem::ProblemKind::Unauthorized);
}

pub(super) async fn a_key_change_whose_answer_was_lost_is_the_same_when_repeated(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, open) = (subject.gateway(), subject.realm(Realm::Open));
    let (person, next) = (Person::new(subject), Person::new(subject));
    let before = person.register(&*cm).await.registration;
    let (key, proof) = (next.public_key(), person.key_change(&open, &before.id, &next));
    let outcome = losing_the_answer(
        subject,
        async |cm| cm.change_key(&open, &before, &key, &proof).await,
        async || cm.registration_by_key(&open, &key.thumbprint()).await.unwrap().is_some(),
    )
    .await;
    lost(outcome);
    let again = cm.change_key(&open, &before, &key, &proof).await.unwrap();
    assert_eq!((&again.id, again.key.map(|record| record.key)), (&before.id, Some(key)));
    assert_eq!(cm.registration_by_key(&open, &person.public_key().thumbprint()).await.unwrap(), None);
}

pub(super) async fn a_certificate_whose_answer_was_lost_is_found_by_its_key(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let asking = holder.ask().await;
    let outcome =
        losing_the_answer(holder.subject, async |cm| asking.submit(cm).await, async || holder.count(&asking) > 0).await;
    lost(outcome);
    // What a gateway does after a crash: it asks first.
    let cm = holder.subject.gateway();
    let found = settled(async || asking.outcome(&*cm).await).await.unwrap().expect("the CM knows the key");
    let certificate = issued(Ok(found));
    assert_eq!(issued(asking.submit(&*cm).await), certificate);
    let by_order = cm.request_by_order(&asking.realm, &asking.request.order).await.unwrap().unwrap();
    assert_eq!(issued(Ok(by_order)), certificate);
    assert_eq!(holder.count(&asking), 1);
}

pub(super) async fn a_revocation_whose_answer_was_lost_is_the_same_when_repeated(subjects: &Subjects<'_>) {
    let it = Revocable::new(subjects.shared()).await;
    let (realm, id, key) = (&it.asking.realm, &it.certificate.id, IdempotencyKey::from_random(fresh()));
    let outcome = losing_the_answer(
        it.holder.subject,
        async |cm| cm.revoke(realm, id, &key, &it.octets).await,
        async || it.now().await.status == CertificateStatus::Revoked,
    )
    .await;
    lost(outcome);
    let record = it.now().await.revocation.unwrap();
    let again = it.holder.subject.gateway().revoke(realm, id, &key, &it.octets).await.unwrap();
    assert_eq!(again.at, record.at);
}
