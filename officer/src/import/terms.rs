//! What a line of our own files says beside names and profiles: how its external account key binds, and how long its
//! certificates are valid. What a file leaves out here would widen what somebody narrowed, so `export` writes all of it.

use acme::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::cli::when;

/// The MACs that a key can be for (CM contract section 4.3).
const ALGORITHMS: [&str; 3] = ["HS256", "HS384", "HS512"];

/// The cells of a line. An empty one says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cells {
    pub(crate) max_validity: String,
    pub(crate) usage: String,
    pub(crate) max_bindings: String,
    pub(crate) valid_from: String,
    pub(crate) until: String,
    pub(crate) algorithms: Vec<String>,
}

/// What they mean, or what the CM has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// As the contract writes it: `P90D`.
    pub(crate) max_validity: Option<String>,
    /// `once` or `multi`.
    pub(crate) usage: Option<String>,
    /// Of a key for many only.
    pub(crate) max_bindings: Option<u64>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) algorithms: Vec<String>,
}

impl Cells {
    /// Understands them.
    ///
    /// # Errors
    /// What is wrong with which of them; all of it.
    pub(crate) fn terms(&self) -> Result<Terms, Vec<String>> {
        let mut wrong = Vec::new();
        let mut time = |name: &str, text: &str| match said(text).map(when::parse).transpose() {
            Ok(time) => time,
            Err(reason) => {
                wrong.push(format!("{name}: {reason}"));
                None
            }
        };
        let (not_before, not_after) = (time("valid_from", &self.valid_from), time("until", &self.until));
        if let (Some(begin), Some(end)) = (not_before, not_after)
            && begin >= end
        {
            wrong.push("until must be later than valid_from".to_owned());
        }
        let max_validity = said(&self.max_validity).map(span).transpose().unwrap_or_else(|reason| {
            wrong.push(format!("max_validity: {reason}"));
            None
        });
        if !["", "once", "multi"].contains(&self.usage.as_str()) {
            wrong.push(format!("use: {} is neither once nor multi", self.usage));
        }
        let max_bindings = said(&self.max_bindings).map(str::parse).transpose().unwrap_or_else(|_| {
            wrong.push(format!("max_bindings: {} is no number", self.max_bindings));
            None
        });
        if !self.max_bindings.is_empty() && self.usage != "multi" {
            wrong.push("max_bindings goes with use multi: a key that is used once binds once".to_owned());
        }
        let unknown = self.algorithms.iter().filter(|name| !ALGORITHMS.contains(&name.as_str()));
        wrong.extend(unknown.map(|name| format!("algorithms: {name} is none of {}", ALGORITHMS.join(", "))));
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let usage = said(&self.usage).map(str::to_owned);
        Ok(Terms { max_validity, usage, max_bindings, not_before, not_after, algorithms: self.algorithms.clone() })
    }
}

impl Terms {
    /// The `eab` of a request for a new registration. A key whose use is not said is used once.
    pub(crate) fn eab(&self, key_id: &str) -> Value {
        let mut eab = Map::from_iter([("kid".to_owned(), json!(key_id))]);
        let _ = eab.insert("use".to_owned(), json!(self.usage.as_deref().unwrap_or("once")));
        eab.extend(self.window_and_number());
        if !self.algorithms.is_empty() {
            let _ = eab.insert("algorithms".to_owned(), json!(self.algorithms));
        }
        Value::Object(eab)
    }

    /// What has to be changed of what is there. What is not said stays as it is.
    ///
    /// # Errors
    /// What cannot be changed.
    pub(crate) fn patch(&self, there: &Self) -> Result<Map<String, Value>, Vec<String>> {
        let mut fixed = Vec::new();
        if self.usage.is_some() && self.usage != there.usage {
            fixed.push("use");
        }
        let within = |these: &[String], those: &[String]| these.iter().all(|name| those.contains(name));
        let same = within(&self.algorithms, &there.algorithms) && within(&there.algorithms, &self.algorithms);
        if !self.algorithms.is_empty() && !same {
            fixed.push("algorithms");
        }
        if !fixed.is_empty() {
            let told = |name| format!("its {name} is another one there and cannot be changed; register another key id");
            return Err(fixed.into_iter().map(told).collect());
        }
        let mut patch = Map::new();
        if let Some(span) = self.max_validity.as_ref().filter(|_| self.max_validity != there.max_validity) {
            let _ = patch.insert("maxValidity".to_owned(), json!(span));
        }
        let now: Map<_, _> = there.window_and_number().collect();
        let eab: Map<_, _> = self.window_and_number().filter(|(name, value)| now.get(name) != Some(value)).collect();
        if !eab.is_empty() {
            let _ = patch.insert("eab".to_owned(), Value::Object(eab));
        }
        Ok(patch)
    }

