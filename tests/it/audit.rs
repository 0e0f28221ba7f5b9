//! The audit files: what is in them is verified by the program itself, from outside and with nothing but the files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tests::{binaries, csr::Csr, key::Key, wait_for, world::World};

const SOON: Duration = Duration::from_secs(30);

/// The folder of a world's audit files.
pub(crate) fn folder(world: &World) -> PathBuf {
    world.site().dir.join("gateway/audit")
}

/// `acme-gateway audit …`: the exit code and what it said.
fn audit(command: &str, files: &Path, options: &[&str]) -> (Option<i32>, String) {
    let mut program = Command::new(binaries::gateway());
    let output = program.args(["audit", command]).arg(files).args(options).output().unwrap();
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// The events in a folder, if all is fine.
pub(crate) fn verified(folder: &Path) -> Vec<Value> {
    let (code, said) = audit("verify", folder, &[]);
    assert_eq!(code, Some(0), "{said}");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let lines: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let records = lines.iter().flat_map(|text| text.lines());
    records.map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect()
}

/// How many events with this name there are about what has this URL.
pub(crate) fn count(events: &[Value], name: &str, url: &str) -> usize {
    let id = url.rsplit('/').next().unwrap();
    let is_it = |event: &&Value| event["event"] == name && event["order"] == id;
    events.iter().filter(is_it).count()
}

/// The last part of a URL.
fn id(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// The words of the last checkpoint in the log.
fn checkpoint_in_the_log(world: &World) -> String {
    let log = fs::read_to_string(world.site().log("gateway")).unwrap();
    let found = log.split_whitespace().rfind(|word| word.contains("acme-audit-1."));
    found.unwrap().trim_start_matches("checkpoint=").to_owned()
}

/// The only event with this name about what has this id.
fn only<'a>(events: &'a [Value], name: &str, id: &str) -> &'a Value {
    let is_it = |event: &&Value| event["event"] == name && event.to_string().contains(&format!("{id:?}"));
    let found: Vec<_> = events.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{name} about {id}: {found:?}");
    found[0]
}

