//! More than the gateway takes: too many requests in hand, too many connections of one address (RFC 8555 §6.6).

use std::{thread, time::Duration};

use serde_json::json;
use tests::{
    http::{Connection, Tls, request},
    wait_for,
    world::World,
};

#[test]
fn requests_over_the_limit_are_told_to_come_again_and_those_in_hand_are_done() {
    let world = World::start_with(&[("server", "requests_in_hand_max = 1")]);
    let (slow, quick) = (world.account(), world.account());
    let order = slow.order(&["in-hand.example.test"]);
    world.set_fault("getRegistration", &json!({"kind": "delay-before", "millis": 3000}));
    thread::scope(|scope| {
        let in_hand = scope.spawn(|| {
            // What is known of the account is good for a second: soon the CM is asked, and is slow.
            wait_for("a request that waits for the CM", Duration::from_secs(20), || {
                let response = slow.read(&order.url).expect(200);
                (world.faults() == json!([])).then_some(response)
            })
        });
        wait_for("the slow question to the CM", Duration::from_secs(20), || {
            (world.faults() == json!([])).then_some(())
        });
        let refused = quick.read(&quick.account_url());
        let detail = refused.assert_refused(503, "serverInternal");
        assert!(detail.contains("too many requests"), "{detail}");
        let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{refused:?}");
        let site = world.site();
        let _ = site.get(&site.url("open", "directory")).expect(200);
        let _ = site.send("HEAD", &site.url("open", "new-nonce"), &[], None).expect(200);
        assert_eq!(in_hand.join().unwrap().json()["status"], "pending");
    });
    let _ = quick.read(&quick.account_url()).expect(200);
}

#[test]
fn connections_over_the_limit_of_an_address_are_closed_at_once_and_counted() {
    let world = World::start_with(&[("server", "connections_per_address_max = 3")]);
    let site = world.site();
    let ca_file = site.pki("acme-ca.pem");
    let tls = Tls { ca_file: Some(&ca_file), ..Tls::default() };
    let connect = || Connection::tls(site.gateway, "localhost", &tls).map(|(connection, _)| connection);
    let mut open: Vec<_> = (0..3).map(|_| connect().unwrap()).collect();
    assert!(connect().is_err(), "a fourth connection");
    assert!(site.ops("/metrics").text().contains("acme_gateway_connections_refused_total 1\n"));
    for connection in &mut open {
        connection.send(request("GET", "/acme/open/directory", "localhost", &[], None)).unwrap();
        let _ = connection.receive("GET").unwrap().expect(200);
    }
    drop(open);
    let mut connection = wait_for("a place", Duration::from_secs(20), || connect().ok());
    connection.send(request("GET", "/acme/open/directory", "localhost", &[], None)).unwrap();
    let _ = connection.receive("GET").unwrap().expect(200);
}
