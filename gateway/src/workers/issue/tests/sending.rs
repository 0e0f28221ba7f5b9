//! What is sent, and how often: one key, the same octets, and nothing again before the CM was asked.

use cm_connector::Delivery;

use super::*;
use crate::testing::dies;

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
