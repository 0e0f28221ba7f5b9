//! A chain of many records, and what is done to it by somebody who can write the files: each tampering is found, at the
//! record that it was done to.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use acme::time::Timestamp;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use super::*;
use crate::audit::{
    chain::{self, STARTED, STOPPED},
    checkpoint::{Checkpoint, SigningKey},
    record::Head,
};

/// A chain under construction.
struct Written {
    key: SigningKey,
    head: Head,
    /// Lines with their line feeds.
    lines: Vec<String>,
}

impl Written {
    fn new() -> Self {
        let mut written = Self { key: SigningKey::ephemeral(), head: Head::NONE, lines: Vec::new() };
        written.begin();
        written.add(&json!({"event": STARTED, "before": null, "damage": null}), None);
        written
    }

    fn begin(&mut self) {
        let segment = chain::segment(&self.key.public());
        self.add(&segment, None);
    }

    fn add(&mut self, event: &serde_json::Value, outbox: Option<&str>) {
        let at = Timestamp::from_unix_secs(1_795_343_400 + i64::try_from(self.head.sequence / 10).unwrap());
        let (head, line) = Record::write(&self.head, at, event, outbox);
        self.head = head;
        self.lines.push(line);
    }

    fn events(&mut self, count: usize) {
        for _ in 0..count {
            let number = self.head.sequence;
            let event = json!({
                "event": "order.created", "endpoint": "open", "account": "reg_7", "order": format!("o{number}"),
                "identifiers": [{"type": "dns", "value": format!("host-{number}.example.test")}],
            });
            self.add(&event, Some(&format!("001795343400/{number:032x}")));
        }
    }

    fn checkpoint(&mut self) -> Checkpoint {
        let checkpoint = self.key.sign(self.head);
        self.add(&chain::checkpoint(&checkpoint), None);
        checkpoint
    }

