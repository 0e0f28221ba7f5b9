//! Many clients at the gateway while OpenBao dies under them: each order ends with one certificate or an honest refusal,
//! counted in OpenBao's own list.
//!
//! The moments are drawn from a seed and counted in certificates, not in seconds. `ACME_GATEWAY_TESTS_OPENBAO_ORDERS` and
//! `ACME_GATEWAY_TESTS_OPENBAO_SEED` change how many orders and which moments.

mod blow;
mod sums;

use std::{
    collections::BTreeSet,
    env,
    sync::{Arc, Mutex, mpsc},
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{
    key::Key,
    load::{
        client::live,
        hand::{Answers, Hand},
        ledger::{Account, Stage},
        plan::{ClientPlan, OrderPlan},
        reckoning,
        responder::Responder,
    },
    officer::Preregistration,
    openbao::{Gateway, OpenBao},
    world::World,
};

use self::{
    blow::{Blow, Moment, Struck},
    sums::Sums,
};

/// At work at the same time, half of them at each endpoint, each with an account of its own.
const CLIENTS: usize = 12;
/// Orders of all of them together, if nothing else is said.
const ORDERS: usize = 60;
/// Certificates between two blows.
const BLOW_EVERY: usize = 28;
/// The same when there are many orders.
const BLOW_EVERY_OF_MANY: usize = 80;
/// What nothing may take longer than, beside a second for each order.
const OVER_AFTER: Duration = Duration::from_secs(240);

#[test]
fn killing_sealing_and_freezing_openbao_under_load_leaves_each_order_one_certificate() {
    let mut rig = Rig::start(1);
    rig.play("one node", &[Blow::Kill, Blow::Seal, Blow::Kill, Blow::Freeze]);
}

#[test]
fn killing_one_leader_after_the_other_under_load_leaves_each_order_one_certificate() {
    let mut rig = Rig::start(3);
    rig.play("three nodes", &[Blow::Kill, Blow::Kill, Blow::Freeze, Blow::Kill]);
}

/// A gateway, its OpenBao and who answers its challenges.
struct Rig {
    /// Answers challenges.
    _world: World,
    nodes: Vec<OpenBao>,
    gateway: Gateway,
    responder: Responder,
}

impl Rig {
    fn start(nodes: usize) -> Self {
        let world = World::start();
        let dir = |node: usize| world.site().dir.join(format!("openbao-{node}"));
        let first = OpenBao::start(&dir(0), &world.site().pki(""));
        first.prepare("open", "open", &[]);
        first.prepare("registered", "preregistered", &[]);
        let more: Vec<_> = (1..nodes).map(|node| first.join(&dir(node))).collect();
        let nodes: Vec<_> = [first].into_iter().chain(more).collect();
        let gateway = Gateway::start_at(&world, &nodes.iter().collect::<Vec<_>>());
        let responder = Responder::listen(world.site().control, world.site().http_01_port);
        Self { _world: world, nodes, gateway, responder }
    }

    /// Lets the clients work, strikes meanwhile, and compares what they were told with what there is.
    fn play(&mut self, what: &str, blows: &[Blow]) {
        let (orders, seed) = (number("ORDERS", ORDERS), number("SEED", 1));
        let answers = Arc::new(Answers::default());
        let moments = blow::moments(seed as u64, orders, if orders > 200 { BLOW_EVERY_OF_MANY } else { BLOW_EVERY });
        let blows: Vec<_> = moments.iter().zip(blows.iter().copied().cycle()).collect();
        let late = blows.iter().filter(|(_, blow)| matches!(blow, Blow::Seal)).count();
        let (plans, late) = (plans("load", orders), plans_of_latecomers(late));
        let began = Instant::now();
        let (mut accounts, struck) = self.strike_at_work(&plans, &late, &blows, &answers);
        let took = began.elapsed();
        self.ask_again(&mut accounts);
        let sums = Sums::of(&accounts, &self.leader().certificates("open"), &self.leader().certificates("registered"));
        tests::tell(&format!("{what}: {sums}; took {:.1} s; {}", took.as_secs_f64(), self.lost_answers()));
        let certificates = answers.certificates();
        for (number, blow) in struck.iter().enumerate() {
            let next = struck.get(number + 1).map(|next| next.at);
            tests::tell(&format!("{what}: {}", blow.describe(&certificates, next)));
        }
        assert!(!struck.is_empty(), "nobody was struck");
        let findings = sums.findings();
        assert!(findings.is_empty(), "seed {seed}: {findings:#?}");
        assert_eq!(sums.orders, orders + late.len(), "each of them was acknowledged in the end");
        self.finish_what_was_refused(&accounts);
    }

    /// Lets them work, and those who come late when they are called, and strikes meanwhile; what each was told.
    fn strike_at_work(
        &mut self,
        plans: &[ClientPlan],
        late: &[ClientPlan],
        blows: &[(&Moment, Blow)],
        answers: &Arc<Answers>,
    ) -> (Vec<Account>, Vec<Struck>) {
        let keys = self.preregister(plans);
        let orders: usize = plans.iter().map(|plan| plan.orders.len()).sum();
        let until = Instant::now() + OVER_AFTER + Duration::from_secs(orders as u64);
        let (responder, site) = (self.responder, Arc::clone(self.gateway.site()));
        let hand = |endpoint| Hand::new(&site, (endpoint, Key::p256()), answers, until);
        let (call, called) = mpsc::channel();
        let called = Mutex::new(called);
        thread::scope(|scope| {
            let mut at_work = Vec::new();
            for (plan, key) in plans.iter().zip(&keys) {
                let hand = hand(if plan.is_registered { "registered" } else { "open" });
                at_work.push(scope.spawn(move || live(plan, hand, responder, key.as_ref())));
            }
            let come_late = |plan| {
                let (hand, called) = (hand("open"), &called);
                scope.spawn(move || {
                    // Called, or there is nobody left to call.
                    let _called = called.lock().unwrap().recv();
                    live(plan, hand, responder, None)
                })
            };
            let latecomers: Vec<_> = late.iter().map(come_late).collect();
            let mut struck = Vec::new();
            for (moment, blow) in blows {
                let is_over = || at_work.iter().all(ScopedJoinHandle::is_finished);
                moment.wait(answers, is_over);
                if is_over() {
                    break;
                }
                struck.push(blow.strike(&mut self.nodes, answers, &call, is_over));
            }
            drop(call);
            let all = at_work.into_iter().chain(latecomers);
            (all.map(|client| client.join().expect("a client does not panic")).collect(), struck)
        })
    }

    /// The external account keys of those who need one.
    fn preregister(&self, plans: &[ClientPlan]) -> Vec<Option<Preregistration>> {
        let preregister = |(number, plan): (usize, &ClientPlan)| {
            let kid = format!("load-{number}");
            let secret = || self.nodes[0].preregister("registered", &kid, &json!({}));
            plan.is_registered.then(|| Preregistration { id: format!("reg_{kid}"), secret: secret(), kid: kid.clone() })
        };
        plans.iter().enumerate().map(preregister).collect()
    }

    /// Whoever asks again is told the same.
    fn ask_again(&self, accounts: &mut [Account]) {
        let answers = Arc::new(Answers::default());
        thread::scope(|scope| {
            for account in accounts {
                let who = (account.endpoint, account.key.clone());
                let hand = Hand::new(self.gateway.site(), who, &answers, Instant::now() + OVER_AFTER);
                scope.spawn(move || reckoning::ask_again(account, hand));
            }
        });
    }

    /// What an outage ended can be had once it is over.
    fn finish_what_was_refused(&self, accounts: &[Account]) {
        let refused = accounts.iter().flat_map(|account| &account.orders).filter(|order| order.stage == Stage::Invalid);
        let client = self.gateway.account();
        for order in refused {
            let names: Vec<_> = order.names.iter().map(String::as_str).collect();
            let _issued = client.issue(&names);
        }
    }

    fn leader(&self) -> &OpenBao {
        tests::wait_for("a leader", OVER_AFTER, || self.nodes.iter().find(|node| node.leads()))
    }

    /// What the gateway's log tells of answers that were lost.
    fn lost_answers(&self) -> String {
        let log = self.gateway.log();
        let count = |words: &str| log.lines().filter(|line| line.contains(words)).count();
        format!(
            "{} certificates were found whose answer was lost; {} times the gateway put an order off",
            count("found the certificate whose answer was lost"),
            count("the CM has not decided")
        )
    }
}

/// What the clients want: each order a name of its own.
fn plans(top: &str, orders: usize) -> Vec<ClientPlan> {
    let order = |number: usize| {
        let names = vec![format!("n{number}.{top}.test")];
        OrderPlan { names, is_revoked: false, walks_away: false }
    };
    let of_client = |client: usize| (client..orders).step_by(CLIENTS).map(order).collect();
    (0..CLIENTS)
        .map(|client| ClientPlan {
            is_registered: client.is_multiple_of(2),
            changes_contact: false,
            orders: of_client(client),
        })
        .collect()
}

/// Each wants an account and a certificate while nobody can have either.
fn plans_of_latecomers(count: usize) -> Vec<ClientPlan> {
    let order =
        |number| OrderPlan { names: vec![format!("late{number}.load.test")], is_revoked: false, walks_away: false };
    let plan = |number| ClientPlan { is_registered: false, changes_contact: false, orders: vec![order(number)] };
    (0..count).map(plan).collect()
}

fn number(what: &str, default: usize) -> usize {
    let said = env::var(format!("ACME_GATEWAY_TESTS_OPENBAO_{what}")).ok();
    said.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{what} is a number, not {text}")))
}

#[test]
fn each_order_has_a_name_of_its_own() {
    for orders in [1, CLIENTS, 61] {
        let plans = plans("load", orders);
        let names: Vec<_> = plans.iter().flat_map(|plan| &plan.orders).flat_map(|order| &order.names).collect();
        assert_eq!((names.len(), names.iter().collect::<BTreeSet<_>>().len()), (orders, orders));
    }
}
