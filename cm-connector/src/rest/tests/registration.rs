//! Registrations: read, made, bound, changed, given up (CM contract section 4.3).

use acme::registration::RegistrationStatus;

use super::*;

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
    let unbound = NewRegistration { binding: None, ..new_registration() };
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
