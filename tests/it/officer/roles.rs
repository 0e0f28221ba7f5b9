//! Who may do what at the CM with the officer's program: four identities, every command.

use super::{created, text};
use crate::world;

const IDENTITIES: [&str; 4] = ["officer", "approver", "auditor", "gateway"];
/// Stands for the identity, so that each wants to change something.
const IDENTITY: &str = "IDENTITY";
/// Exit codes: the CM refuses, there is no such thing.
const REFUSED: i32 = 5;
const NOT_FOUND: i32 = 6;

#[test]
fn every_identity_may_do_what_its_role_says_and_nothing_else() {
    let registration = created(&["--allow", "suffix:roles.officer.test"]);
    let id = text(&registration, "/id");
    let (request, certificate) = ("req_00000000000000000000000000", "AAAA.AAAA");
    // What each identity is answered, in the order above.
    let table: [(&[&str], [i32; 4]); 17] = [
        (&["registrations", "show", id], [0, 0, 0, 0]),
        (&["registrations", "list", "--limit", "1"], [0, 0, 0, REFUSED]),
        (&["explain", id, "www.roles.officer.test"], [0, 0, 0, 0]),
        (
            &["registrations", "create", "--owner", "o", "--allow", "suffix:roles.officer.test"],
            [0, REFUSED, REFUSED, REFUSED],
        ),
        (&["registrations", "update", id, "--comment", IDENTITY], [0, REFUSED, REFUSED, REFUSED]),
        (&["registrations", "suspend", id, "--reason", "r"], [0, REFUSED, REFUSED, REFUSED]),
        (&["registrations", "resume", id], [0, REFUSED, REFUSED, REFUSED]),
        (&["registrations", "rotate-secret", id], [0, REFUSED, REFUSED, REFUSED]),
        (&["registrations", "link", id], [0, REFUSED, REFUSED, REFUSED]),
        (&["registrations", "unlink", id], [0, REFUSED, REFUSED, REFUSED]),
        (&["certificates", "list", "--registration", id], [0, 0, 0, REFUSED]),
        (&["certificates", "reinstate", certificate], [NOT_FOUND, REFUSED, REFUSED, REFUSED]),
        (&["approvals", "approve", request], [REFUSED, NOT_FOUND, REFUSED, REFUSED]),
        (&["approvals", "reject", request, "--reason", "r"], [REFUSED, NOT_FOUND, REFUSED, REFUSED]),
        (&["report", "issued", "--registration", id], [0, 0, 0, REFUSED]),
        (&["report", "inactive"], [0, 0, 0, REFUSED]),
        (&["audit", "--limit", "1"], [REFUSED, REFUSED, 0, REFUSED]),
    ];
    println!("{:?}", IDENTITIES);
    for (command, expected) in table {
        let codes = IDENTITIES.map(|identity| {
            let words: Vec<&str> = command.iter().map(|word| if *word == IDENTITY { identity } else { word }).collect();
            world().desk(identity).run(&words).code
        });
        println!("{codes:?} {command:?}");
        assert_eq!(codes, expected, "{command:?} by {IDENTITIES:?}");
    }
}

#[test]
fn a_refusal_of_a_role_says_which_role_it_takes() {
    let ran = world().desk("auditor").run(&[
        "registrations",
        "create",
        "--owner",
        "o",
        "--allow",
        "suffix:roles.officer.test",
    ]);
    assert!(ran.stderr.contains("(forbidden)") && ran.stderr.contains("officers change registrations"), "{ran:?}");
}

#[test]
fn an_auditor_reads_who_did_what() {
    let registration = created(&["--allow", "suffix:audited.officer.test"]);
    let id = text(&registration, "/id");
    let _ = world().desk("officer").text(&["registrations", "suspend", id, "--reason", "audited"]);
    let auditor = world().desk("auditor");
    let trail = auditor.json(&["audit", "--subject", id]);
    let actions: Vec<_> = trail["items"].as_array().unwrap().iter().map(|entry| text(entry, "/action")).collect();
    assert_eq!(actions, ["createRegistration", "setRegistrationStatus"]);
    assert!(
        auditor.text(&["audit", "--subject", id, "--action", "setRegistrationStatus"]).contains("urn:cm:officer:anna")
    );
    let secret = text(&registration, "/eab/hmac_key");
    assert!(!auditor.text(&["audit", "--subject", id, "--json"]).contains(secret));
}
