//! Socket activation (`sd_listen_fds(3)`): a service manager made the socket and hands it over as a file descriptor.
//!
//! The invariant: a descriptor is served only when it is for this process and is a listening Unix stream socket.

use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// What a service manager says in the environment.
#[derive(Debug, Clone, Default)]
pub struct Announced {
    /// `LISTEN_PID`: for which process.
    pub pid: Option<String>,
    /// `LISTEN_FDS`: how many descriptors.
    pub fds: Option<String>,
    /// `LISTEN_FDNAMES`: their names, with colons between.
    pub names: Option<String>,
}

/// A socket that was handed over.
#[derive(Debug)]
pub struct Activated {
    /// Accepts connections.
    pub listener: UnixListener,
    /// Where it is.
    pub path: PathBuf,
}

/// Why what was handed over is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotActivated {
    /// The environment contradicts itself.
    #[error("{variable} is {value:?}; start the key manager by its units")]
    Announcement {
        /// Which variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// There are several sockets and none has the name.
    #[error(
        "none of the {count} sockets that were handed over is named {NAME}; set FileDescriptorName={NAME} in one socket unit"
    )]
    NoName {
        /// How many there are.
        count: usize,
    },
    /// The descriptor is something else.
    #[error("descriptor {fd} is {what}; the unit needs ListenStream= with a path")]
    NoSocket {
        /// Its number.
        fd: RawFd,
        /// What it is.
        what: &'static str,
    },
    /// The system did not hand it out.
    #[error("descriptor {fd}: {source}")]
    System {
        /// Its number.
        fd: RawFd,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Announced {
    /// Returns what the environment of this process says.
    #[must_use]
    pub fn from_env() -> Self {
        let said = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Self { pid: said("LISTEN_PID"), fds: said("LISTEN_FDS"), names: said("LISTEN_FDNAMES") }
    }

    /// Returns the descriptor that is meant for us, nothing when this process was started by hand, or inherited what was
    /// said to another one.
    ///
    /// # Errors
    /// [`NotActivated::Announcement`], [`NotActivated::NoName`].
    pub fn descriptor(&self) -> Result<Option<RawFd>, NotActivated> {
        let Self { pid: Some(pid), fds: Some(fds), names } = self else { return Ok(None) };
        let wrong = |variable, value: &String| NotActivated::Announcement { variable, value: value.clone() };
        let pid: u32 = pid.parse().map_err(|_| wrong("LISTEN_PID", pid))?;
        if pid != std::process::id() {
            return Ok(None);
        }
        let count: usize = fds.parse().map_err(|_| wrong("LISTEN_FDS", fds))?;
        let names: Vec<&str> = names.as_deref().map(|names| names.split(':').collect()).unwrap_or_default();
        let index = match count {
            0 => return Ok(None),
            1..=MOST => names.iter().take(count).position(|name| *name == NAME),
            _ => return Err(wrong("LISTEN_FDS", fds)),
        };
        match (index, count) {
            (Some(index), _) => Ok(RawFd::try_from(index).ok().map(|index| FIRST + index)),
            (None, 1) => Ok(Some(FIRST)),
            (None, _) => Err(NotActivated::NoName { count }),
        }
    }
}

/// Takes the socket that was handed over, if one was.
///
/// # Errors
/// [`NotActivated`].
pub fn take(announced: &Announced) -> Result<Option<Activated>, NotActivated> {
    announced.descriptor()?.map(listener).transpose()
}

/// Takes a descriptor that must be a listening Unix stream socket with a path.
fn listener(fd: RawFd) -> Result<Activated, NotActivated> {
    let system = |source: rustix::io::Errno| NotActivated::System { fd, source: source.into() };
    let no_socket = |what| NotActivated::NoSocket { fd, what };
    // A number is no proof that something is open there: the kernel looks it up in our own table, and copies it.
    let ours = pidfd_open(getpid(), PidfdFlags::empty()).map_err(system)?;
    let socket: OwnedFd = pidfd_getfd(&ours, fd, PidfdGetfdFlags::empty()).map_err(system)?;
    match sockopt::socket_domain(&socket) {
        Ok(AddressFamily::UNIX) => {}
        Ok(_) => return Err(no_socket("a socket of the network")),
        Err(_) => return Err(no_socket("no socket")),
    }
    if sockopt::socket_type(&socket).map_err(system)? != SocketType::STREAM {
        return Err(no_socket("no stream socket"));
    }
    if !sockopt::socket_acceptconn(&socket).map_err(system)? {
        return Err(no_socket("a socket that does not listen"));
    }
    let listener = UnixListener::from(socket);
    let address = listener.local_addr().map_err(|source| NotActivated::System { fd, source })?;
    let path = address.as_pathname().map(Path::to_owned).ok_or_else(|| no_socket("a socket without a path"))?;
    if !path.as_os_str().as_bytes().starts_with(b"/") {
        return Err(no_socket("a socket with a relative path"));
    }
    listener.set_nonblocking(true).map_err(|source| NotActivated::System { fd, source })?;
    Ok(Activated { listener, path })
}

/// The name that tells our socket from others.
pub const NAME: &str = "keymgr";
/// `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};

    use super::*;

    fn announced(pid: u32, fds: &str, names: Option<&str>) -> Announced {
        Announced { pid: Some(pid.to_string()), fds: Some(fds.to_owned()), names: names.map(str::to_owned) }
    }

    #[test]
    fn a_descriptor_is_taken_only_when_it_is_ours() {
        let ours = std::process::id();
        let descriptor = |fds, names| announced(ours, fds, names).descriptor();
        assert_eq!(Announced::default().descriptor().unwrap(), None, "started by hand");
        assert_eq!(announced(ours ^ 1, "1", None).descriptor().unwrap(), None, "said to another process");
        assert_eq!(descriptor("0", None).unwrap(), None);
        assert_eq!(descriptor("1", None).unwrap(), Some(3));
        assert_eq!(descriptor("1", Some("unknown")).unwrap(), Some(3), "there is no other");
        assert_eq!(descriptor("3", Some("a:keymgr:b")).unwrap(), Some(4));
        for (fds, names) in [("2", None), ("2", Some("a:b")), ("2", Some("a:b:keymgr"))] {
            assert!(matches!(descriptor(fds, names), Err(NotActivated::NoName { count: 2 })), "{names:?}");
        }
        for fds in ["-1", "x", "", "65", "99999999999999999999"] {
            assert!(matches!(descriptor(fds, None), Err(NotActivated::Announcement { .. })), "{fds}");
        }
        let nonsense = Announced { pid: Some("me".to_owned()), ..announced(ours, "1", None) };
        assert!(matches!(nonsense.descriptor(), Err(NotActivated::Announcement { variable: "LISTEN_PID", .. })));
    }

    #[test]
    fn only_a_listening_unix_stream_socket_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let good = UnixListener::bind(&path).unwrap();
        let taken = listener(good.as_raw_fd()).unwrap();
        assert_eq!(taken.path, path);
        let client = UnixStream::connect(&path).unwrap();
        let (accepted, _) = good.accept().unwrap();
        let file = std::fs::File::open(dir.path()).unwrap();
        let datagrams = UnixDatagram::bind(dir.path().join("d")).unwrap();
        let network = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let named = <SocketAddr as SocketAddrExt>::from_abstract_name(format!("cardinal-{}", std::process::id()));
        let nameless = UnixListener::bind_addr(&named.unwrap()).unwrap();
        for (fd, says) in [
            (client.as_raw_fd(), "does not listen"),
            (accepted.as_raw_fd(), "does not listen"),
            (file.as_raw_fd(), "no socket"),
            (datagrams.as_raw_fd(), "no stream socket"),
            (network.as_raw_fd(), "of the network"),
            (nameless.as_raw_fd(), "without a path"),
            (9999, "Bad file descriptor"),
        ] {
            let error = listener(fd).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
