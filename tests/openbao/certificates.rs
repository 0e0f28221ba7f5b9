//! What is OpenBao's own about certificates that are there: when to be renewed, what it is declared to do, roles and issuers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acme::time::Timestamp;
use cm_connector::{Capability, CertificateManager, CmError};

use crate::{
    SHARED, gateway,
    issuance::{certificate, submit},
    person::{Asking, Person},
    realm,
};

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap())
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
    let skew_max = Duration::from_secs(120);
    assert!(identity.time.since(now()) < skew_max && now().since(identity.time) < skew_max);
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
