//! The software card: an independent model of the Keycard applet.
//!
//! It takes the bytes of a command and gives the bytes of the answer, as a card in a reader does, and keeps its memory in
//! a file. It is written from the applet's recorded behaviour and shares no code with the `keycard` crate, so that each
//! shows the other's mistakes. It is no secure element: who reads its file has its keys, and the certificate authority
//! that vouches for its identity is the public test one, which proves nothing.
//!
//! - [`SoftCard`] is the card in its reader: power, SELECT, commands;
//! - `applet` decides between plain and secured commands, `channel` is secure channel v2;
//! - `command` has one file a command;
//! - [`Faulty`] is a card that goes wrong when it is told to;
//! - `memory` is what outlives a power cut, `file` is where it is kept.
//!
//! The one invariant: what an answer depends on is on disk before the answer leaves.

mod apdu;
mod applet;
mod card;
mod channel;
mod command;
mod fault;
mod file;
mod identity;
mod key;
mod memory;
mod model;
mod pin;
mod status;

pub use card::SoftCard;
pub use fault::{Faults, Faulty, NotAFault, Reply};
pub use file::StateError;
pub use model::{Model, NoSuchModel};
