//! `acme-gateway audit`: verifies audit files, and shows what is in them about something. Both need the files and nothing
//! else, on any machine.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{said, say};
use crate::audit::{
    chain::{Chain, KeyChange, Seen},
    checkpoint::{Checkpoint, PublicKey},
    record::Record,
    verify::{Fault, Verdict, files, verify},
};

/// Records are wrong.
const WRONG: u8 = 2;
/// Most references that `show` follows from what it was asked for.
const FOLLOWED_MAX: usize = 10_000;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Say whether these audit files are as they were written, or the first record that is wrong. Exit code 2 if one is.
    Verify {
        #[command(flatten)]
        files: Files,
        /// A checkpoint from the log (acme-audit-1.…), to prove that nothing up to it was cut away or written anew; can
        /// be given again.
        #[arg(long)]
        checkpoint: Vec<Checkpoint>,
        /// Everything, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show the records about something, one line each.
    Show {
        #[command(flatten)]
        files: Files,
        /// An id (order, authorization, account, certificate, request), a name, an address: whatever has it as one of its
        /// values is shown, and with an order its authorizations.
        #[arg(long)]
        about: String,
        /// The records as they are.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(super) struct Files {
    /// Audit files in the order in which they were written, or the folder with them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// A key that may have signed, as in the first record of a file; can be given again. One that it has announced may
    /// too. Without it the first key in the files is believed.
    #[arg(long)]
    key: Vec<PublicKey>,
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Verify { files: Files { files: given, key }, checkpoint, json } => {
            let verdict = verify(&files(&given)?, Chain::new(key.clone(), checkpoint.clone()), |_| Ok(()))?;
            if verdict.fault.is_none() {
                require_own(&verdict.seen, &checkpoint)?;
            }
            let is_held = is_held(&verdict, &checkpoint);
            let text = if json {
                format!("{:#}", to_json(&verdict, &checkpoint))
            } else {
                to_text(&verdict, !key.is_empty(), &checkpoint)
            };
            say(text)?;
            Ok(match verdict.fault {
                Some(_) => ExitCode::from(WRONG),
                None if !is_held => ExitCode::FAILURE,
                None => ExitCode::SUCCESS,
            })
        }
        Command::Show { files: Files { files: given, key }, about, json } => {
            let given = files(&given)?;
            let proven = proven(&verify(&given, Chain::new(key.clone(), Vec::new()), |_| Ok(()))?.seen);
            let mut wanted = BTreeSet::from([about]);
            let mut out = io::BufWriter::new(io::stdout().lock());
            let each = |record: &Record| {
                if is_about(&record.event, &wanted) {
                    follow(&record.event, &mut wanted);
                    said(show(&mut out, record, proven >= Some(record.sequence), json))?;
                }
                Ok(())
            };
            let verdict = verify(&given, Chain::new(key, Vec::new()), each)?;
            said(out.flush())?;
            let Some(fault) = verdict.fault else { return Ok(ExitCode::SUCCESS) };
            eprintln!("acme-gateway: nothing after this is shown: {}", words(&fault));
            Ok(ExitCode::from(WRONG))
        }
    }
}

/// A checkpoint that another gateway signed proves nothing about these files.
fn require_own(seen: &Seen, checkpoints: &[Checkpoint]) -> anyhow::Result<()> {
    match checkpoints.iter().find(|one| !seen.keys.iter().any(|key| one.is_signed_by(key))) {
        Some(other) => anyhow::bail!("--checkpoint {other}: no key of these files has signed it"),
        None => Ok(()),
    }
}

/// Up to which record checkpoints prove the files: those in them, and those from elsewhere whose record is here.
fn proven(seen: &Seen) -> Option<u64> {
    seen.proven.map(|(sequence, _)| sequence).max(seen.met.iter().copied().max())
}

/// Whether the files were held against a checkpoint from elsewhere, if any was given: one for a record before the first one
/// here proves nothing about them.
fn is_held(Verdict { seen, fault }: &Verdict, checkpoints: &[Checkpoint]) -> bool {
    fault.is_some() || checkpoints.is_empty() || !seen.met.is_empty()
}

/// The records that checkpoints were given for and that were not looked at.
fn not_looked_at(seen: &Seen, checkpoints: &[Checkpoint]) -> Vec<u64> {
    checkpoints.iter().map(|one| one.head.sequence).filter(|one| !seen.met.contains(one)).collect()
}

fn words(Fault { place, sequence, wrong }: &Fault) -> String {
    printable(&format!("{} line {}: record {sequence}: {wrong}", place.file.display(), place.line))
}

