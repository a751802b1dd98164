//! The spool as it lies there: lines that the key manager appended, read from where the last sending ended.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use audit::LineHash;
use proto::rpc::Fault;
use proto::shell::file;

use super::target::Target;
use crate::error::CliError;

/// How far the spool was sent to one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sent {
    /// So many bytes.
    bytes: u64,
    /// The hash of the last line among them; nothing while there is none.
    last: Option<[u8; 32]>,
}

/// Some lines and how far the spool is sent when they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Whole lines.
    pub(super) lines: Vec<u8>,
    /// How many they are.
    pub(super) count: usize,
    /// What to remember then.
    pub(super) then: Sent,
}

/// Returns the next lines after what was sent; nothing when there are none. A spool whose older half went is gone on with
/// after the line that was sent last; one without that line is sent from its beginning: a line that arrives twice does no
/// harm, one that never does would.
///
/// # Errors
/// [`Fault::StateMissing`], [`Fault::StateDamaged`] for a line without end.
pub(super) fn next(spool: &Path, sent: Sent) -> Result<Option<Batch>, CliError> {
    let file = file::open(spool).map_err(|error| missing(spool, error))?;
    let mut from = BufReader::new(file);
    let sent = if goes_on(&mut from, sent) { sent } else { find(&mut from, sent).map_err(CliError::file(spool))? };
    from.seek(SeekFrom::Start(sent.bytes)).map_err(CliError::file(spool))?;
    let mut batch = Batch { lines: Vec::new(), count: 0, then: sent };
    while batch.lines.len() < BATCH {
        let mut line = Vec::new();
        from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(CliError::file(spool))?;
        if line.last() != Some(&b'\n') {
            // The manager may be writing it.
            if line.len() as u64 == MAX_LINE {
                let message = format!("{}: a line at byte {} has no end", spool.display(), batch.then.bytes);
                return Err(CliError::found(Fault::StateDamaged, message));
            }
            break;
        }
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        batch.then =
            Sent { bytes: batch.then.bytes.saturating_add(length), last: Some(*LineHash::of(&line).as_bytes()) };
        batch.lines.append(&mut line);
        batch.count += 1;
    }
    Ok((batch.count > 0).then_some(batch))
}

fn missing(spool: &Path, error: std::io::Error) -> CliError {
    if error.kind() == std::io::ErrorKind::NotFound {
        let message = format!(
            "there is no spool at {}; a key manager begins it with the first head that a card signs",
            spool.display()
        );
        return CliError::found(Fault::StateMissing, message);
    }
    CliError::file(spool)(error)
}

/// Whether the spool still has the line that was sent last, where it was.
fn goes_on(spool: &mut BufReader<File>, sent: Sent) -> bool {
    let Some(last) = sent.last else { return true };
    let begin = sent.bytes.saturating_sub(MAX_LINE);
    let length = usize::try_from(sent.bytes - begin).unwrap_or(0);
    let mut bytes = vec![0; length];
    if spool.seek(SeekFrom::Start(begin)).and_then(|_| spool.read_exact(&mut bytes)).is_err() {
        return false;
    }
    let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let start = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    *LineHash::of(bytes.get(start..).unwrap_or_default()).as_bytes() == last
}

/// Looks for the line that was sent last, which may stand elsewhere, and returns how far that is.
fn find(spool: &mut BufReader<File>, sent: Sent) -> std::io::Result<Sent> {
    spool.seek(SeekFrom::Start(0))?;
    let (mut bytes, mut line) = (0u64, Vec::new());
    loop {
        line.clear();
        let read = spool.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if line.last() != Some(&b'\n') {
            return Ok(Sent::default());
        }
        let last = Some(*LineHash::of(&line).as_bytes());
        if last == sent.last {
            return Ok(Sent { bytes, last });
        }
    }
}

/// Where it is remembered how far the spool was sent to each place. The group may read it: the key manager tells from it what
/// was not sent. Nobody else may write there, for what counts as sent is not sent again.
#[derive(Debug, Clone)]
pub(super) struct Memory(PathBuf);

impl Memory {
    /// Returns the memory in a folder, which is made if it is missing.
    ///
    /// # Errors
    /// Those of the folder.
    pub(super) fn in_folder(dir: &Path) -> Result<Self, CliError> {
        let made = DirBuilder::new().recursive(true).mode(0o750).create(dir).and_then(|()| dir.metadata());
        match made.map_err(CliError::file(dir))?.permissions().mode() & 0o022 {
            0 => Ok(Self(dir.to_owned())),
            _ => Err(CliError::open_to_others(dir)),
        }
    }

