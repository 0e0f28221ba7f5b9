//! Rate limits: how much one client may ask for, so that a broken or hostile one does not stand in
//! the way of the others (RFC 8555 §6.6, §10.4).
//!
//! A refusal spends nothing, and what was spent on something that then did not happen is given back
//! (see [`Spent`]). What is counted is kept in memory, on this node, and starts afresh with the
//! process: each node of several lets as much pass as the settings say. Counters that nodes share
//! belong behind [`counter::Counter`], whose methods are what such a store has to offer: one
//! compare-and-set of one point in time for each key
//! ([ADR 13](../../../docs/adr/0013-limits-are-counted-in-memory.md)).
//!
//! How many are pending is not counted but looked up, see [`pending_orders`]; pausing is durable and
//! not here, see [`crate::ra::pause`].

pub(crate) mod address;
mod counter;
mod exceeded;
mod lane;
pub(crate) mod pending_orders;

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use acme::{
    authorization::Authorization,
    identifier::Identifier,
    ids::{EndpointName, RegistrationId},
    problem::ProblemKind,
    registration::Registration,
};
use ipnet::IpNet;
use policies::{pause::is_of_the_client, rate_limit::RateLimit};

pub(crate) use self::{
    address::AddressGroup,
    counter::{Counter, Spent},
    exceeded::Exceeded,
};
use self::{
    counter::Subject,
    lane::{Lanes, Place},
    pending_orders::PendingOrders,
};
use crate::{app::Endpoint, settings, telemetry::metrics::Metrics};

/// Refusals of one account that are told in transcripts, for the disk's sake.
const REFUSALS_TOLD_MAX: u32 = 100;
const REFUSALS_TOLD_PER: Duration = Duration::from_secs(3600);

/// All limits. Addresses that are exempt are never counted.
pub(crate) struct Limits {
    exempt: Vec<IpNet>,
    requests_per_address: Arc<Counter>,
    unknown_accounts_per_address: Arc<Counter>,
    /// For those who have met the limit before.
    lanes: Arc<Lanes<(AddressGroup, Purpose)>>,
    new_accounts_per_address: Arc<Counter>,
    failed_external_accounts_per_address: Arc<Counter>,
    failed_external_accounts_per_address_and_key_id: Arc<Counter>,
    failed_external_accounts_per_key_id: Arc<Counter>,
    requests_per_account: Arc<Counter>,
    new_orders_per_address: Arc<Counter>,
    new_orders_per_account: Arc<Counter>,
    new_orders_per_external_account: Arc<Counter>,
    new_orders_per_endpoint: Arc<Counter>,
    failed_validations_per_account_and_name: Arc<Counter>,
    refusals_told_per_account: Arc<Counter>,
    pub(crate) pending_orders: Arc<PendingOrders>,
}

/// What a new order has spent. Given back when this is dropped, unless it is kept.
#[must_use]
pub(crate) struct NewOrder<'a>([Spent<'a>; 3]);

impl NewOrder<'_> {
    /// The order has come about.
    pub(crate) fn keep(self) {
        self.0.into_iter().for_each(Spent::keep);
    }
}

/// Requests that have a budget of their own, so that no flood of others stands in their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A revocation: somebody may hold a stolen key.
    Revocation,
    /// A question for renewal information: nobody needs an account for it.
    RenewalInfo,
    /// Everything else.
    Other,
}

/// Who asks for something that may not exist.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asker<'a> {
    /// Somebody at this address.
    Address(IpAddr, Purpose),
    /// An account, which nobody else holds up.
    Account(&'a EndpointName, &'a RegistrationId, Purpose),
}

/// The right to ask the CM once for something that may not exist.
#[must_use]
pub(crate) struct Turn<'a> {
    /// `None` for an address that is exempt.
    counted: Option<(&'a Counter, (AddressGroup, Purpose))>,
    /// The limit was met, and this is the narrow way.
    met: Option<(Exceeded, Place<(AddressGroup, Purpose)>)>,
}

