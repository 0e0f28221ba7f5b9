//! Log lines: text for people, JSON for machines. Client text is quoted and never coloured, so
//! that nobody writes into somebody's terminal.

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt, reload};

use crate::settings::{Log, LogFormat};

/// What is logged, which can be changed while logging goes on.
pub(crate) struct Level(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

/// Starts logging to standard error.
///
/// # Errors
/// The level is not a filter, or logging was started before.
pub(crate) fn start(settings: &Log) -> anyhow::Result<Level> {
    let lines = fmt().with_env_filter(filter(settings)?).with_writer(std::io::stderr).with_ansi(false);
    let (level, started) = match settings.format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            (Level(Box::new(move |filter| handle.reload(filter))), lines.try_init())
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            (Level(Box::new(move |filter| handle.reload(filter))), lines.try_init())
        }
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))?;
    Ok(level)
}

/// What the settings let through. Audit events are never filtered away: they are forgotten once they
/// were written. What actix says of unparsable requests is for a stranger to trigger.
///
/// # Errors
/// The level is not a filter.
pub(crate) fn filter(settings: &Log) -> anyhow::Result<EnvFilter> {
    let filter = format!("actix_http=off,actix_server=warn,{},audit=info", settings.level);
    EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("log.level: {error}; give error, warn, info, debug or trace"))
}

impl Level {
    /// Lets this through from now on.
    pub(crate) fn change(&self, filter: EnvFilter) -> anyhow::Result<()> {
        (self.0)(filter).context("cannot change what is logged")
    }
}
