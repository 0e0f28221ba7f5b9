//! What the head of a request must be before the HTTP library sees it (RFC 9112 §2 to §6).
//!
//! The library answers what it cannot read with an empty 400, and takes heads that are far longer
//! than any honest one. Both are judged here with the library's own parser, so that the two never
//! disagree about what they read. What a head asks for is not judged.

use std::net::Ipv6Addr;

use actix_web::http::{
    Method, Uri,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE},
};
use httparse::{EMPTY_HEADER, Header, Request, Status};

/// Longest head, in octets.
pub(super) const HEAD_OCTETS_MAX: usize = 16 * 1024;
/// Most header fields.
const FIELDS_MAX: usize = 64;
/// Longest request target, in octets.
const TARGET_OCTETS_MAX: usize = 2048;

/// Fields of which a second one makes a request mean two things (RFC 9112 §3.2, §6.3).
const SINGLE: [HeaderName; 4] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_TYPE];

/// A head that can be handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its length in octets.
    pub(super) octets: usize,
    /// What comes after it.
    pub(super) body: Framing,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many octets.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// Why a head is refused. The texts are for ACME clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error(
        "this is not a request of HTTP/1.1 or HTTP/1.0 (RFC 9112 section 2); check the request line and the header fields for wrong characters"
    )]
    NotHttp,
    #[error("the head of the request is longer than {HEAD_OCTETS_MAX} octets; send fewer or shorter header fields")]
    TooLong,
    #[error("the request has more than {FIELDS_MAX} header fields; send fewer")]
    TooManyFields,
    #[error("the URL of the request is longer than {TARGET_OCTETS_MAX} octets; use URLs as this server gave them out")]
    TargetTooLong,
    #[error("the request target is neither a path nor a URL (RFC 9112 section 3.2); this server is no proxy")]
    Target,
    #[error("the header field {0} occurs twice (RFC 9110 section 5.3); send it once")]
    Twice(&'static str),
    #[error("the header field Host is missing (RFC 9112 section 3.2); every HTTP/1.1 request has it")]
    NoHost,
    #[error("the header field Host is not a host with an optional port (RFC 9112 section 3.2)")]
    Host,
    #[error("Content-Length is not a number (RFC 9110 section 8.6)")]
    Length,
    #[error(
        "the only Transfer-Encoding that is understood is chunked, in HTTP/1.1 and without Content-Length (RFC 9112 section 6.1)"
    )]
    TransferEncoding,
    #[error("an HTTP/1.0 request with a body needs Content-Length (RFC 1945 section 7.2.2)")]
    NoLength,
    #[error("this server speaks no other protocol than HTTP; leave Upgrade out")]
    Upgrade,
}

/// Judges what has come of a head: `None` if its end has not.
///
/// # Errors
/// [`HeadError`] with the first rule that it breaks; nothing that is still to come could mend it.
pub(crate) fn judge(octets: &[u8]) -> Result<Option<Head>, HeadError> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = Request::new(&mut fields);
    let length = match request.parse(octets) {
        Ok(Status::Complete(length)) if length <= HEAD_OCTETS_MAX => length,
        Ok(Status::Partial) if octets.len() <= HEAD_OCTETS_MAX => return Ok(None),
        Ok(Status::Complete(_) | Status::Partial) => return Err(HeadError::TooLong),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
        Err(_) => return Err(HeadError::NotHttp),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(HeadError::NotHttp);
    };
    if method == "CONNECT" {
        return Err(HeadError::Target);
    }
    judge_target(target)?;
    let body = framing(Method::from_bytes(method.as_bytes()).map_err(|_| HeadError::NotHttp)?, minor, request.headers)?;
    Ok(Some(Head { octets: length, body }))
}

fn judge_target(target: &str) -> Result<(), HeadError> {
    if target.len() > TARGET_OCTETS_MAX {
        return Err(HeadError::TargetTooLong);
    }
    let is_path_or_url = ["/", "http://", "https://"].iter().any(|start| target.starts_with(start));
    if is_path_or_url && Uri::try_from(target).is_ok() { Ok(()) } else { Err(HeadError::Target) }
}

