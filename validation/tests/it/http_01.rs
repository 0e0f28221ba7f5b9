//! http-01: what is asked, what is accepted, what is refused and how that is said.

use acme::{challenge::ChallengeKind, problem::ProblemKind};
use hickory_resolver::proto::{op::ResponseCode, rr::RecordType};
use validation::{Settings, Validator};

use crate::{
    SENTINEL, assert_failure, attempt,
    dns_server::{Answer, DnsServer, NX_DOMAIN, a},
    http_01, key_authorization, now, settings, token,
    web_server::{Reply, WebServer, closed_port, proof, reply},
};

#[tokio::test]
async fn the_request_is_the_one_of_the_rfc_and_nothing_more() {
    let (dns, web) = (DnsServer::all_names_at("127.0.0.1").await, WebServer::with_proof().await);
    let evidence = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "www.a.test").await.unwrap();
    assert_eq!(evidence.perspective, "local");
    assert_eq!(evidence.source, "127.0.0.1");
    assert_eq!(evidence.target, web.address.to_string());
    assert_eq!(evidence.at, now());
    let [head] = web.heads().try_into().unwrap();
    let mut lines: Vec<String> = head.trim_end().split("\r\n").map(ToOwned::to_owned).collect();
    let request = lines.remove(0);
    assert_eq!(request, format!("GET /.well-known/acme-challenge/{} HTTP/1.1", token().as_str()));
    lines.sort();
    assert_eq!(
        lines,
        [
            "accept: */*",
            "connection: close",
            "host: www.a.test",
            "user-agent: acme-gateway-test (+https://pki.test/contact)",
        ]
    );
}

