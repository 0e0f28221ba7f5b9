//! http-01: which redirects are followed and how far.

use acme::problem::ProblemKind;
use validation::Settings;

use crate::{
    assert_failure,
    dns_server::DnsServer,
    http_01, settings,
    web_server::{Reply, WebServer, proof, redirect_to, reply},
};

/// The number at the end of the request's path, 0 if there is none.
fn step(head: &str) -> usize {
    head.split(' ').nth(1).unwrap().strip_prefix("/step/").map_or(0, |number| number.parse().unwrap())
}

#[tokio::test]
async fn a_chain_over_names_and_schemes_is_followed_to_any_certificate() {
    let dns = DnsServer::names_at(&[("a.test", "127.0.0.1"), ("b.test", "127.0.0.2"), ("c.test", "127.0.0.3")]).await;
    let first = WebServer::start("127.0.0.1:0", |_| redirect_to("http://b.test/one?x=1#fragment")).await;
    let second = WebServer::start(&format!("127.0.0.2:{}", first.port()), |head| match step(head) {
        0 => reply(307, "Location: /step/1\r\n", ""),
        _ => reply(308, "Location: https://c.test/two\r\n", ""),
    })
    .await;
    let third = WebServer::start_tls("127.0.0.3:0", |_| proof()).await;
    let ports = Settings { http_port: first.port(), https_port: third.port(), ..settings(&dns) };
    let evidence = http_01(ports, "a.test").await.unwrap();
    assert_eq!(evidence.target, third.address.to_string(), "where the proof was seen");
    assert_eq!(third.server_names(), [Some("c.test".to_owned())]);
    let heads = second.heads();
    assert!(heads[0].starts_with("GET /one?x=1 HTTP/1.1\r\n") && heads[0].contains("host: b.test\r\n"), "{heads:?}");
    let last = third.heads().remove(0);
    assert!(last.starts_with("GET /two HTTP/1.1\r\n") && last.contains("host: c.test\r\n"), "{last}");
    for head in heads.iter().chain([&last]) {
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("referer") && !head.contains("cookie") && !head.contains("authorization"), "{head}");
    }
}

#[tokio::test]
async fn an_address_may_redirect_to_a_name_and_not_to_another_address() {
    let dns = DnsServer::names_at(&[("b.test", "127.0.0.2")]).await;
    let first = WebServer::start("127.0.0.1:0", |_| redirect_to("http://b.test/one")).await;
    let second = WebServer::start(&format!("127.0.0.2:{}", first.port()), |_| proof()).await;
    let evidence = http_01(Settings { http_port: first.port(), ..settings(&dns) }, "127.0.0.1").await.unwrap();
    assert_eq!(evidence.target, second.address.to_string(), "where the proof was seen");
    for location in ["http://127.0.0.2/", "https://127.0.0.2/", "http://[::1]/"] {
        let web = WebServer::start("127.0.0.1:0", move |_| redirect_to(location)).await;
        let result = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "127.0.0.1").await;
        assert_failure(result, ProblemKind::Connection, false, "redirect to a name instead");
        assert_eq!(web.accepted(), 1, "{location}");
    }
}

#[tokio::test]
async fn an_address_may_redirect_to_itself_over_both_schemes() {
    let dns = DnsServer::names_at(&[]).await;
    for address in ["127.0.0.1", "[::1]"] {
        let https = WebServer::start_tls(&format!("{address}:0"), |_| proof()).await;
        let location = format!("https://{address}/two");
        let http = WebServer::start(&format!("{address}:0"), move |head| match step(head) {
            0 => redirect_to("/step/1"),
            _ => redirect_to(&location),
        })
        .await;
        let ports = Settings { http_port: http.port(), https_port: https.port(), ..settings(&dns) };
        let evidence = http_01(ports, address.trim_matches(['[', ']'])).await.unwrap();
        assert_eq!(evidence.target, https.address.to_string(), "where the proof was seen");
        assert_eq!((http.accepted(), https.server_names()), (2, vec![None]), "an address is no server name");
        let last = https.heads().remove(0);
        assert!(last.starts_with("GET /two HTTP/1.1\r\n"), "{last}");
        assert!(last.contains(&format!("host: {address}\r\n")), "{last}");
    }
}

