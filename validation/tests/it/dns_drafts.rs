//! dns-account-01 and dns-persist-01 against real answers.

use std::time::Duration;

use acme::{challenge::ChallengeKind, problem::ProblemKind};
use hickory_resolver::proto::op::ResponseCode;
use validation::{Failure, Validator};

use crate::{
    ACCOUNT_URL, Evidence, assert_failure, attempt,
    dns_server::{Answer, DnsServer, NO_DATA, NX_DOMAIN, txt},
    key_authorization, now, settings,
};

async fn attempted(dns: &DnsServer, kind: ChallengeKind, name: &str) -> Result<Evidence, Failure> {
    attempt(&Validator::new(settings(dns)).unwrap(), kind, name).await
}

/// A server with these TXT records at one name.
async fn with(at: &'static str, values: Vec<String>) -> DnsServer {
    DnsServer::start(move |asked| match asked.name == at {
        true => Answer::Data(values.iter().map(|value| txt(&[value])).collect()),
        false => NO_DATA,
    })
    .await
}

const ACCOUNT_OWNER: &str = "_ujmmovf2vn55tgye._acme-challenge.a.test";
const PERSIST_OWNER: &str = "_validation-persist.a.test";
/// Of all records of the test server.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn the_record_of_an_account_is_under_its_own_label() {
    let kind = ChallengeKind::DnsAccount01;
    let dns = with(ACCOUNT_OWNER, vec![key_authorization().dns_01_record()]).await;
    for name in ["a.test", "*.a.test"] {
        assert_eq!(attempted(&dns, kind, name).await.unwrap().target, ACCOUNT_OWNER);
    }
    assert!(dns.asked().iter().all(|asked| asked.name == ACCOUNT_OWNER), "{:?}", dns.asked());
    let dns = with("_acme-challenge.a.test", vec![key_authorization().dns_01_record()]).await;
    assert_failure(attempted(&dns, kind, "a.test").await, ProblemKind::IncorrectResponse, true, ACCOUNT_OWNER);
    let dns = with(ACCOUNT_OWNER, vec!["other".to_owned()]).await;
    assert_failure(attempted(&dns, kind, "a.test").await, ProblemKind::IncorrectResponse, true, "is 'other'; expected");
    let dns = DnsServer::start(|_| Answer::Code(ResponseCode::ServFail)).await;
    assert_failure(attempted(&dns, kind, "a.test").await, ProblemKind::Dns, true, "SERVFAIL");
}

#[tokio::test]
async fn a_record_that_stays_names_issuer_and_account() {
    let kind = ChallengeKind::DnsPersist01;
    let good = format!("ca.example.net; accounturi={ACCOUNT_URL}");
    let dns = with(PERSIST_OWNER, vec!["unrelated words".to_owned(), good.clone()]).await;
    let evidence = attempted(&dns, kind, "a.test").await.unwrap();
    assert_eq!(evidence.target, PERSIST_OWNER);
    assert_eq!(evidence.reusable_until, Some(now().plus(TIME_TO_LIVE)), "no longer than the record");
    let until = now().plus(TIME_TO_LIVE / 2);
    let dns_until = with(PERSIST_OWNER, vec![format!("{good}; persistUntil={}", until.unix_secs())]).await;
    assert_eq!(attempted(&dns_until, kind, "a.test").await.unwrap().reusable_until, Some(until));
    let wildcard = attempted(&dns, kind, "*.a.test").await;
    assert_failure(wildcard, ProblemKind::Unauthorized, true, "it lacks policy=wildcard; expected ca.example.net; acc");
    let dns = with(PERSIST_OWNER, vec![format!("{good}; policy=wildcard")]).await;
    assert!(attempted(&dns, kind, "*.a.test").await.is_ok());
}

#[tokio::test]
async fn what_is_wrong_with_a_record_that_stays_is_told_by_kind() {
    let kind = ChallengeKind::DnsPersist01;
    let table = [
        (format!("ca.example.net; accounturi={ACCOUNT_URL}0"), ProblemKind::Unauthorized, "another accounturi"),
        (format!("ca.test; accounturi={ACCOUNT_URL}"), ProblemKind::Unauthorized, "another issuer"),
        (
            format!("ca.example.net; accounturi={ACCOUNT_URL}; persistUntil=1799999999"),
            ProblemKind::Unauthorized,
            "persistUntil has passed",
        ),
        ("ca.example.net".to_owned(), ProblemKind::Malformed, "not well-formed"),
        ("some other words".to_owned(), ProblemKind::Malformed, "not well-formed"),
    ];
    for (value, problem, words) in table {
        let dns = with(PERSIST_OWNER, vec![value]).await;
        assert_failure(attempted(&dns, kind, "a.test").await, problem, true, words);
    }
    let none = DnsServer::start(|_| NX_DOMAIN).await;
    let words = format!("no TXT record found at {PERSIST_OWNER}; expected ca.example.net; accounturi={ACCOUNT_URL}");
    assert_failure(attempted(&none, kind, "a.test").await, ProblemKind::Unauthorized, true, &words);
    let failing = DnsServer::start(|_| Answer::Code(ResponseCode::ServFail)).await;
    assert_failure(attempted(&failing, kind, "a.test").await, ProblemKind::Dns, true, "SERVFAIL");
}
