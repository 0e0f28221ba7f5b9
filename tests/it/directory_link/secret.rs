//! The secret of a directory link goes to the CM and nowhere else, at the most talkative level of the log.

use std::{fs, path::Path};

use serde_json::json;
use tests::{http::request, world::World};

use super::{another, linked, register, register_with};

/// How a secret could stand in what a program writes: as it is, inside base64 of something longer (at each of the
/// three places that a text can begin at), in hex, or as a list of numbers.
fn forms(secret: &str) -> Vec<String> {
    let inside_base64 = |before: usize| {
        let encoded = tests::base64url(format!("{}{secret}", "x".repeat(before)));
        // Characters at both ends depend on what stands before and after.
        let begin = (before * 8).div_ceil(6);
        encoded[begin..encoded.len() - 2].to_owned()
    };
    let hex: String = secret.bytes().map(|octet| format!("{octet:02x}")).collect();
    let numbers: Vec<String> = secret.bytes().map(|octet| octet.to_string()).collect();
    let mut forms = vec![secret.to_owned(), hex.to_uppercase(), hex, numbers.join(", ")];
    forms.extend((0..3).map(inside_base64));
    forms
}

/// The files below a folder in which one of the forms stands.
fn found_in(folder: &Path, forms: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(found_in(&path, forms));
        } else if let Ok(octets) = fs::read(&path) {
            let is_there = |form: &&String| octets.windows(form.len()).any(|window| window == form.as_bytes());
            found.extend(forms.iter().filter(is_there).map(|form| format!("{} has {form}", path.display())));
        }
    }
    found
}

fn secret_of(url: &str) -> &str {
    url.split("/r/").nth(1).and_then(|rest| rest.split('/').next()).expect("a link has a secret")
}

#[test]
fn the_forms_are_found_where_they_stand() {
    let secret = "FX4DBzTpxeLNRsHBPtsUEmcfFytOfMDdAg-Pq1PALAs";
    for before in ["", "a", "ab", "{\"url\":\"https://localhost/r/"] {
        let encoded = tests::base64url(format!("{before}{secret}/new-account\"}}"));
        assert!(forms(secret).iter().any(|form| encoded.contains(form.as_str())), "{before}");
    }
}

#[test]
fn the_secret_of_a_link_is_never_written_down() {
    let world = World::start_with(&[("log", "level = \"trace,actix_http=trace,hyper=trace,h2=trace\"")]);
    let site = world.site();
    let (id, url) = linked(&world, &["--allow", "suffix:secret.linked.test", "--use", "multi"]);
    let (client, created) = register(&world, &url);
    let _ = created.expect(201);
    let issued = client.issue(&["www.secret.linked.test"]);
    let _ = client.revoke(&issued.leaf, 0).expect(200);
    let secret = secret_of(&url).to_owned();
    let new_account = url.replace("/directory", "/new-account");
    // Everything that can go wrong with it.
    let mut answers = Vec::new();
    answers.push(site.send("DELETE", &url, &[], None));
    answers.push(site.send("OPTIONS", &url, &[("Origin", "https://localhost")], None));
    for odd in ["%72/", "r//", "R/", ""] {
        answers.push(site.get(&site.url("registered", &format!("{odd}{secret}/directory"))));
        answers.push(site.get(&site.url("open", &format!("{odd}{secret}"))));
    }
    answers.push(site.get(&format!("{}/elsewhere/r/{secret}/directory?r={secret}", site.external_url)));
    answers.push(client.send(&new_account, &json!({})));
    answers.push(client.send_octets(&new_account, b"garbage", &[("Content-Type", "text/plain")]));
    let stale = client.self_signed(&new_account, &json!({}), &client.key).with("nonce", "AAAA").sign();
    answers.push(client.send(&new_account, &stale));
    let elsewhere = client.self_signed(&client.url("new-account"), &json!({}), &client.key).sign();
    answers.push(client.send(&new_account, &elsewhere));
    answers.push(client.send(&client.url("new-order"), &client.draft(&new_account, "{}").sign()));
    let contact = json!({"contact": ["tel:+15551234"]});
    answers.push(register_with(&mut world.client("registered"), &url, &contact));
    let mut connection = site.connect();
    connection.send(format!("GET /acme/registered/r/{secret}/directory HTTP/1.1\r\nHost: a b\r\n\r\n")).unwrap();
    answers.push(connection.receive("GET").unwrap());
    let mut connection = site.connect();
    let doubled = [("Content-Length", "1"), ("Content-Length", "2")];
    let path = format!("/acme/registered/r/{secret}/new-account");
    connection.send(request("POST", &path, site.name(), &doubled, None)).unwrap();
    answers.push(connection.receive("POST").unwrap());
    world.set_fault("bindRegistration", &json!({"kind": "html-page"}));
    answers.push(register(&world, &url).1);
    let _ = world.desk("officer").text(&["registrations", "suspend", &id, "--reason", "lost"]);
    answers.push(register(&world, &url).1);
    let _ = world.desk("officer").text(&["registrations", "resume", &id]);
    let second = another(&world, &id, &[]);
    answers.push(register(&world, &url).1);
    let _ = register(&world, &second).1.expect(201);
    for answer in &answers {
        // The directory alone repeats the URL that the client has already.
        if answer.status != 200 {
            assert!(!format!("{answer:?}").contains(&secret), "{answer:?}");
        }
    }
    let metrics = site.ops("/metrics").text();
    assert!(metrics.contains("/acme/{endpoint}/r/{token}/directory"), "its requests are counted by their pattern");
    let auditor = world.desk("auditor");
    let told = [auditor.text(&["audit", "--json"]), auditor.text(&["registrations", "show", &id, "--json"]), metrics];
    let log = fs::read_to_string(site.log("gateway")).unwrap();
    assert!(log.contains("/acme/registered/r/(link)/new-account"), "requests are in the log, without it");
    assert!(log.contains("TRACE"), "the log is as talkative as can be");
    for secret in [&secret, secret_of(&second)] {
        let forms = forms(secret);
        for text in &told {
            assert!(!forms.iter().any(|form| text.contains(form.as_str())), "{text}");
        }
        assert_eq!(found_in(&site.dir, &forms), Vec::<String>::new());
    }
}
