//! New external account keys, with and without an overlap, and account keys that an officer takes away.

use acme::{
    problem::ProblemKind,
    registration::{Registration, RegistrationStatus},
};
use cm_connector::{
    CertificateManager, CmError, Registered, RegistrationUpdate,
    openbao::{OpenBaoCertificateManager, officer::OfficerDesk},
};
use serde_json::{Value, json};

use crate::{
    REQUEST_DURATION_MAX, SHARED, gateway,
    issuance::certificate,
    officer::{REGISTRATIONS, asked, code, desk},
    person::{Asking, Person, no_proof},
    realm,
};

/// What an officer makes.
struct Made {
    kid: String,
    secret: Vec<u8>,
}

fn secret(shown: &Value) -> Vec<u8> {
    tests::from_base64url(shown["eabSecret"]["hmacKey"].as_str().unwrap())
}

async fn made(officer: &OfficerDesk, kid: &str, uses: &str) -> Made {
    let body =
        json!({"mode": "preregistered", "eab": {"kid": kid, "use": uses}, "allowedIdentifiers": {"mode": "any"}});
    let (status, shown) = asked(officer, "POST", REGISTRATIONS, &[], None, Some(body)).await;
    assert_eq!(status, 201, "{shown}");
    Made { kid: kid.to_owned(), secret: secret(&shown) }
}

impl Made {
    fn path(&self) -> String {
        format!("{REGISTRATIONS}/reg_{}", self.kid)
    }

    async fn shown(&self, officer: &OfficerDesk) -> Value {
        asked(officer, "GET", &self.path(), &[], None, None).await.1
    }

    /// What an officer is answered who draws a new key for the version that she sees.
    async fn draw(&self, officer: &OfficerDesk, wish: Value) -> (u16, Value) {
        let version = self.shown(officer).await["version"].as_u64();
        asked(officer, "POST", &format!("{}/eab", self.path()), &[], version, Some(wish)).await
    }

    /// The same, done.
    async fn drawn(&self, officer: &OfficerDesk, wish: Value) -> (Vec<u8>, Value) {
        let (status, shown) = self.draw(officer, wish).await;
        assert_eq!(status, 201, "{shown}");
        (secret(&shown), shown)
    }

    async fn rebound(&self, officer: &OfficerDesk) -> Vec<u8> {
        self.drawn(officer, json!({"rebind": true, "reason": "disk died"})).await.0
    }

    async fn bind(
        &self,
        cm: &OpenBaoCertificateManager,
        person: &Person,
        secret: &[u8],
    ) -> Result<Registered, CmError> {
        cm.bind_registration(&realm("registered"), &person.bound_request(&self.kid, secret)).await
    }
}

fn is_refused(outcome: &Result<impl std::fmt::Debug, CmError>, expected: ProblemKind) -> bool {
    matches!(outcome, Err(CmError::Refused(it) | CmError::BindingRefused(it)) if it.kind == expected)
}

async fn seen(cm: &OpenBaoCertificateManager, id: &str) -> Registration {
    cm.registration(&realm("registered"), &id.parse().unwrap()).await.unwrap().unwrap()
}

#[tokio::test]
async fn while_keys_overlap_both_bind_and_after_it_the_new_one_alone() {
    let (cm, officer) = (gateway(&SHARED), desk(&SHARED, "officer"));
    let key = made(&officer, "overlap", "multi").await;
    let binds = async |secret: &[u8]| key.bind(&cm, &Person::new(), secret).await.is_ok();
    let (second, shown) = key.drawn(&officer, json!({"overlap": "P7D"})).await;
    assert!(shown["eab"]["previousUntil"].is_string(), "{shown}");
    assert!(binds(&key.secret).await && binds(&second).await);
    // Another exchange ends an overlap that is still running.
    let (third, _) = key.drawn(&officer, json!({"overlap": "P7D"})).await;
    assert!(!binds(&key.secret).await && binds(&second).await && binds(&third).await);
    let path = "acme/registered/cm/data/prereg/overlap";
    let record = SHARED.root(&["read", "-format=json", path], None);
    let (version, mut data) = (record["data"]["metadata"]["version"].as_u64().unwrap(), record["data"]["data"].clone());
    data["previousUntil"] = json!("2026-01-01T00:00:00Z");
    SHARED.officer_writes("registered", "prereg/overlap", version, &data).unwrap();
    assert_eq!(key.shown(&officer).await["eab"]["previousUntil"], Value::Null);
    assert!(!binds(&second).await && binds(&third).await);
    let (fourth, _) = key.drawn(&officer, json!({})).await;
    assert!(!binds(&third).await && binds(&fourth).await);
}

