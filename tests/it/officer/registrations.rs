//! Registrations made, changed, held and ended by the officer's program.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{client::Client, wait_for};

use super::{bound, created, text};
use crate::world;

/// From the officer's click to its effect on a busy machine; without an event it would come after a minute.
const AT_ONCE: Duration = Duration::from_secs(40);

fn wait_for_orders(client: &Client, name: &str, status: u16) {
    let asked = Instant::now();
    wait_for("the effect", AT_ONCE, || (client.new_order(&[name]).status == status).then_some(()));
    assert!(asked.elapsed() < AT_ONCE);
}

#[test]
fn a_client_registered_by_the_program_gets_certificates_inside_its_list_only() {
    let registration =
        created(&["--allow", "suffix:created.officer.test", "--exclude", "exact:vpn.created.officer.test"]);
    assert!(text(&registration, "/id").starts_with("reg_"));
    assert_eq!(text(&registration, "/status"), "pending");
    let client = bound(&registration);
    let issued = client.issue(&["www.created.officer.test"]);
    assert_eq!(world().certificates_of(&issued.order_url), 1);
    for (name, rule) in [
        ("www.elsewhere.test", "identifier.not-listed"),
        ("evilcreated.officer.test", "identifier.not-listed"),
        ("vpn.created.officer.test", "identifier.excluded"),
    ] {
        let detail = client.new_order(&[name]).assert_refused(403, "rejectedIdentifier");
        assert!(detail.contains(rule), "{name}: {detail}");
    }
}

#[test]
fn every_form_of_entry_is_what_it_says() {
    let registration = created(&[
        "--allow",
        "suffix:forms.officer.test,no-wildcards",
        "--allow",
        "wildcard:*.dev.forms.officer.test",
        "--allow",
        "exact:only.elsewhere.test",
        "--allow",
        "cidr:127.0.0.0/29",
    ]);
    let client = bound(&registration);
    for name in ["a.forms.officer.test", "*.dev.forms.officer.test", "only.elsewhere.test"] {
        let _ = client.order(&[name]);
    }
    for name in ["*.forms.officer.test", "*.x.dev.forms.officer.test", "a.only.elsewhere.test"] {
        let _ = client.new_order(&[name]).assert_refused(403, "rejectedIdentifier");
    }
    let address = |address: &str| {
        client.post(&client.url("new-order"), &json!({"identifiers": [{"type": "ip", "value": address}]}))
    };
    let _ = address("127.0.0.5").expect(201);
    let _ = address("127.0.0.9").assert_refused(403, "rejectedIdentifier");
}

