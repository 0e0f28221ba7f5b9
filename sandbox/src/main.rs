//! `acme-sandbox`: an outside world for the ACME gateway in one process. NOT FOR PRODUCTION.
//!
//! A reference Certificate Manager behind mutual TLS, certificate status, a name server, challenge responders and a
//! control server that tests steer them by. `init` makes its folder, `serve` runs it.

mod challenges;
mod control;
mod dns;
mod faults;
mod first_certificate;
mod listener;
mod pki;
mod reference_cm;
#[cfg(test)]
mod scratch;
mod serve;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use time::OffsetDateTime;
use tracing_subscriber::EnvFilter;

/// The sandbox: a whole outside world for the ACME gateway. NOT FOR PRODUCTION.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes keys, certificates, settings and a sample pre-registration; keeps what is there.
    Init(InitArgs),
    /// Makes one more issuing CA below the root, for a CM that is not the sandbox's; keeps one that is there.
    IssuingCa(IssuingCaArgs),
    /// Runs everything until SIGTERM or SIGINT.
    Serve(serve::Args),
    /// Gets a certificate through the gateway, to show that everything works.
    FirstCertificate(first_certificate::Args),
}

#[derive(Debug, clap::Args)]
struct InitArgs {
    /// The folder to fill.
    #[arg(long)]
    dir: PathBuf,
    /// The name in the gateway's identity, urn:cm:gateway:NAME.
    #[arg(long, default_value = "quickstart")]
    gateway_name: String,
}

#[derive(Debug, clap::Args)]
struct IssuingCaArgs {
    /// The folder that init filled.
    #[arg(long)]
    dir: PathBuf,
    /// What its files in DIR/pki are called, before .pem and .key.
    #[arg(long)]
    name: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let outcome = match Cli::parse().command {
        Command::Init(args) => init(args).await,
        Command::IssuingCa(args) => pki::issuing_ca(&args.dir, &args.name, OffsetDateTime::now_utc()),
        Command::Serve(args) => serve::run(args).await,
        Command::FirstCertificate(args) => first_certificate::run(args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn init(args: InitArgs) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&args.dir)?;
        pki::init(&args.dir, &args.gateway_name, OffsetDateTime::now_utc())?;
        reference_cm::init(&args.dir, &args.gateway_name)?;
        tracing::warn!(dir = %args.dir.display(), "sandbox made; its keys are files: NOT FOR PRODUCTION");
        Ok(())
    })
    .await?
}
