//! A store in memory whose commits can be interrupted: the power goes, the disk is full, or
//! something else is committed first.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use store::backend::{ApplyError, Backend, Batch, Change, Entry, Key, KeyRange, Memory, Unavailable, Versioned};
use tokio::sync::{Notify, oneshot};

/// What survives a crash of the gateway.
#[derive(Default)]
pub(crate) struct Disk {
    memory: Memory,
    next: Mutex<Option<(usize, Interruption)>>,
    power_cut: Notify,
    commits: AtomicUsize,
}

enum Interruption {
    /// Everything ends here: whoever waits for the commit waits for ever.
    PowerCut(Moment),
    /// Says that a commit has come, and makes it when it is told to.
    Hold { come: oneshot::Sender<()>, go: oneshot::Receiver<()> },
    /// Nothing is written.
    Refuse(ApplyError),
}

/// Where in something that has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    BeforeTheEffect,
    AfterTheEffect,
}

impl Moment {
    pub(crate) const BOTH: [Self; 2] = [Self::BeforeTheEffect, Self::AfterTheEffect];
}

/// A commit that is being held.
pub(crate) struct Held {
    come: oneshot::Receiver<()>,
    go: oneshot::Sender<()>,
}

impl Held {
    /// Waits until the commit has come.
    pub(crate) async fn come(&mut self) {
        let come = tokio::time::timeout(Duration::from_secs(60), &mut self.come).await;
        come.expect("there is a commit").unwrap();
    }

    /// Lets it be made.
    pub(crate) fn go(self) {
        self.go.send(()).unwrap();
    }
}

impl Disk {
    /// The power goes at the commit after `commits` others.
    pub(crate) fn cut_power_after(&self, commits: usize, moment: Moment) {
        self.interrupt(commits, Interruption::PowerCut(moment));
    }

    /// Holds the next commit.
    pub(crate) fn hold_next(&self) -> Held {
        let ((come, has_come), (go, may_go)) = (oneshot::channel(), oneshot::channel());
        self.interrupt(0, Interruption::Hold { come, go: may_go });
        Held { come: has_come, go }
    }

    /// Refuses the next commit.
    pub(crate) fn refuse_next(&self, error: ApplyError) {
        self.interrupt(0, Interruption::Refuse(error));
    }

    /// Flips a bit in the last octet of the first thing that is stored under a key that begins like this.
    pub(crate) async fn damage(&self, key: &str) {
        let range = KeyRange { from: Key::new(key.to_owned()), below: Key::new(format!("{key}~~")) };
        let Entry { key, held } = self.memory.scan(&range, 1).await.unwrap().pop().expect("something is stored there");
        let mut octets = held.value;
        *octets.last_mut().unwrap() ^= 1;
        let changes = [(key, Change::Put(octets))].into();
        self.memory.apply(Batch { conditions: Vec::new(), changes }).await.unwrap();
    }

    /// Waits until the power has gone.
    pub(crate) async fn power_cut(&self) {
        self.power_cut.notified().await;
    }

    /// How many commits there were.
    pub(crate) fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    /// Loses everything, as a disk that dies does.
    pub(crate) async fn lose_everything(&self) {
        let all = KeyRange { from: Key::new(String::new()), below: Key::new(String::from('\u{7f}')) };
        let entries = self.memory.scan(&all, usize::MAX).await.unwrap();
        let changes = entries.into_iter().map(|entry| (entry.key, Change::Delete)).collect();
        self.memory.apply(Batch { conditions: Vec::new(), changes }).await.unwrap();
    }

    /// Whether an interruption was planned that has not come.
    pub(crate) fn forget_interruption(&self) -> bool {
        self.next.lock().unwrap().take().is_some()
    }

    fn interrupt(&self, commits: usize, interruption: Interruption) {
        let earlier = self.next.lock().unwrap().replace((commits, interruption));
        assert!(earlier.is_none(), "one interruption at a time");
    }

    fn interruption(&self) -> Option<Interruption> {
        let mut next = self.next.lock().unwrap();
        match next.take()? {
            (0, interruption) => Some(interruption),
            (commits, interruption) => {
                *next = Some((commits - 1, interruption));
                None
            }
        }
    }
}

#[async_trait]
impl Backend for Disk {
    async fn read(&self, key: &Key) -> Result<Option<Versioned>, Unavailable> {
        self.memory.read(key).await
    }

    async fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, Unavailable> {
        self.memory.scan(range, limit).await
    }

    async fn apply(&self, batch: Batch) -> Result<(), ApplyError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        match self.interruption() {
            None => self.memory.apply(batch).await,
            Some(Interruption::PowerCut(moment)) => {
                if moment == Moment::AfterTheEffect {
                    self.memory.apply(batch).await?;
                }
                self.power_cut.notify_one();
                std::future::pending().await
            }
            Some(Interruption::Hold { come, go }) => {
                come.send(()).unwrap();
                go.await.unwrap();
                self.memory.apply(batch).await
            }
            Some(Interruption::Refuse(error)) => Err(error),
        }
    }
}
