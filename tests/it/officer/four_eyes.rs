//! Whoever made something does not decide about it, in whichever role she comes: with the program and on the console's pages.

use serde_json::Value;

use super::{
    console::Console,
    created,
    identities::{Authority, certificate},
    text,
    waivers::{BY_ADDRESS, proposed},
};
use crate::{registration::waiting_for_approval, world};

/// The approver who has the name of the officer of the throwaway PKI.
const ANNA: &str = "approver-anna";

#[test]
fn a_creator_approves_neither_request_nor_waiver_of_her_own_in_any_role() {
    let site = world().site();
    let authority = Authority::of(site);
    certificate(site, ANNA, Some(&authority), "urn:cm:approver:anna", [-1, 90]);
    certificate(site, "officer-zoe", Some(&authority), "urn:cm:officer:zoe", [-1, 90]);
    let (client, order) = waiting_for_approval("own.four-eyes.test");
    let reference = order.url.rsplit('/').next().unwrap();
    let (anna, berta) = (world().desk(ANNA), world().desk("approver"));
    let waiting = berta.json(&["approvals", "list"]);
    let waits = waiting["items"].as_array().unwrap().iter().find(|one| one["order_ref"] == reference);
    let request = text(waits.expect("it waits"), "/id").to_owned();
    let names = ["--allow", "suffix:printers.waivers.test"];
    let own = created(&names);
    let of_zoe = [&["registrations", "create", "--owner", "Zoe's printers"], &names[..]].concat();
    let of_zoe = world().desk("officer-zoe").json(&of_zoe);
    let proposed = |registration: &Value| proposed(world(), text(registration, "/id"), &BY_ADDRESS);
    let waivers = [&own, &of_zoe].map(|registration| text(&proposed(registration), "/id").to_owned());

    let rows = [
        ("approvals", &request, "who created the registration may not approve its requests"),
        ("waivers", &waivers[0], "who created the registration may not decide about its waivers"),
        ("waivers", &waivers[1], "who proposed the waiver may not decide about it"),
    ];
    let mut console = Console::open(ANNA, "of-her-own");
    for (what, id, reason) in rows {
        let ran = anna.run(&[what, "approve", id]);
        assert_eq!(ran.code, 5, "{ran:?}");
        assert!(ran.stderr.contains(reason), "{ran:?}");
        let page = console.submit("approvals", &format!("{what}/{id}/approve"), &[]).expect(403).text();
        assert!(page.contains("This was not possible") && page.contains(reason), "{page}");
    }
    let status = |what: &str, id: &str| berta.json(&[what, "show", id])["status"].clone();
    assert_eq!(status("approvals", &request), "pending-approval");
    assert!(waivers.iter().all(|waiver| status("waivers", waiver) == "proposed"));
    let _ = berta.text(&["approvals", "approve", &request]);
    for waiver in &waivers {
        let _ = berta.text(&["waivers", "approve", waiver]);
    }
    let _ = client.wait(&order, "valid");
}
