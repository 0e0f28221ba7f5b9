//! The files that settings name: there, private where they hold a key, and fit for the user that runs the gateway.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::finding::{Finding, shell};
use crate::{
    seal,
    settings::{
        Settings, gateway_user, is_not_shown, is_open_folder, judge_for_owner_of, open_to_others, require_readable,
    },
};

const CHECK: &str = "files";

const DAY_SECS: u64 = 86_400;
/// A key and its store are made in the same start.
const YOUNGER_MAX: Duration = Duration::from_secs(3600);

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
    let bound_with = settings.server_certificate.external_account_key_file.as_deref();
    secrets.extend(bound_with.map(|file| ("server_certificate.external_account_key_file", file)));
    others.extend(server.rsa_certificate_file.as_deref().map(|file| ("server.rsa_certificate_file", file)));
    let user = gateway_user(&settings.store.dir);
    let mut findings: Vec<_> = others.iter().filter_map(|(setting, file)| readable(setting, file).err()).collect();
    findings.extend(secrets.iter().flat_map(|(setting, file)| secret(setting, file, user)));
    let (audit, audit_key) = (settings.audit_dir(), settings.audit_key_file());
    if audit_key.exists() {
        findings.extend(secret("audit.key_file", &audit_key, user));
    }
    let more = [&settings.secrets.seal_key_file, &settings.store.dir, &audit, &audit_key].map(PathBuf::as_path);
    let all = secrets.iter().map(|(_, file)| *file).chain(more);
    findings.extend(open_folders(all));
    if findings.is_empty() {
        findings.push(Finding::fine(
            CHECK,
            format!("all {} are there, and keys are private", secrets.len() + others.len()),
        ));
    }
    findings.extend(seal_key(settings, user));
    findings.extend(another_user(&settings.store.dir, user));
    findings
}

fn readable(setting: &str, file: &Path) -> Result<(), Finding> {
    if is_not_shown(file) {
        let what = format!("{setting}: systemd shows {} to root, and while the service runs", file.display());
        return Err(Finding::not_looked_at(CHECK, what));
    }
    require_readable(file, setting).map_err(|error| {
        let mend = format!("put the file there, or set {setting} to where it is");
        Finding::wrong(CHECK, format!("{error:#}"), "serve does not start", mend).run(format!("ls -l {}", shell(file)))
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
    if mode & open_to_others(file) != 0 {
        let what = format!("{setting}: {shown} has mode {mode:04o}, so that others can read this key");
        let breaks = "serve does not start; whoever has read the key can act as this gateway";
        let mend = "let only its owner read it, and take a new key if strangers use this host";
        findings.push(Finding::wrong(CHECK, what, breaks, mend).run(format!("chmod 600 {}", shell(file))));
    }
    if let Some(user) = user.filter(|user| there.uid() != *user && there.uid() != 0) {
        let what = format!("{setting}: {shown} belongs to user {}, and the gateway runs as user {user}", there.uid());
        let finding = Finding::wrong(CHECK, what, "serve does not start", "give it to the gateway's user");
        findings.push(finding.run(format!("chown {user} {}", shell(file))));
    }
    findings
}

/// It is made at the first start; with orders there already it is missing.
fn seal_key(settings: &Settings, user: Option<u32>) -> Vec<Finding> {
    let file = &settings.secrets.seal_key_file;
    let is_there = file.exists();
    if is_there {
        let findings = secret("secrets.seal_key_file", file, user);
        if !findings.is_empty() {
            return findings;
        }
        // Only a key that is there: asked for a missing one it makes one.
        if let Err(error) = seal::key_from_file(file) {
            let mend = "put the copy of the key back; without one delete the file, and with it go orders in flight";
            let finding = Finding::wrong(CHECK, format!("{error:#}"), "serve does not start", mend);
            return vec![finding.run(format!("wc -c {}", shell(file)))];
        }
    }
    let database = settings.store.dir.join("sled");
    let lost = "at the next start the store is moved aside, and with it orders in flight and unconfirmed revocations";
    if !database.exists() {
        let word = if is_there { "is there" } else { "is made at the first start" };
        return vec![Finding::fine(CHECK, format!("secrets.seal_key_file: {} {word}", file.display()))];
    }
    if !is_there {
        let what =
            format!("secrets.seal_key_file: {} is gone, and there is a store that only it opens", file.display());
        let mend = format!("before the next start, put the copy of the key back as {}", file.display());
        return vec![Finding::wrong(CHECK, what, lost, mend).run(format!("ls -l {}", shell(file)))];
    }
    // Written once, when the database was made.
    let made = database.join("conf");
    let age = |path: &Path| fs::metadata(path).and_then(|there| there.modified()).ok();
    match age(file).zip(age(&made)) {
        Some((key, store)) if key > store + YOUNGER_MAX => {
            let what = format!("secrets.seal_key_file: {} is younger than the store that it opens", file.display());
            let mend = "compare it with your copy of the key; if it is the right one, give it its age back";
            vec![Finding::warn(CHECK, what, format!("if it is another key than before: {lost}"), mend).run(format!(
                "touch -r {} {}",
                shell(&made),
                shell(file)
            ))]
        }
        Some((key, _)) => {
            let days = key.elapsed().unwrap_or_default().as_secs() / DAY_SECS;
            vec![Finding::fine(CHECK, format!("secrets.seal_key_file: {} is {days} days old", file.display()))]
        }
        None => Vec::new(),
    }
}

/// Folders above these in which everybody may exchange what is in them; where the sticky bit is set, they may not.
fn open_folders<'a>(files: impl Iterator<Item = &'a Path>) -> Vec<Finding> {
    let folders: BTreeSet<&Path> = files.flat_map(|file| file.ancestors().skip(1)).collect();
    let open =
        folders.into_iter().filter(|folder| !folder.as_os_str().is_empty()).filter(|folder| is_open_folder(folder));
    open.map(|folder| {
        let what = format!("everybody on this host may exchange what is in {}", folder.display());
        let breaks = "somebody else can put keys and a store of his own in the place of the gateway's";
        let mend = "let nobody but its owner write there, and see whether the keys are still yours";
        Finding::wrong(CHECK, what, breaks, mend).run(format!("chmod o-w {}", shell(folder)))
    })
    .collect()
}

/// What one user may do says little about another.
fn another_user(state: &Path, user: Option<u32>) -> Option<Finding> {
    if let Some(service) = judge_for_owner_of(state) {
        return Some(Finding::not_looked_at(CHECK, service.caution()));
    }
    let ourselves = fs::metadata("/proc/self").ok()?.uid();
    let user = user.filter(|user| *user != ourselves)?;
    let what = format!("this is asked by user {ourselves}, and the store belongs to user {user}");
    let breaks = "what is found here about files and ports may not hold for the gateway";
    let finding = Finding::warn(CHECK, what, breaks, "ask as the gateway's user, with the same --config");
    Some(finding.run(format!("sudo -u '#{user}' acme-gateway doctor")))
}
