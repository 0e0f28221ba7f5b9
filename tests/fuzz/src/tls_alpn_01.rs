//! Certificates of tls-alpn-01 servers (RFC 8737), which anybody can make as they like.

use acme::identifier::Identifier;

pub(crate) fn run(octets: &[u8]) {
    for (kind, value) in [("dns", "a.test"), ("ip", "192.0.2.1")] {
        let Ok(identifier) = Identifier::parse(kind, value) else { continue };
        let _ = validation::parsers::tls_alpn_01_certificate(octets, &identifier, [7; 32]);
    }
}
