//! Why an order came out as it did: the link in a problem for its client, `acme-gateway order show` for operators.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tests::{
    client::{Client, challenge, strings},
    csr::Csr,
    key::Key,
    response::Response,
    wait_for,
    world::World,
};

use crate::fragile_world;

const JSON: (&str, &str) = ("Accept", "application/json");

/// The id at the end of a URL.
fn id(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// What a client reads at the link in a problem.
fn told(client: &Client, problem: &Value) -> Value {
    let instance = problem["instance"].as_str().unwrap_or_else(|| panic!("no instance in {problem}"));
    assert!(instance.starts_with(&client.url("transcript/")), "{instance}");
    client.site().send("GET", instance, &[JSON], None).expect(200).json()
}

/// What its steps say, one below the other.
fn steps(told: &Value) -> String {
    told["steps"].as_array().unwrap().iter().map(|step| format!("{step}\n")).collect()
}

/// What an operator reads.
fn shown(world: &World, reference: &str) -> Value {
    let json = world.command(&["order", "show", reference, "--json"]).unwrap();
    serde_json::from_str(&json).unwrap()
}

#[track_caller]
fn assert_contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}

/// The gateway's log as soon as it tells of the last look at the proof of this authorization.
fn log_with_the_end_of(world: &World, authorization_url: &str) -> String {
    let ended = [" audit: ", "validation.ended", id(authorization_url)];
    wait_for("the end of the validation in the log", Duration::from_secs(120), || {
        let log = fs::read_to_string(world.site().log("gateway")).unwrap();
        let has_it = log.lines().any(|line| ended.iter().all(|word| line.contains(word)));
        has_it.then_some(log)
    })
}

#[track_caller]
fn assert_lacks(text: &str, secrets: &[String]) {
    for secret in secrets {
        assert!(!secret.is_empty() && !text.contains(secret.as_str()), "{secret} is in\n{text}");
    }
}

#[test]
fn an_order_that_was_issued_after_an_outage_tells_its_whole_way() {
    let mut world = fragile_world();
    let mut client = world.client("open");
    let _ = client.register(&json!({"contact": ["mailto:canary@example.org"]})).expect(201);
    let name = "story.example.test";
    let order = client.order(&[name]);
    let authorization_url = strings(&order.object["authorizations"]).remove(0);
    let authorization = client.read(&authorization_url).expect(200).json();
    let offered = challenge(&authorization, "http-01");
    let token = offered["token"].as_str().unwrap().to_owned();
    // The first look at the proof finds nothing.
    let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
    wait_for("a look in vain", Duration::from_secs(120), || {
        let text = world.command(&["order", "show", id(&order.url)]).unwrap();
        text.contains("validation.attempted").then_some(())
    });
    let _ = client.provide(&authorization, "http-01");
    let order = client.wait(&order, "ready");
    world.set_faults("*", 1000, &json!({"kind": "unavailable"}));
    let csr = Csr::for_names(&[name]).text(&Key::p256());
    assert_eq!(client.finalize(&order, &csr).expect(200).member("status"), "processing");
    let waits = wait_for("an attempt that was put off", Duration::from_secs(120), || {
        let text = world.command(&["order", "show", &order.url]).unwrap();
        text.contains("issuance.put-off").then_some(text)
    });
    assert_contains(&waits, &["processing", "next attempt at ", "certificate-requests", "503 ", "(", " ms)"]);
    world.clear_faults();
    let _ = client.wait(&order, "valid");
    let all = wait_for("the delivery", Duration::from_secs(120), || {
        let text = world.command(&["order", "show", &order.url]).unwrap();
        text.contains("delivery.reported").then_some(text)
    });
    for step in [
        "order.judged",
        "story.example.test: allowed by any",
        "order.created",
        "challenge.answered",
        "validation.attempted",
        "http-01, attempt 1: ",
        "asked 127.0.0.1:",
        "GET http://story.example.test/.well-known/acme-challenge/",
        "validation.ended",
        "finalize.accepted",
        "csr.names",
        "cm.asked",
        "issuance.put-off",
        "the CM has not decided",
        "certificate.checked",
        "passed every check",
        "certificate.issued",
    ] {
        assert_contains(&all, &[step]);
    }

    // For whoever wants to see what it looks like: --nocapture.
    println!("{all}");

    // A crash loses nothing of it.
    world.kill_gateway();
    world.restart_gateway();
    let whole = world.command(&["order", "show", id(&order.url), "--json"]).unwrap();
    let again = world.command(&["order", "show", id(&order.url)]).unwrap();
    assert_eq!(again, all);

    let link = client.url(&format!("transcript/{}", id(&order.url)));
    let json = client.site().send("GET", &link, &[JSON], None).expect(200).json();
    assert_eq!((&json["status"], &json["identifiers"]), (&json!("valid"), &json!([name])));
    assert_contains(&steps(&json), &["may be ordered", "Look 1 at the proof by http-01", "passed all checks"]);
    let page = client.site().get(&link).expect(200);
    println!("{json:#}\n{}", page.text());

    // Secrets are nowhere; addresses, the CM and its ids are for operators.
    let thumbprint = client.key.thumbprint();
    let signed = ["protected", "signature", "payload"].map(|member| format!("\"{member}\""));
    let secrets = [[token, thumbprint, csr, "canary@".to_owned()].as_slice(), &signed].concat();
    let log = log_with_the_end_of(&world, &authorization_url);
    assert_contains(&log, &["validation will be tried again", "/.well-known/acme-challenge/(token): "]);
    for text in [&whole, &all, &json.to_string(), &page.text(), &log] {
        assert_lacks(text, &secrets);
    }
    let account = id(&client.account_url()).to_owned();
    let dns = world.site().dns.to_string();
    assert_contains(&whole, &[&account, &dns]);
    let inside = [account, dns, "127.0.0.1".into(), "certificate-requests".into(), "req_".into(), "503".into()];
    for text in [json.to_string(), page.text()] {
        assert_lacks(&text, &inside);
    }
}

