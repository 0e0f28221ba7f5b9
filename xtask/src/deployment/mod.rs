//! `cargo xtask deployment`: the proof that what `cargo xtask package` makes can be installed, used, upgraded and removed,
//! on a Debian that has nothing of ours, booted with systemd; and that the container does its work with nothing at all.
//!
//! Everything is in a network namespace of its own, on loopback addresses: no port of this machine is used, and the
//! machine has no network.

mod container;
mod debian;
mod doctor;
mod machine;
mod network;
mod outside;
mod root;
mod state;
mod unit;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::{
    interrupt::Interrupt,
    output::{Progress, say},
    package::{self, mebibytes},
    packages, workspace,
};
use network::Network;
pub(crate) use root::base as clean_debian;

/// What must be there, as Debian's packages.
const NEEDS: [(&str, &str); 6] = [
    ("debootstrap", "debootstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("podman", "podman"),
    ("crun", "crun"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
];

#[derive(Args)]
pub(crate) struct Options {
    /// Take the packages that are in target/package, instead of making them of the commit that is checked out
    #[arg(long)]
    made: bool,
}

/// Everything that the two proofs share.
struct Proof<'a> {
    network: &'a Network,
    progress: &'a Progress,
    interrupt: &'a Interrupt,
}

/// Proves both.
///
/// # Errors
/// Something is not as it should be; the text says what.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!("this boots a machine and makes a network of its own, which only root may do: run it as root");
    }
    packages::ensure(&NEEDS)?;
    let made = if options.made { package::made()? } else { package::make()? };
    let interrupt = Interrupt::listen()?;
    let progress = Progress::start();
    let built = workspace::cargo().args(["build", "-p", "sandbox"]).status().context("cargo cannot be run")?;
    if !built.success() {
        bail!("the sandbox does not build ({built})");
    }
    let network = Network::create()?;
    let proof = Proof { network: &network, progress: &progress, interrupt: &interrupt };
    let exposure = debian::prove(&proof, &made)?;
    let unpacked = container::prove(&proof, &made)?;
    say!("");
    say!(
        "Debian package, {:.1} MiB: installed, served, upgraded, removed, purged without a trace",
        mebibytes(&made.gateway)?
    );
    say!("systemd unit: exposure {exposure:.1}");
    say!(
        "container image, {:.1} MiB ({unpacked:.1} MiB unpacked): read-only, without capabilities, user {}",
        mebibytes(&made.image)?,
        container::USER
    );
    say!("2 passed, 0 failed");
    Ok(ExitCode::SUCCESS)
}
