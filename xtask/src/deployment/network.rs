//! A network namespace of our own with nothing but loopback.

use std::process::Command;

use crate::commands::run;

/// The namespace; dropping it removes it.
pub(super) struct Network {
    name: String,
}

impl Network {
    pub(super) fn create() -> anyhow::Result<Self> {
        let name = format!("acme-gateway-{}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let network = Self { name };
        run(Command::new("ip").args(["-n", &network.name, "link", "set", "lo", "up"]))?;
        Ok(network)
    }

    /// Where it can be entered.
    pub(super) fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// A program in it. Unlike `ip netns exec` it sees the same files.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg(program);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What cannot be removed has a name that tells where it comes from.
        let _ = run(Command::new("ip").args(["netns", "delete", &self.name]));
    }
}
