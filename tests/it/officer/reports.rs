//! Reports about what really happened: issued, ending, refused, idle, who could, and a renewal that stays away.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::{client::Order, csr::Csr, key::Key, wait_for};

use super::{bound, created, text};
use crate::{registration::waiting_for_approval, renewal_info::acme_time, world};

fn items(report: &Value) -> &Vec<Value> {
    report["items"].as_array().unwrap_or_else(|| panic!("no items in {report}"))
}

fn is_by(role: &str, item: &Value) -> bool {
    text(item, "/actor").starts_with(&format!("urn:cm:{role}:"))
}

fn of<'a>(report: &'a Value, column: &str, value: &str) -> Vec<&'a Value> {
    items(report).iter().filter(|item| item[column] == value).collect()
}

/// The CM's clock in whole seconds, as a report is dated.
fn time() -> String {
    text(
        &world().desk("officer").json(&["report", "refused", "--from", "2000-01-01", "--to", "2000-01-02"]),
        "/made_at",
    )
    .to_owned()
}

/// Records have whole seconds here and there, so what is to come after something has a second of its own.
fn next_second() -> String {
    let before = time();
    wait_for("the next second", Duration::from_secs(120), || Some(time()).filter(|now| *now > before))
}

#[test]
fn what_was_issued_is_reported_in_every_format_and_whole_or_not_at_all() {
    let registration = created(&["--allow", "suffix:issued.report.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    for name in ["one.issued.report.test", "two.issued.report.test"] {
        let _ = client.issue(&[name]);
    }
    let desk = world().desk("officer");
    let report = ["report", "issued", "--registration", id];
    let json = desk.json(&report);
    assert_eq!((&json["total"], &json["totals"]["profile tls-server"]), (&json!(2), &json!(2)));
    let csv = desk.text(&[&report[..], &["--format", "csv"]].concat());
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "issued_at,not_after,certificate,serial,status,registration,profile,names");
    assert!(lines.len() == 3 && lines[1].contains(id) && csv.contains("two.issued.report.test"), "{csv}");
    let page = desk.text(&[&report[..], &["--format", "html"]].concat());
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<td>one.issued.report.test</td>"), "{page}");
    assert!(desk.text(&report).contains("total: 2"));
    let before = desk.json(&[&report[..], &["--from", "2020-01-01", "--to", "2020-02-01"]].concat());
    assert_eq!(before["total"], 0);
    let cut = desk.run(&[&report[..], &["--limit", "1"]].concat());
    assert_eq!((cut.code, cut.stdout.as_str()), (2, ""), "{cut:?}");
    assert!(cut.stderr.contains("a report is whole or there is none"), "{cut:?}");
}

