//! Lines of an audit file, one at a time and none longer than a record can be.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use super::record::LINE_OCTETS_MAX;

/// Reads a file from its beginning.
pub(super) struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
    /// Octets of the lines that were read, with their line feeds.
    pub(super) octets: u64,
    /// Lines that were begun.
    pub(super) count: u64,
}

/// What comes next in a file.
pub(super) enum Line<'a> {
    /// Without its line feed.
    Whole(&'a [u8]),
    /// The file ends before the line does, or the line is longer than any record.
    Unfinished,
    End,
}

impl Lines {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufReader::new(File::open(path)?), line: Vec::new(), octets: 0, count: 0 })
    }

    pub(super) fn next(&mut self) -> io::Result<Line<'_>> {
        self.line.clear();
        let most = u64::try_from(LINE_OCTETS_MAX).unwrap_or(u64::MAX);
        let read = self.file.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(Line::End);
        }
        self.count += 1;
        match self.line.split_last() {
            Some((b'\n', line)) => {
                self.octets += u64::try_from(read).unwrap_or(u64::MAX);
                Ok(Line::Whole(line))
            }
            _ => Ok(Line::Unfinished),
        }
    }
}
