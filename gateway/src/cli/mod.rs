//! The command line.

mod check_config;
mod order;
mod profile;
mod serve;
mod tls;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// An ACME front door for the certificate authority that you already have.
#[derive(Parser)]
#[command(name = "acme-gateway", version, about)]
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
    /// What happened to an order, and why.
    #[command(subcommand)]
    Order(Order),
    /// Profiles that are stopped because the CM returned a bad certificate.
    #[command(subcommand)]
    Profile(Profile),
}

/// Asked of the gateway that runs on this machine.
#[derive(Subcommand)]
enum Order {
    /// Show everything that happened to an order or an authorization, one that was refused too.
    Show {
        /// Its id, or any URL with it: the instance of a problem, the URL of an order or challenge.
        reference: String,
        /// The settings of the running gateway.
        #[arg(long, default_value = "/etc/acme-gateway/gateway.toml")]
        config: PathBuf,
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
        /// The settings of the running gateway.
        #[arg(long, default_value = "/etc/acme-gateway/gateway.toml")]
        config: PathBuf,
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
        /// The settings of the running gateway.
        #[arg(long, default_value = "/etc/acme-gateway/gateway.toml")]
        config: PathBuf,
    },
}

/// Runs what the command line says. Errors go to standard error, cause after cause.
pub(crate) fn run() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Serve { config } => serve::run(&config),
        Command::CheckConfig { config } => check_config::run(&config),
        Command::Order(Order::Show { reference, config, json }) => order::show(&config, reference, json),
        Command::Profile(Profile::List { config, json }) => profile::list(&config, json),
        Command::Profile(Profile::Resume { realm, profile, config }) => {
            profile::resume(&config, &realm, profile.as_deref())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("acme-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}
