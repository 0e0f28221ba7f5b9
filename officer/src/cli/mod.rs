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

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{cm::Cm, error::Failure, output::Answer, settings::Settings};

/// The version, and of a packaged program also the commit that it was built from: `cargo xtask package` stamps it.
const VERSION: &str = match option_env!("ACME_GATEWAY_BUILD") {
    Some(build) => build,
    None => env!("CARGO_PKG_VERSION"),
};

/// The registration officer's own program, straight to the Certificate Manager.
#[derive(Debug, Parser)]
#[command(name = "acme-officer", version = VERSION, about, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct CommandLine {
    /// Settings; config/officer.toml is an example. Without it the variable ACME_OFFICER_CONFIG counts
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON for programs, also about failures (on standard error); help and version stay text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Exit codes: 0 done, 1 the answer is no or the CM breaks its contract, 2 wrong command line, \
    3 settings or files, 4 the CM did not answer, 5 the CM refused, 6 not found, 7 changed meanwhile\n\n\
    Shell completions and manual pages: acme-officer manual completions bash, acme-officer manual pages FOLDER";

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
    let words: Vec<OsString> = std::env::args_os().collect();
    let line = match CommandLine::try_parse_from(&words) {
        Ok(line) => line,
        Err(error) => match mistake(&error).filter(|_| is_json_wanted(&words)) {
            Some(failure) => return failed(&failure, true),
            None => error.exit(),
        },
    };
    if let Err(error) = crate::private_memory::ensure() {
        let failure = Failure::Broken(format!("memory with keys in it cannot be kept out of core dumps: {error}"));
        return failed(&failure, line.json);
    }
    let answer = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Broken(format!("no runtime: {error}")))
        .and_then(|runtime| runtime.block_on(Box::pin(carry_out(line.command, Desk { config: line.config }))));
    match answer {
        Ok(answer) => {
            let exit_code = ExitCode::from(answer.exit_code);
            if line.json {
                print(&mut io::stdout(), &pretty(&answer.for_programs()));
            } else {
                print(&mut io::stderr(), &answer.aside);
                print(&mut io::stdout(), &answer.text);
            }
            exit_code
        }
        Err(failure) => failed(&failure, line.json),
    }
}

fn failed(failure: &Failure, json: bool) -> ExitCode {
    let text = if json { failure.json().to_string() } else { format!("acme-officer: {failure}") };
    print(&mut io::stderr(), &text);
    ExitCode::from(failure.exit_code())
}

/// What is wrong with the command line, in one line. Nothing if help or the version was asked for.
fn mistake(error: &clap::Error) -> Option<Failure> {
    let kind = error.kind();
    if matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return None;
    }
    if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Some(Failure::Usage("no command was named; see --help".to_owned()));
    }
    let text = error.to_string();
    let end = ["\n\nUsage:", "\n\nFor more information"].iter().filter_map(|mark| text.find(mark)).min();
    let told = end.and_then(|end| text.get(..end)).unwrap_or(&text);
    let told = told.strip_prefix("error: ").unwrap_or(told);
    Some(Failure::Usage(told.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// Whether `--json` is among the words, as far as a command line that makes no sense can be read.
fn is_json_wanted(words: &[OsString]) -> bool {
    words.iter().skip(1).take_while(|word| *word != "--").any(|word| word == "--json")
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
        assert!(help.contains("manual completions"), "{help}");
    }

    #[test]
    fn a_wrong_command_line_is_told_in_one_line_and_help_is_none() {
        let told = |words: &str| {
            let error = CommandLine::try_parse_from(words.split(' ')).unwrap_err();
            mistake(&error).map(|failure| (failure.exit_code(), failure.to_string()))
        };
        for (words, part) in [
            ("acme-officer", "no command was named"),
            ("acme-officer registrations", "no command was named"),
            ("acme-officer registrations show", "<ID>"),
            ("acme-officer registrations lost", "unrecognized subcommand 'lost'"),
            ("acme-officer registrations update r --max-validity x", "x is no span; write 7d"),
        ] {
            let (code, sentence) = told(words).unwrap();
            assert!(code == 2 && sentence.contains(part), "{words}: {sentence}");
            assert!(!sentence.contains('\n') && !sentence.contains("Usage:"), "{words}: {sentence}");
        }
        assert_eq!((told("acme-officer report --help"), told("acme-officer --version")), (None, None));
    }

    #[test]
    fn json_is_wanted_where_it_is_an_option() {
        let wanted = |words: &str| is_json_wanted(&words.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(wanted("acme-officer registrations lost --json") && wanted("acme-officer --json"));
        assert!(!wanted("--json registrations") && !wanted("acme-officer explain -- --json"));
    }
}
