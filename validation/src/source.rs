//! The address this machine shows to a peer, for the evidence.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// The local address from which packets to `peer` leave, by the kernel's routing table. Connecting
/// a UDP socket sends nothing.
pub(crate) fn towards(peer: SocketAddr) -> Option<IpAddr> {
    let any = match peer {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(peer).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_peers_are_reached_from_loopback() {
        let source = towards("127.0.0.1:9".parse().unwrap()).unwrap();
        assert!(source.is_loopback());
    }
}
