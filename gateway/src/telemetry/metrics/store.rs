//! The store in numbers: how long commits and flushes take, and how much room there is.

use std::{path::Path, time::Duration};

use prometheus::{Histogram, HistogramVec, IntGauge, Result};
use store::{CommitError, Watch, backend::count_aside};

use super::{registrar::Registrar, space};

/// The numbers.
pub(crate) struct StoreMetrics {
    commits: HistogramVec,
    flushes: Histogram,
    full: IntGauge,
    available: IntGauge,
    size: IntGauge,
    aside: IntGauge,
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
            aside: registrar.gauge(
                "store_set_aside",
                "Stores that were moved aside, damaged or sealed with another key, and still stand in store.dir, until somebody has looked at them and moved them away. Any is an alarm.",
            )?,
        })
    }

    /// How it is now. What the file system does not tell stays as it was.
    pub(crate) fn show(&self, folder: &Path, is_full: bool) {
        self.full.set(is_full.into());
        if let Some(space) = space::of(folder) {
            self.available.set(space.available);
            self.size.set(space.size);
        }
        match count_aside(folder) {
            Ok(count) => self.aside.set(i64::try_from(count).unwrap_or(i64::MAX)),
            Err(error) => tracing::warn!(%error, folder = %folder.display(), "cannot see what was moved aside"),
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
