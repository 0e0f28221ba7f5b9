//! dns-01: which records prove control, and the difference between no record and no answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use acme::{challenge::ChallengeKind, problem::ProblemKind};
use hickory_resolver::proto::{
    op::ResponseCode,
    rr::{RData, RecordType},
};
use tokio::time::Instant;
use validation::{Settings, Validator};

use crate::{
    assert_failure, attempt, dns_01,
    dns_server::{Answer, DnsServer, NO_DATA, NX_DOMAIN, cname, txt},
    key_authorization, now, settings,
    web_server::closed_port,
};

const OWNER: &str = "_acme-challenge.a.test";

fn proof() -> RData {
    txt(&[&key_authorization().dns_01_record()])
}

/// A server that has these records at the name of the proof, and nothing else.
async fn with_records(records: Vec<RData>) -> DnsServer {
    DnsServer::start(move |asked| match asked.name == OWNER && asked.kind == RecordType::TXT {
        true => Answer::Data(records.clone()),
        false => NX_DOMAIN,
    })
    .await
}

#[tokio::test]
async fn the_record_is_looked_for_at_the_base_name() {
    let dns = with_records(vec![proof()]).await;
    for identifier in ["a.test", "*.a.test"] {
        let evidence = dns_01(settings(&dns), identifier).await.unwrap();
        assert_eq!((evidence.perspective.as_str(), evidence.target.as_str()), ("local", OWNER));
        assert_eq!((evidence.source.as_str(), evidence.at), ("127.0.0.1", now()));
    }
    let below = dns_01(settings(&dns), "b.a.test").await;
    assert_failure(below, ProblemKind::IncorrectResponse, true, "at _acme-challenge.b.a.test");
}

#[tokio::test]
async fn any_one_of_several_records_suffices() {
    let dns = with_records(vec![txt(&["somebody else's"]), proof(), txt(&[""])]).await;
    assert!(dns_01(settings(&dns), "a.test").await.is_ok());
}

#[tokio::test]
async fn the_strings_of_a_record_are_joined_without_separator() {
    let value = key_authorization().dns_01_record();
    let (first, second) = value.split_at(11);
    let dns = with_records(vec![txt(&[first, "", second])]).await;
    assert!(dns_01(settings(&dns), "a.test").await.is_ok());
    let dns = with_records(vec![txt(&[first]), txt(&[second])]).await;
    let result = dns_01(settings(&dns), "a.test").await;
    assert_failure(result, ProblemKind::IncorrectResponse, true, "(and 1 more)");
}

#[tokio::test]
async fn values_are_compared_octet_by_octet() {
    let value = key_authorization().dns_01_record();
    let table =
        [format!("{value} "), format!(" {value}"), format!("{value}="), value.to_uppercase(), format!("'{value}'")];
    for wrong in table {
        let dns = with_records(vec![txt(&[&wrong])]).await;
        let result = dns_01(settings(&dns), "a.test").await;
        let said = format!("TXT record at {OWNER} is '{wrong}'; expected {value}");
        assert_failure(result, ProblemKind::IncorrectResponse, true, &said);
    }
}

#[tokio::test]
async fn one_value_that_was_found_is_shown_harmless() {
    let dns = with_records(vec![txt(&["a\"b\u{1b}[31m\u{fc}"]); 1]).await;
    let result = dns_01(settings(&dns), "a.test").await;
    assert_failure(result, ProblemKind::IncorrectResponse, true, &format!("TXT record at {OWNER} is 'a?b?[31m?'; "));
}

#[tokio::test]
async fn records_beyond_the_limit_are_not_looked_at() {
    let mut records: Vec<RData> = (0..3).map(|number| txt(&[&format!("record {number}")])).collect();
    records.push(proof());
    let dns = with_records(records).await;
    let limited = |txt_records_max| Settings { txt_records_max, ..settings(&dns) };
    assert_failure(dns_01(limited(3), "a.test").await, ProblemKind::IncorrectResponse, true, "(and 3 more)");
    assert!(dns_01(limited(4), "a.test").await.is_ok());
}

#[tokio::test]
async fn aliases_are_followed_within_one_answer_and_across_answers() {
    let dns = DnsServer::start(|asked| match asked.name.as_str() {
        OWNER => Answer::Records(vec![(OWNER, cname("x.b.test")), ("x.b.test", proof())]),
        "_acme-challenge.c.test" => Answer::Data(vec![cname("x.d.test")]),
        "x.d.test" => Answer::Data(vec![proof()]),
        "_acme-challenge.e.test" => Answer::Data(vec![cname("nothing.test")]),
        _ => NX_DOMAIN,
    })
    .await;
    assert_eq!(dns_01(settings(&dns), "a.test").await.unwrap().target, OWNER);
    assert!(dns_01(settings(&dns), "c.test").await.is_ok());
    let said = "no TXT record found at _acme-challenge.e.test, which is an alias of nothing.test; expected ";
    assert_failure(dns_01(settings(&dns), "e.test").await, ProblemKind::IncorrectResponse, true, said);
}

