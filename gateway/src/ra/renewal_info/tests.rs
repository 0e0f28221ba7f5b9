//! Renewal information: asked for seldom, believed for a while, and bounded in every way.

use acme::registration::Registration;

use super::*;
use crate::testing::{Fault, Gateway, Moment, Operation, new_csr, told};

async fn issued(gateway: &Gateway, registration: &Registration) -> CertificateId {
    let order = gateway.ready_order(registration, &["a.test"]).await;
    gateway.finalize(registration, &order, new_csr(&["a.test"])).await.unwrap();
    gateway.run_issuance(&order).await;
    gateway.cm.certificates().pop().unwrap().id
}

async fn asked(gateway: &Gateway, id: &CertificateId) -> Result<RenewalInfo, Error> {
    look_up(&gateway.app, &gateway.endpoint("open"), id).await
}

fn questions(gateway: &Gateway) -> usize {
    gateway.cm.calls(Operation::RenewalInfo).len()
}

#[tokio::test(start_paused = true)]
async fn the_cm_is_asked_once_in_ten_minutes_or_as_often_as_it_wants() {
    let gateway = Gateway::new().await;
    let id = issued(&gateway, &gateway.registration()).await;
    let first = asked(&gateway, &id).await.unwrap();
    tokio::time::advance(FRESH_MAX - Duration::from_secs(1)).await;
    assert_eq!((asked(&gateway, &id).await.unwrap(), questions(&gateway)), (first, 1));
    tokio::time::advance(Duration::from_secs(2)).await;
    gateway.cm.ask_again_after(Duration::from_secs(90));
    asked(&gateway, &id).await.unwrap();
    tokio::time::advance(Duration::from_secs(89)).await;
    asked(&gateway, &id).await.unwrap();
    assert_eq!(questions(&gateway), 2);
    tokio::time::advance(Duration::from_secs(1)).await;
    asked(&gateway, &id).await.unwrap();
    assert_eq!(questions(&gateway), 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_cm_does_not_know_is_not_asked_again_for_a_minute() {
    let gateway = Gateway::new().await;
    let id = CertificateId::parse_ari("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE").unwrap();
    for _ in 0..3 {
        assert_eq!(told(asked(&gateway, &id).await).kind, ProblemKind::NotFound);
    }
    assert_eq!(questions(&gateway), 1);
    tokio::time::advance(UNKNOWN_FRESH).await;
    assert_eq!(told(asked(&gateway, &id).await).kind, ProblemKind::NotFound);
    assert_eq!(questions(&gateway), 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_cm_is_away_its_last_word_holds_for_a_day() {
    let gateway = Gateway::new().await;
    let id = issued(&gateway, &gateway.registration()).await;
    let last = asked(&gateway, &id).await.unwrap();
    gateway.cm.is_away(true);
    tokio::time::advance(STALE_MAX - Duration::from_secs(1)).await;
    assert_eq!(asked(&gateway, &id).await.unwrap(), last);
    tokio::time::advance(Duration::from_secs(2)).await;
    match asked(&gateway, &id).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!(refusal.problem.kind, ProblemKind::Unavailable);
            assert!(refusal.retry_after.is_some());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_revocation_here_the_cm_is_asked_again() {
    let gateway = Gateway::new().await;
    let id = issued(&gateway, &gateway.registration()).await;
    asked(&gateway, &id).await.unwrap();
    gateway.app.renewal_infos.forget(&gateway.endpoint("open").realm, &id);
    asked(&gateway, &id).await.unwrap();
    assert_eq!(questions(&gateway), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cm_that_hangs_holds_up_no_more_than_its_two_places() {
    let gateway = Gateway::new().await;
    let id = |number: u8| CertificateId::parse_ari(&format!("AAAA.{}", acme::base64url::encode([number]))).unwrap();
    for _ in 0..ASKING_MAX {
        gateway.cm.next(Operation::RenewalInfo, Fault::Hangs(Moment::BeforeTheEffect));
    }
    let (first, second, third) = (id(1), id(2), id(3));
    let hanging = async {
        let _: (Result<_, _>, Result<_, _>) = tokio::join!(asked(&gateway, &first), asked(&gateway, &second));
    };
    tokio::select! {
        biased;
        () = hanging => panic!("nobody answers"),
        refused = asked(&gateway, &third) => assert_eq!(told(refused).kind, ProblemKind::Unavailable),
    }
    assert_eq!(questions(&gateway), ASKING_MAX);
}
