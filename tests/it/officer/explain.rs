//! `explain` says what the gateway and the CM then do.

use std::fs;

use serde_json::Value;
use tests::{csr::Csr, key::Key};

use super::{bound, created, text};
use crate::world;

fn rules_that_refuse(explanation: &Value) -> Vec<&str> {
    let rules = explanation["rules"].as_array().unwrap().iter();
    rules.filter(|step| step["outcome"] == "refuses").map(|step| text(step, "/rule")).collect()
}

#[test]
fn what_is_explained_is_what_the_gateway_answers() {
    let registration = created(&[
        "--allow",
        "suffix:explained.officer.test",
        "--allow",
        "exact:one.elsewhere.test",
        "--exclude",
        "suffix:vpn.explained.officer.test",
    ]);
    let (id, desk) = (text(&registration, "/id"), world().desk("officer"));
    let before = desk.json(&["explain", id, "www.explained.officer.test"]);
    assert_eq!(before["decision"], "allow", "nobody has bound it yet, and its list is asked all the same");
    let client = bound(&registration);
    let names = [
        "explained.officer.test",
        "*.explained.officer.test",
        "a.b.explained.officer.test",
        "one.elsewhere.test",
        "WWW.Explained.Officer.TEST",
        "evilexplained.officer.test",
        "vpn.explained.officer.test",
        "x.vpn.explained.officer.test",
        "a.one.elsewhere.test",
        "*.one.elsewhere.test",
        "elsewhere.test",
        "explained.officer.test.evil.test",
        "www.explained.officer.test.",
        "a..explained.officer.test",
    ];
    for name in names {
        let explained = desk.json(&["explain", id, name]);
        let response = client.new_order(&[name]);
        let expected = if response.status == 201 { "allow" } else { "refuse" };
        assert_eq!(explained["decision"], expected, "{name}: {explained} {response:?}");
        assert!(!explained["rules"].as_array().unwrap().is_empty());
        if let [rule] = rules_that_refuse(&explained)[..]
            && response.status == 403
        {
            let detail = response.assert_refused(403, "rejectedIdentifier");
            assert!(detail.contains(rule), "{name}: explained by {rule}, refused with {detail}");
        }
    }
}

#[test]
fn status_and_profile_are_explained_too() {
    let registration = created(&["--allow", "suffix:status.officer.test"]);
    let (id, desk) = (text(&registration, "/id"), world().desk("officer"));
    let _ = bound(&registration);
    let name = "www.status.officer.test";
    let other = desk.json(&["explain", id, name, "--profile", "tls-server-approval"]);
    assert_eq!(rules_that_refuse(&other), ["profile.not-allowed"]);
    let _ = desk.text(&["registrations", "suspend", id, "--reason", "a test"]);
    let suspended = desk.run(&["explain", id, name, "--exit-code"]);
    assert_eq!(suspended.code, 1, "{suspended:?}");
    assert!(suspended.stdout.contains("registration.suspended"), "{suspended:?}");
    assert_eq!(desk.run(&["explain", id, name]).code, 0);
}

#[test]
fn a_registration_in_a_file_is_explained_without_the_cm() {
    let registration = created(&["--allow", "suffix:offline.officer.test"]);
    let file = world().site().dir.join("offline.json");
    let desk = world().desk("officer");
    fs::write(&file, desk.text(&["registrations", "show", text(&registration, "/id"), "--json"])).unwrap();
    let file = file.to_str().unwrap();
    let asked = |name: &str| {
        let (_, explained) = world()
            .counting("*", || desk.json(&["--config", "/nonexistent.toml", "explain", "--registration", file, name]));
        explained
    };
    let inside = asked("www.offline.officer.test");
    assert_eq!(inside["decision"], "allow");
    assert!(inside["rules"].as_array().unwrap().iter().any(|step| step["outcome"] == "not-looked-at"), "{inside}");
    assert_eq!(rules_that_refuse(&asked("evil-offline.officer.test")), ["identifier.not-listed"]);
}

#[test]
fn a_csr_is_judged_as_at_finalize() {
    let registration = created(&["--allow", "suffix:csr.officer.test"]);
    let (id, desk) = (text(&registration, "/id"), world().desk("officer"));
    let explained = |names: &[&str]| {
        let file = world().site().dir.join(format!("{}.der", names.join("-")));
        fs::write(&file, tests::from_base64url(&Csr::for_names(names).text(&Key::p256()))).unwrap();
        desk.json(&["explain", id, "www.csr.officer.test", "--csr", file.to_str().unwrap()])
    };
    assert_eq!(explained(&["www.csr.officer.test"])["decision"], "allow");
    assert_eq!(rules_that_refuse(&explained(&["b.csr.officer.test"])), ["csr.names"]);
    assert_eq!(
        rules_that_refuse(&explained(&["www.csr.officer.test", "www.elsewhere.test"])),
        ["identifier.not-listed"]
    );
}
