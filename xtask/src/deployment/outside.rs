//! The world outside of a gateway that is deployed: Certificate Manager, DNS and a client, from the sandbox.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};

use super::Proof;
use crate::{
    commands::run,
    quickstart::processes::{Service, wait_until},
    workspace,
};

/// How long it may take to be there.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A name that the sandbox's DNS leads to loopback.
const NAME: &str = "hello.quickstart.test";
/// Where the client answers challenges.
const HTTP_01: &str = "127.0.0.1:5002";
/// Of an endpoint and its realm.
const ENDPOINT: &str = "open";

/// The sandbox, running.
pub(super) struct Outside {
    dir: PathBuf,
    external_url: String,
    service: Service,
}

impl Outside {
    /// Starts it with a new PKI in `dir`, for a gateway at `external_url`.
    pub(super) fn start(proof: &Proof<'_>, dir: &Path, external_url: &str) -> anyhow::Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
        }
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        run(Command::new(sandbox()).arg("init").arg("--dir").arg(dir))?;
        let mut command = proof.network.command(sandbox());
        command.arg("serve").arg("--dir").arg(dir);
        command.args(["--cm", "127.0.0.1:9443", "--status", "127.0.0.1:9080", "--dns", "127.0.0.1:9053"]);
        command.args(["--control", "127.0.0.1:9055", "--http-01-port", "9002", "--tls-alpn-01-port", "9001"]);
        command.args(["--acme-base", &format!("{ENDPOINT}={external_url}/acme/{ENDPOINT}")]);
        let mut service = Service::start("acme-sandbox", command, dir.join("sandbox.log"))?;
        let announced = dir.join("sandbox.json");
        wait_until("the sandbox", READY_WITHIN, &mut [&mut service], proof.interrupt, || {
            if announced.exists() { Ok(()) } else { Err("it has not said where it listens".to_owned()) }
        })?;
        Ok(Self { dir: dir.to_owned(), external_url: external_url.to_owned(), service })
    }

    /// Settings of a gateway that works with it.
    pub(super) fn settings(&self, listen: &str, keys: impl Fn(&str) -> String) -> String {
        let (server, client) = (keys("server.key"), keys("cm-client.key"));
        let external_url = &self.external_url;
        format!(
            "[server]\nexternal_url = \"{external_url}\"\nlisten = [\"{listen}\"]\nkey_file = \"{server}\"\n\
             [cm]\nurl = \"https://localhost:9443\"\nkey_file = \"{client}\"\n\
             [validation]\nresolvers = [\"127.0.0.1:9053\"]\nhttp_port = 5002\ndanger_allow_loopback = true\n\
             [endpoints.{ENDPOINT}]\nmode = \"open\"\n"
        )
    }

    /// Puts certificates and keys under the names that the settings' defaults have; the keys in a folder `keys`.
    pub(super) fn install(&self, etc: &Path) -> anyhow::Result<()> {
        for (from, to) in [
            ("acme-server.pem", "server.pem"),
            ("acme-server.key", "keys/server.key"),
            ("gateway.pem", "cm-client.pem"),
            ("gateway.key", "keys/cm-client.key"),
            ("infra-ca.pem", "cm-ca.pem"),
            ("roots.pem", "issuer-roots.pem"),
        ] {
            let mode = if to.starts_with("keys/") { "600" } else { "644" };
            run(Command::new("install")
                .args(["-D", "-m", mode])
                .arg(self.dir.join("pki").join(from))
                .arg(etc.join(to)))?;
        }
        Ok(())
    }

    /// Gets a certificate through the gateway and verifies it. Answers what openssl says of it.
    pub(super) fn certificate(&self, proof: &Proof<'_>) -> anyhow::Result<String> {
        run(proof
            .network
            .command(sandbox())
            .arg("first-certificate")
            .args(["--directory", &format!("{}/acme/{ENDPOINT}/directory", self.external_url)])
            .args(["--identifier", NAME, "--http-01", HTTP_01])
            .arg("--ca")
            .arg(self.dir.join("pki/acme-ca.pem"))
            .arg("--out")
            .arg(&self.dir))?;
        let chain = self.dir.join(format!("{NAME}.pem"));
        let roots = self.dir.join("pki/roots.pem");
        let verified = run(Command::new("openssl")
            .arg("verify")
            .arg("-CAfile")
            .arg(roots)
            .arg("-untrusted")
            .arg(&chain)
            .arg(&chain))?;
        ensure!(verified.trim_end().ends_with(": OK"), "{verified}");
        let said =
            run(Command::new("openssl").args(["x509", "-noout", "-subject", "-issuer", "-serial", "-in"]).arg(&chain))?;
        Ok(said.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    pub(super) fn stop(mut self) {
        self.service.stop();
    }
}

fn sandbox() -> PathBuf {
    workspace::target().join("debug/acme-sandbox")
}
