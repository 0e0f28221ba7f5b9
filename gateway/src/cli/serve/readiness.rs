//! Tells a service manager that the gateway is ready, and that it stops: the protocol of `sd_notify(3)`, one datagram to
//! the socket that the manager names. Not started by one, it tells nobody.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Where the manager listens, if there is one.
const SOCKET: &str = "NOTIFY_SOCKET";

/// What is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// Clients are served.
    Ready,
    /// What is under way is being finished.
    Stopping,
}

/// Tells the service manager. One that cannot be told waits until its patience ends, so that is logged.
pub(super) fn tell(state: State) {
    if let Some(Err(error)) = env::var_os(SOCKET).map(|socket: OsString| send(&socket, state)) {
        tracing::warn!(error = %error, ?state, "the service manager could not be told");
    }
}

fn send(socket: &OsStr, state: State) -> io::Result<()> {
    let words: &[u8] = match state {
        State::Ready => b"READY=1\nSTATUS=serving",
        State::Stopping => b"STOPPING=1\nSTATUS=finishing what is under way",
    };
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(words, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(at: &UnixDatagram) -> String {
        let mut octets = [0; 200];
        let length = at.recv(&mut octets).unwrap();
        String::from_utf8_lossy(&octets[..length]).into_owned()
    }

    #[test]
    fn a_manager_is_told_at_a_path_and_at_an_abstract_name() {
        let name = format!("acme-gateway-readiness-{}", std::process::id());
        let path = env::temp_dir().join(&name);
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), State::Ready).unwrap();
        assert!(heard(&manager).starts_with("READY=1\n"));
        std::fs::remove_file(&path).unwrap();
        assert!(send(path.as_os_str(), State::Ready).is_err(), "nobody listens");

        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), State::Stopping).unwrap();
        assert!(heard(&manager).starts_with("STOPPING=1\n"));
    }
}
