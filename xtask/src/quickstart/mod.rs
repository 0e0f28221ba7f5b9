//! `cargo xtask quickstart`: the first five minutes of a user. Builds the gateway and the sandbox, starts them with a
//! throwaway PKI, gets a first certificate, tells how to go on with certbot and lego, and stays up until Ctrl-C.
//!
//! It is a demonstration and the world that tests run against. It is no way to install anything: keys lie about in
//! plain files and validation may dial loopback addresses.

mod advice;
mod build;
mod certificate;
mod desks;
mod hooks;
mod json;
mod layout;
mod openbao;
mod ports;
pub(crate) mod processes;
mod ready;
mod sandbox;
mod settings_file;
mod shell;

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::{
    interrupt::{Interrupt, Interrupted},
    output::{Progress, indented, say},
};
use layout::Layout;
use ports::Ports;
use processes::Service;
use settings_file::{Placed, Values};

/// How long the sandbox and the gateway may take to be ready, each.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often a running quickstart looks after its processes.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The command line of `quickstart`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder for keys, settings, logs and certificates; a second run in it goes on where the first ended
    #[arg(long, value_name = "DIR", default_value = "Q")]
    dir: PathBuf,
    /// Certificate Manager behind the gateway: the sandbox's own with the CM REST API, or a real OpenBao
    #[arg(long, value_name = "KIND", value_enum, default_value_t = CertificateManager::Rest)]
    cm: CertificateManager,
    /// HTTPS port of the gateway; the five ports after it are used as well, eight with OpenBao
    #[arg(long, value_name = "N", default_value_t = 14000)]
    port: u16,
    /// DNS server that the gateway asks, in place of the sandbox's own
    #[arg(long, value_name = "HOST:PORT")]
    dns: Option<String>,
    /// Port on which the gateway expects answers to http-01 challenges
    #[arg(long = "http-01-port", value_name = "N", default_value_t = 5002)]
    http_01_port: u16,
    /// Port of the sandbox's own tls-alpn-01 responder
    #[arg(long = "tls-alpn-01-port", value_name = "N", default_value_t = 5001)]
    tls_alpn_01_port: u16,
}

/// What stands behind the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CertificateManager {
    /// The sandbox's reference CM.
    Rest,
    /// A real OpenBao.
    #[value(name = "openbao")]
    OpenBao,
}

impl CertificateManager {
    /// As settings name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::OpenBao => "openbao",
        }
    }

    /// What to say of it in the gateway's settings.
    pub(crate) const fn comment(self) -> &'static str {
        match self {
            Self::Rest => "The sandbox's reference Certificate Manager stands in for yours.",
            Self::OpenBao => "A real CA: docs/howto/openbao.md says what it needs.",
        }
    }

    /// The store has orders in flight at one CM, which another one does not know.
    fn refuse_a_folder_of_another(self, layout: &Layout) -> anyhow::Result<()> {
        let was = if layout.openbao("").exists() { Self::OpenBao } else { Self::Rest };
        if was == self || !layout.store().exists() {
            return Ok(());
        }
        bail!(
            "{} was made with --cm {}: choose another folder with --dir, or remove this one to begin anew",
            layout.dir().display(),
            was.name()
        )
    }
}

/// Runs until a signal comes. The exit code is 0 after a quickstart that was up, 130 if it was interrupted before.
///
/// # Errors
/// A step failed; the text says which, why, and what to change.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    match run_until(&interrupt, options) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.is::<Interrupted>() => {
            say!("");
            say!("Stopped before it was ready.");
            Ok(ExitCode::from(130))
        }
        Err(error) => Err(error),
    }
}

