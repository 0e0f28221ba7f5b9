//! Ports that nobody else takes, this test program's neighbours neither.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as Name, UnixListener},
    },
    sync::Mutex,
};

/// Ports that are free on all loopback addresses right now. They lie below those that the system gives to outgoing
/// connections, of which tests make thousands: a port that is bound late must not be gone by then.
///
/// # Panics
/// There are none.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    let mut held = Vec::new();
    std::array::from_fn(|_| {
        loop {
            let everywhere = (Ipv4Addr::UNSPECIFIED, PORTS.lock().unwrap().next());
            if let (Ok(tcp), Ok(udp)) = (TcpListener::bind(everywhere), UdpSocket::bind(everywhere)) {
                held.push((tcp, udp));
                return everywhere.1;
            }
        }
    })
}

/// The ports of this process; each is given out once.
static PORTS: Mutex<Ports> = Mutex::new(Ports { locks: Vec::new(), left: 0..0 });

/// Blocks of ports, so that test programs that run side by side do not take one another's. A block is locked by a name
/// that the system forgets when the process ends.
struct Ports {
    locks: Vec<UnixListener>,
    left: Range<u16>,
}

impl Ports {
    const FIRST: u16 = 12_000;
    const BLOCKS: u16 = 36;
    const BLOCK: u16 = 500;

    fn next(&mut self) -> u16 {
        self.left.next().unwrap_or_else(|| {
            let (lock, block) = (0..Self::BLOCKS)
                .find_map(|block| {
                    let name = Name::from_abstract_name(format!("acme-gateway-tests-ports-{block}")).unwrap();
                    Some((UnixListener::bind_addr(&name).ok()?, block))
                })
                .expect("there is a block of free ports");
            self.locks.push(lock);
            let first = Self::FIRST + block * Self::BLOCK;
            self.left = first + 1..first + Self::BLOCK;
            first
        })
    }
}
