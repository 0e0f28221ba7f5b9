//! Settings read again while the gateway runs: what of them takes effect, and what has to wait for
//! a restart because something was built on it at the start.

use std::{collections::BTreeMap, path::Path};

use acme::base64url;
use aws_lc_rs::digest::{SHA256, digest};
use config::{Config, Map, Source, Value};

use super::{
    Settings, SettingsError,
    load::{settings_of, sources},
    own_file::OwnFile,
};

/// Settings that take effect at once; a dot at the end stands for a whole table. What is not listed
/// waits for a restart.
const CHANGEABLE: [&str; 35] = [
    "server.certificate_file",
    "server.key_file",
    "server.rsa_certificate_file",
    "server.rsa_key_file",
    "server.client_certificates",
    "server.body_octets_max",
    "server_certificate.names",
    "server_certificate.external_account_key_id",
    "server_certificate.external_account_key_file",
    "cm.issuer_roots_file",
    "cm.catalogue_refresh_secs",
    "store.keep_after_end_days",
    "store.keep_issued_days",
    "orders.",
    "validation.resolvers",
    "validation.dns_timeout_secs",
    "validation.http_port",
    "validation.https_port",
    "validation.tls_port",
    "validation.public_addresses",
    "validation.allow",
    "validation.never",
    "validation.danger_allow_loopback",
    "validation.dial_timeout_secs",
    "validation.attempt_timeout_secs",
    "validation.attempts_max",
    "validation.redirects_max",
    "validation.caa_age_max_secs",
    "validation.contact_url",
    "issuance.concurrent_per_account_max",
    "issuance.finalize_wait_secs",
    "limits.",
    "pausing.",
    "log.level",
    "endpoints.",
];
/// Beside `validation.concurrent_max`, which is built on at the start.
const CHANGEABLE_PER_ACCOUNT: &str = "validation.concurrent_per_account_max";
/// Has gone into each endpoint.
const ENDPOINT_DEFAULTS: &str = "endpoint_defaults.";

/// What the sources of settings say, by the name of the setting.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Said(BTreeMap<String, Value>);

/// Settings to go on with.
pub(crate) struct Reloaded {
    /// As the file says, but with the running value of whatever waits for a restart.
    pub(crate) settings: Settings,
    /// The names of those that take effect.
    pub(crate) changed: Vec<String>,
    /// The names of those that were changed and wait for a restart.
    pub(crate) waiting: Vec<String>,
}

/// Reads the operator's file again.
///
/// # Errors
/// [`SettingsError`] naming the setting and the fix; then nothing of the file is to be used.
pub(crate) fn reload(file: &Path, running: &Settings) -> Result<Reloaded, SettingsError> {
    let own = OwnFile::read(file)?;
    reload_from(own.source(), running).map_err(|error| own.locate(error))
}

fn reload_from(own: impl Source + Send + Sync + 'static, running: &Settings) -> Result<Reloaded, SettingsError> {
    let fresh = sources(own)?;
    let wanted = settings_of(fresh.clone())?;
    let differing = wanted.said.differing(&running.said);
    let (changed, waiting): (Vec<_>, Vec<_>) = differing.into_iter().partition(|name| is_changeable(name));
    let mut kept = Config::builder().add_source(fresh);
    for name in &waiting {
        if let Some(value) = running.said.0.get(name) {
            kept = kept.set_override(name, value.clone())?;
        }
    }
    Ok(Reloaded { settings: settings_of(kept.build()?)?, changed, waiting })
}

fn is_changeable(name: &str) -> bool {
    name == CHANGEABLE_PER_ACCOUNT
        || CHANGEABLE.iter().any(|known| if known.ends_with('.') { name.starts_with(known) } else { name == *known })
}

impl Said {
    pub(super) fn of(sources: &Config) -> Result<Self, SettingsError> {
        /// A setting of an endpoint has three parts, every other two.
        const ENDPOINTS: &str = "endpoints";
        let mut said = BTreeMap::new();
        for (table, value) in sources.collect()? {
            for (name, value) in entries(&value) {
                let name = format!("{table}.{name}");
                if table == ENDPOINTS {
                    said.extend(entries(&value).into_iter().map(|(inner, value)| (format!("{name}.{inner}"), value)));
                } else {
                    said.insert(name, value);
                }
            }
        }
        said.retain(|name, _| !name.starts_with(ENDPOINT_DEFAULTS));
        Ok(Self(said))
    }

    /// The SHA-256 of all names and values, in base64url.
    pub(super) fn digest(&self) -> String {
        let lines: String = self.0.iter().map(|(name, value)| format!("{name}={}\n", plain(value))).collect();
        base64url::encode(digest(&SHA256, lines.as_bytes()))
    }

    /// The names of settings that are not the same here and there, in order.
    fn differing(&self, other: &Self) -> Vec<String> {
        let value = |said: &Self, name: &str| said.0.get(name).map(plain);
        let mut names: Vec<_> = self.0.keys().chain(other.0.keys()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| value(self, name) != value(other, name));
        names
    }
}

