//! The wire: TLS, HTTP/1.1 and its limits (RFC 8555 §6.1, RFC 9112), and what surrounds every answer.

use std::{
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use openssl::ssl::SslVersion;
use rustls::{
    ClientConfig, ClientConnection, NamedGroup, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::json;
use tests::{
    client::JOSE,
    http::{Connection, Tls, request},
    response::Response,
};

use crate::world;

/// One response to octets as they are.
fn raw(octets: &[u8]) -> Response {
    let mut connection = world().site().connect();
    connection.send(octets).unwrap();
    connection.receive("POST").unwrap()
}

#[test]
fn header_names_are_written_in_title_case() {
    let client = world().account();
    let response = client.new_order(&["case.example.test"]).expect(201);
    let names: Vec<_> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["Replay-Nonce", "Location", "Link", "Content-Type", "Content-Length", "Cache-Control"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let site = world().site();
    let ca_file = site.pki("acme-ca.pem");
    let speak = |version| {
        let tls = Tls { ca_file: Some(&ca_file), version: Some(version), ..Tls::default() };
        let (mut connection, _) = Connection::tls(site.gateway, "localhost", &tls)?;
        connection.send(request("GET", "/acme/open/directory", "localhost", &[], None))?;
        connection.receive("GET")
    };
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let _ = speak(version).unwrap().expect(200);
    }
    for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
        assert!(speak(version).is_err(), "{version:?}");
    }
}

#[test]
fn keys_are_exchanged_so_that_no_quantum_computer_learns_them_where_the_client_can() {
    let site = world().site();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(site.pki("acme-ca.pem")).unwrap()).unwrap();
    let roots = Arc::new(roots);
    let agreed = |version, offered: &[NamedGroup]| {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups.retain(|group| offered.contains(&group.name()));
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(Arc::clone(&roots))
            .with_no_client_auth();
        let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let mut socket = TcpStream::connect(site.gateway).unwrap();
        while tls.is_handshaking() {
            let _ = tls.complete_io(&mut socket).unwrap();
        }
        tls.negotiated_key_exchange_group().unwrap().name()
    };
    let all = [NamedGroup::secp256r1, NamedGroup::X25519, NamedGroup::X25519MLKEM768];
    assert_eq!(agreed(&rustls::version::TLS13, &all), NamedGroup::X25519MLKEM768);
    assert_eq!(agreed(&rustls::version::TLS13, &all[..2]), NamedGroup::X25519);
    assert_eq!(agreed(&rustls::version::TLS13, &all[..1]), NamedGroup::secp256r1);
    assert_eq!(agreed(&rustls::version::TLS12, &all), NamedGroup::X25519, "TLS 1.2 has no hybrid one");
}

#[test]
fn the_certificate_is_the_one_of_the_settings_and_of_no_other_name_or_authority() {
    let site = world().site();
    let (right, wrong) = (site.pki("acme-ca.pem"), site.pki("root.pem"));
    let connects = |ca_file, host: &str| {
        let tls = Tls { ca_file: Some(ca_file), ..Tls::default() };
        Connection::tls(site.gateway, host, &tls).is_ok()
    };
    assert!(connects(&right, "localhost"));
    assert!(!connects(&right, "elsewhere.test") && !connects(&right, "127.0.0.99"), "another name");
    assert!(!connects(&wrong, "localhost"), "another authority");
}

#[test]
fn http_2_is_not_agreed_on() {
    let site = world().site();
    let ca_file = site.pki("acme-ca.pem");
    let tls = Tls { ca_file: Some(&ca_file), alpn: Some(b"\x02h2\x08http/1.1"), ..Tls::default() };
    let (_, agreed) = Connection::tls(site.gateway, "localhost", &tls).unwrap();
    assert_eq!(agreed.as_deref(), Some("http/1.1"));
}

