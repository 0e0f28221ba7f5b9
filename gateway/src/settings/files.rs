//! Files that settings name: what is missing or too open is told with the setting and the fix.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context as _, bail};

/// The file can be read.
pub(crate) fn require_readable(path: &Path, setting: &str) -> anyhow::Result<()> {
    let file = fs::File::open(path).with_context(|| format!("{setting}: cannot read {}", path.display()))?;
    if !file.metadata().with_context(|| format!("{setting}: cannot read {}", path.display()))?.is_file() {
        bail!("{setting}: {} is not a file", path.display());
    }
    Ok(())
}

/// The file holds a secret: it can be read, and only by its owner, who is root or ourselves.
pub(crate) fn require_private(path: &Path, setting: &str) -> anyhow::Result<()> {
    require_readable(path, setting)?;
    let metadata = fs::metadata(path)?;
    if metadata.permissions().mode() & open_to_others(path) != 0 {
        bail!("{setting}: {0} can be read by others; run: chmod 600 {0}", path.display());
    }
    let ourselves = fs::metadata("/proc/self").map(|process| process.uid()).unwrap_or(metadata.uid());
    if !is_credential(path) && metadata.uid() != ourselves && metadata.uid() != 0 {
        bail!(
            "{setting}: {} belongs to another user; it must belong to the user that runs the gateway",
            path.display()
        );
    }
    Ok(())
}

/// The bits of a mode that open a secret to somebody else than its owner.
pub(crate) fn open_to_others(path: &Path) -> u32 {
    const GROUP_AND_OTHERS: u32 = 0o077;
    const GROUP_READS: u32 = 0o040;
    if is_credential(path) { GROUP_AND_OTHERS & !GROUP_READS } else { GROUP_AND_OTHERS }
}

/// What systemd hands to a service (`LoadCredential=`) lies in a folder for that service alone. It belongs to the
/// service's user, or to root with that user in an access control list, whose mask stat(2) shows as the group's bits.
/// Root, who runs check-config by hand, may be shown it too.
fn is_credential(path: &Path) -> bool {
    path.starts_with("/run/credentials")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_refused_with_the_fix() {
        let path = std::env::temp_dir().join(format!("acme-gateway-key-{}", std::process::id()));
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = require_private(&path, "cm.key_file").unwrap_err().to_string();
        assert!(error.contains("cm.key_file") && error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        require_private(&path, "cm.key_file").unwrap();
        fs::remove_file(&path).unwrap();
        let error = format!("{:#}", require_private(&path, "cm.key_file").unwrap_err());
        assert!(error.contains("cannot read"), "{error}");
    }

    #[test]
    fn the_mask_of_an_access_control_list_is_no_group_where_systemd_puts_secrets() {
        for (path, mode, open) in [
            ("/run/credentials/acme-gateway.service/key_server.key", 0o440, false),
            ("/run/credentials/acme-gateway.service/key_server.key", 0o444, true),
            ("/run/credentials/acme-gateway.service/key_server.key", 0o460, true),
            ("/run/credentials-of-mine/server.key", 0o440, true),
            ("/etc/acme-gateway/server.key", 0o440, true),
            ("/etc/acme-gateway/server.key", 0o600, false),
        ] {
            assert_eq!(mode & open_to_others(Path::new(path)) != 0, open, "{path} {mode:o}");
        }
    }
}
