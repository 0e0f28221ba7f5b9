//! Accounts: found, created, refused, and what the CM is asked for it.

use std::time::Duration;

use acme::{base64url, registration::RegistrationStatus};
use cm_connector::Outcome;
use serde_json::json;
use store::backend::ApplyError;

use super::*;
use crate::{
    clock,
    ra::key_change,
    testing::{self, Fault, Gateway, Moment, Operation, away, new_key, new_registration, told},
};

const URL: &str = "https://acme.test/acme/registered/new-account";

/// A binding of this key, well-formed; its MAC is for the CM to verify.
fn binding(key: &PublicKey) -> Value {
    let encoded = |value: Value| base64url::encode(value.to_string());
    json!({
        "protected": encoded(json!({"alg": "HS256", "kid": "kid-1", "url": URL})),
        "payload": encoded(key.to_jwk()),
        "signature": "AAAA",
    })
}

fn request(key: &PublicKey) -> NewAccount {
    NewAccount {
        key: key.clone(),
        contacts: vec![String::from("mailto:admin@example.org")],
        terms_of_service_agreed: false,
        only_return_existing: false,
        external_account_binding: None,
        directory_token: None,
        url: URL.into(),
        client: testing::client(),
        proof: testing::proof(),
    }
}

async fn created(gateway: &Gateway, endpoint: &str, request: NewAccount) -> Result<Account, Error> {
    create(&gateway.app, &gateway.endpoint(endpoint), request, clock::now()).await
}

fn count(gateway: &Gateway, operation: Operation) -> usize {
    gateway.cm.calls(operation).len()
}

#[tokio::test(start_paused = true)]
async fn a_new_key_gets_an_account_and_then_the_same_one() {
    let gateway = Gateway::new().await;
    let key = new_key();
    let first = created(&gateway, "open", request(&key)).await.unwrap();
    let again = created(&gateway, "open", request(&key)).await.unwrap();
    assert!(first.created && !again.created);
    assert_eq!(first.registration.id, again.registration.id);
    assert_eq!(gateway.cm.registrations().len(), 1);
    assert_eq!(gateway.audited().await, ["account.requested", "account.created"]);
}

