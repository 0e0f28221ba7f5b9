//! The CM is away for a while and clients go on: what was accepted is finished, and its return is no stampede.
//!
//! Some seconds in every run; `ACME_GATEWAY_TESTS_OUTAGE_SECS=600 cargo test -p tests --test it outage -- --nocapture`
//! takes ten minutes. The numbers are printed.

use std::{
    collections::BTreeMap,
    env, fs, thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{
    client::{Client, Order},
    csr::Csr,
    key::Key,
    tell, wait_for,
    world::World,
};

use crate::reconnection::change_cm;

/// How long the CM is away if nobody says otherwise.
const OUTAGE: Duration = Duration::from_secs(6);
/// Clients that go on.
const CLIENTS: usize = 6;
/// Orders of each that wait for their certificate when the CM goes away.
const BEFORE: usize = 4;
/// Orders of each during the outage at most, spread over it.
const DURING_MAX: u32 = 150;
/// How often somebody looks whether what needs no CM goes on: less often than limits allow.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Requests that the CM takes in a second, which it advertises: as few as the contract lets it.
const PER_SECOND_MAX: usize = 50;
/// The most memory that the gateway may have used.
const MEMORY_KIB_MAX: u64 = 400 * 1024;
/// How long the next order may take when the CM is back: orders that wait look once a minute, and ten minutes bring as
/// many as the CM takes in two.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(240);
/// How often the CM has answered for its feeds.
const FEEDS_ANSWERED: &str =
    r#"acme_gateway_cm_calls_total{operation="GET /realms/{realm}/events?after=",outcome="answered"}"#;

#[test]
fn an_outage_of_the_cm_under_load_loses_no_order_and_ends_without_a_stampede() {
    let seconds = env::var("ACME_GATEWAY_TESTS_OUTAGE_SECS").ok();
    let outage = seconds.map_or(OUTAGE, |seconds| Duration::from_secs(seconds.parse().expect("whole seconds")));
    let mut world = World::start_with(&[("issuance", "finalize_wait_secs = 1")]);
    let rate = |per_second| format!("requests_per_second = {per_second}");
    change_cm(&mut world, &rate(1000), &rate(PER_SECOND_MAX), |_| {});
    world.kill_gateway();
    world.restart_gateway();
    // Until its place in a feed is known, the gateway believes nothing that it remembers. The first answer tells it.
    let realms = fs::read_to_string(world.site().settings_file()).unwrap().matches("[endpoints.").count();
    wait_for("the event feeds", Duration::from_secs(120), || {
        let metrics = world.site().ops("/metrics").expect(200).text();
        let mut lines = metrics.lines();
        let answered = lines.find_map(|line| line.strip_prefix(FEEDS_ANSWERED))?;
        (answered.trim().parse::<usize>().unwrap() >= realms).then_some(())
    });
    let until_now = requests(&world).len();
    let clients: Vec<Client> = (0..CLIENTS).map(|_| world.account()).collect();
    let issued = clients[0].issue(&["before.outage.test"]);
    let waiting: Vec<Vec<Order>> = thread::scope(|scope| {
        let ready = |client: &Client| (0..BEFORE).map(|_| client.ready_order(&["waiting.outage.test"])).collect();
        let hands: Vec<_> = clients.iter().map(|client| scope.spawn(move || ready(client))).collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).collect()
    });

    world.set_faults("*", 100_000_000, &json!({"kind": "reset-before"}));
    let start = Instant::now();
    let accepted: Vec<(&Client, Vec<Order>)> = thread::scope(|scope| {
        let hands = clients
            .iter()
            .zip(waiting)
            .map(|(client, waiting)| scope.spawn(move || (client, go_on(client, waiting, start, outage))));
        let hands: Vec<_> = hands.collect();
        for look in 1.. {
            if start.elapsed() > outage {
                break;
            }
            let site = world.site();
            let _ = site.get(&site.url("open", "directory")).expect(200);
            let _ = clients[0].restarted().read(&issued.url).expect(200);
            let refused = world.client("open").register(&json!({}));
            let _ = refused.assert_refused(503, "serverInternal");
            assert!(refused.header("retry-after").is_some(), "{refused:?}");
            wait_until(start + LOOK_EVERY * look);
        }
        hands.into_iter().map(|hand| hand.join().unwrap()).collect()
    });
    world.clear_faults();
    let back = Instant::now();
    let mut count = 0;
    for (client, orders) in &accepted {
        for order in orders {
            wait_for("an order that waited for the CM", CAUGHT_UP_WITHIN, || {
                let status = client.reread(order).object["status"].clone();
                assert_ne!(status, "invalid", "{order:?}");
                (status == "valid").then_some(())
            });
            assert_eq!(world.certificates_of(&order.url), 1, "{order:?}");
            count += 1;
        }
    }
    let caught_up = back.elapsed();
    let mut per_second = BTreeMap::<u64, usize>::new();
    for second in requests(&world).into_iter().skip(until_now) {
        *per_second.entry(second).or_default() += 1;
    }
    let most = per_second.values().copied().max().unwrap_or_default();
    let memory = world.gateway_memory_kib_max();
    tell(&format!(
        "{} s without the CM: {count} orders accepted, {count} issued once each, the last {} s after its return; at most \
         {most} requests to the CM in a second; {} MiB of memory at most",
        outage.as_secs(),
        caught_up.as_secs(),
        memory / 1024
    ));
    assert!(count >= CLIENTS * BEFORE + CLIENTS, "too few orders to tell: {count}");
    assert!(most <= PER_SECOND_MAX, "{per_second:?}");
    assert!(memory <= MEMORY_KIB_MAX, "{memory} KiB");
}