#[test]
fn clients_are_served_under_an_address_too() {
    let site = world().site();
    let ca_file = site.pki("acme-ca.pem");
    let tls = Tls { ca_file: Some(&ca_file), ..Tls::default() };
    let (mut connection, _) = Connection::tls(site.gateway, "127.0.0.1", &tls).unwrap();
    connection.send(request("GET", "/acme/open/directory", "127.0.0.1", &[], None)).unwrap();
    let directory = connection.receive("GET").unwrap().expect(200).json();
    let url = directory["newOrder"].as_str().unwrap();
    assert!(url.starts_with(&site.external_url), "URLs come from the settings, never from Host: {url}");
}

#[test]
fn plain_http_on_the_same_port_is_not_answered_with_acme() {
    let site = world().site();
    let mut connection = Connection::plain(site.gateway).unwrap();
    connection.send(request("GET", "/acme/open/directory", "localhost", &[], None)).unwrap();
    let rest = connection.receive_rest().unwrap_or_default();
    assert!(!String::from_utf8_lossy(&rest).contains("newNonce"));
}

#[test]
fn methods_that_a_resource_does_not_know_are_refused_with_those_it_knows() {
    let client = world().account();
    let site = client.site();
    let order = client.order(&["method.example.test"]);
    let authorization = order.object["authorizations"][0].as_str().unwrap().to_owned();
    let challenge = client.read(&authorization).json()["challenges"][0]["url"].as_str().unwrap().to_owned();
    let readable = ["directory", "directory/", "", "new-nonce"].map(|resource| client.url(resource));
    let posted = [
        client.url("new-account"),
        client.url("new-order"),
        client.url("revoke-cert"),
        client.url("key-change"),
        client.account_url(),
        format!("{}/orders", client.account_url()),
        order.object["finalize"].as_str().unwrap().to_owned(),
        order.url,
        authorization,
        challenge,
        client.url("cert/x"),
        client.url("cert/x/1"),
    ];
    let readable = readable.iter().map(|url| (url, &["PUT", "DELETE", "PATCH"][..], "GET, HEAD, POST"));
    let posted = posted.iter().map(|url| (url, &["GET", "HEAD", "PUT", "DELETE"][..], "POST"));
    for (url, methods, allowed) in readable.chain(posted) {
        for method in methods {
            let response = site.send(method, url, &[], None);
            assert_eq!(response.status, 405, "{method} {url}: {response:?}");
            assert_eq!(response.all("allow").collect::<Vec<_>>(), [allowed], "{method} {url}");
            if *method != "HEAD" {
                let _ = response.assert_problem(405, "malformed");
            }
        }
    }
}