    /// Returns how far the spool was sent to a place. What cannot be read is as good as nothing: it is sent again.
    pub(super) fn of(&self, target: &Target) -> Sent {
        let text = file::read_bounded(&self.path(target), MAX_MEMORY).ok();
        text.and_then(|text| parse(std::str::from_utf8(&text).ok()?)).unwrap_or_default()
    }

    /// Remembers how far the spool was sent to a place.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn keep(&self, target: &Target, sent: Sent) -> Result<(), CliError> {
        let path = self.path(target);
        let last = sent.last.map_or_else(|| "-".to_owned(), hex::encode);
        file::write_whole(&path, format!("{} {last}\n{target}\n", sent.bytes).as_bytes())
            .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o640)))
            .map_err(CliError::file(&path))
    }

    fn path(&self, target: &Target) -> PathBuf {
        let name = LineHash::of(target.to_string().as_bytes()).to_string();
        self.0.join(format!("{}.sent", name.get(..16).unwrap_or(&name)))
    }
}

fn parse(text: &str) -> Option<Sent> {
    let (bytes, last) = text.lines().next()?.split_once(' ')?;
    let mut hash = [0; 32];
    hex::decode_to_slice(last, &mut hash).ok()?;
    Some(Sent { bytes: bytes.parse().ok()?, last: Some(hash) })
}

/// About how many bytes go in one sending.
const BATCH: usize = 64 * 1024;
/// No line of a spool is longer.
const MAX_LINE: u64 = 16 * 1024;
/// Two lines, the second of which only people read.
const MAX_MEMORY: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(dir: &tempfile::TempDir, text: &str) -> PathBuf {
        let path = dir.path().join("heads");
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn what_was_sent_is_not_sent_again_and_half_a_line_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = spool(&dir, "one\ntwo\nthr");
        let batch = next(&path, Sent::default()).unwrap().unwrap();
        assert_eq!((batch.lines.as_slice(), batch.count), (b"one\ntwo\n".as_slice(), 2));
        assert_eq!(next(&path, batch.then).unwrap(), None);
        spool(&dir, "one\ntwo\nthree\n");
        assert_eq!(next(&path, batch.then).unwrap().unwrap().lines, b"three\n");
    }

    #[test]
    fn a_spool_that_lost_its_older_half_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = spool(&dir, "one\ntwo\nthree\n");
        let sent = next(&path, Sent::default()).unwrap().unwrap().then;
        spool(&dir, "three\nfour\n");
        let batch = next(&path, sent).unwrap().unwrap();
        assert_eq!(batch.lines, b"four\n");
        assert_eq!(next(&path, batch.then).unwrap(), None);
    }

    #[test]
    fn a_spool_that_was_begun_anew_is_sent_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = spool(&dir, "one\ntwo\n");
        let sent = next(&path, Sent::default()).unwrap().unwrap().then;
        for other in ["uno\ndos\ntres\n", "one\n"] {
            spool(&dir, other);
            assert_eq!(next(&path, sent).unwrap().unwrap().lines, other.as_bytes(), "{other:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_an_error_and_a_long_spool_goes_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = spool(&dir, &"x".repeat(20_000));
        assert_eq!(next(&path, Sent::default()).unwrap_err().fault(), Some(Fault::StateDamaged));
        let line = format!("{}\n", "y".repeat(999));
        spool(&dir, &line.repeat(1000));
        let (mut sent, mut lines) = (Sent::default(), 0);
        while let Some(batch) = next(&path, sent).unwrap() {
            assert!(batch.lines.len() <= BATCH + 1000);
            (sent, lines) = (batch.then, lines + batch.count);
        }
        assert_eq!(lines, 1000);
    }

    #[test]
    fn what_is_remembered_is_found_again_by_the_place() {
        let dir = crate::folder::Folder::make().unwrap();
        let memory = Memory::in_folder(&dir.path().join("push")).unwrap();
        let (one, two): (Target, Target) = ("file:/a".parse().unwrap(), "file:/b".parse().unwrap());
        let sent = Sent { bytes: 7, last: Some([7; 32]) };
        memory.keep(&one, sent).unwrap();
        assert_eq!((memory.of(&one), memory.of(&two)), (sent, Sent::default()));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&memory.path(&one)), 0o640, "the key manager may read it");
        std::fs::write(memory.path(&one), "nonsense").unwrap();
        assert_eq!(memory.of(&one), Sent::default());
        std::fs::set_permissions(&memory.0, Permissions::from_mode(0o770)).unwrap();
        assert!(Memory::in_folder(&memory.0).is_err(), "others may write there");
    }
}
