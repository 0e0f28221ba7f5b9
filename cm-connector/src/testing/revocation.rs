//! Revocations (CM contract section 4.6).

use acme::{ids::IdempotencyKey, problem::ProblemKind};

use super::{
    Asked, Subject,
    asking::Asking,
    certificates::chain,
    expect::{RACERS, at_once, fresh, issued, refused, settled},
    holder::Holder,
    person::Person,
    run::Subjects,
};
use crate::{Certificate, CertificateStatus, CmError};

/// A certificate, and the octets with which its account revokes it.
pub(super) struct Revocable {
    pub(super) holder: Holder,
    pub(super) asking: Asking,
    pub(super) certificate: Certificate,
    pub(super) octets: Vec<u8>,
}

impl Revocable {
    pub(super) async fn new(subject: &'static dyn Subject) -> Self {
        let holder = Holder::new(subject).await;
        let asking = holder.ask().await;
        let certificate = issued(asking.submit(&*holder.cm).await);
        let wish = holder.person.revocation(&asking.realm, &holder.id, &chain(&certificate)[0]);
        assert_eq!(wish.certificate, certificate.id);
        let octets = holder.cm.revocation_request(&wish).unwrap();
        Self { holder, asking, certificate, octets }
    }

    /// What the CM says of it now.
    pub(super) async fn now(&self) -> Certificate {
        self.holder.cm.certificate(&self.asking.realm, &self.certificate.id).await.unwrap().unwrap()
    }
}

fn key() -> IdempotencyKey {
    IdempotencyKey::from_random(fresh())
}

pub(super) async fn a_certificate_is_revoked_once_and_a_repetition_is_harmless(subjects: &Subjects<'_>) {
    let it = Revocable::new(subjects.shared()).await;
    let (cm, realm, id, key) = (&*it.holder.cm, &it.asking.realm, &it.certificate.id, key());
    let first = cm.revoke(realm, id, &key, &it.octets).await.unwrap();
    let now = it.now().await;
    assert_eq!(now.status, CertificateStatus::Revoked);
    assert_eq!(now.revocation.map(|record| record.at), Some(first.at));
    let again = it.holder.subject.gateway().revoke(realm, id, &key, &it.octets).await;
    assert_eq!(again.unwrap(), first);
    let other = cm.revoke(realm, id, &self::key(), &it.octets).await;
    assert!(matches!(other, Err(CmError::AlreadyRevoked)), "{other:?}");
}

pub(super) async fn many_revocations_at_once_are_one(subjects: &Subjects<'_>) {
    let it = Revocable::new(subjects.shared()).await;
    for keys in [vec![key(); RACERS], (0..RACERS).map(|_| key()).collect()] {
        let it = Revocable::new(it.holder.subject).await;
        let is_one_key = keys[0] == keys[1];
        let racers = keys.into_iter().map(|key| {
            let (cm, realm) = (it.holder.subject.gateway(), it.asking.realm.clone());
            let (id, octets) = (it.certificate.id.clone(), it.octets.clone());
            async move { settled(async || cm.revoke(&realm, &id, &key, &octets).await).await }
        });
        let outcomes = at_once(racers).await;
        let revoked: Vec<_> = outcomes.iter().flatten().collect();
        // Of several keys more than one may have been at it; one that comes late is told.
        assert!(if is_one_key { revoked.len() == RACERS } else { !revoked.is_empty() }, "{outcomes:?}");
        assert!(revoked.iter().all(|one| one.at == revoked[0].at), "{outcomes:?}");
        let others = outcomes.iter().filter(|outcome| outcome.is_err());
        assert!(others.into_iter().all(|it| matches!(it, Err(CmError::AlreadyRevoked))), "{outcomes:?}");
        assert_eq!(it.now().await.revocation.map(|record| record.at), Some(revoked[0].at));
    }
    assert_eq!(it.now().await.status, CertificateStatus::Good, "that of nobody who asked");
}

pub(super) async fn whoever_has_the_key_of_a_certificate_revokes_it(subjects: &Subjects<'_>) {
    let it = Revocable::new(subjects.shared()).await;
    let finder = Person::with(it.holder.subject, it.asking.subject_key);
    let wish = finder.revocation_by_key(&it.asking.realm, &chain(&it.certificate)[0]);
    let octets = it.holder.cm.revocation_request(&wish).unwrap();
    let _revoked = it.holder.cm.revoke(&it.asking.realm, &it.certificate.id, &key(), &octets).await.unwrap();
    let now = it.holder.cm.certificate(&it.asking.realm, &it.certificate.id).await.unwrap().unwrap();
    assert_eq!(now.status, CertificateStatus::Revoked);
}

pub(super) async fn a_stranger_revokes_nothing(subjects: &Subjects<'_>) {
    let it = Revocable::new(subjects.shared()).await;
    let stranger = Holder::new(it.holder.subject).await;
    let wish = stranger.person.revocation(&it.asking.realm, &stranger.id, &chain(&it.certificate)[0]);
    let octets = it.holder.cm.revocation_request(&wish).unwrap();
    let outcome = it.holder.cm.revoke(&it.asking.realm, &it.certificate.id, &key(), &octets).await;
    refused(outcome, ProblemKind::Unauthorized);
    assert_eq!(it.now().await.status, CertificateStatus::Good);
}

pub(super) async fn a_reason_is_kept(subjects: &Subjects<'_>) {
    let it = Revocable::new(subjects.shared()).await;
    let cm = &*it.holder.cm;
    let asked = Asked::of(it.holder.subject, cm).await;
    let _revoked = cm.revoke(&it.asking.realm, &it.certificate.id, &key(), &it.octets).await.unwrap();
    assert_eq!(it.now().await.revocation.map(|record| record.reason).as_deref(), Some("superseded"));
    if !asked.offers("revocation-reasons") {
        asked.instead("revocation-reasons", "the adapter remembers the reason and tells it; CRL and OCSP are the CM's");
    }
}
