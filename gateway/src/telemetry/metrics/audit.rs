//! Numbers about the audit files.

use prometheus::IntGauge;

use super::registrar::Registrar;

/// Whether it is kept what was done.
pub(crate) struct AuditMetrics {
    pub(crate) unwritable: IntGauge,
    pub(crate) waiting: IntGauge,
    pub(crate) damaged: IntGauge,
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
            damaged: one.gauge(
                "audit_damaged",
                "1 if this process has found the audit files other than they had been left, or an audit key that nobody announced. Any is an alarm.",
            )?,
        })
    }
}
