//! Accounts (RFC 8555 §7.1.2, §7.3).

use std::thread;

use openssl::rsa::Rsa;
use serde_json::{Value, json};
use tests::{
    client::Client,
    key::{Key, Kind},
    response::Response,
    snapshot::assert_snapshot,
    weak_key,
};

use crate::world;

fn new_account(client: &Client, payload: &Value) -> Response {
    let url = client.url("new-account");
    client.send(&url, &client.self_signed(&url, payload, &client.key).sign())
}

#[test]
fn a_new_account_is_created() {
    let mut client = world().client("open");
    let response = client.register(&json!({"contact": ["mailto:admin@example.org"], "termsOfServiceAgreed": true}));
    assert_snapshot("account_created", &response.to_snapshot());
}

#[test]
fn newaccount_by_a_known_key_finds_the_account_as_it_is() {
    let mut client = world().client("open");
    let created = client.register(&json!({"contact": ["mailto:one@example.org"]})).expect(201);
    let stale = json!({"protected": "e30", "payload": "e30", "signature": "AA"});
    for payload in [
        json!({"contact": ["mailto:two@example.org"]}),
        json!({"onlyReturnExisting": true}),
        json!({"externalAccountBinding": stale}),
        json!({"contact": ["tel:+1"]}),
    ] {
        let found = new_account(&client, &payload).expect(200);
        assert_eq!((found.location(), found.body), (created.location(), created.body.clone()), "{payload}");
    }
}

#[test]
fn an_account_without_contacts_has_no_contact_member() {
    let mut client = world().client("open");
    let account = client.register(&json!({})).expect(201).json();
    assert!(account.get("contact").is_none(), "{account}");
}

#[test]
fn onlyreturnexisting_never_creates_an_account() {
    let client = world().client("open");
    let _ = new_account(&client, &json!({"onlyReturnExisting": true})).assert_refused(400, "accountDoesNotExist");
    let _ = new_account(&client, &json!({"onlyReturnExisting": true})).assert_refused(400, "accountDoesNotExist");
    let _ = new_account(&client, &json!({})).expect(201);
}

#[test]
fn contacts_are_mail_addresses() {
    let client = world().client("open");
    for (contact, kind) in [
        ("tel:+15551234", "unsupportedContact"),
        ("mailto:a@b.org,c@d.org", "invalidContact"),
        ("mailto:a@b.org?subject=x", "invalidContact"),
        ("mailto:", "invalidContact"),
        ("mailto:not-an-address", "invalidContact"),
        ("admin@example.org", "invalidContact"),
        ("", "invalidContact"),
    ] {
        let _ =
            new_account(&client, &json!({"contact": ["mailto:good@example.org", contact]})).assert_refused(400, kind);
    }
    let eleven = vec!["mailto:a@example.org"; 11];
    let _ = new_account(&client, &json!({"contact": eleven})).assert_refused(400, "malformed");
    let _ = new_account(&client, &json!({"onlyReturnExisting": true})).assert_refused(400, "accountDoesNotExist");
}

#[test]
fn members_of_the_wrong_type_are_malformed() {
    let client = world().client("open");
    for payload in [
        json!({"contact": "mailto:a@example.org"}),
        json!({"contact": [7]}),
        json!({"termsOfServiceAgreed": "true"}),
        json!({"onlyReturnExisting": 1}),
    ] {
        let _ = new_account(&client, &payload).assert_refused(400, "malformed");
    }
    let url = client.url("new-account");
    let _ = client.send(&url, &client.draft(&url, "").sign()).assert_refused(400, "malformed");
}

#[test]
fn unknown_members_are_ignored_and_never_shown() {
    let client = world().client("open");
    let payload = json!({"status": "revoked", "orders": "x", "resource": "new-reg", "createdAt": 1});
    let account = new_account(&client, &payload).expect(201).json();
    assert_eq!(account["status"], "valid");
    let mut members: Vec<_> = account.as_object().unwrap().keys().cloned().collect();
    members.sort();
    assert_eq!(members, ["orders", "status"]);
}

