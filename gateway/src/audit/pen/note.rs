//! What the store is told of the files: how far they go, and what comes next that no event in the store speaks for. By that
//! they are recognised at the next start.

use std::{io, sync::Arc};

use acme::time::Timestamp;
use serde_json::Value;
use store::{AuditHead, Commit, ReadError};

use super::{Failure, Pen, blocking};
use crate::{
    app::App,
    audit::{
        checkpoint::PublicKey,
        folder,
        record::{Digest, Head, Record},
    },
};

/// Promised records that are kept: those of the last few starts that came to nothing.
const PROMISED: usize = 32;

impl Pen {
    /// Has the store know of records of the trail about itself before they are written. Events are in the store anyway;
    /// of these nothing there would tell, after a crash, whether we have written them or whoever else can write the file.
    pub(super) async fn promise(
        &mut self,
        app: &App,
        records: &[(Timestamp, Value, Option<String>)],
    ) -> Result<(), Failure> {
        let (Some(folder), Some(noted)) = (&self.folder, self.noted) else { return Ok(()) };
        let mut head = folder.head;
        let before = self.promised.len();
        for (at, event, outbox) in records {
            head = Record::write(&head, *at, event, outbox.as_deref()).0;
            self.promised.extend(outbox.is_none().then_some(head.hash));
        }
        if self.promised.len() == before {
            return Ok(());
        }
        self.promised.drain(..self.promised.len().saturating_sub(PROMISED));
        let mut commit = Commit::new();
        commit.keep_audit_head(&self.as_stored(noted, &self.promised));
        app.store.commit(commit).await.map_err(anyhow::Error::from)?;
        Ok(())
    }

    /// Has the store know of the last record.
    pub(super) async fn note(&mut self, app: &App) -> Result<(), Failure> {
        if self.is_noted {
            return Ok(());
        }
        let mut commit = Commit::new();
        self.keep_head(&mut commit);
        app.store.commit(commit).await.map_err(anyhow::Error::from)?;
        self.head_is_kept();
        Ok(())
    }

    pub(super) fn keep_head(&self, commit: &mut Commit) {
        if let Some(folder) = &self.folder {
            commit.keep_audit_head(&self.as_stored(folder.head, &[]));
        }
    }

    /// The commit that keeps it has come to its end.
    pub(super) fn head_is_kept(&mut self) {
        if let Some(folder) = &self.folder {
            self.noted = Some(folder.head);
            self.promised.clear();
        }
        self.is_noted = true;
    }

    fn as_stored(&self, head: Head, promised: &[Digest]) -> AuditHead {
        AuditHead {
            sequence: head.sequence,
            hash: head.hash.to_string(),
            key: self.known_key.map(|key| key.to_string()),
            promised: promised.iter().map(Digest::to_string).collect(),
        }
    }
}

/// Notes that the first file is about to be begun, if there is none. So a store that knows of no record and finds files is
/// not the one that knew them, and no crash at the very first start looks like that.
pub(super) async fn begin_if_new(app: &App) -> Result<Option<Head>, Failure> {
    let trail = Arc::clone(&app.audit);
    let there = blocking(move || folder::segments(&trail.folder)).await?;
    match there {
        Ok(files) if !files.is_empty() => return Ok(None),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(_) | Err(_) => {}
    }
    let (Head { sequence, hash }, key) = (Head::NONE, app.audit.keys.own.public());
    let mut commit = Commit::new();
    let (hash, key, promised) = (hash.to_string(), Some(key.to_string()), Vec::new());
    commit.keep_audit_head(&AuditHead { sequence, hash, key, promised });
    app.store.commit(commit).await.map_err(anyhow::Error::from)?;
    Ok(Some(Head::NONE))
}

/// What the store knows of how the files were left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) head: Option<Head>,
    /// The key that signed last.
    pub(super) key: Option<PublicKey>,
    /// The records behind it that were to be written.
    pub(super) promised: Vec<Digest>,
    /// Why it cannot be known any more, which is damage.
    pub(super) unknown: Option<String>,
}

/// Reads the note of how the files were left.
///
/// # Errors
/// The store does not answer now. Files that are not held against it would be taken as somebody may have cut them.
pub(super) fn noted(answer: Result<Option<AuditHead>, ReadError>) -> Result<Noted, Failure> {
    let unknown = |why: String| Ok(Noted { unknown: Some(why), ..Noted::default() });
    match answer {
        Ok(None) => Ok(Noted::default()),
        Ok(Some(AuditHead { sequence, hash, key, promised })) => match Digest::parse(&hash) {
            // Earlier versions noted no key.
            Some(hash) => Ok(Noted {
                head: Some(Head { sequence, hash }),
                key: key.and_then(|key| key.parse().ok()),
                promised: promised.iter().filter_map(|hash| Digest::parse(hash)).collect(),
                unknown: None,
            }),
            None => unknown(String::from("what the store knows of the last record is no hash")),
        },
        Err(error @ ReadError::Unavailable(_)) => Err(Failure::Store(error.into())),
        Err(error) => unknown(format!("what the store knows of the last record cannot be read: {error}")),
    }
}
