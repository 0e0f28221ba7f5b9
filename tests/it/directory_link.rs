//! Directory links (CM contract section 4.3): accounts for devices that cannot send an external account binding.

mod secret;

use std::time::Duration;

use serde_json::{Value, json};
use tests::{client::Client, key::Key, response::Response, wait_for, world::World};

use crate::{fragile_world, world};

/// From the officer's click to its effect on a busy machine; without an event it would come after a minute.
const AT_ONCE: Duration = Duration::from_secs(40);
/// Another text that can be a token.
const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {json}"))
}

/// Registers with a link: the registration's id, and the directory URL.
fn linked(world: &World, more: &[&str]) -> (String, String) {
    let arguments = ["registrations", "create", "--owner", "tests of directory links", "--link"];
    let created = world.desk("officer").json(&[&arguments, more].concat());
    (text(&created, "/id").to_owned(), text(&created, "/directory_link_url").to_owned())
}

/// Draws another link.
fn another(world: &World, id: &str, more: &[&str]) -> String {
    let drawn = world.desk("officer").json(&[&["registrations", "link", id], more].concat());
    text(&drawn, "/directory_link_url").to_owned()
}

/// newAccount at a directory URL, with this payload.
fn register_with(client: &mut Client, directory_url: &str, payload: &Value) -> Response {
    let directory = client.site().get(directory_url).expect(200);
    let url = directory.member("newAccount");
    let response = client.send(&url, &client.self_signed(&url, payload, &client.key).sign());
    if matches!(response.status, 200 | 201) {
        client.kid = Some(response.location());
    }
    response
}

/// A new client, and what it was told.
fn register(world: &World, directory_url: &str) -> (Client, Response) {
    let mut client = world.client("registered");
    let told = register_with(&mut client, directory_url, &json!({}));
    (client, told)
}

#[test]
fn a_client_that_comes_by_a_link_gets_a_certificate_without_a_binding() {
    let (id, url) = linked(world(), &["--allow", "suffix:linked.test"]);
    let (client, created) = register(world(), &url);
    let created = created.expect(201);
    assert!(created.location().ends_with(&id), "the account is the face of the registration: {created:?}");
    assert_eq!(created.json().get("externalAccountBinding"), None);
    let issued = client.issue(&["www.linked.test"]);
    assert_eq!(world().certificates_of(&issued.order_url), 1);
    let detail = client.new_order(&["www.elsewhere.test"]).assert_refused(403, "rejectedIdentifier");
    assert!(detail.contains("identifier.not-listed"), "{detail}");
    assert_eq!(client.revoke(&issued.leaf, 0).status, 200);
    let shown = world().desk("officer").text(&["registrations", "show", &id]);
    assert!(shown.lines().any(|line| line.starts_with("link         since 20")), "{shown}");
}

#[test]
fn the_directory_of_a_link_differs_from_the_endpoints_in_newaccount_alone() {
    let (_, url) = linked(world(), &["--allow", "suffix:shape.linked.test"]);
    let site = world().site();
    let response = site.get(&url).expect(200);
    assert_eq!((response.header("cache-control"), response.link("index")), (Some("no-store"), None));
    let mut expected = site.get(&site.url("registered", "directory")).expect(200).json();
    expected["newAccount"] = json!(url.replace("/directory", "/new-account"));
    assert_eq!(expected["meta"].as_object_mut().unwrap().remove("externalAccountRequired"), Some(json!(true)));
    let mut found = response.json();
    let required = found["meta"].as_object_mut().unwrap().remove("externalAccountRequired");
    assert_ne!(required, Some(json!(true)));
    assert_eq!(found, expected);
    let base = url.strip_suffix("/directory").unwrap();
    for spelling in [format!("{url}/"), base.to_owned(), format!("{base}/")] {
        assert_eq!(site.get(&spelling).expect(200).body, response.body, "{spelling}");
    }
    assert!(site.send("HEAD", &url, &[], None).expect(200).body.is_empty());
    let (client, _) = register(world(), &url);
    assert_eq!(client.read(&url).expect(200).body, response.body, "by POST-as-GET");
}

#[test]
fn nobody_learns_by_a_directory_which_links_there_are_and_the_cm_is_not_asked() {
    let world = fragile_world();
    let site = world.site();
    let (url, bound) = (site.url("registered", &format!("r/{UNKNOWN}/directory")), world.client("registered"));
    let (asked, directory) = world.counting("bindRegistration", || site.get(&url).expect(200));
    assert_eq!(asked, 0);
    let (asked, again) = world.counting("findRegistrations", || site.get(&url).expect(200));
    assert_eq!((asked, again.body), (0, directory.body));
    let mut bound = bound;
    let detail = register_with(&mut bound, &url, &json!({})).assert_refused(403, "unauthorized");
    assert!(detail.contains("ask the registration authority for a new directory URL"), "{detail}");
}

