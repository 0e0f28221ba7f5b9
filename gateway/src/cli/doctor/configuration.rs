//! The settings as `serve` would judge them, and what they say together that cannot be meant.

use std::path::Path;

use super::finding::Finding;
use crate::settings::{self, Settings};

const CHECK: &str = "configuration";

/// Reads them; whoever has none cannot look at anything else.
pub(super) fn load(config: &Path) -> Result<Settings, Finding> {
    settings::load(config).map_err(|error| {
        let mend = if config.is_file() {
            format!("correct the setting in {}", config.display())
        } else {
            format!("put your settings into {}, or name their file with --config", config.display())
        };
        Finding::wrong(CHECK, error.to_string(), "serve does not start with these settings", mend).run_editor()
    })
}

pub(super) fn check(settings: &Settings, config: &Path) -> Vec<Finding> {
    let validation = &settings.validation;
    let edit = |what: &str| format!("{what} in {}, then restart the gateway", config.display());
    let mut findings = vec![Finding::fine(CHECK, format!("{} can be read", config.display()))];
    for danger in settings.dangers() {
        let mend = edit("take out the setting that begins with danger_");
        findings.push(Finding::warn(CHECK, danger, "a protection is weakened", mend).run_editor());
    }
    if !validation.public_addresses && validation.allow.is_empty() && !validation.danger_allow_loopback {
        findings.push(
            Finding::wrong(
                CHECK,
                "validation.public_addresses is false and validation.allow is empty: nothing may be dialled",
                "every http-01 and tls-alpn-01 challenge fails",
                edit("name the networks of your clients, such as validation.allow = [\"10.20.0.0/16\"],"),
            )
            .run_editor(),
        );
    }
    for (setting, port, usual) in [
        ("validation.http_port", validation.http_port, 80),
        ("validation.https_port", validation.https_port, 443),
        ("validation.tls_port", validation.tls_port, 443),
    ] {
        if port != usual {
            let what = format!(
                "{setting} is {port}, and clients prove control at port {usual} (RFC 8555 section 8.3, RFC 8737)"
            );
            let mend = edit(&format!("take out {setting}"));
            findings.push(Finding::warn(CHECK, what, "challenges of common clients fail", mend).run_editor());
        }
    }
    findings
}