fn run_until(interrupt: &Interrupt, options: &Options) -> anyhow::Result<()> {
    let progress = Progress::start();
    let cm = options.cm;
    let mut ports = Ports::plan(options.port, options.http_01_port, options.tls_alpn_01_port)?;
    if cm == CertificateManager::OpenBao {
        ports = ports.with_openbao()?;
    }
    let own_dns = options.dns.as_deref().map(dns_server).transpose()?;
    let layout = Layout::create(&options.dir)?;
    if let Err(error) = ports.check_free(own_dns.is_none()) {
        return Err(json::remind_of_a_running_one(&layout, error));
    }
    cm.refuse_a_folder_of_another(&layout)?;
    json::remove(&layout);

    let program = match cm {
        CertificateManager::Rest => None,
        CertificateManager::OpenBao => Some(openbao::install(&progress, interrupt)?),
    };
    let programs = build::build(&progress, interrupt)?;
    sandbox::init(&programs.sandbox, &layout, &progress, interrupt)?;

    progress.begins("starting the sandbox: reference Certificate Manager, DNS, challenge responders");
    let mut sandbox = sandbox::start(&programs.sandbox, &layout, &ports)?;
    let mut facts = None;
    processes::wait_until("the sandbox", READY_WITHIN, &mut [&mut sandbox], interrupt, || {
        facts = Some(sandbox::Facts::read(&layout)?);
        Ok(())
    })?;
    let mut facts = facts.context("the sandbox said nothing about itself")?;
    progress.done(format_args!("the sandbox is up, process {}", sandbox.pid()));

    let mut bao = match program {
        None => None,
        Some(program) => {
            sandbox::issuing_cas(&programs.sandbox, &layout, &openbao::issuing_cas(), interrupt)?;
            Some(openbao::start(&program, &layout, &ports, &progress, interrupt)?)
        }
    };
    if bao.is_some() {
        facts.cm = format!("https://{}", ports.openbao());
    }

    let values = Values {
        external_url: ports.external_url(),
        listen: ports.listen(),
        ops: ports.ops(),
        cm,
        cm_url: facts.cm.clone(),
        resolver: own_dns.unwrap_or(ports.dns()),
        http_01_port: ports.http_01,
        tls_alpn_01_port: ports.tls_alpn_01,
    };
    place_settings(&layout, &values)?;
    hooks::write(&layout, &facts.control)?;
    let directory_url = ports.directory("registered");
    let places = desks::Places { cm, cm_url: &facts.cm, directory_url: &directory_url, http_01_port: ports.http_01 };
    desks::write(&layout, &places)?;
    if bao.is_some() {
        let key = openbao::registration::ensure(&programs.officer, &layout, &facts.allowed, interrupt)?;
        (facts.kid, facts.hmac_key) = (key.kid, key.hmac_key);
    }

    progress.begins("starting the gateway");
    let mut gateway = start_gateway(&programs.gateway, &layout)?;
    // The last of them is the one whose log is shown.
    let mut services: Vec<&mut Service> =
        [Some(&mut sandbox), bao.as_mut(), Some(&mut gateway)].into_iter().flatten().collect();
    processes::wait_until("the gateway", READY_WITHIN, &mut services, interrupt, || {
        ready::ask(ports.ops(), "/readyz")
    })?;
    progress.done(format_args!("the gateway is ready at {}, process {}", ports.external_url(), gateway.pid()));

    if own_dns.is_none() {
        let name = "hello.quickstart.test";
        progress.begins(format_args!("getting a first certificate, for {name}, by http-01"));
        let shown = certificate::first(&programs.sandbox, &layout, &ports, name, interrupt)?;
        progress.done("issued:");
        say!("{}", indented(&shown));
    }

    let description =
        json::Description { layout: &layout, ports: &ports, facts: &facts, cm, resolver: values.resolver }.value(
            gateway.pid(),
            sandbox.pid(),
            bao.as_ref().map(Service::pid),
        );
    let published = json::publish(&layout, &description)?;
    say!("");
    if bao.is_some() {
        say!("{}", openbao::advice(&layout, &ports));
    }
    say!("{}", advice::text(&layout, &ports, &facts, own_dns, &programs.officer));

    let services = [Some(&mut sandbox), bao.as_mut(), Some(&mut gateway)];
    stay_up(services.into_iter().flatten().collect(), interrupt);
    drop(published);
    say!("");
    say!("Stopping what was started.");
    gateway.stop();
    if let Some(bao) = &mut bao {
        bao.stop();
    }
    sandbox.stop();
    Ok(())
}

