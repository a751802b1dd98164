//! A file for the textfile collector of node_exporter: written whole, so that it is never read in parts.
//!
//! The manager has no network, so nobody can scrape it. It writes what a scrape would read.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use proto::shell::file::{beside, remove_stale};

/// Writes `text` in the place of the file, for its group to read: it tells no secret, but of whom the cards are.
///
/// It is renamed into place and not synced: after a power cut the next one is written.
///
/// # Errors
/// The file system's.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let temporary = beside(path, ".new");
    // Others may write in that folder too: a link that lies there is not followed.
    remove_stale(&temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    file.set_permissions(Permissions::from_mode(0o640))?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&temporary, path)
}

/// How often it is written: as often as most are scraped.
pub const PERIOD: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_textfile_is_replaced_whole_and_readable_by_the_collector() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cardinal.prom");
        let (elsewhere, planted) = (dir.path().join("elsewhere"), dir.path().join("cardinal.prom.new"));
        for text in ["a 1\n", "a 2\n"] {
            std::fs::write(&elsewhere, "mine").unwrap();
            std::os::unix::fs::symlink(&elsewhere, &planted).unwrap();
            write(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "mine", "a planted link is not followed");
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(write(&dir.path().join("none/x"), "a 1\n").is_err());
    }
}
