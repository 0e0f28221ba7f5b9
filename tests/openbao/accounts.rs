//! Registrations: made, bound exactly once, held, changed.

use acme::{
    ids::RegistrationId,
    problem::ProblemKind,
    registration::{AllowedIdentifiers, RegistrationStatus},
};
use cm_connector::{CertificateManager, CmError, RegistrationUpdate};
use serde_json::json;

use crate::{
    SHARED, gateway,
    person::{Person, no_proof},
    realm,
};

fn refused(outcome: Result<impl std::fmt::Debug, CmError>, expected: ProblemKind) {
    match outcome {
        Err(CmError::Refused(problem) | CmError::BindingRefused(problem)) => assert_eq!(problem.kind, expected),
        other => panic!("{expected:?} expected: {other:?}"),
    }
}

#[tokio::test]
async fn an_account_is_made_once_and_found_by_its_key() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let person = Person::new();
    let thumbprint = person.public_key().thumbprint();
    assert_eq!(cm.registration_by_key(&open, &thumbprint).await.unwrap(), None);
    let (first, again) = (person.register(&cm).await, person.register(&cm).await);
    assert!(first.created && !again.created);
    assert_eq!(first.registration, again.registration);
    assert_eq!(first.registration.contacts, ["mailto:somebody@example.com"]);
    let found = cm.registration_by_key(&open, &thumbprint).await.unwrap().unwrap();
    assert_eq!(found, first.registration);
    assert_eq!(cm.registration(&open, &found.id).await.unwrap().unwrap(), found);
    assert_eq!(cm.registration(&open, &"reg_none".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn a_realm_that_is_not_open_makes_no_accounts() {
    let cm = gateway(&SHARED);
    let outcome = cm.create_registration(&realm("registered"), &Person::new().request()).await;
    assert!(matches!(outcome, Err(CmError::Internal { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_pre_registration_is_bound_with_its_secret_once() {
    let (cm, registered) = (gateway(&SHARED), realm("registered"));
    let secret = SHARED.preregister("registered", "once", &json!({}));
    let (person, other) = (Person::new(), Person::new());
    let wrong = cm.bind_registration(&registered, &person.bound_request("once", b"a secret of somebody else")).await;
    refused(wrong, ProblemKind::Unauthorized);
    let bound = cm.bind_registration(&registered, &person.bound_request("once", &secret)).await.unwrap();
    assert!(bound.created);
    assert_eq!(bound.registration.id.as_str(), "reg_once");
    assert_eq!(bound.registration.external_account.as_deref(), Some("once"));
    let again = cm.bind_registration(&registered, &person.bound_request("once", &secret)).await.unwrap();
    assert_eq!((again.created, &again.registration), (false, &bound.registration));
    refused(cm.bind_registration(&registered, &other.bound_request("once", &secret)).await, ProblemKind::Unauthorized);
    assert_eq!(cm.registration_by_key(&registered, &other.public_key().thumbprint()).await.unwrap(), None);
}

#[tokio::test]
async fn an_unknown_kid_and_a_wrong_secret_are_answered_alike() {
    let (cm, registered) = (gateway(&SHARED), realm("registered"));
    let _secret = SHARED.preregister("registered", "alike", &json!({}));
    let person = Person::new();
    let mut answers = Vec::new();
    for kid in ["alike", "nobody", "a/b", "../prereg/alike"] {
        match cm.bind_registration(&registered, &person.bound_request(kid, b"a secret of somebody else")).await {
            Err(CmError::BindingRefused(problem)) => answers.push(problem),
            other => panic!("{kid}: {other:?}"),
        }
    }
    assert!(answers.iter().all(|problem| *problem == answers[0]), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_clients_that_bind_at_once_one_wins() {
    let registered = realm("registered");
    let secret = SHARED.preregister("registered", "race", &json!({}));
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (cm, realm, secret) = (gateway(&SHARED), registered.clone(), secret.clone());
        racers.spawn(async move { cm.bind_registration(&realm, &Person::new().bound_request("race", &secret)).await });
    }
    let outcomes = racers.join_all().await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1, "{outcomes:?}");
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        refused(outcome, ProblemKind::Unauthorized);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pre_registration_for_many_is_bound_so_often_as_it_says() {
    let registered = realm("registered");
    let secret = SHARED.preregister("registered", "multi", &json!({"use": "multi", "maxBindings": 3}));
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (cm, realm, secret) = (gateway(&SHARED), registered.clone(), secret.clone());
        racers.spawn(async move { cm.bind_registration(&realm, &Person::new().bound_request("multi", &secret)).await });
    }
    let outcomes = racers.join_all().await;
    let ids: std::collections::BTreeSet<RegistrationId> =
        outcomes.iter().flatten().map(|bound| bound.registration.id.clone()).collect();
    assert_eq!((ids.len(), outcomes.iter().filter(|outcome| outcome.is_ok()).count()), (3, 3), "{outcomes:?}");
}

#[tokio::test]
async fn what_a_crash_between_use_and_account_left_the_same_client_goes_on_with() {
    let (cm, registered) = (gateway(&SHARED), realm("registered"));
    let secret = SHARED.preregister("registered", "crash", &json!({"use": "multi", "maxBindings": 1}));
    let (person, other) = (Person::new(), Person::new());
    // As if the gateway had died after the first of three records.
    let thumbprint = person.public_key().thumbprint();
    let use_of_it = json!({"options": {"cas": 0}, "data": {"registration": "reg_crash_1", "thumbprint": thumbprint}});
    let _ = SHARED.root(&["write", "-format=json", "acme/registered/cm/data/bind/crash/1", "-"], Some(&use_of_it));
    refused(cm.bind_registration(&registered, &other.bound_request("crash", &secret)).await, ProblemKind::Unauthorized);
    assert_eq!(cm.registration_by_key(&registered, &thumbprint).await.unwrap(), None);
    let bound = cm.bind_registration(&registered, &person.bound_request("crash", &secret)).await.unwrap();
    assert_eq!((bound.created, bound.registration.id.as_str()), (true, "reg_crash_1"));
}

#[tokio::test]
async fn a_window_that_is_over_binds_nobody_and_the_bound_stay() {
    let (cm, registered) = (gateway(&SHARED), realm("registered"));
    let members = json!({"notBefore": "2020-01-01T00:00:00Z", "notAfter": "2020-02-01T00:00:00Z"});
    let secret = SHARED.preregister("registered", "window", &members);
    let outcome = cm.bind_registration(&registered, &Person::new().bound_request("window", &secret)).await;
    refused(outcome, ProblemKind::Unauthorized);
}

#[tokio::test]
async fn an_officers_word_is_seen_at_the_next_look() {
    let (cm, registered) = (gateway(&SHARED), realm("registered"));
    let listed = json!({"allowedIdentifiers": {"mode": "listed",
        "rules": [{"type": "dns", "match": "suffix", "value": "a.example.com"}]}});
    let secret = SHARED.preregister("registered", "hold", &listed);
    let person = Person::new();
    let bound = cm.bind_registration(&registered, &person.bound_request("hold", &secret)).await.unwrap().registration;
    assert_eq!(bound.status, RegistrationStatus::Active);
    assert!(matches!(&bound.allowed_identifiers, AllowedIdentifiers::Listed { rules, .. } if rules.len() == 1));
    let look = async || cm.registration(&registered, &bound.id).await.unwrap().unwrap().status;
    let words = [("suspended", RegistrationStatus::Suspended), ("active", RegistrationStatus::Active)];
    for (version, (word, status)) in (0..).zip(words) {
        SHARED.officer_writes("registered", "hold/reg_hold", version, &json!({"status": word})).unwrap();
        assert_eq!(look().await, status);
    }
    SHARED.officer_writes("registered", "hold/reg_hold", 2, &json!({"status": "revoked"})).unwrap();
    assert_eq!(look().await, RegistrationStatus::Revoked);
}

#[tokio::test]
async fn contacts_change_and_an_account_ends() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let stale = Person::new().register(&cm).await.registration;
    let contacts = |name: &str| RegistrationUpdate {
        contacts: Some(vec![format!("mailto:{name}@example.com")]),
        terms_of_service_agreed_at: None,
    };
    let changed = cm.update_registration(&open, &stale, &contacts("one"), &no_proof()).await.unwrap();
    assert_eq!(changed.contacts, ["mailto:one@example.com"]);
    assert!(changed.version > stale.version);
    // On the word of what was read before somebody else changed it.
    let changed = cm.update_registration(&open, &stale, &contacts("two"), &no_proof()).await.unwrap();
    assert_eq!(changed.contacts, ["mailto:two@example.com"]);
    let ended = cm.deactivate(&open, &stale, &no_proof()).await.unwrap();
    assert_eq!(ended.status, RegistrationStatus::Deactivated);
    assert_eq!(cm.deactivate(&open, &stale, &no_proof()).await.unwrap(), ended);
    let outcome = cm.update_registration(&open, &stale, &contacts("three"), &no_proof()).await;
    refused(outcome, ProblemKind::AccountNotActive);
}

#[tokio::test]
async fn a_key_is_exchanged_once_and_never_comes_back() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let (person, next, other) = (Person::new(), Person::new(), Person::new());
    let before = person.register(&cm).await.registration;
    let _other = other.register(&cm).await;
    let taken = cm.change_key(&open, &before, &other.public_key(), &no_proof()).await;
    assert!(matches!(taken, Err(CmError::KeyInUse { registration: Some(_) })), "{taken:?}");
    let after = cm.change_key(&open, &before, &next.public_key(), &no_proof()).await.unwrap();
    assert_eq!((&after.id, after.key.as_ref().unwrap().key == next.public_key()), (&before.id, true));
    assert_eq!(cm.change_key(&open, &before, &next.public_key(), &no_proof()).await.unwrap(), after, "a repetition");
    let late = cm.change_key(&open, &before, &Person::new().public_key(), &no_proof()).await;
    refused(late, ProblemKind::Malformed);
    assert_eq!(cm.registration_by_key(&open, &person.public_key().thumbprint()).await.unwrap(), None);
    refused(cm.create_registration(&open, &person.request()).await, ProblemKind::BadPublicKey);
    let back = cm.change_key(&open, &after, &person.public_key(), &no_proof()).await;
    refused(back, ProblemKind::BadPublicKey);
}
