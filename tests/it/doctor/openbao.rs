//! The doctor at a real OpenBao: in order, and with each thing that goes wrong between a gateway and it. Where a command
//! mends it, the command that the doctor prints is run.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tests::{
    openbao::{MOUNT, OpenBao},
    world::World,
};

use super::{Visit, assert_found, good, pki, settings, visit};
use crate::{
    reload::identity::{For, Identity},
    world,
};

/// The settings of the world with OpenBao as the CM, and this in `[cm.openbao]`.
fn at(world: &World, url: &str, own: &str) -> String {
    let text = good(world);
    // The endpoints that come after these two have no realms there.
    let (text, _) = text.split_once("[endpoints.advisory]").unwrap();
    let cm = format!("url = {:?}", world.facts()["cm"].as_str().unwrap());
    assert!(text.contains(&cm), "{text}");
    let text = text.replace(&cm, &format!("url = {url:?}\nkind = \"openbao\""));
    format!("{text}[cm.openbao]\n{own}\n")
}

fn file(world: &World, name: &str, text: &str) -> PathBuf {
    settings(world, &format!("openbao-{name}"), text)
}

#[track_caller]
fn assert_fine(visit: &Visit) {
    assert_eq!((visit.code, &visit.report["wrong"]), (Some(0), &0.into()), "{:#}", visit.report);
    for check in [
        "cm-connection",
        "cm-identity",
        "cm-rights",
        "cm-capabilities",
        "cm-health",
        "clock",
        "profiles",
        "trust-chains",
    ] {
        let all = visit.report["findings"].as_array().unwrap();
        let mut of_it = all.iter().filter(|one| one["check"] == check).peekable();
        assert!(of_it.peek().is_some(), "{check}: {:#}", visit.report);
        assert!(of_it.all(|one| one["severity"] == "fine"), "{check}: {:#}", visit.report);
    }
}

/// The policy of gateways in a realm, and what makes it this text.
fn policy(bao: &OpenBao, realm: &str) -> String {
    let said = bao.root(&["read", "-format=json", &format!("sys/policies/acl/{MOUNT}-{realm}-gateway")], None);
    said.pointer("/data/policy").and_then(Value::as_str).unwrap().to_owned()
}

fn write_policy(bao: &OpenBao, realm: &str, text: &str) {
    let path = format!("sys/policies/acl/{MOUNT}-{realm}-gateway");
    let _ = bao.root(&["write", "-format=json", &path, "-"], Some(&json!({"policy": text})));
}

