//! The words that every package of Cardinal shares: identifiers, units, secrets, key paths, asks and messages.
//!
//! Nothing here derives a key, opens a socket or reads a clock. The feature `rpc` (key manager, node and command line
//! only) adds the two local APIs, the Unix sockets they run over, and the sealing of secrets that cross them.

pub mod ask;
pub mod fingerprint;
pub mod id;
pub mod path;
pub mod pb;
pub mod pin;
#[cfg(feature = "rpc")]
pub mod rpc;
pub mod secret;
pub mod signature;
pub mod time;
pub mod turn;

pub use ask::{Answer, Ask, AskId, Refusal};
pub use fingerprint::Fingerprint;
pub use id::{CardId, ChatKey, Digest, EnvelopeHash, KeyUid, MessageId, Topic};
pub use path::{ExportPath, KeyPath};
pub use pin::{Pin, Puk};
pub use secret::Secret;
pub use signature::{RecoverableSignature, keccak256};
pub use time::{Instant, UnixMillis, UnixNanos, UnixSecs};
pub use turn::Turn;
