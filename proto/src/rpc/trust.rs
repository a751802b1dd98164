//! Whose socket a client talks to, and at which places a server makes one.
//!
//! Whoever can put a file into a folder can put a socket there and be taken for the service. So it is the folder that is
//! trusted, by its owner and its mode, and then the user at the other end, by the kernel's word. Neither the folder nor the
//! socket may be a link: what is checked would not be what is opened.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::rpc::socket::SocketError;
use crate::shell::folder;

/// Who may serve a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A service of our own user, in a folder that nobody else may enter.
    Ours,
    /// A service of the system, in a folder of the administrator's or of the service's user.
    System {
        /// The user that the service runs as, besides the administrator and ourselves.
        service: Option<u32>,
    },
}

impl Whose {
    /// Returns who may serve the socket at `path`: we alone where its folder is ours, else the system, `service` being the
    /// user that the system's service runs as.
    #[must_use]
    pub fn at(path: &Path, service: Option<u32>) -> Self {
        let ours = rustix::process::geteuid().as_raw();
        let owner = path.parent().and_then(|folder| Some(folder.symlink_metadata().ok()?.uid()));
        match owner {
            // The administrator's folders are private or the system's, as their mode says.
            Some(owner) if owner == ours && owner == ROOT => {
                let private = path.parent().is_some_and(|folder| folder::is_private(folder).unwrap_or(false));
                if private { Self::Ours } else { Self::System { service } }
            }
            Some(owner) if owner != ours => Self::System { service },
            _ => Self::Ours,
        }
    }

    /// Returns whether a user may own the folder and answer.
    #[must_use]
    pub fn trusts(self, uid: u32) -> bool {
        let ours = rustix::process::geteuid().as_raw();
        match self {
            Self::Ours => uid == ours,
            Self::System { service } => uid == ours || uid == ROOT || Some(uid) == service,
        }
    }

    /// Checks the place of a socket before anybody is asked there.
    ///
    /// # Errors
    /// [`SocketError::NotRunning`] when there is nothing, [`SocketError::Untrusted`], [`SocketError::Foreign`],
    /// [`SocketError::NotASocket`].
    pub fn check(self, path: &Path) -> Result<(), SocketError> {
        let dir = folder_of(path)?;
        match dir.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SocketError::NotRunning(path.to_owned()));
            }
            _ => self.check_folder(dir)?,
        }
        is_socket(path)?.then_some(()).ok_or_else(|| SocketError::NotRunning(path.to_owned()))?;
        let owner = path.symlink_metadata().map_err(|source| SocketError::Io { path: path.to_owned(), source })?.uid();
        if self.trusts(owner) { Ok(()) } else { Err(foreign(path, "belongs to", owner)) }
    }

    fn check_folder(self, dir: &Path) -> Result<(), SocketError> {
        let failed = |source| SocketError::Io { path: dir.to_owned(), source };
        if self == Self::Ours {
            let ours = folder::is_private(dir).map_err(failed)?;
            return if ours { Ok(()) } else { Err(SocketError::Untrusted(dir.to_owned())) };
        }
        // Whoever may rename a folder on the way can put another one in its place.
        for (i, folder) in dir.ancestors().enumerate() {
            let meta = folder.symlink_metadata().map_err(failed)?;
            if !meta.is_dir() {
                return Err(SocketError::NotASocket { path: folder.to_owned(), what: "no folder, or a link to one" });
            }
            if !self.trusts(meta.uid()) {
                return Err(foreign(folder, "belongs to", meta.uid()));
            }
            let sticky = i > 0 && meta.mode() & STICKY != 0;
            if meta.mode() & WRITABLE != 0 && !sticky {
                return Err(foreign(folder, "may be written to by others than", meta.uid()));
            }
        }
        Ok(())
    }
}

/// Returns whether there is a socket at `path`; false when there is nothing.
///
/// # Errors
/// [`SocketError::NotASocket`] for anything else: a link most of all.
pub(super) fn is_socket(path: &Path) -> Result<bool, SocketError> {
    let what = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(SocketError::Io { path: path.to_owned(), source }),
        Ok(meta) if meta.file_type().is_socket() => return Ok(true),
        Ok(meta) if meta.file_type().is_symlink() => "a symbolic link",
        Ok(_) => "no socket",
    };
    Err(SocketError::NotASocket { path: path.to_owned(), what })
}

