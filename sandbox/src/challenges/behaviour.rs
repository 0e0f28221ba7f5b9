//! The ways in which the http-01 responder can answer a path wrongly or unusually, and how each is written.
//!
//! It writes HTTP/1.1 by hand, because a proper HTTP library refuses to do most of the improper things.

use std::time::Duration;

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Filler a [`Behaviour::Huge`] may add.
const HUGE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Chunk size of [`Behaviour::Chunked`]: small, so that a key authorization spans several chunks.
const CHUNK_BYTES: usize = 16;

/// How a path answers instead of simply with its body. "The body" is the content set for the token of that path, or
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Behaviour {
    /// The body under another status.
    Status {
        /// 200 to 599.
        status: u16,
    },
    /// A redirect without a body.
    Redirect {
        /// The `Location` header; relative or absolute.
        location: String,
        /// 300 to 399; 302 when left out.
        #[serde(default = "found")]
        status: u16,
    },
    /// The body in several chunks (`Transfer-Encoding: chunked`).
    Chunked,
    /// The body and a line feed, which a validator should ignore (RFC 8555 §8.3).
    TrailingNewline,
    /// The body followed by this many filler bytes, without a `Content-Length`.
    Huge {
        /// At most 64 MiB.
        bytes: u64,
    },
    /// The body, one byte at a time with a pause before each.
    Drip {
        /// The pause in milliseconds.
        interval_millis: u64,
    },
    /// Another body than the one set.
    Content {
        /// What is sent.
        content: String,
    },
    /// The connection is closed without an answer.
    Close,
    /// No answer comes until the connection has lived its longest.
    Silence,
}

impl Behaviour {
    /// Refuses a behaviour that is out of its bounds.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Status { status } => ensure!((200..=599).contains(status), "a status is 200 to 599, not {status}"),
            Self::Redirect { location, status } => {
                ensure!((300..=399).contains(status), "a redirect's status is 300 to 399, not {status}");
                ensure!(!location.chars().any(char::is_control), "a Location header holds no control characters");
            }
            Self::Huge { bytes } => {
                ensure!(*bytes <= HUGE_BYTES_MAX, "a huge body has at most {HUGE_BYTES_MAX} filler bytes");
            }
            Self::Chunked
            | Self::TrailingNewline
            | Self::Drip { .. }
            | Self::Content { .. }
            | Self::Close
            | Self::Silence => {}
        }
        Ok(())
    }

    /// Answers one request in this way; the caller closes the connection.
    pub(super) async fn write(self, stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
        match self {
            Self::Status { status } => write_simple(stream, status, body).await,
            Self::Redirect { location, status } => {
                let headers = format!("Location: {location}\r\nContent-Length: 0\r\n");
                stream.write_all(&head(status, &headers)).await
            }
            Self::Chunked => write_chunked(stream, body).await,
            Self::TrailingNewline => write_simple(stream, 200, &format!("{body}\n")).await,
            Self::Huge { bytes } => {
                stream.write_all(&head(200, "")).await?;
                stream.write_all(body.as_bytes()).await?;
                tokio::io::copy(&mut tokio::io::repeat(b'x').take(bytes), stream).await?;
                Ok(())
            }
            Self::Drip { interval_millis } => {
                let headers = format!("Content-Length: {}\r\n", body.len());
                stream.write_all(&head(200, &headers)).await?;
                for byte in body.bytes() {
                    tokio::time::sleep(Duration::from_millis(interval_millis)).await;
                    stream.write_all(&[byte]).await?;
                }
                Ok(())
            }
            Self::Content { content } => write_simple(stream, 200, &content).await,
            Self::Close => Ok(()),
            // The listener ends the connection after its lifetime.
            Self::Silence => std::future::pending().await,
        }
    }
}

fn found() -> u16 {
    302
}

/// A whole response with its length.
pub(super) async fn write_simple(stream: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let headers = format!("Content-Length: {}\r\n", body.len());
    let mut response = head(status, &headers);
    response.extend_from_slice(body.as_bytes());
    stream.write_all(&response).await
}

async fn write_chunked(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    stream.write_all(&head(200, "Transfer-Encoding: chunked\r\n")).await?;
    for chunk in body.as_bytes().chunks(CHUNK_BYTES) {
        let size = format!("{:x}\r\n", chunk.len());
        stream.write_all(&[size.as_bytes(), chunk, b"\r\n"].concat()).await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}

fn head(status: u16, headers: &str) -> Vec<u8> {
    let reason =
        http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Sandbox");
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/octet-stream\r\n{headers}Connection: close\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviours_out_of_bounds_are_refused() {
        assert!(Behaviour::Status { status: 99 }.check().is_err());
        assert!(Behaviour::Redirect { location: "/y".into(), status: 200 }.check().is_err());
        assert!(Behaviour::Redirect { location: "/y\r\nX: y".into(), status: 302 }.check().is_err());
        assert!(Behaviour::Huge { bytes: HUGE_BYTES_MAX + 1 }.check().is_err());
        assert!(Behaviour::Huge { bytes: HUGE_BYTES_MAX }.check().is_ok());
    }

    #[test]
    fn a_redirect_is_302_unless_it_says_otherwise() {
        let parsed: Behaviour = serde_json::from_str(r#"{"kind":"redirect","location":"/y"}"#).unwrap();
        assert_eq!(parsed, Behaviour::Redirect { location: "/y".into(), status: 302 });
        let unknown = serde_json::from_str::<Behaviour>(r#"{"kind":"drip","interval_millis":1,"bytes":2}"#);
        assert!(unknown.unwrap_err().to_string().contains("unknown field `bytes`"));
    }
}
