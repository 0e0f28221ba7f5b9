//! Power failures: whatever moment the gateway dies at, an order is finished once or not at all, and losing the whole
//! store loses nothing but orders in flight.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tests::{
    base64url,
    client::{Client, JOSE, Order},
    csr::Csr,
    http::{Connection, request},
    key::Key,
    wait_for,
};

use crate::fragile_world;

/// Sends finalize and does not wait for the answer.
fn send_finalize(client: &Client, order: &Order, csr: &str) -> Connection {
    let url = order.object["finalize"].as_str().unwrap();
    let jws = client.draft(url, json!({"csr": csr}).to_string()).sign().to_string();
    let path = url.strip_prefix(&client.site().external_url).unwrap();
    let mut connection = client.site().connect();
    connection.send(request("POST", path, "localhost", &[("Content-Type", JOSE)], Some(jws.as_bytes()))).unwrap();
    connection
}

#[test]
fn a_gateway_killed_between_finalize_and_the_answer_of_the_cm_finishes_the_order_once() {
    let mut world = fragile_world();
    let client = world.account();
    let name = "killed.example.test";
    let order = client.ready_order(&[name]);
    world.set_fault("requestCertificate", &json!({"kind": "delay-after-commit", "millis": 4000}));
    let key = Key::p256();
    let csr = Csr::for_names(&[name]).text(&key);
    let mut connection = send_finalize(&client, &order, &csr);
    wait_for("the CM to issue", Duration::from_secs(120), || (world.certificates_of(&order.url) == 1).then_some(()));
    world.kill_gateway();
    assert!(connection.receive("POST").is_err(), "finalize was answered before the gateway was killed");
    world.restart_gateway();
    let done = client.restarted().wait(&order, "valid");
    assert_eq!(world.certificates_of(&order.url), 1);
    let issued = client.restarted().download(&done, key);
    assert!(tests::client::public_key(&issued.leaf).public_eq(issued.key.pkey()));
}

#[test]
fn a_gateway_killed_while_the_cm_revokes_goes_on_with_it() {
    let mut world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["killed-revoking.example.test"]);
    let before = world.books()["revoked"].as_u64().unwrap();
    // The CM drops what it was asked before the gateway is killed.
    world.set_faults("revokeCertificate", 50, &json!({"kind": "reset-before"}));
    let url = client.url("revoke-cert");
    let jws = client.draft(&url, tests::client::revocation(&issued.leaf, 4).to_string()).sign().to_string();
    let path = url.strip_prefix(&client.site().external_url).unwrap();
    let mut connection = client.site().connect();
    connection.send(request("POST", path, "localhost", &[("Content-Type", JOSE)], Some(jws.as_bytes()))).unwrap();
    wait_for("the CM to be asked", Duration::from_secs(120), || {
        (world.faults()[0]["count"].as_u64().unwrap() < 50).then_some(())
    });
    world.kill_gateway();
    assert!(connection.receive("POST").is_err(), "revokeCert was answered before the gateway was killed");
    world.clear_faults();
    world.restart_gateway();
    wait_for("the revocation", Duration::from_secs(90), || {
        (world.books()["revoked"].as_u64() == Some(before + 1)).then_some(())
    });
    let _ = client.restarted().revoke(&issued.leaf, Value::Null).assert_refused(400, "alreadyRevoked");
}

/// Moments are counted in requests that the gateway answers meanwhile: more of them, later.
#[test]
fn at_whatever_moment_of_finalize_the_gateway_is_killed_the_order_gets_one_certificate() {
    let mut world = fragile_world();
    let name = "moment.example.test";
    let account = world.account();
    for moment in [0, 1, 2, 3, 5, 8, 12] {
        // The nonces of a gateway die with it.
        let client = account.restarted();
        let order = client.ready_order(&[name]);
        let key = Key::p256();
        let csr = Csr::for_names(&[name]).text(&key);
        let _connection = send_finalize(&client, &order, &csr);
        for _ in 0..moment {
            let _ = client.site().ops("/healthz");
        }
        world.kill_gateway();
        world.restart_gateway();
        let client = account.restarted();
        // What was not written down is not done; then the client simply asks again.
        if client.reread(&order).object["status"] == "ready" {
            let _ = client.finalize(&order, &csr).expect(200);
        }
        let issued = client.download(&client.wait(&order, "valid"), key);
        assert!(tests::client::public_key(&issued.leaf).public_eq(issued.key.pkey()), "moment {moment}");
        assert_eq!(world.certificates_of(&order.url), 1, "moment {moment}");
    }
}

