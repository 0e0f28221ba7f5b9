//! The command line.

mod audit;
mod canary;
mod check_config;
mod doctor;
mod manual;
mod order;
mod output;
mod private_memory;
mod profile;
mod ready;
mod serve;
mod tls;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::{
    admin::{self, Request},
    settings::{self, SettingsError},
};

/// The version, and of a packaged program also the commit that it was built from: `cargo xtask package` stamps it.
pub(crate) const VERSION: &str = match option_env!("ACME_GATEWAY_BUILD") {
    Some(build) => build,
    None => env!("CARGO_PKG_VERSION"),
};

/// The settings are wrong, which nothing but a change of them mends: EX_CONFIG of sysexits(3). The unit does not start
/// the gateway again after this one, and after every other it does.
const WRONG_SETTINGS: u8 = 78;

/// The command line is wrong: EX_USAGE of sysexits(3). Not the 2 of clap, which says here that audit files were tampered with.
const WRONG_USAGE: u8 = 64;

const AFTER_HELP: &str = "\
Exit codes:
   0  done, and the answer is yes
   1  it failed, or the answer is no; doctor --strict: there are warnings
   2  doctor, audit: something is wrong
  64  the command line is wrong
  78  serve, check-config: the settings are wrong; canary: the canary itself is not in order

Shell completions and manual pages: acme-gateway manual completions bash, acme-gateway manual pages FOLDER";

/// An ACME front door for the certificate authority that you already have.
#[derive(Parser)]
#[command(name = "acme-gateway", version = VERSION, about, after_help = AFTER_HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve ACME.
    Serve {
        /// The settings; every one with its default is in config/gateway.toml.
        #[arg(long, default_value = "/etc/acme-gateway/gateway.toml")]
        config: PathBuf,
    },
    /// Check the settings and the files they name, and say what serve would do.
    CheckConfig {
        /// The settings.
        #[arg(long, default_value = "/etc/acme-gateway/gateway.toml")]
        config: PathBuf,
    },
    /// Look at everything that the gateway depends on: what is wrong, what it breaks, what mends it.
    Doctor {
        /// The settings.
        #[arg(long, default_value = "/etc/acme-gateway/gateway.toml")]
        config: PathBuf,
        /// Everything, for programs.
        #[arg(long)]
        json: bool,
        /// Exit with 1 if there are warnings and nothing is wrong.
        #[arg(long)]
        strict: bool,
    },
    /// Ask the gateway that runs on this machine whether it is ready (/readyz): exit code 0 or 1, for health checks.
    Ready {
        /// The settings of the running gateway; ops.listen says where it answers.
        #[arg(long, default_value = "/etc/acme-gateway/gateway.toml")]
        config: PathBuf,
    },
    /// Get a certificate for a name of your own as clients do, and say what came of it.
    Canary(canary::Options),
    /// What happened to an order, and why.
    #[command(subcommand)]
    Order(Order),
    /// Profiles that are stopped because the CM returned a bad certificate.
    #[command(subcommand)]
    Profile(Profile),
    /// What was done and decided: the audit files.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Write completions for a shell, or manual pages.
    #[command(hide = true, subcommand)]
    Manual(manual::Command),
}

/// Asked of the gateway that runs on this machine.
#[derive(Subcommand)]
enum Order {
    /// Show everything that happened to an order or an authorization, one that was refused too.
    Show {
        /// Its id, or any URL with it: the instance of a problem, the URL of an order or challenge.
        reference: String,
        #[command(flatten)]
        running: Running,
        /// Everything, for programs.
        #[arg(long)]
        json: bool,
    },
}

/// Asked of the gateway that runs on this machine.
#[derive(Subcommand)]
enum Profile {
    /// Show the profiles that are stopped, and the bad certificates that are kept.
    List {
        #[command(flatten)]
        running: Running,
        /// Everything, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Use a profile again, or a whole realm, because the CM is in order again.
    Resume {
        /// The CM's realm.
        realm: String,
        /// Which of its profiles; without it the stop of the whole realm is lifted.
        profile: Option<String>,
        #[command(flatten)]
        running: Running,
    },
}

/// Which gateway is asked.
#[derive(Args)]
struct Running {
    /// The settings of the running gateway; they say where its socket is.
    #[arg(long, default_value = "/etc/acme-gateway/gateway.toml")]
    config: PathBuf,
    /// The socket of the running gateway (ops.admin_socket); then no settings are read.
    #[arg(long, conflicts_with = "config")]
    socket: Option<PathBuf>,
}

impl Running {
    /// Settings that have changed since the gateway started, or are wrong by now, do not say where its socket is; so
    /// it can be named.
    fn ask(&self, request: &Request) -> anyhow::Result<Value> {
        if let Some(socket) = &self.socket {
            return admin::ask(socket, request);
        }
        let settings = settings::load(&self.config)
            .context("cannot tell where the socket of the gateway is; mend this, or name the socket with --socket")?;
        admin::ask(&admin::socket(&settings), request)
    }
}

/// Runs what the command line says. Errors go to standard error, cause after cause.
pub(crate) fn run() -> ExitCode {
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(told) => {
            let is_wrong = told.use_stderr();
            return match told.print() {
                Ok(()) if !is_wrong => ExitCode::SUCCESS,
                Ok(()) | Err(_) => ExitCode::from(WRONG_USAGE),
            };
        }
    };
    // Most commands read a key, or hear what is nobody's business.
    if let Err(error) = private_memory::ensure().context("memory with keys in it cannot be kept out of core dumps") {
        return exit(Err(error));
    }
    let outcome = match command {
        Command::Serve { config } => return exit(told_by_code(serve::run(&config), &config)),
        Command::CheckConfig { config } => return exit(told_by_code(check_config::run(&config), &config)),
        Command::Doctor { config, json, strict } => return exit(doctor::run(&config, json, strict)),
        Command::Ready { config } => return exit(ready::run(&config)),
        Command::Canary(options) => return exit(canary::run(options)),
        Command::Order(Order::Show { reference, running, json }) => order::show(&running, reference, json),
        Command::Profile(Profile::List { running, json }) => profile::list(&running, json),
        Command::Audit(command) => return exit(audit::run(command)),
        Command::Manual(command) => manual::run(&command),
        Command::Profile(Profile::Resume { realm, profile, running }) => {
            profile::resume(&running, &realm, profile.as_deref())
        }
    };
    exit(outcome.map(|()| ExitCode::SUCCESS))
}

/// Settings that were read and are wrong have an exit code of their own. A file that cannot be read may come, as one on a
/// file system that is not mounted yet.
fn told_by_code(outcome: anyhow::Result<()>, config: &Path) -> anyhow::Result<ExitCode> {
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.is::<SettingsError>() && fs::read(config).is_ok() => {
            eprintln!("acme-gateway: {error:#}");
            Ok(ExitCode::from(WRONG_SETTINGS))
        }
        Err(error) => Err(error),
    }
}

fn exit(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("acme-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_help_names_exit_codes_and_the_manual() {
        CommandLine::command().debug_assert();
        let help = CommandLine::command().render_help().to_string();
        assert!(help.contains(&format!("{WRONG_SETTINGS}  serve, check-config")), "{help}");
        assert!(help.contains("acme-gateway manual pages"), "{help}");
    }
}
