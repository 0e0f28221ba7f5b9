//! A CM that is killed (SIGKILL) and started again: what it had done is done, and nothing is done twice (CM contract
//! sections 3 and 8).

use acme::{ids::IdempotencyKey, problem::ProblemKind};

use super::{
    Preregistration, Realm, Subject,
    asking::Asking,
    certificates::chain,
    expect::{fresh, fresh_name, issued, lost, refused, settled},
    line::losing_the_answer,
    person::Person,
    run::Subjects,
};
use crate::{CertificateManager, CertificateStatus, RequestState};

pub(super) async fn what_was_done_before_kill_9_is_there_after_it(subjects: &Subjects<'_>) {
    let subject = &*subjects.own();
    let (cm, open, registered) = (subject.gateway(), subject.realm(Realm::Open), subject.realm(Realm::Registered));
    let (person, bound) = (Person::new(subject), Person::new(subject));
    let registration = person.register(&*cm).await.registration;
    let account = subject.preregister(&registered, &Preregistration::default());
    let binding = bound.bind(&*cm, &registered, &account).await;
    let asking = Asking::open(subject, &person, &registration.id, &*cm, &[&fresh_name("example.com")]).await;
    let certificate = issued(asking.submit(&*cm).await);
    let wish = person.revocation(&open, &registration.id, &chain(&certificate)[0]);
    let (octets, key) = (cm.revocation_request(&wish).unwrap(), IdempotencyKey::from_random(fresh()));
    let revoked = cm.revoke(&open, &certificate.id, &key, &octets).await.unwrap();
    subject.kill();
    subject.restart();
    // The same gateway, which finds the CM again, and one that is started with it.
    let found = settled(async || cm.registration(&open, &registration.id).await).await.unwrap();
    assert_eq!(found.as_ref(), Some(&registration));
    let cm = subject.gateway();
    assert_eq!(cm.registration(&registered, &binding.id).await.unwrap(), Some(binding));
    let other = cm.bind_registration(&registered, &Person::new(subject).bound_request(&registered, &account)).await;
    refused(other, ProblemKind::Unauthorized);
    let again = issued(asking.submit(&*cm).await);
    assert_eq!((&again.id, again.status), (&certificate.id, CertificateStatus::Revoked));
    assert_eq!(cm.revoke(&open, &certificate.id, &key, &octets).await.unwrap(), revoked);
    assert_eq!(subject.certificates(&open, &asking.name()), 1);
}

pub(super) async fn a_certificate_is_found_after_kill_9_between_submit_and_question(subjects: &Subjects<'_>) {
    let subject = &*subjects.own();
    let (cm, open, person) = (subject.gateway(), subject.realm(Realm::Open), Person::new(subject));
    let id = person.register(&*cm).await.registration.id;
    let asking = Asking::open(subject, &person, &id, &*cm, &[&fresh_name("example.com")]).await;
    let count = || subject.certificates(&open, &asking.name());
    lost(losing_the_answer(subject, async |cm| asking.submit(cm).await, async || count() > 0).await);
    subject.kill();
    subject.restart();
    let cm = subject.gateway();
    let found = settled(async || asking.outcome(&*cm).await).await.unwrap().expect("the CM knows the key");
    assert_eq!(issued(asking.submit(&*cm).await), issued(Ok(found)));
    assert_eq!(count(), 1);
}

/// What a gateway does about a request of which it does not know what became: it asks, and sends it again only if the
/// CM has never heard of it.
async fn resolved(cm: &dyn CertificateManager, asking: &Asking) -> RequestState {
    let outcome = settled(async || match asking.outcome(cm).await? {
        Some(state) => Ok(state),
        None => asking.submit(cm).await,
    });
    outcome.await.unwrap()
}

pub(super) async fn kill_9_under_load_leaves_each_order_one_certificate(subjects: &Subjects<'_>) {
    const ORDERS: usize = 24;
    let subject: &dyn Subject = &*subjects.own();
    let (cm, open, person) = (subject.gateway(), subject.realm(Realm::Open), Person::new(subject));
    let id = person.register(&*cm).await.registration.id;
    let mut askings = Vec::new();
    for _ in 0..ORDERS {
        let asking = Asking::open(subject, &person, &id, &*cm, &[&fresh_name("example.com")]).await;
        askings.push(std::sync::Arc::new(asking));
    }
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let mut racers = tokio::task::JoinSet::new();
    for asking in &askings {
        let (cm, asking, answered) = (std::sync::Arc::clone(&cm), std::sync::Arc::clone(asking), answered.clone());
        racers.spawn(async move {
            let _whatever = asking.submit(&*cm).await;
            let _ = answered.send(());
        });
    }
    // Once one is answered, while others are on their way; wherever each of them is then must not matter.
    answers.recv().await.expect("an answer");
    subject.kill();
    subject.restart();
    racers.join_all().await;
    let cm = subject.gateway();
    for asking in &askings {
        let _certificate = issued(Ok(resolved(&*cm, asking).await));
        assert_eq!(subject.certificates(&open, &asking.name()), 1, "{}", asking.name());
    }
}
