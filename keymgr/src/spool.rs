//! The heads that wait to be sent off this computer: one line each in `spool/heads.jsonl`, which `cardinal audit push` reads.
//!
//! ```text
//! {"head":"LOG ENTRIES HASH ROOT","unix_ms":N,"card":"identity:..","line":N}    card null: the log goes on in another file
//! ```
//! `line` is that of the evidence in the log. The file is bounded: the older half goes when it is full. Nothing waits for
//! the disk, and what fails is told to the operator alone.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use proto::shell::file;
use serde_json::json;

use crate::archive::Anchor;
use crate::files::{self, StateError};

/// Returns the file of the heads of a manager with this directory.
#[must_use]
pub fn file_in(dir: &Path) -> PathBuf {
    folder_in(dir).join(NAME)
}

/// Returns the folder that the file is in.
pub(crate) fn folder_in(dir: &Path) -> PathBuf {
    dir.join("spool")
}

/// The file of the heads.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    most: u64,
}

impl Spool {
    /// Makes the folder, unless it is there.
    ///
    /// # Errors
    /// [`StateError::NotPrivate`], [`StateError::Io`].
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        files::make_private_dir(folder)?;
        Ok(Self { path: folder.join(NAME), most: MOST })
    }

    /// Adds a head.
    pub(crate) fn add(&self, anchor: &Anchor) {
        if let Err(error) = self.try_add(anchor) {
            tracing::warn!("a head of the export log does not wait to be sent off: {}: {error}", self.path.display());
        }
    }

    fn try_add(&self, anchor: &Anchor) -> io::Result<()> {
        let Anchor { head, at, card, line } = anchor;
        let text = json!({
            "head": head.to_string(),
            "unix_ms": at.get(),
            "card": card.map(|card| card.to_string()),
            "line": line,
        });
        let mut file = self.opened()?;
        if file.metadata()?.len() >= self.most {
            drop(file);
            self.halve()?;
            file = self.opened()?;
        }
        file.write_all(format!("{text}\n").as_bytes())
    }

    /// Opens the file. Its group may read it, for that is who sends it off; the folder keeps everybody else away.
    fn opened(&self) -> io::Result<File> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        if file.metadata()?.permissions().mode() & 0o777 != MODE {
            file.set_permissions(Permissions::from_mode(MODE))?;
        }
        Ok(file)
    }

    /// Leaves the newer half.
    fn halve(&self) -> io::Result<()> {
        let lines: Vec<String> = BufReader::new(File::open(&self.path)?).lines().collect::<io::Result<_>>()?;
        let newer: String = lines.iter().skip(lines.len() / 2).map(|line| format!("{line}\n")).collect();
        file::write_whole(&self.path, newer.as_bytes())
    }
}

const NAME: &str = "heads.jsonl";
const MODE: u32 = 0o640;
/// Some four thousand heads.
pub(crate) const MOST: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use audit::{Head, LineHash, LogId, Root};
    use proto::{CardId, UnixMillis};

    use super::*;

    fn anchor(line: u64) -> Anchor {
        let hash = LineHash::of(&line.to_be_bytes());
        let head = Head { log: LogId::from([1; 16]), entries: line - 1, hash, root: Root::leaf(&hash) };
        Anchor { head, at: UnixMillis::new(7), card: Some(CardId::Instance([2; 16])), line }
    }

    #[test]
    fn a_spool_is_bounded_and_keeps_the_newest_heads() {
        let dir = crate::tests::private_dir();
        let spool = Spool { most: 2000, ..Spool::open(&dir.path().join("spool")).unwrap() };
        for line in 1..100 {
            spool.add(&anchor(line));
            assert!(std::fs::metadata(&spool.path).unwrap().len() < 2400);
        }
        let text = std::fs::read_to_string(&spool.path).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["head"].as_str().unwrap().parse::<Head>().unwrap(), anchor(99).head);
        assert_eq!((last["line"].as_u64(), last["unix_ms"].as_u64()), (Some(99), Some(7)));
        assert_eq!(last["card"], format!("instance:{}", "02".repeat(16)));
    }

    #[test]
    fn a_spool_that_cannot_be_written_stops_nobody() {
        let dir = crate::tests::private_dir();
        let spool = Spool::open(&dir.path().join("spool")).unwrap();
        std::fs::create_dir(&spool.path).unwrap();
        spool.add(&anchor(1));
    }
}
