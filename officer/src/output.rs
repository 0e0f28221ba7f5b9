//! What a command answers: text for people, JSON for programs, and tables.

use acme::time::Timestamp;
use serde_json::{Map, Value};

/// Longest text of others that is shown in one line, in characters.
const CHARACTERS_MAX: usize = 300;

/// The answer of a command. Its `Debug` form shows nothing, for it can have a key in it.
#[derive(Clone, PartialEq)]
pub(crate) struct Answer {
    /// For people; ends without a line break.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: Value,
    /// For people too, on standard error: what `text` has no place for.
    pub(crate) aside: String,
    /// 0, unless the command was asked to tell its result by the exit code.
    pub(crate) exit_code: u8,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("[answer]")
    }
}

impl Answer {
    /// An answer of a command that was carried out.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, aside: String::new(), exit_code: 0 }
    }

    /// The JSON, with what stands aside for people under `warnings`, a sentence a line, if there is such.
    pub(crate) fn for_programs(self) -> Value {
        let mut json = self.json;
        if let (Some(members), false) = (json.as_object_mut(), self.aside.is_empty()) {
            members.insert("warnings".to_owned(), self.aside.lines().collect());
        }
        json
    }
}

/// The CM's JSON with the names of its members in the one spelling of this program's output:
/// `hmacKey` becomes `hmac_key`.
pub(crate) fn snake_case(value: &Value) -> Value {
    renamed(value, &to_snake)
}

/// The reverse, so that what this program printed can be read again.
pub(crate) fn camel_case(value: &Value) -> Value {
    renamed(value, &to_camel)
}

fn renamed(value: &Value, rename: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::Object(members) => {
            let renamed = members.iter().map(|(name, value)| (rename(name), renamed(value, rename)));
            Value::Object(renamed.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(|item| renamed(item, rename)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// `hmacKey` is `hmac_key`.
pub(crate) fn to_snake(name: &str) -> String {
    let mut out = String::new();
    let mut after_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && after_lower {
            out.push('_');
        }
        after_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn to_camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

/// A text of others on one line, without anything that a terminal would obey or that would turn the
/// direction of reading.
pub(crate) fn shown(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(CHARACTERS_MAX).map(|c| if obeyed(c) { '?' } else { c }).collect()
}

/// Rows under headings, in columns as wide as they need to be. Texts of others are shown without
/// anything that a terminal would obey.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|text| cell(text)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(headings.get(column).map(|heading| heading.chars().count())).max().unwrap_or(0)
    };
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.enumerate().map(|(i, cell)| format!("{cell:<0$}", width(i))).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut headings.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// `1 certificate`, `2 certificates`.
pub(crate) fn numbered(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A cell of a table: as [`shown`], and a time to the second, for some of the CM's are finer than others.
pub(crate) fn cell(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.to_string(),
        Err(_) => shown(text),
    }
}

/// Names and values under each other; a value of several lines is indented as a block.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    const WIDTH: usize = 13;
    let line = |(name, value): &(&str, String)| {
        let mut parts = value.split('\n').map(shown);
        let first = parts.next().unwrap_or_default();
        let more: String = parts.map(|part| format!("\n{:WIDTH$}{part}", "")).collect();
        format!("{name:<WIDTH$}{first}{more}")
    };
    pairs.iter().filter(|(_, value)| !value.is_empty()).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn programs_are_warned_too() {
        let answer = || Answer::new("done", json!({"id": "a"}));
        assert_eq!(answer().for_programs(), json!({"id": "a"}));
        let warned = Answer { aside: "first\nsecond".to_owned(), ..answer() };
        assert_eq!(warned.for_programs(), json!({"id": "a", "warnings": ["first", "second"]}));
    }

    #[test]
    fn members_have_one_spelling() {
        let from_cm =
            json!({"id": "a", "eabSecret": {"hmacKey": "k"}, "list": [{"spkiSha256": 1}], "explanationURL": null});
        let ours =
            json!({"id": "a", "eab_secret": {"hmac_key": "k"}, "list": [{"spki_sha256": 1}], "explanation_url": null});
        assert_eq!(snake_case(&from_cm), ours);
        assert_eq!(
            camel_case(&json!({"allowed_identifiers": {"mode": "any"}})),
            json!({"allowedIdentifiers": {"mode": "any"}})
        );
    }

    proptest! {
        #[test]
        fn members_of_the_contract_can_be_written_and_read_again(name in "[a-z]{1,8}([A-Z][a-z0-9]{1,8}){0,3}") {
            prop_assert_eq!(to_camel(&to_snake(&name)), name);
        }
    }

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let rows = [vec!["reg_1".to_owned(), "a".to_owned()], vec!["r".to_owned(), "\u{1b}[31mB\u{fc}ro".to_owned()]];
        let text = table(&["ID", "OWNER"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.first().unwrap(), &"ID     OWNER");
        assert_eq!(lines.get(1).unwrap(), &"reg_1  a");
        assert_eq!(lines.get(2).unwrap(), &"r      ?[31mB\u{fc}ro");
    }

    #[test]
    fn one_is_singular_and_times_are_whole_seconds() {
        let told = [0, 1, 2].map(|number| numbered(number, "key"));
        assert_eq!(told, ["0 keys", "1 key", "2 keys"]);
        assert_eq!(cell("2026-11-22T00:40:12.123Z"), "2026-11-22T00:40:12Z");
        for other in ["2026-11-22T00:40:12Z", "2026-11-22", "", "a.1Z", "t0"] {
            assert_eq!(cell(other), other);
        }
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        let text = fields(&[("id", "reg_1".to_owned()), ("comment", String::new()), ("allows", "a\nb".to_owned())]);
        assert_eq!(text, "id           reg_1\nallows       a\n             b");
    }
}
