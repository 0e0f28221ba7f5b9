//! The program acme-officer.

use std::process::ExitCode;

fn main() -> ExitCode {
    officer::run()
}
