//! Renewal information: asked for seldom, believed for a while, and bounded in every way.

use std::net::IpAddr;

use acme::registration::Registration;

use super::*;
use crate::{
    limits::Purpose,
    testing::{Fault, Gateway, Moment, Operation, new_csr, told},
};

async fn issued(gateway: &Gateway, registration: &Registration) -> CertificateId {
    let order = gateway.ready_order(registration, &["a.test"]).await;
    gateway.finalize(registration, &order, new_csr(&["a.test"])).await.unwrap();
    gateway.run_issuance(&order).await;
    gateway.cm.certificates().pop().unwrap().id
}

async fn asked(gateway: &Gateway, id: &CertificateId) -> Result<RenewalInfo, Error> {
    asked_from(gateway, id, 1).await
}

/// From an address of its own for each host.
async fn asked_from(gateway: &Gateway, id: &CertificateId, host: u8) -> Result<RenewalInfo, Error> {
    let asker = Asker::Address(IpAddr::from([192, 0, 2, host]), Purpose::RenewalInfo);
    look_up(&gateway.app, &gateway.endpoint("open"), id, asker).await
}

/// One that nobody has issued.
fn made_up(number: u8) -> CertificateId {
    CertificateId::parse_ari(&format!("AAAA.{}", acme::base64url::encode([number]))).unwrap()
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
    for _ in 0..ASKING_MAX {
        gateway.cm.next(Operation::RenewalInfo, Fault::Hangs(Moment::BeforeTheEffect));
    }
    let (first, second, third) = (made_up(1), made_up(2), made_up(3));
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

#[tokio::test(start_paused = true)]
async fn who_makes_ids_up_is_limited_by_his_address_before_the_cm_is_asked_and_others_are_not() {
    let gateway = Gateway::with("limits.unknown_accounts_per_address = { burst = 2, per_secs = 600 }").await;
    let (id, later) =
        (issued(&gateway, &gateway.registration()).await, issued(&gateway, &gateway.registration()).await);
    asked_from(&gateway, &id, 1).await.unwrap();
    let kinds = [1, 2, 3].map(made_up);
    for (id, kind) in kinds.iter().zip([ProblemKind::NotFound, ProblemKind::NotFound, ProblemKind::RateLimited]) {
        assert_eq!(told(asked_from(&gateway, id, 1).await).kind, kind);
    }
    assert_eq!(questions(&gateway), 3, "one that there is and two that there are not");
    asked_from(&gateway, &later, 2).await.unwrap();
    tokio::time::advance(FRESH_MAX).await;
    assert_eq!(told(asked_from(&gateway, &kinds[0], 1).await).kind, ProblemKind::NotFound, "one more by now");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_with_made_up_ids_do_not_take_the_turns_of_others() {
    let gateway = Gateway::with("limits.unknown_accounts_per_address = { burst = 3, per_secs = 600 }").await;
    let id = issued(&gateway, &gateway.registration()).await;
    let flood = futures_util::future::join_all((1..=100).map(|number| {
        let id = made_up(number);
        let gateway = &gateway;
        async move { told(asked_from(gateway, &id, 1).await).kind }
    }));
    let (kinds, honest) = tokio::join!(flood, asked_from(&gateway, &id, 2));
    honest.unwrap();
    assert!(questions(&gateway) <= 3 + ASKING_MAX, "of those who waited nearly all were refused");
    assert!(kinds.iter().filter(|kind| **kind == ProblemKind::RateLimited).count() >= 95, "{kinds:?}");
}
