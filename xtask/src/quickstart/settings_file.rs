//! The gateway's settings of a quickstart: a short, commented file that is written once, follows the command line as
//! long as nobody edits it, and belongs to the person who does.
//!
//! A checksum in the first line tells which of the two it is. It guards against nothing but forgetfulness.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
};

use anyhow::Context as _;

use super::{
    CertificateManager,
    layout::{Layout, replace},
    openbao,
};

/// What the settings depend on.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    pub(crate) external_url: String,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) ops: SocketAddr,
    pub(crate) cm_url: String,
    pub(crate) cm: CertificateManager,
    pub(crate) resolver: SocketAddr,
    pub(crate) http_01_port: u16,
    pub(crate) tls_alpn_01_port: u16,
}

/// What became of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// There was none; now there is.
    Written,
    /// It is as it would be written now.
    AsBefore,
    /// It was ours, for another command line.
    Rewritten,
    /// A person edited it; it is kept. It differs from what the command line asks in these.
    Edited(Vec<Difference>),
}

/// A setting that an edited file has otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    setting: String,
    found: Option<String>,
    wanted: String,
    /// The quickstart itself needs it and cannot go on.
    pub(crate) fatal: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, found, wanted, .. } = self;
        match found {
            Some(found) => write!(out, "{setting} is {found} there, and {wanted} by the command line"),
            None => write!(out, "{setting} is not set there, and {wanted} by the command line"),
        }
    }
}

/// Puts the file there, or keeps the one that a person edited.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn place(file: &Path, values: &Values, layout: &Layout) -> anyhow::Result<Placed> {
    let tables = tables(values, layout);
    let fresh = with_checksum(&render(&tables));
    let placed = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Placed::Written,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
        Ok(found) if found == fresh => return Ok(Placed::AsBefore),
        Ok(found) if is_ours(&found) => Placed::Rewritten,
        Ok(found) => return Ok(Placed::Edited(differences(&tables, &found))),
    };
    replace(file, fresh.as_bytes(), 0o644)?;
    Ok(placed)
}

/// A table of the file.
struct Table {
    name: &'static str,
    settings: Vec<Setting>,
}

/// A setting with the comment above it; without one it belongs to the setting before.
struct Setting {
    name: &'static str,
    value: String,
    comment: &'static str,
}

