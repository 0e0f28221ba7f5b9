//! What an approver sees before she decides, and what an officer sees of a key that binds many.

use serde_json::json;

use super::{bound, created, text};
use crate::{registration::waiting_for_approval, world};

#[test]
fn an_approver_sees_what_is_asked_for_and_for_whom() {
    let name = "seen.approval.test";
    let (client, order) = waiting_for_approval(name);
    let reference = order.url.rsplit('/').next().unwrap();
    let approver = world().desk("approver");
    let waiting = approver.json(&["approvals", "list"]);
    let waits = waiting["items"].as_array().unwrap().iter().find(|one| one["order_ref"] == reference).unwrap();
    assert_eq!(waits["identifiers"], json!([{"type": "dns", "value": name}]));
    let request = text(waits, "/id").to_owned();
    assert!(approver.text(&["approvals", "list"]).contains(name));
    let shown = approver.text(&["approvals", "show", &request]);
    for fact in [name, "tls-server-approval", text(waits, "/registration"), "tests", "urn:cm:officer:anna", "any"] {
        assert!(shown.contains(fact), "{fact} is not in {shown}");
    }
    assert_eq!(approver.json(&["approvals", "show", &request])["spki_sha256"], waits["spki_sha256"]);
    let _ = approver.text(&["approvals", "approve", &request, "--comment", "the printer is ours"]);
    let _ = client.wait(&order, "valid");
    let trail = world().desk("auditor").json(&["audit", "--subject", &request, "--action", "approveRequest"]);
    assert_eq!(trail["items"][0]["after"]["identifiers"][0]["value"], name, "{trail}");
    assert_eq!(trail["items"][0]["after"]["profile"], "tls-server-approval");
}

#[test]
fn the_registrations_and_certificates_of_a_key_that_binds_many_are_found_by_it() {
    let parent = created(&["--allow", "suffix:fleet.approval.test", "--use", "multi"]);
    let (id, desk) = (text(&parent, "/id"), world().desk("officer"));
    let (one, other) = (bound(&parent), bound(&parent));
    let _ = one.issue(&["one.fleet.approval.test"]);
    let _ = other.issue(&["other.fleet.approval.test"]);
    let children = desk.json(&["registrations", "list", "--parent", id]);
    assert_eq!(children["items"].as_array().unwrap().len(), 2, "{children}");
    assert!(children["items"].as_array().unwrap().iter().all(|child| child["parent"] == id));
    let certificates = desk.text(&["certificates", "list", "--parent", id]);
    assert!(certificates.contains("one.fleet") && certificates.contains("other.fleet"), "{certificates}");
    let own = desk.json(&["certificates", "list", "--registration", id]);
    assert_eq!(own["items"], json!([]), "the registration itself has none");
}
