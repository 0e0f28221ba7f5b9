//! Chaos: `kill -9` of gateway and CM at random moments under load, again and again; then what every client was told
//! is compared with what is so. `cargo run -p tests --bin chaos -- [--rounds N] [--seed S] [--round R]
//! [--clients C]`.
//!
//! The plan of each round is drawn from the seed: what clients want, what goes wrong in the CM, who is killed after how
//! many answers. `--seed S --round R` does one round by the same plan; when exactly everything happens is the machine's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this whole crate is test code; a panic is how a test fails"
)]

#[path = "../../chaos/outside.rs"]
mod outside;
#[path = "../../chaos/plan.rs"]
mod plan;
#[path = "../../chaos/report.rs"]
mod report;
#[path = "../../chaos/round.rs"]
mod round;

use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use outside::Outside;
use plan::RoundPlan;
use report::Totals;
use tests::{
    load::{
        ledger::{Account, Finding},
        reckoning::Books,
    },
    world::World,
};

/// Accounts that are asked about at a time at the end.
const ACCOUNTS_AT_A_TIME: usize = 8;

/// Clients at work at the same time, if nothing else is said.
const CLIENTS: u64 = 8;

/// What the command line says.
struct Options {
    rounds: u64,
    seed: u64,
    /// The only round to play.
    round: Option<u64>,
    /// At work at the same time.
    clients: u64,
}

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(words) => {
            eprintln!("{words}\nusage: chaos [--rounds N] [--seed S] [--round R] [--clients C]");
            return ExitCode::from(2);
        }
    };
    let outside = Outside::start();
    let resolvers = format!("resolvers = [{:?}]", outside.dns);
    let mut world = World::start_with(&[("validation", &resolvers)]);
    let responder = outside.listen(world.site().http_01_port);
    let rounds = options.round.map_or(1..=options.rounds, |only| only..=only);
    println!("seed {}, {} clients", options.seed, options.clients);
    let (mut totals, mut books, mut accounts) = (Totals::default(), Books::default(), Vec::new());
    for number in rounds {
        let plan = RoundPlan::draw(options.seed, number, options.clients);
        let outcome = round::play(&mut world, responder, plan, number);
        totals.add(&outcome, &books.compare(&world.books(), &outcome.accounts));
        accounts.extend(outcome.accounts);
    }
    // What the first round was told is so after the last as well.
    totals.add_after_all(&recall(&world, accounts));
    println!("\n{totals}");
    if !totals.is_clean() {
        world.keep();
        println!("logs: {}", world.site().dir.display());
        let Options { seed, clients, .. } = options;
        println!("to play round R again: cargo xtask chaos --seed {seed} --clients {clients} --round R");
    }
    if totals.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn recall(world: &World, mut accounts: Vec<Account>) -> Vec<Finding> {
    // These were reported after their round.
    accounts.iter_mut().for_each(|account| account.findings.clear());
    accounts.chunks_mut(ACCOUNTS_AT_A_TIME).for_each(|some| round::ask_all_again(world, some));
    let mut findings = Books::default().compare(&world.books(), &accounts);
    findings.extend(accounts.into_iter().flat_map(|account| account.findings));
    findings
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut options = Self { rounds: 5, seed: now, round: None, clients: CLIENTS };
        while let Some(word) = words.next() {
            let number = words.next().and_then(|number| number.parse().ok());
            let number = number.ok_or_else(|| format!("{word} takes a number"))?;
            match word.as_str() {
                "--rounds" => options.rounds = number,
                "--seed" => options.seed = number,
                "--round" => options.round = Some(number),
                "--clients" => options.clients = number.max(1),
                _ => return Err(format!("there is no option {word}")),
            }
        }
        Ok(options)
    }
}
