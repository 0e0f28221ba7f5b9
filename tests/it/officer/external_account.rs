//! The life of an external account key, as officers govern it: windows, uses, exchanges, lost answers, and the sheet.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};
use tests::response::Response;

use super::{created, text};
use crate::{fragile_world, reconnection::change_cm, world};

/// Binds a new client with the key that the program printed.
fn bind(printed: &Value) -> Response {
    let mut client = world().client("registered");
    let secret = tests::from_base64url(text(printed, "/eab/hmac_key"));
    let binding = client.binding(text(printed, "/eab/kid"), &secret);
    client.register(&json!({"externalAccountBinding": binding}))
}

fn many(name: &str, more: &[&str]) -> Value {
    created(&[&["--allow", name, "--use", "multi", "--max-bindings", "5"], more].concat())
}

#[test]
fn two_keys_bind_while_they_overlap_and_show_says_until_when() {
    let registration = many("suffix:overlap.officer.test", &[]);
    let (desk, id) = (world().desk("officer"), text(&registration, "/id"));
    let rotated = desk.json(&["registrations", "rotate-secret", id, "--overlap", "7d"]);
    assert_ne!(text(&rotated, "/eab/hmac_key"), text(&registration, "/eab/hmac_key"));
    for key in [&registration, &rotated] {
        let _ = bind(key).expect(201);
    }
    let until = text(&rotated, "/eab/previous_until");
    let shown = desk.text(&["registrations", "show", id]);
    for part in [&format!("the key before it until {until}"), "bound so far: 2, left: 3"] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
    let again = desk.text(&["registrations", "rotate-secret", id]);
    assert!(again.contains("the one before is dead"), "{again}");
    for dead in [&registration, &rotated] {
        let _ = bind(dead).assert_refused(403, "unauthorized");
    }
    let refused = desk.run(&["registrations", "rotate-secret", id, "--overlap", "31d"]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("at most P30D"), "{refused:?}");
}

#[test]
fn a_key_binds_inside_its_window_and_the_officer_moves_the_window() {
    let registration = many("suffix:window.officer.test", &["--valid-from", "2040-01-01", "--until", "2040-02-01"]);
    let (desk, id) = (world().desk("officer"), text(&registration, "/id"));
    let early = bind(&registration).assert_refused(403, "unauthorized");
    // The program lets nothing end in the past, so the CM is told directly that the window is over.
    let over = json!({"notBefore": "2020-01-01T00:00:00Z", "notAfter": "2020-02-01T00:00:00Z"});
    world().officer().update(id, &json!({"eab": over}));
    let late = bind(&registration).assert_refused(403, "unauthorized");
    for detail in [early, late] {
        assert!(detail.contains("pre-registration can"), "{detail}");
    }
    let moved = desk.json(&["registrations", "update", id, "--until", "2041-01-01", "--max-bindings", "1"]);
    assert_eq!(moved["changes"]["eab.not_after"]["after"], "2041-01-01T00:00:00Z", "{moved}");
    let _ = bind(&registration).expect(201);
    let _ = bind(&registration).assert_refused(403, "unauthorized");
    let shown = desk.text(&["registrations", "show", id]);
    assert!(shown.contains("left: 0, from 2020-01-01T00:00:00Z, until 2041-01-01T00:00:00Z"), "{shown}");
}

#[test]
fn only_a_client_with_a_key_of_its_own_is_rebound() {
    let pending = created(&["--allow", "suffix:pending.officer.test"]);
    let shared = many("suffix:shared.officer.test", &[]);
    let desk = world().desk("officer");
    for (registration, part) in [(&pending, "pending"), (&shared, "pending")] {
        let refused = desk.run(&["registrations", "rebind", text(registration, "/id"), "--reason", "r"]);
        assert_eq!(refused.code, 5, "{refused:?}");
        assert!(refused.stderr.contains("cannot-rebind") && refused.stderr.contains(part), "{refused:?}");
    }
    let unreasoned = desk.run(&["registrations", "rebind", text(&pending, "/id")]);
    assert_eq!(unreasoned.code, 2, "{unreasoned:?}");
}

#[test]
fn a_rebinding_says_what_else_is_dead_and_what_the_client_needs() {
    let desk = world().desk("officer");
    let (_, id) = world().registered_account(&json!({"mode": "any"}));
    let _ = desk.json(&["registrations", "link", &id]);
    let told = desk.text(&["registrations", "rebind", &id, "--reason", "disk died"]);
    for part in
        ["needs a new account key", &format!("registrations link {id}"), "HMAC key", "status       pending since"]
    {
        assert!(told.contains(part), "no {part} in\n{told}");
    }
    assert_eq!(desk.json(&["registrations", "show", &id])["directory_link"], Value::Null);
}

