//! Reads settings: the compiled-in defaults, then the operator's file, then the environment.

use std::{env, path::Path};

use acme::ids::EndpointName;
use config::{Config, Environment, File, FileFormat, Source};

use super::{Settings, SettingsError, own_file::OwnFile, reload::Said};

/// `config/gateway.toml`, compiled in so that it cannot drift from the program.
const DEFAULTS: &str = include_str!("../../../config/gateway.toml");
/// Environment variables that override settings: `ACME_GATEWAY__SERVER__WORKERS=4`.
const ENVIRONMENT_PREFIX: &str = "ACME_GATEWAY";

/// Reads and checks the settings of an operator's file.
///
/// # Errors
/// [`SettingsError`] naming the setting and the fix.
pub(crate) fn load(file: &Path) -> Result<Settings, SettingsError> {
    settings_in(&OwnFile::read(file)?)
}

/// Settings for tests: the defaults and what this text says instead.
#[cfg(test)]
pub(crate) fn from_text(text: &str) -> Result<Settings, SettingsError> {
    settings_in(&OwnFile::new("gateway.toml", text.to_owned())?)
}

fn settings_in(own: &OwnFile) -> Result<Settings, SettingsError> {
    sources(own.source()).and_then(settings_of).map_err(|error| own.locate(error))
}

/// The environment variable that overrides a setting; `None` if it is no setting that can be in one.
pub(super) fn variable(setting: &str) -> Option<String> {
    let parts: Vec<String> = setting.split('.').map(str::to_uppercase).collect();
    (parts.len() > 1).then(|| format!("{ENVIRONMENT_PREFIX}__{}", parts.join("__")))
}

/// Environment variables that look as if they were to set something, and do not.
pub(crate) fn stray_variables() -> Vec<String> {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| is_stray(name)).collect()
}

/// Others may have their own that begin alike: Kubernetes has some for each service.
pub(super) fn is_stray(name: &str) -> bool {
    name.strip_prefix("ACME_GATEWAY_").is_some_and(|rest| !rest.starts_with('_') && rest.contains("__"))
}

/// The lists of endpoints that the environment sets. Which endpoints there are only it and the file know.
fn endpoint_lists() -> impl Iterator<Item = String> {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter_map(|name| list_of_endpoint(&name))
}

pub(super) fn list_of_endpoint(variable: &str) -> Option<String> {
    let setting = variable.to_lowercase().strip_prefix("acme_gateway__endpoint")?.replace("__", ".");
    let is_list = setting.ends_with(".challenges") || setting.ends_with(".compatibility");
    is_list.then(|| format!("endpoint{setting}"))
}

/// Everything that is said, one source over the other.
pub(super) fn sources(own: impl Source + Send + Sync + 'static) -> Result<Config, SettingsError> {
    let environment = Environment::with_prefix(ENVIRONMENT_PREFIX)
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("server.listen")
        .with_list_parse_key("server_certificate.names")
        .with_list_parse_key("validation.resolvers")
        .with_list_parse_key("validation.allow")
        .with_list_parse_key("validation.never")
        .with_list_parse_key("limits.exempt")
        .with_list_parse_key("cm.openbao.more_urls");
    let environment = endpoint_lists().fold(environment, |environment, list| environment.with_list_parse_key(&list));
    let sources = Config::builder()
        .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
        .add_source(own)
        .add_source(environment)
        .build()?;
    with_endpoint_defaults(sources)
}

/// What it means, checked.
pub(super) fn settings_of(sources: Config) -> Result<Settings, SettingsError> {
    let said = Said::of(&sources)?;
    let settings: Settings = sources.try_deserialize()?;
    settings.check()?;
    Ok(Settings { said, ..settings })
}

