//! Settings: what operators decide. One struct a table of `config/gateway.toml`, which is
//! compiled in and carries every default.

mod check;
mod compatibility;
mod files;
mod guard;
mod limits;
mod load;
#[cfg(test)]
mod mistakes;
mod own_file;
mod reload;
mod values;
mod words;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use acme::{
    caa::Weight,
    challenge::ChallengeKind,
    ids::{EndpointName, ProfileName, RealmName},
    time::Timestamp,
};
use ipnet::IpNet;
use serde::Deserialize;

pub(crate) use check::SettingsError;
pub(crate) use compatibility::{Compatibility, Switch};
pub(crate) use files::{gateway_user, judge_for_owner_of, require_private, require_readable};
pub(crate) use guard::{is_not_shown, is_open_folder, open_to_others};
pub(crate) use limits::{Limit, Limits, Pausing};
#[cfg(test)]
pub(crate) use load::from_text;
pub(crate) use load::{load, stray_variables};
pub(crate) use reload::{Reloaded, reload};
use values::{ExternalUrl, Seconds, optional_id, optional_path, optional_text, optional_time};

/// All settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) server: Server,
    pub(crate) server_certificate: ServerCertificate,
    pub(crate) ops: Ops,
    pub(crate) cm: Cm,
    pub(crate) store: Store,
    pub(crate) secrets: Secrets,
    pub(crate) audit: Audit,
    pub(crate) orders: Orders,
    pub(crate) validation: Validation,
    pub(crate) issuance: Issuance,
    pub(crate) limits: Limits,
    pub(crate) pausing: Pausing,
    pub(crate) log: Log,
    /// Has gone into each of `endpoints` when this is read.
    #[serde(rename = "endpoint_defaults")]
    _endpoint_defaults: serde::de::IgnoredAny,
    #[serde(default)]
    pub(crate) endpoints: BTreeMap<EndpointName, Endpoint>,
    /// What was said, to tell later what has changed.
    #[serde(skip)]
    said: reload::Said,
}

impl Settings {
    /// The names that the gateway's own certificate is asked for.
    pub(crate) fn server_names(&self) -> Vec<String> {
        let names = &self.server_certificate.names;
        if names.is_empty() { vec![self.server.external_url.host().to_owned()] } else { names.clone() }
    }

    /// The folder of the audit files.
    pub(crate) fn audit_dir(&self) -> PathBuf {
        self.audit.dir.clone().unwrap_or_else(|| self.beside_the_store("audit"))
    }

    /// The file with the key that signs checkpoints of the audit files.
    pub(crate) fn audit_key_file(&self) -> PathBuf {
        self.audit.key_file.clone().unwrap_or_else(|| self.beside_the_store("audit.key"))
    }

    fn beside_the_store(&self, name: &str) -> PathBuf {
        self.store.dir.parent().map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
    }

    /// A digest of all that was said, which tells whether two processes had the same settings.
    pub(crate) fn digest(&self) -> String {
        self.said.digest()
    }
}

/// The HTTPS listener.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) external_url: ExternalUrl,
    #[serde(deserialize_with = "words::addresses")]
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) certificate_file: PathBuf,
    pub(crate) key_file: PathBuf,
    #[serde(deserialize_with = "optional_path")]
    pub(crate) rsa_certificate_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional_path")]
    pub(crate) rsa_key_file: Option<PathBuf>,
    #[serde(deserialize_with = "words::client_certificates")]
    pub(crate) client_certificates: ClientCertificates,
    pub(crate) workers: usize,
    #[serde(rename = "handshake_timeout_secs")]
    pub(crate) handshake_timeout: Seconds,
    #[serde(rename = "head_timeout_secs")]
    pub(crate) head_timeout: Seconds,
    #[serde(rename = "body_timeout_secs")]
    pub(crate) body_timeout: Seconds,
    #[serde(rename = "write_timeout_secs")]
    pub(crate) write_timeout: Seconds,
    #[serde(rename = "keep_alive_secs")]
    pub(crate) keep_alive: Seconds,
    #[serde(rename = "connection_lifetime_secs")]
    pub(crate) connection_lifetime: Seconds,
    pub(crate) requests_per_connection_max: u32,
    pub(crate) body_octets_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: u32,
    pub(crate) handshakes_per_second_max: u32,
    pub(crate) requests_in_hand_max: usize,
    pub(crate) drain_secs: u16,
    #[serde(rename = "shutdown_timeout_secs")]
    pub(crate) shutdown_timeout: Seconds,
}

/// Whether clients are asked for a certificate in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientCertificates {
    /// They are not.
    Ignore,
    /// They are, and need not have one.
    Request,
}

/// The gateway's own server certificate, if the CM issues it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerCertificate {
    #[serde(deserialize_with = "optional_id")]
    pub(crate) from_endpoint: Option<EndpointName>,
    names: Vec<String>,
    #[serde(deserialize_with = "optional_text")]
    pub(crate) external_account_key_id: Option<String>,
    #[serde(deserialize_with = "optional_path")]
    pub(crate) external_account_key_file: Option<PathBuf>,
    pub(crate) dir: PathBuf,
}

/// The listener for operators.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ops {
    #[serde(deserialize_with = "words::address")]
    pub(crate) listen: SocketAddr,
    #[serde(deserialize_with = "optional_path")]
    pub(crate) admin_socket: Option<PathBuf>,
}

