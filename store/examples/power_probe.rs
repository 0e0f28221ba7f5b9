//! Proves on a real disk what no unit test can: that what was acknowledged survives a power cut, and
//! that a full disk loses nothing. A rig runs it and pulls the plug.
//!
//! - `child DIR [FROM [AT_ONCE]]` commits orders from number FROM on, AT_ONCE at a time (1), without
//!   end, and prints each number once it and those before it are acknowledged;
//! - `check DIR LAST` opens the store and tells how many of the orders 0 to LAST are lost, or torn
//!   from what was committed with them;
//! - `churn DIR SECONDS` commits orders, forgets all but the last thousand, and prints how large the
//!   database grows, which must come to an end;
//! - `fill DIR` commits until the disk is full, goes on trying and prints every change; `check`
//!   tells whether an acknowledged order was lost.

use std::{
    collections::VecDeque,
    env,
    error::Error,
    fs,
    io::{Write, stdout},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use acme::{
    authorization::Authorization,
    challenge::{Challenge, ChallengeKind, Token},
    identifier::Identifier,
    ids::{AuthorizationId, EndpointName, IdempotencyKey, OrderId, ProfileName, RealmName, RegistrationId},
    order::{Order, Progress},
    secret::Secret,
    time::Timestamp,
};
use store::{
    Commit, CommitError, Job, RecordSeal, SerialClaim, Store,
    backend::{self, Options},
};

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
/// The job of an order is finished so many orders later.
const FINISHED_AFTER: u64 = 50;
/// The most orders that are committed at a time; they share barriers.
const AT_ONCE_MAX: u64 = 16;
/// How many orders are kept while others come and go.
const KEPT: u64 = 1000;
/// Jobs carry requests of this size, so that values of several pieces are tried as well.
const REQUEST_OCTETS: usize = 6000;

type Failure = Box<dyn Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["child", folder] => child(folder, 0, 1).await,
        ["child", folder, from] => child(folder, from.parse()?, 1).await,
        ["child", folder, from, at_once] => child(folder, from.parse()?, at_once.parse()?).await,
        ["check", folder, last] => check(folder, last.parse()?).await,
        ["churn", folder, seconds] => churn(folder, Duration::from_secs(seconds.parse()?)).await,
        ["fill", folder] => fill(folder).await,
        _ => {
            Err("usage: power_probe child DIR [FROM [AT_ONCE]] | check DIR LAST | churn DIR SECONDS | fill DIR".into())
        }
    }
}

fn open(folder: &str) -> Result<Store, Failure> {
    let options = Options { ballast_octets: 4 * 1024 * 1024, ..Options::default() };
    let opened = backend::open(Path::new(folder), &options)?;
    if let Some(aside) = opened.quarantined {
        return Err(format!("DAMAGED: moved aside to {}", aside.display()).into());
    }
    Ok(Store::new(Arc::new(opened.backend), RecordSeal::derive(&Secret::new([7; 32]))?))
}

