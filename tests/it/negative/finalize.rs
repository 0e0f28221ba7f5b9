//! CSRs that get no certificate, and orders that get none yet or any more (RFC 8555 §7.4; RFC 2986).

use openssl::rsa::Rsa;
use serde_json::{Value, json};
use tests::{
    base64url,
    client::{Client, Order, strings},
    csr::Csr,
    key::{Key, Kind},
    response::Response,
    weak_key,
};

use super::{Row, prove, trial::Trial};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-135", "A pending order is not finalized", 403, "orderNotReady", |trial| {
        let client = trial.account();
        let order = client.order(&["pending.finalize.test"]);
        trial.watch(&client);
        let _ = trial.refuse("a good CSR", || client.finalize(&order, &csr(&["pending.finalize.test"])));
    }),
    Row::refused("N-136", "An order is finalized once", 403, "orderNotReady", |trial| {
        let client = trial.account();
        let name = "once.finalize.test";
        let order = client.ready_order(&[name]);
        let first = csr(&[name]);
        let _ = client.finalize(&order, &first).expect(200);
        let order = client.wait(&order, "valid");
        trial.watch_also(&client, &[&order.url]);
        assert_eq!(client.finalize(&order, &first).expect(200).json(), order.object, "the same CSR again");
        let _ = trial.refuse("a valid order, another CSR", || client.finalize(&order, &csr(&[name])));
        assert_eq!(trial.world().certificates_of(&order.url), 1);
        let (client, order) = processing(trial);
        trial.watch_also(&client, &[&order.url]);
        let _ = trial
            .refuse("a processing order, another CSR", || client.finalize(&order, &csr(&["person.finalize.test"])));
        let client = trial.world().account();
        let order = client.order(&[name]);
        let authorization = strings(&order.object["authorizations"]).remove(0);
        let _ = client.post(&authorization, &json!({"status": "deactivated"})).expect(200);
        trial.watch_also(&client, &[&order.url, &authorization]);
        let _ = trial.refuse("an invalid order", || client.finalize(&order, &csr(&[name])));
    })
    .because(
        "a client that lost the answer repeats its request: the very CSR that an order was finalized with is answered \
        with the order, and nothing is done again",
    ),
    Row::refused("N-137", "An order of another account is not finalized", 403, "unauthorized", |trial| {
        let other = trial.world().account();
        let order = other.ready_order(&["theirs.finalize.test"]);
        let client = trial.account();
        trial.watch(&other);
        let _ = trial.refuse("a good CSR", || client.finalize(&order, &csr(&["theirs.finalize.test"])));
        let unknown = format!("{}/AAAAAAAAAAAAAAAAAAAAAA/finalize", client.url("order"));
        trial.refuse_as("no order", 404, "malformed", || client.post(&unknown, &json!({"csr": "AAAA"})));
    }),
    Row::refused("N-138", "A CSR is base64url of DER", 400, "malformed", |trial| {
        let (client, order) = ready(trial, &["shape.finalize.test"]);
        let good = csr(&["shape.finalize.test"]);
        let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{good}\n-----END CERTIFICATE REQUEST-----\n");
        let send = |payload: Value| client.post(order.object["finalize"].as_str().unwrap(), &payload);
        let _ = trial.refuse("no member", || send(json!({})));
        let _ = trial.refuse("null", || send(json!({"csr": null})));
        let _ = trial.refuse("a number", || send(json!({"csr": 7})));
        let _ = trial.refuse("PEM", || send(json!({"csr": pem})));
        let _ = trial.refuse("padding", || send(json!({"csr": format!("{good}=")})));
        let _ = trial.refuse("white space", || send(json!({"csr": format!("{good}\n")})));
        let _ = trial.refuse("plain base64", || send(json!({"csr": format!("+/{good}")})));
        let _ = trial.refuse("POST-as-GET", || client.read(order.object["finalize"].as_str().unwrap()));
        succeed(&client, &order, &["shape.finalize.test"]);
    }),
    Row::refused("N-139", "DER that is no CSR is none", 400, "badCSR", |trial| {
        let (client, order) = ready(trial, &["der.finalize.test"]);
        let mut trailing = Csr::for_names(&["der.finalize.test"]).der(&Key::p256());
        trailing.push(0);
        let mut short = trailing.clone();
        short.truncate(short.len() - 2);
        for (what, der) in [
            ("an empty sequence", vec![0x30, 0x00]),
            ("nothing", Vec::new()),
            ("random octets", (0..=255).rev().collect()),
            ("an octet too many", trailing),
            ("an octet too few", short),
        ] {
            let _ = trial.refuse(what, || client.finalize(&order, &base64url(der)));
        }
        succeed(&client, &order, &["der.finalize.test"]);
    }),
    Row::refused("N-140", "A CSR that its key did not sign is refused, and a good one taken", 400, "badCSR", |trial| {
        let name = "signature.finalize.test";
        let (client, order) = ready(trial, &[name]);
        let mut der = Csr::for_names(&[name]).der(&Key::p256());
        // Into the signature, which is the last thing in it.
        let at = der.len() - 4;
        der[at] ^= 1;
        let _ = trial.refuse("one bit of the signature", || client.finalize(&order, &base64url(&der)));
        let mut der = Csr::for_names(&[name]).der(&Key::p256());
        let at = der.windows(9).position(|window| window == b"signature").unwrap();
        der[at] = b't';
        let _ = trial.refuse("one bit of the name", || client.finalize(&order, &base64url(&der)));
        succeed(&client, &order, &[name]);
    }),
    Row::refused("N-141", "A CSR is for the names of its order and no others", 400, "badCSR", |trial| {
        let names = ["a.names.finalize.test", "b.names.finalize.test"];
        let [a, b] = names;
        let (client, order) = ready(trial, &names);
        for (what, csr) in [
            ("a name too few", Csr::for_names(&[a])),
            ("a name too many", Csr::for_names(&[a, b, "c.names.finalize.test"])),
            ("another name", Csr::for_names(&[a, "c.names.finalize.test"])),
            ("a wildcard too many", Csr::for_names(&[a, b, "*.b.names.finalize.test"])),
            ("another common name", Csr { common_name: Some("c.names.finalize.test"), ..Csr::for_names(&names) }),
            ("an address too many", Csr { ip: &["127.0.0.1"], ..Csr::for_names(&names) }),
            ("a common name alone", Csr { common_name: Some(a), ..Csr::default() }),
            ("no name", Csr::default()),
        ] {
            let _ = trial.refuse(what, || client.finalize(&order, &csr.text(&Key::p256())));
        }
        succeed(&client, &order, &names);
    }),
    Row::refused("N-142", "Weak keys are not certified", 400, "badCSR", |trial| {
        let name = "weak.finalize.test";
        let (client, order) = ready(trial, &[name]);
        for (what, key) in [
            ("RSA of 1024 bits", Key::from_rsa(Rsa::generate(1024).unwrap())),
            ("RSA with the exponent 3", Key::from_rsa(weak_key::small_exponent())),
            ("RSA of a library that is known for it", Key::from_rsa(weak_key::roca())),
            ("RSA of close primes", Key::from_rsa(weak_key::close_primes())),
            ("a curve that the profile does not have", Key::generate(Kind::P521)),
            ("Ed25519", Key::generate(Kind::Ed25519)),
        ] {
            let _ = trial.refuse(what, || client.finalize(&order, &Csr::for_names(&[name]).text(&key)));
        }
        let _ = trial.refuse("RSA with the exponent 1", || {
            client.finalize(&order, &base64url(weak_key::csr_with_exponent_one(name)))
        });
        succeed(&client, &order, &[name]);
    })
    .because(
        "keys of the generator that Debian shipped until 2008 are not told from others: there is no list of them here, \
        and nothing in such a key shows what it is",
    ),
    Row::refused("N-143", "The account's key is not certified", 400, "badCSR", |trial| {
        let name = "account-key.finalize.test";
        let (client, order) = ready(trial, &[name]);
        let _ = trial.refuse("its own", || client.finalize(&order, &Csr::for_names(&[name]).text(&client.key)));
        succeed(&client, &order, &[name]);
    }),
    Row::refused("N-144", "A CSR is not signed with SHA-1", 400, "badCSR", |trial| {
        let name = "sha1.finalize.test";
        let (client, order) = ready(trial, &[name]);
        for (what, key) in [("ECDSA", Key::p256()), ("RSA", Key::generate(Kind::Rsa(2048)))] {
            let csr = Csr { sha1: true, ..Csr::for_names(&[name]) }.text(&key);
            let _ = trial.refuse(what, || client.finalize(&order, &csr));
        }
        succeed(&client, &order, &[name]);
    }),
    Row::refused("N-145", "Nobody becomes a certificate authority", 400, "badCSR", |trial| {
        let name = "ca.finalize.test";
        let (client, order) = ready(trial, &[name]);
        let csr = Csr { ca: true, ..Csr::for_names(&[name]) }.text(&Key::p256());
        let _ = trial.refuse("CA:TRUE", || client.finalize(&order, &csr));
        let csr = Csr { strange_extension: true, ..Csr::for_names(&[name]) }.text(&Key::p256());
        let _ = trial.refuse("an extension that nobody knows", || client.finalize(&order, &csr));
        succeed(&client, &order, &[name]);
    }),
    Row::refused("N-146", "Mail addresses, URIs and other names are not certified", 400, "badCSR", |trial| {
        let name = "other.finalize.test";
        let (client, order) = ready(trial, &[name]);
        for (what, csr) in [
            ("a mail address", Csr { email: &["a@other.finalize.test"], ..Csr::for_names(&[name]) }),
            ("a URI", Csr { uri: &["https://other.finalize.test/"], ..Csr::for_names(&[name]) }),
            ("another kind of name", Csr { other_name: true, ..Csr::for_names(&[name]) }),
        ] {
            let _ = trial.refuse(what, || client.finalize(&order, &csr.text(&Key::p256())));
        }
        succeed(&client, &order, &[name]);
    }),
    Row::refused("N-147", "An address is not certified as a name", 400, "badCSR", |trial| {
        let client = trial.account();
        let payload = json!({"identifiers": [{"type": "ip", "value": "127.0.0.1"}]});
        let response = client.post(&client.url("new-order"), &payload).expect(201);
        let order = client.prove(&Order { url: response.location(), object: response.json() });
        trial.watch(&client);
        for (what, csr) in [
            ("dNSName", Csr::for_names(&["127.0.0.1"])),
            ("both", Csr { ip: &["127.0.0.1"], ..Csr::for_names(&["127.0.0.1"]) }),
            ("the common name", Csr { common_name: Some("127.0.0.1"), ..Csr::default() }),
            ("another address", Csr { ip: &["127.0.0.2"], ..Csr::default() }),
        ] {
            let _ = trial.refuse(what, || client.finalize(&order, &csr.text(&Key::p256())));
        }
        let csr = Csr { ip: &["127.0.0.1"], ..Csr::default() }.text(&Key::p256());
        let _ = client.finalize(&order, &csr).expect(200);
    }),
    Row::refused("N-149", "What was given up after it was proven is not certified", 403, "orderNotReady", |trial| {
        let client = trial.world().account();
        let names = ["kept.finalize.test", "given-up.finalize.test"];
        let order = client.ready_order(&names);
        let authorization = strings(&order.object["authorizations"]).remove(1);
        let _ = client.post(&authorization, &json!({"status": "deactivated"})).expect(200);
        assert_eq!(client.reread(&order).object["status"], "invalid");
        trial.watch_also(&client, &[&order.url]);
        let _ = trial.refuse("one of two", || client.finalize(&order, &csr(&names)));
        assert_eq!(trial.world().certificates_of(&order.url), 0);
    }),
];

