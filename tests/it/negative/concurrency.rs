//! Two requests at once of which one must win (RFC 8555 §6.5, §7.3.1, §7.4).

use std::thread;

use serde_json::json;
use tests::{csr::Csr, key::Key, response::Response};

use super::{Row, prove};

pub(super) const ROWS: &[Row] = &[
    Row::told("N-057", "Of two requests at once with one nonce one is done", |trial| {
        let client = trial.account();
        let url = client.url("new-order");
        let payload = json!({"identifiers": [{"type": "dns", "value": "nonce.concurrency.test"}]});
        let jws = client.draft(&url, payload.to_string()).sign();
        let responses = both(|| client.twin().send(&url, &jws));
        let [done, refused] = by_status(responses);
        assert_eq!((done.status, refused.status), (201, 400), "{done:?}\n{refused:?}");
        let _ = refused.assert_refused(400, "badNonce");
        trial.show("the one", &done);
        trial.show("the other", &refused);
        let list = client.read(&format!("{}/orders", client.account_url())).expect(200).json();
        assert_eq!(list["orders"], json!([done.location()]));
    }),
    Row::told("N-148", "Of two finalizes at once one gets the certificate", |trial| {
        let client = trial.account();
        let name = "finalize.concurrency.test";
        let order = client.ready_order(&[name]);
        let responses = both(|| client.twin().finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())));
        let [done, mut refused] = by_status(responses);
        assert_eq!((done.status, refused.status), (200, 403), "{done:?}\n{refused:?}");
        let _ = refused.assert_refused(403, "orderNotReady");
        // How far the winner has come by then is a matter of milliseconds.
        refused.body = refused.text().replace("the order is valid", "the order is processing").into_bytes();
        trial.show("the other", &refused);
        let _ = client.wait(&order, "valid");
        assert_eq!(trial.world().certificates_of(&order.url), 1, "the CM is asked once");
    }),
    Row::told("N-162", "Of two newAccounts at once with one key one makes the account", |trial| {
        let client = trial.world().client("open");
        let url = client.url("new-account");
        let responses = both(|| {
            let twin = client.twin();
            let payload = json!({"contact": ["mailto:admin@example.org"]});
            twin.send(&url, &twin.self_signed(&url, &payload, &twin.key).sign())
        });
        let [found, made] = by_status(responses);
        assert_eq!((found.status, made.status), (200, 201), "{found:?}\n{made:?}");
        assert_eq!((found.location(), &found.body), (made.location(), &made.body));
        trial.show("the one", &made);
        trial.show("the other", &found);
    }),
];

#[test]
fn of_two_requests_at_once_one_wins() {
    prove(ROWS);
}

/// What two requests at once are answered.
fn both(send: impl Fn() -> Response + Sync) -> [Response; 2] {
    thread::scope(|scope| [scope.spawn(&send), scope.spawn(&send)].map(|racer| racer.join().unwrap()))
}

fn by_status(mut responses: [Response; 2]) -> [Response; 2] {
    responses.sort_by_key(|response| response.status);
    responses
}
