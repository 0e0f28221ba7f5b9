//! The end of an order without a certificate.

use cm_connector::Delivery;

use super::*;

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
async fn an_account_that_the_cm_calls_inactive_ends_its_order_in_the_words_of_the_endpoint() {
    for (name, kind) in [("open", ProblemKind::AccountNotActive), ("lenient", ProblemKind::Unauthorized)] {
        let case = Case::at(name).await;
        let inactive = Problem::new(ProblemKind::AccountNotActive, "the account has been deactivated or revoked");
        case.gateway.cm.next(Operation::Submit, Fault::Answers(CmError::Refused(inactive)));
        case.run().await;
        assert_eq!(case.problem().await.kind, kind, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn evidence_that_is_refused_because_of_the_cms_clock_leaves_its_proofs_alone() {
    let refused = || Problem::new(ProblemKind::Unauthorized, "the evidence was not accepted");
    for (ahead_secs, is_explained) in [(-180, true), (-50, false), (180, false)] {
        let at_once = Case::new().await;
        at_once.gateway.cm.next(Operation::Submit, Fault::Answers(CmError::EvidenceRefused(refused())));
        at_once.gateway.cm.clock_is_ahead(ahead_secs);
        at_once.run().await;
        let kind = if is_explained { ProblemKind::ServerInternal } else { ProblemKind::Unauthorized };
        assert_eq!(at_once.problem().await.kind, kind, "{ahead_secs}");
        for id in at_once.gateway.order_now(&at_once.order).await.authorizations {
            let proof = at_once.gateway.authorization_now(&id).await;
            assert_eq!(proof.is_withdrawn(), !is_explained, "{ahead_secs}");
        }
        assert_eq!(at_once.gateway.app.metrics.cm_clock_ahead.get(), ahead_secs, "it was looked at");
    }
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
async fn an_order_whose_request_the_cm_has_lost_ends_when_it_expires() {
    let before_the_look = Case::new().await;
    let before_it_is_cancelled = Case::new().await;
    for (case, is_lost_late) in [(before_the_look, false), (before_it_is_cancelled, true)] {
        case.gateway.cm.rule(Ruling::IssuedAfter(1000));
        case.attempt().await.unwrap();
        case.expire().await;
        if is_lost_late {
            let detail = String::from("there is no such request");
            let missing = CmError::Internal { outcome: Outcome::Unknown, detail };
            case.gateway.cm.next(Operation::Cancel, Fault::Answers(missing));
            case.attempt().await.unwrap();
            assert_eq!(case.status().await, OrderStatus::Processing);
        }
        case.gateway.cm.forget_requests();
        case.run().await;
        assert_eq!((case.status().await, case.problem().await), (OrderStatus::Invalid, over()));
        assert_eq!(case.count(Operation::Submit), 1);
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
