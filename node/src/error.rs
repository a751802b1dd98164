//! Why a node does not start, or stops: each cause with its exit code and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use proto::rpc::Fault;
use proto::rpc::socket::SocketError;

use crate::config::BadSetting;
use crate::keys::KeysError;
use crate::store::StoreError;

/// Why a node does not start, or stops before it is asked to. Each message is the whole line: its causes are in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The settings make no sense.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// Another node holds the profile.
    #[error("the profile {} is in use{}; stop that node first", dir.display(), by(*.pid))]
    InUse {
        /// The profile directory.
        dir: PathBuf,
        /// The process that holds it.
        pid: Option<u32>,
    },
    /// Others could read or replace what is in the profile.
    #[error("{} must be a directory that belongs to you alone; run chmod 700 on it", dir.display())]
    NotPrivate {
        /// The profile directory.
        dir: PathBuf,
    },
    /// A state file that should exist does not.
    #[error("{} is missing; restore it from a backup, or start over with an empty directory", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A state file is not what it should be.
    #[error("{} is damaged (expected {what}); restore it from a backup, or move it away to start over", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The disk is full, or the file system refuses.
    #[error("{} cannot be read or written ({source}); free some space or mend its permissions", path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The key manager gave no key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The local socket cannot be served.
    #[error("the local API cannot be served: {source}")]
    Socket {
        /// Why.
        source: SocketError,
    },
    /// The TCP port cannot be had.
    #[error("cannot listen on {address} ({source}); choose another address with --listen")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What failed.
        source: io::Error,
    },
}

impl NodeError {
    /// Returns the cause that names the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::InUse { .. } => Fault::InUse,
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Fault::InUse,
            // An address that is not ours to take.
            Self::Listen { .. } | Self::NotPrivate { .. } | Self::Setting(_) => Fault::BadInput,
            Self::Missing { .. } => Fault::StateMissing,
            Self::Damaged { .. } => Fault::StateDamaged,
            Self::Disk { .. } => Fault::DiskFull,
            Self::Keys(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Socket { source: SocketError::InUse(_) } => Fault::InUse,
            Self::Socket { source: SocketError::Untrusted(_) } => Fault::BadInput,
            Self::Socket { .. } => Fault::DiskFull,
        }
    }
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}
