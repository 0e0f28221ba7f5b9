//! Asks over plain HTTP whether a server is ready: one GET on loopback, status 200 or not.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long connecting, and each read and write, may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The part of an answer that is read, in octets.
const ANSWER_OCTETS_MAX: u64 = 16 * 1024;

/// # Errors
/// Why it is not ready, in the server's own words if it has any.
pub(crate) fn ask(server: SocketAddr, path: &str) -> Result<(), String> {
    let answer = get(server, path).map_err(|error| format!("http://{server}{path} does not answer ({error})"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let first = head.lines().next().unwrap_or_default();
    if first.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(format!("http://{server}{path} answers {first}: {}", body.trim()))
}

fn get(server: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
    let mut octets = Vec::new();
    stream.take(ANSWER_OCTETS_MAX).read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut octet = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut octet).unwrap() == 1 {
                request.push(octet[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn status_200_is_ready() {
        assert_eq!(ask(answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), "/readyz"), Ok(()));
    }

    #[test]
    fn any_other_answer_is_told_in_the_words_of_the_server() {
        let server = answering("HTTP/1.1 503 Service Unavailable\r\n\r\nthe CM does not answer\n");
        let reason = ask(server, "/readyz").unwrap_err();
        assert!(reason.ends_with("HTTP/1.1 503 Service Unavailable: the CM does not answer"), "{reason}");
    }

    #[test]
    fn a_closed_port_is_not_ready() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(closed, "/readyz").unwrap_err().contains("does not answer"));
    }
}