async fn child(folder: &str, from: u64, at_once: u64) -> Result<(), Failure> {
    let store = open(folder)?;
    let mut waiting = VecDeque::new();
    for number in from.. {
        let (commit, store) = (one_order(&store, number).await?, store.clone());
        waiting.push_back((number, tokio::spawn(async move { store.commit(commit).await })));
        if u64::try_from(waiting.len())? < at_once.min(AT_ONCE_MAX) {
            continue;
        }
        let Some((first, committed)) = waiting.pop_front() else { continue };
        match committed.await? {
            // The last ones before the plug was pulled may have got in without an answer.
            Ok(()) | Err(CommitError::Conflict) => acknowledge(first)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn churn(folder: &str, span: Duration) -> Result<(), Failure> {
    let store = open(folder)?;
    let started = Instant::now();
    for number in 0.. {
        store.commit(one_order(&store, number).await?).await?;
        if let Some(forgotten) = number.checked_sub(KEPT) {
            store.sweep(NOW.plus(Duration::from_secs(forgotten)), 10).await?;
        }
        if number % 1000 == 0 {
            let octets = fs::metadata(Path::new(folder).join("sled/db"))?.len();
            writeln!(stdout(), "{:?}: {number} orders, {} MiB", started.elapsed(), octets >> 20)?;
        }
        if started.elapsed() > span {
            break;
        }
    }
    Ok(())
}

async fn fill(folder: &str) -> Result<(), Failure> {
    let store = open(folder)?;
    let (mut number, mut last_state, started) = (0, String::new(), Instant::now());
    while started.elapsed() < Duration::from_secs(60) {
        let result = match one_order(&store, number).await {
            Ok(commit) => store.commit(commit).await,
            Err(error) => Err(CommitError::Unavailable(store::Unavailable(error.to_string()))),
        };
        let state = match &result {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        if state != last_state {
            eprintln!("{:?} at order {number}: {state}", started.elapsed());
            last_state = state;
        }
        match result {
            Ok(()) => {
                acknowledge(number)?;
                number += 1;
            }
            // What was unknown may have been written.
            Err(CommitError::Conflict) => number += 1,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    Ok(())
}

async fn check(folder: &str, last: u64) -> Result<(), Failure> {
    let started = Instant::now();
    let store = open(folder)?;
    let opened = started.elapsed();
    let (mut lost, mut torn) = (0, 0);
    for number in 0..=last {
        let order = store.order(&order_id(number)?).await?.is_some();
        let authorization = store.authorization(&authorization_id(number)?).await?.is_some();
        let serial = store.serial_owner(&[7; 20], &serial(number)).await? == Some(order_id(number)?);
        let job = store.job(&Job::issuance_id(&order_id(number)?)).await?.is_some();
        let job_is_right =
            if number + FINISHED_AFTER <= last { !job } else { job || number + FINISHED_AFTER <= last + AT_ONCE_MAX };
        if !(order && authorization && serial && job_is_right) {
            lost += 1;
        }
        if order != authorization || order != serial {
            torn += 1;
        }
    }
    writeln!(stdout(), "open={opened:?} acked={} lost={lost} torn={torn}", last + 1)?;
    Ok(())
}

/// Everything that an order touches, from its beginning to the certificate, in one commit.
async fn one_order(store: &Store, number: u64) -> Result<Commit, Failure> {
    let mut commit = Commit::new();
    let keep_until = NOW.plus(Duration::from_secs(number));
    commit.create_order(order(number)?, keep_until);
    commit.create_authorization(authorization(number)?, keep_until);
    commit.create_job(Job::issue(
        order_id(number)?,
        RealmName::parse("realm")?,
        IdempotencyKey::parse(&format!("key{number}"))?,
        vec![7; REQUEST_OCTETS],
        vec![7; REQUEST_OCTETS],
        None,
        NOW,
    ));
    let claim = SerialClaim { order: order_id(number)?, issued: None };
    commit.claim_serial(&[7; 20], &serial(number), &claim, keep_until);
    if let Some(finished) = number.checked_sub(FINISHED_AFTER)
        && let Some(job) = store.job(&Job::issuance_id(&order_id(finished)?)).await?
    {
        commit.finish_job(&job);
    }
    Ok(commit)
}

fn acknowledge(number: u64) -> Result<(), Failure> {
    let mut out = stdout().lock();
    writeln!(out, "{number}")?;
    out.flush()?;
    Ok(())
}

/// Scattered, as random ids are.
fn scattered(number: u64) -> [u8; 16] {
    let high = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((u128::from(high) << 64) | u128::from(number)).to_be_bytes()
}

fn order_id(number: u64) -> Result<OrderId, Failure> {
    Ok(OrderId::from_random(scattered(number)))
}

fn authorization_id(number: u64) -> Result<AuthorizationId, Failure> {
    Ok(AuthorizationId::from_random(scattered(number)))
}

fn serial(number: u64) -> String {
    format!("{:032x}", u128::from_be_bytes(scattered(number)))
}

fn order(number: u64) -> Result<Order, Failure> {
    Ok(Order {
        id: order_id(number)?,
        endpoint: EndpointName::parse("open")?,
        account: RegistrationId::parse("reg_1")?,
        identifiers: vec![Identifier::parse_dns(&format!("n{number}.example.test"))?],
        authorizations: vec![authorization_id(number)?],
        reused: Vec::new(),
        profile: ProfileName::parse("tls-server")?,
        replaces: None,
        not_before: None,
        not_after: None,
        created: NOW,
        expires: NOW,
        progress: Progress::Open,
    })
}

fn authorization(number: u64) -> Result<Authorization, Failure> {
    Ok(Authorization {
        id: authorization_id(number)?,
        endpoint: EndpointName::parse("open")?,
        account: RegistrationId::parse("reg_1")?,
        identifier: Identifier::parse_dns(&format!("n{number}.example.test"))?,
        challenges: vec![Challenge::new(ChallengeKind::Http01, Token::from_random([7; 32]))],
        expires: NOW,
        deactivated_at: None,
        revoked_at: None,
    })
}