#[tokio::test]
async fn aliases_in_a_loop_end() {
    let dns = DnsServer::start(|asked| match asked.name.as_str() {
        OWNER => Answer::Data(vec![cname("b.test")]),
        _ => Answer::Data(vec![cname(OWNER)]),
    })
    .await;
    let failure = dns_01(settings(&dns), "a.test").await.unwrap_err();
    assert!(failure.problem.detail.contains("TXT"), "{}", failure.problem.detail);
    assert!(dns.asked().len() <= 16, "{} questions", dns.asked().len());
}

#[tokio::test]
async fn a_record_of_another_name_in_the_answer_proves_nothing() {
    let dns = DnsServer::start(|_| Answer::Records(vec![("_acme-challenge.evil.test", proof())])).await;
    let failure = dns_01(settings(&dns), "a.test").await.unwrap_err();
    assert_eq!(failure.problem.kind, ProblemKind::IncorrectResponse, "{}", failure.problem.detail);
}

#[tokio::test]
async fn no_record_is_not_the_same_as_no_answer() {
    let table = [
        (NX_DOMAIN, ProblemKind::IncorrectResponse, "no TXT record found at"),
        (NO_DATA, ProblemKind::IncorrectResponse, "no TXT record found at"),
        (Answer::Data(vec![]), ProblemKind::IncorrectResponse, "no TXT record found at"),
        (Answer::Code(ResponseCode::ServFail), ProblemKind::Dns, "the resolver answered SERVFAIL"),
        (Answer::Code(ResponseCode::Refused), ProblemKind::Dns, "the resolver answered REFUSED"),
        (Answer::Code(ResponseCode::NotImp), ProblemKind::Dns, "response code 4"),
        (Answer::Referral, ProblemKind::Dns, "a referral"),
        (Answer::Silence, ProblemKind::Dns, "the DNS query timed out"),
    ];
    for (answer, kind, said) in table {
        let is_silent = matches!(answer, Answer::Silence);
        let dns = DnsServer::start(move |_| match &answer {
            Answer::Code(code) => Answer::Code(*code),
            Answer::Referral => Answer::Referral,
            Answer::Silence => Answer::Silence,
            Answer::Data(_) | Answer::Records(_) | Answer::WrongCase(_) | Answer::Truncated => Answer::Data(vec![]),
        })
        .await;
        // Only silence has to time out.
        let dns_timeout = if is_silent { Duration::from_millis(200) } else { Duration::from_secs(20) };
        let attempt_timeout = Duration::from_secs(60);
        let started = Instant::now();
        let settings = Settings { dns_timeout, attempt_timeout, ..settings(&dns) };
        assert_failure(dns_01(settings, "a.test").await, kind, true, said);
        assert!(started.elapsed() < Duration::from_secs(50), "{said}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_resolver_that_is_down_is_a_dns_problem() {
    let dns = with_records(vec![]).await;
    let (closed, _sockets) = closed_port();
    let resolvers = vec![SocketAddr::from(([127, 0, 0, 1], closed))];
    let hurried = Settings { resolvers, dns_timeout: Duration::from_secs(2), ..settings(&dns) };
    let result = dns_01(hurried, "a.test").await;
    assert_failure(result, ProblemKind::Dns, true, &format!("looking up TXT at {OWNER}: "));
}

#[tokio::test]
async fn tcp_is_asked_after_truncation_after_silence_and_after_a_wrong_case() {
    let over_udp = [|| Answer::Truncated, || Answer::Silence, || Answer::WrongCase(vec![txt(&["spoofed"])])];
    for udp in over_udp {
        let dns = DnsServer::start(move |asked| if asked.tcp { Answer::Data(vec![proof()]) } else { udp() }).await;
        let hurried = Settings { dns_timeout: Duration::from_secs(4), ..settings(&dns) };
        let result = dns_01(hurried, "a.test").await;
        assert!(result.is_ok(), "{result:?}, {:?}", dns.asked());
        assert!(dns.asked().iter().any(|asked| asked.tcp) && dns.asked().iter().any(|asked| !asked.tcp));
    }
}

#[tokio::test]
async fn a_large_set_of_records_arrives_over_tcp() {
    let mut records: Vec<RData> = (0..60).map(|number| txt(&[&format!("{number:0>200}")])).collect();
    records.push(proof());
    let dns = DnsServer::start(move |asked| match asked.tcp {
        true => Answer::Data(records.clone()),
        false => Answer::Truncated,
    })
    .await;
    assert!(dns_01(settings(&dns), "a.test").await.is_ok());
}

#[tokio::test]
async fn names_are_asked_for_in_random_case() {
    let dns = with_records(vec![proof()]).await;
    for _ in 0..4 {
        dns_01(settings(&dns), "a.test").await.unwrap();
    }
    let spellings: std::collections::BTreeSet<String> = dns.asked().into_iter().map(|asked| asked.spelled).collect();
    assert!(spellings.len() > 1, "{spellings:?}");
}

#[tokio::test]
async fn nothing_is_cached() {
    let arrived = Arc::new(AtomicBool::new(false));
    let dns = DnsServer::start({
        let arrived = Arc::clone(&arrived);
        move |_| if arrived.load(Ordering::SeqCst) { Answer::Data(vec![proof()]) } else { NX_DOMAIN }
    })
    .await;
    let validator = Validator::new(settings(&dns)).unwrap();
    assert!(attempt(&validator, ChallengeKind::Dns01, "a.test").await.unwrap_err().retry);
    arrived.store(true, Ordering::SeqCst);
    assert!(attempt(&validator, ChallengeKind::Dns01, "a.test").await.is_ok());
    arrived.store(false, Ordering::SeqCst);
    assert!(attempt(&validator, ChallengeKind::Dns01, "a.test").await.is_err());
}

#[tokio::test]
async fn the_next_resolver_is_asked_when_one_does_not_answer_and_then_preferred() {
    let broken = DnsServer::start(|_| Answer::Code(ResponseCode::ServFail)).await;
    let sound = with_records(vec![proof()]).await;
    let resolvers: Vec<SocketAddr> = vec![broken.address, sound.address];
    let validator = Validator::new(Settings { resolvers, ..settings(&sound) }).unwrap();
    for _ in 0..3 {
        assert!(attempt(&validator, ChallengeKind::Dns01, "a.test").await.is_ok());
    }
    assert_eq!((broken.asked().len(), sound.asked().len()), (1, 3));
}

#[tokio::test]
async fn a_no_from_the_first_resolver_is_taken_for_a_no() {
    let first = DnsServer::start(|_| NX_DOMAIN).await;
    let second = with_records(vec![proof()]).await;
    let resolvers = vec![first.address, second.address];
    let result = dns_01(Settings { resolvers, ..settings(&second) }, "a.test").await;
    assert_failure(result, ProblemKind::IncorrectResponse, true, "no TXT record found at");
    assert_eq!(second.asked().len(), 0);
}

#[tokio::test]
async fn a_name_too_long_for_the_record_is_refused_unasked() {
    let dns = DnsServer::start(|_| NX_DOMAIN).await;
    let label = "a".repeat(59);
    let name = format!("{label}.{label}.{label}.{label}");
    assert_failure(
        dns_01(settings(&dns), &name).await,
        ProblemKind::Malformed,
        false,
        "is too long for a name in the DNS",
    );
    assert_eq!(dns.asked().len(), 0);
}

#[tokio::test]
async fn two_hundred_attempts_at_once_are_all_answered() {
    let dns = DnsServer::start(|asked| if asked.tcp { Answer::Data(vec![proof()]) } else { Answer::Truncated }).await;
    let validator = Validator::new(settings(&dns)).unwrap();
    let mut attempts = tokio::task::JoinSet::new();
    for number in 0..200 {
        let validator = validator.clone();
        attempts.spawn(async move { attempt(&validator, ChallengeKind::Dns01, &format!("n{number}.test")).await });
    }
    for result in attempts.join_all().await {
        assert!(result.is_ok(), "{result:?}");
    }
}

#[tokio::test]
async fn questions_that_hang_do_not_block_the_others() {
    let dns = DnsServer::start(|asked| match (asked.tcp, asked.name.contains("hang")) {
        (false, _) => Answer::Truncated,
        (true, true) => Answer::Silence,
        (true, false) => Answer::Data(vec![proof()]),
    })
    .await;
    let patient =
        Settings { dns_timeout: Duration::from_secs(60), attempt_timeout: Duration::from_secs(60), ..settings(&dns) };
    let validator = Validator::new(patient).unwrap();
    // From here on there is a TCP connection, which all questions share.
    attempt(&validator, ChallengeKind::Dns01, "a.test").await.unwrap();
    let mut hanging = tokio::task::JoinSet::new();
    for number in 0..80 {
        let validator = validator.clone();
        let name = format!("hang{number}.test");
        hanging.spawn(async move { attempt(&validator, ChallengeKind::Dns01, &name).await });
    }
    let hang = async {
        while dns.asked().iter().filter(|asked| asked.tcp).count() < 64 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), hang).await.unwrap();
    let prompt = attempt(&validator, ChallengeKind::Dns01, "a.test");
    assert!(tokio::time::timeout(Duration::from_secs(60), prompt).await.unwrap().is_ok());
}
