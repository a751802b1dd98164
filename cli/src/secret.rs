//! Where secrets come from and go to: the terminal, without echo, or an open file descriptor. Never argv, never the
//! environment. What is read is wiped when it is dropped.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::RawFd;

use proto::rpc::Fault;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::CliError;

/// Opens a file descriptor that we were started with.
///
/// # Errors
/// [`Fault::BadInput`] when it is not open for reading.
pub(crate) fn descriptor(number: u32) -> Result<File, CliError> {
    duplicate(number).map_err(|error| {
        let message =
            format!("file descriptor {number} cannot be read ({error}); redirect it, for example {number}< <(...)");
        CliError::found(Fault::BadInput, message)
    })
}

/// Reads one line of at most `longest` bytes, byte by byte so that what follows stays where it is. Its end is not part of
/// it. Nothing is read when there is no more line.
///
/// # Errors
/// [`Fault::BadInput`] for a longer line, or one that cannot be read; nothing of it is repeated.
fn line(mut from: impl Read, longest: usize, what: &str) -> Result<Option<Zeroizing<Vec<u8>>>, CliError> {
    let mut text = Zeroizing::new(Vec::with_capacity(longest + 1));
    let mut byte = Zeroizing::new([0u8]);
    loop {
        match from.read(byte.as_mut_slice()) {
            Ok(0) if text.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte.as_slice() == b"\n" => break,
            Ok(_) if text.len() <= longest => text.extend_from_slice(byte.as_slice()),
            Ok(_) => return Err(too_long(what)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(what, &error)),
        }
    }
    if text.last() == Some(&b'\r') {
        text.pop();
    }
    if text.len() > longest { Err(too_long(what)) } else { Ok(Some(text)) }
}

/// Reads a secret of one line: from the descriptor, or typed at the terminal without echo.
///
/// # Errors
/// [`Fault::BadInput`] when there is nothing to read it from, or it is too long.
pub(crate) async fn ask(
    fd: Option<u32>,
    prompt: String,
    what: &'static str,
    longest: usize,
) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let Some(number) = fd else { return typed(prompt, what).await };
    one_line(descriptor(number)?, what, longest).await?.ok_or_else(|| {
        CliError::found(
            Fault::BadInput,
            format!("file descriptor {number} ended before the {what}; write it in one line"),
        )
    })
}

/// Reads one line of a descriptor, as [`line`] does.
///
/// # Errors
/// As [`line`].
pub(crate) async fn one_line(
    from: File,
    what: &'static str,
    longest: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>, CliError> {
    // A pipe may stay silent for ever: the waiting is done where it can be left behind.
    elsewhere(what, move || line(from, longest, what)).await
}

/// Reads all of a descriptor or a file, at most `longest` bytes.
///
/// # Errors
/// [`Fault::BadInput`] when it is longer.
pub(crate) async fn whole(mut from: File, what: &'static str, longest: usize) -> Result<Zeroizing<Vec<u8>>, CliError> {
    elsewhere(what, move || {
        let mut bytes = Zeroizing::new(vec![0; longest + 1]);
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match from.read(room) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(what, &error)),
            }
        }
        if filled > longest {
            return Err(too_long(what));
        }
        bytes.truncate(filled);
        Ok(bytes)
    })
    .await
}

/// Reads a secret twice from the terminal, so that a slip of the finger does not become a PIN that nobody knows; a
/// descriptor is read once.
///
/// # Errors
/// As [`ask`]; [`Fault::BadInput`] also when the two differ.
pub(crate) async fn ask_new(
    fd: Option<u32>,
    prompt: &str,
    what: &'static str,
    longest: usize,
) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let first = ask(fd, format!("{prompt}: "), what, longest).await?;
    if fd.is_none() {
        let second = ask(None, format!("{prompt} (again): "), what, longest).await?;
        if *first != *second {
            return Err(CliError::found(Fault::BadInput, format!("the two differ; the {what} was not sent anywhere")));
        }
    }
    Ok(first)
}

/// Writes a secret and a line break to an open descriptor.
///
/// # Errors
/// [`Fault::BadInput`] when it is not open for writing.
pub(crate) fn write(number: u32, secret: &[u8]) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        CliError::found(Fault::BadInput, format!("file descriptor {number} cannot be written ({error})"))
    };
    let mut file = writable(number).map_err(failed)?;
    file.write_all(secret).and_then(|()| file.write_all(b"\n")).and_then(|()| file.flush()).map_err(failed)
}

/// Returns a second handle of a descriptor, if it was opened for writing.
fn writable(number: u32) -> io::Result<File> {
    let file = duplicate(number)?;
    if rustix::fs::fcntl_getfl(&file)?.intersects(OFlags::WRONLY | OFlags::RDWR) {
        Ok(file)
    } else {
        Err(io::Error::other("it is not open for writing"))
    }
}

