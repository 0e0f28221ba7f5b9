//! How much room there is on a file system.

use std::path::Path;

/// In octets.
pub(super) struct Space {
    /// What the gateway may still use.
    pub(super) available: i64,
    pub(super) size: i64,
}

/// The file system of this folder; `None`, with a line in the log, if it does not tell.
pub(super) fn of(folder: &Path) -> Option<Space> {
    match rustix::fs::statvfs(folder) {
        Ok(found) => {
            let octets = |blocks: u64| i64::try_from(blocks.saturating_mul(found.f_frsize)).unwrap_or(i64::MAX);
            Some(Space { available: octets(found.f_bavail), size: octets(found.f_blocks) })
        }
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "cannot see how much space is left");
            None
        }
    }
}