#[test]
fn terms_of_service_must_be_agreed_to_where_there_are_some() {
    let client = world().client("terms");
    assert_snapshot("account_terms_not_agreed", &new_account(&client, &json!({})).to_snapshot());
    let _ = new_account(&client, &json!({"termsOfServiceAgreed": false})).assert_refused(403, "userActionRequired");
    let created = new_account(&client, &json!({"termsOfServiceAgreed": true})).expect(201);
    assert_eq!(created.json()["termsOfServiceAgreed"], true);
    assert_eq!(created.link("terms-of-service"), Some("https://localhost/terms/v1"));
    let found = new_account(&client, &json!({})).expect(200);
    assert_eq!(found.location(), created.location());
}

#[test]
fn every_algorithm_makes_accounts_that_can_order() {
    for kind in [Kind::P256, Kind::P384, Kind::P521, Kind::Ed25519, Kind::Rsa(2048), Kind::Rsa(4096)] {
        let mut client = world().client_with("open", Key::generate(kind));
        let _ = client.register(&json!({})).expect(201);
        let _ = client.order(&["algorithms.example.test"]);
    }
}

#[test]
fn weak_account_keys_are_refused() {
    let weak = [
        ("RSA keys must have 2048", Rsa::generate(1024).unwrap()),
        ("the RSA exponent must be odd", weak_key::small_exponent()),
        ("ROCA", weak_key::roca()),
        ("too close together", weak_key::close_primes()),
    ];
    for (what, key) in weak {
        let client = world().client_with("open", Key::from_rsa(key));
        let detail = new_account(&client, &json!({})).assert_refused(400, "badPublicKey");
        assert!(detail.contains("RSA") && detail.contains(what), "{what}: {detail}");
    }
}

#[test]
fn jwks_that_are_no_public_keys_are_refused() {
    let client = world().client("open");
    let url = client.url("new-account");
    let changed = |member: &str, value: &str| {
        let mut jwk = client.key.jwk();
        jwk[member] = value.into();
        client.self_signed(&url, &json!({}), &client.key).with("jwk", jwk).sign()
    };
    let x = client.key.jwk()["x"].as_str().unwrap().to_owned();
    for (member, value) in
        [("y", x.as_str()), ("d", x.as_str()), ("kty", "oct"), ("crv", "P-384"), ("crv", "secp256k1"), ("x", "AA")]
    {
        let _ = client.send(&url, &changed(member, value)).assert_refused(400, "badPublicKey");
    }
    let _ = client.send(&url, &changed("alg", "ES384")).assert_refused(400, "malformed");
    let _ = client.send(&url, &changed("alg", "ES256")).expect(201);
}

#[test]
fn two_newaccounts_at_once_make_one_account() {
    let client = world().client("open");
    let send = || {
        let twin = client.twin();
        thread::spawn(move || new_account(&twin, &json!({})))
    };
    let racers = [send(), send(), send()];
    let responses = racers.map(|racer| racer.join().unwrap());
    let mut statuses = responses.each_ref().map(|response| response.status);
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 201], "{responses:?}");
    assert!(responses.iter().all(|response| response.location() == responses[0].location()));
}

#[test]
fn an_account_is_read_by_post_as_get_without_a_location() {
    let mut client = world().client("open");
    let created = client.register(&json!({"contact": ["mailto:admin@example.org"]})).expect(201);
    let read = client.read(&created.location()).expect(200);
    assert_eq!(read.body, created.body);
    assert_eq!(read.header("location"), None);
}

#[test]
fn contacts_are_replaced_as_a_whole() {
    let client = world().account();
    let url = client.account_url();
    let update = |contacts: Value| client.post(&url, &json!({"contact": contacts}));
    let updated = update(json!(["mailto:a@example.org", "mailto:b@example.org"])).expect(200);
    assert_eq!(updated.json()["contact"], json!(["mailto:a@example.org", "mailto:b@example.org"]));
    assert_eq!(updated.header("location"), None);
    let _ = update(json!(["tel:+1"])).assert_refused(400, "unsupportedContact");
    assert_eq!(client.read(&url).json()["contact"], json!(["mailto:a@example.org", "mailto:b@example.org"]));
    assert!(update(json!([])).expect(200).json().get("contact").is_none());
    assert!(client.read(&url).json().get("contact").is_none());
}

