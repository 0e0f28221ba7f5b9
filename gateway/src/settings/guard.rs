//! Who else than the gateway may read a file with a secret, or put another in its place.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use super::files::{ROOT, SERVICE};

const GROUP_AND_OTHERS: u32 = 0o077;
const GROUP_READS: u32 = 0o040;

/// The bits of a mode that open a secret to somebody else than the gateway.
pub(crate) fn open_to_others(path: &Path) -> u32 {
    let groups = groups();
    let shown_by_group = fs::metadata(path)
        .is_ok_and(|there| is_group_of_ours(there.uid(), there.gid(), &groups) && !has_access_list(path));
    if is_credential(path) || shown_by_group { GROUP_AND_OTHERS & !GROUP_READS } else { GROUP_AND_OTHERS }
}

/// Kubernetes hands out secrets as root's, readable by a group that it puts the gateway into (`fsGroup`), and Debian's
/// `ssl-cert` does alike. Root alone can make that so, and whoever is in the group is root's choice. Group 0 is not
/// believed: many containers run everything in it, whoever the user is.
fn is_group_of_ours(owner: u32, group: u32, groups: &[u32]) -> bool {
    owner == ROOT && group != ROOT && groups.contains(&group)
}

/// With an access control list the bits of the group are its mask, and others may be meant.
fn has_access_list(path: &Path) -> bool {
    rustix::fs::getxattr(path, "system.posix_acl_access", &mut [0_u8; 0]).is_ok()
}

/// The groups of the gateway: of this process, or if root asks for the service that of its state folder.
fn groups() -> Vec<u32> {
    if let Some(service) = SERVICE.get() {
        return service.group.into_iter().collect();
    }
    let more = rustix::process::getgroups().unwrap_or_default();
    more.into_iter().chain([rustix::process::getegid()]).map(|group| group.as_raw()).collect()
}

/// What systemd hands to a service (`LoadCredential=`) lies in a folder for that service alone. It belongs to the
/// service's user, or to root with that user in an access control list, whose mask stat(2) shows as the group's bits.
/// Root, who runs check-config by hand, may be shown it too.
pub(super) fn is_credential(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|real| is_in_credentials(&real))
}

/// A key that systemd shows to the running service and to root only (`LoadCredential=`), and that is not shown now.
pub(crate) fn is_not_shown(file: &Path) -> bool {
    is_in_credentials(file) && !file.components().any(|part| part == Component::ParentDir) && !file.exists()
}

fn is_in_credentials(path: &Path) -> bool {
    path.starts_with("/run/credentials")
}

/// The first of the folders above a file in which everybody may put another file in its place: as it is named, and as
/// it is once links are followed. Where the sticky bit is set, as in /tmp, nobody may. A group that may is the choice
/// of whoever owns the folder.
pub(crate) fn open_folder(path: &Path) -> Option<PathBuf> {
    let named = std::path::absolute(path).ok();
    let folders: Vec<PathBuf> = [named, fs::canonicalize(path).ok()]
        .into_iter()
        .flatten()
        .flat_map(|path| path.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>())
        .collect();
    folders.into_iter().find(|folder| is_open_folder(folder))
}

/// Whether everybody on this host may exchange what is in this folder.
pub(crate) fn is_open_folder(folder: &Path) -> bool {
    const OTHERS_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let mode = fs::metadata(folder).map(|there| there.permissions().mode()).unwrap_or_default();
    mode & OTHERS_WRITE != 0 && mode & STICKY == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_an_access_control_list_is_no_group_where_systemd_puts_secrets() {
        for (path, is_there) in [
            ("/run/credentials/acme-gateway.service/key_server.key", true),
            ("/run/credentials-of-mine/server.key", false),
            ("/etc/acme-gateway/server.key", false),
        ] {
            assert_eq!(is_in_credentials(Path::new(path)), is_there, "{path}");
        }
    }

    #[test]
    fn a_path_that_only_begins_where_systemd_puts_secrets_is_not_there() {
        let file = std::env::temp_dir().join(format!("acme-gateway-way-out-{}", std::process::id()));
        fs::write(&file, "secret").unwrap();
        let way_out = format!("/run/credentials/../..{}", file.display());
        assert!(!is_credential(Path::new(&way_out)), "{way_out}");
        assert!(!is_not_shown(Path::new("/run/credentials/../../nowhere/server.key")));
        assert!(is_not_shown(Path::new("/run/credentials/no-such.service/server.key")));
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_group_of_the_gateways_may_read_what_root_gave_to_it() {
        const OURS: u32 = 65_532;
        const USER: u32 = 997;
        for (owner, group, expected) in
            [(ROOT, OURS, true), (ROOT, 100, false), (ROOT, ROOT, false), (USER, OURS, false)]
        {
            assert_eq!(is_group_of_ours(owner, group, &[OURS, ROOT]), expected, "{owner}:{group}");
        }
    }

    #[test]
    fn a_folder_that_everybody_writes_to_is_found_wherever_it_is_above_the_file() {
        let top = std::env::temp_dir().join(format!("acme-gateway-open-folder-{}", std::process::id()));
        let inner = top.join("inner");
        fs::create_dir_all(&inner).unwrap();
        let key = inner.join("server.key");
        fs::write(&key, "secret").unwrap();
        let set = |mode| fs::set_permissions(&top, fs::Permissions::from_mode(mode)).unwrap();
        for (mode, found) in [(0o777, true), (0o1777, false), (0o775, false), (0o700, false)] {
            set(mode);
            assert_eq!(open_folder(&key), found.then(|| top.clone()), "{mode:o}");
        }
        // By the link the folder is another one.
        set(0o777);
        let link = std::env::temp_dir().join(format!("acme-gateway-open-folder-link-{}", std::process::id()));
        std::os::unix::fs::symlink(&key, &link).unwrap();
        assert_eq!(open_folder(&link), fs::canonicalize(&top).ok());
        fs::remove_file(link).unwrap();
        fs::remove_dir_all(top).unwrap();
    }
}