#[test]
fn what_cannot_be_a_link_is_not_found() {
    let site = world().site();
    let client = world().client("registered");
    let endless = "A".repeat(300);
    for token in ["short", &endless, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.", "~"] {
        let detail =
            site.get(&site.url("registered", &format!("r/{token}/directory"))).assert_problem(404, "malformed");
        assert!(detail.contains("cannot be a directory URL") && !detail.contains(token), "{detail}");
        let url = site.url("registered", &format!("r/{token}/new-account"));
        let _ = client
            .send(&url, &client.self_signed(&url, &json!({}), &client.key).sign())
            .assert_refused(404, "malformed");
    }
    let detail = site.get(&site.url("open", &format!("r/{UNKNOWN}/directory"))).assert_problem(404, "malformed");
    assert!(detail.contains("need no link") && detail.contains(&site.url("open", "directory")), "{detail}");
    let _ = site.get(&site.url("nowhere", &format!("r/{UNKNOWN}/directory"))).assert_problem(404, "malformed");
    let get = site.get(&site.url("registered", &format!("r/{UNKNOWN}/new-account")));
    let _ = get.assert_problem(405, "malformed");
}

#[test]
fn a_link_and_a_binding_do_not_go_together() {
    let (id, url) = linked(world(), &["--allow", "suffix:both.linked.test"]);
    let rotated = world().desk("officer").json(&["registrations", "rotate-secret", &id]);
    let mut client = world().client("registered");
    let secret = tests::from_base64url(text(&rotated, "/eab/hmac_key"));
    let binding = client.binding(text(&rotated, "/eab/kid"), &secret);
    let both = json!({"externalAccountBinding": binding});
    let detail = register_with(&mut client, &url, &both).assert_refused(400, "malformed");
    assert!(detail.contains("leave the external account binding out"), "{detail}");
    let _ = register_with(&mut client, &url, &json!({"externalAccountBinding": null})).expect(201);
    let _ = register_with(&mut client, &url, &both).expect(200);
}

#[test]
fn a_request_is_meant_for_the_url_that_it_names() {
    let (_, url) = linked(world(), &["--allow", "suffix:meant.linked.test"]);
    let client = world().client("registered");
    let (by_link, plain) = (url.replace("/directory", "/new-account"), client.url("new-account"));
    for (sent_to, named) in [(&by_link, &plain), (&plain, &by_link)] {
        let jws = client.self_signed(named, &json!({}), &client.key).sign();
        let _ = client.send(sent_to, &jws).assert_refused(403, "unauthorized");
    }
}

#[test]
fn an_account_is_found_by_its_key_whatever_became_of_the_link() {
    let (id, url) = linked(world(), &["--allow", "suffix:again.linked.test"]);
    let mut stranger = world().client("registered");
    let only = json!({"onlyReturnExisting": true});
    let _ = register_with(&mut stranger, &url, &only).assert_refused(400, "accountDoesNotExist");
    let (mut client, created) = register(world(), &url);
    let account = created.expect(201).location();
    for payload in [json!({}), only] {
        assert_eq!(register_with(&mut client, &url, &payload).expect(200).location(), account);
    }
    let _ = world().desk("officer").text(&["registrations", "unlink", &id]);
    assert_eq!(register_with(&mut client, &url, &json!({})).expect(200).location(), account);
    let _ = client.order(&["www.again.linked.test"]);
}

#[test]
fn a_link_is_used_up_with_its_registration() {
    let (_, url) = linked(world(), &["--allow", "suffix:once.linked.test"]);
    let race = || {
        let url = url.clone();
        std::thread::spawn(move || register(world(), &url).1.status)
    };
    let mut statuses = [race(), race(), race()].map(|racer| racer.join().unwrap());
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403, 403]);
    let detail = register(world(), &url).1.assert_refused(403, "unauthorized");
    assert!(detail.contains("used up"), "{detail}");
}

