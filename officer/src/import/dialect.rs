//! What other products mean by an entry of their lists: how it is written in ours, and which names
//! they would have allowed.

use std::net::IpAddr;

use clap::ValueEnum;

use crate::allowlist::{Entry, List};

/// Whose list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// Entries as registrations create takes them, as export writes them
    Own,
    /// Nexus: domain names that names end in; an empty list allows all
    Nexus,
    /// acme2certifier: exact names, and *.NAME for everything below it; an empty list allows all
    Acme2certifier,
    /// EJBCA: the subject alternative names of an end entity, exactly
    Ejbca,
}

/// What stands around a name in lists that were JSON once.
const WRAPPING: [char; 4] = ['[', ']', '"', '\''];

impl Dialect {
    /// The entries of a cell.
    pub(crate) fn split(self, cell: &str) -> Vec<String> {
        let separates = |c: char| match self {
            // A comma belongs to an entry: suffix:NAME,no-wildcards.
            Self::Own => c.is_whitespace() || c == ';',
            Self::Nexus | Self::Acme2certifier | Self::Ejbca => c.is_whitespace() || matches!(c, ',' | ';'),
        };
        let entries = cell.split(separates).map(|entry| entry.trim_matches(WRAPPING));
        entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    }

    /// Whether an empty list meant that every name is allowed.
    pub(crate) const fn empty_means_any(self) -> bool {
        match self {
            Self::Nexus | Self::Acme2certifier => true,
            Self::Own | Self::Ejbca => false,
        }
    }

    /// The list in our words.
    ///
    /// # Errors
    /// What is wrong with which entry; all of them.
    pub(crate) fn translate(self, entries: &[String]) -> Result<List, Vec<String>> {
        let (mut rules, mut exclude, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            match self.rule(entry).parse::<Entry>() {
                Ok(rule) if rules.contains(&rule) => {}
                Ok(rule) => rules.push(rule),
                Err(reason) => wrong.push(format!("{entry}: {reason}")),
            }
            // *.example.com does not allow example.com there, and a suffix does here.
            if let (Self::Acme2certifier, Some(base)) = (self, entry.strip_prefix("*."))
                && !self.allows(entries, &base.to_lowercase())
            {
                exclude.extend(format!("exact:{base}").parse::<Entry>());
            }
        }
        if wrong.is_empty() { Ok(List { rules: Some(rules), exclude }) } else { Err(wrong) }
    }

    /// An entry in the form that we read.
    fn rule(self, entry: &str) -> String {
        let is_address = entry.parse::<IpAddr>().is_ok();
        match self {
            Self::Own => entry.to_owned(),
            Self::Nexus if is_address => format!("ip:{entry}"),
            Self::Nexus => format!("suffix:{}", bare(entry)),
            Self::Acme2certifier => match entry.strip_prefix("*.") {
                Some(base) => format!("suffix:{base}"),
                None => format!("exact:{entry}"),
            },
            Self::Ejbca => {
                let value = entry.split_once('=').map_or(entry, |(_, value)| value);
                if value.starts_with("*.") { format!("wildcard:{value}") } else { format!("exact:{value}") }
            }
        }
    }

    /// Whether the other product would have allowed this name, by what its documents and code say.
    /// Ours has no other meaning than its own.
    pub(crate) fn allows(self, entries: &[String], name: &str) -> bool {
        let base = name.strip_prefix("*.");
        let one = |entry: &String| {
            let entry = entry.to_lowercase();
            match self {
                Self::Own => false,
                // Only *suffix* is said, not that labels are looked at.
                Self::Nexus => base.unwrap_or(name).ends_with(bare(&entry)),
                Self::Acme2certifier => match (entry.strip_prefix("*."), base) {
                    // Its code compares ends of text where both are wildcards, and labels where one is.
                    (Some(top), Some(base)) => base.ends_with(top),
                    (Some(top), None) => name.ends_with(&format!(".{top}")),
                    (None, None) => entry == name,
                    (None, Some(_)) => false,
                },
                Self::Ejbca => entry.split_once('=').map_or(entry.as_str(), |(_, value)| value) == name,
            }
        };
        (entries.is_empty() && self.empty_means_any()) || entries.iter().any(one)
    }
}