#[test]
fn what_ends_is_told_with_its_owner_and_what_took_its_place() {
    let registration = created(&["--allow", "suffix:ending.report.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    let report = || world().desk("officer").json(&["report", "expiring", "--within", "3000", "--registration", id]);
    let _ = client.issue(&["www.ending.report.test"]);
    let first = report();
    assert_eq!(items(&first).len(), 1, "{first}");
    assert_eq!(text(&first, "/items/0/owner"), "tests of the officer's program");
    assert_eq!((&first["items"][0]["renewed_by"], &first["totals"]["not renewed"]), (&Value::Null, &json!(1)));
    let certificate = text(&first, "/items/0/certificate").to_owned();
    let _ = next_second();
    let _ = client.issue(&["www.ending.report.test"]);
    let second = report();
    assert_eq!(items(&second).len(), 2, "{second}");
    assert_eq!(of(&second, "certificate", &certificate)[0]["renewed_by"], second["items"][1]["certificate"]);
    assert_eq!(second["items"][1]["renewed_by"], Value::Null);
}

#[test]
fn refusals_are_told_by_rule_and_an_auditor_is_told_more() {
    let (client, order) = waiting_for_approval("refused.report.test");
    let reference = order.url.rsplit('/').next().unwrap();
    let approver = world().desk("approver");
    let waiting = approver.json(&["approvals", "list"]);
    let request = text(of(&waiting, "order_ref", reference)[0], "/id").to_owned();
    let _ = approver.json(&["approvals", "reject", &request, "--reason", "not this printer"]);
    let _ = client.wait(&order, "invalid");
    let by_auditor = ["registrations", "create", "--owner", "o", "--allow", "suffix:refused.report.test"];
    assert_eq!(world().desk("auditor").run(&by_auditor).code, 5);
    let mut stranger = world().client("registered");
    let binding = stranger.binding("nobody-knows-this-kid", &[7; 32]);
    let _ = stranger.register(&json!({"externalAccountBinding": binding})).expect(403);

    let told = world().desk("officer").json(&["report", "refused"]);
    let rejected = of(&told, "subject", &request);
    assert_eq!(rejected[0]["rule"], "request-rejected", "{told}");
    assert!(text(rejected[0], "/detail").contains("not this printer"), "{told}");
    assert!(told["notes"].to_string().contains("auditors only"), "{told}");
    assert_eq!(of(&told, "source", "audit").len(), 0);

    let told = world().desk("auditor").json(&["report", "refused"]);
    assert_eq!(of(&told, "subject", &request).len(), 1);
    assert!(!of(&told, "action", "bindRegistration").is_empty(), "{told}");
    let by_people = |item: &Value| ["officer", "approver", "auditor"].iter().any(|role| is_by(role, item));
    assert!(!items(&told).iter().any(by_people), "what people are refused is in the trail, not here: {told}");
    assert!(told["notes"].to_string().contains("identifier.not-listed"), "{told}");
    assert!(!told["notes"].to_string().contains("auditors only"), "{told}");
}

#[test]
fn a_registration_that_was_just_made_is_not_idle() {
    let registration = created(&["--allow", "suffix:idle.report.test"]);
    let csv = world().desk("officer").text(&["report", "inactive", "--days", "1", "--format", "csv"]);
    assert!(csv.starts_with("registration,status,owner,created_at,bound_at,last_certificate_at,last_seen_at"), "{csv}");
    assert!(!csv.contains(text(&registration, "/id")), "{csv}");
}

#[test]
fn who_could_have_a_name_is_answered_for_the_past_to_auditors_and_to_nobody_else() {
    let registration = created(&["--allow", "suffix:past.report.test"]);
    let (id, name) = (text(&registration, "/id"), "www.past.report.test");
    let who = ["report", "who-could", name];
    let moment = next_second();
    let (officer, auditor) = (world().desk("officer"), world().desk("auditor"));
    let now = officer.json(&who);
    let can = of(&now, "registration", id);
    assert_eq!(can.len(), 1, "{now}");
    assert!(text(can[0], "/why").contains("allowed by suffix past.report.test"), "{now}");
    let _ = next_second();
    let _ = officer.text(&["registrations", "update", id, "--add-allow", "exact:other.report.test"]);
    let _ = officer.text(&["registrations", "update", id, "--remove-allow", "suffix:past.report.test"]);
    let _ = next_second();

    assert_eq!(of(&officer.json(&who), "registration", id).len(), 0);
    let then = auditor.json(&[&who[..], &["--on", &moment]].concat());
    let could = of(&then, "registration", id);
    assert_eq!(could.len(), 1, "{then}");
    assert!(text(could[0], "/answered_for").starts_with(&moment), "{then}");
    assert!(text(could[0], "/until") > moment.as_str(), "{then}");
    let day = auditor.json(&[&who[..], &["--on", moment.split('T').next().unwrap()]].concat());
    assert!(!of(&day, "registration", id).is_empty(), "{day}");

    let untold = officer.json(&[&who[..], &["--on", &moment]].concat());
    assert_eq!(of(&untold, "registration", id).len(), 0, "what is now is not passed off as then: {untold}");
    assert!(untold["notes"].to_string().contains("NOT ANSWERED FOR THE TIME"), "{untold}");
    let csv = officer.run(&[&who[..], &["--on", &moment, "--format", "csv"]].concat());
    assert!(csv.code == 0 && !csv.stdout.contains(id), "{csv:?}");
    assert!(csv.stderr.contains("NOT ANSWERED FOR THE TIME"), "{csv:?}");
}

#[test]
fn a_registration_that_waits_for_its_client_again_could_since_it_waits() {
    let registration = created(&["--allow", "suffix:rebound.report.test"]);
    let (id, name, desk) = (text(&registration, "/id"), "www.rebound.report.test", world().desk("officer"));
    let _ = bound(&registration);
    let _ = next_second();
    let rebound = desk.json(&["registrations", "rebind", id, "--reason", "disk died"]);
    let _ = next_second();
    let told = desk.json(&["report", "who-could", name]);
    let can = of(&told, "registration", id);
    assert_eq!(can.len(), 1, "{told}");
    let second = text(&rebound, "/status_at").get(..19).unwrap();
    assert_eq!((text(can[0], "/status"), text(can[0], "/since")), ("pending", format!("{second}Z").as_str()));
}

#[test]
fn a_renewal_that_stays_away_is_told_before_the_certificate_ends() {
    let registration = created(&["--allow", "suffix:away.report.test"]);
    let (client, id, name) = (bound(&registration), text(&registration, "/id"), "www.away.report.test");
    let missed = || world().desk("officer").json(&["report", "missed"]);
    let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let issue = || {
        let end = acme_time(seconds() + 80);
        let payload = json!({"identifiers": [{"type": "dns", "value": name}], "notAfter": end});
        let response = client.post(&client.url("new-order"), &payload).expect(201);
        let order = client.prove(&Order { url: response.location(), object: response.json() });
        let _ = client.finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
        let _ = client.wait(&order, "valid");
        end
    };
    // Renewed after an eighth of its life, so the next renewal is missing long before the end.
    let _ = issue();
    let renewal = seconds() + 10;
    wait_for("the time of its renewal", Duration::from_secs(120), || (seconds() > renewal).then_some(()));
    let end = issue();
    assert_eq!(of(&missed(), "registration", id).len(), 0, "it is not due yet");
    let report = wait_for("the radar to tell", Duration::from_secs(75), || {
        Some(missed()).filter(|report| !of(report, "registration", id).is_empty())
    });
    let told = of(&report, "registration", id)[0];
    assert_eq!(
        (text(told, "/rhythm"), &told["renewals"], text(told, "/not_after")),
        ("learned", &json!(1), end.as_str())
    );
    assert!(text(&report, "/made_at") < end.as_str(), "it is still in force: {report}");
    assert_eq!((text(told, "/registration_status"), &told["names"]), ("active", &json!([name])));
}
