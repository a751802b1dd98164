//! Files that matter: written whole (temporary file, fsync, rename, fsync of the folder), read with a bound.
//!
//! The invariant: after a crash or an error there is the old content or the new one, never a mixture and never nothing.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Writes `content` to `path`, mode 0600, and returns when the disk has it.
///
/// Two writers of one file at a time are the caller's to keep apart, with a [`Lock`](super::Lock).
///
/// # Errors
/// The file system's; the file is as it was then.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = beside(path, ".new");
    let replaced = replace(&temporary, path, content);
    if replaced.is_err() {
        // What is half written is of no use, and it may be what fills the disk.
        drop(std::fs::remove_file(&temporary));
    }
    replaced
}

/// Opens a file for reading, and waits for nobody: a pipe in a folder may never have a writer. A descriptor that this
/// process was given, `/dev/stdin` or `/dev/fd/N`, may be a pipe.
///
/// # Errors
/// The file system's; [`io::ErrorKind::InvalidInput`] for what is no file, [`io::ErrorKind::IsADirectory`].
pub fn open(path: &Path) -> io::Result<File> {
    if is_descriptor(path) {
        return File::open(path);
    }
    check_kind(&path.metadata()?)?;
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    // Another one may have taken its place.
    check_kind(&file.metadata()?)?;
    Ok(file)
}

/// Reads at most `limit` bytes, into a buffer that is wiped and never grows.
///
/// # Errors
/// As [`open`]; [`io::ErrorKind::InvalidData`] when the file is longer.
pub fn read_bounded(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut room = Zeroizing::new(vec![0; limit.saturating_add(1)]);
    let mut file = open(path)?;
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if filled > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {limit} bytes")));
    }
    room.truncate(filled);
    Ok(room)
}

/// Makes a new name, or a removal, in the folder of `path` survive a power cut.
///
/// # Errors
/// The file system's.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Returns the path of the same name with something behind it.
#[must_use]
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes what a crash may have left at the place of a temporary file.
///
/// # Errors
/// The file system's, unless there was nothing.
pub fn remove_stale(temporary: &Path) -> io::Result<()> {
    match std::fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_descriptor(path: &Path) -> bool {
    path == "/dev/stdin" || path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
}

fn check_kind(found: &Metadata) -> io::Result<()> {
    if found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name a file in it"));
    }
    if found.is_file() {
        return Ok(());
    }
    let message = "it is no file; copy what it holds into one, and name that";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

fn replace(temporary: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    remove_stale(temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(temporary, path)?;
    sync_folder_of(path)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn a_written_file_is_whole_private_and_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        write_whole(&path, b"one").unwrap();
        // What a crash left behind lends its mode to nobody.
        let stale = beside(&path, ".new");
        std::fs::write(&stale, b"half").unwrap();
        std::fs::set_permissions(&stale, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(read_bounded(&path, 3).unwrap().as_slice(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_everything_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        std::fs::create_dir(&path).unwrap();
        assert!(write_whole(&path, b"one").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        assert!(path.is_dir());
    }

    #[test]
    fn an_over_long_file_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        std::fs::write(&path, [0; 5000]).unwrap();
        let error = read_bounded(&path, 64).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::InvalidData, "longer than 64 bytes"));
        assert_eq!(read_bounded(&path, 5000).unwrap().len(), 5000);
    }

    #[test]
    fn a_pipe_is_refused_and_never_waited_for_but_a_descriptor_that_was_given_may_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for what in [&pipe, Path::new("/dev/zero")] {
            assert_eq!(read_bounded(what, 10).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{}", what.display());
        }
        assert_eq!(open(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let (given, mut writer) = io::pipe().unwrap();
        writer.write_all(b"said").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", given.as_raw_fd());
        assert_eq!(read_bounded(Path::new(&path), 10).unwrap().as_slice(), b"said");
    }

    #[test]
    fn a_name_without_a_folder_is_in_the_current_one() {
        assert!(sync_folder_of(Path::new("state")).is_ok());
    }
}
