//! The adapter against scripted CMs over real mutual TLS.

use std::path::PathBuf;

use acme::{
    account_key::PublicKey,
    problem::{Problem, ProblemKind},
    revocation::RevocationReason,
};
use serde_json::{Value, json};

use super::{
    scripted::{Pki, Reply, Request, Server, answer, json_answer, problem, problem_with, start_http2},
    *,
};
use crate::{Basis, CertificateManager, Client as AcmeClient, Jws, Outcome};

mod observation;

const ID: &str = "reg_01KANM3T9V5R8YFZ2Q6W4XH7CE";
const REQUEST_ID: &str = "req_01KANM8C5T3E9W2YB7Q4R6X1ZD";

fn realm() -> RealmName {
    "tls".parse().unwrap()
}

fn id() -> RegistrationId {
    ID.parse().unwrap()
}

fn key() -> IdempotencyKey {
    "5Zb8Qk2mT7wYcR1nV4xLdA".parse().unwrap()
}

fn registration_with(change: impl FnOnce(&mut Value)) -> Value {
    let mut json = examples::registration();
    change(&mut json);
    json
}

fn jws() -> Jws {
    serde_json::from_value(examples::bind_request()["proof"]["jws"].clone()).unwrap()
}

fn new_registration() -> NewRegistration {
    let bind = examples::bind_request();
    NewRegistration {
        key: PublicKey::from_jwk(bind["key"]["jwk"].as_object().unwrap()).unwrap(),
        contacts: vec![String::from("mailto:pki@web.example.com")],
        terms_of_service_agreed_at: None,
        client: AcmeClient { ip: "203.0.113.9".parse().unwrap(), user_agent: None },
        proof: Proof(jws()),
        external_account_binding: Some(jws()),
        idempotency_key: key(),
    }
}

fn revocation() -> Revocation {
    Revocation {
        certificate: "H7DK09vx8N9sqX9XzokOmQ2YyCY.L-ITZvnF--QXqGeTLnlC4gFxjHA".parse().unwrap(),
        sha256: [1; 32],
        reason: RevocationReason::Superseded,
        basis: Basis::CertificateKey,
        client: AcmeClient { ip: "203.0.113.9".parse().unwrap(), user_agent: None },
        proof: Some(Proof(jws())),
        block_key: false,
    }
}

struct World {
    pki: Pki,
    server: Server,
    cm: RestCertificateManager,
}

async fn world(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> World {
    let pki = Pki::new();
    let server = Server::start(&pki, "127.0.0.1", script).await;
    let cm = RestCertificateManager::new(pki.settings(server.base_url())).unwrap();
    World { pki, server, cm }
}

impl World {
    async fn submit(&self) -> Result<RequestState, CmError> {
        let request = examples::certificate_request_create().to_string();
        self.cm.submit(&realm(), &key(), request.as_bytes(), Duration::from_secs(20)).await
    }

    async fn registration(&self) -> Result<Option<Registration>, CmError> {
        self.cm.registration(&realm(), &id()).await
    }
}

fn unknown() -> CmError {
    CmError::Unavailable { retry_after: None, outcome: Outcome::Unknown }
}

#[tokio::test]
async fn a_registration_is_read_by_id_and_by_key() {
    let world = world(|request, _| match request.line.contains('?') {
        true => json_answer(200, &json!({"items": [examples::registration()], "next": null})),
        false => json_answer(200, &examples::registration()),
    })
    .await;
    let registration = world.registration().await.unwrap().unwrap();
    let thumbprint = registration.key.as_ref().unwrap().thumbprint;
    let by_key = world.cm.registration_by_key(&realm(), &thumbprint).await.unwrap();
    assert_eq!(by_key, Some(registration));
    let lines = world.server.lines();
    assert_eq!(lines[0], format!("GET /cm/v1/realms/tls/registrations/{ID}"));
    assert_eq!(lines[1], format!("GET /cm/v1/realms/tls/registrations?key={thumbprint}"));
    assert!(world.server.seen()[0].head.contains("user-agent: acme-gateway/"));
}

#[tokio::test]
async fn what_does_not_exist_is_none_and_what_was_not_asked_for_is_an_alarm() {
    let missing = world(|request, _| match request.line.contains('?') {
        true => json_answer(200, &json!({"items": [], "next": null})),
        false => problem(404, "not-found"),
    })
    .await;
    assert_eq!(missing.registration().await, Ok(None));
    assert_eq!(missing.cm.find_certificate(&realm(), &[1; 32]).await, Ok(None));
    assert_eq!(missing.cm.request_by_key(&realm(), &key()).await, Ok(None));
    assert_eq!(missing.cm.certificate(&realm(), &revocation().certificate).await, Ok(None));
    assert!(matches!(
        missing.cm.request(&realm(), &REQUEST_ID.parse().unwrap()).await,
        Err(CmError::Internal { outcome: Outcome::Unknown, .. })
    ));
    let certificate = examples::certificate_request()["certificate"].clone();
    let other = world(move |request, _| match (request.line.contains('?'), request.line.contains("certificates")) {
        (true, _) => json_answer(200, &json!({"items": [certificate]})),
        (false, true) => json_answer(200, &certificate),
        (false, false) => json_answer(200, &examples::registration()),
    })
    .await;
    let is_alarm = |error: CmError| matches!(error, CmError::Internal { .. });
    assert!(is_alarm(other.cm.registration(&realm(), &"reg_2".parse().unwrap()).await.unwrap_err()));
    assert!(is_alarm(other.cm.find_certificate(&realm(), &[1; 32]).await.unwrap_err()));
    assert!(is_alarm(other.cm.certificate(&realm(), &"another.one".parse().unwrap()).await.unwrap_err()));
}

#[tokio::test]
async fn a_child_is_read_together_with_its_parent() {
    let parent_status = |status: &'static str| async move {
        let world = world(move |request, _| match request.line.ends_with("reg_PARENT") {
            true => json_answer(
                200,
                &registration_with(|json| {
                    json["id"] = json!("reg_PARENT");
                    json["status"] = json!(status);
                    json["allowedIdentifiers"] = json!({"mode": "any"});
                }),
            ),
            false => json_answer(200, &registration_with(|json| json["parent"] = json!("reg_PARENT"))),
        })
        .await;
        world.registration().await.unwrap().unwrap().status
    };
    assert_eq!(parent_status("pending").await, RegistrationStatus::Active);
    assert_eq!(parent_status("revoked").await, RegistrationStatus::Suspended);
}

