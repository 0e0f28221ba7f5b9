//! The CM: whether it is reached and takes us for what we are, what it can do, and how its clock goes.

use std::time::Duration;

use acme::{ids::RealmName, time::Timestamp};
use cm_connector::{CertificateManager, CmError, Identity};
use rustls::{
    AlertDescription, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::time::timeout;

use super::{
    LOOK_MAX,
    certificates::{issuer, look, subject},
    finding::{Finding, shell},
    offer, openbao,
    probe::{self, Broken, Manner, Probed, Response, chain_of},
};
use crate::{
    app::Endpoint,
    cli::serve::cm::Cm,
    clock,
    settings::{CmKind, Settings},
};

const CONNECTION: &str = "cm-connection";
pub(super) const IDENTITY: &str = "cm-identity";
const CAPABILITIES: &str = "cm-capabilities";
pub(super) const HEALTH: &str = "cm-health";
const CLOCK: &str = "clock";

pub(super) const AWAY: &str = "newAccount, keyChange and revokeCert answer 503, and orders wait";
/// From when on a difference of the clocks is a warning, and from when on it is wrong (as `workers::cm_watch`).
const CLOCK_WARN: Duration = Duration::from_secs(60);
const CLOCK_WRONG: Duration = Duration::from_secs(300);

/// What a CM may lack, and what is lost without it (CM contract section 3).
const OPTIONAL: [(&str, &str); 6] = [
    ("events", "each registration in use is asked for every second, and what waits for a person every half a minute"),
    ("renewal-info", "the directory has no renewalInfo, and clients renew when they like"),
    ("delivery", "the CM does not hear which certificates failed the gateway's checks"),
    ("waivers", "clients that can prove nothing get no certificate"),
    ("directory-links", "clients without external account binding cannot be registered beforehand"),
    ("realm-policy", "names that the CM will refuse are refused late, after they were proven"),
];

/// All about the CM, one after the other: each rests on the one before it.
pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    let (mut findings, answers) = connections(settings).await;
    let (cm, endpoints) = match (Cm::new(&settings.cm), Endpoint::all(settings)) {
        (Ok(cm), Ok(endpoints)) => (cm.adapter(), endpoints),
        (Err(error), _) => {
            findings.push(Finding::not_looked_at(IDENTITY, format!("the CM cannot be asked: {error}")));
            return findings;
        }
        (_, Err(error)) => {
            findings.push(Finding::not_looked_at(IDENTITY, format!("the endpoints are not in order: {error:#}")));
            return findings;
        }
    };
    let mut session = None;
    if settings.cm.kind == CmKind::OpenBao {
        let all: Vec<_> = endpoints.values().map(AsRef::as_ref).collect();
        let (found, begun) = openbao::check(settings, &answers, &all).await;
        let is_known = !found.iter().any(Finding::is_wrong);
        findings.extend(found);
        // Whoever is not let in, or lacks a right, hears nothing more exact by asking as the gateway does.
        if begun.is_none() || !is_known {
            findings.push(Finding::not_looked_at(CLOCK, "what is wrong with OpenBao has to be mended first"));
            return findings;
        }
        session = begun;
    }
    let realms: Vec<_> = endpoints.values().map(|endpoint| endpoint.realm.clone()).collect();
    let asked = clock::now();
    match timeout(LOOK_MAX, cm.check_identity(&realms)).await {
        Ok(Ok(identity)) => {
            findings.push(Finding::fine(
                IDENTITY,
                format!("{} ({}) knows us as {} in all realms", settings.cm.url, identity.product, identity.name),
            ));
            findings.push(clocks(identity.time, asked, clock::now()));
            findings.extend(capabilities(settings, &identity));
        }
        Ok(Err(error)) => {
            let is_reached = findings.iter().any(Finding::is_fine);
            findings.push(not_known(settings, &error, is_reached));
            findings.push(Finding::not_looked_at(CLOCK, "the CM did not say what time it has"));
            // It answers, so the rest can be looked at.
            if matches!(error, CmError::Unavailable { .. } | CmError::RateLimited { .. }) {
                return findings;
            }
        }
        Err(_) => {
            findings.push(Finding::not_looked_at(IDENTITY, "the CM took too long"));
            return findings;
        }
    }
    findings.push(health(settings, cm.as_ref()).await);
    findings.extend(offer::check(settings, cm.as_ref(), &endpoints, session.as_ref()).await);
    findings
}

