//! Heads of HTTP requests (RFC 9112): what is sound stays so whatever follows, and is never half of something.

pub(crate) fn run(octets: &[u8]) {
    if gateway::parsers::request_head(octets) {
        let followed = [octets, b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert!(gateway::parsers::request_head(&followed), "what follows a head changed it");
    }
}
