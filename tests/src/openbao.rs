//! A real OpenBao, of one node: started, initialised and prepared as an operator does it, with the throwaway PKI of a
//! sandbox. It unseals itself, so it can be killed and started again.

mod books;
mod gateway;
mod holders;
mod node;

use std::{
    env, fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

pub use self::gateway::Gateway;
use crate::{
    binaries,
    http::{Connection, Tls, request},
    process::Process,
};

/// How long it may take to be active.
const ACTIVE_WITHIN: Duration = Duration::from_secs(60);
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

    /// The serials of all certificates of a realm but its CA's.
    #[must_use]
    pub fn serials(&self, realm: &str) -> Vec<String> {
        let listed = self.said(&["list", "-format=json", &format!("{MOUNT}/{realm}/pki/certs")], None);
        let own = self.root(&["read", "-format=json", &format!("{MOUNT}/{realm}/pki/issuer/default/json")], None);
        let ca = own.pointer("/data/certificate").and_then(Value::as_str).map(serial);
        let all = listed.ok().and_then(|listed| serde_json::from_value::<Vec<String>>(listed).ok()).unwrap_or_default();
        all.into_iter().filter(|serial| Some(serial.replace([':', '-'], "")) != ca).collect()
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
