//! A response as it was on the wire, and as text that is the same every time.

use serde_json::Value;

use crate::{from_base64url, problem::assert_problem_document};

/// Digests and key authorizations have at least so many; words have fewer.
const SECRET_OCTETS_MIN: usize = 40;

/// A response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// `HTTP/1.1`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// Names as they were written, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|found| found.0.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |found: &&(String, String)| found.0.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str())
    }

    /// Whether no other answer comes over this connection.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The target of the link with this relation.
    #[must_use]
    pub fn link(&self, relation: &str) -> Option<&str> {
        let end = format!(">;rel=\"{relation}\"");
        self.all("link").find_map(|link| link.strip_prefix('<')?.strip_suffix(end.as_str()))
    }

    /// The `Location`.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn location(&self) -> String {
        self.header("location").unwrap_or_else(|| panic!("no Location in {self:?}")).to_owned()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// A text member of the JSON body.
    ///
    /// # Panics
    /// There is no such member.
    #[must_use]
    pub fn member(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name} in {self:?}")).to_owned()
    }

    /// The whole response with everything redacted that differs from run to run: ids, nonces, tokens, times, ports.
    #[must_use]
    pub fn to_snapshot(&self) -> String {
        let mut text = format!("{} {}\n", self.version, self.status);
        // Their order says nothing, but several of one name stay in theirs.
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name);
        for (name, value) in headers {
            let value = match name.to_ascii_lowercase().as_str() {
                "date" => continue,
                // Redactions shorten the body; that lengths are right every read proves.
                "content-length" => "[length]",
                "replay-nonce" => "[nonce]",
                // It runs down while the test does.
                "retry-after" if self.status == 429 => "[seconds]",
                _ => value,
            };
            text.push_str(&format!("{name}: {value}\n"));
        }
        text.push('\n');
        text.push_str(&self.text());
        redact(&text)
    }

    /// Asserts that this is the refusal of a POST that it should be, with all that every refusal carries.
    ///
    /// # Panics
    /// It is not.
    #[track_caller]
    pub fn assert_refused(&self, status: u16, kind: &str) -> String {
        let detail = self.assert_problem(status, kind);
        let nonces: Vec<_> = self.all("replay-nonce").collect();
        assert_eq!(nonces.len(), 1, "exactly one Replay-Nonce: {self:?}");
        assert!(from_base64url(nonces[0]).len() >= 16, "{self:?}");
        detail
    }

    /// Asserts the same of a refusal that also leads back to this directory, as every answer of an endpoint does.
    ///
    /// # Panics
    /// It is not, or it does not.
    #[track_caller]
    pub fn assert_refused_below(&self, directory: &str, status: u16, kind: &str) {
        let _ = self.assert_refused(status, kind);
        assert_eq!(self.link("index"), Some(directory), "{self:?}");
    }

    /// Asserts that this is a problem document, whatever the method was. Answers its detail.
    ///
    /// # Panics
    /// It is not.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        let problem = self.json();
        assert_eq!(assert_problem_document(&problem), kind, "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        let help = self.link("help").and_then(|url| url.strip_prefix("https://")?.split_once('/'));
        assert_eq!(help.map(|(_, path)| path), Some(format!("help/{kind}").as_str()), "{self:?}");
        assert!(self.all("link").all(|link| link.matches("rel=").count() == 1), "one relation a line: {self:?}");
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }

    /// # Panics
    /// The status is another.
    #[track_caller]
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(out, "{} {}", self.version, self.status)?;
        self.headers.iter().try_for_each(|(name, value)| writeln!(out, "{name}: {value}"))?;
        write!(out, "\n{}", self.text())
    }
}

/// Replaces what differs from run to run.
#[must_use]
pub fn redact(text: &str) -> String {
    let text = replace_after(text, "https://localhost:", "PORT", |octet| octet.is_ascii_digit());
    let id = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    let mut text = text;
    for resource in ["acct", "order", "authz", "chall", "cert", "transcript"] {
        text = replace_after(&text, &format!("/{resource}/"), &format!("[{resource}]"), id);
    }
    let text = replace_after(&text, "\"token\": \"", "[token]", id);
    let text = replace_after(&text, "acme-challenge/", "[token]", id);
    let text = replace_long_after(&text, "; expected ", "[key authorization]", SECRET_OCTETS_MIN, id);
    let mut text = text;
    for address in ["127.0.0.1:", "127.0.0.99:", "[::1]:"] {
        text = replace_after(&text, address, "PORT", |octet| octet.is_ascii_digit());
    }
    // Tests choose what stands in a record that is wrong; some of it hangs on keys.
    let text = replace_after(&text, ".test is '", "[found]", |octet| octet != b'\'');
    let text = replace_after(&text, "try again in ", "[seconds]", |octet| octet.is_ascii_digit());
    let text = replace_after(&text, "; only ", "[port]", |octet| octet.is_ascii_digit());
    // Where in a payload something is wrong; certificates and signatures have no fixed length.
    let text = replace_after(&text, " column ", "N", |octet| octet.is_ascii_digit());
    redact_times(&text)
}

fn replace_after(text: &str, prefix: &str, replacement: &str, is_part: impl Fn(u8) -> bool) -> String {
    replace_long_after(text, prefix, replacement, 1, is_part)
}

/// The same if there are at least so many octets to replace.
fn replace_long_after(
    text: &str,
    prefix: &str,
    replacement: &str,
    least: usize,
    is_part: impl Fn(u8) -> bool,
) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(prefix) {
        let (before, after) = rest.split_at(at + prefix.len());
        out.push_str(before);
        let length = after.bytes().take_while(|octet| is_part(*octet)).count();
        let (found, after) = after.split_at(length);
        out.push_str(if length >= least { replacement } else { found });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `2026-11-22T00:00:00Z`.
fn redact_times(text: &str) -> String {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:ddZ";
    let is_time = |window: &[u8]| {
        window.iter().zip(SHAPE).all(|(octet, shape)| match shape {
            b'd' => octet.is_ascii_digit(),
            exact => octet == exact,
        })
    };
    let octets = text.as_bytes();
    let mut out = Vec::with_capacity(octets.len());
    let mut at = 0;
    while at < octets.len() {
        match octets.get(at..at + SHAPE.len()) {
            Some(window) if is_time(window) => {
                out.extend_from_slice(b"[time]");
                at += SHAPE.len();
            }
            Some(_) | None => {
                out.push(octets[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).expect("what was text is text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redactions_leave_what_is_the_same_every_time() {
        let text = r#"<https://localhost:1234/acme/open/chall/aB-1_/http-01> "token": "xyz", 2026-11-22T01:02:03Z"#;
        let redacted = r#"<https://localhost:PORT/acme/open/chall/[chall]/http-01> "token": "[token]", [time]"#;
        assert_eq!(redact(text), redacted);
        assert_eq!(redact("\"order/\": 2026-11-22 ü"), "\"order/\": 2026-11-22 ü");
    }
}
