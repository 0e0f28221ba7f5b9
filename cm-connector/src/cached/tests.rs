//! The cache against a CM that counts its questions, on a clock that the tests move.

use std::sync::atomic::{AtomicUsize, Ordering};

use acme::{
    account_key::PublicKey,
    caa::CaaEvidence,
    certificate::CertificateId,
    ids::{AuthorizationId, CertificateRequestId, IdempotencyKey, IssuerName, OrderId},
    profile::Profile,
    registration::{AccountKeyRecord, AllowedIdentifiers, RegistrationStatus},
};
use async_trait::async_trait;
use tokio::{
    sync::Semaphore,
    time::{advance, timeout},
};

use super::*;
use crate::{
    Certificate, CertificateRequest, Delivery, Identity, Issuer, NewRegistration, Outcome, Proof, Registered,
    RegistrationUpdate, RenewalInfo, RequestState, Revocation, Revoked,
};

const DOWN: CmError = CmError::Unavailable { retry_after: None, outcome: Outcome::Unknown };

/// A CM that answers when it is let.
struct FakeCm {
    questions: AtomicUsize,
    answers: Semaphore,
    found: Mutex<Found>,
}

impl FakeCm {
    fn new(found: Found) -> Arc<Self> {
        Arc::new(Self { questions: AtomicUsize::new(0), answers: Semaphore::new(1000), found: Mutex::new(found) })
    }

    fn answers(&self, found: Found) {
        *self.found.lock().unwrap() = found;
    }

    fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    async fn answer(&self) -> Result<Option<Registration>, CmError> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        let found = self.found.lock().unwrap().clone();
        self.answers.acquire().await.unwrap().forget();
        Ok(found?.map(|registration| Registration::clone(&registration)))
    }
}

#[async_trait]
impl CertificateManager for FakeCm {
    async fn registration(&self, _: &RealmName, _: &RegistrationId) -> Result<Option<Registration>, CmError> {
        self.answer().await
    }
    async fn registration_by_key(&self, _: &RealmName, _: &Thumbprint) -> Result<Option<Registration>, CmError> {
        self.answer().await
    }
    async fn check_identity(&self, _: &[RealmName]) -> Result<Identity, CmError> {
        unreachable!()
    }
    async fn ready(&self) -> Result<(), CmError> {
        unreachable!()
    }
    async fn create_registration(&self, _: &RealmName, _: &NewRegistration) -> Result<Registered, CmError> {
        unreachable!()
    }
    async fn bind_registration(&self, _: &RealmName, _: &NewRegistration) -> Result<Registered, CmError> {
        unreachable!()
    }
    async fn update_registration(
        &self,
        _: &RealmName,
        _: &Registration,
        _: &RegistrationUpdate,
        _: &Proof,
    ) -> Result<Registration, CmError> {
        unreachable!()
    }
    async fn change_key(
        &self,
        _: &RealmName,
        _: &Registration,
        _: &PublicKey,
        _: &Proof,
    ) -> Result<Registration, CmError> {
        unreachable!()
    }
    async fn deactivate(&self, _: &RealmName, _: &Registration, _: &Proof) -> Result<Registration, CmError> {
        unreachable!()
    }
    fn renew_caa(&self, _: &[u8], _: &[(AuthorizationId, CaaEvidence)]) -> Result<Vec<u8>, CmError> {
        unreachable!()
    }
    fn certificate_request(&self, _: &CertificateRequest) -> Result<Vec<u8>, CmError> {
        unreachable!()
    }
    async fn submit(&self, _: &RealmName, _: &IdempotencyKey, _: &[u8], _: Duration) -> Result<RequestState, CmError> {
        unreachable!()
    }
    async fn request_by_key(&self, _: &RealmName, _: &IdempotencyKey) -> Result<Option<RequestState>, CmError> {
        unreachable!()
    }
    async fn request_by_order(&self, _: &RealmName, _: &OrderId) -> Result<Option<RequestState>, CmError> {
        unreachable!()
    }
    async fn request(&self, _: &RealmName, _: &CertificateRequestId) -> Result<Option<RequestState>, CmError> {
        unreachable!()
    }
    async fn cancel(&self, _: &RealmName, _: &CertificateRequestId) -> Result<(), CmError> {
        unreachable!()
    }
    async fn confirm_delivery(&self, _: &RealmName, _: &CertificateRequestId, _: &Delivery) -> Result<(), CmError> {
        unreachable!()
    }
    async fn certificate(&self, _: &RealmName, _: &CertificateId) -> Result<Option<Certificate>, CmError> {
        unreachable!()
    }
    async fn find_certificate(&self, _: &RealmName, _: &[u8; 32]) -> Result<Option<Certificate>, CmError> {
        unreachable!()
    }
    async fn renewal_info(&self, _: &RealmName, _: &CertificateId) -> Result<Option<RenewalInfo>, CmError> {
        unreachable!()
    }
    fn revocation_request(&self, _: &Revocation) -> Result<Vec<u8>, CmError> {
        unreachable!()
    }
    async fn revoke(&self, _: &RealmName, _: &CertificateId, _: &IdempotencyKey, _: &[u8]) -> Result<Revoked, CmError> {
        unreachable!()
    }
    async fn profiles(&self, _: &RealmName) -> Result<Vec<Profile>, CmError> {
        unreachable!()
    }
    async fn issuer(&self, _: &IssuerName) -> Result<Issuer, CmError> {
        unreachable!()
    }
}