#[test]
fn an_order_from_its_refusal_to_its_revocation_leaves_who_did_what_by_which_rule_and_on_what_evidence() {
    let mut world = World::start();
    let rules = json!({
        "mode": "listed",
        "rules": [{"type": "dns", "match": "suffix", "value": "whole.audit.test"}],
        "exclude": [],
    });
    let (client, registration) = world.registered_account(&rules);
    let _ = client.new_order(&["elsewhere.test"]).assert_refused(403, "rejectedIdentifier");
    let name = "a.whole.audit.test";
    let order = client.ready_order(&[name]);
    let order_id = id(&order.url);
    let authorization = id(order.object["authorizations"][0].as_str().unwrap()).to_owned();
    let wrong = Csr::for_names(&["b.whole.audit.test"]).text(&Key::p256());
    let _ = client.finalize(&order, &wrong).assert_refused(400, "badCSR");
    let key = Key::p256();
    let csr = Csr::for_names(&[name]).text(&key);
    let _ = client.finalize(&order, &csr).expect(200);
    let issued = client.download(&client.wait(&order, "valid"), key);
    let delivered = |world: &World| {
        let log = fs::read_to_string(world.site().log("gateway")).unwrap();
        log.lines().any(|line| line.contains("delivery.reported") && line.contains(order_id)).then_some(())
    };
    wait_for("the report", SOON, || delivered(&world));
    let _ = client.revoke(&issued.leaf, 4).expect(200);
    world.signal_gateway("HUP");
    wait_for("the settings", SOON, || {
        let log = fs::read_to_string(world.site().log("gateway")).unwrap();
        log.contains("settings.loaded").then_some(())
    });
    world.signal_gateway("TERM");
    assert_eq!(world.gateway_ended(), Some(0));
    let events = verified(&folder(&world));

    // What was exchanged while nobody served shows too.
    for (of, member) in [("server", "shown"), ("cm", "shown"), ("cm", "trusted"), ("issuer_roots", "trusted")] {
        let mut at_start = events.iter().take_while(|event| event["event"] != "settings.loaded");
        let loaded = at_start.find(|event| event["event"] == "identity.loaded" && event["of"] == of).expect(of);
        assert!(loaded[member]["sha256"][0].is_string(), "{loaded}");
    }
    let created = only(&events, "account.created", &registration);
    let account_key = created["accountKey"].clone();
    assert!(account_key.is_string() && created["externalAccount"].is_string() && created["client"] == "127.0.0.1");
    let refused = only(&events, "order.refused", &registration);
    assert_eq!((&refused["accountKey"], &refused["client"]), (&account_key, &json!("127.0.0.1")));
    assert!(refused["rule"].as_str().is_some_and(|rule| rule.starts_with("identifier.")), "{refused}");
    let judged = only(&events, "order.judged", order_id);
    assert!(judged["identifiers"][0]["by"].is_string(), "{judged}");
    let made = only(&events, "order.created", order_id);
    assert_eq!((&made["account"], &made["accountKey"]), (&json!(registration), &account_key));
    let answered = only(&events, "challenge.answered", &authorization);
    assert_eq!((&answered["method"], &answered["accountKey"]), (&json!("http-01"), &account_key));
    let validated = only(&events, "validation.ended", &authorization);
    assert_eq!((&validated["result"], &validated["evidence"]["perspective"]), (&json!("valid"), &json!("local")));
    assert!(
        !validated["evidence"]["caa"].is_null() && !validated["seen"].as_array().unwrap().is_empty(),
        "{validated}"
    );
    assert!(only(&events, "finalize.refused", order_id)["rule"].as_str().unwrap().starts_with("csr."));
    let finalized = only(&events, "order.finalized", order_id);
    let csr = finalized["csrSha256"].clone();
    assert!(csr.is_string() && !finalized["rules"].as_array().unwrap().is_empty());
    let requested = only(&events, "certificate.requested", order_id);
    assert!(requested["csrSha256"] == csr && requested["idempotencyKey"].is_string(), "{requested}");
    let certificate = only(&events, "certificate.issued", order_id);
    let serial = certificate["serial"].as_str().unwrap();
    let own = issued.leaf.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_lowercase();
    assert_eq!((serial.trim_start_matches('0'), &certificate["csrSha256"]), (own.trim_start_matches('0'), &csr));
    let request = certificate["request"].as_str().unwrap();
    let checked = only(&events, "certificate.checked", order_id);
    assert_eq!((&checked["certificate"], &checked["failed"]), (&certificate["certificate"], &json!([])));
    let asked: Vec<_> =
        events.iter().filter(|event| event["event"] == "cm.asked" && event["about"] == order_id).collect();
    assert!(asked.iter().any(|event| event.to_string().contains("request_id")), "{request}: {asked:?}");
    let certificate = certificate["certificate"].as_str().unwrap();
    for name in ["revocation.requested", "certificate.revoked"] {
        let event = only(&events, name, certificate);
        assert_eq!(
            (&event["by"], &event["account"], &event["client"]),
            (&json!("account"), &json!(registration), &json!("127.0.0.1"))
        );
    }
    let counted: Vec<_> = events.iter().filter(|event| event["event"] == "requests.refused").collect();
    assert!(counted.iter().any(|event| event["problems"]["rejectedIdentifier"] == 1), "{counted:?}");
    // In the order in which they came about.
    let place =
        |name: &str| events.iter().position(|event| event["event"] == name && event.to_string().contains(order_id));
    let order =
        ["order.created", "order.finalized", "certificate.requested", "certificate.issued", "delivery.reported"];
    assert!(order.map(place).is_sorted() && order.map(place).iter().all(Option::is_some), "{:?}", order.map(place));
}

