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
            let text = if json {
                format!("{:#}", to_json(&verdict, &checkpoint))
            } else {
                to_text(&verdict, !key.is_empty(), &checkpoint)
            };
            say(text)?;
            Ok(if verdict.fault.is_none() { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
        }
        Command::Show { files: Files { files: given, key }, about, json } => {
            let mut wanted = BTreeSet::from([about]);
            let mut out = io::BufWriter::new(io::stdout().lock());
            let each = |record: &Record| {
                if is_about(&record.event, &wanted) {
                    follow(&record.event, &mut wanted);
                    said(show(&mut out, record, json))?;
                }
                Ok(())
            };
            let verdict = verify(&files(&given)?, Chain::new(key, Vec::new()), each)?;
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

fn words(Fault { place, sequence, wrong }: &Fault) -> String {
    format!("{} line {}: record {sequence}: {wrong}", place.file.display(), place.line)
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
    let fine = if fault.is_none() { "fine: " } else { "" };
    lines.push(format!(
        "{fine}{} records ({first} to {}, {since} to {until}), {} events, {} starts ({} after a crash), {} checkpoints",
        seen.records, last.sequence, seen.events, seen.starts, seen.crashes, seen.checkpoints
    ));
    if first > 1 {
        lines
            .push(format!("record {first} is the first one here; give the files before it to verify what came before"));
    }
    let vouched = checkpoints.iter().map(|one| one.head.sequence).filter(|one| *one <= last.sequence).max();
    let proven = seen.proven.map(|(sequence, _)| sequence).max(vouched);
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

fn to_json(Verdict { seen, fault }: &Verdict, checkpoints: &[Checkpoint]) -> Value {
    let fault = fault.as_ref().map(|Fault { place, sequence, wrong }| {
        json!({"file": place.file, "line": place.line, "sequence": sequence, "wrong": wrong.to_string()})
    });
    let (first, last) = (seen.first.unzip(), seen.last.unzip());
    json!({
        "version": 1, "fine": fault.is_none(), "fault": fault,
        "records": seen.records, "events": seen.events, "starts": seen.starts, "crashes": seen.crashes,
        "checkpoints": seen.checkpoints, "first": first.0, "from": first.1,
        "last": last.0.map(|head| head.sequence), "until": last.1,
        "provenUpTo": seen.proven.map(|(sequence, _)| sequence), "isStopped": seen.is_stopped,
        "keys": seen.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "keyChanges": seen.key_changes.iter().map(|KeyChange { sequence, old, new, is_announced }| {
            json!({"sequence": sequence, "old": old.to_string(), "new": new.to_string(), "announced": is_announced})
        }).collect::<Vec<_>>(),
        "checkpointsGiven": checkpoints.len(),
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

fn show(out: &mut impl Write, record: &Record, json: bool) -> io::Result<()> {
    if json {
        let whole = json!({"sequence": record.sequence, "at": record.at, "event": record.event});
        return writeln!(out, "{whole}");
    }
    write!(out, "{:>8}  {}  {}", record.sequence, record.at, record.name())?;
    for (name, value) in record.event.as_object().into_iter().flatten() {
        if name != "event" && !value.is_null() {
            write!(out, "  {name}={value}")?;
        }
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

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
