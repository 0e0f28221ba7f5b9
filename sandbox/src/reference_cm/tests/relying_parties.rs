//! What relying parties see, with the openssl command as one of them.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::identity::Role;
use super::world::{Account, Order, World, leaf_base64url};

/// Runs openssl and gives all it says.
async fn openssl(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

async fn issue(world: &World, account: &Account, file: &str) -> Value {
    let issued = world.issue(account, &Order::of(&["www.example.test"])).await.expect(201).body;
    let pem = issued["certificate"]["chains"][0]["pem"].as_str().unwrap();
    std::fs::write(world.scratch.path().join(file), pem).unwrap();
    issued["certificate"].clone()
}

async fn ocsp(world: &World, which: &[&str]) -> String {
    let url = format!("{}/ocsp", world.status);
    let mut arguments = vec![
        "ocsp",
        "-issuer",
        "pki/issuing-1.pem",
        "-CAfile",
        "pki/root.pem",
        "-verify_other",
        "pki/issuing-1.pem",
        "-url",
        &url,
    ];
    arguments.extend(which);
    let (good, text) = openssl(world.scratch.path(), &arguments).await;
    assert!(good && text.contains("Response verify OK"), "{text}");
    text
}

async fn revoke(world: &World, certificate: &Value, role: Role, body: &Value) -> super::world::Reply {
    let path = format!("/realms/open/certificates/{}/revoke", certificate["id"].as_str().unwrap());
    world.post_once(role, &path, body).await
}

#[tokio::test]
async fn whoever_knows_only_the_older_root_is_served_by_its_chain() {
    let world = World::start().await;
    let account = world.open_account().await;
    let certificate = issue(&world, &account, "leaf.pem").await;
    let chains = certificate["chains"].as_array().unwrap();
    let ids: Vec<_> = chains.iter().map(|chain| (&chain["id"], &chain["default"])).collect();
    assert_eq!(ids, [(&json!("default"), &json!(true)), (&json!("older-root"), &json!(false))]);
    let blocks = |pem: &Value| pem.as_str().unwrap().matches("-----BEGIN CERTIFICATE-----").count();
    assert_eq!((blocks(&chains[0]["pem"]), blocks(&chains[1]["pem"])), (2, 3));
    std::fs::write(world.scratch.path().join("chain.pem"), chains[1]["pem"].as_str().unwrap()).unwrap();
    for (root, untrusted, trusted) in [
        ("pki/older-root.pem", "chain.pem", true),
        ("pki/older-root.pem", "pki/issuing-1.pem", false),
        ("pki/root.pem", "pki/issuing-1.pem", true),
    ] {
        let arguments = ["verify", "-x509_strict", "-CAfile", root, "-untrusted", untrusted, "leaf.pem"];
        let (good, text) = openssl(world.scratch.path(), &arguments).await;
        assert_eq!(good, trusted, "{root} {untrusted}: {text}");
    }
    let issuer = world.get(Role::Gateway, "/issuers/issuing-1").await.expect(200).body;
    assert_ne!(issuer["chains"][0]["rootSha256"], issuer["chains"][1]["rootSha256"]);
    for (chain, status) in [("default", 200), ("older-root", 200), ("newer-root", 404)] {
        world.get(Role::Gateway, &format!("/issuers/issuing-1/chains/{chain}")).await.expect(status);
        let id = certificate["id"].as_str().unwrap();
        world.get(Role::Gateway, &format!("/realms/open/certificates/{id}?chain={chain}")).await.expect(status);
    }
}

#[tokio::test]
async fn openssl_trusts_the_chain() {
    let world = World::start().await;
    let account = world.open_account().await;
    issue(&world, &account, "leaf.pem").await;
    let arguments = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "www.example.test",
        "-CAfile",
        "pki/root.pem",
        "-untrusted",
        "pki/issuing-1.pem",
        "leaf.pem",
    ];
    let (good, text) = openssl(world.scratch.path(), &arguments).await;
    assert!(good, "{text}");
    for (ca, leaf) in [("infra-ca", "cm-server"), ("clients-ca", "gateway"), ("acme-ca", "acme-server")] {
        let (ca, leaf) = (format!("pki/{ca}.pem"), format!("pki/{leaf}.pem"));
        let (good, text) = openssl(world.scratch.path(), &["verify", "-x509_strict", "-CAfile", &ca, &leaf]).await;
        assert!(good, "{text}");
    }
}

