//! The store in numbers: how long commits and flushes take, and how much room there is.

use std::{path::Path, time::Duration};

use prometheus::{Histogram, HistogramVec, IntGauge, Result};
use store::{CommitError, Watch};

use super::registrar::Registrar;

/// The numbers.
pub(crate) struct StoreMetrics {
    commits: HistogramVec,
    flushes: Histogram,
    full: IntGauge,
    available: IntGauge,
    size: IntGauge,
}

impl StoreMetrics {
    pub(super) fn new(registrar: &Registrar) -> Result<Self> {
        let commits = registrar.seconds_by(
            "store_commit_seconds",
            "Time until a commit is durable or refused, by outcome: committed, conflict (decided again), full, failed.",
            &["outcome"],
        )?;
        ["committed", "conflict", "full", "failed"]
            .iter()
            .for_each(|outcome| drop(commits.with_label_values(&[outcome])));
        Ok(Self {
            commits,
            flushes: registrar.seconds(
                "store_flush_seconds",
                "Time until the disk has kept what was written; one flush is for all commits that wait.",
            )?,
            full: registrar.gauge(
                "store_full",
                "1 while nothing new is taken because there is no space for it: newOrder answers 503.",
            )?,
            available: registrar.gauge(
                "store_filesystem_available_bytes",
                "Space that the gateway may still use on the file system of store.dir.",
            )?,
            size: registrar.gauge("store_filesystem_size_bytes", "Size of the file system of store.dir.")?,
        })
    }

    /// How it is now. What the file system does not tell stays as it was.
    pub(crate) fn show(&self, folder: &Path, is_full: bool) {
        self.full.set(is_full.into());
        match rustix::fs::statvfs(folder) {
            Ok(found) => {
                let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(found.f_frsize)).unwrap_or(i64::MAX);
                self.available.set(bytes(found.f_bavail));
                self.size.set(bytes(found.f_blocks));
            }
            Err(error) => tracing::warn!(%error, folder = %folder.display(), "cannot see how much space is left"),
        }
    }
}

impl Watch for StoreMetrics {
    fn committed(&self, took: Duration, outcome: std::result::Result<(), &CommitError>) {
        let outcome = match outcome {
            Ok(()) => "committed",
            Err(CommitError::Conflict) => "conflict",
            Err(CommitError::Full) => "full",
            Err(CommitError::Unavailable(_) | CommitError::Invalid(_)) => "failed",
        };
        self.commits.with_label_values(&[outcome]).observe(took.as_secs_f64());
    }

    fn flushed(&self, took: Duration) {
        self.flushes.observe(took.as_secs_f64());
    }
}
