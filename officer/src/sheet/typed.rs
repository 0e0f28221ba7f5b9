//! A text that a person types from paper: in short groups, with a word about the characters that are taken for others.

/// Characters of a group.
const GROUP: usize = 4;
/// Groups of a line.
const LINE: usize = 4;

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
        Self::new("", text, "")
    }

    /// A URL: in one piece, but for the token of a directory link.
    pub(super) fn url(url: &str) -> Self {
        let link = url.strip_suffix("/directory").and_then(|rest| rest.rsplit_once("/r/"));
        match link.filter(|(_, token)| !token.contains('/')) {
            Some((base, token)) => Self::new(&format!("{base}/r/"), token, "/directory"),
            None => Self::new(url, "", ""),
        }
    }

    /// How many characters are in the groups.
    pub(super) fn characters(&self) -> usize {
        self.lines.iter().flatten().map(|group| group.text.chars().count()).sum()
    }

    fn new(before: &str, grouped: &str, after: &str) -> Self {
        let characters: Vec<char> = grouped.chars().collect();
        let groups: Vec<Group> = (1..)
            .zip(characters.chunks(GROUP))
            .map(|(number, characters)| Group { number, text: characters.iter().collect() })
            .collect();
        let hints = groups.iter().flat_map(hints).collect();
        let lines = groups.chunks(LINE).map(<[Group]>::to_vec).collect();
        Self {
            text: format!("{before}{grouped}{after}"),
            before: before.to_owned(),
            lines,
            after: after.to_owned(),
            hints,
        }
    }
}

fn hints(group: &Group) -> impl Iterator<Item = String> + use<'_> {
    group.text.chars().filter_map(move |c| Some(format!("group {}: {c} is {}", group.number, name(c)?)))
}

/// The name of a character that is easily taken for another.
const fn name(c: char) -> Option<&'static str> {
    match c {
        '0' => Some("the digit zero"),
        'O' => Some("the capital letter O"),
        '1' => Some("the digit one"),
        'l' => Some("the small letter L"),
        'I' => Some("the capital letter i"),
        '-' => Some("a hyphen"),
        '_' => Some("an underscore"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_that_are_taken_for_others_are_named_by_group() {
        let typed = Typed::text("abcdO0xl-");
        assert_eq!(
            typed.hints,
            [
                "group 2: O is the capital letter O",
                "group 2: 0 is the digit zero",
                "group 2: l is the small letter L",
                "group 3: - is a hyphen"
            ]
        );
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
