//! Ten misconfigurations side by side: what was broken, what the doctor says, what it breaks, what mends it, and the exit
//! code. The test prints the table (`cargo test -p tests --test it doctor::ten -- --nocapture`).

use std::fs;

use tests::{tell, world::World};

use super::{CLOSED_PORT, good, pki, settings, visit, with};
use crate::world;

struct Row {
    broken: &'static str,
    settings: fn(&World) -> String,
    check: &'static str,
    what: &'static [&'static str],
    mend: &'static str,
}

const TEN: [Row; 10] = [
    Row {
        broken: "a setting is misspelt",
        settings: |world| with(world, "body_timeout_secs", "body_timeout_seconds"),
        check: "configuration",
        what: &["body_timeout_seconds"],
        mend: "correct the setting",
    },
    Row {
        broken: "everybody may write where a key is",
        settings: |world| {
            with(world, &pki(world, "gateway.key"), &format!("{:?}", open_folder(world).join("gateway.key")))
        },
        check: "files",
        what: &["everybody on this host", "doctor-open"],
        mend: "let nobody but its owner write there",
    },
    Row {
        broken: "certificate and key are of two pairs",
        settings: |world| with(world, &pki(world, "acme-server.key"), &pki(world, "officer.key")),
        check: "certificates",
        what: &["do not belong together"],
        mend: "its key into",
    },
    Row {
        broken: "validation.resolvers names nobody",
        settings: |world| {
            let named = |address: &str| format!("resolvers = [{address:?}]");
            with(world, &named(&world.site().dns.to_string()), &named(&format!("127.0.0.1:{CLOSED_PORT}")))
        },
        check: "resolvers",
        what: &["cannot be asked"],
        mend: "validation.resolvers",
    },
    Row {
        broken: "server.external_url has a wrong port",
        settings: |world| with(world, &world.site().external_url, &format!("https://localhost:{CLOSED_PORT}")),
        check: "external-url",
        what: &["nobody takes connections"],
        mend: "server.listen",
    },
    Row {
        broken: "server.external_url has another name than the gateway that answers there",
        settings: |world| with(world, &world.site().external_url, &another_name(world)),
        check: "external-url",
        what: &["answered by something else", "newNonce is https://localhost:"],
        mend: "lead to this gateway in DNS and proxy",
    },
    Row {
        broken: "cm.ca_file is another CA",
        settings: |world| with(world, &pki(world, "infra-ca.pem"), &pki(world, "acme-ca.pem")),
        check: "cm-connection",
        what: &["we refuse the CM's certificate", "ACME sandbox infra CA"],
        mend: "acme-ca.pem",
    },
    Row {
        broken: "cm.certificate_file is an officer's",
        settings: |world| {
            with(world, &pki(world, "gateway.pem"), &pki(world, "officer.pem"))
                .replace(&pki(world, "gateway.key"), &pki(world, "officer.key"))
        },
        check: "cm-identity",
        what: &["urn:cm:officer:anna", "without the role gateway"],
        mend: "cm.certificate_file",
    },
    Row {
        broken: "an endpoint has a realm that the gateway is not in",
        settings: |world| format!("{}[endpoints.nowhere]\nmode = \"open\"\n", good(world)),
        check: "cm-identity",
        what: &["not in the realm nowhere"],
        mend: "endpoints.*.realm",
    },
    Row {
        broken: "endpoints.web.profile is misspelt",
        settings: |world| with(world, "[endpoints.web]", "[endpoints.web]\nprofile = \"tls-sever\""),
        check: "profiles",
        what: &["endpoint web", "tls-sever"],
        mend: "tls-server",
    },
];

/// The same port, by an address in place of the name.
fn another_name(world: &World) -> String {
    world.site().external_url.replace("localhost", "127.0.0.1")
}

/// A folder with the gateway's key, in which everybody may write.
fn open_folder(world: &World) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = world.site().dir.join("doctor-open");
    fs::create_dir_all(&folder).unwrap();
    let key = folder.join("gateway.key");
    fs::copy(world.site().pki("gateway.key"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

#[test]
fn each_of_ten_misconfigurations_is_named_with_what_it_breaks_and_the_command_that_mends_it() {
    let world = world();
    let mut table = String::from("| broken | finding | breaks | mend | run | exit |\n|---|---|---|---|---|---|\n");
    for (number, row) in TEN.iter().enumerate() {
        let visit = visit(&settings(world, &format!("ten-{number}"), &(row.settings)(world)));
        let found = visit.found(row.broken, (row.check, "wrong"), row.what, row.mend);
        let cells = ["what", "breaks", "mend", "run"].map(|member| found[member].as_str().unwrap());
        let code = visit.code.unwrap();
        assert_eq!(code, 2, "{:#}", visit.report);
        table.push_str(&format!("| {} | {}: {} | {code} |\n", row.broken, row.check, cells.join(" | ")));
    }
    tell(&table);
    let visit = visit(&settings(world, "ten", &good(world)));
    assert_eq!((visit.code, &visit.report["wrong"]), (Some(0), &0.into()), "{:#}", visit.report);
}