/// To each address at once, and what answered. One that fails is a warning as long as another does not.
async fn connections(settings: &Settings) -> (Vec<Finding>, Vec<(&str, Response)>) {
    let looks = settings.cm.urls().map(|url| async move {
        let url = url.trim_end_matches('/');
        let looked = timeout(LOOK_MAX, connection(settings, url)).await;
        let (finding, answer) = looked.unwrap_or_else(|_| (silent(url), None));
        (finding, answer.map(|answer| (url, answer)))
    });
    let (mut findings, answers): (Vec<_>, Vec<_>) = futures_util::future::join_all(looks).await.into_iter().unzip();
    if findings.iter().any(Finding::is_fine) {
        let less = |finding: Finding| {
            if finding.is_wrong() { finding.into_warning("the gateway goes on with another address") } else { finding }
        };
        findings = findings.into_iter().map(less).collect();
    }
    (findings, answers.into_iter().flatten().collect())
}

fn silent(url: &str) -> Finding {
    Finding::wrong(
        CONNECTION,
        format!("{url} has not answered within {} seconds", LOOK_MAX.as_secs()),
        AWAY,
        "see whether it is overloaded, or a firewall drops what is sent to it",
    )
    .run(format!("curl -kv --connect-timeout 5 {url}"))
}

/// Whether it can be reached, and if not, who refused whom.
async fn connection(settings: &Settings, url: &str) -> (Finding, Option<Response>) {
    let cm = &settings.cm;
    let path = match cm.kind {
        CmKind::Rest => "/cm/v1/whoami",
        CmKind::OpenBao => "/v1/sys/health",
    };
    let probed = match manner(settings) {
        Ok(manner) => probe::ask(&format!("{url}{path}"), manner).await,
        Err(error) => return (Finding::not_looked_at(CONNECTION, format!("{error:#}")), None),
    };
    let Probed { shown, outcome } = probed;
    let curl = format!(
        "curl -v --cacert {} --cert {} --key {} {url}{path}",
        shell(&cm.ca_file),
        shell(&cm.certificate_file),
        shell(&cm.key_file)
    );
    let signer = shown.last().map_or_else(|| String::from("nobody"), |last| issuer(last));
    let broken = match outcome {
        Ok(response) if response.status.is_success() || cm.kind == CmKind::OpenBao => {
            let fine = Finding::fine(CONNECTION, format!("{url} answers over mutual TLS (certificate by {signer})"));
            return (fine, Some(response));
        }
        Ok(response) => {
            let status = response.status.as_u16();
            let mend = match status {
                401 | 403 => "register the identity of cm.certificate_file as a gateway at the CM",
                503 => "wait until the CM is ready, and see its own log",
                _ => "set cm.url to the CM itself; a proxy or something else may answer in its place",
            };
            return (
                Finding::wrong(CONNECTION, format!("{url} answers {path} with status {status}"), AWAY, mend).run(curl),
                None,
            );
        }
        Err(broken) => broken,
    };
    let finding = match broken {
        Broken::Name(error) => Finding::wrong(
            CONNECTION,
            format!("the name in {url} has no address: {error}"),
            AWAY,
            "set cm.url to a name that resolves, or add it to the DNS of this host",
        )
        .run_editor(),
        Broken::Connection(address, error) => Finding::wrong(
            CONNECTION,
            format!("{address} of {url} takes no connections: {error}"),
            AWAY,
            "start the CM, set cm.url to where it listens, or open the firewall",
        )
        .run(curl),
        Broken::RefusedByUs(error) => Finding::wrong(
            CONNECTION,
            format!("we refuse the CM's certificate, which {signer} signed: {error}"),
            AWAY,
            why_refused(settings, &error, &signer),
        )
        .run(look(&cm.ca_file)),
        Broken::RefusedAfterwards(alert) => refused_us(settings, url, "after the handshake", alert),
        Broken::RefusedByThem(alert) if is_about_certificates(alert) => {
            refused_us(settings, url, "in the handshake", alert)
        }
        Broken::RefusedByThem(alert) => Finding::wrong(
            CONNECTION,
            format!("{url} ends the TLS handshake: alert {alert:?}"),
            AWAY,
            "let the CM speak TLS 1.2 or 1.3 with common cipher suites, and see its own log",
        )
        .run(curl),
        Broken::Handshake(error) => Finding::wrong(
            CONNECTION,
            format!("no TLS with {url}: {}", chain_of(&error)),
            AWAY,
            "set cm.url to the CM's port for TLS",
        )
        .run_editor(),
        Broken::NoAnswer(reason) | Broken::Unfit(reason) => {
            Finding::wrong(CONNECTION, format!("{url} does not answer: {reason}"), AWAY, "see the CM's own log")
                .run(curl)
        }
    };
    (finding, None)
}

