//! Folders that are ours alone: of mode 0700, and no other user's.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

/// Makes a folder of mode 0700, with its parents, unless there is one. One that is there is left as it is:
/// [`is_private`] tells what it is worth.
///
/// # Errors
/// The file system's.
pub fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Returns whether this is a folder, no link to one, of ours, that nobody else may enter.
///
/// # Errors
/// The file system's; [`io::ErrorKind::NotFound`] when there is none.
pub fn is_private(path: &Path) -> io::Result<bool> {
    let meta = std::fs::symlink_metadata(path)?;
    Ok(meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_that_others_may_enter_is_not_private() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, link) = (dir.path().join("a/b"), dir.path().join("link"));
        assert_eq!(is_private(&ours).unwrap_err().kind(), io::ErrorKind::NotFound);
        make_private(&ours).unwrap();
        assert!(is_private(&ours).unwrap() && is_private(ours.parent().unwrap()).unwrap());
        std::os::unix::fs::symlink(&ours, &link).unwrap();
        assert!(!is_private(&link).unwrap());
        std::fs::set_permissions(&ours, std::fs::Permissions::from_mode(0o710)).unwrap();
        make_private(&ours).unwrap();
        assert!(!is_private(&ours).unwrap(), "what is there keeps its mode");
    }
}