/// The address of the DNS server on the command line; the gateway's settings take addresses only. Of a name with both
/// kinds of address, such as localhost, IPv4 is taken: more servers listen there.
fn dns_server(text: &str) -> anyhow::Result<SocketAddr> {
    let addresses = text
        .to_socket_addrs()
        .with_context(|| format!("--dns {text}: give it as HOST:PORT, such as 127.0.0.1:8053"))?;
    addresses.min_by_key(SocketAddr::is_ipv6).with_context(|| format!("--dns {text}: this name has no address"))
}

fn place_settings(layout: &Layout, values: &Values) -> anyhow::Result<()> {
    let file = layout.settings_file();
    let shown = file.display();
    match settings_file::place(&file, values, layout)? {
        Placed::Written => say!("{:>9}settings are in {shown}", ""),
        Placed::AsBefore => say!("{:>9}settings are in {shown}, as before", ""),
        Placed::Rewritten => say!("{:>9}the command line changed: {shown} is written anew", ""),
        Placed::Edited(differences) => {
            say!("{:>9}{shown} was edited by hand and is kept as it is", "");
            for difference in &differences {
                say!("{:>9}note: {difference}", "");
            }
            if let Some(fatal) = differences.iter().find(|difference| difference.fatal) {
                bail!(
                    "{fatal}; the quickstart cannot follow that. Change it back, give the matching --port, or remove \
                     the file to have it written anew"
                );
            }
        }
    }
    say!("{:>9}warning: these settings let validation dial loopback addresses (danger_allow_loopback);", "");
    say!("{:>9}         right for a demonstration, wrong for everything else", "");
    Ok(())
}

fn start_gateway(program: &std::path::Path, layout: &Layout) -> anyhow::Result<Service> {
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(layout.settings_file());
    Service::start("acme-gateway", command, layout.log("gateway"))
}

/// Until an interrupt. Somebody who ends the gateway to see what becomes of an order starts it again by hand, against
/// the same sandbox; so the end of one process is told, with how to go on, and ends nothing else.
fn stay_up(services: Vec<&mut Service>, interrupt: &Interrupt) {
    let mut services: Vec<_> = services
        .into_iter()
        .map(|service| {
            let again = Some(service.command_line());
            (service, again)
        })
        .collect();
    while !interrupt.came() {
        for (service, again) in &mut services {
            if let Err(ended) = service.check_alive()
                && let Some(again) = again.take()
            {
                say!("");
                say!("{ended}");
                say!("Start it again with:\n\n  {again}\n");
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_the_kind_of_cm_that_it_was_made_with() {
        let dir = layout::tests::folder("another-cm");
        let layout = Layout::create(&dir).unwrap();
        let both = [CertificateManager::Rest, CertificateManager::OpenBao];
        assert!(both.iter().all(|cm| cm.refuse_a_folder_of_another(&layout).is_ok()));
        std::fs::create_dir(layout.store()).unwrap();
        assert!(CertificateManager::Rest.refuse_a_folder_of_another(&layout).is_ok());
        let error = CertificateManager::OpenBao.refuse_a_folder_of_another(&layout).unwrap_err().to_string();
        assert!(error.contains("was made with --cm rest: choose another folder with --dir"), "{error}");
        std::fs::create_dir(layout.openbao("")).unwrap();
        assert!(CertificateManager::OpenBao.refuse_a_folder_of_another(&layout).is_ok());
        assert!(CertificateManager::Rest.refuse_a_folder_of_another(&layout).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_dns_server_is_an_address_or_a_name_with_a_port() {
        assert_eq!(dns_server("127.0.0.1:8053").unwrap(), "127.0.0.1:8053".parse().unwrap());
        assert_eq!(dns_server("[::1]:53").unwrap(), "[::1]:53".parse().unwrap());
        assert!(dns_server("localhost:53").unwrap().ip().is_loopback());
        for refused in ["127.0.0.1", "", "127.0.0.1:99999"] {
            let error = format!("{:#}", dns_server(refused).unwrap_err());
            assert!(error.contains("HOST:PORT"), "{error}");
        }
    }
}
