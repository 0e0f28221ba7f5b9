//! Realm and parent and own: for random lists of all three and many names, what is explained to officers, what the gateway
//! answers at newOrder and at finalize, and what the CM says to a gateway that judges nothing are the same. And whatever
//! is no name at all slips through nowhere.
//!
//! `ACME_GATEWAY_TESTS_POLICY_SEED=N` draws other lists.

use std::{env, net::IpAddr, time::Duration};

use serde_json::{Value, json};
use tests::{
    client::{Client, Order},
    csr::Csr,
    key::Key,
    random::Random,
    world::World,
};

use super::text;

/// Policies that are tried.
const POLICIES: usize = 9;
/// Names that are tried on each of them.
const NAMES: [&str; 24] = [
    "agree.test",
    "*.agree.test",
    "a.agree.test",
    "*.a.agree.test",
    "b.a.agree.test",
    "c.b.a.agree.test",
    "evilagree.test",
    "*.evilagree.test",
    "evila.agree.test",
    "agree.test.evil.test",
    "xn--bcher-kva.agree.test",
    "test",
    "*.test",
    "*.lan",
    "*.co.uk",
    "host.co.uk",
    "*.github.io",
    "me.github.io",
    "127.0.0.1",
    "127.0.0.9",
    "127.0.1.1",
    "2001:db8::7",
    "2001:db9::7",
    "::1",
];
/// Texts that no list can allow. Some are other spellings of a name that one could.
const NO_NAMES: [&str; 32] = [
    "",
    ".",
    "*",
    "*.",
    "a.agree.test.",
    ".agree.test",
    "a..agree.test",
    " a.agree.test",
    "a.agree.test\n",
    "a b.agree.test",
    "a_b.agree.test",
    "-a.agree.test",
    "a-.agree.test",
    "*.*.agree.test",
    "*a.agree.test",
    "a*.agree.test",
    "a.*.agree.test",
    "**.agree.test",
    "b\u{fc}cher.agree.test",
    "a\u{200d}b.agree.test",
    "\u{202e}a.agree.test",
    "a\u{3002}agree.test",
    "xn--.agree.test",
    "xn--a.agree.test",
    "ab--c.agree.test",
    "127.0.0.01",
    "127.1",
    "0x7f.0.0.1",
    "127.0.0.1.",
    "::ffff:127.0.0.1",
    "fe80::1%lo",
    "[::1]",
];

/// The exit code of a wrong command line.
const WRONG_COMMAND_LINE: i32 = 2;

fn identifier(name: &str) -> Value {
    let kind = if name.parse::<IpAddr>().is_ok() { "ip" } else { "dns" };
    json!({"type": kind, "value": name})
}

fn csr(name: &str) -> String {
    let key = Key::p256();
    match name.parse::<IpAddr>() {
        Ok(_) => Csr { ip: &[name], ..Csr::default() }.text(&key),
        Err(_) => Csr::for_names(&[name]).text(&key),
    }
}

fn rule(random: &mut Random) -> Value {
    let names = ["agree.test", "a.agree.test", "b.a.agree.test", "test", "lan", "co.uk", "github.io"];
    let name = random.one_of(&names);
    match random.between(0..=5) {
        0 | 1 => json!({"type": "dns", "match": "suffix", "value": name, "wildcards": random.chance(70),
                        "allowPublicSuffix": true}),
        2 => json!({"type": "dns", "match": "exact", "value": name}),
        3 => json!({"type": "dns", "match": "wildcard", "value": format!("*.{name}")}),
        4 => json!({"type": "ip", "match": "exact", "value": random.one_of(&["127.0.0.1", "2001:db8::7"])}),
        _ => {
            let blocks = ["127.0.0.0/29", "::ffff:127.0.0.0/119", "2001:db8::/32", "0.0.0.0/0", "::/0"];
            json!({"type": "ip", "match": "cidr", "value": random.one_of(&blocks)})
        }
    }
}

