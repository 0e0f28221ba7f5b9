//! `cargo xtask new-adapter NAME`: the skeleton of an adapter for another CM. It compiles, and fails the conformance suite
//! case by case until it is done.
//!
//! It writes the adapter's folder in `cm-connector`, its subject in `tests/adapters`, and a line in the two files that list
//! them. Everything is looked at before anything is written. A word for `cm.kind` comes last and by hand: nobody shall
//! choose an adapter that is not there yet.

mod hook;
mod name;

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

use self::name::Name;
use crate::{output::say, workspace};

/// What an adapter consists of: the file, `@name@` in it being the adapter's name, and what it is made from.
const FILES: [(&str, &str); 3] = [
    ("cm-connector/src/@name@/mod.rs", include_str!("templates/mod.rs.template")),
    ("cm-connector/src/@name@/settings.rs", include_str!("templates/settings.rs.template")),
    ("tests/adapters/@name@.rs", include_str!("templates/subject.rs.template")),
];
/// Who lists it, and with how much visibility.
const HOOKS: [(&str, &str); 2] = [("cm-connector/src/lib.rs", "pub mod"), ("tests/adapters/main.rs", "mod")];

/// Writes the skeleton of the adapter with this name.
///
/// # Errors
/// The name will not do, or a file cannot be written.
pub(crate) fn run(name: &str) -> anyhow::Result<std::process::ExitCode> {
    let name = Name::parse(name)?;
    for file in write(&workspace::root(), &name)? {
        say!("{file}");
    }
    say!("");
    say!(
        "It compiles and does nothing yet. Begin where its Subject says how your CM is started, then go on case by case:"
    );
    say!("  cargo test -p tests --test adapters {name}::");
    say!(
        "What each method must do: docs/howto/connect-your-ca.md, section 3. When all cases pass, give it a word for cm.kind"
    );
    say!("in gateway/src/settings/mod.rs and a line in gateway/src/cli/serve/cm.rs.");
    Ok(std::process::ExitCode::SUCCESS)
}

/// Writes it into a repository; the files that were made or changed.
fn write(root: &Path, name: &Name) -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    for (path, template) in FILES {
        let path = name.fill(path);
        ensure!(!root.join(&path).exists(), "{path} is there already: choose another name, or remove it");
        texts.push((path, name.fill(template)));
    }
    for (path, visibility) in HOOKS {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("{path} cannot be read"))?;
        ensure!(!hook::has(&text, name), "{path} has a module {name} already: choose another name");
        let hooked = hook::insert(&text, visibility, name);
        texts.push((path.to_owned(), hooked.with_context(|| format!("{path} lists no modules"))?));
    }
    for (path, text) in &texts {
        let file = root.join(path);
        let folder = file.parent().unwrap_or(root);
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        fs::write(&file, text).with_context(|| format!("{path} cannot be written"))?;
    }
    Ok(texts.into_iter().map(|(path, _)| path).collect())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// As much of a repository as it takes, from this one.
    fn repository(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("xtask-{}-new-adapter-{name}", std::process::id()));
        for (path, _) in HOOKS {
            let text = fs::read(workspace::root().join(path)).unwrap();
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
        root
    }

    #[test]
    fn an_adapter_is_written_and_hooked_in_and_nothing_is_left_of_the_template() {
        let (root, name) = (repository("whole"), Name::parse("my_ca").unwrap());
        let written = write(&root, &name).unwrap();
        assert_eq!(written.len(), FILES.len() + HOOKS.len());
        for path in &written {
            let text = fs::read_to_string(root.join(path)).unwrap();
            assert!(text.starts_with("//!") && !text.contains("@name@") && !text.contains("@Type@"), "{path}");
        }
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        assert!(read("cm-connector/src/lib.rs").contains("\npub mod my_ca;\n"));
        assert!(read("tests/adapters/main.rs").contains("\nmod my_ca;\n"));
        assert!(read("cm-connector/src/my_ca/mod.rs").contains("pub struct MyCaCertificateManager"));
        assert!(read("tests/adapters/my_ca.rs").contains("cm_connector::conformance!("));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_name_that_is_taken_is_refused_before_anything_is_written() {
        let root = repository("taken");
        let before = fs::read_to_string(root.join("tests/adapters/main.rs")).unwrap();
        for (name, expected) in [("rest", "has a module rest already"), ("officer", "has a module officer already")] {
            let refused = write(&root, &Name::parse(name).unwrap()).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
            assert!(!root.join("cm-connector/src").join(name).exists());
        }
        let name = Name::parse("twice").unwrap();
        let _first = write(&root, &name).unwrap();
        let refused = write(&root, &name).unwrap_err().to_string();
        assert!(refused.contains("cm-connector/src/twice/mod.rs is there already"), "{refused}");
        let after = fs::read_to_string(root.join("tests/adapters/main.rs")).unwrap();
        assert_eq!(after.replace("mod twice;\n", ""), before);
        fs::remove_dir_all(root).unwrap();
    }

    /// The signatures in a text that end like this (`;` if there is no body, else `{`), without what may differ in how
    /// they are written: white space, line ends, underscores before names that are not used.
    fn signatures(text: &str, end: char) -> Vec<String> {
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        // The only length of an array in them.
        let code: String = code.replace("; 32]", "]").chars().filter(|letter| !letter.is_whitespace()).collect();
        let signature = |part: &str| {
            let length = part.find([';', '{'])?;
            let signature = part.get(..length)?.replace("(_", "(").replace(",_", ",").replace(",)", ")");
            part.get(length..)?.starts_with(end).then_some(signature)
        };
        code.split("fn").skip(1).filter_map(signature).collect()
    }

    #[test]
    fn the_skeleton_has_every_method_that_an_adapter_needs_as_it_is_declared() {
        let read = |path: &str| fs::read_to_string(workspace::root().join(path)).unwrap();
        for (declared, begin, template) in [
            ("cm-connector/src/certificate_manager.rs", "pub trait CertificateManager", FILES[0].1),
            ("cm-connector/src/testing/subject.rs", "pub trait Subject", FILES[2].1),
        ] {
            let text = read(declared);
            let body = text.split_once(begin).unwrap().1.split_once("\n}\n").unwrap().0;
            let (needed, there) = (signatures(body, ';'), signatures(template, '{'));
            assert!(needed.len() > 10, "{needed:?}");
            assert_eq!(needed.iter().find(|method| !there.contains(method)), None, "{declared}: {there:#?}");
        }
    }
}