#[test]
fn every_answer_to_a_post_has_a_nonce_and_leads_back_to_the_directory() {
    let client = world().account();
    let directory = client.url("directory");
    let responses = [
        client.read(&client.account_url()),
        client.read(&client.url("new-nonce")),
        client.new_order(&["links.example.test"]),
        client.new_order(&["bad name"]),
        client.read(&client.url("nothing")),
        client.send_octets(&client.url("new-order"), b"{}", &[]),
        client.send_octets(&client.url("new-order"), &[b'x'; 100_000], &[("Content-Type", JOSE)]),
    ];
    for response in responses {
        assert_eq!(response.all("replay-nonce").count(), 1, "{response:?}");
        assert_eq!(response.link("index"), Some(directory.as_str()), "{response:?}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
    }
}

#[test]
fn bodies_of_another_media_type_are_refused() {
    let client = world().account();
    let url = client.url("new-order");
    let payload = r#"{"identifiers":[{"type":"dns","value":"media.example.test"}]}"#;
    for headers in [vec![], vec![("Content-Type", "application/json")], vec![("Content-Type", "application/jose")]] {
        let jws = client.draft(&url, payload).sign().to_string();
        let _ = client.send_octets(&url, jws.as_bytes(), &headers).assert_refused(415, "malformed");
    }
    for good in ["application/jose+json", "Application/JOSE+JSON", "application/jose+json; charset=utf-8"] {
        let jws = client.draft(&url, payload).sign().to_string();
        let _ = client.send_octets(&url, jws.as_bytes(), &[("Content-Type", good)]).expect(201);
    }
}

#[test]
fn a_request_with_two_media_types_is_malformed_even_if_they_agree() {
    let client = world().account();
    let url = client.url("new-order");
    let payload = r#"{"identifiers":[{"type":"dns","value":"two-types.example.test"}]}"#;
    for (first, second) in [(JOSE, JOSE), (JOSE, "application/json"), ("text/plain", JOSE), (JOSE, "")] {
        let jws = client.draft(&url, payload).sign().to_string();
        let headers = [("Content-Type", first), ("Content-Type", second)];
        let _ = client.send_octets(&url, jws.as_bytes(), &headers).assert_refused(400, "malformed");
    }
    let orders = client.read(&format!("{}/orders", client.account_url())).expect(200).json();
    assert_eq!(orders["orders"], serde_json::json!([]), "a refused request had an effect");
}

#[test]
fn bodies_that_are_too_large_are_refused_whether_announced_or_not() {
    let client = world().account();
    let url = client.url("new-order");
    let large = vec![b' '; 1_048_576];
    let host = client.site().external_url.trim_start_matches("https://").to_owned();
    let path = url.strip_prefix(&client.site().external_url).unwrap().to_owned();
    let announced = request("POST", &path, &host, &[("Content-Type", JOSE), ("Content-Length", "1048576")], None);
    let _ = raw(&announced).assert_refused(413, "malformed");
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {JOSE}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut connection = client.site().connect();
    connection.send(head).unwrap();
    for part in large.chunks(16_384) {
        let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
        // The server may have answered and closed before everything is sent.
        if connection.send(chunk).is_err() {
            break;
        }
    }
    let _ = connection.receive("POST").unwrap().assert_refused(413, "malformed");
}

#[test]
fn chunked_bodies_are_taken() {
    let client = world().account();
    let url = client.url("new-order");
    let payload = r#"{"identifiers":[{"type":"dns","value":"chunked.example.test"}]}"#;
    let jws = client.draft(&url, payload).sign().to_string();
    let host = client.site().external_url.trim_start_matches("https://");
    let path = url.strip_prefix(&client.site().external_url).unwrap();
    let mut octets =
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {JOSE}\r\nTransfer-Encoding: chunked\r\n\r\n");
    for part in jws.as_bytes().chunks(50) {
        octets.push_str(&format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)));
    }
    octets.push_str("0\r\n\r\n");
    let _ = raw(octets.as_bytes()).expect(201);
}

#[test]
fn http_1_0_is_answered_and_the_connection_closed() {
    let mut connection = world().site().connect();
    connection.send("GET /acme/open/directory HTTP/1.0\r\n\r\n").unwrap();
    let response = connection.receive("GET").unwrap().expect(200);
    assert!(response.json()["newNonce"].is_string());
    assert!(connection.receive_rest().unwrap().is_empty());
}

