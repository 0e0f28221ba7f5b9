//! The parameters of a list. One that is not understood is refused: what it narrows would be taken for everything.

use acme::time::Timestamp;

use super::problem::Problem;

/// The parameters of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a>(&'a [(&'a str, String)]);

impl<'a> Query<'a> {
    pub(super) const fn of(parameters: &'a [(&'a str, String)]) -> Self {
        Self(parameters)
    }

    /// Refuses what is not among these, beside the parameters of pages.
    pub(super) fn only(self, known: &[&str]) -> Result<Self, Problem> {
        let is_known = |name: &str| known.contains(&name) || matches!(name, "limit" | "cursor");
        match self.0.iter().find(|(name, _)| !is_known(name)) {
            Some((name, _)) => Err(Problem::malformed(format!("OpenBao cannot be searched by {name}"))),
            None => Ok(self),
        }
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn time(self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let time = |text: &str| text.parse().map_err(|_| Problem::malformed(format!("{name} is no time")));
        self.text(name).map(time).transpose()
    }

    /// How many items a page may have.
    pub(super) fn limit(self) -> Result<usize, Problem> {
        const DEFAULT: usize = 100;
        const MOST: usize = 500;
        let number = |text: &str| text.parse().map_err(|_| Problem::malformed("limit is no number"));
        Ok(self.text("limit").map(number).transpose()?.unwrap_or(DEFAULT).clamp(1, MOST))
    }
}
