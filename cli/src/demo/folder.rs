//! A folder that is ours alone, has a name nobody can guess, and is gone afterwards.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use proto::shell::dice;
use rand_core::Rng as _;

use crate::error::CliError;

/// A temporary folder of mode 0700, removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes it in the system's folder for such things (`TMPDIR`).
    ///
    /// # Errors
    /// [`CliError::File`].
    pub(crate) fn make() -> Result<Self, CliError> {
        let mut name = [0; 6];
        dice().fill_bytes(&mut name);
        let path = std::env::temp_dir().join(format!("cardinal-demo-{}", hex::encode(name)));
        // Not recursive: a folder that exists already is somebody else's.
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(CliError::file(&path))?;
        Ok(Self(path))
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it and says whether that worked.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub(crate) fn remove(self) -> Result<(), CliError> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CliError::file(&self.0)(error)),
            _ => Ok(()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::Folder;

    #[test]
    fn the_folder_is_ours_alone_and_goes_with_its_content() {
        let folder = Folder::make().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("file"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
