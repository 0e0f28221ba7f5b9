//! What operators see: health, metrics and logs, on a listener of their own.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::json;
use tests::{binaries, world::World};

use crate::world;

fn log(world: &World) -> String {
    fs::read_to_string(world.site().log("gateway")).unwrap()
}

/// The last part of a URL.
fn id(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

#[test]
fn health_and_readiness_are_told() {
    let site = world().site();
    for path in ["/healthz", "/readyz"] {
        let _ = site.ops(path).expect(200);
    }
}

#[test]
fn metrics_count_what_happens() {
    let site = world().site();
    let client = world().account();
    let issued = client.issue(&["metrics.example.test"]);
    let text = site.ops("/metrics").expect(200).text();
    assert!(text.contains("# TYPE "), "{text}");
    let counted = text
        .lines()
        .any(|line| line.contains("certificates_issued") && !line.starts_with('#') && !line.ends_with(" 0"));
    assert!(counted, "{text}");
    assert!(!text.contains(&issued.order_url) && !text.contains("metrics.example.test"), "no labels without bound");
}

#[test]
fn acme_is_not_served_to_operators_nor_metrics_to_clients() {
    let site = world().site();
    assert_eq!(site.ops("/acme/open/directory").status, 404);
    let _ = site.get(&format!("{}/metrics", site.external_url)).assert_problem(404, "malformed");
}

#[test]
fn logs_hold_no_secrets() {
    let world = world();
    let registration = world.officer().preregister(&json!({}));
    let mut client = world.client("registered");
    let binding = client.binding(&registration.kid, &registration.secret);
    let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
    let order = client.order(&["log.example.test"]);
    let authorization = client.read(order.object["authorizations"][0].as_str().unwrap()).json();
    let offered = client.provide(&authorization, "http-01");
    let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
    let _ = client.wait(&order, "ready");
    let log = log(world);
    assert!(log.contains(id(&client.account_url())), "the account is traced");
    for secret in [
        binding["signature"].as_str().unwrap(),
        offered["token"].as_str().unwrap(),
        &tests::base64url(&registration.secret),
        "BEGIN PRIVATE KEY",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn every_request_leaves_one_line_with_the_account_and_the_order_it_was_about() {
    let client = world().account();
    let account = client.account_url();
    let order = client.order(&["line.example.test"]);
    let _ = client.reread(&order);
    let log = log(world());
    let path = |url: &str| format!("path={:?}", url.strip_prefix(&client.site().external_url).unwrap());
    let with = |words: &[&str]| {
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().filter(|line| line.contains(" request: ")).filter(has_all).count()
    };
    let (account, order_id) = (format!("{:?}", id(&account)), format!("{:?}", id(&order.url)));
    let (by, about) = (format!("account={account}"), format!("order={order_id}"));
    assert_eq!(with(&[&path(&client.url("new-account")), "status=201", &by]), 1);
    assert_eq!(with(&[&path(&client.url("new-order")), "status=201", &by, &about]), 1);
    assert_eq!(with(&[&path(&order.url), "status=200", &by, &about]), 1);
    assert_eq!((with(&[&account]), with(&[&order_id])), (3, 2), "and there is no other line");
}

#[test]
fn audit_events_are_logged_whatever_the_level_of_the_log() {
    let world = World::start_with(&[("log", "level = \"error\"")]);
    let client = world.account();
    let order = client.order(&["audit.example.test"]);
    let is = |line: &str, event: &str, id: &str| [" audit: ", event, id].iter().all(|word| line.contains(word));
    for (event, id) in [("account.created", id(&client.account_url())), ("order.created", id(&order.url))] {
        tests::wait_for(event, Duration::from_secs(120), || {
            log(&world).lines().any(|line| is(line, event, id)).then_some(())
        });
    }
    assert!(!log(&world).contains(" request: "), "the level counts for everything else");
}

#[test]
fn the_audit_log_says_what_was_seen_when_control_was_proven_and_when_not() {
    let world = world();
    let client = world.account();
    let order = client.ready_order(&["seen.audit.test"]);
    let proven = id(order.object["authorizations"][0].as_str().unwrap()).to_owned();
    let failing = client.order(&["unseen.audit.test"]);
    world.site().control("/add-a", &json!({"host": "unseen.audit.test.", "addresses": ["127.0.0.99"]}));
    let authorization = client.read(failing.object["authorizations"][0].as_str().unwrap()).json();
    let offered = tests::client::challenge(&authorization, "http-01");
    let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
    let _ = client.wait(&failing, "invalid");
    let unproven = id(failing.object["authorizations"][0].as_str().unwrap()).to_owned();
    for (authorization, words) in [
        (proven, ["seen.audit.test", "http-01", "evidence", "local", "127.0.0.1"]),
        (unproven, ["unseen.audit.test", "http-01", "connection", "127.0.0.99", "invalid"]),
    ] {
        let line = tests::wait_for("the validation in the log", Duration::from_secs(120), || {
            let log = log(world);
            let found = log
                .lines()
                .find(|line| [" audit: ", "validation.ended", &authorization].iter().all(|word| line.contains(word)));
            found.map(str::to_owned)
        });
        for word in words {
            assert!(line.contains(word), "{word} is not in {line}");
        }
    }
}

/// A file that is wrong by now, or names another store, must not stand between an operator and a gateway that runs.
#[test]
fn commands_reach_the_gateway_by_its_socket_whatever_has_become_of_its_settings() {
    let site = world().site();
    let ask = |command: &[&str], option: &str, path: &Path| {
        let output = Command::new(binaries::gateway()).args(command).arg(option).arg(path).output().unwrap();
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let socket = site.dir.join("gateway/store/admin.sock");
    let order = world().account().issue(&["socket.example.test"]).order_url;
    let (done, said) = ask(&["order", "show", &order], "--socket", &socket);
    assert!(done && said.contains("socket.example.test"), "{said}");
    let (done, said) = ask(&["profile", "list"], "--socket", &socket);
    assert!(done, "{said}");
    // It was asked, and says no.
    let (done, said) = ask(&["profile", "resume", "open", "no-such-profile"], "--socket", &socket);
    assert!(!done && said.contains("no-such-profile") && said.contains("stopped"), "{said}");

    let wrong = site.dir.join("wrong.toml");
    fs::write(&wrong, "[stor").unwrap();
    for command in [&["profile", "list"][..], &["order", "show", &order]] {
        let (done, said) = ask(command, "--config", &wrong);
        assert!(!done && said.contains("wrong.toml") && said.contains("--socket"), "{said}");
    }
    let (done, said) = ask(&["profile", "list"], "--socket", &site.dir.join("nobody.sock"));
    assert!(!done && said.contains("nobody.sock") && said.contains("is this its socket"), "{said}");
}
