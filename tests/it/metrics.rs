//! The numbers for Prometheus: they answer what operators ask, and no client can add to their number.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;
use tests::{csr::Csr, key::Key, tell, world::World};

use crate::{fragile_world, world};

fn text(world: &World) -> String {
    world.site().ops("/metrics").expect(200).text()
}

/// The value of a series; 0 if there is none.
fn value(text: &str, series: &str) -> f64 {
    let found =
        text.lines().find_map(|line| line.strip_prefix("acme_gateway_")?.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().unwrap())
}

/// Every series, without its value.
fn series(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn what_became_of_requests_and_how_long_each_step_took_is_counted() {
    let world = fragile_world();
    let before = text(&world);
    let client = world.account();
    let _ = client.issue(&["answers.metrics.test"]);
    let (listed, _) = world.registered_account(
        &json!({"mode": "listed", "rules": [{"type": "dns", "value": "a.test", "match": "exact"}], "exclude": []}),
    );
    let _ = listed.new_order(&["b.test"]).assert_refused(403, "rejectedIdentifier");
    let _ = client.new_order(&["c.test"]).expect(201);
    let after = text(&world);
    let grown = |series: &str| value(&after, series) - value(&before, series);
    for series in [
        r#"issuance_total{endpoint="open",outcome="issued",profile="tls-server",rule=""}"#,
        r#"issuance_total{endpoint="registered",outcome="refused",profile="tls-server",rule="identifier.not-listed"}"#,
        r#"validations_total{challenge="http-01",outcome="valid"}"#,
        r#"step_seconds_count{step="validation"}"#,
        r#"step_seconds_count{step="submission"}"#,
        r#"step_seconds_count{step="issuance"}"#,
        r#"cm_calls_total{operation="POST /realms/{realm}/certificate-requests",outcome="answered"}"#,
    ] {
        assert!((grown(series) - 1.0).abs() < 0.5, "{series} has grown by {}\n{after}", grown(series));
    }
    for series in [
        r#"step_seconds_count{step="new-order"}"#,
        r#"step_seconds_count{step="caa"}"#,
        r#"store_commit_seconds_count{outcome="committed"}"#,
        "store_flush_seconds_count",
    ] {
        assert!(grown(series) >= 1.0, "{series}");
    }
    assert_eq!(value(&after, "cm_circuit_open"), 0.0);
    let (left, size) =
        (value(&after, "store_filesystem_available_bytes"), value(&after, "store_filesystem_size_bytes"));
    assert!(0.0 < left && left <= size, "{left} of {size}");
    assert!(series(&after).iter().any(|one| one.starts_with("acme_gateway_build_info{")));
    assert!(value(&after, r#"identity_lifetime_seconds{identity="server"}"#) > 0.0);
}

/// Nothing that a client says becomes a label: new garbage makes no new series.
#[test]
fn garbage_from_clients_adds_no_series() {
    let world = fragile_world();
    let garbage = |round: u32| {
        let client = world.account();
        let site = world.site();
        let word = format!("garbage{round}x");
        for path in [
            format!("/{word}"),
            format!("/acme/{word}/directory"),
            format!("/acme/open/{word}"),
            format!("/acme/open/order/{word}"),
            format!("/acme/open/renewal-info/{word}.{word}"),
            format!("/acme/open/r/{word}/directory"),
            format!("/help/{word}?{word}"),
        ] {
            let headers = [("User-Agent", word.as_str()), ("Accept-Language", word.as_str())];
            for method in ["GET", "POST", "DELETE"] {
                let _ = site.send(method, &format!("{}{path}", site.external_url), &headers, None);
            }
        }
        let named = |kind: &str, value: &str| json!({"type": kind, "value": value});
        for body in [
            json!({"identifiers": [named("dns", &format!("{word}.test"))], "profile": word}),
            json!({"identifiers": [named(&word, &word)]}),
            json!({"identifiers": [named("dns", &format!("{word}..test"))], "notAfter": word}),
            json!({"identifiers": [named("dns", &format!("{word}.onion"))]}),
            json!({"identifiers": [named("dns", &format!("{word}.test"))], "replaces": format!("{word}.{word}")}),
            json!({ word.clone(): word }),
        ] {
            let _ = client.post(&client.url("new-order"), &body);
        }
        let order = client.ready_order(&[&format!("{word}.test")]);
        let _ = client.finalize(&order, &word);
        let _ = client.finalize(&order, &Csr::for_names(&[&format!("other.{word}.test")]).text(&Key::p256()));
        let _ = world.client("registered").register(&json!({"externalAccountBinding": {"protected": word}}));
    };
    // What each kind of garbage can add it adds once.
    (0..2).for_each(&garbage);
    let known = series(&text(&world));
    (2..6).for_each(&garbage);
    let after = series(&text(&world));
    let new: Vec<_> = after.difference(&known).filter(|one| !is_of_the_times(one)).collect();
    assert!(new.is_empty(), "{new:#?}");
    assert!(!after.iter().any(|one| one.contains("garbage")), "{after:#?}");
}

/// Series that may appear whenever the gateway looks after its CM and its clients' limits, whoever asks for what.
fn is_of_the_times(series: &str) -> bool {
    series.starts_with("acme_gateway_cm_call") || series.starts_with("acme_gateway_event_feed")
}

#[test]
fn promtool_has_nothing_to_say_about_a_live_scrape() {
    let _ = world().account().issue(&["promtool.metrics.test"]);
    let mut promtool = Command::new("promtool");
    let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut promtool) = promtool.stderr(Stdio::piped()).spawn() else {
        tell("NOT RUN: promtool check metrics: there is no promtool (Debian's package prometheus)");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text(world()).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_alerts_rise_and_stay_silent_as_their_tests_have_it() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]] {
        let Ok(output) = Command::new("promtool").args(arguments).current_dir(&rules).output() else {
            tell("NOT RUN: the tests of the alerts: there is no promtool (Debian's package prometheus)");
            return;
        };
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.contains("SUCCESS"), "{said}");
    }
}
