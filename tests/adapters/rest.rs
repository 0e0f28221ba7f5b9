//! The REST adapter and the reference CM, which is a process of its own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use acme::{
    ids::{ProfileName, RealmName},
    registration::RegistrationStatus,
};
use cm_connector::{
    CertificateManager,
    rest::{RestCertificateManager, Settings},
    testing::{Caller, ExternalAccount, OfficersAct, Preregistration, Subject},
};
use serde_json::Value;
use tests::{
    binaries,
    http::{Connection, Tls, request},
    process::Process,
    wait_for,
    world::free_ports,
};

use crate::{
    common::{acme_base, by_contract, certificate_of},
    fresh_folder,
    officer::{self, Contract},
};

const READY_WITHIN: Duration = Duration::from_secs(60);

static SHARED: LazyLock<ReferenceCm> = LazyLock::new(ReferenceCm::start);

cm_connector::conformance!(&*SHARED, Box::new(ReferenceCm::start()));

/// A running reference CM.
struct ReferenceCm {
    dir: PathBuf,
    address: SocketAddr,
    arguments: Vec<String>,
    process: Mutex<Process>,
}

impl ReferenceCm {
    fn start() -> Self {
        let dir = fresh_folder();
        let made = Command::new(binaries::sandbox()).arg("init").arg("--dir").arg(&dir).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        adapt(&dir.join("cm.toml"));
        let [cm, status, dns, control, http_01, tls_alpn_01] = free_ports();
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut arguments = vec!["serve".to_owned(), "--dir".to_owned(), dir.display().to_string()];
        for (flag, port) in [("--cm", cm), ("--status", status), ("--dns", dns), ("--control", control)] {
            arguments.extend([flag.to_owned(), local(port).to_string()]);
        }
        for (flag, port) in [("--http-01-port", http_01), ("--tls-alpn-01-port", tls_alpn_01)] {
            arguments.extend([flag.to_owned(), port.to_string()]);
        }
        for realm in ["open", "registered", "foreign"] {
            arguments.extend(["--acme-base".to_owned(), format!("{realm}={}", acme_base(realm))]);
        }
        let process = Mutex::new(serve(&dir, &arguments));
        Self { dir, address: local(cm), arguments, process }
    }

    fn pki(&self, file: &str) -> PathBuf {
        self.dir.join("pki").join(file)
    }
}

/// Adds a realm that is not the gateway's. The cases fail to bind on purpose, more often than a person does.
fn adapt(file: &std::path::Path) {
    let mut text = fs::read_to_string(file).unwrap();
    assert!(text.contains("eab_failures = 10\n"));
    text = text.replace("eab_failures = 10\n", "eab_failures = 1000\n");
    text.push_str(
        "\n[realms.foreign]\nmode = \"preregistered\"\nproofs = \"required\"\ndefault_profile = \"tls-server\"\n\
         profiles = [\"tls-server\"]\nallowed_identifiers = { mode = \"any\" }\n",
    );
    fs::write(file, text).unwrap();
}

fn serve(dir: &std::path::Path, arguments: &[String]) -> Process {
    let file = dir.join("sandbox.json");
    // Not what one that was killed has said.
    let _ = fs::remove_file(&file);
    let log = dir.join("sandbox.log");
    let mut process = Process::start("acme-sandbox", &binaries::sandbox(), arguments, &log, Some(dir));
    wait_for("sandbox.json", READY_WITHIN, || {
        process.check_alive();
        file.exists().then_some(())
    });
    process
}

impl Contract for ReferenceCm {
    fn ask(&self, role: &str, method: &str, path: &str, if_match: Option<u64>, body: Option<&Value>) -> (u16, Value) {
        let (ca, certificate, key) =
            (self.pki("infra-ca.pem"), self.pki(&format!("{role}.pem")), self.pki(&format!("{role}.key")));
        let tls = Tls { ca_file: Some(&ca), identity: Some((&certificate, &key)), ..Tls::default() };
        let (mut connection, _) = Connection::tls(self.address, "localhost", &tls).unwrap();
        let version = if_match.map(|version| format!("\"{version}\""));
        let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let mut headers = vec![("Connection", "close"), ("Content-Type", content_type)];
        headers.extend(version.iter().map(|version| ("If-Match", version.as_str())));
        let body = body.map(|body| body.to_string().into_bytes());
        let path = format!("/cm/v1{path}");
        connection.send(request(method, &path, &self.address.to_string(), &headers, body.as_deref())).unwrap();
        let response = connection.receive(method).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        (response.status, response.json())
    }
}

impl Subject for ReferenceCm {
    fn adapter(&self) -> &'static str {
        "rest"
    }

    by_contract!();

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn gateway_at(&self, address: SocketAddr, caller: Caller) -> Arc<dyn CertificateManager> {
        let certificate = certificate_of(caller);
        let settings = Settings {
            base_url: format!("https://localhost:{}/cm/v1", address.port()),
            ca_file: self.pki("infra-ca.pem"),
            certificate_file: self.pki(&format!("{certificate}.pem")),
            key_file: self.pki(&format!("{certificate}.key")),
        };
        Arc::new(RestCertificateManager::new(settings).unwrap())
    }

    fn approving_profile(&self) -> Option<ProfileName> {
        Some("tls-server-approval".parse().unwrap())
    }

    fn certificates(&self, realm: &RealmName, name: &str) -> usize {
        let (status, page) =
            self.ask("officer", "GET", &format!("/realms/{realm}/certificates?identifier={name}"), None, None);
        assert_eq!((status, &page["next"]), (200, &Value::Null), "{page}");
        page["items"].as_array().unwrap().len()
    }

    fn attempt(&self, act: OfficersAct, realm: &RealmName, account: &ExternalAccount) -> Result<(), String> {
        let (role, id) = ("gateway", &account.registration);
        officer::done(match act {
            OfficersAct::Preregister => {
                let body = officer::new(&Preregistration::default());
                self.ask(role, "POST", &format!("/realms/{realm}/registrations"), None, Some(&body))
            }
            OfficersAct::Resume => officer::set_status(self, role, realm, id, RegistrationStatus::Active),
            OfficersAct::Widen => officer::limit(self, role, realm, id, None),
            OfficersAct::TakeSecret => officer::take_secret(self, role, realm, id),
        })
    }

    fn kill(&self) {
        // The folder is removed when its process ends, unless somebody wants to keep it.
        fs::write(self.dir.join("keep"), "").unwrap();
        self.process.lock().unwrap().kill();
        fs::remove_file(self.dir.join("keep")).unwrap();
    }

    fn restart(&self) {
        *self.process.lock().unwrap() = serve(&self.dir, &self.arguments);
    }
}
