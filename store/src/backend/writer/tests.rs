//! The writer thread by itself: groups, conflicts, failures of the disk.

use std::fs;

use super::*;
use crate::{
    backend::{Change, Condition, Key},
    test_folder::TestFolder,
};

fn writer(folder: &TestFolder) -> Writer {
    let folder = Folder::hold(folder.path()).unwrap();
    let recovered = Database::open(&folder.database(), 1 << 20).unwrap_or_else(|why| panic!("{why:?}"));
    let mut ballast = Ballast::new(folder.ballast(), 4096);
    ballast.make().unwrap();
    Writer {
        view: Arc::new(View::new(recovered.database)),
        folder,
        ballast,
        cache_octets: 1 << 20,
        barrier: Box::new(File::sync_data),
        sequence: recovered.sequence,
        failed: None,
        mended: Instant::now().checked_sub(MEND_EVERY).unwrap(),
        full: Arc::default(),
    }
}

fn batch(name: &str, change: Change) -> Batch {
    Batch { changes: [(Key::new(name.into()), change)].into(), ..Batch::default() }
}

fn put(name: &str) -> Batch {
    batch(name, Change::Put(b"x".to_vec()))
}

fn group(writer: &Writer, batch: Batch) -> Group {
    let mut group = Group::after(writer.sequence);
    assert!(group.add(batch, |key| writer.view.stored_version(key)).unwrap());
    group
}

fn holds(writer: &Writer, name: &str) -> bool {
    writer.view.read(&Key::new(name.into())).unwrap().is_some()
}

#[test]
fn a_group_that_did_not_get_in_before_the_disk_was_full_is_told_apart_from_one_that_did() {
    let folder = TestFolder::new();
    let mut writer = writer(&folder);
    let missing = group(&writer, put("a"));
    assert!(matches!(writer.make_room(&missing), Outcome::NotWritten));
    assert!(!holds(&writer, "a"));
    let written = group(&writer, put("a"));
    writer.view.with_database(|database| database.write(&written)).unwrap();
    assert!(matches!(writer.make_room(&written), Outcome::Written));
    assert!(holds(&writer, "a"));
}

#[test]
fn while_the_ballast_is_spent_only_deletions_are_taken() {
    let folder = TestFolder::new();
    let mut writer = writer(&folder);
    assert_eq!(writer.write(vec![put("a")]), [Ok(())]);
    writer.ballast.spend();
    let verdicts = writer.write(vec![put("b"), batch("a", Change::Delete), put("c")]);
    assert_eq!(verdicts, [Err(ApplyError::Full), Ok(()), Err(ApplyError::Full)]);
    assert!(!holds(&writer, "a") && !holds(&writer, "b"));
}

#[test]
fn service_resumes_once_there_is_space_for_the_ballast() {
    let folder = TestFolder::new();
    let mut writer = writer(&folder);
    assert_eq!(writer.write(vec![put("a")]), [Ok(())]);
    let lost = group(&writer, put("b"));
    assert!(matches!(writer.make_room(&lost), Outcome::NotWritten));
    // No ballast can be written where a folder is.
    fs::create_dir(folder.path().join("ballast")).unwrap();
    writer.mend();
    assert_eq!(writer.write(vec![put("b")]), [Err(ApplyError::Full)]);
    fs::remove_dir(folder.path().join("ballast")).unwrap();
    writer.mend_if_due();
    assert_eq!(writer.write(vec![put("b")]), [Ok(())]);
    assert!(holds(&writer, "a") && holds(&writer, "b"));
}

#[test]
fn a_database_that_stayed_closed_is_opened_once_that_is_possible() {
    let folder = TestFolder::new();
    let mut writer = writer(&folder);
    assert_eq!(writer.write(vec![put("a")]), [Ok(())]);
    drop(writer.view.close("the disk is full"));
    assert!(writer.view.read(&Key::new("a".into())).is_err());
    assert_eq!(writer.write(vec![put("b")]), [Err(ApplyError::Full)]);
    writer.mend_if_due();
    assert!(holds(&writer, "a"));
    let again = Batch { conditions: vec![(Key::new("b".into()), Condition::Absent)], ..put("b") };
    assert_eq!(writer.write(vec![again]), [Ok(())]);
}
