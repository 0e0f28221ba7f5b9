//! The printer that an officer registers: Debian's certbot, unmodified, with its own account key and log.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use openssl::{
    bn::BigNum,
    pkey::Private,
    rsa::{Rsa, RsaPrivateKeyBuilder},
};
use serde_json::{Value, json};
use tests::{client::Client, from_base64url, key::Key, site::Site};

/// Where the printer answers; nobody else does on this address.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 90);

/// A printer with certbot on it.
pub(crate) struct Printer<'w> {
    site: &'w Arc<Site>,
    dir: PathBuf,
    /// The directory that it was told.
    url: String,
}

impl<'w> Printer<'w> {
    /// One that nobody has told anything; `name` is for its folder.
    pub(crate) fn new(site: &'w Arc<Site>, name: &str) -> Self {
        Self { site, dir: site.dir.join(name), url: site.url("registered", "directory") }
    }

    /// The same with this directory.
    pub(crate) fn at(self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self }
    }

    /// Its account and its key are lost, and it is told the key of another one.
    pub(crate) fn begins_anew(&self, name: &str, kid: &str, hmac_key: &str) -> Result<(), String> {
        let (accounts, lost) = (self.dir.join("config/accounts"), self.dir.join("lost"));
        fs::rename(&accounts, lost).map_err(|error| format!("{}: {error}", accounts.display()))?;
        let before = self.current(name);
        let (is_done, words) = self.certbot(name, &["--eab-kid", kid, "--eab-hmac-key", hmac_key, "--force-renewal"]);
        if is_done && self.current(name) != before { Ok(()) } else { Err(format!("certbot got none:\n{words}")) }
    }

    /// The first certificate, with the external account key that the officer was shown, if it has one.
    pub(crate) fn gets_a_certificate(&self, name: &str, key: Option<(&str, &str)>) -> Result<(), String> {
        self.resolve(name);
        let key = key.map(|(kid, hmac_key)| ["--eab-kid", kid, "--eab-hmac-key", hmac_key]);
        let (is_done, words) = self.certbot(name, key.as_ref().map_or(&[], |key| key.as_slice()));
        let certificate = self.dir.join("config/live").join(name).join("cert.pem");
        if is_done && certificate.exists() { Ok(()) } else { Err(format!("certbot got no certificate:\n{words}")) }
    }

    /// The next certificate for the same name.
    pub(crate) fn renews(&self, name: &str) -> Result<(), String> {
        let before = self.current(name);
        let (is_done, words) = self.certbot(name, &["--force-renewal"]);
        if is_done && self.current(name) != before { Ok(()) } else { Err(format!("certbot did not renew:\n{words}")) }
    }

    /// The next order is refused, and certbot's log has this rule.
    pub(crate) fn is_refused(&self, name: &str, rule: &str) -> Result<(), String> {
        self.resolve(name);
        let log = self.dir.join("logs/letsencrypt.log");
        let _ = fs::remove_file(&log);
        let (is_done, words) = self.certbot(name, &["--force-renewal"]);
        let log = fs::read_to_string(log).unwrap_or_default();
        match (is_done, log.contains(rule)) {
            (true, _) => Err(format!("certbot was given a certificate:\n{words}")),
            (false, false) => Err(format!("certbot's log does not say {rule}:\n{log}")),
            (false, true) => Ok(()),
        }
    }

    /// Its account in our own hands, to ask without the seconds that certbot takes to start.
    pub(crate) fn account(&self) -> Client {
        let folder = only_folder_with("private_key.json", &self.dir.join("config/accounts"));
        let read = |file: &str| -> Value { serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap() };
        let mut client = Client::new(Arc::clone(self.site), "registered", key(&read("private_key.json")));
        client.kid = read("regr.json")["uri"].as_str().map(str::to_owned);
        client
    }

    fn resolve(&self, name: &str) {
        self.site.control("/add-a", &json!({"host": format!("{name}."), "addresses": [ADDRESS]}));
    }

    /// Whether it ended well, and its words.
    fn certbot(&self, name: &str, more: &[&str]) -> (bool, String) {
        let site = self.site;
        let folder = |name: &str| self.dir.join(name);
        let mut command = Command::new("certbot");
        command
            .env("REQUESTS_CA_BUNDLE", site.pki("acme-ca.pem"))
            .args(["certonly", "--standalone", "--non-interactive", "--agree-tos", "--no-eff-email"])
            .args(["--email", "printers@quickstart.test", "--server", &self.url])
            .args(["--http-01-address", &ADDRESS.to_string(), "--http-01-port", &site.http_01_port.to_string()])
            .arg("--config-dir")
            .arg(folder("config"))
            .arg("--work-dir")
            .arg(folder("work"))
            .arg("--logs-dir")
            .arg(folder("logs"))
            .args(["--cert-name", name, "-d", name])
            .args(more);
        let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("certbot: {error}"));
        let words = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), words.into_owned())
    }

    fn current(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.join("config/live").join(name).join("cert.pem")).unwrap_or_default()
    }
}

/// The one folder at or below this one with such a file.
fn only_folder_with(file: &str, below: &Path) -> PathBuf {
    if below.join(file).exists() {
        return below.to_owned();
    }
    let entries = fs::read_dir(below).unwrap_or_else(|error| panic!("{}: {error}", below.display()));
    let mut folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir() && !path.is_symlink());
    only_folder_with(file, &folders.next().expect("certbot has an account"))
}

/// certbot's account key, which is a JWK (RFC 7518 §6.3.2).
fn key(jwk: &Value) -> Key {
    let number = |name: &str| BigNum::from_slice(&from_base64url(jwk[name].as_str().unwrap())).unwrap();
    let rsa: Rsa<Private> = RsaPrivateKeyBuilder::new(number("n"), number("e"), number("d"))
        .and_then(|builder| builder.set_factors(number("p"), number("q")))
        .and_then(|builder| builder.set_crt_params(number("dp"), number("dq"), number("qi")))
        .unwrap()
        .build();
    Key::from_rsa(rsa)
}
