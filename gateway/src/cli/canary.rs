//! `acme-gateway canary`: gets a certificate as clients do, and says what came of it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::json;

use super::{WRONG_SETTINGS, output::say};
use crate::{
    canary::{self, Plan},
    clock,
};

/// What the command line says.
#[derive(Args)]
#[command(after_help = "\
Exit codes:
   0  there was a certificate, and it was as it should be
   1  there was none, or it was not: clients fare no better, so look at the service
  64  the command line is wrong
  78  the canary itself is not in order (a file, its port, --textfile): look here")]
pub(super) struct Options {
    /// The directory, as clients have it: https://….
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
    /// Where http-01 is answered, such as 192.0.2.7:80; may be given more than once, and each must do. Without it port 80
    /// of every address, IPv4 and IPv6; of IPv4 alone where there is no IPv6.
    #[arg(long, value_parser = address)]
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

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| String::from("give an IP address and a port, such as 192.0.2.7:80 or [2001:db8::7]:80"))
}

/// Exits as its help says.
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
    // A resolver that was given up may still be at work, and nobody waits for it.
    runtime.shutdown_background();
    let seconds = report.took.as_secs_f64();
    let (stage, reason) = report.failure.as_ref().map(|(stage, reason)| (*stage, reason.as_str())).unzip();
    if json {
        say(json!({
            "version": 1, "directory": plan.directory, "name": plan.name, "success": report.failure.is_none(),
            "seconds": seconds, "order": report.order, "stage": stage.map(canary::Stage::name), "reason": reason,
            "mend": stage.map(canary::Stage::mend),
        }))?;
    } else if let (Some(stage), Some(reason)) = (stage, reason) {
        let name = stage.name();
        say(format_args!("No certificate for {} after {seconds:.1} s. It ended at the {name}: {reason}", plan.name))?;
        if let Some(order) = &report.order {
            say(format_args!("Order: {order}"))?;
        }
        say(stage.mend())?;
    } else {
        say(format_args!("A certificate for {} after {seconds:.1} s.", plan.name))?;
    }
    let written = textfile.map_or(Ok(()), |file| canary::write_textfile(&file, &plan.directory, &report, clock::now()));
    if let Err(error) = &written {
        eprintln!("acme-gateway: {error:#}");
    }
    Ok(match &report.failure {
        Some(_) if !report.is_unprepared() => ExitCode::FAILURE,
        None if written.is_ok() => ExitCode::SUCCESS,
        Some(_) | None => ExitCode::from(WRONG_SETTINGS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_with_one_that_is() {
        assert_eq!(address("[::1]:80").unwrap().port(), 80);
        for wrong in ["foo", "192.0.2.7", "localhost:80", ":80"] {
            assert!(address(wrong).unwrap_err().contains("192.0.2.7:80"), "{wrong}");
        }
    }
}
