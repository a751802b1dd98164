//! The export log: what was asked of which card, by whom, and what came of it.
//!
//! The log is JSON Lines. Every line carries the SHA-256 of the exact bytes of the line before it ([`line`]), so that a
//! changed, removed or inserted line shows offline ([`verify()`]). Nothing here touches a file: a [`LogStore`] does.
//!
//! The one invariant: a [`Recorded`] exists only after its intent was written *and synced*, it belongs to one
//! [`Request`], and it is spent once. Every card operation that makes, loads, exports, uses or changes a key, or changes who may, asks for one, so no export
//! compiles without a record on disk first (DESIGN promise 2).

pub mod closure;
pub mod entry;
pub mod evidence;
pub mod head;
pub mod line;
pub mod log;
pub mod operation;
pub mod owner;
pub mod paired;
pub mod proof;
pub mod recorded;
mod replay;
mod sentence;
pub mod store;
pub mod text;
pub mod tree;
pub mod verify;

pub use closure::{Closure, Filter, History, Implied, would_add};
pub use entry::{
    Asked, Caller, ChannelOpened, Decoy, Event, Intent, LogOpened, Outcome, Provisioning, Refusal, SeedOrigin,
};
pub use head::{HeadSigned, STATEMENT_PATH, SecondWriter, Statement};
pub use line::{Head, Line, LineHash, LogId, NotAHead, When};
pub use log::{Log, LogError, OpenError};
pub use operation::{Agreement, Bip85, DataSlot, Given, LoadFile, Operation, Scheme, Signing};
pub use owner::{Deed, Owner};
pub use paired::{PairedChannelOpened, SignedHead};
pub use proof::Proof;
pub use recorded::{NotRecorded, Recorded, Request};
pub use store::{HEAD_SUFFIX, LogStore, StoreError};
pub use text::{Blob, Purpose, Text};
pub use tree::{Root, Tree};
pub use verify::{Anchor, Auditor, Bad, Finding, Kept, Lines, Question, Report, Verdict, What, Why, read, verify};

#[cfg(test)]
mod tests;