fn to_text(verdict: &Verdict, with_key: bool, checkpoints: &[Checkpoint]) -> String {
    let Verdict { seen, fault } = verdict;
    let mut lines = Vec::new();
    if let Some(fault) = fault {
        lines.push(format!("WRONG: {}", words(fault)));
        lines.push(String::from("Nothing is said about what comes after it. Before it:"));
    }
    let (Some((first, since)), Some((last, until))) = (seen.first, seen.last) else {
        lines.push(String::from("There are no records."));
        return lines.join("\n");
    };
    let fine = match fault {
        None if is_held(verdict, checkpoints) => "fine: ",
        None => "NOT HELD against any checkpoint that was given: ",
        Some(_) => "",
    };
    lines.push(format!(
        "{fine}{} records ({first} to {}, {since} to {until}), {} events, {} starts ({} after a crash), {} checkpoints",
        seen.records, last.sequence, seen.events, seen.starts, seen.crashes, seen.checkpoints
    ));
    if first > 1 {
        lines
            .push(format!("record {first} is the first one here; give the files before it to verify what came before"));
    }
    if let Some(damage) = &seen.begins_after_damage {
        lines.push(format!("it begins after damage that the gateway found in the files before: {}", printable(damage)));
    }
    let others = not_looked_at(seen, checkpoints);
    if !others.is_empty() {
        let others: Vec<_> = others.iter().map(ToString::to_string).collect();
        lines.push(format!("not looked at: the checkpoints for records {}, which are not here", others.join(", ")));
    }
    let proven = proven(seen);
    let after = last.sequence.saturating_sub(proven.unwrap_or(0));
    lines.push(match proven {
        None => String::from("no checkpoint vouches for any of it"),
        Some(proven) if after <= 1 => format!("proven by signed checkpoints up to record {proven}"),
        Some(proven) => format!(
            "proven by signed checkpoints up to record {proven}; the {after} after it could be cut away or written anew by \
             whoever can write the file"
        ),
    });
    lines.push(if seen.is_stopped {
        String::from("it ends with the end of the process (audit.stopped)")
    } else {
        String::from("it does not end with audit.stopped: the gateway is running, has crashed, or the end was cut away")
    });
    if checkpoints.is_empty() {
        lines.push(String::from(
            "whether records after the last one here were cut away shows a checkpoint from the log: --checkpoint",
        ));
    }
    lines.extend(seen.key_changes.iter().map(told));
    let keys: Vec<_> = seen.keys.iter().map(ToString::to_string).collect();
    let whose = if with_key { "as given" } else { "as the files themselves say; give --key to hold them to one" };
    lines.push(format!("signed by {} ({whose})", keys.join(", ")));
    lines.join("\n")
}

/// Where another key follows, and by whose word.
fn told(KeyChange { sequence, old, new, is_announced }: &KeyChange) -> String {
    let word = if *is_announced { "which that key has announced" } else { "by nobody's word but yours" };
    format!("from record {sequence} on {new} signs instead of {old}, {word}")
}

fn to_json(verdict: &Verdict, checkpoints: &[Checkpoint]) -> Value {
    let (Verdict { seen, fault }, is_held) = (verdict, is_held(verdict, checkpoints));
    let fault = fault.as_ref().map(|Fault { place, sequence, wrong }| {
        json!({"file": place.file, "line": place.line, "sequence": sequence, "wrong": wrong.to_string()})
    });
    let (first, last) = (seen.first.unzip(), seen.last.unzip());
    json!({
        "version": 1, "fine": fault.is_none() && is_held, "fault": fault,
        "records": seen.records, "events": seen.events, "starts": seen.starts, "crashes": seen.crashes,
        "checkpoints": seen.checkpoints, "first": first.0, "from": first.1,
        "last": last.0.map(|head| head.sequence), "until": last.1,
        "provenUpTo": proven(seen), "isStopped": seen.is_stopped, "beginsAfterDamage": seen.begins_after_damage,
        "keys": seen.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "keyChanges": seen.key_changes.iter().map(|KeyChange { sequence, old, new, is_announced }| {
            json!({"sequence": sequence, "old": old.to_string(), "new": new.to_string(), "announced": is_announced})
        }).collect::<Vec<_>>(),
        "checkpointsGiven": checkpoints.len(), "checkpointsNotLookedAt": not_looked_at(seen, checkpoints),
    })
}

