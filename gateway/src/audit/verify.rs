//! Audit files from their first to their last record, with nothing but the files: in little memory, however many
//! records there are.

use std::{io, path::PathBuf};

use anyhow::Context as _;

use super::{
    chain::{Chain, SEGMENT, Seen, Wrong},
    lines::{Line, Lines},
    record::Record,
};

/// Where a record stands, or should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    /// From 1.
    pub(crate) line: u64,
}

/// The first record that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    /// The number of the record that is wrong or not there.
    pub(crate) sequence: u64,
    pub(crate) wrong: Wrong,
}

/// What verification came to.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Up to the fault, or to the end.
    pub(crate) seen: Seen,
    pub(crate) fault: Option<Fault>,
}

/// Verifies files that follow each other; `each` hears of every record that is in its place.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn verify(
    files: &[PathBuf],
    mut chain: Chain,
    mut each: impl FnMut(&Record) -> anyhow::Result<()>,
) -> anyhow::Result<Verdict> {
    let mut before = Place { file: files.first().cloned().unwrap_or_default(), line: 0 };
    for (index, file) in files.iter().enumerate() {
        let cannot_read = || format!("cannot read {}", file.display());
        let mut lines = Lines::of(file).with_context(cannot_read)?;
        chain.begin_file();
        loop {
            let number = lines.count.saturating_add(1);
            let taken = match lines.next().with_context(cannot_read)? {
                Line::Whole(line) => chain.take(line),
                Line::Unfinished => Err((chain.expected(), Wrong::Incomplete)),
                Line::End if number == 1 => Err((chain.expected(), Wrong::Empty)),
                Line::End => break,
            };
            let here = Place { file: file.clone(), line: number };
            match taken {
                Ok(record) => each(&record)?,
                Err((sequence, wrong)) => {
                    let place = if wrong == Wrong::Replaced { before } else { here };
                    let rest = files.get(index..).unwrap_or_default();
                    let (sequence, wrong) = explain(rest, &chain, number, sequence, wrong).with_context(cannot_read)?;
                    return Ok(Verdict { seen: chain.seen, fault: Some(Fault { place, sequence, wrong }) });
                }
            }
            before = here;
        }
    }
    let fault = chain.end().err().map(|(sequence, wrong)| {
        let place = Place { line: before.line.saturating_add(1), ..before };
        Fault { place, sequence, wrong }
    });
    Ok(Verdict { seen: chain.seen, fault })
}

/// What is missing may stand somewhere later: then it is not missing but out of order.
fn explain(rest: &[PathBuf], chain: &Chain, after: u64, sequence: u64, wrong: Wrong) -> io::Result<(u64, Wrong)> {
    let Wrong::Missing { next, .. } = wrong else { return Ok((sequence, wrong)) };
    for (index, file) in rest.iter().enumerate() {
        let mut lines = Lines::of(file)?;
        while let Line::Whole(line) = lines.next()? {
            let Ok(record) = Record::read(line) else { continue };
            let is_it = match chain.seen.last {
                Some(_) => record.sequence == sequence && (index > 0 || lines.count > after),
                // What begins a file stands further down in it.
                None => record.name() == SEGMENT && index == 0 && record.sequence < next,
            };
            if is_it {
                return Ok((record.sequence, Wrong::OutOfOrder { found: next }));
            }
        }
    }
    Ok((sequence, wrong))
}

/// The files that are meant: a folder stands for the audit files in it, in their order.
///
/// # Errors
/// A folder cannot be read, or has none.
pub(crate) fn files(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            let found = super::folder::segments(path).with_context(|| format!("cannot read {}", path.display()))?;
            anyhow::ensure!(!found.is_empty(), "{} has no audit files (audit-*.jsonl)", path.display());
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
