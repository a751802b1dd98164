//! The file in a folder that keeps what was received: lines are appended to it, each of them once.
//!
//! The invariant: what was there stays as it is, and so does what somebody else adds.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use proto::rpc::Fault;
use proto::shell::file::sync_folder_of;
use rustix::fs::OFlags;

use crate::error::CliError;

/// The name of the file.
pub(crate) const RECEIVED: &str = "cardinal.heads";

/// Appends what is not there yet: of a sending that was cut off the lines may be there, and are sent again.
///
/// # Errors
/// [`Fault::StateMissing`] for a folder that is not there, [`Fault::BadInput`] for a file of another kind;
/// [`Fault::DiskFull`].
pub(super) fn append(dir: &Path, lines: &[u8]) -> Result<(), CliError> {
    if !dir.is_dir() {
        let message = "there is no such folder; mount it, or make it, and they are sent then";
        return Err(CliError::found(Fault::StateMissing, message));
    }
    let path = dir.join(RECEIVED);
    let found = path.symlink_metadata().ok();
    if found.as_ref().is_some_and(|found| !found.is_file()) {
        let message = format!("{RECEIVED} is there, and no file of lines; move it away, or name another folder");
        return Err(CliError::found(Fault::BadInput, message));
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options.open(&path).and_then(|file| complete(file, lines)).map_err(CliError::file(&path))?;
    if found.is_none() {
        sync_folder_of(&path).map_err(CliError::file(&path))?;
    }
    Ok(())
}

/// Returns whether this file is the one in the folder.
pub(super) fn is_in(dir: &Path, file: &Path) -> bool {
    let same = |kept: std::fs::Metadata, file: std::fs::Metadata| (kept.dev(), kept.ino()) == (file.dev(), file.ino());
    dir.join(RECEIVED).metadata().ok().zip(file.metadata().ok()).is_some_and(|(kept, file)| same(kept, file))
}

fn complete(mut file: File, lines: &[u8]) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let end = end_of(&mut file, length, lines.len())?;
    let missing = missing(&end, lines);
    let written = file.write_all(&missing).and_then(|()| file.sync_data());
    // What is of this sending alone is taken back: it may be half a line, and the disk may be full.
    if written.is_err() && since(&mut file, length, missing.len()).is_ok_and(|added| missing.starts_with(&added)) {
        drop(file.set_len(length));
    }
    written
}

/// Returns the last bytes of a file: as many as that and the one before them, or all.
fn end_of(file: &mut File, length: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let room = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(1);
    since(file, length.saturating_sub(room), bytes)
}

/// Returns what stands in a file from here on: as many bytes and one more, or all.
fn since(file: &mut File, from: u64, bytes: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut found = Vec::new();
    file.take(u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut found)?;
    Ok(found)
}

/// Returns what is to follow on `end`, so that `lines` stand there: the rest of them where it ends with their beginning, down
/// to half a line that a power cut left. Half a line of something else is ended first.
fn missing(end: &[u8], lines: &[u8]) -> Vec<u8> {
    let is_begin = |at: &usize| match at.checked_sub(1) {
        // A whole line of ours is never longer than what was read: this one began at the beginning of the file.
        None => end.len() <= lines.len(),
        Some(before) => end.get(before) == Some(&b'\n'),
    };
    let begins = (0..=end.len()).filter(is_begin);
    let rest = begins.filter_map(|at| lines.strip_prefix(end.get(at..)?)).next();
    rest.map_or_else(|| [b"\n", lines].concat(), <[u8]>::to_vec)
}
