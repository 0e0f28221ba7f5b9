//! How long the gateway's own certificates and its anchors last, and whether they belong to their keys.

use std::{path::Path, time::Duration};

use acme::{
    certificate::{Names, Validity},
    problem::shown,
    time::Timestamp,
};

use super::finding::{Finding, shell};
use crate::{
    cli::tls::{self, Identity},
    server_certificate,
    settings::{self, Settings},
};

const CHECK: &str = "certificates";
const DAY: Duration = Duration::from_secs(86_400);
/// Certificates of ours are told of this long before their end, or at an eighth of their life.
const SOON: Duration = Duration::from_secs(30 * 86_400);
/// Anchors take longer to exchange.
const ANCHOR_SOON: Duration = Duration::from_secs(90 * 86_400);

pub(super) fn check(settings: &Settings, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if server_certificate::is_awaited(settings) {
        findings.push(
            Finding::warn(
                CHECK,
                "server_certificate: the CM has not issued the gateway's own certificate yet",
                "clients see a certificate that nobody vouches for",
                "see what its order waits for, and let the CM issue",
            )
            .run("journalctl -u acme-gateway -n 100 --no-pager"),
        );
    } else {
        findings.push(identity("server", &tls::server_identity(settings), now));
    }
    findings.extend(tls::rsa_identity(settings).map(|pair| identity("server, RSA", &pair, now)));
    findings.push(identity("identity at the CM", &tls::cm_identity(&settings.cm), now));
    findings.extend(anchors(settings, now));
    findings
}

fn identity(name: &str, identity: &Identity<'_>, now: Timestamp) -> Finding {
    let (file, path) = (identity.certificate.display(), shell(&identity.certificate));
    if settings::is_not_shown(&identity.key) {
        return Finding::not_looked_at(CHECK, format!("{name}: its key {} is not shown now", identity.key.display()));
    }
    let validity = match identity.validity() {
        Ok(validity) => validity,
        Err(error) => {
            let mend = format!("put the certificate into {file} and its key into {}", identity.key.display());
            let finding = Finding::wrong(CHECK, format!("{name}: {error:#}"), "serve does not start", mend);
            return finding.run(format!(
                "openssl x509 -noout -subject -pubkey -in {path}; openssl pkey -pubout -in {}",
                shell(&identity.key)
            ));
        }
    };
    let Validity { not_before, not_after } = validity;
    let renew = format!("put a renewed certificate into {file}; it comes into use within seconds");
    let show = format!("openssl x509 -noout -subject -issuer -enddate -in {path}");
    let breaks = if identity.name == tls::CM { "the CM refuses every call" } else { "clients refuse to connect" };
    if not_after < now {
        return Finding::wrong(CHECK, format!("{name}: {file} expired at {not_after}"), breaks, renew).run(show);
    }
    if now < not_before {
        let what = format!("{name}: {file} is not valid before {not_before}, and it is {now} here");
        return Finding::wrong(CHECK, what, breaks, "set this host's clock right if it is wrong")
            .run("timedatectl status");
    }
    let left = not_after.since(now);
    let what = format!("{name}: {file} is good until {not_after} ({} days)", left.as_secs() / DAY.as_secs());
    if left <= SOON.min(not_after.since(not_before) / 8) {
        return Finding::warn(CHECK, what, format!("then {breaks}"), renew).run(show);
    }
    Finding::fine(CHECK, what)
}

fn anchors(settings: &Settings, now: Timestamp) -> Vec<Finding> {
    let file = &settings.cm.issuer_roots_file;
    let anchors = match tls::anchors(file) {
        Ok(anchors) => anchors,
        Err(error) => {
            let mend = format!("put the roots of your CA in PEM into {}", file.display());
            return vec![Finding::wrong(CHECK, format!("{error:#}"), "serve does not start", mend).run(look(file))];
        }
    };
    let mut findings = Vec::new();
    for anchor in &anchors {
        let Some(Validity { not_after, .. }) = Validity::of(anchor) else { continue };
        let what = |word: &str| format!("cm.issuer_roots_file: {} {word} {not_after}", subject(anchor));
        let breaks = "certificates that chain to it are withheld from clients";
        let mend = format!("add the root that replaces it to {}", file.display());
        if not_after < now {
            findings.push(Finding::wrong(CHECK, what("expired at"), breaks, mend).run(look(file)));
        } else if not_after.since(now) < ANCHOR_SOON {
            findings.push(Finding::warn(CHECK, what("ends at"), breaks, mend).run(look(file)));
        }
    }
    if findings.is_empty() {
        findings
            .push(Finding::fine(CHECK, format!("cm.issuer_roots_file: {} roots, none near its end", anchors.len())));
    }
    findings
}

/// Shows what is in a file of certificates.
pub(super) fn look(file: &Path) -> String {
    format!("openssl storeutl -noout -text -certs {}", shell(file))
}

/// Whose certificate this is, for people.
pub(super) fn subject(der: &[u8]) -> String {
    Names::of(der).map_or_else(|| String::from("no certificate"), |names| shown(&names.subject).to_string())
}

/// Who signed it, for people.
pub(super) fn issuer(der: &[u8]) -> String {
    Names::of(der).map_or_else(|| String::from("nobody"), |names| shown(&names.issuer).to_string())
}
