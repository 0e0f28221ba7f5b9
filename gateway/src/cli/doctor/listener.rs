//! The gateway as clients reach it: `server.external_url` resolves, somebody listens there, shows a certificate for
//! this name, and serves our directories. No stranger is asked.

use acme::{certificate::Validity, time::Timestamp};
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    server::ParsedCertificate,
};

use super::{
    certificates::issuer,
    finding::Finding,
    probe::{self, Broken, Manner, chain_of},
};
use crate::{app::Endpoint, cli::tls, settings::Settings};

const CHECK: &str = "external-url";

pub(super) async fn check(settings: &Settings, is_running: bool, now: Timestamp) -> Vec<Finding> {
    let url = &settings.server.external_url;
    let Some(directory) = Endpoint::all(settings).ok().and_then(|all| all.into_values().next()) else {
        return vec![Finding::not_looked_at(CHECK, "there is no endpoint")];
    };
    let directory = directory.links.directory();
    let probed = probe::ask(&directory, Manner { trust: None, identity: None }).await;
    let mut findings = certificate(settings, &probed.shown, now);
    let breaks = "no client reaches this gateway";
    findings.push(match probed.outcome {
        Ok(response) if response.status.is_success() => {
            let says = serde_json::from_slice::<serde_json::Value>(&response.body).unwrap_or_default();
            let nonces = says.get("newNonce").and_then(serde_json::Value::as_str).unwrap_or_default();
            if nonces.starts_with(url.as_str()) {
                Finding::fine(CHECK, format!("{directory} answers"))
            } else {
                Finding::wrong(
                    CHECK,
                    format!("{directory} is answered, but with URLs that do not begin with {url}"),
                    "clients are sent elsewhere",
                    "see what listens there: another gateway, or one with other settings; restart it",
                )
            }
        }
        Ok(response) => Finding::wrong(
            CHECK,
            format!("{directory} is answered with status {}", response.status.as_u16()),
            breaks,
            "see what listens there; a proxy must pass the whole path and the Host header",
        ),
        Err(Broken::Name(error)) => Finding::wrong(
            CHECK,
            format!("the host of {url} has no address: {error}"),
            breaks,
            format!("add an A or AAAA record for {} to the DNS", url.host()),
        ),
        Err(Broken::Connection(address, error)) if !is_running => Finding::not_looked_at(
            CHECK,
            format!(
                "nobody listens at {address} ({error}); no gateway runs with this store: systemctl start acme-gateway"
            ),
        ),
        Err(Broken::Connection(address, error)) => Finding::wrong(
            CHECK,
            format!("{url} leads to {address}, where nobody takes connections: {error}"),
            breaks,
            "compare server.listen with this address, and see the firewall: ss -ltnp",
        ),
        Err(Broken::RefusedByThem(alert) | Broken::RefusedAfterwards(alert)) => Finding::wrong(
            CHECK,
            format!("{url} refuses TLS: alert {alert:?}"),
            breaks,
            "see what listens there: ss -ltnp",
        ),
        Err(Broken::RefusedByUs(error)) => broken(&directory, &error),
        Err(Broken::Handshake(error)) => broken(&directory, &error),
        Err(Broken::NoAnswer(reason) | Broken::Unfit(reason)) => {
            Finding::wrong(CHECK, format!("{directory} is not answered: {reason}"), breaks, "see the log of serve")
        }
    });
    findings
}

fn broken(directory: &str, error: &dyn std::error::Error) -> Finding {
    Finding::wrong(
        CHECK,
        format!("no TLS with {directory}: {}", chain_of(error)),
        "no client reaches this gateway",
        "see what listens there: ss -ltnp",
    )
}

/// Whether clients that trust its issuer accept it. Whom they trust is not known here.
fn certificate(settings: &Settings, shown: &[CertificateDer<'static>], now: Timestamp) -> Vec<Finding> {
    let Some(leaf) = shown.first() else { return Vec::new() };
    let (url, own) = (&settings.server.external_url, tls::server_identity(settings));
    let file = own.certificate.display();
    let breaks = "clients refuse to connect";
    let mut findings = Vec::new();
    let name = ServerName::try_from(url.host().to_owned());
    let covers = name
        .is_ok_and(|name| ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok()));
    if !covers {
        findings.push(Finding::wrong(
            CHECK,
            format!("the certificate that is shown (by {}) is not for {}", issuer(leaf), url.host()),
            breaks,
            format!("put a certificate for {} into {file}; it comes into use within seconds", url.host()),
        ));
    }
    if let Some(Validity { not_before, not_after }) = Validity::of(leaf)
        && !(not_before..=not_after).contains(&now)
    {
        findings.push(Finding::wrong(
            CHECK,
            format!("the certificate that is shown is valid from {not_before} to {not_after}, and it is {now} here"),
            breaks,
            format!("put a renewed certificate into {file}"),
        ));
    }
    let ours = CertificateDer::pem_file_iter(&own.certificate).ok().and_then(|mut chain| chain.next()?.ok());
    if ours.is_some_and(|ours| ours != *leaf) && settings.server.rsa_certificate_file.is_none() {
        findings.push(Finding::warn(
            CHECK,
            format!("the certificate that is shown (by {}) is not the one in {file}", issuer(leaf)),
            "a renewed certificate in that file does not reach clients",
            "if no proxy ends TLS before the gateway, see its log: systemctl reload acme-gateway",
        ));
    }
    findings
}
