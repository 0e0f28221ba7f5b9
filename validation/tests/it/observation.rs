//! What is told of an attempt, step by step, and what never is.

use std::time::Duration;

use acme::{
    caa::Issuance,
    challenge::{ChallengeKind, Evidence},
    identifier::Identifier,
};
use hickory_resolver::proto::op::ResponseCode;
use rcgen::KeyPair;
use tokio_rustls::rustls::version::TLS13;
use validation::{Failure, OBSERVATIONS_MAX, Observation, Settings, Validator, observed};

use crate::{
    ACCOUNT_URL, SENTINEL, attempt,
    dns_server::{Answer, DnsServer, NO_DATA, NX_DOMAIN, caa, txt},
    key_authorization, now, settings,
    tls_server::{TlsServer, params, tls},
    token,
    web_server::{Reply, WebServer, closed_port, proof, redirect_to},
};

/// One attempt at `a.test`, and its steps without their times.
async fn steps(settings: Settings, kind: ChallengeKind) -> (Result<Evidence, Failure>, Vec<String>) {
    let validator = Validator::new(settings).unwrap();
    let (result, observations) = observed(attempt(&validator, kind, "a.test")).await;
    (result, told(&observations))
}

/// The steps as operators read them, without times and without lookups of IPv6 addresses, which run beside those of
/// IPv4. Whatever is told is looked at for what must never be.
fn told(observations: &[Observation]) -> Vec<String> {
    assert!(observations.len() <= OBSERVATIONS_MAX);
    let json = serde_json::to_string(observations).unwrap();
    let again: Vec<Observation> = serde_json::from_str(&json).unwrap();
    assert_eq!(again, observations, "{json}");
    let texts: Vec<_> = observations.iter().map(ToString::to_string).collect();
    let (token, key_authorization) = (token(), key_authorization());
    let secrets = [token.as_str(), key_authorization.as_str(), &key_authorization.dns_01_record(), SENTINEL];
    for text in texts.iter().chain([&json]) {
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
        assert!(!text.contains(char::is_control), "{text}");
    }
    let untimed = |text: &String| match text.rsplit_once(" (") {
        Some((text, time)) if time.ends_with(" ms)") => text.to_owned(),
        _ => text.clone(),
    };
    texts.iter().filter(|text| !text.contains(" for AAAA of ")).map(untimed).collect()
}

#[tokio::test]
async fn a_redirected_proof_is_told_hop_by_hop() {
    let dns = DnsServer::names_at(&[("a.test", "127.0.0.1"), ("b.test", "169.254.1.1"), ("b.test", "127.0.0.1")]).await;
    let location = format!("http://b.test/x/{}?y={}", token().as_str(), key_authorization().as_str());
    let web = WebServer::start("127.0.0.1:0", move |head| match head.starts_with("GET /.well-known/") {
        true => redirect_to(&location),
        false => proof(),
    })
    .await;
    let (result, steps) = steps(Settings { http_port: web.port(), ..settings(&dns) }, ChallengeKind::Http01).await;
    result.unwrap();
    let (resolver, web) = (dns.address, web.address);
    let expected = [
        format!("asked {resolver} for A of a.test: 127.0.0.1"),
        format!("GET http://a.test/.well-known/acme-challenge/… at {web}: 302"),
        String::from("redirect to http://b.test/x/…?…"),
        format!("asked {resolver} for A of b.test: 169.254.1.1, 127.0.0.1"),
        String::from("did not dial 169.254.1.1 for b.test: link-local addresses are refused"),
        format!("GET http://b.test/x/…?… at {web}: 200"),
        String::from("the body of the answer: as it has to be"),
    ];
    assert_eq!(steps, expected);
}