    fn stop(&mut self) -> Checkpoint {
        self.add(&json!({"event": STOPPED}), None);
        self.checkpoint()
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("acme-gateway-audit-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn write(file: &Path, lines: &[String]) {
    fs::write(file, lines.concat()).unwrap();
}

fn verdict(files: &[PathBuf], checkpoints: &[Checkpoint]) -> Verdict {
    verify(files, Chain::new(Vec::new(), checkpoints.to_vec()), |_| Ok(())).unwrap()
}

/// Record 3 has another name, and the hash that belongs to it.
fn written_anew(lines: &[String], index: usize) -> Vec<String> {
    let before = Record::read(lines[index - 1].trim_end().as_bytes()).unwrap().head();
    let own = Record::read(lines[index].trim_end().as_bytes()).unwrap();
    let mut event = own.event;
    event["added"] = json!("a lie");
    let mut lines = lines.to_vec();
    lines[index] = Record::write(&before, own.at, &event, own.outbox.as_deref()).1;
    lines
}

#[test]
fn files_as_they_were_written_are_fine_and_it_is_told_how_far_they_are_proven() {
    let folder = folder("fine");
    let mut written = Written::new();
    written.events(20);
    let middle = written.checkpoint();
    let first_file = folder.join("audit-00000000000000000001.jsonl");
    write(&first_file, &written.lines);
    let open = verdict(std::slice::from_ref(&first_file), &[]);
    assert_eq!(open.fault, None);
    assert_eq!((open.seen.records, open.seen.events, open.seen.starts), (23, 20, 1));
    assert_eq!((open.seen.proven.map(|proven| proven.0), open.seen.is_stopped), (Some(22), false));

    // The second file goes on where the first one ends.
    written.lines.clear();
    written.begin();
    written.events(5);
    write(&folder.join("audit-00000000000000000024.jsonl"), &written.lines);
    let files = files(std::slice::from_ref(&folder)).unwrap();
    let both = verdict(&files, std::slice::from_ref(&middle));
    assert_eq!((&both.fault, both.seen.records, both.seen.proven.map(|proven| proven.0)), (&None, 29, Some(22)));
    let last = written.stop();
    write(&files[1], &written.lines);
    let stopped = verdict(&files, &[middle.clone(), last]);
    assert_eq!((stopped.fault, stopped.seen.is_stopped), (None, true));
    // The second one alone, and both the wrong way round.
    let alone = verdict(&files[1..], &[middle]);
    assert_eq!((alone.fault, alone.seen.first.map(|first| first.0)), (None, Some(24)));
    assert_eq!((alone.seen.met, both.seen.met), (vec![], vec![22]), "a checkpoint counts where its record is");
    let fault = verdict(&[files[1].clone(), files[0].clone()], &[]).fault.unwrap();
    assert_eq!((fault.sequence, fault.place.line), (32, 1));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_was_written_anew_is_found_by_the_next_record_by_the_next_checkpoint_or_by_one_from_elsewhere() {
    let folder = folder("anew");
    let file = folder.join("file");
    let mut written = Written::new();
    written.events(4);
    let kept = written.checkpoint();
    written.events(2);
    let again = |from: usize, to: usize, checkpoints: &[Checkpoint]| {
        let mut lines = written_anew(&written.lines, from);
        for index in from + 1..to {
            let before = Record::read(lines[index - 1].trim_end().as_bytes()).unwrap().head();
            let own = Record::read(lines[index].trim_end().as_bytes()).unwrap();
            lines[index] = Record::write(&before, own.at, &own.event, own.outbox.as_deref()).1;
        }
        write(&file, &lines);
        let fault = verdict(std::slice::from_ref(&file), checkpoints).fault;
        fault.map(|fault| (fault.sequence, fault.place.line, fault.wrong))
    };
    assert_eq!(again(3, 4, &[]), Some((4, 4, Wrong::Replaced)));
    assert_eq!(again(3, 9, &[]), Some((7, 7, Wrong::OtherRecord)));
    // What comes after the last checkpoint nobody vouches for, but one that was kept elsewhere.
    assert_eq!(again(7, 9, std::slice::from_ref(&kept)), None);
    let later = written.key.sign(written.head);
    assert_eq!(again(7, 9, &[kept, later]), Some((9, 9, Wrong::Rewritten)));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn nobody_else_can_sign() {
    let folder = folder("sign");
    let file = folder.join("file");
    let (mut written, thief) = (Written::new(), SigningKey::ephemeral());
    let forged = chain::checkpoint(&thief.sign(written.head));
    written.add(&forged, None);
    write(&file, &written.lines);
    let fault = verdict(std::slice::from_ref(&file), &[]).fault.unwrap();
    assert_eq!((fault.sequence, fault.wrong), (3, Wrong::NotSigned));
    // With a key of his own from the beginning on everything fits but the key.
    let mut his = Written::new();
    his.stop();
    write(&file, &his.lines);
    let trusting =
        |keys: Vec<_>| verify(std::slice::from_ref(&file), Chain::new(keys, Vec::new()), |_| Ok(())).unwrap().fault;
    assert_eq!(trusting(Vec::new()), None);
    assert_eq!(trusting(vec![written.key.public(), his.key.public()]), None);
    let fault = trusting(vec![written.key.public()]).unwrap();
    assert_eq!((fault.sequence, fault.wrong), (1, Wrong::OtherKey(his.key.public().to_string())));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_damage_that_the_gateway_itself_has_found_is_told_unless_only_later_files_are_asked_for() {
    let folder = folder("told");
    let mut written = Written::new();
    written.events(3);
    let files = [folder.join("1"), folder.join("2")];
    write(&files[0], &written.lines);
    written.lines.clear();
    written.begin();
    written.add(&json!({"event": STARTED, "before": "crashed", "damage": "record 4 is not the one"}), None);
    written.stop();
    write(&files[1], &written.lines);
    let fault = verdict(&files, &[]).fault.unwrap();
    assert_eq!((fault.sequence, fault.wrong), (7, Wrong::Told(String::from("record 4 is not the one"))));
    let later = verdict(&files[1..], &[]);
    assert_eq!((later.fault, later.seen.crashes), (None, 1));
    assert_eq!(later.seen.begins_after_damage.as_deref(), Some("record 4 is not the one"));
    fs::remove_dir_all(folder).unwrap();
}

/// The end is written anew, with a key of the thief's that the record names with which he begins.
#[test]
fn no_key_begins_to_sign_within_a_file() {
    let folder = folder("within");
    let file = folder.join("file");
    let (mut written, thief) = (Written::new(), SigningKey::ephemeral());
    written.events(3);
    let kept = written.checkpoint();
    let at = written.head.sequence + 1;
    for own in [false, true] {
        let mut written = Written { key: SigningKey::ephemeral(), head: written.head, lines: written.lines.clone() };
        let key = if own { key_of(&written.lines) } else { thief.public() };
        written.add(&chain::segment(&key), None);
        written.events(2);
        write(&file, &written.lines);
        let fault = verdict(std::slice::from_ref(&file), std::slice::from_ref(&kept)).fault.unwrap();
        assert_eq!((fault.sequence, fault.wrong), (at, Wrong::Within), "own key: {own}");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// The key that the first record names.
fn key_of(lines: &[String]) -> crate::audit::checkpoint::PublicKey {
    let first = Record::read(lines[0].trim_end().as_bytes()).unwrap();
    first.event["key"].as_str().unwrap().parse().unwrap()
}

#[test]
fn an_emptied_file_is_wrong_wherever_it_is() {
    let folder = folder("empty");
    let files = [folder.join("1"), folder.join("2"), folder.join("3")];
    let mut written = Written::new();
    for file in &files {
        written.events(1);
        write(file, &written.lines);
        written.lines.clear();
        written.begin();
    }
    assert_eq!(verdict(&files, &[]).fault, None);
    for (index, sequence) in [(0, 0), (1, 4), (2, 6)] {
        let whole = fs::read(&files[index]).unwrap();
        fs::write(&files[index], "").unwrap();
        let fault = verdict(&files, &[]).fault.unwrap();
        assert_eq!((fault.sequence, fault.wrong, fault.place.file), (sequence, Wrong::Empty, files[index].clone()));
        fs::write(&files[index], whole).unwrap();
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_format_that_nobody_knows_is_not_fine() {
    let folder = folder("format");
    let file = folder.join("file");
    for format in [json!(2), json!("1"), json!(null)] {
        let mut segment = chain::segment(&SigningKey::ephemeral().public());
        segment["format"] = format;
        write(&file, &[Record::write(&Head::NONE, Timestamp::from_unix_secs(1), &segment, None).1]);
        let fault = verdict(std::slice::from_ref(&file), &[]).fault.unwrap();
        assert_eq!(fault.sequence, 1);
        assert!(fault.wrong.to_string().contains("a format that this program does not know"), "{}", fault.wrong);
    }
    fs::remove_dir_all(folder).unwrap();
}

/// What was done, and the record that must be named.
fn tamper(random: &mut StdRng, lines: &mut Vec<String>) -> (&'static str, u64) {
    let count = lines.len();
    let number = |index: usize| u64::try_from(index).unwrap() + 1;
    let index = random.random_range(0..count);
    match random.random_range(0..6) {
        // The last octet is the line feed, which a cut takes away too.
        0 => {
            let mut octets = lines[index].clone().into_bytes();
            let place = random.random_range(0..octets.len() - 1);
            octets[place] = if octets[place] == b'0' { b'1' } else { b'0' };
            lines[index] = String::from_utf8(octets).unwrap();
            ("edit", number(index))
        }
        1 => {
            let index = random.random_range(1..count - 1);
            *lines = written_anew(lines, index);
            // A checkpoint with another member says the same; that it is another record shows in the next one.
            ("edit with a new hash", number(index))
        }
        2 => {
            // One that is last is cut.
            let index = random.random_range(0..count - 1);
            lines.remove(index);
            ("drop", number(index))
        }
        3 => {
            let other = (index + random.random_range(1..count)) % count;
            lines.swap(index, other);
            ("reorder", number(index.min(other)))
        }
        4 => {
            let copy = lines[random.random_range(0..=index)].clone();
            lines.insert(index + 1, copy);
            ("repeat", number(index + 1))
        }
        _ => {
            // The very last record is the checkpoint that was kept, and vouches for those before it.
            let index = index.min(count - 2);
            lines.truncate(index);
            match lines.last_mut().filter(|_| random.random_bool(0.5)) {
                Some(last) => {
                    last.truncate(last.len() - random.random_range(1..40));
                    ("cut within a record", number(lines.len() - 1))
                }
                None => ("cut", number(index)),
            }
        }
    }
}

#[test]
fn a_thousand_tamperings_are_found_at_the_record_that_they_were_done_to() {
    const SEED: u64 = 20_261_122;
    let folder = folder("tampering");
    let file = folder.join("audit-00000000000000000001.jsonl");
    let mut written = Written::new();
    for _ in 0..6 {
        written.events(7);
        written.checkpoint();
    }
    // In the log, on another machine.
    let kept = written.stop();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut found = std::collections::BTreeMap::<_, usize>::new();
    for round in 0..1000 {
        let mut lines = written.lines.clone();
        let (what, sequence) = tamper(&mut random, &mut lines);
        write(&file, &lines);
        let fault = verdict(std::slice::from_ref(&file), std::slice::from_ref(&kept)).fault;
        let fault =
            fault.unwrap_or_else(|| panic!("seed {SEED} round {round}: {what} at record {sequence} was not found"));
        // What the very first line is cannot be told from itself once it is not the one that begins a file.
        let named = if fault.sequence == 0 { 1 } else { fault.sequence };
        assert_eq!(named, sequence, "seed {SEED} round {round}: {what}: {fault:?}");
        *found.entry(what).or_default() += 1;
    }
    assert_eq!(found.len(), 7, "{found:?}");
    println!("1000 tamperings (seed {SEED}) found, each at its record: {found:?}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_hundred_thousand_events_are_verified_one_by_one() {
    const EVENTS: usize = 100_000;
    let folder = folder("many");
    let file = folder.join("audit-00000000000000000001.jsonl");
    let mut written = Written::new();
    for _ in 0..EVENTS / 1000 {
        written.events(1000);
        written.checkpoint();
    }
    let kept = written.stop();
    write(&file, &written.lines);
    let start = Instant::now();
    let verdict = verdict(std::slice::from_ref(&file), &[kept]);
    assert_eq!((verdict.fault, verdict.seen.events), (None, 100_000));
    println!("{EVENTS} events in {} records verified in {:.1} s", verdict.seen.records, start.elapsed().as_secs_f32());
    fs::remove_dir_all(folder).unwrap();
}
