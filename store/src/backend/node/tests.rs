//! The database of a node on a real disk: opening, quarantine, full disks, and that nothing shows before its barrier.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use rand::{RngCore, SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    backend::{Change, Condition, Version},
    test_folder::TestFolder,
};

const OPTIONS: Options = Options { ballast_octets: 4096, cache_octets: 1 << 24 };

fn key(text: &str) -> Key {
    Key::new(text.to_owned())
}

fn put(text: &str, value: &[u8]) -> Batch {
    Batch { changes: [(key(text), Change::Put(value.to_vec()))].into(), ..Batch::default() }
}

fn opened(folder: &TestFolder) -> Sled {
    let opened = open(folder.path(), &OPTIONS).unwrap();
    assert_eq!(opened.quarantined, None);
    opened.backend
}

async fn value(backend: &Sled, text: &str) -> Option<Vec<u8>> {
    backend.read(&key(text)).await.unwrap().map(|held| held.value)
}

async fn everything(backend: &Sled) -> Vec<(String, Vec<u8>)> {
    let range = KeyRange { from: key(""), below: key("~") };
    let entries = backend.scan(&range, 99).await.unwrap();
    entries.into_iter().map(|entry| (entry.key.to_string(), entry.held.value)).collect()
}

/// A barrier that waits for the test once it is told to.
struct Gate {
    is_shut: AtomicBool,
    passed: AtomicUsize,
    reached: Mutex<Sender<()>>,
    go_on: Mutex<Receiver<()>>,
}

impl Gate {
    fn pass(&self, file: &File) -> io::Result<()> {
        if self.is_shut.load(Ordering::SeqCst) {
            self.reached.lock().unwrap().send(()).unwrap();
            self.go_on.lock().unwrap().recv_timeout(Duration::from_secs(30)).unwrap();
        }
        self.passed.fetch_add(1, Ordering::SeqCst);
        file.sync_data()
    }
}

fn opened_with_gate(folder: &TestFolder) -> (Arc<Sled>, Arc<Gate>, Receiver<()>, Sender<()>) {
    let (reached, wait_reached) = mpsc::channel();
    let (let_go, go_on) = mpsc::channel();
    let gate = Arc::new(Gate {
        is_shut: AtomicBool::new(false),
        passed: AtomicUsize::new(0),
        reached: Mutex::new(reached),
        go_on: Mutex::new(go_on),
    });
    let barrier = Arc::clone(&gate);
    let opened = open_with_barrier(folder.path(), &OPTIONS, Box::new(move |file| barrier.pass(file))).unwrap();
    (Arc::new(opened.backend), gate, wait_reached, let_go)
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_the_state_before_a_write_until_its_barrier_is_done() {
    let folder = TestFolder::new();
    let (backend, gate, reached, let_go) = opened_with_gate(&folder);
    for name in ["b-changed", "d-deleted", "e-untouched"] {
        backend.apply(put(name, b"old")).await.unwrap();
    }
    let before = everything(&backend).await;
    gate.is_shut.store(true, Ordering::SeqCst);
    let mut batch = put("b-changed", &[b'n'; 9000]);
    batch.changes.insert(key("a-made"), Change::Put(b"new".to_vec()));
    batch.changes.insert(key("f-made"), Change::Put(b"new".to_vec()));
    batch.changes.insert(key("d-deleted"), Change::Delete);
    let writing = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.apply(batch).await }
    });
    reached.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(everything(&backend).await, before);
    assert_eq!(value(&backend, "a-made").await, None);
    assert_eq!(value(&backend, "b-changed").await, Some(b"old".to_vec()));
    assert_eq!(value(&backend, "d-deleted").await, Some(b"old".to_vec()));
    let first = KeyRange { from: key(""), below: key("~") };
    assert_eq!(backend.scan(&first, 1).await.unwrap()[0].key, key("b-changed"));
    let_go.send(()).unwrap();
    writing.await.unwrap().unwrap();
    let names: Vec<_> = everything(&backend).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a-made", "b-changed", "e-untouched", "f-made"]);
    assert_eq!(value(&backend, "b-changed").await, Some(vec![b'n'; 9000]));
}