#[test]
fn the_answer_that_was_lost_is_told_with_what_became_of_it() {
    let world = fragile_world();
    let desk = world.desk("officer");
    let (_, id) = world.registered_account(&json!({"mode": "any"}));
    let rebind = ["registrations", "rebind", &id, "--reason", "disk died"];
    let rotate = ["registrations", "rotate-secret", &id];
    let overlap = ["registrations", "rotate-secret", &id, "--overlap", "1d"];
    let table: [(&[&str], &str, &str); 5] = [
        (&rebind, "reset-before", "Nothing was done"),
        (&rotate, "reset-before", "Nothing was done"),
        (&rotate, "reset-after", "nobody has it; draw another one"),
        (&overlap, "reset-after", "the key before goes on"),
        (&rebind, "reset-after", "the account key of"),
    ];
    for (arguments, fault, part) in table {
        world.set_fault("newEabSecret", &json!({"kind": fault}));
        let ran = desk.run(arguments);
        assert_eq!(ran.code, 4, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(part), "{arguments:?}: {ran:?}");
        assert_eq!(world.faults(), json!([]), "the fault did not happen");
    }
    let shown = desk.json(&["registrations", "show", &id]);
    assert_eq!((text(&shown, "/status"), text(&shown, "/status_reason")), ("pending", "disk died"));
    assert_eq!(desk.run(&rotate).code, 0);
}

#[test]
fn a_cm_that_can_do_neither_is_not_asked_and_the_officer_reads_why() {
    let mut world = fragile_world();
    let lacking = "lacks = [\"eab-overlap\", \"rebind\"]";
    change_cm(&mut world, "lacks = []", lacking, |_| {});
    let desk = world.desk("officer");
    let (_, id) = world.registered_account(&json!({"mode": "any"}));
    let rebind = ["registrations", "rebind", &id, "--reason", "disk died"];
    let overlap = ["registrations", "rotate-secret", &id, "--overlap", "1d"];
    let table: [(&[&str], &str); 2] = [(&rebind, "rebinding"), (&overlap, "overlap")];
    for (arguments, part) in table {
        let (asked, ran) = world.counting("newEabSecret", || desk.run(arguments));
        assert_eq!((asked, ran.code), (0, 5), "{ran:?}");
        assert!(ran.stderr.contains(part) && ran.stderr.contains("capability-missing"), "{ran:?}");
    }
    assert_eq!(desk.run(&["registrations", "rotate-secret", &id]).code, 0);
    change_cm(&mut world, lacking, "lacks = []", |_| {});
}

#[test]
fn the_sheet_has_the_key_for_its_owner_only_and_replaces_nothing() {
    let desk = world().desk("officer");
    let folder = world().site().sandbox_dir().join("sheets");
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    let (sheet, owner) = (file("printer.html"), "the room with the sheet");
    let create =
        ["registrations", "create", "--owner", owner, "--allow", "suffix:sheet.officer.test", "--sheet", &sheet];
    let printed = desk.json(&create);
    let page = fs::read_to_string(&sheet).unwrap();
    let key = text(&printed, "/eab/hmac_key");
    for part in [key, text(&printed, "/eab/kid"), text(&printed, "/directory_url"), owner, "sheet.officer.test", "<svg"]
    {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
    assert_eq!(fs::metadata(&sheet).unwrap().permissions().mode() & 0o777, 0o600);
    let again = desk.run(&create);
    assert_eq!(again.code, 3, "{again:?}");
    assert!(again.stderr.contains("name another file"), "{again:?}");
    assert_eq!(fs::read_to_string(&sheet).unwrap(), page);
    let made = desk.json(&["registrations", "list", "--owner", owner]);
    assert_eq!(made["items"].as_array().unwrap().len(), 1, "no key was drawn that nobody saw");
    let rotated = file("rotated.html");
    let told = desk.run(&["registrations", "rotate-secret", text(&printed, "/id"), "--sheet", &rotated]);
    assert!(told.code == 0 && told.stderr.contains(&rotated), "{told:?}");
    assert!(!fs::read_to_string(&rotated).unwrap().contains(key));
    let refused = file("refused.html");
    let pending = desk.run(&["registrations", "rebind", text(&printed, "/id"), "--reason", "r", "--sheet", &refused]);
    assert_eq!(pending.code, 5, "{pending:?}");
    assert!(!Path::new(&refused).exists(), "there is no page without a key");
}
