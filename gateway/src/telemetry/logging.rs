//! Log lines: text for people, JSON for machines. Client text is quoted and never coloured, so
//! that nobody writes into somebody's terminal.

use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::{Log, LogFormat};

/// Starts logging to standard error.
///
/// # Errors
/// The level is not a filter, or logging was started before.
pub(crate) fn start(settings: &Log) -> anyhow::Result<()> {
    // Audit events are never filtered away: they are forgotten once they were written. What actix
    // says of unparsable requests is for a stranger to trigger.
    let filter = format!("actix_http=off,actix_server=warn,{},audit=info", settings.level);
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("log.level: {error}; give error, warn, info, debug or trace"))?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let started = match settings.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