fn realm() -> RealmName {
    "tls".parse().unwrap()
}

fn id(text: &str) -> RegistrationId {
    text.parse().unwrap()
}

fn key(text: &str) -> PublicKey {
    PublicKey::Rsa { n: text.as_bytes().to_vec(), e: vec![1, 0, 1] }
}

fn registration(text: &str) -> Registration {
    Registration {
        id: id(text),
        version: 1,
        status: RegistrationStatus::Active,
        key: Some(AccountKeyRecord { key: key(text), thumbprint: key(text).thumbprint(), since: None }),
        had_key: false,
        contacts: Vec::new(),
        terms_of_service_agreed_at: None,
        external_account: None,
        allowed_identifiers: AllowedIdentifiers::Any { exclude: Vec::new() },
        allowed_profiles: Vec::new(),
        validity_max: None,
        parent: None,
        realm: None,
        waivers: Vec::new(),
    }
}

fn cache(cm: &Arc<FakeCm>) -> CachedRegistrations {
    CachedRegistrations::new(Arc::clone(cm) as Arc<dyn CertificateManager>, Limits::default())
}

fn found(text: &str) -> Found {
    Ok(Some(Arc::new(registration(text))))
}

#[tokio::test(start_paused = true)]
async fn the_cm_is_asked_once_a_minute() {
    let cm = FakeCm::new(found("a"));
    let cache = cache(&cm);
    for (age_secs, questions) in [(0, 1), (59, 1), (1, 2), (59, 2), (1, 3)] {
        advance(Duration::from_secs(age_secs)).await;
        assert_eq!(cache.registration(&realm(), &id("a")).await, found("a"));
        assert_eq!(cm.questions(), questions);
    }
}

