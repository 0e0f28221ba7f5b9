//! Waivers from the officer's and the approver's desk: proposed by one, approved by the other, seen by all.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tests::{client::Order, csr::Csr, key::Key, wait_for, world::World};

use super::{bound, created, text};
use crate::{fragile_world, reconnection::change_cm, renewal_info::acme_time, world};

/// Two months ahead.
fn until() -> String {
    acme_time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 60 * 86_400)
}

/// Proposes with the program; answers what it printed for programs.
pub(super) fn proposed(world: &World, registration: &str, more: &[&str]) -> Value {
    let until = until();
    let arguments = ["waivers", "propose", registration, "--until", &until, "--reason", "cannot open port 80"];
    world.desk("officer").json(&[&arguments, more].concat())
}

pub(super) const BY_ADDRESS: [&str; 4] =
    ["--name", "suffix:printers.waivers.test,no-wildcards", "--address", "192.0.2.9/24"];

#[test]
fn an_officer_proposes_an_approver_approves_and_everybody_sees_it() {
    let registration = created(&["--allow", "suffix:printers.waivers.test"]);
    let (id, officer, approver) = (text(&registration, "/id"), world().desk("officer"), world().desk("approver"));
    let waiver = proposed(world(), id, &BY_ADDRESS);
    assert_eq!((text(&waiver, "/status"), text(&waiver, "/proposed_by")), ("proposed", "urn:cm:officer:anna"));
    assert!(text(&waiver, "/warnings/0").contains("takes waivers"), "{waiver}");
    assert_eq!(waiver["evidence"], json!({"addresses": ["192.0.2.0/24"], "client_certificates": []}));
    let waiver = text(&waiver, "/id");
    let waiting = approver.text(&["waivers", "list", "--status", "proposed", "--registration", id]);
    for part in
        [waiver, "suffix:printers.waivers.test,no-wildcards", "a request from 192.0.2.0/24", "cannot open port 80"]
    {
        assert!(waiting.contains(part), "{part} is not in {waiting}");
    }
    let shown = |desk: &tests::desk::Desk| desk.text(&["registrations", "show", id]);
    assert!(!shown(&officer).contains(waiver), "a proposal is not in force");

    let approved = approver.text(&["waivers", "approve", waiver]);
    assert!(
        approved.contains("approved; until") && approved.contains("need not be proven by a request from"),
        "{approved}"
    );
    assert_eq!(approver.run(&["waivers", "approve", waiver]).code, 0, "the same again is harmless");
    assert!(shown(&officer).contains(waiver) && shown(&world().desk("auditor")).contains(waiver));
    let explained = officer.json(&["explain", id, "p7.printers.waivers.test"]);
    let told = explained["rules"].as_array().unwrap().iter().find(|step| step["layer"] == "waiver").unwrap();
    assert_eq!(
        (text(told, "/entry"), text(told, "/outcome"), text(&explained, "/decision")),
        (waiver, "covers", "allow")
    );
    assert!(text(told, "/detail").contains("approved by urn:cm:approver:berta"), "{told}");
    assert!(text(told, "/detail").contains("the profile tls-server takes no waivers"), "{told}");
    let elsewhere = officer.json(&["explain", id, "*.printers.waivers.test"]);
    assert!(elsewhere["rules"].as_array().unwrap().iter().all(|step| step["layer"] != "waiver"), "{elsewhere}");

    let withdrawn = officer.text(&["waivers", "withdraw", waiver, "--reason", "printers replaced"]);
    assert!(withdrawn.contains("withdrawn; control of its names has to be proven"), "{withdrawn}");
    assert!(!shown(&officer).contains(waiver));
    let facts = officer.text(&["waivers", "show", waiver]);
    for part in ["withdrawn", "tests of the officer's program", "by urn:cm:officer:anna", "printers replaced"] {
        assert!(facts.contains(part), "{part} is not in {facts}");
    }
    let again = approver.run(&["waivers", "approve", waiver]);
    assert_eq!(again.code, 5);
    assert!(again.stderr.contains("(waiver-decided)") && again.stderr.contains("withdrawn already"), "{again:?}");
    let trail = world().desk("auditor").json(&["audit", "--subject", id]);
    let actions: Vec<_> = trail["items"].as_array().unwrap().iter().map(|entry| text(entry, "/action")).collect();
    assert_eq!(actions, ["createRegistration", "proposeWaiver", "approveWaiver", "withdrawWaiver", "approveWaiver"]);
}