#[tokio::test]
async fn ocsp_says_good_then_revoked_at_once_and_unknown_for_strangers() {
    let world = World::start().await;
    let account = world.open_account().await;
    let certificate = issue(&world, &account, "leaf.pem").await;
    for digest in ["-sha1", "-sha256"] {
        let text = ocsp(&world, &[digest, "-cert", "leaf.pem"]).await;
        assert!(text.contains("leaf.pem: good"), "{text}");
        assert!(!text.contains("WARNING"), "{text}");
    }
    let text = ocsp(&world, &["-serial", "0x4242"]).await;
    assert!(text.contains("0x4242: unknown"), "{text}");

    let revoked = revoke(&world, &certificate, Role::Gateway, &account.revocation(&certificate, "superseded", 4)).await;
    assert_eq!(revoked.expect(200).body["status"], "revoked");
    let text = ocsp(&world, &["-cert", "leaf.pem"]).await;
    assert!(text.contains("leaf.pem: revoked") && text.contains("Reason: superseded"), "{text}");
    let again = revoke(&world, &certificate, Role::Gateway, &account.revocation(&certificate, "superseded", 4)).await;
    assert_eq!(again.refusal(), (409, "already-revoked"));
    assert_eq!(again.body["revocation"]["reason"], "superseded");
}

#[tokio::test]
async fn ocsp_answers_get_requests_and_refuses_nonsense() {
    let world = World::start().await;
    let account = world.open_account().await;
    issue(&world, &account, "leaf.pem").await;
    let folder = world.scratch.path();
    let arguments =
        ["ocsp", "-issuer", "pki/issuing-1.pem", "-cert", "leaf.pem", "-no_nonce", "-reqout", "question.der"];
    assert!(openssl(folder, &arguments).await.0);
    let question = std::fs::read(folder.join("question.der")).unwrap();
    let escaped = STANDARD.encode(&question).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(super::world::tls(&folder.join("pki"), None))
        .no_proxy()
        .build()
        .unwrap();
    let answer = client.get(format!("{}/ocsp/{escaped}", world.status)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/ocsp-response");
    std::fs::write(folder.join("answer.der"), answer.bytes().await.unwrap()).unwrap();
    let arguments = [
        "ocsp",
        "-respin",
        "answer.der",
        "-issuer",
        "pki/issuing-1.pem",
        "-cert",
        "leaf.pem",
        "-CAfile",
        "pki/root.pem",
        "-verify_other",
        "pki/issuing-1.pem",
    ];
    let (good, text) = openssl(folder, &arguments).await;
    assert!(good && text.contains("leaf.pem: good"), "{text}");

    let nonsense = client.post(format!("{}/ocsp", world.status)).body("nonsense").send().await.unwrap();
    // OCSPResponse with status malformedRequest.
    assert_eq!(nonsense.bytes().await.unwrap().as_ref(), [0x30, 0x03, 0x0a, 0x01, 0x01]);
    let foreign = ["ocsp", "-issuer", "pki/acme-ca.pem", "-serial", "7", "-no_nonce", "-reqout", "foreign.der"];
    assert!(openssl(folder, &foreign).await.0);
    let question = std::fs::read(folder.join("foreign.der")).unwrap();
    let answer = client.post(format!("{}/ocsp", world.status)).body(question).send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap().as_ref(), [0x30, 0x03, 0x0a, 0x01, 0x06]);
}

