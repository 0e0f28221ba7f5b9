//! How many connections each peer has open: one address must not take them all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::IntCounter;

/// Counts open connections by peer. All clones count together. There is an entry only for peers
/// that have a connection, so the table is no larger than the server's longest list of them.
#[derive(Clone)]
pub(crate) struct Peers {
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
    each_max: u32,
    refused: Option<IntCounter>,
    is_exempt: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

/// The right to one connection; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    /// `None` for a peer that is not counted.
    open: Option<Arc<Mutex<HashMap<IpAddr, u32>>>>,
    peer: IpAddr,
}

impl Peers {
    /// Each peer may have so many connections at a time; those that are refused are counted.
    pub(crate) fn new(each_max: u32, refused: Option<IntCounter>) -> Self {
        Self { open: Arc::default(), each_max, refused, is_exempt: Arc::new(|_| false) }
    }

    /// The same, but these addresses may have as many as they like; asked at every connection.
    pub(crate) fn exempting(self, is_exempt: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self { is_exempt: Arc::new(is_exempt), ..self }
    }

    /// Another connection of this address, if it may have one.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Seat> {
        let peer = peer_of(address);
        if (self.is_exempt)(address) {
            return Some(Seat { open: None, peer });
        }
        let mut open = lock(&self.open);
        let count = open.entry(peer).or_insert(0);
        if *count >= self.each_max {
            self.refused.iter().for_each(IntCounter::inc);
            return None;
        }
        *count = count.saturating_add(1);
        Some(Seat { open: Some(Arc::clone(&self.open)), peer })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(open) = &self.open else { return };
        let mut open = lock(open);
        match open.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            Some(_) | None => drop(open.remove(&self.peer)),
        }
    }
}

/// Who is behind an address: an IPv4 address, or a /64 of IPv6, which is what one host is given.
pub(crate) fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

/// A panic cannot leave a count half changed.
fn lock(open: &Mutex<HashMap<IpAddr, u32>>) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_so_many_connections_at_a_time() {
        let refused = IntCounter::new("refused", "Refused.").unwrap();
        let peers = Peers::new(2, Some(refused.clone()));
        let admit = |address: &str| peers.admit(address.parse().unwrap());
        let (first, second) = (admit("192.0.2.1"), admit("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(admit("192.0.2.1").is_none(), "an IPv4 address on an IPv6 socket is the same peer");
        assert!(admit("192.0.2.2").is_some());
        drop(first);
        assert!(admit("192.0.2.1").is_some());
        assert_eq!(refused.get(), 1);
    }

    #[test]
    fn exempt_addresses_have_as_many_connections_as_they_like() {
        let balancer: IpAddr = "192.0.2.1".parse().unwrap();
        let peers = Peers::new(1, None).exempting(move |address| address == balancer);
        let seats: Vec<_> = (0..100).map(|_| peers.admit(balancer)).collect();
        assert!(seats.iter().all(Option::is_some));
        let other = "192.0.2.2".parse().unwrap();
        let seat = peers.admit(other);
        assert!(seat.is_some() && peers.admit(other).is_none());
    }

    #[test]
    fn one_peer_has_a_whole_64_of_ipv6() {
        let peers = Peers::new(1, None);
        let admit = |address: &str| peers.admit(address.parse().unwrap());
        let seat = admit("2001:db8::1");
        assert!(seat.is_some());
        assert!(admit("2001:db8::ffff:0:0:1").is_none());
        assert!(admit("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn nothing_is_remembered_of_peers_that_are_gone() {
        let peers = Peers::new(1, None);
        for host in 0..1000_u32 {
            drop(peers.admit(IpAddr::from(host.to_be_bytes())));
        }
        assert!(lock(&peers.open).is_empty());
    }
}