fn why_refused(settings: &Settings, error: &rustls::Error, signer: &str) -> String {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
    };
    let rustls::Error::InvalidCertificate(reason) = error else { return String::from("see the CM's own log") };
    if matches!(reason, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }) {
        String::from("let the CM renew its certificate, or set this host's clock right (timedatectl status)")
    } else if matches!(reason, NotValidForName | NotValidForNameContext { .. }) {
        String::from("set cm.url to a name in the CM's certificate")
    } else {
        format!("if {signer} is the CA of your CM, put its certificate into {}", settings.cm.ca_file.display())
    }
}

/// As TLS 1.2 tells of a refused client certificate (RFC 5246 section 7.2.2). Of others nothing is said of ours.
fn is_about_certificates(alert: AlertDescription) -> bool {
    [
        AlertDescription::BadCertificate,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateUnknown,
        AlertDescription::CertificateRequired,
        AlertDescription::UnknownCA,
        AlertDescription::AccessDenied,
    ]
    .contains(&alert)
}

/// TLS 1.3 tells of a refused client certificate only after the handshake; here it is told apart from other ends.
fn refused_us(settings: &Settings, url: &str, when: &str, alert: AlertDescription) -> Finding {
    let file = settings.cm.certificate_file.display();
    let ours = CertificateDer::pem_file_iter(&settings.cm.certificate_file).ok().and_then(|mut all| all.next()?.ok());
    let ours = ours.map_or_else(String::new, |ours| format!("{}, by {}", subject(&ours), issuer(&ours)));
    Finding::wrong(
        CONNECTION,
        format!("{url} refuses our certificate in {file} ({ours}) {when}: alert {alert:?}"),
        AWAY,
        if alert == AlertDescription::CertificateExpired {
            format!("put a renewed certificate into {file}; it comes into use within seconds")
        } else {
            format!("put a certificate by the CM's CA for clients, with URI name urn:cm:gateway:<name>, into {file}")
        },
    )
    .run(format!(
        "openssl x509 -noout -subject -issuer -enddate -ext subjectAltName -in {}",
        shell(&settings.cm.certificate_file)
    ))
}

pub(super) fn manner(settings: &Settings) -> anyhow::Result<Manner> {
    let cm = &settings.cm;
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(&cm.ca_file)? {
        roots.add(root?)?;
    }
    let chain = CertificateDer::pem_file_iter(&cm.certificate_file)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&cm.key_file)?;
    Ok(Manner { trust: Some(roots), identity: Some((chain, key)) })
}

