//! Certificates that are there: found, described, revoked, when to be renewed; profiles and issuers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acme::{ids::IdempotencyKey, problem::ProblemKind, time::Timestamp};
use cm_connector::{Capability, CertificateManager, CertificateStatus, CmError};
use serde_json::{Value, json};

use crate::{
    SHARED, gateway,
    issuance::{certificate, hex, submit},
    person::{Asking, Person},
    realm,
};

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap())
}

fn key(text: &str) -> IdempotencyKey {
    text.parse().unwrap()
}

fn revocation(sha256: &[u8; 32], basis: &Value) -> Vec<u8> {
    json!({"reason": "superseded", "basis": basis, "certificateSha256": hex(sha256)}).to_string().into_bytes()
}

#[tokio::test]
async fn a_certificate_is_revoked_with_its_reason_once() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let issued = certificate(submit(&cm, &Asking::of(&id, &["revoke.example.com"])).await);
    let account = revocation(&issued.claims.sha256, &json!({"type": "account", "registration": id}));
    let stranger = revocation(&issued.claims.sha256, &json!({"type": "account", "registration": "reg_other"}));
    let refused = cm.revoke(&open, &issued.id, &key("revocation-0"), &stranger).await;
    assert!(matches!(&refused, Err(CmError::Refused(it)) if it.kind == ProblemKind::Unauthorized), "{refused:?}");
    let first = cm.revoke(&open, &issued.id, &key("revocation-1"), &account).await.unwrap();
    assert_eq!(cm.revoke(&open, &issued.id, &key("revocation-1"), &account).await.unwrap(), first);
    let other = cm.revoke(&open, &issued.id, &key("revocation-2"), &account).await;
    assert!(matches!(other, Err(CmError::AlreadyRevoked)), "{other:?}");
    let known = cm.certificate(&open, &issued.id).await.unwrap().unwrap();
    assert_eq!(known.status, CertificateStatus::Revoked);
    let record = known.revocation.unwrap();
    assert_eq!((record.reason.as_str(), record.at), ("superseded", first.at));
    let renewal = cm.renewal_info(&open, &issued.id).await.unwrap().unwrap();
    assert!(renewal.end <= now().plus(Duration::from_secs(1)), "at once: {renewal:?}");
}

#[tokio::test]
async fn a_certificate_of_another_realm_is_unknown_here() {
    let (cm, registered) = (gateway(&SHARED), realm("registered"));
    let id = Person::new().register(&cm).await.registration.id;
    let issued = certificate(submit(&cm, &Asking::of(&id, &["realm.example.com"])).await);
    assert_eq!(cm.certificate(&registered, &issued.id).await.unwrap(), None);
    assert_eq!(cm.find_certificate(&registered, &issued.claims.sha256).await.unwrap(), None);
    assert_eq!(cm.renewal_info(&registered, &issued.id).await.unwrap(), None);
    let octets = revocation(&issued.claims.sha256, &json!({"type": "certificate-key"}));
    let refused = cm.revoke(&registered, &issued.id, &key("foreign"), &octets).await;
    assert!(matches!(&refused, Err(CmError::Refused(it)) if it.kind == ProblemKind::NotFound), "{refused:?}");
}

#[tokio::test]
async fn renewal_is_due_at_two_thirds_of_a_certificates_life() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let issued = certificate(submit(&cm, &Asking::of(&id, &["renewal.example.com"])).await);
    let info = cm.renewal_info(&open, &issued.id).await.unwrap().unwrap();
    let days = info.start.since(issued.not_before).as_secs() / 86_400;
    assert!(days == 60 && info.end > info.start && info.end < issued.not_after, "{info:?}");
}

#[tokio::test]
async fn what_the_gateway_is_told_at_start_is_what_openbao_can_do() {
    let cm = gateway(&SHARED);
    let realms = [realm("open"), realm("registered")];
    let identity = cm.check_identity(&realms).await.unwrap();
    assert!(identity.product.starts_with("OpenBao 2."), "{}", identity.product);
    assert!(identity.time.since(now()) < Duration::from_secs(5) && now().since(identity.time) < Duration::from_secs(5));
    assert!(identity.capabilities.contains("eab-verify") && !identity.capabilities.contains("events"));
    assert!(cm.offers(Capability::RenewalInfo) && !cm.offers(Capability::Waivers));
    cm.ready().await.unwrap();
    let missing = cm.check_identity(&[realm("nowhere")]).await;
    assert!(matches!(missing, Err(CmError::Internal { .. })), "{missing:?}");
}

#[tokio::test]
async fn roles_are_profiles_and_each_realm_has_its_issuer() {
    let cm = gateway(&SHARED);
    let profiles = cm.profiles(&realm("open")).await.unwrap();
    let [profile] = profiles.as_slice() else { panic!("one role: {profiles:?}") };
    assert!(profile.is_default && profile.wildcards && profile.ip && profile.client_may_choose_validity);
    assert_eq!(profile.validity_max, Some(Duration::from_secs(90 * 86_400)));
    let issuer = cm.issuer(&profile.issuer).await.unwrap();
    assert!(issuer.is_active && issuer.subject_key_id.is_some());
    assert_eq!(issuer.caa_identities, ["ca.example.net"]);
}
