//! CAA records in real answers: where they are looked for, and what no answer means (RFC 8659 §3).

use acme::{
    caa::{CaaEvidence, CaaResult, Issuance},
    challenge::ChallengeKind,
    identifier::Identifier,
    problem::ProblemKind,
};
use hickory_resolver::proto::{op::ResponseCode, rr::RecordType};
use validation::{Failure, Settings, Validator};

use crate::{
    dns_server::{Answer, Asked, DnsServer, NO_DATA, NX_DOMAIN, caa, cname},
    now, settings,
};

const US: &str = "ca.example.net";

async fn look(dns: &DnsServer, identifier: &str) -> Result<Option<CaaEvidence>, Failure> {
    look_within(settings(dns), identifier).await
}

async fn look_within(settings: Settings, identifier: &str) -> Result<Option<CaaEvidence>, Failure> {
    let identifier = Identifier::parse_ip(identifier).or_else(|_| Identifier::parse_dns(identifier)).unwrap();
    let issuance = Issuance {
        identities: &[US.to_owned()],
        account_url: "https://acme.test/acct/1",
        method: Some(ChallengeKind::Dns01),
        is_wildcard: identifier.is_wildcard(),
    };
    let result = Validator::new(settings).unwrap().check_caa(&identifier, &issuance, now()).await;
    if let Err(failure) = &result {
        assert_eq!(failure.problem.kind, ProblemKind::Caa);
        assert!(!failure.problem.detail.contains(['"', '\n']), "{}", failure.problem.detail);
    }
    result
}

/// What was found, if it permits.
async fn permitted(dns: &DnsServer, identifier: &str) -> Option<CaaResult> {
    let evidence = look(dns, identifier).await.unwrap()?;
    assert_eq!((evidence.checked_at, evidence.identities.as_slice()), (now(), [US.to_owned()].as_slice()));
    Some(evidence.result)
}

/// The domains at which CAA was asked for, in order.
fn asked(dns: &DnsServer) -> Vec<String> {
    dns.asked().into_iter().filter(|asked| asked.kind == RecordType::CAA).map(|asked| asked.name).collect()
}

fn by(domain: &str, issuewild: bool) -> Option<CaaResult> {
    Some(CaaResult::Permitted { domain: domain.to_owned(), issuewild })
}

/// A server with one record at one name.
async fn with(at: &'static str, tag: &'static str, value: &'static str) -> DnsServer {
    DnsServer::start(move |asked| if asked.name == at { Answer::Data(vec![caa(0, tag, value)]) } else { NO_DATA }).await
}

#[tokio::test]
async fn names_are_climbed_to_the_first_set_of_records_and_no_further() {
    let dns = with("b.test", "issue", US).await;
    assert_eq!(permitted(&dns, "x.a.b.test").await, by("b.test", false));
    assert_eq!(asked(&dns), ["x.a.b.test", "a.b.test", "b.test"]);
}

#[tokio::test]
async fn without_records_up_to_the_top_anybody_may_issue_and_the_root_is_not_asked() {
    let dns = DnsServer::start(|_| NX_DOMAIN).await;
    assert_eq!(permitted(&dns, "a.b.test").await, Some(CaaResult::NoRecords));
    assert_eq!(asked(&dns), ["a.b.test", "b.test", "test"]);
}

#[tokio::test]
async fn a_set_that_is_nearer_hides_those_above_it() {
    let records = |asked: &Asked| match asked.name.as_str() {
        "a.b.test" => Answer::Data(vec![caa(0, "iodef", "mailto:a@b.test")]),
        "b.test" => Answer::Data(vec![caa(0, "issue", ";")]),
        _ => NO_DATA,
    };
    let dns = DnsServer::start(records).await;
    assert_eq!(permitted(&dns, "a.b.test").await, by("a.b.test", false), "it restricts nothing");
    assert!(look(&dns, "c.b.test").await.is_err());
}

#[tokio::test]
async fn a_wildcard_is_governed_by_its_base_name_and_issuewild() {
    let records = |asked: &Asked| match asked.name.as_str() {
        "a.test" => Answer::Data(vec![caa(0, "issue", US), caa(0, "issuewild", ";")]),
        "b.test" => Answer::Data(vec![caa(0, "issue", ";"), caa(0, "issuewild", US)]),
        _ => NO_DATA,
    };
    let dns = DnsServer::start(records).await;
    assert_eq!(permitted(&dns, "a.test").await, by("a.test", false));
    let refused = look(&dns, "*.a.test").await.unwrap_err();
    assert!(refused.problem.detail.contains("for *.a.test: no issuewild property names"), "{:?}", refused.problem);
    assert!(refused.problem.detail.contains("('0 issuewild ;' and 1 more)"), "{:?}", refused.problem);
    assert_eq!(permitted(&dns, "*.b.test").await, by("b.test", true));
    assert!(asked(&dns).iter().all(|name| !name.starts_with('*')), "{:?}", asked(&dns));
}

