//! The Debian package from installation to purge, on a machine that boots with systemd.

use std::fs;

use anyhow::ensure;

use super::{Proof, doctor, machine::Machine, outside::Outside, root, state::State, unit};
use crate::{output::say, package::Packages};

const URL: &str = "https://localhost";
/// Where packages are put into the machine.
const PACKAGE: &str = "/var/tmp/package.deb";

/// Answers the exposure of the unit.
pub(super) fn prove(proof: &Proof<'_>, packages: &Packages) -> anyhow::Result<f64> {
    say!("");
    say!("== Debian package ==");
    let folder = root::folder();
    let outside = Outside::start(proof, &folder.join("outside"), URL)?;
    let fresh = root::fresh(proof.progress)?;
    proof.progress.begins("booting it");
    let mut machine = Machine::boot(proof, &fresh, folder.join("machine.log"))?;
    let before = root::paths(machine.root())?;
    proof.progress.done(format_args!("booted, with {} files", before.len()));

    install(&machine, &packages.gateway)?;
    let state = (machine.property("UnitFileState")?, machine.property("ActiveState")?);
    ensure!(state == ("enabled".to_owned(), "inactive".to_owned()), "without settings the service is {state:?}");
    proof.progress.done("installed: the service is enabled, and waits for settings");

    let etc = machine.root().join("etc/acme-gateway");
    outside.install(&etc)?;
    let key = |name: &str| format!("/run/credentials/acme-gateway.service/key_{name}");
    let settings = outside.settings("127.0.0.1:443", key);
    fs::write(etc.join("gateway.toml"), &settings)?;
    doctor::ensure_waits_for_keys(&machine)?;
    unit::starts_once_it_can(&mut machine, proof, &settings)?;
    let exposure = unit::confined(&machine)?;
    doctor::ensure_finds_nothing_wrong(&machine)?;
    proof.progress.done("the service runs under its unit, with root's keys");
    let certificate = outside.certificate(proof)?;
    proof.progress.done(format_args!("a certificate through it: {certificate}"));
    let state = State::of(&machine)?;

    let (process, former) = (machine.property("MainPID")?, version(&machine)?);
    install(&machine, &packages.gateway_later)?;
    machine.wait_until_active(proof)?;
    ensure!(machine.property("MainPID")? != process, "the upgrade did not start the new program");
    let later = version(&machine)?;
    ensure!(machine.succeeds(&["dpkg", "--compare-versions", &former, "lt", &later]), "{former} became {later}");
    let kept = state.ensure_kept(&machine)?;
    outside.certificate(proof)?;
    proof.progress.done(format_args!("upgraded from {former} to {later}: {kept}; and a second certificate"));

    // As INSTALL.md tells root, who judges the keys in the state folder for their owner, the gateway's user.
    machine.run(&["acme-gateway", "check-config"])?;
    machine.run(&["systemctl", "reload", "acme-gateway"])?;
    ensure!(machine.property("ActiveState")? == "active", "the service did not survive a reload");

    machine.run(&["dpkg", "--remove", "acme-gateway"])?;
    ensure!(!machine.succeeds(&["systemctl", "is-active", "acme-gateway"]), "the service runs without its package");
    ensure!(etc.join("gateway.toml").exists() && !machine.root().join("usr/bin/acme-gateway").exists(), "not removed");
    proof.progress.done("removed: settings and state are kept");
    install(&machine, &packages.gateway_later)?;
    machine.wait_until_active(proof)?;
    let kept = state.ensure_kept(&machine)?;
    proof.progress.done(format_args!("installed again: {kept}"));

    machine.run(&["dpkg", "--purge", "acme-gateway"])?;
    fs::remove_file(machine.root().join(PACKAGE.trim_start_matches('/')))?;
    let after = root::paths(machine.root())?;
    let mut left: Vec<_> = after.difference(&before).cloned().collect();
    left.extend(root::mentions(machine.root())?);
    let gone: Vec<_> = before.difference(&after).collect();
    ensure!(left.is_empty() && gone.is_empty(), "purging left {left:?} and took {gone:?} along");
    for list in ["list-units", "list-unit-files"] {
        let units = machine.run(&["systemctl", list, "--all", "--no-legend", "--plain"])?;
        ensure!(!units.contains("acme-gateway"), "systemd has still: {units}");
    }
    ensure!(!machine.succeeds(&["getent", "passwd", "acme-gateway"]), "the user is still there");
    proof.progress.done(format_args!("purged: {} files as before; left over: no file, user or unit", after.len()));
    machine.halt(proof)?;
    outside.stop();
    Ok(exposure)
}

fn install(machine: &Machine, package: &std::path::Path) -> anyhow::Result<()> {
    machine.copy(package, PACKAGE)?;
    machine.run(&["dpkg", "--install", PACKAGE]).map(drop)
}

fn version(machine: &Machine) -> anyhow::Result<String> {
    machine.run(&["dpkg-query", "--show", "--showformat=${Version}", "acme-gateway"])
}
