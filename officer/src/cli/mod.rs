//! The command line: what can be said, and how answers and failures reach the person or program
//! that asked.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod certificates;
pub(crate) mod explain;
mod manual;
pub(crate) mod orders;
pub(crate) mod registrations;
pub(crate) mod report;
pub(crate) mod waivers;
pub(crate) mod when;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{cm::Cm, error::Failure, output::Answer, settings::Settings};

/// The registration officer's own program, straight to the Certificate Manager.
#[derive(Debug, Parser)]
#[command(name = "acme-officer", version, about, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct CommandLine {
    /// Settings; config/officer.toml is an example. Without it the variable ACME_OFFICER_CONFIG counts
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON for programs, also about failures (on standard error)
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Exit codes: 0 done, 1 the answer is no or the CM breaks its contract, 2 wrong command line, \
    3 settings or files, 4 the CM did not answer, 5 the CM refused, 6 not found, 7 changed meanwhile";

#[derive(Debug, Subcommand)]
enum Command {
    /// Who may get what: make, look at, change and end registrations
    #[command(subcommand)]
    Registrations(registrations::Command),
    /// Whether a registration may have a certificate for a name, and by which rules
    Explain(explain::Arguments),
    /// Look at, revoke and reinstate certificates
    #[command(subcommand)]
    Certificates(certificates::Command),
    /// Decide requests that wait for a person; needs an approver's identity
    #[command(subcommand)]
    Approvals(approvals::Command),
    /// Names that need not be proven, by clients that show certain evidence: propose, approve, withdraw
    #[command(subcommand)]
    Waivers(waivers::Command),
    /// What happened to an order or authorization, at the gateway and at the CM
    #[command(subcommand)]
    Orders(orders::Command),
    /// Work in a browser: the same on web pages, for this machine only
    Console(crate::console::Arguments),
    /// Who did what; needs an auditor's identity
    Audit(audit::Arguments),
    /// Reports as tables, CSV, JSON or pages for printing
    Report(report::Arguments),
    /// Write completions for a shell, or manual pages
    #[command(hide = true, subcommand)]
    Manual(manual::Command),
}

/// Whom a command asks: read from the settings when it first does, so that what needs no CM needs no
/// settings.
#[derive(Debug)]
pub(crate) struct Desk {
    config: Option<PathBuf>,
}

impl Desk {
    /// The settings and the CM that they lead to.
    ///
    /// # Errors
    /// [`Failure::File`] names the setting and the fix.
    pub(crate) fn open(&self) -> Result<(Settings, Cm), Failure> {
        let settings = Settings::load(self.config.clone())?;
        let cm = Cm::new(&settings)?;
        Ok((settings, cm))
    }

    /// The CM alone.
    ///
    /// # Errors
    /// [`Failure::File`] names the setting and the fix.
    pub(crate) fn cm(&self) -> Result<Cm, Failure> {
        self.open().map(|(_, cm)| cm)
    }
}

/// Runs the command line to its end.
pub(crate) fn run() -> ExitCode {
    let line = CommandLine::parse();
    let answer = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Broken(format!("no runtime: {error}")))
        .and_then(|runtime| runtime.block_on(Box::pin(carry_out(line.command, Desk { config: line.config }))));
    match answer {
        Ok(answer) => {
            if !line.json {
                print(&mut io::stderr(), &answer.aside);
            }
            let text = if line.json { pretty(&answer.json) } else { answer.text };
            print(&mut io::stdout(), &text);
            ExitCode::from(answer.exit_code)
        }
        Err(failure) => {
            let text = if line.json { failure.json().to_string() } else { format!("acme-officer: {failure}") };
            print(&mut io::stderr(), &text);
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn carry_out(command: Command, desk: Desk) -> Result<Answer, Failure> {
    match command {
        Command::Registrations(command) => registrations::run(command, &desk).await,
        Command::Explain(arguments) => explain::run(arguments, &desk).await,
        Command::Certificates(command) => certificates::run(command, &desk).await,
        Command::Approvals(command) => approvals::run(command, &desk).await,
        Command::Waivers(command) => waivers::run(command, &desk).await,
        Command::Orders(command) => orders::run(command, &desk).await,
        Command::Console(arguments) => crate::console::run(arguments, &desk).await,
        Command::Audit(arguments) => audit::run(arguments, &desk).await,
        Command::Report(arguments) => report::run(arguments, &desk).await,
        Command::Manual(command) => manual::run(&command),
    }
}

fn pretty(json: &serde_json::Value) -> String {
    serde_json::to_string_pretty(json).unwrap_or_else(|_| json.to_string())
}

/// Whoever reads may stop reading (`| head`); that is no failure.
fn print(out: &mut dyn io::Write, text: &str) {
    if !text.is_empty() {
        let _ = writeln!(out, "{}", text.trim_end_matches('\n'));
    }
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
        assert!(AFTER_HELP.contains("7 changed meanwhile"));
        let help = CommandLine::command().render_long_help().to_string();
        assert!(help.contains(crate::settings::ENVIRONMENT), "{help}");
    }
}
