//! What a peer sends, on its way to the HTTP library: heads go by as a whole, and only if they are
//! sound (see `head.rs`).
//!
//! In place of a head that is refused the library gets a request that it can read, so that the
//! refusal is answered like any other request: after the answers to those before it, with a problem
//! document, a nonce, a log line. Its target is `*`, which no head that is handed on can have.

use actix_web::web::BytesMut;
use tokio::io::ReadBuf;

use super::head::{Framing, HeadError, judge};

/// Target of the request that stands for a refused one.
pub(crate) const REFUSED_TARGET: &str = "*";

/// Longest line before a chunk, in octets.
const CHUNK_LINE_OCTETS_MAX: usize = 256;

/// A head that was not handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedHead {
    /// The rule that it breaks.
    pub(crate) why: HeadError,
    /// The path that it asked for, if that can be told.
    pub(crate) path: Option<String>,
}

/// What the next octets have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Head,
    /// The rest of a body.
    Body(u64),
    ChunkLine,
    /// The rest of a chunk.
    Chunk(u64),
    /// The line end after a chunk, or after all chunks.
    ChunkEnd {
        last: bool,
    },
    /// Whatever a peer still sends after a refused head: a body that nobody reads.
    Rest,
    /// Nothing more: a body broke off.
    End,
}

/// Holds octets back until it is known that they can be handed on.
#[derive(Debug)]
pub(super) struct Intake {
    /// Not judged yet.
    held: BytesMut,
    /// To be handed on.
    ready: BytesMut,
    expected: Expected,
}

impl Intake {
    pub(super) fn new() -> Self {
        Self { held: BytesMut::new(), ready: BytesMut::new(), expected: Expected::Head }
    }

    /// Hands on what is ready. False if that is nothing.
    pub(super) fn hand_on(&mut self, to: &mut ReadBuf<'_>) -> bool {
        let count = self.ready.len().min(to.remaining());
        to.put_slice(&self.ready.split_to(count));
        count > 0
    }

    /// Nothing will be handed on any more, whatever comes.
    pub(super) fn has_ended(&self) -> bool {
        self.expected == Expected::End
    }

    /// Takes what came. Answers a head that is refused, which is the last one of its connection.
    pub(super) fn take(&mut self, octets: &[u8]) -> Option<RefusedHead> {
        self.held.extend_from_slice(octets);
        // A head that drips is judged once a line, not once an octet.
        let in_a_line = self.expected == Expected::Head && !octets.contains(&b'\n');
        if in_a_line && self.held.len() != octets.len() && self.held.len() <= super::head::HEAD_OCTETS_MAX {
            return None;
        }
        while !self.held.is_empty() {
            let before = (self.held.len(), self.expected);
            if let Err(why) = self.step() {
                return Some(self.refuse(why));
            }
            if before == (self.held.len(), self.expected) {
                break; // more has to come first
            }
        }
        None
    }

    fn step(&mut self) -> Result<(), HeadError> {
        match self.expected {
            Expected::Head => {
                if let Some(head) = judge(&self.held)? {
                    self.pass(head.octets);
                    self.expected = match head.body {
                        Framing::Length(0) => Expected::Head,
                        Framing::Length(octets) => Expected::Body(octets),
                        Framing::Chunked => Expected::ChunkLine,
                    };
                }
            }
            Expected::Body(left) => {
                self.expected = match self.pass_at_most(left) {
                    0 => Expected::Head,
                    left => Expected::Body(left),
                };
            }
            Expected::ChunkLine => match httparse::parse_chunk_size(&self.held) {
                Ok(httparse::Status::Complete((line, octets))) if line <= CHUNK_LINE_OCTETS_MAX => {
                    self.pass(line);
                    self.expected =
                        if octets == 0 { Expected::ChunkEnd { last: true } } else { Expected::Chunk(octets) };
                }
                Ok(httparse::Status::Partial) if self.held.len() <= CHUNK_LINE_OCTETS_MAX => {}
                Ok(httparse::Status::Complete(_) | httparse::Status::Partial) | Err(_) => self.end(),
            },
            Expected::Chunk(left) => {
                self.expected = match self.pass_at_most(left) {
                    0 => Expected::ChunkEnd { last: false },
                    left => Expected::Chunk(left),
                };
            }
            Expected::ChunkEnd { last } => match self.held.as_ref() {
                [b'\r', b'\n', ..] => {
                    self.pass(2);
                    self.expected = if last { Expected::Head } else { Expected::ChunkLine };
                }
                b"\r" => {}
                _ => self.end(),
            },
            Expected::Rest => self.pass(self.held.len()),
            Expected::End => self.held.clear(),
        }
        Ok(())
    }

    fn pass(&mut self, octets: usize) {
        self.ready.extend_from_slice(&self.held.split_to(octets.min(self.held.len())));
    }

    /// Passes on no more than `left` octets. Answers how many of them are still to come.
    fn pass_at_most(&mut self, left: u64) -> u64 {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.held.len());
        self.pass(here);
        left.saturating_sub(here as u64)
    }

    /// The body breaks off: its reader is told so, and answers.
    fn end(&mut self) {
        self.held.clear();
        self.expected = Expected::End;
    }

    /// A request with a body that does not end: its answer closes the connection, and what the peer
    /// still sends is dropped until it has seen the answer.
    fn refuse(&mut self, why: HeadError) -> RefusedHead {
        let line = self.held.as_ref().split(|octet| *octet == b'\n').find(|line| !line.trim_ascii().is_empty());
        let mut words = line.unwrap_or_default().split(|octet| *octet == b' ');
        let method = match words.next() {
            Some(b"POST") => "POST",
            Some(b"HEAD") => "HEAD",
            Some(_) | None => "GET",
        };
        let path = words.next().and_then(plain_path).map(str::to_owned);
        let request =
            format!("{method} {REFUSED_TARGET} HTTP/1.1\r\nHost: refused\r\nContent-Length: {}\r\n\r\n", u64::MAX);
        self.ready.extend_from_slice(request.as_bytes());
        self.held.clear();
        self.expected = Expected::Rest;
        RefusedHead { why, path }
    }
}