#[test]
fn what_cannot_be_certified_is_refused() {
    prove(ROWS);
}

/// A CSR that nothing is wrong with, for a new key.
fn csr(names: &[&str]) -> String {
    Csr::for_names(names).text(&Key::p256())
}

/// An order that can be finalized, of a watched account.
fn ready(trial: &mut Trial, names: &[&str]) -> (Client, Order) {
    let client = trial.account();
    let order = client.ready_order(names);
    trial.watch(&client);
    (client, order)
}

/// After all refusals a good CSR gets the certificate: the order was ready all the time.
fn succeed(client: &Client, order: &Order, names: &[&str]) {
    let finalized: Response = client.finalize(order, &csr(names)).expect(200);
    assert!(matches!(finalized.member("status").as_str(), "processing" | "valid"), "{finalized:?}");
    let _ = client.wait(order, "valid");
}

/// An order that waits for a person at the CM.
fn processing(trial: &Trial) -> (Client, Order) {
    let members = json!({"allowedProfiles": ["tls-server", "tls-server-approval"]});
    let (client, _) = trial.world().registered_account_with(&members);
    let name = "person.finalize.test";
    let payload = json!({"identifiers": [{"type": "dns", "value": name}], "profile": "tls-server-approval"});
    let response = client.post(&client.url("new-order"), &payload).expect(201);
    let order = client.prove(&Order { url: response.location(), object: response.json() });
    let finalized = client.finalize(&order, &csr(&[name])).expect(200);
    assert_eq!(finalized.member("status"), "processing");
    (client, order)
}
