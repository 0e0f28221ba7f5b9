//! Many registrations from files of other products, interrupted and resumed.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{binaries, random::Random, wait_for};

use super::{bound, text};
use crate::world;

/// Enough that the program is still at it when it is killed; `ACME_GATEWAY_TESTS_IMPORT_LINES=10000` takes some minutes.
const MANY: usize = 1000;

fn file(name: &str, contents: &str) -> PathBuf {
    let path = world().site().dir.join(name);
    fs::write(&path, contents).unwrap();
    path
}

fn counted(answer: &Value, action: &str) -> usize {
    answer["items"].as_array().unwrap().iter().filter(|item| item["action"] == action).count()
}

#[test]
fn a_list_of_another_product_is_shown_before_it_is_taken() {
    let desk = world().desk("officer");
    let csv =
        "eab_kid,eab_mac,allowed_domainlist,contact\nimp-a2c-1,bWFj,\"*.a2c.import.test,one.import.test\",print room\n";
    let path = file("a2c.csv", csv);
    let path = path.to_str().unwrap();
    let shown = desk.json(&["registrations", "import", path, "--from", "acme2certifier"]);
    assert_eq!((shown["applied"].clone(), counted(&shown, "create")), (json!(false), 1));
    assert_eq!(shown["items"][0]["no_longer_allowed"], json!(["*.bada2c.import.test"]));
    assert_eq!(shown["ignored_columns"], json!(["eab_mac"]));
    assert_eq!(desk.run(&["registrations", "show", "imp-a2c-1"]).code, 6, "nothing was done");

    let secrets = world().site().dir.join("a2c-secrets.csv");
    let apply = [
        "registrations",
        "import",
        path,
        "--from",
        "acme2certifier",
        "--apply",
        "--secrets",
        secrets.to_str().unwrap(),
    ];
    assert_eq!(counted(&desk.json(&apply), "create"), 1);
    let keys = fs::read_to_string(&secrets).unwrap();
    let (_, key) = keys.lines().last().unwrap().split_once("imp-a2c-1,").unwrap();
    let made = json!({"eab": {"kid": "imp-a2c-1", "hmac_key": key.split(',').next().unwrap()}});
    let client = bound(&made);
    for name in ["x.y.a2c.import.test", "*.a2c.import.test", "one.import.test"] {
        let _ = client.order(&[name]);
    }
    for name in ["a2c.import.test", "*.bada2c.import.test", "www.one.import.test"] {
        let _ = client.new_order(&[name]).assert_refused(403, "rejectedIdentifier");
    }
    assert_eq!(counted(&desk.json(&apply), "same"), 1, "again is harmless");
}

#[test]
fn a_wrong_line_stops_an_import_unless_it_is_left_out() {
    let desk = world().desk("officer");
    let path = file("wrong.csv", "kid,owner,names\nimp-good-1,o,good.import.test\nimp-bad-1,o,com\nimp-bad-2,o,\n");
    let secrets = world().site().dir.join("wrong-secrets.csv");
    let apply = [
        "registrations",
        "import",
        path.to_str().unwrap(),
        "--from",
        "nexus",
        "--apply",
        "--secrets",
        secrets.to_str().unwrap(),
    ];
    let stopped = desk.run(&apply);
    assert_eq!(stopped.code, 3, "{stopped:?}");
    assert!(stopped.stderr.contains("line 3: imp-bad-1") && stopped.stderr.contains("public suffix"), "{stopped:?}");
    assert_eq!(desk.run(&["registrations", "show", "imp-good-1"]).code, 6, "nothing was done");
    let done = desk.json(&[&apply[..], &["--skip-wrong"]].concat());
    assert_eq!((counted(&done, "create"), counted(&done, "wrong")), (1, 2));
    let shown = desk.json(&["registrations", "show", "imp-good-1"]);
    assert_eq!(text(&shown, "/allowed_identifiers/rules/0/match"), "suffix");
}

