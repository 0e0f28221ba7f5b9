//! What one attempt did and saw, step by step, for the transcript that operators read: lookups, addresses refused and
//! dialled, handshakes, HTTP answers, redirects, and what was held against the proof.
//!
//! Nothing in it proves anything, and nothing in it is a secret or a stranger's content: no octet of a body, no token
//! and no key authorization (the paths that end in one are cut), of TXT records a piece of their digest. Addresses
//! are in it, so it is for operators; what clients are told is the [`Failure`](crate::Failure).

mod collector;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use reqwest::Url;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

pub(crate) use self::collector::note;
pub use self::collector::{OBSERVATIONS_MAX, observed};

/// Longest text of an observation, in octets.
pub const TEXT_OCTETS_MAX: usize = 512;
/// Records of one answer that are told; the others are counted.
const RECORDS_MAX: usize = 8;
/// Characters of a piece of a path that are certain not to be a token, which has 43.
const PATH_PIECE_CHARACTERS_MAX: usize = 20;
/// Pieces of a path that are told.
const PATH_PIECES_MAX: usize = 8;
/// Octets of a digest that tell two values apart, and from which no value can be found.
const DIGEST_OCTETS: usize = 8;

/// One step of an attempt, told when it has ended. Times are in milliseconds; texts are printable, of one line, and at
/// most [`TEXT_OCTETS_MAX`] octets long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Observation {
    /// One question to one resolver, its retry after a truncated answer included.
    Lookup {
        /// Who was asked.
        resolver: SocketAddr,
        /// Whether TCP was used at once, because UDP had brought nothing.
        tcp: bool,
        /// The name, without final dot.
        name: String,
        /// `A`, `AAAA`, `TXT`, `CAA`.
        record_type: String,
        /// What came back.
        answer: Answer,
        /// From the question to the answer, or until it was given up.
        ms: u64,
    },
    /// An address that was found and may not be dialled.
    AddressRefused {
        /// The name that resolves to it, or the address itself.
        host: String,
        /// The address.
        address: IpAddr,
        /// Name of the rule of the address policy, such as `loopback`.
        rule: String,
    },
    /// An attempt to connect. Of http-01 only the ones that failed; the others are in the time of their answer.
    Dial {
        /// Address and port.
        address: SocketAddr,
        /// Why no connection came about.
        failure: Option<String>,
        /// Until it was connected or given up.
        ms: u64,
    },
    /// A TLS handshake; of http-01 only the ones that failed.
    Handshake {
        /// Address and port.
        address: SocketAddr,
        /// The protocol that both sides agreed on (ALPN).
        protocol: Option<String>,
        /// What went wrong.
        failure: Option<String>,
        /// From the connection to the end of the handshake; of http-01 with the time to connect.
        ms: u64,
    },
    /// A GET, by a connection of its own.
    HttpAnswer {
        /// Scheme, host and path, without what may be a token.
        url: String,
        /// Address and port.
        address: SocketAddr,
        /// The status, if an answer came.
        status: Option<u16>,
        /// Why there is no answer.
        failure: Option<String>,
        /// From dialling to the end of the answer's header.
        ms: u64,
    },
    /// Where the answer before this one leads.
    Redirect {
        /// As the URL of an answer; none if it is not followed.
        to: Option<String>,
        /// Why it is not followed.
        refused: Option<String>,
    },
    /// Something held against what it has to be.
    Judgement {
        /// What was looked at: records, a body, a certificate.
        subject: String,
        /// What it lacks; none if it is what it has to be.
        flaw: Option<String>,
    },
    /// In the place of all that came after the [`OBSERVATIONS_MAX`]th.
    Omitted {
        /// How many.
        count: u64,
    },
}

/// What a question brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// Records of that type, at the end of the aliases.
    Records {
        /// The first ones; a TXT record is told by a piece of the SHA-256 digest of its value.
        records: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// The DNS says there is none.
    NoRecord {
        /// The name at the end of the aliases.
        at: String,
        /// NXDOMAIN if there is no such name at all, NOERROR otherwise.
        response_code: String,
    },
    /// The DNS did not say: a response code, a time-out, an answer that could not be used.
    NoAnswer {
        /// Which of these.
        reason: String,
    },
}

impl Answer {
    /// Texts of records, which may be many.
    pub(crate) fn records(texts: impl ExactSizeIterator<Item = String>) -> Self {
        let count = texts.len();
        Self::Records { records: texts.take(RECORDS_MAX).map(|record| text(&record)).collect(), count }
    }
}

/// A text of whatever origin, made printable, and cut.
pub(crate) fn text(text: &str) -> String {
    const CUT: &str = " ...";
    let mut out = String::new();
    for character in text.chars() {
        let piece = match character {
            ' '..='[' | ']'..='~' => character.to_string(),
            other => other.escape_default().to_string(),
        };
        if out.len() + piece.len() > TEXT_OCTETS_MAX - CUT.len() {
            return out + CUT;
        }
        out.push_str(&piece);
    }
    out
}