#[test]
fn what_is_wrong_with_an_openbao_is_named_and_the_command_that_is_printed_mends_it() {
    let world = world();
    let dir = world.site().dir.join("doctor-openbao");
    fs::create_dir_all(&dir).unwrap();
    let mut bao = OpenBao::start(&dir.join("openbao"), &world.site().pki(""));
    bao.prepare("open", "open", &[]);
    bao.prepare("registered", "preregistered", &[]);
    let clients_ca = world.site().pki("clients-ca.pem").display().to_string();
    let obey = |bao: &OpenBao, command: &str| bao.run_as_operator(&command.replace("CLIENTS-CA.pem", &clients_ca));
    let good = file(world, "good", &at(world, &bao.url(), ""));
    let seen = visit(&good);
    assert_fine(&seen);
    // What cannot be seen is told.
    let mut findings = seen.report["findings"].as_array().unwrap().iter();
    let unseen = findings.find(|one| one["check"] == "cm-request-duration").expect("a finding");
    assert!(unseen["severity"] == "not-looked-at" && unseen["what"].as_str().unwrap().contains(" 90 s"), "{unseen}");

    // Settings that name something else.
    let own = |name: &str, own: &str| file(world, name, &at(world, &bao.url(), own));
    let identity = ("cm-identity", "wrong");
    let role = own("role", "login_role = \"acme-gate\"");
    let command = assert_found(&role, "login_role is another", identity, &["no login role acme-gate"], "login_role");
    assert!(command.ends_with("--gateway-role acme-gate"), "{command}");
    let mount = own("login-mount", "login_mount = \"certs\"");
    let command = assert_found(&mount, "login_mount is another", identity, &["auth/certs"], "bao auth list");
    assert!(command.ends_with("--login-mount certs"), "{command}");
    let elsewhere = own("mount", "mount = \"pki\"");
    let rights = ("cm-rights", "wrong");
    let what = ["grants nothing below pki/open"];
    let command = assert_found(&elsewhere, "mount is another", rights, &what, "cm.openbao.mount");
    assert!(command.contains("--realm open --mode open") && command.ends_with("--mount pki"), "{command}");
    let nowhere = format!("{}[endpoints.nowhere]\nmode = \"registered\"\n", at(world, &bao.url(), ""));
    let nowhere = file(world, "realm", &nowhere);
    let what = ["grants nothing below acme/nowhere", "was not prepared"];
    let command = assert_found(&nowhere, "a realm is not prepared", rights, &what, "or prepare this one");
    assert!(command.contains("--realm nowhere --mode preregistered"), "{command}");

    // Another role's certificate, and one that has expired.
    let officers = at(world, &bao.url(), "").replace(&pki(world, "gateway.pem"), &pki(world, "officer.pem"));
    let officers = file(world, "officer", &officers.replace(&pki(world, "gateway.key"), &pki(world, "officer.key")));
    let what = ["login role acme-gateway is for other certificates than ours", "officer"];
    let _ = assert_found(&officers, "an officer's certificate", identity, &what, "urn:cm:gateway:<name>");
    let [certificate, key] = ["expired.pem", "expired.key"].map(|name| dir.join(name));
    Identity::old(world, For::Cm, -1).put(&certificate, &key);
    let text = at(world, &bao.url(), "").replace(&pki(world, "gateway.pem"), &format!("{certificate:?}"));
    let text = text.replace(&pki(world, "gateway.key"), &format!("{key:?}"));
    let what = ["refuses our certificate", "CertificateExpired"];
    let connection = ("cm-connection", "wrong");
    let expired = file(world, "expired", &text);
    let _ = assert_found(&expired, "the identity at OpenBao has expired", connection, &what, "renewed certificate");

    // What was prepared and changed afterwards.
    let whole = policy(&bao, "open");
    let lacking: Vec<_> = whole.lines().filter(|line| !line.contains("acme/open/cm/data/hold/")).collect();
    write_policy(&bao, "open", &lacking.join("\n"));
    let what = ["lacks, in realm open: read on acme/open/cm/data/hold/"];
    let command = assert_found(&good, "the policy lacks a path", rights, &what, "write the policy anew");
    obey(&bao, &command);
    assert_fine(&visit(&good));
    for realm in ["open", "registered"] {
        write_policy(&bao, realm, &policy(&bao, realm).replace("sys/capabilities-self", "sys/capabilities-none"));
    }
    let found = ("cm-rights", "warn");
    let what = ["does not let the gateway ask what it may do"];
    let command = assert_found(&good, "the policy is of an earlier release", found, &what, "write it anew");
    obey(&bao, &command);
    let too_much = "path \"acme/open/cm/data/prereg/*\" { capabilities = [\"create\", \"read\", \"update\"] }";
    let more: Vec<_> = whole.lines().filter(|line| !line.contains("/cm/data/prereg/")).chain([too_much]).collect();
    write_policy(&bao, "open", &more.join("\n"));
    let what = ["what is the officers'", "acme/open/cm/data/prereg/"];
    let _ = assert_found(&good, "the gateway may register", found, &what, "take every policy off");
    write_policy(&bao, "open", &whole);
    bao.run_as_operator(&format!("bao kv patch -cas=1 -mount={MOUNT}/open/cm realm mode=preregistered"));
    let what = ["endpoint open is open, and the record of realm open says preregistered"];
    let command = assert_found(&good, "the realm is not for everybody", rights, &what, "be for both");
    obey(&bao, &command);
    bao.run_as_operator(&format!("bao delete {MOUNT}/open/pki/roles/tls-server"));
    let what = ["no role acme/open/pki/roles/tls-server"];
    let command = assert_found(&good, "the role of a profile is gone", rights, &what, "make the role");
    obey(&bao, &command);
    assert_fine(&visit(&good));

    // Nodes.
    let health = |severity| ("cm-health", severity);
    bao.run_as_operator("bao operator seal");
    let _ = assert_found(&good, "OpenBao is sealed", health("wrong"), &["is sealed"], "unseal it");
    bao.kill();
    let _ = assert_found(&good, "OpenBao is down", connection, &["takes no connections"], "start the CM");
    bao.restart();
    assert_fine(&visit(&good));
    let second = bao.join(&dir.join("second"));
    let standby = file(world, "standby", &at(world, &second.url(), ""));
    let what = ["stand by; the leader", "is not among them"];
    let _ = assert_found(&standby, "only a standby is named", health("warn"), &what, "cm.openbao.more_urls");
    assert_eq!(visit(&standby).code, Some(0));
    let both = file(world, "both", &at(world, &second.url(), &format!("more_urls = [{:?}]", bao.url())));
    assert_fine(&visit(&both));
    bao.kill();
    let visited = visit(&both);
    let _ = visited.found("the leader of two is down", health("wrong"), &["stand"], "start the");
    assert_eq!(visited.code, Some(2), "{:#}", visited.report);
}
