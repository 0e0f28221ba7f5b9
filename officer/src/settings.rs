//! The settings of one officer: where the CM is, and who she is there (`config/officer.toml`).

use std::{
    fs,
    num::NonZeroU16,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use acme::ids::RealmName;
use serde::Deserialize;

use crate::{error::Failure, recipes};

/// The environment variable that stands in for `--config`.
pub(crate) const ENVIRONMENT: &str = "ACME_OFFICER_CONFIG";
/// Largest settings file, in octets.
const FILE_OCTETS_MAX: u64 = 64 * 1024;
/// Where the contract's paths begin.
const CM_API: &str = "/cm/v1";

/// What the file says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The CM, and how both sides prove who they are.
    pub(crate) cm: cm_connector::rest::Settings,
    /// What to know beside if that is an OpenBao.
    pub(crate) openbao: Option<cm_connector::openbao::Settings>,
    /// The realm that all commands are about.
    pub(crate) realm: RealmName,
    /// The directory that clients are told to use.
    pub(crate) directory_url: Option<String>,
    /// What clients must be told to trust.
    pub(crate) acme_ca_file: Option<PathBuf>,
    /// The port that the gateway asks clients at for http-01.
    pub(crate) http_01_port: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsIn {
    cm: Option<CmIn>,
    #[serde(default)]
    acme: AcmeIn,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CmIn {
    #[serde(default)]
    kind: Kind,
    url: Option<String>,
    ca_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    realm: Option<String>,
    openbao: Option<OpenBaoIn>,
}

/// What kind of CM it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// One with the CM REST API.
    #[default]
    Rest,
    /// An OpenBao.
    OpenBao,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OpenBaoIn {
    more_urls: Vec<String>,
    mount: String,
    login_mount: String,
    login_role: String,
}

impl Default for OpenBaoIn {
    fn default() -> Self {
        let [mount, login_mount, login_role] = ["acme", "cert", "acme-officer"].map(str::to_owned);
        Self { more_urls: Vec::new(), mount, login_mount, login_role }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcmeIn {
    directory_url: Option<String>,
    ca_file: Option<PathBuf>,
    http_01_port: Option<NonZeroU16>,
}

impl Settings {
    /// Reads the file of `--config`, or else that of the environment.
    ///
    /// # Errors
    /// [`Failure::File`] names the setting and the fix.
    pub(crate) fn load(file: Option<PathBuf>) -> Result<Self, Failure> {
        let file = file.or_else(|| std::env::var_os(ENVIRONMENT).map(PathBuf::from)).ok_or_else(|| {
            Failure::File(format!(
                "no settings: give --config FILE or set {ENVIRONMENT}; config/officer.toml is an example with every setting"
            ))
        })?;
        let text = read(&file)?;
        let settings = Self::parse(&text, file.parent().unwrap_or(Path::new("")))
            .map_err(|reason| Failure::File(format!("{}: {reason}", file.display())))?;
        require_private(&settings.cm.key_file)?;
        Ok(settings)
    }

    /// Takes the text of a settings file that lies in `folder`.
    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let settings: SettingsIn = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text.bytes().take(span.start).filter(|octet| *octet == b'\n').count());
            let place = line.map(|line| format!("line {}: ", line.saturating_add(1))).unwrap_or_default();
            format!("{place}{}", error.message())
        })?;
        let Some(cm) = settings.cm else {
            return Err(
                "the table [cm] is missing: add it with url, ca_file, certificate_file, key_file and realm".into()
            );
        };
        let url = required(cm.url, "cm.url", "https://cm.example.net:9443")?;
        let url = url.trim_end_matches('/').trim_end_matches(CM_API);
        if !url.starts_with("https://") {
            return Err("cm.url must begin with https://, such as https://cm.example.net:9443".into());
        }
        let base_url = match cm.kind {
            Kind::Rest => format!("{url}{CM_API}"),
            Kind::OpenBao => url.to_owned(),
        };
        let realm = required(cm.realm, "cm.realm", "tls")?;
        let directory_url = settings.acme.directory_url;
        if directory_url.as_ref().is_some_and(|url| !url.starts_with("https://")) {
            return Err("acme.directory_url must begin with https://".into());
        }
        let connection = cm_connector::rest::Settings {
            base_url,
            ca_file: folder.join(required(cm.ca_file, "cm.ca_file", "cm-ca.pem")?),
            certificate_file: folder.join(required(cm.certificate_file, "cm.certificate_file", "officer.pem")?),
            key_file: folder.join(required(cm.key_file, "cm.key_file", "officer.key")?),
        };
        let openbao = match cm.kind {
            Kind::OpenBao => Some(openbao(cm.openbao.unwrap_or_default(), &connection)?),
            Kind::Rest if cm.openbao.is_some() => {
                return Err("cm.openbao counts for OpenBao only: set cm.kind to openbao, or take the table away".into());
            }
            Kind::Rest => None,
        };
        Ok(Self {
            cm: connection,
            openbao,
            realm: realm.parse().map_err(|reason| format!("cm.realm {reason}"))?,
            directory_url,
            acme_ca_file: settings.acme.ca_file.map(|file| folder.join(file)),
            http_01_port: settings.acme.http_01_port.map_or(recipes::HTTP, NonZeroU16::get),
        })
    }
}

