//! Power cuts: the store's probe commits records on a disk of its own whose power is cut, again and again; then what
//! is left is compared with what was acknowledged. `cargo run -p tests --bin power -- [--rounds N] [--seed S]
//! [--round R] [--without-barrier]`.
//!
//! `--without-barrier` turns `fdatasync` into nothing for whoever writes, to see what it is for: it must lose records.
//! The exit code is 0 if nothing was lost, 1 if something was, 2 if power cannot be cut here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this whole crate is test code; a panic is how a test fails"
)]

#[path = "../../power/disk.rs"]
mod disk;
#[path = "../../power/plan.rs"]
mod plan;
#[path = "../../power/report.rs"]
mod report;
#[path = "../../power/round.rs"]
mod round;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{SystemTime, UNIX_EPOCH},
};

use disk::Disk;
use plan::RoundPlan;
use report::Totals;

/// What the barrier is replaced by.
const NO_BARRIER: &str = "int fdatasync(int file) { (void)file; return 0; }\n";

/// What the command line says.
struct Options {
    rounds: u64,
    seed: u64,
    /// The only round to play.
    round: Option<u64>,
    without_barrier: bool,
}

fn main() -> ExitCode {
    let options = match Options::read(env::args().skip(1)) {
        Ok(options) => options,
        Err(words) => {
            eprintln!("{words}\nusage: power [--rounds N] [--seed S] [--round R] [--without-barrier]");
            return ExitCode::from(2);
        }
    };
    let folder = env::temp_dir().join(format!("acme-gateway-power-{}", std::process::id()));
    let played = try_disk(&folder.join("try")).and_then(|()| play(&folder, &options));
    let _ = fs::remove_dir_all(&folder);
    match played {
        Ok(totals) => {
            println!("\n{totals}");
            if totals.is_clean() {
                return ExitCode::SUCCESS;
            }
            let barrier = if options.without_barrier { " --without-barrier" } else { "" };
            println!("to play round R again: cargo xtask power --seed {}{barrier} --round R", options.seed);
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("power cannot be cut here: {why}");
            ExitCode::from(2)
        }
    }
}

/// Says what to do if there can be no disk of our own.
fn try_disk(folder: &Path) -> Result<(), String> {
    let plan = RoundPlan::draw(0, 0);
    let tried = Disk::make(folder, plan.file_system).and_then(|disk| disk.run(Path::new("true"), &[]));
    tried.map(drop).map_err(|why| {
        format!(
            "{why}; this needs root, e2fsprogs, util-linux and loop devices: run it with sudo, in a container with \
             --privileged"
        )
    })
}

fn play(folder: &Path, options: &Options) -> Result<Totals, String> {
    let preload = if options.without_barrier { Some(no_barrier(folder)?) } else { None };
    println!("seed {}{}", options.seed, if preload.is_some() { ", without the barrier" } else { "" });
    let mut totals = Totals::default();
    for number in options.round.map_or(1..=options.rounds, |only| only..=only) {
        let plan = RoundPlan::draw(options.seed, number);
        let outcome = round::play(&folder.join(format!("round-{number}")), &plan, preload.as_deref())?;
        totals.add(number, &plan, &outcome);
        let _ = fs::remove_dir_all(folder.join(format!("round-{number}")));
    }
    Ok(totals)
}

/// A library that takes the barrier away from a program that it is loaded into.
fn no_barrier(folder: &Path) -> Result<PathBuf, String> {
    let (source, library) = (folder.join("no-barrier.c"), folder.join("no-barrier.so"));
    fs::write(&source, NO_BARRIER).map_err(|error| format!("{}: {error}", source.display()))?;
    let _ = disk::run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]))?;
    Ok(library)
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut options = Self { rounds: 5, seed: now, round: None, without_barrier: false };
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|number| number.parse().ok()).ok_or("a number is missing");
            match word.as_str() {
                "--rounds" => options.rounds = number()?,
                "--seed" => options.seed = number()?,
                "--round" => options.round = Some(number()?),
                "--without-barrier" => options.without_barrier = true,
                _ => return Err(format!("there is no option {word}")),
            }
        }
        Ok(options)
    }
}
