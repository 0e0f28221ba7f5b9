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
    assert_eq!(world.cm.ready().await, Ok(()));
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
