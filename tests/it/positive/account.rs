//! Directory and accounts (RFC 8555 §7.1.1, §7.3).

use serde_json::{Value, json};
use tests::{
    client::strings,
    jws::Binding,
    key::{Key, Kind},
};

use crate::world;

#[test]
fn the_directory_is_one_with_and_without_a_slash_and_names_absolute_urls() {
    let site = world().site();
    let url = site.url("open", "directory");
    let directory = site.get(&url).expect(200);
    assert_eq!(site.get(&format!("{url}/")).expect(200).body, directory.body);
    let directory = directory.json();
    for resource in ["newNonce", "newAccount", "newOrder", "revokeCert", "keyChange"] {
        let url = directory[resource].as_str().unwrap_or_else(|| panic!("no {resource}: {directory}"));
        assert!(url.starts_with(&format!("{}/", site.external_url)) && !url.ends_with('/'), "{resource}: {url}");
    }
}

#[test]
fn an_update_an_empty_update_and_a_reading_are_answered_with_the_account_and_no_location() {
    let mut client = world().client("open");
    let _ = client.register(&json!({"contact": ["mailto:old@example.org"]})).expect(201);
    let url = client.account_url();
    let updated = client.post(&url, &json!({"contact": ["mailto:new@example.org"]})).expect(200);
    assert_eq!(updated.json()["contact"], json!(["mailto:new@example.org"]));
    assert_eq!(updated.json()["status"], "valid");
    for (what, response) in [("{}", client.post(&url, &json!({}))), ("POST-as-GET", client.read(&url))] {
        assert_eq!(response.expect(200).body, updated.body, "{what}");
    }
    for response in [client.post(&url, &json!({})), client.read(&url), updated] {
        assert_eq!(response.header("location"), None, "{response:?}");
    }
}

#[test]
fn bindings_by_every_mac_and_with_more_members_in_the_key_are_taken_and_shown() {
    for algorithm in ["HS256", "HS384", "HS512"] {
        let kid = format!("scenario-{algorithm}-{}", std::process::id());
        let eab = json!({"kid": kid, "use": "once", "algorithms": [algorithm]});
        let account = world().officer().preregister(&json!({"eab": eab}));
        let mut client = world().client_with("registered", Key::generate(Kind::P384));
        let mut jwk = client.key.jwk();
        jwk["alg"] = "ES384".into();
        jwk["use"] = "sig".into();
        jwk["kid"] = "whatever".into();
        let url = client.url("new-account");
        let binding = Binding { algorithm, kid: &account.kid, secret: &account.secret, url: &url, jwk }.sign();
        let created = client.register(&json!({"externalAccountBinding": binding})).expect(201).json();
        assert_eq!(created["externalAccountBinding"], binding, "{algorithm}");
        let _ = client.read(&client.account_url()).expect(200);
    }
}

#[test]
fn authorizations_and_accounts_are_given_up_with_200_and_their_objects() {
    let client = world().account();
    let order = client.order(&["given-up.scenario.test"]);
    let url = strings(&order.object["authorizations"]).remove(0);
    let before = client.read(&url).expect(200).json();
    let given_up = client.post(&url, &json!({"status": "deactivated"})).expect(200).json();
    assert_eq!(given_up["status"], "deactivated");
    assert_eq!((&given_up["identifier"], &given_up["expires"]), (&before["identifier"], &before["expires"]));
    let account = client.read(&client.account_url()).expect(200).json();
    let given_up = client.post(&client.account_url(), &json!({"status": "deactivated"})).expect(200).json();
    let mut expected: Value = account;
    expected["status"] = "deactivated".into();
    assert_eq!(given_up, expected);
}