fn framing(method: Method, minor: u8, fields: &[Header<'_>]) -> Result<Framing, HeadError> {
    let only = |name: &HeaderName| {
        let mut found = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name.as_str()));
        (found.next().map(|field| field.value), found.next().is_some())
    };
    for (name, written) in SINGLE.iter().zip(["Host", "Content-Length", "Transfer-Encoding", "Content-Type"]) {
        if only(name).1 {
            return Err(HeadError::Twice(written));
        }
    }
    match only(&HOST).0 {
        Some(host) if !is_host(host) => return Err(HeadError::Host),
        None if minor == 1 => return Err(HeadError::NoHost),
        Some(_) | None => {}
    }
    // The library would take everything that follows for the body of such a request.
    let upgrades = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(UPGRADE.as_str()));
    if upgrades.map(|field| field.value.trim_ascii()).any(|to| to.eq_ignore_ascii_case(b"websocket")) {
        return Err(HeadError::Upgrade);
    }
    match (only(&TRANSFER_ENCODING).0, only(&CONTENT_LENGTH).0) {
        (Some(encoding), None) if minor == 1 && encoding.trim_ascii().eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Chunked)
        }
        (Some(_), _) => Err(HeadError::TransferEncoding),
        (None, Some(length)) => decimal(length).map(Framing::Length).ok_or(HeadError::Length),
        (None, None) if minor == 0 && method == Method::POST => Err(HeadError::NoLength),
        (None, None) => Ok(Framing::Length(0)),
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2). It may be empty, as of a URL without a host.
fn is_host(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value.trim_ascii()) else { return false };
    let (is_good, rest) = match text.strip_prefix('[').and_then(|bracketed| bracketed.split_once(']')) {
        Some((address, rest)) => (address.parse::<Ipv6Addr>().is_ok(), rest),
        None => {
            let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (name.bytes().all(is_in_name) && (!name.is_empty() || rest.is_empty()), rest)
        }
    };
    let is_port = |port: &str| port.bytes().all(|octet| octet.is_ascii_digit());
    is_good && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// Octets of a `reg-name`, percent signs included (RFC 3986 §3.2.2).
const fn is_in_name(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(octet, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b'%')
}

