//! The files that settings name: there, private where they hold a key, and fit for the user that runs the gateway.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use super::finding::Finding;
use crate::settings::{Settings, require_readable};

const CHECK: &str = "files";

/// Nobody but the owner.
const GROUP_AND_OTHERS: u32 = 0o077;

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let (server, cm) = (&settings.server, &settings.cm);
    let own = settings.server_certificate.from_endpoint.is_none();
    let mut secrets = vec![("cm.key_file", cm.key_file.as_path())];
    let mut others = vec![
        ("cm.ca_file", cm.ca_file.as_path()),
        ("cm.certificate_file", cm.certificate_file.as_path()),
        ("cm.issuer_roots_file", cm.issuer_roots_file.as_path()),
    ];
    if own {
        secrets.push(("server.key_file", server.key_file.as_path()));
        others.push(("server.certificate_file", server.certificate_file.as_path()));
    }
    secrets.extend(server.rsa_key_file.as_deref().map(|file| ("server.rsa_key_file", file)));
    others.extend(server.rsa_certificate_file.as_deref().map(|file| ("server.rsa_certificate_file", file)));
    let user = user(settings);
    let mut findings: Vec<_> = others.iter().filter_map(|(setting, file)| readable(setting, file).err()).collect();
    findings.extend(secrets.iter().flat_map(|(setting, file)| secret(setting, file, user)));
    findings.extend(seal_key(settings, user));
    if findings.is_empty() {
        findings.push(Finding::fine(
            CHECK,
            format!("all {} are there, and keys are private", secrets.len() + others.len()),
        ));
    }
    findings.extend(another_user(user));
    findings
}

fn readable(setting: &str, file: &Path) -> Result<(), Finding> {
    require_readable(file, setting).map_err(|error| {
        let mend = format!("put the file there, or set {setting} to where it is");
        Finding::wrong(CHECK, format!("{error:#}"), "serve does not start", mend)
    })
}

fn secret(setting: &str, file: &Path, user: Option<u32>) -> Vec<Finding> {
    if let Err(finding) = readable(setting, file) {
        return vec![finding];
    }
    let Ok(there) = fs::metadata(file) else { return Vec::new() };
    let shown = file.display();
    let mut findings = Vec::new();
    let mode = there.permissions().mode() & 0o777;
    if mode & GROUP_AND_OTHERS != 0 {
        findings.push(Finding::wrong(
            CHECK,
            format!("{setting}: {shown} has mode {mode:04o}, so that others can read this key"),
            "serve does not start; whoever has read the key can act as this gateway",
            format!("chmod 600 {shown}"),
        ));
    }
    if let Some(user) = user.filter(|user| there.uid() != *user && there.uid() != 0) {
        findings.push(Finding::wrong(
            CHECK,
            format!("{setting}: {shown} belongs to user {}, and the gateway runs as user {user}", there.uid()),
            "serve does not start",
            format!("chown {user} {shown}"),
        ));
    }
    findings
}

/// It is made at the first start; with orders there already it is missing.
fn seal_key(settings: &Settings, user: Option<u32>) -> Vec<Finding> {
    let file = &settings.secrets.seal_key_file;
    if file.exists() {
        return secret("secrets.seal_key_file", file, user);
    }
    if settings.store.dir.join("sled").exists() {
        return vec![Finding::wrong(
            CHECK,
            format!("secrets.seal_key_file: {} is gone, and there is a store that only it opens", file.display()),
            "at the next start the store is moved aside, and with it orders in flight and unconfirmed revocations",
            format!("before the next start, put the copy of the key back as {}", file.display()),
        )];
    }
    vec![Finding::fine(CHECK, format!("secrets.seal_key_file: {} is made at the first start", file.display()))]
}

/// Who runs the gateway: the owner of the store, or else whoever asks.
fn user(settings: &Settings) -> Option<u32> {
    let owner = |path: &Path| fs::metadata(path).ok().map(|there| there.uid());
    owner(&settings.store.dir).or_else(|| owner(Path::new("/proc/self")))
}

/// What one user may do says little about another.
fn another_user(user: Option<u32>) -> Option<Finding> {
    let ourselves = fs::metadata("/proc/self").ok()?.uid();
    let user = user.filter(|user| *user != ourselves)?;
    Some(Finding::warn(
        CHECK,
        format!("this is asked by user {ourselves}, and the store belongs to user {user}"),
        "what is found here about files and ports may not hold for the gateway",
        format!("sudo -u '#{user}' acme-gateway doctor"),
    ))
}
