//! Why a verb of `cardinal` did not do its work: one line that says what to do next, and one exit code.

use std::io;
use std::path::{Path, PathBuf};

use proto::rpc::Fault;
use proto::rpc::socket::SocketError;
use rustix::io::Errno;
use tonic::{Code, Status};

use crate::system;

/// The outermost error of the command line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// A service answered with an error; `fault` is the cause that it named.
    #[error("{message}")]
    Service {
        /// The cause that travelled, if any.
        fault: Option<Fault>,
        /// The service's own line.
        message: String,
    },
    /// A service cannot be reached.
    #[error(
        "{0}; `cardinal up` starts the private network, `cardinal keymgr run` the key manager of your own card{hint}",
        hint = system::hint().unwrap_or_default()
    )]
    Socket(#[source] SocketError),
    /// A program that we started did not start, or ended when it should not have.
    #[error("{name}: {message}")]
    Child {
        /// Which one, in the words of the transcript.
        name: String,
        /// The cause that its exit code named, if any.
        fault: Option<Fault>,
        /// Its last words, or how it ended.
        message: String,
    },
    /// A cause that we found ourselves.
    #[error("{message}")]
    Found {
        /// The cause.
        fault: Fault,
        /// One line that says what to do.
        message: String,
    },
    /// The file system failed.
    #[error("{}: {source}{}", path.display(), advice(source.kind()))]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// A sibling program is nowhere to be found.
    #[error(
        "{name} is neither next to {} nor on PATH; build it with `cargo build --release -p {package}`",
        here.display()
    )]
    NoProgram {
        /// The program.
        name: &'static str,
        /// The package that builds it.
        package: &'static str,
        /// The folder of this program.
        here: PathBuf,
    },
    /// Whoever read our output is gone; nothing else went wrong.
    #[error("the reader of the output is gone")]
    BrokenPipe,
    /// A signal ended the verb.
    #[error("stopped by {name}")]
    Interrupted {
        /// The signal's name.
        name: &'static str,
        /// The shell's exit code for it, 128 and its number.
        code: u8,
    },
    /// What was asked is answered with no, and the output says why.
    #[error("no")]
    Said {
        /// The exit code.
        code: u8,
    },
    /// A program that was run for its caller failed.
    #[error("{program} ended with exit code {code}")]
    Ended {
        /// The program.
        program: String,
        /// Its exit code.
        code: u8,
    },
    /// Something in the environment is missing or wrong, or a claim of the demo did not hold.
    #[error("{0}")]
    Other(String),
}

impl CliError {
    /// Returns an error of our own with this cause.
    pub(crate) fn found(fault: Fault, message: impl Into<String>) -> Self {
        Self::Found { fault, message: message.into() }
    }

    /// Returns what turns an I/O error about `path` into ours.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// Returns the same error with the name of whom it is about in front.
    pub(crate) fn about(self, whom: &str) -> Self {
        let of = |message: String| format!("{whom}: {message}");
        match self {
            Self::Service { fault, message } => Self::Service { fault, message: of(message) },
            Self::Found { fault, message } => Self::Found { fault, message: of(message) },
            Self::Other(message) => Self::Other(of(message)),
            other => other,
        }
    }

    /// Returns that others may enter a folder that must be ours alone.
    pub(crate) fn open_to_others(folder: &Path) -> Self {
        let folder = folder.display();
        let message = format!(
            "{folder} must be a folder of yours that nobody else may enter; if it is yours, `chmod 700 {folder}` mends it"
        );
        Self::found(Fault::BadInput, message)
    }

