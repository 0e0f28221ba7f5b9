//! Finalize, alone and at the same moment as other things: one CSR, one job, one key.

use std::time::Duration;

use acme::{
    ids::OrderId,
    order::{OrderStatus, Progress},
    registration::{AllowedIdentifiers, RegistrationStatus},
};
use store::{Work, backend::ApplyError};

use super::*;
use crate::{
    clock,
    ra::authorization,
    testing::{Gateway, Operation, Ruling, new_csr, told},
    workers::Runner,
};

/// A gateway with a ready order.
struct Case {
    gateway: Gateway,
    registration: Registration,
    order: OrderId,
}

impl Case {
    async fn new() -> Self {
        let gateway = Gateway::new().await;
        let registration = gateway.registration();
        let order = gateway.ready_order(&registration, &["a.test"]).await;
        Self { gateway, registration, order }
    }

    async fn finalize(&self, csr: &Csr) -> Result<OrderView, Error> {
        self.gateway.finalize(&self.registration, &self.order, csr.clone()).await
    }

    async fn status(&self) -> OrderStatus {
        self.gateway.status(&self.order).await
    }

    /// What the one job there is will ask for.
    async fn promised(&self) -> (Vec<u8>, acme::ids::IdempotencyKey) {
        let [job] = self.gateway.jobs().await.try_into().expect("one job");
        let Work::Issue { csr, idempotency_key, .. } = job.value.work else { panic!("not an issuance") };
        (csr, idempotency_key)
    }

    async fn assert_nothing_happened(&self) {
        assert_eq!(self.status().await, OrderStatus::Ready);
        assert_eq!(self.gateway.jobs().await, []);
    }
}

fn status_of(view: &OrderView) -> OrderStatus {
    view.order.status(&view.authorizations, clock::now())
}

#[tokio::test(start_paused = true)]
async fn of_two_csrs_at_the_same_moment_one_is_accepted_and_the_other_finds_the_order_not_ready() {
    let case = Case::new().await;
    let (slow_csr, fast_csr) = (new_csr(&["a.test"]), new_csr(&["a.test"]));
    let mut held = case.gateway.disk.hold_next();
    let fast = async {
        held.come().await;
        let accepted = case.finalize(&fast_csr).await;
        held.go();
        accepted
    };
    let (slow, fast) = tokio::join!(case.finalize(&slow_csr), fast);
    assert_eq!(status_of(&fast.unwrap()), OrderStatus::Processing);
    assert_eq!(told(slow).kind, ProblemKind::OrderNotReady);
    assert_eq!(case.promised().await.0, fast_csr.der());
}

