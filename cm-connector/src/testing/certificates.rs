//! Certificates that are there: what is said of them, how they are found, when they should be renewed (CM contract
//! sections 4.5 and 4.7).

use std::collections::BTreeSet;

use acme::{certificate::PresentedCertificate, csr::Csr, ids::IdempotencyKey};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};

use super::{
    Asked, Realm,
    expect::{certificate_id, fresh, fresh_name, internal, issued, now, refused},
    holder::Holder,
    run::Subjects,
};
use crate::{Certificate, CertificateStatus};

/// The certificates of its default chain, leaf first.
pub(super) fn chain(certificate: &Certificate) -> Vec<Vec<u8>> {
    let pem = &certificate.default_chain().expect("a chain").pem;
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.expect("PEM").to_vec()).collect()
}

pub(super) async fn what_is_said_of_a_certificate_is_what_is_in_it(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let name = fresh_name("example.com");
    let asking = holder.asking(&[&name, &format!("*.{name}")]).await;
    let certificate = issued(asking.submit(&*holder.cm).await);
    let ders = chain(&certificate);
    let leaf = PresentedCertificate::parse(&ders[0]).unwrap();
    let csr = Csr::parse(&asking.request.csr_der).unwrap();
    assert_eq!(leaf.spki_der, csr.spki_der(), "the key of the CSR");
    assert_eq!(certificate.spki_sha256, <[u8; 32]>::from(Sha256::digest(csr.spki_der())));
    assert_eq!((certificate.claims.sha256, &certificate.claims.serial), (leaf.sha256, &leaf.serial));
    let asked_for: BTreeSet<_> = asking.request.identifiers.iter().cloned().collect();
    assert_eq!(leaf.names, asked_for);
    assert_eq!(certificate.identifiers.iter().cloned().collect::<BTreeSet<_>>(), asked_for);
    assert_eq!(certificate.not_after, leaf.not_after);
    assert!(certificate.not_before <= now() && certificate.not_after > now());
    assert_eq!((certificate.status, &certificate.revocation), (CertificateStatus::Good, &None));
    assert_eq!(certificate.id.to_string(), certificate_id(&leaf), "the id of RFC 9773 §4.1");
    let issuer = holder.cm.issuer(&certificate.issuer).await.unwrap();
    assert_eq!(issuer.subject_key_id, Some(leaf.authority_key_id));
    let profiles = holder.cm.profiles(&asking.realm).await.unwrap();
    let profile = profiles.iter().find(|profile| profile.name == asking.request.profile).unwrap();
    assert_eq!(profile.issuer, certificate.issuer);
    let life = certificate.not_after.since(certificate.not_before);
    assert!(profile.validity_max.is_none_or(|most| life <= most + std::time::Duration::from_secs(120)), "{life:?}");
}

pub(super) async fn a_certificate_is_found_by_its_digest_and_nothing_else_is(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let asking = holder.ask().await;
    let certificate = issued(asking.submit(&*holder.cm).await);
    let (cm, realm) = (holder.subject.gateway(), &asking.realm);
    assert_eq!(cm.certificate(realm, &certificate.id).await.unwrap().as_ref(), Some(&certificate));
    assert_eq!(cm.find_certificate(realm, &certificate.claims.sha256).await.unwrap().as_ref(), Some(&certificate));
    assert_eq!(cm.find_certificate(realm, &[7; 32]).await.unwrap(), None);
    let authority = certificate.id.as_str().split_once('.').unwrap().0;
    for unknown in [format!("{authority}.BwcHBwcHBwc"), String::from("AAAA.BwcHBwcHBwc")] {
        assert_eq!(cm.certificate(realm, &unknown.parse().unwrap()).await.unwrap(), None, "{unknown}");
    }
}

pub(super) async fn a_certificate_of_another_realm_is_unknown_here(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let (cm, registered) = (&*holder.cm, holder.subject.realm(Realm::Registered));
    let asking = holder.ask().await;
    let certificate = issued(asking.submit(cm).await);
    assert_eq!(cm.certificate(&registered, &certificate.id).await.unwrap(), None);
    assert_eq!(cm.find_certificate(&registered, &certificate.claims.sha256).await.unwrap(), None);
    let wish = holder.person.revocation(&registered, &holder.id, &chain(&certificate)[0]);
    let octets = cm.revocation_request(&wish).unwrap();
    let outcome = cm.revoke(&registered, &certificate.id, &IdempotencyKey::from_random(fresh()), &octets).await;
    refused(outcome, acme::problem::ProblemKind::NotFound);
    assert_eq!(cm.certificate(&asking.realm, &certificate.id).await.unwrap(), Some(certificate));
}

pub(super) async fn renewal_is_due_before_the_end_and_at_once_after_a_revocation(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let cm = &*holder.cm;
    let asked = Asked::of(holder.subject, cm).await;
    let asking = holder.ask().await;
    let certificate = issued(asking.submit(cm).await);
    if !asked.offers("renewal-info") {
        internal(cm.renewal_info(&asking.realm, &certificate.id).await);
        asked.instead("renewal-info", "the question is refused as an alarm");
        return;
    }
    let info = cm.renewal_info(&asking.realm, &certificate.id).await.unwrap().unwrap();
    assert!(certificate.not_before < info.start && info.start < info.end, "{info:?}");
    assert!(info.end < certificate.not_after && info.start > now(), "{info:?}");
    let elsewhere = holder.subject.realm(Realm::Registered);
    assert_eq!(cm.renewal_info(&elsewhere, &certificate.id).await.unwrap(), None);
    let octets = cm.revocation_request(&holder.person.revocation(&asking.realm, &holder.id, &chain(&certificate)[0]));
    let key = IdempotencyKey::from_random(fresh());
    let _revoked = cm.revoke(&asking.realm, &certificate.id, &key, &octets.unwrap()).await.unwrap();
    let info = cm.renewal_info(&asking.realm, &certificate.id).await.unwrap().unwrap();
    assert!(info.start < info.end && info.end <= now().plus(std::time::Duration::from_secs(1)), "at once: {info:?}");
}

pub(super) async fn the_chains_lead_from_the_certificate_upwards(subjects: &Subjects<'_>) {
    let holder = Holder::new(subjects.shared()).await;
    let asked = Asked::of(holder.subject, &*holder.cm).await;
    let certificate = issued(holder.ask().await.submit(&*holder.cm).await);
    let ders = chain(&certificate);
    assert!(ders.len() >= 2, "the issuing CA is in it");
    let keys = |der: &Vec<u8>| acme::certificate::subject_key_id(der);
    let leaf = PresentedCertificate::parse(&ders[0]).unwrap();
    assert_eq!(keys(&ders[1]), Some(leaf.authority_key_id), "the next one is the issuer");
    assert!(certificate.chains.iter().all(|chain| chain.pem.contains("BEGIN CERTIFICATE")));
    assert_eq!(certificate.chains.iter().filter(|chain| chain.is_default).count(), 1);
    if asked.offers("alternate-chains") {
        assert!(certificate.chains.len() > 1, "{:?}", certificate.chains);
    } else {
        assert_eq!(certificate.chains.len(), 1);
        asked.instead("alternate-chains", "a certificate has one chain");
    }
}
