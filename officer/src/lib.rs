//! `acme-officer`: how a registration officer, an approver or an auditor works with the Certificate
//! Manager (CM), with a certificate of her own, straight and never by way of the gateway.
//!
//! Nothing is decided here: the CM decides, and what is explained is explained by the same pure
//! code in `policies` that the gateway judges with. Nothing is kept either, but what the officer
//! asks to have written to a file.

mod allowlist;
mod cli;
mod cm;
mod console;
mod error;
mod explain;
mod gateway;
mod import;
mod output;
mod private_memory;
mod recipes;
mod reports;
mod settings;
mod sheet;

use std::process::ExitCode;

/// Runs the command line to its end; the exit codes are in `docs/OFFICER.md`.
#[must_use]
pub fn run() -> ExitCode {
    cli::run()
}
