//! Numbers about the audit files.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use prometheus::{IntCounter, IntGauge, IntGaugeVec};

use super::{registrar::Registrar, space};
use crate::audit::marker;

/// Whether it is kept what was done.
pub(crate) struct AuditMetrics {
    pub(crate) unwritable: IntGauge,
    pub(crate) waiting: IntGauge,
    pub(crate) damaged: IntGauge,
    /// Whether the file that keeps this alarm was there at the last look.
    is_marked: AtomicBool,
    pub(crate) lost: IntCounter,
    available: IntGaugeVec,
    size: IntGaugeVec,
}

impl AuditMetrics {
    pub(super) fn new(one: &Registrar) -> prometheus::Result<Self> {
        Ok(Self {
            unwritable: one.gauge(
                "audit_unwritable",
                "1 while the audit files cannot be written; then nothing new is issued, unless audit.on_failure says otherwise. Any is an alarm.",
            )?,
            waiting: one.gauge(
                "audit_waiting_events",
                "Audit events that wait in the store because the audit files cannot be written, or not fast enough.",
            )?,
            lost: one.counter(
                "audit_events_lost_total",
                "Audit events of what has happened that the store did not take: no audit file will have them, the log has. Any is an alarm.",
            )?,
            available: one.gauges(
                "audit_filesystem_available_bytes",
                "Space that the gateway may still use on the file system of audit.dir; absent where that is the store's.",
                &[],
            )?,
            size: one.gauges(
                "audit_filesystem_size_bytes",
                "Size of the file system of audit.dir; absent where that is the store's.",
                &[],
            )?,
            damaged: one.gauge(
                "audit_damaged",
                "1 since the audit files were found other than they had been left, or with an audit key that nobody announced, until somebody takes the file DAMAGED out of audit.dir. Any is an alarm.",
            )?,
            is_marked: AtomicBool::new(false),
        })
    }

    /// Whether somebody is to look at them, and how much room there is now. Of a file system that the store is on as well, one alert is enough.
    pub(crate) fn show(&self, folder: &Path, store: &Path) {
        let is_marked = marker::is_there(folder);
        // An alarm of this process that could not be written down goes on.
        if is_marked || self.is_marked.swap(is_marked, Ordering::Relaxed) {
            self.damaged.set(is_marked.into());
        }
        self.is_marked.store(is_marked, Ordering::Relaxed);
        let device = |folder: &Path| fs::metadata(folder).map(|found| found.dev()).ok();
        self.show_space(folder, device(folder) == device(store));
    }

    fn show_space(&self, folder: &Path, is_the_stores: bool) {
        if is_the_stores {
            self.available.reset();
            self.size.reset();
        } else if let Some(space) = space::of(folder) {
            let unlabelled: &[&str] = &[];
            self.available.with_label_values(unlabelled).set(space.available);
            self.size.with_label_values(unlabelled).set(space.size);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn the_space_for_the_audit_files_is_shown_where_it_is_not_the_stores() {
        let (metrics, folder) = (Metrics::new().unwrap(), std::env::temp_dir());
        let shown = || {
            let text = metrics.text();
            let of = |name: &str| {
                let name = format!("acme_gateway_audit_filesystem_{name}_bytes ");
                text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok())
            };
            of("available").zip(of("size"))
        };
        assert_eq!(shown(), None);
        metrics.audit.show_space(&folder, false);
        let (available, size) = shown().unwrap();
        assert!((0.0..=size).contains(&available) && size > 1_000_000.0, "{available} of {size}");
        metrics.audit.show(&folder, &folder);
        assert_eq!(shown(), None);
    }
}
