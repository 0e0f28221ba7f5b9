//! Who may revoke what, by what right, and what the CM is asked then.

use std::time::Duration;

use acme::{problem::Problem, registration::Registration};
use cm_connector::{Certificate, CertificateManager as _, CertificateRequest, CertificateStatus, CmError, Outcome};

use super::*;
use crate::{
    clock, ra, random,
    testing::{self, Fault, Gateway, Operation, new_csr, new_key, told},
};

/// A certificate for these names, which the CM has issued to this registration.
async fn issued(gateway: &Gateway, registration: &Registration, names: &[&str]) -> Certificate {
    let csr = new_csr(names);
    let request = CertificateRequest {
        registration: registration.id.clone(),
        order: random::id(),
        profile: "tls-server".parse().unwrap(),
        csr_der: csr.der().to_vec(),
        identifiers: csr.names().alternative.iter().cloned().collect(),
        validations: proofs_of(gateway, registration, names).await,
        not_before: None,
        not_after: None,
        replaces: None,
        client: testing::client(),
        proof: testing::proof(),
    };
    let octets = gateway.cm.certificate_request(&request).unwrap();
    let realm = &gateway.endpoint("open").realm;
    gateway.cm.submit(realm, &random::id(), &octets, Duration::ZERO).await.unwrap();
    gateway.cm.certificates().pop().unwrap()
}

/// Proves these names for an account, and says what was proven.
async fn proofs_of(gateway: &Gateway, registration: &Registration, names: &[&str]) -> Vec<Validation> {
    let order = gateway.ready_order(registration, names).await;
    let ids = gateway.order_now(&order).await.authorizations;
    let authorizations = gateway.app.store.authorizations(&ids).await.unwrap();
    authorizations.iter().map(|stored| Validation::of(&stored.value, false).unwrap()).collect()
}

fn presented(certificate: &Certificate) -> PresentedCertificate {
    PresentedCertificate {
        sha256: certificate.claims.sha256,
        serial: certificate.claims.serial.clone(),
        authority_key_id: Vec::new(),
        spki_der: Vec::new(),
        names: certificate.identifiers.iter().cloned().collect(),
        not_after: certificate.not_after,
    }
}

async fn asked(gateway: &Gateway, certificate: PresentedCertificate, by: Requester<'_>) -> Result<(), Error> {
    asked_at(gateway, certificate, by, RevocationReason::Superseded, clock::now()).await
}

async fn asked_at(
    gateway: &Gateway,
    certificate: PresentedCertificate,
    requester: Requester<'_>,
    reason: RevocationReason,
    now: Timestamp,
) -> Result<(), Error> {
    let request = Request { certificate, reason, requester, client: testing::client(), proof: testing::proof() };
    revoke(&gateway.app, &gateway.endpoint("open"), request, now).await
}

/// By its key, which is made to be the certificate's.
async fn asked_by_key(gateway: &Gateway, certificate: &Certificate, reason: RevocationReason) -> Result<(), Error> {
    let key = new_key();
    let certificate = PresentedCertificate { spki_der: key.to_spki_der(), ..presented(certificate) };
    asked_at(gateway, certificate, Requester::Key(&key), reason, clock::now()).await
}

