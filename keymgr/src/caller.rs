//! Who asks: the kernel's word for the user, and evidence about the program.
//!
//! The invariant: what is said of a program is of the process that connected, or it is in doubt. A process whose id was
//! given to another one, that became another program after connecting, or whose program's file was replaced, is told as such.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use audit::{Caller, Text};
use tokio::sync::OnceCell;
use tonic::{Request, Status};

use crate::witness::{Looked, Misplaced, Sight, Witness, digest};

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The user, by the kernel's word: the authority.
    pub uid: u32,
    /// The process that connected, where the kernel names it: evidence.
    pub pid: Option<i32>,
    /// What was seen of that process when it connected.
    first: Arc<OnceCell<Sight>>,
}

/// What is wrong with the evidence about a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// The kernel named no process.
    #[error("its process is not known")]
    NoProcess,
    /// The process that connected is no more: its descriptor went to another one.
    #[error("the process that connected has ended")]
    Gone,
    /// The program cannot be looked at.
    #[error("its program cannot be looked at, which of another user's takes CAP_SYS_PTRACE")]
    Unreadable,
    /// The file of the program was removed, or another was put in its place by a rename.
    #[error("the file of its program was deleted or replaced since it was started")]
    Deleted,
    /// Another file lies at the program's path.
    #[error("another file lies where its program was started from")]
    Replaced,
    /// It ran another program when it connected.
    #[error("it was {before} when it connected")]
    Became {
        /// Which.
        before: String,
    },
}

/// The eye for callers' programs; clones share it.
#[derive(Debug, Clone)]
pub struct Programs(Arc<Eye>);

#[derive(Debug)]
enum Eye {
    /// This process looks itself.
    Here(Looked),
    /// A process looks that is not shut in as this one is.
    Witness(Witness),
}

impl Asker {
    /// Returns who sent a request.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` when the kernel named nobody.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let asker = request.extensions().get::<Self>().cloned();
        asker.ok_or_else(|| Status::permission_denied("the user of this connection is not known"))
    }

    /// Returns whoever has just connected.
    #[must_use]
    pub fn new(uid: u32, pid: Option<i32>) -> Self {
        Self { uid, pid, first: Arc::default() }
    }
}

impl Default for Programs {
    fn default() -> Self {
        Self(Arc::new(Eye::Here(Looked::default())))
    }
}

impl From<Witness> for Programs {
    fn from(witness: Witness) -> Self {
        Self(Arc::new(Eye::Witness(witness)))
    }
}

impl Programs {
    /// Looks at whoever has connected, once, so that a change afterwards shows. In a runtime; it does not wait.
    pub fn meet(&self, asker: &Asker) {
        let (programs, asker) = (self.clone(), asker.clone());
        tokio::spawn(async move { programs.first(&asker).await.started });
    }

    /// Returns what is known of a caller, and what is wrong with that. Only its user is certain.
    pub async fn caller(&self, asker: &Asker, one_time_key: Option<[u8; 33]>) -> (Caller, Option<Doubt>) {
        let Asker { uid, pid, .. } = *asker;
        let first = self.first(asker).await;
        let sight = self.look(asker, true).await;
        let doubt = doubt(pid, &first, &sight);
        let binary = sight.binary.as_deref().filter(|_| doubt != Some(Doubt::Gone));
        let binary = binary.map(|path| match &doubt {
            Some(doubt @ (Doubt::Replaced | Doubt::Became { .. })) => Text::lossy(&format!("{path}; {doubt}")),
            _ => Text::lossy(path),
        });
        let binary_hash =
            sight.hash.filter(|_| binary.is_some()).and_then(|hash| hex::decode(hash).ok()?.try_into().ok());
        (Caller { uid, pid, binary, binary_hash, one_time_key }, doubt)
    }

    async fn first(&self, asker: &Asker) -> Sight {
        asker.first.get_or_init(|| self.look(asker, false)).await.clone()
    }

    async fn look(&self, Asker { uid, pid, .. }: &Asker, hash: bool) -> Sight {
        let (uid, Some(pid)) = (*uid, *pid) else { return Sight::default() };
        if let Eye::Witness(witness) = &*self.0 {
            return witness.look(uid, pid, hash).await;
        }
        // On a thread that may wait: hashing a program reads all of its file.
        let eye = Arc::clone(&self.0);
        let look = move || if let Eye::Here(looked) = &*eye { looked.at(pid, hash) } else { Sight::default() };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }
}

/// Returns what is wrong with what was seen of a process, in the light of what it was when it connected.
fn doubt(pid: Option<i32>, first: &Sight, sight: &Sight) -> Option<Doubt> {
    pid.map_or(Some(Doubt::NoProcess), |_| None).or_else(|| {
        if first.started.is_none() || sight.started.is_none() {
            return Some(if first.started == sight.started { Doubt::Unreadable } else { Doubt::Gone });
        }
        if first.started != sight.started {
            return Some(Doubt::Gone);
        }
        if sight.file.is_none() {
            return Some(Doubt::Unreadable);
        }
        if first.file != sight.file {
            let unseen = "a program that could not be looked at";
            return Some(Doubt::Became { before: first.binary.as_deref().unwrap_or(unseen).to_owned() });
        }
        sight.misplaced.map(|misplaced| match misplaced {
            Misplaced::Deleted => Doubt::Deleted,
            Misplaced::Replaced => Doubt::Replaced,
        })
    })
}

/// Returns the SHA-256 of our own binary, when it can be read.
pub(crate) fn own_hash() -> Option<[u8; 32]> {
    hash_of(Path::new("/proc/self/exe"))
}

/// Returns the SHA-256 of a program's file, when it can be read.
#[must_use]
pub fn hash_of(program: &Path) -> Option<[u8; 32]> {
    digest(File::open(program).ok()?)
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
