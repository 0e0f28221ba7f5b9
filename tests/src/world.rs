//! A world: the sandbox and the gateway as processes on loopback ports of their own, in a folder of their own.
//!
//! Nothing of it outlives the test process. The folder is removed at the end unless a test failed.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::Range,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as Name, UnixListener},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    binaries,
    client::Client,
    desk::Desk,
    http::{Connection, request},
    key::Key,
    machine,
    officer::Officer,
    process::{Process, tail},
    site::{Shown, Site},
    wait_for,
};

/// How long a process may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// The endpoints beside `open` and `registered`: open to anyone too, each with something of its own and a realm that
/// is called like it.
const MORE_ENDPOINTS: [(&str, &str); 9] = [
    ("advisory", "caa = \"advisory\"\n"),
    // The profile of its realm requires what the endpoint leaves out.
    (STRICT, "caa = \"off\"\n"),
    // One profile of its realm requires it, the other does not.
    (MIXED, "caa = \"off\"\n"),
    // Those without a token are not last here, but have to be in what clients see.
    ("drafts", "challenges = [\"dns-persist-01\", \"http-01\", \"dns-01\", \"tls-alpn-01\", \"dns-account-01\"]\n"),
    ("terms", "terms_of_service = \"https://localhost/terms/v1\"\n"),
    ("web", "challenges = [\"http-01\"]\n"),
    ("ahead", "pre_authorization = true\n"),
    (STAPLED, ""),
    (
        "lenient",
        "compatibility = [\"repeat-failed-challenges\", \"inactive-account-403\", \
         \"unauthorized-for-wrong-content\", \"trailing-dot\"]\n",
    ),
];
/// The endpoint whose certificates all carry must-staple.
pub const STAPLED: &str = "stapled";
/// The endpoint whose certificates need evidence of CAA.
const STRICT: &str = "strict";
/// The endpoint where only those of the default profile do.
const MIXED: &str = "mixed";
/// More requests than any test makes, to count by.
const COUNT_FROM: u64 = 1_000_000;

/// A running world.
pub struct World {
    site: Arc<Site>,
    gateway: Process,
    sandbox: Process,
    /// How the sandbox is started.
    sandbox_arguments: Vec<String>,
    /// What the sandbox says about itself.
    facts: Value,
}

