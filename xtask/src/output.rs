//! Words for people: lines on standard output, and progress with the time since the start.

use std::{cell::Cell, fmt::Display, time::Instant};

/// Prints a line. Unlike `println!` it does not end the program when nobody reads any more, so that processes which
/// were started are still stopped in order.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::output::line(format_args!($($words)*))
    };
}
pub(crate) use say;

/// Behind [`say!`].
pub(crate) fn line(words: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    // A reader that went away is no reason to stop.
    let _ = writeln!(out, "{words}").and_then(|()| out.flush());
}

/// Says on standard error why a verb could not do what it should.
pub(crate) fn complain(error: &anyhow::Error) {
    use std::io::Write as _;
    // As above.
    let _ = writeln!(std::io::stderr(), "\nError: {error:#}");
}

/// Steps of a longer task, each with the seconds since the task began and since the step before it.
pub(crate) struct Progress {
    start: Instant,
    last: Cell<Instant>,
}

impl Progress {
    /// Begins to count.
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self { start: now, last: Cell::new(now) }
    }

    /// Says what begins now.
    pub(crate) fn begins(&self, what: impl Display) {
        self.last.set(Instant::now());
        say!("{:>7}  {what}", seconds(self.start.elapsed().as_secs_f64()));
    }

    /// Says that what began last is done, and how long it took.
    pub(crate) fn done(&self, what: impl Display) {
        let took = seconds(self.last.get().elapsed().as_secs_f64());
        say!("{:>7}  {what} ({took})", seconds(self.start.elapsed().as_secs_f64()));
    }
}

fn seconds(span: f64) -> String {
    format!("{span:.1} s")
}

/// Puts lines under a heading by indenting each.
pub(crate) fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("           {line}\n")).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_indented_and_none_is_added() {
        assert_eq!(indented("a\nb\n"), "           a\n           b");
    }
}
