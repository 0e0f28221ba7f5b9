//! Registrations as records of OpenBao: half-written ones, windows, an officer's word on top of one.

use acme::{
    problem::ProblemKind,
    registration::{AllowedIdentifiers, RegistrationStatus},
};
use cm_connector::{CertificateManager, CmError};
use serde_json::json;

use crate::{SHARED, gateway, person::Person, realm};

fn refused(outcome: Result<impl std::fmt::Debug, CmError>, expected: ProblemKind) {
    match outcome {
        Err(CmError::Refused(problem) | CmError::BindingRefused(problem)) => assert_eq!(problem.kind, expected),
        other => panic!("{expected:?} expected: {other:?}"),
    }
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
