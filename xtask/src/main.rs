//! All automation of this repository: `cargo xtask <verb>`. Continuous integration calls the same verbs as people.
//!
//! It imports no crate of ours, so that it compiles in seconds and works when they do not compile.

mod browser;
mod chaos;
mod clients;
mod commands;
mod contract;
mod damage;
mod deny;
mod deployment;
mod fresh;
mod fuzz;
mod interrupt;
mod new_adapter;
mod output;
mod package;
mod packages;
mod power;
mod quickstart;
mod registries;
mod rounds;
mod settings_reference;
mod tally;
mod test_command;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "All automation of this repository")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the gateway, start it against a sandbox, get a first certificate, and stay up until Ctrl-C
    Quickstart(quickstart::Options),
    /// Install what the tests need, then run every check: format, lints, documentation, tidy, tests, real clients
    Test,
    /// Run the scenarios with real ACME clients
    Clients {
        /// Only the lanes whose names have one of these words, such as `certbot` or `uacme-registered`
        lanes: Vec<String>,
    },
    /// Walk through the officer's console in a real browser, and look at every page
    Browser {
        /// Only the journeys whose names have one of these words, such as `printer`
        journeys: Vec<String>,
    },
    /// Hold the contract with the CM, as a file, against its examples and against the reference CM
    Contract {
        /// Only the roles whose names have one of these words, such as `officer`
        roles: Vec<String>,
    },
    /// Kill the gateway and the CM at random moments under load, and look whether anything was lost
    Chaos(chaos::Options),
    /// Cut the power of a disk under load, and look whether anything that was acknowledged was lost; needs root
    Power(power::Options),
    /// Damage databases of the gateway, and look whether anything wrong comes of it
    Damage(rounds::Rounds),
    /// Hold what the programs are made of against `deny.toml`: licences, versions, sources, known faults
    Deny(deny::Options),
    /// Run the fuzz targets for a time or a number of executions
    Fuzz(fuzz::Options),
    /// Write docs/SETTINGS.md, the reference of all settings, from the files in config/
    Settings,
    /// Run README's two commands in a clean Debian with nothing but rustup's toolchain and build-essential; needs root
    Fresh(fresh::Options),
    /// Make Debian packages, a container image and bills of materials of the commit that is checked out
    Package(package::Options),
    /// Install, upgrade, remove and purge the Debian package on a clean machine, and run the container; needs root
    Deployment(deployment::Options),
    /// Write the skeleton of an adapter for another CM: it compiles, and fails the conformance suite until it is done
    NewAdapter {
        /// Of its module, such as `ejbca`
        name: String,
    },
    /// Check the rules of the house that no compiler checks
    Tidy,
    /// What continuous integration runs: the same as `test`
    Ci,
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Quickstart(options) => quickstart::run(&options),
        Verb::Test | Verb::Ci => test_command::run(),
        Verb::Clients { lanes } => clients::run(&lanes),
        Verb::Browser { journeys } => browser::run(&journeys),
        Verb::Contract { roles } => contract::run(&roles),
        Verb::Chaos(options) => chaos::run(&options),
        Verb::Power(options) => power::run(&options),
        Verb::Damage(options) => damage::run(&options),
        Verb::Deny(options) => deny::run(&options),
        Verb::Fuzz(options) => fuzz::run(&options),
        Verb::Settings => settings_reference::run(),
        Verb::Fresh(options) => fresh::run(&options),
        Verb::Package(options) => package::run(&options),
        Verb::Deployment(options) => deployment::run(&options),
        Verb::NewAdapter { name } => new_adapter::run(&name),
        Verb::Tidy => tidy::run(),
    };
    result.unwrap_or_else(|error| {
        output::complain(&error);
        ExitCode::FAILURE
    })
}
