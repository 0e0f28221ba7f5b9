//! What was given up, forbidden or withdrawn since finalize.

use acme::registration::{AccountKeyRecord, AllowedIdentifiers, RegistrationStatus};

use super::{super::ending::drop_proofs, *};

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
        let signed = (&crate::testing::client(), &crate::testing::proof());
        crate::ra::account::deactivate(&self.gateway.app, &endpoint, &self.registration, signed, clock::now())
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
async fn what_waits_for_approval_is_cancelled_at_the_cm_when_its_account_has_ended() {
    for status in [RegistrationStatus::Deactivated, RegistrationStatus::Revoked, RegistrationStatus::Pending] {
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

/// Gives up what the order's first identifier rests on.
pub(super) async fn give_up_a_proof(case: &Case) {
    let (app, endpoint) = (&case.gateway.app, case.gateway.endpoint("open"));
    let proof = &case.gateway.order_now(&case.order).await.authorizations[0];
    crate::ra::authorization::deactivate(
        app,
        &endpoint,
        crate::testing::asked(&case.registration),
        proof,
        clock::now(),
    )
    .await
    .unwrap();
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

/// Binds another key than the one that has signed finalize, at this time by the CM's clock.
fn bind_another_key(case: &Case, since: Option<Timestamp>) {
    let key = crate::testing::new_key();
    case.gateway.cm.change(&case.registration.id, |found| {
        found.had_key = true;
        found.key = Some(AccountKeyRecord { thumbprint: key.thumbprint(), key, since });
    });
    case.gateway.app.registrations.invalidate(&case.registration.id);
}

#[tokio::test(start_paused = true)]
async fn what_a_withdrawn_key_has_signed_is_not_sent_whatever_the_clock_of_the_cm_says() {
    for since in [None, Some(clock::now().minus(Duration::from_secs(3600))), Some(clock::now())] {
        let unsent = Case::new().await;
        let lost = Case::new().await;
        lost.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
        lost.attempt().await.unwrap();
        for (case, sent) in [(unsent, 0), (lost, 1)] {
            bind_another_key(&case, since);
            case.run().await;
            assert_eq!((case.problem().await.kind, case.count(Operation::Submit)), (ProblemKind::Unauthorized, sent));
            assert_eq!(case.gateway.cm.certificates(), []);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_cm_has_when_the_key_is_changed_goes_on() {
    let waiting = Case::new().await;
    waiting.gateway.cm.rule(Ruling::IssuedAfter(2));
    let lost = Case::new().await;
    lost.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
    for case in [waiting, lost] {
        case.attempt().await.unwrap();
        bind_another_key(&case, Some(clock::now()));
        case.run().await;
        case.assert_issued_once().await;
    }
}