/// A path without its query, if it has no strange characters.
fn plain_path(target: &[u8]) -> Option<&str> {
    const OCTETS_MAX: usize = 256;
    let path = std::str::from_utf8(target).ok()?.split('?').next()?;
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'/' | b'-' | b'_' | b'.');
    (path.starts_with('/') && path.len() <= OCTETS_MAX && path.bytes().all(plain)).then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GET: &str = "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n";
    const POST: &str = "POST /b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n\r\n\r\n";
    const CHUNKED: &str =
        "POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nGET\r\n1\r\n!\r\n0\r\n\r\n";

    /// What is handed on of these pieces, and what was refused.
    fn handed_on<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (String, Option<RefusedHead>, Intake) {
        let mut intake = Intake::new();
        let (mut out, mut refused) = (Vec::new(), None);
        for piece in pieces {
            refused = refused.or(intake.take(piece));
            let mut space = [0; 7];
            let mut buffer = ReadBuf::new(&mut space);
            while intake.hand_on(&mut buffer) {
                out.extend_from_slice(buffer.filled());
                buffer.clear();
            }
        }
        (String::from_utf8_lossy(&out).into_owned(), refused, intake)
    }

    #[test]
    fn sound_requests_go_by_octet_for_octet() {
        let all = [GET, POST, CHUNKED, GET].concat();
        let (out, refused, intake) = handed_on([all.as_bytes()]);
        assert_eq!((out, refused), (all, None));
        assert!(!intake.has_ended());
    }

    #[test]
    fn a_head_is_held_back_until_it_is_whole() {
        let (start, end) = GET.split_at(20);
        assert_eq!(handed_on([start.as_bytes()]).0, "");
        assert_eq!(handed_on([start.as_bytes(), end.as_bytes()]).0, GET);
    }

    #[test]
    fn a_refused_head_is_replaced_and_what_follows_is_its_body() {
        let bad = "POST /acme/open/new-order?x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
        let (out, refused, _) = handed_on([POST.as_bytes(), bad.as_bytes(), GET.as_bytes()]);
        let why = HeadError::Twice("Host");
        assert_eq!(refused, Some(RefusedHead { why, path: Some("/acme/open/new-order".to_owned()) }));
        let rest = out.strip_prefix(POST).unwrap();
        assert!(rest.starts_with("POST * HTTP/1.1\r\n") && rest.ends_with(GET), "{rest:?}");
        let (head, _) = rest.split_at(rest.len() - GET.len());
        let mut fields = [httparse::EMPTY_HEADER; 4];
        assert!(httparse::Request::new(&mut fields).parse(head.as_bytes()).unwrap().is_complete());
    }

    #[test]
    fn the_method_and_a_plain_path_of_a_refused_head_are_kept() {
        let table = [
            ("HEAD /a HTTP/9.9\r\n\r\n", "HEAD", Some("/a")),
            ("\r\nPOST /a b HTTP/1.1\r\n\r\n", "POST", Some("/a")),
            ("PUT /<script> HTTP/1.1\r\n\r\n", "GET", None),
            ("\u{16}\u{3}\u{1}", "GET", None),
            ("post /a HTTP/2\r\n", "GET", Some("/a")),
        ];
        for (octets, method, path) in table {
            let (out, refused, _) = handed_on([octets.as_bytes()]);
            assert_eq!(out.split(' ').next(), Some(method), "{octets:?}");
            assert_eq!(refused.unwrap().path.as_deref(), path, "{octets:?}");
        }
    }

    #[test]
    fn a_body_with_broken_chunks_ends_before_the_break() {
        let (head, _) = CHUNKED.split_at(CHUNKED.find("3;").unwrap());
        let long = format!("3;{}\r\nabc\r\n", "x".repeat(CHUNK_LINE_OCTETS_MAX));
        for broken in ["x\r\n", "-1\r\n", "3\r\nabcd\r\n", "11112222333344445\r\n", "0\r\nTrailer: x\r\n\r\n", &long] {
            let (out, refused, intake) = handed_on([head.as_bytes(), broken.as_bytes(), GET.as_bytes()]);
            assert!(intake.has_ended() && refused.is_none(), "{broken:?}");
            assert!(out.len() < head.len() + broken.len() && !out.contains("GET"), "{broken:?}: {out:?}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_network_cuts(cuts in proptest::collection::vec(0_usize..300, 0..12)) {
            let all = [GET, POST, CHUNKED, POST, "GET /d HTTP/1.1\r\n\r\n"].concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|ends| &all.as_bytes()[ends[0]..ends[1]]);
            let (out, refused, _) = handed_on(pieces);
            let (whole, wholly_refused, _) = handed_on([all.as_bytes()]);
            prop_assert_eq!((out, refused), (whole, wholly_refused.clone()));
            prop_assert!(wholly_refused.is_some());
        }

        #[test]
        fn no_octets_are_too_strange_to_take(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..20)) {
            let _handed_on = handed_on(pieces.iter().map(Vec::as_slice));
        }
    }
}
