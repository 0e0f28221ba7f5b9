//! Whether the configured resolvers answer, asked for the gateway's own name. Only the first octets of an answer are
//! read: whether it is one, and its code.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use tokio::{net::UdpSocket, time::timeout};

use super::finding::Finding;
use crate::{random, settings::Settings};

const CHECK: &str = "resolvers";
/// Of the header (RFC 1035 section 4.1.1).
const HEADER_OCTETS: usize = 12;
/// Times that a question is sent, for it may get lost.
const TRIES: usize = 2;

/// What a resolver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Names that exist or do not: it works.
    Answer,
    /// Nothing useful, and the code.
    Failure(u8),
}

pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    let validation = &settings.validation;
    let host = settings.server.external_url.host();
    // An address is no name; the root exists always.
    let name = if host.parse::<std::net::IpAddr>().is_ok() { "" } else { host };
    let patience = validation.dns_timeout.duration().min(Duration::from_secs(4));
    let answers = validation.resolvers.iter().map(|address| judge(*address, name, patience));
    let mut findings = join_all(answers).await;
    // One that works suffices, if slowly.
    let all = findings.len();
    findings.sort_by_key(|(is_good, _)| *is_good);
    let good = findings.iter().filter(|(is_good, _)| *is_good).count();
    let mut findings: Vec<_> = findings.into_iter().map(|(_, finding)| finding).collect();
    if good > 0 && good < all {
        findings.push(Finding::fine(CHECK, format!("{good} of {all} answer; the others only cost time")));
    }
    findings
}

async fn judge(resolver: SocketAddr, name: &str, patience: Duration) -> (bool, Finding) {
    let breaks = "no name can be validated, and CAA records cannot be looked at";
    let mend = format!(
        "start the resolver at {resolver}, open UDP and TCP port {}, or name others in validation.resolvers",
        resolver.port()
    );
    let shown = if name.is_empty() { "." } else { name };
    let dig = format!("dig @{} -p {} {shown} A", resolver.ip(), resolver.port());
    let mut last = String::from("it does not answer");
    for _ in 0..TRIES {
        match timeout(patience, ask(resolver, name)).await {
            Ok(Ok(Said::Answer)) => return (true, Finding::fine(CHECK, format!("{resolver} answers"))),
            Ok(Ok(Said::Failure(code))) => {
                let word = match code {
                    2 => "SERVFAIL",
                    5 => "REFUSED",
                    _ => "an error",
                };
                let what = format!("{resolver} answers {word} (code {code}) when it is asked for {name:?}");
                return (false, Finding::wrong(CHECK, what, breaks, mend).run(dig));
            }
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = format!("no answer within {} seconds", patience.as_secs()),
        }
    }
    (false, Finding::wrong(CHECK, format!("{resolver} cannot be asked: {last}"), breaks, mend).run(dig))
}

async fn ask(resolver: SocketAddr, name: &str) -> io::Result<Said> {
    let any: SocketAddr = if resolver.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    let id = random::octets::<2>();
    socket.send(&question(id, name)).await?;
    let mut answer = [0; 1232];
    loop {
        let octets = socket.recv(&mut answer).await?;
        if let Some(said) = answer.get(..octets).and_then(|answer| said(answer, id)) {
            return Ok(said);
        }
    }
}

/// For the A records of a name.
fn question(id: [u8; 2], name: &str) -> Vec<u8> {
    let mut octets = id.to_vec();
    // Recursion desired, one question.
    octets.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        // Names of settings have labels of at most 63 octets.
        octets.push(u8::try_from(label.len()).unwrap_or(0));
        octets.extend(label.as_bytes());
    }
    octets.extend([0, 0, 1, 0, 1]);
    octets
}

/// `None` if this is no answer to the question with this id.
fn said(answer: &[u8], id: [u8; 2]) -> Option<Said> {
    let header = answer.first_chunk::<HEADER_OCTETS>()?;
    let [first, second, flags, more, ..] = header;
    if [*first, *second] != id || flags & 0x80 == 0 {
        return None;
    }
    // No error, or there is no such name.
    Some(match more & 0x0f {
        0 | 3 => Said::Answer,
        code => Said::Failure(code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_its_id_and_judged_by_its_code() {
        let answer = |id: u8, flags: u8, code: u8| [0, id, flags, code, 0, 0, 0, 0, 0, 0, 0, 0];
        for (octets, expected) in [
            (answer(7, 0x81, 0x80), Some(Said::Answer)),
            (answer(7, 0x81, 0x83), Some(Said::Answer)),
            (answer(7, 0x81, 0x82), Some(Said::Failure(2))),
            (answer(7, 0x81, 0x85), Some(Said::Failure(5))),
            (answer(8, 0x81, 0x80), None),
            (answer(7, 0x01, 0x00), None),
        ] {
            assert_eq!(said(&octets, [0, 7]), expected, "{octets:?}");
        }
        assert_eq!(said(&[0, 7, 0x81], [0, 7]), None);
    }

    #[test]
    fn a_question_is_for_the_addresses_of_one_name() {
        let octets = question([1, 2], "a.test");
        assert_eq!(octets, b"\x01\x02\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01");
    }
}
