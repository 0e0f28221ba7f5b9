//! Certificates: revocation and renewal information (CM contract sections 4.5 to 4.7).

use super::*;

#[tokio::test]
async fn a_revocation_is_repeated_under_its_key() {
    let world = world(|_, before| match before {
        0 => Reply::Octets(Vec::new()),
        1 => problem_with(409, "retry-after: 0\r\n", json!({"code": "request-in-progress"})),
        _ => json_answer(
            200,
            &json!({"id": revocation().certificate, "status": "revoked",
                "revocation": {"at": "2026-11-22T01:05:01Z", "reason": "superseded"}}),
        ),
    })
    .await;
    let octets = world.cm.revocation_request(&revocation()).unwrap();
    let revoked = world.cm.revoke(&realm(), &revocation().certificate, &key(), &octets).await.unwrap();
    assert_eq!(revoked.at.to_string(), "2026-11-22T01:05:01Z");
    let seen = world.server.seen();
    assert_eq!(seen.len(), 3);
    for request in &seen {
        assert_eq!(request.body, octets);
        assert!(request.head.contains("idempotency-key: 5zb8qk2mt7wycr1nv4xlda\r\n"));
        assert!(request.line.ends_with(&format!("/certificates/{}/revoke", revocation().certificate)));
    }
}

#[tokio::test]
async fn renewal_information_is_read_and_nothing_is_made_up() {
    let id = revocation().certificate;
    let world = world(|_, number| match number {
        0 => json_answer(200, &examples::renewal_info()),
        1 => problem(404, "not-found"),
        _ => json_answer(
            200,
            &json!({"suggestedWindow": {"start": "2027-01-20T00:00:00Z", "end": "2027-01-20T00:00:00Z"}}),
        ),
    })
    .await;
    let found = world.cm.renewal_info(&realm(), &id).await.unwrap().unwrap();
    assert_eq!(found.retry_after, Some(Duration::from_secs(21_600)));
    assert_eq!(world.cm.renewal_info(&realm(), &id).await, Ok(None));
    assert!(matches!(world.cm.renewal_info(&realm(), &id).await, Err(CmError::Internal { .. })), "an empty window");
    assert_eq!(world.server.lines()[0], format!("GET /cm/v1/realms/tls/certificates/{id}/renewal-info"));
}
