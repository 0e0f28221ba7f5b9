//! OpenBao that is killed, frozen, sealed, limiting; tokens that die; strangers.

use std::time::Duration;

use cm_connector::{CertificateManager, CmError, Outcome};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::{
    SHARED, fresh, gateway, gateway_as,
    issuance::{certificate, submit, tests_wait},
    person::{Asking, Person},
    realm,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_openbao_is_given_up_and_nobody_says_that_nothing_was_done() {
    let bao = fresh();
    bao.prepare("open", "open", &[]);
    let cm = gateway(&bao);
    let registration = Person::new().register(&cm).await.registration;
    bao.signal("STOP");
    let asked = Instant::now();
    let outcome = cm.registration(&realm("open"), &registration.id).await;
    let took = asked.elapsed();
    bao.signal("CONT");
    assert!(matches!(outcome, Err(CmError::Unavailable { .. })), "{outcome:?}");
    assert!(took < Duration::from_secs(120), "{took:?}");
    let found = tests_wait(async || cm.registration(&realm("open"), &registration.id).await.ok()).await;
    assert_eq!(found, Some(registration));
}

#[tokio::test]
async fn a_dead_token_is_got_anew_once_and_a_denied_path_is_told() {
    // Its own, for all tokens of it die.
    let bao = fresh();
    bao.prepare("open", "open", &[]);
    let cm = gateway(&bao);
    let registration = Person::new().register(&cm).await.registration;
    let _ = bao.root(&["write", "-f", "-format=json", "sys/leases/revoke-prefix/auth/cert/login"], None);
    assert_eq!(cm.registration(&realm("open"), &registration.id).await.unwrap(), Some(registration));
    let unfit = cm.check_identity(&[realm("open"), realm("foreign")]).await;
    assert!(unfit.is_err() && cm.unfit().is_some_and(|why| why.contains("realm foreign")), "{unfit:?}");
    cm.check_identity(&[realm("open")]).await.unwrap();
    assert_eq!(cm.unfit(), None);
    let denied = cm.registration(&realm("foreign"), &"reg_1".parse().unwrap()).await;
    assert!(matches!(denied, Err(CmError::Internal { outcome: Outcome::NotSent, .. })), "{denied:?}");
}

#[tokio::test]
async fn whoever_has_no_certificate_of_the_role_is_no_gateway() {
    let officer = gateway_as(&SHARED, "officer", |_| ());
    let outcome = officer.check_identity(&[realm("open")]).await;
    assert!(matches!(&outcome, Err(CmError::Unavailable { retry_after: Some(_), .. })), "{outcome:?}");
    let stranger = gateway_as(&SHARED, "acme-server", |_| ());
    let mut took = Vec::new();
    for _ in 0..3 {
        let asked = Instant::now();
        let outcome = stranger.registration(&realm("open"), &"reg_1".parse().unwrap()).await;
        assert!(matches!(&outcome, Err(CmError::Unavailable { retry_after: Some(_), .. })), "{outcome:?}");
        took.push(asked.elapsed());
    }
    // Repeating takes all of ten seconds each time; a busy machine may take as long once.
    assert!(took.iter().any(|took| *took < Duration::from_secs(9)), "no repetition makes a certificate good: {took:?}");
}

#[tokio::test]
async fn a_node_that_is_away_is_passed_over() {
    let cm = gateway_as(&SHARED, "gateway", |settings| {
        // Nothing listens at the discard port.
        settings.addresses.insert(0, String::from("https://127.0.0.1:9"));
    });
    cm.ready().await.unwrap();
    let _registered = Person::new().register(&cm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_slows_down_and_loses_nothing() {
    let bao = fresh();
    bao.prepare("open", "open", &[]);
    let quota = json!({"path": "acme/open/cm", "rate": 20, "interval": "1s"});
    let _ = bao.root(&["write", "-format=json", "sys/quotas/rate-limit/slow", "-"], Some(&quota));
    let mut people = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let cm = gateway(&bao);
        people.spawn(async move { Person::new().register(&cm).await.created });
    }
    assert!(people.join_all().await.into_iter().all(|created| created));
    // One that counts the questions about its health too is there all the same.
    let quota = json!({"rate": 0.1, "interval": "10s"});
    let _ = bao.root(&["write", "-format=json", "sys/quotas/rate-limit/all", "-"], Some(&quota));
    let cm = gateway(&bao);
    for _ in 0..3 {
        cm.ready().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_or_sealed_openbao_is_not_waited_for_and_its_return_is_told() {
    let mut bao = fresh();
    bao.prepare("open", "open", &[]);
    let (cm, open) = (gateway(&bao), realm("open"));
    let registration = Person::new().register(&cm).await.registration;
    let look = async || cm.registration(&open, &registration.id).await;
    let is_away = |it: &Result<_, CmError>| matches!(it, Err(CmError::Unavailable { .. }));
    let _ = bao.root(&["write", "-f", "-format=json", "sys/seal"], None);
    assert!(matches!(cm.ready().await, Err(CmError::Unavailable { .. })));
    tests_wait(async || {
        let asked = Instant::now();
        let outcome = look().await;
        assert!(is_away(&outcome), "{outcome:?}");
        (asked.elapsed() < Duration::from_millis(50)).then_some(())
    })
    .await;
    bao.kill();
    let asking = Asking::of(&registration.id, &["away.example.com"]);
    let outcome = submit(&cm, &asking).await;
    assert!(matches!(outcome, Err(CmError::Unavailable { outcome: Outcome::NotSent, .. })), "{outcome:?}");
    bao.restart();
    let back = async {
        let _found = tests_wait(async || look().await.ok()).await;
        cm.reconnected().await;
    };
    timeout(Duration::from_secs(180), back).await.unwrap();
    let _issued = certificate(submit(&cm, &asking).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_live_for_seconds_are_renewed_and_got_anew_and_nobody_notices() {
    let bao = fresh();
    bao.prepare("open", "open", &["--token-ttl", "3s", "--token-max-ttl", "9s"]);
    let (cm, open) = (gateway(&bao), realm("open"));
    let registration = Person::new().register(&cm).await.registration;
    let (began, mut looks) = (Instant::now(), tokio::time::interval(Duration::from_millis(100)));
    while began.elapsed() < Duration::from_secs(14) {
        looks.tick().await;
        assert_eq!(cm.registration(&open, &registration.id).await.unwrap().as_ref(), Some(&registration));
    }
}
