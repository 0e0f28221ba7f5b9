//! The gateway's own process in front of OpenBao: clients see no difference.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{
    client::{Client, Order, strings},
    csr::Csr,
    key::Key,
    openbao::{Gateway, OpenBao},
    wait_for,
    world::World,
};

/// A world with an OpenBao, and a gateway in front of it.
fn worlds() -> (World, OpenBao, Gateway) {
    let world = World::start();
    let bao = OpenBao::start(&world.site().dir.join("openbao"), &world.site().pki(""));
    bao.prepare("open", "open", &[]);
    bao.prepare("registered", "preregistered", &[]);
    let gateway = Gateway::start(&world, &bao);
    (world, bao, gateway)
}

fn bound(gateway: &Gateway, bao: &OpenBao, kid: &str) -> Client {
    let secret = bao.preregister("registered", kid, &json!({}));
    let mut client = gateway.client("registered");
    let binding = client.binding(kid, &secret);
    let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
    client
}

#[test]
fn clients_get_renew_and_revoke_certificates_of_openbao() {
    let (_world, bao, gateway) = worlds();
    let client = gateway.account();
    let names = ["www.bao.test", "*.bao.test"];
    let issued = client.issue(&names);
    assert_eq!(bao.serials("open").len(), 1);
    // The throwaway root issued the CA that OpenBao signs with; the gateway checked the chain up to it.
    assert!(issued.pem.matches("BEGIN CERTIFICATE").count() >= 2);
    let again = client.issue(&names);
    assert_eq!(bao.serials("open").len(), 2);
    let _ = client.revoke(&issued.leaf, 4).expect(200);
    let _ = client.revoke(&issued.leaf, 4).assert_refused(400, "alreadyRevoked");
    let listed = bao.root(&["list", "-format=json", "acme/open/pki/certs/revoked"], None);
    assert_eq!(strings(&listed).len(), 1);
    let stranger = gateway.account();
    let _ = stranger.revoke(&again.leaf, Value::Null).assert_refused(403, "unauthorized");
}

#[test]
fn a_suspension_in_openbao_takes_effect_at_once() {
    let (_world, bao, gateway) = worlds();
    let client = bound(&gateway, &bao, "suspend");
    let _issued = client.issue(&["before.bao.test"]);
    let say = |version, status: &str| {
        bao.officer_writes("registered", "hold/reg_suspend", version, &json!({"status": status})).unwrap();
        Instant::now()
    };
    for (version, status, expected) in [(0, "suspended", 403), (1, "active", 201)] {
        let said = say(version, status);
        // Time for a busy machine; what is believed for a minute would come later.
        wait_for(status, Duration::from_secs(40), || {
            let answer = client.new_order(&["after.bao.test"]);
            (answer.status == expected).then_some(())
        });
        println!("{status}: after {:.1} s", said.elapsed().as_secs_f64());
    }
    let secret = bao.preregister("registered", "wrong", &json!({}));
    let mut stranger = gateway.client("registered");
    let binding = stranger.binding("suspend", &secret);
    let refused = stranger.register(&json!({"externalAccountBinding": binding}));
    let _ = refused.assert_refused(403, "unauthorized");
}

#[test]
fn kill_9_of_openbao_while_clients_finalize_leaves_each_order_one_certificate() {
    const ORDERS: usize = 24;
    const ROUNDS: usize = 8;
    let (_world, mut bao, gateway) = worlds();
    let client = gateway.account();
    // On a busy machine everybody may have an answer before the kill; then it is done again.
    let interrupted = (1..=ROUNDS).find(|round| {
        let names: Vec<String> = (0..ORDERS).map(|n| format!("kill{n}.round{round}.bao.test")).collect();
        let orders: Vec<_> = names.iter().map(|name| client.ready_order(&[name])).collect();
        let processing = kill_while_they_finalize(&client, &mut bao, &names, &orders);
        for order in &orders {
            let _valid = client.wait(order, "valid");
        }
        assert_eq!(bao.serials("open").len(), ORDERS * round);
        processing > 0
    });
    assert!(interrupted.is_some(), "it was never killed at a moment that proves something");
}

/// How many of these orders had no certificate yet when OpenBao was killed in the midst of them.
fn kill_while_they_finalize(client: &Client, bao: &mut OpenBao, names: &[String], orders: &[Order]) -> usize {
    let (answered, answers) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let finalize = |(name, order)| {
            let (client, answered): (Client, _) = (client.twin(), answered.clone());
            scope.spawn(move || {
                let name: &String = name;
                let csr = Csr::for_names(&[name]).text(&Key::p256());
                let answer = client.finalize(order, &csr).expect(200).json();
                let _ = answered.send(());
                usize::from(answer["status"] == "processing")
            })
        };
        let threads: Vec<_> = names.iter().zip(orders).map(finalize).collect();
        answers.recv_timeout(Duration::from_secs(120)).expect("an answer");
        bao.kill();
        bao.restart();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}