impl Turn<'_> {
    /// What was asked for does not exist: that counts. Refuses if the limit had been met before.
    pub(crate) fn was_in_vain(self) -> Result<(), Exceeded> {
        if let Some((exceeded, _)) = self.met {
            return Err(exceeded);
        }
        if let Some((counter, key)) = self.counted {
            counter.count(key);
        }
        Ok(())
    }
}

impl Limits {
    pub(crate) fn new(settings: &settings::Limits, metrics: &Metrics) -> Self {
        Self::after(None, settings, metrics)
    }

    /// The limits that follow these: what was spent of a limit that stays as it is stays spent, and
    /// one that changes starts afresh.
    pub(crate) fn changed(&self, settings: &settings::Limits, metrics: &Metrics) -> Self {
        Self::after(Some(self), settings, metrics)
    }

    fn after(earlier: Option<&Self>, settings: &settings::Limits, metrics: &Metrics) -> Self {
        let counter =
            |setting: &'static str, what: &'static str, of: fn(&Self) -> &Arc<Counter>, limit: settings::Limit| {
                let unchanged = earlier.map(of).filter(|counter| counter.has(limit.0));
                let fresh = || Arc::new(Counter::new(Subject { setting, what }, limit.0, metrics.limit(setting)));
                unchanged.map_or_else(fresh, Arc::clone)
            };
        let pending_max = settings.pending_orders_per_account_max.0;
        let pending = earlier.map(|limits| &limits.pending_orders).filter(|orders| orders.has(pending_max));
        let fresh_pending = || {
            let refused = metrics.limit("pending_orders_per_account_max").refused;
            Arc::new(PendingOrders::new(pending_max, refused))
        };
        Self {
            exempt: settings.exempt.clone(),
            requests_per_address: counter(
                "requests_per_address",
                "requests from your network address",
                |limits| &limits.requests_per_address,
                settings.requests_per_address,
            ),
            unknown_accounts_per_address: counter(
                "unknown_accounts_per_address",
                "requests for accounts or certificates that do not exist, or not for you",
                |limits| &limits.unknown_accounts_per_address,
                settings.unknown_accounts_per_address,
            ),
            lanes: earlier.map(|limits| Arc::clone(&limits.lanes)).unwrap_or_default(),
            new_accounts_per_address: counter(
                "new_accounts_per_address",
                "new accounts from your network address",
                |limits| &limits.new_accounts_per_address,
                settings.new_accounts_per_address,
            ),
            failed_external_accounts_per_address: counter(
                "failed_external_accounts_per_address",
                "failed bindings of accounts from your network address",
                |limits| &limits.failed_external_accounts_per_address,
                settings.failed_external_accounts_per_address,
            ),
            failed_external_accounts_per_address_and_key_id: counter(
                "failed_external_accounts_per_address_and_key_id",
                "failed external account bindings with this key id from your network address",
                |limits| &limits.failed_external_accounts_per_address_and_key_id,
                settings.failed_external_accounts_per_address_and_key_id,
            ),
            failed_external_accounts_per_key_id: counter(
                "failed_external_accounts_per_key_id",
                "failed external account bindings with this key id",
                |limits| &limits.failed_external_accounts_per_key_id,
                settings.failed_external_accounts_per_key_id,
            ),
            requests_per_account: counter(
                "requests_per_account",
                "requests of this account",
                |limits| &limits.requests_per_account,
                settings.requests_per_account,
            ),
            new_orders_per_address: counter(
                "new_orders_per_address",
                "new orders from your network address",
                |limits| &limits.new_orders_per_address,
                settings.new_orders_per_address,
            ),
            new_orders_per_account: counter(
                "new_orders_per_account",
                "new orders of this account",
                |limits| &limits.new_orders_per_account,
                settings.new_orders_per_account,
            ),
            new_orders_per_external_account: counter(
                "new_orders_per_external_account",
                "new orders of all accounts of this external account key",
                |limits| &limits.new_orders_per_external_account,
                settings.new_orders_per_external_account,
            ),
            new_orders_per_endpoint: counter(
                "new_orders_per_endpoint",
                "new orders at this directory",
                |limits| &limits.new_orders_per_endpoint,
                settings.new_orders_per_endpoint,
            ),
            failed_validations_per_account_and_name: counter(
                "failed_validations_per_account_and_name",
                "failed validations",
                |limits| &limits.failed_validations_per_account_and_name,
                settings.failed_validations_per_account_and_name,
            ),
            refusals_told_per_account: counter(
                "refusals_told_per_account",
                "refusals",
                |limits| &limits.refusals_told_per_account,
                settings::Limit(NonZeroU32::new(REFUSALS_TOLD_MAX).map(|most| RateLimit::new(most, REFUSALS_TOLD_PER))),
            ),
            pending_orders: pending.map_or_else(fresh_pending, Arc::clone),
        }
    }

