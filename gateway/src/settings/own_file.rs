//! The operator's file. It is read here, so that what is wrong with a setting is told with its file and line.

use std::{fs, io::ErrorKind, path::Path};

use config::{File, FileFormat, FileSourceString};
use toml::de::{DeTable, DeValue};

use super::{SettingsError, load::variable};

/// Largest settings file, in octets.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

/// A file whose text is TOML.
pub(super) struct OwnFile {
    name: String,
    text: String,
}

impl OwnFile {
    /// Reads it.
    ///
    /// # Errors
    /// [`SettingsError`] naming the file, and the line if there is one.
    pub(super) fn read(path: &Path) -> Result<Self, SettingsError> {
        let name = path.display().to_string();
        let cannot = |reason: String| SettingsError::Unreadable(format!("{name}: {reason}"));
        let unreadable = |error: std::io::Error| {
            let kind = error.kind();
            cannot(if kind == ErrorKind::NotFound {
                String::from("there is no such file; put your settings there, or name their file with --config")
            } else if kind == ErrorKind::PermissionDenied {
                format!("{error}; let the user who runs this read it")
            } else {
                error.to_string()
            })
        };
        let there = fs::metadata(path).map_err(unreadable)?;
        if !there.is_file() {
            return Err(cannot(String::from("it is not a file; name the file of your settings with --config")));
        }
        if there.len() > FILE_OCTETS_MAX {
            return Err(cannot(String::from("it is larger than 1 MiB, which no settings file is")));
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Self::new(&name, text)
    }

    /// A file with this text.
    ///
    /// # Errors
    /// The text is not TOML, or has a fraction: no setting is one, and it must not be taken for the number next to it.
    pub(super) fn new(name: &str, text: String) -> Result<Self, SettingsError> {
        let own = Self { name: name.to_owned(), text };
        let refuse = |octet: usize, reason: String| {
            Err(SettingsError::Unreadable(format!("{} {}: {reason}", own.name, own.line(octet))))
        };
        match DeTable::parse(&own.text) {
            Err(error) => refuse(error.span().unwrap_or_default().start, error.message().replace('\n', ", ")),
            Ok(table) => match fraction(table.get_ref(), "") {
                Some((octet, setting)) => {
                    refuse(octet, format!("{setting}: it is no whole number; give one without a point"))
                }
                None => Ok(own),
            },
        }
    }

    /// For the parser of settings.
    pub(super) fn source(&self) -> File<FileSourceString, FileFormat> {
        File::from_str(&self.text, FileFormat::Toml)
    }

    /// The error with the place where its setting was said.
    pub(super) fn locate(&self, error: SettingsError) -> SettingsError {
        let place = match &error {
            SettingsError::Unsound { setting, reason } => self.place(setting, unknown_field(reason)),
            SettingsError::Unreadable(reason) => self.place("", unknown_field(reason)),
            SettingsError::At { .. } => return error,
        };
        SettingsError::At { place, error: Box::new(error) }
    }

    fn place(&self, setting: &str, unknown: Option<&str>) -> String {
        // `server.listen[0]` was said where `server.listen` was.
        let setting = setting.split('[').next().unwrap_or_default();
        if let Some(variable) = variable(setting).filter(|name| std::env::var_os(name).is_some()) {
            return format!("environment variable {variable}");
        }
        let Ok(table) = DeTable::parse(&self.text) else { return self.name.clone() };
        let table = table.get_ref();
        let parts: Vec<&str> = setting.split('.').collect();
        // What an endpoint does not say is what all say.
        let of_all = match parts.as_slice() {
            ["endpoints", _, rest @ ..] => [&["endpoint_defaults"], rest].concat(),
            _ => Vec::new(),
        };
        let octet = unknown
            .and_then(|name| find_named(table, name))
            .or_else(|| find(table, &parts))
            .or_else(|| find(table, &of_all));
        octet.map_or_else(|| self.name.clone(), |octet| format!("{} {}", self.name, self.line(octet)))
    }

    fn line(&self, octet: usize) -> String {
        let before = self.text.bytes().take(octet).filter(|octet| *octet == b'\n').count();
        format!("line {}", before.saturating_add(1))
    }
}

/// The name in what serde says of one that it does not know.
fn unknown_field(reason: &str) -> Option<&str> {
    reason.strip_prefix("unknown field `")?.split('`').next()
}

/// Where this setting begins.
fn find(table: &DeTable<'_>, parts: &[&str]) -> Option<usize> {
    let (first, rest) = parts.split_first()?;
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    if rest.is_empty() { Some(name.span().start) } else { find(value.get_ref().as_table()?, rest) }
}

/// Where anything of this name begins.
fn find_named(table: &DeTable<'_>, wanted: &str) -> Option<usize> {
    let here = table.iter().find(|(name, _)| name.get_ref() == wanted).map(|(name, _)| name.span().start);
    here.or_else(|| table.iter().find_map(|(_, value)| find_named(value.get_ref().as_table()?, wanted)))
}

/// The first fraction: where it stands, and of which setting.
fn fraction(table: &DeTable<'_>, above: &str) -> Option<(usize, String)> {
    table.iter().find_map(|(name, value)| {
        let setting = format!("{above}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Float(_) => Some((value.span().start, setting)),
            DeValue::Table(inner) => fraction(inner, &format!("{setting}.")),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => None,
        }
    })
}
