//! Who only looks, and who is nobody: every command of the program, on things that are there, by an auditor, a gateway, an
//! expired certificate, one of another authority, and one of a role that nobody has. Nothing is changed by any of them.
//!
//! The commands are those of the manual pages, which are made from the command line itself: a command without a row fails.

use std::{collections::BTreeSet, fs};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{
        X509, X509Builder, X509NameBuilder,
        extension::{ExtendedKeyUsage, SubjectAlternativeName},
    },
};
use serde_json::Value;

use super::text;
use crate::{registration::waiting_for_approval, world};

/// Commands that are not asked of the CM at all, and so have no row: pages for a browser, tried by tests of their own,
/// and what packagers use.
const WITHOUT_ROW: [&str; 1] = ["console"];
const WHO: [&str; 5] = ["auditor", "gateway", "expired", "stranger", "nobody"];

/// What they are answered, as exit codes.
#[derive(Clone, Copy)]
enum Kind {
    /// Whoever has a role reads.
    Read,
    /// A gateway reads only what it names.
    Search,
    /// An auditor reads, and nobody else.
    Audit,
    /// Whoever has a role reads what the CM has; the gateway, which is asked too, is not trusted by these settings.
    Half,
    /// None of them does it.
    Write,
}
use Kind::{Audit, Half, Read, Search, Write};

/// The CM refuses, or does not know the identity; there is no connection with such a certificate.
const REFUSED: i32 = 5;
const UNTRUSTED: i32 = 3;
const NO_CONNECTION: [i32; 2] = [3, 4];

impl Kind {
    /// Whether this exit code is right for this identity.
    fn is_right(self, who: &str, code: i32) -> bool {
        match (who, self) {
            ("auditor", Read | Search | Audit) | ("gateway", Read) => code == 0,
            ("auditor" | "gateway", Half) => code == UNTRUSTED,
            ("auditor", Write) | ("gateway", Search | Audit | Write) => code == REFUSED,
            // The role is in the certificate, and no certificate with another word for it is one of an identity.
            ("nobody", _) => code == REFUSED || NO_CONNECTION.contains(&code),
            _ => NO_CONNECTION.contains(&code),
        }
    }
}

/// The commands that the program has.
fn commands() -> BTreeSet<String> {
    let folder = world().site().dir.join("manual-pages");
    fs::create_dir_all(&folder).unwrap();
    let _ = world().desk("auditor").text(&["manual", "pages", folder.to_str().unwrap()]);
    let pages: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|page| page.unwrap().file_name().into_string().ok())
        .filter_map(|page| page.strip_prefix("acme-officer-")?.strip_suffix(".1").map(str::to_owned))
        .collect();
    // A page that others begin with is that of a group.
    pages.iter().filter(|page| !pages.iter().any(|other| other.starts_with(&format!("{page}-")))).cloned().collect()
}

