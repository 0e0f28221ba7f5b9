//! Orders that rest on what was proven before (RFC 8555 §7.4).

use serde_json::{Value, json};
use tests::{csr::Csr, key::Key};

use crate::world;

#[test]
fn an_order_for_what_was_proven_lately_is_ready_at_once_and_gets_its_certificate() {
    let client = world().account();
    let first = client.ready_order(&["twice.reuse.test", "once.reuse.test"]);
    let second = client.order(&["TWICE.reuse.test"]);
    assert_eq!(second.object["status"], "ready");
    assert_eq!(second.object["authorizations"][0], first.object["authorizations"][0]);
    assert!(second.object["expires"].as_str() <= first.object["expires"].as_str(), "{second:?}");
    let shown = client.read(second.object["authorizations"][0].as_str().unwrap()).expect(200).json();
    assert_eq!(shown["challenges"][0]["status"], "valid", "{shown}");
    let name = "twice.reuse.test";
    let _ = client.finalize(&second, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
    assert!(client.wait(&second, "valid").object["certificate"].is_string());
    assert_eq!(client.reread(&first).object["status"], "ready", "the first order is still open");
}

#[test]
fn what_others_proved_and_what_is_only_like_it_is_proven_anew() {
    let (client, other) = (world().account(), world().account());
    let _ = client.ready_order(&["mine.reuse.test"]);
    assert_eq!(other.order(&["mine.reuse.test"]).object["status"], "pending");
    let like = client.order(&["mine.reuse.test", "*.mine.reuse.test", "x.mine.reuse.test"]);
    assert_eq!(like.object["status"], "pending");
    let statuses: Vec<Value> = tests::client::strings(&like.object["authorizations"])
        .iter()
        .map(|url| client.read(url).expect(200).json()["status"].clone())
        .collect();
    assert_eq!(statuses, ["valid", "pending", "pending"]);
    assert_eq!(client.prove(&like).object["status"], "ready");
}

#[test]
fn giving_up_a_proof_ends_every_order_on_it_that_has_no_certificate() {
    let client = world().account();
    let name = "given-up.reuse.test";
    let issued = client.issue(&[name]);
    let [first, second] = [client.order(&[name]), client.order(&[name, "other.reuse.test"])];
    let proof = first.object["authorizations"][0].as_str().unwrap();
    let _ = client.post(proof, &json!({"status": "deactivated"})).expect(200);
    for order in [&first, &second] {
        let order = client.reread(order).object;
        assert_eq!(order["status"], "invalid");
        assert_eq!(order["error"]["subproblems"][0]["identifier"]["value"], name, "{order}");
    }
    assert_eq!(client.read(&issued.order_url).expect(200).json()["status"], "valid", "what is issued stays");
    assert_eq!(client.order(&[name]).object["status"], "pending");
}