fn decimal(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn post(fields: &str) -> Result<Option<Head>, HeadError> {
        judge(format!("POST /a HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n").as_bytes())
    }

    fn body(judged: Result<Option<Head>, HeadError>) -> Framing {
        judged.unwrap().unwrap().body
    }

    #[test]
    fn a_head_is_known_by_its_end_and_tells_the_length_of_its_body() {
        let whole = b"GET /a?b=c HTTP/1.1\r\nHost: a.test\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(judge(&whole[..cut]), Ok(None), "{cut}");
        }
        let head = Head { octets: whole.len(), body: Framing::Length(0) };
        assert_eq!(judge(whole), Ok(Some(head)));
        assert_eq!(judge(&[whole.as_slice(), b"GET"].concat()), Ok(Some(head)));
        assert_eq!(body(post("Content-Length: 12\r\n")), Framing::Length(12));
        assert_eq!(body(post("Transfer-Encoding: Chunked\r\n")), Framing::Chunked);
        assert_eq!(body(judge(b"GET / HTTP/1.0\r\n\r\n")), Framing::Length(0));
        assert_eq!(body(judge(b"\r\nGET https://a.test/b HTTP/1.1\r\nhost: a.test\r\n\r\n")), Framing::Length(0));
    }

    #[test]
    fn a_request_that_means_two_things_or_none_is_refused() {
        let table: &[(&str, HeadError)] = &[
            ("Host: b.test\r\n", HeadError::Twice("Host")),
            ("Content-Length: 2\r\nContent-Length: 2\r\n", HeadError::Twice("Content-Length")),
            ("Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n", HeadError::Twice("Transfer-Encoding")),
            ("Content-Type: a/b\r\ncontent-type: a/b\r\n", HeadError::Twice("Content-Type")),
            ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", HeadError::TransferEncoding),
            ("Transfer-Encoding: gzip, chunked\r\n", HeadError::TransferEncoding),
            ("Transfer-Encoding: identity\r\n", HeadError::TransferEncoding),
            ("Content-Length: +2\r\n", HeadError::Length),
            ("Content-Length: 2, 2\r\n", HeadError::Length),
            ("Content-Length:\r\n", HeadError::Length),
            ("Content-Length: 99999999999999999999\r\n", HeadError::Length),
            ("Upgrade: h2c\r\nUpgrade: WebSocket\r\n", HeadError::Upgrade),
            ("X: a\0b\r\n", HeadError::NotHttp),
            ("X : a\r\n", HeadError::NotHttp),
            ("X: a\r\n folded\r\n", HeadError::NotHttp),
            ("X\x7f: a\r\n", HeadError::NotHttp),
            (": a\r\n", HeadError::NotHttp),
        ];
        for (fields, why) in table {
            assert_eq!(post(fields), Err(*why), "{fields:?}");
        }
        let table: &[(&[u8], HeadError)] = &[
            (b"hello\r\n\r\n", HeadError::NotHttp),
            (b"\x16\x03\x01\x02\x00", HeadError::NotHttp),
            (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::NotHttp),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", HeadError::NotHttp),
            (b"GET / HTTP/1.1\r\n\r\n", HeadError::NoHost),
            (b"POST / HTTP/1.0\r\n\r\n", HeadError::NoLength),
            (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::TransferEncoding),
            (b"CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Target),
            (b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Target),
            (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Target),
            (b"GET acme HTTP/1.1\r\nHost: a\r\n\r\n", HeadError::Target),
        ];
        for (octets, why) in table {
            assert_eq!(judge(octets), Err(*why), "{:?}", String::from_utf8_lossy(octets));
        }
    }

    #[test]
    fn the_host_is_a_host_with_an_optional_port_or_empty() {
        let judged = |host: &str| judge(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        for good in
            ["", "a.test", "A.Test:8443", "a.test:", "192.0.2.1:80", "[2001:db8::1]", "[::1]:443", "a_b", "  a  "]
        {
            assert!(judged(good).is_ok(), "{good:?}");
        }
        for wrong in [
            "a b", "a/b", "a?b", "a#b", "u@a", "u:p@a", "http://a", "a:b", "a:1:2", ":80", "[a]", "[::1]80", "[::1",
            "::1", "<a>", "a\\b", "\u{e9}", "a\tb",
        ] {
            assert_eq!(judged(wrong), Err(HeadError::Host), "{wrong:?}");
        }
        let old = b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n";
        assert_eq!(judge(old), Err(HeadError::Host), "in HTTP/1.0 too");
    }

    #[test]
    fn heads_have_a_longest_length_a_longest_target_and_a_largest_number_of_fields() {
        let fields = |count: usize| post(&"A: b\r\n".repeat(count));
        assert!(fields(FIELDS_MAX - 1).is_ok());
        assert_eq!(fields(FIELDS_MAX), Err(HeadError::TooManyFields));

        let target =
            |octets: usize| judge(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(octets - 1)).as_bytes());
        assert!(target(TARGET_OCTETS_MAX).is_ok());
        assert_eq!(target(TARGET_OCTETS_MAX + 1), Err(HeadError::TargetTooLong));

        let around = "POST /a HTTP/1.1\r\nHost: a.test\r\nX: \r\n\r\n".len();
        let octets = |count: usize| post(&format!("X: {}\r\n", "x".repeat(count - around)));
        assert!(octets(HEAD_OCTETS_MAX).is_ok());
        assert_eq!(octets(HEAD_OCTETS_MAX + 1), Err(HeadError::TooLong));
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_OCTETS_MAX));
        assert_eq!(judge(endless.as_bytes()), Err(HeadError::TooLong));
    }

    #[test]
    fn refusals_are_one_line_without_double_quotes() {
        for error in [
            HeadError::NotHttp,
            HeadError::TooLong,
            HeadError::TooManyFields,
            HeadError::TargetTooLong,
            HeadError::Target,
            HeadError::Twice("Host"),
            HeadError::NoHost,
            HeadError::Host,
            HeadError::Length,
            HeadError::TransferEncoding,
            HeadError::NoLength,
            HeadError::Upgrade,
        ] {
            let text = error.to_string();
            assert!(text.is_ascii() && !text.contains(['"', '\n']), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_are_too_strange_to_judge(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(Some(head)) = judge(&octets) {
                prop_assert!(head.octets <= octets.len());
            }
        }
    }
}
