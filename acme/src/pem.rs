//! One object in PEM: the strict form of RFC 7468 §3, 64 characters a line, LF.

/// Writes DER under this label, such as `CERTIFICATE`.
#[must_use]
pub fn write(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let text = data_encoding::BASE64.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while let Some((line, more)) = rest.split_at_checked(LINE) {
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str("-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_64_characters_and_nothing_is_added_to_a_full_one() {
        let full = write("X", &[0; 48]);
        assert_eq!(full, format!("-----BEGIN X-----\n{}\n-----END X-----\n", "A".repeat(64)));
        let more = write("X", &[0; 51]);
        assert_eq!(more, format!("-----BEGIN X-----\n{}\nAAAA\n-----END X-----\n", "A".repeat(64)));
    }
}