/// What is in a table; nothing is in anything else.
fn entries(value: &Value) -> Map<String, Value> {
    value.clone().into_table().unwrap_or_default()
}

/// What it says, wherever that was said.
fn plain(value: &Value) -> String {
    if let Ok(table) = value.clone().into_table() {
        let parts: BTreeMap<_, _> = table.iter().map(|(name, value)| (name, plain(value))).collect();
        return format!("{parts:?}");
    }
    if let Ok(values) = value.clone().into_array() {
        return format!("{:?}", values.iter().map(plain).collect::<Vec<_>>());
    }
    value.kind.to_string()
}

#[cfg(test)]
mod tests {
    use config::{File, FileFormat};

    use super::*;

    const BASE: &str = "
        server.external_url = 'https://acme.example.com'
        cm.url = 'https://cm.example.net:9443'
        [endpoints.a]
        website = 'https://example.com'
    ";

    fn running() -> Settings {
        super::super::from_text(BASE).unwrap()
    }

    fn reload_text(text: &str) -> Result<Reloaded, SettingsError> {
        reload_from(File::from_str(text, FileFormat::Toml), &running())
    }

    #[test]
    fn every_changeable_setting_exists() {
        let said = running().said;
        for known in CHANGEABLE.into_iter().chain([CHANGEABLE_PER_ACCOUNT]) {
            let is_there = said.0.keys().any(|name| name == known || known.ends_with('.') && name.starts_with(known));
            assert!(is_there, "{known}");
        }
    }

    /// A setting is named in its column of the manual's table, or the column begins with `all` and the other does not
    /// name it.
    #[test]
    fn the_manual_says_of_every_setting_whether_it_waits_for_a_restart() {
        let names = |cell: &str, setting: &str| {
            cell.split('`').skip(1).step_by(2).any(|name| {
                name == setting || name.strip_suffix('*').is_some_and(|beginning| setting.starts_with(beginning))
            })
        };
        let manual = include_str!("../../../docs/OPERATIONS.md");
        let rows =
            || manual.lines().filter(|line| line.starts_with("| `[")).map(|line| line.split('|').collect::<Vec<_>>());
        for name in running().said.0.keys() {
            let (table, setting) = name.split_once('.').unwrap();
            let row = rows().find(|row| row[1].contains(&format!("`[{table}]`"))).unwrap_or_else(|| panic!("{name}"));
            let (own, other) = if is_changeable(name) { (row[2], row[3]) } else { (row[3], row[2]) };
            let is_told = names(own, setting) || own.trim_start().starts_with("all") && !names(other, setting);
            assert!(is_told, "{name}");
        }
    }

    #[test]
    fn the_same_file_changes_nothing() {
        let again = reload_text(BASE).unwrap();
        assert_eq!((again.changed, again.waiting), (Vec::new(), Vec::new()));
        assert_eq!(plain_of(&again.settings), plain_of(&running()));
    }

    fn plain_of(settings: &Settings) -> BTreeMap<String, String> {
        settings.said.0.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
    }

    #[test]
    fn what_can_change_changes_and_what_cannot_is_named_and_kept() {
        let text = format!(
            "store.dir = '/elsewhere'\nserver.listen = ['127.0.0.1:1']\nops.listen = '127.0.0.1:2'\norders.identifiers_max = 7\n\
             validation.concurrent_max = 3\nvalidation.concurrent_per_account_max = 2\n\
             limits.new_orders_per_account.burst = 5\nlimits.requests_per_account = 'off'\n{}\n[endpoints.b]\n",
            BASE.replace("example.com'\n    ", "example.org'\n").replace("acme.example.com", "acme.example.org")
        );
        let reloaded = reload_text(&text).unwrap();
        assert_eq!(
            reloaded.waiting,
            ["ops.listen", "server.external_url", "server.listen", "store.dir", "validation.concurrent_max"]
        );
        for name in [
            "orders.identifiers_max",
            "validation.concurrent_per_account_max",
            "limits.new_orders_per_account",
            "limits.requests_per_account",
            "endpoints.a.website",
            "endpoints.b.mode",
        ] {
            assert!(reloaded.changed.iter().any(|changed| changed == name), "{name}: {:?}", reloaded.changed);
        }
        let (new, old) = (&reloaded.settings, running());
        assert_eq!((&new.store.dir, &new.server.listen), (&old.store.dir, &old.server.listen));
        assert_eq!(new.server.external_url, old.server.external_url);
        assert_eq!(new.validation.concurrent_max, old.validation.concurrent_max);
        assert_eq!((new.orders.identifiers_max, new.endpoints.len()), (7, 2));
    }

    #[test]
    fn a_file_that_is_not_sound_is_refused_even_where_it_would_not_take_effect() {
        for (line, named) in
            [("server.listen = []", "server.listen"), ("orders.identifiers_max = 0", "orders.identifiers_max")]
        {
            let error = reload_text(&format!("{line}\n{BASE}")).err().unwrap().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