/// Gives every endpoint what `[endpoint_defaults]` says and it does not say itself.
fn with_endpoint_defaults(sources: Config) -> Result<Config, SettingsError> {
    let defaults = sources.get_table("endpoint_defaults")?;
    let endpoints = sources.get_table("endpoints").unwrap_or_default();
    let mut builder = Config::builder();
    for name in endpoints.keys() {
        if name.contains('.') || EndpointName::parse(name).is_err() {
            let reason = String::from("a name is 1 to 64 of A-Z a-z 0-9 _ - and has no dot");
            return Err(SettingsError::Unsound { setting: format!("endpoints.{name}"), reason });
        }
        for (setting, value) in &defaults {
            builder = builder.set_default(format!("endpoints.{name}.{setting}"), value.clone())?;
        }
    }
    Ok(builder.add_source(sources).build()?)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::settings::Mode;

    /// The least that an operator must say.
    const LEAST: &str = "server.external_url = 'https://acme.example.com'\ncm.url = 'https://cm.example.net:9443'\n";

    fn written(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("acme-gateway-settings-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        path
    }

    fn refused(name: &str, text: &str) -> String {
        let path = written(name, text);
        let error = load(&path).expect_err("these settings must be refused").to_string();
        fs::remove_file(path).unwrap();
        error
    }

    #[test]
    fn endpoints_take_what_they_do_not_say_from_the_defaults() {
        let path = written(
            "defaults",
            &format!("{LEAST}[endpoints.printers]\nmode = 'open'\n[endpoints.servers]\nrealm = 'tls'\n"),
        );
        let settings = load(&path).unwrap();
        fs::remove_file(path).unwrap();
        let mode = |name: &str| settings.endpoints.get(&name.parse().unwrap()).map(|endpoint| endpoint.mode);
        assert_eq!((mode("printers"), mode("servers")), (Some(Mode::Open), Some(Mode::Registered)));
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_fix() {
        let table = [
            ("unknown", "[endpoints.a]\n[serverr]\nx = 1\n", "serverr"),
            ("unknown-inner", "server.prot = 1\n[endpoints.a]\n", "prot"),
            ("no-endpoint", "", "endpoints"),
            ("type", "orders.identifiers_max = 'many'\n[endpoints.a]\n", "orders.identifiers_max"),
            ("seconds", "server.head_timeout_secs = 0\n[endpoints.a]\n", "server.head_timeout_secs"),
            ("mode", "[endpoints.a]\nmode = 'closed'\n", "endpoints.a.mode"),
            ("challenge", "[endpoints.a]\nchallenges = ['http-02']\n", "endpoints.a.challenges"),
            ("same-challenge", "[endpoints.a]\nchallenges = ['dns-01', 'dns-01']\n", "endpoints.a.challenges"),
            ("no-challenge", "[endpoints.a]\nchallenges = []\n", "endpoints.a.challenges"),
            (
                "ahead-for-nothing",
                "[endpoints.a]\npre_authorization = true\nauthorization_reuse_secs = 0\n",
                "endpoints.a.pre_authorization",
            ),
            ("terms", "[endpoints.a]\nterms_of_service = 'terms.html'\n", "endpoints.a.terms_of_service"),
            ("no-terms", "[endpoints.a]\nterms_of_service_since = '2027-01-01T00:00:00Z'\n", "terms_of_service_since"),
            (
                "terms-since",
                "[endpoints.a]\nterms_of_service = 'https://a.test/'\nterms_of_service_since = 'today'\n",
                "endpoints.a.terms_of_service_since",
            ),
            (
                "no-such-endpoint",
                "server_certificate.from_endpoint = 'b'\n[endpoints.a]\n",
                "server_certificate.from_endpoint",
            ),
            (
                "no-tls-alpn-01",
                "server_certificate.from_endpoint = 'a'\n[endpoints.a]\nmode = 'open'\nchallenges = ['http-01']\n",
                "endpoints.a.challenges",
            ),
            (
                "no-external-account-key",
                "server_certificate.from_endpoint = 'a'\n[endpoints.a]\n",
                "server_certificate.external_account_key_id",
            ),
            (
                "no-external-account-file",
                "server_certificate.external_account_key_id = 'kid-1'\n[endpoints.a]\n",
                "server_certificate.external_account_key_file",
            ),
            (
                "wildcard-of-ours",
                "server_certificate.from_endpoint = 'a'\nserver_certificate.names = ['*.a.test']\n[endpoints.a]\nmode = 'open'\n",
                "server_certificate.names",
            ),
            (
                "certificate-in-store",
                "server_certificate.from_endpoint = 'a'\nserver_certificate.dir = '/var/lib/acme-gateway/store/a'\n[endpoints.a]\nmode = 'open'\n",
                "server_certificate.dir",
            ),
            ("ops-too", "ops.listen = '[::]:443'\n[endpoints.a]\n", "ops.listen: [::]:443 is in server.listen already"),
            (
                "address-twice",
                "server.listen = ['[::]:443', '[::]:443']\n[endpoints.a]\n",
                "server.listen: [::]:443 is in server.listen already",
            ),
            ("level", "log.level = 'warning'\n[endpoints.a]\n", "log.level: \"warning\" is no level"),
            ("hostless-terms", "[endpoints.a]\nterms_of_service = 'https://'\n", "endpoints.a.terms_of_service"),
            ("cm-kind", "cm.kind = 'vault'\n[endpoints.a]\n", "cm.kind"),
            ("openbao-mount", "cm.kind = 'openbao'\ncm.openbao.mount = '/acme'\n[endpoints.a]\n", "cm.openbao.mount"),
            (
                "openbao-role",
                "cm.kind = 'openbao'\ncm.openbao.login_role = ''\n[endpoints.a]\n",
                "cm.openbao.login_role",
            ),
            (
                "openbao-url",
                "cm.kind = 'openbao'\ncm.openbao.more_urls = ['bao-2:8200']\n[endpoints.a]\n",
                "cm.openbao.more_urls",
            ),
            ("stray-urls", "cm.openbao.more_urls = ['https://bao-2:8200']\n[endpoints.a]\n", "cm.openbao.more_urls"),
            ("resolver", "validation.resolvers = ['localhost']\n[endpoints.a]\n", "validation.resolvers"),
        ];
        for (name, text, named) in table {
            let error = refused(name, &format!("{LEAST}{text}"));
            assert!(error.contains(named), "{name}: {error}");
        }
        let error =
            refused("http", "server.external_url = 'http://acme.example.com'\ncm.url = 'https://x'\n[endpoints.a]\n");
        assert!(error.contains("server.external_url") && error.contains("https://"), "{error}");
    }
}
