//! The officer's word is law: each thing that an officer, or the operator of the CM, can change, at each place where a
//! client of the gateway meets it. What was good a moment ago is judged anew, within two seconds of the click.
//!
//! The test prints the table (`cargo test -p tests --test it live_authority -- --nocapture`). The gateway believes
//! registrations for a minute here, so what it knows sooner it has from the CM's feed.

mod place;

use std::{
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{wait_for, world::World};

use self::place::Prepared;

/// From the officer's click to its effect on a busy machine; without an event it would come after a minute.
const AT_ONCE: Duration = Duration::from_secs(40);
/// Rows that are worked on at the same time.
const HANDS: usize = 4;

/// What a place answers.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// As if nothing had happened.
    Done,
    /// A refusal with this status, of this type, with this in its words: mostly the rule.
    Refused(u16, &'static str, &'static str),
    /// What was promised before ends invalid, with this in its words; nobody was dialed and the CM issued nothing.
    Ends(&'static str),
    /// The account cannot even read what became of it; nobody was dialed and the CM issued nothing.
    EndsUnread,
}
use Expected::{Done, Ends, EndsUnread, Refused};

/// A change and what comes of it, in the order of [`place::PLACES`].
struct Row {
    change: &'static str,
    whose: Whose,
    act: fn(&World, id: &str, zone: &str),
    expected: [Expected; 7],
}

/// Whose policy is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The registration's own.
    Own,
    /// That of the registration whose key bound the account.
    Parents,
    /// The realm's, or a profile.
    Realms,
}
use Whose::{Own, Parents, Realms};

fn suspend(world: &World, id: &str, _: &str) {
    world.officer().set_status(id, "suspended");
}

fn resume(world: &World, id: &str, _: &str) {
    world.officer().set_status(id, "suspended");
    world.officer().set_status(id, "active");
}

fn revoke(world: &World, id: &str, _: &str) {
    world.officer().set_status(id, "revoked");
}

fn revoke_all(world: &World, id: &str, _: &str) {
    world.officer().revoke_with_certificates(id);
}

fn narrow(world: &World, id: &str, _: &str) {
    let rules = json!([{"type": "dns", "match": "suffix", "value": "elsewhere.test"}]);
    world.officer().update(id, &json!({"allowedIdentifiers": {"mode": "listed", "rules": rules}}));
}

fn exclude(world: &World, id: &str, zone: &str) {
    let exclude = json!([{"type": "dns", "match": "suffix", "value": zone}]);
    world.officer().update(id, &json!({"allowedIdentifiers": {"mode": "any", "exclude": exclude}}));
}

fn withdraw(world: &World, id: &str, _: &str) {
    world.officer().update(id, &json!({"allowedProfiles": ["tls-server-approval"]}));
}

fn shorten(world: &World, id: &str, _: &str) {
    world.officer().update(id, &json!({"maxValidity": "P30D"}));
}

fn exclude_from_realm(world: &World, _: &str, zone: &str) {
    let exclude = json!([{"type": "dns", "match": "suffix", "value": zone}]);
    let change = json!({"realm": "registered", "allowed_identifiers": {"mode": "any", "exclude": exclude}});
    let _ = world.site().control("/configure", &change);
}

fn retire(world: &World, _: &str, _: &str) {
    let _ = world.site().control("/configure", &json!({"profile": "tls-server", "retired": true}));
}

fn rows() -> Vec<Row> {
    let row = |change, whose, act: fn(&World, &str, &str), expected| Row { change, whose, act, expected };
    let unauthorized = |status, word| Refused(status, "unauthorized", word);
    // The CM alone decides about a binding, and says in its words why not.
    let not_bound = |status| Refused(403, "unauthorized", status);
    let not_active = |word: &'static str| {
        let refused = unauthorized(403, word);
        [not_bound("suspended"), refused, refused, Ends(word), refused, Ends(word), Done]
    };
    let revoked = {
        let refused = unauthorized(401, "revoked");
        [not_bound("revoked"), refused, refused, EndsUnread, refused, EndsUnread, refused]
    };
    let names = |word| {
        let refused = Refused(403, "rejectedIdentifier", word);
        [Done, refused, refused, Ends(word), refused, Ends(word), Done]
    };
    // Another profile is left: names may be proven for that.
    let of_order = |status, kind, word| {
        let refused = Refused(status, kind, word);
        [Done, refused, Done, Done, refused, Ends(word), Done]
    };
    let profile = |word| of_order(400, "invalidProfile", word);
    let suspended = "registration.suspended";
    let too_long = "registration.validity-too-long";
    let mut with_certificates = not_active(suspended);
    with_certificates[0] = not_bound("revoked");
    with_certificates[6] = Refused(400, "alreadyRevoked", "revoked");
    let mut parent_revoked = not_active(suspended);
    parent_revoked[0] = not_bound("revoked");
    vec![
        row("nothing", Own, |_, _, _| (), [Done; 7]),
        row("suspend", Own, suspend, not_active(suspended)),
        row("suspend, then resume", Own, resume, [Done; 7]),
        row("revoke", Own, revoke, revoked),
        row("revoke with certificates", Own, revoke_all, revoked),
        row("narrow the list", Own, narrow, names("identifier.not-listed")),
        row("exclude a name", Own, exclude, names("identifier.excluded")),
        row("withdraw the profile", Own, withdraw, profile("profile.not-allowed")),
        row("shorten maxValidity", Own, shorten, of_order(400, "malformed", too_long)),
        row("suspend", Parents, suspend, not_active(suspended)),
        row("revoke", Parents, revoke, parent_revoked),
        row("revoke with certificates", Parents, revoke_all, with_certificates),
        row("narrow the list", Parents, narrow, names("identifier.not-listed")),
        row("exclude a name", Parents, exclude, names("identifier.excluded")),
        row("withdraw the profile", Parents, withdraw, profile("profile.not-allowed")),
        row("shorten maxValidity", Parents, shorten, of_order(400, "malformed", too_long)),
        // These are everybody's: one after the other, and last.
        row("exclude a name", Realms, exclude_from_realm, names("identifier.not-in-realm")),
        row("retire the profile", Realms, retire, profile("profile.unknown")),
    ]
}

