//! How many orders of an account are pending: each is a promise to wait for it, and a page of the
//! store. Counted from the store and not beside it, so that nothing has to be kept in step.
//!
//! What is remembered here is which orders were pending when somebody last looked, and up to where
//! that was. A new order reads the keys of what came since; the orders themselves are read only when
//! there are enough of them to matter. Forgetting an account costs one longer look and nothing else.
//! Orders that are made at the same moment may pass together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use acme::{
    ids::{EndpointName, OrderId, RegistrationId},
    order::OrderStatus,
    problem::ProblemKind,
    time::Timestamp,
};
use prometheus::IntCounter;
use store::Store;

use crate::ra::{Error, Refusal};

/// Accounts that are remembered.
const ACCOUNTS_MAX: usize = 4096;
/// Orders of one account that are looked at, the newest.
const LOOK_MAX: usize = 2000;
/// Keys that are read at a time; the store gives no more.
const PAGE: usize = 1000;
/// An account that was refused is not looked at again before.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

type Account = (EndpointName, RegistrationId);

/// What is known of pending orders.
pub(crate) struct PendingOrders {
    /// `None`: switched off.
    max: Option<usize>,
    refused: IntCounter,
    accounts: Mutex<HashMap<Account, Known>>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    /// Orders that may be pending, by when they were made.
    orders: BTreeMap<OrderId, Timestamp>,
    /// Orders made before are in the list, or have ended.
    until: Option<Timestamp>,
    /// When it was full, and when the first of its orders expires.
    full: Option<(Timestamp, Timestamp)>,
}

impl PendingOrders {
    pub(super) fn new(max: Option<usize>, refused: IntCounter) -> Self {
        Self { max, refused, accounts: Mutex::default() }
    }

    /// Whether this is the most that an account may have.
    pub(super) fn has(&self, max: Option<usize>) -> bool {
        self.max == max
    }

    /// Refuses if the account has as many pending orders as it may. `lifetime` is how long an order
    /// stays pending at the most.
    pub(crate) async fn require_room(
        &self,
        store: &Store,
        endpoint: &EndpointName,
        account: &RegistrationId,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(max) = self.max else { return Ok(()) };
        let key = (endpoint.clone(), account.clone());
        let mut known = self.accounts().get(&key).cloned().unwrap_or_default();
        if let Some((since, expires)) = known.full
            && now < since.plus(LOOK_AGAIN)
        {
            return Err(self.refusal(max, expires.since(now)));
        }
        add_newer(store, &key, &mut known, now.minus(lifetime)).await?;
        known.full = None;
        if known.orders.len() >= max {
            let first_expires = keep_pending(store, &mut known, now).await?;
            known.full = first_expires.filter(|_| known.orders.len() >= max).map(|expires| (now, expires));
        }
        let full = known.full;
        self.remember(key, known);
        match full {
            Some((_, expires)) => Err(self.refusal(max, expires.since(now))),
            None => Ok(()),
        }
    }

    fn refusal(&self, max: usize, wait: Duration) -> Error {
        self.refused.inc();
        let retry_after = wait.max(Duration::from_secs(1));
        let detail = format!(
            "this account has {max} pending orders, as many as it may (limits.pending_orders_per_account_max); \
            finish or deactivate some, or wait {} s until the first of them expires",
            retry_after.as_secs()
        );
        let problem = acme::problem::Problem::new(ProblemKind::RateLimited, detail);
        Error::Refused(Box::new(Refusal {
            problem,
            retry_after: Some(retry_after),
            terms_of_service: None,
            transcript: None,
        }))
    }

