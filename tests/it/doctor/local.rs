//! What is on the gateway's own host.

use std::{fs, net::UdpSocket, os::unix::fs::PermissionsExt as _, thread};

use serde_json::json;
use tests::{csr::Csr, key::Key};

use super::{assert_found, assert_mended, good, obey, pki, settings, with};
use crate::{
    reload::identity::{For, Identity},
    world,
};

#[test]
fn networks_that_leave_nothing_to_dial_are_found() {
    let world = world();
    let nothing = with(world, "danger_allow_loopback = true", "public_addresses = false");
    let file = settings(world, "dial", &nothing);
    let found = ("configuration", "wrong");
    let _ =
        assert_found(&file, "no address may be dialled", found, &["nothing may be dialled"], "validation.allow = [");
    fs::write(
        &file,
        nothing.replace("public_addresses = false", "public_addresses = false\nallow = [\"10.20.0.0/16\"]"),
    )
    .unwrap();
    assert_eq!(super::visit(&file).code, Some(0));
}

#[test]
fn a_key_that_others_can_read_is_found_and_its_mend_mends_it() {
    let world = world();
    let key = world.site().dir.join("doctor-readable.key");
    fs::copy(world.site().pki("gateway.key"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let file = settings(world, "readable", &with(world, &pki(world, "gateway.key"), &format!("{key:?}")));
    let what = ["cm.key_file", "0644"];
    obey(&assert_found(&file, "a key that others can read", ("files", "wrong"), &what, "only its owner"));
    assert_mended(&file, "files");
}

#[test]
fn a_key_that_systemd_does_not_show_now_is_not_called_missing() {
    let world = world();
    let credential = "\"/run/credentials/acme-gateway-doctor.service/key_cm-client.key\"";
    let file = settings(world, "credential", &with(world, &pki(world, "gateway.key"), credential));
    let visit = super::visit(&file);
    for check in ["files", "certificates", "cm-connection"] {
        let mut all = visit.report["findings"].as_array().unwrap().iter();
        assert!(all.any(|one| one["check"] == check && one["severity"] == "not-looked-at"), "{:#}", visit.report);
    }
    assert_eq!((visit.code, &visit.report["wrong"]), (Some(0), &json!(0)), "{:#}", visit.report);
}

#[test]
fn audit_files_that_a_reboot_takes_away_are_found() {
    let world = world();
    let audit = "dir = \"/dev/shm/acme-gateway-doctor-audit\"";
    let file = settings(world, "audit", &format!("{}\n[audit]\n{audit}\n", good(world)));
    let what = ["tmpfs, which is gone after a reboot"];
    let _ = assert_found(&file, "audit.dir is on tmpfs", ("audit", "wrong"), &what, "set audit.dir");
    fs::write(&file, good(world)).unwrap();
    assert_mended(&file, "audit");
}

#[test]
fn a_seal_key_that_is_younger_than_its_store_is_found_and_its_mend_mends_it() {
    let world = crate::fragile_world();
    let key = world.site().dir.join("gateway/seal.key");
    obey(&format!("touch -d '+2 hours' {}", key.display()));
    let file = settings(&world, "young", &good(&world));
    let found = ("files", "warn");
    obey(&assert_found(&file, "the seal key was exchanged", found, &["younger than the store"], "copy of the key"));
    assert_mended(&file, "files");
}

#[test]
fn a_resolver_that_answers_servfail_is_found() {
    let world = world();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut octets = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut octets) {
            // An answer: SERVFAIL.
            (octets[2], octets[3]) = (0x81, 0x82);
            let _ = socket.send_to(&octets[..length], peer);
        }
    });
    let text = with(world, &format!("resolvers = [\"{}\"]", world.site().dns), &format!("resolvers = [\"{address}\"]"));
    let file = settings(world, "servfail", &text);
    let _ = assert_found(&file, "a resolver that fails", ("resolvers", "wrong"), &["SERVFAIL"], "validation.resolvers");
    fs::write(&file, good(world)).unwrap();
    assert_mended(&file, "resolvers");
}