#[test]
fn each_change_of_an_officer_holds_at_each_place_at_once() {
    let settings = [("cm", "registration_cache_secs = 60"), ("issuance", "finalize_wait_secs = 1")];
    let world = World::start_with(&[&settings[..], &[("validation", "attempts_max = 4")]].concat());
    // Certificates that are issued after all would meet the faults of other rows; realms are everybody's.
    let is_alone = |row: &Row| row.whose == Realms || matches!(row.expected, [.., Done, _]);
    let (alone, own): (Vec<Row>, Vec<Row>) = rows().into_iter().partition(is_alone);
    let waiting = Mutex::new(own.into_iter().enumerate().collect::<Vec<_>>());
    let printed = Mutex::new(Vec::new());
    let work = || {
        while let Some((index, row)) = { waiting.lock().unwrap().pop() } {
            let lines = run(&world, index, &row);
            printed.lock().unwrap().push((index, lines));
        }
    };
    thread::scope(|scope| {
        for _ in 0..HANDS {
            scope.spawn(work);
        }
    });
    for (index, row) in alone.iter().enumerate() {
        printed.lock().unwrap().push((100 + index, run(&world, 100 + index, row)));
    }
    let mut printed = printed.into_inner().unwrap();
    printed.sort();
    assert_eq!(printed.len(), rows().len());
    println!("| {:<33} | {:<14} | came |", "change", "place");
    println!("| {:-<33} | {:-<14} | ---- |", "", "");
    printed.into_iter().flat_map(|(_, lines)| lines).for_each(|line| println!("{line}"));
}

/// Has everything ready, makes the change and looks at each place.
fn run(world: &World, index: usize, row: &Row) -> Vec<String> {
    let zone = format!("row{index}.live.test");
    let prepared = Prepared::new(world, &zone, row.whose == Parents);
    let title = format!("{:?}: {}", row.whose, row.change);
    prepared.governed.iter().for_each(|id| (row.act)(world, id, &zone));
    let clicked = Instant::now();
    let [binding, new_order, challenge, validation, finalize, issuance, revocation] = row.expected;
    // The first place waits for the effect; all others meet it at once.
    let took = match new_order {
        Done => Duration::ZERO,
        Refused(..) | Ends(_) | EndsUnread => {
            let is_refused = || (prepared.new_order().status != 201).then_some(());
            wait_for(&format!("{title}: the effect"), AT_ONCE, is_refused);
            clicked.elapsed()
        }
    };
    prepared.prove_late();
    let answers = [
        ("newAccount", place::judge(&title, binding, &prepared.bind(), &[201])),
        ("newOrder", place::judge(&title, new_order, &prepared.new_order(), &[201])),
        ("challenge", prepared.respond(&title, challenge)),
        ("finalize", prepared.finalize(&title, finalize)),
        ("revokeCert", place::judge(&title, revocation, &prepared.revoke(), &[200])),
        ("validation job", prepared.validation(&title, validation)),
        ("issuance job", prepared.issuance(&title, issuance)),
    ];
    if row.change == "revoke with certificates" {
        assert_eq!(prepared.revoked_certificates(), 1, "{title}: the certificate is revoked at the CM");
    }
    let line = |(place, came): (&str, String)| format!("| {title:<33} | {place:<14} | {came} |");
    let mut lines: Vec<String> = answers.into_iter().map(line).collect();
    lines.push(format!("| {title:<33} | {:<14} | {} ms |", "took effect in", took.as_millis()));
    lines
}

#[test]
fn while_the_feed_is_away_what_an_officer_does_holds_when_the_memory_is_over() {
    let world = World::start_with(&[("cm", "registration_cache_secs = 4")]);
    let (client, id) = world.registered_account(&json!({"mode": "any"}));
    let _ = client.order(&["feed.live.test"]);
    world.set_faults("getEvents", 10_000, &json!({"kind": "unavailable"}));
    // A question that the CM keeps is answered once more.
    let _ = world.officer().preregister(&json!({}));
    wait_for("the feed to be away", Duration::from_secs(120), || {
        (world.faults()[0]["count"].as_u64()? < 10_000).then_some(())
    });
    let _ = client.order(&["feed.live.test"]);
    world.officer().set_status(&id, "suspended");
    let clicked = Instant::now();
    let detail = wait_for("the effect", Duration::from_secs(120), || {
        let response = client.new_order(&["feed.live.test"]);
        (response.status != 201).then(|| response.assert_refused(403, "unauthorized"))
    });
    assert!(detail.contains("registration.suspended"), "{detail}");
    println!("without the feed: {} ms", clicked.elapsed().as_millis());
}

/// A member of a problem, or of an object that has one in `error`.
fn words(json: &Value) -> String {
    let first = |json: &Value| json["subproblems"][0]["detail"].as_str().map(str::to_owned);
    let own = json["detail"].as_str().unwrap_or_default();
    format!("{own} {}", first(json).unwrap_or_default())
}
