//! Orders with `replaces`: which certificates can be named, by how many orders, and what the CM is
//! told.

use acme::{problem::Problem, registration::Registration, wire::order::NewOrder};
use cm_connector::CmError;

use super::*;
use crate::{
    clock, ra,
    testing::{Fault, Gateway, Operation, new_csr, new_order, told},
};

/// A certificate of this registration.
async fn issued(gateway: &Gateway, registration: &Registration, names: &[&str]) -> String {
    let order = gateway.ready_order(registration, names).await;
    gateway.finalize(registration, &order, new_csr(names)).await.unwrap();
    gateway.run_issuance(&order).await;
    gateway.cm.certificates().pop().unwrap().id.to_string()
}

async fn renewal(
    gateway: &Gateway,
    registration: &Registration,
    names: &[&str],
    replaces: &str,
) -> Result<OrderView, Error> {
    let request = NewOrder { replaces: Some(replaces.to_owned()), ..new_order(names) };
    ra::order::create(&gateway.app, &gateway.endpoint("open"), registration, (&request, None), clock::now()).await
}

/// Ends an order without a certificate.
async fn end(gateway: &Gateway, registration: &Registration, view: &OrderView) {
    let (app, endpoint) = (&gateway.app, gateway.endpoint("open"));
    let authorization = &view.order.authorizations[0];
    ra::authorization::deactivate(app, &endpoint, crate::testing::asked(registration), authorization, clock::now())
        .await
        .unwrap();
    assert_eq!(gateway.status(&view.order.id).await, OrderStatus::Invalid);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_replaced_is_refused_and_says_why() {
    let gateway = Gateway::new().await;
    let (registration, stranger) = (gateway.registration(), gateway.registration());
    let certificate = issued(&gateway, &registration, &["a.test", "b.test"]).await;
    let table = [
        (&registration, "a.test", "garbage", ProblemKind::Malformed),
        (&registration, "a.test", "AAAA.AQ==", ProblemKind::Malformed),
        (&registration, "a.test", "AAAA.AQ", ProblemKind::Malformed),
        (&stranger, "a.test", &certificate, ProblemKind::Unauthorized),
        (&registration, "c.test", &certificate, ProblemKind::Malformed),
        (&registration, "*.a.test", &certificate, ProblemKind::Malformed),
    ];
    for (who, name, replaces, kind) in table {
        let problem = told(renewal(&gateway, who, &[name], replaces).await);
        assert_eq!(problem.kind, kind, "{name} {replaces}");
        assert!(problem.detail.starts_with("replaces ") && problem.detail.contains("leave it out"), "{problem:?}");
    }
    let view = renewal(&gateway, &registration, &["b.test", "c.test"], &certificate).await.unwrap();
    assert_eq!(view.order.replaces.unwrap().to_string(), certificate);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_replaced_by_one_order_until_that_ends_without_a_certificate() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let certificate = issued(&gateway, &registration, &["a.test"]).await;
    let first = renewal(&gateway, &registration, &["a.test", "b.test"], &certificate).await.unwrap();
    let refused = told(renewal(&gateway, &registration, &["a.test"], &certificate).await);
    assert_eq!(refused.kind, ProblemKind::AlreadyReplaced, "other identifiers are another order");
    end(&gateway, &registration, &first).await;
    let second = renewal(&gateway, &registration, &["a.test"], &certificate).await.unwrap().order;
    let order = gateway.ready_order_of(&registration, second).await;
    gateway.finalize(&registration, &order, new_csr(&["a.test"])).await.unwrap();
    gateway.run_issuance(&order).await;
    assert_eq!(gateway.status(&order).await, OrderStatus::Valid);
    let again = told(renewal(&gateway, &registration, &["a.test"], &certificate).await);
    assert_eq!(again.kind, ProblemKind::AlreadyReplaced);
    assert_eq!(gateway.cm.replaced_by(&order), Some(certificate), "the CM is told");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lost_the_answer_gets_its_open_order_again() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let certificate = issued(&gateway, &registration, &["a.test"]).await;
    let first = renewal(&gateway, &registration, &["a.test", "b.test"], &certificate).await.unwrap();
    let again = renewal(&gateway, &registration, &["B.test", "a.test"], &certificate).await.unwrap();
    assert_eq!(again.order, first.order);
    let request = NewOrder {
        replaces: Some(certificate.clone()),
        not_after: Some(clock::now().plus(std::time::Duration::from_secs(86_400)).to_string()),
        ..new_order(&["a.test", "b.test"])
    };
    let endpoint = gateway.endpoint("open");
    let other = ra::order::create(&gateway.app, &endpoint, &registration, (&request, None), clock::now()).await;
    assert_eq!(told(other).kind, ProblemKind::AlreadyReplaced, "another validity is another order");
}

#[test]
fn of_many_orders_at_once_one_replaces_the_certificate() {
    let here = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (gateway, registration, certificate) = here().block_on(async {
        let gateway = Gateway::with("issuance.finalize_wait_secs = 1").await;
        let registration = gateway.registration();
        let certificate = issued(&gateway, &registration, &["a.test"]).await;
        (gateway, registration, certificate)
    });
    // Each with other identifiers: none of them is another one again.
    let ask = |number: usize| {
        here().block_on(renewal(&gateway, &registration, &["a.test", &format!("n{number}.test")], &certificate))
    };
    let asked: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..16).map(|number| scope.spawn(move || ask(number))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (made, refused): (Vec<_>, Vec<_>) = asked.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for refused in refused {
        assert_eq!(told(refused).kind, ProblemKind::AlreadyReplaced);
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_was_replaced_elsewhere_is_refused_by_the_cm_and_the_order_says_so() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let certificate = issued(&gateway, &registration, &["a.test"]).await;
    let view = renewal(&gateway, &registration, &["a.test"], &certificate).await.unwrap();
    let problem = Problem::new(ProblemKind::AlreadyReplaced, "replaced");
    gateway.cm.next(Operation::Submit, Fault::Answers(CmError::Refused(problem)));
    gateway.finalize(&registration, &view.order.id, new_csr(&["a.test"])).await.unwrap();
    gateway.run_issuance(&view.order.id).await;
    let order = gateway.order_now(&view.order.id).await;
    assert_eq!(order.error(&[], clock::now()).unwrap().kind, ProblemKind::AlreadyReplaced);
}

#[tokio::test(start_paused = true)]
async fn while_the_cm_is_away_nobody_knows_what_can_be_replaced() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let certificate = issued(&gateway, &registration, &["a.test"]).await;
    gateway.cm.is_away(true);
    assert_eq!(told(renewal(&gateway, &registration, &["a.test"], &certificate).await).kind, ProblemKind::Unavailable);
    assert!(gateway.order(&registration, &["a.test"]).await.is_ok(), "without replaces orders go on");
}

#[tokio::test(start_paused = true)]
async fn if_the_order_cannot_be_read_the_client_is_told_to_order_anew() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let certificate = issued(&gateway, &registration, &["a.test"]).await;
    let order = renewal(&gateway, &registration, &["a.test"], &certificate).await.unwrap().order;
    gateway.disk.damage(&format!("order/{}", order.id)).await;
    let refused = told(renewal(&gateway, &registration, &["a.test"], &certificate).await);
    assert_eq!(refused.kind, ProblemKind::AlreadyReplaced);
    assert!(gateway.order(&registration, &["a.test"]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_makes_replaced_certificates_up_is_limited_before_the_cm_is_asked() {
    let gateway = Gateway::with("limits.unknown_accounts_per_address = { burst = 3, per_secs = 600 }").await;
    let (registration, other) = (gateway.registration(), gateway.registration());
    let mine = issued(&gateway, &registration, &["a.test"]).await;
    let foreign = issued(&gateway, &other, &["a.test"]).await;
    let questions = || gateway.cm.calls(Operation::Certificate).len();
    let before = questions();
    for (names, replaces, kind) in [
        ("a.test", "AAAA.AQ", ProblemKind::Malformed),
        ("a.test", foreign.as_str(), ProblemKind::Unauthorized),
        ("c.test", mine.as_str(), ProblemKind::Malformed),
        ("a.test", "AAAA.AQ", ProblemKind::RateLimited),
    ] {
        assert_eq!(told(renewal(&gateway, &registration, &[names], replaces).await).kind, kind, "{replaces}");
    }
    assert_eq!(questions() - before, 3);
    renewal(&gateway, &other, &["a.test"], &foreign).await.unwrap();
    gateway.order(&registration, &["a.test"]).await.unwrap();
}
