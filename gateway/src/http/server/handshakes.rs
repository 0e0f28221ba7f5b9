//! How many TLS handshakes are answered in a second. Each costs a signature and a key agreement, which is what a flood
//! of new connections would have this host do and nothing else.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use prometheus::IntCounter;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::http::connection::peer_of;

/// Gives turns to handshakes, evenly spread, to one peer after the other. All clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Handshakes {
    line: Arc<Mutex<Line<oneshot::Sender<()>>>>,
    refused: Option<IntCounter>,
}

impl Handshakes {
    /// So many in a second; those that are refused are counted.
    pub(crate) fn new(per_second_max: u32, refused: Option<IntCounter>) -> Self {
        Self { line: Arc::new(Mutex::new(Line::new(per_second_max, Instant::now()))), refused }
    }

    /// Waits for the turn of a handshake whose first message has come from this address; false if the line is too long.
    pub(super) async fn turn(&self, address: IpAddr) -> bool {
        let (sender, turn) = oneshot::channel();
        let arrival = lock(&self.line).arrive(Instant::now(), peer_of(address), sender);
        match arrival {
            Arrival::Now => return true,
            Arrival::Calls(caller) => drop(tokio::spawn(call(Arc::clone(&self.line), caller))),
            Arrival::Waits => {}
        }
        // The sender is dropped unused if there was no place in the line, or if another peer was given it.
        let came = turn.await.is_ok();
        if !came {
            self.refused.iter().for_each(IntCounter::inc);
        }
        came
    }
}

/// Calls those who wait, each at its time, until nobody is left. Whoever comes after the `caller` is gone, even because
/// the thread of this task was stopped, calls the next.
async fn call(line: Arc<Mutex<Line<oneshot::Sender<()>>>>, caller: Arc<()>) {
    loop {
        let next = lock(&line).next_turn();
        let Some(next) = next else { break };
        sleep_until(next).await;
        for waiting in lock(&line).due(Instant::now()) {
            // Who went away has had its turn.
            let _gone = waiting.send(());
        }
    }
    drop(caller);
}

/// Those who wait, each represented by a `T`.
///
/// No more wait than have their turn within a second, so that a crowd is spread over this time and a flood is not kept.
/// Peers take turns: a peer with a thousand handshakes has one other wait for one of them. In a line that is full, the
/// peer that has most gives a place to one that has fewer.
#[derive(Debug)]
struct Line<T> {
    interval: Duration,
    waiting_max: usize,
    /// When the next turn is. A time that nobody takes is not saved up, so that no second has more.
    next: Instant,
    count: usize,
    /// Never empty for a peer that is in the table.
    waiting: HashMap<IpAddr, VecDeque<T>>,
    /// Each peer in the table once.
    round: VecDeque<IpAddr>,
    /// Who takes from the line.
    caller: Weak<()>,
}

/// What somebody who comes has to do.
#[derive(Debug)]
enum Arrival {
    /// It is its turn.
    Now,
    /// Wait.
    Waits,
    /// Wait, and see that everybody is taken out of the line as long as there is a [`Line::next_turn`].
    Calls(Arc<()>),
}

impl<T> Line<T> {
    fn new(per_second_max: u32, now: Instant) -> Self {
        let per_second_max = per_second_max.max(1);
        Self {
            interval: Duration::from_secs(1) / per_second_max,
            waiting_max: usize::try_from(per_second_max).unwrap_or(usize::MAX),
            next: now,
            count: 0,
            waiting: HashMap::new(),
            round: VecDeque::new(),
            caller: Weak::new(),
        }
    }

    /// Takes in one of this peer. If there is no place, this one or another is dropped.
    fn arrive(&mut self, now: Instant, peer: IpAddr, waiting: T) -> Arrival {
        if self.count == 0 && self.next <= now {
            self.next = now + self.interval;
            return Arrival::Now;
        }
        if self.count >= self.waiting_max && !self.make_place(peer) {
            return Arrival::Waits;
        }
        let own = self.waiting.entry(peer).or_default();
        if own.is_empty() {
            self.round.push_back(peer);
        }
        own.push_back(waiting);
        self.count = self.count.saturating_add(1);
        if self.caller.strong_count() > 0 {
            return Arrival::Waits;
        }
        let caller = Arc::new(());
        self.caller = Arc::downgrade(&caller);
        Arrival::Calls(caller)
    }

    /// Drops the last of the peer that has most, unless this one would then have as many or more.
    fn make_place(&mut self, peer: IpAddr) -> bool {
        let own = self.waiting.get(&peer).map_or(0, VecDeque::len);
        let Some(most) = self.waiting.values_mut().max_by_key(|waiting| waiting.len()) else { return false };
        // So it never was the only one of its peer.
        let is_fairer = most.len() > own.saturating_add(1);
        if is_fairer && most.pop_back().is_some() {
            self.count = self.count.saturating_sub(1);
        }
        is_fairer
    }

    /// When somebody is to be taken out; `None` ends the work of the caller.
    fn next_turn(&mut self) -> Option<Instant> {
        if self.count == 0 {
            self.caller = Weak::new();
            return None;
        }
        Some(self.next)
    }

    /// All whose turn it is by now.
    fn due(&mut self, now: Instant) -> Vec<T> {
        std::iter::from_fn(|| self.take(now)).collect()
    }

    /// One whose turn it is by now.
    fn take(&mut self, now: Instant) -> Option<T> {
        if self.next > now {
            return None;
        }
        let peer = self.round.pop_front()?;
        let own = self.waiting.get_mut(&peer)?;
        let first = own.pop_front()?;
        if own.is_empty() {
            self.waiting.remove(&peer);
        } else {
            self.round.push_back(peer);
        }
        self.count = self.count.saturating_sub(1);
        self.next += self.interval;
        Some(first)
    }
}

/// A panic cannot leave a line half changed: nothing in it does.
fn lock<T>(line: &Mutex<Line<T>>) -> MutexGuard<'_, Line<T>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
