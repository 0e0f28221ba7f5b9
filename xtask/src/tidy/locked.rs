//! Versions in `Cargo.lock` that must not come in, by whatever way.

use super::Finding;

/// A package of the lock file.
struct Locked<'t> {
    name: &'t str,
    version: &'t str,
    line: usize,
    dependencies: Vec<&'t str>,
}

/// The first h2 without RUSTSEC-2026-0258 (a peer sends empty DATA frames without end).
const H2_MIN: (u64, u64, u64) = (0, 4, 16);
/// Libraries that would bring TLS by the system's library beside rustls.
const BANNED: [&str; 3] = ["hyper-tls", "native-tls", "tokio-native-tls"];
/// openssl-probe looks for the system's CA files. It comes with reqwest by this package, which the product never
/// asks for roots; any other way in would be one that does.
const PROBE_COMES_WITH: &str = "rustls-native-certs";

/// Finds such versions.
pub(crate) fn check(path: &str, text: &str) -> Vec<Finding> {
    let packages = packages(text);
    let mut findings = Vec::new();
    for Locked { name, version, line, dependencies } in &packages {
        if *name == "h2" && number(version).is_none_or(|version| version < H2_MIN) {
            let rule = format!("h2 {version} is open to RUSTSEC-2026-0258: 0.4.16 is the first release without");
            findings.push(Finding::new(path, *line, rule));
        }
        if BANNED.contains(name) {
            let rule = format!("{name} brings a second TLS stack: use rustls, and see cargo tree -i {name}");
            findings.push(Finding::new(path, *line, rule));
        }
        if dependencies.contains(&"openssl-probe") && *name != PROBE_COMES_WITH {
            let rule = format!("{name} brings openssl-probe, which looks for the system's CA files: we name ours");
            findings.push(Finding::new(path, *line, rule));
        }
    }
    if packages.is_empty() {
        findings.push(Finding::new(path, 1, "no package can be read here: has the format changed?"));
    }
    findings
}

fn packages(text: &str) -> Vec<Locked<'_>> {
    let mut packages: Vec<Locked<'_>> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line == "[[package]]" {
            packages.push(Locked { name: "", version: "", line: number, dependencies: Vec::new() });
        }
        let Some(last) = packages.last_mut() else { continue };
        if let Some(name) = line.strip_prefix("name = ") {
            last.name = name.trim_matches('"');
        } else if let Some(version) = line.strip_prefix("version = ") {
            last.version = version.trim_matches('"');
        } else if let Some(dependency) = line.strip_prefix(" \"") {
            let name = dependency.split(['"', ' ']).next().unwrap_or_default();
            last.dependencies.push(name);
        }
    }
    packages
}

fn number(version: &str) -> Option<(u64, u64, u64)> {
    let plain = version.split(['-', '+']).next()?;
    let mut parts = plain.split('.').map(str::parse::<u64>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(name: &str, version: &str, dependency: &str) -> String {
        format!(
            "version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\ndependencies = [\n \"{dependency}\",\n]\n"
        )
    }

    #[test]
    fn an_old_h2_is_found() {
        for version in ["0.3.27", "0.4.15", "0.4.16-rc.1x", "x"] {
            let found = check("Cargo.lock", &lock("h2", version, "bytes"));
            assert_eq!(found.len(), usize::from(version != "0.4.16-rc.1x"), "{version}");
        }
        assert_eq!(check("Cargo.lock", &lock("h2", "0.4.16", "bytes")), []);
        assert_eq!(check("Cargo.lock", &lock("h2", "0.5.0", "bytes")), []);
    }

    #[test]
    fn a_second_tls_stack_is_found_with_its_line() {
        let found = check("Cargo.lock", &lock("native-tls", "0.2.14", "openssl"));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("Cargo.lock:3: native-tls"));
    }

    #[test]
    fn openssl_probe_comes_by_its_known_way_only() {
        assert_eq!(check("Cargo.lock", &lock("rustls-native-certs", "0.8.5", "openssl-probe")), []);
        assert_eq!(check("Cargo.lock", &lock("git2", "0.20.0", "openssl-probe 0.2.2")).len(), 1);
    }

    #[test]
    fn a_lock_file_that_cannot_be_read_is_found() {
        assert_eq!(check("Cargo.lock", "{}").len(), 1);
    }
}
