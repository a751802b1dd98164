//! The words that every package of Cardinal shares: identifiers, units, secrets, key paths, asks and messages.
//!
//! Nothing here derives a key, opens a socket or reads a clock. The feature `shell` (the programs and the software card
//! only) adds the files, locks, dice and the clock that they share; `rpc` (key manager, node and command line only) the two
//! local APIs, the Unix sockets they run over, and the sealing of secrets that cross them.

pub mod ask;
pub mod curve;
pub mod digits;
pub mod fingerprint;
pub mod id;
pub mod keccak;
pub mod leak;
pub mod path;
pub mod pb;
pub mod pin;
pub mod place;
pub mod purpose;
#[cfg(feature = "rpc")]
pub mod rpc;
pub mod secret;
#[cfg(feature = "shell")]
pub mod shell;
pub mod signature;
#[cfg(any(test, feature = "test-dice"))]
pub mod test_dice;
pub mod time;
pub mod turn;

pub use ask::{Answer, Ask, AskId, Refusal};
pub use fingerprint::Fingerprint;
pub use id::{CardId, ChatKey, Digest, EnvelopeHash, InstanceUid, KeyUid, MessageId, Topic};
pub use keccak::{Keccak256, keccak256};
pub use path::{ExportPath, KeyPath};
pub use pin::{Pin, Puk};
pub use place::KeyPlace;
pub use secret::Secret;
pub use signature::RecoverableSignature;
#[cfg(any(test, feature = "test-dice"))]
pub use test_dice::TestDice;
pub use time::{Instant, UnixMillis, UnixSecs};
pub use turn::Turn;
