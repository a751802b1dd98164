//! A process that looks at callers' programs: a manager that closed the file system to itself cannot.
//!
//! ```text
//! manager ──▶ witness   process id (4, little-endian) || 1 where the program shall be hashed, else 0 (1)
//! witness ──▶ manager   one line of JSON: a [`Sight`]
//! ```
//! It holds no secret, takes nothing but process ids, and ends when the manager does. The invariant: what it says is evidence;
//! without an answer nothing is known of the program, which no rule takes for a permission.

use std::fs::{File, Metadata};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What is seen of a process; nothing of one that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// When it was started, in ticks since the boot: with its id this names one process.
    pub started: Option<u64>,
    /// The path of its program, as the kernel tells it.
    pub binary: Option<String>,
    /// The device and the inode of the file that it runs.
    pub file: Option<(u64, u64)>,
    /// Why that is not the file at the path.
    pub misplaced: Option<Misplaced>,
    /// The SHA-256 of the file that it runs, in hexadecimal digits.
    pub hash: Option<String>,
}

/// Why the file at a program's path is not the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Misplaced {
    /// It was removed, or another was put in its place by a rename.
    Deleted,
    /// Another file is there.
    Replaced,
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
    pub fn look(&mut self, pid: i32, hash: bool) -> Sight {
        self.exchange(pid, hash).unwrap_or_else(|error| {
            tracing::warn!("the caller's program is not known: the witness does not answer ({error})");
            Sight::default()
        })
    }

    fn exchange(&mut self, pid: i32, hash: bool) -> io::Result<Sight> {
        let ask = self.ask.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let [a, b, c, d] = pid.to_le_bytes();
        ask.write_all(&[a, b, c, d, hash.into()])?;
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
    /// Looks at a process, and at the bytes of its program where they shall be hashed.
    pub fn at(&mut self, pid: i32, hash: bool) -> Sight {
        let started = started(pid);
        let exe = format!("/proc/{pid}/exe");
        let path = std::fs::read_link(&exe).ok();
        // The running program, whatever lies at its path.
        let file = File::open(&exe).ok();
        let meta = file.as_ref().and_then(|file| file.metadata().ok());
        let hash = file.zip(meta.as_ref()).filter(|_| hash).and_then(|(file, meta)| self.hash(file, meta));
        // Compared after the look: had the id been given to another process, this would be another time.
        if started.is_none() || self::started(pid) != started {
            return Sight::default();
        }
        let file = meta.map(|meta| (meta.dev(), meta.ino()));
        let misplaced = path.as_ref().zip(file).and_then(|(path, file)| misplaced(path, file));
        let binary = path.map(|path| path.to_string_lossy().into_owned());
        Sight { started, binary, file, misplaced, hash: hash.map(hex::encode) }
    }

    fn hash(&mut self, file: File, meta: &Metadata) -> Option<[u8; 32]> {
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
    let mut question = [0; 5];
    loop {
        match asked.read_exact(&mut question) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let [a, b, c, d, hash] = question;
        let mut line = serde_json::to_vec(&looked.at(i32::from_le_bytes([a, b, c, d]), hash != 0))?;
        line.push(b'\n');
        answer.write_all(&line)?;
        answer.flush()?;
    }
}

/// Returns when a process was started, in clock ticks since the boot (proc_pid_stat(5), field 22).
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let rest = stat.rsplit(|byte| *byte == b')').next()?;
    std::str::from_utf8(rest).ok()?.split_whitespace().nth(19)?.parse().ok()
}

/// Returns why the file at a program's path is not the one that runs.
fn misplaced(path: &Path, running: (u64, u64)) -> Option<Misplaced> {
    if path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)") {
        return Some(Misplaced::Deleted);
    }
    let there = std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    (there.ok() != Some(running)).then_some(Misplaced::Replaced)
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

    fn question(pid: i32, hash: bool) -> Vec<u8> {
        [pid.to_le_bytes().as_slice(), &[hash.into()]].concat()
    }

    #[test]
    fn a_witness_tells_what_a_process_runs_and_the_hash_of_it() {
        let ours = i32::try_from(std::process::id()).unwrap();
        let mut answers = Vec::new();
        let asked =
            [question(ours, true), question(ours, false), question(i32::MAX, true), question(-1, true)].concat();
        serve(asked.as_slice(), &mut answers).unwrap();
        let sights: Vec<Sight> =
            answers.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
        let exe = std::env::current_exe().unwrap();
        let whole = std::fs::read(&exe).unwrap();
        assert_eq!((sights[0].binary.as_deref(), sights[0].misplaced), (exe.to_str(), None));
        assert!(sights[0].started.is_some() && sights[0].file.is_some());
        assert_eq!(sights[0].hash, Some(hex::encode(Sha256::digest(whole))));
        assert_eq!(sights[1], Sight { hash: None, ..sights[0].clone() });
        assert_eq!(sights[2..], [Sight::default(), Sight::default()], "no such process");
    }

    #[test]
    fn a_question_that_is_cut_off_ends_a_witness() {
        let mut answers = Vec::new();
        serve([1, 0].as_slice(), &mut answers).unwrap();
        assert!(answers.is_empty());
    }
}
