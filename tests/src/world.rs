//! A world: the sandbox and the gateway as processes on loopback ports of their own, in a folder of their own.
//!
//! Nothing of it outlives the test process. The folder is removed at the end unless a test failed.

mod asking;
mod cm;
mod endpoints;
mod failure;
mod ports;
mod processes;
mod settings;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use serde_json::Value;

pub use self::{endpoints::STAPLED, ports::free_ports};
use self::{
    endpoints::{MORE_ENDPOINTS, adapt_cm},
    failure::show_logs_on_failure,
    processes::{start_gateway, start_sandbox},
    settings::settings_text,
};
use crate::{
    binaries, machine,
    officer::Officer,
    process::Process,
    site::{Shown, Site},
};

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
}

impl Drop for World {
    fn drop(&mut self) {
        self.gateway.kill();
        self.sandbox.kill();
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
