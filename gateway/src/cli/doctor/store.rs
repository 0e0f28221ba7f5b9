//! The store's folder and who has it, and the folder of the audit files. The database itself is not opened: that is for
//! `serve`, which may have to move a damaged one aside.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use super::{
    finding::{Finding, shell},
    holder::{self, PROGRAM},
};
use crate::settings::Settings;

const CHECK: &str = "store";
const AUDIT: Place = Place {
    check: "audit",
    setting: "audit.dir",
    full: "with audit.on_failure = stop nothing new is issued when it is full",
};
const STORE: Place = Place { check: CHECK, setting: "store.dir", full: "newOrder answers 503 when it is full" };
const MIB: u64 = 1024 * 1024;
/// Beside the ballast, for some days of orders.
const SPACE_WARN_MIB: u64 = 1024;
const SPACE_WRONG_MIB: u64 = 64;
/// Each order waits for some of these.
const SYNC_WARN: Duration = Duration::from_millis(100);
/// File systems that lose what was synced, and those whose locks and syncs cannot be relied on.
const FORGETFUL: [&str; 2] = ["tmpfs", "ramfs"];
const REMOTE: [&str; 6] = ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"];

/// A folder that is written to.
#[derive(Clone, Copy)]
struct Place {
    check: &'static str,
    setting: &'static str,
    /// What a full disk breaks.
    full: &'static str,
}

/// Of the folder that the audit files go to.
pub(super) fn check_audit(settings: &Settings) -> Vec<Finding> {
    let dir = settings.audit_dir();
    let Some(there) = nearest(&dir) else {
        return vec![Finding::not_looked_at(
            AUDIT.check,
            format!("{} is in no folder that can be seen", dir.display()),
        )];
    };
    let mut findings = vec![sync(AUDIT, &there)];
    findings.extend(kind(AUDIT, &there));
    findings.push(space(AUDIT, &there, 0));
    findings
}

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let dir = &settings.store.dir;
    let mut findings = Vec::new();
    let Some(there) = nearest(dir) else {
        return vec![Finding::not_looked_at(CHECK, format!("{} is in no folder that can be seen", dir.display()))];
    };
    if there != *dir {
        findings.push(Finding::fine(CHECK, format!("{} is made at the first start", dir.display())));
    }
    match holder::find(settings) {
        Some((pid, name)) if name == PROGRAM => {
            let what = format!("a gateway (process {pid}) has it open; what is in it was not looked at");
            findings.push(Finding::fine(CHECK, what));
        }
        Some((pid, name)) => {
            let what = format!("process {pid} ({name}), which is no gateway, holds {}/lock", dir.display());
            let mend = "see what it is, and stop it";
            findings.push(Finding::wrong(CHECK, what, "serve does not start", mend).run(format!("ps -fp {pid}")));
        }
        None => {}
    }
    findings.push(sync(STORE, &there));
    findings.extend(kind(STORE, &there));
    findings.push(space(STORE, &there, settings.store.ballast_mib));
    findings.extend(damaged(dir));
    findings
}

/// The folder itself, or the one in which it will be made.
fn nearest(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned)
}

/// The file that is written to see whether a folder can be. Places are looked at side by side, and before the first
/// start they may be in the same folder, so each has its own.
fn probe(check: &str, folder: &Path) -> PathBuf {
    folder.join(format!("doctor-{}-{check}.probe", std::process::id()))
}

/// Writes a small file beside the store's own, makes it durable and deletes it.
fn sync(Place { check, setting, .. }: Place, folder: &Path) -> Finding {
    let path = probe(check, folder);
    let begun = Instant::now();
    let written = (|| -> io::Result<()> {
        let mut file = File::create_new(&path)?;
        file.write_all(&[0; 4096])?;
        file.sync_all()?;
        File::open(folder)?.sync_all()
    })();
    let took = begun.elapsed();
    let _absent = fs::remove_file(&path);
    match written {
        Err(error) => {
            let (mend, run) = mend_of(folder, error.kind());
            Finding::wrong(
                check,
                format!("{setting}: {} cannot be written to: {error}", folder.display()),
                "nothing can be stored: newOrder answers 503, or serve does not start",
                mend,
            )
            .run(run)
        }
        Ok(()) if took > SYNC_WARN => Finding::warn(
            check,
            format!("making 4 KiB durable in {} took {} ms", folder.display(), took.as_millis()),
            "every order waits so long several times",
            format!("see what else keeps the disk busy, or set {setting} to a folder on a faster one"),
        )
        .run("cat /proc/pressure/io"),
        Ok(()) => {
            Finding::fine(check, format!("making 4 KiB durable in {} took {} ms", folder.display(), took.as_millis()))
        }
    }
}