fn list(random: &mut Random) -> Value {
    let rules = |random: &mut Random, least: u64, most: u64| {
        let count = random.between(least..=most);
        (0..count).map(|_| rule(random)).collect::<Vec<_>>()
    };
    let exclude = rules(random, 0, 1);
    if random.chance(40) {
        return json!({"mode": "any", "exclude": exclude});
    }
    json!({"mode": "listed", "rules": rules(random, 3, 7), "exclude": exclude})
}

/// A realm, a parent and a child of it, each with a list that can be changed.
struct Governed {
    world: World,
    parent: String,
    child: String,
    client: Client,
}

impl Governed {
    fn new() -> Self {
        // Each policy is asked about once; what is remembered is forgotten by the CM's feed.
        let world = World::start_with(&[("cm", "registration_cache_secs = 60")]);
        let parent = world.officer().preregister(&json!({"eab": {"kid": "kid-of-many", "use": "multi"}}));
        let mut client = world.client("registered");
        let binding = client.binding(&parent.kid, &parent.secret);
        let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
        let child = client.account_url().rsplit('/').next().unwrap().to_owned();
        Self { world, parent: parent.id, child, client }
    }

    /// Changes all three, and waits until the gateway has heard of the last: the CM's feed is read in its order.
    fn govern(&self, number: usize, [realm, parent, own]: [Value; 3]) {
        let marks = |number: usize| ["even.agree.invalid", "odd.agree.invalid"][number % 2];
        let exact = |name: &str| json!({"type": "dns", "match": "exact", "value": name});
        let marked = |mut list: Value| {
            if let Some(rules) = list.get_mut("rules").and_then(Value::as_array_mut) {
                rules.extend([exact(marks(0)), exact(marks(1))]);
            }
            list
        };
        let mut own = marked(own);
        own["exclude"].as_array_mut().unwrap().push(exact(marks(number + 1)));
        let configured = json!({"realm": "registered", "allowed_identifiers": marked(realm)});
        let _ = self.world.site().control("/configure", &configured);
        self.world.officer().update(&self.parent, &json!({"allowedIdentifiers": marked(parent)}));
        self.world.officer().update(&self.child, &json!({"allowedIdentifiers": own}));
        tests::wait_for("the policy", Duration::from_secs(120), || {
            let status = |name: &str| self.client.new_order(&[name]).status;
            ((status(marks(number)), status(marks(number + 1))) == (201, 403)).then_some(())
        });
    }

    fn explained(&self, name: &str) -> bool {
        let ran = self.world.desk("officer").run(&["explain", &self.child, "--json", "--", name]);
        serde_json::from_str::<Value>(&ran.stdout).is_ok_and(|told| told["decision"] == "allow")
    }

    fn ordered(&self, identifier: &Value) -> (bool, String) {
        let response = self.client.post(&self.client.url("new-order"), &json!({"identifiers": [identifier]}));
        assert!(matches!(response.status, 201 | 400 | 403), "{response:?}");
        (response.status == 201, response.text())
    }

    /// What the CM itself says; what lies beyond the names is not there, so it is refused in any case.
    fn judged(&self, name: &str) -> bool {
        let code = self.world.officer().judgement(&self.child, &identifier(name), &csr(name));
        assert!(matches!(code.as_str(), "identifier-not-allowed" | "evidence-missing"), "{name}: {code}");
        code == "evidence-missing"
    }
}