    /// Returns the cause, if one is known.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Service { fault, .. } | Self::Child { fault, .. } => *fault,
            Self::Found { fault, .. } => Some(*fault),
            Self::Socket(SocketError::NotRunning(_)) => Some(Fault::NotRunning),
            Self::Socket(SocketError::InUse(_)) => Some(Fault::InUse),
            Self::File { source, .. } => file(source),
            Self::Interrupted { .. } | Self::Ended { .. } | Self::Said { .. } => None,
            Self::Socket(_) | Self::NoProgram { .. } | Self::BrokenPipe | Self::Other(_) => None,
        }
    }

    /// Returns the exit code: the fault's, 0 when only our reader went away, 1 for everything without a name.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Interrupted { code, .. } | Self::Ended { code, .. } | Self::Said { code } => *code,
            _ => self.fault().map_or(1, Fault::exit_code),
        }
    }
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        let fault = Fault::of(&status);
        // A service that goes away in the middle of a call names no fault.
        let gone = fault.is_none() && matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown);
        if gone {
            return Self::found(
                Fault::NotRunning,
                "the service went away; `cardinal up` starts the private network, `cardinal keymgr run` the key manager of your own card",
            );
        }
        let message = if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() };
        Self::Service { fault, message }
    }
}

impl From<SocketError> for CliError {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::Io { path, source } => Self::File { path, source },
            SocketError::Untrusted(path) => Self::open_to_others(&path),
            SocketError::Foreign { .. } | SocketError::NotASocket { .. } | SocketError::Denied(_) => {
                Self::found(Fault::BadInput, error.to_string())
            }
            other => Self::Socket(other),
        }
    }
}

/// What to do about it, where that is known.
fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space and try again",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => "; mend its permissions and try again",
        _ => "",
    }
}

/// What the file system says that its owner can act on.
fn file(error: &io::Error) -> Option<Fault> {
    match error.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::PermissionDenied => Some(Fault::DiskFull),
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::InvalidData => Some(Fault::BadInput),
        _ => match Errno::from_io_error(error)? {
            Errno::LOOP | Errno::NXIO => Some(Fault::BadInput),
            Errno::IO => Some(Fault::StateDamaged),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_keeps_its_exit_code_across_the_socket() {
        for fault in Fault::ALL {
            let error = CliError::from(fault.status("do this"));
            assert_eq!(error.exit_code(), fault.exit_code());
            assert_eq!(error.to_string(), "do this");
        }
    }

    #[test]
    fn an_error_without_a_name_exits_with_one() {
        assert_eq!(CliError::from(Status::internal("x")).exit_code(), 1);
        assert_eq!(CliError::Other("x".into()).exit_code(), 1);
    }

    #[test]
    fn a_service_that_goes_away_is_not_running() {
        assert_eq!(CliError::from(Status::unavailable("transport")).fault(), Some(Fault::NotRunning));
        let nobody = SocketError::NotRunning("/run/x.sock".into());
        assert_eq!(CliError::from(nobody).exit_code(), Fault::NotRunning.exit_code());
    }

    #[test]
    fn an_error_about_somebody_keeps_its_cause() {
        let wrong = CliError::from(Fault::WrongPin.status("wrong PIN")).about("bob");
        assert_eq!((wrong.to_string().as_str(), wrong.fault()), ("bob: wrong PIN", Some(Fault::WrongPin)));
    }

    #[test]
    fn a_full_disk_has_its_own_exit_code() {
        let error = CliError::file(Path::new("x"))(io::ErrorKind::StorageFull.into());
        assert_eq!(error.exit_code(), Fault::DiskFull.exit_code());
        assert!(error.to_string().ends_with("; free some space and try again"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_bad_input() {
        let error = CliError::file(Path::new("x"))(io::ErrorKind::NotFound.into());
        assert_eq!(error.exit_code(), Fault::BadInput.exit_code());
    }

    #[test]
    fn a_name_that_no_file_can_have_is_bad_input_and_what_the_disk_does_not_give_back_is_damaged() {
        for (errno, fault) in [
            (Errno::LOOP, Fault::BadInput),
            (Errno::NAMETOOLONG, Fault::BadInput),
            (Errno::FBIG, Fault::DiskFull),
            (Errno::IO, Fault::StateDamaged),
        ] {
            let error = CliError::file(Path::new("x"))(errno.into());
            assert_eq!(error.fault(), Some(fault), "{errno}");
        }
    }
}