    /// Counts a request, before anything is done about it.
    pub(crate) fn request(&self, from: Option<IpAddr>, purpose: Purpose) -> Result<(), Exceeded> {
        let Some(group) = self.group(from) else { return Ok(()) };
        self.requests_per_address.spend((group, purpose)).map(Spent::keep)
    }

    /// Whether this address is not limited.
    pub(crate) fn is_exempt(&self, address: IpAddr) -> bool {
        self.group(Some(address)).is_none()
    }

    /// Lets somebody at this address ask for what may not exist. Who has done so too often goes on
    /// in a narrow lane, for behind one address there may be many; nobody is shut out for long.
    pub(crate) async fn turn(&self, from: IpAddr, purpose: Purpose) -> Result<Turn<'_>, Exceeded> {
        let Some(group) = self.group(Some(from)) else { return Ok(Turn { counted: None, met: None }) };
        let (counter, key) = (&*self.unknown_accounts_per_address, (group, purpose));
        let Err(exceeded) = counter.require_left(key) else {
            return Ok(Turn { counted: Some((counter, key)), met: None });
        };
        match self.lanes.enter(key).await {
            Some(place) => Ok(Turn { counted: Some((counter, key)), met: Some((exceeded, place)) }),
            None => Err(Exceeded { retry_after: lane::RETRY_AFTER, ..exceeded }),
        }
    }

    /// Whether somebody may still ask for what may not exist: each is a question to the CM.
    pub(crate) fn may_ask_for_unknown(&self, asker: Asker<'_>) -> Result<(), Exceeded> {
        match asker {
            Asker::Address(from, purpose) => match self.group(Some(from)) {
                Some(group) => self.unknown_accounts_per_address.require_left((group, purpose)),
                None => Ok(()),
            },
            Asker::Account(endpoint, account, purpose) => {
                self.unknown_accounts_per_address.require_left((endpoint, account, purpose))
            }
        }
    }

    /// What somebody asked for does not exist, or is not his.
    pub(crate) fn was_unknown(&self, asker: Asker<'_>) {
        match asker {
            Asker::Address(from, purpose) => {
                if let Some(group) = self.group(Some(from)) {
                    self.unknown_accounts_per_address.count((group, purpose));
                }
            }
            Asker::Account(endpoint, account, purpose) => {
                self.unknown_accounts_per_address.count((endpoint, account, purpose));
            }
        }
    }

    /// Spends a new account; `None` for an address that is exempt.
    pub(crate) fn new_account(&self, from: IpAddr) -> Result<Option<Spent<'_>>, Exceeded> {
        self.group(Some(from)).map(|group| self.new_accounts_per_address.spend(group)).transpose()
    }

    /// Whether a binding by this external account key, or by a directory link, may still be tried. A link is a
    /// secret, so nothing can be counted by it.
    ///
    /// Key ids are no secrets. So what is guessed from one address is held against that address,
    /// and only a search from many addresses stands in the way of the key's holder.
    pub(crate) fn may_bind(&self, from: IpAddr, endpoint: &Endpoint, key_id: Option<&str>) -> Result<(), Exceeded> {
        let group = self.group(Some(from));
        if let Some(group) = group {
            self.failed_external_accounts_per_address.require_left(group)?;
        }
        let Some(key_id) = key_id else { return Ok(()) };
        if let Some(group) = group {
            self.failed_external_accounts_per_address_and_key_id.require_left((group, &endpoint.realm, key_id))?;
        }
        self.failed_external_accounts_per_key_id.require_left((&endpoint.realm, key_id))
    }

    /// A binding was refused that may be a guess.
    pub(crate) fn binding_failed(&self, from: IpAddr, endpoint: &Endpoint, key_id: Option<&str>) {
        let group = self.group(Some(from));
        if let Some(group) = group {
            self.failed_external_accounts_per_address.count(group);
        }
        let Some(key_id) = key_id else { return };
        if let Some(group) = group {
            self.failed_external_accounts_per_address_and_key_id.count((group, &endpoint.realm, key_id));
        }
        self.failed_external_accounts_per_key_id.count((&endpoint.realm, key_id));
    }

    /// Counts a request that an account has signed.
    pub(crate) fn signed_request(&self, endpoint: &Endpoint, account: &RegistrationId) -> Result<(), Exceeded> {
        self.requests_per_account.spend((&endpoint.name, account)).map(Spent::keep)
    }

    /// Spends a new order, or a new authorization, of an address; `None` for one that is exempt.
    pub(crate) fn new_order_from(&self, from: IpAddr) -> Result<Option<Spent<'_>>, Exceeded> {
        self.group(Some(from)).map(|group| self.new_orders_per_address.spend(group)).transpose()
    }

    /// Spends a new order everywhere else where it counts, or nowhere.
    pub(crate) fn new_order(&self, endpoint: &Endpoint, registration: &Registration) -> Result<NewOrder<'_>, Exceeded> {
        let account = self.new_orders_per_account.spend((&endpoint.name, &registration.id))?;
        let external_account = match &registration.external_account {
            Some(key_id) => self.new_orders_per_external_account.spend((&endpoint.realm, key_id))?,
            None => Spent::nothing(),
        };
        Ok(NewOrder([account, external_account, self.new_orders_per_endpoint.spend(&endpoint.name)?]))
    }

    /// Whether control of this identifier may still be tried to be proven.
    pub(crate) fn may_validate(
        &self,
        endpoint: &EndpointName,
        account: &RegistrationId,
        identifier: &Identifier,
    ) -> Result<(), Exceeded> {
        let left = self.failed_validations_per_account_and_name.require_left((endpoint, account, identifier));
        left.map_err(|exceeded| exceeded.of(identifier))
    }

    /// A validation has ended without a proof.
    pub(crate) fn validation_failed(&self, authorization: &Authorization, failure: ProblemKind) {
        let Authorization { endpoint, account, identifier, .. } = authorization;
        if is_of_the_client(failure) {
            self.failed_validations_per_account_and_name.count((endpoint, account, identifier));
        }
    }

    /// Whether one more refusal of this account goes into a transcript; it is refused all the same.
    pub(crate) fn may_tell_refusal(&self, endpoint: &Endpoint, account: &RegistrationId) -> bool {
        self.refusals_told_per_account.spend((&endpoint.name, account)).map(Spent::keep).is_ok()
    }

    /// `None` if the address is exempt. A request without one counts as one address.
    fn group(&self, address: Option<IpAddr>) -> Option<AddressGroup> {
        let address = address.unwrap_or(IpAddr::from([0, 0, 0, 0])).to_canonical();
        (!self.exempt.iter().any(|net| net.contains(&address))).then(|| AddressGroup::of(address))
    }
}

#[cfg(test)]
mod tests;