/// Returns a second handle of a descriptor that we were started with: it stands where the first one does, and appends if
/// that does.
fn duplicate(number: u32) -> io::Result<File> {
    let number = RawFd::try_from(number).map_err(|_| io::Error::from(Errno::BADF))?;
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(&ourselves, number, PidfdGetfdFlags::empty())?.into())
}

/// Checks that a descriptor can be written, before anything is done for which it is needed.
///
/// # Errors
/// [`Fault::BadInput`].
pub(crate) fn check_writable(number: Option<u32>) -> Result<(), CliError> {
    let Some(number) = number else { return Ok(()) };
    writable(number).map(drop).map_err(|error| {
        CliError::found(Fault::BadInput, format!("file descriptor {number} cannot be written ({error})"))
    })
}

/// Reads a secret that is typed at the terminal, without echo.
///
/// # Errors
/// [`Fault::BadInput`] when there is no terminal.
pub(crate) async fn typed(prompt: String, what: &'static str) -> Result<Zeroizing<Vec<u8>>, CliError> {
    // Before the question is shown: who answers at once is not shown either. Put back whatever happens: a signal may end
    // us meanwhile.
    let _restore = Terminal::silenced();
    elsewhere(what, move || {
        let mut typed = rpassword::prompt_password(prompt).map_err(|error| {
            let message = format!(
                "no {what} from the terminal ({error}); give a file descriptor where there is none, with --pin-fd or its like"
            );
            CliError::found(Fault::BadInput, message)
        })?;
        let bytes = Zeroizing::new(typed.as_bytes().to_vec());
        typed.zeroize();
        Ok(bytes)
    })
    .await
}

/// Runs a read that may block for ever on a thread that the end of the process does not wait for.
async fn elsewhere<R: Send + 'static>(
    what: &str,
    read: impl FnOnce() -> Result<R, CliError> + Send + 'static,
) -> Result<R, CliError> {
    let (say, said) = oneshot::channel();
    std::thread::spawn(move || drop(say.send(read())));
    said.await.map_err(|_| CliError::Other(format!("the {what} could not be read")))?
}

/// The terminal's modes, put back when dropped.
struct Terminal(Option<(File, Termios)>);

impl Terminal {
    /// Turns the echo off, where there is a terminal.
    fn silenced() -> Self {
        let silence = || {
            let tty = File::open("/dev/tty").ok()?;
            let modes = tcgetattr(&tty).ok()?;
            let mut silent = modes.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            tcsetattr(&tty, OptionalActions::Now, &silent).ok()?;
            Some((tty, modes))
        };
        Self(silence())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some((tty, modes)) = &self.0 {
            let _ = tcsetattr(tty, OptionalActions::Now, modes);
        }
    }
}

fn too_long(what: &str) -> CliError {
    CliError::found(Fault::BadInput, format!("the {what} is too long; nothing was sent to the card"))
}

/// Returns that a descriptor cannot be read.
pub(crate) fn unreadable(what: &str, error: &io::Error) -> CliError {
    CliError::found(Fault::BadInput, format!("the {what}'s file descriptor cannot be read ({error})"))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_line_ends_where_it_ends_and_what_follows_stays() {
        let mut source = b"one\r\ntwo\nthree".as_slice();
        for want in ["one", "two", "three"] {
            assert_eq!(line(&mut source, 5, "x").unwrap().unwrap().as_slice(), want.as_bytes());
        }
        assert!(line(&mut source, 5, "x").unwrap().is_none());
        let error = line(b"123456\n".as_slice(), 5, "word").unwrap_err();
        assert_eq!(error.fault(), Some(Fault::BadInput));
        assert!(!error.to_string().contains("1234"), "{error}");
    }

    #[test]
    fn a_descriptor_is_read_and_written_where_it_stands_and_only_as_it_was_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let number = |file: &File| u32::try_from(file.as_raw_fd()).unwrap();
        let file = File::open(&path).unwrap();
        for want in [b"one", b"two"] {
            let read = line(descriptor(number(&file)).unwrap(), 9, "x").unwrap().unwrap();
            assert_eq!(read.as_slice(), want);
        }
        assert!(write(number(&file), b"three").is_err() && check_writable(Some(number(&file))).is_err());
        let file = File::options().append(true).open(&path).unwrap();
        write(number(&file), b"three").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    }

    #[tokio::test]
    async fn a_descriptor_that_is_not_open_is_named() {
        assert_eq!(descriptor(4_000_000).unwrap_err().fault(), Some(Fault::BadInput));
        assert_eq!(check_writable(Some(4_000_000)).unwrap_err().fault(), Some(Fault::BadInput));
        assert!(whole(File::open("/dev/zero").unwrap(), "x", 100).await.is_err());
    }
}
