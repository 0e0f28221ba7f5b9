//! Chains in PEM (RFC 7468): nothing but certificates is read, and one strict form is written.
//!
//! What does no harm is read: CRLF, blank lines, blanks at the end of a line, lines of any length.
//! Text around the blocks is not: who sends it does not know what it sends.

use super::{CHAIN_CERTIFICATES_MAX, CHAIN_OCTETS_MAX};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Reads a chain into the DER of its certificates.
pub(super) fn read(chain: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    if chain.len() > CHAIN_OCTETS_MAX {
        return Err(format!("the chain has {} octets", chain.len()));
    }
    let text = std::str::from_utf8(chain).map_err(|_| String::from("not PEM: no text"))?;
    let mut lines = text.lines().map(str::trim_ascii_end).filter(|line| !line.is_empty());
    let mut ders = Vec::new();
    while let Some(line) = lines.next() {
        if line != BEGIN {
            let what = if line.starts_with("-----") { "another label" } else { "text outside the blocks" };
            return Err(format!("not a PEM chain of certificates: {what}"));
        }
        if ders.len() == CHAIN_CERTIFICATES_MAX {
            return Err(format!("more than {CHAIN_CERTIFICATES_MAX} certificates"));
        }
        ders.push(read_block(&mut lines)?);
    }
    Ok(ders)
}

fn read_block<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<Vec<u8>, String> {
    let mut base64 = String::new();
    for line in lines {
        if line == END {
            let der = data_encoding::BASE64.decode(base64.as_bytes());
            return der.map_err(|error| format!("not base64 in a PEM block: {error}"));
        }
        base64.push_str(line);
    }
    Err(String::from("a PEM block has no end"))
}

/// Writes one certificate.
pub(super) fn write(der: &[u8]) -> String {
    crate::pem::write("CERTIFICATE", der)
}
