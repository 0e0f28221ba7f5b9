//! `acme-gateway check-config`: everything that serve checks before it asks the CM and listens, and what it only warns of later.

use std::path::Path;

use acme::time::Timestamp;
use anyhow::bail;

use super::{output::say, serve::cm::Cm, tls};
use crate::{
    app::Endpoint,
    clock, seal,
    server_certificate::{self, Files},
    settings::{self, Mode, Settings},
};

/// Checks, and shows the directories that would be served.
pub(super) fn run(config: &Path) -> anyhow::Result<()> {
    let settings = settings::load(config)?;
    let service = settings::judge_for_owner_of(&settings.store.dir);
    let endpoints = Endpoint::all(&settings)?;
    check_files_but(&settings, settings::is_not_shown)?;
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
    for identity in tls::identities(&settings).iter().filter(|identity| settings::is_not_shown(&identity.key)) {
        let (setting, key) = (identity.key_setting(), identity.key.display());
        say(format_args!("  not checked before the service runs: {setting}: systemd shows {key} to it alone"))?;
    }
    for warning in warnings(&settings, clock::now()) {
        say(format_args!("WARNING: {warning}"))?;
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
    check_files_but(settings, |_| false)
}

/// Reads all but those keys that are hidden now.
fn check_files_but(settings: &Settings, is_hidden: fn(&Path) -> bool) -> anyhow::Result<()> {
    for identity in tls::identities(settings) {
        if is_hidden(&identity.key) {
            identity.require_certificate()?;
        } else {
            // Reads both, and refuses two that do not belong together.
            identity.validity()?;
        }
    }
    let own = &settings.server_certificate;
    let external = own.external_account_key_file.as_deref().filter(|_| !Files::of(own).has_account_key());
    if let Some(file) = external.filter(|file| !is_hidden(file)) {
        settings::require_private(file, "server_certificate.external_account_key_file")?;
    }
    let audit_key = settings.audit_key_file();
    if audit_key.exists() {
        settings::require_private(&audit_key, "audit.key_file")?;
    }
    if settings.secrets.seal_key_file.exists() {
        seal::key_from_file(&settings.secrets.seal_key_file)?;
    }
    let store = &settings.store.dir;
    if store.exists() && !store.is_dir() {
        bail!("store.dir: {} is no folder; name one, it is made at the first start", store.display());
    }
    tls::anchors(&settings.cm.issuer_roots_file)?;
    settings::require_readable(&settings.cm.ca_file, "cm.ca_file")?;
    if !is_hidden(&settings.cm.key_file) {
        // Nothing is sent.
        Cm::new(&settings.cm).map_err(|error| anyhow::anyhow!("cm.{error}"))?;
    }
    Ok(())
}

/// What serve takes and clients, or the CM, will not.
fn warnings(settings: &Settings, now: Timestamp) -> Vec<String> {
    let host = settings.server.external_url.host();
    let strays = settings::stray_variables().into_iter();
    let mut warnings: Vec<_> = strays
        .map(|name| format!("environment variable {name} sets nothing; write ACME_GATEWAY__ with two underscores"))
        .collect();
    for identity in tls::identities(settings).iter().filter(|identity| !settings::is_not_shown(&identity.key)) {
        let outcome = identity.require_valid(now).map(|_| ());
        let for_host = if identity.name == tls::CM { Ok(()) } else { identity.require_host(host) };
        warnings.extend([outcome, for_host].into_iter().filter_map(Result::err).map(|error| format!("{error:#}")));
    }
    warnings
}