fn mend_of(folder: &Path, kind: io::ErrorKind) -> (&'static str, String) {
    let folder = shell(folder);
    let mends = [
        (
            io::ErrorKind::PermissionDenied,
            "run serve as the owner of this folder, or give it to the user of serve",
            format!("chown acme-gateway {folder}; chmod 700 {folder}"),
        ),
        (io::ErrorKind::StorageFull, "make space on this disk", format!("df -h {folder}; du -sh {folder}/*")),
        (
            io::ErrorKind::ReadOnlyFilesystem,
            "see why the system mounted it read-only (dmesg), then mount it for writing again",
            format!("mount -o remount,rw $(findmnt -no TARGET -T {folder})"),
        ),
    ];
    let mend = mends.into_iter().find(|(known, ..)| *known == kind);
    mend.map_or_else(|| ("see what is wrong with the disk", String::from("dmesg")), |(_, mend, run)| (mend, run))
}

fn kind(Place { check, setting, .. }: Place, folder: &Path) -> Option<Finding> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let folder = folder.canonicalize().ok()?;
    let kind = kind_in(&mounts, &folder)?;
    let mend = format!("set {setting} to a folder on a local disk");
    if FORGETFUL.contains(&kind) {
        let what = format!("{} is on {kind}, which is gone after a reboot", folder.display());
        let breaks = if check == CHECK {
            "orders in flight and unconfirmed revocations are lost with a reboot"
        } else {
            "the audit trail is lost with a reboot"
        };
        return Some(Finding::wrong(check, what, breaks, mend).run_editor());
    }
    if REMOTE.contains(&kind) {
        let what = format!("{} is on {kind}, a file system of another host", folder.display());
        let breaks = "what was acknowledged can be lost, and two gateways may open it";
        return Some(Finding::wrong(check, what, breaks, mend).run_editor());
    }
    Some(Finding::fine(check, format!("it is on {kind}")))
}

/// The kind of the file system that a folder is on (proc(5), mountinfo).
fn kind_in<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mount = |line: &'a str| {
        let point = line.split(' ').nth(4)?.replace("\\040", " ");
        let kind = line.split_once(" - ")?.1.split(' ').next()?;
        folder.starts_with(&point).then_some((point.len(), kind))
    };
    // Of two at one place the later one is seen.
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

/// The system tells its free space to programs in C only; `df` is everywhere.
fn space(Place { check, full, .. }: Place, folder: &Path, ballast_mib: u32) -> Finding {
    let output = Command::new("df").arg("-Pk").arg("--").arg(folder).output();
    let Some(mib) = output.ok().and_then(|output| available_mib(&String::from_utf8_lossy(&output.stdout))) else {
        return Finding::not_looked_at(check, "free space: df cannot be asked");
    };
    let (what, mend) = (format!("{mib} MiB are free for {}", folder.display()), "make space on this disk");
    let run = format!("df -h {0}; du -sh {0}/*", shell(folder));
    let needed = SPACE_WRONG_MIB + u64::from(ballast_mib);
    if mib < needed {
        Finding::wrong(check, what, full, mend).run(run)
    } else if mib < SPACE_WARN_MIB {
        Finding::warn(check, what, full, mend).run(run)
    } else {
        Finding::fine(check, what)
    }
}

fn available_mib(df: &str) -> Option<u64> {
    let kib: u64 = df.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib / (MIB / 1024))
}

/// Databases that were moved aside wait for somebody to look at them.
fn damaged(dir: &Path) -> Vec<Finding> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let aside = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("sled.damaged-"));
    aside
        .map(|entry| {
            let path = entry.path();
            Finding::warn(
                CHECK,
                format!("{} was moved aside: it was damaged, or sealed with another key", path.display()),
                "orders, stops of profiles and unconfirmed revocations in it are not known any more",
                "see in the log whether a profile was stopped or a revocation waited (docs/OPERATIONS.md, A damaged \
                 store), then delete it",
            )
            .run(format!("rm -r {}", shell(&path)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_longest_mount_point() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:20 / /run rw - tmpfs tmpfs rw\n\
                      24 22 0:21 / /my\\040data rw master:1 - nfs4 host:/ rw\n";
        for (folder, kind) in [("/var/lib", "ext4"), ("/run/a", "tmpfs"), ("/runner", "ext4"), ("/my data/a", "nfs4")] {
            assert_eq!(kind_in(mounts, Path::new(folder)), Some(kind), "{folder}");
        }
    }

    #[test]
    fn places_in_one_folder_do_not_disturb_each_other() {
        let folder = std::env::temp_dir().join(format!("acme-gateway-doctor-{}-places", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let of_the_store = probe(STORE.check, &folder);
        fs::write(&of_the_store, "it is being looked at").unwrap();
        let looked = serde_json::to_value(sync(AUDIT, &folder)).unwrap();
        assert_ne!(looked["severity"], "wrong", "{looked}");
        assert!(of_the_store.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn free_space_is_the_fourth_word_of_the_second_line() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 4000 1 3072 1% /\n";
        assert_eq!((available_mib(df), available_mib("")), (Some(3), None));
    }
}