#[tokio::test]
async fn bodies_and_headers_are_never_told() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let endings: [(&str, String, &[&str]); 5] = [
        ("HTTP/1.1 200 ", String::new(), &["200", "the body of the answer: it is not the key authorization"]),
        ("HTTP/1.1 404 ", String::new(), &["404"]),
        (
            "HTTP/1.1 302 ",
            format!("Location: ftp://{SENTINEL}/\r\n"),
            &["302", "redirect not followed: the redirect leads to a scheme other than http and https"],
        ),
        (
            "HTTP/1.1 200 ",
            format!("Content-Encoding: {SENTINEL}\r\n"),
            &["200", "the body of the answer: it has a Content-Encoding"],
        ),
        (
            "",
            String::new(),
            &[
                "did not answer with a sound HTTP/1.1 header; if TLS or HTTP/2 is spoken on that port, serve plain HTTP/1.1",
            ],
        ),
    ];
    for (start, header, ends) in endings {
        let said = format!(
            "{start}{SENTINEL}\r\nX: {SENTINEL}\r\nContent-Length: {}\r\n{header}\r\n{SENTINEL}",
            SENTINEL.len()
        );
        let web = WebServer::start("127.0.0.1:0", move |_| Reply::Octets(said.clone().into_bytes())).await;
        let (result, steps) = steps(Settings { http_port: web.port(), ..settings(&dns) }, ChallengeKind::Http01).await;
        result.unwrap_err();
        let get = format!("GET http://a.test/.well-known/acme-challenge/… at {}: ", web.address);
        let expected: Vec<_> = ends
            .iter()
            .enumerate()
            .map(|(at, end)| if at == 0 { format!("{get}{end}") } else { String::from(*end) })
            .collect();
        assert_eq!(steps.get(1..).unwrap(), expected);
    }
}

#[tokio::test]
async fn addresses_that_were_refused_or_did_not_answer_are_told() {
    let dns = DnsServer::names_at(&[("a.test", "127.0.0.1")]).await;
    let (closed, _sockets) = closed_port();
    for kind in [ChallengeKind::Http01, ChallengeKind::TlsAlpn01] {
        let tried = Settings { http_port: closed, tls_port: closed, ..settings(&dns) };
        let (result, told) = steps(tried.clone(), kind).await;
        result.unwrap_err();
        assert_eq!(told.get(1..).unwrap(), [format!("dialled 127.0.0.1:{closed}: refused the connection")]);

        let (result, told) = steps(Settings { danger_allow_loopback: false, ..tried }, kind).await;
        result.unwrap_err();
        assert_eq!(
            told.get(1..).unwrap(),
            [String::from("did not dial 127.0.0.1 for a.test: loopback addresses are refused")]
        );
    }
}

#[tokio::test]
async fn values_of_txt_records_are_told_by_a_piece_of_their_digest() {
    let long = format!("{SENTINEL}{}", "x".repeat(200));
    let right = key_authorization().dns_01_record();
    for (proof, judged) in
        [(Some(right), "as it has to be"), (None, "none of them is the digest of the key authorization")]
    {
        let long = long.clone();
        let dns = DnsServer::start(move |_| {
            let values = [Some("hello"), proof.as_deref(), Some(&long)];
            Answer::Data(values.into_iter().flatten().map(|value| txt(&[value])).collect())
        })
        .await;
        let (_, steps) = steps(settings(&dns), ChallengeKind::Dns01).await;
        let [lookup, judgement] = steps.as_slice() else { panic!("{steps:#?}") };
        // SHA-256 of `hello`.
        let start =
            format!("asked {} for TXT of _acme-challenge.a.test: sha256:2cf24dba5fb0a30e, sha256:", dns.address);
        assert!(lookup.starts_with(&start), "{lookup}");
        assert_eq!(*judgement, format!("the TXT records of _acme-challenge.a.test: {judged}"));
    }
}

#[tokio::test]
async fn each_resolver_that_was_asked_is_told_with_what_it_said() {
    let silent = DnsServer::start(|_| Answer::Silence).await;
    let broken = DnsServer::start(|_| Answer::Code(ResponseCode::ServFail)).await;
    let known = DnsServer::start(|_| NX_DOMAIN).await;
    let resolvers = vec![silent.address, broken.address, known.address];
    let asked = Settings { resolvers, dns_timeout: Duration::from_secs(3), ..settings(&known) };
    let (result, steps) = steps(asked, ChallengeKind::Dns01).await;
    result.unwrap_err();
    let question = "for TXT of _acme-challenge.a.test";
    let expected = [
        format!("asked {} {question}: the DNS query timed out", silent.address),
        format!(
            "asked {} {question}: the resolver answered SERVFAIL; the zone may be broken, unreachable or wrongly signed",
            broken.address
        ),
        format!("asked {} {question}: none at _acme-challenge.a.test, NXDOMAIN", known.address),
    ];
    assert_eq!(steps, expected);
}