#[tokio::test(start_paused = true)]
async fn an_existing_account_is_returned_unchanged_whatever_else_the_request_says() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let key = registration.key.as_ref().unwrap().key.clone();
    let odd = NewAccount {
        contacts: vec![String::from("tel:+15551234"); 99],
        external_account_binding: Some(json!("not a binding")),
        ..request(&key)
    };
    let found = created(&gateway, "terms", odd).await.unwrap();
    assert!(!found.created);
    assert_eq!(*found.registration, registration);
    assert_eq!(gateway.cm.registrations(), [registration]);
    let writes = [Operation::CreateRegistration, Operation::BindRegistration, Operation::UpdateRegistration];
    assert_eq!(writes.map(|operation| count(&gateway, operation)), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_somebody_else_created_at_the_same_moment_is_found() {
    for endpoint in ["open", "registered"] {
        let gateway = Gateway::new().await;
        let key = new_key();
        let rival = new_registration(key.clone());
        gateway.cm.put_just_before_the_next(rival.clone());
        let request = NewAccount { external_account_binding: Some(binding(&key)), ..request(&key) };
        let found = created(&gateway, endpoint, request).await.unwrap();
        assert_eq!((found.created, &found.registration.id), (false, &rival.id), "{endpoint}");
        assert_eq!(gateway.cm.registrations().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_whose_answer_was_lost_is_found_when_the_client_repeats_it() {
    let gateway = Gateway::new().await;
    let key = new_key();
    gateway.cm.next(Operation::CreateRegistration, Fault::AnswerLost(Moment::AfterTheEffect));
    assert_eq!(told(created(&gateway, "open", request(&key)).await).kind, ProblemKind::Unavailable);
    assert!(!created(&gateway, "open", request(&key)).await.unwrap().created);
    assert_eq!(gateway.cm.registrations().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_return_existing_creates_nothing() {
    let gateway = Gateway::new().await;
    let binding = Some(json!("not a binding"));
    let asked = NewAccount { only_return_existing: true, external_account_binding: binding, ..request(&new_key()) };
    assert_eq!(told(created(&gateway, "open", asked).await).kind, ProblemKind::AccountDoesNotExist);
    assert_eq!(gateway.cm.registrations(), []);
    let registration = gateway.registration();
    let key = &registration.key.as_ref().unwrap().key;
    let asked = NewAccount { only_return_existing: true, ..request(key) };
    assert_eq!(*created(&gateway, "open", asked).await.unwrap().registration, registration);
}

#[tokio::test(start_paused = true)]
async fn registered_mode_needs_a_binding_and_hands_it_to_the_cm() {
    let gateway = Gateway::new().await;
    let key = new_key();
    let without = created(&gateway, "registered", request(&key)).await;
    assert_eq!(told(without).kind, ProblemKind::ExternalAccountRequired);
    assert_eq!(gateway.cm.registrations(), []);
    let with = NewAccount { external_account_binding: Some(json!({})), ..request(&key) };
    assert_eq!(told(created(&gateway, "registered", with).await).kind, ProblemKind::Malformed);
    let with = NewAccount { external_account_binding: Some(binding(&key)), ..request(&key) };
    assert!(created(&gateway, "registered", with).await.unwrap().created);
    assert_eq!((count(&gateway, Operation::BindRegistration), count(&gateway, Operation::CreateRegistration)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_directory_link_binds_in_place_of_a_binding_and_not_beside_one() {
    let gateway = Gateway::new().await;
    let token = DirectoryToken::parse(&"A".repeat(43)).unwrap();
    let by_link = |key: &PublicKey| NewAccount { directory_token: Some(token.clone()), ..request(key) };
    let key = new_key();
    let both = NewAccount { external_account_binding: Some(binding(&key)), ..by_link(&key) };
    let refused = told(created(&gateway, "registered", both).await);
    assert_eq!(refused.kind, ProblemKind::Malformed);
    assert!(refused.detail.contains("leave the external account binding out"), "{}", refused.detail);
    assert_eq!(gateway.cm.registrations(), []);
    let asked = NewAccount { only_return_existing: true, ..by_link(&key) };
    assert_eq!(told(created(&gateway, "registered", asked).await).kind, ProblemKind::AccountDoesNotExist);
    assert!(created(&gateway, "registered", by_link(&key)).await.unwrap().created);
    assert_eq!((count(&gateway, Operation::BindRegistration), count(&gateway, Operation::CreateRegistration)), (1, 0));
    assert!(!created(&gateway, "registered", by_link(&key)).await.unwrap().created, "and then it is this account's");
    let audit = gateway.app.store.audit_entries(10).await.unwrap();
    let [_, event] = audit.as_slice() else { panic!("{audit:?}") };
    assert_eq!((&event.body["event"], &event.body["byDirectoryLink"]), (&json!("account.created"), &json!(true)));
    assert!(audit.iter().all(|event| !event.body.to_string().contains(token.expose_secret())));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_guessed_count_against_their_address() {
    let gateway = Gateway::with("limits.failed_external_accounts_per_address = { burst = 1, per_secs = 600 }").await;
    let token = DirectoryToken::parse(&"A".repeat(43)).unwrap();
    let bind = async |answer: Option<CmError>| {
        if let Some(answer) = answer {
            gateway.cm.next(Operation::BindRegistration, Fault::Answers(answer));
        }
        let by_link = NewAccount { directory_token: Some(token.clone()), ..request(&new_key()) };
        created(&gateway, "registered", by_link).await
    };
    let words = || Problem::new(ProblemKind::Unauthorized, "words");
    assert_eq!(told(bind(Some(CmError::Refused(words()))).await).kind, ProblemKind::Unauthorized);
    assert!(bind(None).await.unwrap().created, "used up is no guess");
    assert_eq!(told(bind(Some(CmError::BindingRefused(words()))).await).kind, ProblemKind::Unauthorized);
    let problem = told(bind(None).await);
    assert!(problem.detail.contains("limits.failed_external_accounts_per_address"), "{}", problem.detail);
}

#[tokio::test(start_paused = true)]
async fn new_accounts_by_a_link_count_for_their_address() {
    let gateway = Gateway::with("limits.new_accounts_per_address = { burst = 1, per_secs = 600 }").await;
    let token = DirectoryToken::parse(&"A".repeat(43)).unwrap();
    let by_link = || NewAccount { directory_token: Some(token.clone()), ..request(&new_key()) };
    assert!(created(&gateway, "registered", by_link()).await.unwrap().created);
    let problem = told(created(&gateway, "registered", by_link()).await);
    assert_eq!(problem.kind, ProblemKind::RateLimited);
    assert!(problem.detail.contains("limits.new_accounts_per_address"), "{}", problem.detail);
    assert_eq!(count(&gateway, Operation::BindRegistration), 1);
}

#[tokio::test(start_paused = true)]
async fn only_bindings_that_may_be_guesses_count_as_failed() {
    let gateway =
        Gateway::with("limits.failed_external_accounts_per_address_and_key_id = { burst = 1, per_secs = 600 }").await;
    let bind = async |answer: Option<CmError>| {
        let key = new_key();
        if let Some(answer) = answer {
            gateway.cm.next(Operation::BindRegistration, Fault::Answers(answer));
        }
        let with = NewAccount { external_account_binding: Some(binding(&key)), ..request(&key) };
        created(&gateway, "registered", with).await
    };
    let words = || Problem::new(ProblemKind::Unauthorized, "words");
    for _ in 0..3 {
        let problem = told(bind(Some(CmError::Refused(words()))).await);
        assert_eq!(problem.kind, ProblemKind::Unauthorized, "used already, or not yet: its MAC was right");
    }
    assert!(bind(None).await.unwrap().created);
    assert_eq!(told(bind(Some(CmError::BindingRefused(words()))).await).kind, ProblemKind::Unauthorized);
    let problem = told(bind(None).await);
    assert!(problem.detail.contains("limits.failed_external_accounts_per_address_and_key_id"), "{}", problem.detail);
}

#[tokio::test(start_paused = true)]
async fn open_mode_ignores_a_binding() {
    let gateway = Gateway::new().await;
    let with = NewAccount { external_account_binding: Some(json!("not a binding")), ..request(&new_key()) };
    let account = created(&gateway, "open", with).await.unwrap();
    assert_eq!((account.created, account.registration.external_account.clone()), (true, None));
}

#[tokio::test(start_paused = true)]
async fn bad_contacts_weak_keys_and_terms_not_agreed_to_are_refused_before_the_cm_is_asked() {
    let gateway = Gateway::new().await;
    let contacts = NewAccount { contacts: vec![String::from("tel:+15551234")], ..request(&new_key()) };
    assert_eq!(told(created(&gateway, "open", contacts).await).kind, ProblemKind::UnsupportedContact);
    let weak = PublicKey::Rsa { n: vec![0xc5; 128], e: vec![1, 0, 1] };
    assert_eq!(told(created(&gateway, "open", request(&weak)).await).kind, ProblemKind::BadPublicKey);
    match created(&gateway, "terms", request(&new_key())).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!(refusal.problem.kind, ProblemKind::UserActionRequired);
            assert_eq!(refusal.terms_of_service.as_deref(), Some("https://example.com/terms"));
        }
        _ => panic!("not refused"),
    }
    assert_eq!(count(&gateway, Operation::CreateRegistration), 0);
    let agreed = NewAccount { terms_of_service_agreed: true, ..request(&new_key()) };
    let account = created(&gateway, "terms", agreed).await.unwrap();
    assert!(account.registration.terms_of_service_agreed_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_suspended_account_is_shown_and_can_change_nothing() {
    let gateway = Gateway::new().await;
    let registration = Registration { status: RegistrationStatus::Suspended, ..gateway.registration() };
    gateway.cm.put(registration.clone());
    let key = &registration.key.as_ref().unwrap().key;
    assert_eq!(*created(&gateway, "open", request(key)).await.unwrap().registration, registration);
    let endpoint = gateway.endpoint("open");
    let (client, proof) = (testing::client(), testing::proof());
    let asked = Update { contacts: Some(Vec::new()), terms_of_service_agreed: false, client: &client, proof: &proof };
    let updated = update(&gateway.app, &endpoint, &registration, asked, clock::now()).await;
    assert_eq!(told(updated).kind, ProblemKind::Unauthorized);
    assert_eq!(count(&gateway, Operation::UpdateRegistration), 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_has_ended_is_not_returned() {
    for status in [RegistrationStatus::Deactivated, RegistrationStatus::Revoked] {
        let gateway = Gateway::new().await;
        let registration = Registration { status, ..gateway.registration() };
        gateway.cm.put(registration.clone());
        let key = &registration.key.as_ref().unwrap().key;
        assert_eq!(told(created(&gateway, "open", request(key)).await).kind, ProblemKind::AccountNotActive);
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_cm_is_away_known_accounts_are_found_and_new_ones_are_put_off() {
    let gateway = Gateway::new().await;
    let key = new_key();
    created(&gateway, "open", request(&key)).await.unwrap();
    gateway.cm.is_away(true);
    tokio::time::advance(Duration::from_secs(600)).await;
    assert!(!created(&gateway, "open", request(&key)).await.unwrap().created);
    assert_eq!(told(created(&gateway, "open", request(&new_key())).await).kind, ProblemKind::Unavailable);
    tokio::time::advance(Duration::from_secs(600)).await;
    let too_old = created(&gateway, "open", request(&key)).await;
    assert_eq!(told(too_old).kind, ProblemKind::Unavailable, "twenty minutes are too long to go by memory");
}

#[tokio::test(start_paused = true)]
async fn a_deactivated_account_is_ended_at_once_also_for_requests_that_are_served_from_memory() {
    let gateway = Gateway::new().await;
    let key = new_key();
    let account = created(&gateway, "open", request(&key)).await.unwrap();
    let endpoint = gateway.endpoint("open");
    deactivate(&gateway.app, &endpoint, &account.registration, (&testing::client(), &testing::proof()), clock::now())
        .await
        .unwrap();
    assert_eq!(told(created(&gateway, "open", request(&key)).await).kind, ProblemKind::AccountNotActive);
    let told = ["account.requested", "account.created", "account.requested", "account.deactivated"];
    assert_eq!(gateway.audited().await, told);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_only_the_cm_knows_to_be_inactive_is_refused_as_its_endpoint_wants_it() {
    for (name, kind) in [("open", ProblemKind::AccountNotActive), ("lenient", ProblemKind::Unauthorized)] {
        let gateway = Gateway::new().await;
        let (registration, endpoint, proof) = (gateway.registration(), gateway.endpoint(name), testing::proof());
        let inactive = || {
            let problem = Problem::new(ProblemKind::AccountNotActive, "the account has been deactivated or revoked");
            Fault::Answers(CmError::Refused(problem))
        };
        gateway.cm.next(Operation::UpdateRegistration, inactive());
        let contacts = Some(vec![String::from("mailto:new@example.org")]);
        let asked = Update { contacts, terms_of_service_agreed: false, client: &testing::client(), proof: &proof };
        let updated = update(&gateway.app, &endpoint, &registration, asked, clock::now()).await;
        assert_eq!(told(updated).kind, kind, "{name}");
        gateway.cm.next(Operation::Deactivate, inactive());
        let ended =
            deactivate(&gateway.app, &endpoint, &registration, (&testing::client(), &proof), clock::now()).await;
        assert_eq!(told(ended).kind, kind, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_to_a_deactivation_the_cm_is_asked_whether_the_account_has_ended() {
    for (moment, kind) in
        [(Moment::BeforeTheEffect, None), (Moment::AfterTheEffect, Some(ProblemKind::AccountNotActive))]
    {
        let gateway = Gateway::new().await;
        let key = new_key();
        let account = created(&gateway, "open", request(&key)).await.unwrap();
        gateway.cm.next(Operation::Deactivate, Fault::AnswerLost(moment));
        let endpoint = gateway.endpoint("open");
        let lost = deactivate(
            &gateway.app,
            &endpoint,
            &account.registration,
            (&testing::client(), &testing::proof()),
            clock::now(),
        )
        .await;
        assert_eq!(told(lost).kind, ProblemKind::Unavailable);
        let found = created(&gateway, "open", request(&key)).await;
        assert_eq!(found.is_err().then(|| told(found).kind), kind, "{moment:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_went_wrong_inside_the_cm_is_not_told() {
    let gateway = Gateway::new().await;
    let broken = |outcome| CmError::Internal { outcome, detail: String::from("table ACCOUNTS is missing") };
    gateway.cm.next(Operation::CreateRegistration, Fault::Answers(broken(Outcome::NotSent)));
    let refused = created(&gateway, "open", request(&new_key())).await;
    assert!(matches!(refused, Err(Error::Internal(_))), "what it does not take from us it will not take again");
    for (error, what) in
        [(broken(Outcome::Unknown), "did not answer as it should"), (away(Outcome::NotSent), "is not available")]
    {
        gateway.cm.next(Operation::CreateRegistration, Fault::Answers(error));
        let Err(Error::Refused(refusal)) = created(&gateway, "open", request(&new_key())).await else {
            panic!("{what}: not refused")
        };
        assert_eq!(refusal.problem.kind, ProblemKind::Unavailable);
        assert!(refusal.retry_after.is_some(), "the same request may succeed");
        let expected = format!("the certificate authority behind this server {what}; try again later");
        assert_eq!(refusal.problem.detail, expected);
    }
}

/// An endpoint whose terms changed at this time.
fn with_terms_since(changed: Timestamp) -> Endpoint {
    let text = format!(
        "server.external_url = 'https://acme.example.com'\n\
         cm.url = 'https://cm.example.net:9443'\n\
         [endpoints.terms]\n\
         mode = 'open'\n\
         terms_of_service = 'https://example.com/terms'\n\
         terms_of_service_since = '{changed}'\n"
    );
    let endpoints = Endpoint::all(&crate::settings::from_text(&text).unwrap()).unwrap();
    std::sync::Arc::into_inner(endpoints.into_values().next().unwrap()).unwrap()
}

async fn updated(
    gateway: &Gateway,
    endpoint: &Endpoint,
    registration: &Registration,
    contacts: Option<Vec<String>>,
    agreed: bool,
) -> Result<Registration, Error> {
    let (client, proof) = (testing::client(), testing::proof());
    let asked = Update { contacts, terms_of_service_agreed: agreed, client: &client, proof: &proof };
    update(&gateway.app, endpoint, registration, asked, clock::now()).await
}

async fn ordered(gateway: &Gateway, endpoint: &Endpoint, registration: &Registration) -> Result<(), Error> {
    let order = testing::new_order(&["a.test"]);
    crate::ra::order::create(&gateway.app, endpoint, registration, (&order, None), clock::now()).await.map(|_| ())
}

#[tokio::test(start_paused = true)]
async fn terms_that_changed_are_agreed_to_again_by_an_account_update_and_by_nothing_else() {
    const HOUR: Duration = Duration::from_secs(3600);
    let changed = clock::now().minus(HOUR);
    for agreed_at in [None, Some(changed.minus(HOUR))] {
        let gateway = Gateway::new().await;
        let endpoint = with_terms_since(changed);
        let registration = Registration { terms_of_service_agreed_at: agreed_at, ..gateway.registration() };
        gateway.cm.put(registration.clone());
        match ordered(&gateway, &endpoint, &registration).await {
            Err(Error::Refused(refusal)) => {
                assert_eq!(refusal.problem.kind, ProblemKind::UserActionRequired);
                assert_eq!(refusal.terms_of_service.as_deref(), Some("https://example.com/terms"));
            }
            outcome => panic!("{outcome:?}"),
        }
        let key = &registration.key.as_ref().unwrap().key;
        let again = NewAccount { terms_of_service_agreed: true, ..request(key) };
        let found = create(&gateway.app, &endpoint, again, clock::now()).await.unwrap();
        assert_eq!(*found.registration, registration, "newAccount changes no account");
        let contacts = updated(&gateway, &endpoint, &registration, Some(Vec::new()), false).await.unwrap();
        assert_eq!(contacts.terms_of_service_agreed_at, agreed_at);
        let agreed = updated(&gateway, &endpoint, &registration, None, true).await.unwrap();
        assert!(agreed.terms_of_service_agreed_at.is_some_and(|at| at >= changed));
        let audit = gateway.app.store.audit_entries(10).await.unwrap();
        let [_, updated, _, agreed] = audit.as_slice() else { panic!("{audit:?}") };
        assert_eq!(
            (&updated.body["event"], &agreed.body["event"]),
            (&json!("account.updated"), &json!("account.agreed"))
        );
        assert_eq!(agreed.body["termsOfService"], "https://example.com/terms");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agreement_that_nobody_asked_for_is_ignored() {
    let gateway = Gateway::new().await;
    let registration = Registration { terms_of_service_agreed_at: Some(clock::now()), ..gateway.registration() };
    gateway.cm.put(registration.clone());
    let hour_ago = clock::now().minus(Duration::from_secs(3600));
    for endpoint in [&*gateway.endpoint("open"), &*gateway.endpoint("terms"), &with_terms_since(hour_ago)] {
        assert_eq!(updated(&gateway, endpoint, &registration, None, true).await.unwrap(), registration);
    }
    assert_eq!(count(&gateway, Operation::UpdateRegistration), 0);
}

#[test]
fn an_agreement_counts_from_the_change_on_and_the_change_from_its_time_on() {
    let at = Timestamp::from_unix_secs;
    let endpoint = with_terms_since(at(1000));
    let is_current = |agreed: Option<i64>, now: i64| {
        let registration = Registration { terms_of_service_agreed_at: agreed.map(at), ..new_registration(new_key()) };
        require_current_agreement(&endpoint, &registration, at(now)).is_ok()
    };
    assert!(is_current(None, 999) && is_current(Some(5), 999), "not changed yet");
    assert!(!is_current(None, 1000) && !is_current(Some(999), 1000));
    assert!(is_current(Some(1000), 1000) && is_current(Some(1001), 5000));
}

/// An officer changes a registration while the answer to its client's own update is on its way, and the event of that
/// arrives first.
async fn overtaken(officer: impl Fn(&mut Registration) + Send + 'static) -> (Gateway, Registration) {
    let gateway = Gateway::new().await;
    let (registration, endpoint) = (gateway.registration(), gateway.endpoint("open"));
    let (cm, app, id) = (gateway.cm.clone(), gateway.app.clone(), registration.id.clone());
    let happens = move || {
        cm.change(&id, |found| {
            found.version = 6;
            officer(found);
        });
        app.registrations.invalidate_before(&id, 6);
    };
    gateway.cm.next(Operation::UpdateRegistration, Fault::Overtaken(Box::new(happens)));
    let (client, proof) = (testing::client(), testing::proof());
    let contacts = Some(vec![String::from("mailto:ops@example.org")]);
    let request = Update { contacts, terms_of_service_agreed: false, client: &client, proof: &proof };
    let told = update(&gateway.app, &endpoint, &registration, request, clock::now()).await.unwrap();
    assert_eq!(told.status, RegistrationStatus::Active, "that is how it was answered");
    (gateway, registration)
}

#[tokio::test(start_paused = true)]
async fn a_suspension_that_overtakes_the_answer_to_an_update_counts() {
    let (gateway, registration) = overtaken(|found| found.status = RegistrationStatus::Suspended).await;
    let realm = &gateway.endpoint("open").realm;
    let read = gateway.app.registrations.registration(realm, &registration.id).await.unwrap().unwrap();
    assert_eq!(read.status, RegistrationStatus::Suspended);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_withdrawn_before_the_answer_to_an_update_is_nobodys() {
    let (gateway, registration) = overtaken(|found| {
        found.status = RegistrationStatus::Pending;
        found.key = None;
    })
    .await;
    let (realm, app) = (&gateway.endpoint("open").realm, &gateway.app);
    let thumbprint = registration.key.as_ref().unwrap().thumbprint;
    assert!(!app.registrations.remembers_key(realm, &thumbprint));
    assert_eq!(app.registrations.registration_by_key(realm, &thumbprint).await, Ok(None));
    assert_eq!(app.registrations.registration(realm, &registration.id).await.unwrap().unwrap().key, None);
}

/// What auditors find of the last request about an account in the store of a process that has died.
async fn last_request(gateway: &Gateway) -> Value {
    let entries = gateway.restarted().app.store.audit_entries(10).await.unwrap();
    entries.last().unwrap().body.clone()
}

#[tokio::test(start_paused = true)]
async fn whatever_the_cm_was_doing_when_the_process_died_has_a_record_before_it() {
    let moment = Moment::AfterTheEffect;
    let endpoint = Gateway::new().await.endpoint("open");
    for operation in
        [Operation::CreateRegistration, Operation::UpdateRegistration, Operation::ChangeKey, Operation::Deactivate]
    {
        let gateway = Gateway::new().await;
        gateway.cm.next(operation, Fault::Hangs(moment));
        let (client, proof, key) = (testing::client(), testing::proof(), new_key());
        let (what, account) = if operation == Operation::CreateRegistration {
            assert!(testing::dies(created(&gateway, "open", request(&key))).await);
            assert!(!created(&gateway, "open", request(&key)).await.unwrap().created, "the CM has it");
            ("create", None)
        } else {
            let registration = gateway.registration();
            let (registration, now) = (&registration, clock::now());
            let (died, what) = if operation == Operation::UpdateRegistration {
                (testing::dies(updated(&gateway, &endpoint, registration, Some(Vec::new()), false)).await, "update")
            } else if operation == Operation::ChangeKey {
                let request = key_change::Request { new_key: &key, client: &client, proof: &proof };
                let change = key_change::change_key(&gateway.app, &endpoint, registration, &request, now);
                (testing::dies(change).await, "change-key")
            } else {
                let ended = deactivate(&gateway.app, &endpoint, registration, (&client, &proof), now);
                (testing::dies(ended).await, "deactivate")
            };
            assert!(died, "{what}");
            (what, Some(registration.clone()))
        };
        let told = last_request(&gateway).await;
        assert_eq!((&told["event"], &told["what"]), (&json!("account.requested"), &json!(what)));
        assert_eq!(told["account"], json!(account.as_ref().map(|account| &account.id)), "{what}");
        let signed = account.map_or(key.thumbprint(), |account| account.key.unwrap().thumbprint);
        assert_eq!(told["accountKey"], json!(signed.to_string()), "{what}");
        assert_eq!(told["client"], json!(client.ip), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_record_the_cm_is_asked_for_no_account_and_an_account_can_be_ended() {
    let gateway = Gateway::new().await;
    gateway.disk.refuse_next(ApplyError::Full);
    assert_eq!(told(created(&gateway, "open", request(&new_key())).await).kind, ProblemKind::Unavailable);
    assert_eq!(gateway.cm.registrations(), []);
    let registration = gateway.registration();
    gateway.disk.refuse_next(ApplyError::Full);
    let (client, proof, endpoint) = (testing::client(), testing::proof(), gateway.endpoint("open"));
    deactivate(&gateway.app, &endpoint, &registration, (&client, &proof), clock::now()).await.unwrap();
    assert_eq!(
        (gateway.audited().await, gateway.app.metrics.audit.lost.get()),
        (vec!["account.deactivated".into()], 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_cm_does_not_confirm_is_told_and_counts_for_the_address() {
    let gateway = Gateway::with("limits.new_accounts_per_address = { burst = 1, per_secs = 600 }").await;
    gateway.cm.next(Operation::CreateRegistration, Fault::Answers(away(Outcome::NotSent)));
    assert_eq!(told(created(&gateway, "open", request(&new_key())).await).kind, ProblemKind::Unavailable);
    assert_eq!(gateway.audited().await, ["account.requested", "account.unconfirmed"]);
    for _ in 0..3 {
        assert_eq!(told(created(&gateway, "open", request(&new_key())).await).kind, ProblemKind::RateLimited);
    }
    assert_eq!(gateway.audited().await.len(), 2, "no stranger fills the audit");
}
