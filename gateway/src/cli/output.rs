//! What commands say on standard output. Who reads only the beginning of it wants the exit code all the same.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
};

/// Says one line, or several.
///
/// # Errors
/// It cannot be written, for another reason than that nobody reads any more.
pub(super) fn say(text: impl fmt::Display) -> io::Result<()> {
    say_to(&mut io::stdout().lock(), text)
}

fn say_to(out: &mut impl Write, text: impl fmt::Display) -> io::Result<()> {
    said(writeln!(out, "{text}"))
}

/// What became of saying something, if a reader who has gone is all the same.
pub(super) fn said(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_has_gone_is_no_error_and_a_full_disk_is() {
        assert!(say_to(&mut Fails(ErrorKind::BrokenPipe), "text").is_ok());
        assert_eq!(say_to(&mut Fails(ErrorKind::StorageFull), "text").unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