#[tokio::test]
async fn the_four_statuses_are_followed_and_303_is_not() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    for status in [301, 302, 307, 308] {
        let web = WebServer::start("127.0.0.1:0", move |head| match step(head) {
            0 => reply(status, "Location: /step/1\r\n", ""),
            _ => proof(),
        })
        .await;
        assert!(http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await.is_ok(), "{status}");
    }
    let web = WebServer::start("127.0.0.1:0", |_| reply(303, "Location: /step/1\r\n", "")).await;
    let result = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await;
    assert_failure(result, ProblemKind::IncorrectResponse, false, "answered 303");
    assert_eq!(web.accepted(), 1);
}

#[tokio::test]
async fn ten_redirects_are_followed_and_eleven_are_not() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    for (redirects, followed) in [(10, true), (11, false)] {
        let web = WebServer::start("127.0.0.1:0", move |head| match step(head) {
            last if last == redirects => proof(),
            step => redirect_to(&format!("/step/{}", step + 1)),
        })
        .await;
        let result = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await;
        assert_eq!(web.accepted(), 11);
        if followed {
            assert!(result.is_ok(), "{result:?}");
        } else {
            assert_failure(result, ProblemKind::Connection, false, "at most 10 are followed");
        }
    }
}

#[tokio::test]
async fn loops_end_at_once() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    for (locations, requests) in
        [(["", ""], 1), (["/step/1", "/step/1#x"], 2), (["/step/1", "http://A.test/step/1"], 2)]
    {
        let web = WebServer::start("127.0.0.1:0", move |head| redirect_to(locations[step(head).min(1)])).await;
        let result = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await;
        assert_failure(result, ProblemKind::Connection, false, "redirects in a loop");
        assert_eq!(web.accepted(), requests, "{locations:?}");
    }
}

#[tokio::test]
async fn redirects_are_refused_with_the_rule_they_break() {
    let long = format!("Location: /{}\r\n", "a".repeat(2000));
    let table: [(&str, &str); 8] = [
        ("", "answered 302: the redirect has no Location header"),
        (&long, "answered 302: the Location of the redirect is longer than 2000 characters"),
        ("Location: ftp://a.test/\r\n", "leads to a scheme other than http and https"),
        ("Location: http://a.test:8080/\r\n", "leads to port 8080; only"),
        ("Location: http://[::1]/\r\n", "leads to an IP address; redirect to a name instead"),
        ("Location: http://SENTINEL-do-not-repeat:x@a.test/\r\n", "carries a user name or a password"),
        ("Location: http://a.test/\u{e9}\r\n", "not printable ASCII"),
        (
            "Location: https://www.a.test.well-known/acme-challenge/SENTINEL-do-not-repeat\r\n",
            "leads to the host www.a.test.well-known: the redirect rule lacks a slash after its host name",
        ),
    ];
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    for (header, said) in table {
        let octets = format!("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n{header}\r\n");
        let web = WebServer::start("127.0.0.1:0", move |_| Reply::Octets(octets.clone().into_bytes())).await;
        let result = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await;
        assert_failure(result, ProblemKind::Connection, false, said);
        assert_eq!(web.accepted(), 1, "{said}");
    }
}

#[tokio::test]
async fn the_path_of_a_redirect_is_not_repeated_to_the_client() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let web = WebServer::start("127.0.0.1:0", |head| match head.contains("SENTINEL") {
        false => redirect_to("http://b.test/SENTINEL-do-not-repeat?key=SENTINEL-do-not-repeat"),
        true => reply(404, "", ""),
    })
    .await;
    let result = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await;
    let said = format!("http://b.test (redirect 1): {} answered 404", web.address);
    assert_failure(result, ProblemKind::IncorrectResponse, true, &said);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_behind_https_is_a_tls_problem() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let web = WebServer::start("127.0.0.1:0", |_| redirect_to("https://a.test/")).await;
    let plain = WebServer::start("127.0.0.1:0", |_| proof()).await;
    let ports = Settings { http_port: web.port(), https_port: plain.port(), ..settings(&dns) };
    assert_failure(http_01(ports, "a.test").await, ProblemKind::Tls, false, "the TLS handshake with");
}
