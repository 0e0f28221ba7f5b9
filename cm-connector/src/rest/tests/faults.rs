//! Answers that are lost, late, cut, strange or not the CM's (CM contract sections 6 and 8).

use super::*;

#[tokio::test]
async fn what_does_not_exist_is_none_and_what_was_not_asked_for_is_an_alarm() {
    let missing = world(|request, _| match request.line.contains('?') {
        true => json_answer(200, &json!({"items": [], "next": null})),
        false => problem(404, "not-found"),
    })
    .await;
    assert_eq!(missing.registration().await, Ok(None));
    assert_eq!(missing.cm.find_certificate(&realm(), &[1; 32]).await, Ok(None));
    assert_eq!(missing.cm.request_by_key(&realm(), &key()).await, Ok(None));
    assert_eq!(missing.cm.certificate(&realm(), &revocation().certificate).await, Ok(None));
    let request = REQUEST_ID.parse().unwrap();
    assert_eq!(missing.cm.request(&realm(), &request).await, Ok(None));
    assert!(matches!(
        missing.cm.cancel(&realm(), &request).await,
        Err(CmError::Internal { outcome: Outcome::Unknown, .. })
    ));
    let certificate = examples::certificate_request()["certificate"].clone();
    let other = world(move |request, _| match (request.line.contains('?'), request.line.contains("certificates")) {
        (true, _) => json_answer(200, &json!({"items": [certificate]})),
        (false, true) => json_answer(200, &certificate),
        (false, false) => json_answer(200, &examples::registration()),
    })
    .await;
    let is_alarm = |error: CmError| matches!(error, CmError::Internal { .. });
    assert!(is_alarm(other.cm.registration(&realm(), &"reg_2".parse().unwrap()).await.unwrap_err()));
    assert!(is_alarm(other.cm.find_certificate(&realm(), &[1; 32]).await.unwrap_err()));
    assert!(is_alarm(other.cm.certificate(&realm(), &"another.one".parse().unwrap()).await.unwrap_err()));
}

#[tokio::test]
async fn a_connection_that_breaks_after_sending_leaves_the_outcome_unknown_and_is_not_repeated() {
    let world = world(|_, _| Reply::Octets(Vec::new())).await;
    assert_eq!(world.submit().await, Err(unknown()));
    assert_eq!(world.server.lines().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_was_sent_nothing() {
    let pki = Pki::new();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cm = RestCertificateManager::new(pki.settings(format!("https://{free}/cm/v1"))).unwrap();
    let submitted = cm.submit(&realm(), &key(), b"{}", Duration::ZERO).await;
    assert_eq!(submitted, Err(CmError::Unavailable { retry_after: None, outcome: Outcome::NotSent }));
}

#[tokio::test]
async fn reading_is_repeated_until_the_cm_answers() {
    let world = world(|_, before| match before {
        0 => problem_with(503, "retry-after: 0\r\n", json!({"code": "overloaded", "retryable": true})),
        1 => {
            Reply::Octets(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{".to_vec())
        }
        2 => answer(200, "", "application/json", r#"{"id": "reg_"#),
        _ => json_answer(200, &examples::registration()),
    })
    .await;
    assert!(world.registration().await.unwrap().is_some());
    assert_eq!(world.server.lines().len(), 4);
}

#[tokio::test]
async fn a_retry_after_beyond_the_time_of_the_call_is_handed_on() {
    let world = world(|_, _| problem_with(503, "retry-after: 120\r\n", json!({"code": "read-only"}))).await;
    let expected = CmError::Unavailable { retry_after: Some(Duration::from_secs(120)), outcome: Outcome::Unknown };
    assert_eq!(world.registration().await, Err(expected));
    assert_eq!(world.server.lines().len(), 1);
}

#[tokio::test]
async fn pages_of_proxies_and_redirects_are_no_answers() {
    let page = "<html><body>login</body></html>";
    let replies: [fn(&str) -> Reply; 5] = [
        |page| answer(200, "", "text/html", page),
        |page| answer(404, "", "text/html", page),
        |page| answer(502, "", "text/html", page),
        |_| answer(307, "location: /cm/v1/elsewhere\r\n", "application/json", "{}"),
        |_| answer(403, "", "application/problem+json", "{}"),
    ];
    for reply in replies {
        let world = world(move |_, _| reply(page)).await;
        assert_eq!(world.submit().await, Err(unknown()));
        assert_eq!(world.server.lines(), ["POST /cm/v1/realms/tls/certificate-requests"]);
    }
}

#[tokio::test]
async fn an_answer_beyond_its_bound_is_an_alarm() {
    let world = world(|_, _| answer(201, "", "application/json", &" ".repeat(1024 * 1024 + 1))).await;
    assert!(matches!(world.submit().await, Err(CmError::Internal { outcome: Outcome::Unknown, .. })));
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_alarm() {
    let world = world(|_, _| json_answer(201, &json!({"id": 7}))).await;
    let error = world.submit().await.unwrap_err();
    assert!(matches!(error, CmError::Internal { outcome: Outcome::Unknown, .. }), "{error:?}");
}

#[tokio::test]
async fn a_cm_that_freezes_is_given_up() {
    let world = world(|_, _| Reply::Silence).await;
    let call = frozen_call();
    let failure = world.cm.client.send(&call).await.unwrap_err();
    assert_eq!(failure.into_error(Subject::Configuration), unknown());
    assert_eq!(world.server.lines().len(), 2);
}

#[tokio::test]
async fn who_is_not_the_cm_does_not_say_when_it_is_back() {
    let world = world(|_, _| answer(503, "retry-after: 86400\r\n", "text/html", "<html>")).await;
    assert_eq!(world.submit().await, Err(unknown()));
}

#[tokio::test]
async fn an_attempt_that_may_have_worked_is_not_forgotten_by_the_next() {
    let world = world(|_, before| match before {
        0 => Reply::Octets(Vec::new()),
        _ => problem_with(429, "retry-after: 120\r\n", json!({"code": "rate-limited", "scope": "gateway"})),
    })
    .await;
    let bound = world.cm.bind_registration(&realm(), &new_registration()).await;
    let expected = CmError::Unavailable { retry_after: Some(Duration::from_secs(120)), outcome: Outcome::Unknown };
    assert_eq!(bound, Err(expected));
}
