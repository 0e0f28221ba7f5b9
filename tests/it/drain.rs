//! The end that somebody asked for (SIGTERM): nothing is accepted any longer, nobody is kept waiting, and what is not
//! done is left to the next process.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{
    binaries,
    client::{Client, JOSE, Order},
    csr::Csr,
    http::{Connection, request},
    key::Key,
    wait_for,
    world::World,
};

const NAME: &str = "drain.example.test";

/// A world in which finalize waits longer than a shutdown may take.
fn patient_world(shutdown_secs: u32) -> World {
    let shutdown = format!("shutdown_timeout_secs = {shutdown_secs}");
    World::start_with(&[("issuance", "finalize_wait_secs = 60"), ("server", &shutdown)])
}

/// Sends finalize, waits until the CM has issued and keeps it to itself for so long.
fn finalize_at_slow_cm(world: &World, client: &Client, millis: u32) -> (Order, Connection) {
    let order = client.ready_order(&[NAME]);
    world.set_fault("requestCertificate", &json!({"kind": "delay-after-commit", "millis": millis}));
    let url = order.object["finalize"].as_str().unwrap();
    let csr = Csr::for_names(&[NAME]).text(&Key::p256());
    let jws = client.draft(url, json!({"csr": csr}).to_string()).sign().to_string();
    let path = url.strip_prefix(&client.site().external_url).unwrap();
    let mut connection = client.site().connect();
    connection.send(request("POST", path, "localhost", &[("Content-Type", JOSE)], Some(jws.as_bytes()))).unwrap();
    wait_for("the CM to issue", Duration::from_secs(120), || (world.certificates_of(&order.url) == 1).then_some(()));
    (order, connection)
}

#[test]
fn on_sigterm_a_finalize_that_waits_is_answered_and_a_slow_cm_is_left_to_the_next_process() {
    /// Less than the 28 s for which the gateway waits for an answer of the CM, with time for a busy machine.
    const SHUTDOWN_SECS: u32 = 12;
    let mut world = patient_world(SHUTDOWN_SECS);
    let client = world.account();
    let (order, mut waiting) = finalize_at_slow_cm(&world, &client, 60_000);
    let began = Instant::now();
    world.signal_gateway("TERM");
    let answer = waiting.receive("POST").unwrap().expect(200);
    assert!(began.elapsed() < Duration::from_secs(u64::from(SHUTDOWN_SECS)), "it was kept waiting");
    assert_eq!(answer.json()["status"], "processing");
    assert!(answer.header("retry-after").is_some());
    wait_for("the end of listening", Duration::from_secs(120), || {
        std::net::TcpStream::connect(world.site().gateway).is_err().then_some(())
    });
    assert_eq!(world.gateway_ended(), Some(0));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(u64::from(SHUTDOWN_SECS) + 12), "{took:?}");
    assert!(took >= Duration::from_secs(u64::from(SHUTDOWN_SECS)), "the CM got no time to answer: {took:?}");
    world.restart_gateway();
    let _ = client.wait(&order, "valid");
    assert_eq!(world.certificates_of(&order.url), 1);
}

#[test]
fn on_sigterm_jobs_that_can_finish_in_time_do() {
    let mut world = patient_world(60);
    let client = world.account();
    let (order, mut waiting) = finalize_at_slow_cm(&world, &client, 8_000);
    world.signal_gateway("TERM");
    assert_eq!(waiting.receive("POST").unwrap().expect(200).json()["status"], "processing");
    assert_eq!(world.gateway_ended(), Some(0));
    let log = std::fs::read_to_string(world.site().log("gateway")).unwrap();
    let id = order.url.rsplit('/').next().unwrap();
    let issued = log.lines().filter(|line| line.contains("certificate.issued") && line.contains(id));
    assert_eq!(issued.count(), 1, "the auditor hears of it from the process that did it");
    // Whoever goes on with a request that was sent asks the CM for it first.
    const COUNT: u32 = 1000;
    for operation in ["findRequests", "requestCertificate"] {
        world.set_faults(operation, COUNT, &json!({"kind": "delay-before", "millis": 0}));
    }
    world.restart_gateway();
    let _ = client.wait(&order, "valid");
    let left = world.faults();
    assert!(left.as_array().unwrap().iter().all(|fault| fault["count"] == COUNT), "nothing was left to do: {left}");
    assert_eq!(left.as_array().unwrap().len(), 2);
    assert_eq!(world.certificates_of(&order.url), 1);
}

#[test]
fn a_second_signal_ends_at_once_and_the_order_survives_that_too() {
    let mut world = patient_world(60);
    let client = world.account();
    let (order, mut waiting) = finalize_at_slow_cm(&world, &client, 60_000);
    world.signal_gateway("TERM");
    // The first one has been seen.
    assert_eq!(waiting.receive("POST").unwrap().expect(200).json()["status"], "processing");
    assert_eq!(world.site().ops("/readyz").expect(503).text(), "stopping\n");
    let began = Instant::now();
    world.signal_gateway("TERM");
    let code = world.gateway_ended();
    assert!(code.is_some_and(|code| code != 0), "it did not end in order: {code:?}");
    // The CM would have been waited for longer.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    world.restart_gateway();
    // Its nonces have died with it.
    let _ = client.restarted().wait(&order, "valid");
    assert_eq!(world.certificates_of(&order.url), 1);
}

/// What `acme-gateway ready` exits with and prints.
fn asked_by_command(world: &World) -> (Option<i32>, String) {
    let mut command = Command::new(binaries::gateway());
    let asked = command.args(["ready", "--config"]).arg(world.site().settings_file()).output().unwrap();
    (asked.status.code(), String::from_utf8(asked.stdout).unwrap())
}

#[test]
fn while_it_drains_balancers_see_that_it_stops_and_clients_get_certificates() {
    // Longer than this test takes anywhere: a second signal ends it.
    let mut world = World::start_with(&[("server", "drain_secs = 3600")]);
    let client = world.account();
    assert_eq!(asked_by_command(&world), (Some(0), String::from("ready\n")));
    world.signal_gateway("TERM");
    wait_for("the balancer to see it", Duration::from_secs(120), || {
        let seen = world.site().ops("/readyz");
        (seen.status == 503 && seen.text() == "stopping\n").then_some(())
    });
    assert_eq!(world.site().ops("/healthz").status, 200);
    assert_eq!(asked_by_command(&world), (Some(1), String::from("stopping\n")));
    let _ = client.issue(&[NAME]);
    world.signal_gateway("TERM");
    assert!(world.gateway_ended().is_some_and(|code| code != 0));
    assert_eq!(asked_by_command(&world), (Some(1), String::new()), "there is none");
}
