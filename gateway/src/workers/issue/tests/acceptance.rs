//! What has to hold of a certificate before anybody gets it, and what becomes of one that is wrong.

use acme::certificate::Check;
use cm_connector::{CertificateManager as _, Delivery};

use super::{
    super::{acceptance::begins_later, answer::SUBMIT_WAIT},
    *,
};
use crate::testing::{Flaw, dies};

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
    run_all(&case.gateway).await;
    assert_eq!(case.gateway.cm.deliveries(), [Delivery::Accepted], "or the CM does not publish it");
    assert_eq!(case.count(Operation::Request), 1, "whether it is the only one");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_the_order_has_already_waits_until_the_cm_says_of_which_request_it_is() {
    let case = Case::new().await;
    issued_under_another_key(&case).await;
    case.gateway.cm.next(Operation::RequestByOrder, Fault::Answers(away(Outcome::Unknown)));
    case.attempt().await.unwrap();
    assert_eq!(case.status().await, OrderStatus::Processing);
    case.run().await;
    run_all(&case.gateway).await;
    assert_eq!(case.gateway.cm.deliveries(), [Delivery::Accepted]);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_the_order_has_already_is_checked() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::Wrong(Flaw::OtherKey));
    issued_under_another_key(&case).await;
    case.attempt().await.unwrap();
    assert_withheld(&case, Check::PublicKey).await;
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
async fn a_profile_that_was_withdrawn_after_the_cm_was_asked_still_says_what_is_good() {
    for is_restarted in [false, true] {
        for flaw in [None, Some(Flaw::TooLong), Some(Flaw::OtherIssuer)] {
            let mut case = Case::new().await;
            if let Some(flaw) = flaw {
                case.gateway.cm.rule(Ruling::Wrong(flaw));
            }
            case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::AfterTheEffect));
            case.attempt().await.unwrap();
            case.gateway.cm.withdraw_profiles();
            if is_restarted {
                case.gateway = case.gateway.restarted_with_catalogue().await;
            } else {
                let (app, realm) = (&case.gateway.app, &case.gateway.endpoint("open").realm);
                app.catalogue.refresh(app.cm.as_ref(), realm).await.unwrap();
            }
            case.run().await;
            let expected = if flaw.is_some() { OrderStatus::Invalid } else { OrderStatus::Valid };
            assert_eq!(case.status().await, expected, "{flaw:?}, restarted: {is_restarted}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn by_a_profile_that_was_withdrawn_after_finalize_the_cm_is_asked_for_nothing() {
    let case = Case::new().await;
    case.gateway.cm.withdraw_profiles();
    let (app, realm) = (&case.gateway.app, &case.gateway.endpoint("open").realm);
    app.catalogue.refresh(app.cm.as_ref(), realm).await.unwrap();
    case.run().await;
    assert_eq!((case.status().await, case.count(Operation::Submit)), (OrderStatus::Invalid, 0));
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

#[tokio::test(start_paused = true)]
async fn delivery_is_confirmed_after_the_commit_and_until_the_cm_has_answered() {
    let case = Case::new().await;
    case.attempt().await.unwrap();
    assert_eq!(case.gateway.cm.deliveries(), [], "not before the order is valid on disk");
    let [job] = case.gateway.jobs().await.try_into().unwrap();
    let Work::ConfirmDelivery { realm, request, failed, .. } = job.value.work.clone() else { panic!("{job:?}") };
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
async fn a_report_that_the_cm_never_takes_ends_with_the_memory_of_its_order() {
    let case = Case::new().await;
    case.attempt().await.unwrap();
    let [job] = case.gateway.jobs().await.try_into().unwrap();
    let Work::ConfirmDelivery { realm, request, failed, .. } = job.value.work.clone() else { panic!("{job:?}") };
    let confirm = || confirm_delivery(&case.gateway.app, &job, &realm, &request, &failed);
    case.gateway.cm.is_away(true);
    assert!(confirm().await.is_err(), "it is tried again");
    let years = clock::now().plus(Duration::from_secs(10 * 365 * 86_400));
    while case.gateway.app.store.sweep(years, 50).await.unwrap() > 0 {}
    confirm().await.unwrap();
    assert_eq!(case.gateway.jobs().await, []);
}

#[tokio::test(start_paused = true)]
async fn of_two_certificates_for_one_request_the_first_stays_and_the_realm_is_stopped() {
    let case = Case::new().await;
    case.gateway.cm.rule(Ruling::IssuedAnew);
    case.gateway.cm.next(Operation::Submit, Fault::AnswerLost(Moment::BeforeTheEffect));
    case.attempt().await.unwrap();
    case.attempt().await.unwrap();
    let first = case.gateway.cm.certificates().remove(0);
    case.gateway.cm.next(Operation::Request, Fault::Answers(away(Outcome::NotSent)));
    let [job] = case.gateway.jobs().await.try_into().unwrap();
    let Work::ConfirmDelivery { realm, request, failed, .. } = job.value.work.clone() else { panic!("{job:?}") };
    assert!(confirm_delivery(&case.gateway.app, &job, &realm, &request, &failed).await.is_err(), "asked again later");
    assert_eq!(case.gateway.cm.deliveries(), [], "nothing may be published yet");
    run_all(&case.gateway).await;
    let second = case.gateway.cm.certificates().pop().unwrap();
    assert_ne!(first.id, second.id);
    let order = case.gateway.order_now(&case.order).await;
    assert!(matches!(&order.progress, Progress::Issued { certificate, .. } if *certificate == first.id), "{order:?}");
    let Delivery::Refused(reported) = case.gateway.cm.deliveries().pop().unwrap() else { panic!("taken") };
    assert!(reported[0].detail.contains(&first.id.to_string()), "{reported:?}");
    let kept = case.gateway.app.store.bad_certificates().await.unwrap();
    assert_eq!((kept.len(), &kept[0].value.certificate), (1, &second.id));
    assert_eq!(case.gateway.app.metrics.certificates_withheld.get(), 1);

    // Whatever the profile, until an operator lifts it.
    let restarted = case.gateway.restarted_with_catalogue().await;
    let mut registration = restarted.registration();
    registration.allowed_profiles = vec!["tls-server".parse().unwrap(), "short".parse().unwrap()];
    restarted.cm.put(registration.clone());
    let ask = async |profile: &str| {
        let mut asked = crate::testing::new_order(&["b.test"]);
        asked.profile = Some(profile.to_owned());
        let endpoint = restarted.endpoint("open");
        crate::ra::order::create(&restarted.app, &endpoint, &registration, (&asked, None), clock::now()).await.is_ok()
    };
    assert_eq!((ask("tls-server").await, ask("short").await), (false, false));
    let resume = async |profile| {
        let by = "uid 0";
        crate::ra::profile_stop::resume(&restarted.app, &realm, profile, by, clock::now()).await.unwrap()
    };
    let profile = "tls-server".parse().unwrap();
    assert_eq!(resume(Some(&profile)).await, None, "it is the realm that is stopped");
    assert_eq!(resume(None).await.unwrap().why.unwrap().certificate, second.id);
    assert_eq!((ask("tls-server").await, ask("short").await), (true, true));
}