impl World {
    /// Starts one with settings that make failures quick.
    ///
    /// # Panics
    /// It does not get ready; the text has the ends of the logs.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one in which these settings (`table`, `name = value`) come on top.
    ///
    /// # Panics
    /// It does not get ready; the text has the ends of the logs.
    #[must_use]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(table, setting)| (*table, (*setting).to_owned())).collect();
        Self::start_as("localhost", "acme-ca.pem", |_, _| settings)
    }

    /// Starts one whose CM takes waivers of challenges, by the profile of `registered` and whatever is like it.
    ///
    /// # Panics
    /// It does not get ready; the text has the ends of the logs.
    #[must_use]
    pub fn start_waiving(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(table, setting)| (*table, (*setting).to_owned())).collect();
        Self::start_at(("localhost", "acme-ca.pem"), true, |_, _| settings)
    }

    /// The same for a gateway with another name, whose server certificate has this authority (a file of the throwaway
    /// PKI). The settings may depend on where things are, and on what an officer does in `registered`.
    ///
    /// # Panics
    /// It does not get ready; the text has the ends of the logs.
    #[must_use]
    pub fn start_as<'a>(
        name: &str,
        authority: &'static str,
        settings: impl FnOnce(&Site, &Officer) -> Vec<(&'a str, String)>,
    ) -> Self {
        Self::start_at((name, authority), false, settings)
    }

    fn start_at<'a>(
        (name, authority): (&str, &'static str),
        waives: bool,
        settings: impl FnOnce(&Site, &Officer) -> Vec<(&'a str, String)>,
    ) -> Self {
        let dir = new_folder();
        let ports = free_ports();
        let [acme, ops, cm, status, dns, control, http_01, tls_alpn_01] = ports;
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let external_url = format!("https://{name}:{acme}");
        let site = Site {
            dir,
            external_url,
            authority,
            gateway: local(acme),
            ops: local(ops),
            control: local(control),
            dns: local(dns),
            http_01_port: http_01,
            tls_alpn_01_port: tls_alpn_01,
            shown: Shown::default(),
        };
        run("acme-sandbox init", Command::new(binaries::sandbox()).arg("init").arg("--dir").arg(site.sandbox_dir()));
        adapt_cm(&site.sandbox_dir(), waives);
        let mut arguments = vec!["serve".to_owned(), "--dir".to_owned(), site.sandbox_dir().display().to_string()];
        for (flag, port) in [("--cm", cm), ("--status", status), ("--dns", dns), ("--control", control)] {
            arguments.extend([flag.to_owned(), local(port).to_string()]);
        }
        for (flag, port) in [("--http-01-port", http_01), ("--tls-alpn-01-port", tls_alpn_01)] {
            arguments.extend([flag.to_owned(), port.to_string()]);
        }
        for endpoint in ["open", "registered"].into_iter().chain(MORE_ENDPOINTS.map(|(name, _)| name)) {
            arguments.extend(["--acme-base".to_owned(), format!("{endpoint}={}/acme/{endpoint}", site.external_url)]);
        }
        let (sandbox, facts) = start_sandbox(&site, &arguments);
        let settings = settings(&site, &Officer::new(&facts, site.sandbox_dir().join("pki")));
        let settings: Vec<_> = settings.iter().map(|(table, setting)| (*table, setting.as_str())).collect();
        let text = settings_text(&site, &facts, &settings);
        fs::write(site.settings_file(), text).unwrap();
        let gateway = start_gateway(&site, "/readyz");
        show_logs_on_failure(site.dir.clone());
        Self { site: Arc::new(site), gateway, sandbox, sandbox_arguments: arguments, facts }
    }

    /// Where things are.
    #[must_use]
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// A client with a fresh P-256 key and no account yet.
    #[must_use]
    pub fn client(&self, endpoint: &str) -> Client {
        self.client_with(endpoint, Key::p256())
    }

    /// A client with this key and no account yet.
    #[must_use]
    pub fn client_with(&self, endpoint: &str, key: Key) -> Client {
        Client::new(Arc::clone(&self.site), endpoint, key)
    }

    /// A client with an account at `open`.
    #[must_use]
    pub fn account(&self) -> Client {
        let mut client = self.client("open");
        let _ = client.register(&json!({"termsOfServiceAgreed": true})).expect(201);
        client
    }

    /// A client with an account at `registered` whose registration allows these rules, and its registration's id.
    #[must_use]
    pub fn registered_account(&self, allowed_identifiers: &Value) -> (Client, String) {
        self.registered_account_with(&json!({"allowedIdentifiers": allowed_identifiers}))
    }

    /// The same for a registration with these members.
    #[must_use]
    pub fn registered_account_with(&self, members: &Value) -> (Client, String) {
        let registration = self.officer().preregister(members);
        let mut client = self.client("registered");
        let binding = client.binding(&registration.kid, &registration.secret);
        let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
        (client, registration.id)
    }

    /// The registration officer of the realm `registered`.
    #[must_use]
    pub fn officer(&self) -> Officer {
        Officer::new(&self.facts, self.site.sandbox_dir().join("pki"))
    }

    /// The program acme-officer as the person with this certificate uses it: `officer`, `approver`, `auditor`.
    #[must_use]
    pub fn desk(&self, certificate: &str) -> Desk {
        Desk::new(&self.site, &self.facts, certificate)
    }

    /// Runs a command of the gateway's program that asks the running gateway, with its settings; answers what it
    /// printed, or what it complained about.
    ///
    /// # Errors
    /// The end of the command's standard error.
    ///
    /// # Panics
    /// It cannot be run.
    pub fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(binaries::gateway());
        let _ = command.args(arguments).arg("--config").arg(self.site.settings_file());
        let output = command.output().unwrap_or_else(|error| panic!("{arguments:?} cannot be run: {error}"));
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Keeps the folder after the end, because somebody will want to look.
    ///
    /// # Panics
    /// It cannot be written to.
    pub fn keep(&self) {
        fs::write(self.site.dir.join("keep"), "").unwrap();
    }

    /// What the sandbox says about itself.
    #[must_use]
    pub const fn facts(&self) -> &Value {
        &self.facts
    }

    /// Orders the next request of a CM operation (`*`: of any) to go wrong.
    pub fn set_fault(&self, operation: &str, fault: &Value) {
        self.set_faults(operation, 1, fault);
    }

    /// Orders the next `count` requests of a CM operation (`*`: of any) to go wrong.
    pub fn set_faults(&self, operation: &str, count: u32, fault: &Value) {
        let _ = self.site.control("/faults", &json!({"operation": operation, "count": count, "fault": fault}));
    }

    /// Faults that were ordered and did not happen yet.
    #[must_use]
    pub fn faults(&self) -> Value {
        self.site.control_get("/faults")
    }

    /// Forgets faults that did not happen yet.
    pub fn clear_faults(&self) {
        self.site.clear_faults();
    }

    /// How many requests of a CM operation (`*`: of any) come in while `act` runs, and what that answers.
    ///
    /// # Panics
    /// Faults of this operation are in force.
    pub fn counting<T>(&self, operation: &str, act: impl FnOnce() -> T) -> (u64, T) {
        assert_eq!(self.faults(), json!([]), "faults would be counted too");
        // A delay of nothing: each request uses up one of them and goes on.
        let fault = json!({"kind": "delay-before", "millis": 0});
        let _ = self.site.control("/faults", &json!({"operation": operation, "count": COUNT_FROM, "fault": fault}));
        let answer = act();
        let left = self.faults()[0]["count"].as_u64().expect("there are more than are ever used");
        self.clear_faults();
        (COUNT_FROM - left, answer)
    }

    /// How many certificates the reference CM issued for this order.
    #[must_use]
    pub fn certificates_of(&self, order_url: &str) -> u64 {
        let id = order_url.rsplit('/').next().unwrap_or_default();
        self.books()["certificatesByOrderRef"][id].as_u64().unwrap_or(0)
    }

    /// What the reference CM has registered, issued and revoked.
    #[must_use]
    pub fn books(&self) -> Value {
        self.site.control_get("/books")
    }

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

impl Drop for World {
    fn drop(&mut self) {
        self.gateway.kill();
        self.sandbox.kill();
    }
}

/// Starts the sandbox; also what it says about itself.
fn start_sandbox(site: &Site, arguments: &[String]) -> (Process, Value) {
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

fn start_gateway(site: &Site, page: &str) -> Process {
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

fn settings_text(site: &Site, facts: &Value, more: &[(&str, &str)]) -> String {
    let pki = |file: &str| format!("{:?}", site.pki(file));
    let store = format!("{:?}", site.dir.join("gateway/store"));
    let seal_key = format!("{:?}", site.dir.join("gateway/seal.key"));
    fs::create_dir_all(site.dir.join("gateway")).unwrap();
    let cm = facts["cm"].as_str().expect("sandbox.json names the CM");
    let settings = [
        ("server", format!("external_url = {:?}", site.external_url)),
        ("server", format!("listen = [{:?}]", site.gateway.to_string())),
        ("server", format!("certificate_file = {}", pki("acme-server.pem"))),
        ("server", format!("key_file = {}", pki("acme-server.key"))),
        ("server", "body_timeout_secs = 10".to_owned()),
        ("server", "head_timeout_secs = 10".to_owned()),
        ("server", "handshake_timeout_secs = 10".to_owned()),
        ("server", "shutdown_timeout_secs = 5".to_owned()),
        ("ops", format!("listen = {:?}", site.ops.to_string())),
        ("cm", format!("url = {cm:?}")),
        ("cm", format!("ca_file = {}", pki("infra-ca.pem"))),
        ("cm", format!("certificate_file = {}", pki("gateway.pem"))),
        ("cm", format!("key_file = {}", pki("gateway.key"))),
        ("cm", format!("issuer_roots_file = {}", pki("roots.pem"))),
        ("cm", "registration_cache_secs = 1".to_owned()),
        ("store", format!("dir = {store}")),
        ("store", "ballast_mib = 1".to_owned()),
        ("secrets", format!("seal_key_file = {seal_key}")),
        ("validation", format!("resolvers = [{:?}]", site.dns.to_string())),
        ("validation", format!("http_port = {}", site.http_01_port)),
        ("validation", format!("tls_port = {}", site.tls_alpn_01_port)),
        ("validation", "danger_allow_loopback = true".to_owned()),
        ("validation", "attempts_max = 2".to_owned()),
        ("validation", "attempt_timeout_secs = 6".to_owned()),
        ("issuance", "finalize_wait_secs = 3".to_owned()),
        ("log", "level = \"info,gateway=debug\"".to_owned()),
    ];
    let mut all: Vec<(&str, &str)> = settings.iter().map(|(table, setting)| (*table, setting.as_str())).collect();
    for (table, setting) in more {
        let name = setting.split('=').next().unwrap_or_default();
        all.retain(|(other, kept)| other != table || kept.split('=').next() != Some(name));
        all.push((table, setting));
    }
    let mut tables: Vec<&str> = all.iter().map(|(table, _)| *table).collect();
    tables.sort_unstable();
    tables.dedup();
    let mut text = String::new();
    for table in tables {
        text.push_str(&format!("[{table}]\n"));
        all.iter().filter(|(other, _)| *other == table).for_each(|(_, setting)| text.push_str(&format!("{setting}\n")));
    }
    text.push_str("[endpoints.open]\nmode = \"open\"\n[endpoints.registered]\nmode = \"registered\"\n");
    for (name, settings) in MORE_ENDPOINTS {
        text.push_str(&format!("[endpoints.{name}]\nmode = \"open\"\n{settings}"));
    }
    text
}

/// Gives the reference CM the realms of the other endpoints. Tests fail to bind on purpose and order more than a person
/// does: a limit that is not their subject is raised.
fn adapt_cm(sandbox: &Path, waives: bool) {
    let file = sandbox.join("cm.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    let names = MORE_ENDPOINTS.map(|(name, _)| name);
    let served = names.map(|name| format!(", {name:?}")).concat();
    let waived = if waives { ", \"waived\"" } else { "" };
    for (old, new) in [
        ("eab_failures = 10\n", "eab_failures = 1000\n"),
        ("\"dns-account-01\"]", &format!("\"dns-account-01\", \"dns-persist-01\"{waived}]")),
        ("realms = [\"open\", \"registered\"]", &format!("realms = [\"open\", \"registered\"{served}]")),
    ] {
        assert!(text.contains(old), "{} has another form than expected: no {old}", file.display());
        text = text.replace(old, new);
    }
    let profiles = text.split("\n[profiles.");
    let profile = profiles.into_iter().find_map(|part| part.strip_prefix("tls-server]")).expect("there is tls-server");
    let strict = profile.replace("caa = \"optional\"", "caa = \"required\"");
    let stapled = profile.replace("must_staple = \"if-requested\"", "must_staple = \"always\"");
    text.push_str(&format!("\n[profiles.tls-server-{STRICT}]{strict}"));
    text.push_str(&format!("\n[profiles.tls-server-{STAPLED}]{stapled}"));
    for name in names {
        let profile = match name {
            STRICT | MIXED => "tls-server-strict",
            STAPLED => "tls-server-stapled",
            _ => "tls-server",
        };
        let other = if name == MIXED { ", \"tls-server\"" } else { "" };
        text.push_str(&format!(
            "\n[realms.{name}]\nmode = \"open\"\nproofs = \"required\"\ndefault_profile = \"{profile}\"\n\
            profiles = [\"{profile}\"{other}]\nallowed_identifiers = {{ mode = \"any\" }}\n"
        ));
    }
    fs::write(file, text).unwrap();
}

/// Ports that are free on all loopback addresses right now. They lie below those that the system gives to outgoing
/// connections, of which tests make thousands: a port that is bound late must not be gone by then.
///
/// # Panics
/// There are none.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    let mut held = Vec::new();
    std::array::from_fn(|_| {
        loop {
            let everywhere = (Ipv4Addr::UNSPECIFIED, PORTS.lock().unwrap().next());
            if let (Ok(tcp), Ok(udp)) = (TcpListener::bind(everywhere), UdpSocket::bind(everywhere)) {
                held.push((tcp, udp));
                return everywhere.1;
            }
        }
    })
}

/// The ports of this process; each is given out once.
static PORTS: Mutex<Ports> = Mutex::new(Ports { locks: Vec::new(), left: 0..0 });

/// Blocks of ports, so that test programs that run side by side do not take one another's. A block is locked by a name
/// that the system forgets when the process ends.
struct Ports {
    locks: Vec<UnixListener>,
    left: Range<u16>,
}

impl Ports {
    const FIRST: u16 = 12_000;
    const BLOCKS: u16 = 36;
    const BLOCK: u16 = 500;

    fn next(&mut self) -> u16 {
        self.left.next().unwrap_or_else(|| {
            let (lock, block) = (0..Self::BLOCKS)
                .find_map(|block| {
                    let name = Name::from_abstract_name(format!("acme-gateway-tests-ports-{block}")).unwrap();
                    Some((UnixListener::bind_addr(&name).ok()?, block))
                })
                .expect("there is a block of free ports");
            self.locks.push(lock);
            let first = Self::FIRST + block * Self::BLOCK;
            self.left = first + 1..first + Self::BLOCK;
            first
        })
    }
}

fn new_folder() -> PathBuf {
    machine::allow_open_files();
    let dir = machine::new_folder("tests");
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn run(what: &str, command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{what} cannot be run: {error}"));
    assert!(output.status.success(), "{what} failed:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// When a test panics, the ends of the logs come after its words, and their folder is kept.
fn show_logs_on_failure(dir: PathBuf) {
    static WORLDS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    static HOOK: Once = Once::new();
    WORLDS.lock().unwrap().push(dir);
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if crate::QUIET.get() {
                return;
            }
            before(panic);
            for dir in WORLDS.lock().map(|worlds| worlds.clone()).unwrap_or_default() {
                // Kept, because somebody will want to look.
                let _ = fs::write(dir.join("keep"), "");
                eprintln!("{}", tail(&dir.join("gateway.log")));
            }
        }));
    });
}