#[test]
fn every_identity_may_do_with_waivers_what_its_role_says_and_nothing_else() {
    let registration = created(&["--allow", "suffix:printers.waivers.test"]);
    let id = text(&registration, "/id");
    let identities = ["officer", "approver", "auditor", "gateway"];
    let until = until();
    let why = ["--reason", "a test"];
    let propose = [&["propose", id, "--until", &until][..], &why, &BY_ADDRESS].concat();
    // For each command a waiver of its own for each identity; and what each identity is answered.
    let table: [(&[&str], [i32; 4]); 7] = [
        (&propose, [0, 5, 5, 5]),
        (&["list"], [0, 0, 0, 5]),
        (&["list", "--registration", id, "--status", "proposed"], [0, 0, 0, 5]),
        (&["show", "WAIVER"], [0, 0, 0, 5]),
        (&["approve", "WAIVER"], [5, 0, 5, 5]),
        (&["reject", "WAIVER", "--reason", "a test"], [5, 0, 5, 5]),
        (&["withdraw", "WAIVER", "--reason", "a test"], [0, 0, 5, 5]),
    ];
    for (command, expected) in table {
        let codes = identities.map(|identity| {
            // None is left behind, for a registration has only so many.
            let waiver = proposed(world(), id, &BY_ADDRESS);
            let waiver = text(&waiver, "/id");
            let words = command.iter().map(|word| if *word == "WAIVER" { waiver } else { word });
            let words: Vec<&str> = std::iter::once("waivers").chain(words).collect();
            let code = world().desk(identity).run(&words).code;
            let _ = world().desk("officer").run(&["waivers", "withdraw", waiver, "--reason", "the test is over"]);
            code
        });
        println!("{codes:?} {command:?}");
        assert_eq!(codes, expected, "{command:?} by {identities:?}");
    }
    let refused = world().desk("gateway").run(&["waivers", "list"]);
    assert!(refused.stderr.contains("(forbidden)") && refused.stderr.contains("another role"), "{refused:?}");
}

