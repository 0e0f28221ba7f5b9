//! The endpoints that every world has beside `open` and `registered`, and their realms at the reference CM.

use std::{fs, path::Path};

/// The endpoints beside `open` and `registered`: open to anyone too, each with something of its own and a realm that
/// is called like it.
pub(super) const MORE_ENDPOINTS: [(&str, &str); 9] = [
    ("advisory", "caa = \"advisory\"\n"),
    // The profile of its realm requires what the endpoint leaves out.
    (STRICT, "caa = \"off\"\n"),
    // One profile of its realm requires it, the other does not.
    (MIXED, "caa = \"off\"\n"),
    // Those without a token are not last here, but have to be in what clients see.
    ("drafts", "challenges = [\"dns-persist-01\", \"http-01\", \"dns-01\", \"tls-alpn-01\", \"dns-account-01\"]\n"),
    ("terms", "terms_of_service = \"https://localhost/terms/v1\"\n"),
    ("web", "challenges = [\"http-01\"]\n"),
    ("ahead", "pre_authorization = true\n"),
    (STAPLED, ""),
    (
        "lenient",
        "compatibility = [\"repeat-failed-challenges\", \"inactive-account-403\", \
         \"unauthorized-for-wrong-content\", \"trailing-dot\"]\n",
    ),
];
/// The endpoint whose certificates all carry must-staple.
pub const STAPLED: &str = "stapled";
/// The endpoint whose certificates need evidence of CAA.
const STRICT: &str = "strict";
/// The endpoint where only those of the default profile do.
const MIXED: &str = "mixed";

/// Gives the reference CM the realms of the other endpoints. Tests fail to bind on purpose and order more than a person
/// does: a limit that is not their subject is raised.
pub(super) fn adapt_cm(sandbox: &Path, waives: bool) {
    let file = sandbox.join("cm.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    let names = MORE_ENDPOINTS.map(|(name, _)| name);
    let served = names.map(|name| format!(", {name:?}")).concat();
    let waived = if waives { ", \"waived\"" } else { "" };
    for (old, new) in [
        ("eab_failures = 10\n", "eab_failures = 1000\n"),
        ("\"dns-account-01\"]", &format!("\"dns-account-01\", \"dns-persist-01\"{waived}]")),
        ("realms = [\"open\", \"registered\"]", &format!("realms = [\"open\", \"registered\"{served}]")),
    ] {
        assert!(text.contains(old), "{} has another form than expected: no {old}", file.display());
        text = text.replace(old, new);
    }
    let profiles = text.split("\n[profiles.");
    let profile = profiles.into_iter().find_map(|part| part.strip_prefix("tls-server]")).expect("there is tls-server");
    let strict = profile.replace("caa = \"optional\"", "caa = \"required\"");
    let stapled = profile.replace("must_staple = \"if-requested\"", "must_staple = \"always\"");
    text.push_str(&format!("\n[profiles.tls-server-{STRICT}]{strict}"));
    text.push_str(&format!("\n[profiles.tls-server-{STAPLED}]{stapled}"));
    for name in names {
        let profile = match name {
            STRICT | MIXED => "tls-server-strict",
            STAPLED => "tls-server-stapled",
            _ => "tls-server",
        };
        let other = if name == MIXED { ", \"tls-server\"" } else { "" };
        text.push_str(&format!(
            "\n[realms.{name}]\nmode = \"open\"\nproofs = \"required\"\ndefault_profile = \"{profile}\"\n\
            profiles = [\"{profile}\"{other}]\nallowed_identifiers = {{ mode = \"any\" }}\n"
        ));
    }
    fs::write(file, text).unwrap();
}
