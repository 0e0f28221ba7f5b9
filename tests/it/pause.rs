//! Pausing of clients that only ever fail, and the page that lifts it.

use std::{fs, time::Duration};

use serde_json::json;
use tests::{client::Client, response::Response, world::World};

/// Two failures over a second or more pause a name.
fn impatient_world() -> World {
    World::start_with(&[("pausing", "failures = 2"), ("pausing", "over_secs = 1")])
}

/// Orders the name and fails to prove it; the refusal if it is not to be ordered.
fn fail(client: &Client, name: &str) -> Option<Response> {
    let response = client.new_order(&[name]);
    if response.status != 201 {
        return Some(response);
    }
    let url = response.json()["authorizations"][0].as_str().unwrap().to_owned();
    let authorization = client.read(&url).expect(200).json();
    let offered = client.provide(&authorization, "http-01");
    let path = format!("/.well-known/acme-challenge/{}", offered["token"].as_str().unwrap());
    let behaviour = json!({"kind": "content", "content": "<b>not this</b>"});
    client.site().control("/set-http01-behaviour", &json!({"path": path, "behaviour": behaviour}));
    let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
    let _ = client.wait_at(&url, "invalid");
    None
}

/// The refusal of a name that has failed until it was paused.
fn fail_until_paused(client: &Client, name: &str) -> Response {
    tests::wait_for("a pause", Duration::from_secs(120), || fail(client, name))
}

/// The URL in a refusal.
fn link(refused: &Response) -> String {
    let detail = refused.assert_refused(429, "rateLimited");
    detail.rsplit(' ').next().unwrap().to_owned()
}

fn audit_lines(world: &World, event: &str) -> usize {
    let log = fs::read_to_string(world.site().log("gateway")).unwrap();
    log.lines().filter(|line| line.contains(" audit: ") && line.contains(&format!("{event:?}"))).count()
}

#[test]
fn a_paused_client_is_told_a_page_on_which_a_person_lets_it_try_again() {
    let mut world = impatient_world();
    let client = world.account();
    let refused = fail_until_paused(&client, "paused.example.test");
    assert_eq!(refused.header("retry-after"), Some("86400"));
    let url = link(&refused);
    assert!(url.starts_with(&client.url("unpause/")), "{url}");
    let detail = refused.member("detail");
    assert!(detail.starts_with("paused.example.test: validation has failed "), "{detail}");
    let _ = client.new_order(&["other.example.test"]).expect(201);
    let _ = world.account().new_order(&["paused.example.test"]).expect(201);

    // It outlives the process, and so does the link.
    world.kill_gateway();
    world.restart_gateway();
    let _kept_from_before = client.nonce();
    let _ = link(&client.new_order(&["paused.example.test"]));
    let page = world.site().get(&url).expect(200);
    let text = page.text();
    // Whoever has the link, and whoever reads the log, is not told the proof.
    let log = fs::read_to_string(world.site().log("gateway")).unwrap();
    assert!(text.contains("expected (key authorization)"), "{text}");
    assert!(!text.contains(&client.key.thumbprint()) && !log.contains(&client.key.thumbprint()), "{text}\n{log}");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"), "{page:?}");
    for words in
        ["paused.example.test", "answered 200 with something else", "<form method=\"post\">", &client.account_url()]
    {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    assert!(!text.contains("not this"), "what a web server says is its own business");
    let _ = link(&client.new_order(&["paused.example.test"]));
    let head = world.site().send("HEAD", &url, &[], None).expect(200);
    assert!(head.body.is_empty());

    let form: &[(&str, &str)] = &[("Content-Type", "application/x-www-form-urlencoded")];
    for _ in 0..2 {
        let done = world.site().send("POST", &url, form, Some(b"")).expect(200);
        assert!(done.text().contains("Nothing is paused"), "{done:?}");
    }
    assert!(world.site().get(&url).expect(200).text().contains("Nothing is paused"));
    let _ = client.issue(&["paused.example.test"]);
    for event in ["identifier.paused", "identifiers.unpaused"] {
        tests::wait_for(event, Duration::from_secs(120), || (audit_lines(&world, event) == 1).then_some(()));
    }
}

#[test]
fn a_success_ends_a_run_of_failures() {
    let world = impatient_world();
    let client = world.account();
    assert!(fail(&client, "mended.example.test").is_none());
    let _ = client.issue(&["mended.example.test"]);
    let revoked = client.order(&["mended.example.test"]);
    for url in tests::client::strings(&revoked.object["authorizations"]) {
        let _ = client.post(&url, &json!({"status": "deactivated"})).expect(200);
    }
    assert!(fail(&client, "mended.example.test").is_none(), "the first failure since the success");
}

#[test]
fn a_link_that_was_not_given_out_or_is_over_leads_nowhere() {
    let world = World::start_with(&[
        ("pausing", "failures = 1"),
        ("pausing", "over_secs = 1"),
        ("pausing", "link_lifetime_secs = 1"),
    ]);
    let client = world.account();
    let url = link(&fail_until_paused(&client, "late.example.test"));
    let site = world.site();
    for (method, body) in [("GET", None), ("POST", Some(b"".as_slice()))] {
        for wrong in [client.url("unpause/AAAA"), url.replace("/open/", "/terms/"), format!("{url}A")] {
            let _ = site.send(method, &wrong, &[], body).assert_problem(404, "malformed");
        }
        let expired = tests::wait_for("the end of the link", Duration::from_secs(120), || {
            let answer = site.send(method, &url, &[], body);
            (answer.status == 410).then_some(answer)
        });
        assert!(expired.text().contains("This address has expired"), "{expired:?}");
    }
    let fresh = link(&client.new_order(&["late.example.test"]));
    assert_ne!(fresh, url, "each refusal has a new one");
    let _ = site.send("PUT", &fresh, &[], Some(b"")).assert_problem(405, "malformed");
}
