//! acme-gateway: an ACME (RFC 8555) front door for a certificate authority that exists already.

mod app;
mod audit;
mod cli;
mod clock;
mod http;
mod jws;
mod nonce;
mod ra;
mod random;
mod seal;
mod settings;
mod telemetry;
#[cfg(test)]
mod testing;
mod workers;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
