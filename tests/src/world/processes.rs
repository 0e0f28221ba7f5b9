//! The two processes, the gateway and the sandbox: started, killed, started again, and looked at.

use std::{fs, process::Command, time::Duration};

use serde_json::Value;

use super::World;
use crate::{
    binaries,
    http::{Connection, request},
    process::Process,
    site::Site,
    wait_for,
};

/// How long a process may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(180);

impl World {
    /// The most memory that the gateway has used so far, in KiB.
    ///
    /// # Panics
    /// The system does not tell.
    #[must_use]
    pub fn gateway_memory_kib_max(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.gateway.id())).unwrap();
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a process has a high-water mark");
        line.trim_end_matches("kB").trim().parse().expect("in kB")
    }

    /// Lets the gateway have so many open files from now on. Those that it has stay open.
    ///
    /// # Panics
    /// It cannot be changed.
    pub fn limit_open_files(&self, most: u32) {
        let (id, limit) = (self.gateway.id().to_string(), format!("--nofile={most}:"));
        let changed = Command::new("prlimit").args(["--pid", &id, &limit]).status();
        assert!(changed.is_ok_and(|status| status.success()), "prlimit (util-linux) cannot change it");
    }

    /// Kills the gateway as a power failure would (SIGKILL).
    pub fn kill_gateway(&mut self) {
        self.gateway.kill();
    }

    /// Asks the gateway to end (SIGTERM) and tells its exit code.
    pub fn stop_gateway(&mut self) -> Option<i32> {
        self.gateway.terminate();
        self.gateway.wait()
    }

    /// Sends the gateway a signal, such as `HUP`, and does not wait for what it does.
    pub fn signal_gateway(&self, name: &str) {
        self.gateway.signal(name);
    }

    /// Waits until the gateway has ended by itself, and tells its exit code.
    pub fn gateway_ended(&mut self) -> Option<i32> {
        self.gateway.wait()
    }

    /// Starts the gateway again and waits until it is ready.
    pub fn restart_gateway(&mut self) {
        self.gateway = start_gateway(&self.site, "/readyz");
    }

    /// Starts the gateway again and waits until it answers, ready or not.
    pub fn restart_gateway_unready(&mut self) {
        self.gateway = start_gateway(&self.site, "/healthz");
    }

    /// Kills the sandbox, and with it the CM, as a power failure would (SIGKILL). What stands in the books stays;
    /// faults, names and answers to challenges are forgotten.
    ///
    /// # Panics
    /// The folder of this world cannot be written to.
    pub fn kill_cm(&mut self) {
        // The folder is removed when its process ends, unless somebody wants to keep it.
        let keep = self.site.dir.join("keep");
        let is_kept = keep.exists();
        self.keep();
        self.sandbox.kill();
        if !is_kept {
            fs::remove_file(keep).unwrap();
        }
    }

    /// Starts the sandbox again at the same ports and waits until it is ready.
    pub fn restart_cm(&mut self) {
        (self.sandbox, self.facts) = start_sandbox(&self.site, &self.sandbox_arguments);
    }

    /// Deletes the gateway's store, while it is down.
    ///
    /// # Panics
    /// The folder cannot be removed.
    pub fn delete_store(&self) {
        fs::remove_dir_all(self.site.dir.join("gateway/store")).unwrap();
    }
}

/// Starts the sandbox; also what it says about itself.
pub(super) fn start_sandbox(site: &Site, arguments: &[String]) -> (Process, Value) {
    let file = site.sandbox_dir().join("sandbox.json");
    // Not what one that was killed has said.
    let _ = fs::remove_file(&file);
    let (program, log) = (binaries::sandbox(), site.log("sandbox"));
    let mut sandbox = Process::start("acme-sandbox", &program, arguments, &log, Some(&site.dir));
    let facts = wait_for("sandbox.json", READY_WITHIN, || {
        sandbox.check_alive();
        fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok())
    });
    (sandbox, facts)
}

/// Starts the gateway and waits until this page of the operators' listener answers 200.
pub(super) fn start_gateway(site: &Site, page: &str) -> Process {
    let arguments = ["serve".to_owned(), "--config".to_owned(), site.settings_file().display().to_string()];
    let mut gateway = Process::start("acme-gateway", &binaries::gateway(), &arguments, &site.log("gateway"), None);
    wait_for("readiness of the gateway", READY_WITHIN, || {
        gateway.check_alive();
        let mut connection = Connection::plain(site.ops).ok()?;
        connection.send(request("GET", page, "localhost", &[], None)).ok()?;
        connection.receive("GET").ok().filter(|response| response.status == 200)
    });
    gateway
}
