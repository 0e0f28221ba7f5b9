//! The gateway as clients reach it: `server.external_url` resolves, somebody listens there, shows a certificate for
//! this name, and serves our directories. No stranger is asked.

use acme::{certificate::Validity, time::Timestamp};
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    server::ParsedCertificate,
};

use serde_json::Value;

use super::{
    certificates::issuer,
    finding::{Finding, shell},
    probe::{self, Broken, Manner, chain_of},
};
use crate::{app::Endpoint, cli::tls, http::links::Links, settings::Settings};

const CHECK: &str = "external-url";
/// More are not looked at: each is a connection of its own.
const ENDPOINTS_MAX: usize = 32;

pub(super) async fn check(settings: &Settings, is_running: bool, now: Timestamp) -> Vec<Finding> {
    let endpoints: Vec<_> = Endpoint::all(settings).unwrap_or_default().into_values().take(ENDPOINTS_MAX).collect();
    let looks = endpoints.iter().map(|endpoint| look(settings, endpoint, is_running));
    let looks = futures_util::future::join_all(looks).await;
    // All are shown the same certificate, and what is wrong with one is mostly wrong with all.
    let Some((shown, _)) = looks.first() else { return vec![Finding::not_looked_at(CHECK, "there is no endpoint")] };
    let mut findings = certificate(settings, shown, now);
    let (good, others): (Vec<_>, Vec<_>) = looks.into_iter().map(|(_, finding)| finding).partition(Finding::is_fine);
    findings.extend(if others.is_empty() { good.into_iter().take(1).collect() } else { others });
    findings.dedup();
    findings
}

/// At the directory of one endpoint: what was shown for a certificate, and what was found.
async fn look(settings: &Settings, endpoint: &Endpoint, is_running: bool) -> (Vec<CertificateDer<'static>>, Finding) {
    let url = &settings.server.external_url;
    let (directory, breaks) = (endpoint.links.directory(), "no client reaches this gateway");
    let probed = probe::ask(&directory, Manner { trust: None, identity: None }).await;
    let curl = format!("curl -kv {directory}");
    let finding = match probed.outcome {
        Ok(response) if response.status.is_success() => match elsewhere(&endpoint.links, &response.json()) {
            None => Finding::fine(CHECK, format!("{url} leads to this gateway, and its directories answer")),
            Some((name, said)) => Finding::wrong(
                CHECK,
                format!("{directory} is answered by something else: its {name} is {said}, not a URL of {url}"),
                "clients are sent elsewhere",
                format!(
                    "let {} lead to this gateway in DNS and proxy; if it does, the gateway runs with an older \
                     server.external_url: restart it",
                    url.host()
                ),
            )
            .run(curl),
        },
        Ok(response) => Finding::wrong(
            CHECK,
            format!("{directory} is answered with status {}", response.status.as_u16()),
            "no client can use this endpoint",
            "restart the gateway if the endpoint is new; else see what listens there: a proxy must pass the whole path",
        )
        .run(curl),
        Err(Broken::Name(error)) => Finding::wrong(
            CHECK,
            format!("the host of {url} has no address: {error}"),
            breaks,
            format!("add an A or AAAA record for {} to the DNS", url.host()),
        )
        .run(format!("getent ahosts {}", url.host())),
        Err(Broken::Connection(address, error)) if !is_running => Finding::not_looked_at(
            CHECK,
            format!(
                "nobody listens at {address} ({error}), and no gateway runs with this store; start it: systemctl \
                 start acme-gateway"
            ),
        ),
        Err(Broken::Connection(address, error)) => Finding::wrong(
            CHECK,
            format!("{url} leads to {address}, where nobody takes connections: {error}"),
            breaks,
            "compare this address and port with server.listen, and let the firewall and the balancer pass them",
        )
        .run("ss -ltnp"),
        Err(Broken::RefusedByThem(alert) | Broken::RefusedAfterwards(alert)) => Finding::wrong(
            CHECK,
            format!("{url} refuses TLS: alert {alert:?}"),
            breaks,
            "see what listens there; a proxy must pass TLS on as it comes, or end it with a certificate for this name",
        )
        .run(curl),
        Err(Broken::RefusedByUs(error)) => broken(&directory, &error),
        Err(Broken::Handshake(error)) => broken(&directory, &error),
        Err(Broken::NoAnswer(reason) | Broken::Unfit(reason)) => Finding::wrong(
            CHECK,
            format!("{directory} is not answered: {reason}"),
            breaks,
            "see the log of serve, and that of the proxy if there is one",
        )
        .run("journalctl -u acme-gateway -n 100 --no-pager"),
    };
    (probed.shown, finding)
}

