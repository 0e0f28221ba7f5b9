//! The Debian package from installation to purge, on a machine that boots with systemd.

use std::fs;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Proof, machine::Machine, outside::Outside, root};
use crate::{output::say, package::Packages};

const URL: &str = "https://localhost";
/// Where packages are put into the machine.
const PACKAGE: &str = "/var/tmp/package.deb";
/// CAP_NET_BIND_SERVICE, as in /proc/PID/status.
const BIND_SERVICE: &str = "0000000000000400";

pub(super) fn prove(proof: &Proof<'_>, packages: &Packages) -> anyhow::Result<()> {
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
    fs::write(etc.join("gateway.toml"), outside.settings("127.0.0.1:443", key))?;
    machine.run(&["systemctl", "start", "acme-gateway"])?;
    machine.wait_until_active(proof)?;
    confined(&machine)?;
    proof.progress.done("the service runs under its unit, with root's keys");
    let certificate = outside.certificate(proof)?;
    proof.progress.done(format_args!("a certificate through it: {certificate}"));
    let order = order(&machine)?;
    let told = shown(&machine, &order)?;

    let version = machine.property("MainPID")?;
    install(&machine, &packages.gateway_later)?;
    machine.wait_until_active(proof)?;
    ensure!(machine.property("MainPID")? != version, "the upgrade did not start the new program");
    let now = shown(&machine, &order)?;
    ensure!(now == told, "order {order} is not what it was before the upgrade, {told}, but {now}");
    outside.certificate(proof)?;
    proof.progress.done("upgraded: the order is what it was, and a second certificate");

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
    let now = shown(&machine, &order)?;
    ensure!(now == told, "order {order} is not what it was before the package was removed, {told}, but {now}");
    proof.progress.done("installed again: the order is what it was");

    machine.run(&["dpkg", "--purge", "acme-gateway"])?;
    fs::remove_file(machine.root().join(PACKAGE.trim_start_matches('/')))?;
    let after = root::paths(machine.root())?;
    let mut left: Vec<_> = after.difference(&before).cloned().collect();
    left.extend(root::mentions(machine.root())?);
    let gone: Vec<_> = before.difference(&after).collect();
    ensure!(left.is_empty() && gone.is_empty(), "purging left {left:?} and took {gone:?} along");
    let failed = machine.run(&["systemctl", "list-units", "--failed", "--no-legend", "--plain"])?;
    ensure!(!failed.contains("acme-gateway"), "{failed}");
    proof.progress.done(format_args!("purged: {} files as before, left over: none, users: none", after.len()));
    machine.halt(proof)?;
    outside.stop();
    Ok(())
}

fn install(machine: &Machine, package: &std::path::Path) -> anyhow::Result<()> {
    machine.copy(package, PACKAGE)?;
    machine.run(&["dpkg", "--install", PACKAGE]).map(drop)
}

/// What the kernel says of the process, and systemd of the unit.
fn confined(machine: &Machine) -> anyhow::Result<()> {
    let process = machine.property("MainPID")?;
    let status = machine.run(&["cat", &format!("/proc/{process}/status")])?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).with_context(|| format!("/proc has no {name}"))
    };
    for (name, wanted) in [("CapBnd", BIND_SERVICE), ("CapEff", BIND_SERVICE), ("NoNewPrivs", "1"), ("Seccomp", "2")] {
        ensure!(field(name)? == wanted, "{name} is {}", field(name)?);
    }
    let user = machine.run(&["stat", "--format=%U", &format!("/proc/{process}")])?;
    // A process that may not be dumped has root's files in /proc; the numbers are in the status.
    let numbers = field("Uid")?;
    let own = machine.run(&["id", "--user", "acme-gateway"])?;
    ensure!(numbers.split_whitespace().all(|number| number == own.trim()), "it runs as {numbers} ({})", user.trim());
    let keys =
        machine.run(&["stat", "--format=%a %U", "/etc/acme-gateway/keys", "/etc/acme-gateway/keys/server.key"])?;
    ensure!(keys.trim() == "700 root\n600 root", "the keys are {keys}");
    let judged = machine.run(&["systemd-analyze", "security", "--no-pager", "acme-gateway.service"])?;
    say!("         {}", judged.lines().last().unwrap_or_default());
    say!("         user {}, CapEff {}, NoNewPrivs, seccomp", own.trim(), field("CapEff")?);
    Ok(())
}

/// The order of the latest certificate, by the gateway's log.
fn order(machine: &Machine) -> anyhow::Result<String> {
    let log = machine.run(&["journalctl", "--no-pager", "--output=cat", "--unit=acme-gateway"])?;
    let after = log.rsplit("/order/").next().filter(|rest| rest.len() < log.len()).context("the log names no order")?;
    let id: String =
        after.chars().take_while(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_')).collect();
    ensure!(!id.is_empty(), "the log names no order");
    Ok(id)
}

/// What the running gateway tells of an order: status, names, authorizations, times. What happened to it may go on.
fn shown(machine: &Machine, order: &str) -> anyhow::Result<Value> {
    let told = machine.run(&["acme-gateway", "order", "show", "--json", order])?;
    let told: Value = serde_json::from_str(&told).with_context(|| format!("no JSON: {told}"))?;
    told.get("about").cloned().with_context(|| format!("nothing about the order: {told}"))
}
