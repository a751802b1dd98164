//! RLPx version 5: the encrypted and authenticated transport of devp2p (devp2p `rlpx.md`, EIP-8, EIP-706).
//!
//! [`handshake`] proves who is there and gives [`Secrets`]; with them a [`FrameWriter`] seals messages and a
//! [`FrameReader`] opens them; [`Session`] is the machine of one connection that drives all three.

mod down;
pub mod frame;
pub mod handshake;
mod io;
mod mac;
mod secrets;
mod session;
pub mod snappy;

pub use down::DownReason;
pub use frame::{FrameError, FrameReader, FrameWriter, Message, TooLong};
pub use handshake::{Ack, Auth, HandshakeError, Initiator, NodeKey, Progress};
pub use io::{Event, Input, Local, NotSent, Output};
pub use mac::Mac;
pub use secrets::{Role, Secrets, Transcript};
pub use session::Session;
pub use snappy::BadSnappy;