#[tokio::test]
async fn a_request_is_submitted_once_with_its_octets_and_its_key() {
    let world = world(|_, _| json_answer(201, &examples::certificate_request())).await;
    assert!(matches!(world.submit().await.unwrap(), RequestState::Issued { .. }));
    let [request] = world.server.seen().try_into().unwrap();
    assert_eq!(request.line, "POST /cm/v1/realms/tls/certificate-requests");
    assert_eq!(request.body, examples::certificate_request_create().to_string().into_bytes());
    for header in ["idempotency-key: 5zb8qk2mt7wycr1nv4xlda\r\n", "prefer: wait=20\r\n", "application/json"] {
        assert!(request.head.contains(header), "{header}");
    }
}

#[tokio::test]
async fn an_answer_about_another_order_is_none() {
    let world = world(|_, _| {
        let mut other = examples::certificate_request();
        other["orderRef"] = json!("01KANM7QJ3");
        json_answer(201, &other)
    })
    .await;
    assert_eq!(world.submit().await, Err(unknown()));
}

#[tokio::test]
async fn a_pending_request_tells_when_to_ask_again() {
    let world = world(|_, _| {
        let mut pending = examples::certificate_request();
        pending["status"] = json!("pending-approval");
        pending["certificate"] = json!(null);
        answer(202, "retry-after: 60\r\n", "application/json", &pending.to_string())
    })
    .await;
    let expected = RequestState::Pending {
        id: REQUEST_ID.parse().unwrap(),
        retry_after: Some(Duration::from_secs(60)),
        approval: true,
    };
    assert_eq!(world.submit().await, Ok(expected));
}