#[tokio::test(start_paused = true)]
async fn the_same_csr_at_the_same_moment_is_accepted_once_and_both_are_answered() {
    let case = Case::new().await;
    let csr = new_csr(&["a.test"]);
    let mut held = case.gateway.disk.hold_next();
    let fast = async {
        held.come().await;
        let accepted = case.finalize(&csr).await;
        let promised = case.promised().await;
        held.go();
        (accepted, promised)
    };
    let (slow, (fast, promised)) = tokio::join!(case.finalize(&csr), fast);
    assert_eq!(slow.map(|view| status_of(&view)).unwrap(), OrderStatus::Processing);
    assert_eq!(fast.map(|view| status_of(&view)).unwrap(), OrderStatus::Processing);
    assert_eq!(case.promised().await, promised, "the key stays the one that was drawn first");
    assert_eq!(case.gateway.audited().await, ["order.judged", "order.created", "order.finalized"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_csr_again_changes_nothing_and_another_one_is_refused() {
    let case = Case::new().await;
    let csr = new_csr(&["a.test"]);
    case.finalize(&csr).await.unwrap();
    let promised = case.promised().await;
    case.finalize(&csr).await.unwrap();
    assert_eq!(told(case.finalize(&new_csr(&["a.test"])).await).kind, ProblemKind::OrderNotReady);
    assert_eq!(case.promised().await, promised);
}

#[tokio::test(start_paused = true)]
async fn an_authorization_given_up_at_the_same_moment_is_seen_before_anything_is_promised() {
    let case = Case::new().await;
    let endpoint = case.gateway.endpoint("open");
    let authorization = case.gateway.order_now(&case.order).await.authorizations[0].clone();
    let csr = new_csr(&["a.test"]);
    let mut held = case.gateway.disk.hold_next();
    let give_up = async {
        held.come().await;
        let account = crate::testing::asked(&case.registration);
        let given_up =
            authorization::deactivate(&case.gateway.app, &endpoint, account, &authorization, clock::now()).await;
        held.go();
        given_up
    };
    let (finalized, given_up) = tokio::join!(case.finalize(&csr), give_up);
    given_up.unwrap();
    let problem = told(finalized);
    assert_eq!((problem.kind, problem.detail.as_ref()), (ProblemKind::OrderNotReady, "the order is invalid"));
    assert_eq!(case.status().await, OrderStatus::Invalid);
    assert_eq!(case.gateway.jobs().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_refused_csr_leaves_the_order_ready_for_a_better_one() {
    let case = Case::new().await;
    for names in [&["b.test"][..], &["a.test", "b.test"], &["*.a.test"]] {
        assert_eq!(told(case.finalize(&new_csr(names)).await).kind, ProblemKind::BadCsr, "{names:?}");
        case.assert_nothing_happened().await;
    }
    assert_eq!(
        case.finalize(&new_csr(&["a.test"])).await.map(|view| status_of(&view)).unwrap(),
        OrderStatus::Processing
    );
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_since_the_order_was_made_is_judged_again() {
    let csr = new_csr(&["a.test"]);
    let mut case = Case::new().await;
    case.registration.status = RegistrationStatus::Suspended;
    assert_eq!(told(case.finalize(&csr).await).kind, ProblemKind::Unauthorized);
    case.assert_nothing_happened().await;

    let mut case = Case::new().await;
    case.registration.allowed_identifiers = AllowedIdentifiers::Listed { rules: Vec::new(), exclude: Vec::new() };
    assert_eq!(told(case.finalize(&csr).await).kind, ProblemKind::RejectedIdentifier);
    case.assert_nothing_happened().await;

    let mut case = Case::new().await;
    case.gateway.cm.withdraw_profiles();
    case.gateway = case.gateway.restarted_with_catalogue().await;
    assert_eq!(told(case.finalize(&csr).await).kind, ProblemKind::InvalidProfile);
    case.assert_nothing_happened().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_not_ready_is_refused_with_its_status() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let view = gateway.order(&registration, &["a.test"]).await.unwrap();
    let problem = told(gateway.finalize(&registration, &view.order.id, new_csr(&["a.test"])).await);
    assert_eq!((problem.kind, problem.detail.as_ref()), (ProblemKind::OrderNotReady, "the order is pending"));
}

#[tokio::test(start_paused = true)]
async fn an_order_is_finalized_by_its_owner_at_its_endpoint_only() {
    let case = Case::new().await;
    let csr = new_csr(&["a.test"]);
    let other = case.gateway.registration();
    assert_eq!(told(case.gateway.finalize(&other, &case.order, csr.clone()).await).kind, ProblemKind::Unauthorized);
    let (client, proof) = (crate::testing::client(), crate::testing::proof());
    let request =
        Request { order: case.order.clone(), csr_der: csr.der().to_vec(), client, client_certificate: None, proof };
    let elsewhere = case.gateway.endpoint("web");
    let refused = finalize(&case.gateway.app, &elsewhere, &case.registration, &request, clock::now()).await;
    assert_eq!(told(refused).kind, ProblemKind::NotFound);
    case.assert_nothing_happened().await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_carries_the_certificate_that_comes_while_the_client_waits() {
    let case = Case::new().await;
    let runner = tokio::spawn(Runner::new(case.gateway.app.clone()).run());
    let view = case.finalize(&new_csr(&["a.test"])).await.unwrap();
    assert_eq!(status_of(&view), OrderStatus::Valid);
    runner.abort();
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_processing_when_the_certificate_takes_longer_than_the_client_is_kept() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::IssuedAfter(1000));
    let runner = tokio::spawn(Runner::new(case.gateway.app.clone()).run());
    let asked_at = tokio::time::Instant::now();
    let view = case.finalize(&new_csr(&["a.test"])).await.unwrap();
    assert_eq!(status_of(&view), OrderStatus::Processing);
    assert_eq!(asked_at.elapsed().as_secs(), case.gateway.app.settings.issuance.finalize_wait.duration().as_secs());
    assert_eq!(case.gateway.cm.calls(Operation::Submit).len(), 1);
    runner.abort();
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_the_finalize_and_the_order_stays_ready() {
    let case = Case::new().await;
    case.gateway.disk.refuse_next(ApplyError::Full);
    match case.finalize(&new_csr(&["a.test"])).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!(refusal.problem.kind, ProblemKind::Unavailable);
            assert_eq!(refusal.retry_after, Some(Duration::from_secs(30)));
        }
        _ => panic!("not refused"),
    }
    case.assert_nothing_happened().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_of_the_most_identifiers_fits_into_its_commits() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let filler = "a".repeat(63);
    let names: Vec<_> = (0..100).map(|number| format!("n{number}.{filler}.{filler}.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let order = gateway.ready_order(&registration, &names).await;
    gateway.finalize(&registration, &order, new_csr(&names)).await.unwrap();
    assert!(matches!(gateway.order_now(&order).await.progress, Progress::Finalizing { .. }));
}
