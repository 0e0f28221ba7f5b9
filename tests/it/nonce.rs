//! newNonce and anti-replay nonces (RFC 8555 §6.5, §7.2).

use std::{collections::BTreeSet, fs, path::Path, thread};

use serde_json::json;
use tests::{base64url, from_base64url, http::request, snapshot::assert_snapshot};

use crate::{fragile_world, world};

#[test]
fn head_is_answered_with_200_and_a_nonce() {
    let site = world().site();
    let response = site.send("HEAD", &site.url("open", "new-nonce"), &[], None);
    assert_snapshot("nonce_head", &response.to_snapshot());
}

#[test]
fn get_is_answered_with_204_and_a_nonce() {
    let site = world().site();
    assert_snapshot("nonce_get", &site.get(&site.url("open", "new-nonce")).to_snapshot());
}

#[test]
fn a_signed_request_is_answered_like_a_get() {
    let client = world().account();
    assert_eq!(client.read(&client.url("new-nonce")).expect(204).all("replay-nonce").count(), 1);
}

#[test]
fn nonces_differ_and_are_base64url_of_at_least_128_bits() {
    let site = world().site();
    let nonces: BTreeSet<_> = (0..50)
        .map(|_| {
            site.send("HEAD", &site.url("open", "new-nonce"), &[], None).header("replay-nonce").unwrap().to_owned()
        })
        .collect();
    assert_eq!(nonces.len(), 50);
    assert!(nonces.iter().all(|nonce| nonce.len() <= 128 && from_base64url(nonce).len() >= 16), "{nonces:?}");
}

#[test]
fn a_nonce_is_good_once() {
    let client = world().account();
    let url = client.account_url();
    let jws = client.draft(&url, "").sign();
    let _ = client.send(&url, &jws).expect(200);
    let detail = client.send(&url, &jws).assert_refused(400, "badNonce");
    assert!(detail.contains("JWS has an invalid anti-replay nonce"), "a shell client looks for these words: {detail}");
}

#[test]
fn after_a_bad_nonce_the_one_in_the_answer_is_good() {
    let client = world().account();
    let url = client.account_url();
    for nonce in [base64url([7; 40]), String::new()] {
        let bad = client.draft(&url, "").with("nonce", nonce);
        let _ = client.send(&url, &bad.sign()).assert_refused(400, "badNonce");
        let _ = client.read(&url).expect(200);
    }
    let without = client.draft(&url, "").without("nonce");
    let _ = client.send(&url, &without.sign()).assert_refused(400, "badNonce");
    let _ = client.read(&url).expect(200);
}

#[test]
fn a_nonce_spent_on_a_forged_request_is_spent() {
    let client = world().account();
    let url = client.account_url();
    let draft = client.draft(&url, "");
    let mut forged = draft.sign();
    forged["signature"] = json!(base64url([1; 64]));
    let _ = client.send(&url, &forged).assert_refused(400, "malformed");
    let _ = client.send(&url, &draft.sign()).assert_refused(400, "badNonce");
}

#[test]
fn a_nonce_is_spent_whatever_its_request_is_refused_for() {
    let client = world().account();
    let url = client.account_url();
    let refused = [
        ("badSignatureAlgorithm", client.draft(&url, "").with("alg", "HS256")),
        ("malformed", client.draft(&url, "").with("jwk", json!({}))),
        ("malformed", client.draft(&url, "").with("crit", json!(["b64"]))),
        ("malformed", client.draft(&url, "").without("kid")),
        ("malformed", client.draft(&client.url("new-account"), "{}")),
    ];
    for (kind, draft) in refused {
        let jws = draft.sign();
        let header: serde_json::Value =
            serde_json::from_slice(&from_base64url(jws["protected"].as_str().unwrap())).unwrap();
        let _ = client.send(header["url"].as_str().unwrap(), &jws).assert_refused(400, kind);
        let again = client.draft(&url, "").with("nonce", header["nonce"].clone());
        let _ = client.send(&url, &again.sign()).assert_refused(400, "badNonce");
    }
    let jws = client.draft(&url, "").sign();
    let _ = client.send_octets(&url, jws.to_string().as_bytes(), &[]).assert_refused(415, "malformed");
    let _ = client.send(&url, &jws).assert_refused(400, "badNonce");
}

