//! Certificate requests (CM contract section 4.4).

use super::*;

#[tokio::test]
async fn a_request_is_submitted_once_with_its_octets_and_its_key() {
    let world = world(|_, _| json_answer(201, &examples::certificate_request())).await;
    assert!(matches!(world.submit().await.unwrap(), RequestState::Issued { .. }));
    let [request] = world.server.seen().try_into().unwrap();
    assert_eq!(request.line, "POST /cm/v1/realms/tls/certificate-requests");
    assert_eq!(request.body, examples::certificate_request_create().to_string().into_bytes());
    for header in ["idempotency-key: 5zb8qk2mt7wycr1nv4xlda\r\n", "prefer: wait=20\r\n", "application/json"] {
        assert!(request.head.contains(header), "{header}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_not_made() {
    let world = world(|_, _| json_answer(201, &examples::certificate_request())).await;
    let large = vec![b' '; call::BODY_OCTETS_MAX + 1];
    let submitted = world.cm.submit(&realm(), &key(), &large, Duration::ZERO).await;
    assert!(matches!(submitted, Err(CmError::Internal { outcome: Outcome::NotSent, .. })));
    assert!(world.server.seen().is_empty());
}
#[tokio::test]
async fn an_answer_about_another_order_is_none() {
    let world = world(|_, _| {
        let mut other = examples::certificate_request();
        other["orderRef"] = json!("01KANM7QJ3");
        json_answer(201, &other)
    })
    .await;
    assert_eq!(world.submit().await, Err(unknown()));
}

#[tokio::test]
async fn a_pending_request_tells_when_to_ask_again() {
    let world = world(|_, _| {
        let mut pending = examples::certificate_request();
        pending["status"] = json!("pending-approval");
        pending["certificate"] = json!(null);
        answer(202, "retry-after: 60\r\n", "application/json", &pending.to_string())
    })
    .await;
    let expected = RequestState::Pending {
        id: REQUEST_ID.parse().unwrap(),
        retry_after: Some(Duration::from_secs(60)),
        approval: true,
    };
    assert_eq!(world.submit().await, Ok(expected));
}

#[tokio::test]
async fn a_refusal_is_mapped_and_not_repeated() {
    let world = world(|_, _| problem(422, "csr-bad")).await;
    let refused = Problem::new(ProblemKind::BadCsr, "the words of the CM");
    assert_eq!(world.submit().await, Err(CmError::Refused(refused)));
    assert_eq!(world.server.lines().len(), 1);
}

#[tokio::test]
async fn a_registration_that_is_not_active_is_looked_at_to_tell_why() {
    let why = |status: &'static str| async move {
        let world = world(move |request, _| match request.line.starts_with("POST") {
            true => problem(403, "registration-not-active"),
            false => json_answer(200, &registration_with(|json| json["status"] = json!(status))),
        })
        .await;
        match world.submit().await {
            Err(CmError::Refused(problem)) => problem.kind,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(why("suspended").await, ProblemKind::Unauthorized);
    assert_eq!(why("deactivated").await, ProblemKind::AccountNotActive);
    assert_eq!(why("revoked").await, ProblemKind::AccountNotActive);
}

#[tokio::test]
async fn a_request_is_found_by_its_order_and_only_that_one() {
    let order = "01KANM7QJ2".parse().unwrap();
    let world = world(|_, before| match before {
        0 => json_answer(200, &json!({"items": [examples::certificate_request()], "next": null})),
        1 => json_answer(200, &json!({"items": [], "next": null})),
        _ => {
            let mut other = examples::certificate_request();
            other["orderRef"] = json!("01KANM7QJ3");
            json_answer(200, &json!({"items": [other], "next": null}))
        }
    })
    .await;
    let found = world.cm.request_by_order(&realm(), &order).await.unwrap();
    assert!(matches!(found, Some(RequestState::Issued { .. })), "{found:?}");
    assert_eq!(world.server.lines(), ["GET /cm/v1/realms/tls/certificate-requests?orderRef=01KANM7QJ2"]);
    assert_eq!(world.cm.request_by_order(&realm(), &order).await, Ok(None));
    let another = world.cm.request_by_order(&realm(), &order).await;
    assert!(matches!(another, Err(CmError::Internal { .. })), "{another:?}");
}

#[tokio::test]
async fn a_delivery_and_a_cancellation_are_confirmed() {
    let world = world(|request, _| match request.line.ends_with("/delivery") {
        true => Reply::Octets(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n".to_vec()),
        false => problem_with(
            409,
            "",
            json!({"code": "already-issued", "certificate": examples::certificate_request()["certificate"]}),
        ),
    })
    .await;
    let request = REQUEST_ID.parse().unwrap();
    assert_eq!(world.cm.confirm_delivery(&realm(), &request, &Delivery::Accepted).await, Ok(()));
    assert!(matches!(world.cm.cancel(&realm(), &request).await, Err(CmError::AlreadyIssued(_))));
    let base = format!("POST /cm/v1/realms/tls/certificate-requests/{REQUEST_ID}");
    assert_eq!(world.server.lines(), [format!("{base}/delivery"), format!("{base}/cancel")]);
}
