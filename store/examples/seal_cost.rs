//! What sealing costs: `seal_cost DIR COMMITS` commits jobs and reads them again, sealed by the store and in clear as format
//! version 1 had them, turn by turn on the same backend, on disk and in memory. To be built optimised.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{Write as _, stdout},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use acme::{
    ids::{IdempotencyKey, OrderId, RealmName},
    secret::Secret,
    time::Timestamp,
};
use store::{
    Commit, Job, RecordSeal, SECRET_OCTETS, Store,
    backend::{self, Backend, Batch, Change, Condition, Key, Memory, Options},
};

/// A request to the CM: a CSR, the client's proof, and what proves control.
const REQUEST_OCTETS: usize = 6000;
/// Commits of one kind before it is the other kind's turn.
const TURN: u64 = 20;
const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

type Failure = Box<dyn Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, commits] = arguments.as_slice() else { return Err("usage: seal_cost DIR COMMITS".into()) };
    let commits: u64 = commits.parse()?;
    compare("memory", Arc::new(Memory::new()), commits).await?;
    let opened = backend::open(Path::new(folder), &Options::default())?;
    compare("disk", Arc::new(opened.backend), commits).await
}

async fn compare(name: &str, backend: Arc<dyn Backend>, commits: u64) -> Result<(), Failure> {
    let seal = RecordSeal::derive(&Secret::new([7; SECRET_OCTETS]))?;
    let store = Store::new(Arc::clone(&backend), seal);
    let (mut sealed, mut clear) = (Vec::new(), Vec::new());
    for turn in 0..commits / TURN {
        let began = Instant::now();
        for number in turn * TURN..(turn + 1) * TURN {
            in_store(&store, job(u128::from(number))?).await?;
        }
        sealed.push(began.elapsed());
        let began = Instant::now();
        for number in turn * TURN..(turn + 1) * TURN {
            in_clear(backend.as_ref(), job(u128::from(number) | 1 << 100)?).await?;
        }
        clear.push(began.elapsed());
    }
    let (sealed, clear) = (median(sealed), median(clear));
    let ratio = sealed / clear;
    writeln!(
        stdout(),
        "{name}: {commits} of each; median of one sealed {sealed:.1} us, in clear {clear:.1} us, ratio {ratio:.2}"
    )?;
    Ok(())
}

/// Of turns, in microseconds a commit: other programs disturb some of them.
fn median(mut turns: Vec<Duration>) -> f64 {
    turns.sort();
    let middle = turns.get(turns.len() / 2).copied().unwrap_or_default();
    middle.as_secs_f64() * 1e6 / TURN as f64
}

fn job(number: u128) -> Result<Job, Failure> {
    let order = OrderId::from_random(number.to_be_bytes());
    let (realm, key) = (RealmName::parse("realm")?, IdempotencyKey::parse("key")?);
    Ok(Job::issue(order, realm, key, vec![7; 600], vec![7; REQUEST_OCTETS], None, NOW))
}

async fn in_store(store: &Store, job: Job) -> Result<(), Failure> {
    let id = job.id.clone();
    let mut commit = Commit::new();
    commit.create_job(job);
    store.commit(commit).await?;
    store.job(&id).await?.ok_or("it was written")?;
    Ok(())
}

/// The same keys and the same JSON.
async fn in_clear(backend: &dyn Backend, job: Job) -> Result<(), Failure> {
    let key = Key::new(format!("job/{}", job.id));
    let json = serde_json::to_vec(&job)?;
    let mut octets = crc32fast::hash(&json).to_be_bytes().to_vec();
    octets.extend(json);
    let due = Key::new(format!("due/{:012}/{}", NOW.unix_secs(), job.id));
    let changes = BTreeMap::from([(key.clone(), Change::Put(octets)), (due, Change::Put(Vec::new()))]);
    backend.apply(Batch { conditions: vec![(key.clone(), Condition::Absent)], changes }).await?;
    let held = backend.read(&key).await?.ok_or("it was written")?.value;
    let (crc, json) = held.split_first_chunk().ok_or("it was written")?;
    if u32::from_be_bytes(*crc) != crc32fast::hash(json) {
        return Err("it is not as it was written".into());
    }
    let _: Job = serde_json::from_slice(json)?;
    Ok(())
}