/// Returns the folder of a socket, whose path must be absolute: a relative one leads elsewhere from elsewhere.
pub(super) fn folder_of(path: &Path) -> Result<&Path, SocketError> {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .ok_or_else(|| SocketError::NotASocket { path: path.to_owned(), what: "a path without a folder" })
}

fn foreign(path: &Path, what: &'static str, uid: u32) -> SocketError {
    SocketError::Foreign { path: PathBuf::from(path), what, uid }
}

const ROOT: u32 = 0;
/// Writing by the group and by others.
const WRITABLE: u32 = 0o022;
/// What lies in such a folder is renamed by its owner alone.
const STICKY: u32 = 0o1000;

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    const SYSTEM: Whose = Whose::System { service: None };

    /// A folder of mode 0755 with a socket in it, as the units make it.
    fn place() -> (tempfile::TempDir, PathBuf, UnixListener) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cardinal");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let path = folder.join("keymgr.sock");
        let listener = UnixListener::bind(&path).unwrap();
        (dir, path, listener)
    }

    fn refusal(whose: Whose, path: &Path) -> String {
        whose.check(path).unwrap_err().to_string()
    }

    #[test]
    fn a_system_socket_in_a_folder_that_only_its_owner_writes_is_taken() {
        let (_dir, path, _listener) = place();
        SYSTEM.check(&path).unwrap();
        assert!(matches!(Whose::Ours.check(&path), Err(SocketError::Untrusted(_))), "ours must be private");
        fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
        Whose::Ours.check(&path).unwrap();
        assert!(matches!(SYSTEM.check(&path.with_file_name("none")), Err(SocketError::NotRunning(_))));
        assert!(matches!(SYSTEM.check(Path::new("/nowhere/x.sock")), Err(SocketError::NotRunning(_))));
    }

    #[test]
    fn attack_a_socket_path_that_is_a_link_is_refused_with_a_reason() {
        let (dir, path, _listener) = place();
        let link = path.with_file_name("link.sock");
        symlink(&path, &link).unwrap();
        assert!(refusal(SYSTEM, &link).contains("a symbolic link"));
        let folder = dir.path().join("elsewhere");
        symlink(path.parent().unwrap(), &folder).unwrap();
        assert!(refusal(SYSTEM, &folder.join("keymgr.sock")).contains("a link to one"));
        fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
        assert!(refusal(Whose::Ours, &link).contains("a symbolic link"));
        assert!(matches!(Whose::Ours.check(&folder.join("keymgr.sock")), Err(SocketError::Untrusted(_))));
        fs::write(path.with_file_name("file"), "x").unwrap();
        assert!(refusal(Whose::Ours, &path.with_file_name("file")).contains("no socket"));
    }

    #[test]
    fn attack_a_socket_in_a_folder_that_others_write_is_refused_with_a_reason() {
        let (dir, path, _listener) = place();
        for mode in [0o775, 0o757, 0o1777] {
            fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(mode)).unwrap();
            assert!(refusal(SYSTEM, &path).contains("may be written to by others"), "{mode:o}");
        }
        fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(refusal(SYSTEM, &path).contains("may be written to by others"), "a folder on the way");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        SYSTEM.check(&path).unwrap();
    }

    #[test]
    fn attack_a_socket_in_a_folder_of_another_owner_is_refused_with_a_reason() {
        if !rustix::process::geteuid().is_root() {
            // Only the administrator can give a folder away; who may own one is decided here.
            assert!(!Whose::Ours.trusts(0) && SYSTEM.trusts(0) && !SYSTEM.trusts(4_000_001));
            return;
        }
        let (_dir, path, _listener) = place();
        let folder = path.parent().unwrap();
        std::os::unix::fs::chown(folder, Some(SERVICE), None).unwrap();
        assert!(refusal(SYSTEM, &path).contains("belongs to user 4000001"));
        Whose::System { service: Some(SERVICE) }.check(&path).unwrap();
        std::os::unix::fs::chown(folder, Some(0), None).unwrap();
        std::os::unix::fs::chown(&path, Some(SERVICE), None).unwrap();
        assert!(refusal(SYSTEM, &path).contains("belongs to user 4000001"), "the socket itself");
        fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
        assert!(refusal(Whose::Ours, &path).contains("belongs to user 4000001"));
    }

    const SERVICE: u32 = 4_000_001;
}