#[test]
fn a_new_link_ends_the_one_before_or_lets_it_go_on_for_a_while() {
    let (id, first) = linked(world(), &["--allow", "suffix:turns.linked.test", "--use", "multi"]);
    let second = another(world(), &id, &["--overlap", "7d"]);
    assert_ne!(first, second);
    for url in [&first, &second] {
        let _ = register(world(), url).1.expect(201);
    }
    let shown = world().desk("officer").text(&["registrations", "show", &id]);
    assert!(shown.contains("the one before it until 20"), "{shown}");
    let third = another(world(), &id, &[]);
    for url in [&first, &second] {
        let detail = register(world(), url).1.assert_refused(403, "unauthorized");
        assert!(detail.contains("ask the registration authority for a new directory URL"), "{detail}");
    }
    let _ = register(world(), &third).1.expect(201);
    let unlinked = world().desk("officer").json(&["registrations", "unlink", &id]);
    assert_eq!(unlinked["directory_link"], Value::Null);
    let _ = register(world(), &third).1.assert_refused(403, "unauthorized");
    let told = world().desk("officer").text(&["registrations", "unlink", &id]);
    assert!(told.contains("had no directory link"), "{told}");
}

#[test]
fn a_link_binds_until_its_end_only() {
    let (id, _) = linked(world(), &["--allow", "suffix:until.linked.test"]);
    let over = world().desk("officer").run(&["registrations", "link", &id, "--until", "2020-01-01"]);
    assert!(over.code == 2 && over.stderr.contains("2020-01-01T00:00:00Z is over"), "{over:?}");
    let url = another(world(), &id, &["--until", "2999-01-01"]);
    let shown = world().desk("officer").text(&["registrations", "show", &id]);
    assert!(shown.contains("until 2999-01-01T00:00:00Z"), "{shown}");
    let _ = register(world(), &url).1.expect(201);
}

#[test]
fn accounts_of_a_shared_link_keep_to_the_list_of_their_parent_and_are_held_with_it() {
    let (id, url) = linked(world(), &["--allow", "suffix:fleet.linked.test", "--use", "multi"]);
    let (clients, accounts): (Vec<_>, Vec<_>) = [(); 2].map(|()| register(world(), &url)).into_iter().unzip();
    assert_ne!(accounts[0].location(), accounts[1].location());
    let (desk, name) = (world().desk("officer"), "p1.fleet.linked.test");
    for client in &clients {
        let _ = client.order(&[name]);
        let _ = client.new_order(&["p1.elsewhere.test"]).assert_refused(403, "rejectedIdentifier");
    }
    let _ = desk.text(&["registrations", "suspend", &id, "--reason", "the fleet is sold"]);
    for client in &clients {
        wait_for("the effect", AT_ONCE, || (client.new_order(&[name]).status == 403).then_some(()));
    }
    let detail = register(world(), &url).1.assert_refused(403, "unauthorized");
    assert!(detail.contains("suspended"), "{detail}");
    let _ = desk.text(&["registrations", "resume", &id]);
    let _ = register(world(), &url).1.expect(201);
}

#[test]
fn after_a_rebinding_only_a_new_link_leads_to_the_account_that_was() {
    let (id, first) = linked(world(), &["--allow", "suffix:rebound.linked.test"]);
    let (mut lost, created) = register(world(), &first);
    let account = created.expect(201).location();
    let _ = world().desk("officer").text(&["registrations", "rebind", &id, "--reason", "the mainboard died"]);
    let _ = register(world(), &first).1.assert_refused(403, "unauthorized");
    let second = another(world(), &id, &[]);
    wait_for("the withdrawal", AT_ONCE, || {
        let told = register_with(&mut lost, &second, &json!({}));
        (told.status != 200).then(|| told.assert_refused(400, "badPublicKey"))
    });
    let (client, told) = register(world(), &second);
    assert_eq!(told.expect(201).location(), account);
    let _ = client.issue(&["p1.rebound.linked.test"]);
}

#[test]
fn a_key_in_use_elsewhere_and_a_weak_key_are_as_without_a_link() {
    let (_, url) = linked(world(), &["--allow", "suffix:others.linked.test"]);
    let weak = world().client_with("registered", Key::generate(tests::key::Kind::Rsa(1024)));
    let new_account = url.replace("/directory", "/new-account");
    let refused = weak.send(&new_account, &weak.self_signed(&new_account, &json!({}), &weak.key).sign());
    let _ = refused.assert_refused(400, "badPublicKey");
    let (mut client, _) = world().registered_account(&json!({"mode": "any"}));
    let account = client.account_url();
    assert_eq!(register_with(&mut client, &url, &json!({})).expect(200).location(), account);
    let _ = register(world(), &url).1.expect(201);
}

