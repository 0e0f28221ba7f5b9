//! The one SQLite file that holds everything the reference CM knows.
//!
//! One connection behind a lock: transactions run one after the other, so every decision and its
//! effect see and make one state. WAL with `synchronous = FULL`: an answer is sent only after its
//! transaction is on the disk.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use tokio::sync::watch;

use super::ids::{hex, random_octets};
use super::problem::Problem;

/// The open database.
pub(crate) struct Database {
    connection: Mutex<Connection>,
    commits: watch::Sender<u64>,
}

impl Database {
    /// Opens or makes the file; makes missing tables.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "secure_delete", true)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.execute_batch(include_str!("schema.sql"))?;
        connection
            .execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('feed', ?1)", [hex(&random_octets::<8>())])?;
        Ok(Self { connection: Mutex::new(connection), commits: watch::Sender::new(0) })
    }

    /// Runs work in a transaction. It is committed if the work ends well, and also if it ends in
    /// a refusal that keeps its effects; otherwise nothing has happened.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let outcome = work(&transaction);
        let is_kept = outcome.as_ref().err().is_none_or(Problem::keeps_effects);
        if is_kept {
            transaction.commit()?;
            self.commits.send_modify(|count| *count = count.wrapping_add(1));
        } else {
            transaction.rollback()?;
        }
        outcome
    }

    /// Runs work that only reads, on one state.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        let outcome = work(&transaction);
        transaction.rollback()?;
        outcome
    }

    /// Tells of every commit, for those who wait for a change.
    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }
}

/// A value of the table of small facts.
pub(crate) fn meta(tx: &Transaction<'_>, name: &str) -> Result<Option<String>, Problem> {
    Ok(tx.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()?)
}

/// Sets a value of the table of small facts.
pub(crate) fn set_meta(tx: &Transaction<'_>, name: &str, value: &str) -> Result<(), Problem> {
    tx.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [name, value],
    )?;
    Ok(())
}
