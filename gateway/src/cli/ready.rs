//! `acme-gateway ready`: asks the gateway that runs on this machine whether it is ready, for health checks in a container
//! that has no other program.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;

use super::output::say;
use crate::settings;

/// For connecting, and then for each part of the answer: less than the 30 seconds after which container engines give up.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than there can be to say.
const ANSWER_OCTETS_MAX: u64 = 64 * 1024;

/// Prints what `/readyz` says. Success is 200.
pub(super) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    let address = settings::load(config)?.ops.listen;
    let answer = ask(local(address)).with_context(|| format!("ops.listen: no gateway answers at {address}"))?;
    let (is_ready, text) = read(&answer).with_context(|| format!("ops.listen: no gateway listens at {address}"))?;
    say(text)?;
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Who listens at every address is asked at this machine's own.
fn local(address: SocketAddr) -> SocketAddr {
    let own = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(own, address.port())
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    connection.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    connection.take(ANSWER_OCTETS_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether an answer says ready, and its text.
fn read(answer: &str) -> anyhow::Result<(bool, &str)> {
    let (head, text) = answer.split_once("\r\n\r\n").context("what answers does not speak HTTP")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    match status {
        "200" | "503" => Ok((status == "200", text.trim_end())),
        other => anyhow::bail!("what answers says {other} to /readyz"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_ready_and_who_is_no_gateway_is_told_apart() {
        let answer = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\nword\n");
        assert_eq!(read(&answer("200 OK")).unwrap(), (true, "word"));
        assert_eq!(read(&answer("503 Service Unavailable")).unwrap(), (false, "word"));
        for other in [answer("404 Not Found"), answer(""), String::from("SSH-2.0-x\r\n"), String::new()] {
            assert!(read(&other).is_err(), "{other}");
        }
    }

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        for (listens, asked) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("127.0.0.2:1", "127.0.0.2:1"),
            ("[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(local(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
