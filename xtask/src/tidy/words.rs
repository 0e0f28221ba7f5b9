//! Words that may not be in any file: marks of unfinished work, folders of somebody's machine, hosts of registries.
//!
//! The words are put together here from parts, so that this file passes its own check.

use super::{Finding, code};

/// Marks of unfinished work.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// Folders that exist on one machine only.
const FOLDERS: [&str; 2] = [concat!("/wo", "rk"), concat!("/ro", "ot")];
/// Hosts from which packages come. Cargo knows its own; a build that names another is not reproducible.
const HOSTS: [&str; 7] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("rubygems", ".org"),
    concat!("proxy.golang", ".org"),
];
/// Written by cargo, with the name of its registry in it.
const LOCK_FILE: &str = "Cargo.lock";

/// Finds such words.
pub(crate) fn check(path: &str, text: &str) -> Vec<Finding> {
    if path.rsplit('/').next() == Some(LOCK_FILE) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for mark in MARKS {
        let marks = code::occurrences(text, mark);
        findings.extend(marks.map(|(line, _, _)| {
            Finding::new(path, line, format!("{mark}: finish it, or write down in the documents what is missing"))
        }));
    }
    for folder in FOLDERS {
        let folders = code::occurrences(text, folder).filter(|(_, before, after)| is_whole_path(before, after));
        findings.extend(folders.map(|(line, _, _)| {
            Finding::new(path, line, format!("{folder} is a folder of one machine: use a relative path or an example"))
        }));
    }
    for host in HOSTS {
        let hosts = code::occurrences(text, host);
        findings.extend(
            hosts.map(|(line, _, _)| Finding::new(path, line, format!("the registry host {host} may not be named"))),
        );
    }
    findings
}

/// Whether a path begins here, and goes on below the folder or ends with it.
fn is_whole_path(before: &str, after: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | '}' | ')' | '~');
    !before.ends_with(continues) && !after.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        check("docs/a.md", text).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn marks_of_unfinished_work_are_found() {
        for mark in MARKS {
            assert_eq!(found(&format!("fine\n// {mark}: later\n")), [2], "{mark}");
            assert_eq!(found(&format!("{mark}S of others, {}", mark.to_lowercase())), Vec::<usize>::new());
        }
    }

    #[test]
    fn folders_of_one_machine_are_found_and_parts_of_other_paths_are_not() {
        for folder in FOLDERS {
            assert_eq!(found(&format!("cd {folder}/main")), [1]);
            assert_eq!(found(&format!("dir = \"{folder}\"")), [1]);
            for fine in [format!("gateway{folder}ers/"), format!("pki{folder}.pem"), format!("a{folder}/b")] {
                assert_eq!(found(&fine), Vec::<usize>::new(), "{fine}");
            }
        }
    }

    #[test]
    fn hosts_of_registries_are_found_but_not_in_the_lock_file() {
        for host in HOSTS {
            assert_eq!(found(&format!("https://{host}/x")), [1], "{host}");
            assert_eq!(check("Cargo.lock", host), []);
        }
    }
}