#[test]
fn what_a_waiver_cannot_be_is_refused_with_what_to_do() {
    let registration = created(&["--allow", "suffix:printers.waivers.test"]);
    let (id, desk, until) = (text(&registration, "/id"), world().desk("officer"), until());
    let name = ["--name", "exact:p7.printers.waivers.test"];
    let address = ["--address", "192.0.2.0/24"];
    let time = ["--until", until.as_str()];
    let why = ["--reason", "cannot open port 80"];
    let missing = world().site().dir.join("missing.pem").display().to_string();
    let unreadable = world().site().pki("infra-ca.key").display().to_string();
    let table: [(Vec<&str>, i32, &str); 13] = [
        ([&name[..], &time, &why].concat(), 2, "--address"),
        ([&address[..], &time, &why].concat(), 2, "--name"),
        ([&name[..], &address, &why].concat(), 2, "--until"),
        ([&name[..], &address, &time].concat(), 2, "--reason"),
        ([&["--name", "p7.waivers.test"][..], &address, &time, &why].concat(), 2, "suffix:NAME"),
        ([&name[..], &["--address", "0.0.0.0/0"], &time, &why].concat(), 2, "192.0.2.0/24"),
        ([&name[..], &address, &["--until", "tomorrow"], &why].concat(), 2, "2026-12-04"),
        ([&name[..], &["--client-certificate", &missing], &time, &why].concat(), 3, "64 hexadecimal digits"),
        ([&name[..], &["--client-certificate", &unreadable], &time, &why].concat(), 3, "public key that can be read"),
        ([&name[..], &address, &["--until", "2099-01-01"], &why].concat(), 5, "398 days"),
        ([&name[..], &address, &["--until", "2026-01-01"], &why].concat(), 2, "--until 2026-01-01T00:00:00Z is over"),
        ([&name[..], &time, &why].concat(), 2, "--client-certificate"),
        ([&["--name", "suffix:co.uk"][..], &address, &time, &why].concat(), 5, "public suffix"),
    ];
    for (arguments, code, part) in table {
        let ran = desk.run(&[&["waivers", "propose", id][..], &arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(part), "{arguments:?}: {ran:?}");
    }
    for (arguments, code) in [
        (&["waivers", "propose", "reg_00000000000000000000000000"][..], 6),
        (&["waivers", "propose", "no such key id"][..], 2),
    ] {
        let ran = desk.run(&[arguments, &name, &address, &time, &why].concat());
        assert_eq!(ran.code, code, "{ran:?}");
    }
    assert_eq!(desk.run(&["waivers", "approve", "wav_00000000000000000000000000"]).code, 6);
    assert_eq!(desk.run(&["waivers", "show", "../registrations"]).code, 2);
}

#[test]
fn a_client_certificate_is_named_by_its_file_its_key_or_the_digest_of_it() {
    let world = World::start_waiving(&[]);
    let registration =
        world.desk("officer").json(&["registrations", "create", "--owner", "o", "--allow", "suffix:waivers.test"]);
    let id = text(&registration, "/id");
    let key = openssl::pkey::PKey::generate_ed25519().unwrap();
    let certificate = self_signed(&key);
    let spki = key.public_key_to_der().unwrap();
    let digest: String = openssl::sha::sha256(&spki).iter().map(|octet| format!("{octet:02x}")).collect();
    let file = |name: &str, octets: &[u8]| {
        let path = world.site().dir.join(name);
        fs::write(&path, octets).unwrap();
        path.display().to_string()
    };
    let forms = [
        file("device.pem", &certificate.to_pem().unwrap()),
        file("device.der", &certificate.to_der().unwrap()),
        file("device.pub", &key.public_key_to_pem().unwrap()),
        digest.clone(),
        digest.to_uppercase(),
    ];
    for form in &forms {
        let waiver = proposed(&world, id, &["--name", "exact:p7.waivers.test", "--client-certificate", form]);
        assert_eq!(waiver["evidence"], json!({"addresses": [], "client_certificates": [digest]}), "{form}");
    }
    // All of its profiles take waivers, so there is nothing to be warned of.
    let until = until();
    let propose = ["waivers", "propose", id, "--name", "exact:p7.waivers.test", "--address", "192.0.2.0/24"];
    let propose = [&propose[..], &["--until", &until, "--reason", "cannot open port 80"]].concat();
    let ran = world.desk("officer").run(&propose);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn an_officer_is_told_if_no_profile_takes_waivers() {
    let registration = created(&["--allow", "suffix:printers.waivers.test"]);
    let until = until();
    let propose =
        ["waivers", "propose", text(&registration, "/id"), "--until", &until, "--reason", "cannot open port 80"];
    let ran = world().desk("officer").run(&[&propose[..], &BY_ADDRESS].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("no profile") && ran.stderr.contains("add waived"), "{ran:?}");
    assert!(ran.stdout.contains("once another person has approved it"), "{ran:?}");
}

#[test]
fn the_waivers_of_a_key_that_binds_many_hold_for_each_of_its_accounts() {
    let parent = created(&["--allow", "suffix:printers.waivers.test", "--use", "multi"]);
    let _ = bound(&parent);
    let id = text(&parent, "/id");
    let waiver = proposed(world(), id, &BY_ADDRESS);
    let _ = world().desk("approver").text(&["waivers", "approve", text(&waiver, "/id")]);
    let officer = world().desk("officer");
    let children = officer.json(&["registrations", "list", "--parent", id]);
    let child = text(&children, "/items/0/id");
    assert_eq!(children["items"][0]["waivers"][0]["id"], waiver["id"]);
    let explained = officer.text(&["explain", child, "p7.printers.waivers.test"]);
    assert!(explained.contains(text(&waiver, "/id")), "{explained}");
}

#[test]
fn a_proposal_whose_answer_is_lost_is_made_once() {
    let world = fragile_world();
    let (_, id) = world.registered_account(&json!({"mode": "any"}));
    world.set_fault("proposeWaiver", &json!({"kind": "reset-after"}));
    let waiver = proposed(&world, &id, &BY_ADDRESS);
    assert_eq!(world.faults(), json!([]), "the fault did not happen");
    let list = world.desk("auditor").json(&["waivers", "list", "--registration", &id]);
    assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["id"]), (1, &waiver["id"]));
    world.set_fault("approveWaiver", &json!({"kind": "reset-after"}));
    let approved = world.desk("approver").json(&["waivers", "approve", text(&waiver, "/id")]);
    assert_eq!(text(&approved, "/status"), "approved");
}

