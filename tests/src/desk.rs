//! A desk in the registration authority: the program acme-officer with the settings of one person.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    binaries,
    openbao::{MOUNT, OpenBao},
    site::Site,
};

/// The program with a settings file.
pub struct Desk {
    config: PathBuf,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Desk {
    /// The desk of the person with this certificate (`officer`, `approver`, `auditor`, `gateway`) in the realm
    /// `registered`. `facts` is what the sandbox says about itself.
    ///
    /// # Panics
    /// The settings cannot be written.
    #[must_use]
    pub fn new(site: &Site, facts: &Value, certificate: &str) -> Self {
        let config = site.dir.join(format!("desk-of-{certificate}.toml"));
        let pki = |file: String| format!("{:?}", site.pki(&file));
        let cm = facts["cm"].as_str().expect("sandbox.json names the CM");
        let text = format!(
            "[cm]\nurl = {cm:?}\nca_file = {}\ncertificate_file = {}\nkey_file = {}\nrealm = \"registered\"\n",
            pki("infra-ca.pem".to_owned()),
            pki(format!("{certificate}.pem")),
            pki(format!("{certificate}.key")),
        );
        // Tests run side by side: whoever reads it must never find half of it.
        let fresh = site.dir.join(format!("desk-of-{certificate}-{:?}.new", std::thread::current().id()));
        fs::write(&fresh, text).unwrap();
        fs::rename(&fresh, &config).unwrap();
        Self { config }
    }

    /// The desk of the person with this certificate at an OpenBao, in this realm.
    ///
    /// # Panics
    /// The settings cannot be written.
    #[must_use]
    pub fn at_openbao(dir: &Path, bao: &OpenBao, certificate: &str, realm: &str) -> Self {
        let config = dir.join(format!("desk-of-{certificate}-at-openbao.toml"));
        let pki = |file: &str| format!("{:?}", bao.pki().join(file));
        let text = format!(
            "[cm]\nkind = \"openbao\"\nurl = {:?}\nca_file = {}\ncertificate_file = {}\nkey_file = {}\nrealm = {realm:?}\n\
             [cm.openbao]\nmount = {MOUNT:?}\nlogin_role = \"acme-{certificate}\"\n",
            bao.url(),
            pki("infra-ca.pem"),
            pki(&format!("{certificate}.pem")),
            pki(&format!("{certificate}.key")),
        );
        fs::write(&config, text).unwrap();
        Self { config }
    }

    /// The same with a directory that clients are told to use, and the CA of its server.
    ///
    /// # Panics
    /// The settings cannot be written.
    #[must_use]
    pub fn telling(&self, directory_url: &str, ca_file: &Path) -> Self {
        let text = fs::read_to_string(&self.config).unwrap();
        let config = self.beside("telling");
        fs::write(&config, format!("{text}\n[acme]\ndirectory_url = {directory_url:?}\nca_file = {ca_file:?}\n"))
            .unwrap();
        Self { config }
    }

    /// The same with a CA that clients of the gateway are told to trust.
    ///
    /// # Panics
    /// The settings cannot be written.
    #[must_use]
    pub fn trusting(&self, ca_file: &Path) -> Self {
        let text = fs::read_to_string(&self.config).unwrap();
        let config = self.beside("trusting");
        fs::write(&config, format!("{text}\n[acme]\nca_file = {ca_file:?}\n")).unwrap();
        Self { config }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// A file that no other test writes: several share the desks of one world.
    fn beside(&self, what: &str) -> PathBuf {
        self.config.with_extension(format!("{what}-{:?}.toml", std::thread::current().id()))
    }

    /// Runs a command to its end, whatever comes of it.
    ///
    /// # Panics
    /// It cannot be run, or a signal ends it.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(binaries::officer());
        let _ = command.env("ACME_OFFICER_CONFIG", &self.config).args(arguments);
        let output = command.output().unwrap_or_else(|error| panic!("{arguments:?} cannot be run: {error}"));
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let code = output.status.code().expect("it ends by itself");
        Ran { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Runs a command that must succeed; answers what it printed.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn text(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.stdout
    }

    /// Runs a command that must succeed with `--json`.
    ///
    /// # Panics
    /// It fails, or prints no JSON.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} printed no JSON: {error}\n{text}"))
    }
}
