//! The name of an adapter: of its module, and with it of its type and of its cases.

use std::fmt;

use anyhow::ensure;

/// Longer ones make lines that nobody reads.
const CHARACTERS_MAX: usize = 24;
/// Words of the language (the Rust Reference, keywords) that the form of a name would let through.
const RESERVED: [&str; 50] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while",
];

/// A name such as `ejbca` or `nexus_cm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// Takes what was typed.
    ///
    /// # Errors
    /// It cannot be the name of a module; the text says what one is made of.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let is_allowed = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
        let is_name = text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(is_allowed)
            && !text.ends_with('_')
            && !text.contains("__");
        ensure!(
            is_name && (2..=CHARACTERS_MAX).contains(&text.len()),
            "{text:?} cannot be the name of an adapter: 2 to {CHARACTERS_MAX} lowercase letters, digits and single \
             underscores, beginning with a letter, such as ejbca"
        );
        ensure!(!RESERVED.contains(&text), "{text} is a word of the language: choose another name, such as {text}_ca");
        Ok(Self(text.to_owned()))
    }

    /// Puts the name where a template has its place: `@name@` as it is, `@Type@` as types are written.
    pub(super) fn fill(&self, template: &str) -> String {
        template.replace("@name@", &self.0).replace("@Type@", &self.type_name())
    }

    /// `nexus_cm` → `NexusCm`.
    fn type_name(&self) -> String {
        let mut out = String::new();
        let mut begins = true;
        for letter in self.0.chars() {
            match letter {
                '_' => begins = true,
                letter if begins => {
                    out.push(letter.to_ascii_uppercase());
                    begins = false;
                }
                letter => out.push(letter),
            }
        }
        out
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_modules_are_taken() {
        for (text, type_name) in [("ejbca", "Ejbca"), ("nexus_cm", "NexusCm"), ("ca2", "Ca2"), ("ab", "Ab")] {
            assert_eq!(Name::parse(text).unwrap().fill("@name@ @Type@"), format!("{text} {type_name}"));
        }
    }

    #[test]
    fn what_cannot_be_a_module_is_refused_with_what_to_do() {
        let long = "a".repeat(CHARACTERS_MAX + 1);
        for text in ["", "a", "Ejbca", "9ca", "_ca", "ca_", "a__b", "my-ca", "../rest", "ca ", "käse", long.as_str()] {
            let refused = Name::parse(text).unwrap_err().to_string();
            assert!(refused.contains("lowercase letters"), "{text}: {refused}");
        }
        for text in ["type", "self", "match", "async"] {
            let refused = Name::parse(text).unwrap_err().to_string();
            assert!(refused.contains("word of the language"), "{text}: {refused}");
        }
    }
}
