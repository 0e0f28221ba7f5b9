//! Files that settings name: what is missing or too open is told with the setting and the fix.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context as _, bail};

use super::guard::{is_credential, open_folder, open_to_others};

pub(super) const ROOT: u32 = 0;

/// Whose keys these must be, if root asks for the service. Said once by commands that only look, because it holds for
/// the process as its own user does; `serve` never says it, and judges by its own user.
pub(super) static SERVICE: OnceLock<Service> = OnceLock::new();

/// The service that root asks for.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// Its user; `None` before the first start, when there is no state folder to tell it.
    pub(crate) user: Option<u32>,
    /// Its group, in the same way.
    pub(super) group: Option<u32>,
    /// The folder whose owner that is.
    state: PathBuf,
}

/// From here on root is no longer answered as if the gateway ran as root: the gateway's user is the owner of this state
/// folder. Other users are told what holds for themselves. Says which service is judged, if it is another user's.
pub(crate) fn judge_for_owner_of(state: &Path) -> Option<&'static Service> {
    if ourselves()? != ROOT {
        return None;
    }
    let service = SERVICE.get_or_init(|| {
        let group = fs::metadata(state).ok().map(|there| there.gid());
        Service { user: owner(state), group, state: state.to_owned() }
    });
    (service.user != Some(ROOT)).then_some(service)
}

impl Service {
    /// What root cannot tell by reading, for people.
    pub(crate) fn caution(&self) -> String {
        let state = self.state.display();
        match self.user {
            Some(user) => format!(
                "root may read everything, so that whether the gateway may is unknown; keys are judged for user {user}, who owns \
                 {state}"
            ),
            None => format!(
                "root may read everything, so that whether the gateway may is unknown; there is no {state} yet to tell whose \
                 the keys must be"
            ),
        }
    }
}

/// The file can be read.
pub(crate) fn require_readable(path: &Path, setting: &str) -> anyhow::Result<()> {
    let file = fs::File::open(path).with_context(|| format!("{setting}: cannot read {}", path.display()))?;
    if !file.metadata().with_context(|| format!("{setting}: cannot read {}", path.display()))?.is_file() {
        bail!("{setting}: {} is not a file", path.display());
    }
    Ok(())
}

/// The file holds a secret: it can be read, and only by its owner, who is root or ourselves; and nobody else can put
/// another in its place.
pub(crate) fn require_private(path: &Path, setting: &str) -> anyhow::Result<()> {
    require_readable(path, setting)?;
    let metadata = fs::metadata(path)?;
    if metadata.permissions().mode() & open_to_others(path) != 0 {
        bail!("{setting}: {0} can be read by others; run: chmod 600 {0}", path.display());
    }
    let (owner, ourselves) = (metadata.uid(), ourselves().unwrap_or(metadata.uid()));
    if let Some(user) = rightful(owner, ourselves, SERVICE.get()).filter(|_| !is_credential(path)) {
        bail!(
            "{setting}: {0} belongs to user {owner}, and the gateway runs as user {user}{1}; run: chown {user} {0}",
            path.display(),
            SERVICE.get().map(|service| format!(", who owns {}", service.state.display())).unwrap_or_default()
        );
    }
    if let Some(folder) = open_folder(path) {
        bail!(
            "{setting}: everybody on this host may put another file in the place of {}; run: chmod o-w {}",
            path.display(),
            folder.display()
        );
    }
    Ok(())
}

/// Who must own a secret, if its owner may not have it.
fn rightful(owner: u32, ourselves: u32, service: Option<&Service>) -> Option<u32> {
    let user = service.map_or(Some(ourselves), |service| service.user)?;
    (owner != ROOT && owner != user).then_some(user)
}

/// Who runs the gateway of this state folder: its owner. Before there is one it is whoever asks, unless root does.
pub(crate) fn gateway_user(state: &Path) -> Option<u32> {
    owner(state).or_else(|| ourselves().filter(|user| *user != ROOT))
}

fn owner(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|there| there.uid())
}

fn ourselves() -> Option<u32> {
    owner(Path::new("/proc/self"))
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
    fn keys_must_belong_to_root_or_the_gateways_user_and_root_asks_for_the_service() {
        const USER: u32 = 997;
        const STRANGER: u32 = 1000;
        let service = |user| Service { user, group: user, state: PathBuf::from("/var/lib/acme-gateway/store") };
        let (known, first_start, roots) = (service(Some(USER)), service(None), service(Some(ROOT)));
        for (owner, ourselves, service, wanted) in [
            // serve, and whoever asks for himself.
            (USER, USER, None, None),
            (ROOT, USER, None, None),
            (STRANGER, USER, None, Some(USER)),
            (USER, ROOT, None, Some(ROOT)),
            // Root asks about the service.
            (USER, ROOT, Some(&known), None),
            (ROOT, ROOT, Some(&known), None),
            (STRANGER, ROOT, Some(&known), Some(USER)),
            (STRANGER, ROOT, Some(&first_start), None),
            (STRANGER, ROOT, Some(&roots), Some(ROOT)),
        ] {
            assert_eq!(rightful(owner, ourselves, service), wanted, "{owner} {ourselves} {service:?}");
        }
        assert!(known.caution().contains("user 997, who owns /var/lib/acme-gateway/store"), "{}", known.caution());
        assert!(first_start.caution().contains("there is no /var/lib"), "{}", first_start.caution());
    }
}