#[tokio::test]
async fn every_framing_and_content_type_of_a_right_body_is_accepted() {
    let key = key_authorization().as_str().to_owned();
    let (first, second) = key.split_at(20);
    let (length, rest) = (first.len(), second.len());
    let table = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 87\r\n\r\n{key}"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 91\r\nContent-Type: text/html\r\n\r\n{key} \t\r\n"),
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n{key}\n"),
        format!("HTTP/1.0 200 OK\r\n\r\n{key}"),
        format!("HTTP/1.1 200\r\nContent-Encoding: identity\r\nConnection: close\r\n\r\n{key}"),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{first}\r\n{rest:x}\r\n{second}\r\n0\r\n\r\n"
        ),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n{key}{}", " ".repeat(169)),
    ];
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    for octets in table {
        let web = WebServer::start("127.0.0.1:0", {
            let octets = octets.clone();
            move |_| Reply::Octets(octets.clone().into_bytes())
        })
        .await;
        let result = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await;
        assert!(result.is_ok(), "{octets:?}: {result:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_exactly_the_key_authorization_is_refused_and_not_shown() {
    let key = key_authorization().as_str().to_owned();
    let table = [
        String::new(),
        SENTINEL.to_owned(),
        format!(" {key}"),
        format!("\n{key}"),
        format!("\u{feff}{key}"),
        key.to_uppercase(),
        key.replace('.', ". "),
        format!("{key}\0"),
        format!("{key}{SENTINEL}"),
        token().as_str().to_owned(),
    ];
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    for body in table {
        let web = WebServer::start("127.0.0.1:0", {
            let body = body.clone();
            move |_| reply(200, "", &body)
        })
        .await;
        let result = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await;
        let said = format!("{} answered 200 with something else; expected {key}", web.address);
        assert_failure(result, ProblemKind::IncorrectResponse, false, &said);
    }
}

#[tokio::test]
async fn only_status_200_is_taken_and_others_are_named_with_url_and_address() {
    let table = [
        (201, false),
        (204, false),
        (206, false),
        (300, false),
        (303, false),
        (304, false),
        (400, false),
        (401, false),
        (403, false),
        (404, true),
        (410, false),
        (429, true),
        (500, true),
        (503, true),
    ];
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    for (status, retry) in table {
        let web = WebServer::start("127.0.0.1:0", move |_| {
            let body =
                if matches!(status, 204 | 304) { String::new() } else { key_authorization().as_str().to_owned() };
            reply(status, &format!("X-Note: {SENTINEL}\r\nLocation: /{SENTINEL}\r\n"), &body)
        })
        .await;
        let result = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await;
        let said = format!(
            "http://a.test/.well-known/acme-challenge/{}: {} answered {status}; expected 200",
            token().as_str(),
            web.address
        );
        assert_failure(result, ProblemKind::IncorrectResponse, retry, &said);
    }
}

#[tokio::test]
async fn addresses_are_proven_without_any_lookup() {
    let dns = DnsServer::start(|_| NX_DOMAIN).await;
    for (address, host) in [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")] {
        let web = WebServer::start(&format!("{host}:0"), |_| proof()).await;
        let evidence = http_01(Settings { http_port: web.port(), ..settings(&dns) }, address).await.unwrap();
        assert_eq!((evidence.target, evidence.source), (web.address.to_string(), address.to_owned()));
        assert!(web.heads()[0].contains(&format!("host: {host}\r\n")), "{}", web.heads()[0]);
    }
    assert_eq!(dns.asked().len(), 0);
}

#[tokio::test]
async fn a_name_without_addresses_is_a_dns_problem_that_time_may_cure() {
    let dns = DnsServer::start(|asked| match asked.name.as_str() {
        "gone.test" => NX_DOMAIN,
        "broken.test" => Answer::Code(ResponseCode::ServFail),
        "refused.test" => Answer::Code(ResponseCode::Refused),
        "half.test" if asked.kind == RecordType::A => NX_DOMAIN,
        "half.test" => Answer::Code(ResponseCode::ServFail),
        _ => Answer::Data(vec![]),
    })
    .await;
    let table = [
        ("gone.test", "no A or AAAA record found at gone.test"),
        ("empty.test", "no A or AAAA record found at empty.test"),
        ("broken.test", "looking up the name: the resolver answered SERVFAIL"),
        ("refused.test", "looking up the name: the resolver answered REFUSED"),
        ("half.test", "looking up the name: the resolver answered SERVFAIL"),
    ];
    for (name, said) in table {
        assert_failure(http_01(settings(&dns), name).await, ProblemKind::Dns, true, said);
    }
}

#[tokio::test]
async fn one_family_suffices_when_the_other_cannot_be_looked_up() {
    let dns = DnsServer::start(|asked| match asked.kind == RecordType::A {
        true => Answer::Data(vec![a("127.0.0.1")]),
        false => Answer::Code(ResponseCode::ServFail),
    })
    .await;
    let web = WebServer::with_proof().await;
    assert!(http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await.is_ok());
}

#[tokio::test]
async fn a_closed_port_is_a_connection_problem_that_time_may_cure() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let (closed, _sockets) = closed_port();
    let result = http_01(Settings { http_port: closed, ..settings(&dns) }, "a.test").await;
    assert_failure(result, ProblemKind::Connection, true, &format!("127.0.0.1:{closed} refused the connection"));
}

#[tokio::test]
async fn a_wildcard_is_not_proven_by_http_nor_an_address_by_dns() {
    let dns = DnsServer::start(|_| NX_DOMAIN).await;
    let validator = Validator::new(settings(&dns)).unwrap();
    let wildcard = attempt(&validator, ChallengeKind::Http01, "*.a.test").await;
    assert_failure(wildcard, ProblemKind::ServerInternal, false, "http-01 cannot prove control of *.a.test");
    let address = attempt(&validator, ChallengeKind::Dns01, "127.0.0.1").await;
    assert_failure(address, ProblemKind::ServerInternal, false, "dns-01 cannot prove control of 127.0.0.1");
    assert_eq!(dns.asked().len(), 0);
}
