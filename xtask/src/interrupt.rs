//! Being told to stop: Ctrl-C, SIGTERM, or the end of the terminal.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// Set once a signal came. Waiting loops look at it.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

/// The task ended because it was told to.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

impl Interrupt {
    /// From now on the three signals no longer end the program but set this.
    ///
    /// # Errors
    /// The system refuses to have a signal handled.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let told = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register(signal, Arc::clone(&told)).context("signals cannot be handled")?;
        }
        Ok(Self(told))
    }

    /// Whether a signal came.
    pub(crate) fn came(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// [`Interrupted`] once a signal came.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        if self.came() { Err(Interrupted) } else { Ok(()) }
    }

    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    #[cfg(test)]
    pub(crate) fn already() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}
