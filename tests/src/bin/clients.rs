//! Scenarios with real ACME clients, as users run them: `cargo run -p tests --bin clients`. Every scenario says what
//! became of it, with the client's own words if it failed; a table comes at the end.
//!
//! They run in lanes side by side. Each lane has a loopback address of its own, on which its clients answer http-01.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this whole crate is test code; a panic is how a test fails"
)]

#[path = "../../clients/certbot.rs"]
mod certbot;
#[path = "../../clients/command.rs"]
mod command;
#[path = "../../clients/lego.rs"]
mod lego;
#[path = "../../clients/openssl.rs"]
mod openssl;
#[path = "../../clients/scenario.rs"]
mod scenario;

use std::{process::ExitCode, thread};

use scenario::{Lane, Outcome, table};
use tests::world::World;

fn main() -> ExitCode {
    let world = World::start();
    let lanes = [certbot::open(&world), certbot::registered(&world), lego::open(&world), lego::registered(&world)];
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let running: Vec<_> = lanes.into_iter().map(|lane: Lane<'_>| scope.spawn(move || lane.run())).collect();
        running.into_iter().flat_map(|lane| lane.join().expect("a lane does not panic")).collect()
    });
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    println!("\n{}", table(&outcomes));
    if failed > 0 {
        world.keep();
        println!("logs and everything the clients wrote: {}", world.site().dir.display());
    }
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
