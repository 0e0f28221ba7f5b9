//! Validation against real DNS and web servers on loopback.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests and their servers say what must hold by panicking")]

mod caa;
mod dns_01;
mod dns_drafts;
mod dns_server;
mod http_01;
mod http_01_egress;
mod http_01_hostile;
mod http_01_redirects;
mod observation;
mod ssrf;
mod tls_alpn_01;
mod tls_server;
mod web_server;

use std::time::Duration;

use acme::{
    account_key::PublicKey,
    challenge::{ChallengeKind, Evidence, KeyAuthorization, Token},
    identifier::Identifier,
    problem::ProblemKind,
    time::Timestamp,
};
use validation::{Expected, Failure, Settings, Validator};

use crate::dns_server::DnsServer;

/// The account that asks: the example of draft-ietf-acme-dns-account-label.
pub(crate) const ACCOUNT_URL: &str = "https://example.com/acme/acct/ExampleAccount";

/// What no problem may ever repeat: test servers put it into bodies and headers.
pub(crate) const SENTINEL: &str = "SENTINEL-do-not-repeat";

/// Settings for servers on loopback, with times a test can wait for.
pub(crate) fn settings(dns: &DnsServer) -> Settings {
    Settings {
        resolvers: vec![dns.address],
        dns_timeout: Duration::from_secs(10),
        danger_allow_loopback: true,
        dial_timeout: Duration::from_secs(10),
        attempt_timeout: Duration::from_secs(30),
        user_agent: "acme-gateway-test (+https://pki.test/contact)".to_owned(),
        ..Settings::default()
    }
}

pub(crate) fn token() -> Token {
    Token::from_random([7; 32])
}

pub(crate) fn key_authorization() -> KeyAuthorization {
    KeyAuthorization::new(&token(), &PublicKey::Ed25519 { x: [7; 32] }.thumbprint())
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_secs(1_800_000_000)
}

/// One attempt. Whatever fails is looked at for what must never be in a problem.
pub(crate) async fn attempt(validator: &Validator, kind: ChallengeKind, identifier: &str) -> Result<Evidence, Failure> {
    let identifier = Identifier::parse_ip(identifier).or_else(|_| Identifier::parse_dns(identifier)).unwrap();
    let expected = Expected {
        token: &token(),
        key_authorization: &key_authorization(),
        account_url: ACCOUNT_URL,
        issuer_domain_names: &["ca.example.net".to_owned()],
    };
    let result = validator.validate(kind, &identifier, &expected, now()).await;
    if let Err(failure) = &result {
        let detail = &failure.problem.detail;
        assert!(!detail.contains(['"', '\n', '\r']), "{detail}");
        assert!(!detail.contains(SENTINEL), "{detail}");
        assert!(detail.len() < 1024, "{detail}");
    }
    result
}

pub(crate) async fn http_01(settings: Settings, identifier: &str) -> Result<Evidence, Failure> {
    attempt(&Validator::new(settings).unwrap(), ChallengeKind::Http01, identifier).await
}

pub(crate) async fn dns_01(settings: Settings, identifier: &str) -> Result<Evidence, Failure> {
    attempt(&Validator::new(settings).unwrap(), ChallengeKind::Dns01, identifier).await
}

/// Asserts kind, advice and a part of the detail of a failure.
#[track_caller]
pub(crate) fn assert_failure(result: Result<Evidence, Failure>, kind: ProblemKind, retry: bool, part: &str) {
    let failure = result.unwrap_err();
    assert_eq!((failure.problem.kind, failure.retry), (kind, retry), "{}", failure.problem.detail);
    assert!(failure.problem.detail.contains(part), "{} lacks {part}", failure.problem.detail);
}

/// Waits for what a server does on its own time.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let polling = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), polling).await.unwrap();
}

#[test]
fn a_validator_is_built_without_a_runtime() {
    let resolvers = vec!["127.0.0.1:53".parse().unwrap()];
    let validator = Validator::new(Settings { resolvers, ..Settings::default() }).unwrap();
    assert!(format!("{validator:?}").starts_with("Validator(Settings"));
}
