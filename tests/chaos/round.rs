//! One round: clients at work, kills among them, and the reckoning once all clients are done.

use std::{
    sync::Arc,
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{
    key::Key,
    load::{
        client,
        hand::{Answers, Hand, PAUSE},
        ledger::Account,
        reckoning,
        responder::Responder,
    },
    world::World,
};

use super::plan::{Kill, RoundPlan};

/// Everything must have come to an end by then: nothing may be stuck for longer.
const OVER_AFTER: Duration = Duration::from_secs(60);
/// Between two looks at how far the clients are.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What became of a round.
pub(crate) struct Outcome {
    pub(crate) round: u64,
    pub(crate) kills: Vec<Kill>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) took: Duration,
}

/// Plays it.
pub(crate) fn play(world: &mut World, responder: Responder, plan: RoundPlan, round: u64) -> Outcome {
    let start = Instant::now();
    let officer = world.officer();
    let registered: Vec<_> =
        plan.clients.iter().map(|client| client.is_registered.then(|| officer.preregister(&json!({})))).collect();
    for planned in &plan.faults {
        world.set_faults(planned.operation, planned.count, &planned.fault);
    }
    let answers = Arc::new(Answers::default());
    let site = Arc::clone(world.site());
    let until = start + OVER_AFTER;
    let mut accounts: Vec<Account> = thread::scope(|scope| {
        let mut clients = Vec::new();
        for (client, officer) in plan.clients.iter().zip(registered.iter().map(Option::as_ref)) {
            let endpoint = if officer.is_some() { "registered" } else { "open" };
            let hand = Hand::new(&site, (endpoint, Key::p256()), &answers, until);
            clients.push(scope.spawn(move || client::live(client, hand, responder, officer)));
        }
        for kill in &plan.kills {
            while answers.count() < kill.after_answers && !clients.iter().all(ScopedJoinHandle::is_finished) {
                thread::sleep(LOOK_EVERY);
            }
            carry_out(world, *kill);
        }
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    world.clear_faults();
    wait_for_promises(world, &accounts);
    ask_all_again(world, &mut accounts);
    Outcome { round, kills: plan.kills, accounts, took: start.elapsed() }
}

/// Asks the gateway again for all that these clients were told, all at a time.
pub(crate) fn ask_all_again(world: &World, accounts: &mut [Account]) {
    let site = world.site();
    let answers = Arc::new(Answers::default());
    thread::scope(|scope| {
        for account in accounts {
            let hand = Hand::new(site, (account.endpoint, account.key.clone()), &answers, Instant::now() + OVER_AFTER);
            scope.spawn(move || reckoning::ask_again(account, hand));
        }
    });
}

/// Gives revocations that nobody asks for any more their time. Those that are not made by then are found in the books.
fn wait_for_promises(world: &World, accounts: &[Account]) {
    let until = Instant::now() + OVER_AFTER;
    while Instant::now() < until && !reckoning::are_promises_kept(&world.books(), accounts) {
        thread::sleep(PAUSE);
    }
}

fn carry_out(world: &mut World, kill: Kill) {
    thread::sleep(Duration::from_millis(kill.pause_millis));
    if kill.target.is_certificate_manager() {
        world.kill_cm();
    }
    if kill.target.is_gateway() {
        world.kill_gateway();
    }
    thread::sleep(Duration::from_millis(kill.down_millis));
    if kill.target.is_certificate_manager() {
        world.restart_cm();
    }
    if kill.target.is_gateway() {
        world.restart_gateway();
    }
}