#[test]
fn a_store_that_is_gone_after_a_reboot_and_ports_that_are_taken_are_found() {
    let world = world();
    let store = world.site().dir.join("gateway/store");
    let text = with(world, &format!("dir = {store:?}"), "dir = \"/dev/shm/acme-gateway-doctor\"");
    let file = settings(world, "tmpfs", &text);
    let _ = assert_found(&file, "store.dir is on tmpfs", ("store", "wrong"), &["tmpfs"], "set store.dir");
    // No gateway has that store, and yet somebody listens.
    let _ = assert_found(&file, "a port is taken", ("ports", "wrong"), &["server.listen"], "which program has it");
    fs::write(&file, good(world)).unwrap();
    assert_mended(&file, "store");
}

#[test]
fn a_store_that_was_moved_aside_is_found_and_its_mend_mends_it() {
    let world = crate::fragile_world();
    let aside = world.site().dir.join("gateway/store/sled.damaged-1");
    fs::create_dir(&aside).unwrap();
    let file = settings(&world, "aside", &good(&world));
    let mend = assert_found(&file, "a damaged store", ("store", "warn"), &["sled.damaged-1"], "then delete it");
    obey(&mend);
    assert!(!aside.exists());
    assert_mended(&file, "store");
}

#[test]
fn a_certificate_that_expires_soon_is_a_warning_and_one_that_has_expired_is_wrong() {
    let world = world();
    let [certificate, key] = ["doctor-old.pem", "doctor-old.key"].map(|name| world.site().dir.join(name));
    let text = with(world, &pki(world, "gateway.pem"), &format!("{certificate:?}"));
    let file = settings(world, "old", &text.replace(&pki(world, "gateway.key"), &format!("{key:?}")));
    for (days_left, severity, what) in [(10, "warn", "is good until"), (-1, "wrong", "expired at")] {
        Identity::old(world, For::Cm, days_left).put(&certificate, &key);
        let misconfiguration = format!("the identity at the CM ends in {days_left} days");
        let _ = assert_found(&file, &misconfiguration, ("certificates", severity), &[what], "renewed certificate");
    }
    Identity::old(world, For::Cm, 300).put(&certificate, &key);
    assert_mended(&file, "certificates");
}

#[test]
fn a_profile_that_is_stopped_is_found_and_its_mend_mends_it() {
    let world = crate::fragile_world();
    let client = world.account();
    let order = client.ready_order(&["bad.doctor.test"]);
    world.set_fault("requestCertificate", &json!({"kind": "wrong-key"}));
    let _ = client.finalize(&order, &Csr::for_names(&["bad.doctor.test"]).text(&Key::p256())).expect(200);
    let _ = client.wait(&order, "invalid");
    let file = settings(&world, "stopped", &good(&world));
    let what = ["profile tls-server of realm open is stopped"];
    let mend = assert_found(&file, "a profile is stopped", ("running-gateway", "wrong"), &what, "let it issue again");
    let command = mend.strip_prefix("acme-gateway ").unwrap();
    let _ = world.command(&command.split(' ').collect::<Vec<_>>()).unwrap();
    assert_mended(&file, "running-gateway");
}

#[test]
fn a_listener_of_somebody_else_is_found() {
    let world = world();
    // The CM's listener stands for one that has nothing to do with us.
    let cm = world.facts()["cm"].as_str().unwrap();
    let file = settings(world, "stranger", &with(world, &world.site().external_url, cm));
    let found = ("external-url", "warn");
    let _ = assert_found(
        &file,
        "somebody else listens at server.external_url",
        found,
        &["is not the one in"],
        "read its files",
    );
    fs::write(&file, good(world)).unwrap();
    assert_mended(&file, "external-url");
}
