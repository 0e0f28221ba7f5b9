//! The code of a Rust file: comments and the contents of literals become blanks, everything else, line ends too,
//! stays where it is. Rules about code then cannot stumble over words about code.
//!
//! It is no parser: it knows as much of the grammar as it takes to find where comments and literals end.

/// What is being read.
enum State {
    Code,
    LineComment,
    /// With the depth of nesting.
    BlockComment(usize),
    /// Text between quotes of this kind, in which a backslash escapes.
    Quoted(char),
    /// Raw text that ends with a quote and this many hashes.
    Raw(usize),
}

/// The text without comments and contents of literals.
pub(crate) fn only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut state = State::Code;
    let mut index = 0;
    while index < chars.len() {
        let (here, next) = (at(index), at(index.saturating_add(1)));
        let mut taken: usize = 1;
        let mut keep = false;
        state = match state {
            State::Code => match (here, next) {
                ('/', '/') => State::LineComment,
                ('/', '*') => {
                    taken = 2;
                    State::BlockComment(1)
                }
                ('"', _) => State::Quoted('"'),
                ('\'', _) if next == '\\' || at(index.saturating_add(2)) == '\'' => State::Quoted('\''),
                ('r', '"' | '#') if !continues_a_name(at(index.wrapping_sub(1)), at(index.wrapping_sub(2))) => {
                    let hashes = chars.iter().skip(index.saturating_add(1)).take_while(|&&c| c == '#').count();
                    if at(index.saturating_add(hashes).saturating_add(1)) == '"' {
                        taken = hashes.saturating_add(2);
                        State::Raw(hashes)
                    } else {
                        keep = true;
                        State::Code
                    }
                }
                _ => {
                    keep = true;
                    State::Code
                }
            },
            State::LineComment if here == '\n' => State::Code,
            State::LineComment => State::LineComment,
            State::BlockComment(depth) => match (here, next) {
                ('/', '*') => {
                    taken = 2;
                    State::BlockComment(depth.saturating_add(1))
                }
                ('*', '/') => {
                    taken = 2;
                    if depth > 1 { State::BlockComment(depth.saturating_sub(1)) } else { State::Code }
                }
                _ => State::BlockComment(depth),
            },
            State::Quoted(end) if here == '\\' => {
                taken = 2;
                State::Quoted(end)
            }
            State::Quoted(end) if here == end => State::Code,
            State::Quoted(end) => State::Quoted(end),
            State::Raw(hashes) => {
                let ends = here == '"' && (1..=hashes).all(|offset| at(index.saturating_add(offset)) == '#');
                if ends {
                    taken = hashes.saturating_add(1);
                    State::Code
                } else {
                    State::Raw(hashes)
                }
            }
        };
        for offset in 0..taken {
            match at(index.saturating_add(offset)) {
                '\n' => out.push('\n'),
                '\0' => {}
                other if keep => out.push(other),
                _ => out.push(' '),
            }
        }
        index = index.saturating_add(taken);
    }
    out
}

/// Whether an `r` belongs to a name such as `for`, rather than beginning `r"…"` or `br"…"`.
fn continues_a_name(before: char, before_that: char) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    let begins_a_literal = matches!(before, 'b' | 'c') && !in_name(before_that);
    in_name(before) && !begins_a_literal
}

/// Places where `word` stands as a word of its own: the line, counted from 1, and all that precedes and follows.
pub(crate) fn occurrences<'t>(code: &'t str, word: &'t str) -> impl Iterator<Item = (usize, &'t str, &'t str)> {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).filter_map(move |(start, found)| {
        let before = code.get(..start)?;
        let after = code.get(start.saturating_add(found.len())..)?;
        let apart = !before.ends_with(in_name) && !after.starts_with(in_name);
        apart.then(|| (before.matches('\n').count().saturating_add(1), before, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that are left.
    fn words(text: &str) -> Vec<String> {
        only(text).split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn comments_are_left_out_and_lines_stay() {
        assert_eq!(only("a // b\nc"), "a     \nc");
        assert_eq!(words("a /* b /* c */ d */ e\n//! f\n/// g\nh"), ["a", "e", "h"]);
        assert_eq!(only("/* a\nb */ c").lines().count(), 2);
    }

    #[test]
    fn the_contents_of_literals_are_left_out() {
        assert_eq!(words(r#"a("b \" c", 'd', '\'', '"', b"e", b'f') g"#), ["a", "b", "b", "g"]);
        assert_eq!(words("a(r\"b\\\", r#\"c \" d\"#, br##\"e\"# f\"##) g"), ["a", "b", "g"]);
        assert_eq!(words("\"a\nb\" c"), ["c"]);
    }

    #[test]
    fn lifetimes_labels_and_raw_names_are_code() {
        assert_eq!(
            words("fn a<'b>(c: &'b str) { 'd: loop {} } r#type for\"e\""),
            ["fn", "a", "b", "c", "b", "str", "d", "loop", "r", "type", "for"]
        );
    }

    #[test]
    fn a_word_is_found_only_by_itself() {
        let found: Vec<(usize, &str, &str)> = occurrences("sled_x xsled\nuse sled::Db;", "sled").collect();
        assert_eq!(found, [(2, "sled_x xsled\nuse ", "::Db;")]);
    }
}
