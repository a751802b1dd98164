//! A folder that is ours alone, has a name nobody can guess, and is gone afterwards.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::shell::{Lock, LockError, dice, folder};
use rand_core::Rng as _;

use crate::error::CliError;

/// A temporary folder of mode 0700, removed with everything in it when dropped.
///
/// A lock in it is held for as long as its program lives: what lies there without a holder was left by one that was
/// killed.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: Lock,
}

impl Folder {
    /// Makes it in the system's folder for such things (`TMPDIR`), and removes what killed programs left there.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub(crate) fn make() -> Result<Self, CliError> {
        let place = std::env::temp_dir();
        sweep(&place);
        Self::make_in(&place)
    }

    fn make_in(place: &Path) -> Result<Self, CliError> {
        let mut name = [0; RANDOM];
        dice().fill_bytes(&mut name);
        let path = place.join(format!("{PREFIX}{}", hex::encode(name)));
        // It gets its name with the lock held, so that nobody takes it for one that was left.
        let unfinished = path.with_extension(UNFINISHED);
        // Not recursive: a folder that exists already is somebody else's.
        std::fs::DirBuilder::new().mode(0o700).create(&unfinished).map_err(CliError::file(&unfinished))?;
        let lock = Lock::take(&unfinished.join(LOCK)).map_err(|error| match error {
            LockError::Io(error) => CliError::file(&unfinished)(error),
            held @ LockError::Held { .. } => CliError::Other(format!("{}: {held}", unfinished.display())),
        })?;
        std::fs::rename(&unfinished, &path).map_err(CliError::file(&path))?;
        Ok(Self { path, _lock: lock })
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it and says whether that worked.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub(crate) fn remove(self) -> Result<(), CliError> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CliError::file(&self.path)(error)),
            _ => Ok(()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of killed programs, as far as that works: nobody needs it done.
fn sweep(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let path = entry.path();
        let unfinished = path.extension().is_some_and(|extension| extension == UNFINISHED);
        let random = random.map(|random| random.split('.').next().unwrap_or_default());
        // In a folder that all may write to, only one that is ours alone is ours to remove.
        if random.is_some_and(|random| random.len() == 2 * RANDOM && random.bytes().all(|b| b.is_ascii_hexdigit()))
            && (unfinished || path.extension().is_none())
            && folder::is_private(&path).unwrap_or(false)
            && if unfinished { is_old(&path) } else { path.join(LOCK).is_file() }
            && let Ok(_lock) = Lock::take(&path.join(LOCK))
        {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Whether a folder that has no name yet was given up: its maker needs a moment for that.
fn is_old(path: &Path) -> bool {
    let made = std::fs::metadata(path).and_then(|folder| folder.modified());
    made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > GIVEN_UP))
}

/// What the names begin with.
const PREFIX: &str = "cardinal-temp-";
/// How many random bytes follow.
const RANDOM: usize = 6;
/// What the name ends with until the lock is held.
const UNFINISHED: &str = "new";
/// After so long nobody holds a lock any more that was to be taken.
const GIVEN_UP: Duration = Duration::from_secs(3600);
/// The lock in the folder.
const LOCK: &str = "alive.lock";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, SystemTime};

    use super::{Folder, sweep};

    #[test]
    fn what_a_killed_program_left_is_swept_and_a_living_one_is_not() {
        let place = tempfile::tempdir().unwrap();
        let living = Folder::make_in(place.path()).unwrap();
        let left = |name: &str, locked: bool| {
            let path = place.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
            if locked {
                std::fs::write(path.join("alive.lock"), "4194304\n").unwrap();
            }
            path
        };
        let killed = left("cardinal-temp-00112233aabb", true);
        let foreign = [left("cardinal-temp-00112233aabc", false), left("cardinal-temp-notes", true)];
        // Killed before it had its name, and one that is being made.
        let unfinished = [left("cardinal-temp-00112233aabd.new", false), left("cardinal-temp-00112233aabe.new", true)];
        let begun = left("cardinal-temp-00112233aabf.new", true);
        for path in &unfinished {
            let yesterday = SystemTime::now() - Duration::from_secs(24 * 3600);
            std::fs::File::open(path).unwrap().set_modified(yesterday).unwrap();
        }
        sweep(place.path());
        assert!(!killed.exists());
        assert!(unfinished.iter().all(|path| !path.exists()) && begun.exists());
        assert!(living.path().exists() && foreign.iter().all(|path| path.exists()));
    }

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