    fn remember(&self, key: Account, known: Known) {
        let mut accounts = self.accounts();
        if accounts.len() >= ACCOUNTS_MAX
            && !accounts.contains_key(&key)
            && let Some(any) = accounts.keys().next().cloned()
        {
            accounts.remove(&any);
        }
        accounts.insert(key, known);
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Account, Known>> {
        // What a panic leaves behind is looked up again at worst.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds what was made since the last look; at the first look, what can still be pending.
async fn add_newer(
    store: &Store,
    (endpoint, account): &Account,
    known: &mut Known,
    first: Timestamp,
) -> Result<(), Error> {
    let mut since = known.until.unwrap_or(first);
    loop {
        let page = store.orders_made_since(endpoint, account, since, PAGE).await?;
        let is_last = page.len() < PAGE;
        let latest = page.last().map(|(created, _)| *created);
        known.orders.extend(page.into_iter().map(|(created, id)| (id, created)));
        let Some(latest) = latest else { return Ok(()) };
        let stuck = latest == since;
        since = latest;
        known.until = Some(latest);
        // More orders in one second than a page has: those beyond it are not counted.
        if is_last || stuck {
            return Ok(());
        }
    }
}

/// Keeps those of the newest that are pending; answers when the first of them expires.
async fn keep_pending(store: &Store, known: &mut Known, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    let mut newest: Vec<_> = std::mem::take(&mut known.orders).into_iter().collect();
    newest.sort_by_key(|(_, created)| std::cmp::Reverse(*created));
    let mut first_expires = None;
    for (id, created) in newest.into_iter().take(LOOK_MAX) {
        let Some(order) = store.order(&id).await? else { continue };
        let authorizations = store.authorizations(&order.value.authorizations).await?;
        let authorizations: Vec<_> = authorizations.into_iter().map(|stored| stored.value).collect();
        match order.value.status(&authorizations, now) {
            OrderStatus::Pending | OrderStatus::Ready => {
                let expires = order.value.expires;
                first_expires = Some(first_expires.map_or(expires, |first: Timestamp| first.min(expires)));
                known.orders.insert(id, created);
            }
            OrderStatus::Processing | OrderStatus::Valid | OrderStatus::Invalid => {}
        }
    }
    Ok(first_expires)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock,
        testing::{Gateway, told},
    };

    #[tokio::test(start_paused = true)]
    async fn an_account_with_too_many_pending_orders_is_told_when_the_first_expires() {
        let gateway = Gateway::with("limits.pending_orders_per_account_max = 3\norders.lifetime_secs = 600").await;
        let (busy, other) = (gateway.registration(), gateway.registration());
        for name in ["a.test", "b.test", "c.test"] {
            gateway.order(&busy, &[name]).await.unwrap();
        }
        for _ in 0..2 {
            let problem = told(gateway.order(&busy, &["d.test"]).await);
            assert_eq!(problem.kind, ProblemKind::RateLimited);
            // The clock goes on while the orders are made.
            let wait = (590..=600).find(|secs| problem.detail.contains(&format!("wait {secs} s")));
            assert!(problem.detail.contains("3 pending orders") && wait.is_some(), "{problem:?}");
        }
        gateway.order(&other, &["a.test"]).await.unwrap();
        let restarted = gateway.restarted_with_catalogue().await;
        let problem = told(restarted.order(&busy, &["d.test"]).await);
        assert_eq!(problem.kind, ProblemKind::RateLimited, "a restart makes no room");
    }

    #[tokio::test(start_paused = true)]
    async fn orders_that_have_ended_make_room() {
        let gateway = Gateway::with("limits.pending_orders_per_account_max = 2").await;
        let registration = gateway.registration();
        for round in 0..5 {
            let view = gateway.order(&registration, &[&format!("a{round}.test")]).await.unwrap();
            let id = &view.order.authorizations[0];
            let endpoint = gateway.endpoint("open");
            let ended = crate::ra::authorization::deactivate(
                &gateway.app,
                &endpoint,
                crate::testing::asked(&registration),
                id,
                clock::now(),
            )
            .await;
            ended.unwrap();
        }
        for name in ["x.test", "y.test"] {
            gateway.order(&registration, &[name]).await.unwrap();
        }
        assert_eq!(told(gateway.order(&registration, &["z.test"]).await).kind, ProblemKind::RateLimited);
    }
}