#[test]
fn a_cm_that_has_no_waivers_is_not_asked_for_any() {
    let mut world = fragile_world();
    let lacking = "lacks = [\"waivers\"]";
    change_cm(&mut world, "lacks = []", lacking, |_| {});
    let (_, id) = world.registered_account(&json!({"mode": "any"}));
    let desk = world.desk("officer");
    let (asked, ran) = world.counting("listWaivers", || desk.run(&["waivers", "list"]));
    assert_eq!((asked, ran.code), (0, 5), "{ran:?}");
    assert!(ran.stderr.contains("this CM has no waivers of challenges"), "{ran:?}");
    assert_eq!(desk.run(&["registrations", "show", &id]).code, 0);
    change_cm(&mut world, lacking, "lacks = []", |_| {});
}

#[test]
fn an_approver_sees_that_a_name_was_not_proven_and_cannot_approve_once_the_waiver_is_gone() {
    let world = World::start_waiving(&[]);
    let members = json!({"allowedProfiles": ["tls-server-approval"]});
    let (client, id) = world.registered_account_with(&members);
    let evidence = ["--name", "suffix:approval.waivers.test", "--address", "127.0.0.0/8"];
    let waiver = proposed(&world, &id, &evidence);
    let (waiver, approver) = (text(&waiver, "/id"), world.desk("approver"));
    let _ = approver.text(&["waivers", "approve", waiver]);
    let ask = |name: &str| {
        let payload = json!({"identifiers": [{"type": "dns", "value": name}], "profile": "tls-server-approval"});
        let waived = || {
            let response = client.post(&client.url("new-order"), &payload).expect(201);
            let order = Order { url: response.location(), object: response.json() };
            (order.object["status"] == "ready").then_some(order)
        };
        // The gateway hears of the approval within two seconds.
        let order = wait_for("an order by the waiver", Duration::from_secs(120), waived);
        let _ = client.finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
        wait_for("a request that waits", Duration::from_secs(120), || {
            let list = approver.json(&["approvals", "list"]);
            let waiting =
                list["items"].as_array().unwrap().iter().find(|one| order.url.ends_with(text(one, "/order_ref")));
            waiting.map(|one| text(one, "/id").to_owned())
        })
    };
    let (first, second) = (ask("a.approval.waivers.test"), ask("b.approval.waivers.test"));
    let shown = approver.text(&["approvals", "show", &first]);
    assert!(shown.contains(&format!("not proven   by the waiver {waiver}")), "{shown}");
    let _ = approver.text(&["approvals", "approve", &first]);
    let _ = world.desk("officer").text(&["waivers", "withdraw", waiver, "--reason", "printers replaced"]);
    let refused = approver.run(&["approvals", "approve", &second]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("no longer in force; reject the request"), "{refused:?}");
}

/// A certificate as a device makes it for itself: it has no names that this CA would issue.
fn self_signed(key: &openssl::pkey::PKey<openssl::pkey::Private>) -> openssl::x509::X509 {
    use openssl::{asn1::Asn1Time, hash::MessageDigest, x509};
    let mut name = x509::X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "Printer 7, 2nd floor").unwrap();
    let name = name.build();
    let mut builder = x509::X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(3650).unwrap()).unwrap();
    builder.sign(key, MessageDigest::null()).unwrap();
    builder.build()
}
