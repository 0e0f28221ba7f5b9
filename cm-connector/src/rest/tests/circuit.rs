//! A CM that does not answer is left alone, and asked again (CM contract section 6).

use super::*;

#[tokio::test]
async fn while_the_cm_does_not_answer_calls_fail_at_once_until_it_is_ready() {
    let world = world(|request, before| match (request.line.ends_with("/health/ready"), before) {
        (false, 0..5) => Reply::Octets(Vec::new()),
        (false, _) => json_answer(201, &examples::certificate_request()),
        (true, _) => json_answer(200, &examples::health()),
    })
    .await;
    for _ in 0..5 {
        assert_eq!(world.submit().await, Err(unknown()));
    }
    let refused = world.submit().await;
    assert!(
        matches!(refused, Err(CmError::Unavailable { retry_after: Some(_), outcome: Outcome::NotSent })),
        "{refused:?}"
    );
    assert_eq!(world.server.lines().len(), 5);
    let mut reconnected = world.cm.reconnected();
    let told = |reconnected: &mut (dyn Future<Output = ()> + Send + Unpin)| {
        std::pin::Pin::new(reconnected).poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    };
    assert!(!told(&mut reconnected), "it does not answer yet");
    assert_eq!(world.cm.ready().await, Ok(()));
    assert!(told(&mut reconnected));
    assert!(world.submit().await.is_ok());
}

#[tokio::test]
async fn after_five_seconds_one_call_asks_for_health_first() {
    let world = world(|request, before| match (request.line.ends_with("/health/ready"), before) {
        (false, 0..5) => Reply::Octets(Vec::new()),
        (true, 5) => answer(503, "", "text/html", "<html>"),
        (true, _) => json_answer(503, &examples::health()),
        (false, _) => json_answer(201, &examples::certificate_request()),
    })
    .await;
    for _ in 0..5 {
        assert_eq!(world.submit().await, Err(unknown()));
    }
    for probe_is_answered in [false, true] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(5)).await;
        tokio::time::resume();
        assert_eq!(world.submit().await.is_ok(), probe_is_answered);
    }
    let lines = world.server.lines();
    assert_eq!(lines[5..7], ["GET /cm/v1/health/ready", "GET /cm/v1/health/ready"]);
    assert_eq!(lines.len(), 8, "the CM that serves something is asked");
}

#[tokio::test]
async fn a_lost_connection_is_one_failure_however_many_calls_it_takes_along() {
    const TOGETHER: usize = 24;
    let pki = Pki::new();
    let server = start_http2(&pki, examples::certificate_request(), TOGETHER).await;
    let cm = RestCertificateManager::new(pki.settings(server.base_url)).unwrap();
    let request = examples::certificate_request_create().to_string();
    let submit = || {
        let (cm, request) = (cm.clone(), request.clone());
        async move { cm.submit(&realm(), &key(), request.as_bytes(), Duration::ZERO).await }
    };
    assert!(submit().await.is_ok(), "the connection is there");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..TOGETHER {
        calls.spawn(submit());
    }
    assert_eq!(calls.join_all().await, vec![Err(unknown()); TOGETHER]);
    assert!(submit().await.is_ok(), "the next one makes another connection");
}

#[tokio::test]
async fn a_cm_that_is_down_is_left_alone_as_soon_as_five_calls_have_found_it_so() {
    let pki = Pki::new();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cm = RestCertificateManager::new(pki.settings(format!("https://{free}/cm/v1"))).unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let cm = cm.clone();
        calls.spawn(async move { cm.submit(&realm(), &key(), b"{}", Duration::ZERO).await });
    }
    calls.join_all().await;
    let (_, told) = crate::observed(cm.submit(&realm(), &key(), b"{}", Duration::ZERO)).await;
    assert_eq!(told[0].outcome, crate::CallOutcome::CircuitOpen);
}

/// A call that nobody answers and that is given up after so many milliseconds.
fn given_up_after(lane: Lane, millis: u64) -> Call {
    let (first_byte, whole) = (Duration::from_millis(millis), Duration::from_millis(millis));
    let total = Duration::from_secs(60);
    Call { lane, deadline: Deadline { first_byte, whole, total, attempts: 1 }, ..frozen_call() }
}

/// Fills a lane of four with calls that are given up after so many milliseconds.
fn fill(cm: &RestCertificateManager, calls: &mut tokio::task::JoinSet<()>, millis: u64) {
    for _ in 0..4 {
        let cm = cm.clone();
        calls.spawn(async move { drop(cm.client.send(&given_up_after(Lane::Rest, millis)).await) });
    }
}

#[tokio::test]
async fn a_call_that_was_queued_when_the_circuit_opened_is_not_made() {
    let world = world(|_, _| Reply::Silence).await;
    let mut calls = tokio::task::JoinSet::new();
    fill(&world.cm, &mut calls, 6400);
    for _ in 0..5 {
        let cm = world.cm.clone();
        calls.spawn(async move { drop(cm.client.send(&given_up_after(Lane::Issuance, 1600)).await) });
    }
    tokio::task::yield_now().await;
    let queued = Call { path: String::from("/queued"), ..given_up_after(Lane::Rest, 3200) };
    let (answer, told) = crate::observed(world.cm.client.send(&queued)).await;
    assert!(
        matches!(answer, Err(Failure::Unanswered { outcome: Outcome::NotSent, retry_after: Some(_), .. })),
        "{answer:?}"
    );
    assert_eq!(told[0].outcome, crate::CallOutcome::CircuitOpen);
    calls.join_all().await;
    assert!(!world.server.lines().iter().any(|line| line.contains("queued")), "nobody was asked");
}

#[tokio::test]
async fn a_call_whose_turn_leaves_it_too_little_time_is_not_made() {
    let world = world(|_, _| Reply::Silence).await;
    let mut calls = tokio::task::JoinSet::new();
    fill(&world.cm, &mut calls, 19_200);
    tokio::task::yield_now().await;
    // At its turn it has 0.8 s, and what a busy machine takes to get here; less than a tenth of its time.
    let total = Duration::from_secs(20);
    let deadline = Deadline { first_byte: total, whole: total, total, attempts: 1 };
    let late = Call { deadline, ..given_up_after(Lane::Rest, 0) };
    let (_, told) = crate::observed(world.cm.client.send(&late)).await;
    assert_eq!(told[0].outcome, crate::CallOutcome::QueueFull);
    calls.join_all().await;
}