/// Finalizes what is ready, then orders, proves and finalizes until the outage is over. Answers what was accepted.
fn go_on(client: &Client, ready: Vec<Order>, start: Instant, outage: Duration) -> Vec<Order> {
    let mut accepted = Vec::new();
    let mut finalize = |order: Order, name: &str| {
        let csr = Csr::for_names(&[name]).text(&Key::p256());
        assert_eq!(client.finalize(&order, &csr).expect(200).member("status"), "processing");
        accepted.push(order);
    };
    let (first, rest) = ready.split_at(1);
    first.iter().for_each(|order| finalize(order.clone(), "waiting.outage.test"));
    let mut rest = rest.iter();
    for ordered in 0..DURING_MAX {
        if start.elapsed() > outage {
            break;
        }
        if let Some(order) = rest.next() {
            finalize(order.clone(), "waiting.outage.test");
        }
        // Control is proven while the CM is away.
        let name = format!("during-{ordered}.outage.test");
        finalize(client.ready_order(&[&name]), &name);
        wait_until(start + outage / DURING_MAX * (ordered + 1));
    }
    rest.for_each(|order| finalize(order.clone(), "waiting.outage.test"));
    accepted
}

fn wait_until(moment: Instant) {
    wait_for("a moment", Duration::MAX, || (Instant::now() >= moment).then_some(()));
}

/// The seconds, counted from any moment, in which requests of the gateway came to the CM, from its log: all but those
/// that it may keep waiting and the question whether it is back.
fn requests(world: &World) -> Vec<u64> {
    let log = fs::read_to_string(world.site().log("sandbox")).unwrap();
    let uncounted = ["operation=\"getEvents\"", "operation=\"ready\""];
    let asked = log.lines().filter(|line| line.contains("caller=\"urn:cm:gateway:"));
    let counted: Vec<&str> = asked.filter(|line| !uncounted.iter().any(|other| line.contains(other))).collect();
    counted.into_iter().map(|line| came_at(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// The second of the day in which the request of this line came: it is written when it ends.
fn came_at(line: &str) -> Option<u64> {
    let (hour, rest) = line.split_once('T')?.1.split_once(':')?;
    let (minute, second) = rest.split_once('Z')?.0.split_once(':')?;
    let seconds = hour.parse::<u64>().ok()? * 3600 + minute.parse::<u64>().ok()? * 60;
    let ended = Duration::from_secs(seconds) + Duration::from_secs_f64(second.parse().ok()?);
    let millis = line.split_once(" millis=")?.1.split_whitespace().next()?.parse().ok()?;
    Some(ended.saturating_sub(Duration::from_millis(millis)).as_secs())
}