#[test]
fn the_link_of_a_refused_identifier_opens_and_names_the_rule() {
    let world = fragile_world();
    let rules = json!([{"type": "dns", "match": "suffix", "value": "good.test"}]);
    let (client, _) = world.registered_account(&json!({"mode": "listed", "rules": rules, "exclude": []}));
    let refused = client.new_order(&["a.good.test", "a.bad.test"]);
    let _ = refused.assert_refused(403, "rejectedIdentifier");
    let told = told(&client, &refused.json());
    assert_eq!((&told["about"], &told["status"]), (&json!("refusal"), &json!("refused")));
    assert_contains(&steps(&told), &["identifier.not-listed", "a.bad.test"]);
    assert!(!steps(&told).contains("suffix"), "the list is the officer's: {told}");
    let url = refused.json()["instance"].as_str().unwrap().to_owned();
    let text = world.command(&["order", "show", &url]).unwrap();
    assert_contains(
        &text,
        &["refusal ", "a.good.test: allowed by suffix good.test", "a.bad.test: refused by identifier.not-listed"],
    );
    assert_page(
        &client.site().get(&url).expect(200),
        &["a.bad.test", "identifier.not-listed", "/help/rejectedIdentifier"],
    );
    // Nothing was made by it.
    let _ = client.read(&client.url(&format!("order/{}", id(&url)))).assert_refused(404, "malformed");
    assert_eq!(client.read(&format!("{}/orders", client.account_url())).expect(200).json()["orders"], json!([]));
}

#[track_caller]
fn assert_page(page: &Response, words: &[&str]) {
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"), "{page:?}");
    let headers = ["referrer-policy", "cache-control", "x-robots-tag"].map(|name| page.header(name));
    assert_eq!(headers, [Some("no-referrer"), Some("no-store"), Some("noindex")]);
    assert!(page.header("replay-nonce").is_none(), "{page:?}");
    assert_contains(&page.text(), words);
}

