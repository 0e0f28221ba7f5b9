//! What operators decide about validation, and the check of it at start.

use std::{net::SocketAddr, time::Duration};

use acme::identifier::DnsName;
use ipnet::IpNet;
use reqwest::header::HeaderValue;

use crate::denied::denied_as_a_whole;

/// Most resolvers that may be configured.
const RESOLVERS_MAX: usize = 8;
/// Longest time any one setting may grant; an error text names it too.
const DURATION_MAX: Duration = Duration::from_secs(60);
/// Redirects that may be followed at most (BR 3.2.2.4.19 leaves the number open; ten is customary).
const REDIRECTS_MAX: usize = 10;
/// The shortest limit that leaves room for a key authorization (87 octets) and a line end.
const BODY_OCTETS_LEAST: usize = 96;
/// The longest body limit.
const BODY_OCTETS_MOST: usize = 1024;
/// Most TXT records that may be looked at.
const TXT_RECORDS_MOST: usize = 100;
/// Most addresses of one name and family that may be looked at.
const ADDRESSES_MOST: usize = 64;
/// Most attempts at one network at a time.
const CONCURRENT_MOST: usize = 4096;

/// What operators decide about validation. The default dials nothing: it has no resolver and no
/// network that may be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Recursive resolvers, in the order in which they are asked; nothing else ever answers.
    /// DNSSEC is theirs to validate: their SERVFAIL for a bogus answer fails the attempt.
    pub resolvers: Vec<SocketAddr>,
    /// Time one resolver has for one question, aliases included.
    pub dns_timeout: Duration,
    /// TCP port of http-01 and of redirects to `http`; anything but 80 is for tests.
    pub http_port: u16,
    /// TCP port of redirects to `https`; anything but 443 is for tests.
    pub https_port: u16,
    /// TCP port of tls-alpn-01; anything but 443 is for tests.
    pub tls_port: u16,
    /// Networks that may be dialled although they are private.
    pub allow: Vec<IpNet>,
    /// Whether public addresses may be dialled.
    pub public_addresses: bool,
    /// Networks that are never dialled, whatever else is said: the certificate manager's, the
    /// store's.
    pub never: Vec<IpNet>,
    /// This host's own addresses. They are never dialled either, but for tls-alpn-01 of `own_names`.
    pub own: Vec<IpNet>,
    /// Names that this gateway itself may want a certificate for, and proves by its own listener.
    pub own_names: Vec<DnsName>,
    /// Whether this machine's loopback addresses may be dialled. Only for tests and demonstrations.
    pub danger_allow_loopback: bool,
    /// Time to connect to one address, with the TLS handshake if there is one.
    pub dial_timeout: Duration,
    /// Time for one attempt as a whole: lookups, redirects, bodies.
    pub attempt_timeout: Duration,
    /// Redirects followed in one attempt, at most 10.
    pub redirects_max: usize,
    /// Octets read of a body before it is refused.
    pub body_octets_max: usize,
    /// `User-Agent` of the requests: the product and where its owner can be reached.
    pub user_agent: String,
    /// TXT records of one name that are looked at.
    pub txt_records_max: usize,
    /// Addresses of one name and family that are looked at.
    pub addresses_max: usize,
    /// Attempts at a time that are at one network, a /24 of IPv4 or a /64 of IPv6; more wait.
    pub concurrent_per_network_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            dns_timeout: Duration::from_secs(3),
            http_port: 80,
            https_port: 443,
            tls_port: 443,
            allow: Vec::new(),
            public_addresses: false,
            never: Vec::new(),
            own: Vec::new(),
            own_names: Vec::new(),
            danger_allow_loopback: false,
            dial_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(10),
            redirects_max: REDIRECTS_MAX,
            body_octets_max: 256,
            user_agent: concat!("acme-gateway/", env!("CARGO_PKG_VERSION")).to_owned(),
            txt_records_max: 64,
            addresses_max: 16,
            concurrent_per_network_max: 64,
        }
    }
}

