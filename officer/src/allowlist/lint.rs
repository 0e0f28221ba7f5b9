//! What an officer should look at twice in a list: entries that change nothing, allow nothing, or allow more than they
//! seem to. None of it is a mistake; names at the edges of each entry are tried on the lists with the gateway's own code.

use std::net::IpAddr;

use acme::{identifier::Identifier, registration::AllowedIdentifiers};
use cm_connector::rest::door;
use ipnet::IpNet;
use policies::identifier::{Verdict, allowed};

use super::{Entry, List, Match};

/// Networks with fewer bits than these in common are more than one site has.
const WIDE_BITS_V4: u8 = 16;
const WIDE_BITS_V6: u8 = 48;
/// Most entries of each list that are looked at; the contract takes no more.
const ENTRIES_MAX: usize = 1_000;
/// What an accented name looks like in the list.
const A_LABEL: &str = "xn--";

/// An entry, names at its edges, and what it allows alone.
struct Looked<'a> {
    entry: &'a Entry,
    names: Vec<Identifier>,
    alone: AllowedIdentifiers,
}

/// Looks at a list; `realm` is what the realm allows to anybody. A sentence each, in the order of the entries.
pub(crate) fn lint(list: &List, realm: Option<&AllowedIdentifiers>) -> Vec<String> {
    let mut found = Vec::new();
    if list.rules.is_none() {
        found.push("Every name is allowed that the client can prove control of.".to_owned());
    }
    let looked: Vec<Looked<'_>> = list.rules.iter().flatten().take(ENTRIES_MAX).map(Looked::at).collect();
    let excluding = List { rules: None, exclude: list.exclude.clone() }.judged();
    for (index, one) in looked.iter().enumerate() {
        let entry = one.entry;
        // Of two that cover each other the later one changes nothing.
        let cover = looked.iter().enumerate().find(|(at, other)| {
            let covers = other.entry.may_cover(one.entry) && one.is_within(&other.alone);
            *at != index && covers && (*at < index || !other.is_within(&one.alone))
        });
        if let Some((_, other)) = cover {
            found.push(format!("{entry} changes nothing: {} covers it.", other.entry));
        }
        if one.is_outside(&excluding) {
            found.push(format!("{entry} allows nothing: it is excluded altogether."));
        }
        if realm.is_some_and(|realm| one.is_outside(realm)) {
            found.push(format!("{entry} allows nothing: the realm's own list has none of it."));
        }
        found.extend(entry.width().map(|addresses| format!("{entry} allows {addresses}.")));
        found.extend(entry.in_letters().map(|letters| format!("{entry} is written {letters}; look at its letters.")));
    }
    let listed = List { rules: list.rules.clone(), exclude: Vec::new() }.judged();
    let whole = list.judged();
    for entry in list.exclude.iter().take(ENTRIES_MAX) {
        if Looked::at(entry).is_outside(&listed) {
            found.push(format!("Without excluding {entry} it would not be allowed either."));
        }
        if let Some(wildcard) = entry.wildcard_above().filter(|wildcard| is_allowed(wildcard, &whole)) {
            found.push(format!(
                "{entry} is excluded, but {wildcard} is allowed, and such a certificate is good for {} too.",
                entry.value
            ));
        }
    }
    found
}

impl<'a> Looked<'a> {
    fn at(entry: &'a Entry) -> Self {
        let alone = List { rules: Some(vec![entry.clone()]), exclude: Vec::new() }.judged();
        Self { entry, names: entry.edges(), alone }
    }

    fn is_within(&self, list: &AllowedIdentifiers) -> bool {
        self.names.iter().all(|name| is_allowed(name, list))
    }

    fn is_outside(&self, list: &AllowedIdentifiers) -> bool {
        self.names.iter().all(|name| !is_allowed(name, list))
    }
}

fn is_allowed(name: &Identifier, list: &AllowedIdentifiers) -> bool {
    matches!(allowed(name, list), Verdict::Allowed { .. })
}

impl List {
    /// As the gateway reads it.
    fn judged(&self) -> AllowedIdentifiers {
        door::allowed_identifiers(self.to_json())
    }
}

impl Entry {
    /// False if a look at the texts tells that it does not cover the other one; a long list has a million pairs.
    fn may_cover(&self, other: &Self) -> bool {
        let is_wide = match self.matches {
            Match::Suffix => other.value.ends_with(&self.value),
            Match::Cidr => true,
            Match::Exact | Match::Wildcard => self.value == other.value,
        };
        self.kind == other.kind && is_wide
    }

    /// Names at the edges of what it covers.
    fn edges(&self) -> Vec<Identifier> {
        let name = &self.value;
        let texts = match self.matches {
            Match::Exact | Match::Wildcard => vec![name.clone()],
            Match::Suffix => {
                let mut texts = vec![name.clone(), format!("a.{name}"), format!("a.b.{name}")];
                if self.wildcards {
                    texts.extend([format!("*.{name}"), format!("*.a.{name}")]);
                }
                texts
            }
            Match::Cidr => match name.parse::<IpNet>() {
                Ok(block) => vec![block.network().to_string(), block.broadcast().to_string()],
                Err(_) => Vec::new(),
            },
        };
        let read = |text: &String| Identifier::parse_ip(text).or_else(|_| Identifier::parse_dns(text)).ok();
        texts.iter().filter_map(read).collect()
    }