#[test]
fn an_import_that_is_killed_goes_on_without_duplicates() {
    let many = env::var("ACME_GATEWAY_TESTS_IMPORT_LINES").ok().and_then(|text| text.parse().ok()).unwrap_or(MANY);
    let desk = world().desk("officer");
    let rows: String = (0..many).map(|n| format!("imp-many-{n},many imported,host-{n}.import.test\n")).collect();
    let path = file("many.csv", &format!("kid,owner,names\n{rows}"));
    let secrets = world().site().dir.join("many-secrets.csv");
    let path = path.to_str().unwrap();
    let shown = Instant::now();
    let plan = desk.json(&["registrations", "import", path, "--from", "nexus"]);
    assert_eq!(
        (counted(&plan, "create"), &plan["applied"]),
        (many, &json!(false)),
        "nothing is done before it is asked for"
    );
    let shown = shown.elapsed();
    let apply = ["registrations", "import", path, "--from", "nexus", "--apply", "--secrets", secrets.to_str().unwrap()];

    let keys = || fs::read_to_string(&secrets).map(|text| text.lines().count().saturating_sub(1)).unwrap_or(0);
    let mut random = Random::of(0x1a9_0127, &[]);
    let mut killed_at = Vec::new();
    let applied = Instant::now();
    for third in 0..3_u64 {
        let share = u64::try_from(many).unwrap() / 3;
        let least = usize::try_from(random.between(share * third + 1..=share * (third + 1) - share / 4)).unwrap();
        let mut command = Command::new(binaries::officer());
        let _ = command.arg("--config").arg(world().site().dir.join("desk-of-officer.toml")).args(apply);
        let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("some keys", Duration::from_secs(600), || (keys() > least).then_some(()));
        running.kill().unwrap();
        let _ = running.wait().unwrap();
        killed_at.push(keys());
    }
    assert!(killed_at.iter().all(|written| *written < many), "it was killed in the middle: {killed_at:?}");

    let ran = desk.run(&[&apply[..], &["--json"]].concat());
    let applied = applied.elapsed();
    assert_eq!(ran.code, 0, "{ran:?}");
    let done: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(counted(&done, "same") >= killed_at[2] - 2, "what was there stays: {killed_at:?}");
    assert!(ran.stderr.contains(&format!("{many} of {many} lines")), "progress is told: {}", ran.stderr);
    let list = desk.json(&["registrations", "list", "--owner", "many imported", "--limit", "1000000"]);
    let ids: BTreeSet<&str> = list["items"].as_array().unwrap().iter().map(|one| text(one, "/eab/kid")).collect();
    assert_eq!((ids.len(), list["items"].as_array().unwrap().len()), (many, many));
    let written = fs::read_to_string(&secrets).unwrap();
    let whole =
        written.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>()).filter(|cells| cells.len() == 3);
    // Where a line was cut off, or its key drawn again, the last one counts.
    let secret_of: BTreeMap<&str, &str> = whole.map(|cells| (cells[0], cells[1])).collect();
    assert_eq!(secret_of.len(), many, "each has a key that somebody can read");
    for at in killed_at.iter().flat_map(|at| [at - 1, *at, at + 1]) {
        let kid = format!("imp-many-{}", at.min(many - 1));
        let _ = bound(&json!({"eab": {"kid": kid, "hmac_key": secret_of[kid.as_str()]}}));
    }
    println!(
        "{many} lines: shown in {} ms; killed with {killed_at:?} keys; all there after {} ms",
        shown.as_millis(),
        applied.as_millis()
    );
}

#[test]
fn what_is_exported_is_taken_back_as_it_is() {
    let desk = world().desk("officer");
    let made = desk.json(&[
        "registrations",
        "create",
        "--owner",
        "ex\u{fc}port, room 7",
        "--key-id",
        "exported-1",
        "--allow",
        "suffix:export.import.test,no-wildcards",
        "--allow",
        "cidr:192.0.2.0/24",
        "--exclude",
        "exact:vpn.export.import.test",
    ]);
    let export = desk.text(&["registrations", "export"]);
    let heading = export.lines().next().unwrap();
    let line = export.lines().find(|line| line.starts_with("exported-1,")).expect("it is exported");
    assert!(!export.contains(text(&made, "/eab/hmac_key")));
    let path = file("exported.csv", &format!("{heading}\n{line}\n"));
    let again = desk.json(&["registrations", "import", path.to_str().unwrap()]);
    assert_eq!(counted(&again, "same"), 1, "{again}");
    let narrower =
        file("narrower.csv", &format!("{heading}\n{}\n", line.replace("cidr:192.0.2.0/24", "cidr:192.0.2.0/25")));
    let differs = desk.json(&["registrations", "import", narrower.to_str().unwrap()]);
    assert_eq!(counted(&differs, "differs"), 1, "{differs}");
    let secrets = world().site().dir.join("narrower-secrets.csv");
    let arguments = [
        "registrations",
        "import",
        narrower.to_str().unwrap(),
        "--update",
        "--apply",
        "--secrets",
        secrets.to_str().unwrap(),
    ];
    assert_eq!(counted(&desk.json(&arguments), "update"), 1);
    let shown = desk.text(&["registrations", "show", "exported-1"]);
    assert!(shown.contains("cidr:192.0.2.0/25"), "{shown}");
}