#[test]
fn a_gateway_that_is_killed_again_and_again_tells_each_event_once() {
    let mut world = World::start();
    let account = world.account();
    let mut orders = Vec::new();
    for round in 0..4 {
        let client = account.restarted();
        for number in 0..=round {
            orders.push(client.order(&[&format!("n{number}.r{round}.audit.test")]).url);
        }
        world.kill_gateway();
        world.restart_gateway();
    }
    world.signal_gateway("TERM");
    assert_eq!(world.gateway_ended(), Some(0));
    let events = verified(&folder(&world));
    for order in &orders {
        assert_eq!(count(&events, "order.created", order), 1, "{order}");
    }
    let started: Vec<_> = events.iter().filter(|event| event["event"] == "audit.started").collect();
    let before: Vec<_> = started.iter().map(|event| event["before"].clone()).collect();
    assert_eq!(before, [Value::Null, json!("crashed"), json!("crashed"), json!("crashed"), json!("crashed")]);
    assert!(started.iter().all(|event| event["damage"].is_null()), "{started:?}");
    assert_eq!(events.iter().filter(|event| event["event"] == "audit.stopped").count(), 1);
}

#[test]
fn whoever_cuts_or_edits_the_files_of_a_gateway_is_found_out_by_it_and_by_the_checkpoint_in_the_log() {
    let mut world = World::start();
    let order = world.account().order(&["cut.audit.test"]);
    world.signal_gateway("TERM");
    assert_eq!(world.gateway_ended(), Some(0));
    let checkpoint = checkpoint_in_the_log(&world);
    let (folder, given) = (folder(&world), ["--checkpoint", &checkpoint]);
    let (code, said) = audit("verify", &folder, &given);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("fine: ") && said.contains("audit.stopped"), "{said}");
    let (code, said) = audit("show", &folder, &["--about", order.url.rsplit('/').next().unwrap()]);
    assert!(code == Some(0) && said.contains("order.created") && said.contains("cut.audit.test"), "{said}");

    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let at = lines.iter().position(|line| line.contains("cut.audit.test")).unwrap();
    fs::write(&file, whole.replace("cut.audit.test", "lie.audit.test")).unwrap();
    let (code, said) = audit("verify", &folder, &["--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    let sequence = u64::try_from(at).unwrap() + 1;
    assert_eq!(
        (code, told["fine"].clone(), told["fault"]["sequence"].clone()),
        (Some(2), json!(false), json!(sequence))
    );

    // A cron job does not take a word that is mistyped for tampering.
    for mistyped in [&["--key", "zz"][..], &["--chekpoint", "x"]] {
        assert_eq!(audit("verify", &folder, mistyped).0, Some(64), "{mistyped:?}");
    }

    // Nothing in the file itself tells that its end is missing.
    let rest: String = lines[..at].iter().map(|line| format!("{line}\n")).collect();
    fs::write(&file, rest).unwrap();
    let (code, said) = audit("verify", &folder, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("does not end with audit.stopped") && said.contains("--checkpoint"), "{said}");
    let (code, said) = audit("verify", &folder, &given);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("record {sequence}: cut away")), "{said}");

    // The gateway remembers too, alarms, and says so in its next record.
    world.restart_gateway();
    let log = fs::read_to_string(world.site().log("gateway")).unwrap();
    assert!(log.contains("ALARM: the audit files are not as they were left"), "no alarm");
    let (code, said) = audit("verify", &folder, &[]);
    assert!(code == Some(2) && said.contains("missing"), "{said}");
    let metrics = world.site().ops("/metrics").expect(200).text();
    assert!(metrics.contains("\nacme_gateway_audit_damaged 1\n"), "{metrics}");
    // What comes after can be verified by itself.
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (code, said) = audit("verify", files.last().unwrap(), &[]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn while_the_audit_files_cannot_be_written_orders_are_refused_and_then_taken_again() {
    let mut world = World::start();
    let client = world.account();
    let ready = client.ready_order(&["ready.audit.test"]);
    let (folder, aside) = (folder(&world), world.site().dir.join("gateway/aside"));
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "in the way").unwrap();
    let refused = wait_for("a refusal", SOON, || {
        let response = client.new_order(&["new.audit.test"]);
        (response.status != 201).then_some(response)
    });
    let detail = refused.assert_refused(503, "serverInternal");
    assert!(refused.header("retry-after").is_some() && !detail.contains("audit"), "{refused:?}");
    let not_ready = world.site().ops("/readyz").expect(503).text();
    assert!(not_ready.contains("audit: ") && not_ready.contains("nothing new is issued"), "{not_ready}");
    assert!(world.site().ops("/metrics").expect(200).text().contains("\nacme_gateway_audit_unwritable 1\n"));
    let _ = client.read(&ready.url).expect(200);
    let log = fs::read_to_string(world.site().log("gateway")).unwrap();
    assert!(log.contains("ALARM: the audit files cannot be written"), "no alarm");

    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    wait_for("readiness", SOON, || (world.site().ops("/readyz").status == 200).then_some(()));
    let csr = Csr::for_names(&["ready.audit.test"]).text(&Key::p256());
    let _ = client.finalize(&ready, &csr).expect(200);
    let _ = client.wait(&ready, "valid");
    world.signal_gateway("TERM");
    assert_eq!(world.gateway_ended(), Some(0));
    let events = verified(&folder);
    assert_eq!(count(&events, "certificate.issued", &ready.url), 1);
    assert!(events.iter().all(|event| event["event"] != "audit.reopened"), "it is the same file");
}

