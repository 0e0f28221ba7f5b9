//! Other chains of a certificate (RFC 8555 §7.4.2): the sandbox's root is also certified by an older one.

use openssl::{
    stack::Stack,
    x509::{X509, X509StoreContext, store::X509StoreBuilder},
};
use serde_json::json;
use tests::{
    client::{Client, Issued, chain},
    response::Response,
};

use crate::world;

/// The links of a response to other chains.
fn alternates(response: &Response) -> Vec<&str> {
    let links = response.all("link").filter(|link| link.ends_with(";rel=\"alternate\""));
    links.map(|link| link.trim_start_matches('<').split('>').next().unwrap()).collect()
}

fn issued() -> (Client, Issued) {
    let client = world().account();
    let issued = client.issue(&["alternate.chains.test"]);
    (client, issued)
}

/// Whether who knows only this root trusts the first certificate by way of the others.
fn trusts(root: &str, certificates: &[X509]) -> bool {
    let root = X509::from_pem(&std::fs::read(world().site().pki(root)).unwrap()).unwrap();
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(root).unwrap();
    let mut between = Stack::new().unwrap();
    certificates[1..].iter().for_each(|one| between.push(one.clone()).unwrap());
    let mut context = X509StoreContext::new().unwrap();
    context.init(&store.build(), &certificates[0], &between, |context| context.verify_cert()).unwrap()
}

#[test]
fn each_chain_links_to_the_other_and_both_are_of_one_certificate() {
    let (client, issued) = issued();
    let first = client.read(&issued.url).expect(200);
    let [other_url] = alternates(&first)[..] else { panic!("one other chain: {first:?}") };
    let other = client.read(other_url).expect(200);
    assert_eq!(alternates(&other), [issued.url.as_str()], "a chain links to all others and not to itself");
    assert_eq!(other.header("content-type"), Some("application/pem-certificate-chain"));
    let (first, other) = (chain(&first.text()), chain(&other.text()));
    assert_eq!(first[0].to_der().unwrap(), other[0].to_der().unwrap(), "the same leaf");
    assert!(other.len() > first.len(), "{} and {}", first.len(), other.len());
    assert!(trusts("root.pem", &first) && !trusts("older-root.pem", &first));
    assert!(trusts("older-root.pem", &other));
}

#[test]
fn another_chain_is_guarded_like_the_first() {
    let (client, issued) = issued();
    let first = client.read(&issued.url).expect(200);
    let other_url = alternates(&first)[0].to_owned();
    let _ = world().account().read(&other_url).assert_refused(403, "unauthorized");
    let _ = client.post(&other_url, &json!({})).assert_refused(400, "malformed");
    let _ = client.site().get(&other_url).assert_problem(405, "malformed");
    let _ = client.read(&format!("{}/2", issued.url)).assert_refused(404, "malformed");
}
