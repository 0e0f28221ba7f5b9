//! Certificates and requests in the hands of officers and approvers.

use serde_json::Value;

use super::{bound, created, text};
use crate::{registration::waiting_for_approval, world};

#[test]
fn an_officer_finds_shows_and_revokes_a_certificate() {
    let registration = created(&["--allow", "suffix:revoked.officer.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    let _ = client.issue(&["www.revoked.officer.test"]);
    let desk = world().desk("officer");
    let list = desk.json(&["certificates", "list", "--registration", id]);
    let certificate = text(&list, "/items/0/id").to_owned();
    let by_name = desk.json(&["certificates", "list", "--identifier", "www.revoked.officer.test", "--status", "good"]);
    assert_eq!(text(&by_name, "/items/0/id"), certificate);
    assert!(desk.text(&["certificates", "show", &certificate]).contains("www.revoked.officer.test"));
    let pem = desk.text(&["certificates", "show", &certificate, "--pem"]);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"), "{pem}");
    let revoked =
        desk.json(&["certificates", "revoke", &certificate, "--reason", "privilege-withdrawn", "--comment", "a test"]);
    assert_eq!(text(&revoked, "/status"), "revoked");
    assert_eq!(text(&revoked, "/revocation/reason"), "privilegeWithdrawn");
    let again = desk.run(&["certificates", "revoke", &certificate, "--reason", "superseded"]);
    assert_eq!(again.code, 5, "{again:?}");
    assert!(again.stderr.contains("already-revoked"), "{again:?}");
}

#[test]
fn a_hold_is_taken_back() {
    let registration = created(&["--allow", "suffix:hold.officer.test"]);
    let _ = bound(&registration).issue(&["www.hold.officer.test"]);
    let desk = world().desk("officer");
    let list = desk.json(&["certificates", "list", "--registration", text(&registration, "/id")]);
    let certificate = text(&list, "/items/0/id");
    let held = desk.json(&["certificates", "revoke", certificate, "--reason", "certificate-hold"]);
    assert_eq!(text(&held, "/status"), "hold");
    assert_eq!(text(&desk.json(&["certificates", "reinstate", certificate]), "/status"), "good");
}

#[test]
fn a_registration_goes_with_its_certificates_only_when_that_is_said_twice() {
    let registration = created(&["--allow", "suffix:ended.officer.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    let _ = client.issue(&["www.ended.officer.test"]);
    let desk = world().desk("officer");
    let command = ["registrations", "revoke", id, "--reason", "scrapped", "--with-certificates"];
    let shown = desk.text(&command);
    assert!(shown.contains("www.ended.officer.test") && shown.contains("--apply"), "{shown}");
    assert_eq!(text(&desk.json(&["registrations", "show", id]), "/status"), "active");
    let done = desk.json(&[&command[..], &["--apply"]].concat());
    assert_eq!((done["applied"].clone(), text(&done, "/status")), (Value::Bool(true), "revoked"));
    let list = desk.json(&["certificates", "list", "--registration", id]);
    assert_eq!(text(&list, "/items/0/status"), "revoked");
}

#[test]
fn an_approver_decides_what_waits() {
    let approver = world().desk("approver");
    for (name, decision, status) in [
        ("approved.officer.test", vec!["approve"], "valid"),
        ("rejected.officer.test", vec!["reject", "--reason", "not this printer"], "invalid"),
    ] {
        let (client, order) = waiting_for_approval(name);
        let reference = order.url.rsplit('/').next().unwrap();
        let waiting = approver.json(&["approvals", "list"]);
        let waits = waiting["items"].as_array().unwrap().iter().find(|one| one["order_ref"] == reference);
        let request = text(waits.expect("the request waits"), "/id");
        assert!(approver.text(&["approvals", "list"]).contains(request));
        let words = [&["approvals", decision[0], request], &decision[1..]].concat();
        let _ = approver.json(&words);
        let order = client.wait(&order, status);
        if status == "invalid" {
            assert!(order.object["error"]["detail"].as_str().unwrap().contains("not this printer"), "{order:?}");
        }
    }
}