#[test]
fn a_wrong_csr_and_a_wrong_proof_lead_to_the_transcript_of_their_order() {
    let world = fragile_world();
    let client = world.account();
    let order = client.ready_order(&["csr.example.test"]);
    let refused = client.finalize(&order, &Csr::for_names(&["other.example.test"]).text(&Key::p256()));
    let _ = refused.assert_refused(400, "badCSR");
    let told_of_csr = told(&client, &refused.json());
    assert_eq!((&told_of_csr["reference"], &told_of_csr["status"]), (&json!(id(&order.url)), &json!("ready")));
    assert_contains(&steps(&told_of_csr), &["csr.names", "finalize was refused"]);

    let order = client.order(&["proof.example.test"]);
    let url = strings(&order.object["authorizations"]).remove(0);
    let offered = challenge(&client.read(&url).expect(200).json(), "http-01");
    let path = format!("/.well-known/acme-challenge/{}", offered["token"].as_str().unwrap());
    let behaviour = json!({"kind": "content", "content": "body-of-a-stranger"});
    client.site().control("/set-http01-behaviour", &json!({"path": path, "behaviour": behaviour}));
    client.site().control("/add-http01", &json!({"token": "listening", "content": "x", "listen": true}));
    let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
    let failed = client.wait_at(offered["url"].as_str().unwrap(), "invalid");
    let told_of_proof = told(&client, &failed["error"]);
    assert_eq!(told_of_proof["reference"], json!(id(&url)));
    assert_contains(&steps(&told_of_proof), &["the last"]);
    let order = client.reread(&order);
    assert_eq!(order.object["status"], "invalid");
    let told_of_order = told(&client, &order.object["error"]);
    assert_eq!(
        (&told_of_order["reference"], &told_of_order["identifiers"]),
        (&json!(id(&order.url)), &json!(["proof.example.test"]))
    );
    assert_contains(&steps(&told_of_order), &["proof.example.test"]);

    // The client itself, and nobody else, is told what was expected.
    let token = offered["token"].as_str().unwrap();
    let key_authorization = client.key_authorization(token);
    for error in [&failed["error"], &order.object["error"]] {
        assert_contains(&error.to_string(), &[&key_authorization]);
    }
    let secrets = ["body-of-a-stranger".to_owned(), token.to_owned(), client.key.thumbprint()];
    let log = log_with_the_end_of(&world, &url);
    assert_contains(&log, &["expected (key authorization)"]);
    for reference in [&url, &order.url] {
        let texts = [shown(&world, reference).to_string(), world.command(&["order", "show", reference]).unwrap()];
        for text in texts {
            assert_contains(&text, &["expected (key authorization)"]);
            assert_lacks(&text, &secrets);
        }
    }
    for text in [told_of_proof.to_string(), told_of_order.to_string(), log] {
        assert_lacks(&text, &secrets);
    }
}

#[test]
fn an_approval_that_is_rejected_says_so_to_its_client() {
    let world = fragile_world();
    let client = world.account();
    let order = client.ready_order(&["approval.example.test"]);
    world.set_fault("requestCertificate", &json!({"kind": "rejected"}));
    let _ = client.finalize(&order, &Csr::for_names(&["approval.example.test"]).text(&Key::p256())).expect(200);
    let order = client.wait(&order, "invalid");
    let told = told(&client, &order.object["error"]);
    assert_contains(&steps(&told), &["The order ended: ", order.object["error"]["detail"].as_str().unwrap()]);
    let text = world.command(&["order", "show", &order.url]).unwrap();
    assert_contains(&text, &["order.failed", "ended with unauthorized", "cm.asked"]);
}

#[test]
fn what_nobody_knows_has_no_transcript_and_no_other_directory_shows_it() {
    let world = fragile_world();
    let client = world.account();
    let order = client.order(&["elsewhere.example.test"]);
    let site = world.site();
    let link = client.url(&format!("transcript/{}", id(&order.url)));
    let _ = site.get(&link).expect(200);
    for wrong in [link.replace("/open/", "/registered/"), client.url("transcript/nobody"), client.url("transcript/-")] {
        let _ = site.get(&wrong).assert_problem(404, "malformed");
    }
    let _ = site.send("POST", &link, &[], Some(b"")).assert_problem(405, "malformed");
    assert!(site.send("HEAD", &link, &[], None).expect(200).body.is_empty());
    assert!(world.command(&["order", "show", "nobody"]).unwrap_err().contains("nothing is known of nobody"));
    assert!(world.command(&["order", "show", "no such thing"]).unwrap_err().contains("is no reference"));
}

/// What keeping one costs (ADR 20).
#[test]
fn the_transcript_of_a_plain_issuance_is_small() {
    const OCTETS_MAX: usize = 8 * 1024;
    let world = fragile_world();
    let issued = world.account().issue(&["small.example.test"]);
    let whole = wait_for("the delivery", Duration::from_secs(120), || {
        let whole = shown(&world, &issued.order_url);
        whole.to_string().contains("delivery.reported").then_some(whole)
    });
    let lines = whole["lines"].as_array().unwrap();
    let octets: usize = lines.iter().map(|line| line["entry"].to_string().len()).sum();
    println!("{} entries of {octets} octets", lines.len());
    assert!((8..=12).contains(&lines.len()) && octets <= OCTETS_MAX, "{octets} octets: {whole:#}");
}