#[tokio::test]
async fn a_connection_that_breaks_after_sending_leaves_the_outcome_unknown_and_is_not_repeated() {
    let world = world(|_, _| Reply::Octets(Vec::new())).await;
    assert_eq!(world.submit().await, Err(unknown()));
    assert_eq!(world.server.lines().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_was_sent_nothing() {
    let pki = Pki::new();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cm = RestCertificateManager::new(pki.settings(format!("https://{free}/cm/v1"))).unwrap();
    let submitted = cm.submit(&realm(), &key(), b"{}", Duration::ZERO).await;
    assert_eq!(submitted, Err(CmError::Unavailable { retry_after: None, outcome: Outcome::NotSent }));
}

#[tokio::test]
async fn reading_is_repeated_until_the_cm_answers() {
    let world = world(|_, before| match before {
        0 => problem_with(503, "retry-after: 0\r\n", json!({"code": "overloaded", "retryable": true})),
        1 => {
            Reply::Octets(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{".to_vec())
        }
        2 => answer(200, "", "application/json", r#"{"id": "reg_"#),
        _ => json_answer(200, &examples::registration()),
    })
    .await;
    assert!(world.registration().await.unwrap().is_some());
    assert_eq!(world.server.lines().len(), 4);
}

#[tokio::test]
async fn a_retry_after_beyond_the_time_of_the_call_is_handed_on() {
    let world = world(|_, _| problem_with(503, "retry-after: 120\r\n", json!({"code": "read-only"}))).await;
    let expected = CmError::Unavailable { retry_after: Some(Duration::from_secs(120)), outcome: Outcome::Unknown };
    assert_eq!(world.registration().await, Err(expected));
    assert_eq!(world.server.lines().len(), 1);
}

#[tokio::test]
async fn pages_of_proxies_and_redirects_are_no_answers() {
    let page = "<html><body>login</body></html>";
    let replies: [fn(&str) -> Reply; 5] = [
        |page| answer(200, "", "text/html", page),
        |page| answer(404, "", "text/html", page),
        |page| answer(502, "", "text/html", page),
        |_| answer(307, "location: /cm/v1/elsewhere\r\n", "application/json", "{}"),
        |_| answer(403, "", "application/problem+json", "{}"),
    ];
    for reply in replies {
        let world = world(move |_, _| reply(page)).await;
        assert_eq!(world.submit().await, Err(unknown()));
        assert_eq!(world.server.lines(), ["POST /cm/v1/realms/tls/certificate-requests"]);
    }
}

#[tokio::test]
async fn an_answer_beyond_its_bound_is_an_alarm() {
    let world = world(|_, _| answer(201, "", "application/json", &" ".repeat(1024 * 1024 + 1))).await;
    assert!(matches!(world.submit().await, Err(CmError::Internal { outcome: Outcome::Unknown, .. })));
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_alarm() {
    let world = world(|_, _| json_answer(201, &json!({"id": 7}))).await;
    let error = world.submit().await.unwrap_err();
    assert!(matches!(error, CmError::Internal { outcome: Outcome::Unknown, .. }), "{error:?}");
}

fn frozen_call() -> Call {
    let millis = Duration::from_millis;
    Call {
        method: Method::GET,
        path: String::from("/info"),
        query: None,
        headers: Vec::new(),
        body: None,
        lane: Lane::Rest,
        deadline: Deadline { first_byte: millis(300), whole: millis(300), total: millis(2000), attempts: 2 },
    }
}

#[tokio::test]
async fn a_cm_that_freezes_is_given_up() {
    let world = world(|_, _| Reply::Silence).await;
    let call = frozen_call();
    let failure = world.cm.client.send(&call).await.unwrap_err();
    assert_eq!(failure.into_error(Subject::Configuration), unknown());
    assert_eq!(world.server.lines().len(), 2);
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered() {
    let pki = Pki::new();
    let (base_url, versions) = start_http2(&pki, examples::registration()).await;
    let cm = RestCertificateManager::new(pki.settings(base_url)).unwrap();
    for _ in 0..2 {
        assert!(cm.registration(&realm(), &id()).await.unwrap().is_some());
    }
    assert_eq!(*versions.lock().unwrap(), ["HTTP/2.0", "HTTP/2.0"]);
}

const STRANGERS: CmError =
    CmError::Unavailable { retry_after: Some(refusal::STRANGER_RETRY_AFTER), outcome: Outcome::NotSent };

#[tokio::test]
async fn a_server_with_another_name_is_refused() {
    let pki = Pki::new();
    let server = Server::start(&pki, "cm.example.net", |_, _| json_answer(200, &examples::registration())).await;
    let cm = RestCertificateManager::new(pki.settings(server.base_url())).unwrap();
    assert_eq!(cm.registration(&realm(), &id()).await, Err(STRANGERS));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let server = Server::start(&theirs, "127.0.0.1", |_, _| json_answer(200, &examples::registration())).await;
    let cm = RestCertificateManager::new(ours.settings(server.base_url())).unwrap();
    assert_eq!(cm.submit(&realm(), &key(), b"{}", Duration::ZERO).await, Err(STRANGERS));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_cm_that_refuses_our_certificate_is_left_alone() {
    for theirs in [Pki::new(), Pki::of("other clients")] {
        let ours = Pki::new();
        let server = Server::start(&theirs, "127.0.0.1", |_, _| json_answer(200, &examples::registration())).await;
        let settings = Settings { ca_file: theirs.settings(String::new()).ca_file, ..ours.settings(server.base_url()) };
        let cm = RestCertificateManager::new(settings).unwrap();
        assert_eq!(cm.submit(&realm(), &key(), b"{}", Duration::ZERO).await, Err(STRANGERS));
        assert!(server.seen().is_empty());
    }
}

#[tokio::test]
async fn a_refusal_is_mapped_and_not_repeated() {
    let world = world(|_, _| problem(422, "csr-bad")).await;
    let refused = Problem::new(ProblemKind::BadCsr, "the words of the CM");
    assert_eq!(world.submit().await, Err(CmError::Refused(refused)));
    assert_eq!(world.server.lines().len(), 1);
}

#[tokio::test]
async fn a_registration_that_is_not_active_is_looked_at_to_tell_why() {
    let why = |status: &'static str| async move {
        let world = world(move |request, _| match request.line.starts_with("POST") {
            true => problem(403, "registration-not-active"),
            false => json_answer(200, &registration_with(|json| json["status"] = json!(status))),
        })
        .await;
        match world.submit().await {
            Err(CmError::Refused(problem)) => problem.kind,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(why("suspended").await, ProblemKind::Unauthorized);
    assert_eq!(why("deactivated").await, ProblemKind::AccountNotActive);
    assert_eq!(why("revoked").await, ProblemKind::AccountNotActive);
}

#[tokio::test]
async fn a_key_is_bound_even_if_the_first_answer_is_lost() {
    let world = world(|_, before| match before {
        0 => Reply::Octets(Vec::new()),
        _ => json_answer(200, &examples::registration()),
    })
    .await;
    let registered = world.cm.bind_registration(&realm(), &new_registration()).await.unwrap();
    assert!(!registered.created);
    let seen = world.server.seen();
    assert_eq!(seen[0].line, "POST /cm/v1/realms/tls/registrations/bind");
    assert_eq!(seen[0].body, seen[1].body);
    let unbound = NewRegistration { external_account_binding: None, ..new_registration() };
    assert!(matches!(world.cm.bind_registration(&realm(), &unbound).await, Err(CmError::Internal { .. })));
}

#[tokio::test]
async fn a_binding_whose_parent_cannot_be_read_may_be_done_all_the_same() {
    let world = world(|request, _| match request.line.starts_with("POST") {
        true => json_answer(201, &registration_with(|json| json["parent"] = json!("reg_PARENT"))),
        false => problem_with(429, "retry-after: 60\r\n", json!({"code": "rate-limited", "scope": "gateway"})),
    })
    .await;
    let bound = world.cm.bind_registration(&realm(), &new_registration()).await;
    let expected = CmError::Unavailable { retry_after: Some(Duration::from_secs(60)), outcome: Outcome::Unknown };
    assert_eq!(bound, Err(expected));
}

#[tokio::test]
async fn a_registration_is_created_under_its_key() {
    let world = world(|_, _| json_answer(201, &examples::registration())).await;
    let registered = world.cm.create_registration(&realm(), &new_registration()).await.unwrap();
    assert!(registered.created);
    assert!(world.server.seen()[0].head.contains("idempotency-key: 5zb8qk2mt7wycr1nv4xlda\r\n"));
    let other_key = PublicKey::Rsa { n: vec![1; 256], e: vec![1, 0, 1] };
    let request = NewRegistration { key: other_key, ..new_registration() };
    assert!(matches!(world.cm.create_registration(&realm(), &request).await, Err(CmError::Internal { .. })));
    let request = NewRegistration { idempotency_key: "short".parse().unwrap(), ..new_registration() };
    assert!(matches!(
        world.cm.create_registration(&realm(), &request).await,
        Err(CmError::Internal { outcome: Outcome::NotSent, .. })
    ));
    assert_eq!(world.server.lines().len(), 2, "an unfit key is not sent");
}

#[tokio::test]
async fn a_change_that_meets_a_newer_version_is_decided_again_once() {
    let contacts = [String::from("mailto:new@example.com")];
    let world = world(|request, _| {
        let changed = |version: u64, contact: &str| {
            registration_with(|json| {
                json["version"] = json!(version);
                json["contacts"] = json!([contact]);
            })
        };
        match (request.line.starts_with("GET"), request.head.contains("if-match: \"7\"")) {
            (true, _) => json_answer(200, &changed(7, "mailto:other@example.com")),
            (false, true) => json_answer(200, &changed(8, "mailto:new@example.com")),
            (false, false) => problem(412, "precondition-failed"),
        }
    })
    .await;
    let current = world.registration().await.unwrap().unwrap();
    let stale = Registration { version: 2, ..current };
    let update = RegistrationUpdate { contacts: Some(contacts.to_vec()), terms_of_service_agreed_at: None };
    let changed = world.cm.update_registration(&realm(), &stale, &update, &Proof(jws())).await.unwrap();
    assert_eq!((changed.version, changed.contacts.as_slice()), (8, contacts.as_slice()));
    let seen = world.server.seen();
    let path = format!("/cm/v1/realms/tls/registrations/{ID}");
    let methods: Vec<_> = seen[1..].iter().map(|request| request.line.replace(&path, "")).collect();
    assert_eq!(methods, ["PATCH ", "GET ", "PATCH "]);
    assert!(seen[1].head.contains("content-type: application/merge-patch+json\r\n"));
    let body: Value = serde_json::from_slice(&seen[1].body).unwrap();
    assert_eq!(body["contacts"], json!(contacts));
}

#[tokio::test]
async fn a_deactivation_that_was_done_by_a_lost_attempt_is_done() {
    let world = world(|request, before| match (request.line.starts_with("GET"), before) {
        (true, 0) => json_answer(200, &examples::registration()),
        (true, _) => json_answer(200, &registration_with(|json| json["status"] = json!("deactivated"))),
        (false, 1) => Reply::Octets(Vec::new()),
        (false, _) => problem(412, "precondition-failed"),
    })
    .await;
    let registration = world.registration().await.unwrap().unwrap();
    let changed = world.cm.deactivate(&realm(), &registration, &Proof(jws())).await.unwrap();
    assert_eq!(changed.status, RegistrationStatus::Deactivated);
    assert!(world.server.lines()[1].ends_with("/status"));
}

#[tokio::test]
async fn a_deactivation_that_did_not_happen_is_no_success() {
    let world = world(|_, _| json_answer(200, &examples::registration())).await;
    let registration = world.registration().await.unwrap().unwrap();
    let changed = world.cm.deactivate(&realm(), &registration, &Proof(jws())).await;
    assert!(matches!(changed, Err(CmError::Internal { .. })));
}

/// A key for the registration of the contract's example, and that registration with it.
fn with_new_key() -> (PublicKey, Value) {
    let key = PublicKey::Ed25519 { x: [7; 32] };
    let changed = registration_with(|json| {
        json["version"] = json!(3);
        json["key"] = json!({"jwk": key.to_jwk(), "thumbprint": key.thumbprint().to_string()});
    });
    (key, changed)
}

#[tokio::test]
async fn a_key_change_names_its_version_and_is_repeated_when_its_answer_is_lost() {
    let (key, changed) = with_new_key();
    let world = world(move |_, before| match before {
        0 => json_answer(200, &examples::registration()),
        1 => Reply::Octets(Vec::new()),
        _ => json_answer(200, &changed),
    })
    .await;
    let registration = world.registration().await.unwrap().unwrap();
    let changed = world.cm.change_key(&realm(), &registration, &key, &Proof(jws())).await.unwrap();
    assert_eq!((changed.version, changed.key.unwrap().key), (3, key.clone()));
    let seen = world.server.seen();
    assert_eq!((seen.len(), &seen[1].body), (3, &seen[2].body));
    assert_eq!(seen[1].line, format!("POST /cm/v1/realms/tls/registrations/{ID}/key-change"));
    assert!(seen[1].head.contains("if-match: \"2\"\r\n"));
    let body: Value = serde_json::from_slice(&seen[1].body).unwrap();
    assert_eq!(body, json!({"newKey": {"jwk": key.to_jwk()}, "proof": {"type": "acme", "jws": jws()}}));
}

#[tokio::test]
async fn a_key_change_that_lost_a_race_is_refused_and_one_that_is_done_is_done() {
    let (key, changed) = with_new_key();
    for (status, code) in [(412, "precondition-failed"), (422, "proof-invalid")] {
        let changed = changed.clone();
        let world = world(move |request, before| match (request.line.starts_with("GET"), before) {
            (true, 0) => json_answer(200, &examples::registration()),
            (true, _) => json_answer(200, &changed),
            (false, _) => problem(status, code),
        })
        .await;
        let old = world.registration().await.unwrap().unwrap();
        let done = world.cm.change_key(&realm(), &old, &key, &Proof(jws())).await.unwrap();
        assert_eq!(done.version, 3, "{code}");
        let third = PublicKey::Ed25519 { x: [8; 32] };
        let lost = world.cm.change_key(&realm(), &old, &third, &Proof(jws())).await;
        assert!(matches!(lost, Err(CmError::Refused(ref told)) if told.kind == ProblemKind::Malformed), "{lost:?}");
        let update = RegistrationUpdate { contacts: Some(Vec::new()), terms_of_service_agreed_at: None };
        let lost = world.cm.update_registration(&realm(), &old, &update, &Proof(jws())).await;
        assert!(matches!(lost, Err(CmError::Refused(ref told)) if told.kind == ProblemKind::Malformed), "{lost:?}");
    }
}

#[tokio::test]
async fn a_proof_that_the_cm_does_not_take_though_the_key_is_right_is_an_alarm() {
    let world = world(|request, _| match request.line.starts_with("GET") {
        true => json_answer(200, &examples::registration()),
        false => problem(422, "proof-invalid"),
    })
    .await;
    let registration = world.registration().await.unwrap().unwrap();
    let refused = world.cm.change_key(&realm(), &registration, &with_new_key().0, &Proof(jws())).await;
    assert!(matches!(refused, Err(CmError::Internal { outcome: Outcome::NotSent, .. })), "{refused:?}");
    assert_eq!(world.server.lines().len(), 3, "it is not sent again");
}

#[tokio::test]
async fn a_key_in_use_is_told_with_its_owner_and_another_key_in_the_answer_is_an_alarm() {
    let (key, _) = with_new_key();
    let world = world(|request, before| match (request.line.starts_with("GET"), before) {
        (true, _) => json_answer(200, &examples::registration()),
        (false, 1) => problem_with(409, "", json!({"code": "key-in-use", "registration": "reg_OWNER"})),
        (false, _) => json_answer(200, &examples::registration()),
    })
    .await;
    let registration = world.registration().await.unwrap().unwrap();
    let refused = world.cm.change_key(&realm(), &registration, &key, &Proof(jws())).await;
    assert_eq!(refused, Err(CmError::KeyInUse { registration: Some("reg_OWNER".parse().unwrap()) }));
    let wrong = world.cm.change_key(&realm(), &registration, &key, &Proof(jws())).await;
    assert!(matches!(wrong, Err(CmError::Internal { outcome: Outcome::Unknown, .. })), "{wrong:?}");
}

#[tokio::test]
async fn a_revocation_is_repeated_under_its_key() {
    let world = world(|_, before| match before {
        0 => Reply::Octets(Vec::new()),
        1 => problem_with(409, "retry-after: 0\r\n", json!({"code": "request-in-progress"})),
        _ => json_answer(
            200,
            &json!({"id": revocation().certificate, "status": "revoked",
                "revocation": {"at": "2026-11-22T01:05:01Z", "reason": "superseded"}}),
        ),
    })
    .await;
    let revoked = world.cm.revoke(&realm(), &revocation(), &key()).await.unwrap();
    assert_eq!(revoked.at.to_string(), "2026-11-22T01:05:01Z");
    let seen = world.server.seen();
    assert_eq!(seen.len(), 3);
    for request in &seen {
        assert_eq!(request.body, seen[0].body);
        assert!(request.head.contains("idempotency-key: 5zb8qk2mt7wycr1nv4xlda\r\n"));
        assert!(request.line.ends_with(&format!("/certificates/{}/revoke", revocation().certificate)));
    }
}

#[tokio::test]
async fn a_delivery_and_a_cancellation_are_confirmed() {
    let world = world(|request, _| match request.line.ends_with("/delivery") {
        true => Reply::Octets(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n".to_vec()),
        false => problem_with(
            409,
            "",
            json!({"code": "already-issued", "certificate": examples::certificate_request()["certificate"]}),
        ),
    })
    .await;
    let request = REQUEST_ID.parse().unwrap();
    assert_eq!(world.cm.confirm_delivery(&realm(), &request, &Delivery::Accepted).await, Ok(()));
    assert!(matches!(world.cm.cancel(&realm(), &request).await, Err(CmError::AlreadyIssued(_))));
    let base = format!("POST /cm/v1/realms/tls/certificate-requests/{REQUEST_ID}");
    assert_eq!(world.server.lines(), [format!("{base}/delivery"), format!("{base}/cancel")]);
}

#[tokio::test]
async fn an_identity_must_have_role_realms_and_capabilities() {
    let checked = |roles: Value, realms: Value, capabilities: Value| async move {
        let world = world(move |request, _| match request.line.as_str() {
            "GET /cm/v1/whoami" => {
                json_answer(200, &json!({"identity": "urn:cm:gateway:dmz-1", "roles": roles, "realms": realms}))
            }
            "GET /cm/v1/info" => {
                let mut info = examples::info();
                if !capabilities.is_null() {
                    info["capabilities"] = capabilities.clone();
                }
                json_answer(200, &info)
            }
            _ => problem(404, "not-found"),
        })
        .await;
        world.cm.check_identity(&[realm()]).await
    };
    let identity = checked(json!(["gateway"]), json!(["tls", "iot"]), json!(null)).await.unwrap();
    assert_eq!(identity.name, "urn:cm:gateway:dmz-1");
    for (roles, realms, capabilities) in [
        (json!(["officer"]), json!(["tls"]), json!(null)),
        (json!(["gateway"]), json!(["iot"]), json!(null)),
        (json!(["gateway"]), json!(["tls"]), json!(["registrations"])),
    ] {
        let error = checked(roles, realms, capabilities).await.unwrap_err();
        assert!(matches!(error, CmError::Internal { outcome: Outcome::NotSent, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn profiles_are_read_to_the_last_page_and_bad_ones_left_out() {
    let world = world(|request, _| {
        let profile = |name: &str, status: &str| {
            let mut json = examples::profile();
            json["name"] = json!(name);
            json["status"] = json!(status);
            json
        };
        let page = match request.line.split_once('?').unwrap().1 {
            "limit=500" => json!({"items": [profile("a", "active"), {"name": "broken"}], "next": "c3Vy"}),
            "cursor=c3Vy" => json!({"items": [profile("b", "retired"), profile("c", "active")], "next": null}),
            other => panic!("{other}"),
        };
        json_answer(200, &page)
    })
    .await;
    let profiles = world.cm.profiles(&realm()).await.unwrap();
    let names: Vec<_> = profiles.iter().map(|profile| profile.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[tokio::test]
async fn profiles_without_end_are_an_alarm() {
    let world = world(|_, _| json_answer(200, &json!({"items": [], "next": "again"}))).await;
    assert!(matches!(world.cm.profiles(&realm()).await, Err(CmError::Internal { .. })));
    assert_eq!(world.server.lines().len(), PAGES_MAX);
}

#[tokio::test]
async fn renewal_information_is_read_and_nothing_is_made_up() {
    let id = revocation().certificate;
    let world = world(|_, number| match number {
        0 => json_answer(200, &examples::renewal_info()),
        1 => problem(404, "not-found"),
        _ => json_answer(
            200,
            &json!({"suggestedWindow": {"start": "2027-01-20T00:00:00Z", "end": "2027-01-20T00:00:00Z"}}),
        ),
    })
    .await;
    let found = world.cm.renewal_info(&realm(), &id).await.unwrap().unwrap();
    assert_eq!(found.retry_after, Some(Duration::from_secs(21_600)));
    assert_eq!(world.cm.renewal_info(&realm(), &id).await, Ok(None));
    assert!(matches!(world.cm.renewal_info(&realm(), &id).await, Err(CmError::Internal { .. })), "an empty window");
    assert_eq!(world.server.lines()[0], format!("GET /cm/v1/realms/tls/certificates/{id}/renewal-info"));
}

#[tokio::test]
async fn an_issuer_is_read() {
    let world = world(|_, _| json_answer(200, &examples::issuer())).await;
    let issuer = world.cm.issuer(&"issuing-1".parse().unwrap()).await.unwrap();
    assert_eq!(issuer.caa_identities, ["ca.example.net"]);
    assert!(world.cm.issuer(&"issuing-2".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn readiness_is_the_cms_word() {
    let ready =
        |status: u16| async move { world(move |_, _| json_answer(status, &examples::health())).await.cm.ready().await };
    assert_eq!(ready(200).await, Ok(()));
    assert!(matches!(ready(503).await, Err(CmError::Unavailable { .. })));
    let page = world(|_, _| answer(200, "", "text/html", "<html>")).await;
    assert!(matches!(page.cm.ready().await, Err(CmError::Unavailable { .. })));
}

#[tokio::test]
async fn while_the_cm_does_not_answer_calls_fail_at_once_until_it_is_ready() {
    let world = world(|request, before| match (request.line.ends_with("/health/ready"), before) {
        (false, 0..5) => Reply::Octets(Vec::new()),
        (false, _) => json_answer(201, &examples::certificate_request()),
        (true, _) => json_answer(200, &examples::health()),
    })
    .await;
    for _ in 0..5 {
        assert_eq!(world.submit().await, Err(unknown()));
    }
    let refused = world.submit().await;
    assert!(
        matches!(refused, Err(CmError::Unavailable { retry_after: Some(_), outcome: Outcome::NotSent })),
        "{refused:?}"
    );
    assert_eq!(world.server.lines().len(), 5);
    assert_eq!(world.cm.ready().await, Ok(()));
    assert!(world.submit().await.is_ok());
}

#[tokio::test]
async fn after_five_seconds_one_call_asks_for_health_first() {
    let world = world(|request, before| match (request.line.ends_with("/health/ready"), before) {
        (false, 0..5) => Reply::Octets(Vec::new()),
        (true, 5) => answer(503, "", "text/html", "<html>"),
        (true, _) => json_answer(503, &examples::health()),
        (false, _) => json_answer(201, &examples::certificate_request()),
    })
    .await;
    for _ in 0..5 {
        assert_eq!(world.submit().await, Err(unknown()));
    }
    for probe_is_answered in [false, true] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(5)).await;
        tokio::time::resume();
        assert_eq!(world.submit().await.is_ok(), probe_is_answered);
    }
    let lines = world.server.lines();
    assert_eq!(lines[5..7], ["GET /cm/v1/health/ready", "GET /cm/v1/health/ready"]);
    assert_eq!(lines.len(), 8, "the CM that serves something is asked");
}

#[tokio::test]
async fn an_attempt_that_may_have_worked_is_not_forgotten_by_the_next() {
    let world = world(|_, before| match before {
        0 => Reply::Octets(Vec::new()),
        _ => problem_with(429, "retry-after: 120\r\n", json!({"code": "rate-limited", "scope": "gateway"})),
    })
    .await;
    let bound = world.cm.bind_registration(&realm(), &new_registration()).await;
    let expected = CmError::Unavailable { retry_after: Some(Duration::from_secs(120)), outcome: Outcome::Unknown };
    assert_eq!(bound, Err(expected));
}

#[tokio::test]
async fn credentials_are_changed_only_if_the_cm_accepts_them() {
    let world = world(|request, _| match request.line.as_str() {
        "GET /cm/v1/whoami" => {
            let answer = json!({"identity": "urn:cm:gateway:dmz-1", "roles": ["gateway"], "realms": ["tls"]});
            json_answer(200, &answer)
        }
        _ => json_answer(200, &examples::registration()),
    })
    .await;
    world.pki.renew_client("dmz-1-renewed");
    let realms = ["tls", "others"].map(|name| RealmName::parse(name).unwrap());
    let (ours, more) = (&realms[..1], &realms[..]);
    assert_eq!(world.cm.reload(ours).await, Ok(()));
    let refused = world.cm.reload(more).await.unwrap_err().to_string();
    assert!(refused.contains("not in the realm others"), "{refused}");
    assert!(world.registration().await.is_ok());
    world.pki.write("client.pem", "not PEM");
    assert!(matches!(world.cm.reload(ours).await, Err(SetupError::File { field: "certificate_file", .. })));
    assert!(world.registration().await.is_ok(), "the old ones stay in use");
    let stranger = Pki::new();
    let files = stranger.settings(String::new());
    world.pki.write("client.pem", &std::fs::read_to_string(files.certificate_file).unwrap());
    world.pki.write("client.key", &std::fs::read_to_string(files.key_file).unwrap());
    assert!(matches!(world.cm.reload(ours).await, Err(SetupError::SelfCheck(_))));
    assert!(world.registration().await.is_ok(), "the old ones stay in use");
}

#[tokio::test]
async fn settings_that_do_not_do_are_named() {
    let pki = Pki::new();
    for url in ["http://cm.example.net/cm/v1", "cm.example.net", "https://cm.example.net/?a", "https://u:p@cm/", ""] {
        let refused = RestCertificateManager::new(pki.settings(url.to_owned())).unwrap_err();
        assert_eq!(refused, SetupError::BaseUrl, "{url}");
    }
    let good = || pki.settings(String::from("https://cm.example.net:9443/cm/v1/"));
    assert_eq!(settings::base_url(&good().base_url).unwrap(), "https://cm.example.net:9443/cm/v1");
    let field = |settings: Settings| {
        let refused = RestCertificateManager::new(settings).unwrap_err();
        let SetupError::File { field, .. } = refused else { panic!("{refused}") };
        field
    };
    let none = || PathBuf::from("/nonexistent/file.pem");
    assert_eq!(field(Settings { ca_file: none(), ..good() }), "ca_file");
    assert_eq!(field(Settings { certificate_file: none(), ..good() }), "certificate_file");
    assert_eq!(field(Settings { key_file: none(), ..good() }), "key_file");
    assert_eq!(field(Settings { ca_file: good().key_file, ..good() }), "ca_file");
    let other = Pki::new();
    let swapped = Settings { key_file: other.settings(String::new()).key_file, ..good() };
    assert_eq!(field(swapped), "key_file");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_not_made() {
    let world = world(|_, _| json_answer(201, &examples::certificate_request())).await;
    let large = vec![b' '; BODY_OCTETS_MAX + 1];
    let submitted = world.cm.submit(&realm(), &key(), &large, Duration::ZERO).await;
    assert!(matches!(submitted, Err(CmError::Internal { outcome: Outcome::NotSent, .. })));
    assert!(world.server.seen().is_empty());
}