#[tokio::test(start_paused = true)]
async fn one_question_serves_look_ups_by_id_and_by_key() {
    let cm = FakeCm::new(found("a"));
    let cache = cache(&cm);
    assert_eq!(cache.registration_by_key(&realm(), &key("a").thumbprint()).await, found("a"));
    assert_eq!(cache.registration(&realm(), &id("a")).await, found("a"));
    assert_eq!(cache.registration_by_key(&realm(), &key("a").thumbprint()).await, found("a"));
    assert_eq!(cm.questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn realms_are_kept_apart() {
    let cm = FakeCm::new(found("a"));
    let cache = cache(&cm);
    cache.registration(&realm(), &id("a")).await.unwrap();
    cm.answers(Ok(None));
    let other: RealmName = "other".parse().unwrap();
    assert_eq!(cache.registration(&other, &id("a")).await, Ok(None));
    assert_eq!(cache.registration_by_key(&other, &key("a").thumbprint()).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_quarter_of_an_hour_is_bridged_while_the_cm_is_unavailable() {
    let cm = FakeCm::new(found("a"));
    let cache = cache(&cm);
    cache.registration(&realm(), &id("a")).await.unwrap();
    cm.answers(Err(DOWN));
    advance(Duration::from_secs(899)).await;
    assert_eq!(cache.registration(&realm(), &id("a")).await, found("a"));
    assert_eq!(cm.questions(), 2, "it is asked first");
    advance(Duration::from_secs(1)).await;
    assert_eq!(cache.registration(&realm(), &id("a")).await, Err(DOWN));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_is_never_bridged() {
    let cm = FakeCm::new(found("a"));
    let cache = cache(&cm);
    cache.registration(&realm(), &id("a")).await.unwrap();
    let alarm = CmError::Internal { outcome: Outcome::NotSent, detail: String::from("wrong role") };
    cm.answers(Err(alarm.clone()));
    advance(Duration::from_secs(61)).await;
    assert_eq!(cache.registration(&realm(), &id("a")).await, Err(alarm));
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_does_not_exist_is_not_remembered() {
    let cm = FakeCm::new(Ok(None));
    let cache = cache(&cm);
    assert_eq!(cache.registration(&realm(), &id("a")).await, Ok(None));
    cm.answers(found("a"));
    assert_eq!(cache.registration(&realm(), &id("a")).await, found("a"));
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_is_gone_is_forgotten() {
    let cm = FakeCm::new(found("a"));
    let cache = cache(&cm);
    cache.registration(&realm(), &id("a")).await.unwrap();
    cm.answers(Ok(None));
    advance(Duration::from_secs(61)).await;
    assert_eq!(cache.registration_by_key(&realm(), &key("a").thumbprint()).await, Ok(None));
    cm.answers(Err(DOWN));
    assert_eq!(cache.registration(&realm(), &id("a")).await, Err(DOWN));
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_registration_is_read_again() {
    let cm = FakeCm::new(found("a"));
    let cache = cache(&cm);
    cache.registration(&realm(), &id("a")).await.unwrap();
    let suspended = Arc::new(Registration { status: RegistrationStatus::Suspended, ..registration("a") });
    cm.answers(Ok(Some(Arc::clone(&suspended))));
    assert_eq!(cache.registration(&realm(), &id("a")).await, found("a"));
    cache.invalidate(&id("a"));
    assert_eq!(cache.registration(&realm(), &id("a")).await, Ok(Some(suspended)));
}

#[tokio::test(start_paused = true)]
async fn what_the_cm_answered_to_a_write_is_remembered() {
    let cm = FakeCm::new(Err(DOWN));
    let cache = cache(&cm);
    cache.remember(&realm(), registration("a"), cache.epoch());
    assert_eq!(cache.registration_by_key(&realm(), &key("a").thumbprint()).await, found("a"));
    assert_eq!(cm.questions(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_registration_read_longest_ago_makes_room() {
    let cm = FakeCm::new(Err(DOWN));
    let limits = Limits { entries_max: 2, ..Limits::default() };
    let cache = CachedRegistrations::new(Arc::clone(&cm) as Arc<dyn CertificateManager>, limits);
    for text in ["a", "b", "a", "c"] {
        cache.remember(&realm(), registration(text), cache.epoch());
    }
    assert_eq!(cache.registration(&realm(), &id("b")).await, Err(DOWN));
    assert_eq!(cache.registration_by_key(&realm(), &key("b").thumbprint()).await, Err(DOWN));
    for text in ["a", "c"] {
        assert_eq!(cache.registration(&realm(), &id(text)).await, found(text));
    }
    let state = cache.state();
    assert_eq!((state.entries.len(), state.by_key.len(), state.by_age.len(), state.flights.len()), (2, 2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_remembered_at_any_age_until_the_cm_denies_it() {
    let cm = FakeCm::new(found("a"));
    let cache = cache(&cm);
    let remembers = || (cache.remembers(&realm(), &id("a")), cache.remembers_key(&realm(), &key("a").thumbprint()));
    assert_eq!(remembers(), (false, false));
    cache.registration(&realm(), &id("a")).await.unwrap();
    advance(Duration::from_secs(1_000_000)).await;
    assert_eq!(remembers(), (true, true));
    assert!(!cache.remembers(&"other".parse().unwrap(), &id("a")));
    cm.answers(Ok(None));
    assert_eq!(cache.registration(&realm(), &id("a")).await, Ok(None));
    assert_eq!(remembers(), (false, false));
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_at_the_same_time_share_one_question() {
    let cm = FakeCm::new(found("a"));
    cm.answers.forget_permits(1000);
    let cache = Arc::new(cache(&cm));
    let ask = || {
        let cache = Arc::clone(&cache);
        tokio::spawn(async move { cache.registration(&realm(), &id("a")).await })
    };
    let asking: Vec<_> = (0..50).map(|_| ask()).collect();
    while cm.questions() == 0 {
        tokio::task::yield_now().await;
    }
    cm.answers.add_permits(1);
    for asker in asking {
        assert_eq!(asker.await.unwrap(), found("a"));
    }
    assert_eq!(cm.questions(), 1);
    assert_eq!(cache.state().flights.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_everybody_has_given_up_leaves_nothing_behind() {
    let cm = FakeCm::new(found("a"));
    cm.answers.forget_permits(1000);
    let cache = cache(&cm);
    assert!(timeout(Duration::from_secs(1), cache.registration(&realm(), &id("a"))).await.is_err());
    assert_eq!(cache.state().flights.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_an_invalidation_is_not_remembered() {
    let cm = FakeCm::new(found("a"));
    cm.answers.forget_permits(1000);
    let cache = Arc::new(cache(&cm));
    let early = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.registration(&realm(), &id("a")).await }
    });
    while cm.questions() == 0 {
        tokio::task::yield_now().await;
    }
    cache.invalidate(&id("a"));
    cm.answers.add_permits(2);
    early.await.unwrap().unwrap();
    cm.answers(Err(DOWN));
    assert_eq!(cache.registration(&realm(), &id("a")).await, Err(DOWN));
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_one_registration_does_not_keep_another_out_of_the_cache() {
    for happens in [
        (|cache| cache.invalidate(&id("b"))) as fn(&CachedRegistrations),
        |cache| cache.remember(&realm(), registration("b"), cache.epoch()),
        |cache| cache.forget_all(&"other".parse().unwrap()),
    ] {
        let cm = FakeCm::new(found("a"));
        cm.answers.forget_permits(1000);
        let cache = Arc::new(cache(&cm));
        let asking = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.registration(&realm(), &id("a")).await }
        });
        while cm.questions() == 0 {
            tokio::task::yield_now().await;
        }
        happens(&cache);
        cm.answers.add_permits(2);
        assert_eq!(asking.await.unwrap(), found("a"));
        assert_eq!(cache.registration(&realm(), &id("a")).await, found("a"));
        assert_eq!(cm.questions(), 1, "it is remembered");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_by_key_from_before_an_invalidation_is_not_remembered() {
    let cm = FakeCm::new(found("a"));
    cm.answers.forget_permits(1000);
    let cache = Arc::new(cache(&cm));
    let early = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.registration_by_key(&realm(), &key("a").thumbprint()).await }
    });
    while cm.questions() == 0 {
        tokio::task::yield_now().await;
    }
    cache.invalidate(&id("a"));
    cm.answers.add_permits(1);
    early.await.unwrap().unwrap();
    assert!(!cache.remembers(&realm(), &id("a")));
}

fn child(text: &str, parent: &str) -> Registration {
    let parent = acme::registration::Parent { id: id(parent), allowed_profiles: Vec::new() };
    Registration { parent: Some(parent), ..registration(text) }
}

#[tokio::test(start_paused = true)]
async fn what_changes_a_parent_changes_its_children() {
    let cm = FakeCm::new(Err(DOWN));
    let cache = cache(&cm);
    for (text, parent) in [("a", "p"), ("b", "p"), ("c", "q")] {
        cache.remember(&realm(), child(text, parent), cache.epoch());
    }
    cache.invalidate_before(&id("p"), 9);
    let remembered = ["a", "b", "c"].map(|text| cache.remembers(&realm(), &id(text)));
    assert_eq!(remembered, [false, false, true]);
    cache.invalidate(&id("q"));
    let state = cache.state();
    assert_eq!((state.entries.len(), state.children.len(), state.octets), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_asked_for_before_its_parent_changed_is_asked_for_again() {
    let cm = FakeCm::new(Ok(Some(Arc::new(child("a", "p")))));
    cm.answers.forget_permits(1000);
    let cache = Arc::new(cache(&cm));
    for (changed, questions) in [("p", 2), ("other", 1)] {
        cache.forget_all(&realm());
        let (before, asking) = (cm.questions(), Arc::clone(&cache));
        let asked = tokio::spawn(async move { asking.registration(&realm(), &id("a")).await });
        while cm.questions() == before {
            tokio::task::yield_now().await;
        }
        cache.invalidate(&id(changed));
        cm.answers.add_permits(2);
        assert!(asked.await.unwrap().is_ok());
        cache.registration(&realm(), &id("a")).await.unwrap().unwrap();
        assert_eq!(cm.questions() - before, questions, "{changed}");
    }
}

#[tokio::test(start_paused = true)]
async fn large_registrations_make_room_by_their_weight() {
    let cm = FakeCm::new(Err(DOWN));
    let name = |number: usize| acme::identifier::DnsName::parse(&format!("name-{number}.example.com")).unwrap();
    let rules = (0..1000).map(|number| acme::registration::IdentifierRule::Exact(name(number))).collect();
    let list = AllowedIdentifiers::Listed { rules, exclude: Vec::new() };
    let large = |text: &str| Registration { allowed_identifiers: list.clone(), ..registration(text) };
    let weight = weight::octets(&large("a"));
    assert!(weight > 80_000, "{weight}");
    let limits = Limits { octets_max: weight * 2 + 1, ..Limits::default() };
    let cache = CachedRegistrations::new(Arc::clone(&cm) as Arc<dyn CertificateManager>, limits);
    for text in ["a", "b", "c"] {
        cache.remember(&realm(), large(text), cache.epoch());
    }
    let remembered = ["a", "b", "c"].map(|text| cache.remembers(&realm(), &id(text)));
    assert_eq!(remembered, [false, true, true]);
    assert!(cache.state().octets <= limits.octets_max);
}

#[tokio::test(start_paused = true)]
async fn questions_about_what_does_not_exist_leave_nothing_behind_and_push_nothing_out() {
    let cm = FakeCm::new(Ok(None));
    cm.answers.add_permits(10_000);
    let limits = Limits { entries_max: 2, ..Limits::default() };
    let cache = CachedRegistrations::new(Arc::clone(&cm) as Arc<dyn CertificateManager>, limits);
    cache.remember(&realm(), registration("a"), cache.epoch());
    let octets = cache.state().octets;
    for number in 0..2000_u32 {
        let made_up = id(&format!("reg-{number}"));
        assert_eq!(cache.registration(&realm(), &made_up).await, Ok(None));
        let key = key(&format!("key-{number}")).thumbprint();
        assert_eq!(cache.registration_by_key(&realm(), &key).await, Ok(None));
    }
    assert!(cache.remembers(&realm(), &id("a")));
    let state = cache.state();
    let sizes = (state.entries.len(), state.by_key.len(), state.by_age.len(), state.flights.len(), state.octets);
    assert_eq!(sizes, (1, 1, 1, 0, octets));
}

/// What a CM of this version says of a registration with this key.
fn of_version(version: u64, status: RegistrationStatus, key: Option<AccountKeyRecord>) -> Registration {
    Registration { version, status, key, ..child("a", "p") }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_write_that_a_later_change_has_overtaken_is_not_remembered() {
    let bound = registration("a").key;
    let written = of_version(5, RegistrationStatus::Active, bound.clone());
    for (changed, now) in [
        ("suspended", of_version(6, RegistrationStatus::Suspended, bound.clone())),
        ("its key withdrawn", of_version(6, RegistrationStatus::Pending, None)),
    ] {
        for overtakes in [
            (|cache| cache.invalidate_before(&id("a"), 6)) as fn(&CachedRegistrations),
            |cache| cache.invalidate(&id("a")),
            |cache| cache.invalidate_before(&id("p"), 1),
            |cache| cache.forget_all(&realm()),
            |cache| (0..=INVALIDATED_MAX).for_each(|_| cache.invalidate(&id("other"))),
        ] {
            let cm = FakeCm::new(Ok(Some(Arc::new(now.clone()))));
            let cache = cache(&cm);
            let before = cache.epoch();
            overtakes(&cache);
            cache.remember(&realm(), written.clone(), before);
            let read = cache.registration(&realm(), &id("a")).await.unwrap().unwrap();
            assert_eq!(*read, now, "{changed}");
            let by_old_key = cache.state().by_key.contains_key(&(realm(), key("a").thumbprint()));
            assert_eq!(by_old_key, now.key.is_some(), "{changed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_event_of_a_write_does_not_keep_its_own_answer_out_of_the_cache() {
    let cm = FakeCm::new(Err(DOWN));
    let cache = cache(&cm);
    let before = cache.epoch();
    cache.invalidate_before(&id("a"), 5);
    cache.invalidate(&id("other"));
    cache.forget_all(&"other".parse().unwrap());
    cache.remember(&realm(), of_version(5, RegistrationStatus::Active, None), before);
    assert!(cache.remembers(&realm(), &id("a")));
}

#[tokio::test(start_paused = true)]
async fn children_are_forgotten_though_the_change_of_their_parent_is_known_already() {
    let cm = FakeCm::new(Err(DOWN));
    let cache = cache(&cm);
    let parent = Registration { version: 9, ..registration("p") };
    cache.remember(&realm(), child("a", "p"), cache.epoch());
    cache.remember(&realm(), parent, cache.epoch());
    let before = cache.epoch();
    cache.invalidate_before(&id("p"), 9);
    assert_eq!(["p", "a"].map(|text| cache.remembers(&realm(), &id(text))), [true, false]);
    cache.remember(&realm(), child("a", "p"), before);
    assert!(!cache.remembers(&realm(), &id("a")), "it was read under the policy of before");
}

#[tokio::test(start_paused = true)]
async fn nobody_who_asks_after_a_change_is_answered_from_before_it() {
    for changed in ["a", "p"] {
        let cm = FakeCm::new(Ok(Some(Arc::new(child("a", "p")))));
        cm.answers.forget_permits(1000);
        let cache = Arc::new(cache(&cm));
        let ask = || {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { cache.registration(&realm(), &id("a")).await })
        };
        let early = ask();
        while cm.questions() == 0 {
            tokio::task::yield_now().await;
        }
        let suspended = Registration { status: RegistrationStatus::Suspended, ..child("a", "p") };
        cm.answers(Ok(Some(Arc::new(suspended.clone()))));
        cache.invalidate(&id(changed));
        let late = ask();
        tokio::task::yield_now().await;
        cm.answers.add_permits(3);
        assert_eq!(early.await.unwrap().unwrap().unwrap().status, RegistrationStatus::Active);
        assert_eq!(*late.await.unwrap().unwrap().unwrap(), suspended, "{changed}");
        assert_eq!(cm.questions(), 2);
    }
}

#[test]
fn what_people_wrote_about_a_waiver_has_its_weight() {
    let said = |reason: usize, proposed_by: usize, decided_by: usize| {
        let waiver = acme::waiver::Waiver {
            id: "wav_1".parse().unwrap(),
            identifiers: Vec::new(),
            evidence: acme::waiver::WaiverEvidence { addresses: Vec::new(), client_certificates: Vec::new() },
            not_after: acme::time::Timestamp::from_unix_secs(1_800_000_000),
            reason: "r".repeat(reason),
            proposed_by: "p".repeat(proposed_by),
            decided_by: "d".repeat(decided_by),
        };
        weight::octets(&Registration { waivers: vec![waiver], ..registration("a") })
    };
    let least = said(0, 0, 0);
    assert_eq!([said(1000, 0, 0), said(0, 1000, 0), said(0, 0, 1000)], [least + 1000; 3]);
}
