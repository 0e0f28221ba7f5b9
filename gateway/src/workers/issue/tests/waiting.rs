//! Nothing is decided yet: when the CM is asked again.

use super::{super::waiting::AWAY_MAX, *};

#[tokio::test(start_paused = true)]
async fn a_pending_request_is_looked_at_by_its_id_until_it_is_issued() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::IssuedAfter(3));
    case.attempt().await.unwrap();
    assert!(matches!(case.submission().await, Submission::Accepted { .. }));
    let job = case.gateway.job(&case.job_id()).await.unwrap().value;
    assert!(job.due_at > clock::now() && job.due_at <= clock::now().plus(Duration::from_secs(5)));
    case.run().await;
    case.assert_issued_once().await;
    let counts = [Operation::Submit, Operation::RequestByKey, Operation::Request].map(|call| case.count(call));
    assert_eq!(counts, [1, 0, 3]);
}

#[tokio::test(start_paused = true)]
async fn while_the_cm_is_away_the_order_stays_in_processing_and_then_gets_its_certificate() {
    let case = Case::new().await;
    case.gateway.cm.is_away(true);
    let mut pauses = Vec::new();
    for _ in 0..40 {
        case.attempt().await.unwrap();
        assert_eq!(case.status().await, OrderStatus::Processing);
        pauses.push(case.gateway.job(&case.job_id()).await.unwrap().value.due_at.since(clock::now()));
    }
    assert!(pauses[0] <= Duration::from_secs(1) && pauses.iter().all(|pause| *pause <= AWAY_MAX), "{pauses:?}");
    assert!(pauses[39] >= Duration::from_secs(30), "it is asked less and less often: {pauses:?}");
    case.gateway.cm.is_away(false);
    case.attempt().await.unwrap();
    case.assert_issued_once().await;
}

#[tokio::test(start_paused = true)]
async fn a_submission_over_the_limit_waits_as_long_as_the_cm_says() {
    let case = Case::new().await;
    let wait = Duration::from_secs(120);
    let problem = Problem::new(ProblemKind::RateLimited, "too many");
    let limited = CmError::RateLimited { problem, retry_after: Some(wait) };
    case.gateway.cm.next(Operation::Submit, Fault::Answers(limited));
    let earliest = clock::now().plus(wait);
    case.attempt().await.unwrap();
    assert!(case.gateway.job(&case.job_id()).await.unwrap().value.due_at >= earliest);
    case.run().await;
    case.assert_issued_once().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_does_not_wait_for_the_cm_beyond_its_own_end() {
    let case = Case::new().await;
    let day = Some(Duration::from_secs(86_400 * 365));
    case.gateway
        .cm
        .next(Operation::Submit, Fault::Answers(CmError::Unavailable { retry_after: day, outcome: Outcome::Unknown }));
    case.attempt().await.unwrap();
    let (due, order) =
        (case.gateway.job(&case.job_id()).await.unwrap().value.due_at, case.gateway.order_now(&case.order).await);
    assert!(due <= order.expires && due > clock::now().plus(AWAY_MAX), "{due}, {}", order.expires);
    case.expire().await;
    case.gateway.cm.is_away(true);
    case.attempt().await.unwrap();
    let pause = case.gateway.job(&case.job_id()).await.unwrap().value.due_at.since(clock::now());
    assert!(pause > Duration::from_millis(500), "it is not asked all the time: {pause:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_the_contract_decides_nothing() {
    let case = Case::new().await;
    let detail = String::from("an answer of HTML");
    let broken = CmError::Internal { outcome: Outcome::Unknown, detail };
    case.gateway.cm.next(Operation::Submit, Fault::Answers(broken));
    case.attempt().await.unwrap();
    assert_eq!(case.status().await, OrderStatus::Processing);
    case.run().await;
    case.assert_issued_once().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_days_is_looked_at_every_half_a_minute_while_nobody_tells_of_it() {
    for (is_without_feed, expected) in [(false, 900), (true, 30)] {
        let case = Case::new().await;
        case.gateway.cm.rule(Ruling::IssuedAfter(1000));
        case.attempt().await.unwrap();
        case.has_waited(Duration::from_secs(86_400)).await;
        case.gateway.app.cm_condition.feed_is_gone(&case.gateway.endpoint("open").realm, is_without_feed);
        case.attempt().await.unwrap();
        let due = case.gateway.job(&case.job_id()).await.unwrap().value.due_at;
        let pause = due.since(clock::now()).as_secs();
        assert!((expected - 1..=expected).contains(&pause), "{pause}, without feed: {is_without_feed}");
    }
}
