//! Counting: how many tests and scenarios passed and failed, read from what their runners print.

/// Counts of tests or scenarios.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Left out by their runner.
    pub(crate) ignored: u64,
}

impl Tally {
    /// Adds what one line of a runner says, if it is one that counts: `test result: ok. 3 passed; 0 failed; …` of
    /// the Rust test runner, or `3 passed, 0 failed` of our own.
    pub(crate) fn read_line(&mut self, line: &str) {
        let line = line.trim();
        if let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) {
            for part in counts.split("; ") {
                self.add_part(part);
            }
        } else if is_plain(line) {
            for part in line.split(", ") {
                self.add_part(part);
            }
        }
    }

    /// The sum of two counts.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed.saturating_add(other.passed),
            failed: self.failed.saturating_add(other.failed),
            ignored: self.ignored.saturating_add(other.ignored),
        }
    }

    fn add_part(&mut self, part: &str) {
        let Some((number, word)) = part.split_once(' ') else { return };
        let Ok(number) = number.parse::<u64>() else { return };
        match word {
            "passed" => self.passed = self.passed.saturating_add(number),
            "failed" => self.failed = self.failed.saturating_add(number),
            "ignored" => self.ignored = self.ignored.saturating_add(number),
            _ => {}
        }
    }
}

fn is_plain(line: &str) -> bool {
    let Some((passed, failed)) = line.split_once(", ") else { return false };
    let counts =
        |part: &str, word| part.strip_suffix(word).is_some_and(|number| number.trim_end().parse::<u64>().is_ok());
    counts(passed, "passed") && counts(failed, "failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read_line(line));
        tally
    }

    #[test]
    fn results_of_several_runners_are_added_up() {
        let text = "running 2 tests\n\
            test a ... ok\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.10s\n\
            12 passed, 2 failed\n";
        assert_eq!(read(text), Tally { passed: 17, failed: 3, ignored: 1 });
    }

    #[test]
    fn sentences_with_the_same_words_do_not_count() {
        assert_eq!(read("7 passed\nonce 3 passed, 0 failed again\nx passed, y failed\n"), Tally::default());
    }
}
