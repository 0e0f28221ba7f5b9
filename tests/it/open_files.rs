//! Too few open files: connections wait or are refused, everything goes on by itself, and nothing that was acknowledged
//! is lost.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{
    binaries,
    client::{Client, JOSE, Order},
    csr::Csr,
    http::{Connection, Tls, request},
    key::Key,
    process::Process,
    site::Site,
    wait_for,
    world::World,
};

/// The name whose certificate is on its way.
const IN_HAND: &str = "files-in-hand.example.test";
/// How soon service has to be back when there is room again.
const BACK_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_gateway_with_256_open_files_refuses_cleanly_and_loses_nothing() {
    let mut world = World::start();
    world.kill_gateway();
    let site = Arc::clone(world.site());
    let program = binaries::gateway().display().to_string();
    let settings = site.settings_file().display().to_string();
    let arguments = ["-c", "ulimit -n 256; exec \"$0\" \"$@\"", &program, "serve", "--config", &settings];
    let arguments = arguments.map(str::to_owned);
    let mut gateway = Process::start("acme-gateway", Path::new("/bin/sh"), &arguments, &site.log("few-files"), None);
    let is_ready = || {
        let mut connection = Connection::plain(site.ops).ok()?;
        connection.send(request("GET", "/readyz", "localhost", &[], None)).ok()?;
        connection.receive("GET").ok().filter(|response| response.status == 200)
    };
    let _ = wait_for("readiness", Duration::from_secs(60), is_ready);
    let log = fs::read_to_string(site.log("few-files")).unwrap();
    assert!(log.contains("server.connections_max") && log.contains("connections_max=128"), "{log}");

    let client = world.account();
    let pending = client.order(&["files-pending.example.test"]);
    let in_hand = client.ready_order(&[IN_HAND]);
    world.set_fault("requestCertificate", &json!({"kind": "delay-after-commit", "millis": 5000}));
    let mut waiting = site.connect();
    waiting.send(finalize(&client, &in_hand)).unwrap();
    wait_for("the CM to issue", Duration::from_secs(120), || (world.certificates_of(&in_hand.url) == 1).then_some(()));

    // More than the process can have: the rest waits where the kernel keeps it.
    let flood: Vec<_> = (0..400).map(|_| TcpStream::connect(site.gateway).unwrap()).collect();
    assert!(is_ready().is_some(), "the store and the other listener have what they need");
    wait_for("the CM to issue", Duration::from_secs(120), || (world.certificates_of(&in_hand.url) == 1).then_some(()));
    drop(flood);
    let began = Instant::now();
    let _ = wait_for("service after the flood", BACK_WITHIN, || {
        gateway.check_alive();
        drop(over(&site, tcp(&site))?);
        Some(site.get(&site.url("open", "directory")).expect(200))
    });
    println!("256 open files, 400 connections: service was back after {} ms", began.elapsed().as_millis());
    let _ = client.wait(&in_hand, "valid");
    assert_eq!(world.certificates_of(&in_hand.url), 1);
    assert_eq!(client.prove(&pending).object["status"], "ready");
    let log = fs::read_to_string(site.log("few-files")).unwrap();
    assert!(!log.contains("Too many open files"), "{log}");
    gateway.kill();
}

#[test]
fn a_gateway_takes_all_the_open_files_that_it_may_have() {
    let mut world = World::start();
    world.kill_gateway();
    let site = Arc::clone(world.site());
    let program = binaries::gateway().display().to_string();
    let settings = site.settings_file().display().to_string();
    let begin = "ulimit -Sn 256; ulimit -Hn 4096; exec \"$0\" \"$@\"";
    let arguments = ["-c", begin, &program, "serve", "--config", &settings].map(str::to_owned);
    let mut gateway = Process::start("acme-gateway", Path::new("/bin/sh"), &arguments, &site.log("raised"), None);
    wait_for("readiness", Duration::from_secs(120), || {
        let mut connection = Connection::plain(site.ops).ok()?;
        connection.send(request("GET", "/readyz", "localhost", &[], None)).ok()?;
        connection.receive("GET").ok().filter(|response| response.status == 200)
    });
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["4096", "4096"], "{line}");
    gateway.kill();
}

#[test]
fn a_gateway_that_can_open_no_more_files_goes_on_with_what_is_open_and_recovers_by_itself() {
    const NONE_MORE: u32 = 8;
    const USUAL: u32 = 1024;
    let world = World::start();
    let site = world.site();
    let client = world.account();
    let in_hand = client.ready_order(&[IN_HAND]);
    let orders: Vec<_> = (0..10)
        .map(|number| {
            let identifier = json!({"type": "dns", "value": format!("files-{number}.example.test")});
            prepared(&client, &client.url("new-order"), &json!({"identifiers": [identifier]}))
        })
        .collect();
    let finalize = finalize(&client, &in_hand);
    let mut open = site.connect();
    world.limit_open_files(NONE_MORE);

    let late = tcp(site);
    thread::scope(|scope| {
        let late = scope.spawn(|| over(site, late).is_some());
        let mut acknowledged = Vec::new();
        for order in orders {
            open.send(order).unwrap();
            let answer = open.receive("POST").unwrap();
            assert!([201, 503].contains(&answer.status), "{answer:?}");
            acknowledged.extend(answer.header("location").map(str::to_owned));
        }
        open.send(finalize).unwrap();
        let finalized = open.receive("POST").unwrap();
        assert!([200, 503].contains(&finalized.status), "{finalized:?}");
        assert!(!late.is_finished(), "there is no file for another connection");

        world.limit_open_files(USUAL);
        let began = Instant::now();
        let _ = wait_for("service", BACK_WITHIN, || {
            drop(over(site, tcp(site))?);
            Some(site.get(&site.url("open", "directory")).expect(200))
        });
        let millis = began.elapsed().as_millis();
        assert!(late.join().unwrap(), "who waited is served");
        println!("no open files: {} of 10 orders were taken, service was back after {millis} ms", acknowledged.len());
        for url in acknowledged {
            assert_eq!(client.read(&url).expect(200).json()["status"], "pending");
        }
        if finalized.status == 200 {
            let _ = client.wait(&in_hand, "valid");
            assert_eq!(world.certificates_of(&in_hand.url), 1);
        }
    });
    let _ = client.issue(&["files-after.example.test"]);
}

fn finalize(client: &Client, order: &Order) -> Vec<u8> {
    let csr = Csr::for_names(&[IN_HAND]).text(&Key::p256());
    prepared(client, order.object["finalize"].as_str().unwrap(), &json!({"csr": csr}))
}

/// A signed request with a nonce of its own, ready to be sent over a connection that is open.
fn prepared(client: &Client, url: &str, payload: &Value) -> Vec<u8> {
    let jws = client.draft(url, payload.to_string()).sign().to_string();
    let path = url.strip_prefix(&client.site().external_url).unwrap();
    request("POST", path, "localhost", &[("Content-Type", JOSE)], Some(jws.as_bytes()))
}

fn tcp(site: &Site) -> TcpStream {
    TcpStream::connect(site.gateway).unwrap()
}

/// TLS over this connection, if it comes about.
fn over(site: &Site, stream: TcpStream) -> Option<Connection> {
    let ca_file = site.pki("acme-ca.pem");
    let tls = Tls { ca_file: Some(&ca_file), ..Tls::default() };
    Connection::tls_over(stream, "localhost", &tls).ok().map(|(connection, _)| connection)
}