#[tokio::test]
async fn an_alias_is_followed_and_never_climbed_from() {
    let dns = DnsServer::start(|asked| match asked.name.as_str() {
        "a.b.test" => Answer::Records(vec![
            ("a.b.test", cname("host.cdn.test")),
            ("host.cdn.test", caa(0, "issue", "ca.example.net")),
        ]),
        "c.b.test" => Answer::Records(vec![("c.b.test", cname("empty.cdn.test"))]),
        "cdn.test" => Answer::Data(vec![caa(0, "issue", ";")]),
        "b.test" => Answer::Data(vec![caa(0, "issue", "ca.example.net")]),
        _ => NO_DATA,
    })
    .await;
    assert_eq!(permitted(&dns, "a.b.test").await, by("a.b.test", false));
    assert_eq!(permitted(&dns, "c.b.test").await, by("b.test", false), "the parent of the name, not of its target");
    assert!(!asked(&dns).contains(&"cdn.test".to_owned()));
}

#[tokio::test]
async fn every_reason_to_forbid_is_said_with_the_domain_whose_records_they_are() {
    let table = [
        ("issue", ";", "no issue property names this certificate authority; add one for ca.example.net"),
        ("issue", "other.test", "no issue property names this certificate authority"),
        ("issue", "ca.example.net; accounturi=https://acme.test/acct/2", "another accounturi"),
        ("issue", "ca.example.net; validationmethods=http-01", "does not list dns-01 in validationmethods"),
        ("issue", "ca.example.net; ;", "malformed"),
    ];
    for (tag, value, words) in table {
        let refused = look(&with("b.test", tag, value).await, "a.b.test").await.unwrap_err();
        let detail = &refused.problem.detail;
        let seen = format!("the CAA records of b.test ('0 {tag} {value}') do not permit a certificate for a.b.test: ");
        assert!(detail.starts_with(&seen), "{detail}");
        assert!(detail.contains(words), "{detail}");
        assert!(!refused.retry, "somebody has to change a record");
    }
    let critical = DnsServer::start(|_| Answer::Data(vec![caa(128, "tbs", "x"), caa(0, "issue", US)])).await;
    let refused = look(&critical, "a.test").await.unwrap_err();
    assert!(refused.problem.detail.contains("a critical property has the unknown tag 'tbs'"), "{:?}", refused.problem);
    assert!(refused.problem.detail.contains("('128 tbs x' and 1 more)"), "{:?}", refused.problem);
}

#[tokio::test]
async fn no_answer_at_any_step_is_a_refusal_that_time_may_cure() {
    for failing in ["a.b.test", "b.test", "test"] {
        for code in [ResponseCode::ServFail, ResponseCode::Refused] {
            let dns =
                DnsServer::start(move |asked| if asked.name == failing { Answer::Code(code) } else { NO_DATA }).await;
            let refused = look(&dns, "a.b.test").await.unwrap_err();
            assert!(refused.retry, "{failing} {code}");
            let detail = &refused.problem.detail;
            assert!(detail.starts_with(&format!("looking up CAA at {failing} for a.b.test: ")), "{detail}");
        }
    }
    let silent = DnsServer::start(|_| Answer::Silence).await;
    let quick = Settings { dns_timeout: std::time::Duration::from_millis(200), ..settings(&silent) };
    assert!(look_within(quick, "test").await.unwrap_err().problem.detail.contains("timed out"));
}

#[tokio::test]
async fn a_set_too_large_to_be_judged_as_a_whole_is_a_refusal() {
    let many = |count: usize| vec![caa(0, "issue", US); count];
    let dns =
        DnsServer::start(move |asked| Answer::Data(if asked.name == "small.test" { many(100) } else { many(101) }))
            .await;
    assert!(look(&dns, "small.test").await.is_ok());
    let refused = look(&dns, "large.test").await.unwrap_err();
    assert!(refused.problem.detail.contains("more than 100 records"), "{:?}", refused.problem);
}

#[tokio::test]
async fn addresses_have_no_records() {
    let dns = DnsServer::start(|_| NX_DOMAIN).await;
    assert_eq!(permitted(&dns, "192.0.2.7").await, None);
    assert_eq!(dns.asked().len(), 0);
}
