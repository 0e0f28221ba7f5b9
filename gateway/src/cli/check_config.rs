//! `acme-gateway check-config`: everything that serve checks before it listens, without listening.

use std::path::Path;

use super::{output::say, tls};
use crate::{
    app::Endpoint,
    clock,
    server_certificate::{self, Files},
    settings::{self, Mode, Settings},
};

/// Checks, and shows the directories that would be served.
pub(super) fn run(config: &Path) -> anyhow::Result<()> {
    let settings = settings::load(config)?;
    let service = settings::judge_for_owner_of(&settings.store.dir);
    let endpoints = Endpoint::all(&settings)?;
    check_files(&settings)?;
    say(format_args!("{} is good.", config.display()))?;
    for endpoint in endpoints.values() {
        let mode = match endpoint.mode {
            Mode::Open => "open to anyone",
            Mode::Registered => "for registered clients",
        };
        say(format_args!("  {} (realm {}, {mode})", endpoint.links.directory(), endpoint.realm))?;
        if !endpoint.compatibility.is_strict() {
            say(format_args!("    deviates from the RFCs for its clients: {}", endpoint.compatibility))?;
        }
    }
    if let Some(text) = own_certificate(&settings) {
        say(format_args!("  {text}"))?;
    }
    if let Some(service) = service {
        say(format_args!("  not checked: {}", service.caution()))?;
    }
    for danger in settings.dangers() {
        say(format_args!("WARNING: {danger}"))?;
    }
    Ok(())
}

/// What becomes of the gateway's own certificate, if the CM issues it.
fn own_certificate(settings: &Settings) -> Option<String> {
    let own = &settings.server_certificate;
    let (endpoint, names) = (own.from_endpoint.as_ref()?, settings.server_names().join(", "));
    let from = format!("server certificate for {names} from endpoint {endpoint}");
    if let Err(error) = server_certificate::require_usable(settings) {
        return Some(format!("{from}: {error:#}; serve moves it aside and asks for another"));
    }
    let validity = tls::server_identity(settings).validity().ok();
    let expires = validity.map(|validity| validity.not_after);
    Some(match expires.filter(|_| !server_certificate::is_awaited(settings)) {
        Some(expires) if expires < clock::now() => format!("{from}, expired at {expires}: another is asked for"),
        Some(expires) => format!("{from}, in {} until {expires}", own.dir.display()),
        None => format!("{from}: there is none yet; until it comes clients see one that nobody vouches for"),
    })
}

/// Reads the files that the settings name, as serve will.
pub(super) fn check_files(settings: &Settings) -> anyhow::Result<()> {
    tls::check_server(settings)?;
    let own = &settings.server_certificate;
    if let Some(file) = own.external_account_key_file.as_deref().filter(|_| !Files::of(own).has_account_key()) {
        settings::require_private(file, "server_certificate.external_account_key_file")?;
    }
    let audit_key = settings.audit_key_file();
    if audit_key.exists() {
        settings::require_private(&audit_key, "audit.key_file")?;
    }
    tls::anchors(&settings.cm.issuer_roots_file)?;
    settings::require_readable(&settings.cm.ca_file, "cm.ca_file")?;
    settings::require_readable(&settings.cm.certificate_file, "cm.certificate_file")?;
    settings::require_private(&settings.cm.key_file, "cm.key_file")
}
