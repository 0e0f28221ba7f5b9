//! `acme-gateway check-config`: everything that serve checks before it listens, without listening.

use std::path::Path;

use super::tls;
use crate::{
    app::Endpoint,
    settings::{self, Mode, Settings},
};

/// Checks, and shows the directories that would be served.
pub(super) fn run(config: &Path) -> anyhow::Result<()> {
    let settings = settings::load(config)?;
    let endpoints = Endpoint::all(&settings)?;
    check_files(&settings)?;
    println!("{} is good.", config.display());
    for endpoint in endpoints.values() {
        let mode = match endpoint.mode {
            Mode::Open => "open to anyone",
            Mode::Registered => "for registered clients",
        };
        println!("  {} (realm {}, {mode})", endpoint.links.directory(), endpoint.realm);
        if !endpoint.compatibility.is_strict() {
            println!("    deviates from the RFCs for its clients: {}", endpoint.compatibility);
        }
    }
    for danger in settings.dangers() {
        println!("WARNING: {danger}");
    }
    Ok(())
}

/// Reads the files that the settings name, as serve will.
pub(super) fn check_files(settings: &Settings) -> anyhow::Result<()> {
    tls::server_config(&settings.server)?;
    tls::anchors(&settings.cm.issuer_roots_file)?;
    settings::require_readable(&settings.cm.ca_file, "cm.ca_file")?;
    settings::require_readable(&settings.cm.certificate_file, "cm.certificate_file")?;
    settings::require_private(&settings.cm.key_file, "cm.key_file")
}