#[tokio::test]
async fn the_revocation_list_has_holds_until_they_are_taken_away() {
    let world = World::start().await;
    let account = world.open_account().await;
    let certificate = issue(&world, &account, "leaf.pem").await;
    let folder = world.scratch.path();
    let hold = json!({"reason": "certificateHold", "basis": {"type": "officer"},
                      "certificateSha256": certificate["sha256"]});
    let list = async || {
        let list = reqwest_get(&world, "/crl/issuing-1.crl").await;
        std::fs::write(folder.join("list.der"), list).unwrap();
        let arguments = ["crl", "-inform", "DER", "-in", "list.der", "-CAfile", "pki/issuing-1.pem", "-noout", "-text"];
        let (good, text) = openssl(folder, &arguments).await;
        assert!(good && text.contains("verify OK"), "{text}");
        text.to_lowercase()
    };
    let serial = certificate["serial"].as_str().unwrap();
    assert!(!list().await.contains(serial));
    revoke(&world, &certificate, Role::Officer, &hold).await.expect(200);
    let text = list().await;
    assert!(text.contains(serial) && text.contains("certificate hold"), "{text}");
    assert!(ocsp(&world, &["-cert", "leaf.pem"]).await.contains("leaf.pem: revoked"));
    let path = format!("/realms/open/certificates/{}/reinstate", certificate["id"].as_str().unwrap());
    let back = world.try_send(Role::Officer, http::Method::POST, &path, &[], None).await.unwrap().expect(200);
    assert_eq!(back.body["status"], "good");
    assert!(!list().await.contains(serial));

    let arguments = ["crl", "-inform", "DER", "-in", "list.der", "-out", "list.pem"];
    assert!(openssl(folder, &arguments).await.0);
    let arguments = [
        "verify",
        "-crl_check",
        "-CRLfile",
        "list.pem",
        "-CAfile",
        "pki/root.pem",
        "-untrusted",
        "pki/issuing-1.pem",
        "leaf.pem",
    ];
    let (good, text) = openssl(folder, &arguments).await;
    assert!(good, "{text}");
}

async fn reqwest_get(world: &World, path: &str) -> Vec<u8> {
    let tls = super::world::tls(&world.scratch.path().join("pki"), None);
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
    client.get(format!("{}{path}", world.status)).send().await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn ca_certificates_are_served_as_they_are() {
    let world = World::start().await;
    assert_eq!(reqwest_get(&world, "/ca/issuing-1.der").await, world.cm.authority.der());
    assert_eq!(reqwest_get(&world, "/ca/root.der").await, world.cm.authority.root_der());
}

#[tokio::test]
async fn the_holder_of_the_key_revokes_and_blocks_it() {
    let world = World::start().await;
    let account = world.open_account().await;
    let holder = Account::new(account.base);
    let mut order = Order::of(&["www.example.test"]);
    let pkcs8 = holder.key.to_pkcs8v1().unwrap();
    order.key = rcgen::KeyPair::try_from(pkcs8.as_ref()).unwrap();
    let issued = world.issue(&account, &order).await.expect(201).body;
    let certificate = &issued["certificate"];
    let payload = json!({"certificate": leaf_base64url(certificate), "reason": 1});
    let body = json!({"reason": "keyCompromise", "basis": {"type": "certificate-key"}, "blockKey": true,
        "certificateSha256": certificate["sha256"],
        "proof": {"type": "acme", "jws": holder.sign_new("/revoke-cert", &payload)}});
    let mut stranger = body.clone();
    stranger["proof"]["jws"] = Account::new(account.base).sign_new("/revoke-cert", &payload);
    assert_eq!(revoke(&world, certificate, Role::Gateway, &stranger).await.refusal(), (422, "proof-invalid"));
    revoke(&world, certificate, Role::Gateway, &body).await.expect(200);
    order.reference.push('2');
    assert_eq!(world.issue(&account, &order).await.refusal(), (422, "csr-key-blocked"));
}

#[tokio::test]
async fn another_account_revokes_with_authorizations_for_all_names() {
    let world = World::start().await;
    let account = world.open_account().await;
    let certificate = issue(&world, &account, "leaf.pem").await;
    let other = world.open_account().await;
    let mut body = other.revocation(&certificate, "cessationOfOperation", 5);
    body["basis"]["type"] = json!("authorizations");
    body["basis"]["validations"] = super::world::validations(&["other.example.test"]);
    assert_eq!(revoke(&world, &certificate, Role::Gateway, &body).await.refusal(), (422, "evidence-missing"));
    body["basis"]["validations"] = super::world::validations(&["www.example.test"]);
    revoke(&world, &certificate, Role::Gateway, &body).await.expect(200);
}
