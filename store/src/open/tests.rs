//! Stores on a disk: what is to be seen in their files, another key, and what older releases have left.

use std::fs;

use acme::{
    challenge::ChallengeKind,
    failure_run::FailureRun,
    ids::{IdempotencyKey, RealmName},
    problem::{Problem, ProblemKind},
};
use serde_json::json;

use super::*;
use crate::{
    Job,
    backend::{Backend, Batch, Change, Memory},
    records,
    samples::{NOW, account, after, authorization, endpoint, order, order_id, proven_at, seal},
    test_folder::TestFolder,
};

const SMALL: Options = Options { ballast_octets: 0, cache_octets: 8 * 1024 * 1024 };
/// What is found in the files if it is written in clear; a CSR and a request are in base64url then.
const CANARIES: [&str; 5] = ["a.test", "Y3NyLWNhbmFyeQ", "andzLWNhbmFy", "audit-canary", "dns-canary"];

async fn opened(folder: &TestFolder, secret: u8) -> Opened {
    open(folder.path(), &SMALL, seal(secret)).await.unwrap()
}

fn run() -> FailureRun {
    FailureRun {
        endpoint: endpoint(),
        account: account("reg_1"),
        identifier: authorization("a1").identifier,
        failures: 3,
        first: NOW,
        last: NOW,
        problem: Problem::new(ProblemKind::Dns, "dns-canary"),
        paused_at: None,
    }
}

/// One of everything that names or keeps what a client has sent.
async fn fill(store: &Store) {
    let mut commit = Commit::new();
    commit.create_order(order("o1", NOW), after(60));
    commit.create_authorization(proven_at("a1", 10), after(60));
    let (realm, key) = (RealmName::parse("realm").unwrap(), IdempotencyKey::parse("key").unwrap());
    let request = "jws-canary".repeat(1000).into_bytes();
    commit.create_job(Job::issue(order_id("o1"), realm, key, b"csr-canary".to_vec(), request, None, NOW));
    commit.create_job(Job::validate(authorization("a1").id, ChallengeKind::Http01, NOW));
    commit.put_failure_run(None, &run(), after(60));
    commit.audit(NOW, json!({"audit": "audit-canary"}));
    store.commit(commit).await.unwrap();
}

async fn assert_filled(store: &Store) {
    assert_eq!(store.order(&order_id("o1")).await.unwrap().unwrap().value, order("o1", NOW));
    let job = store.job(&Job::issuance_id(&order_id("o1"))).await.unwrap().unwrap();
    assert!(format!("{:?}", job.value).contains(&format!("{:?}", b"csr-canary")));
    assert_eq!(store.due_jobs(NOW, 9).await.unwrap().len(), 2);
    assert_eq!(store.audit_entries(9).await.unwrap().len(), 1);
    let identifier = authorization("a1").identifier;
    let proven = store.proven(&endpoint(), &account("reg_1"), &identifier, 9).await.unwrap();
    assert_eq!(proven.iter().map(|stored| stored.value.id.as_str()).collect::<Vec<_>>(), ["a1"]);
    let found = store.failure_run(&endpoint(), &account("reg_1"), &identifier).await.unwrap().unwrap();
    assert_eq!(found.value, run());
    assert_eq!(store.failure_runs_of(&endpoint(), &account("reg_1"), None, 9).await.unwrap(), [found]);
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let octets = fs::read(&path).unwrap();
            found.push((path, octets));
        }
    }
    found
}