#[test]
fn a_gateway_killed_while_it_validates_goes_on_where_it_was() {
    let mut world = fragile_world();
    let client = world.account();
    let order = client.order(&["validating.example.test"]);
    let authorization = client.read(order.object["authorizations"][0].as_str().unwrap()).json();
    let offered = client.provide(&authorization, "http-01");
    let path = format!("/.well-known/acme-challenge/{}", offered["token"].as_str().unwrap());
    let site = client.site();
    site.control("/set-http01-behaviour", &json!({"path": path, "behaviour": {"kind": "silence"}}));
    let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
    wait_for("the request of the validator", Duration::from_secs(120), || {
        let seen = site.control("/http-request-history", &json!({}));
        seen.as_array().unwrap().iter().any(|request| request["target"] == path.as_str()).then_some(())
    });
    world.kill_gateway();
    site.control("/clear-http01-behaviour", &json!({"path": path}));
    world.restart_gateway();
    let _ = client.restarted().wait(&order, "ready");
}

#[test]
fn a_client_that_hangs_up_during_finalize_finds_its_certificate_later() {
    let world = fragile_world();
    let client = world.account();
    let name = "hung-up.example.test";
    let order = client.ready_order(&[name]);
    world.set_fault("requestCertificate", &json!({"kind": "delay-before", "millis": 500}));
    let connection = send_finalize(&client, &order, &Csr::for_names(&[name]).text(&Key::p256()));
    wait_for("the request to reach the CM", Duration::from_secs(120), || (world.faults() == json!([])).then_some(()));
    drop(connection);
    let _ = client.wait(&order, "valid");
    assert_eq!(world.certificates_of(&order.url), 1);
}

#[test]
fn without_its_store_the_gateway_still_knows_accounts_and_certificates() {
    let mut world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["lost-store.example.test"]);
    let lost = client.order(&["in-flight.example.test"]);
    world.kill_gateway();
    world.delete_store();
    world.restart_gateway();

    let client = client.restarted();
    assert_eq!(client.read(&issued.url).expect(200).text(), issued.pem, "the certificate is at its old URL");
    let _ = client.read(&lost.url).assert_refused(404, "malformed");
    let mut again = world.client_with("open", client.key.clone());
    assert_eq!(again.register(&json!({"onlyReturnExisting": true})).expect(200).location(), client.account_url());
    let renewed = client.issue(&["lost-store.example.test"]);
    assert_ne!(renewed.pem, issued.pem);
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
}

#[test]
fn a_registered_account_survives_the_loss_of_the_store() {
    let mut world = fragile_world();
    let allowed = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "kept.test"}]});
    let (client, _) = world.registered_account(&allowed);
    world.kill_gateway();
    world.delete_store();
    world.restart_gateway();
    let client = client.restarted();
    let _ = client.issue(&["www.kept.test"]);
    let _ = client.new_order(&["www.other.test"]).assert_refused(403, "rejectedIdentifier");
}

#[test]
fn a_gateway_that_is_asked_to_end_does_so_and_keeps_its_orders() {
    let mut world = fragile_world();
    let client = world.account();
    let order = client.ready_order(&["graceful.example.test"]);
    assert_eq!(world.stop_gateway(), Some(0));
    world.restart_gateway();
    let client = client.restarted();
    let key = Key::p256();
    let _ = client.finalize(&order, &Csr::for_names(&["graceful.example.test"]).text(&key)).expect(200);
    let _ = client.wait(&order, "valid");
}

#[test]
fn a_request_that_is_being_worked_on_is_answered_before_the_gateway_ends() {
    let mut world = fragile_world();
    let client = world.account();
    let name = "leaving.example.test";
    let order = client.ready_order(&[name]);
    world.set_fault("requestCertificate", &json!({"kind": "delay-before", "millis": 1500}));
    let csr = Csr::for_names(&[name]).text(&Key::p256());
    let mut connection = send_finalize(&client, &order, &csr);
    wait_for("the request to reach the CM", Duration::from_secs(120), || (world.faults() == json!([])).then_some(()));
    assert_eq!(world.stop_gateway(), Some(0));
    let response = connection.receive("POST").unwrap().expect(200);
    assert!(matches!(response.member("status").as_str(), "processing" | "valid"), "{response:?}");
    world.restart_gateway();
    let _ = client.restarted().wait(&order, "valid");
    assert_eq!(world.certificates_of(&order.url), 1);
}

