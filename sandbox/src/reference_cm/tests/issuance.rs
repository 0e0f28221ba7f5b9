//! Accounts ask for certificates and get them, or are told why not.

use http::Method;
use serde_json::json;

use super::super::identity::Role;
use super::super::moment::Moment;
use super::world::{Order, World, leaf_der};

const REQUESTS: &str = "/realms/open/certificate-requests";

#[tokio::test]
async fn an_account_gets_the_certificate_it_asked_for() {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let world = World::start().await;
    let account = world.open_account().await;
    let order = Order::of(&["www.example.test", "*.example.test", "192.0.2.7"]);
    let issued = world.issue(&account, &order).await.expect(201);
    let certificate = &issued.body["certificate"];
    assert_eq!(issued.body["status"], "issued");
    assert_eq!(certificate["status"], "good");
    assert_eq!(certificate["orderRef"], order.reference);
    assert_eq!(certificate["publication"][0]["status"], "waiting-for-delivery");
    let der = leaf_der(certificate);
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(parsed.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&order.key));
    assert!(!parsed.is_ca());
    assert_eq!(parsed.raw_serial().len(), 20);
    assert!(parsed.subject().to_string().contains("NOT FOR PRODUCTION"));
    assert_eq!(parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 3);
    assert_eq!(parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp(), 90 * 86_400 - 1);

    let location = issued.header("location").unwrap().strip_prefix("/cm/v1").unwrap().to_owned();
    assert_eq!(world.get(Role::Auditor, &location).await.expect(200).body, issued.body);
    let by_order = format!("{REQUESTS}?orderRef={}", order.reference);
    assert_eq!(world.get(Role::Gateway, &by_order).await.expect(200).body["items"][0], issued.body);

    let path = format!("/realms/open/certificates/{}", certificate["id"].as_str().unwrap());
    let pem = world
        .try_send(Role::Gateway, Method::GET, &path, &[("accept", "application/pem-certificate-chain")], None)
        .await
        .unwrap()
        .expect(200);
    assert_eq!(pem.text, certificate["chains"][0]["pem"].as_str().unwrap());
    assert_eq!(pem.header("content-type"), Some("application/pem-certificate-chain"));
    let other = format!("</cm/v1{path}?chain=older-root>;rel=\"alternate\"");
    assert_eq!(pem.header("link"), Some(other.as_str()));
}

