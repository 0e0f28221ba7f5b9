//! Finalize requests that wait for their certificate: many clients handle `valid` better than
//! `processing`, so a short wait is worth a timer.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use acme::ids::OrderId;
use tokio::sync::oneshot;

/// Who waits for which order. An order that ends on another node wakes nobody here; the wait is
/// bounded and the store is read again after it.
#[derive(Default)]
pub(crate) struct Waiters {
    waiting: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    by_order: HashMap<OrderId, Vec<oneshot::Sender<()>>>,
    /// The process is about to end.
    closed: bool,
}

/// One request's place in the queue of an order.
pub(crate) struct Waiting<'a> {
    waiters: &'a Waiters,
    order: OrderId,
    woken: oneshot::Receiver<()>,
}

impl Waiters {
    /// Takes a place before the order is touched, so that no end of it is missed.
    pub(crate) fn register(&self, order: &OrderId) -> Waiting<'_> {
        let (sender, woken) = oneshot::channel();
        let mut queue = self.lock();
        if !queue.closed {
            queue.by_order.entry(order.clone()).or_default().push(sender);
        }
        drop(queue);
        Waiting { waiters: self, order: order.clone(), woken }
    }

    /// The order has ended: wakes all who wait for it.
    pub(crate) fn wake(&self, order: &OrderId) {
        for sender in self.lock().by_order.remove(order).unwrap_or_default() {
            drop(sender); // a closed channel wakes as well as a message
        }
    }

    /// Nobody waits any longer, now or later: the process is about to end, and what a client asks
    /// the next one is answered as well.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.by_order.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting<'_> {
    /// Waits until the order has ended, but no longer than this.
    pub(crate) async fn at_most(mut self, time: Duration) {
        // Both outcomes mean the same: look again.
        let _ended = tokio::time::timeout(time, &mut self.woken).await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.woken.close();
        let mut queue = self.waiters.lock();
        if let Some(senders) = queue.by_order.get_mut(&self.order) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                queue.by_order.remove(&self.order);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_order_or_with_the_time() {
        let waiters = Waiters::default();
        let order = OrderId::parse("o1").unwrap();
        let first = waiters.register(&order);
        waiters.wake(&order);
        first.at_most(Duration::from_secs(3600)).await;
        waiters.register(&order).at_most(Duration::from_secs(1)).await;
        assert!(waiters.lock().by_order.is_empty(), "nothing is left behind");
    }
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_process_that_is_about_to_end() {
        let waiters = Waiters::default();
        let order = OrderId::parse("o1").unwrap();
        let before = waiters.register(&order);
        waiters.close();
        let began = tokio::time::Instant::now();
        before.at_most(Duration::from_secs(3600)).await;
        waiters.register(&order).at_most(Duration::from_secs(3600)).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
