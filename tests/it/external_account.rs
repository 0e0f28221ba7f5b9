//! External account binding (RFC 8555 §7.3.4), at an endpoint for registered clients.

use serde_json::{Value, json};
use tests::{
    client::Client,
    jws::Binding,
    key::{Key, Kind},
    officer::Preregistration,
    response::Response,
    snapshot::assert_snapshot,
};

use crate::world;

fn preregistered() -> (Client, Preregistration) {
    (world().client("registered"), world().officer().preregister(&json!({})))
}

fn bind(client: &Client, binding: &Value) -> Response {
    let url = client.url("new-account");
    client.send(&url, &client.self_signed(&url, &json!({"externalAccountBinding": binding}), &client.key).sign())
}

/// A binding that can be made wrong.
fn with_binding<T>(client: &Client, account: &Preregistration, make: impl FnOnce(Binding<'_>) -> T) -> T {
    let url = client.url("new-account");
    let jwk = client.key.jwk();
    make(Binding { algorithm: "HS256", kid: &account.kid, secret: &account.secret, url: &url, jwk })
}

#[test]
fn a_binding_makes_an_account_and_is_shown_in_it() {
    let (mut client, account) = preregistered();
    let binding = client.binding(&account.kid, &account.secret);
    let created = client.register(&json!({"externalAccountBinding": binding})).expect(201);
    assert_eq!(created.json()["externalAccountBinding"], binding);
    assert!(created.location().ends_with(&account.id), "the account is the face of the registration");
    assert_eq!(client.read(&created.location()).expect(200).json()["status"], "valid");
}

#[test]
fn a_key_for_many_accounts_is_shown_in_each_of_them() {
    let kid = format!("many-{}", std::process::id());
    let eab = json!({"kid": kid, "use": "multi", "maxBindings": 5});
    let account = world().officer().preregister(&json!({"eab": eab}));
    let bound = [(); 2].map(|()| {
        let mut client = world().client("registered");
        let binding = client.binding(&account.kid, &account.secret);
        let created = client.register(&json!({"externalAccountBinding": binding})).expect(201);
        assert_eq!(created.json()["externalAccountBinding"], binding);
        created.location()
    });
    assert_ne!(bound[0], bound[1]);
}

#[test]
fn without_a_binding_there_is_no_account() {
    let mut client = world().client("registered");
    assert_snapshot("external_account_required", &client.register(&json!({})).to_snapshot());
}

#[test]
fn an_unknown_key_id_and_a_wrong_secret_cannot_be_told_apart() {
    let (client, account) = preregistered();
    let unknown = bind(&client, &client.binding("kid-unknown", &account.secret));
    let wrong = bind(&client, &client.binding(&account.kid, &[7; 32]));
    let _ = unknown.assert_refused(403, "unauthorized");
    assert_eq!(unknown.body, wrong.body);
    let _ = bind(&client, &client.binding(&account.kid, &account.secret)).expect(201);
}

#[test]
fn operators_see_whose_key_did_not_bind_and_never_its_secret() {
    let (client, account) = preregistered();
    let _ = bind(&client, &client.binding(&account.kid, &[7; 32])).assert_refused(403, "unauthorized");
    let log = std::fs::read_to_string(world().site().log("gateway")).unwrap();
    let line = log.lines().find(|line| line.contains(&account.kid)).expect("a line names the key");
    assert!(line.contains("binding") && line.contains("registered"), "{line}");
    assert!(!log.contains(&tests::base64url(&account.secret)), "the secret is in the log");
}

#[test]
fn a_single_use_key_is_used_once_and_only_by_success() {
    let (client, account) = preregistered();
    let _ = bind(&client, &client.binding(&account.kid, &[7; 32])).assert_refused(403, "unauthorized");
    let _ = bind(&client, &client.binding(&account.kid, &account.secret)).expect(201);
    let other = world().client("registered");
    let detail = bind(&other, &other.binding(&account.kid, &account.secret)).assert_refused(403, "unauthorized");
    assert!(detail.contains("used"), "{detail}");
}

#[test]
fn a_client_that_repeats_its_binding_finds_its_account() {
    let (client, account) = preregistered();
    let binding = client.binding(&account.kid, &account.secret);
    let created = bind(&client, &binding).expect(201);
    assert_eq!(bind(&client, &binding).expect(200).location(), created.location());
    let stale = client.binding("kid-stale", &[1; 32]);
    assert_eq!(bind(&client, &stale).expect(200).location(), created.location());
}

#[test]
fn bindings_of_the_wrong_shape_are_malformed() {
    let (client, account) = preregistered();
    let shapes: [fn(Binding<'_>) -> Value; 9] = [
        |_| json!("e30.e30.AA"),
        |binding| binding.sign_with(&json!({"alg": "RS256", "kid": binding.kid, "url": binding.url})),
        |binding| binding.sign_with(&json!({"alg": "none", "kid": binding.kid, "url": binding.url})),
        |binding| binding.sign_with(&json!({"alg": "HS256", "kid": binding.kid, "url": binding.url, "nonce": "AAAA"})),
        |binding| binding.sign_with(&json!({"alg": "HS256", "url": binding.url})),
        |binding| binding.sign_with(&json!({"alg": "HS256", "kid": binding.kid})),
        |binding| Binding { url: "https://localhost/acme/registered/new-account", ..binding.clone() }.sign(),
        |binding| {
            let mut jws = binding.sign();
            jws["header"] = json!({});
            jws
        },
        |binding| {
            let mut jws = binding.sign();
            jws["payload"] = json!("");
            jws
        },
    ];
    for make in shapes {
        let binding = with_binding(&client, &account, make);
        let _ = bind(&client, &binding).assert_refused(400, "malformed");
    }
    let _ = bind(&client, &client.binding(&account.kid, &account.secret)).expect(201);
}

#[test]
fn a_binding_of_another_key_is_refused() {
    let (client, account) = preregistered();
    let binding = with_binding(&client, &account, |binding| Binding { jwk: Key::p256().jwk(), ..binding }.sign());
    let _ = bind(&client, &binding).assert_refused(400, "badPublicKey");
}

#[test]
fn keys_are_compared_by_what_they_are_and_not_by_how_they_are_written() {
    let (client, account) = preregistered();
    let binding = with_binding(&client, &account, |binding| {
        let mut jwk = binding.jwk.clone();
        jwk["use"] = "sig".into();
        jwk["alg"] = "ES256".into();
        Binding { jwk, ..binding }.sign()
    });
    let _ = bind(&client, &binding).expect(201);
}

#[test]
fn longer_macs_are_taken_where_the_registration_allows_them() {
    for algorithm in ["HS384", "HS512"] {
        let client = world().client_with("registered", Key::generate(Kind::Rsa(2048)));
        let eab =
            json!({"kid": format!("kid-{algorithm}-{}", std::process::id()), "use": "once", "algorithms": [algorithm]});
        let account = world().officer().preregister(&json!({"eab": eab}));
        let binding = with_binding(&client, &account, |binding| Binding { algorithm, ..binding }.sign());
        let account = bind(&client, &binding).expect(201).json();
        assert_eq!(account["externalAccountBinding"], binding);
    }
}

#[test]
fn onlyreturnexisting_needs_no_binding() {
    let mut client = world().client("registered");
    let _ = client.register(&json!({"onlyReturnExisting": true})).assert_refused(400, "accountDoesNotExist");
    for endpoint in ["registered", "open"] {
        let mut client = world().client(endpoint);
        for binding in [json!({}), json!("e30.e30.AA"), json!(7), client.binding("kid-of-nobody", &[7; 32])] {
            let payload = json!({"onlyReturnExisting": true, "externalAccountBinding": binding});
            let _ = client.register(&payload).assert_refused(400, "accountDoesNotExist");
        }
    }
}

#[test]
fn of_two_keys_that_use_a_single_use_key_at_once_one_gets_the_account() {
    let account = world().officer().preregister(&json!({}));
    let race = || {
        let client = world().client("registered");
        let binding = client.binding(&account.kid, &account.secret);
        std::thread::spawn(move || bind(&client, &binding).status)
    };
    let racers = [race(), race(), race()];
    let mut statuses = racers.map(|racer| racer.join().unwrap());
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403, 403]);
}
