//! Each risky library has one door: the crates that may depend on it, and where it matters the files that may name
//! it. Replacing the library then touches what is behind the door and nothing else.

use super::{Finding, code, directions::Crate};

/// A door.
struct Door {
    /// Packages behind it.
    packages: &'static [&'static str],
    /// Crates that may depend on them.
    crates: &'static [&'static str],
    /// Whether tests, examples and benches of any crate may use them too.
    open_to_tests: bool,
    /// What the packages are called in code, and beginnings of the paths that may name them. The crates above are
    /// looked at; in others cargo knows no such name.
    files: Option<(&'static str, &'static [&'static str])>,
    why: &'static str,
}

const DOORS: [Door; 12] = [
    Door {
        packages: &["josekit"],
        crates: &["gateway", "tests"],
        open_to_tests: false,
        files: Some(("josekit", &["gateway/src/jws/", "gateway/src/jws.rs", "tests/"])),
        why: "it makes a second crypto stack and stays behind our own strict parser",
    },
    Door {
        packages: &["openssl", "openssl-sys"],
        crates: &["gateway", "tests"],
        open_to_tests: true,
        files: Some(("openssl", &["gateway/src/jws/", "gateway/src/jws.rs", "tests/"])),
        why: "it is there for josekit alone",
    },
    Door {
        packages: &["sled"],
        crates: &["store"],
        open_to_tests: false,
        files: Some(("sled", &["store/src/backend/sled.rs", "store/src/backend/sled/", "store/examples/"])),
        why: "it is the last release of its line and needs our own disk barrier",
    },
    Door {
        packages: &["etcd-client"],
        crates: &["store"],
        open_to_tests: false,
        files: Some(("etcd_client", &["store/src/backend/etcd.rs", "store/src/backend/etcd/"])),
        why: "the store alone knows what it is kept in",
    },
    Door {
        packages: &["actix-http", "actix-rt", "actix-server", "actix-service", "actix-web"],
        crates: &["gateway", "officer"],
        open_to_tests: false,
        files: None,
        why: "HTTP servers of the product have one way to be written",
    },
    Door {
        packages: &["httparse"],
        crates: &["gateway"],
        open_to_tests: false,
        files: Some(("httparse", &["gateway/src/http/connection/"])),
        why: "request heads are judged in one place, before the HTTP library reads them",
    },
    Door {
        packages: &["reqwest"],
        crates: &["cm-connector", "validation", "officer", "sandbox", "tests"],
        open_to_tests: false,
        files: None,
        why: "each place that opens connections is known",
    },
    Door {
        packages: &["hickory-resolver"],
        crates: &["validation"],
        open_to_tests: false,
        files: None,
        why: "names that strangers choose are resolved in one place",
    },
    Door {
        packages: &["x509-parser"],
        crates: &["acme", "validation", "sandbox", "tests"],
        open_to_tests: false,
        files: None,
        why: "certificates that strangers send are parsed in few places",
    },
    Door {
        packages: &["config"],
        crates: &["gateway", "officer"],
        open_to_tests: false,
        files: Some(("config", &["gateway/src/settings/", "gateway/src/settings.rs", "officer/src/settings"])),
        why: "settings are read in one place and typed from there on",
    },
    Door {
        packages: &["rcgen"],
        crates: &["gateway", "sandbox"],
        open_to_tests: true,
        files: Some((
            "rcgen",
            &[
                "gateway/src/server_certificate/",
                "gateway/src/canary/",
                "gateway/src/testing/",
                "gateway/src/http/server/tests/",
                "sandbox/",
            ],
        )),
        why: "the product makes certificates and CSRs for its own name only",
    },
    Door {
        packages: &["axum", "rusqlite"],
        crates: &["sandbox"],
        open_to_tests: true,
        files: None,
        why: "the outside world of demonstrations uses them; the product does not",
    },
];

/// Finds dependencies on a library in crates that are not at its door.
pub(crate) fn check_manifests(crates: &[Crate]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Crate { name, dependencies } in crates {
        for dependency in dependencies {
            let package = dependency.package.as_str();
            let Some(door) = DOORS.iter().find(|door| door.packages.contains(&package)) else { continue };
            let in_tests = dependency.development && door.open_to_tests;
            if !door.crates.contains(&name.as_str()) && !in_tests {
                let rule = format!("{package} may be used by {} only, because {}", door.crates.join(", "), door.why);
                findings.push(Finding::new(&format!("{name}/Cargo.toml"), 1, rule));
            }
        }
    }
    findings
}

/// Finds names of a library in code outside its door.
pub(crate) fn check_source(path: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for door in &DOORS {
        let Some((library, allowed)) = door.files else { continue };
        let belongs = door.crates.iter().any(|name| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')));
        if !belongs || allowed.iter().any(|beginning| path.starts_with(beginning)) {
            continue;
        }
        for (line, before, after) in code::occurrences(code, library) {
            if names_a_library(before, after) {
                let rule = format!("{library} may be named in {} only, because {}", allowed.join(", "), door.why);
                findings.push(Finding::new(path, line, rule));
            }
        }
    }
    findings
}

/// Whether a word begins a path, or is imported by itself. A module of ours with the same name stands after
/// something: `self::…`, `crate::…`, `use super::{…`, `mod …`.
fn names_a_library(before: &str, after: &str) -> bool {
    let before = before.trim_end();
    let imported = before.ends_with("use") || before.ends_with("extern crate");
    imported || (after.trim_start().starts_with("::") && begins_a_path(before))
}

fn begins_a_path(before: &str) -> bool {
    match before.strip_suffix("::") {
        // `::library` means a library for certain; after a name, the word is part of that path.
        Some(earlier) => !earlier.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '>')),
        // In a group such as `use super::{a, b::{c}, word::…` the path began before the brace.
        None => !group(before).is_some_and(|earlier| earlier.ends_with("::")),
    }
}

