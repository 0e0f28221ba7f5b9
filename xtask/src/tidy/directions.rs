//! Who may import whom. The table is the picture in `docs/ARCHITECTURE.md`; cargo knows the facts.

use serde_json::Value;

use super::Finding;

/// A crate of ours as cargo describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A line of a `Cargo.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The package, whatever it is called in the code.
    pub(crate) package: String,
    /// Only tests, examples and benches see it.
    pub(crate) development: bool,
    /// It is one of our own crates.
    pub(crate) ours: bool,
}

/// Each crate with those of ours that it may import, in tests as elsewhere.
const DIRECTIONS: [(&str, &[&str]); 11] = [
    ("acme", &[]),
    ("policies", &["acme"]),
    ("store", &["acme"]),
    ("validation", &["acme"]),
    ("cm-connector", &["acme"]),
    ("gateway", &["acme", "policies", "store", "validation", "cm-connector"]),
    ("officer", &["acme", "policies", "cm-connector"]),
    // The contract between it and the gateway is written down; code would carry mistakes to both sides.
    ("sandbox", &[]),
    ("tests", &["acme", "policies", "store", "validation", "cm-connector"]),
    ("fuzz", &["acme", "policies", "validation", "cm-connector", "gateway"]),
    ("xtask", &[]),
];

/// Our crates, from `cargo metadata --no-deps`.
pub(crate) fn crates(metadata: &Value) -> Vec<Crate> {
    let list = |value: &Value, member: &str| value.get(member).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, member: &str| value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    list(metadata, "packages")
        .iter()
        .map(|package| Crate {
            name: text(package, "name"),
            dependencies: list(package, "dependencies")
                .iter()
                .map(|dependency| Dependency {
                    package: text(dependency, "name"),
                    development: dependency.get("kind").and_then(Value::as_str) == Some("dev"),
                    ours: dependency.get("path").is_some_and(Value::is_string),
                })
                .collect(),
        })
        .collect()
}

/// Finds imports that the table does not have.
pub(crate) fn check(crates: &[Crate]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Crate { name, dependencies } in crates {
        let manifest = format!("{name}/Cargo.toml");
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(row, _)| row == name) else {
            let rule = format!("the crate {name} has no row in the table of directions: add it there with an ADR");
            findings.push(Finding::new(&manifest, 1, rule));
            continue;
        };
        for dependency in dependencies.iter().filter(|dependency| dependency.ours) {
            let other = dependency.package.as_str();
            if !allowed.contains(&other) {
                let rule = format!("{name} must not import {other}: see who may import whom in docs/ARCHITECTURE.md");
                findings.push(Finding::new(&manifest, 1, rule));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn importing(name: &str, other: &str) -> Vec<Crate> {
        crates(&json!({"packages": [{"name": name, "dependencies": [
            {"name": other, "kind": null, "path": "/somewhere"}, {"name": "serde", "kind": "dev"}
        ]}]}))
    }

    #[test]
    fn imports_along_the_picture_are_fine() {
        for (name, other) in [("store", "acme"), ("gateway", "validation"), ("tests", "cm-connector")] {
            assert_eq!(check(&importing(name, other)), []);
        }
    }

    #[test]
    fn imports_against_the_picture_are_found() {
        let against = [
            ("acme", "policies"),
            ("store", "validation"),
            ("policies", "cm-connector"),
            ("tests", "gateway"),
            ("officer", "gateway"),
            ("sandbox", "acme"),
            ("xtask", "acme"),
        ];
        for (name, other) in against {
            let findings = check(&importing(name, other));
            assert_eq!(findings.len(), 1, "{name} imports {other}");
            assert!(findings[0].rule.contains(&format!("{name} must not import {other}")));
        }
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert!(check(&importing("utils", "acme"))[0].rule.contains("no row"));
    }

    #[test]
    fn the_table_has_a_row_for_every_crate_of_this_repository() {
        let findings = check(&crates(&crate::workspace::metadata().unwrap()));
        assert!(findings.iter().all(|finding| !finding.rule.contains("no row")), "{findings:?}");
    }

    #[test]
    fn nobody_but_the_fuzz_targets_may_import_the_gateway() {
        let importers = |of: &str| -> Vec<&str> {
            DIRECTIONS.iter().filter(|(_, allowed)| allowed.contains(&of)).map(|(name, _)| *name).collect()
        };
        assert_eq!(importers("gateway"), ["fuzz"]);
        assert_eq!(importers("xtask"), Vec::<&str>::new());
    }
}
