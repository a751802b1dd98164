//! What was said between a scenario and a program, in a file of the folder that `PEER_LOGS` names; without it, nowhere.
//!
//! ```text
//! > {"id":1,"cmd":"info"}      to its standard input
//! < {"event":"started"}        from its standard output
//! ! WARN ...                   from its standard error
//! ```

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The transcript of one program. All copies write the same.
#[derive(Debug, Clone, Default)]
pub struct Transcript(Option<Arc<Mutex<File>>>);

impl Transcript {
    /// Begins the transcript of the program of this name and process id, where one is wanted.
    #[must_use]
    pub fn of(program: &str, pid: u32) -> Self {
        match std::env::var_os("PEER_LOGS") {
            Some(folder) if !folder.is_empty() => Self::in_folder(Path::new(&folder), program, pid),
            _ => Self::default(),
        }
    }

    fn in_folder(folder: &Path, program: &str, pid: u32) -> Self {
        let path = folder.join(format!("{program}-{pid}.log"));
        match std::fs::create_dir_all(folder).and_then(|()| File::create(&path)) {
            Ok(file) => Self(Some(Arc::new(Mutex::new(file)))),
            Err(error) => {
                // What is to be shown can be shown without it.
                eprintln!("no transcript in {}: {error}", path.display());
                Self::default()
            }
        }
    }

    /// Notes a line, with or without its end.
    pub fn note(&self, mark: char, line: &[u8]) {
        let Some(file) = &self.0 else { return };
        let text = String::from_utf8_lossy(line);
        let _full = writeln!(file.lock().unwrap_or_else(PoisonError::into_inner), "{mark} {}", text.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_with_their_direction() {
        let folder = tempfile::tempdir().unwrap();
        let transcript = Transcript::in_folder(&folder.path().join("logs"), "peer", 7);
        transcript.note('>', b"{}\n");
        transcript.clone().note('<', b"\xff");
        let kept = std::fs::read_to_string(folder.path().join("logs/peer-7.log")).unwrap();
        assert_eq!(kept, "> {}\n< \u{fffd}\n");
    }

    #[test]
    fn without_a_folder_there_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let transcript = Transcript::in_folder(file.path(), "peer", 7);
        transcript.note('>', b"x");
        assert!(transcript.0.is_none());
    }
}