/// A certificate for the program to use, with its key, as `name` in the throwaway PKI.
fn certificate(name: &str, issuer: Option<(&X509, &PKey<Private>)>, urn: &str, days: [i64; 2]) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let at = |days: i64| Asn1Time::from_unix(now.cast_signed() + days * 86_400).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", urn).unwrap();
    let subject = subject.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(4711).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(issuer.map_or(&subject, |(issuer, _)| issuer.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&at(days[0])).unwrap();
    builder.set_not_after(&at(days[1])).unwrap();
    let names = SubjectAlternativeName::new().uri(urn).build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.append_extension(ExtendedKeyUsage::new().client_auth().build().unwrap()).unwrap();
    builder.sign(issuer.map_or(&key, |(_, key)| key), MessageDigest::sha256()).unwrap();
    let place = |kind: &str| world().site().pki(&format!("{name}.{kind}"));
    fs::write(place("pem"), builder.build().to_pem().unwrap()).unwrap();
    fs::write(place("key"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
}

#[test]
fn who_only_looks_or_is_nobody_changes_nothing_by_any_command() {
    let read = |file: &str| fs::read(world().site().pki(file)).unwrap();
    let authority = X509::from_pem(&read("clients-ca.pem")).unwrap();
    let key = PKey::private_key_from_pem(&read("clients-ca.key")).unwrap();
    let clients = Some((&authority, &key));
    certificate("expired", clients, "urn:cm:officer:anna", [-90, -1]);
    certificate("stranger", None, "urn:cm:officer:anna", [-1, 90]);
    certificate("nobody", clients, "urn:cm:operator:eve", [-1, 90]);

    let (client, order) = waiting_for_approval("looked-at.auditor.test");
    let _ = client.issue(&["looked-at.auditor.test"]);
    let url = client.account_url();
    let id = url.rsplit('/').next().unwrap();
    let (officer, auditor) = (world().desk("officer"), world().desk("auditor"));
    let certificates = officer.json(&["certificates", "list", "--registration", id]);
    let certificate = text(&certificates, "/items/0/id").to_owned();
    let reference = order.url.rsplit('/').next().unwrap();
    let requests = officer.json(&["approvals", "list"]);
    let waits = requests["items"].as_array().unwrap().iter().find(|one| one["order_ref"] == reference);
    let request = text(waits.expect("it waits"), "/id").to_owned();
    let propose = ["waivers", "propose", id, "--name", "exact:looked-at.auditor.test", "--address", "127.0.0.0/8"];
    let until = soon();
    let propose = [&propose[..], &["--until", &until, "--reason", "r"]].concat();
    let waiver = text(&officer.json(&propose), "/id").to_owned();
    let (waiver, request, certificate) = (waiver.as_str(), request.as_str(), certificate.as_str());
    let csv = world().site().dir.join("auditor.csv");
    fs::write(&csv, "kid,owner,names\nimp-auditor-1,o,imported.auditor.test\n").unwrap();
    let secrets = world().site().dir.join("auditor-secrets.csv");
    let (csv, secrets) = (csv.to_str().unwrap(), secrets.to_str().unwrap());

    let rows: Vec<(&str, Kind, Vec<&str>)> = vec![
        ("approvals-approve", Write, vec![request]),
        ("approvals-list", Read, vec!["--limit", "1"]),
        ("approvals-reject", Write, vec![request, "--reason", "r"]),
        ("approvals-show", Read, vec![request]),
        ("audit", Audit, vec!["--limit", "1"]),
        ("certificates-list", Search, vec!["--registration", id]),
        ("certificates-reinstate", Write, vec![certificate]),
        ("certificates-revoke", Write, vec![certificate, "--reason", "certificate-hold"]),
        ("certificates-show", Read, vec![certificate]),
        ("explain", Read, vec![id, "looked-at.auditor.test"]),
        ("orders-show", Half, vec![reference]),
        ("registrations-create", Write, vec!["--owner", "o", "--allow", "suffix:made.auditor.test"]),
        ("registrations-export", Search, vec![]),
        ("registrations-import", Write, vec![csv, "--from", "nexus", "--apply", "--secrets", secrets]),
        ("registrations-link", Write, vec![id]),
        ("registrations-list", Search, vec!["--limit", "1"]),
        ("registrations-rebind", Write, vec![id, "--reason", "r"]),
        ("registrations-resume", Write, vec![id]),
        ("registrations-revoke", Write, vec![id, "--reason", "r"]),
        ("registrations-rotate-secret", Write, vec![id]),
        ("registrations-show", Read, vec![id]),
        ("registrations-suspend", Write, vec![id, "--reason", "r"]),
        ("registrations-unlink", Write, vec![id]),
        ("registrations-update", Write, vec![id, "--comment", "changed"]),
        ("report-expiring", Search, vec!["--registration", id]),
        ("report-inactive", Search, vec![]),
        ("report-issued", Search, vec!["--registration", id]),
        ("report-missed", Search, vec![]),
        ("report-refused", Read, vec![]),
        ("report-who-could", Search, vec!["looked-at.auditor.test"]),
        ("waivers-approve", Write, vec![waiver]),
        ("waivers-list", Search, vec![]),
        ("waivers-propose", Write, propose[2..].to_vec()),
        ("waivers-reject", Write, vec![waiver, "--reason", "r"]),
        ("waivers-show", Search, vec![waiver]),
        ("waivers-withdraw", Write, vec![waiver, "--reason", "r"]),
    ];
    let tried: BTreeSet<String> = rows.iter().map(|(command, ..)| (*command).to_owned()).collect();
    let known: BTreeSet<String> = commands().into_iter().filter(|one| !WITHOUT_ROW.contains(&one.as_str())).collect();
    assert_eq!(tried, known, "each command has a row of what those get who may not");

    let state = || -> Vec<Value> {
        vec![
            officer.json(&["registrations", "show", id]),
            officer.json(&["certificates", "show", certificate]),
            officer.json(&["approvals", "show", request]),
            officer.json(&["waivers", "show", waiver]),
        ]
    };
    let before = state();
    println!("{:<28} {WHO:?}", "command");
    for (command, kind, arguments) in &rows {
        let group = command.split_once('-').filter(|(group, _)| commands_of_group(group));
        let words: Vec<&str> = group.map_or(vec![*command], |(group, rest)| vec![group, rest]);
        let words = [&words, arguments.as_slice()].concat();
        let codes = WHO.map(|who| world().desk(who).run(&words).code);
        println!("{command:<28} {codes:?}");
        for (who, code) in WHO.into_iter().zip(codes) {
            assert!(kind.is_right(who, code), "{who}: {words:?}: {:?}", world().desk(who).run(&words));
        }
    }
    assert_eq!(state(), before, "nothing was changed");
    let done = auditor.json(&["registrations", "list", "--owner", "o", "--identifier", "made.auditor.test"]);
    assert_eq!(done["items"], serde_json::json!([]), "nothing was made");
    assert_eq!(officer.run(&["registrations", "show", "imp-auditor-1"]).code, 6, "nothing was imported");
}

fn commands_of_group(group: &str) -> bool {
    ["approvals", "certificates", "orders", "registrations", "report", "waivers"].contains(&group)
}

/// A day within the time that waivers may last.
fn soon() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    crate::renewal_info::acme_time(now + 30 * 86_400)
}
