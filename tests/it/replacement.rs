//! Orders that replace a certificate (RFC 9773 §5).

use std::thread;

use serde_json::{Value, json};
use tests::{
    client::{Client, Order},
    csr::Csr,
    key::Key,
    response::Response,
};

use super::renewal_info::certificate_id;
use crate::world;

fn renewal(client: &Client, names: &[&str], replaces: &str) -> Response {
    let identifiers: Value = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
    client.post(&client.url("new-order"), &json!({"identifiers": identifiers, "replaces": replaces}))
}

fn made(response: Response) -> Order {
    let response = response.expect(201);
    Order { url: response.location(), object: response.json() }
}

/// Gives up what the order rests on, so that it ends.
fn end(client: &Client, order: &Order) {
    for url in tests::client::strings(&order.object["authorizations"]) {
        let _ = client.post(&url, &json!({"status": "deactivated"})).expect(200);
    }
    assert_eq!(client.reread(order).object["status"], "invalid");
}

#[test]
fn a_certificate_is_replaced_by_one_certificate() {
    let client = world().account();
    let name = "once.replaced.test";
    let id = certificate_id(&client.issue(&[name]).leaf);
    let order = made(renewal(&client, &[name], &id));
    assert_eq!(order.object["replaces"], json!(id));
    let key = Key::p256();
    let order = client.prove(&order);
    let _ = client.finalize(&order, &Csr::for_names(&[name]).text(&key)).expect(200);
    let order = client.wait(&order, "valid");
    assert_eq!(order.object["replaces"], json!(id), "it is shown in every state");
    let _ = renewal(&client, &[name], &id).assert_refused(409, "alreadyReplaced");
    let next = certificate_id(&client.download(&order, key).leaf);
    assert_eq!(made(renewal(&client, &[name], &next)).object["replaces"], json!(next), "the next one can be");
}

#[test]
fn an_order_that_ends_lets_the_certificate_go() {
    let client = world().account();
    let name = "let-go.replaced.test";
    let id = certificate_id(&client.issue(&[name]).leaf);
    let first = made(renewal(&client, &[name], &id));
    end(&client, &first);
    let second = made(renewal(&client, &[name], &id));
    assert_ne!(second.url, first.url);
    assert_eq!(client.reread(&first).object["replaces"], json!(id));
}

#[test]
fn a_client_that_asks_again_gets_its_open_order() {
    let client = world().account();
    let names = ["again.replaced.test", "more.replaced.test"];
    let id = certificate_id(&client.issue(&names[..1]).leaf);
    let first = made(renewal(&client, &names, &id));
    let again = made(renewal(&client, &["more.replaced.test", "Again.replaced.test"], &id));
    assert_eq!((again.url, again.object), (first.url, first.object));
    let _ = renewal(&client, &names[..1], &id).assert_refused(409, "alreadyReplaced");
}

#[test]
fn only_an_own_certificate_for_one_of_the_names_is_replaced() {
    let (client, other) = (world().account(), world().account());
    let name = "own.replaced.test";
    let id = certificate_id(&client.issue(&[name]).leaf);
    for bad in ["garbage", "AAAA.AQ==", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"] {
        let detail = renewal(&client, &[name], bad).assert_refused(400, "malformed");
        assert!(detail.contains("leave it out"), "{detail}");
    }
    let _ = renewal(&client, &["disjoint.replaced.test"], &id).assert_refused(400, "malformed");
    let _ = renewal(&other, &[name], &id).assert_refused(403, "unauthorized");
    let number = json!({"identifiers": [{"type": "dns", "value": name}], "replaces": 7});
    let _ = client.post(&client.url("new-order"), &number).assert_refused(400, "malformed");
    assert_eq!(made(renewal(&client, &[name], "")).object.get("replaces"), None, "empty means absent");
    assert!(made(renewal(&client, &[name], &id)).object["replaces"].is_string(), "and it still can be replaced");
}

#[test]
fn of_orders_at_the_same_time_one_replaces_the_certificate() {
    let client = world().account();
    let name = "race.replaced.test";
    let id = certificate_id(&client.issue(&[name]).leaf);
    let answers: Vec<_> = thread::scope(|scope| {
        let ask = |number: usize| {
            let (client, id) = (client.twin(), &id);
            scope.spawn(move || renewal(&client, &[name, &format!("n{number}.replaced.test")], id))
        };
        let asking: Vec<_> = (0..6).map(ask).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 1, "{made:?}");
    for response in refused {
        let _ = response.assert_refused(409, "alreadyReplaced");
    }
}
