//! Issuance under every fault that can be scripted: one order, one certificate or one refusal.

use std::time::Duration;

use acme::{
    certificate::Check,
    ids::{JobId, OrderId},
    order::OrderStatus,
    problem::{Problem, ProblemKind},
    registration::{AllowedIdentifiers, Registration, RegistrationStatus},
};

use super::{acceptance::begins_later, answer::SUBMIT_WAIT, waiting::AWAY_MAX, *};
use crate::testing::{Fault, Flaw, Gateway, Moment, Operation, Ruling, away, dies, new_csr};
use cm_connector::{CertificateManager as _, Delivery};
use store::Commit;

/// A gateway with an order that was finalized.
struct Case {
    gateway: Gateway,
    registration: Registration,
    order: OrderId,
}

impl Case {
    async fn new() -> Self {
        Self::on(Gateway::new().await).await
    }

    async fn on(gateway: Gateway) -> Self {
        let registration = gateway.registration();
        let order = gateway.ready_order(&registration, &["a.test", "*.a.test"]).await;
        gateway.finalize(&registration, &order, new_csr(&["a.test", "*.a.test"])).await.unwrap();
        Self { gateway, registration, order }
    }

    fn job_id(&self) -> JobId {
        Job::issuance_id(&self.order)
    }

    /// One attempt of the issuance job.
    async fn attempt(&self) -> anyhow::Result<()> {
        let job = self.gateway.job(&self.job_id()).await.expect("there is an issuance job");
        issue(&self.gateway.app, job).await
    }

    async fn status(&self) -> OrderStatus {
        self.gateway.status(&self.order).await
    }

    /// Attempts until the order has ended.
    async fn run(&self) {
        const ENOUGH: usize = 20;
        for _ in 0..ENOUGH {
            if self.status().await != OrderStatus::Processing {
                return;
            }
            self.attempt().await.unwrap();
        }
        panic!("the order does not end");
    }

    async fn problem(&self) -> Problem {
        let order = self.gateway.order_now(&self.order).await;
        let Progress::Failed { problem } = order.progress else { panic!("{order:?}") };
        problem
    }

    async fn submission(&self) -> Submission {
        let job = self.gateway.job(&self.job_id()).await.unwrap().value;
        let Work::Issue { submission, .. } = job.work else { panic!("{job:?}") };
        submission
    }

    /// The order's time is over.
    async fn expire(&self) {
        let stored = self.gateway.app.store.order(&self.order).await.unwrap().unwrap();
        let expired = Order { expires: clock::now(), ..stored.value.clone() };
        let mut commit = Commit::new();
        commit.update_order(&stored, expired, self.gateway.app.keep_until(clock::now()));
        self.gateway.app.store.commit(commit).await.unwrap();
    }

    fn count(&self, operation: Operation) -> usize {
        self.gateway.cm.calls(operation).len()
    }

    /// The order has the one certificate that the CM issued, and all submissions were the same.
    async fn assert_issued_once(&self) {
        let certificates = self.gateway.cm.certificates();
        assert_eq!(certificates.len(), 1, "the CM has issued once");
        let order = self.gateway.order_now(&self.order).await;
        let Progress::Issued { certificate, .. } = &order.progress else { panic!("{order:?}") };
        assert_eq!(*certificate, certificates[0].id);
        let submissions = self.gateway.cm.calls(Operation::Submit);
        assert!(submissions.iter().all(|call| *call == submissions[0]), "same octets, same key");
    }
}

