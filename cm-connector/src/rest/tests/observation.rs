//! What is told of the calls, attempt by attempt.

use super::*;
use crate::{CallOutcome, observed};

fn outcomes(calls: Vec<crate::Call>) -> Vec<(String, u32, CallOutcome)> {
    calls.into_iter().map(|call| (call.operation, call.attempt, call.outcome)).collect()
}

#[tokio::test]
async fn each_attempt_is_told_with_what_the_cm_called_it() {
    let world = world(|_, before| match before {
        0 => problem_with(503, "retry-after: 0\r\n", json!({"code": "overloaded", "requestId": "in-the-body"})),
        1 => Reply::Octets(Vec::new()),
        2 => answer(502, "", "text/html", "<html>"),
        _ => json_answer(200, &examples::registration()),
    })
    .await;
    let (registration, calls) = observed(world.registration()).await;
    assert!(registration.unwrap().is_some());
    let heads: Vec<_> = world.server.seen().into_iter().map(|request| request.head).collect();
    for head in &heads {
        assert!(head.contains(&format!("traceparent: 00-{}-", calls[0].trace_id)), "{head}");
    }
    let name = |attempt, outcome| (String::from("GET /realms/{realm}/registrations/{registration}"), attempt, outcome);
    let expected = vec![
        name(
            1,
            CallOutcome::Problem {
                status: 503,
                code: String::from("overloaded"),
                request_id: Some(String::from("in-the-body")),
            },
        ),
        name(2, CallOutcome::ConnectionLost),
        name(3, CallOutcome::NotTheCm { status: 502 }),
        name(4, CallOutcome::Answered { status: 200, request_id: Some(String::from("01KANM8C5T")) }),
    ];
    assert_eq!(outcomes(calls), expected);
}

#[tokio::test]
async fn nothing_that_was_sent_or_answered_is_told() {
    let world = world(|_, _| json_answer(201, &examples::certificate_request())).await;
    let (state, calls) = observed(world.submit()).await;
    assert!(state.is_ok());
    let told = serde_json::to_string(&calls).unwrap();
    let request = examples::certificate_request_create();
    for secret in
        [key().as_str(), request["csr"].as_str().unwrap(), request["orderRef"].as_str().unwrap(), "BEGIN", "tls"]
    {
        assert!(!told.contains(secret), "{told}");
    }
    assert!(told.contains("POST /realms/{realm}/certificate-requests"), "{told}");
}

#[tokio::test]
async fn a_call_that_was_not_made_is_told_with_its_reason() {
    let world = world(|request, _| match request.line.ends_with("/health/ready") {
        true => json_answer(503, &json!({"status": "down", "serves": {}})),
        false => Reply::Octets(Vec::new()),
    })
    .await;
    for _ in 0..5 {
        assert_eq!(world.submit().await, Err(unknown()));
    }
    let (_, calls) = observed(world.submit()).await;
    let post = || String::from("POST /realms/{realm}/certificate-requests");
    assert_eq!(outcomes(calls), [(post(), 1, CallOutcome::CircuitOpen)]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::resume();
    let (_, calls) = observed(world.submit()).await;
    let probe = (
        String::from("GET /health/ready"),
        1,
        CallOutcome::Answered { status: 503, request_id: Some(String::from("01KANM8C5T")) },
    );
    assert_eq!(outcomes(calls), [probe, (post(), 1, CallOutcome::CircuitOpen)]);
}

#[tokio::test]
async fn a_cm_that_is_not_there_and_one_that_freezes_are_told_apart() {
    let pki = Pki::new();
    // Bound, so that it is nobody else's, and not listened at.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let free = taken.local_addr().unwrap();
    let cm = RestCertificateManager::new(pki.settings(format!("https://{free}/cm/v1"))).unwrap();
    let (_, calls) = observed(cm.submit(&realm(), &key(), b"{}", Duration::ZERO)).await;
    assert_eq!(calls[0].outcome, CallOutcome::NoConnection);
    drop(taken);

    let strangers = Pki::new();
    let server = Server::start(&strangers, "127.0.0.1", |_, _| json_answer(200, &json!({}))).await;
    let cm = RestCertificateManager::new(pki.settings(server.base_url())).unwrap();
    let (_, calls) = observed(cm.submit(&realm(), &key(), b"{}", Duration::ZERO)).await;
    assert_eq!(calls[0].outcome, CallOutcome::CertificateRefused);

    let frozen = world(|_, _| Reply::Silence).await;
    let call = frozen_call();
    let (_, calls) = observed(frozen.cm.client.send(&call)).await;
    let attempts: Vec<_> = calls.iter().map(|call| (call.attempt, &call.outcome)).collect();
    assert_eq!(attempts, [(1, &CallOutcome::TimedOut), (2, &CallOutcome::TimedOut)]);
    assert!(calls.iter().all(|call| call.elapsed_millis >= 300), "{calls:?}");
}

#[tokio::test]
async fn the_listener_hears_of_every_attempt_and_the_circuit_shows_in_the_condition() {
    let world = world(|_, _| Reply::Octets(Vec::new())).await;
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    world.cm.listen(Arc::new(move |call: &crate::Call| told.lock().unwrap().push(call.clone())));
    assert!(!world.cm.condition().is_circuit_open);
    let mut observed_calls = Vec::new();
    for _ in 0..5 {
        observed_calls.extend(observed(world.submit()).await.1);
    }
    let condition = world.cm.condition();
    assert!(condition.is_circuit_open);
    assert_eq!((condition.calls_waiting, condition.calls_per_second_max), (0, 50));
    assert_eq!(*heard.lock().unwrap(), observed_calls);
}
