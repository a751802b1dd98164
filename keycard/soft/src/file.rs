//! The file that holds a card's memory: one line of JSON, mode 0600, written whole.
//!
//! ```text
//! {"format":"cardinal-softcard/2","sha256":"<64 hex>","state":{...}}
//! sha256 = SHA-256 of the state as this program writes it
//! ```
//!
//! The invariant: at `path` there is the old content or the new one, never a mixture and never nothing. A lock file beside
//! it keeps a second process away for as long as the card is in use.

use std::path::{Path, PathBuf};
use std::{fs, io};

use proto::shell::{Lock, LockError, file};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::memory::State;

/// Why a card's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// There is no card at this path.
    #[error("no software card at {}: create one, or give the path of an existing one", path.display())]
    Missing {
        /// The card's file.
        path: PathBuf,
    },
    /// The file is not one that a card wrote.
    #[error("the software card at {} is damaged ({what}): restore it from a backup", path.display())]
    Damaged {
        /// The card's file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A card of the form that knew no models: its keys cannot be carried over.
    #[error("the software card at {} was made by an older version of this program: create a new one", path.display())]
    Older {
        /// The card's file.
        path: PathBuf,
    },
    /// Another process holds this card.
    #[error("the software card at {} is in use{}: stop the other process first", path.display(), by(*.pid))]
    InUse {
        /// The card's file.
        path: PathBuf,
        /// The process that holds it.
        pid: Option<u32>,
    },
    /// There is a card already where one should be created.
    #[error("there is a software card at {} already: choose another name", path.display())]
    Exists {
        /// The card's file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: check its folder, rights and free space", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file in question.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A card's file, locked until dropped.
pub(crate) struct StateFile {
    path: PathBuf,
    _lock: Lock,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<S> {
    format: String,
    sha256: String,
    state: S,
}

/// What is common to all forms of the file.
#[derive(Deserialize)]
struct Form {
    format: String,
}

impl StateFile {
    /// Takes the place of a card that does not exist yet.
    pub(crate) fn create(path: &Path) -> Result<Self, StateError> {
        let file = Self { path: path.to_owned(), _lock: lock(path)? };
        match fs::symlink_metadata(path) {
            Ok(_) => Err(StateError::Exists { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(file),
            Err(source) => Err(file.io("look at", source)),
        }
    }

    /// Takes an existing card.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        match fs::metadata(path) {
            Ok(_) => Ok(Self { path: path.to_owned(), _lock: lock(path)? }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StateError::Missing { path: path.to_owned() }),
            Err(source) => Err(StateError::Io { doing: "look at", path: path.to_owned(), source }),
        }
    }

    pub(crate) fn read(&self) -> Result<State, StateError> {
        let bytes = file::read_bounded(&self.path, MAX_BYTES).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StateError::Missing { path: self.path.clone() },
            io::ErrorKind::InvalidData => self.damaged("it is too long"),
            _ => self.io("read", source),
        })?;
        let form: Form = serde_json::from_slice(&bytes).map_err(|_| self.damaged("it is not the JSON of a card"))?;
        match form.format.as_str() {
            FORMAT => {}
            FORMAT_OF_ONE_MODEL => return Err(StateError::Older { path: self.path.clone() }),
            _ => return Err(self.damaged("its format is unknown")),
        }
        let document: Document<State> =
            serde_json::from_slice(&bytes).map_err(|_| self.damaged("it is not the JSON of a card"))?;
        if document.sha256 != digest(&document.state).map_err(|source| self.io("read", source))? {
            return Err(self.damaged("its checksum does not match"));
        }
        Ok(document.state)
    }

    /// Writes the state and returns when the disk has it.
    pub(crate) fn write(&self, state: &State) -> Result<(), StateError> {
        let sha256 = digest(state).map_err(|source| self.io("write", source))?;
        let document = Document { format: FORMAT.to_owned(), sha256, state };
        let bytes = encode(&document).map_err(|source| self.io("write", source))?;
        file::write_whole(&self.path, &bytes).map_err(|source| self.io("write", source))
    }

    pub(crate) fn damaged(&self, what: &'static str) -> StateError {
        StateError::Damaged { path: self.path.clone(), what }
    }

    fn io(&self, doing: &'static str, source: io::Error) -> StateError {
        StateError::Io { doing, path: self.path.clone(), source }
    }
}

/// Secrets as hexadecimal digits, with no copy left behind.
pub(crate) mod hexadecimal {
    use std::fmt;

    use proto::Secret;
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(crate) fn serialize<S: Serializer, const N: usize>(secret: &Secret<N>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Zeroizing::new(hex::encode(secret.expose())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<Secret<N>, D::Error> {
        struct Digits<const N: usize>;
        impl<const N: usize> Visitor<'_> for Digits<N> {
            type Value = Secret<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} hexadecimal digits", 2 * N)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret<N>, E> {
                Secret::try_fill(|room| hex::decode_to_slice(text, room)).map_err(|_| E::custom("not hexadecimal"))
            }
        }
        from.deserialize_str(Digits)
    }

    /// The same for bytes that are no secret and of no fixed length.
    pub(crate) mod open {
        use serde::de::{Deserialize, Error};
        use serde::{Deserializer, Serializer};

        pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
            to.serialize_str(&hex::encode(bytes))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
            hex::decode(String::deserialize(from)?).map_err(|_| D::Error::custom("not hexadecimal"))
        }
    }

    /// The same for bytes that are no secret.
    pub(crate) mod plain {
        use serde::de::{Deserialize, Error};
        use serde::{Deserializer, Serializer};

        pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
            to.serialize_str(&hex::encode(bytes))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
            let mut bytes = [0; N];
            let digits = String::deserialize(from)?;
            hex::decode_to_slice(digits, &mut bytes).map_err(|_| D::Error::custom("not hexadecimal"))?;
            Ok(bytes)
        }
    }
}

fn lock(path: &Path) -> Result<Lock, StateError> {
    let name = file::beside(path, ".lock");
    Lock::take(&name).map_err(|error| match error {
        LockError::Held { pid } => StateError::InUse { path: path.to_owned(), pid },
        LockError::Io(source) => StateError::Io { doing: "lock", path: name, source },
    })
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}

fn digest(state: &State) -> io::Result<String> {
    Ok(hex::encode(Sha256::digest(encode(state)?.as_slice())))
}

fn encode(value: &impl Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
    serde_json::to_writer(&mut *bytes, value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

const FORMAT: &str = "cardinal-softcard/2";
const FORMAT_OF_ONE_MODEL: &str = "cardinal-softcard/1";
/// A card's state takes less than 6,000 bytes, with everything in it full.
const MAX_BYTES: usize = 16_384;