#[test]
fn without_its_seal_key_the_gateway_forgets_certificate_urls_and_orders_and_nothing_else() {
    let mut world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["sealed.example.test"]);
    let order = client.ready_order(&["sealed-too.example.test"]);
    world.kill_gateway();
    let (key, kept) = (world.site().dir.join("gateway/seal.key"), world.site().dir.join("gateway/kept.key"));
    fs::rename(&key, &kept).unwrap();
    world.restart_gateway();
    let metrics = world.site().ops("/metrics").expect(200).text();
    assert!(metrics.lines().any(|line| line == "acme_gateway_store_quarantined 1"), "{metrics}");
    let client = client.restarted();
    let _ = client.read(&issued.url).assert_refused(404, "malformed");
    let _ = client.read(&order.url).assert_refused(404, "malformed");
    let _ = client.issue(&["sealed.example.test"]);
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);

    // The operator finds the key again, and puts both back.
    assert_eq!(world.stop_gateway(), Some(0));
    let store = world.site().dir.join("gateway/store");
    let aside: Vec<_> = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path()).collect();
    let aside = aside.iter().find(|path| path.to_string_lossy().contains("sled.damaged-")).expect("it was moved aside");
    fs::remove_dir_all(store.join("sled")).unwrap();
    fs::rename(aside, store.join("sled")).unwrap();
    fs::rename(&kept, &key).unwrap();
    world.restart_gateway();
    let client = client.restarted();
    assert_eq!(client.read(&issued.url).expect(200).text(), issued.pem);
    let key = Key::p256();
    let _ = client.finalize(&order, &Csr::for_names(&["sealed-too.example.test"]).text(&key)).expect(200);
    let _ = client.wait(&order, "valid");
}

#[test]
fn nothing_that_a_client_has_sent_is_to_be_seen_in_the_store() {
    let mut world = fragile_world();
    let client = world.account();
    let name = "canary-in-the-store.example.test";
    world.set_faults("requestCertificate", 50, &json!({"kind": "reset-before"}));
    let order = client.ready_order(&[name]);
    let csr = Csr::for_names(&[name]).text(&Key::p256());
    assert_eq!(client.finalize(&order, &csr).expect(200).member("status"), "processing");
    world.kill_gateway();
    let files = files(&world.site().dir.join("gateway/store"));
    let contain = |text: &[u8]| files.iter().any(|octets| octets.windows(text.len()).any(|window| window == text));
    assert!(contain(b"issue") || contain(b"due/"), "the search finds what is there");
    // The proof lies in the octets for the CM, which would be in base64url, wherever in a group of three it begins.
    let proof =
        |before: usize| base64url([vec![b' '; before], b"\"protected\":\"eyJ".to_vec()].concat())[4..20].to_owned();
    for canary in [name.to_owned(), csr[..40].to_owned(), proof(0), proof(1), proof(2)] {
        assert!(!contain(canary.as_bytes()), "{canary}");
    }
    world.clear_faults();
    world.restart_gateway();
    let _ = client.restarted().wait(&order, "valid");
}

/// What is in all files below a folder.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match (path.is_dir(), path.is_file()) {
        (true, _) => files(&path),
        (false, true) => vec![fs::read(path).unwrap()],
        // The socket for operators.
        (false, false) => Vec::new(),
    };
    entries.flat_map(read).collect()
}

#[test]
fn a_damaged_store_is_moved_aside_and_the_service_goes_on() {
    let mut world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["damaged.example.test"]);
    world.kill_gateway();
    let store = world.site().dir.join("gateway/store");
    damage(&store.join("sled"));
    world.restart_gateway();
    let metrics = world.site().ops("/metrics").expect(200).text();
    assert!(metrics.lines().any(|line| line == "acme_gateway_store_quarantined 1"), "{metrics}");
    let aside = fs::read_dir(&store).unwrap().filter_map(Result::ok);
    let aside: Vec<_> =
        aside.filter(|entry| entry.file_name().to_string_lossy().starts_with("sled.damaged-")).collect();
    assert_eq!(aside.len(), 1);
    let client = client.restarted();
    assert_eq!(client.read(&issued.url).expect(200).text(), issued.pem);
    let _ = client.issue(&["damaged.example.test"]);
    // The next start finds a good store.
    world.kill_gateway();
    aside.iter().for_each(|entry| fs::remove_dir_all(entry.path()).unwrap());
    world.restart_gateway();
}

/// Overwrites every file with nonsense of the same length.
fn damage(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().filter_map(Result::ok) {
        if entry.path().is_dir() {
            damage(&entry.path());
        } else {
            let length = usize::try_from(entry.metadata().unwrap().len()).unwrap();
            fs::write(entry.path(), vec![0xa5; length]).unwrap();
        }
    }
}