#[test]
fn explanation_new_order_finalize_and_cm_agree_on_realm_parent_and_own() {
    let seed =
        env::var("ACME_GATEWAY_TESTS_POLICY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x0a11_0bed);
    let governed = Governed::new();
    let any = || json!({"mode": "any", "exclude": []});
    // One order for each policy, proven while everything was allowed.
    let proven: Vec<(&str, Order)> = NAMES
        .iter()
        .filter(|name| **name == "127.0.0.1" || (name.ends_with(".test") && !name.starts_with('*')))
        .take(POLICIES)
        .map(|name| {
            let payload = json!({"identifiers": [identifier(name)]});
            let response = governed.client.post(&governed.client.url("new-order"), &payload).expect(201);
            (*name, governed.client.prove(&Order { url: response.location(), object: response.json() }))
        })
        .collect();
    assert_eq!(proven.len(), POLICIES);
    let (mut allowed, mut finalized) = (0, 0);
    for (number, (proven_name, order)) in proven.iter().enumerate() {
        let mut random = Random::of(seed, &[number as u64]);
        let mut lists = [any(), list(&mut random), list(&mut random)];
        if random.chance(50) {
            lists[0] = list(&mut random);
        }
        governed.govern(number, lists.clone());
        let about = |name: &str| format!("{name} by policy {number} of seed {seed}: {lists:?}");
        for name in NAMES {
            let (explained, (ordered, told), judged) =
                (governed.explained(name), governed.ordered(&identifier(name)), governed.judged(name));
            assert_eq!((explained, explained), (ordered, judged), "explain, newOrder and CM: {} {told}", about(name));
            allowed += usize::from(explained);
        }
        let expected = governed.explained(proven_name);
        let response = governed.client.finalize(order, &csr(proven_name));
        assert_eq!(response.status == 200, expected, "finalize: {} {response:?}", about(proven_name));
        if expected {
            let _ = governed.client.wait(order, "valid");
            finalized += 1;
        } else {
            let _ = response.assert_refused(403, "rejectedIdentifier");
        }
    }
    let tried = NAMES.len() * POLICIES;
    println!("seed {seed}: {tried} questions, {allowed} allowed; {finalized} of {POLICIES} orders finalized");
    assert!(allowed * 20 > tried && allowed * 10 < tried * 7, "too few or too many prove little: {allowed} of {tried}");
    assert!((1..POLICIES).contains(&finalized), "{finalized}");
}

#[test]
fn what_is_no_name_slips_through_nowhere() {
    let (client, id) = crate::world().registered_account(&json!({"mode": "any"}));
    let desk = crate::world().desk("officer");
    let long_label = format!("{}.agree.test", "a".repeat(64));
    let long_name = format!("{}agree.test", "a.".repeat(125));
    for name in NO_NAMES.into_iter().chain([long_label.as_str(), long_name.as_str()]) {
        let ran = desk.run(&["explain", &id, "--json", "--", name]);
        let told: Value = serde_json::from_str(&ran.stdout).unwrap_or(Value::Null);
        // What cannot be written on a command line is a mistake there; all else is explained.
        let is_refused = ran.code == 0 && told["decision"] == "refuse";
        assert!(is_refused || ran.code == WRONG_COMMAND_LINE, "{name:?}: {ran:?}");
        for kind in ["dns", "ip"] {
            let identifier = json!({"type": kind, "value": name});
            let response = client.post(&client.url("new-order"), &json!({"identifiers": [identifier]}));
            assert!(matches!(response.status, 400 | 403), "{kind} {name:?}: {response:?}");
            let code = crate::world().officer().judgement(&id, &identifier, &csr("a.agree.test"));
            assert_eq!(code, "malformed", "{kind} {name:?} at the CM");
        }
    }
    // At both ends of what is allowed.
    for name in [format!("{}.agree.test", "a".repeat(63)), format!("{}agree.test", "a.".repeat(121))] {
        assert!(name.len() <= 253);
        assert_eq!(text(&desk.json(&["explain", &id, &name]), "/decision"), "allow");
        let _ = client.order(&[&name]);
    }
    // The gateway folds case, and asks the CM for what it has folded; the CM takes no other spelling.
    assert_eq!(client.order(&["A.Agree.TEST"]).object["identifiers"][0]["value"], "a.agree.test");
    let upper = json!({"type": "dns", "value": "A.Agree.TEST"});
    assert_eq!(crate::world().officer().judgement(&id, &upper, &csr("A.Agree.TEST")), "malformed");
}