#[test]
fn suspending_resuming_and_revoking_take_effect_at_once() {
    let registration = created(&["--allow", "suffix:held.officer.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    let (desk, name) = (world().desk("officer"), "www.held.officer.test");
    let _ = client.order(&[name]);
    let suspended = desk.json(&["registrations", "suspend", id, "--reason", "moved to another team"]);
    assert_eq!(text(&suspended, "/status"), "suspended");
    assert_eq!(text(&suspended, "/status_reason"), "moved to another team");
    wait_for_orders(&client, name, 403);
    let resumed = desk.json(&["registrations", "resume", id]);
    assert_eq!(text(&resumed, "/status"), "active");
    wait_for_orders(&client, name, 201);
    let revoked = desk.text(&["registrations", "revoke", id, "--reason", "scrapped"]);
    assert_eq!(revoked, format!("{id} is revoked\n"));
    wait_for_orders(&client, name, 401);
    let again = desk.run(&["registrations", "resume", id]);
    assert_eq!(again.code, 5, "{again:?}");
    assert!(again.stderr.contains("registration-not-active"), "{again:?}");
}

#[test]
fn a_list_that_is_changed_holds_for_the_next_order() {
    let registration = created(&["--allow", "suffix:narrow.officer.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    let desk = world().desk("officer");
    let _ = client.order(&["a.narrow.officer.test"]);
    let change = [
        "registrations",
        "update",
        id,
        "--remove-allow",
        "suffix:narrow.officer.test",
        "--add-allow",
        "exact:b.narrow.officer.test",
    ];
    let shown = desk.text(&[&change[..], &["--dry-run"]].concat());
    assert!(
        shown.contains("- suffix:narrow.officer.test") && shown.contains("+ exact:b.narrow.officer.test"),
        "{shown}"
    );
    assert!(shown.contains("Nothing was done"), "{shown}");
    let _ = client.order(&["a.narrow.officer.test"]);
    let changed = desk.json(&change);
    assert_eq!(changed["applied"], true);
    wait_for_orders(&client, "a.narrow.officer.test", 403);
    let _ = client.order(&["b.narrow.officer.test"]);
    assert_eq!(desk.json(&["registrations", "update", id, "--allow", "exact:b.narrow.officer.test"])["applied"], false);
}

#[test]
fn the_certificate_that_a_narrower_list_would_lose_is_named_before() {
    let registration = created(&["--allow", "suffix:lost.officer.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    let _ = client.issue(&["kept.lost.officer.test"]);
    let _ = client.issue(&["gone.lost.officer.test", "kept.lost.officer.test"]);
    let change = ["registrations", "update", id, "--allow", "exact:kept.lost.officer.test"];
    let shown = world().desk("officer").json(&[&change[..], &["--dry-run"]].concat());
    let lost = shown["no_longer_renewable"].as_array().unwrap();
    assert_eq!(lost.len(), 1, "{shown}");
    assert_eq!(lost[0]["names"], json!(["gone.lost.officer.test"]));
    let told = world().desk("officer").text(&change);
    assert!(told.contains("whose renewal will be refused") && told.contains(text(&lost[0], "/id")), "{told}");
    wait_for_orders(&client, "gone.lost.officer.test", 403);
}

#[test]
fn a_new_secret_binds_and_the_one_before_does_not() {
    let registration = created(&["--allow", "suffix:rotated.officer.test"]);
    let rotated = world().desk("officer").json(&["registrations", "rotate-secret", text(&registration, "/id")]);
    assert_eq!(text(&rotated, "/eab/kid"), text(&registration, "/eab/kid"));
    assert_ne!(text(&rotated, "/eab/hmac_key"), text(&registration, "/eab/hmac_key"));
    let mut client = world().client("registered");
    let stale = tests::from_base64url(text(&registration, "/eab/hmac_key"));
    let binding = client.binding(text(&registration, "/eab/kid"), &stale);
    let _ = client.register(&json!({"externalAccountBinding": binding})).assert_refused(403, "unauthorized");
    let _ = bound(&rotated).order(&["www.rotated.officer.test"]);
}

#[test]
fn the_secret_is_shown_once_with_recipes_for_clients() {
    let desk = world().desk("officer");
    let text =
        desk.text(&["registrations", "create", "--owner", "print room", "--allow", "suffix:recipes.officer.test"]);
    let line =
        |word: &str| text.lines().find_map(|line| line.trim().strip_prefix(word)).map(|rest| rest.trim().to_owned());
    let (key_id, secret) = (line("key id  ").unwrap(), line("HMAC key").unwrap());
    assert_eq!(tests::from_base64url(&secret).len(), 32);
    let directory = world().site().url("registered", "directory");
    for part in [
        "certbot certonly",
        "lego --server",
        "acme.sh --register-account",
        "MDExternalAccountBinding",
        "acme_eab",
        "wacs.exe",
        "synology_dsm",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(text.contains(&directory), "{text}");
    for again in
        [desk.text(&["registrations", "show", &key_id]), desk.text(&["registrations", "show", &key_id, "--json"])]
    {
        assert!(again.contains("print room") && !again.contains(&secret), "{again}");
    }
}

#[test]
fn registrations_are_found_by_owner_status_and_name() {
    let owner = "somebody who is looked for";
    let desk = world().desk("officer");
    let made = desk.json(&["registrations", "create", "--owner", owner, "--allow", "suffix:found.officer.test"]);
    let found = |arguments: &[&str]| {
        let list = desk.json(&[&["registrations", "list", "--owner", owner], arguments].concat());
        assert_eq!(list["complete"], true);
        list["items"].as_array().unwrap().iter().map(|one| text(one, "/id").to_owned()).collect::<Vec<_>>()
    };
    let id = text(&made, "/id").to_owned();
    assert_eq!(found(&[]), std::slice::from_ref(&id));
    assert_eq!(found(&["--status", "pending", "--identifier", "www.found.officer.test"]), std::slice::from_ref(&id));
    assert_eq!(found(&["--status", "active"]), Vec::<String>::new());
    assert_eq!(found(&["--identifier", "www.elsewhere.test"]), Vec::<String>::new());
    assert!(desk.text(&["registrations", "list", "--owner", owner]).contains(&id));
    let first = desk.json(&["registrations", "list", "--limit", "1"]);
    assert_eq!((first["complete"].clone(), first["items"].as_array().unwrap().len()), (json!(false), 1));
}

#[test]
fn every_command_takes_the_id_of_the_key_for_that_of_the_registration() {
    let registration = created(&["--allow", "suffix:named.officer.test"]);
    let (desk, id, key_id) = (world().desk("officer"), text(&registration, "/id"), text(&registration, "/eab/kid"));
    let name = "www.named.officer.test";
    assert_eq!(text(&desk.json(&["explain", key_id, name]), "/registration"), id);
    assert_eq!(text(&desk.json(&["registrations", "update", key_id, "--comment", "by its key"]), "/id"), id);
    let _ = bound(&registration).issue(&[name]);
    let certificates = desk.json(&["certificates", "list", "--registration", key_id]);
    assert_eq!(text(&certificates, "/items/0/registration"), id);
    assert_eq!(desk.json(&["report", "issued", "--registration", key_id])["total"], 1);
    assert_eq!(desk.json(&["registrations", "list", "--parent", key_id])["items"], json!([]));
    for (words, status) in [
        (&["suspend", key_id, "--reason", "r"][..], "suspended"),
        (&["resume", key_id], "active"),
        (&["rebind", key_id, "--reason", "r"], "pending"),
        (&["revoke", key_id, "--reason", "r"], "revoked"),
    ] {
        let done = desk.json(&[&["registrations"][..], words].concat());
        assert_eq!((text(&done, "/id"), text(&done, "/status")), (id, status), "{words:?}");
    }
    let shown = desk.text(&["registrations", "revoke", key_id, "--reason", "r", "--with-certificates"]);
    assert!(shown.contains(&format!("{id} and 1 certificate would be revoked")), "{shown}");
}

#[test]
fn a_longest_validity_is_written_as_any_other_span() {
    let registration = created(&["--allow", "suffix:spans.officer.test", "--max-validity", "12h"]);
    assert_eq!(text(&registration, "/max_validity"), "PT12H");
    let (desk, id) = (world().desk("officer"), text(&registration, "/id"));
    for (span, told) in [("30d", json!("P30D")), ("P7D", json!("P7D")), ("", json!(null))] {
        let changed = desk.json(&["registrations", "update", id, "--max-validity", span]);
        assert_eq!(changed["registration"]["max_validity"], told, "{span:?}");
    }
    for command in [&["update", id][..], &["create", "--owner", "o", "--allow", "suffix:spans.officer.test"]] {
        let ran = desk.run(&[&["registrations"][..], command, &["--max-validity", "30 days"]].concat());
        assert!(ran.code == 2 && ran.stderr.contains("30 days is no span; write 7d"), "{ran:?}");
    }
}

#[test]
fn nothing_is_to_end_before_it_begins() {
    let registration = created(&["--allow", "suffix:over.officer.test"]);
    let (desk, id) = (world().desk("officer"), text(&registration, "/id"));
    for command in [
        &["create", "--owner", "o", "--allow", "suffix:over.officer.test"][..],
        &["update", id],
        &["link", id],
        &["rotate-secret", id],
        &["rebind", id, "--reason", "r"],
    ] {
        let ran = desk.run(&[&["registrations"][..], command, &["--until", "2020-01-01"]].concat());
        assert_eq!(ran.code, 2, "{command:?}: {ran:?}");
        assert!(ran.stderr.contains("--until 2020-01-01T00:00:00Z is over: the CM's clock says 2"), "{ran:?}");
    }
    let after = desk.json(&["registrations", "show", id]);
    assert_eq!(after["version"], registration["version"], "nothing was done");
}

#[test]
fn what_is_printed_for_programs_is_json_also_of_a_wrong_command_line() {
    let desk = world().desk("officer");
    for (words, part) in [
        (&["registrations", "create", "--owner", "o", "--json"][..], "--allow-any"),
        (&["--json", "registrations"], "no command was named"),
        (&["registrations", "lost", "--json"], "'lost'"),
    ] {
        let ran = desk.run(words);
        let told: serde_json::Value =
            serde_json::from_str(&ran.stderr).unwrap_or_else(|_| panic!("{words:?}: {ran:?}"));
        assert_eq!((ran.code, &told["error"]["exit_code"], ran.stderr.lines().count()), (2, &json!(2), 1), "{ran:?}");
        assert_eq!(text(&told, "/error/code"), "usage");
        assert!(text(&told, "/error/detail").contains(part), "{ran:?}");
    }
    let help = desk.text(&["registrations", "--help", "--json"]);
    assert!(help.contains("Usage:"), "{help}");
}

#[test]
fn what_was_made_is_printed_in_the_order_of_what_is_shown() {
    let desk = world().desk("officer");
    let made =
        desk.text(&["registrations", "create", "--owner", "o", "--allow", "suffix:sorted.officer.test", "--json"]);
    let id = serde_json::from_str::<serde_json::Value>(&made).unwrap()["id"].as_str().unwrap().to_owned();
    let members = |text: &str| {
        let names = text.lines().filter_map(|line| line.strip_prefix("  \"")).filter_map(|line| line.split('"').next());
        names.filter(|name| *name != "directory_url").map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(members(&made), members(&desk.text(&["registrations", "show", &id, "--json"])));
}

#[test]
fn mistakes_are_told_apart_by_the_exit_code() {
    let desk = world().desk("officer");
    let table: [(&[&str], i32, &str); 8] = [
        (&["registrations", "create", "--owner", "o"], 2, "--allow-any"),
        (&["registrations", "list", "--status", "gone"], 2, "suspended"),
        (&["registrations", "create", "--owner", "o", "--allow", "suffix:com"], 2, "public suffix"),
        (&["registrations", "create", "--owner", "o", "--allow", "example.test"], 2, "suffix:NAME"),
        (&["registrations", "show", "reg_00000000000000000000000000"], 6, "no such registration"),
        (&["registrations", "suspend", "../whoami", "--reason", "r"], 2, "the id of a registration"),
        (
            &["registrations", "create", "--owner", "o", "--allow", "suffix:a.test", "--profile", "none"],
            5,
            "profile-not-allowed",
        ),
        (&["--config", "/nonexistent.toml", "registrations", "list"], 3, "/nonexistent.toml"),
    ];
    for (arguments, code, part) in table {
        let ran = desk.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(part), "{arguments:?}: {ran:?}");
        assert!(ran.stdout.is_empty(), "{arguments:?}: {ran:?}");
    }
    let ran = world().desk("acme-server").run(&["registrations", "list"]);
    assert!(
        matches!(ran.code, 3 | 4) && ran.stderr.contains("cm.certificate_file"),
        "a stranger's certificate: {ran:?}"
    );
    let ran = desk.run(&["registrations", "show", "reg_00000000000000000000000000", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(told["error"]["exit_code"], 6);
}