/// What `export` says of a key id, by heading.
fn exported(key_id: &str) -> BTreeMap<String, String> {
    let export = world().desk("officer").text(&["registrations", "export"]);
    let line = export.lines().find(|line| line.starts_with(&format!("{key_id},"))).expect("it is exported");
    let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let (heading, line) = (cells(export.lines().next().unwrap()), cells(line));
    assert_eq!(heading.len(), line.len(), "no cell of these tests has a comma in it");
    heading.into_iter().zip(line).collect()
}

/// A file with this one line.
fn written(name: &str, cells: &BTreeMap<String, String>) -> PathBuf {
    let join = |cells: Vec<&str>| cells.join(",");
    let (heading, line) = cells.iter().map(|(heading, cell)| (heading.as_str(), cell.as_str())).unzip();
    file(name, &format!("{}\n{}\n", join(heading), join(line)))
}

#[test]
fn nothing_is_widened_by_export_and_import() {
    let desk = world().desk("officer");
    let _ = desk.json(&[
        "registrations",
        "create",
        "--key-id",
        "round-trip-1",
        "--owner",
        "round trip",
        "--comment",
        "ticket 7",
        "--allow",
        "suffix:trip.import.test",
        "--exclude",
        "exact:vpn.trip.import.test",
        "--profile",
        "tls-server",
        "--max-validity",
        "P30D",
        "--use",
        "multi",
        "--max-bindings",
        "5",
        "--valid-from",
        "2026-01-01",
        "--until",
        "2037-01-01",
        "--algorithm",
        "HS384",
    ]);
    let mut cells = exported("round-trip-1");
    assert!(cells.values().all(|cell| !cell.is_empty()), "all of it is there: {cells:?}");
    let of_key =
        ["max_validity", "use", "max_bindings", "valid_from", "until", "algorithms"].map(|one| cells[one].as_str());
    assert_eq!(of_key, ["P30D", "multi", "5", "2026-01-01T00:00:00Z", "2037-01-01T00:00:00Z", "HS384"]);
    let key = |n: usize| ("eab_kid".to_owned(), format!("round-trip-{n}"));
    cells.extend([key(2)]);
    let secrets = world().site().dir.join("trip-secrets.csv");
    let apply = |path: &PathBuf, more: &[&str]| {
        let words = ["registrations", "import", path.to_str().unwrap(), "--apply", "--secrets"];
        desk.run(&[&words[..], &[secrets.to_str().unwrap(), "--json"], more].concat())
    };
    let ran = apply(&written("trip.csv", &cells), &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let again = exported("round-trip-2");
    assert_ne!(cells.insert("registration".to_owned(), again["registration"].clone()).unwrap(), again["registration"]);
    assert_eq!(again, cells);

    // One that was ended does not begin anew with a fresh key.
    let _ = desk.json(&["registrations", "suspend", &again["registration"], "--reason", "left the company"]);
    let mut suspended = exported("round-trip-2");
    let same = apply(&written("same.csv", &suspended), &[]);
    assert_eq!(counted(&serde_json::from_str(&same.stdout).unwrap(), "same"), 1, "it stays as it is: {same:?}");
    suspended.extend([key(3)]);
    let path = written("suspended.csv", &suspended);
    let refused = apply(&path, &[]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("it was suspended") && refused.stderr.contains("--with-ended"), "{refused:?}");
    assert_eq!(desk.run(&["registrations", "show", "round-trip-3"]).code, 6, "nothing was done");
    let meant = apply(&path, &["--with-ended"]);
    assert_eq!(meant.code, 0, "{meant:?}");
    assert_eq!(exported("round-trip-3")["status"], "pending");
}
