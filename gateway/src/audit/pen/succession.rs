//! How a key comes after another one: announced by it, or not, which is an alarm.
//!
//! Whoever can sign can write any history, so a key that nobody vouches for may be that of a thief. The key before vouches
//! for the new one by a record in the file that it signs, `audit.key-changed`, and a checkpoint after it. Only then another
//! file begins, with the new key. What is noted in the store makes each step one that can be repeated after a crash.

use serde_json::Value;

use super::{Failure, Pen};
use crate::{
    app::App,
    audit::{
        chain,
        checkpoint::PublicKey,
        folder::{Folder, Found},
        marker,
    },
    clock,
};

/// How our key comes after the one that is known to have signed last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Succession {
    /// It is the same, or there was none.
    #[default]
    Same,
    /// The last file announces it.
    Announced,
    /// The key before is there, and can announce it.
    Announce,
    /// Nobody vouches for it.
    Unannounced,
}

/// The keys that matter for it.
#[derive(Debug, Clone, Copy)]
struct Keys {
    own: PublicKey,
    /// Signed last, as far as is known.
    known: PublicKey,
    /// Signs in the last file.
    file: PublicKey,
    /// Announced by the last file.
    announced: Option<PublicKey>,
    /// There beside our own.
    previous: Option<PublicKey>,
}

impl Succession {
    fn of(Keys { own, known, file, announced, previous }: Keys) -> Self {
        match (known == own, file == own) {
            (true, true) => Self::Same,
            // The store was told, and the next file not begun.
            (true, false) => Self::Announced,
            (false, false) if announced == Some(own) => Self::Announced,
            (false, false) if previous == Some(file) => Self::Announce,
            (false, _) => Self::Unannounced,
        }
    }
}

impl Pen {
    /// Finds out how our key comes after the one before, and alarms if nobody vouches for it.
    pub(super) fn succeed(&mut self, app: &App, folder: &Folder, found: &Found) {
        let keys = &app.audit.keys;
        let own = keys.own.public();
        let known = self.known_key.or(found.seen.keys.last().copied()).unwrap_or(own);
        self.known_key = Some(known);
        let previous = keys.previous.as_ref().map(|key| key.public());
        self.succession =
            Succession::of(Keys { own, known, file: folder.key, announced: found.seen.announced, previous });
        if self.succession == Succession::Unannounced {
            marker::set(app, "the key that signs is another one, and the one before has not announced it");
            tracing::error!(old = %known, new = %own, "ALARM: the key that signs the audit files is another one, and the one before has not announced it: \
                 somebody has replaced audit.key_file, or it was lost; see docs/AUDIT.md");
        }
    }

    /// Begins a file of our own if the last one is signed by the key before, which announces ours if it can. Answers
    /// the event that tells of a key that nobody has announced.
    pub(super) async fn take_over(&mut self, app: &App) -> Result<Option<Value>, Failure> {
        let own = app.audit.keys.own.public();
        let is_untold = self.succession == Succession::Unannounced;
        let untold = self.known_key.filter(|_| is_untold).map(|old| chain::key_changed(&old, &own, false));
        if self.succession == Succession::Announce
            && let Some(folder) = &self.folder
        {
            let announcement = chain::key_changed(&folder.key, &own, true);
            self.append(app, vec![(clock::now(), announcement, None)]).await?;
            self.checkpoint(app).await?;
            self.succession = Succession::Announced;
            tracing::warn!(new = %own, "another key signs the audit files from here on, announced by the one before; the file with that is not needed \
                 any more");
        }
        if self.folder.as_ref().is_some_and(|folder| folder.key != own) {
            if self.succession == Succession::Announced {
                self.known_key = Some(own);
            }
            // After a crash the other file alone is read: what is in this one must be forgotten, and its end be known.
            let (_, again) = self.waiting(app).await?;
            self.forget(app, again.into_iter()).await?;
            self.note(app).await?;
            self.go_on(app).await?;
        }
        Ok(untold)
    }
}

#[cfg(test)]
mod tests;