#[tokio::test]
async fn batches_that_wait_share_one_barrier() {
    let folder = TestFolder::new();
    let (backend, gate, reached, let_go) = opened_with_gate(&folder);
    gate.is_shut.store(true, Ordering::SeqCst);
    let apply = |name: String| {
        let backend = Arc::clone(&backend);
        tokio::spawn(async move { backend.apply(put(&name, b"x")).await })
    };
    let mut writing = vec![apply("first".into())];
    while backend.places.available_permits() != WAITING_MAX - 1 {
        tokio::task::yield_now().await;
    }
    reached.recv_timeout(Duration::from_secs(30)).unwrap();
    writing.extend((0..10).map(|number| apply(format!("k{number}"))));
    while backend.places.available_permits() != WAITING_MAX - 11 {
        tokio::task::yield_now().await;
    }
    gate.is_shut.store(false, Ordering::SeqCst);
    let passed_before = gate.passed.load(Ordering::SeqCst);
    let_go.send(()).unwrap();
    for task in writing {
        task.await.unwrap().unwrap();
    }
    assert_eq!(gate.passed.load(Ordering::SeqCst) - passed_before, 2);
    assert_eq!(everything(&backend).await.len(), 11);
}

async fn nothing_works_any_more(barrier: Barrier, is_armed: &AtomicBool, folder: &TestFolder) {
    let backend = open_with_barrier(folder.path(), &OPTIONS, barrier).unwrap().backend;
    backend.apply(put("before", b"x")).await.unwrap();
    is_armed.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let refused = backend.apply(put("after", b"x")).await;
        assert!(matches!(refused, Err(ApplyError::Unavailable(_))), "{refused:?}");
    }
    assert!(backend.read(&key("before")).await.is_err());
    assert!(backend.scan(&KeyRange { from: key(""), below: key("~") }, 9).await.is_err());
}

#[tokio::test]
async fn a_barrier_that_fails_ends_all_service_until_the_store_is_opened_again() {
    let folder = TestFolder::new();
    let is_armed = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&is_armed);
    let barrier = move |_: &File| if armed.load(Ordering::SeqCst) { Err(io::Error::other("gone")) } else { Ok(()) };
    nothing_works_any_more(Box::new(barrier), &is_armed, &folder).await;
    assert_eq!(value(&opened(&folder), "before").await, Some(b"x".to_vec()));
}

#[tokio::test]
async fn a_panic_in_the_writer_is_an_answer_and_not_a_hang() {
    let folder = TestFolder::new();
    let is_armed = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&is_armed);
    let barrier = move |_: &File| {
        assert!(!armed.load(Ordering::SeqCst), "on purpose");
        Ok(())
    };
    nothing_works_any_more(Box::new(barrier), &is_armed, &folder).await;
    assert_eq!(value(&opened(&folder), "before").await, Some(b"x".to_vec()));
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again_and_versions_go_on() {
    let folder = TestFolder::new();
    let backend = opened(&folder);
    backend.apply(put("a", &[7; 10_000])).await.unwrap();
    backend.apply(put("b", b"x")).await.unwrap();
    let last = backend.read(&key("b")).await.unwrap().unwrap().version;
    let gone = Batch { changes: [(key("b"), Change::Delete)].into(), ..Batch::default() };
    backend.apply(gone).await.unwrap();
    drop(backend);
    let backend = opened(&folder);
    assert_eq!(everything(&backend).await, [("a".to_owned(), vec![7; 10_000])]);
    let stale = Batch { conditions: vec![(key("b"), Condition::Is(last))], ..Batch::default() };
    assert_eq!(backend.apply(stale).await, Err(ApplyError::Conflict));
    backend.apply(put("b", b"x")).await.unwrap();
    assert!(backend.read(&key("b")).await.unwrap().unwrap().version > Version(last.0 + 1));
}

/// Fills a store, lets `spoil` loose on sled's folder, and expects a new beginning.
async fn is_moved_aside_after(spoil: impl FnOnce(&Path)) {
    let folder = TestFolder::new();
    let backend = opened(&folder);
    for number in 0..300 {
        backend.apply(put(&format!("k{number}"), &[7; 3000])).await.unwrap();
    }
    drop(backend);
    let database = folder.path().join("sled");
    spoil(&database);
    let Opened { backend, quarantined } = open(folder.path(), &OPTIONS).unwrap();
    let aside = quarantined.unwrap();
    assert!(aside.file_name().unwrap().to_str().unwrap().starts_with("sled.damaged-"));
    assert!(aside.join("db").exists());
    assert_eq!(everything(&backend).await, []);
    backend.apply(put("new", b"x")).await.unwrap();
    drop(backend);
    assert_eq!(value(&opened(&folder), "new").await, Some(b"x".to_vec()));
}