#[tokio::test]
async fn a_key_that_was_taken_away_does_nothing_and_the_next_client_has_the_account() {
    let (cm, officer, registered) = (gateway(&SHARED), desk(&SHARED, "officer"), realm("registered"));
    let key = made(&officer, "rebind", "once").await;
    let (lost, next) = (Person::new(), Person::new());
    let before = key.bind(&cm, &lost, &key.secret).await.unwrap().registration;
    let asking = Asking::of(&before.id, &["www.example.com"]);
    let issued = certificate(cm.submit(&registered, &asking.key, &asking.octets(), REQUEST_DURATION_MAX).await);
    let (second, shown) = key.drawn(&officer, json!({"rebind": true, "reason": "disk died"})).await;
    assert_eq!(
        (shown["status"].as_str(), &shown["key"], &shown["eab"]["bindings"]),
        (Some("pending"), &Value::Null, &json!(0))
    );
    assert_eq!(
        (shown["statusReason"].as_str(), shown["statusBy"].as_str()),
        (Some("disk died"), Some("urn:cm:officer:anna"))
    );
    assert_eq!(shown["previousKeys"][0]["thumbprint"], json!(lost.public_key().thumbprint()));

    let now = seen(&cm, "reg_rebind").await;
    assert_eq!((now.status, &now.key, now.had_key), (RegistrationStatus::Pending, &None, true));
    assert_eq!(cm.registration_by_key(&registered, &lost.public_key().thumbprint()).await.unwrap(), None);
    let contacts = RegistrationUpdate {
        contacts: Some(vec![String::from("mailto:x@example.com")]),
        terms_of_service_agreed_at: None,
    };
    let updated = cm.update_registration(&registered, &before, &contacts, &no_proof()).await;
    assert!(is_refused(&updated, ProblemKind::Unauthorized), "{updated:?}");
    let changed = cm.change_key(&registered, &before, &next.public_key(), &no_proof()).await;
    assert!(is_refused(&changed, ProblemKind::Unauthorized), "{changed:?}");
    let ended = cm.deactivate(&registered, &before, &no_proof()).await;
    assert!(is_refused(&ended, ProblemKind::Unauthorized), "{ended:?}");
    let asking = Asking::of(&before.id, &["www.example.com"]);
    let asked = cm.submit(&registered, &asking.key, &asking.octets(), REQUEST_DURATION_MAX).await;
    assert!(is_refused(&asked, ProblemKind::Unauthorized), "{asked:?}");
    for secret in [&key.secret, &second] {
        let again = key.bind(&cm, &lost, secret).await;
        assert!(matches!(&again, Err(CmError::Refused(_) | CmError::BindingRefused(_))), "{again:?}");
    }
    let again = key.bind(&cm, &lost, &second).await;
    assert!(is_refused(&again, ProblemKind::BadPublicKey), "{again:?}");
    assert!(is_refused(&key.bind(&cm, &next, &key.secret).await, ProblemKind::Unauthorized), "the former secret");

    let found = key.bind(&cm, &next, &second).await.unwrap();
    assert_eq!((found.created, &found.registration.id), (true, &before.id));
    assert_eq!(found.registration.status, RegistrationStatus::Active);
    assert!(!key.bind(&cm, &next, &second).await.unwrap().created, "a repetition");
    let third = key.bind(&cm, &Person::new(), &second).await;
    assert!(is_refused(&third, ProblemKind::Unauthorized), "{third:?}");
    assert!(is_refused(&key.bind(&cm, &lost, &second).await, ProblemKind::BadPublicKey));
    assert_eq!(cm.certificate(&registered, &issued.id).await.unwrap().unwrap().registration, before.id);
    let shown = key.shown(&officer).await;
    assert_eq!((shown["status"].as_str(), &shown["eab"]["bindings"]), (Some("active"), &json!(1)));
}