    /// How many addresses, if these are more than a site has.
    fn width(&self) -> Option<String> {
        let block: IpNet = if self.matches == Match::Cidr { self.value.parse().ok()? } else { return None };
        match block.addr() {
            IpAddr::V4(_) if block.prefix_len() < WIDE_BITS_V4 => {
                Some(format!("{} addresses", 1_u64 << 32_u8.saturating_sub(block.prefix_len())))
            }
            IpAddr::V6(_) if block.prefix_len() < WIDE_BITS_V6 => {
                Some("more addresses than one site is given".to_owned())
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }

    /// An international name as people write it.
    fn in_letters(&self) -> Option<String> {
        let (letters, _) = self.value.contains(A_LABEL).then(|| idna::domain_to_unicode(&self.value))?;
        (letters != self.value).then_some(letters)
    }

    /// The wildcard whose certificate is good for this name.
    fn wildcard_above(&self) -> Option<Identifier> {
        if !matches!(self.matches, Match::Suffix | Match::Exact) {
            return None;
        }
        let (_, above) = self.value.split_once('.')?;
        Identifier::parse_dns(&format!("*.{above}")).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(allow: &str, exclude: &str) -> List {
        let entries = |text: &str| text.split_whitespace().map(|word| word.parse().unwrap()).collect::<Vec<Entry>>();
        List { rules: Some(entries(allow)), exclude: entries(exclude) }
    }

    fn found(allow: &str, exclude: &str) -> Vec<String> {
        lint(&list(allow, exclude), None)
    }

    #[test]
    fn what_an_officer_should_look_at_twice_is_said() {
        let table = [
            ("suffix:a.test exact:www.a.test", "", vec!["exact:www.a.test changes nothing: suffix:a.test covers it."]),
            ("exact:a.test exact:a.test", "", vec!["exact:a.test changes nothing: exact:a.test covers it."]),
            (
                "suffix:a.test,no-wildcards suffix:a.test",
                "",
                vec!["suffix:a.test,no-wildcards changes nothing: suffix:a.test covers it."],
            ),
            ("ip:192.0.2.7 cidr:192.0.2.0/24", "", vec!["ip:192.0.2.7 changes nothing: cidr:192.0.2.0/24 covers it."]),
            (
                "exact:vpn.a.test exact:a.test",
                "suffix:vpn.a.test",
                vec!["exact:vpn.a.test allows nothing: it is excluded altogether."],
            ),
            (
                "suffix:a.test,no-wildcards",
                "exact:b.test",
                vec!["Without excluding exact:b.test it would not be allowed either."],
            ),
            (
                "suffix:a.test",
                "suffix:vpn.a.test",
                vec![
                    "suffix:vpn.a.test is excluded, but *.a.test is allowed, and such a certificate is good for vpn.a.test too.",
                ],
            ),
            ("cidr:10.0.0.0/8", "", vec!["cidr:10.0.0.0/8 allows 16777216 addresses."]),
            ("cidr:0.0.0.0/0", "", vec!["cidr:0.0.0.0/0 allows 4294967296 addresses."]),
            (
                "exact:b\u{fc}cher.test",
                "",
                vec!["exact:xn--bcher-kva.test is written b\u{fc}cher.test; look at its letters."],
            ),
        ];
        for (allow, exclude, expected) in table {
            assert_eq!(found(allow, exclude), expected, "{allow} except {exclude}");
        }
    }

    #[test]
    fn a_list_without_anything_strange_is_left_alone() {
        for (allow, exclude) in [
            ("suffix:a.test suffix:b.test exact:c.test wildcard:*.d.test", ""),
            ("suffix:a.test,no-wildcards", "exact:vpn.a.test"),
            ("cidr:192.0.2.0/24 cidr:2001:db8::/48 ip:198.51.100.1", "ip:192.0.2.1"),
            ("suffix:a.test exact:b.test", "wildcard:*.a.test"),
        ] {
            assert_eq!(found(allow, exclude), [""; 0], "{allow} except {exclude}");
        }
    }

    #[test]
    fn a_list_as_long_as_there_can_be_is_looked_at_too() {
        let entries: Vec<String> = (0..1_000).map(|n| format!("exact:host{n}.a.test")).collect();
        let all = format!("{} suffix:host7.a.test", entries.join(" "));
        assert_eq!(found(&all, ""), [""; 0], "the last one is more than there can be");
        let long = all.replacen("exact:host0.a.test ", "", 1);
        assert_eq!(found(&long, ""), ["exact:host7.a.test changes nothing: suffix:host7.a.test covers it."]);
    }

    #[test]
    fn what_the_realm_does_not_have_is_said_and_any_is_called_by_its_name() {
        let realm = door::allowed_identifiers(json!({"mode": "listed", "rules": [
            {"type": "dns", "match": "suffix", "value": "a.test"}]}));
        let told = lint(&list("suffix:www.a.test exact:b.test", ""), Some(&realm));
        assert_eq!(told, ["exact:b.test allows nothing: the realm's own list has none of it."]);
        let any = lint(&List::default(), None);
        assert!(any.len() == 1 && any.concat().contains("Every name is allowed"), "{any:?}");
    }
}
