//! What settings must satisfy beyond their types, each refusal naming the setting and the fix.

use std::collections::{BTreeMap, BTreeSet};

use acme::{challenge::ChallengeKind, identifier::DnsName, ids::RealmName};
use cm_connector::openbao::is_path;
use config::ConfigError;

use super::{
    CmKind, Mode, Settings,
    values::{check_cm_url, check_log_level, is_web_url},
};

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// Not readable, unknown, or of the wrong type; the text names the setting.
    #[error("{0}")]
    Unreadable(String),
    /// Readable, but not sound.
    #[error("{setting}: {reason}")]
    Unsound { setting: String, reason: String },
    /// One of these, and where it was said.
    #[error("{place}: {error}")]
    At { place: String, error: Box<Self> },
}

impl From<ConfigError> for SettingsError {
    /// As text: its causes say the same again.
    fn from(error: ConfigError) -> Self {
        match told(&error) {
            (Some(setting), reason) => Self::Unsound { setting, reason },
            (None, reason) => Self::Unreadable(reason),
        }
    }
}

/// The setting, if it is known, and what is wrong with it.
fn told(error: &ConfigError) -> (Option<String>, String) {
    if let ConfigError::At { error, key, .. } = error {
        let (inner, reason) = told(error);
        return (key.clone().or(inner), reason);
    }
    if let ConfigError::Type { unexpected, expected, key, .. } = error {
        return (key.clone(), format!("invalid type: {unexpected}, expected {expected}"));
    }
    (None, error.to_string().replace('\n', ", "))
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let refuse = |setting: &str, reason: &str| {
            Err(SettingsError::Unsound { setting: setting.to_owned(), reason: reason.to_owned() })
        };
        if let Err(reason) = self.server.external_url.check() {
            return refuse("server.external_url", &format!("{reason}; give it as https://acme.example.com"));
        }
        if self.endpoints.is_empty() {
            return refuse(
                "endpoints",
                "there is none; add a table such as [endpoints.servers] with its realm and mode",
            );
        }
        if self.server.listen.is_empty() {
            return refuse("server.listen", "there is no address; give at least one, such as [::]:443");
        }
        match (&self.server.rsa_certificate_file, &self.server.rsa_key_file) {
            (Some(_), None) => return refuse("server.rsa_key_file", "it is missing; give the key of the certificate"),
            (None, Some(_)) => {
                return refuse("server.rsa_certificate_file", "it is missing; give the certificate of the key");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.check_addresses()?;
        if let Err(reason) = check_cm_url(&self.cm.url) {
            return refuse("cm.url", &reason);
        }
        if let Err(reason) = check_log_level(&self.log.level) {
            return refuse("log.level", &reason);
        }
        self.check_openbao()?;
        if self.validation.resolvers.is_empty() {
            return refuse("validation.resolvers", "there is none; give the DNS resolvers as address:port");
        }
        if self.validation.attempts_max == 0 || self.validation.attempts_max > 10 {
            return refuse("validation.attempts_max", "give 1 to 10 attempts");
        }
        const CAA_AGE_MAX: std::time::Duration = std::time::Duration::from_secs(8 * 3600);
        if self.validation.caa_age_max() >= CAA_AGE_MAX {
            return refuse("validation.caa_age_max_secs", "give less than 28800; after 8 hours no look at CAA counts");
        }
        if self.orders.identifiers_max == 0 || self.orders.identifiers_max > 100 {
            return refuse("orders.identifiers_max", "give 1 to 100; the CM takes no more");
        }
        if self.store.dir == self.secrets.seal_key_file || self.secrets.seal_key_file.starts_with(&self.store.dir) {
            return refuse("secrets.seal_key_file", "it must lie outside store.dir, which may be deleted");
        }
        self.check_audit()?;
        let limits = [
            ("server.body_octets_max", self.server.body_octets_max),
            ("server.connections_max", self.server.connections_max),
            (
                "server.connections_per_address_max",
                usize::try_from(self.server.connections_per_address_max).unwrap_or(usize::MAX),
            ),
            (
                "server.handshakes_per_second_max",
                usize::try_from(self.server.handshakes_per_second_max).unwrap_or(usize::MAX),
            ),
            ("server.requests_in_hand_max", self.server.requests_in_hand_max),
            ("validation.concurrent_max", self.validation.concurrent_max),
            ("validation.concurrent_per_account_max", self.validation.concurrent_per_account_max),
            ("validation.concurrent_per_target_max", self.validation.concurrent_per_target_max),
            ("issuance.concurrent_max", self.issuance.concurrent_max),
            ("issuance.concurrent_per_account_max", self.issuance.concurrent_per_account_max),
        ];
        if let Some((setting, _)) = limits.iter().find(|(_, limit)| *limit == 0) {
            return refuse(setting, "0 would let nothing pass; give at least 1");
        }
        self.check_limits()?;
        self.check_endpoints()?;
        self.check_server_certificate()
    }

    /// An address can be listened at once. Port 0 is another one each time.
    fn check_addresses(&self) -> Result<(), SettingsError> {
        let mut seen = BTreeSet::new();
        let all = self.server.listen.iter().map(|address| ("server.listen", address));
        let taken = all
            .chain([("ops.listen", &self.ops.listen)])
            .find(|(_, address)| address.port() != 0 && !seen.insert(*address));
        match taken {
            None => Ok(()),
            Some((setting, address)) => Err(SettingsError::Unsound {
                setting: setting.to_owned(),
                reason: format!("{address} is in server.listen already; name it once, or give another port"),
            }),
        }
    }

    /// What tells of the past must outlive the store, and its key must not lie where auditors read.
    fn check_audit(&self) -> Result<(), SettingsError> {
        let refuse = |setting: &str, reason: &str| {
            Err(SettingsError::Unsound { setting: format!("audit.{setting}"), reason: reason.to_owned() })
        };
        let (dir, key_file) = (self.audit_dir(), self.audit_key_file());
        if dir.starts_with(&self.store.dir) {
            return refuse("dir", "it must lie outside store.dir, which may be deleted");
        }
        if key_file.starts_with(&self.store.dir) {
            return refuse("key_file", "it must lie outside store.dir, which may be deleted");
        }
        if key_file.starts_with(&dir) {
            return refuse("key_file", "it must lie outside audit.dir, which is for others to read");
        }
        Ok(())
    }

    /// Only what OpenBao can have as a path can be asked of it.
    fn check_openbao(&self) -> Result<(), SettingsError> {
        let refuse = |setting: &str, reason: &str| {
            Err(SettingsError::Unsound { setting: format!("cm.openbao.{setting}"), reason: reason.to_owned() })
        };
        let own = &self.cm.openbao;
        if self.cm.kind != CmKind::OpenBao {
            // Whoever names more nodes means OpenBao.
            let stray = !own.more_urls.is_empty();
            return if stray {
                refuse("more_urls", "it counts for OpenBao only; set cm.kind to openbao")
            } else {
                Ok(())
            };
        }
        if let Some(reason) = own.more_urls.iter().find_map(|url| check_cm_url(url).err()) {
            return refuse("more_urls", &reason);
        }
        let paths = [("mount", &own.mount), ("login_mount", &own.login_mount), ("login_role", &own.login_role)];
        match paths.into_iter().find(|(_, path)| !is_path(path)) {
            None => Ok(()),
            Some((setting, _)) => refuse(
                setting,
                "it is no path of OpenBao; give letters, digits, - _ and . between slashes, such as acme",
            ),
        }
    }

    /// The gateway's own certificate must be one that the endpoint can issue to it.
    fn check_server_certificate(&self) -> Result<(), SettingsError> {
        let refuse = |setting: &str, reason: &str| {
            Err(SettingsError::Unsound { setting: format!("server_certificate.{setting}"), reason: reason.to_owned() })
        };
        let own = &self.server_certificate;
        match (&own.external_account_key_id, &own.external_account_key_file) {
            (Some(_), None) => return refuse("external_account_key_file", "it is missing; give the file of the key"),
            (None, Some(_)) => return refuse("external_account_key_id", "it is missing; give the id of the key"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let Some(name) = &own.from_endpoint else { return Ok(()) };
        let Some(endpoint) = self.endpoints.get(name) else {
            return refuse("from_endpoint", &format!("there is no endpoint {name}; name one of [endpoints]"));
        };
        if !endpoint.challenges.contains(&ChallengeKind::TlsAlpn01) {
            let reason = format!("the gateway proves its names by tls-alpn-01; add it to endpoints.{name}.challenges");
            return refuse("from_endpoint", &reason);
        }
        if endpoint.mode == Mode::Registered && own.external_account_key_id.is_none() {
            let reason = format!("endpoint {name} wants an external account key; ask the registration officer for one");
            return refuse("external_account_key_id", &reason);
        }
        if own.dir == self.store.dir || own.dir.starts_with(&self.store.dir) {
            return refuse("dir", "it must lie outside store.dir, which may be deleted");
        }
        let names = self.server_names();
        if names.len() > self.orders.identifiers_max {
            return refuse("names", "there are more than orders.identifiers_max");
        }
        let is_good = |name: &String| DnsName::parse(name).is_ok_and(|parsed| parsed.as_str() == name.as_str());
        match names.iter().find(|name| !is_good(name)) {
            Some(bad) => refuse("names", &format!("{bad} is no DNS name in lower case; give names without wildcards")),
            None => Ok(()),
        }
    }

    /// Clients have to poll, and to ask for a nonce before they can do anything.
    fn check_limits(&self) -> Result<(), SettingsError> {
        let limits = [
            ("limits.requests_per_account", self.limits.requests_per_account, 5),
            ("limits.requests_per_address", self.limits.requests_per_address, 20),
        ];
        match limits.into_iter().find(|(_, limit, least)| !limit.allows_each_second(*least)) {
            None => Ok(()),
            Some((setting, _, least)) => Err(SettingsError::Unsound {
                setting: setting.to_owned(),
                reason: format!("clients need {least} requests a second; give a burst of at least {least} * per_secs"),
            }),
        }
    }

    fn check_endpoints(&self) -> Result<(), SettingsError> {
        let mut realms = BTreeMap::new();
        for (name, endpoint) in &self.endpoints {
            let refuse = |setting: &str, reason: &str| {
                Err(SettingsError::Unsound {
                    setting: format!("endpoints.{name}.{setting}"),
                    reason: reason.to_owned(),
                })
            };
            // An account belongs to its realm: under a second endpoint it would escape the first one's mode.
            let realm = endpoint.realm.as_ref().map_or(name.as_str(), RealmName::as_str);
            if let Some(other) = realms.insert(realm, name) {
                return refuse(
                    "realm",
                    &format!("{realm} is the realm of endpoint {other} already; give each endpoint its own"),
                );
            }
            if endpoint.challenges.is_empty() {
                return refuse("challenges", "there is none; give http-01, dns-01 or both");
            }
            if endpoint.challenges.iter().collect::<BTreeSet<_>>().len() < endpoint.challenges.len() {
                return refuse("challenges", "one is named twice; name each once");
            }
            if endpoint.pre_authorization && endpoint.authorization_reuse_secs == 0 {
                return refuse(
                    "pre_authorization",
                    "it is of no use while authorization_reuse_secs is 0, for no order would rest on it; give that at least 3600",
                );
            }
            if endpoint.terms_of_service_since.is_some() && endpoint.terms_of_service.is_none() {
                return refuse(
                    "terms_of_service_since",
                    "there are no terms; set terms_of_service, or leave this empty",
                );
            }
            let urls = [("terms_of_service", &endpoint.terms_of_service), ("website", &endpoint.website)];
            for (setting, url) in urls {
                if url.as_ref().is_some_and(|url| !is_web_url(url)) {
                    return refuse(setting, "it must be a URL that begins with https:// or http:// and has a host");
                }
            }
        }
        Ok(())
    }

    /// Settings that weaken a protection, for a warning at every start.
    pub(crate) fn dangers(&self) -> Vec<&'static str> {
        let mut dangers = Vec::new();
        if self.validation.danger_allow_loopback {
            dangers.push("validation.danger_allow_loopback: validation may dial loopback addresses");
        }
        dangers
    }
}
