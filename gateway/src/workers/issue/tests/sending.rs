//! What is sent, and how often: one key, the same octets, and nothing again before the CM was asked.

use acme::{certificate::CertificateId, ids::ProfileName};
use cm_connector::Delivery;
use store::ProfileStop;

use super::{standing::give_up_a_proof, *};
use crate::{
    ra::profile_stop,
    testing::{Flaw, dies},
};

#[tokio::test(start_paused = true)]
async fn a_finalized_order_gets_its_certificate() {
    let case = Case::new().await;
    case.attempt().await.unwrap();
    assert_eq!(case.status().await, OrderStatus::Valid);
    case.assert_issued_once().await;
    assert_eq!(case.gateway.job(&case.job_id()).await, None);
    assert_eq!(case.gateway.audited().await.last().unwrap(), "certificate.issued");
    let certificate = &case.gateway.cm.certificates()[0];
    let download = case.gateway.app.downloads.get(&certificate.id).unwrap();
    assert_eq!((download.owner, download.chains.len()), (case.registration.id.clone(), 1));
}

#[tokio::test(start_paused = true)]
async fn after_an_answer_lost_behind_the_work_the_cm_is_asked_by_key_and_nothing_is_sent_again() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
    case.attempt().await.unwrap();
    assert_eq!(case.status().await, OrderStatus::Processing);
    assert!(matches!(case.submission().await, Submission::MayHaveBeenSent { .. }));
    case.attempt().await.unwrap();
    case.assert_issued_once().await;
    assert_eq!((case.count(Operation::Submit), case.count(Operation::RequestByKey)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn after_an_answer_lost_before_the_work_the_same_octets_go_out_under_the_same_key() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
    case.attempt().await.unwrap();
    case.attempt().await.unwrap();
    case.assert_issued_once().await;
    assert_eq!((case.count(Operation::Submit), case.count(Operation::RequestByKey)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cm_that_has_lost_the_key_is_asked_by_the_order_before_what_is_old_is_sent_again() {
    const TEN_MINUTES: u64 = 600;
    for (waited, expected_submissions, expected_questions) in [(TEN_MINUTES - 5, 2, 0), (TEN_MINUTES + 5, 1, 1)] {
        let case = Case::new().await;
        case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
        case.gateway.cm.rule(Ruling::IssuedAfter(2));
        case.attempt().await.unwrap();
        case.gateway.cm.forget_keys();
        case.has_waited(Duration::from_secs(waited)).await;
        case.attempt().await.unwrap();
        let counts = (case.count(Operation::Submit), case.count(Operation::RequestByOrder));
        assert_eq!(counts, (expected_submissions, expected_questions), "after {waited} s");
        case.run().await;
        case.assert_issued_once().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_cm_accepted_and_has_lost_is_sent_again_as_it_was() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::IssuedAfter(2));
    case.attempt().await.unwrap();
    assert!(matches!(case.submission().await, Submission::Accepted { .. }));
    case.gateway.cm.forget_requests();
    case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
    case.attempt().await.unwrap();
    assert_eq!(case.count(Operation::RequestByOrder), 1, "it was asked for the order before");
    assert!(matches!(case.submission().await, Submission::MayHaveBeenSent { .. }));
    case.run().await;
    case.assert_issued_once().await;
    assert_eq!((case.count(Operation::Submit), case.count(Operation::Request)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_cm_has_lost_is_not_sent_again_for_a_proof_that_was_given_up() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::IssuedAfter(1000));
    case.attempt().await.unwrap();
    case.gateway.cm.forget_requests();
    give_up_a_proof(&case).await;
    case.run().await;
    assert_eq!((case.status().await, case.count(Operation::Submit)), (OrderStatus::Invalid, 1));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_certificate_that_is_found_by_the_order_is_withheld() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
    case.gateway.cm.rule(Ruling::Wrong(Flaw::OtherKey));
    case.attempt().await.unwrap();
    case.gateway.cm.forget_keys();
    case.has_waited(Duration::from_secs(3600)).await;
    case.run().await;
    assert_eq!((case.status().await, case.count(Operation::Submit)), (OrderStatus::Invalid, 1));
    assert_eq!(case.gateway.app.metrics.certificates_withheld.get(), 1);
}

/// A proof that is given up at the last moment before the request is noted as sent.
#[tokio::test(start_paused = true)]
async fn a_proof_given_up_between_the_last_look_and_the_submission_is_noticed() {
    for is_sent_again in [false, true] {
        let case = Case::new().await;
        if is_sent_again {
            case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
            case.attempt().await.unwrap();
        }
        let before = case.count(Operation::Submit);
        let mut held = case.gateway.disk.hold_next();
        let give_up = async {
            held.come().await;
            give_up_a_proof(&case).await;
            held.go();
        };
        let (sent, ()) = tokio::join!(case.attempt(), give_up);
        assert!(sent.is_err(), "it was noticed");
        case.run().await;
        let counts = (case.status().await, case.count(Operation::Submit));
        assert_eq!(counts, (OrderStatus::Invalid, before), "sent again: {is_sent_again}");
        assert_eq!(case.gateway.cm.certificates(), []);
    }
}

/// Looks at CAA take minutes, in which a bad certificate of another order may come.
#[tokio::test(start_paused = true)]
async fn a_profile_stopped_between_the_last_look_and_the_submission_sends_nothing() {
    for profile in [None, Some(ProfileName::parse("tls-server").unwrap())] {
        let case = Case::new().await;
        let realm = RealmName::parse("open").unwrap();
        let mut held = case.gateway.disk.hold_next();
        let stop = async {
            held.come().await;
            let mut commit = Commit::new();
            commit.stop_profile(&ProfileStop {
                realm: realm.clone(),
                profile: profile.clone(),
                since: clock::now(),
                order: case.order.clone(),
                certificate: CertificateId::parse("AQ.Ag").unwrap(),
                failed: Vec::new(),
            });
            case.gateway.app.store.commit(commit).await.unwrap();
            held.go();
        };
        let (sent, ()) = tokio::join!(case.attempt(), stop);
        assert!(sent.is_err(), "it was noticed");
        case.attempt().await.unwrap();
        assert_eq!((case.status().await, case.count(Operation::Submit)), (OrderStatus::Processing, 0), "{profile:?}");
        let resumed = profile_stop::resume(&case.gateway.app, &realm, profile.as_ref(), "uid 0", clock::now()).await;
        assert!(resumed.unwrap().is_some());
        case.run().await;
        case.assert_issued_once().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_lies_in_the_future_of_a_cm_whose_clock_is_behind_waits_until_it_does_not() {
    let case = Case::new().await;
    case.gateway.app.cm_condition.clock_is_ahead(-180);
    case.attempt().await.unwrap();
    assert_eq!((case.status().await, case.count(Operation::Submit)), (OrderStatus::Processing, 0));
    let pause = case.gateway.job(&case.job_id()).await.unwrap().value.due_at.since(clock::now()).as_secs();
    assert!((58..=60).contains(&pause), "{pause}: not longer than the clock is trusted");
    case.gateway.app.cm_condition.clock_is_ahead(-30);
    case.run().await;
    case.assert_issued_once().await;
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_question_by_key_is_asked_again_before_anything_is_sent() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
    case.gateway.cm.next(Operation::RequestByKey, Fault::Answers(away(Outcome::Unknown)));
    case.run().await;
    case.assert_issued_once().await;
    assert_eq!((case.count(Operation::Submit), case.count(Operation::RequestByKey)), (1, 2));
}

/// Kills the process right before and right after each commit and each call to the CM, from
/// finalize to the confirmed delivery. A crash point that is never reached ends its series.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_step_costs_no_order_and_makes_no_second_certificate() {
    const CALLS: [Operation; 3] = [Operation::Registration, Operation::Submit, Operation::ConfirmDelivery];
    let mut crashes = 0;
    for moment in Moment::BOTH {
        for commits in 0.. {
            let crashed = crash(|gateway| gateway.disk.cut_power_after(commits, moment)).await;
            if !crashed {
                break;
            }
            crashes += 1;
        }
        for operation in CALLS {
            assert!(crash(|gateway| gateway.cm.next(operation, Fault::Hangs(moment))).await, "{operation:?}");
            crashes += 1;
        }
    }
    // Four commits: finalize, the intent, the certificate, the end of the delivery; three calls.
    assert_eq!(crashes, 2 * (4 + CALLS.len()));
}

/// Plans a crash, lets the client finalize and the workers run into it, restarts, and checks what
/// has become of the order. Says whether there was a crash.
async fn crash(plan: impl FnOnce(&Gateway)) -> bool {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let order = gateway.ready_order(&registration, &["a.test"]).await;
    let csr = new_csr(&["a.test"]);
    plan(&gateway);
    let life = async {
        gateway.finalize(&registration, &order, csr.clone()).await.unwrap();
        run_all(&gateway).await;
    };
    let crashed = dies(life).await;
    assert_eq!(crashed, !gateway.disk.forget_interruption() && !gateway.cm.forget_faults());

    let case = Case { gateway: gateway.restarted_with_catalogue().await, registration, order };
    // A client without an answer to its finalize sends it again.
    case.gateway.finalize(&case.registration, &case.order, csr).await.unwrap();
    run_all(&case.gateway).await;
    case.assert_issued_once().await;
    let deliveries = case.gateway.cm.deliveries();
    assert!(!deliveries.is_empty() && deliveries.iter().all(|delivery| *delivery == Delivery::Accepted));
    crashed
}

#[tokio::test(start_paused = true)]
async fn of_two_gateways_that_run_one_job_only_one_sends() {
    let case = Case::new().await;
    let job = case.gateway.job(&case.job_id()).await.unwrap();
    let mut held = case.gateway.disk.hold_next();
    let slow = issue(&case.gateway.app, job.clone());
    let fast = async {
        held.come().await;
        issue(&case.gateway.app, job.clone()).await.unwrap();
        held.go();
    };
    let (slow, ()) = tokio::join!(slow, fast);
    assert!(slow.is_err(), "it lost the job before it sent anything");
    case.assert_issued_once().await;
    assert_eq!(case.count(Operation::Submit), 1);
}