#[tokio::test]
async fn what_was_asked_of_the_validity_is_met_exactly_or_refused() {
    let world = World::start().await;
    let account = world.open_account().await;
    let now = Moment::now().whole_second();
    for (days, millis, expected) in [(10, 0, 201), (89, 0, 201), (91, 0, 422), (-1, 0, 422), (10, 500, 422)] {
        let not_after = now.plus_seconds(days * 86_400).plus_millis(millis);
        let mut body = account.request(&Order::of(&["www.example.test"]));
        body["notAfter"] = json!(not_after);
        let reply = world.post_once(Role::Gateway, REQUESTS, &body).await.expect(expected);
        if expected == 201 {
            assert_eq!(reply.body["certificate"]["notAfter"], json!(not_after));
        } else {
            assert_eq!(reply.refusal(), (422, "validity-not-allowed"));
        }
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_once() {
    let world = World::start().await;
    let account = world.open_account().await;
    let first = world.issue(&account, &Order::of(&["www.example.test"])).await.expect(201);
    let mut body = account.request(&Order::of(&["www.example.test"]));
    body["replaces"] = first.body["certificate"]["id"].clone();
    world.post_once(Role::Gateway, REQUESTS, &body).await.expect(201);
    let mut again = account.request(&Order::of(&["www.example.test"]));
    again["replaces"] = first.body["certificate"]["id"].clone();
    assert_eq!(world.post_once(Role::Gateway, REQUESTS, &again).await.refusal(), (409, "already-replaced"));
    let stranger = world.open_account().await;
    let mut theirs = stranger.request(&Order::of(&["www.example.test"]));
    theirs["replaces"] = first.body["certificate"]["id"].clone();
    assert_eq!(world.post_once(Role::Gateway, REQUESTS, &theirs).await.refusal(), (422, "replaces-invalid"));
}

#[tokio::test]
async fn must_staple_is_in_the_certificate_if_the_csr_asks_for_it() {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let world = World::start().await;
    let account = world.open_account().await;
    let mut order = Order::of(&["www.example.test"]);
    let mut params = rcgen::CertificateParams::new(vec!["www.example.test".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(
        &[1, 3, 6, 1, 5, 5, 7, 1, 24],
        vec![0x30, 0x03, 0x02, 0x01, 0x05],
    ));
    let csr = params.serialize_request(&order.key).unwrap();
    let csr = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(csr.der())
    };
    order.reference.push('S');
    let mut body = account.request(&order);
    let path = format!("/order/{}/finalize", order.reference);
    body["csr"] = json!(csr);
    body["proof"]["jws"] = account.sign_for(Some(&path), &json!({"csr": csr}));
    let issued = world.post_once(Role::Gateway, REQUESTS, &body).await.expect(201);
    let der = leaf_der(&issued.body["certificate"]);
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert!(parsed.extensions().iter().any(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.24"));
}

#[tokio::test]
async fn what_is_published_was_accepted_before() {
    let world = World::start().await;
    let account = world.open_account().await;
    for (outcome, published) in [("accepted", true), ("refused", false)] {
        let issued = world.issue(&account, &Order::of(&["www.example.test"])).await.expect(201).body;
        let id = issued["certificate"]["id"].as_str().unwrap();
        let file = world.scratch.path().join("published").join(format!("{id}.pem"));
        assert!(!file.exists());
        let path = format!("{REQUESTS}/{}/delivery", issued["id"].as_str().unwrap());
        let report = json!({"outcome": outcome, "checks": [{"check": "public-key", "ok": published}]});
        for _ in 0..2 {
            world.post(Role::Gateway, &path, &[], &report).await.expect(204);
        }
        assert_eq!(file.exists(), published);
        let shown = world.get(Role::Gateway, &format!("/realms/open/certificates/{id}")).await.body;
        let expected = if published { "published" } else { "withheld" };
        assert_eq!(shown["publication"][0]["status"], expected);
        let other = if published { "refused" } else { "accepted" };
        world.post(Role::Gateway, &path, &[], &json!({"outcome": other})).await.expect(400);
    }
}

#[tokio::test]
async fn a_gateway_finds_certificates_by_key_only_and_others_by_anything() {
    let world = World::start().await;
    let account = world.open_account().await;
    let issued = world.issue(&account, &Order::of(&["www.example.test"])).await.expect(201).body;
    let certificate = &issued["certificate"];
    for (name, value) in [
        ("orderRef", &issued["orderRef"]),
        ("serial", &certificate["serial"]),
        ("sha256", &certificate["sha256"]),
        ("spkiSha256", &certificate["spkiSha256"]),
    ] {
        let path = format!("/realms/open/certificates?{name}={}", value.as_str().unwrap());
        assert_eq!(world.get(Role::Gateway, &path).await.expect(200).body["items"][0]["id"], certificate["id"]);
    }
    let free = "/realms/open/certificates?identifier=www.example.test";
    assert_eq!(world.get(Role::Gateway, free).await.refusal(), (403, "forbidden"));
    let found = world.get(Role::Officer, free).await.expect(200);
    assert_eq!(found.body["items"].as_array().unwrap().len(), 1);
    let none = world.get(Role::Officer, "/realms/open/certificates?identifier=other.example.test").await;
    assert_eq!(none.body["items"], json!([]));
    world.get(Role::Officer, "/realms/open/certificates?nonsense=1").await.expect(400);
}

#[tokio::test]
async fn pages_are_walked_to_the_end() {
    let world = World::start().await;
    let account = world.open_account().await;
    for _ in 0..3 {
        world.issue(&account, &Order::of(&["www.example.test"])).await.expect(201);
    }
    let mut seen = Vec::new();
    let mut path = "/realms/open/certificates?limit=2".to_owned();
    loop {
        let page = world.get(Role::Auditor, &path).await.expect(200).body;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
        match page["next"].as_str() {
            Some(next) => path = format!("/realms/open/certificates?limit=2&cursor={next}"),
            None => break,
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn renewal_information_lies_in_the_last_third_of_the_life() {
    let world = World::start().await;
    let account = world.open_account().await;
    let issued = world.issue(&account, &Order::of(&["www.example.test"])).await.expect(201).body;
    let certificate = &issued["certificate"];
    let path = format!("/realms/open/certificates/{}/renewal-info", certificate["id"].as_str().unwrap());
    let window = world.get(Role::Gateway, &path).await.expect(200).body["suggestedWindow"].clone();
    let time = |value: &serde_json::Value| Moment::parse(value.as_str().unwrap()).unwrap();
    let end = time(&certificate["notAfter"]);
    assert!(time(&window["start"]) >= end.plus_seconds(-31 * 86_400));
    assert!(time(&window["start"]) < time(&window["end"]));
    assert!(time(&window["end"]) < end);
    world.get(Role::Gateway, "/realms/open/certificates/aaaa.bbbb/renewal-info").await.expect(404);
}

#[tokio::test]
async fn every_key_type_of_the_profile_is_certified_with_a_fitting_usage() {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let world = World::start().await;
    let account = world.open_account().await;
    for (key, encipherment) in [
        (KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256), false),
        (KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384), false),
        (KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048), true),
        (KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072), true),
    ] {
        let order = Order { key: key.unwrap(), ..Order::of(&["www.example.test"]) };
        let issued = world.issue(&account, &order).await.expect(201).body;
        let der = leaf_der(&issued["certificate"]);
        let (_, leaf) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(leaf.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&order.key));
        let usage = leaf.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && !usage.key_cert_sign());
        assert_eq!(usage.key_encipherment(), encipherment);
        assert!(leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
    }
    let order = Order { key: KeyPair::generate_for(&PKCS_ED25519).unwrap(), ..Order::of(&["www.example.test"]) };
    assert_eq!(world.issue(&account, &order).await.refusal(), (422, "csr-key-rejected"));
}
