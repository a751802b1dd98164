//! Files that matter are written whole: temporary file, fsync, rename, fsync of the directory.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// Makes a directory that is ours alone (0700), with its parents.
///
/// # Errors
/// The file system's.
pub fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes `content` to `path` with mode 0600: afterwards there is the whole file or the one from before.
///
/// # Errors
/// The file system's.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    sync_directory_of(path)
}

/// Makes a rename or a removal in the directory of `path` last.
///
/// # Errors
/// The file system's.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Reads at most `limit` bytes, into a buffer that is wiped and never grows.
///
/// # Errors
/// The file system's; `InvalidData` when the file is longer.
pub fn read_bounded(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut room = Zeroizing::new(vec![0; limit.saturating_add(1)]);
    let mut file = File::open(path)?;
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            n => filled += n,
        }
    }
    if filled > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than any valid content"));
    }
    room.truncate(filled);
    Ok(room)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_written_file_is_whole_private_and_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(read_bounded(&path, 3).unwrap().as_slice(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_over_long_file_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        std::fs::write(&path, [0; 5000]).unwrap();
        assert_eq!(read_bounded(&path, 64).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