#[tokio::test]
async fn a_database_whose_log_is_garbage_is_moved_aside() {
    is_moved_aside_after(|database| {
        let length = fs::metadata(database.join("db")).unwrap().len();
        let mut garbage = vec![0; usize::try_from(length).unwrap()];
        StdRng::seed_from_u64(1).fill_bytes(&mut garbage);
        fs::write(database.join("db"), garbage).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_database_whose_snapshot_is_garbage_is_moved_aside() {
    is_moved_aside_after(|database| {
        // sled makes a snapshot when it opens what it finds.
        drop(Database::open(database, 1 << 20).unwrap_or_else(|why| panic!("{why:?}")));
        let mut snapshots = 0;
        for entry in fs::read_dir(database).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
                fs::write(path, b"garbage garbage garbage").unwrap();
                snapshots += 1;
            }
        }
        assert!(snapshots > 0);
    })
    .await;
}

#[tokio::test]
async fn a_database_of_another_format_is_moved_aside() {
    is_moved_aside_after(|database| fs::write(database.join("conf"), b"garbage garbage garbage").unwrap()).await;
}

/// sled takes damage for the end of its log, and opens the database as it was before.
#[tokio::test]
async fn a_database_that_has_forgotten_its_last_batches_is_moved_aside() {
    is_moved_aside_after(|database| {
        let mut octets = fs::read(database.join("db")).unwrap();
        // In a batch: sled may have put something of its own behind the last one, which nobody misses.
        let last = octets.windows(3000).rposition(|run| run.iter().all(|&octet| octet == 7)).unwrap();
        octets[last] ^= 1;
        fs::write(database.join("db"), octets).unwrap();
    })
    .await;
}

/// What a power cut or a full disk leaves behind while sled opens.
#[tokio::test]
async fn a_snapshot_that_was_not_finished_is_no_damage() {
    let folder = TestFolder::new();
    let backend = opened(&folder);
    backend.apply(put("a", b"x")).await.unwrap();
    drop(backend);
    fs::write(folder.path().join("sled/snap.FFFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    assert_eq!(value(&opened(&folder), "a").await, Some(b"x".to_vec()));
}

/// What a power cut leaves of a file that was never synced.
#[tokio::test]
async fn an_empty_configuration_of_sled_is_no_damage() {
    let folder = TestFolder::new();
    let backend = opened(&folder);
    backend.apply(put("a", b"x")).await.unwrap();
    drop(backend);
    fs::write(folder.path().join("sled/conf"), b"").unwrap();
    assert_eq!(value(&opened(&folder), "a").await, Some(b"x".to_vec()));
}

#[tokio::test]
async fn a_folder_in_use_is_not_damaged() {
    let folder = TestFolder::new();
    let backend = opened(&folder);
    backend.apply(put("a", b"x")).await.unwrap();
    let refused = open(folder.path(), &OPTIONS).err().unwrap();
    assert!(matches!(refused, OpenError::Locked { .. }));
    assert!(refused.to_string().contains("in use by another process"));
    drop(backend);
    assert_eq!(value(&opened(&folder), "a").await, Some(b"x".to_vec()));
}

#[tokio::test]
async fn a_database_that_another_program_has_locked_is_not_damaged() {
    let folder = TestFolder::new();
    let backend = opened(&folder);
    backend.apply(put("a", b"x")).await.unwrap();
    drop(backend);
    let held = File::open(folder.path().join("sled/db")).unwrap();
    held.lock().unwrap();
    assert!(matches!(open(folder.path(), &OPTIONS), Err(OpenError::Locked { .. })));
    drop(held);
    assert_eq!(value(&opened(&folder), "a").await, Some(b"x".to_vec()));
}

#[test]
fn a_folder_that_is_a_file_is_refused_by_name() {
    let folder = TestFolder::new();
    let path = folder.path().join("file");
    fs::write(&path, b"x").unwrap();
    let refused = open(&path, &OPTIONS).err().unwrap();
    assert!(matches!(&refused, OpenError::Io { folder, .. } if *folder == path));
    assert!(refused.to_string().contains(path.to_str().unwrap()));
}

/// sled moves pages above 128 KiB to files that it never syncs.
#[tokio::test]
async fn values_of_the_largest_size_stay_out_of_files_of_their_own() {
    let folder = TestFolder::new();
    let backend = opened(&folder);
    for round in 0..3 {
        for number in 0..40 {
            backend.apply(put(&format!("k{number}"), &vec![round; 40_000])).await.unwrap();
        }
        backend.apply(put("largest", &vec![round; 1_000_000])).await.unwrap();
    }
    assert_eq!(fs::read_dir(folder.path().join("sled/blobs")).unwrap().count(), 0);
    assert_eq!(everything(&backend).await.len(), 41);
}