#[test]
fn a_connection_serves_many_requests_until_the_client_is_done() {
    let mut connection = world().site().connect();
    for _ in 0..5 {
        connection.send(request("GET", "/acme/open/directory", "localhost", &[], None)).unwrap();
        let _ = connection.receive("GET").unwrap().expect(200);
    }
    connection.send(request("GET", "/acme/open/directory", "localhost", &[("Connection", "close")], None)).unwrap();
    let response = connection.receive("GET").unwrap().expect(200);
    assert!(response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")), "{response:?}");
    assert!(connection.receive_rest().unwrap().is_empty());
}

#[test]
fn a_client_that_waits_for_permission_to_send_its_body_gets_it() {
    let client = world().account();
    let url = client.url("new-order");
    let payload = r#"{"identifiers":[{"type":"dns","value":"expect.example.test"}]}"#;
    let jws = client.draft(&url, payload).sign().to_string();
    let path = url.strip_prefix(&client.site().external_url).unwrap();
    let length = jws.len().to_string();
    let headers = [("Content-Type", JOSE), ("Content-Length", length.as_str()), ("Expect", "100-continue")];
    let mut connection = client.site().connect();
    connection.send(request("POST", path, "localhost", &headers, None)).unwrap();
    let permission = connection.receive("HEAD").unwrap();
    assert_eq!(permission.status, 100, "{permission:?}");
    connection.send(jws).unwrap();
    let _ = connection.receive("POST").unwrap().expect(201);
}

#[test]
fn a_body_that_does_not_arrive_is_given_up() {
    let client = world().account();
    let path = "/acme/open/new-order";
    let headers = [("Content-Type", JOSE), ("Content-Length", "1000")];
    let mut connection = client.site().connect();
    let start = Instant::now();
    connection.send(request("POST", path, "localhost", &headers, None)).unwrap();
    connection.send("{\"protected\":").unwrap();
    let _ = connection.receive("POST").unwrap().assert_refused(408, "malformed");
    assert!(start.elapsed() < Duration::from_secs(50), "after {:?}", start.elapsed());
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let mut connection = world().site().connect();
    let start = Instant::now();
    connection.send("GET /acme/open/directory HTTP/1.1\r\nHost: loc").unwrap();
    let rest = connection.receive_rest().unwrap_or_default();
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1 200"));
    assert!(start.elapsed() < Duration::from_secs(50), "after {:?}", start.elapsed());
}

#[test]
fn a_request_needs_no_user_agent() {
    let mut connection = world().site().connect();
    connection.send("GET /acme/open/directory HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let _ = connection.receive("GET").unwrap().expect(200);
}

#[test]
fn nothing_is_compressed_and_no_cookie_set() {
    let site = world().site();
    let response =
        site.send("GET", &site.url("open", "directory"), &[("Accept-Encoding", "gzip, br")], None).expect(200);
    assert_eq!(response.header("content-encoding"), None);
    assert_eq!(response.header("set-cookie"), None);
    assert!(response.header("content-length").is_some());
}

#[test]
fn what_is_outside_of_the_directories_is_not_found() {
    let site = world().site();
    for path in ["/", "/acme", "/acme/", "/acme/open/x/y/z", "/acme/unknown/directory", "/metrics", "/healthz", "//"] {
        for method in ["GET", "PUT", "OPTIONS"] {
            let _ = site.send(method, path, &[], None).assert_problem(404, "malformed");
        }
    }
}

#[test]
fn paths_are_taken_as_they_are_and_never_normalised() {
    let client = world().account();
    let site = client.site();
    let other_spellings = [
        "/acme/open/../open/directory",
        "/acme/open/./directory",
        "/acme//open/directory",
        "//acme/open/directory",
        "/acme/open/directory//",
        "/acme/open/%64irectory",
        "/acme/%6fpen/directory",
        "/acme/open%2Fdirectory",
        "/acme/open/directory%00",
        "/ACME/open/directory",
        "/acme/Open/directory",
    ];
    for path in other_spellings {
        let _ = site.send("GET", path, &[], None).assert_problem(404, "malformed");
    }
    // Not even if what was signed is spelt in the same way.
    for path in ["/acme/open/new%2Dorder", "/acme/open/%6Eew-order", "/acme/open/../open/new-order"] {
        let url = format!("{}{path}", site.external_url);
        let _ = client
            .post(&url, &json!({"identifiers": [{"type": "dns", "value": "a.test"}]}))
            .assert_refused(404, "malformed");
    }
}

#[test]
fn a_slash_or_a_query_after_the_url_of_a_resource_makes_it_another_url() {
    let client = world().account();
    let order = client.order(&["slash.example.test"]);
    for url in [client.url("new-order"), client.url("new-nonce"), client.account_url(), order.url] {
        let response = client.read(&format!("{url}/"));
        let _ = response.assert_refused(404, "malformed");
        assert_eq!(response.header("location"), None, "no redirect: {response:?}");
        let _ = client.read(&format!("{url}?x=1")).assert_refused(404, "malformed");
    }
}

#[test]
fn browsers_and_others_are_told_the_methods_of_what_there_is() {
    let site = world().site();
    for (resource, methods) in
        [("directory", "GET, HEAD, POST"), ("new-nonce", "GET, HEAD, POST"), ("new-order", "POST")]
    {
        let url = site.url("open", resource);
        let response = site.send("OPTIONS", &url, &[], None).expect(204);
        assert_eq!(response.header("allow"), Some(methods));
        let cors = response.headers.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("access-control"));
        assert!(!cors, "only browsers get CORS headers: {response:?}");
        let response = site.send("OPTIONS", &url, &[("Origin", "https://app.example")], None).expect(204);
        assert_eq!(response.header("access-control-allow-methods"), Some(methods));
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    }
    for method in ["OPTIONS", "PUT", "GET"] {
        let url = site.url("unknown", "new-order");
        let _ = site.send(method, &url, &[("Origin", "https://app.example")], None).assert_problem(404, "malformed");
    }
}

#[test]
fn refusals_say_that_they_are_in_english() {
    let site = world().site();
    let german = [("Accept-Language", "de-DE, xx;q=0.1")];
    let response = site.send("GET", &site.url("open", "nothing"), &german, None);
    let _ = response.assert_problem(404, "malformed");
    assert_eq!(response.header("content-language"), Some("en"));
}

#[test]
fn a_post_over_http_1_0_is_answered() {
    let client = world().account();
    let url = client.url("new-order");
    let payload = r#"{"identifiers":[{"type":"dns","value":"old.example.test"}]}"#;
    let jws = client.draft(&url, payload).sign().to_string();
    let path = url.strip_prefix(&client.site().external_url).unwrap();
    let octets = format!("POST {path} HTTP/1.0\r\nContent-Type: {JOSE}\r\nContent-Length: {}\r\n\r\n{jws}", jws.len());
    let response = raw(octets.as_bytes()).expect(201);
    assert!(
        response.header("replay-nonce").is_some() && response.header("transfer-encoding").is_none(),
        "{response:?}"
    );
}

#[test]
fn a_handshake_that_does_not_come_is_given_up() {
    let mut connection = Connection::plain(world().site().gateway).unwrap();
    let start = Instant::now();
    let rest = connection.receive_rest().unwrap_or_default();
    assert!(rest.is_empty() && start.elapsed() < Duration::from_secs(50), "after {:?}", start.elapsed());
}

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    let mut connection = world().site().connect();
    let get = |path| request("GET", path, "localhost", &[], None);
    connection
        .send([get("/acme/open/directory"), get("/acme/open/new-nonce"), get("/acme/open/new-order")].concat())
        .unwrap();
    let statuses = [200, 204, 405].map(|_| connection.receive("GET").unwrap().status);
    assert_eq!(statuses, [200, 204, 405]);
}

#[test]
fn urls_are_short_and_plain() {
    let client = world().account();
    let issued = client.issue(&["urls.example.test"]);
    let order = client.read(&issued.order_url).expect(200).json();
    let authorization = client.read(order["authorizations"][0].as_str().unwrap()).expect(200).json();
    let challenge = authorization["challenges"][0]["url"].as_str().unwrap().to_owned();
    let handle = issued.url.rsplit('/').next().unwrap();
    assert!(handle.as_bytes()[0].is_ascii_alphabetic(), "clients name files by it: {}", issued.url);
    for url in
        [issued.url, issued.order_url, order["finalize"].as_str().unwrap().to_owned(), challenge, client.account_url()]
    {
        assert!(url.len() <= 200, "{} characters: {url}", url.len());
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'/' | b':');
        assert!(url.bytes().all(plain) && !url.contains("/-"), "{url}");
    }
}