fn tables(values: &Values, layout: &Layout) -> Vec<Table> {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let path = |value: &Path| text(&value.to_string_lossy());
    let addresses = |list: &[SocketAddr]| {
        format!("[{}]", list.iter().map(|address| text(&address.to_string())).collect::<Vec<_>>().join(", "))
    };
    let set = |name, value, comment| Setting { name, value, comment };
    let mut tables = vec![
        Table {
            name: "server",
            settings: vec![
                set(
                    "external_url",
                    text(&values.external_url),
                    "Where clients reach the gateway. Account URLs begin with it.",
                ),
                set("listen", addresses(&values.listen), "Loopback only: this is a demonstration."),
                set(
                    "certificate_file",
                    path(&layout.pki("acme-server.pem")),
                    "For localhost, by the throwaway CA acme-ca.pem.",
                ),
                set("key_file", path(&layout.pki("acme-server.key")), ""),
                set("connections_per_address_max", "10000".to_owned(), "Every client here has this machine's address."),
            ],
        },
        Table {
            name: "ops",
            settings: vec![set("listen", text(&values.ops.to_string()), "/healthz, /readyz and /metrics.")],
        },
        Table {
            name: "cm",
            settings: vec![
                set("kind", text(values.cm.name()), ""),
                set("url", text(&values.cm_url), values.cm.comment()),
                set(
                    "ca_file",
                    path(&layout.pki("infra-ca.pem")),
                    "The only CA that is trusted for the CM's own certificate.",
                ),
                set("certificate_file", path(&layout.pki("gateway.pem")), "The gateway's identity at the CM."),
                set("key_file", path(&layout.pki("gateway.key")), ""),
                set(
                    "issuer_roots_file",
                    path(&layout.pki("roots.pem")),
                    "Every issued certificate must chain to one of these roots.",
                ),
            ],
        },
        Table {
            name: "store",
            settings: vec![set(
                "dir",
                path(&layout.store()),
                "Orders in flight; may be deleted while the gateway is down.",
            )],
        },
        Table {
            name: "secrets",
            settings: vec![set("seal_key_file", path(&layout.seal_key()), "Made at the first start.")],
        },
        Table {
            name: "validation",
            settings: vec![
                set("resolvers", addresses(&[values.resolver]), "The DNS that challenges are checked against."),
                set(
                    "http_port",
                    values.http_01_port.to_string(),
                    "Where http-01 is dialled. In the real world this is 80.",
                ),
                set(
                    "tls_port",
                    values.tls_alpn_01_port.to_string(),
                    "Where tls-alpn-01 is dialled. In the real world this is 443.",
                ),
                set(
                    "danger_allow_loopback",
                    "true".to_owned(),
                    "WARNING: lets validation dial this very machine. Never set this in production: whoever may order\n\
                     # certificates could make the gateway talk to services that listen on loopback.",
                ),
            ],
        },
        Table {
            name: "limits",
            settings: vec![
                set(
                    "exempt",
                    format!("[{}, {}]", text("127.0.0.0/8"), text("::1/128")),
                    "A demonstration may be loaded: what is counted by address or account is not counted here.",
                ),
                set("requests_per_account", text("off"), ""),
                set("new_orders_per_account", text("off"), ""),
                set("new_orders_per_external_account", text("off"), ""),
                set("new_orders_per_endpoint", text("off"), ""),
                set("pending_orders_per_account_max", text("off"), ""),
            ],
        },
        Table {
            name: "endpoints.open",
            settings: vec![
                set("realm", text("open"), "Anyone may create an account here."),
                set("mode", text("open"), ""),
            ],
        },
        Table {
            name: "endpoints.registered",
            settings: vec![
                set(
                    "realm",
                    text("registered"),
                    "Clients need the external account key of a registration that an officer made.",
                ),
                set("mode", text("registered"), ""),
            ],
        },
    ];
    if values.cm == CertificateManager::OpenBao {
        let duration = openbao::REQUEST_DURATION_MAX_SECS.to_string();
        tables.push(Table {
            name: "cm.openbao",
            settings: vec![
                set("mount", text(openbao::MOUNT), "Where deploy/openbao/prepare made the realms."),
                set("request_duration_max_secs", duration, "As max_request_duration of its listener."),
            ],
        });
    }
    tables
}

fn render(tables: &[Table]) -> String {
    let mut out = String::from(
        "# Settings of acme-gateway for a demonstration. What is not here is as in config/gateway.toml, which explains\n\
         # every setting.\n",
    );
    for table in tables {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n[{}]\n", table.name);
        for Setting { name, value, comment } in &table.settings {
            if !comment.is_empty() {
                let _ = writeln!(out, "# {comment}");
            }
            let _ = writeln!(out, "{name} = {value}");
        }
    }
    out
}

const OURS: &str = "# Written by cargo xtask quickstart, checksum ";
const OURS_END: &str = ". Edit below and the file is yours: then it is kept as it is.";

fn with_checksum(body: &str) -> String {
    format!("{OURS}{:016x}{OURS_END}\n{body}", checksum(body))
}

fn is_ours(text: &str) -> bool {
    text.split_once('\n').is_some_and(|(_, body)| text == with_checksum(body))
}

/// FNV-1a, 64 bits.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}

fn differences(tables: &[Table], found: &str) -> Vec<Difference> {
    let found = assignments(found);
    let mut differences = Vec::new();
    for table in tables {
        for Setting { name, value, .. } in &table.settings {
            let setting = format!("{}.{name}", table.name);
            let there = found.get(&setting);
            if there != Some(value) {
                // These two are where the quickstart looks for the gateway.
                let fatal = matches!(setting.as_str(), "server.external_url" | "ops.listen");
                differences.push(Difference { setting, found: there.cloned(), wanted: value.clone(), fatal });
            }
        }
    }
    differences
}

/// Settings of a file by their full name, each with its value as it is written. Reads what people write by hand in
/// this file: tables and one setting a line.
fn assignments(text: &str) -> BTreeMap<String, String> {
    let mut table = String::new();
    let mut assignments = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name) {
            name.trim().clone_into(&mut table);
        } else if let Some((name, value)) = line.split_once('=') {
            let value = value.split_once(" #").map_or(value, |(value, _)| value);
            assignments.insert(format!("{table}.{}", name.trim()), value.trim().to_owned());
        }
    }
    assignments
}

