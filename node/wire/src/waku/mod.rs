//! Waku: envelopes and what nodes say about them (6/WAKU1, 10/WAKU-USAGE).
//!
//! [`Host`] is a Waku node among its peers; the other modules are its words. Start reading at [`envelope`].

pub mod bloom;
pub mod code;
pub mod confirm;
pub mod envelope;
pub mod host;
pub mod interest;
pub mod mail;
mod peer;
pub mod pool;
pub mod pow;
pub mod rate_limits;
pub mod refusal;
pub mod status;

pub use bloom::BloomFilter;
pub use envelope::Envelope;
pub use host::{Config, Confirmations, Event, Host, Input, Output};
pub use interest::{Former, Interest, TopicSet};
pub use mail::{Completion, MailRequest, MessagesRequest};
pub use peer::{Peer, PeerId};
pub use pool::PoolLimits;
pub use rate_limits::{Allowance, Rate};
pub use refusal::{DropReason, Why};
pub use status::{Requirements, Version, Wants};
