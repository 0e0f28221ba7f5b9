//! Downloading certificates (RFC 8555 §7.4.2).

use openssl::{
    stack::Stack,
    x509::{X509, X509StoreContext, store::X509StoreBuilder},
};
use serde_json::json;
use tests::client::{chain, dns_names, public_key};

use crate::world;

#[test]
fn a_certificate_is_the_one_that_was_asked_for() {
    let client = world().account();
    let issued = client.issue(&["one.cert.test", "two.cert.test"]);
    assert_eq!(dns_names(&issued.leaf), ["one.cert.test", "two.cert.test"]);
    assert!(public_key(&issued.leaf).public_eq(issued.key.pkey()));
}

#[test]
fn a_chain_is_strict_pem_with_the_leaf_first() {
    let client = world().account();
    let issued = client.issue(&["pem.cert.test"]);
    let response = client.read(&issued.url).expect(200);
    assert_eq!(response.header("content-type"), Some("application/pem-certificate-chain"));
    assert_eq!(response.link("up"), None, "some clients would append what is there");
    let text = response.text();
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n") && text.ends_with("-----END CERTIFICATE-----\n"));
    for line in text.lines() {
        assert!(!line.is_empty() && line.len() <= 64 && !line.ends_with('\r'), "{line:?}");
    }
    let certificates = chain(&text);
    assert!(certificates.len() >= 2, "an issuer is always there");
    for pair in certificates.windows(2) {
        assert!(pair[0].verify(&public_key(&pair[1])).unwrap(), "each certificate is certified by the next");
    }
    assert!(
        certificates.iter().all(|one| one.issued(one) != openssl::x509::X509VerifyResult::OK),
        "the root is left out"
    );
}

#[test]
fn a_chain_verifies_against_the_root() {
    let client = world().account();
    let issued = client.issue(&["verify.cert.test"]);
    let root = X509::from_pem(&std::fs::read(client.site().pki("root.pem")).unwrap()).unwrap();
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(root).unwrap();
    let mut between = Stack::new().unwrap();
    chain(&issued.pem).into_iter().skip(1).for_each(|one| between.push(one).unwrap());
    let mut context = X509StoreContext::new().unwrap();
    let good = context.init(&store.build(), &issued.leaf, &between, |context| context.verify_cert()).unwrap();
    assert!(good, "{}", context.error());
}

#[test]
fn a_certificate_is_read_the_same_again_whatever_the_client_accepts() {
    let client = world().account();
    let issued = client.issue(&["again.cert.test"]);
    for accept in ["*/*", "application/pem-certificate-chain", "application/pkix-cert", "text/html"] {
        let jws = client.draft(&issued.url, "").sign().to_string();
        let headers = [("Content-Type", "application/jose+json"), ("Accept", accept)];
        assert_eq!(client.send_octets(&issued.url, jws.as_bytes(), &headers).expect(200).text(), issued.pem);
    }
}

#[test]
fn a_certificate_of_another_account_is_not_shown() {
    let (client, other) = (world().account(), world().account());
    let issued = other.issue(&["theirs.cert.test"]);
    let _ = client.read(&issued.url).assert_refused(403, "unauthorized");
}

#[test]
fn a_certificate_that_does_not_exist_is_not_found() {
    let client = world().account();
    let issued = client.issue(&["forged.cert.test"]);
    let last = if issued.url.ends_with('A') { 'B' } else { 'A' };
    let forged = format!("{}{last}", &issued.url[..issued.url.len() - 1]);
    for url in [forged, format!("{}/x", client.url("cert")), format!("{}/99", issued.url)] {
        let _ = client.read(&url).assert_refused(404, "malformed");
    }
}

#[test]
fn a_chain_has_one_spelling_of_its_number() {
    let client = world().account();
    let issued = client.issue(&["spelling.cert.test"]);
    for number in ["xyz", "-1", "+0", "00", "0x0", "%30%20", "99999999999999999999999"] {
        let response = client.read(&format!("{}/{number}", issued.url));
        response.assert_refused_below(&client.url("directory"), 404, "malformed");
    }
    client.read(&client.url("cert/x/xyz")).assert_refused_below(&client.url("directory"), 404, "malformed");
}

#[test]
fn a_certificate_is_read_by_post_as_get_only() {
    let client = world().account();
    let issued = client.issue(&["get.cert.test"]);
    let _ = client.post(&issued.url, &json!({})).assert_refused(400, "malformed");
    let response = client.site().get(&issued.url);
    let _ = response.assert_problem(405, "malformed");
}

#[test]
fn a_revoked_certificate_is_still_shown() {
    let client = world().account();
    let issued = client.issue(&["revoked.cert.test"]);
    let _ = client.revoke(&issued.leaf, 4).expect(200);
    assert_eq!(client.read(&issued.url).expect(200).text(), issued.pem);
    assert_eq!(client.read(&issued.order_url).expect(200).member("status"), "valid");
}
