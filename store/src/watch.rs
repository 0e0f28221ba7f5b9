//! Whoever wants to know how long writing takes: told of each commit and each flush, for metrics.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::CommitError;

/// Hears how long writing took. Called on the path of every commit and by the one thread that writes, so it must not
/// wait for anything.
pub trait Watch: Send + Sync {
    /// A commit has ended, after this time in the queue and on the disk.
    fn committed(&self, took: Duration, outcome: Result<(), &CommitError>);

    /// The disk was told to keep what was written, and has answered after this time. One flush is for all commits that
    /// waited for it.
    fn flushed(&self, took: Duration);
}

/// A place for one who watches, empty at first. Clones are one place.
#[derive(Clone, Default)]
pub(crate) struct Watcher(Arc<OnceLock<Arc<dyn Watch>>>);

impl Watcher {
    /// The first one stays.
    pub(crate) fn begin(&self, watch: Arc<dyn Watch>) {
        let _there_is_one = self.0.set(watch);
    }

    pub(crate) fn watch(&self) -> Option<&dyn Watch> {
        self.0.get().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.get().is_some() { "Watcher(set)" } else { "Watcher(empty)" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{Commit, backend, samples, test_folder::TestFolder};

    #[derive(Default)]
    struct Heard(Mutex<Vec<&'static str>>);

    impl Watch for Heard {
        fn committed(&self, took: Duration, outcome: Result<(), &CommitError>) {
            assert!(took > Duration::ZERO);
            let what = match outcome {
                Ok(()) => "committed",
                Err(CommitError::Conflict) => "conflict",
                Err(_) => "failed",
            };
            self.0.lock().unwrap().push(what);
        }

        fn flushed(&self, took: Duration) {
            assert!(took > Duration::ZERO);
            self.0.lock().unwrap().push("flushed");
        }
    }

    #[tokio::test]
    async fn each_commit_is_told_after_the_flush_that_made_it_durable() {
        let folder = TestFolder::new();
        let options = backend::Options { ballast_octets: 0, ..backend::Options::default() };
        let store = crate::open(folder.path(), &options, samples::seal(7)).await.unwrap().store;
        let heard = Arc::new(Heard::default());
        store.watch(heard.clone());
        for expected in [&["flushed", "committed"][..], &["conflict"]] {
            let mut commit = Commit::new();
            commit.create_order(samples::order("one", samples::NOW), samples::after(1000));
            let _ = store.commit(commit).await;
            assert_eq!(std::mem::take(&mut *heard.0.lock().unwrap()), expected);
        }
    }
}
