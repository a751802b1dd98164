//! Unix sockets: mode 0600 in a directory of mode 0700, and the kernel's word for who is at the other end.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tonic::transport::server::UdsConnectInfo;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

use crate::rpc::trust::{self, Whose};
use crate::shell::folder;

/// Why a socket cannot be served or reached. Each message is whole: its cause is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another process serves it.
    #[error("{} is served already; stop who serves it, or choose another socket", .0.display())]
    InUse(PathBuf),
    /// Nobody serves it.
    #[error("nothing answers at {}", .0.display())]
    NotRunning(PathBuf),
    /// The directory is not ours alone, so whoever answers there proves nothing.
    #[error("{} must belong to you with mode 0700", .0.display())]
    Untrusted(PathBuf),
    /// The folder, the socket, or who answers there, belongs to somebody who may not serve it.
    #[error("{} {what} user {uid}, who may not serve it; see `cardinal --help` for --keymgr-user", path.display())]
    Foreign {
        /// The socket, or a folder on the way to it.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
        /// Whose it is.
        uid: u32,
    },
    /// Something else is where the socket should be.
    #[error("{} is {what}; remove it, or choose another socket", path.display())]
    NotASocket {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The socket is for others.
    #[error("{} does not let you in; ask its administrator to put you into the group cardinal-clients", .0.display())]
    Denied(PathBuf),
    /// The file system or the network layer failed.
    #[error("{}: {source}; check the rights and the free space", path.display())]
    Io {
        /// The socket or its directory.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// A listening socket that removes its file when dropped.
#[derive(Debug)]
pub struct Served {
    /// Accepts connections.
    pub listener: UnixListener,
    /// Removes the file.
    pub guard: SocketFile,
}

/// The file of a served socket; dropping it removes the file.
#[derive(Debug)]
pub struct SocketFile(Option<PathBuf>);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            drop(std::fs::remove_file(path));
        }
    }
}

/// Serves `path`: makes its directory (0700), removes a stale socket, binds with mode 0600.
///
/// # Errors
/// [`SocketError`]: in use, a directory that others may enter, or the file system.
pub fn serve(path: &Path) -> Result<Served, SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    let dir = trust::folder_of(path)?;
    folder::make_private(dir).map_err(failed)?;
    is_ours(dir)?;
    trust::is_socket(path)?;
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let guard = SocketFile(Some(path.to_owned()));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Served { listener, guard })
}

/// Serves a listening socket that was handed over; whoever made its file keeps it.
///
/// # Errors
/// [`SocketError::Io`]. In a tokio runtime.
pub fn adopt(listener: std::os::unix::net::UnixListener, path: &Path) -> Result<Served, SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(Served { listener: UnixListener::from_std(listener).map_err(failed)?, guard: SocketFile(None) })
}

/// Connects to `path` after checking that only we, or the administrator, may have put a socket there.
///
/// # Errors
/// As [`connect_to`].
pub async fn connect(path: &Path) -> Result<Channel, SocketError> {
    connect_to(path, Whose::at(path, None)).await
}

/// Connects to `path` after checking that only somebody who may serve it put a socket there, and that such a user answers.
///
/// # Errors
/// [`SocketError::NotRunning`], [`SocketError::Untrusted`], [`SocketError::Foreign`], [`SocketError::NotASocket`],
/// [`SocketError::Denied`], or the file system.
pub async fn connect_to(path: &Path, whose: Whose) -> Result<Channel, SocketError> {
    whose.check(path)?;
    // Once to learn why not: the channel below connects again and again, and says only that it cannot.
    reach(path, whose).await?;
    let target = path.to_owned();
    // The address is not used: the connector opens the Unix socket.
    let endpoint = Endpoint::from_static("http://local.invalid");
    let connector = tower::service_fn(move |_: Uri| {
        let target = target.clone();
        async move { reach(&target, whose).await.map(hyper_util::rt::TokioIo::new) }
    });
    endpoint.connect_with_connector(connector).await.map_err(|_| SocketError::NotRunning(path.to_owned()))
}

/// Opens a stream to somebody who may serve this socket.
async fn reach(path: &Path, whose: Whose) -> Result<UnixStream, SocketError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => SocketError::Denied(path.to_owned()),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => SocketError::NotRunning(path.to_owned()),
        _ => SocketError::Io { path: path.to_owned(), source },
    };
    let stream = UnixStream::connect(path).await.map_err(failed)?;
    // Of a socket that was handed over, the kernel names who made it.
    let uid = stream.peer_cred().map_err(failed)?.uid();
    if whose.trusts(uid) {
        Ok(stream)
    } else {
        Err(SocketError::Foreign { path: path.to_owned(), what: "is answered by", uid })
    }
}

/// Who is at the other end of a request, by the kernel's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user: the only thing authority rests on.
    pub uid: u32,
    /// The process, for evidence; it may be gone or another one by the time it is looked up.
    pub pid: Option<i32>,
}

impl Peer {
    /// Returns the peer of a request, if its user is ours.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` for another user or an unknown one.
    pub fn of_same_user<T>(request: &Request<T>) -> Result<Self, Status> {
        let denied = || Status::permission_denied("only the user that runs this service may use it");
        let info = request.extensions().get::<UdsConnectInfo>().ok_or_else(denied)?;
        let peer = info.peer_cred.map(|cred| Self { uid: cred.uid(), pid: cred.pid() });
        peer.filter(|peer| peer.is(rustix::process::geteuid().as_raw())).ok_or_else(denied)
    }

    /// Returns whether this is the user with that number: the user alone decides.
    const fn is(&self, uid: u32) -> bool {
        self.uid == uid
    }
}

fn is_ours(dir: &Path) -> Result<(), SocketError> {
    let ours = folder::is_private(dir).map_err(|source| SocketError::Io { path: dir.to_owned(), source })?;
    if ours { Ok(()) } else { Err(SocketError::Untrusted(dir.to_owned())) }
}

#[cfg(test)]
mod tests {
    use tokio::net::unix::UCred;

    use super::*;

    /// A request as it arrives from a process with these credentials, if the kernel named any.
    fn from(peer_cred: Option<UCred>) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(UdsConnectInfo { peer_addr: None, peer_cred });
        request
    }

    fn ourselves() -> UCred {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _guard = runtime.enter();
        UnixStream::pair().unwrap().0.peer_cred().unwrap()
    }

    #[test]
    fn only_our_own_user_is_answered() {
        let uid = rustix::process::geteuid().as_raw();
        assert!(Peer { uid, pid: None }.is(uid));
        assert!(!Peer { uid, pid: None }.is(uid ^ 1), "another user");
        assert!(!Peer { uid: 0, pid: None }.is(1000), "the administrator is another user too");
        let peer = Peer::of_same_user(&from(Some(ourselves()))).unwrap();
        assert_eq!(peer, Peer { uid, pid: i32::try_from(std::process::id()).ok() });
    }

    #[test]
    fn a_request_whose_user_is_unknown_is_denied() {
        for request in [from(None), Request::new(())] {
            assert_eq!(Peer::of_same_user(&request).unwrap_err().code(), tonic::Code::PermissionDenied);
        }
    }
}
