//! Everything from the bytes of a TCP connection up to an envelope and its payload: RLP, ECIES, RLPx, devp2p, Waku.
//!
//! The package is pure: bytes, clocks and dice come in with each call, and what is to be sent comes out of `poll`. Nothing
//! that a peer sends panics it, and memory grows only with bytes that were received.

pub mod ecies;
pub mod p2p;
pub mod payload;
pub mod rlp;
pub mod rlpx;
pub mod waku;
