//! How a folder is found again: after a crash, after trouble with the disk, and after somebody was there.

use serde_json::json;

use super::*;
use crate::audit::{
    chain::{Chain, STARTED, STOPPED},
    checkpoint::SigningKey,
    verify::{self, verify},
};

fn now() -> Timestamp {
    Timestamp::from_unix_secs(1_795_343_400)
}

/// What somebody does to a file.
type Tampering = fn(&Path);

struct Place {
    folder: PathBuf,
    key: PublicKey,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("acme-gateway-audit-folder-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self { folder, key: SigningKey::ephemeral().public() }
    }

    /// After a start, with nothing that waits in the store, which knows of no record but has noted that the first file is begun.
    fn open(&self, left: Option<Head>) -> (Folder, Found) {
        self.open_as(Left { head: Some(left.unwrap_or(Head::NONE)), ..Left::default() })
    }

    fn open_as(&self, left: Left) -> (Folder, Found) {
        Folder::open(&self.folder, Left { keys: vec![self.key], ..left }, &self.key, now()).unwrap()
    }

    fn last(&self) -> PathBuf {
        segments(&self.folder).unwrap().pop().unwrap()
    }

    fn fault(&self) -> Option<String> {
        let files = verify::files(std::slice::from_ref(&self.folder)).unwrap();
        let fault = verify(&files, Chain::default(), |_| Ok(())).unwrap().fault;
        fault.map(|fault| format!("{} {}", fault.sequence, fault.wrong))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn append(folder: &mut Folder, events: &[&str]) {
    let events: Vec<_> = events.iter().map(|event| json!({"event": event})).collect();
    folder.append(events.iter().enumerate().map(|(index, event)| (now(), event, Some(format!("1/{index}"))))).unwrap();
}

#[test]
fn a_folder_is_gone_on_with_where_it_ends_and_says_which_events_it_has_last() {
    let place = Place::new("on");
    let (mut folder, found) = place.open(None);
    assert!(found.damage.is_none() && found.seen.records == 0);
    append(&mut folder, &["a", "b", "c", "d"]);
    let left = folder.head;
    assert_eq!((left.sequence, folder.is_ours().unwrap()), (5, true));
    for noted in [left, Head { sequence: 1, hash: found_first(&place) }, Head::NONE] {
        let waiting = waiting(&["a", "b", "c", "d", "e"]);
        let (folder, found) = place.open_as(Left { head: Some(noted), waiting, ..Left::default() });
        assert_eq!((folder.head, found.damage, found.torn_octets), (left, None, 0), "{noted:?}");
        assert_eq!(found.outbox, ["1/0", "1/1", "1/2", "1/3"]);
    }
    assert_eq!(place.fault(), None);
}

/// What `append` writes, as it waits in the store.
fn waiting(events: &[&str]) -> BTreeMap<String, (Timestamp, Value)> {
    let entry = |(index, event): (usize, &&str)| (format!("1/{index}"), (now(), json!({"event": event})));
    events.iter().enumerate().map(entry).collect()
}

/// Whoever can write the file gives what he adds the right number and hashes; a key he has not.
#[test]
fn what_somebody_adds_behind_the_last_record_is_never_taken_for_ours() {
    const UNTOLD: &str = "the store was never told that it would come";
    let event = |name: &str| json!({"event": name});
    let stranger = SigningKey::ephemeral().public();
    // With what waits in the store: a, and then b at 1/1.
    let cases = [
        ("while we run", true, event(STOPPED), None, "this process did not write it"),
        ("in no store", false, event("revocation.requested"), Some("1/7"), "the store has no such event"),
        ("edited", false, event("x"), Some("1/1"), "the store has another event in its place"),
        ("without a place", false, event("certificate.issued"), None, UNTOLD),
        ("an end in order", false, event(STOPPED), None, UNTOLD),
        ("a key", false, chain::key_changed(&stranger, &stranger, true), None, UNTOLD),
    ];
    for (name, is_certain, added, outbox, why) in cases {
        let place = Place::new("added");
        let (mut folder, _) = place.open(None);
        append(&mut folder, &["a"]);
        let left = folder.head;
        folder.append([(now(), &added, outbox.map(str::to_owned))]).unwrap();
        let forged = folder.head;
        let waiting = waiting(&["a", "b"]);
        let (mut folder, found) = place.open_as(Left { head: Some(left), is_certain, waiting, ..Left::default() });
        let damage = found.damage.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(damage, format!("record 3 was written by somebody else: {why}"), "{name}");
        assert_eq!(found.outbox, ["1/0"], "{name}: the store keeps the true one");
        // What we sign goes on from what is ours, and no number is given twice.
        assert_eq!((segments(&place.folder).unwrap().len(), folder.head.sequence), (2, forged.sequence + 1), "{name}");
        assert!(place.fault().unwrap().starts_with("3 replaced"), "{name}: {:?}", place.fault());
        append(&mut folder, &["c"]);
        let next = Left { head: Some(folder.head), is_certain: true, ..Left::default() };
        assert_eq!(place.open_as(next).1.damage, None, "{name}");
    }
}

#[test]
fn a_file_that_a_stranger_has_begun_behind_ours_is_damage() {
    for (name, is_linked) in [("linked", true), ("loose", false)] {
        let place = Place::new("strange");
        let (mut folder, _) = place.open(None);
        append(&mut folder, &["a"]);
        let left = folder.head;
        if !is_linked {
            folder.head.hash = super::super::record::Digest::of(b"other");
        }
        let key = if is_linked { SigningKey::ephemeral().public() } else { place.key };
        folder.go_on(&key, now()).unwrap();
        folder.append([(now(), &json!({"event": STARTED, "damage": null}), None)]).unwrap();
        let (folder, found) = place.open(Some(left));
        assert!(found.damage.unwrap().starts_with("record 3 was written by somebody else"), "{name}");
        assert_eq!((folder.key, segments(&place.folder).unwrap().len()), (place.key, 3), "{name}");
    }
}

#[test]
fn what_is_no_file_is_none_of_ours_whatever_it_is_called() {
    let place = Place::new("folder");
    let (mut folder, _) = place.open(None);
    append(&mut folder, &["a"]);
    fs::create_dir(place.folder.join(format!("audit-{:0NUMBER_DIGITS$}.jsonl", folder.head.sequence + 1))).unwrap();
    let (again, found) = place.open(Some(folder.head));
    assert_eq!((again.head, found.damage), (folder.head, None));
}

#[test]
fn files_that_the_store_does_not_know_are_damage() {
    let place = Place::new("store");
    let (mut folder, _) = place.open(None);
    append(&mut folder, &["a"]);
    let (again, found) = place.open_as(Left::default());
    assert_eq!(found.damage.as_deref(), Some("the store does not know these files"));
    assert_eq!((again.head.sequence, segments(&place.folder).unwrap().len()), (folder.head.sequence + 1, 2));
}

#[test]
fn what_is_no_record_and_follows_the_last_one_while_we_run_is_damage() {
    let place = Place::new("garbage");
    let (mut folder, _) = place.open(None);
    append(&mut folder, &["a"]);
    fs::write(place.last(), [&fs::read(place.last()).unwrap(), &b"{\"seq"[..]].concat()).unwrap();
    let left = Left { head: Some(folder.head), is_certain: true, ..Left::default() };
    assert!(place.open_as(left).1.damage.unwrap().starts_with("something that is no record follows record 2"));
}

fn found_first(place: &Place) -> super::super::record::Digest {
    let text = fs::read_to_string(place.last()).unwrap();
    Record::read(text.lines().next().unwrap().as_bytes()).unwrap().hash
}

#[test]
fn what_a_crash_has_left_half_written_is_taken_away_and_nothing_else() {
    let place = Place::new("torn");
    let (mut folder, _) = place.open(None);
    append(&mut folder, &["a", "b"]);
    let left = folder.head;
    for torn in [&b"{\"sequence\":4,"[..], &[0; 50], b"{\"sequence\":4}\n{\"seq"] {
        let mut octets = fs::read(place.last()).unwrap();
        octets.extend_from_slice(torn);
        fs::write(place.last(), octets).unwrap();
        let (folder, found) = place.open(Some(left));
        assert_eq!((folder.head, found.damage), (left, None));
        assert_eq!(found.torn_octets, u64::try_from(torn.len()).unwrap());
        assert_eq!(place.fault(), None);
    }
    // A file of which nothing was written whole, or nothing but its beginning.
    for begun in ["{\"seq", "BEGINNING", "BEGINNING{\"seq"] {
        let mut folder = place.open(Some(left)).0;
        folder.go_on(&place.key, now()).unwrap();
        let torn = place.last();
        let beginning = fs::read_to_string(&torn).unwrap();
        fs::write(&torn, begun.replace("BEGINNING", &beginning)).unwrap();
        let (folder, found) = place.open(Some(left));
        assert_eq!((folder.head, found.damage, torn.exists()), (left, None, false), "{begun}");
    }
}

#[test]
fn whoever_cuts_edits_empties_or_removes_the_last_file_is_told_of_and_the_gap_shows() {
    let cases: [(&str, Tampering, &str); 6] = [
        ("cut", |file| edit(file, |lines| lines.truncate(2)), "3 missing: 3 records"),
        ("cut within a line", |file| fs::write(file, &fs::read(file).unwrap()[..300]).unwrap(), "incomplete"),
        ("edited", |file| edit(file, |lines| lines[2] = lines[2].replace('b', "x")), "3 edited"),
        ("rewritten", |file| edit(file, rewrite), "5 replaced"),
        ("emptied", |file| fs::write(file, "").unwrap(), ""),
        ("removed", |file| fs::remove_file(file).unwrap(), ""),
    ];
    for (name, tamper, told) in cases {
        let place = Place::new("tampered");
        let (mut folder, _) = place.open(None);
        append(&mut folder, &["a", "b", "c", "d"]);
        let left = folder.head;
        drop(folder);
        tamper(&place.last());
        let (mut folder, found) = place.open(Some(left));
        let damage = found.damage.unwrap_or_else(|| panic!("{name}"));
        let started = json!({"event": chain::STARTED, "damage": damage});
        folder.append([(now(), &started, None)]).unwrap();
        assert!(folder.head.sequence > left.sequence, "{name}");
        if !told.is_empty() {
            assert!(place.fault().unwrap().contains(told), "{name}: {:?}", place.fault());
        }
        // The next one goes on with what is there now.
        let (again, found) = place.open(Some(folder.head));
        assert_eq!((again.head, found.damage), (folder.head, None), "{name}");
    }
}

fn edit(file: &Path, tamper: impl Fn(&mut Vec<String>)) {
    let text = fs::read_to_string(file).unwrap();
    let mut lines: Vec<_> = text.lines().map(|line| format!("{line}\n")).collect();
    tamper(&mut lines);
    fs::write(file, lines.concat()).unwrap();
}

/// The last record has another event, and every hash is right.
fn rewrite(lines: &mut Vec<String>) {
    lines.pop();
    let last = Record::read(lines.last().unwrap().trim_end().as_bytes()).unwrap().head();
    lines.push(Record::write(&last, now(), &json!({"event": "lie"}), Some("1/3")).1);
}

#[test]
fn what_could_not_be_written_is_taken_back_and_a_file_that_was_touched_is_not_ours() {
    let place = Place::new("back");
    let (mut folder, _) = place.open(None);
    append(&mut folder, &["a"]);
    let left = folder.head;
    let whole = fs::read(place.last()).unwrap();
    fs::write(place.last(), [whole.as_slice(), b"{\"seq"].concat()).unwrap();
    assert!(!folder.is_ours().unwrap());
    folder.take_back().unwrap();
    assert!(folder.is_ours().unwrap());
    append(&mut folder, &["b"]);
    assert_eq!((folder.head.sequence, place.fault()), (left.sequence + 1, None));
    fs::rename(place.last(), place.folder.join("moved")).unwrap();
    assert!(folder.is_ours().is_err());
    fs::write(place.folder.join("audit-00000000000000000001.jsonl"), whole).unwrap();
    assert!(!folder.is_ours().unwrap());
}

#[test]
fn a_long_file_is_followed_by_another_one_and_one_with_another_key_is_gone_on_with_as_it_is() {
    let mut place = Place::new("next");
    let (mut folder, _) = place.open(None);
    append(&mut folder, &["a"]);
    folder.go_on(&place.key, now()).unwrap();
    append(&mut folder, &["b"]);
    assert_eq!(segments(&place.folder).unwrap().len(), 2);
    let first = std::mem::replace(&mut place.key, SigningKey::ephemeral().public());
    let (mut other, found) = place.open(Some(folder.head));
    assert_eq!((found.damage, other.key, segments(&place.folder).unwrap().len()), (None, first, 2));
    append(&mut other, &["c"]);
    other.go_on(&place.key, now()).unwrap();
    append(&mut other, &["d"]);
    assert_eq!((segments(&place.folder).unwrap().len(), other.head.sequence, other.key), (3, 7, place.key));
    assert!(place.last().ends_with("audit-00000000000000000006.jsonl"));
    assert!(place.fault().unwrap().starts_with("6 another key"), "{:?}", place.fault());
}
