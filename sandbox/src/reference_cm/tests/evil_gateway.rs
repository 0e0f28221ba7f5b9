//! What a stolen gateway tries with its real certificate, and what it gets: nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::identity::Role;
use super::super::moment::Moment;
use super::super::routes::ROUTES;
use super::world::{
    Account, OPEN, Order, REGISTERED, World, bound_account, client, identifier, method_of, preregister, tls,
};

const REQUESTS: &str = "/realms/registered/certificate-requests";

/// Changes a good request and says how the CM takes it.
async fn attempt(
    world: &World,
    account: &Account,
    names: &[&'static str],
    change: impl FnOnce(&mut Value),
) -> (u16, String) {
    let mut body = account.request(&Order::of(names));
    change(&mut body);
    let reply = world.post_once(Role::Gateway, REQUESTS, &body).await;
    (reply.status, reply.body["code"].as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn names_outside_the_list_of_the_registration_are_refused() {
    let world = World::start().await;
    let account = bound_account(&world, &preregister(&world, "kid-1", json!({})).await).await;
    for name in ["www.evil.test", "badexample.test", "example.test.evil.test", "192.0.2.7"] {
        let mut body = account.request(&Order::of(&[name]));
        body["profile"] = json!("tls-server");
        let reply = world.post_once(Role::Gateway, REQUESTS, &body).await;
        assert_eq!(reply.refusal(), (422, "identifier-not-allowed"), "{name}");
        assert_eq!(reply.body["subproblems"][0]["identifier"]["value"], name);
    }
    let mixed = account.request(&Order::of(&["a.example.test", "b.evil.test"]));
    let reply = world.post_once(Role::Gateway, REQUESTS, &mixed).await;
    assert_eq!(reply.body["errors"], json!([{"pointer": "/identifiers/1", "detail": "not covered by policy"}]));
    assert_eq!(world.cm.books()["certificates"], 0);
}

#[tokio::test]
async fn a_request_that_the_account_holder_did_not_sign_is_refused() {
    let world = World::start().await;
    let account = bound_account(&world, &preregister(&world, "kid-1", json!({})).await).await;
    let stranger = Account { id: account.id.clone(), ..Account::new(REGISTERED) };
    let names = ["a.example.test"];
    let other_csr = URL_SAFE_NO_PAD.encode(Order::of(&names).csr());
    let proof_invalid = refused(422, "proof-invalid");

    // No proof; a proof by another key; over another CSR; for another order; for another account.
    assert_eq!(
        attempt(&world, &account, &names, |body| drop(body.as_object_mut().unwrap().remove("proof"))).await,
        proof_invalid
    );
    assert_eq!(attempt(&world, &stranger, &names, |_| ()).await, proof_invalid);
    assert_eq!(attempt(&world, &account, &names, |body| body["csr"] = json!(other_csr)).await, proof_invalid);
    assert_eq!(
        attempt(&world, &account, &names, |body| body["orderRef"] = json!("another-order")).await,
        proof_invalid
    );
    let elsewhere = Account { base: OPEN, id: account.id.clone(), key: super::world::new_key() };
    assert_eq!(attempt(&world, &elsewhere, &names, |_| ()).await, proof_invalid);
    // A signature for something else of the same account.
    let update = account.sign_for(None, &json!({"contact": []}));
    assert_eq!(attempt(&world, &account, &names, |body| body["proof"]["jws"] = update).await, proof_invalid);
    assert_eq!(world.cm.books()["certificates"], 0);
}

#[tokio::test]
async fn names_evidence_and_profile_must_fit_the_csr_and_the_registration() {
    let world = World::start().await;
    let account = bound_account(&world, &preregister(&world, "kid-1", json!({})).await).await;
    let names = ["a.example.test"];
    let now = Moment::now();
    let add = |body: &mut Value| body["identifiers"].as_array_mut().unwrap().push(identifier("b.example.test"));
    assert_eq!(attempt(&world, &account, &names, add).await, refused(422, "csr-mismatch"));
    assert_eq!(
        attempt(&world, &account, &names, |body| body["validations"] = json!([])).await,
        refused(422, "evidence-missing")
    );
    let old = |body: &mut Value| body["validations"][0]["validatedAt"] = json!(now.plus_seconds(-9 * 86_400));
    assert_eq!(attempt(&world, &account, &names, old).await, refused(422, "evidence-stale"));
    let future = |body: &mut Value| body["validations"][0]["validatedAt"] = json!(now.plus_seconds(300));
    assert_eq!(attempt(&world, &account, &names, future).await, refused(422, "evidence-rejected"));
    assert_eq!(
        attempt(&world, &account, &names, |body| body["profile"] = json!("tls-server-approval")).await,
        refused(422, "profile-not-allowed")
    );
    assert_eq!(attempt(&world, &account, &names, |body| body["isCa"] = json!(true)).await, refused(400, "malformed"));
    assert_eq!(
        attempt(&world, &account, &names, |body| body["registration"] = json!("reg_0")).await,
        refused(404, "not-found")
    );
    assert_eq!(world.cm.books()["certificates"], 0);
}

#[tokio::test]
async fn other_realms_unbound_secrets_and_officers_work_are_out_of_reach() {
    let world =
        World::start_with(|settings| settings.replace(r#"realms = ["open", "registered"]"#, r#"realms = ["open"]"#))
            .await;
    let account = world.open_account().await;
    for (method, path, operation, _) in ROUTES.iter().filter(|(_, path, _, _)| path.contains("{realm}")) {
        let path = path.replace("{realm}", "registered").replace(['{', '}'], "");
        let reply = world.try_send(Role::Gateway, method_of(*method), &path, &[], None).await.unwrap();
        assert_eq!(reply.refusal(), (403, "forbidden"), "{}", operation.name());
    }
    let status = format!("/realms/open/registrations/{}/status", account.id);
    for wanted in ["suspended", "revoked", "active"] {
        let reply = world.post_at(Role::Gateway, &status, 1, &json!({"status": wanted})).await;
        assert_eq!(reply.refusal(), (403, "forbidden"), "{wanted}");
    }
    let prereg =
        json!({"mode": "preregistered", "eab": {"kid": "mine", "use": "once"}, "allowedIdentifiers": {"mode": "any"}});
    assert_eq!(
        world.post_once(Role::Gateway, "/realms/open/registrations", &prereg).await.refusal(),
        (403, "forbidden")
    );
    assert_eq!(world.get(Role::Gateway, "/audit").await.refusal(), (403, "forbidden"));
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_not_revoked() {
    let world = World::start().await;
    let (account, stranger) = (world.open_account().await, world.open_account().await);
    let issued = world.issue(&account, &Order::of(&["www.example.test"])).await.expect(201).body;
    let certificate = &issued["certificate"];
    let path = format!("/realms/open/certificates/{}/revoke", certificate["id"].as_str().unwrap());
    let theirs = stranger.revocation(certificate, "superseded", 4);
    assert_eq!(world.post_once(Role::Gateway, &path, &theirs).await.refusal(), (403, "revocation-not-authorised"));
    let mut forged = account.revocation(certificate, "superseded", 4);
    forged["proof"] = theirs["proof"].clone();
    assert_eq!(world.post_once(Role::Gateway, &path, &forged).await.refusal(), (422, "proof-invalid"));
    let mut other_reason = account.revocation(certificate, "superseded", 4);
    other_reason["reason"] = json!("keyCompromise");
    assert_eq!(world.post_once(Role::Gateway, &path, &other_reason).await.refusal(), (422, "proof-invalid"));
    let officer =
        json!({"reason": "superseded", "basis": {"type": "officer"}, "certificateSha256": certificate["sha256"]});
    assert_eq!(world.post_once(Role::Gateway, &path, &officer).await.refusal(), (403, "revocation-not-authorised"));
    let hold = account.revocation(certificate, "certificateHold", 6);
    assert_eq!(world.post_once(Role::Gateway, &path, &hold).await.refusal(), (422, "revocation-reason-not-allowed"));
    assert_eq!(world.cm.books()["revoked"], 0);
}

#[tokio::test]
async fn without_a_certificate_of_the_clients_ca_there_is_no_http() {
    let world = World::start().await;
    let pki = world.scratch.path().join("pki");
    let url = format!("{}/cm/v1/info", world.api);
    assert!(client(tls(&pki, None)).get(&url).send().await.is_err());
    // A server certificate of another CA of the same sandbox.
    let foreign = client(tls(&pki, Some(("acme-server.pem", "acme-server.key"))));
    assert!(foreign.get(&url).send().await.is_err());
    assert_eq!(world.get(Role::Gateway, "/info").await.status, 200);
}

#[tokio::test]
async fn a_gateway_that_the_settings_do_not_name_is_not_known() {
    let world = World::start_with(|settings| settings.replace("[gateways.quickstart]", "[gateways.other]")).await;
    assert_eq!(world.get(Role::Gateway, "/whoami").await.refusal(), (401, "unauthenticated"));
    assert_eq!(world.get(Role::Officer, "/whoami").await.status, 200);
}
