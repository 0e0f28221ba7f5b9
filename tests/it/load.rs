//! More than the gateway takes: too many requests in hand, too many connections of one address (RFC 8555 §6.6).

use std::{
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{
    client::{Client, Order},
    http::{Connection, Tls, request},
    response::Response,
    site::Site,
    wait_for,
    world::World,
};

#[test]
fn requests_over_the_limit_are_told_to_come_again_and_those_in_hand_are_done() {
    let world = World::start_with(&[("server", "requests_in_hand_max = 1")]);
    let (slow, quick) = (world.account(), world.account());
    let order = slow.order(&["in-hand.example.test"]);
    // On a busy machine the slow request may be over before the other comes; then it is done again.
    let refused = wait_for("a refusal", Duration::from_secs(120), || {
        let response = beside_a_slow_request(&world, (&slow, &order), &quick);
        (response.status != 200).then_some(response)
    });
    let detail = refused.assert_refused(503, "serverInternal");
    assert!(detail.contains("too many requests"), "{detail}");
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{refused:?}");
    let _ = quick.read(&quick.account_url()).expect(200);
}

/// What `quick` is told of its account while a request of `slow` waits for the CM. Both requests that are no work are
/// answered meanwhile.
fn beside_a_slow_request(world: &World, (slow, order): (&Client, &Order), quick: &Client) -> Response {
    world.set_fault("getRegistration", &json!({"kind": "delay-before", "millis": 3000}));
    thread::scope(|scope| {
        let in_hand = scope.spawn(|| {
            // What is known of the account is good for a second: soon the CM is asked, and is slow.
            wait_for("a request that waits for the CM", Duration::from_secs(120), || {
                let response = slow.read(&order.url).expect(200);
                (world.faults() == json!([])).then_some(response)
            })
        });
        wait_for("the slow question to the CM", Duration::from_secs(120), || {
            (world.faults() == json!([])).then_some(())
        });
        let told = quick.read(&quick.account_url());
        let site = world.site();
        let _ = site.get(&site.url("open", "directory")).expect(200);
        let _ = site.send("HEAD", &site.url("open", "new-nonce"), &[], None).expect(200);
        assert_eq!(in_hand.join().unwrap().json()["status"], "pending");
        told
    })
}

/// With one thread for all connections: transcripts are read elsewhere, or no two of them were in hand at a time.
#[test]
fn readers_of_transcripts_are_told_to_come_again_and_keep_nobody_else_waiting() {
    const READERS: usize = 4;
    let world = World::start_with(&[("server", "workers = 1")]);
    let client = world.account();
    let names: Vec<_> = (0..100).map(|number| format!("{number}.transcript.example.test")).collect();
    let order = client.order(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let link = client.url(&format!("transcript/{}", order.url.rsplit('/').next().unwrap()));
    let site = world.site();
    let (stop, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut waits: Vec<_> = thread::scope(|scope| {
        for _ in 0..READERS {
            let _reader = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let response = site.get(&link);
                    if response.status == 200 {
                        assert!(response.text().contains("99.transcript.example.test"), "{response:?}");
                        continue;
                    }
                    let detail = response.assert_problem(503, "serverInternal");
                    assert!(detail.contains("too many transcripts"), "{detail}");
                    assert_eq!(response.header("retry-after"), Some("5"), "{response:?}");
                    let _ = refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let started = Instant::now();
        while refused.load(Ordering::Relaxed) == 0 && started.elapsed() < Duration::from_secs(120) {
            thread::yield_now();
        }
        let directory = || {
            let started = Instant::now();
            let _ = site.get(&site.url("open", "directory")).expect(200);
            started.elapsed()
        };
        let waits = (0..9).map(|_| directory()).collect();
        stop.store(true, Ordering::Relaxed);
        waits
    });
    waits.sort();
    let refused = refused.into_inner();
    println!("{READERS} readers, {refused} refusals; the directory came after {waits:?}");
    assert!(refused > 0, "no two were read at a time");
    // Where it takes milliseconds; the machine of a test may be busy.
    assert!(waits[waits.len() / 2] < Duration::from_secs(10), "{waits:?}");
    let _ = site.get(&link).expect(200);
}

#[test]
fn connections_over_the_limit_of_an_address_are_closed_at_once_and_counted() {
    let world = World::start_with(&[("server", "connections_per_address_max = 3")]);
    let site = world.site();
    let mut open: Vec<_> = (0..3).map(|_| connect(site).unwrap()).collect();
    assert!(connect(site).is_none(), "a fourth connection");
    assert!(site.ops("/metrics").text().contains("acme_gateway_connections_refused_total 1\n"));
    for connection in &mut open {
        connection.send(request("GET", "/acme/open/directory", "localhost", &[], None)).unwrap();
        let _ = connection.receive("GET").unwrap().expect(200);
    }
    drop(open);
    let mut connection = wait_for("a place", Duration::from_secs(120), || connect(site));
    connection.send(request("GET", "/acme/open/directory", "localhost", &[], None)).unwrap();
    let _ = connection.receive("GET").unwrap().expect(200);
}

#[test]
fn handshakes_over_the_number_of_a_second_are_refused_and_counted_and_the_next_second_has_its_own() {
    let world = World::start_with(&[("server", "handshakes_per_second_max = 1")]);
    let site = world.site();
    // Readiness was asked for over the other listener: no handshake was counted yet.
    let shaken = thread::scope(|scope| {
        let flood: Vec<_> = (0..40).map(|_| scope.spawn(|| connect(site).is_some())).collect();
        flood.into_iter().map(|one| one.join().unwrap()).filter(|shaken| *shaken).count()
    });
    let metrics = site.ops("/metrics").text();
    let refused = format!("acme_gateway_handshakes_refused_total {}\n", 40 - shaken);
    assert!((1..40).contains(&shaken) && metrics.contains(&refused), "{shaken} of 40\n{metrics}");
    let _ = wait_for("a turn", Duration::from_secs(120), || connect(site));
}

#[test]
fn an_exempt_address_has_as_many_connections_as_it_likes() {
    let world = World::start_with(&[
        ("server", "connections_per_address_max = 3"),
        ("limits", "exempt = ['127.0.0.0/8', '::1/128']"),
    ]);
    let open: Vec<_> = (0..20).map(|_| connect(world.site())).collect();
    assert!(open.iter().all(Option::is_some));
    assert!(world.site().ops("/metrics").text().contains("acme_gateway_connections_refused_total 0\n"));
}

#[test]
fn thousands_of_silent_connections_keep_nobody_waiting() {
    let world = World::start_with(&[("server", "connections_per_address_max = 5000")]);
    let site = world.site();
    let silent: Vec<_> = (0..2000).map(|_| TcpStream::connect(site.gateway).unwrap()).collect();
    let dripping: Vec<_> = (0..100)
        .map(|_| {
            let mut connection = connect(site).unwrap();
            connection.send("GET /acme/open/directory HTTP/1.1\r\nX-Slow: ").unwrap();
            connection
        })
        .collect();
    let start = Instant::now();
    for _ in 0..10 {
        let _ = site.get(&site.url("open", "directory")).expect(200);
    }
    let order = world.account().order(&["busy.example.test"]);
    assert_eq!(order.object["status"], "pending");
    assert!(start.elapsed() < Duration::from_secs(60), "honest clients waited {:?}", start.elapsed());
    drop((silent, dripping));
}

/// A TLS connection, if there is one.
fn connect(site: &Site) -> Option<Connection> {
    let ca_file = site.pki("acme-ca.pem");
    let tls = Tls { ca_file: Some(&ca_file), ..Tls::default() };
    Connection::tls(site.gateway, "localhost", &tls).ok().map(|(connection, _)| connection)
}