/// Runs whatever jobs there are until there are none.
async fn run_all(gateway: &Gateway) {
    const ENOUGH: usize = 20;
    for _ in 0..ENOUGH {
        let jobs = gateway.jobs().await;
        if jobs.is_empty() {
            return;
        }
        for job in jobs {
            match job.value.work.clone() {
                Work::Issue { .. } => issue(&gateway.app, job).await.unwrap(),
                Work::ConfirmDelivery { realm, request, failed } => {
                    confirm_delivery(&gateway.app, &job, &realm, &request, &failed).await.unwrap();
                }
                Work::Validate { .. } | Work::Revoke(_) => panic!("nothing is validated or revoked here"),
            }
        }
    }
    panic!("there is always another job");
}

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
async fn a_refusal_ends_the_order_with_the_words_that_the_cm_has_for_the_client() {
    let words = Problem::new(ProblemKind::BadCsr, "key type RSA-1024 is not allowed for profile tls-server");
    let at_once = Case::new().await;
    at_once.gateway.cm.next(Operation::Submit, Fault::Answers(CmError::Refused(words.clone())));
    let of_evidence = Case::new().await;
    of_evidence.gateway.cm.next(Operation::Submit, Fault::Answers(CmError::EvidenceRefused(words.clone())));
    let later = Case::new().await;
    later.gateway.cm.rule(Ruling::RefusedAfter(2, words.clone()));
    for case in [at_once, of_evidence, later] {
        case.run().await;
        assert_eq!((case.status().await, case.problem().await), (OrderStatus::Invalid, words.clone()));
        assert_eq!(case.gateway.jobs().await, [], "no job is left");
        assert_eq!(case.gateway.audited().await.last().unwrap(), "order.failed");
        assert_eq!(case.gateway.app.metrics.orders_failed.get(), 1);
    }
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
async fn an_expired_order_that_the_cm_never_heard_of_ends_and_nothing_is_sent() {
    let never_sent = Case::new().await;
    let never_arrived = Case::new().await;
    never_arrived.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
    never_arrived.attempt().await.unwrap();
    for (case, submissions) in [(never_sent, 0), (never_arrived, 1)] {
        case.expire().await;
        case.run().await;
        assert_eq!((case.status().await, case.problem().await), (OrderStatus::Invalid, over()));
        assert_eq!(case.count(Operation::Submit), submissions);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_still_pending_when_its_order_expires_is_withdrawn() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::IssuedAfter(1000));
    case.attempt().await.unwrap();
    case.expire().await;
    case.gateway.cm.next(Operation::Cancel, Fault::AnswerLost(Moment::BeforeTheEffect));
    case.attempt().await.unwrap();
    assert_eq!(case.status().await, OrderStatus::Processing, "the CM may still issue");
    case.run().await;
    assert_eq!((case.status().await, case.problem().await), (OrderStatus::Invalid, over()));
    assert_eq!((case.count(Operation::Cancel), case.gateway.cm.certificates().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_was_issued_before_its_order_could_be_ended_is_delivered() {
    let lost = Case::new().await;
    lost.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
    let approved_late = Case::new().await;
    approved_late.gateway.cm.rule(Ruling::IssuedAfter(2)); // the last look finds it pending, the withdrawal issued
    for case in [lost, approved_late] {
        case.attempt().await.unwrap();
        case.expire().await;
        run_all(&case.gateway).await;
        case.assert_issued_once().await;
        assert_eq!(case.gateway.cm.deliveries(), [Delivery::Accepted]);
    }
}

/// Submits the octets of the case's job under another key, as a gateway restored from an old
/// backup might have.
async fn issued_under_another_key(case: &Case) {
    let job = case.gateway.job(&case.job_id()).await.unwrap().value;
    let Work::Issue { realm, request, .. } = job.work else { panic!("not an issuance job") };
    case.gateway.cm.submit(&realm, &crate::random::id(), &request, SUBMIT_WAIT).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_the_order_has_already_is_taken() {
    let case = Case::new().await;
    issued_under_another_key(&case).await;
    case.attempt().await.unwrap();
    assert_eq!(case.status().await, OrderStatus::Valid);
    assert_eq!(case.gateway.cm.certificates().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_the_order_has_already_is_checked() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::Wrong(Flaw::OtherKey));
    issued_under_another_key(&case).await;
    case.attempt().await.unwrap();
    assert_eq!(case.problem().await.kind, ProblemKind::ServerInternal);
}

/// The certificate is nowhere to be had, and the CM and the operator know why.
async fn assert_withheld(case: &Case, found_by: Check) {
    assert_eq!(case.status().await, OrderStatus::Invalid, "{found_by:?}");
    let problem = case.problem().await;
    assert_eq!(problem.kind, ProblemKind::ServerInternal);
    assert!(!problem.detail.contains("SPKI"), "nothing from inside: {}", problem.detail);
    let withheld = case.gateway.cm.certificates().pop().unwrap();
    assert!(case.gateway.app.downloads.get(&withheld.id).is_none());
    run_all(&case.gateway).await;
    match case.gateway.cm.deliveries().as_slice() {
        [.., Delivery::Refused(failed)] => assert!(failed.iter().any(|one| one.check == found_by), "{failed:?}"),
        other => panic!("{found_by:?}: {other:?}"),
    }
    assert_eq!(case.gateway.app.metrics.certificates_withheld.get(), 1);
    assert_eq!(case.gateway.jobs().await, [], "nothing is confirmed");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_certificate_is_withheld_and_reported() {
    const FLAWS: [Flaw; 11] = [
        Flaw::OtherKey,
        Flaw::OtherName,
        Flaw::UnknownRoot,
        Flaw::OtherIssuer,
        Flaw::TooLong,
        Flaw::NotForServers,
        Flaw::FalseFingerprint,
        Flaw::FalseRegistration,
        Flaw::FalseOrder,
        Flaw::FalseCsr,
        Flaw::NoChain,
    ];
    for flaw in FLAWS {
        let case = Case::new().await;
        case.gateway.cm.rule(Ruling::Wrong(flaw));
        case.attempt().await.unwrap();
        assert_withheld(&case, flaw.found_by().unwrap()).await;
        assert_eq!(case.gateway.app.metrics.certificates_issued.get(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_serial_that_another_order_has_is_withheld() {
    let first = Case::new().await;
    run_all(&first.gateway).await;
    first.assert_issued_once().await;
    let second = Case::on(first.gateway.restarted_with_catalogue().await).await;
    second.gateway.cm.rule(Ruling::Wrong(Flaw::OldSerial));
    second.attempt().await.unwrap();
    assert_withheld(&second, Check::Serial).await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_to_an_unknown_root_beside_a_good_one_is_left_out() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::Wrong(Flaw::UnknownAlternate));
    assert_eq!(Flaw::UnknownAlternate.found_by(), None);
    case.attempt().await.unwrap();
    case.assert_issued_once().await;
    let certificate = &case.gateway.cm.certificates()[0];
    assert_eq!(certificate.chains.len(), 2);
    assert_eq!(case.gateway.app.downloads.get(&certificate.id).unwrap().chains.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_never_read_the_offer_reads_it_before_it_judges_a_certificate() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::Wrong(Flaw::OtherIssuer));
    let restarted = Case { gateway: case.gateway.restarted(), ..case };
    restarted.gateway.cm.next(Operation::Profiles, Fault::Answers(away(Outcome::NotSent)));
    assert!(restarted.attempt().await.is_err(), "without the offer nothing is judged");
    assert_eq!(restarted.status().await, OrderStatus::Processing);
    restarted.attempt().await.unwrap();
    assert_withheld(&restarted, Check::Issuer).await;
}

#[tokio::test(start_paused = true)]
async fn a_registration_suspended_since_finalize_is_refused_and_nothing_is_sent() {
    let case = Case::new().await;
    case.gateway.cm.change(&case.registration.id, |found| found.status = RegistrationStatus::Suspended);
    case.run().await;
    assert_eq!(case.problem().await.kind, ProblemKind::Unauthorized);
    assert_eq!(case.count(Operation::Submit), 0);
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_is_gone_since_finalize_is_refused_and_nothing_is_sent() {
    let case = Case::new().await;
    case.gateway.cm.lose(&case.registration.id);
    case.run().await;
    assert_eq!(case.problem().await.kind, ProblemKind::AccountDoesNotExist);
    assert_eq!(case.count(Operation::Submit), 0);
}

impl Case {
    /// As its client does it: the gateway knows at once.
    async fn deactivate(&self) {
        let endpoint = self.gateway.endpoint("open");
        let proof = crate::testing::proof();
        crate::ra::account::deactivate(&self.gateway.app, &endpoint, &self.registration, &proof, clock::now())
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_deactivated_before_anything_was_sent_gets_no_certificate() {
    let unsent = Case::new().await;
    let lost = Case::new().await;
    lost.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
    lost.attempt().await.unwrap();
    for case in [unsent, lost] {
        case.deactivate().await;
        case.run().await;
        assert_eq!(case.status().await, OrderStatus::Invalid);
        assert!(matches!(case.problem().await.kind, ProblemKind::AccountNotActive | ProblemKind::Unauthorized));
        assert_eq!(case.gateway.cm.certificates(), []);
        assert!(case.gateway.job(&case.job_id()).await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_key_before_a_key_change_signed_ends_its_order_and_says_why() {
    let not_taken_by_the_cm =
        || Fault::Answers(CmError::Internal { outcome: Outcome::NotSent, detail: String::from("proof-invalid") });
    for is_changed in [true, false] {
        let case = Case::new().await;
        if is_changed {
            let (client, proof) = (crate::testing::client(), crate::testing::proof());
            let new_key = crate::testing::new_key();
            let request = crate::ra::key_change::Request { new_key: &new_key, client: &client, proof: &proof };
            let endpoint = case.gateway.endpoint("open");
            let (app, registration) = (&case.gateway.app, &case.registration);
            crate::ra::key_change::change_key(app, &endpoint, registration, &request, clock::now()).await.unwrap();
        }
        case.gateway.cm.next(Operation::Submit, not_taken_by_the_cm());
        case.run().await;
        let kind = if is_changed { ProblemKind::Unauthorized } else { ProblemKind::ServerInternal };
        assert_eq!((case.status().await, case.problem().await.kind), (OrderStatus::Invalid, kind));
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_approval_is_cancelled_at_the_cm_when_its_account_has_ended() {
    for status in [RegistrationStatus::Deactivated, RegistrationStatus::Revoked] {
        let case = Case::new().await;
        case.gateway.cm.rule(Ruling::IssuedAfter(1000));
        case.attempt().await.unwrap();
        if status == RegistrationStatus::Deactivated {
            case.deactivate().await;
        } else {
            case.gateway.cm.change(&case.registration.id, |registration| registration.status = status);
            case.gateway.app.registrations.invalidate(&case.registration.id);
        }
        case.gateway.cm.next(Operation::Cancel, Fault::AnswerLost(Moment::AfterTheEffect));
        case.attempt().await.unwrap();
        assert_eq!(case.status().await, OrderStatus::Processing, "the CM may still issue");
        case.run().await;
        assert_eq!(case.status().await, OrderStatus::Invalid, "{status:?}");
        assert_eq!(case.gateway.cm.certificates(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_cm_issued_before_it_heard_of_the_deactivation_stays() {
    let approved_late = Case::new().await;
    approved_late.gateway.cm.rule(Ruling::IssuedAfter(2)); // the next look finds it pending, the withdrawal issued
    let lost = Case::new().await;
    lost.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
    for case in [approved_late, lost] {
        case.attempt().await.unwrap();
        case.deactivate().await;
        run_all(&case.gateway).await;
        case.assert_issued_once().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_account_and_a_cm_that_cannot_say_cancel_nothing() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::IssuedAfter(3));
    case.attempt().await.unwrap();
    case.gateway.cm.change(&case.registration.id, |registration| registration.status = RegistrationStatus::Suspended);
    case.gateway.app.registrations.invalidate(&case.registration.id);
    case.attempt().await.unwrap();
    case.gateway.app.registrations.invalidate(&case.registration.id);
    case.gateway.cm.next(Operation::Registration, Fault::Answers(away(Outcome::NotSent)));
    case.attempt().await.unwrap();
    assert_eq!(case.count(Operation::Cancel), 0);
    case.run().await;
    case.assert_issued_once().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_taken_off_the_list_since_finalize_is_refused_and_nothing_is_sent() {
    let case = Case::new().await;
    let none = AllowedIdentifiers::Listed { rules: Vec::new(), exclude: Vec::new() };
    case.gateway.cm.change(&case.registration.id, |found| found.allowed_identifiers = none);
    case.run().await;
    let problem = case.problem().await;
    assert_eq!((problem.kind, problem.subproblems.len()), (ProblemKind::RejectedIdentifier, 2));
    assert_eq!(case.count(Operation::Submit), 0);
}

#[tokio::test(start_paused = true)]
async fn delivery_is_confirmed_after_the_commit_and_until_the_cm_has_answered() {
    let case = Case::new().await;
    case.attempt().await.unwrap();
    assert_eq!(case.gateway.cm.deliveries(), [], "not before the order is valid on disk");
    let [job] = case.gateway.jobs().await.try_into().unwrap();
    let Work::ConfirmDelivery { realm, request, failed } = job.value.work.clone() else { panic!("{job:?}") };
    let confirm = || confirm_delivery(&case.gateway.app, &job, &realm, &request, &failed);
    for moment in Moment::BOTH {
        case.gateway.cm.next(Operation::ConfirmDelivery, Fault::AnswerLost(moment));
        assert!(confirm().await.is_err());
        assert_eq!(case.gateway.jobs().await, std::slice::from_ref(&job));
    }
    case.gateway.cm.next(Operation::ConfirmDelivery, Fault::Hangs(Moment::AfterTheEffect));
    assert!(dies(confirm()).await);
    confirm().await.unwrap();
    assert_eq!(case.gateway.jobs().await, []);
    assert_eq!(case.gateway.cm.deliveries(), [Delivery::Accepted, Delivery::Accepted, Delivery::Accepted]);
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

/// Gives up what the order's first identifier rests on.
async fn give_up_a_proof(case: &Case) {
    let (app, endpoint) = (&case.gateway.app, case.gateway.endpoint("open"));
    let proof = &case.gateway.order_now(&case.order).await.authorizations[0];
    crate::ra::authorization::deactivate(app, &endpoint, &case.registration.id, proof, clock::now()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_before_it_was_sent_is_not_sent() {
    let case = Case::new().await;
    give_up_a_proof(&case).await;
    case.run().await;
    assert_eq!((case.status().await, case.count(Operation::Submit)), (OrderStatus::Invalid, 0));
    let problem = case.problem().await;
    assert_eq!(problem.kind, ProblemKind::Unauthorized);
    assert_eq!(problem.subproblems[0].identifier.1, "a.test");
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_while_the_cm_was_away_is_not_sent_again() {
    for is_given_up in [true, false] {
        let case = Case::new().await;
        case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
        case.attempt().await.unwrap();
        if is_given_up {
            give_up_a_proof(&case).await;
        } else {
            drop_proofs(&case.gateway.app, &case.gateway.order_now(&case.order).await).await.unwrap();
        }
        case.run().await;
        assert_eq!((case.status().await, case.count(Operation::Submit)), (OrderStatus::Invalid, 1), "{is_given_up}");
        assert_eq!((case.problem().await.kind, case.gateway.cm.certificates()), (ProblemKind::Unauthorized, vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_suspended_while_the_cm_was_away_is_refused_and_nothing_is_sent_again() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
    case.attempt().await.unwrap();
    case.gateway.cm.change(&case.registration.id, |found| found.status = RegistrationStatus::Suspended);
    case.gateway.app.registrations.invalidate(&case.registration.id);
    case.run().await;
    assert_eq!((case.problem().await.kind, case.count(Operation::Submit)), (ProblemKind::Unauthorized, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_after_the_cm_had_issued_keeps_its_certificate() {
    let case = Case::new().await;
    case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
    case.attempt().await.unwrap();
    give_up_a_proof(&case).await;
    case.run().await;
    case.assert_issued_once().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_while_the_cm_decides_is_withdrawn_there() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::IssuedAfter(5));
    case.attempt().await.unwrap();
    give_up_a_proof(&case).await;
    assert_eq!(case.status().await, OrderStatus::Processing, "it was finalized, and the CM has it");
    case.run().await;
    assert_eq!((case.status().await, case.count(Operation::Cancel)), (OrderStatus::Invalid, 1));
    assert_eq!(case.gateway.cm.certificates().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_was_withdrawn_after_finalize_still_says_what_is_good() {
    for flaw in [Flaw::TooLong, Flaw::OtherIssuer] {
        let case = Case::new().await;
        case.gateway.cm.withdraw_profiles();
        let (app, realm) = (&case.gateway.app, &case.gateway.endpoint("open").realm);
        for _ in 0..2 {
            app.catalogue.refresh(app.cm.as_ref(), realm).await.unwrap();
        }
        case.gateway.cm.rule(Ruling::Wrong(flaw));
        case.run().await;
        assert_eq!(case.status().await, OrderStatus::Invalid, "{flaw:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_begins_within_the_hour_is_held_and_a_later_one_withheld() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::Wrong(Flaw::BeginsIn { minutes: 30 }));
    for _ in 0..2 {
        case.attempt().await.unwrap();
        assert_eq!((case.status().await, case.gateway.cm.deliveries()), (OrderStatus::Processing, vec![]));
        let due = case.gateway.job(&case.job_id()).await.unwrap().value.due_at;
        let (least, most) =
            (clock::now().plus(Duration::from_secs(24 * 60)), clock::now().plus(Duration::from_secs(25 * 60)));
        assert!(due >= least && due <= most, "{due}");
    }
    assert_eq!((case.count(Operation::Submit), case.count(Operation::Request)), (1, 1), "it is not asked for anew");
    case.expire().await;
    case.attempt().await.unwrap();
    assert_eq!(case.status().await, OrderStatus::Invalid, "nobody waits for ever");

    let far = Case::new().await;
    far.gateway.cm.rule(Ruling::Wrong(Flaw::BeginsIn { minutes: 61 }));
    far.attempt().await.unwrap();
    assert_eq!(far.status().await, OrderStatus::Invalid);
    let near = Case::new().await;
    near.gateway.cm.rule(Ruling::Wrong(Flaw::BeginsIn { minutes: 4 }));
    near.attempt().await.unwrap();
    assert_eq!(near.status().await, OrderStatus::Valid);
}

#[test]
fn a_certificate_is_held_until_it_may_be_delivered() {
    const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
    let table = [(-86_400, None), (0, None), (300, None), (301, Some(1)), (3_600, Some(3_300)), (3_601, None)];
    for (ahead_secs, held_secs) in table {
        let not_before = Timestamp::from_unix_secs(NOW.unix_secs() + ahead_secs);
        assert_eq!(begins_later(not_before, NOW), held_secs.map(Duration::from_secs), "{ahead_secs}");
    }
}