/// The way to the Certificate Manager.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cm {
    #[serde(deserialize_with = "words::cm_kind")]
    pub(crate) kind: CmKind,
    pub(crate) url: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) certificate_file: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) issuer_roots_file: PathBuf,
    #[serde(rename = "registration_cache_secs")]
    pub(crate) registration_cache: Seconds,
    #[serde(rename = "registration_stale_secs")]
    pub(crate) registration_stale: Seconds,
    #[serde(rename = "catalogue_refresh_secs")]
    pub(crate) catalogue_refresh: Seconds,
    pub(crate) openbao: OpenBao,
}

/// Which adapter speaks with the CM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CmKind {
    /// The one for the CM REST API.
    Rest,
    /// The one for OpenBao.
    OpenBao,
}

/// What the adapter for OpenBao has to know beside.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenBao {
    pub(crate) more_urls: Vec<String>,
    pub(crate) mount: String,
    pub(crate) login_mount: String,
    pub(crate) login_role: String,
    #[serde(rename = "request_duration_max_secs")]
    pub(crate) request_duration_max: Seconds,
}

impl Cm {
    /// Every address of the CM.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &str> {
        let more = self.openbao.more_urls.iter().filter(|_| self.kind == CmKind::OpenBao);
        std::iter::once(&self.url).chain(more).map(String::as_str)
    }
}

/// Where orders in flight are kept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) dir: PathBuf,
    pub(crate) ballast_mib: u32,
    pub(crate) keep_after_end_days: u32,
    pub(crate) keep_issued_days: u32,
}

/// Files with keys of our own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    pub(crate) seal_key_file: PathBuf,
}

/// Where it is kept what was done and decided.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Audit {
    #[serde(deserialize_with = "optional_path")]
    dir: Option<PathBuf>,
    #[serde(deserialize_with = "optional_path")]
    pub(crate) key_file: Option<PathBuf>,
    #[serde(deserialize_with = "words::on_failure")]
    pub(crate) on_failure: OnFailure,
    #[serde(rename = "checkpoint_secs")]
    pub(crate) checkpoint: Seconds,
}

/// What becomes of issuance while the audit files cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Nothing new is issued.
    Stop,
    /// It goes on, and events wait in the store.
    Continue,
}

/// Life and size of orders.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Orders {
    #[serde(rename = "lifetime_secs")]
    pub(crate) lifetime: Seconds,
    pub(crate) identifiers_max: usize,
}

/// How control is proven, and which addresses may be dialled for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Validation {
    #[serde(deserialize_with = "words::resolvers")]
    pub(crate) resolvers: Vec<SocketAddr>,
    #[serde(rename = "dns_timeout_secs")]
    pub(crate) dns_timeout: Seconds,
    pub(crate) http_port: u16,
    pub(crate) https_port: u16,
    pub(crate) tls_port: u16,
    pub(crate) public_addresses: bool,
    #[serde(deserialize_with = "words::networks")]
    pub(crate) allow: Vec<IpNet>,
    #[serde(deserialize_with = "words::networks")]
    pub(crate) never: Vec<IpNet>,
    pub(crate) danger_allow_loopback: bool,
    #[serde(rename = "dial_timeout_secs")]
    pub(crate) dial_timeout: Seconds,
    #[serde(rename = "attempt_timeout_secs")]
    pub(crate) attempt_timeout: Seconds,
    pub(crate) attempts_max: u32,
    pub(crate) redirects_max: usize,
    caa_age_max_secs: u32,
    pub(crate) concurrent_max: usize,
    pub(crate) concurrent_per_account_max: usize,
    pub(crate) concurrent_per_target_max: usize,
    #[serde(deserialize_with = "optional_text")]
    pub(crate) contact_url: Option<String>,
}

impl Validation {
    /// How long a look at CAA records counts.
    pub(crate) fn caa_age_max(&self) -> Duration {
        Duration::from_secs(self.caa_age_max_secs.into())
    }
}

/// How certificates are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuance {
    pub(crate) concurrent_max: usize,
    pub(crate) concurrent_per_account_max: usize,
    #[serde(rename = "finalize_wait_secs")]
    pub(crate) finalize_wait: Seconds,
}

/// What is logged, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    #[serde(deserialize_with = "words::log_format")]
    pub(crate) format: LogFormat,
    pub(crate) level: String,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// One ACME directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    #[serde(deserialize_with = "optional_id")]
    pub(crate) realm: Option<RealmName>,
    #[serde(deserialize_with = "words::mode")]
    pub(crate) mode: Mode,
    #[serde(deserialize_with = "optional_id")]
    pub(crate) profile: Option<ProfileName>,
    #[serde(deserialize_with = "words::challenges")]
    pub(crate) challenges: Vec<ChallengeKind>,
    #[serde(deserialize_with = "words::caa")]
    pub(crate) caa: Weight,
    pub(crate) compatibility: Compatibility,
    pub(crate) authorization_reuse_secs: u32,
    pub(crate) pre_authorization: bool,
    #[serde(deserialize_with = "optional_text")]
    pub(crate) terms_of_service: Option<String>,
    #[serde(deserialize_with = "optional_time")]
    pub(crate) terms_of_service_since: Option<Timestamp>,
    #[serde(deserialize_with = "optional_text")]
    pub(crate) website: Option<String>,
}

/// Who may create accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Anyone.
    Open,
    /// Holders of an external account key that an officer gave out.
    Registered,
}
