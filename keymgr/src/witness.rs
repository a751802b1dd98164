//! A process that looks at callers' programs: a manager that closed the file system to itself cannot.
//!
//! ```text
//! manager ──▶ witness   process id (4, little-endian)
//! witness ──▶ manager   one line of JSON: {"binary": path or null, "hash": SHA-256 in hex or null}
//! ```
//! It holds no secret, takes nothing but process ids, and ends when the manager does. The invariant: what it says is evidence;
//! without an answer nothing is known of the program, which no rule takes for a permission.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The program of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its path.
    pub binary: Option<String>,
    /// Its SHA-256, in hexadecimal digits.
    pub hash: Option<String>,
}

/// The way to a witness.
#[derive(Debug)]
pub struct Witness {
    /// Dropped first: the process ends at the end of its input.
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    process: Child,
}

/// The programs that were hashed last, so that a caller is not hashed at every request.
#[derive(Debug, Default)]
pub struct Looked(Vec<(Version, [u8; 32])>);

/// One content of one file, as far as the file system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Witness {
    /// Starts one: this program with the verb [`VERB`].
    ///
    /// # Errors
    /// The system's.
    pub fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(VERB).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let no_pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let ask = Some(process.stdin.take().ok_or_else(no_pipe)?);
        let answers = BufReader::new(process.stdout.take().ok_or_else(no_pipe)?);
        Ok(Self { ask, answers, process })
    }

    /// Returns what it sees of a process, nothing when it does not answer.
    pub fn look(&mut self, pid: i32) -> Program {
        self.exchange(pid).unwrap_or_else(|error| {
            tracing::warn!("the caller's program is not known: the witness does not answer ({error})");
            Program::default()
        })
    }

    fn exchange(&mut self, pid: i32) -> io::Result<Program> {
        let ask = self.ask.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        ask.write_all(&pid.to_le_bytes())?;
        ask.flush()?;
        let mut line = Vec::new();
        (&mut self.answers).take(MAX_LINE).read_until(b'\n', &mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.ask = None;
        drop(self.process.wait());
    }
}

impl Looked {
    /// Looks at a process.
    pub fn at(&mut self, pid: i32) -> Program {
        let exe = format!("/proc/{pid}/exe");
        let binary = std::fs::read_link(&exe).ok().map(|path| path.to_string_lossy().into_owned());
        Program { binary, hash: self.hash(&exe).map(hex::encode) }
    }

    fn hash(&mut self, path: &str) -> Option<[u8; 32]> {
        let file = File::open(path).ok()?;
        let meta = file.metadata().ok()?;
        let version = Version {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        };
        if let Some((_, hash)) = self.0.iter().find(|(known, _)| *known == version) {
            return Some(*hash);
        }
        let hash = digest(file)?;
        if self.0.len() >= MOST_PROGRAMS {
            self.0.remove(0);
        }
        self.0.push((version, hash));
        Some(hash)
    }
}

/// Answers a manager until it hangs up.
///
/// # Errors
/// The pipe's, but its end.
pub fn serve(mut asked: impl Read, mut answer: impl Write) -> io::Result<()> {
    let mut looked = Looked::default();
    let mut pid = [0; 4];
    loop {
        match asked.read_exact(&mut pid) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let mut line = serde_json::to_vec(&looked.at(i32::from_le_bytes(pid)))?;
        line.push(b'\n');
        answer.write_all(&line)?;
        answer.flush()?;
    }
}

/// Returns the SHA-256 of a program.
pub(crate) fn digest(file: File) -> Option<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut room = [0; 16384];
    let mut rest = file.take(MAX_BYTES);
    loop {
        match rest.read(&mut room).ok()? {
            // A program at the bound was not read to its end: no hash is better than that of a part.
            0 if rest.limit() == 0 => return None,
            0 => return Some(hasher.finalize().into()),
            n => hasher.update(room.get(..n)?),
        }
    }
}

/// The verb of `cardinal-keymgr` that is a witness.
pub const VERB: &str = "witness";
/// A path of the longest kind, every byte of which JSON escapes, and a hash.
const MAX_LINE: u64 = 32 * 1024;
const MOST_PROGRAMS: usize = 8;
const MAX_BYTES: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_tells_the_path_and_the_hash_of_a_program() {
        let ours = i32::try_from(std::process::id()).unwrap();
        let mut answers = Vec::new();
        serve([ours.to_le_bytes(), i32::MAX.to_le_bytes(), (-1_i32).to_le_bytes()].concat().as_slice(), &mut answers)
            .unwrap();
        let programs: Vec<Program> =
            answers.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
        let exe = std::env::current_exe().unwrap();
        let whole = std::fs::read(&exe).unwrap();
        assert_eq!(programs[0].binary.as_deref(), exe.to_str());
        assert_eq!(programs[0].hash, Some(hex::encode(Sha256::digest(whole))));
        assert_eq!(programs[1..], [Program::default(), Program::default()], "no such process");
    }

    #[test]
    fn a_question_that_is_cut_off_ends_a_witness() {
        let mut answers = Vec::new();
        serve([1, 0].as_slice(), &mut answers).unwrap();
        assert!(answers.is_empty());
    }
}
