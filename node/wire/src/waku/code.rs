//! Packet codes, relative to the capability's offset (6/WAKU1, "Packet Codes"). Both versions reserve 128 of them.
//!
//! All are decimal: texts that say `0x22` for the status update mean 22.

/// The handshake.
pub const STATUS: u64 = 0;
/// A list of envelopes.
pub const MESSAGES: u64 = 1;
/// The hash of a Messages packet that arrived.
pub const BATCH_ACK: u64 = 11;
/// The hash of a Messages packet that arrived, with the envelopes of it that were refused.
pub const MESSAGE_RESPONSE: u64 = 12;
/// Changed status options.
pub const STATUS_UPDATE: u64 = 22;
/// A mail server has sent what was asked for, or could not.
pub const P2P_REQUEST_COMPLETE: u64 = 125;
/// A mail server is asked for old envelopes.
pub const P2P_REQUEST: u64 = 126;
/// Envelopes from peer to peer: old ones, as an answer.
pub const P2P_MESSAGE: u64 = 127;