#[cfg(test)]
mod tests {
    use super::{super::layout::tests::folder, *};

    fn values(port: u16) -> Values {
        Values {
            external_url: format!("https://localhost:{port}"),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], port)), format!("[::1]:{port}").parse().unwrap()],
            ops: SocketAddr::from(([127, 0, 0, 1], port + 5)),
            cm: CertificateManager::Rest,
            cm_url: format!("https://127.0.0.1:{}", port + 1),
            resolver: SocketAddr::from(([127, 0, 0, 1], port + 3)),
            http_01_port: 5002,
            tls_alpn_01_port: 5001,
        }
    }

    #[test]
    fn the_file_is_toml_and_sets_only_what_the_gateway_knows() {
        let dir = folder("settings-known");
        let layout = Layout::create(&dir).unwrap();
        let values = Values { cm: CertificateManager::OpenBao, ..values(14000) };
        place(&layout.settings_file(), &values, &layout).unwrap();
        let written: toml::Table = fs::read_to_string(layout.settings_file()).unwrap().parse().unwrap();
        let defaults: toml::Table =
            fs::read_to_string(crate::workspace::root().join("config/gateway.toml")).unwrap().parse().unwrap();
        assert_eq!(written["server"]["listen"].as_array().unwrap().len(), 2);
        assert_eq!(written["validation"]["http_port"].as_integer(), Some(5002));
        assert_eq!(written["cm"]["openbao"]["request_duration_max_secs"].as_integer(), Some(30));
        let known = defaults["cm"]["openbao"].as_table().unwrap();
        assert!(written["cm"]["openbao"].as_table().unwrap().keys().all(|name| known.contains_key(name)));
        for (table, settings) in &written {
            if table == "endpoints" {
                for (endpoint, settings) in settings.as_table().unwrap() {
                    for name in settings.as_table().unwrap().keys() {
                        assert!(defaults["endpoint_defaults"].get(name).is_some(), "{endpoint}.{name}");
                    }
                }
                continue;
            }
            for (name, value) in settings.as_table().unwrap() {
                let default = defaults[table].get(name).unwrap_or_else(|| panic!("{table}.{name} is unknown"));
                let is_off = table == "limits" && value.as_str() == Some("off");
                assert!(is_off || default.same_type(value), "{table}.{name}");
            }
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_that_nobody_edited_follows_the_command_line() {
        let dir = folder("settings-follow");
        let layout = Layout::create(&dir).unwrap();
        let file = layout.settings_file();
        assert_eq!(place(&file, &values(14000), &layout).unwrap(), Placed::Written);
        assert_eq!(place(&file, &values(14000), &layout).unwrap(), Placed::AsBefore);
        assert_eq!(place(&file, &values(15000), &layout).unwrap(), Placed::Rewritten);
        assert!(fs::read_to_string(&file).unwrap().contains("https://localhost:15000"));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_edited_file_is_kept_and_its_differences_are_named() {
        let dir = folder("settings-edited");
        let layout = Layout::create(&dir).unwrap();
        let file = layout.settings_file();
        place(&file, &values(14000), &layout).unwrap();
        let edited = fs::read_to_string(&file).unwrap().replace("http_port = 5002", "http_port = 8080 # mine");
        fs::write(&file, &edited).unwrap();

        let Placed::Edited(found) = place(&file, &values(14000), &layout).unwrap() else { panic!("not kept") };
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["validation.http_port is 8080 there, and 5002 by the command line"]);
        assert!(!found[0].fatal);

        let Placed::Edited(found) = place(&file, &values(15000), &layout).unwrap() else { panic!("not kept") };
        let fatal: Vec<&str> = found.iter().filter(|one| one.fatal).map(|one| one.setting.as_str()).collect();
        assert_eq!(fatal, ["server.external_url", "ops.listen"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), edited);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn paths_with_quotes_and_backslashes_stay_what_they_are() {
        let dir = folder("settings-\"quoted\\ä");
        let layout = Layout::create(&dir).unwrap();
        place(&layout.settings_file(), &values(14000), &layout).unwrap();
        let written: toml::Table = fs::read_to_string(layout.settings_file()).unwrap().parse().unwrap();
        assert_eq!(written["store"]["dir"].as_str().unwrap(), layout.store().to_str().unwrap());
        fs::remove_dir_all(dir).unwrap();
    }
}
