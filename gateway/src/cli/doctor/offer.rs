//! What the CM offers for the endpoints: profiles that exist and accept the challenges on offer, and issuers whose chains
//! end in a configured anchor.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use acme::{
    certificate::require_anchored,
    ids::{EndpointName, IssuerName},
    profile::Profile,
    time::Timestamp,
};
use anyhow::Context as _;
use cm_connector::CertificateManager;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    LOOK_MAX,
    certificates::look,
    cm::{manner, of_realm},
    finding::Finding,
    openbao::{self, Session},
    probe,
};
use crate::{app::Endpoint, cli::tls, clock, settings::Settings};

const PROFILES: &str = "profiles";
const CHAINS: &str = "trust-chains";
/// An issuer is told of this long before its end.
const ISSUER_SOON: Duration = Duration::from_secs(90 * 86_400);

pub(super) async fn check(
    settings: &Settings,
    cm: &dyn CertificateManager,
    endpoints: &BTreeMap<EndpointName, Arc<Endpoint>>,
    session: Option<&Session>,
) -> Vec<Finding> {
    let (mut findings, mut issuers) = (Vec::new(), BTreeSet::new());
    for endpoint in endpoints.values() {
        match timeout(LOOK_MAX, cm.profiles(&endpoint.realm)).await {
            Ok(Ok(profiles)) => {
                issuers.extend(profiles.iter().map(|profile| profile.issuer.clone()));
                findings.extend(of_endpoint(endpoint, &profiles));
            }
            Ok(Err(error)) => {
                let why = format!("the profiles of {} cannot be read: {error}", of_realm(&endpoint.realm));
                findings.push(Finding::not_looked_at(PROFILES, why));
            }
            // Nor will those of the others be.
            Err(_) => {
                findings.push(Finding::not_looked_at(PROFILES, "the CM took too long"));
                return findings;
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::fine(PROFILES, format!("all {} endpoints have theirs", endpoints.len())));
    }
    let looks = futures_util::future::join_all(issuers.iter().map(|name| issuer(settings, cm, name, session))).await;
    findings.extend(looks.into_iter().flatten());
    findings
}

fn of_endpoint(endpoint: &Endpoint, profiles: &[Profile]) -> Vec<Finding> {
    let (name, realm) = (&endpoint.name, of_realm(&endpoint.realm));
    let names = profiles.iter().map(|profile| profile.name.to_string()).collect::<Vec<_>>().join(", ");
    if profiles.is_empty() {
        let mend =
            format!("give {realm} a profile that is in use at the CM, or set endpoints.{name}.realm to another realm");
        let what = format!("endpoint {name}: the CM offers no profile in {realm}; they may be retired");
        return vec![Finding::wrong(PROFILES, what, "every order is refused", mend).run_editor()];
    }
    let mut findings = Vec::new();
    match &endpoint.profile {
        Some(wanted) if profiles.iter().all(|profile| profile.name != *wanted) => {
            let what = format!("endpoint {name}: {realm} has no profile {wanted}, or it is retired; it has {names}");
            let mend = format!("set endpoints.{name}.profile to one of {names}, or bring {wanted} back at the CM");
            findings.push(Finding::wrong(PROFILES, what, "orders that name no profile are refused", mend).run_editor());
        }
        None if profiles.iter().all(|profile| !profile.is_default) => {
            let what = format!("endpoint {name}: {realm} has no default profile, or it is retired; it has {names}");
            let breaks = "orders that name no profile are refused, and most clients name none";
            let mend = format!("set endpoints.{name}.profile to one of {names}");
            findings.push(Finding::wrong(PROFILES, what, breaks, mend).run_editor());
        }
        Some(_) | None => {}
    }
    for profile in profiles {
        if endpoint.challenges.iter().all(|kind| !profile.accepts(*kind)) {
            let methods = profile.methods.iter().flatten().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
            let what = format!(
                "endpoint {name}: profile {} accepts only {methods}, of which the endpoint offers none",
                profile.name
            );
            let mend = format!("add one of {methods} to endpoints.{name}.challenges");
            let finding = Finding::wrong(PROFILES, what, "orders of this profile cannot be fulfilled", mend);
            findings.push(finding.run_editor());
        }
    }
    findings
}

async fn issuer(
    settings: &Settings,
    cm: &dyn CertificateManager,
    name: &IssuerName,
    session: Option<&Session>,
) -> Vec<Finding> {
    let issuer = match timeout(LOOK_MAX, cm.issuer(name)).await {
        Ok(Ok(issuer)) => issuer,
        Ok(Err(error)) => {
            return vec![Finding::not_looked_at(CHAINS, format!("issuer {name} cannot be read: {error}"))];
        }
        Err(_) => {
            return vec![Finding::not_looked_at(CHAINS, format!("issuer {name} cannot be read: it took too long"))];
        }
    };
    let (mut findings, now) = (Vec::new(), clock::now());
    if !issuer.is_active {
        findings.push(
            Finding::wrong(
                CHAINS,
                format!("issuer {name} is not in use at the CM"),
                "orders of its profiles wait or fail",
                "bring the issuer back at the CM, or give its profiles another one",
            )
            .run(look(&settings.cm.issuer_roots_file)),
        );
    }
    if issuer.not_after.since(now) < ISSUER_SOON {
        findings.push(
            Finding::warn(
                CHAINS,
                format!("issuer {name} ends at {}", issuer.not_after),
                "certificates are cut short, and then none are issued",
                "prepare its successor at the CM; add its root to cm.issuer_roots_file if that is new",
            )
            .run(look(&settings.cm.issuer_roots_file)),
        );
    }
    let chain = async {
        match session {
            Some(session) => openbao::chain(settings, session, name).await,
            None => default_chain(settings, name).await,
        }
    };
    findings.push(match timeout(LOOK_MAX, chain).await {
        Ok(Ok(chain)) => match reaches_anchor(settings, &chain, now) {
            Ok(()) => Finding::fine(CHAINS, format!("issuer {name} chains to a root in cm.issuer_roots_file")),
            Err(error) => {
                let highest =
                    chain.last().map_or_else(|| String::from("nobody"), |der| super::certificates::issuer(der));
                Finding::wrong(
                    CHAINS,
                    format!("issuer {name} does not chain to a root in cm.issuer_roots_file: {error:#}"),
                    "every certificate is withheld from its client, and the profile is stopped",
                    format!(
                        "add the certificate of {highest} (in PEM, from your CA) to {}",
                        settings.cm.issuer_roots_file.display()
                    ),
                )
                .run(look(&settings.cm.issuer_roots_file))
            }
        },
        Ok(Err(error)) => Finding::not_looked_at(CHAINS, format!("the chain of issuer {name}: {error:#}")),
        Err(_) => Finding::not_looked_at(CHAINS, format!("the chain of issuer {name}: it took too long")),
    });
    findings
}

/// The issuer's certificate and those above it, as the CM says (CM contract section 4.2).
async fn default_chain(settings: &Settings, name: &IssuerName) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let base = settings.cm.url.trim_end_matches('/');
    let said: Value = serde_json::from_slice(&fetch(settings, &format!("{base}/cm/v1/issuers/{name}")).await?)?;
    let chains = said.get("chains").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_default = |chain: &&Value| chain.get("default") == Some(&Value::Bool(true));
    let path = chains.iter().find(is_default).or(chains.first()).and_then(|chain| chain.get("certificates")?.as_str());
    // Nobody else than the CM is asked.
    let Some(path) = path.filter(|path| path.starts_with("/cm/v1/")) else { anyhow::bail!("the CM names none") };
    let pem = fetch(settings, &format!("{base}{path}")).await?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?;
    anyhow::ensure!(!chain.is_empty(), "the CM sends none");
    Ok(chain)
}

async fn fetch(settings: &Settings, url: &str) -> anyhow::Result<Vec<u8>> {
    match probe::ask(url, manner(settings)?).await.outcome {
        Ok(response) if response.status.is_success() => Ok(response.body),
        Ok(response) => anyhow::bail!("the CM answers with status {}", response.status.as_u16()),
        Err(broken) => anyhow::bail!("the CM cannot be asked: {broken:?}"),
    }
}

/// By the rule that issued certificates are held to.
fn reaches_anchor(settings: &Settings, chain: &[CertificateDer<'_>], now: Timestamp) -> anyhow::Result<()> {
    let anchors = tls::anchors(&settings.cm.issuer_roots_file)?;
    let (first, above) = chain.split_first().context("the chain is empty")?;
    require_anchored(first, above, &anchors, now).map_err(|failed| anyhow::anyhow!(failed.detail))
}
