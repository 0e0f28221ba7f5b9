//! Damaged databases: a gateway with orders in all their states dies, bits of its database are flipped, it is started
//! again; then nothing wrong may be served, nothing unproven issued, nothing asked of the CM twice.
//! `cargo run -p tests --bin damage -- [--rounds N] [--seed S] [--round R]`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this whole crate is test code; a panic is how a test fails"
)]

#[path = "../../damage/findings.rs"]
mod findings;
#[path = "../../damage/orders.rs"]
mod orders;
#[path = "../../damage/plan.rs"]
mod plan;
#[path = "../../damage/round.rs"]
mod round;

use std::{
    env,
    process::ExitCode,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use findings::Totals;
use plan::Damage;
use tests::world::World;

/// What the command line says.
struct Options {
    rounds: u64,
    seed: u64,
    /// The only round to play.
    round: Option<u64>,
}

fn main() -> ExitCode {
    let options = match Options::read(env::args().skip(1)) {
        Ok(options) => options,
        Err(words) => {
            eprintln!("{words}\nusage: damage [--rounds N] [--seed S] [--round R]");
            return ExitCode::from(2);
        }
    };
    let mut world = World::start_with(&[("issuance", "finalize_wait_secs = 1")]);
    let client = world.account();
    println!("seed {}", options.seed);
    let mut totals = Totals::default();
    for number in options.round.map_or(1..=options.rounds, |only| only..=only) {
        let start = Instant::now();
        round::clear(&mut world);
        let damage = Damage::draw(options.seed, number);
        let (damaged, findings) = round::play(&mut world, &client.restarted(), &damage, number);
        totals.add(number, &damaged, start.elapsed().as_secs_f64(), &findings);
    }
    println!("\n{totals}");
    if totals.is_clean() {
        return ExitCode::SUCCESS;
    }
    world.keep();
    println!("logs: {}", world.site().dir.display());
    println!("to play round R again: cargo xtask damage --seed {} --round R", options.seed);
    ExitCode::FAILURE
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut options = Self { rounds: 5, seed: now, round: None };
        while let Some(word) = words.next() {
            let number = words.next().and_then(|number| number.parse().ok());
            let number = number.ok_or_else(|| format!("{word} takes a number"))?;
            match word.as_str() {
                "--rounds" => options.rounds = number,
                "--seed" => options.seed = number,
                "--round" => options.round = Some(number),
                _ => return Err(format!("there is no option {word}")),
            }
        }
        Ok(options)
    }
}
