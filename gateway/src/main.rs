//! The program acme-gateway.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::run()
}
