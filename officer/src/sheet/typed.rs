//! A text that a person types from paper: in short groups, with a word about the characters that are taken for others.

/// Characters of a group.
const GROUP: usize = 4;
/// Groups of a line.
const LINE: usize = 6;
/// Groups of a line that has a picture beside it.
const SHORT_LINE: usize = 4;
/// Characters that are easily taken for others, with their names.
const ALIKE: [(char, &str); 7] = [
    ('0', "the digit zero"),
    ('O', "the capital letter O"),
    ('1', "the digit one"),
    ('l', "the small letter L"),
    ('I', "the capital letter i"),
    ('-', "a hyphen"),
    ('_', "an underscore"),
];

/// A text to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Typed {
    /// All of it, to copy.
    pub(super) text: String,
    /// What is typed before the groups, as one piece.
    pub(super) before: String,
    /// The groups, in lines.
    pub(super) lines: Vec<Vec<Group>>,
    /// What is typed after the groups, as one piece.
    pub(super) after: String,
    /// Where characters are that are taken for others.
    pub(super) hints: Vec<String>,
}

/// A few characters, to type at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// From 1.
    pub(super) number: usize,
    pub(super) text: String,
}

impl Typed {
    /// A text all in groups.
    pub(super) fn text(text: &str) -> Self {
        Self::new("", text, "", LINE)
    }

    /// A URL: in one piece, but for the token of a directory link.
    pub(super) fn url(url: &str) -> Self {
        let link = url.strip_suffix("/directory").and_then(|rest| rest.rsplit_once("/r/"));
        match link.filter(|(_, token)| !token.contains('/')) {
            Some((base, token)) => Self::new(&format!("{base}/r/"), token, "/directory", SHORT_LINE),
            None => Self::new(url, "", "", SHORT_LINE),
        }
    }

    /// How many characters are in the groups.
    pub(super) fn characters(&self) -> usize {
        self.lines.iter().flatten().map(|group| group.text.chars().count()).sum()
    }

    fn new(before: &str, grouped: &str, after: &str, line: usize) -> Self {
        let characters: Vec<char> = grouped.chars().collect();
        let groups: Vec<Group> = (1..)
            .zip(characters.chunks(GROUP))
            .map(|(number, characters)| Group { number, text: characters.iter().collect() })
            .collect();
        let hints = ALIKE.iter().filter_map(|(c, name)| hint(*c, name, &groups)).collect();
        let lines = groups.chunks(line).map(<[Group]>::to_vec).collect();
        Self {
            text: format!("{before}{grouped}{after}"),
            before: before.to_owned(),
            lines,
            after: after.to_owned(),
            hints,
        }
    }
}

/// Where a character is, if anywhere.
fn hint(c: char, name: &str, groups: &[Group]) -> Option<String> {
    let places = groups.iter().filter(|group| group.text.contains(c)).map(|group| group.number.to_string());
    let places = places.collect::<Vec<_>>().join(", ");
    (!places.is_empty()).then(|| format!("{c} is {name} (group {places})"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_that_are_taken_for_others_are_named_by_group() {
        let typed = Typed::text("abcdO0xl-0ab");
        let expected = [
            "0 is the digit zero (group 2, 3)",
            "O is the capital letter O (group 2)",
            "l is the small letter L (group 2)",
            "- is a hyphen (group 3)",
        ];
        assert_eq!(typed.hints, expected);
    }

    #[test]
    fn only_the_token_of_a_link_is_typed_in_groups() {
        let link = Typed::url("https://a.test/acme/tls/r/abcdefgh/directory");
        assert_eq!((link.before.as_str(), link.after.as_str()), ("https://a.test/acme/tls/r/", "/directory"));
        assert_eq!(link.characters(), 8);
        for plain in ["https://a.test/acme/tls/directory", "https://a.test/r/x/y/directory"] {
            let typed = Typed::url(plain);
            assert_eq!((typed.before.as_str(), typed.lines.len()), (plain, 0));
        }
    }

    proptest! {
        #[test]
        fn the_groups_put_together_are_the_text(text in "[A-Za-z0-9_-]{0,80}") {
            let typed = Typed::text(&text);
            let groups: Vec<&str> = typed.lines.iter().flatten().map(|group| group.text.as_str()).collect();
            prop_assert_eq!(groups.concat(), text.clone());
            prop_assert_eq!(typed.characters(), text.len());
            prop_assert!(groups.iter().all(|group| (1..=4).contains(&group.len())));
        }
    }
}
