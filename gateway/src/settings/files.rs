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
    const GROUP_AND_OTHERS: u32 = 0o077;
    require_readable(path, setting)?;
    let metadata = fs::metadata(path)?;
    if metadata.permissions().mode() & GROUP_AND_OTHERS != 0 {
        bail!("{setting}: {0} can be read by others; run: chmod 600 {0}", path.display());
    }
    let ourselves = fs::metadata("/proc/self").map(|process| process.uid()).unwrap_or(metadata.uid());
    if metadata.uid() != ourselves && metadata.uid() != 0 {
        bail!(
            "{setting}: {} belongs to another user; it must belong to the user that runs the gateway",
            path.display()
        );
    }
    Ok(())
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
}