#[test]
fn a_forged_request_is_refused_for_its_nonce_and_costs_the_cm_nothing() {
    let mut world = fragile_world();
    let client = world.account();
    // A gateway that was just started remembers no account.
    world.kill_gateway();
    world.restart_gateway();
    let client = client.twin();
    let url = client.url("new-order");
    let payload = r#"{"identifiers":[{"type":"dns","value":"forged.example.test"}]}"#;
    let (count, ()) = world.counting("getRegistration", || {
        let mut changed = from_base64url(&client.nonce());
        changed[0] ^= 1;
        for never_issued in [base64url([7; 40]), base64url([0; 16]), base64url(changed)] {
            let mut forged = client.draft(&url, payload).with("nonce", never_issued).sign();
            forged["signature"] = json!(base64url([1; 64]));
            let _ = client.send(&url, &forged).assert_refused(400, "badNonce");
        }
    });
    assert_eq!(count, 0, "the CM was asked for the account of a forged request");
    let (count, _) = world.counting("getRegistration", || client.read(&client.account_url()).expect(200));
    assert_eq!(count, 1, "an honest request is looked up, so they are counted");
}

#[test]
fn a_flood_of_nonces_costs_neither_the_cm_nor_the_disk() {
    const NONCES: usize = 2000;
    /// As many as one connection may ask for.
    const EACH: usize = 100;
    let world = fragile_world();
    let site = world.site();
    let store = site.dir.join("gateway/store");
    let head = request("HEAD", "/acme/open/new-nonce", "localhost", &[], None);
    let before = octets_in(&store);
    assert!(before > 0, "the store is elsewhere");
    let (asked, ()) = world.counting("*", || {
        for _ in 0..NONCES / EACH {
            let mut connection = site.connect();
            for _ in 0..EACH {
                connection.send(&head).unwrap();
                let _ = connection.receive("HEAD").unwrap().expect(200);
            }
        }
    });
    // What the gateway does in the meantime by itself is far less than one write or question a nonce.
    let written = octets_in(&store).saturating_sub(before);
    assert!(asked < 50 && written < 32 * 1024, "{asked} questions, {written} octets for {NONCES} nonces");
}

/// Octets of all files of a folder.
fn octets_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => octets_in(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}

#[test]
fn nonces_survive_a_restart_once_and_no_crash() {
    let mut world = fragile_world();
    let client = world.account();
    let url = client.account_url();
    let draft = || client.draft(&url, "");
    let (spent, kept, other) = (draft(), draft(), draft());
    let _ = client.send(&url, &spent.sign()).expect(200);

    assert_eq!(world.stop_gateway(), Some(0));
    world.restart_gateway();
    let client = client.twin();
    let _ = client.send(&url, &spent.sign()).assert_refused(400, "badNonce");
    let _ = client.send(&url, &kept.sign()).expect(200);
    let _ = client.send(&url, &kept.sign()).assert_refused(400, "badNonce");

    world.kill_gateway();
    world.restart_gateway();
    let _ = client.twin().send(&url, &other.sign()).assert_refused(400, "badNonce");
}

#[test]
fn of_two_requests_at_once_with_one_nonce_exactly_one_is_done() {
    let client = world().account();
    let url = client.account_url();
    let jws = client.draft(&url, "").sign();
    let send = || {
        let (twin, url, jws) = (client.twin(), url.clone(), jws.clone());
        thread::spawn(move || twin.send(&url, &jws).status)
    };
    let racers = [send(), send(), send(), send()];
    let mut statuses = racers.map(|racer| racer.join().unwrap());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 400, 400]);
}

#[test]
fn a_nonce_of_one_directory_is_good_at_another() {
    let client = world().account();
    let site = client.site();
    let nonce = site.get(&site.url("registered", "new-nonce")).header("replay-nonce").unwrap().to_owned();
    let url = client.account_url();
    let _ = client.send(&url, &client.draft(&url, "").with("nonce", nonce).sign()).expect(200);
}

#[test]
fn an_unsigned_post_is_refused() {
    let client = world().client("open");
    let _ = client.send_octets(&client.url("new-nonce"), b"", &[]).assert_refused(415, "malformed");
}
