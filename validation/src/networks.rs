//! How many attempts are at one network at a time, so that many orders for one site's names do not become a flood at that
//! site. More wait for their turn, in the order in which they came.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// One site has a /24 of IPv4 or a /64 of IPv6.
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 64;

/// Counts attempts by network.
#[derive(Debug)]
pub(crate) struct Networks {
    each_max: usize,
    /// Only those that somebody is at or waits for, and what was left of others since the last call.
    turns: Mutex<HashMap<IpNet, Weak<Semaphore>>>,
}

impl Networks {
    /// Each network may have so many attempts at a time.
    pub(crate) fn new(each_max: usize) -> Self {
        Self { each_max, turns: Mutex::default() }
    }

    /// Waits for a turn at the network of this address; it ends when what is returned is dropped. `None` if it does not
    /// come before the deadline.
    pub(crate) async fn turn(&self, address: IpAddr, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        let turns = self.turns_of(address);
        timeout_at(deadline, turns.acquire_owned()).await.ok()?.ok()
    }

    fn turns_of(&self, address: IpAddr) -> Arc<Semaphore> {
        // A panic cannot leave it half changed: it is a table of what others hold.
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turns| turns.strong_count() > 0);
        let known = turns.entry(network_of(address)).or_default();
        if let Some(turns) = known.upgrade() {
            return turns;
        }
        let fresh = Arc::new(Semaphore::new(self.each_max));
        *known = Arc::downgrade(&fresh);
        fresh
    }
}

fn network_of(address: IpAddr) -> IpNet {
    let network = match address {
        IpAddr::V4(address) => Ipv4Net::new(address, PREFIX_V4).map(|network| IpNet::V4(network.trunc())),
        IpAddr::V6(address) => Ipv6Net::new(address, PREFIX_V6).map(|network| IpNet::V6(network.trunc())),
    };
    network.unwrap_or_else(|_| IpNet::from(address))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_network_has_so_many_turns_and_whoever_waits_gets_the_next() {
        let networks = Networks::new(2);
        let turn = async |address: &str, secs: u64| {
            networks.turn(address.parse().unwrap(), Instant::now() + Duration::from_secs(secs)).await
        };
        let (first, second) = (turn("192.0.2.1", 0).await, turn("192.0.2.254", 0).await);
        assert!(first.is_some() && second.is_some());
        assert!(turn("192.0.2.7", 0).await.is_none(), "the deadline came first");
        assert!(turn("192.0.3.7", 0).await.is_some(), "another network");
        let (third, ()) = tokio::join!(turn("192.0.2.7", 60), async { drop(first) });
        assert!(third.is_some());
        assert!(turn("192.0.2.7", 0).await.is_none());
    }

    #[tokio::test]
    async fn one_site_has_a_64_of_ipv6() {
        let networks = Networks::new(1);
        let turn = async |address: &str| networks.turn(address.parse().unwrap(), Instant::now()).await;
        let first = turn("2001:db8::1").await;
        assert!(first.is_some() && turn("2001:db8::ffff:0:0:1").await.is_none());
        assert!(turn("2001:db8:0:1::1").await.is_some());
    }

    #[tokio::test]
    async fn nothing_is_remembered_of_networks_that_nobody_is_at() {
        let networks = Networks::new(1);
        for network in 0..1000_u32 {
            let turn = networks.turn(IpAddr::from((network << 8).to_be_bytes()), Instant::now()).await;
            assert!(turn.is_some());
        }
        assert!(networks.turns.lock().unwrap().len() <= 1);
    }
}