/// It answers, and does not take us for a gateway of these realms.
/// A CM that is reached and does not answer who we are has turned us away, as OpenBao does with those whom it lets not log in.
fn not_known(settings: &Settings, error: &CmError, is_reached: bool) -> Finding {
    match error {
        CmError::Unavailable { .. } if is_reached => Finding::wrong(
            IDENTITY,
            format!("the CM is reached and does not say who we are to it: {error}"),
            AWAY,
            "see the CM's own log",
        )
        .run(format!("curl -kv {}", settings.cm.url)),
        CmError::Unavailable { .. } | CmError::RateLimited { .. } => {
            Finding::not_looked_at(IDENTITY, format!("{error}: see {CONNECTION}"))
        }
        CmError::Refused(_)
        | CmError::EvidenceRefused(_)
        | CmError::BindingRefused(_)
        | CmError::KeyInUse { .. }
        | CmError::AlreadyRevoked
        | CmError::AlreadyIssued(_)
        | CmError::Internal { .. } => Finding::wrong(
            IDENTITY,
            error.to_string(),
            "serve does not start; one that runs alarms, and issues nothing",
            format!(
                "give this gateway the role and the realms at the CM, or correct cm.certificate_file ({}) or endpoints.*.realm",
                settings.cm.certificate_file.display()
            ),
        )
        .run(format!(
            "openssl x509 -noout -subject -issuer -ext subjectAltName -in {}",
            shell(&settings.cm.certificate_file)
        )),
    }
}

fn capabilities(settings: &Settings, identity: &Identity) -> Vec<Finding> {
    let missing = OPTIONAL.iter().filter(|(capability, _)| !identity.capabilities.contains(*capability));
    if settings.cm.kind == CmKind::OpenBao {
        // Nobody can mend it, so nobody is warned of it.
        let without: Vec<_> = missing.map(|(capability, lost)| format!("no {capability}: {lost}")).collect();
        return vec![Finding::fine(CAPABILITIES, format!("as always with OpenBao, {}", without.join("; ")))];
    }
    let mut findings: Vec<_> = missing
        .map(|(capability, lost)| {
            let mend = "nothing here: it is a matter of the CM's release or settings, docs/cm-rest-api.md section 3";
            Finding::warn(CAPABILITIES, format!("the CM lacks {capability}"), *lost, mend)
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::fine(CAPABILITIES, "the CM can do everything that the gateway makes use of"));
    }
    findings
}

async fn health(settings: &Settings, cm: &dyn CertificateManager) -> Finding {
    let ask = format!("curl -kv {}", settings.cm.url);
    match timeout(LOOK_MAX, cm.ready()).await {
        Ok(Ok(())) => Finding::fine(HEALTH, "the CM says that it is ready"),
        Ok(Err(error)) => {
            Finding::wrong(HEALTH, format!("the CM is not ready: {error}"), AWAY, "see the CM's own log").run(ask)
        }
        Err(_) => {
            Finding::wrong(HEALTH, "the CM does not say whether it is ready", AWAY, "see the CM's own log").run(ask)
        }
    }
}

/// What the way of question and answer explains is no difference.
fn clocks(theirs: Timestamp, asked: Timestamp, answered: Timestamp) -> Finding {
    let difference = theirs.since(answered).max(asked.since(theirs));
    let word = if theirs < asked { "behind" } else { "ahead of" };
    let what = format!("the CM's clock is {} seconds {word} ours", difference.as_secs());
    let breaks = "the CM refuses proofs as of another time, and its certificates are held or withheld";
    let (mend, run) = (
        "let this host and the CM keep their clocks by NTP, and see which of the two is off",
        "timedatectl timesync-status || chronyc tracking",
    );
    if difference > CLOCK_WRONG {
        Finding::wrong(CLOCK, what, breaks, mend).run(run)
    } else if difference > CLOCK_WARN {
        Finding::warn(CLOCK, what, breaks, mend).run(run)
    } else {
        Finding::fine(CLOCK, "the CM's clock and ours agree")
    }
}

/// For messages about one realm.
pub(super) fn of_realm(realm: &RealmName) -> String {
    format!("realm {realm}")
}
