//! `acme-gateway canary`: gets a certificate as clients do, and says what came of it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::json;

use crate::{
    canary::{self, Plan},
    clock,
};

/// What the command line says.
#[derive(Args)]
pub(super) struct Options {
    /// The directory, as clients have it.
    #[arg(long)]
    directory: String,
    /// A name of your own that leads to this machine and that the directory issues for.
    #[arg(long)]
    name: String,
    /// Roots that the directory's own certificate chains to (PEM).
    #[arg(long, default_value = "/etc/ssl/certs/ca-certificates.crt")]
    ca_file: PathBuf,
    /// Roots that the issued certificate chains to (PEM), such as cm.issuer_roots_file; those of --ca-file without it.
    #[arg(long)]
    roots_file: Option<PathBuf>,
    /// Where http-01 is answered; may be given more than once.
    #[arg(long, default_value = "0.0.0.0:80")]
    listen: Vec<SocketAddr>,
    /// The key of the canary's account (PEM); made if it is not there.
    #[arg(long, default_value = "/var/lib/acme-gateway-canary/account.key")]
    account_key_file: PathBuf,
    /// The id of an external account key, for the first time.
    #[arg(long, requires = "external_account_key_file")]
    external_account_key_id: Option<String>,
    /// The file with that key in base64url.
    #[arg(long, requires = "external_account_key_id")]
    external_account_key_file: Option<PathBuf>,
    /// Leave the certificate valid, if it does not live long.
    #[arg(long)]
    no_revocation: bool,
    /// Write what came of it for the textfile collector of node_exporter, such as
    /// /var/lib/prometheus/node-exporter/acme-gateway-canary.prom.
    #[arg(long)]
    textfile: Option<PathBuf>,
    /// What came of it, for programs.
    #[arg(long)]
    json: bool,
}

/// Exits with 0 if there was a certificate and it was as it should be, else with 1.
pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Options {
        directory, name, ca_file, roots_file, listen, account_key_file, no_revocation, textfile, json, ..
    } = options;
    let plan = Plan {
        directory,
        name,
        roots_file: roots_file.unwrap_or_else(|| ca_file.clone()),
        ca_file,
        listen,
        account_key_file,
        external_account: options.external_account_key_id.zip(options.external_account_key_file),
        revokes: !no_revocation,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(canary::run(&plan));
    let seconds = report.took.as_secs_f64();
    let (stage, reason) = report.failure.as_ref().map(|(stage, reason)| (stage.name(), reason.as_str())).unzip();
    if json {
        println!(
            "{}",
            json!({
                "version": 1, "directory": plan.directory, "name": plan.name, "success": report.failure.is_none(),
                "seconds": seconds, "stage": stage, "reason": reason,
            })
        );
    } else if let (Some(stage), Some(reason)) = (stage, reason) {
        println!("No certificate for {} after {seconds:.1} s. It ended at the {stage}: {reason}", plan.name);
    } else {
        println!("A certificate for {} after {seconds:.1} s.", plan.name);
    }
    if let Some(file) = &textfile {
        canary::write_textfile(file, &plan.directory, &report, clock::now())?;
    }
    Ok(if report.failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