fn openbao(
    own: OpenBaoIn,
    connection: &cm_connector::rest::Settings,
) -> Result<cm_connector::openbao::Settings, String> {
    let paths = [("mount", &own.mount), ("login_mount", &own.login_mount), ("login_role", &own.login_role)];
    if let Some((name, _)) = paths.iter().find(|(_, path)| !cm_connector::openbao::is_path(path)) {
        return Err(format!("cm.openbao.{name} is made of letters, digits, - _ and ., between slashes"));
    }
    let addresses: Vec<String> = std::iter::once(connection.base_url.clone()).chain(own.more_urls).collect();
    if addresses.iter().any(|url| !url.starts_with("https://")) {
        return Err("cm.openbao.more_urls must begin with https://, such as https://bao-2.example.net:8200".into());
    }
    Ok(cm_connector::openbao::Settings {
        addresses,
        ca_file: connection.ca_file.clone(),
        certificate_file: connection.certificate_file.clone(),
        key_file: connection.key_file.clone(),
        login_mount: own.login_mount,
        login_role: own.login_role,
        mount: own.mount,
        // Officers sign nothing.
        request_duration_max: std::time::Duration::ZERO,
    })
}

fn required<T>(value: Option<T>, setting: &str, example: &str) -> Result<T, String> {
    let name = setting.rsplit('.').next().unwrap_or_default();
    value.ok_or_else(|| format!("{setting} is missing: add {name} = '{example}' under [cm]"))
}

fn read(file: &Path) -> Result<String, Failure> {
    let cannot = |reason: &dyn std::fmt::Display| Failure::File(format!("{}: {reason}", file.display()));
    let octets = fs::metadata(file).map_err(|error| cannot(&error))?.len();
    if octets > FILE_OCTETS_MAX {
        return Err(cannot(&"it is larger than 64 KiB, which no settings file is"));
    }
    fs::read_to_string(file).map_err(|error| cannot(&error))
}

