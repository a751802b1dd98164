//! The base protocol of devp2p: who we are, which protocols we share, and how a connection ends (devp2p `rlpx.md`,
//! "p2p Capability").
//!
//! Everything here turns bytes into values and back; the connection that sends and receives them is [`crate::rlpx::Session`].

pub mod capability;
pub mod enode;
pub mod hello;
pub mod message;
pub mod reason;

pub use capability::{Capability, Offer, Shared, negotiate};
pub use enode::{Enode, NotAnEnode};
pub use hello::{BadHello, Hello};
pub use message::Message;
pub use reason::{Reason, RemoteReason};

/// The version of the base protocol that we speak: from this one on, messages are compressed (EIP-706).
pub const VERSION: u64 = 5;

/// How many message codes the base protocol takes: the first capability starts here.
pub const BASE_LENGTH: u64 = 16;