/// The first of the URLs of a directory that is not ours, by name: compared octet by octet, as a client uses it.
fn elsewhere(links: &Links, says: &Value) -> Option<(&'static str, String)> {
    let ours = [
        ("newNonce", links.new_nonce()),
        ("newAccount", links.new_account()),
        ("newOrder", links.new_order()),
        ("revokeCert", links.revoke_certificate()),
        ("keyChange", links.key_change()),
    ];
    ours.into_iter().find_map(|(name, ours)| match says.get(name).and_then(Value::as_str) {
        Some(theirs) if theirs == ours => None,
        Some(theirs) => Some((name, acme::problem::shown(theirs).to_string())),
        None => Some((name, String::from("missing"))),
    })
}

fn broken(directory: &str, error: &dyn std::error::Error) -> Finding {
    Finding::wrong(
        CHECK,
        format!("no TLS with {directory}: {}", chain_of(error)),
        "no client reaches this gateway",
        "see what listens there; it does not speak TLS 1.2 or 1.3",
    )
    .run("ss -ltnp")
}

/// Whether clients that trust its issuer accept it. Whom they trust is not known here.
fn certificate(settings: &Settings, shown: &[CertificateDer<'static>], now: Timestamp) -> Vec<Finding> {
    let Some(leaf) = shown.first() else { return Vec::new() };
    let (url, own) = (&settings.server.external_url, tls::server_identity(settings));
    let file = own.certificate.display();
    let show = format!("openssl x509 -noout -subject -ext subjectAltName -enddate -in {}", shell(&own.certificate));
    let breaks = "clients refuse to connect";
    let mut findings = Vec::new();
    let name = ServerName::try_from(url.host().to_owned());
    let covers = name
        .is_ok_and(|name| ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok()));
    if !covers {
        let what = format!("the certificate that is shown (by {}) is not for {}", issuer(leaf), url.host());
        let mend = format!("put a certificate for {} into {file}; it comes into use within seconds", url.host());
        findings.push(Finding::wrong(CHECK, what, breaks, mend).run(show.clone()));
    }
    if let Some(Validity { not_before, not_after }) = Validity::of(leaf)
        && !(not_before..=not_after).contains(&now)
    {
        let what =
            format!("the certificate that is shown is valid from {not_before} to {not_after}, and it is {now} here");
        let mend = format!("put a renewed certificate into {file}; it comes into use within seconds");
        findings.push(Finding::wrong(CHECK, what, breaks, mend).run(show));
    }
    let ours = CertificateDer::pem_file_iter(&own.certificate).ok().and_then(|mut chain| chain.next()?.ok());
    if ours.is_some_and(|ours| ours != *leaf) && settings.server.rsa_certificate_file.is_none() {
        let what = format!("the certificate that is shown (by {}) is not the one in {file}", issuer(leaf));
        let breaks = "a renewed certificate in that file does not reach clients, or the name leads to another host";
        let mend =
            "nothing if a proxy ends TLS before the gateway; else let the gateway read its files, and see its log";
        findings.push(Finding::warn(CHECK, what, breaks, mend).run("systemctl reload acme-gateway"));
    }
    findings
}