/// Whoever reads an officer's key is the officer.
fn require_private(key: &Path) -> Result<(), Failure> {
    const GROUP_AND_OTHERS: u32 = 0o077;
    let metadata = fs::metadata(key)
        .map_err(|error| Failure::File(format!("cm.key_file: {} cannot be read: {error}", key.display())))?;
    if metadata.permissions().mode() & GROUP_AND_OTHERS != 0 {
        let reason = format!("cm.key_file: {0} can be read by others; run: chmod 600 {0}", key.display());
        return Err(Failure::File(reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../config/officer.toml");

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, Path::new("/etc/officer"))
    }

    #[test]
    fn the_example_file_is_good_and_files_are_beside_it() {
        let settings = parse(EXAMPLE).unwrap();
        assert_eq!(settings.cm.base_url, "https://cm.example.net:9443/cm/v1");
        assert_eq!(settings.cm.key_file, Path::new("/etc/officer/officer.key"));
        assert_eq!(settings.realm.as_str(), "tls");
        let absolute = parse(&EXAMPLE.replace("\"officer.pem\"", "\"/elsewhere/officer.pem\"")).unwrap();
        assert_eq!(absolute.cm.certificate_file, Path::new("/elsewhere/officer.pem"));
    }

    #[test]
    fn the_path_of_the_api_may_be_there_or_not() {
        for url in
            ["https://cm.example.net:9443/", "https://cm.example.net:9443/cm/v1", "https://cm.example.net:9443/cm/v1/"]
        {
            let settings = parse(&EXAMPLE.replace("https://cm.example.net:9443", url)).unwrap();
            assert_eq!(settings.cm.base_url, "https://cm.example.net:9443/cm/v1", "{url}");
        }
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_fix() {
        let table = [
            ("url = \"https://cm", "url = \"http://cm", "cm.url must begin with https://"),
            ("realm = \"tls\"", "", "cm.realm is missing: add realm = 'tls' under [cm]"),
            ("realm = \"tls\"", "realm = \"a b\"", "cm.realm must be 1 to 64"),
            ("key_file", "keyfile", "unknown field `keyfile`"),
            ("directory_url = \"https", "directory_url = \"http", "acme.directory_url must begin"),
            ("realm = \"tls\"", "realm = 7", "line 17: "),
            ("[cm]", "[cmm]", "unknown field `cmm`"),
            ("http_01_port = 80", "http_01_port = 0", "nonzero"),
            ("kind = \"rest\"", "kind = \"vault\"", "unknown variant `vault`"),
            ("#   [cm.openbao]", "[cm.openbao]", "cm.openbao counts for OpenBao only"),
        ];
        for (old, new, expected) in table {
            assert!(EXAMPLE.contains(old), "{old}");
            let reason = parse(&EXAMPLE.replacen(old, new, 1)).unwrap_err();
            assert!(reason.contains(expected), "{new}: {reason}");
        }
        assert!(parse("").unwrap_err().contains("[cm] is missing"));
    }

    #[test]
    fn an_openbao_needs_no_more_than_its_kind_and_may_have_its_own_places() {
        let text = EXAMPLE.replace("kind = \"rest\"", "kind = \"openbao\"");
        let least = parse(&text).unwrap().openbao.unwrap();
        assert_eq!((least.mount.as_str(), least.login_role.as_str()), ("acme", "acme-officer"));
        assert_eq!(least.addresses, ["https://cm.example.net:9443"]);
        assert_eq!(parse(EXAMPLE).unwrap().openbao, None);
        let own = text.replace("#   [cm.openbao]", "[cm.openbao]");
        let role = own.replace("#   login_role = \"acme-officer\"", "login_role = \"acme-auditor\"");
        assert_eq!(parse(&role).unwrap().openbao.unwrap().login_role, "acme-auditor");
        for wrong in ["mount = \"/acme\"", "login_role = \"\"", "more_urls = [\"http://bao-2:8200\"]"] {
            let reason = parse(&own.replace("[cm.openbao]", &format!("[cm.openbao]\n{wrong}"))).unwrap_err();
            assert!(reason.contains("cm.openbao."), "{wrong}: {reason}");
        }
    }

    #[test]
    fn http_01_is_at_port_80_unless_another_one_is_said() {
        assert_eq!(parse(&EXAMPLE.replace("http_01_port = 80", "")).unwrap().http_01_port, 80);
        assert_eq!(parse(&EXAMPLE.replace("http_01_port = 80", "http_01_port = 5002")).unwrap().http_01_port, 5002);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_fix() {
        let key = std::env::temp_dir().join(format!("acme-officer-key-{}", std::process::id()));
        fs::write(&key, "secret").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let reason = require_private(&key).unwrap_err().to_string();
        assert!(reason.contains("cm.key_file") && reason.contains("chmod 600"), "{reason}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        require_private(&key).unwrap();
        fs::remove_file(&key).unwrap();
        assert_eq!(require_private(&key).unwrap_err().exit_code(), 3);
    }
}
