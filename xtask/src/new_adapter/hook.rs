//! A line `mod NAME;` in a file that lists modules, where the formatter would put it.

use super::name::Name;

/// Whether the file lists such a module, in whatever visibility.
pub(super) fn has(text: &str, name: &Name) -> bool {
    text.lines().filter_map(module).any(|module| module == name.to_string())
}

/// The text with the module in its list; `None` if there is none.
pub(super) fn insert(text: &str, visibility: &str, name: &Name) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut listed = lines.iter().enumerate().filter_map(|(at, line)| module(line).map(|module| (at, module)));
    let last = lines.iter().rposition(|line| module(line).is_some())?;
    let own = name.to_string();
    let before = listed.find(|(_, module)| *module > own.as_str()).map(|(at, _)| at);
    // An attribute belongs to the module after it.
    let at = before.map_or(last.saturating_add(1), |mut at| {
        while at > 0 && lines.get(at.saturating_sub(1)).is_some_and(|line| line.starts_with("#[")) {
            at = at.saturating_sub(1);
        }
        at
    });
    let new = format!("{visibility} {own};");
    let (head, tail) = lines.split_at_checked(at)?;
    Some([head, &[new.as_str()], tail].concat().join("\n") + "\n")
}

/// The module that a line lists.
fn module(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ").unwrap_or(line);
    rest.strip_prefix("mod ")?.strip_suffix(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "//! A.\n\nmod binding;\npub mod rest;\n#[cfg(feature = \"testing\")]\npub mod testing;\n\nuse a;\n";

    fn inserted(name: &str) -> String {
        insert(TEXT, "pub mod", &Name::parse(name).unwrap()).unwrap()
    }

    #[test]
    fn a_module_comes_where_the_alphabet_has_it() {
        assert!(inserted("alpha").contains("\n\npub mod alpha;\nmod binding;\n"));
        assert!(inserted("ejbca").contains("\nmod binding;\npub mod ejbca;\npub mod rest;\n"));
        assert!(inserted("zulu").contains("\npub mod testing;\npub mod zulu;\n\nuse a;\n"));
    }

    #[test]
    fn an_attribute_stays_with_its_module() {
        assert!(inserted("sectigo").contains("\npub mod rest;\npub mod sectigo;\n#[cfg(feature"));
    }

    #[test]
    fn what_is_listed_is_found_and_a_file_without_a_list_takes_nothing() {
        let name = |text: &str| Name::parse(text).unwrap();
        assert!(has(TEXT, &name("rest")) && has(TEXT, &name("binding")) && !has(TEXT, &name("res")));
        assert_eq!(insert("//! A.\nuse a;\n", "mod", &name("ejbca")), None);
    }
}