/// A setting that cannot stand. The text names it and says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There must be 1 to 8 resolvers.
    #[error("resolvers: {0} given; name 1 to {RESOLVERS_MAX} recursive resolvers as address:port")]
    Resolvers(usize),
    /// Port 0 is no port.
    #[error("{0}: port 0 cannot be dialled")]
    Port(&'static str),
    /// A time of zero, or of more than a minute.
    #[error("{0}: must be longer than zero and at most 60 s")]
    Duration(&'static str),
    /// A limit outside its bounds.
    #[error("{setting}: must be {least} to {most}")]
    Limit {
        /// The setting.
        setting: &'static str,
        /// Smallest value.
        least: usize,
        /// Largest value.
        most: usize,
    },
    /// Not usable as a header.
    #[error("user_agent: must be printable text without line ends and not empty")]
    UserAgent,
    /// An allowed network that is denied anyway.
    #[error("allow: {network} has no effect, for {rule} addresses are never dialled; remove it")]
    AllowWithoutEffect {
        /// The network as configured.
        network: IpNet,
        /// The rule that denies it.
        rule: &'static str,
    },
    /// The resolver could not be built of these settings.
    #[error("resolvers: {0}")]
    Resolver(String),
    /// TLS could not be set up.
    #[error("tls: {0}")]
    Tls(String),
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        if self.resolvers.is_empty() || self.resolvers.len() > RESOLVERS_MAX {
            return Err(SettingsError::Resolvers(self.resolvers.len()));
        }
        let resolver_port = self.resolvers.iter().map(SocketAddr::port).min().unwrap_or(0);
        for (setting, port) in [
            ("resolvers", resolver_port),
            ("http_port", self.http_port),
            ("https_port", self.https_port),
            ("tls_port", self.tls_port),
        ] {
            if port == 0 {
                return Err(SettingsError::Port(setting));
            }
        }
        for (setting, duration) in [
            ("dns_timeout", self.dns_timeout),
            ("dial_timeout", self.dial_timeout),
            ("attempt_timeout", self.attempt_timeout),
        ] {
            if duration.is_zero() || duration > DURATION_MAX {
                return Err(SettingsError::Duration(setting));
            }
        }
        for (setting, value, least, most) in [
            ("redirects_max", self.redirects_max, 0, REDIRECTS_MAX),
            ("body_octets_max", self.body_octets_max, BODY_OCTETS_LEAST, BODY_OCTETS_MOST),
            ("txt_records_max", self.txt_records_max, 1, TXT_RECORDS_MOST),
            ("addresses_max", self.addresses_max, 1, ADDRESSES_MOST),
            ("concurrent_per_network_max", self.concurrent_per_network_max, 1, CONCURRENT_MOST),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SettingsError::Limit { setting, least, most });
            }
        }
        if self.user_agent.trim().is_empty() || HeaderValue::from_str(&self.user_agent).is_err() {
            return Err(SettingsError::UserAgent);
        }
        match self.allow.iter().find_map(|network| Some((*network, denied_as_a_whole(network)?))) {
            Some((network, rule)) => Err(SettingsError::AllowWithoutEffect { network, rule: rule.name() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Settings {
        Settings { resolvers: vec!["192.0.2.53:53".parse().unwrap()], ..Settings::default() }
    }

    #[test]
    fn the_defaults_stand_once_a_resolver_is_named() {
        assert_eq!(good().check(), Ok(()));
        assert_eq!(Settings::default().check(), Err(SettingsError::Resolvers(0)));
    }

    #[test]
    fn settings_that_cannot_stand_are_refused_by_name() {
        let network = |text: &str| text.parse::<IpNet>().unwrap();
        let limit = |setting, least, most| SettingsError::Limit { setting, least, most };
        let dead = |text, rule| SettingsError::AllowWithoutEffect { network: network(text), rule };
        let table = [
            (Settings { resolvers: vec!["192.0.2.53:53".parse().unwrap(); 9], ..good() }, SettingsError::Resolvers(9)),
            (Settings { resolvers: vec!["192.0.2.53:0".parse().unwrap()], ..good() }, SettingsError::Port("resolvers")),
            (Settings { http_port: 0, ..good() }, SettingsError::Port("http_port")),
            (Settings { https_port: 0, ..good() }, SettingsError::Port("https_port")),
            (Settings { tls_port: 0, ..good() }, SettingsError::Port("tls_port")),
            (Settings { dial_timeout: Duration::ZERO, ..good() }, SettingsError::Duration("dial_timeout")),
            (Settings { dns_timeout: Duration::MAX, ..good() }, SettingsError::Duration("dns_timeout")),
            (Settings { redirects_max: 11, ..good() }, limit("redirects_max", 0, 10)),
            (Settings { body_octets_max: 95, ..good() }, limit("body_octets_max", 96, 1024)),
            (Settings { txt_records_max: 0, ..good() }, limit("txt_records_max", 1, 100)),
            (Settings { addresses_max: 65, ..good() }, limit("addresses_max", 1, 64)),
            (Settings { user_agent: "a\r\nb: c".to_owned(), ..good() }, SettingsError::UserAgent),
            (Settings { user_agent: " ".to_owned(), ..good() }, SettingsError::UserAgent),
            (Settings { allow: vec![network("127.1.0.0/16")], ..good() }, dead("127.1.0.0/16", "loopback")),
            (Settings { allow: vec![network("fe80::/64")], ..good() }, dead("fe80::/64", "link-local")),
        ];
        for (settings, error) in table {
            assert_eq!(settings.check(), Err(error.clone()), "{error}");
        }
    }

    #[test]
    fn a_wide_network_may_be_allowed_for_the_deny_list_still_wins() {
        let settings = Settings { allow: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()], ..good() };
        assert_eq!(settings.check(), Ok(()));
    }
}
