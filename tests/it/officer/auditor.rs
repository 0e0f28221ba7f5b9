//! Who only looks or only decides, and who is nobody: every command of the program, on things that are there, by an auditor,
//! an approver, a gateway, an expired certificate, one of another authority, and one of a role that nobody has. Nothing is
//! changed by any of them: what an approver may decide, she is asked about things that are not there.
//!
//! The commands are those of the manual pages, which are made from the command line itself: a command without a row fails.

use std::{collections::BTreeSet, fs, thread};

use serde_json::Value;

use super::{
    identities::{Authority, certificate},
    text,
};
use crate::{registration::waiting_for_approval, world};

/// Commands that are not asked of the CM at all, and so have no row: pages for a browser, tried by tests of their own,
/// and what packagers use.
const WITHOUT_ROW: [&str; 1] = ["console"];
const WHO: [&str; 6] = ["auditor", "approver", "gateway", "expired", "stranger", "nobody"];

/// A request and a waiver that are not there.
const ABSENT: [&str; 2] = ["req_00000000000000000000000000", "wav_00000000000000000000000000"];

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
    /// An approver does it, and none of the others.
    Decide,
    /// None of them does it.
    Write,
}
use Kind::{Audit, Decide, Half, Read, Search, Write};

/// The CM refuses, has no such thing, or is not trusted; there is no connection with such a certificate.
const REFUSED: i32 = 5;
const NOT_FOUND: i32 = 6;
const UNTRUSTED: i32 = 3;
const NO_CONNECTION: i32 = 4;
/// Rows of the table that are tried side by side.
const AT_ONCE: usize = 9;

impl Kind {
    /// Whether this exit code is right for this identity.
    fn is_right(self, who: &str, code: i32) -> bool {
        match (who, self) {
            ("auditor", Read | Search | Audit) | ("approver", Read | Search) | ("gateway", Read) => code == 0,
            ("auditor" | "approver" | "gateway", Half) => code == UNTRUSTED,
            ("approver", Decide) => code == NOT_FOUND,
            ("auditor" | "approver" | "gateway", _) => code == REFUSED,
            // The role is in the certificate, and the CM knows no such role.
            ("nobody", _) => code == REFUSED,
            _ => code == NO_CONNECTION,
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

#[test]
fn who_only_looks_or_decides_or_is_nobody_changes_nothing_by_any_command() {
    let site = world().site();
    let clients = Some(&Authority::of(site));
    certificate(site, "expired", clients, "urn:cm:officer:anna", [-90, -1]);
    certificate(site, "stranger", None, "urn:cm:officer:anna", [-1, 90]);
    certificate(site, "nobody", clients, "urn:cm:operator:eve", [-1, 90]);

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
        ("approvals-approve", Decide, vec![request]),
        ("approvals-list", Read, vec!["--limit", "1"]),
        ("approvals-reject", Decide, vec![request, "--reason", "r"]),
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
        ("waivers-approve", Decide, vec![waiver]),
        ("waivers-list", Search, vec![]),
        ("waivers-propose", Write, propose[2..].to_vec()),
        ("waivers-reject", Decide, vec![waiver, "--reason", "r"]),
        ("waivers-show", Search, vec![waiver]),
        ("waivers-withdraw", Decide, vec![waiver, "--reason", "r"]),
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
    // Nothing is changed, so the order does not matter; who finds no connection tries for seconds.
    for some in rows.chunks(AT_ONCE) {
        thread::scope(|scope| {
            for (command, kind, arguments) in some {
                let _ = scope.spawn(move || check(command, *kind, arguments));
            }
        });
    }
    assert_eq!(state(), before, "nothing was changed");
    let done = auditor.json(&["registrations", "list", "--owner", "o", "--identifier", "made.auditor.test"]);
    assert_eq!(done["items"], serde_json::json!([]), "nothing was made");
    assert_eq!(officer.run(&["registrations", "show", "imp-auditor-1"]).code, 6, "nothing was imported");
}

/// One row of the table.
fn check(command: &str, kind: Kind, arguments: &[&str]) {
    let group = command.split_once('-').filter(|(group, _)| commands_of_group(group));
    let words: Vec<&str> = group.map_or(vec![command], |(group, rest)| vec![group, rest]);
    let words = [&words, arguments].concat();
    let absent: Vec<&str> = words.iter().copied().map(absent).collect();
    let of = |who: &str| if who == "approver" && matches!(kind, Decide) { &absent } else { &words };
    let codes = WHO.map(|who| world().desk(who).run(of(who)).code);
    println!("{command:<28} {codes:?}");
    for (who, code) in WHO.into_iter().zip(codes) {
        assert!(kind.is_right(who, code), "{who}: {words:?}: {:?}", world().desk(who).run(of(who)));
    }
}

/// The same, or of its kind what is not there.
fn absent(word: &str) -> &str {
    ABSENT.into_iter().find(|id| word.starts_with(&id[..4])).unwrap_or(word)
}

fn commands_of_group(group: &str) -> bool {
    ["approvals", "certificates", "orders", "registrations", "report", "waivers"].contains(&group)
}

/// A day within the time that waivers may last.
fn soon() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    crate::renewal_info::acme_time(now + 30 * 86_400)
}
