//! The container: nothing but its own files, which it cannot change, no capabilities, nobody's user.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, ensure};

use super::{Proof, outside::Outside, root};
use crate::{
    commands::run,
    output::say,
    package::Packages,
    quickstart::processes::{Service, wait_until},
};

const URL: &str = "https://localhost:8443";
/// Nobody's number on this host.
pub(super) const USER: &str = "65532";
const NAME: &str = "acme-gateway-proof";
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Answers the size of the image, unpacked, in MiB.
pub(super) fn prove(proof: &Proof<'_>, packages: &Packages) -> anyhow::Result<f64> {
    say!("");
    say!("== container ==");
    let folder = root::folder();
    let outside = Outside::start(proof, &folder.join("outside-container"), URL)?;
    let etc = folder.join("container-etc");
    if etc.exists() {
        fs::remove_dir_all(&etc)?;
    }
    fs::create_dir_all(&etc)?;
    outside.install(&etc)?;
    let key = |name: &str| format!("/etc/acme-gateway/keys/{name}");
    fs::write(etc.join("gateway.toml"), outside.settings("127.0.0.1:8443", key))?;
    run(Command::new("chown").arg("--recursive").arg(format!("{USER}:{USER}")).arg(etc.join("keys")))?;

    let storage = folder.join("container-storage");
    if storage.exists() {
        // Of a proof that failed.
        fs::remove_dir_all(&storage).with_context(|| format!("{} cannot be removed", storage.display()))?;
    }
    fs::create_dir_all(&storage)?;
    let podman = Podman { storage: &storage };
    run(podman.command().args(["load", "--quiet", "--input"]).arg(&packages.image))?;
    let image = format!("localhost/acme-gateway:{}", packages.version);
    let size = run(podman.command().args(["image", "inspect", "--format", "{{.Size}}", &image]))?;
    let size: u32 = size.trim().parse().with_context(|| format!("podman says no size: {size}"))?;
    let mut service = Service::start("podman", podman.run(proof, &etc, &image), folder.join("container.log"))?;
    wait_until("the container", READY_WITHIN, &mut [&mut service], proof.interrupt, || {
        let asked = proof.network.command("curl").args(["--silent", "--fail", "http://127.0.0.1:9095/readyz"]).output();
        match asked {
            Ok(answer) if answer.status.success() => Ok(()),
            Ok(answer) => Err(format!("it is not ready: {}", String::from_utf8_lossy(&answer.stdout))),
            Err(error) => Err(error.to_string()),
        }
    })?;
    let process = run(podman.command().args(["inspect", "--format", "{{.State.Pid}}", NAME]))?;
    confined(process.trim())?;
    proof.progress.done("the container serves: read-only root, no capabilities, nobody's user");
    let certificate = outside.certificate(proof)?;
    proof.progress.done(format_args!("a certificate through it: {certificate}"));
    service.stop();
    outside.stop();
    fs::remove_dir_all(&storage).with_context(|| format!("{} cannot be removed", storage.display()))?;
    Ok(f64::from(size) / f64::from(1 << 20))
}

/// podman with a storage of its own.
struct Podman<'a> {
    storage: &'a Path,
}

impl Podman<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new("podman");
        self.own(&mut command);
        command
    }

    fn own(&self, command: &mut Command) {
        command.arg("--root").arg(self.storage.join("root")).arg("--runroot").arg(self.storage.join("run"));
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
    }

    /// The gateway in the container, in our network. crun takes no host that has control groups of both versions, so it is
    /// shown one without those of the second; and no limits higher than this process has.
    fn run(&self, proof: &Proof<'_>, etc: &Path, image: &str) -> Command {
        const WITHOUT_SECOND: &str =
            "if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi; exec \"$@\"";
        let mut command = proof.network.command("unshare");
        command.args(["--mount", "sh", "-c", WITHOUT_SECOND, "sh", "podman"]);
        self.own(&mut command);
        command
            .args(["run", "--rm", "--name", NAME, "--cgroups=disabled", "--network=host", "--pull=never"])
            .args(["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"])
            .args(["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"])
            .arg("--volume")
            .arg(format!("{}:/etc/acme-gateway:ro", etc.display()))
            .args(["--volume", "acme-gateway-proof:/var/lib/acme-gateway", image]);
        command
    }
}

/// What the kernel says of the process.
fn confined(process: &str) -> anyhow::Result<()> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the container has no process")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).with_context(|| format!("/proc has no {name}"))
    };
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        ensure!(field(name)?.chars().all(|digit| digit == '0'), "{name} is {}", field(name)?);
    }
    ensure!(field("NoNewPrivs")? == "1" && field("Seccomp")? == "2", "{status}");
    ensure!(field("Uid")?.split_whitespace().all(|number| number == USER), "it runs as {}", field("Uid")?);
    let mounts = fs::read_to_string(format!("/proc/{process}/mounts"))?;
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).context("the container has no root")?;
    let options = root.split(' ').nth(3).unwrap_or_default();
    ensure!(options.split(',').any(|option| option == "ro"), "its root is {root}");
    say!("         Uid {USER}, CapBnd {}, NoNewPrivs, seccomp, root {}", field("CapBnd")?, options);
    Ok(())
}
