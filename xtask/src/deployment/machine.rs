//! A booted Debian: systemd-nspawn over a folder, in our network namespace, and commands in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};

use super::Proof;
use crate::{
    commands::run,
    quickstart::processes::{Service, wait_until},
};

const BOOTED_WITHIN: Duration = Duration::from_secs(120);
/// How long a unit may take to be as it should be.
const UNIT_WITHIN: Duration = Duration::from_secs(120);

/// The machine; dropping it halts it.
pub(super) struct Machine {
    root: PathBuf,
    service: Service,
    /// Its first process, by the host's number.
    init: u32,
}

impl Machine {
    pub(super) fn boot(proof: &Proof<'_>, root: &Path, log: PathBuf) -> anyhow::Result<Self> {
        let mut command = Command::new("systemd-nspawn");
        command
            .arg("--directory")
            .arg(root)
            .arg(format!("--machine=acme-gateway-{}", std::process::id()))
            .arg(format!("--network-namespace-path={}", proof.network.path()))
            // There may be no systemd on this host.
            .args(["--register=no", "--keep-unit", "--console=pipe", "--boot"]);
        let mut service = Service::start("systemd-nspawn", command, log)?;
        let nspawn = service.pid();
        let mut init = None;
        wait_until("the machine", BOOTED_WITHIN, &mut [&mut service], proof.interrupt, || {
            let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).unwrap_or_default();
            let first = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
            let first: u32 = first.ok_or("it has no first process")?;
            init = Some(first);
            let state =
                enter(first, &["systemctl", "is-system-running"]).output().map_err(|error| error.to_string())?;
            match String::from_utf8_lossy(&state.stdout).trim() {
                "running" | "degraded" => Ok(()),
                other => Err(format!("it is {other}")),
            }
        })?;
        let init = init.context("the machine has no first process")?;
        Ok(Self { root: root.to_owned(), service, init })
    }

    /// Runs a command in it and answers its output.
    pub(super) fn run(&self, words: &[&str]) -> anyhow::Result<String> {
        run(&mut enter(self.init, words))
    }

    /// Whether a command succeeds in it.
    pub(super) fn succeeds(&self, words: &[&str]) -> bool {
        run(&mut enter(self.init, words)).is_ok()
    }

    /// Properties of our unit.
    pub(super) fn property(&self, name: &str) -> anyhow::Result<String> {
        property(self.init, name)
    }

    /// Waits until our unit serves.
    pub(super) fn wait_until_active(&mut self, proof: &Proof<'_>) -> anyhow::Result<()> {
        self.wait_until_is(proof, &[("ActiveState", "active")])
    }

    /// Waits until our unit has all these properties.
    pub(super) fn wait_until_is(&mut self, proof: &Proof<'_>, wanted: &[(&str, &str)]) -> anyhow::Result<()> {
        let init = self.init;
        let is_so = || {
            for (name, wanted) in wanted {
                let value = property(init, name).map_err(|error| format!("{error:#}"))?;
                if value != *wanted {
                    return Err(format!("{name} of the service is {value}, not {wanted}"));
                }
            }
            Ok(())
        };
        wait_until("the service", UNIT_WITHIN, &mut [&mut self.service], proof.interrupt, is_so)
            .with_context(|| self.run(&["journalctl", "--no-pager", "--unit=acme-gateway"]).unwrap_or_default())
    }

    /// Copies a file into it.
    pub(super) fn copy(&self, from: &Path, to: &str) -> anyhow::Result<()> {
        let to = self.root.join(to.trim_start_matches('/'));
        fs::copy(from, &to).with_context(|| format!("{} cannot be copied", from.display()))?;
        Ok(())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Shuts it down in order.
    pub(super) fn halt(mut self, proof: &Proof<'_>) -> anyhow::Result<()> {
        let _ = self.run(&["systemctl", "poweroff"]);
        let service = &mut self.service;
        wait_until("the machine's end", BOOTED_WITHIN, &mut [], proof.interrupt, || {
            if service.check_alive().is_ok() { Err("it still runs".to_owned()) } else { Ok(()) }
        })?;
        ensure!(!Path::new(&format!("/proc/{}", self.init)).exists(), "the machine does not end");
        Ok(())
    }
}

fn property(init: u32, name: &str) -> anyhow::Result<String> {
    let value = run(&mut enter(init, &["systemctl", "show", "--value", "--property", name, "acme-gateway.service"]))?;
    Ok(value.trim().to_owned())
}

fn enter(init: u32, words: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={init}")).args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]);
    command.args(["--root", "--wd=/", "env", "-i", "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
    command.args(["DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER=cat"]).args(words);
    command
}
