//! Unix sockets: mode 0600 in a directory of mode 0700, and the kernel's word for who is at the other end.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tonic::transport::server::UdsConnectInfo;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

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
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Serves `path`: makes its directory (0700), removes a stale socket, binds with mode 0600.
///
/// # Errors
/// [`SocketError`]: in use, a directory that others may enter, or the file system.
pub fn serve(path: &Path) -> Result<Served, SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    let dir = path.parent().ok_or_else(|| SocketError::Untrusted(path.to_owned()))?;
    folder::make_private(dir).map_err(failed)?;
    trust(dir)?;
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let guard = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Served { listener, guard })
}

/// Connects to `path` after checking that only we may have put a socket there.
///
/// # Errors
/// [`SocketError::NotRunning`], [`SocketError::Untrusted`], or the file system.
pub async fn connect(path: &Path) -> Result<Channel, SocketError> {
    let dir = path.parent().ok_or_else(|| SocketError::Untrusted(path.to_owned()))?;
    if !dir.exists() {
        return Err(SocketError::NotRunning(path.to_owned()));
    }
    trust(dir)?;
    let target = path.to_owned();
    // The address is not used: the connector opens the Unix socket.
    let endpoint = Endpoint::from_static("http://local.invalid");
    let connector = tower::service_fn(move |_: Uri| {
        let target = target.clone();
        async move { UnixStream::connect(target).await.map(hyper_util::rt::TokioIo::new) }
    });
    endpoint.connect_with_connector(connector).await.map_err(|_| SocketError::NotRunning(path.to_owned()))
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
        let cred = info.peer_cred.ok_or_else(denied)?;
        if cred.uid() == rustix::process::geteuid().as_raw() {
            Ok(Self { uid: cred.uid(), pid: cred.pid() })
        } else {
            Err(denied())
        }
    }

    /// Returns the path of the peer's program, evidence only.
    #[must_use]
    pub fn binary(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/exe", self.pid?)).ok()
    }
}

fn trust(dir: &Path) -> Result<(), SocketError> {
    let ours = folder::is_private(dir).map_err(|source| SocketError::Io { path: dir.to_owned(), source })?;
    if ours { Ok(()) } else { Err(SocketError::Untrusted(dir.to_owned())) }
}
