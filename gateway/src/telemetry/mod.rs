//! What operators see: log lines and numbers.

pub(crate) mod logging;
pub(crate) mod metrics;
