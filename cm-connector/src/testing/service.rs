//! The CM itself: who we are to it, what it can do, what it tells by itself (CM contract sections 4.1, 4.2 and 4.8).

use std::time::Duration;

use acme::registration::RegistrationStatus;

use super::{
    Asked, Preregistration, Realm, Subject,
    difference::{OPTIONAL, realms},
    expect::{eventually, internal, now},
    person::Person,
    run::Subjects,
};
use crate::{Capability, CertificateManager, Event, EventCursor, Events};

/// What every CM of a registered realm has.
const NEEDED: [&str; 4] = ["registrations", "idempotency", "eab-verify", "bind-atomic"];
/// What is an officer's or an auditor's to ask for.
const OTHERS: [&str; 4] = ["audit", "search-spki", "eab-overlap", "rebind"];
/// Further apart two clocks of one machine cannot be.
const SKEW_MAX: Duration = Duration::from_secs(60);

pub(super) async fn the_cm_says_who_we_are_and_what_it_can_do(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let cm = subject.gateway();
    cm.ready().await.unwrap();
    let identity = Asked::of(subject, &*cm).await.identity;
    assert!(identity.roles.contains("gateway") && !identity.name.is_empty() && !identity.product.is_empty());
    assert!(realms(subject).iter().all(|realm| identity.realms.contains(realm)), "{identity:?}");
    assert!(identity.time.since(now()) < SKEW_MAX && now().since(identity.time) < SKEW_MAX, "{identity:?}");
    assert_eq!(cm.unfit(), None);
    let has = |word: &str| identity.capabilities.contains(word);
    assert!(NEEDED.iter().all(|word| has(word)), "{identity:?}");
    let is_known = |word: &&String| [&NEEDED[..], &OTHERS, &OPTIONAL].concat().contains(&word.as_str());
    assert_eq!(identity.capabilities.iter().find(|word| !is_known(word)), None, "a word that the contract has not");
    use Capability::{DirectoryLinks, RealmPolicy, RenewalInfo, Waivers};
    for capability in [DirectoryLinks, RealmPolicy, RenewalInfo, Waivers] {
        assert_eq!(cm.offers(capability), has(capability.as_str()), "{capability:?}");
    }
    assert_eq!(subject.approving_profile().is_some(), has("approvals"));
}

pub(super) async fn a_realm_that_is_not_ours_is_named_as_what_is_wrong(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let cm = subject.gateway();
    for realm in [subject.realm(Realm::Foreign), "nowhere".parse().unwrap()] {
        internal(cm.check_identity(&[subject.realm(Realm::Open), realm.clone()]).await);
        let why = cm.unfit().expect("it is not as the gateway needs it");
        assert!(why.contains(&format!("realm {realm}")), "{why}");
    }
    let _identity = cm.check_identity(&realms(subject)).await.unwrap();
    assert_eq!(cm.unfit(), None);
}

pub(super) async fn the_feed_tells_of_a_suspension(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, realm) = (subject.gateway(), subject.realm(Realm::Registered));
    let asked = Asked::of(subject, &*cm).await;
    if !asked.offers("events") {
        internal(cm.events(&realm, None, Duration::ZERO).await);
        asked.instead("events", "events is refused as an alarm");
        return;
    }
    let account = subject.preregister(&realm, &Preregistration::default());
    let bound = Person::new(subject).bind(&*cm, &realm, &account).await;
    let mut cursor = now_in(&*cm, subject).await;
    subject.set_status(&realm, &bound.id, RegistrationStatus::Suspended);
    eventually(async || {
        let page = cm.events(&realm, Some(&cursor), Duration::from_secs(5)).await.unwrap();
        let Events::Page { events, next } = page else { panic!("a cursor of a moment ago: {page:?}") };
        cursor = next;
        let is_about_it = |event: &Event| matches!(event, Event::Registration { id, .. } if *id == bound.id);
        events.iter().any(is_about_it).then_some(())
    })
    .await;
}

async fn now_in(cm: &dyn CertificateManager, subject: &dyn Subject) -> EventCursor {
    match cm.events(&subject.realm(Realm::Registered), None, Duration::ZERO).await.unwrap() {
        Events::Page { next, .. } => next,
        Events::CursorExpired => panic!("there was no cursor that could expire"),
    }
}

pub(super) async fn an_officers_word_is_seen_at_the_next_look(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let (cm, realm) = (subject.gateway(), subject.realm(Realm::Registered));
    let asked = Asked::of(subject, &*cm).await;
    let account = subject.preregister(&realm, &Preregistration::default());
    let bound = Person::new(subject).bind(&*cm, &realm, &account).await;
    use RegistrationStatus::{Active, Revoked, Suspended};
    assert_eq!(bound.status, Active);
    for status in [Suspended, Active, Suspended, Active, Revoked] {
        subject.set_status(&realm, &bound.id, status);
        // The same gateway: what it has read before must not stand in the way.
        assert_eq!(cm.registration(&realm, &bound.id).await.unwrap().unwrap().status, status);
    }
    if !asked.offers("events") {
        asked.instead("events", "each look at a registration shows the officer's last word");
    }
}

pub(super) async fn what_a_realm_allows_to_anybody_is_told(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let cm = subject.gateway();
    let asked = Asked::of(subject, &*cm).await;
    let registration = Person::new(subject).register(&*cm).await.registration;
    if asked.offers("realm-policy") {
        assert!(registration.realm.is_some(), "{registration:?}");
    } else {
        assert_eq!(registration.realm, None);
        asked.instead("realm-policy", "a registration says nothing about its realm; names are judged at submit");
    }
}

pub(super) async fn each_profile_has_an_issuer_that_signs(subjects: &Subjects<'_>) {
    let subject = subjects.shared();
    let cm = subject.gateway();
    for realm in realms(subject) {
        let profiles = cm.profiles(&realm).await.unwrap();
        assert_eq!(profiles.iter().filter(|profile| profile.is_default).count(), 1, "{profiles:?}");
        for profile in profiles {
            assert!(profile.dns && profile.identifiers_max > 0 && !profile.key_types.is_empty(), "{profile:?}");
            let issuer = cm.issuer(&profile.issuer).await.unwrap();
            assert!(issuer.name == profile.issuer && issuer.is_active && issuer.subject_key_id.is_some(), "{issuer:?}");
            assert!(issuer.not_after > now());
            let waits = subject.approving_profile().as_ref() == Some(&profile.name);
            assert_eq!(profile.approval_timeout.is_some(), waits, "{profile:?}");
        }
    }
}