    fn window_and_number(&self) -> impl Iterator<Item = (String, Value)> {
        let members = [
            ("maxBindings", self.max_bindings.map(Value::from)),
            ("notBefore", self.not_before.map(|time| json!(time))),
            ("notAfter", self.not_after.map(|time| json!(time))),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
    }
}

fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A span as officers write it, or as a CM may (RFC 3339 appendix A), which then judges it.
fn span(text: &str) -> Result<String, String> {
    let is_other = text.starts_with('P') && text.chars().all(|c| c.is_ascii_digit() || "PTWDHMS".contains(c));
    if is_other { Ok(text.to_owned()) } else { when::span(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Cells {
        Cells {
            max_validity: "30d".to_owned(),
            usage: "multi".to_owned(),
            max_bindings: "5".to_owned(),
            valid_from: "2026-11-20".to_owned(),
            until: "2027-01-01T00:00:00Z".to_owned(),
            algorithms: vec!["HS384".to_owned()],
        }
    }

    #[test]
    fn what_a_line_says_is_asked_for() {
        let terms = cells().terms().unwrap();
        assert_eq!(terms.max_validity.as_deref(), Some("P30D"));
        let expected = json!({"kid": "k", "use": "multi", "maxBindings": 5, "notBefore": "2026-11-20T00:00:00Z",
                              "notAfter": "2027-01-01T00:00:00Z", "algorithms": ["HS384"]});
        assert_eq!(terms.eab("k"), expected);
        assert_eq!(Cells::default().terms().unwrap().eab("k"), json!({"kid": "k", "use": "once"}));
    }

    /// Writes one cell wrongly.
    type Spoil = fn(&mut Cells);

    #[test]
    fn cells_that_are_not_understood_are_told() {
        let table: [(Spoil, &str); 6] = [
            (|cells| cells.usage = "thrice".to_owned(), "use: thrice"),
            (|cells| cells.usage = "once".to_owned(), "goes with use multi"),
            (|cells| cells.max_bindings = "-1".to_owned(), "max_bindings: -1"),
            (|cells| cells.until = "soon".to_owned(), "until: soon"),
            (|cells| cells.until = "2026-11-19".to_owned(), "later than valid_from"),
            (|cells| cells.algorithms = vec!["HS1".to_owned()], "algorithms: HS1"),
        ];
        for (spoil, part) in table {
            let mut cells = cells();
            spoil(&mut cells);
            let reason = cells.terms().unwrap_err().join("; ");
            assert!(reason.contains(part), "{reason}");
        }
        let endless = Cells { max_validity: "forever".to_owned(), ..Cells::default() };
        assert!(endless.terms().unwrap_err().concat().contains("max_validity: forever"));
    }

    #[test]
    fn only_what_is_said_and_otherwise_is_changed() {
        let there = cells().terms().unwrap();
        assert_eq!(there.patch(&there), Ok(Map::new()));
        assert_eq!(Terms::default().patch(&there), Ok(Map::new()));
        let sooner = Cells { until: "2026-12-01".to_owned(), max_validity: "P7D".to_owned(), ..cells() };
        let patch = sooner.terms().unwrap().patch(&there).unwrap();
        let expected = json!({"maxValidity": "P7D", "eab": {"notAfter": "2026-12-01T00:00:00Z"}});
        assert_eq!(Value::Object(patch), expected);
        let once = Terms { usage: Some("once".to_owned()), algorithms: vec!["HS256".to_owned()], ..Terms::default() };
        assert_eq!(once.patch(&there).unwrap_err().len(), 2);
    }
}
