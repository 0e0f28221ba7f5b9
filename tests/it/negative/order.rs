//! Orders for what cannot be had: identifiers, validity, profiles (RFC 8555 §7.1.3, §7.4; RFC 5891, RFC 8738).

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::{client::Client, response::Response};

use super::{Row, attempt::Attempt, prove, trial::Trial};
use crate::renewal_info::acme_time;

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-090", "An order is for something", 400, "malformed", |trial| {
        let client = trial.account();
        for payload in [
            json!({}),
            json!({"identifiers": []}),
            json!({"identifiers": null}),
            json!({"identifiers": "a.test"}),
            json!({"identifiers": {"type": "dns", "value": "a.test"}}),
            json!({"identifiers": ["a.test"]}),
            json!({"identifiers": [{"type": "dns"}]}),
            json!({"identifiers": [{"value": "a.test"}]}),
            json!({"identifiers": [{"type": "dns", "value": 7}]}),
            json!({"identifiers": [["dns", "a.test"]]}),
        ] {
            let _ = trial.refuse(&payload.to_string(), || order(&client, &payload));
        }
        let _ = trial.refuse("POST-as-GET", || client.read(&client.url("new-order")));
    }),
    Row::refused("N-091", "Mail addresses are not certified", 400, "unsupportedIdentifier", |trial| {
        let client = trial.account();
        for kind in ["email", "DNS", "permanent-identifier", ""] {
            let payload = json!({"identifiers": [{"type": kind, "value": "a@example.test"}]});
            let _ = trial.refuse(&format!("type {kind:?}"), || order(&client, &payload));
        }
    }),
    Row::refused("N-092", "A DNS name is letters, digits and hyphens between full stops", 400, "malformed", |trial| {
        names(
            trial,
            &["", ".", "a..b", "-a.org", "a-.org", "a_b.org", ".a.org", "a b.org", "a@b.org", "a.org\n", "a\u{0}.org"],
        );
    }),
    Row::refused("N-093", "A label has 63 octets at most and a name 253", 400, "malformed", |trial| {
        let client = trial.account();
        let (label, long) = (format!("{}.test", "a".repeat(64)), format!("{}aaaa", "a.".repeat(125)));
        assert_eq!(long.len(), 254);
        let _ = trial.refuse("a label of 64", || client.new_order(&[&label]));
        let _ = trial.refuse("a name of 254", || client.new_order(&[&long]));
    }),
    Row::refused("N-094", "An address is no DNS name", 400, "malformed", |trial| {
        names(trial, &["192.0.2.1", "2001:db8::1", "[2001:db8::1]"]);
    }),
    Row::refused("N-095", "A URL is no DNS name, nor is a port", 400, "malformed", |trial| {
        names(trial, &["https://a.org/", "a.org:443", "a.org/"]);
    }),
    Row::refused("N-096", "An A-label decodes, and no other label looks like one", 400, "malformed", |trial| {
        names(trial, &["xn--.org", "xn--a-.org", "xn--99999999999.org", "xn--a.org", "ab--cd.org", "www.xn---.org"]);
    }),
    Row::refused("N-097", "An international name is written in A-labels", 400, "malformed", |trial| {
        names(trial, &["b\u{fc}cher.example", "\u{65e5}\u{672c}.test", "a\u{3002}b.test"]);
    }),
    Row::refused("N-098", "A wildcard is the whole first label and only that", 400, "malformed", |trial| {
        names(trial, &["*", "*.", "*.*.a.org", "a.*.org", "w*.a.org", "*w.a.org", "**.a.org", "*a.org"]);
    }),
    Row::refused(
        "N-099",
        "A wildcard for everything under a top-level domain is refused",
        403,
        "rejectedIdentifier",
        |trial| {
            names(trial, &["*.com", "*.test"]);
            let _ = trial.world().account().new_order(&["*.co.uk"]).expect(201);
        },
    )
    .because(
        "there is no public policy and so no list of public suffixes: a wildcard right below the root's children is \
        refused everywhere, one below a longer suffix where the registration does not list it",
    ),
    Row::refused("N-100", "A name has no full stop at its end", 400, "malformed", |trial| {
        names(trial, &["a.org.", "a.org.."]);
    }),
    Row::refused("N-101", "An address has one spelling", 400, "malformed", |trial| {
        let client = trial.account();
        for value in [
            "::0001",
            "2001:DB8::1",
            "fe80::1%eth0",
            "10.0.0.1/8",
            "010.0.0.1",
            "[::1]",
            "::ffff:10.0.0.1",
            "1",
            "10.1",
            "0x7f.0.0.1",
            "example.test",
            "",
        ] {
            let payload = json!({"identifiers": [{"type": "ip", "value": value}]});
            let _ = trial.refuse(&format!("{value:?}"), || order(&client, &payload));
        }
    }),
    Row::refused("N-102", "An address that is not allowed is refused", 403, "rejectedIdentifier", |trial| {
        let rules = json!([{"type": "ip", "match": "cidr", "value": "127.0.0.0/29"}]);
        let allowed = json!({"mode": "listed", "rules": rules, "exclude": []});
        let (client, _) = trial.world().registered_account(&allowed);
        trial.watch(&client);
        for value in ["10.0.0.1", "192.168.1.1", "127.0.0.8", "fd00::1"] {
            let payload = json!({"identifiers": [{"type": "ip", "value": value}]});
            let _ = trial.refuse(value, || order(&client, &payload));
        }
        for value in ["10.0.0.1", "169.254.169.254", "fd00::1"] {
            let identifier = json!({"type": "ip", "value": value});
            let attempt = Attempt::new(trial.world().account(), "http-01", &identifier);
            let _ = trial.fail_as(&format!("{value} where anything may be ordered"), "connection", &attempt);
        }
    })
    .because(
        "there is no mode that knows which networks are private: registrations list what their clients may have, and \
        where anything may be ordered, an address is proven only if validation may dial it",
    ),
    Row::refused("N-103", "An order has a hundred identifiers at most", 400, "malformed", |trial| {
        let client = trial.account();
        let names: Vec<_> = (0..101).map(|number| format!("n{number}.example.test")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let response = trial.refuse("101", || client.new_order(&names));
        assert!(response.member("detail").contains("100"), "the limit is told: {response:?}");
    }),
    Row::refused("N-104", "Every refused identifier is named", 403, "rejectedIdentifier", |trial| {
        let rules = json!([{"type": "dns", "match": "suffix", "value": "allowed.test"}]);
        let allowed = json!({"mode": "listed", "rules": rules, "exclude": []});
        let (client, _) = trial.world().registered_account(&allowed);
        trial.watch(&client);
        let two = |response: &Response, wanted: [&str; 2]| {
            let problem = response.json();
            let named: Vec<_> = problem["subproblems"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["identifier"]["value"].clone())
                .collect();
            assert_eq!(named, wanted, "{problem}");
        };
        let response = trial.refuse("two of three are not allowed", || {
            client.new_order(&["good.allowed.test", "bad.test", "*.worse.test"])
        });
        two(&response, ["bad.test", "*.worse.test"]);
        trial.refuse_as("one of three is no name and one is not allowed", 403, "compound", || {
            let response = client.new_order(&["good.allowed.test", "bad.test", "under_score.test"]);
            two(&response, ["under_score.test", "bad.test"]);
            response
        });
        trial.refuse_as("two of three are no names", 400, "malformed", || {
            client.new_order(&["good.allowed.test", "a..b", "under_score.test"])
        });
    }),
    Row::refused("N-105", "A validity has a beginning and an end in the future", 400, "malformed", |trial| {
        let client = trial.account();
        for (what, validity) in [
            ("no time", json!({"notBefore": "tomorrow"})),
            ("no such month", json!({"notAfter": "2099-13-01T00:00:00Z"})),
            ("no zone", json!({"notAfter": "2099-01-01T00:00:00"})),
            ("a number", json!({"notAfter": 4_070_908_800_u64})),
            ("an end before its beginning", json!({"notBefore": soon(120), "notAfter": soon(60)})),
            ("an end at its beginning", json!({"notBefore": soon(60), "notAfter": soon(60)})),
            ("a beginning that is far away", json!({"notBefore": "2099-01-01T00:00:00Z"})),
            ("an end in the past", json!({"notAfter": "2001-01-01T00:00:00Z"})),
            ("a beginning in the past", json!({"notBefore": "2001-01-01T00:00:00Z"})),
        ] {
            let _ = trial.refuse(what, || order_with(&client, &validity));
        }
    }),
    Row::refused("N-106", "A validity is no longer than the profile's", 400, "malformed", |trial| {
        let client = trial.account();
        for end in ["2101-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
            let _ = trial.refuse(end, || order_with(&client, &json!({"notAfter": end})));
        }
    }),
    Row::refused("N-107", "A profile is one of those on offer", 400, "invalidProfile", |trial| {
        let client = trial.account();
        for profile in ["unknown", "TLS-SERVER", "tls-server "] {
            let _ = trial.refuse(&format!("{profile:?}"), || order_with(&client, &json!({"profile": profile})));
        }
        let (client, _) = trial.world().registered_account(&json!({"mode": "any"}));
        trial.watch(&client);
        let _ = trial.refuse("one that the registration may not use", || {
            order_with(&client, &json!({"profile": "tls-server-approval"}))
        });
    }),
];

#[test]
fn orders_for_what_cannot_be_had_are_refused() {
    prove(ROWS);
}

/// A time in so many seconds.
fn soon(seconds: u64) -> String {
    acme_time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds)
}

fn order(client: &Client, payload: &Value) -> Response {
    client.post(&client.url("new-order"), payload)
}

/// A newOrder that would be right without these members.
fn order_with(client: &Client, members: &Value) -> Response {
    let mut payload = json!({"identifiers": [{"type": "dns", "value": "order.example.test"}]});
    for (member, value) in members.as_object().unwrap() {
        payload[member] = value.clone();
    }
    order(client, &payload)
}

/// A newOrder for each of these DNS names.
fn names(trial: &mut Trial, names: &[&str]) {
    let client = trial.account();
    for name in names {
        let _ = trial.refuse(&format!("{name:?}"), || client.new_order(&[name]));
    }
}