#[test]
fn another_audit_key_is_an_alarm_and_an_error_unless_the_one_before_announces_it() {
    let mut world = World::start();
    let (folder, key) = (folder(&world), world.site().dir.join("gateway/audit.key"));
    let restart = |world: &mut World, to: &Path| {
        let _ended = world.stop_gateway();
        fs::rename(&key, to).unwrap();
        world.restart_gateway();
        world.site().ops("/metrics").expect(200).text().contains("\nacme_gateway_audit_damaged 1\n")
    };
    assert!(!restart(&mut world, &key.with_extension("key.previous")), "announced");
    let (code, said) = audit("verify", &folder, &[]);
    assert!(code == Some(0) && said.contains("which that key has announced"), "{said}");
    fs::remove_file(key.with_extension("key.previous")).unwrap();

    assert!(restart(&mut world, &key.with_extension("lost")), "not announced");
    let log = fs::read_to_string(world.site().log("gateway")).unwrap();
    assert!(log.contains("ALARM: the key that signs the audit files is another one"), "no alarm");
    let (code, said) = audit("verify", &folder, &["--json"]);
    let fault = serde_json::from_str::<Value>(&said).unwrap()["fault"].clone();
    assert_eq!(code, Some(2), "{said}");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    assert_eq!((&fault["file"], &fault["line"]), (&json!(files[2]), &json!(1)), "{fault}");
    // What it says is to be given makes it fine.
    let wrong = fault["wrong"].as_str().unwrap();
    let keys: Vec<_> = wrong.split_once("give both, ").unwrap().1.split_whitespace().collect();
    let (code, said) = audit("verify", &folder, &keys);
    assert!(code == Some(2) && said.contains("none of those"), "the first file is signed by a third: {said}");
    let first: Value = serde_json::from_str(fs::read_to_string(&files[0]).unwrap().lines().next().unwrap()).unwrap();
    let first = first["event"]["key"].as_str().unwrap();
    let (code, said) = audit("verify", &folder, &[&keys[..], &["--key", first]].concat());
    assert!(code == Some(0) && said.contains("by nobody's word but yours"), "{said}");
    let _ended = world.stop_gateway();
    world.restart_gateway();
    let is_alarm = |value: u8| {
        let metrics = world.site().ops("/metrics").expect(200).text();
        metrics.contains(&format!("\nacme_gateway_audit_damaged {value}\n"))
    };
    assert!(is_alarm(1), "a restart is no look");
    fs::remove_file(folder.join("DAMAGED")).unwrap();
    assert!(is_alarm(0), "somebody has looked");
}