#[tokio::test(start_paused = true)]
async fn accounts_that_invent_certificates_are_limited_and_addresses_go_on_in_a_narrow_lane() {
    let gateway = Gateway::with("limits.unknown_accounts_per_address = { burst = 2, per_secs = 600 }").await;
    let registration = gateway.registration();
    let certificate = issued(&gateway, &registration, &["a.test"]).await;
    let mut invented = certificate.clone();
    let mut by_key = async |turn| {
        invented.claims.sha256 = [turn; 32];
        told(asked_by_key(&gateway, &invented, RevocationReason::Unspecified).await).kind
    };
    // There may be others at this address, and one of them may hold a stolen key: he gets the answer.
    assert_eq!([by_key(1).await, by_key(2).await, by_key(3).await], [ProblemKind::NotFound; 3]);
    let lane = gateway.app.limits.turn(testing::client().ip, Purpose::Revocation).await.unwrap();
    assert!(lane.was_in_vain().is_err(), "it is a narrow one from now on");
    let owner = Requester::Account(&registration.id);
    asked(&gateway, presented(&certificate), owner).await.unwrap();

    let (busy, unknown) = (gateway.registration(), PresentedCertificate { sha256: [9; 32], ..presented(&certificate) });
    for kind in [ProblemKind::NotFound, ProblemKind::NotFound, ProblemKind::RateLimited] {
        assert_eq!(told(asked(&gateway, unknown.clone(), Requester::Account(&busy.id)).await).kind, kind);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_proved_all_names_revokes_by_its_authorizations() {
    let gateway = Gateway::new().await;
    let (owner, other) = (gateway.registration(), gateway.registration());
    let names = ["a.test", "*.a.test", "192.0.2.7"];
    let certificate = issued(&gateway, &owner, &names).await;
    let mut proven = proofs_of(&gateway, &other, &names).await;
    asked(&gateway, presented(&certificate), Requester::Account(&other.id)).await.unwrap();
    let Basis::Authorizations { registration, validations } = gateway.cm.revocations()[0].basis.clone() else {
        panic!("another basis")
    };
    assert_eq!(registration, other.id);
    proven.sort_by(|one, other| one.identifier.cmp(&other.identifier));
    proven.iter_mut().for_each(|validation| validation.reused = true);
    assert_eq!(validations, proven);
    assert!(gateway.audited().await.contains(&String::from("certificate.revoked")));
}

#[tokio::test(start_paused = true)]
async fn each_name_must_be_proven_as_it_stands_in_the_certificate() {
    let table: [(&[&str], &[&str], &str); 5] = [
        (&["a.test"], &[], "a.test"),
        (&["a.test", "b.test"], &["a.test"], "b.test"),
        (&["*.a.test"], &["a.test"], "*.a.test"),
        (&["a.test"], &["*.a.test"], "a.test"),
        (&["w.a.test"], &["*.a.test", "a.test"], "w.a.test"),
    ];
    for (names, proven, missing) in table {
        let gateway = Gateway::new().await;
        let (owner, other) = (gateway.registration(), gateway.registration());
        let certificate = issued(&gateway, &owner, names).await;
        if !proven.is_empty() {
            proofs_of(&gateway, &other, proven).await;
        }
        let problem = told(asked(&gateway, presented(&certificate), Requester::Account(&other.id)).await);
        assert_eq!(problem.kind, ProblemKind::Unauthorized);
        assert!(problem.detail.contains(&format!("for {missing} ")), "{}", problem.detail);
        assert_eq!(gateway.cm.revocations(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn proofs_that_have_expired_or_were_given_up_do_not_count() {
    let gateway = Gateway::new().await;
    let (owner, other) = (gateway.registration(), gateway.registration());
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    let proven = proofs_of(&gateway, &other, &["a.test"]).await;
    let expires = gateway.authorization_now(&proven[0].authorization).await.expires;
    let certificate =
        PresentedCertificate { not_after: expires.plus(Duration::from_secs(60)), ..presented(&certificate) };
    let late =
        asked_at(&gateway, certificate.clone(), Requester::Account(&other.id), RevocationReason::Superseded, expires);
    assert_eq!(told(late.await).kind, ProblemKind::Unauthorized);
    let endpoint = gateway.endpoint("open");
    ra::authorization::deactivate(
        &gateway.app,
        &endpoint,
        crate::testing::asked(&other),
        &proven[0].authorization,
        clock::now(),
    )
    .await
    .unwrap();
    let given_up = asked(&gateway, certificate, Requester::Account(&other.id)).await;
    assert_eq!(told(given_up).kind, ProblemKind::Unauthorized);
    assert_eq!(gateway.cm.revocations(), []);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_without_names_is_its_owners_and_its_keys_only() {
    let gateway = Gateway::new().await;
    let (owner, other) = (gateway.registration(), gateway.registration());
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    let nameless = PresentedCertificate { names: Default::default(), ..presented(&certificate) };
    let refused = asked(&gateway, nameless, Requester::Account(&other.id)).await;
    assert_eq!(told(refused).kind, ProblemKind::Unauthorized);
}

#[tokio::test(start_paused = true)]
async fn evidence_that_the_cm_does_not_take_is_no_right() {
    let gateway = Gateway::new().await;
    let (owner, other) = (gateway.registration(), gateway.registration());
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    proofs_of(&gateway, &other, &["a.test"]).await;
    let stale = CmError::EvidenceRefused(Problem::new(ProblemKind::Unauthorized, "for issuance"));
    gateway.cm.next(Operation::Revoke, Fault::Answers(stale));
    let problem = told(asked(&gateway, presented(&certificate), Requester::Account(&other.id)).await);
    assert_eq!(problem.kind, ProblemKind::Unauthorized);
    assert!(problem.detail.contains("revocation"), "{}", problem.detail);
}

#[tokio::test(start_paused = true)]
async fn fresh_proofs_wait_for_a_cm_whose_clock_is_behind() {
    let gateway = Gateway::new().await;
    let (owner, other) = (gateway.registration(), gateway.registration());
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    proofs_of(&gateway, &other, &["a.test"]).await;
    gateway.app.cm_condition.clock_is_ahead(-180);
    let put_off = told(asked(&gateway, presented(&certificate), Requester::Account(&other.id)).await);
    assert_eq!(put_off.kind, ProblemKind::Unavailable);
    assert!(put_off.detail.contains("goes on"), "{}", put_off.detail);
    assert_eq!(gateway.cm.calls(Operation::Revoke), [], "it would be refused for good");
    gateway.app.cm_condition.clock_is_ahead(-30);
    asked(&gateway, presented(&certificate), Requester::Account(&other.id)).await.unwrap();
    assert_eq!(gateway.cm.revocations().len(), 1);
    // What rests on no proof does not wait.
    let certificate = issued(&gateway, &owner, &["b.test"]).await;
    gateway.app.cm_condition.clock_is_ahead(-180);
    asked(&gateway, presented(&certificate), Requester::Account(&owner.id)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_is_revoked_again_only_to_say_that_its_key_is_compromised() {
    let gateway = Gateway::new().await;
    let owner = gateway.registration();
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    asked(&gateway, presented(&certificate), Requester::Account(&owner.id)).await.unwrap();
    let account = asked_at(
        &gateway,
        presented(&certificate),
        Requester::Account(&owner.id),
        RevocationReason::KeyCompromise,
        clock::now(),
    );
    assert_eq!(told(account.await).kind, ProblemKind::AlreadyRevoked);
    let other_reason = asked_by_key(&gateway, &certificate, RevocationReason::Superseded).await;
    assert_eq!(told(other_reason).kind, ProblemKind::AlreadyRevoked);
    assert_eq!(gateway.cm.revocations().len(), 1, "the CM was not asked");
    // What it makes of the news is the CM's to say.
    gateway.cm.next(Operation::Revoke, Fault::Answers(CmError::AlreadyRevoked));
    let refused = asked_by_key(&gateway, &certificate, RevocationReason::KeyCompromise).await;
    assert_eq!(told(refused).kind, ProblemKind::AlreadyRevoked);
    asked_by_key(&gateway, &certificate, RevocationReason::KeyCompromise).await.unwrap();
    let last = gateway.cm.revocations().pop().unwrap();
    assert_eq!((last.reason, last.block_key), (RevocationReason::KeyCompromise, true));
    gateway.cm.change_certificate(&certificate.id, |certificate| {
        certificate.revocation.as_mut().unwrap().reason = String::from(KEY_COMPROMISE);
    });
    let again = asked_by_key(&gateway, &certificate, RevocationReason::KeyCompromise).await;
    assert_eq!(told(again).kind, ProblemKind::AlreadyRevoked);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_on_hold_is_revoked_for_good() {
    let gateway = Gateway::new().await;
    let owner = gateway.registration();
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    gateway.cm.change_certificate(&certificate.id, |certificate| {
        certificate.status = CertificateStatus::Hold;
        certificate.revocation = Some(RevocationRecord { at: clock::now(), reason: String::from("certificateHold") });
    });
    asked(&gateway, presented(&certificate), Requester::Account(&owner.id)).await.unwrap();
    assert_eq!(gateway.cm.revocations().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_the_key_itself_has_itself_barred() {
    let gateway = Gateway::new().await;
    let owner = gateway.registration();
    let first = issued(&gateway, &owner, &["a.test"]).await;
    let by_account = asked_at(
        &gateway,
        presented(&first),
        Requester::Account(&owner.id),
        RevocationReason::KeyCompromise,
        clock::now(),
    );
    by_account.await.unwrap();
    let second = issued(&gateway, &owner, &["b.test"]).await;
    asked_by_key(&gateway, &second, RevocationReason::CessationOfOperation).await.unwrap();
    let third = issued(&gateway, &owner, &["c.test"]).await;
    asked_by_key(&gateway, &third, RevocationReason::KeyCompromise).await.unwrap();
    let barred: Vec<_> = gateway.cm.revocations().iter().map(|revocation| revocation.block_key).collect();
    assert_eq!(barred, [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn success_is_the_cms_word_and_nothing_else() {
    let gateway = Gateway::new().await;
    let owner = gateway.registration();
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    gateway.cm.next(Operation::Revoke, Fault::Answers(testing::away(Outcome::Unknown)));
    let away = asked(&gateway, presented(&certificate), Requester::Account(&owner.id)).await;
    assert_eq!(told(away).kind, ProblemKind::Unavailable);
    assert!(!gateway.audited().await.contains(&String::from("certificate.revoked")));
    asked(&gateway, presented(&certificate), Requester::Account(&owner.id)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_expired_certificate_is_not_revoked() {
    let gateway = Gateway::new().await;
    let owner = gateway.registration();
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    let asked = async |now| {
        let by = Requester::Account(&owner.id);
        asked_at(&gateway, presented(&certificate), by, RevocationReason::Superseded, now).await
    };
    assert_eq!(told(asked(certificate.not_after).await).kind, ProblemKind::Unauthorized);
    assert_eq!(gateway.cm.revocations(), []);
    asked(certificate.not_after.minus(Duration::from_secs(1))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whatever_does_not_end_in_a_revocation_is_counted() {
    let gateway = Gateway::with("limits.unknown_accounts_per_address = { burst = 2, per_secs = 600 }").await;
    let (owner, other) = (gateway.registration(), gateway.registration());
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    let questions = || gateway.cm.calls(Operation::Certificate).len();
    let by = async |who: &Registration| asked(&gateway, presented(&certificate), Requester::Account(&who.id)).await;
    for kind in [ProblemKind::Unauthorized, ProblemKind::Unauthorized, ProblemKind::RateLimited] {
        assert_eq!(told(by(&other).await).kind, kind, "another account's certificate");
    }
    assert_eq!(questions(), 2);
    by(&owner).await.unwrap();
    for kind in [ProblemKind::AlreadyRevoked, ProblemKind::AlreadyRevoked, ProblemKind::RateLimited] {
        assert_eq!(told(by(&owner).await).kind, kind);
    }
    assert_eq!(questions(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_cm_is_not_counted_against_those_who_ask_again() {
    let gateway = Gateway::with("limits.unknown_accounts_per_address = { burst = 1, per_secs = 600 }").await;
    let owner = gateway.registration();
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    gateway.cm.is_away(true);
    for _ in 0..3 {
        let away = asked(&gateway, presented(&certificate), Requester::Account(&owner.id)).await;
        assert_eq!(told(away).kind, ProblemKind::Unavailable);
    }
    gateway.cm.is_away(false);
    asked(&gateway, presented(&certificate), Requester::Account(&owner.id)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn about_an_expired_certificate_the_cm_is_not_asked() {
    let gateway = Gateway::new().await;
    let owner = gateway.registration();
    let certificate = issued(&gateway, &owner, &["a.test"]).await;
    let end = certificate.not_after;
    let late =
        asked_at(&gateway, presented(&certificate), Requester::Account(&owner.id), RevocationReason::Superseded, end);
    let problem = told(late.await);
    assert_eq!(problem.kind, ProblemKind::Unauthorized);
    assert!(problem.detail.contains("expired"), "{}", problem.detail);
    assert_eq!(gateway.cm.calls(Operation::Certificate), []);
}
