//! The service under its unit: what it may do, by the kernel and by systemd, and what systemd does when it ends.

use std::fs;

use anyhow::{Context as _, ensure};

use super::{Proof, machine::Machine};
use crate::output::say;

/// `CAP_NET_BIND_SERVICE`, as in /proc/PID/status.
const BIND_SERVICE: &str = "0000000000000400";
/// Most exposure, as `systemd-analyze security` counts it.
const EXPOSURE_MAX: f64 = 1.5;
/// Of wrong settings.
const EXIT_SETTINGS: &str = "78";

/// What the kernel says of the process, and systemd of the unit: the exposure.
pub(super) fn confined(machine: &Machine) -> anyhow::Result<f64> {
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
    let last = judged.lines().last().unwrap_or_default();
    let exposure = exposure(last).with_context(|| format!("no exposure: {judged}"))?;
    ensure!(exposure <= EXPOSURE_MAX, "{last}");
    say!("         {last}");
    say!("         user {}, CapEff {}, NoNewPrivs, seccomp", own.trim(), field("CapEff")?);
    Ok(exposure)
}

/// The figure in the last line of `systemd-analyze security`.
fn exposure(line: &str) -> Option<f64> {
    line.rsplit_once(": ")?.1.split(' ').next()?.parse().ok()
}

/// Wrong settings end the service for good; a key that is not there yet is waited for. Leaves the service running by
/// `settings`.
pub(super) fn starts_once_it_can(machine: &mut Machine, proof: &Proof<'_>, settings: &str) -> anyhow::Result<()> {
    let etc = machine.root().join("etc/acme-gateway");
    let file = etc.join("gateway.toml");
    fs::write(&file, format!("unknown_setting = 1\n{settings}"))?;
    machine.run(&["systemctl", "start", "--no-block", "acme-gateway"])?;
    machine
        .wait_until_is(proof, &[("ActiveState", "failed"), ("ExecMainStatus", EXIT_SETTINGS), ("NRestarts", "0")])?;
    let log = machine.run(&["journalctl", "--no-pager", "--output=cat", "--unit=acme-gateway"])?;
    ensure!(log.contains("unknown_setting"), "the log does not name the setting: {log}");
    proof.progress.done(format_args!("wrong settings: exit code {EXIT_SETTINGS}, failed, not tried again"));

    proof.progress.begins("without the server's key");
    let (key, aside) = (etc.join("keys/server.key"), etc.join("keys/server.key.aside"));
    fs::rename(&key, &aside)?;
    fs::write(&file, settings)?;
    machine.run(&["systemctl", "start", "--no-block", "acme-gateway"])?;
    machine.wait_until_is(proof, &[("SubState", "auto-restart"), ("ExecMainStatus", "1")])?;
    fs::rename(&aside, &key)?;
    machine.wait_until_active(proof)?;
    proof.progress.done("a missing key: tried again until it was there, and serves");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposure_is_in_the_last_line_that_systemd_says() {
        let line = "→ Overall exposure level for acme-gateway.service: 1.4 OK 🙂";
        assert_eq!(exposure(line), Some(1.4));
        assert_eq!(exposure("acme-gateway.service is not there"), None);
    }
}