/// What stands before the innermost brace that is still open.
fn group(before: &str) -> Option<&str> {
    let mut closed: usize = 0;
    for (index, c) in before.char_indices().rev() {
        match c {
            '}' => closed = closed.saturating_add(1),
            '{' if closed == 0 => return before.get(..index).map(str::trim_end),
            '{' => closed = closed.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{
        super::directions::{Crate, Dependency},
        *,
    };

    fn depending(name: &str, package: &str, development: bool) -> Vec<Crate> {
        let dependencies = vec![Dependency { package: package.to_owned(), development, ours: false }];
        vec![Crate { name: name.to_owned(), dependencies }]
    }

    #[test]
    fn a_dependency_beside_the_door_is_found() {
        let beside = [
            ("policies", "josekit"),
            ("store", "openssl"),
            ("gateway", "sled"),
            ("sandbox", "actix-web"),
            ("gateway", "reqwest"),
            ("cm-connector", "hickory-resolver"),
            ("policies", "x509-parser"),
            ("store", "config"),
            ("gateway", "axum"),
        ];
        for (name, package) in beside {
            let findings = check_manifests(&depending(name, package, false));
            assert_eq!(findings.len(), 1, "{name} depends on {package}");
            assert!(findings[0].to_string().starts_with(&format!("{name}/Cargo.toml:1: {package} may be used by")));
        }
    }

    #[test]
    fn tests_pass_only_through_doors_that_are_open_to_them() {
        assert_eq!(check_manifests(&depending("validation", "rcgen", true)), []);
        assert_eq!(check_manifests(&depending("validation", "rcgen", false)).len(), 1);
        assert_eq!(check_manifests(&depending("policies", "x509-parser", true)).len(), 1);
    }

    #[test]
    fn a_library_named_outside_its_files_is_found() {
        for (path, text) in [
            ("gateway/src/ra/order.rs", "use josekit::jwk::Jwk;"),
            ("gateway/src/http/mod.rs", "fn a() { josekit::jws::deserialize(); }"),
            ("gateway/src/nonce.rs", "use openssl;"),
            ("store/src/lib.rs", "let x: ::sled::Db;"),
            ("gateway/src/main.rs", "use config::Config;"),
            ("gateway/src/main.rs", "use std::{fmt::{self}, io};\nuse {config::Config};"),
            ("store/src/lib.rs", "mod a { use super::B; }\nfn c() { sled::open(d) }"),
        ] {
            assert_eq!(check_source(path, &code::only(text)).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn modules_words_and_files_behind_the_door_are_fine() {
        for (path, text) in [
            ("gateway/src/jws/verify.rs", "use josekit::jwk::Jwk;"),
            ("tests/src/client.rs", "use openssl::pkey::PKey;"),
            ("store/src/backend/mod.rs", "mod sled;\npub use self::sled::SledBackend;\nuse crate::backend::sled::A;"),
            ("store/src/backend/node.rs", "use super::{\n    A, b::{C, D},\n    sled::{Database},\n};"),
            ("store/src/lib.rs", "// sled::open\nlet a = \"sled::open\";"),
            ("gateway/src/settings/load.rs", "use config::Config;"),
            ("sandbox/src/main.rs", "config::load()"),
        ] {
            assert_eq!(check_source(path, &code::only(text)), [], "{path}: {text}");
        }
    }
}