#[tokio::test]
async fn a_handshake_is_told_with_its_protocol_and_what_the_certificate_lacks() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let key = KeyPair::generate().unwrap();
    for (protocols, digest, expected) in [
        (
            &[b"acme-tls/1".as_slice()][..],
            Some(key_authorization().digest()),
            ["done, acme-tls/1", "as it has to be"].as_slice(),
        ),
        (
            &[b"acme-tls/1"],
            Some([1; 32]),
            &["done, acme-tls/1", "its acmeIdentifier is not the digest of the key authorization"],
        ),
        (&[], Some(key_authorization().digest()), &["done, no protocol"]),
    ] {
        let shown = params(&["a.test"], digest);
        let server = TlsServer::start("127.0.0.1:0", tls(&shown, &key, &key, protocols, &[&TLS13])).await;
        let asked = Settings { tls_port: server.address.port(), ..settings(&dns) };
        let (_, steps) = steps(asked, ChallengeKind::TlsAlpn01).await;
        let address = server.address;
        let starts = [format!("TLS handshake with {address}: "), format!("the certificate of {address}: ")];
        let mut whole = vec![format!("dialled {address}: connected")];
        whole.extend(starts.iter().zip(expected).map(|(start, end)| format!("{start}{end}")));
        assert_eq!(steps.get(1..).unwrap(), whole);
    }
}

#[tokio::test]
async fn caa_is_told_name_by_name() {
    let dns = DnsServer::start(|asked| match asked.name.as_str() {
        "b.test" => Answer::Data(vec![caa(0, "issue", "other.example\x1b[2J")]),
        _ => NO_DATA,
    })
    .await;
    let identities = ["ca.example.net".to_owned()];
    let issuance = Issuance {
        identities: &identities,
        account_url: ACCOUNT_URL,
        method: Some(ChallengeKind::Dns01),
        is_wildcard: false,
    };
    let validator = Validator::new(settings(&dns)).unwrap();
    let name = Identifier::parse_dns("a.b.test").unwrap();
    let (result, observations) = observed(validator.check_caa(&name, &issuance, now())).await;
    result.unwrap_err();
    let steps = told(&observations);
    let [climbed, found, judged] = steps.as_slice() else { panic!("{steps:#?}") };
    assert_eq!(*climbed, format!("asked {} for CAA of a.b.test: none at a.b.test, NOERROR", dns.address));
    assert_eq!(*found, format!("asked {} for CAA of b.test: 0 issue other.example?[2J", dns.address));
    assert!(judged.starts_with("the CAA records of b.test: "), "{judged}");
}

#[tokio::test]
async fn a_long_attempt_is_told_up_to_the_limit() {
    let names: Vec<_> = (0..20).map(|number| format!("{}.test", "a.".repeat(number) + "b")).collect();
    let dns = DnsServer::start(|_| NO_DATA).await;
    let validator = Validator::new(settings(&dns)).unwrap();
    let climbs = async {
        for name in &names {
            let name = Identifier::parse_dns(name).unwrap();
            let issuance = Issuance {
                identities: &[],
                account_url: ACCOUNT_URL,
                method: Some(ChallengeKind::Dns01),
                is_wildcard: false,
            };
            validator.check_caa(&name, &issuance, now()).await.unwrap();
        }
    };
    let ((), observations) = observed(climbs).await;
    assert_eq!(observations.len(), OBSERVATIONS_MAX);
    let asked = u64::try_from(dns.asked().len()).unwrap();
    let told = u64::try_from(OBSERVATIONS_MAX - 1).unwrap();
    assert_eq!(observations.last(), Some(&Observation::Omitted { count: asked - told }));
}
