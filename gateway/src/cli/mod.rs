//! The command line.

mod check_config;
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
}

/// Runs what the command line says. Errors go to standard error, cause after cause.
pub(crate) fn run() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Serve { config } => serve::run(&config),
        Command::CheckConfig { config } => check_config::run(&config),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("acme-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}
