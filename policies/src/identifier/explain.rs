//! Every entry of a list of allowed identifiers beside one name, for people who ask why.
//!
//! It compares by the very function that [`super::allowed`] decides by, so that an explanation
//! cannot say something else than a decision.

use acme::{
    identifier::Identifier,
    registration::{AllowedIdentifiers, IdentifierRule},
};

/// An entry and one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The entry in words, such as `suffix example.com`.
    pub entry: String,
    /// Whether it excludes what it covers; else it allows it.
    pub excludes: bool,
    /// Whether it covers the name.
    pub covers: bool,
}

/// All entries in the order in which they are looked at: exclusions first. Where every name is
/// allowed, the last one is `any`.
#[must_use]
pub fn walk(identifier: &Identifier, allowed: &AllowedIdentifiers) -> Vec<Step> {
    let step = |entry: &IdentifierRule, excludes| Step {
        entry: super::describe(entry),
        excludes,
        covers: super::covers(entry, identifier),
    };
    let (AllowedIdentifiers::Any { exclude } | AllowedIdentifiers::Listed { exclude, .. }) = allowed;
    let mut steps: Vec<Step> = exclude.iter().map(|entry| step(entry, true)).collect();
    match allowed {
        AllowedIdentifiers::Any { .. } => {
            steps.push(Step { entry: String::from("any"), excludes: false, covers: true })
        }
        AllowedIdentifiers::Listed { rules, .. } => steps.extend(rules.iter().map(|entry| step(entry, false))),
    }
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{Verdict, allowed},
        *,
    };
    use crate::samples::{identifier, name, suffix};

    #[test]
    fn exclusions_come_first_and_every_entry_is_there() {
        let list = AllowedIdentifiers::Listed {
            rules: vec![suffix("a.test"), IdentifierRule::Exact(name("b.test"))],
            exclude: vec![suffix("vpn.a.test")],
        };
        let steps: Vec<_> = walk(&identifier("x.vpn.a.test"), &list)
            .into_iter()
            .map(|step| (step.entry, step.excludes, step.covers))
            .collect();
        let expected =
            [("suffix vpn.a.test", true, true), ("suffix a.test", false, true), ("exact b.test", false, false)];
        assert_eq!(steps, expected.map(|(entry, excludes, covers)| (entry.to_owned(), excludes, covers)));
        let any = walk(&identifier("a.test"), &AllowedIdentifiers::Any { exclude: vec![] });
        assert_eq!(any, [Step { entry: "any".to_owned(), excludes: false, covers: true }]);
    }

    fn entry() -> impl Strategy<Value = IdentifierRule> {
        let names = prop::sample::select(vec!["a.test", "b.a.test", "x.b.a.test", "evila.test", "test"]);
        prop_oneof![
            (names.clone(), any::<bool>())
                .prop_map(|(text, wildcards)| IdentifierRule::Suffix { name: name(text), wildcards }),
            names.clone().prop_map(|text| IdentifierRule::Exact(name(text))),
            names.prop_map(|text| IdentifierRule::Wildcard(name(text))),
            (any::<[u8; 4]>(), 0..=32_u8)
                .prop_map(|(octets, prefix_bits)| IdentifierRule::Network { address: octets.into(), prefix_bits }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_walked_is_what_is_decided(
            rules in prop::collection::vec(entry(), 0..5),
            exclude in prop::collection::vec(entry(), 0..3),
            asked in prop::sample::select(vec!["a.test", "*.a.test", "b.a.test", "*.b.a.test", "evila.test", "evilb.a.test", "192.0.2.7", "10.0.0.1"]),
        ) {
            let list = AllowedIdentifiers::Listed { rules, exclude };
            let steps = walk(&identifier(asked), &list);
            let walked = steps.iter().any(|step| step.covers && !step.excludes)
                && !steps.iter().any(|step| step.covers && step.excludes);
            let decided = matches!(allowed(&identifier(asked), &list), Verdict::Allowed { .. });
            prop_assert_eq!(walked, decided);
        }
    }
}