fn contain(files: &[(PathBuf, Vec<u8>)], text: &str) -> bool {
    files.iter().any(|(_, octets)| octets.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test]
async fn no_name_and_nothing_that_a_client_sent_is_to_be_seen_in_the_files() {
    let folder = TestFolder::new();
    let store = opened(&folder, 7).await.store;
    fill(&store).await;
    drop(store);
    let files = files(folder.path());
    for canary in CANARIES {
        assert!(!contain(&files, canary), "{canary}");
    }
    assert!(contain(&files, "order/o1"), "the search finds what is there");
    let Opened { store, aside } = opened(&folder, 7).await;
    assert_eq!(aside, None);
    assert_filled(&store).await;
}

#[tokio::test]
async fn a_store_of_another_key_is_moved_aside_whole_and_can_be_put_back() {
    let folder = TestFolder::new();
    let store = opened(&folder, 7).await.store;
    fill(&store).await;
    drop(store);
    let Opened { store, aside } = opened(&folder, 8).await;
    let Some(Aside::OtherKey(aside)) = aside else { panic!("{aside:?}") };
    assert_eq!(store.order(&order_id("o1")).await.unwrap(), None);
    fill(&store).await;
    drop(store);
    assert_eq!(opened(&folder, 8).await.aside, None, "the next start finds a good store");
    let database = folder.path().join("sled");
    fs::remove_dir_all(&database).unwrap();
    fs::rename(aside, &database).unwrap();
    let Opened { store, aside } = opened(&folder, 7).await;
    assert_eq!(aside, None);
    assert_filled(&store).await;
}

#[tokio::test]
async fn nothing_of_another_key_is_ever_served() {
    let memory = Arc::new(Memory::new());
    fill(&Store::new(memory.clone(), seal(7))).await;
    let store = Store::new(memory, seal(8));
    assert!(matches!(store.order(&order_id("o1")).await, Err(ReadError::Damaged { .. })));
    assert!(matches!(store.job(&Job::issuance_id(&order_id("o1"))).await, Err(ReadError::Damaged { .. })));
    assert_eq!(store.due_jobs(NOW, 9).await.unwrap(), []);
    assert_eq!(store.audit_entries(9).await.unwrap(), []);
    let identifier = authorization("a1").identifier;
    assert_eq!(store.proven(&endpoint(), &account("reg_1"), &identifier, 9).await.unwrap(), []);
    assert_eq!(store.failure_run(&endpoint(), &account("reg_1"), &identifier).await.unwrap(), None);
    assert_eq!(store.failure_runs_of(&endpoint(), &account("reg_1"), None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn a_check_that_is_damaged_is_made_anew_and_nothing_is_lost() {
    let folder = TestFolder::new();
    let store = opened(&folder, 7).await.store;
    fill(&store).await;
    drop(store);
    let backend = backend::open(folder.path(), &SMALL).unwrap().backend;
    let mut octets = backend.read(&keys::seal_check()).await.unwrap().unwrap().value;
    *octets.last_mut().unwrap() ^= 1;
    let changes = [(keys::seal_check(), Change::Put(octets))].into();
    backend.apply(Batch { changes, ..Batch::default() }).await.unwrap();
    drop(backend);
    let Opened { store, aside } = opened(&folder, 7).await;
    assert_eq!(aside, None);
    assert_filled(&store).await;
    drop(store);
    assert!(matches!(opened(&folder, 8).await.aside, Some(Aside::OtherKey(_))), "the check is good again");
}

/// Writes what a store has in it as releases did that wrote in clear.
async fn in_clear(folder: &TestFolder) {
    let memory = Arc::new(Memory::new());
    let store = Store::new(memory.clone(), seal(7));
    fill(&store).await;
    let all = KeyRange { from: Key::new(String::new()), below: Key::new("~".into()) };
    let mut batch = Batch::default();
    for entry in memory.scan(&all, SCAN_MAX).await.unwrap() {
        // There is one name in all of it.
        let key = entry.key.as_str().split('/').map(|part| if part.starts_with('~') { "a.test" } else { part });
        let key = Key::new(key.collect::<Vec<_>>().join("/"));
        let value = if entry.held.value.is_empty() {
            Vec::new()
        } else {
            let record: serde_json::Value = store.backend.decode(&entry.key, &entry.held.value).unwrap();
            let json = record.to_string().replace(['<', '>'], "");
            records::frame(&key, 1, json.as_bytes())
        };
        batch.changes.insert(key, Change::Put(value));
    }
    backend::open(folder.path(), &SMALL).unwrap().backend.apply(batch).await.unwrap();
}

#[tokio::test]
async fn nothing_of_a_release_that_wrote_in_clear_is_lost() {
    let folder = TestFolder::new();
    in_clear(&folder).await;
    for canary in CANARIES {
        assert!(contain(&files(folder.path()), canary), "{canary}");
    }
    let Opened { store, aside } = opened(&folder, 7).await;
    assert_eq!(aside, None);
    assert_filled(&store).await;
    assert!(store.sweep(after(60), 99).await.unwrap() > 0);
    let identifier = authorization("a1").identifier;
    assert_eq!(store.failure_run(&endpoint(), &account("reg_1"), &identifier).await.unwrap(), None);
    let proofs = store.backend.scan(&keys::proven_range(), 9).await.unwrap();
    assert_eq!(proofs, [], "the index is swept with its records");
    drop(store);
    assert!(matches!(opened(&folder, 8).await.aside, Some(Aside::OtherKey(_))), "it is one of ours now");
}

#[tokio::test]
async fn a_proof_that_nobody_keeps_any_more_is_not_taken_over() {
    let memory = Arc::new(Memory::new());
    let clear = Key::new("proven/open/reg_1/dns/a.test/251602300799/gone".into());
    memory.apply(Batch { changes: [(clear, Change::Put(Vec::new()))].into(), ..Batch::default() }).await.unwrap();
    let store = Store::new(memory, seal(7));
    store.take_over().await.unwrap();
    assert_eq!(store.backend.scan(&keys::proven_range(), 9).await.unwrap(), []);
}