#[tokio::test]
async fn a_thief_who_changes_the_key_in_the_midst_of_a_rebinding_keeps_nothing() {
    let (cm, officer, registered) = (gateway(&SHARED), desk(&SHARED, "officer"), realm("registered"));
    let key = made(&officer, "thief", "once").await;
    let (lost, thief, next) = (Person::new(), Person::new(), Person::new());
    let _before = key.bind(&cm, &lost, &key.secret).await.unwrap();
    let secret = Box::pin(key.rebound(&officer)).await;
    // A gateway that had looked before the officer wrote, and writes after it.
    let path = "acme/registered/cm/data/acct/reg_thief";
    let record = SHARED.root(&["read", "-format=json", path], None);
    let mut data = record["data"]["data"].clone();
    (data["jwk"], data["thumbprint"]) = (thief.key.jwk(), json!(thief.public_key().thumbprint()));
    let body = json!({"options": {"cas": record["data"]["metadata"]["version"]}, "data": data});
    let _ = SHARED.root(&["write", "-format=json", path, "-"], Some(&body));
    let now = seen(&cm, "reg_thief").await;
    assert_eq!((now.status, now.key), (RegistrationStatus::Pending, None));
    assert_eq!(cm.registration_by_key(&registered, &thief.public_key().thumbprint()).await.unwrap(), None);
    let found = key.bind(&cm, &next, &secret).await.unwrap().registration;
    assert_eq!(found.key.unwrap().key, next.public_key());
    assert_eq!(key.shown(&officer).await["previousKeys"][0]["thumbprint"], json!(thief.public_key().thumbprint()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_clients_that_come_after_a_rebinding_one_wins() {
    let (cm, officer, registered) = (gateway(&SHARED), desk(&SHARED, "officer"), realm("registered"));
    let key = made(&officer, "rebind-race", "once").await;
    let _lost = key.bind(&cm, &Person::new(), &key.secret).await.unwrap();
    let secret = Box::pin(key.rebound(&officer)).await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (cm, realm, secret) = (gateway(&SHARED), registered.clone(), secret.clone());
        racers.spawn(async move {
            cm.bind_registration(&realm, &Person::new().bound_request("rebind-race", &secret)).await
        });
    }
    let outcomes = racers.join_all().await;
    let won: Vec<_> = outcomes.iter().flatten().collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    assert_eq!(seen(&cm, "reg_rebind-race").await, won[0].registration);
}

#[tokio::test]
async fn a_use_that_its_client_never_finished_is_ended_by_a_new_secret() {
    let (cm, officer) = (gateway(&SHARED), desk(&SHARED, "officer"));
    let key = made(&officer, "unfinished", "once").await;
    let (gone, next) = (Person::new(), Person::new());
    // As if the gateway had died after the first of three records, and the client had drawn another key since.
    let thumbprint = gone.public_key().thumbprint();
    let body = json!({"options": {"cas": 0}, "data": {"registration": "reg_unfinished", "thumbprint": thumbprint}});
    let _ = SHARED.root(&["write", "-format=json", "acme/registered/cm/data/bind/unfinished/1", "-"], Some(&body));
    assert!(is_refused(&key.bind(&cm, &next, &key.secret).await, ProblemKind::Unauthorized));
    let (secret, shown) = key.drawn(&officer, json!({})).await;
    assert_eq!((shown["status"].as_str(), &shown["eab"]["bindings"]), (Some("pending"), &json!(0)));
    assert!(is_refused(&key.bind(&cm, &gone, &key.secret).await, ProblemKind::Unauthorized));
    let bound = key.bind(&cm, &next, &secret).await.unwrap();
    assert_eq!((bound.created, bound.registration.id.as_str()), (true, "reg_unfinished"));
    assert!(is_refused(&key.bind(&cm, &gone, &secret).await, ProblemKind::Unauthorized));
    // One more secret does not take away the key of an account that is there.
    let (secret, shown) = key.drawn(&officer, json!({})).await;
    assert_eq!((shown["status"].as_str(), &shown["eab"]["bindings"]), (Some("active"), &json!(1)));
    assert_eq!(seen(&cm, "reg_unfinished").await.key.unwrap().key, next.public_key());
    assert!(is_refused(&key.bind(&cm, &Person::new(), &secret).await, ProblemKind::Unauthorized));
}

#[tokio::test]
async fn a_client_whose_gateway_died_in_the_midst_of_its_binding_after_another_goes_on() {
    let (cm, officer) = (gateway(&SHARED), desk(&SHARED, "officer"));
    let key = made(&officer, "late", "once").await;
    let (late, next) = (Person::new(), Person::new());
    let bound = key.bind(&cm, &late, &key.secret).await.unwrap().registration;
    let secret = Box::pin(key.rebound(&officer)).await;
    // Somebody has taken the next use, and its gateway died before the account was his.
    let thumbprint = next.public_key().thumbprint();
    let body = json!({"options": {"cas": 0}, "data": {"registration": bound.id, "thumbprint": thumbprint}});
    let _ = SHARED.root(&["write", "-format=json", "acme/registered/cm/data/bind/late/2", "-"], Some(&body));
    let mine = json!({"options": {"cas": 0}, "data": {"registration": bound.id, "kid": "late"}});
    let path = format!("acme/registered/cm/data/key/{thumbprint}");
    let _ = SHARED.root(&["write", "-format=json", &path, "-"], Some(&mine));
    assert!(is_refused(&key.bind(&cm, &Person::new(), &secret).await, ProblemKind::Unauthorized));
    let found = key.bind(&cm, &next, &secret).await.unwrap().registration;
    assert_eq!((&found.id, found.key.unwrap().key), (&bound.id, next.public_key()));
}

#[tokio::test]
async fn only_an_active_account_of_a_key_for_one_is_bound_anew() {
    let (cm, officer) = (gateway(&SHARED), desk(&SHARED, "officer"));
    let wish = || json!({"rebind": true, "reason": "r"});
    let key = made(&officer, "anew", "once").await;
    assert_eq!(code(&key.draw(&officer, wish()).await), (409, "cannot-rebind"), "it waits for its client");
    let bound = key.bind(&cm, &Person::new(), &key.secret).await.unwrap().registration;
    for malformed in
        [json!({"rebind": true}), json!({"rebind": true, "reason": "r", "overlap": "P1D"}), json!({"reason": "r"})]
    {
        assert_eq!(code(&key.draw(&officer, malformed.clone()).await), (400, "malformed"), "{malformed}");
    }
    let version = key.shown(&officer).await["version"].as_u64().unwrap();
    let stale = asked(&officer, "POST", &format!("{}/eab", key.path()), &[], Some(version + 1), Some(wish())).await;
    assert_eq!(code(&stale), (412, "precondition-failed"));
    let auditor = desk(&SHARED, "auditor");
    assert_eq!(code(&key.draw(&auditor, wish()).await), (403, "forbidden"));
    let many = made(&officer, "anew-many", "multi").await;
    let child = many.bind(&cm, &Person::new(), &many.secret).await.unwrap().registration;
    assert_eq!(code(&many.draw(&officer, wish()).await), (409, "cannot-rebind"));
    let child = asked(&officer, "POST", &format!("{REGISTRATIONS}/{}/eab", child.id), &[], Some(0), Some(wish())).await;
    assert_eq!(code(&child), (409, "cannot-rebind"));
    let _ended = cm.deactivate(&realm("registered"), &bound, &no_proof()).await.unwrap();
    assert_eq!(code(&key.draw(&officer, wish()).await), (409, "cannot-rebind"));
    assert_eq!(code(&key.draw(&officer, json!({})).await), (409, "registration-not-active"));
}
