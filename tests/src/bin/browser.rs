//! The officer's console and the gateway's own pages in a real browser: `cargo run -p tests --bin browser`. Journeys, in Chromium, and
//! what clients of the gateway notice of them. Every page that is met is looked at on a phone and at a desk, in the light
//! and in the dark, with the keyboard and by axe-core; the pictures stay in `target/browser`.
//!
//! A journey is a file in `tests/browser`. It does what is done in a browser, and asks this program for the rest. Words
//! on the command line choose the journeys whose names have one of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this whole crate is test code; a panic is how a test fails"
)]

#[path = "../../browser/gallery.rs"]
mod gallery;
#[path = "../../browser/journey.rs"]
mod journey;
#[path = "../../browser/outside.rs"]
mod outside;
#[path = "../../browser/printer.rs"]
mod printer;
#[path = "../../browser/routes.rs"]
mod routes;

use std::{fs, path::PathBuf, process::ExitCode};

use journey::{Row, Told};
use outside::{AtOpenBao, Outside};
use tests::world::World;

/// The journeys, one after the other: two browsers side by side would wait for each other's processor.
const JOURNEYS: [&str; 6] = ["printer", "keys", "waivers", "pages", "gateway", "security"];

/// One of them once more, before another CM.
const AT_OPENBAO: &str = "printer at OpenBao";

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &&str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let pictures = folder().join("pictures");
    // What is left of an earlier run would be taken for this one's.
    let _ = fs::remove_dir_all(&pictures);
    fs::create_dir_all(&pictures).expect("a folder can be made");
    // Two failures pause a name, for the page that lifts it.
    let world = World::start_with(&[("pausing", "failures = 2"), ("pausing", "over_secs = 1")]);
    let mut outside = Outside::new(&world);
    let (mut rows, mut told) = (Vec::new(), Told::default());
    for name in JOURNEYS.into_iter().filter(is_wanted) {
        println!("{name}");
        let (of_this, told_by_this) = journey::walk(name, &folder().join("modules"), &pictures, &mut outside);
        rows.extend(of_this);
        told.add(told_by_this);
    }
    if is_wanted(&AT_OPENBAO) {
        println!("{AT_OPENBAO}");
        let openbao = AtOpenBao::start(&world);
        let pictures = pictures.join("openbao");
        fs::create_dir_all(&pictures).expect("a folder can be made");
        let mut outside = Outside::at_openbao(&world, &openbao);
        rows.extend(journey::walk(AT_OPENBAO, &folder().join("modules"), &pictures, &mut outside).0);
    }
    if wanted.is_empty() {
        rows.push(Row::of("every page and every form of the console was met", || routes::check(&told)));
    }
    let failed = rows.iter().filter(|row| row.failure.is_some()).count();
    println!("\npictures: {}", gallery::write(&pictures).display());
    if failed > 0 {
        world.keep();
        println!("logs and everything the clients wrote: {}", world.site().dir.display());
        rows.iter().filter(|row| row.failure.is_some()).for_each(Row::say);
    }
    println!("{} passed, {failed} failed", rows.len() - failed);
    if failed == 0 && !rows.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Where `cargo xtask` has put what the journeys need from npm, and where the pictures go: `target/browser`.
fn folder() -> PathBuf {
    let running = std::env::current_exe().expect("a running program has a path");
    running.ancestors().nth(2).expect("the program lies in target/PROFILE").join("browser")
}