#[test]
fn an_answer_that_is_lost_on_the_way_to_the_officer_says_what_became_of_the_link() {
    let world = fragile_world();
    let registration = world.officer().preregister(&json!({}));
    world.set_fault("newDirectoryLink", &json!({"kind": "reset-after"}));
    let lost = world.desk("officer").run(&["registrations", "link", &registration.id]);
    assert_eq!(lost.code, 4, "{lost:?}");
    assert!(lost.stderr.contains("was drawn") && lost.stderr.contains("Draw another one"), "{lost:?}");
    world.set_fault("newDirectoryLink", &json!({"kind": "reset-before"}));
    let lost = world.desk("officer").run(&["registrations", "link", &registration.id]);
    assert!(lost.code == 4 && lost.stderr.contains("No directory link was drawn"), "{lost:?}");
    let url = another(&world, &registration.id, &[]);
    let _ = register(&world, &url).1.expect(201);
}

#[test]
fn a_key_that_was_drawn_is_shown_even_if_its_link_cannot_be() {
    let world = fragile_world();
    world.set_fault("newDirectoryLink", &json!({"kind": "unavailable"}));
    let create = ["registrations", "create", "--owner", "o", "--allow", "suffix:half.linked.test", "--link"];
    let told = world.desk("officer").run(&create);
    assert!(told.code == 4 && told.stderr.contains("is registered, but has no directory link"), "{told:?}");
    assert!(told.stdout.contains("HMAC key"), "{told:?}");
    world.set_fault("newDirectoryLink", &json!({"kind": "unavailable"}));
    let ran = world.desk("officer").run(&[&create[..], &["--json"]].concat());
    assert_eq!(ran.code, 4, "{ran:?}");
    let created: Value = serde_json::from_str(&ran.stdout).unwrap();
    let (id, key_id) = (text(&created, "/id"), text(&created, "/eab/kid"));
    assert_eq!(created.get("directory_link_url"), None);
    assert_eq!(created.pointer("/directory_link_error/exit_code"), Some(&json!(4)), "{id}");
    let mut client = world.client("registered");
    let binding = client.binding(key_id, &tests::from_base64url(text(&created, "/eab/hmac_key")));
    let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
}

#[test]
fn the_sheet_of_a_link_is_written_before_the_secret_is_gone() {
    let (id, first) = linked(world(), &["--allow", "suffix:sheet.linked.test"]);
    let file = world().site().dir.join(format!("sheet-of-{id}.html"));
    let path = file.display().to_string();
    let drawn = world().desk("officer").json(&["registrations", "link", &id, "--sheet", &path]);
    let page = std::fs::read_to_string(&file).unwrap();
    let url = text(&drawn, "/directory_link_url");
    assert!(page.contains(url) && !page.contains("HMAC"), "the URL is all that there is to type");
    let again = world().desk("officer").run(&["registrations", "link", &id, "--sheet", &path]);
    assert_eq!(again.code, 3, "{again:?}");
    let _ = register(world(), &first).1.assert_refused(403, "unauthorized");
    let _ = register(world(), url).1.expect(201);
}

#[test]
fn a_binding_by_link_whose_answer_is_lost_is_found_by_the_client_that_repeats_it() {
    let world = fragile_world();
    let (id, url) = linked(&world, &["--allow", "suffix:lost.linked.test"]);
    world.set_faults("bindRegistration", 1, &json!({"kind": "reset-after"}));
    let (_, created) = register(&world, &url);
    assert!(matches!(created.status, 200 | 201), "{created:?}");
    assert!(created.location().ends_with(&id));
}

#[test]
fn a_cm_without_links_is_never_asked_for_one() {
    let mut world = World::start();
    let file = world.site().sandbox_dir().join("cm.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    let (id, url) = linked(&world, &["--allow", "suffix:lacking.linked.test"]);
    std::fs::write(&file, settings.replace("lacks = []", "lacks = [\"directory-links\"]")).unwrap();
    world.kill_cm();
    world.restart_cm();
    let _ = world.stop_gateway();
    world.restart_gateway();
    let detail = world.site().get(&url).assert_problem(404, "malformed");
    assert!(detail.contains("has no directory links"), "{detail}");
    let client = world.client("registered");
    let new_account = url.replace("/directory", "/new-account");
    let (asked, refused) = world.counting("bindRegistration", || {
        client.send(&new_account, &client.self_signed(&new_account, &json!({}), &client.key).sign())
    });
    assert_eq!((asked, refused.status), (0, 404), "{refused:?}");
    for command in [["registrations", "link", &id], ["registrations", "unlink", &id]] {
        let (asked, ran) = world.counting("newDirectoryLink", || world.desk("officer").run(&command));
        assert_eq!((asked, ran.code), (0, 5), "{ran:?}");
        assert!(ran.stderr.contains("no directory links of registrations"), "{ran:?}");
    }
}