/// Whether one of the values, at any depth, is one of these.
fn is_about(value: &Value, wanted: &BTreeSet<String>) -> bool {
    match value {
        Value::String(text) => wanted.contains(text),
        Value::Array(values) => values.iter().any(|value| is_about(value, wanted)),
        Value::Object(members) => members.values().any(|value| is_about(value, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What is told of the authorizations of an order belongs to it.
fn follow(event: &Value, wanted: &mut BTreeSet<String>) {
    let is_the_order = event.get("order").and_then(Value::as_str).is_some_and(|order| wanted.contains(order));
    let own = event.get("authorizations").and_then(Value::as_array).filter(|_| is_the_order);
    for id in own.into_iter().flatten().filter_map(Value::as_str) {
        if wanted.len() < FOLLOWED_MAX {
            wanted.insert(id.to_owned());
        }
    }
}

fn show(out: &mut impl Write, record: &Record, is_proven: bool, json: bool) -> io::Result<()> {
    if json {
        let whole = json!({"sequence": record.sequence, "at": record.at, "event": record.event, "proven": is_proven});
        return writeln!(out, "{}", printable(&whole.to_string()));
    }
    let mark = if is_proven { "" } else { "  (no checkpoint vouches for it)" };
    let mut line = format!("{:>8}  {}{mark}  {}", record.sequence, record.at, record.name());
    for (name, value) in record.event.as_object().into_iter().flatten() {
        if name != "event" && !value.is_null() {
            line.push_str(&format!("  {name}={value}"));
        }
    }
    writeln!(out, "{}", printable(&line))
}

/// The text with what a terminal would obey written as JSON writes it: anybody may have written the end of a file.
fn printable(text: &str) -> String {
    let is_obeyed = |character: char| {
        character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if is_obeyed(character) {
            printable.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use acme::time::Timestamp;

    use super::*;
    use crate::audit::{
        checkpoint::SigningKey,
        record::{Digest, Head},
    };

    /// Octets that a terminal obeys would move the cursor and write over what was shown before.
    #[test]
    fn nothing_that_a_terminal_obeys_is_shown_and_what_nobody_vouches_for_is_marked() {
        let event = json!({"event": "a\u{1b}[2J\u{9b}1A\u{202e}", "order": "o\u{7f}1"});
        let (_, line) = Record::write(&Head::NONE, Timestamp::from_unix_secs(1), &event, None);
        let record = Record::read(line.trim_end().as_bytes()).unwrap();
        for json in [false, true] {
            let shown = |is_proven| {
                let mut out = Vec::new();
                show(&mut out, &record, is_proven, json).unwrap();
                String::from_utf8(out).unwrap()
            };
            let text = shown(false);
            assert!(text.trim_end().chars().all(|one| !one.is_control() && one != '\u{202e}'), "{text:?}");
            assert!(text.contains("u001b[2J") && text.contains("u009b1A") && text.contains("o\\u007f1"), "{text:?}");
            let mark = if json { "\"proven\":false" } else { "no checkpoint vouches for it" };
            assert!(text.contains(mark) && !shown(true).contains(mark), "{text:?}");
        }
    }

    #[test]
    fn a_checkpoint_counts_only_for_a_record_that_is_there() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let kept = [key.sign(Head { sequence: 36, hash: Digest::of(b"36") })];
        let head = Head { sequence: 1_000_004, hash: Digest::of(b"x") };
        let at = Timestamp::from_unix_secs(1);
        let seen = Seen { first: Some((1_000_001, at)), last: Some((head, at)), records: 4, ..Seen::default() };
        let verdict = Verdict { seen: Seen { keys: vec![key.public()], ..seen }, fault: None };
        let (json, text) = (to_json(&verdict, &kept), to_text(&verdict, true, &kept));
        assert_eq!((&json["fine"], &json["provenUpTo"]), (&json!(false), &Value::Null), "{json}");
        assert_eq!(json["checkpointsNotLookedAt"], json!([36]), "{json}");
        assert!(!text.contains("fine") && text.contains("not looked at: the checkpoints for records 36"), "{text}");
        assert!(text.contains("no checkpoint vouches for any of it") && !is_held(&verdict, &kept), "{text}");
        let verdict = Verdict { seen: Seen { met: vec![36], ..verdict.seen }, fault: None };
        assert_eq!((&to_json(&verdict, &kept)["provenUpTo"], is_held(&verdict, &kept)), (&json!(36), true));
    }

    #[test]
    fn files_that_begin_after_damage_say_so() {
        let at = Timestamp::from_unix_secs(1);
        let head = Head { sequence: 9, hash: Digest::of(b"x") };
        let damage = Some(String::from("record 4 is not the one"));
        let seen =
            Seen { first: Some((7, at)), last: Some((head, at)), begins_after_damage: damage, ..Seen::default() };
        let verdict = Verdict { seen, fault: None };
        assert_eq!(to_json(&verdict, &[])["beginsAfterDamage"], "record 4 is not the one");
        assert!(to_text(&verdict, true, &[]).contains("in the files before: record 4 is not the one"));
    }

    #[test]
    fn what_is_about_an_order_is_shown_with_its_authorizations() {
        let mut wanted = BTreeSet::from([String::from("o1")]);
        let created = json!({"event": "order.created", "order": "o1", "authorizations": ["a1", "a2"]});
        let validated = json!({"event": "validation.ended", "authorization": "a2", "identifier": {"value": "b.test"}});
        assert!(is_about(&created, &wanted) && !is_about(&validated, &wanted));
        follow(&created, &mut wanted);
        assert!(is_about(&validated, &wanted));
        let other = json!({"event": "order.created", "order": "o2", "authorizations": ["a2", "a3"]});
        assert!(is_about(&other, &wanted), "it rests on the same proof");
        follow(&other, &mut wanted);
        assert!(!wanted.contains("a3"), "its other proofs do not belong to this order");
    }
}
