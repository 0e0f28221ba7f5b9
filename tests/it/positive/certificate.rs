//! Issuance, download and revocation (RFC 8555 §7.4, §7.4.2, §7.6).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{
    client::{chain, dns_names, public_key, revocation},
    csr::Csr,
    key::Key,
    world::World,
};

use crate::world;

#[test]
fn finalize_waits_for_a_certificate_that_comes_soon_and_not_for_one_that_comes_late() {
    let patient = World::start_with(&[("issuance", "finalize_wait_secs = 25")]);
    let hasty = World::start_with(&[("issuance", "finalize_wait_secs = 1")]);
    let finalize = |world: &World, name: &str| {
        let client = world.account();
        let order = client.ready_order(&[name]);
        let csr = Csr::for_names(&[name]).text(&Key::p256());
        let start = Instant::now();
        let finalized = client.finalize(&order, &csr).expect(200);
        (client, order, finalized, start.elapsed())
    };
    let (_, _, at_once, _) = finalize(&patient, "at-once.wait.test");
    assert_eq!(at_once.member("status"), "valid");
    patient.set_fault("requestCertificate", &json!({"kind": "delay-before", "millis": 1000}));
    let (_, _, soon, took) = finalize(&patient, "soon.wait.test");
    assert_eq!(soon.member("status"), "valid");
    assert!(took >= Duration::from_secs(1), "{took:?}");
    hasty.set_fault("requestCertificate", &json!({"kind": "delay-before", "millis": 15_000}));
    let (client, order, late, took) = finalize(&hasty, "late.wait.test");
    assert_eq!(late.member("status"), "processing");
    assert!(took < Duration::from_secs(15), "a client is not kept waiting: {took:?}");
    let seconds: u64 = late.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{late:?}");
    let order = client.wait(&order, "valid");
    let issued = client.download(&order, Key::p256());
    assert_eq!(dns_names(&issued.leaf), ["late.wait.test"]);
    assert_eq!(hasty.certificates_of(&order.url), 1);
}

#[test]
fn a_chain_is_pem_in_lines_of_64_with_line_feeds_and_the_leaf_first() {
    let client = world().account();
    let issued = client.issue(&["pem.scenario.test"]);
    let response = client.read(&issued.url).expect(200);
    assert_eq!(response.header("content-type"), Some("application/pem-certificate-chain"));
    let text = response.text();
    assert!(text.ends_with("-----END CERTIFICATE-----\n") && !text.contains('\r'));
    let mut blocks = 0;
    for block in text.split_inclusive("-----END CERTIFICATE-----\n") {
        let inner = block.strip_prefix("-----BEGIN CERTIFICATE-----\n").expect("nothing between two blocks");
        let inner = inner.strip_suffix("-----END CERTIFICATE-----\n").expect("each block ends");
        let lines: Vec<_> = inner.lines().collect();
        let (last, whole) = lines.split_last().expect("a block has lines");
        assert!(whole.iter().all(|line| line.len() == 64), "{block}");
        assert!((1..=64).contains(&last.len()), "{block}");
        blocks += 1;
    }
    let certificates = chain(&text);
    assert_eq!(certificates.len(), blocks);
    assert!(blocks >= 2, "an issuer is always there");
    assert!(public_key(&certificates[0]).public_eq(issued.key.pkey()), "the leaf comes first");
    for pair in certificates.windows(2) {
        assert!(pair[0].verify(&public_key(&pair[1])).unwrap(), "each is certified by the next");
    }
}

#[test]
fn the_account_another_with_all_names_and_the_key_each_revoke() {
    let owner = world().account();
    let names = ["one.revoked.scenario.test", "two.revoked.scenario.test"];
    let by_account = owner.issue(&names);
    let response = owner.revoke(&by_account.leaf, Value::Null).expect(200);
    assert!(response.body.is_empty(), "{response:?}");

    let by_other = owner.issue(&names);
    let other = world().account();
    let _ = other.ready_order(&names);
    let response = other.revoke(&by_other.leaf, Value::Null).expect(200);
    assert!(response.body.is_empty(), "{response:?}");

    let by_key = owner.issue(&names);
    let stranger = world().client("open");
    let url = stranger.url("revoke-cert");
    let request = stranger.self_signed(&url, &revocation(&by_key.leaf, 1), &by_key.key);
    let response = stranger.send(&url, &request.sign()).expect(200);
    assert!(response.body.is_empty(), "{response:?}");
    for issued in [by_account, by_other, by_key] {
        let _ = owner.revoke(&issued.leaf, Value::Null).assert_refused(400, "alreadyRevoked");
    }
}
