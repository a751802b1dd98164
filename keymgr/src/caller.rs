//! Who asks: the kernel's word for the user, and evidence about the program.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use audit::{Caller, Text};
use proto::rpc::socket::Peer;
use sha2::{Digest as _, Sha256};

/// The programs that were hashed last, so that a caller is not hashed at every request.
#[derive(Debug, Default)]
pub struct Programs(Vec<(Version, [u8; 32])>);

/// One content of one file, as far as the file system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Programs {
    /// Returns what is known of a peer. Only its user is certain: the process may be another one by now.
    pub fn caller(&mut self, peer: &Peer, one_time_key: Option<[u8; 33]>) -> Caller {
        Caller {
            uid: peer.uid,
            pid: peer.pid,
            binary: peer.binary().map(|path| Text::lossy(&path.to_string_lossy())),
            binary_hash: peer.pid.and_then(|pid| self.hash(&format!("/proc/{pid}/exe"))),
            one_time_key,
        }
    }

    fn hash(&mut self, path: &str) -> Option<[u8; 32]> {
        let file = File::open(path).ok()?;
        let meta = file.metadata().ok()?;
        let version = Version {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
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

fn digest(file: File) -> Option<[u8; 32]> {
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

const MOST_PROGRAMS: usize = 8;
const MAX_BYTES: u64 = 512 << 20;
