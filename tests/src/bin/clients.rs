//! Scenarios with real ACME clients, as users run them: `cargo run -p tests --bin clients`. Every scenario says what
//! became of it, with the client's own words if it failed; a table comes at the end. Words on the command line choose
//! the lanes whose names have one of them.
//!
//! They run in lanes, several at a time. Each lane has a loopback address of its own, on which its clients answer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this whole crate is test code; a panic is how a test fails"
)]

#[path = "../../clients/abilities.rs"]
mod abilities;
#[path = "../../clients/acme_library.rs"]
mod acme_library;
#[path = "../../clients/acme_sh.rs"]
mod acme_sh;
#[path = "../../clients/acme_tiny.rs"]
mod acme_tiny;
#[path = "../../clients/acmetool.rs"]
mod acmetool;
#[path = "../../clients/caddy.rs"]
mod caddy;
#[path = "../../clients/certbot.rs"]
mod certbot;
#[path = "../../clients/certbot_newest.rs"]
mod certbot_newest;
#[path = "../../clients/certbot_servers.rs"]
mod certbot_servers;
#[path = "../../clients/command.rs"]
mod command;
#[path = "../../clients/daemon.rs"]
mod daemon;
#[path = "../../clients/dehydrated.rs"]
mod dehydrated;
#[path = "../../clients/documented.rs"]
mod documented;
#[path = "../../clients/front.rs"]
mod front;
#[path = "../../clients/instant_acme.rs"]
mod instant_acme;
#[path = "../../clients/lego.rs"]
mod lego;
#[path = "../../clients/mod_md.rs"]
mod mod_md;
#[path = "../../clients/nginx.rs"]
mod nginx;
#[path = "../../clients/node.rs"]
mod node;
#[path = "../../clients/openbao.rs"]
mod openbao;
#[path = "../../clients/openssl.rs"]
mod openssl;
#[path = "../../clients/origin.rs"]
mod origin;
#[path = "../../clients/recipes.rs"]
mod recipes;
#[path = "../../clients/relying_party.rs"]
mod relying_party;
#[path = "../../clients/ruby.rs"]
mod ruby;
#[path = "../../clients/scenario.rs"]
mod scenario;
#[path = "../../clients/table.rs"]
mod table;
#[path = "../../clients/traefik.rs"]
mod traefik;
#[path = "../../clients/uacme.rs"]
mod uacme;
#[path = "../../clients/waived.rs"]
mod waived;
#[path = "../../clients/webroot.rs"]
mod webroot;

use std::{
    collections::VecDeque,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
};

use front::Front;
use scenario::{Lane, Outcome};
use table::table;
use tests::world::World;

/// Lanes that run at a time. Clients wait more than they compute.
const LANES_AT_A_TIME: usize = 8;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    // Clients without a certificate are asked for one, and must not notice.
    let world = World::start_waiving(&[("server", "client_certificates = \"request\"")]);
    let front = Front::new(&world);
    let mut lanes = lanes(&world);
    // Not among the first, which run while OpenBao starts.
    lanes.splice(LANES_AT_A_TIME..LANES_AT_A_TIME, openbao::lanes(&front));
    let outdated = abilities::outdated(&lanes);
    lanes.retain(|lane| lane.name != acme_sh::LANE || acme_sh::is_brought());
    lanes.retain(|lane| wanted.is_empty() || wanted.iter().any(|word| lane.name.contains(word.as_str())));
    let outcomes = thread::scope(|scope| {
        if lanes.iter().any(|lane| lane.front.is_some()) {
            scope.spawn(|| front.start());
        }
        run(lanes)
    });
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    println!("\n{}", table(&outcomes));
    if failed > 0 {
        world.keep();
        println!("logs and everything the clients wrote: {}", world.site().dir.display());
    }
    if let Some(table) = &outdated {
        println!("docs/clients/README.md has another table than this, which is of the scenarios:\n\n{table}");
    }
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    if failed == 0 && outdated.is_none() && !outcomes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All lanes, the longest first.
fn lanes(world: &World) -> Vec<Lane<'_>> {
    vec![
        certbot_newest::open(world),
        certbot::open(world),
        dehydrated::open(world),
        lego::open(world),
        uacme::open(world),
        certbot::registered(world),
        lego::registered(world),
        certbot::linked(world),
        lego::linked(world),
        recipes::printed(world),
        documented::pages(world),
        acmetool::open(world),
        certbot_newest::registered(world),
        mod_md::server(world),
        node::acme_client(world),
        ruby::acme_client(world),
        acme_library::open(world),
        certbot_servers::apache(world),
        certbot_servers::newest_apache(world),
        certbot_servers::nginx(world),
        certbot_servers::newest_nginx(world),
        dehydrated::registered(world),
        uacme::registered(world),
        acme_library::registered(world),
        traefik::newest(world),
        caddy::debian(world),
        caddy::newest(world),
        instant_acme::open(world),
        instant_acme::registered(world),
        acme_tiny::debian(world),
        acme_tiny::newest(world),
        node::root_acme(world),
        acmetool::registered(world),
        acme_sh::brought(world),
        waived::lego(world),
        waived::certbot(world),
        waived::dehydrated(world),
    ]
}

fn run(lanes: Vec<Lane<'_>>) -> Vec<Outcome> {
    let queue = Mutex::new(VecDeque::from(lanes));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || {
        let mut outcomes = Vec::new();
        while let Some(lane) = next() {
            outcomes.extend(lane.run());
        }
        outcomes
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..LANES_AT_A_TIME).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|lane| lane.join().expect("a lane does not panic")).collect()
    })
}
