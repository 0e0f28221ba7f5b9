//! A file beside the audit files that says that something was wrong with them, so that neither a restart nor an upgrade
//! ends the alarm before a person has looked. Whoever has looked takes the file away.

use std::{fs::File, io::Write as _, path::Path};

use crate::{app::App, clock};

const NAME: &str = "DAMAGED";

/// Raises the alarm, for as long as nobody takes the file away.
pub(super) fn set(app: &App, what: &str) {
    app.metrics.audit.damaged.set(1);
    let path = app.audit.folder.join(NAME);
    let written = File::options().append(true).create(true).open(&path).and_then(|mut file| {
        writeln!(file, "{} {what}", clock::now())?;
        file.sync_all()
    });
    if let Err(error) = written {
        tracing::error!(%error, path = %path.display(), "the alarm ends with this process: the file that keeps it cannot be written");
    }
}

/// Whether there was something that nobody has looked at yet.
pub(crate) fn is_there(folder: &Path) -> bool {
    folder.join(NAME).exists()
}
