//! A process that looks at callers' programs: a manager that closed the file system to itself cannot.
//!
//! ```text
//! manager ──▶ witness   number (8) || process id (4), little-endian || 1 where the program shall be hashed, else 0 (1)
//! witness ──▶ manager   one line of JSON: the number and a [`Sight`]
//! ```
//! It holds no secret, takes nothing but process ids, and ends when the manager does. A look can hang for good, at a program
//! on a file system that is gone, and then nobody can end it: so each is made on a thread of its own, nobody waits for it
//! longer than [`PATIENCE`], and a user has [`MOST_OF_A_USER`] at most that are not answered. The invariant: what it says is
//! evidence; without an answer nothing is known of the program, which no rule takes for a permission.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, oneshot};

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
    /// Its pipes, until somebody asks: nothing runs beside a manager that is not yet shut in.
    pipes: Mutex<Option<(ChildStdin, ChildStdout)>>,
    ask: OnceCell<tokio::sync::Mutex<pipe::Sender>>,
    questions: Arc<Mutex<Questions>>,
    process: Child,
}

/// What is asked and not answered.
#[derive(Debug, Default)]
struct Questions {
    /// The number of the last one.
    last: u64,
    open: BTreeMap<u64, Open>,
    /// How many more each user may ask.
    shares: BTreeMap<u32, Arc<Semaphore>>,
    /// The witness answers nobody any more.
    ended: bool,
}

/// A question without an answer, whether anybody still waits for that or not.
#[derive(Debug)]
struct Open {
    say: oneshot::Sender<Sight>,
    _share: OwnedSemaphorePermit,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    number: u64,
    sight: Sight,
}

/// The programs that were hashed last, so that a caller is not hashed at every request. Whoever looks waits for nobody.
#[derive(Debug, Default)]
pub struct Looked(Mutex<Vec<(Version, [u8; 32])>>);

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
        command.arg(VERB);
        Self::of(&mut command)
    }

    fn of(command: &mut Command) -> io::Result<Self> {
        let mut process = command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let no_pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let ask = process.stdin.take().ok_or_else(no_pipe)?;
        let answers = process.stdout.take().ok_or_else(no_pipe)?;
        let pipes = Mutex::new(Some((ask, answers)));
        Ok(Self { pipes, ask: OnceCell::new(), questions: Arc::default(), process })
    }

    /// Returns what it sees of a process of this user, nothing when it does not answer in time.
    pub async fn look(&self, uid: u32, pid: i32, hash: bool) -> Sight {
        match tokio::time::timeout(PATIENCE, self.exchange(uid, pid, hash)).await {
            Ok(Ok(sight)) => sight,
            Ok(Err(error)) => {
                tracing::warn!("the program of a caller of uid {uid} is not known: {error}");
                Sight::default()
            }
            Err(_) => {
                tracing::warn!("the program of process {pid} of uid {uid} is not known: to look at it takes too long");
                Sight::default()
            }
        }
    }

    async fn exchange(&self, uid: u32, pid: i32, hash: bool) -> io::Result<Sight> {
        let ask = self.ask.get_or_try_init(|| async { self.listen() }).await?;
        let share = lock(&self.questions).share_of(uid);
        let share = share.acquire_owned().await.map_err(|_| gone())?;
        let (say, answer) = oneshot::channel();
        let number = lock(&self.questions).open(Open { say, _share: share }).ok_or_else(gone)?;
        let question = [number.to_le_bytes().as_slice(), &pid.to_le_bytes(), &[hash.into()]].concat();
        // Far fewer questions are open than a pipe takes, so this never waits for the witness.
        ask.lock().await.write_all(&question).await?;
        answer.await.map_err(|_| gone())
    }

    /// Begins to hear answers.
    fn listen(&self) -> io::Result<tokio::sync::Mutex<pipe::Sender>> {
        let (ask, answers) = lock(&self.pipes).take().ok_or_else(gone)?;
        let ask = pipe::Sender::from_owned_fd(OwnedFd::from(ask))?;
        let mut answers = BufReader::new(pipe::Receiver::from_owned_fd(OwnedFd::from(answers))?);
        let questions = Arc::clone(&self.questions);
        tokio::spawn(async move {
            let mut line = Vec::new();
            loop {
                line.clear();
                let heard = (&mut answers).take(MAX_LINE).read_until(b'\n', &mut line).await;
                let answer = heard.ok().and_then(|_| serde_json::from_slice::<Answer>(&line).ok());
                let mut questions = lock(&questions);
                let Some(Answer { number, sight }) = answer else {
                    questions.end();
                    return;
                };
                if let Some(Open { say, .. }) = questions.open.remove(&number) {
                    // Nobody waits for an answer that took too long.
                    drop(say.send(sight));
                }
            }
        });
        Ok(tokio::sync::Mutex::new(ask))
    }
}