/// A URL without query and without whatever in its path is long enough to be a token.
pub(crate) fn url(url: &Url) -> String {
    let mut out = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    let mut pieces = url.path().split('/').skip(1);
    let harmless = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    for piece in pieces.by_ref().take(PATH_PIECES_MAX) {
        let shown = piece.len() <= PATH_PIECE_CHARACTERS_MAX && piece.chars().all(harmless);
        out.push('/');
        out.push_str(if shown { piece } else { "…" });
    }
    if pieces.next().is_some() {
        out.push_str("/…");
    }
    if url.query().is_some() {
        out.push_str("?…");
    }
    out
}

/// What tells the value of a TXT record from another one's.
pub(crate) fn digest(value: &[u8]) -> String {
    let digest = Sha256::digest(value);
    let octets: String = digest.iter().take(DIGEST_OCTETS).map(|octet| format!("{octet:02x}")).collect();
    format!("sha256:{octets}")
}

/// Milliseconds since then.
pub(crate) fn ms_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Observation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &Option<String>, otherwise: &str| text.as_deref().unwrap_or(otherwise).to_owned();
        match self {
            Self::Lookup { resolver, tcp, name, record_type, answer, ms } => {
                let over = if *tcp { " over TCP" } else { "" };
                write!(out, "asked {resolver}{over} for {record_type} of {name}: {answer} ({ms} ms)")
            }
            Self::AddressRefused { host, address, rule } => {
                write!(out, "did not dial {address} for {host}: {rule} addresses are refused")
            }
            Self::Dial { address, failure, ms } => {
                write!(out, "dialled {address}: {} ({ms} ms)", or(failure, "connected"))
            }
            Self::Handshake { address, protocol, failure, ms } => {
                let protocol = or(protocol, "no protocol");
                write!(out, "TLS handshake with {address}: {}, {protocol} ({ms} ms)", or(failure, "done"))
            }
            Self::HttpAnswer { url, address, status, failure, ms } => {
                let status = status.map_or_else(|| or(failure, "no answer"), |status| status.to_string());
                write!(out, "GET {url} at {address}: {status} ({ms} ms)")
            }
            Self::Redirect { to, refused } => match refused {
                Some(refused) => write!(out, "redirect not followed: {refused}"),
                None => write!(out, "redirect to {}", or(to, "nowhere")),
            },
            Self::Judgement { subject, flaw } => write!(out, "{subject}: {}", or(flaw, "as it has to be")),
            Self::Omitted { count } => write!(out, "{count} more steps are not told"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records { records, count } => {
                let more = count.saturating_sub(records.len());
                write!(out, "{}", records.join(", "))?;
                if more > 0 { write!(out, " and {more} more") } else { Ok(()) }
            }
            Self::NoRecord { at, response_code } => write!(out, "none at {at}, {response_code}"),
            Self::NoAnswer { reason } => out.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_printable_and_cut() {
        assert_eq!(text("a \"b\" c"), "a \"b\" c");
        assert_eq!(text("a\r\nb\x1b[2J\u{202e}\\"), "a\\r\\nb\\u{1b}[2J\\u{202e}\\\\");
        for long in ["x".repeat(5000), "\u{9b}".repeat(5000)] {
            let cut = text(&long);
            assert!(cut.len() <= TEXT_OCTETS_MAX && cut.ends_with(" ..."), "{cut}");
        }
    }

    #[test]
    fn urls_tell_neither_tokens_nor_queries() {
        let token = "DwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        let table = [
            (format!("http://a.test/.well-known/acme-challenge/{token}"), "http://a.test/.well-known/acme-challenge/…"),
            (format!("https://a.test/x/{token}.{token}/y"), "https://a.test/x/…/y"),
            (format!("https://a.test/?token={token}"), "https://a.test/?…"),
            (String::from("https://a.test/a%20b/caf%C3%A9"), "https://a.test/…/…"),
            (String::from("http://[2001:db8::1]/login"), "http://[2001:db8::1]/login"),
            (String::from("http://a.test/1/2/3/4/5/6/7/8/9/10"), "http://a.test/1/2/3/4/5/6/7/8/…"),
        ];
        for (whole, shown) in table {
            assert_eq!(url(&Url::parse(&whole).unwrap()), shown);
        }
    }

    #[test]
    fn an_answer_tells_a_few_records_and_counts_all() {
        let answer = Answer::records((0..70).map(|number| number.to_string()));
        assert_eq!(answer.to_string(), "0, 1, 2, 3, 4, 5, 6, 7 and 62 more");
    }
}
