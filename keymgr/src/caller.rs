//! Who asks: the kernel's word for the user, and evidence about the program.

use std::fs::File;

use audit::{Caller, Text};
use proto::rpc::socket::Peer;

use crate::witness::{Looked, Program, Witness, digest};

/// The eye for callers' programs.
#[derive(Debug)]
pub enum Programs {
    /// This process looks itself.
    Here(Looked),
    /// A process looks that is not shut in as this one is.
    Witness(Witness),
}

impl Default for Programs {
    fn default() -> Self {
        Self::Here(Looked::default())
    }
}

impl Programs {
    /// Returns what is known of a peer. Only its user is certain: the process may be another one by now.
    pub fn caller(&mut self, peer: &Peer, one_time_key: Option<[u8; 33]>) -> Caller {
        let Program { binary, hash } = match (self, peer.pid) {
            (_, None) => Program::default(),
            (Self::Here(looked), Some(pid)) => looked.at(pid),
            (Self::Witness(witness), Some(pid)) => witness.look(pid),
        };
        let mut binary_hash = [0; 32];
        let hashed = hash.is_some_and(|hash| hex::decode_to_slice(hash, &mut binary_hash).is_ok());
        Caller {
            uid: peer.uid,
            pid: peer.pid,
            binary: binary.map(|path| Text::lossy(&path)),
            binary_hash: hashed.then_some(binary_hash),
            one_time_key,
        }
    }
}

/// Returns the SHA-256 of our own binary, when it can be read.
pub(crate) fn own_hash() -> Option<[u8; 32]> {
    digest(File::open("/proc/self/exe").ok()?)
}

/// Returns who asks when nobody did: the manager's own start, with a PIN from a file descriptor.
#[must_use]
pub fn ourselves() -> Caller {
    let binary = std::env::current_exe().ok();
    Caller {
        uid: rustix::process::geteuid().as_raw(),
        pid: i32::try_from(std::process::id()).ok(),
        binary: binary.map(|path| Text::lossy(&path.to_string_lossy())),
        binary_hash: own_hash(),
        one_time_key: None,
    }
}
