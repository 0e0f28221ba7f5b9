//! acme-gateway: an ACME (RFC 8555) front door for a certificate authority that exists already.
//!
//! A library only so that the fuzzer can reach the parsers; its one user otherwise is `main.rs`.

mod admin;
mod app;
mod audit;
mod canary;
mod cli;
mod clock;
mod cm_condition;
mod http;
mod jws;
mod limits;
mod nonce;
pub mod parsers;
mod ra;
mod random;
mod readiness;
mod redaction;
mod seal;
mod server_certificate;
mod settings;
mod telemetry;
#[cfg(test)]
mod testing;
mod transcript;
mod workers;

use std::process::ExitCode;

/// Runs the program with the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    cli::run()
}