#[test]
fn an_update_without_changes_is_answered_with_the_account() {
    let client = world().account();
    let url = client.account_url();
    let account = client.read(&url).expect(200).body;
    for payload in [json!({}), json!({"status": "valid"}), json!({"termsOfServiceAgreed": true, "orders": "x"})] {
        assert_eq!(client.post(&url, &payload).expect(200).body, account, "{payload}");
    }
    let _ = client.post(&url, &json!({"status": "revoked"})).assert_refused(400, "malformed");
}

#[test]
fn an_account_of_another_key_is_neither_shown_nor_changed() {
    let (client, other) = (world().account(), world().account());
    let url = other.account_url();
    let _ = client.read(&url).assert_refused(403, "unauthorized");
    let _ = client.post(&url, &json!({"status": "deactivated"})).assert_refused(403, "unauthorized");
    let _ = client.read(&format!("{url}/orders")).assert_refused(403, "unauthorized");
    assert_eq!(other.read(&url).expect(200).json()["status"], "valid");
}

#[test]
fn a_deactivated_account_signs_nothing_any_more() {
    let client = world().account();
    let order = client.order(&["deactivated.example.test"]);
    let url = client.account_url();
    let response = client.post(&url, &json!({"status": "deactivated"})).expect(200);
    assert_snapshot("account_deactivated", &response.to_snapshot());
    let _ = client.read(&url).assert_refused(401, "unauthorized");
    let _ = client.read(&order.url).assert_refused(401, "unauthorized");
    let _ = client.new_order(&["deactivated.example.test"]).assert_refused(401, "unauthorized");
    let _ = client.post(&url, &json!({"status": "valid"})).assert_refused(401, "unauthorized");
    let _ = new_account(&client, &json!({})).assert_refused(401, "unauthorized");
    let _ = new_account(&client, &json!({"onlyReturnExisting": true})).assert_refused(401, "unauthorized");
}

#[test]
fn the_orders_of_an_account_are_listed() {
    let client = world().account();
    let url = format!("{}/orders", client.account_url());
    assert_eq!(client.read(&url).expect(200).json(), json!({"orders": []}));
    let mut made: Vec<_> = (0..3).map(|_| client.order(&["list.example.test"]).url).collect();
    let mut listed = tests::client::strings(&client.read(&url).expect(200).json()["orders"]);
    made.sort();
    listed.sort();
    assert_eq!(listed, made);
    let _ = client.post(&url, &json!({})).assert_refused(400, "malformed");
}

#[test]
fn a_long_list_of_orders_comes_in_pages_that_are_complete() {
    let client = world().account();
    let mut made: Vec<_> = (0..105).map(|_| client.order(&["pages.example.test"]).url).collect();
    let mut listed = Vec::new();
    let mut next = Some(format!("{}/orders", client.account_url()));
    let mut pages = 0;
    while let Some(url) = next {
        let page = client.read(&url).expect(200);
        listed.extend(tests::client::strings(&page.json()["orders"]));
        next = page.link("next").map(str::to_owned);
        pages += 1;
    }
    made.sort();
    listed.sort();
    assert_eq!((listed, pages), (made, 3));
}

#[test]
fn a_cursor_of_no_list_is_malformed() {
    let client = world().account();
    for query in ["cursor=%21", "cursor=a&cursor=b", "cursor=&cursor=", "cursor=%ff"] {
        let response = client.read(&format!("{}/orders?{query}", client.account_url()));
        response.assert_refused_below(&client.url("directory"), 400, "malformed");
    }
}

#[test]
fn an_account_of_one_directory_is_unknown_at_another() {
    let client = world().account();
    let url = client.site().url("registered", "new-order");
    let _ = client.send(&url, &client.draft(&url, "{}").sign()).assert_refused(400, "malformed");
}

#[test]
fn where_anyone_may_create_accounts_a_binding_is_neither_needed_nor_claimed() {
    let client = world().client("open");
    let binding = client.binding("kid-of-nobody", &[7; 32]);
    let account = new_account(&client, &json!({"externalAccountBinding": binding})).expect(201).json();
    assert!(account.get("externalAccountBinding").is_none(), "{account}");
    for malformed in [json!({}), json!("e30.e30.AA"), json!(7)] {
        let client = world().client("open");
        let account = new_account(&client, &json!({"externalAccountBinding": malformed})).expect(201).json();
        assert!(account.get("externalAccountBinding").is_none(), "{account}");
    }
}
