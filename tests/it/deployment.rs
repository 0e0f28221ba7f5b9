//! What `deploy/` ships: the unit as systemd judges it, and packages whose files are all there. That the service really
//! runs under its unit, `cargo xtask deployment` shows.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tests::binaries;

/// Most exposure of the unit, in tenths, as `systemd-analyze security` counts it.
const EXPOSURE_MAX: &str = "15";
/// Where packages put the program.
const PROGRAM: &str = "/usr/bin/acme-gateway";
/// Below it, `cargo xtask package` makes what it packs.
const BUILT: &str = "target/release/";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn unit() -> String {
    fs::read_to_string(root().join("deploy/systemd/acme-gateway.service")).unwrap()
}

/// A folder of one test with the unit in it, whose program is the one that was built.
fn folder(test: &str, unit: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("acme-gateway-deployment-{}-{test}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let unit = unit.replace(PROGRAM, binaries::gateway().to_str().unwrap());
    fs::write(folder.join("acme-gateway.service"), unit).unwrap();
    folder
}

fn analyze(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(folder.join("acme-gateway.service"));
    command.output().expect("systemd-analyze is there: Debian's package systemd")
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether it is exposed no more than it may be, and what systemd says.
fn exposure(test: &str, unit: &str) -> (bool, String) {
    let folder = folder(test, unit);
    let judged =
        analyze(&folder, &["security", "--no-pager", "--offline=true", &format!("--threshold={EXPOSURE_MAX}")]);
    fs::remove_dir_all(folder).unwrap();
    (judged.status.success(), words(&judged))
}

#[test]
fn the_unit_is_hardly_exposed() {
    let (good, said) = exposure("hardened", &unit());
    assert!(good && said.contains("Overall exposure level"), "{said}");
    println!("{}", said.lines().last().unwrap_or_default());
    // The threshold is one that a unit can miss.
    let open = unit().replace("NoNewPrivileges=yes\n", "").replace("ProtectSystem=strict\n", "");
    let (good, said) = exposure("open", &open);
    assert!(!good, "{said}");
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let good = folder("understood", &unit());
    let verified = analyze(&good, &["verify", "--man=no", "--recursive-errors=no"]);
    fs::remove_dir_all(good).unwrap();
    // Only of this unit: others of this machine are not ours.
    let said = words(&verified);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("acme-gateway")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");

    let wrong = folder("not-understood", &unit().replace("ProtectSystem=strict", "ProtectSytem=strict"));
    let said = words(&analyze(&wrong, &["verify", "--man=no", "--recursive-errors=no"]));
    fs::remove_dir_all(wrong).unwrap();
    assert!(said.contains("ProtectSytem"), "{said}");
}

#[test]
fn the_canarys_units_are_understood_and_hardly_exposed_and_enabled_by_whoever_wants_them() {
    let folder = env::temp_dir().join(format!("acme-gateway-deployment-{}-canary", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let program = binaries::gateway();
    let [service, timer] = ["service", "timer"].map(|kind| {
        let name = format!("acme-gateway-canary.{kind}");
        let unit = fs::read_to_string(root().join("deploy/systemd").join(&name)).unwrap();
        fs::write(folder.join(&name), unit.replace(PROGRAM, program.to_str().unwrap())).unwrap();
        folder.join(name)
    });
    let analyze = |arguments: &[&str], units: &[&Path]| {
        Command::new("systemd-analyze").args(arguments).args(units).output().expect("Debian's package systemd")
    };
    let verify = || words(&analyze(&["verify", "--man=no", "--recursive-errors=no"], &[&service, &timer]));
    let said = verify();
    let ours: Vec<_> = said.lines().filter(|line| line.contains("acme-gateway")).collect();
    assert!(ours.is_empty(), "{said}");
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let judged = analyze(&["security", "--no-pager", "--offline=true", &threshold], &[&service]);
    assert!(judged.status.success(), "{}", words(&judged));

    // What would be found, is.
    let wrong = fs::read_to_string(&timer).unwrap().replace("OnCalendar=*:0/10", "OnCalender=*:0/10");
    fs::write(&timer, wrong).unwrap();
    let said = verify();
    assert!(said.contains("OnCalender"), "{said}");
    fs::remove_dir_all(folder).unwrap();

    let installs = fs::read_to_string(root().join("deploy/debian/gateway/postinst")).unwrap();
    assert!(!installs.contains("canary"), "{installs}");
}

#[test]
fn user_and_folders_are_made_as_the_unit_expects_them() {
    let there = env::temp_dir().join(format!("acme-gateway-deployment-{}-root", std::process::id()));
    fs::create_dir_all(there.join("etc")).unwrap();
    let from = |file: &str| root().join("deploy/systemd").join(file);
    let made = Command::new("systemd-sysusers")
        .arg(format!("--root={}", there.display()))
        .arg("--dry-run")
        .arg(from("acme-gateway.sysusers"))
        .output()
        .unwrap();
    let said = words(&made);
    assert!(made.status.success() && said.contains("acme-gateway"), "{said}");
    let folders = fs::read_to_string(from("acme-gateway.tmpfiles")).unwrap();
    let unit = unit();
    let keys = unit.lines().find_map(|line| line.strip_prefix("LoadCredential=key:")).unwrap();
    assert!(folders.lines().any(|line| line.starts_with(&format!("d {keys} 0700 root root"))), "{folders}");
    fs::remove_dir_all(there).unwrap();
}

/// A file, or any of those that `FOLDER/*.EXTENSION` means.
fn is_there(crate_folder: &Path, source: &str) -> bool {
    let Some((folder, extension)) = source.split_once("/*.") else { return crate_folder.join(source).exists() };
    let mut files = fs::read_dir(crate_folder.join(folder)).into_iter().flatten();
    files.any(|file| file.unwrap().path().extension().is_some_and(|found| found == extension))
}

#[test]
fn packages_list_only_files_that_are_there() {
    let metadata = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let mut packages = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let deb = &package["metadata"]["deb"];
        if deb.is_null() {
            continue;
        }
        let name = deb["name"].as_str().unwrap();
        let crate_folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let assets = deb["assets"].as_array().unwrap();
        let sources = assets.iter().map(|asset| asset[0].as_str().unwrap());
        let scripts = deb["maintainer-scripts"].as_str();
        let others = [deb["license-file"][0].as_str(), scripts].into_iter().flatten();
        for source in sources.chain(others).filter(|source| !source.starts_with(BUILT)) {
            assert!(is_there(crate_folder, source), "{name}: there is no {source}");
        }
        let program = format!("{BUILT}{name}");
        assert!(assets.iter().any(|asset| asset[0] == program && asset[1] == "usr/bin/"), "{name} has no program");
        packages.push(name.to_owned());
    }
    packages.sort_unstable();
    assert_eq!(packages, ["acme-gateway", "acme-officer"]);
}

#[test]
fn settings_to_begin_with_are_refused_only_for_what_is_not_there_yet() {
    let example = root().join("deploy/debian/gateway.toml");
    let checked = Command::new(binaries::gateway()).arg("check-config").arg("--config").arg(&example).output().unwrap();
    let said = words(&checked);
    assert!(!checked.status.success() && said.contains("cannot read") && said.contains("_file"), "{said}");
}

#[test]
fn the_unit_tries_again_for_ever_unless_the_settings_are_wrong() {
    let unit = unit();
    let said = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("the unit has no {name}"))
    };
    assert_eq!([said("Restart"), said("StartLimitIntervalSec")], ["on-failure", "0"]);
    // Of the program that serves: systemd looks at no other's exit code for this.
    assert!(!unit.contains("\nExecStartPre="), "{unit}");
    let wrong: i32 = said("RestartPreventExitStatus").parse().unwrap();

    let folder = folder("settings", &unit);
    let example = fs::read_to_string(root().join("deploy/debian/gateway.toml")).unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    for (settings, is_wrong, words_of_it) in [
        (file("unknown.toml", &format!("{example}\nunknown = 1\n")), true, "unknown"),
        (file("unsound.toml", &example.replace("https://acme", "http://acme")), true, "server.external_url"),
        (file("no-toml.toml", "["), true, "no-toml.toml"),
        // What they name is not there yet, nor are they themselves.
        (file("good.toml", &example), false, "cannot read"),
        (folder.join("absent.toml"), false, "absent.toml"),
    ] {
        for command in ["serve", "check-config"] {
            let ended = Command::new(binaries::gateway()).arg(command).arg("--config").arg(&settings).output().unwrap();
            let said = words(&ended);
            assert!(said.contains(words_of_it), "{command} {}: {said}", settings.display());
            assert_eq!(ended.status.code(), Some(if is_wrong { wrong } else { 1 }), "{command}: {said}");
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

/// By another process: one that this process has just written may be open for writing in a child that another test has
/// just begun, and then nobody can run it.
fn write_program(file: &str, text: &str) {
    let script = "printf '%s' \"$1\" >\"$0\" && chmod 755 \"$0\"";
    assert!(Command::new("/bin/sh").args(["-c", script, file, text]).status().unwrap().success(), "{file}");
}

#[test]
fn purging_says_what_it_deletes_and_ends_even_where_a_folder_cannot_go() {
    const STATE: &str = "/var/lib/acme-gateway";
    let there = env::temp_dir().join(format!("acme-gateway-deployment-{}-purge", std::process::id()));
    let script = fs::read_to_string(root().join("deploy/debian/gateway/postrm")).unwrap();
    // Never anything of this machine: other folders, and no program but `rm` and those of the shell itself.
    let within = |path: &str| format!("{}{path}", there.display());
    let script = script.replace("/etc/", &within("/etc/")).replace("/var/", &within("/var/"));
    let script = script.replace("/usr/bin/", &within("/usr/bin/")).replace("/run/", &within("/run/"));
    let removers = [
        ("removes", "exec /bin/rm \"$@\"", false),
        // As at a mount point, which is emptied and stays.
        ("empties", "/bin/rm -rf \"$2\"/*; exit 1", true),
    ];
    for (name, remover, stays) in removers {
        let (audit, programs) = (within("/var/lib/acme-gateway/audit"), within(&format!("/{name}")));
        fs::create_dir_all(&audit).unwrap();
        fs::create_dir_all(&programs).unwrap();
        fs::write(format!("{audit}/audit-1.jsonl"), "{}").unwrap();
        let user = within(&format!("/{name}-user-deleted"));
        for (program, text) in [("rm", remover), ("getent", "exit 0"), ("userdel", &format!("echo >{user}"))] {
            let file = format!("{programs}/{program}");
            write_program(&file, &format!("#!/bin/sh\n{text}\n"));
        }
        let mut shell = Command::new("/bin/sh");
        let purged = shell.args(["-c", &script, "postrm", "purge"]).env("PATH", &programs).output().unwrap();
        let said = words(&purged);
        assert!(purged.status.success(), "{name}: {said}");
        assert!(said.contains(&format!("deletes {}", within(STATE))) && said.contains("audit files"), "{said}");
        assert!(!Path::new(&audit).exists(), "{said}");
        // Whoever gets the user's number next must not get what is left.
        let is_left = Path::new(&within(STATE)).exists();
        assert_eq!(
            (is_left, !Path::new(&user).exists(), said.contains("mount point")),
            (stays, stays, stays),
            "{said}"
        );
    }
    fs::remove_dir_all(there).unwrap();
}

#[test]
fn completions_and_manual_pages_come_from_the_program_itself() {
    let bash = Command::new(binaries::gateway()).args(["manual", "completions", "bash"]).output().unwrap();
    assert!(bash.status.success() && words(&bash).contains("check-config"), "{}", words(&bash));
    let version = Command::new(binaries::gateway()).arg("--version").output().unwrap();
    let said = words(&version);
    assert!(said.starts_with(concat!("acme-gateway ", env!("CARGO_PKG_VERSION"))), "{said}");
}
