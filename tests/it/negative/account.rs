//! Accounts that cannot be made, read or changed (RFC 8555 §7.1.2, §7.3).

use serde_json::{Value, json};
use tests::{client::Client, response::Response};

use super::{Row, prove, trial::Trial};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-059", "An account that is only looked for is not made", 400, "accountDoesNotExist", |trial| {
        let client = trial.stranger("open");
        let _ = trial.refuse("a new key", || new_account(&client, &json!({"onlyReturnExisting": true})));
    }),
    Row::refused("N-060", "Where there are terms, they are agreed to", 403, "userActionRequired", |trial| {
        let client = trial.stranger("terms");
        for (what, payload) in [("no word of it", json!({})), ("no", json!({"termsOfServiceAgreed": false}))] {
            let response = trial.refuse(what, || new_account(&client, &payload));
            assert!(response.link("terms-of-service").is_some(), "{response:?}");
            assert_eq!(response.json()["instance"].as_str(), response.link("terms-of-service"));
        }
    }),
    Row::refused("N-061", "Agreement is true or false, not text", 400, "malformed", |trial| {
        let client = trial.stranger("terms");
        for agreed in [json!("true"), json!(1), json!({})] {
            let _ =
                trial.refuse(&agreed.to_string(), || new_account(&client, &json!({"termsOfServiceAgreed": agreed})));
        }
    }),
    Row::refused("N-062", "Contacts are mail addresses, not telephones", 400, "unsupportedContact", |trial| {
        contacts(trial, &["tel:+15551234", "https://example.org/"]);
    }),
    Row::refused("N-063", "A contact is one address", 400, "invalidContact", |trial| {
        contacts(trial, &["mailto:a@b.org,c@d.org"]);
    }),
    Row::refused("N-064", "A contact is an address and no header fields", 400, "invalidContact", |trial| {
        contacts(trial, &["mailto:a@b.org?subject=x"]);
    }),
    Row::refused("N-065", "A contact is an address", 400, "invalidContact", |trial| {
        contacts(trial, &["mailto:", "mailto:not-an-address", "mailto:@b.org", "mailto:a@", "admin@example.org", ""]);
    }),
    Row::refused("N-066", "Contacts are a list of texts", 400, "malformed", |trial| {
        let client = trial.stranger("open");
        for contact in [json!("mailto:a@example.org"), json!({}), json!([7]), json!([["mailto:a@example.org"]])] {
            let _ = trial.refuse(&contact.to_string(), || new_account(&client, &json!({"contact": contact})));
        }
    }),
    Row::refused("N-067", "An account is not made by an empty payload", 400, "malformed", |trial| {
        let client = trial.stranger("open");
        let url = client.url("new-account");
        let _ = trial.refuse("POST-as-GET", || client.send(&url, &client.draft(&url, "").sign()));
    }),
    Row::refused("N-077", "An account of another key is neither read nor changed", 403, "unauthorized", |trial| {
        let client = trial.account();
        let other = trial.account();
        let url = other.account_url();
        let _ = trial.refuse("reading", || client.read(&url));
        let _ = trial.refuse("contacts", || client.post(&url, &json!({"contact": ["mailto:mine@example.org"]})));
        let _ = trial.refuse("deactivation", || client.post(&url, &json!({"status": "deactivated"})));
    }),
    Row::refused("N-078", "A bad contact leaves the old ones", 400, "invalidContact", |trial| {
        let mut client = trial.world().client("open");
        let _ = client.register(&json!({"contact": ["mailto:old@example.org"]})).expect(201);
        trial.watch(&client);
        let url = client.account_url();
        for contacts in [json!(["mailto:"]), json!(["mailto:new@example.org", "mailto:a@b.org?cc=c@d.org"])] {
            let _ = trial.refuse(&contacts.to_string(), || client.post(&url, &json!({"contact": contacts})));
        }
        assert_eq!(client.read(&url).json()["contact"], json!(["mailto:old@example.org"]));
    }),
    Row::refused("N-079", "A deactivated account signs nothing any more", 401, "unauthorized", |trial| {
        let client = trial.world().account();
        let issued = client.issue(&["deactivated.account.test"]);
        let order = client.order(&["left.account.test"]);
        let authorization = order.object["authorizations"][0].as_str().unwrap();
        let _ = client.post(&client.account_url(), &json!({"status": "deactivated"})).expect(200);
        trial.watch_also(&client, &[&order.url, authorization, &issued.url]);
        let account = client.account_url();
        for (what, url) in [
            ("account", &account),
            ("orders", &format!("{account}/orders")),
            ("order", &order.url),
            ("authorization", &authorization.to_owned()),
            ("certificate", &issued.url),
            ("directory", &client.url("directory")),
            ("newNonce", &client.url("new-nonce")),
        ] {
            let _ = trial.refuse(what, || client.read(url));
        }
        let _ = trial.refuse("activation", || client.post(&account, &json!({"status": "valid"})));
        let _ = trial.refuse("newOrder", || client.new_order(&["new.account.test"]));
        let _ = trial.refuse("revokeCert", || client.revoke(&issued.leaf, Value::Null));
    }),
    Row::refused("N-080", "The key of a deactivated account gets no other account", 401, "unauthorized", |trial| {
        let client = trial.world().account();
        let _ = client.post(&client.account_url(), &json!({"status": "deactivated"})).expect(200);
        trial.watch(&client);
        let _ = trial.refuse("newAccount", || new_account(&client, &json!({})));
        let _ = trial.refuse("onlyReturnExisting", || new_account(&client, &json!({"onlyReturnExisting": true})));
    }),
    Row::refused("N-163", "Of orders, accounts list their own, from a place in the list", 400, "malformed", |trial| {
        let client = trial.account();
        let other = trial.account();
        let _ = other.order(&["theirs.orders.test"]);
        trial.watch(&other);
        let theirs = format!("{}/orders", other.account_url());
        trial.refuse_as("another account's list", 403, "unauthorized", || client.read(&theirs));
        for cursor in ["!", "%21", "nowhere", "", "a&cursor=b"] {
            let url = format!("{}/orders?cursor={cursor}", client.account_url());
            let _ = trial.refuse(&format!("cursor={cursor}"), || client.read(&url));
        }
    }),
];

#[test]
fn accounts_that_cannot_be_are_refused() {
    prove(ROWS);
}

fn new_account(client: &Client, payload: &Value) -> Response {
    let url = client.url("new-account");
    client.send(&url, &client.self_signed(&url, payload, &client.key).sign())
}

/// newAccount with a good contact and each of these.
fn contacts(trial: &mut Trial, bad: &[&str]) {
    let client = trial.stranger("open");
    for contact in bad {
        let payload = json!({"contact": ["mailto:good@example.org", contact]});
        let _ = trial.refuse(&format!("{contact:?}"), || new_account(&client, &payload));
    }
}