/// A suffix without what some write before it.
fn bare(entry: &str) -> &str {
    entry.trim_start_matches("*.").trim_start_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allowlist::lines;

    fn entries(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn translated(dialect: Dialect, text: &str) -> String {
        lines(&dialect.translate(&entries(text)).unwrap().to_json()).replace('\n', " ")
    }

    #[test]
    fn entries_become_the_nearest_of_ours() {
        let table = [
            (
                Dialect::Own,
                "suffix:a.test,no-wildcards cidr:192.0.2.0/24",
                "suffix:a.test,no-wildcards cidr:192.0.2.0/24",
            ),
            (
                Dialect::Nexus,
                "a.test .b.test *.c.test 192.0.2.7",
                "suffix:a.test suffix:b.test suffix:c.test ip:192.0.2.7",
            ),
            (Dialect::Acme2certifier, "www.a.test *.b.test", "exact:www.a.test suffix:b.test except exact:b.test"),
            (Dialect::Acme2certifier, "b.test *.b.test", "exact:b.test suffix:b.test"),
            (
                Dialect::Acme2certifier,
                "*.b.test *.test.test",
                "suffix:b.test suffix:test.test except exact:b.test except exact:test.test",
            ),
            (
                Dialect::Ejbca,
                "dNSName=a.test dNSName=*.b.test iPAddress=192.0.2.7",
                "exact:a.test wildcard:*.b.test ip:192.0.2.7",
            ),
            (Dialect::Nexus, "A.test a.TEST.", "suffix:a.test"),
        ];
        for (dialect, text, expected) in table {
            assert_eq!(translated(dialect, text), expected, "{dialect:?} {text}");
        }
    }

    #[test]
    fn every_wrong_entry_is_told() {
        let wrong = Dialect::Nexus.translate(&entries("a..test b.test c_d.test")).unwrap_err();
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(Dialect::Own.translate(&entries("a.test")).unwrap_err().concat().contains("suffix:NAME"));
    }

    #[test]
    fn cells_of_all_kinds_are_split() {
        for cell in ["a.test,b.test", "a.test; b.test", "[\"a.test\", \"b.test\"]", " a.test  b.test,,"] {
            assert_eq!(Dialect::Acme2certifier.split(cell), ["a.test", "b.test"], "{cell}");
        }
        assert_eq!(Dialect::Own.split("suffix:a.test,no-wildcards exact:b.test").len(), 2);
    }

    #[test]
    fn the_others_allow_what_their_documents_say() {
        let table = [
            (Dialect::Nexus, "a.test", "x.a.test", true),
            (Dialect::Nexus, "a.test", "bada.test", true),
            (Dialect::Nexus, "a.test", "*.a.test", true),
            (Dialect::Nexus, "", "anything.test", true),
            (Dialect::Acme2certifier, "*.a.test", "x.y.a.test", true),
            (Dialect::Acme2certifier, "*.a.test", "a.test", false),
            (Dialect::Acme2certifier, "*.a.test", "*.a.test", true),
            (Dialect::Acme2certifier, "*.a.test", "*.bada.test", true),
            (Dialect::Acme2certifier, "*.a.test", "bada.test", false),
            (Dialect::Acme2certifier, "a.test", "*.a.test", false),
            (Dialect::Ejbca, "dNSName=a.test", "a.test", true),
            (Dialect::Ejbca, "", "a.test", false),
        ];
        for (dialect, list, name, allowed) in table {
            assert_eq!(dialect.allows(&entries(list), name), allowed, "{dialect:?} {list} {name}");
        }
    }
}