impl Questions {
    /// Returns how many more this user may ask.
    fn share_of(&mut self, uid: u32) -> Arc<Semaphore> {
        self.shares.retain(|_, share| Arc::strong_count(share) > 1 || share.available_permits() < MOST_OF_A_USER);
        Arc::clone(self.shares.entry(uid).or_insert_with(|| Arc::new(Semaphore::new(MOST_OF_A_USER))))
    }

    /// Counts a question, unless nobody answers any more, and returns its number.
    fn open(&mut self, question: Open) -> Option<u64> {
        if self.ended {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        self.open.insert(self.last, question);
        Some(self.last)
    }

    fn end(&mut self) {
        self.ended = true;
        self.open.clear();
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the witness has ended; start the key manager again")
}

/// Nothing is left half done while these locks are held.
fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Witness {
    fn drop(&mut self) {
        drop(lock(&self.pipes).take());
        drop(self.ask.take());
        // It ends at the end of its input; one whose looks hang ends when they do, and is not waited for.
        let end = Instant::now().checked_add(FAREWELL);
        while matches!(self.process.try_wait(), Ok(None)) && end.is_some_and(|end| Instant::now() < end) {
            std::thread::sleep(SOON);
        }
    }
}

impl Looked {
    /// Looks at a process, and at the bytes of its program where they shall be hashed.
    pub fn at(&self, pid: i32, hash: bool) -> Sight {
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

    fn hash(&self, file: File, meta: &Metadata) -> Option<[u8; 32]> {
        let version = Version {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        };
        if let Some((_, hash)) = lock(&self.0).iter().find(|(known, _)| *known == version) {
            return Some(*hash);
        }
        let hash = digest(file)?;
        let mut known = lock(&self.0);
        if known.len() >= MOST_PROGRAMS {
            known.remove(0);
        }
        known.push((version, hash));
        Some(hash)
    }
}

/// A question on its way to a thread: its number, the process, and whether its program shall be hashed.
type Question = (u64, i32, bool);

/// Answers a manager until it hangs up. Looks that hang are left behind.
///
/// # Errors
/// The pipe's, but its end.
pub fn serve(asked: impl Read, answer: impl Write + Send + 'static) -> io::Result<()> {
    let looked = Looked::default();
    serve_with(move |pid, hash| looked.at(pid, hash), asked, answer)
}

fn serve_with(
    look: impl Fn(i32, bool) -> Sight + Send + Sync + 'static,
    mut asked: impl Read,
    answer: impl Write + Send + 'static,
) -> io::Result<()> {
    let (look, answer, idle) = (Arc::new(look), Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
    let (give, take) = channel::<Question>();
    let (take, mut threads) = (Arc::new(Mutex::new(take)), 0_usize);
    loop {
        let (mut number, mut pid, mut hash) = ([0; 8], [0; 4], [0; 1]);
        let heard = asked.read_exact(&mut number).and_then(|()| asked.read_exact(&mut pid));
        match heard.and_then(|()| asked.read_exact(&mut hash)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let question = (u64::from_le_bytes(number), i32::from_le_bytes(pid), hash != [0]);
        // Whoever is not looking takes the next question; where all look, another one comes.
        let is_taken = idle.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |idle| idle.checked_sub(1)).is_ok();
        if !is_taken && threads < MOST_LOOKS {
            let (look, saying, idle, take) =
                (Arc::clone(&look), Arc::clone(&answer), Arc::clone(&idle), Arc::clone(&take));
            if std::thread::Builder::new().spawn(move || look_on(&*look, &take, &saying, &idle)).is_err() {
                // The system gives no more threads, for a while perhaps: the witness goes on with those it has.
                tell(&answer, question.0, Sight::default())?;
                continue;
            }
            threads += 1;
        } else if !is_taken {
            tell(&answer, question.0, Sight::default())?;
            continue;
        }
        give.send(question).map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
}

/// Answers one question after the other.
fn look_on(
    look: &impl Fn(i32, bool) -> Sight,
    take: &Mutex<Receiver<Question>>,
    answer: &Mutex<impl Write>,
    idle: &AtomicUsize,
) {
    loop {
        let next = lock(take).recv();
        let Ok((number, pid, hash)) = next else { return };
        let sight = look(pid, hash);
        // Before the answer: whoever has it may ask again at once.
        idle.fetch_add(1, Ordering::SeqCst);
        if tell(answer, number, sight).is_err() {
            return;
        }
    }
}

fn tell(answer: &Mutex<impl Write>, number: u64, sight: Sight) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Answer { number, sight })?;
    line.push(b'\n');
    let mut answer = lock(answer);
    answer.write_all(&line)?;
    answer.flush()
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
/// How long anybody waits for an answer: to read all of a large program from a slow disk takes as long, once.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The looks that are under way or hang. Strangers are not looked at, so few users can have that many.
const MOST_LOOKS: usize = 32;
const MOST_OF_A_USER: usize = 4;
/// How long a manager that stops waits for its witness.
const FAREWELL: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(5);
const MAX_BYTES: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn question(number: u64, pid: i32, hash: bool) -> Vec<u8> {
        [number.to_le_bytes().as_slice(), &pid.to_le_bytes(), &[hash.into()]].concat()
    }

    /// What a witness writes, line by line.
    struct Told(std::sync::mpsc::Sender<Answer>);

    impl Write for Told {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            drop(self.0.send(serde_json::from_slice(line).unwrap()));
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_witness_tells_what_a_process_runs_and_the_hash_of_it() {
        let ours = i32::try_from(std::process::id()).unwrap();
        let asked =
            [question(1, ours, true), question(2, ours, false), question(3, i32::MAX, true), question(4, -1, true)];
        let (tell, told) = channel();
        serve(asked.concat().as_slice(), Told(tell)).unwrap();
        let mut answers: Vec<Answer> = told.iter().collect();
        answers.sort_by_key(|answer| answer.number);
        assert_eq!(answers.iter().map(|answer| answer.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let sights: Vec<Sight> = answers.into_iter().map(|answer| answer.sight).collect();
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
        let (tell, told) = channel();
        serve([1, 0].as_slice(), Told(tell)).unwrap();
        assert!(told.recv().is_err());
    }

    /// A program on a file system that is gone: whoever looks at it never comes back.
    #[test]
    fn attack_looks_that_hang_keep_nobody_else_from_an_answer() {
        let look = |pid: i32, _: bool| {
            if pid == 1 {
                loop {
                    std::thread::park();
                }
            }
            Sight { started: Some(u64::from(pid.unsigned_abs())), ..Sight::default() }
        };
        let (tell, told) = channel();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let witness = std::thread::spawn(move || serve_with(look, theirs, Told(tell)));
        let answered = |number: u64, pid: i32| {
            (&ours).write_all(&question(number, pid, true)).unwrap();
            let answer = told.recv_timeout(Duration::from_secs(20)).unwrap();
            assert_eq!(answer.number, number);
            answer.sight.started
        };
        for hung in 0..MOST_LOOKS as u64 - 1 {
            (&ours).write_all(&question(1000 + hung, 1, true)).unwrap();
            assert_eq!(answered(hung, 7), Some(7), "{hung} hang");
        }
        // One thread is left, and it serves all others, one after the other.
        for number in 100..200 {
            assert_eq!(answered(number, 8), Some(8));
        }
        (&ours).write_all(&question(2000, 1, true)).unwrap();
        assert_eq!(answered(2001, 7), None, "of the next nothing is known, at once");
        drop(ours);
        witness.join().unwrap().unwrap();
    }

    /// A witness that hears nothing and says nothing.
    #[tokio::test]
    async fn attack_a_witness_that_does_not_answer_is_not_waited_for_and_nothing_is_known() {
        let witness = Witness::of(Command::new("/bin/sleep").arg("600")).unwrap();
        let began = Instant::now();
        let looks: Vec<_> = (0..6).map(|pid| witness.look(7, pid, true)).collect();
        let mut looks: Vec<_> = looks.into_iter().map(Box::pin).collect();
        std::future::poll_fn(|cx| {
            looks.retain_mut(|look| match look.as_mut().poll(cx) {
                std::task::Poll::Ready(sight) => {
                    assert_eq!(sight, Sight::default());
                    false
                }
                std::task::Poll::Pending => true,
            });
            if looks.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        assert!(began.elapsed() < PATIENCE * 3, "at the same time");
        assert_eq!(lock(&witness.questions).open.len(), MOST_OF_A_USER, "the others of this user were not asked");
        drop(looks);
        let mut witness = witness;
        witness.process.kill().unwrap();
    }
}
