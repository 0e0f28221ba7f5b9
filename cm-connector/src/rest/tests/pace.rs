//! As fast as the CM takes it (CM contract sections 4.1 and 8).

use super::*;
use crate::{CallOutcome, observed};

/// A CM that takes so many calls a second, has said so, and answers certificate requests like this.
async fn paced(per_second: u32, submitted: fn() -> Reply) -> World {
    let world = world(move |request, _| match request.line.as_str() {
        "GET /cm/v1/info" => {
            let mut info = examples::info();
            info["limits"]["requestsPerSecond"] = json!(per_second);
            json_answer(200, &info)
        }
        "GET /cm/v1/whoami" => {
            json_answer(200, &json!({"identity": "urn:cm:gateway:dmz-1", "roles": ["gateway"], "realms": ["tls"]}))
        }
        _ => submitted(),
    })
    .await;
    world.cm.check_identity(&[realm()]).await.unwrap();
    world
}

fn hurried(lane: Lane, millis: u64) -> Call {
    let deadline = Deadline { total: Duration::from_millis(millis), attempts: 1, ..Deadline::READ };
    Call { deadline, ..Call::read(lane, String::from("/realms/tls"), None) }
}

/// Whether the second of two calls at once has its turn within so many milliseconds.
async fn is_next_within(world: &World, millis: u64) -> bool {
    let call = hurried(Lane::Rest, millis);
    let (_, (_, told)) = tokio::join!(world.submit(), observed(world.cm.client.send(&call)));
    told[0].outcome != CallOutcome::QueueFull
}

/// Tries of what a busy machine can spoil, by losing time between two calls.
const TRIES: usize = 5;

/// Whether it is so once at least.
async fn is_once_next_within(world: &World, millis: u64) -> bool {
    for _ in 0..TRIES {
        if is_next_within(world, millis).await {
            return true;
        }
    }
    false
}

/// Whether it is so each time.
async fn is_always_next_within(world: &World, millis: u64) -> bool {
    for _ in 0..TRIES {
        if !is_next_within(world, millis).await {
            return false;
        }
    }
    true
}

fn too_fast() -> Reply {
    problem_with(429, "retry-after: 1\r\n", json!({"code": "rate-limited", "scope": "gateway"}))
}

fn too_fast_for_a_registration() -> Reply {
    problem_with(429, "retry-after: 1\r\n", json!({"code": "rate-limited", "scope": "registration"}))
}

#[tokio::test]
async fn calls_follow_each_other_as_the_cm_advertises() {
    let quick = paced(1000, || json_answer(201, &examples::certificate_request())).await;
    assert!(is_once_next_within(&quick, 200).await);
    let slow = paced(2, || json_answer(201, &examples::certificate_request())).await;
    assert!(!is_always_next_within(&slow, 200).await);
    let (_, told) = observed(slow.cm.client.send(&hurried(Lane::Revocation, 200))).await;
    assert_ne!(told[0].outcome, CallOutcome::QueueFull, "revocations do not wait behind others");
}

#[tokio::test]
async fn a_cm_that_says_too_fast_is_asked_less_often_unless_it_means_one_registration() {
    // Of eight a second six are for these calls, of four two.
    let limited = paced(8, too_fast).await;
    let registration = paced(8, too_fast_for_a_registration).await;
    for world in [&limited, &registration] {
        assert!(world.submit().await.is_err());
    }
    assert!(is_once_next_within(&registration, 400).await);
    assert!(!is_always_next_within(&limited, 400).await);
}

#[tokio::test]
async fn whoever_is_not_let_through_is_told_when_to_come_back() {
    let world = paced(1, || json_answer(201, &examples::certificate_request())).await;
    let call = hurried(Lane::Rest, 200);
    let mut refused = None;
    for _ in 0..TRIES {
        let (_, answer) = tokio::join!(world.submit(), world.cm.client.send(&call));
        refused = answer.err().or(refused);
    }
    let error = refused.unwrap().into_error(Subject::Configuration);
    let CmError::Unavailable { retry_after: Some(retry_after), outcome: Outcome::NotSent } = error else {
        panic!("{error:?}")
    };
    assert!(retry_after > Duration::from_millis(200), "{retry_after:?}");
}
