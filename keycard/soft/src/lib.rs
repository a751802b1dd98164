//! The software card: an independent model of the Keycard applet.
//!
//! It takes the bytes of a command and gives the bytes of the answer, as a card in a reader does, and keeps its memory in
//! a file. It is written from the applet's recorded behaviour and shares no code with the `keycard` crate, so that each
//! shows the other's mistakes. It is no secure element: who reads its file has its keys, and the certificate authority
//! that vouches for its identity is the public test one, which proves nothing.
//!
//! - [`SoftCard`] is the card in its reader: power, SELECT, commands;
//! - [`Model`] is the release of the applet: 3.1, 3.2 and 4.0 as recorded, 2.2 and 3.0 as described;
//! - `applet` decides between plain and secured commands, `channel` has both secure channels, `pairing` the slots of the first;
//! - `command` has one file a command; `ndef`, `cash` and `ident` are the other applets;
//! - [`Faulty`] is a card that goes wrong when it is told to;
//! - `globalplatform` loads, installs and deletes the applets;
//! - [`replay`] holds the card against recordings of the real applet;
//! - `memory` is what outlives a power cut, `file` is where it is kept.
//!
//! The one invariant: what an answer depends on is on disk before the answer leaves.

mod apdu;
mod applet;
mod card;
mod cash;
mod channel;
mod command;
mod data;
mod fault;
mod file;
mod globalplatform;
mod ident;
mod identity;
mod key;
mod lee;
mod memory;
mod model;
mod ndef;
mod pairing;
mod path;
mod pin;
pub mod replay;
mod signature;
mod status;

pub use card::SoftCard;
pub use fault::{Faults, Faulty, NotAFault, Reply};
pub use file::StateError;
pub use model::{Model, NoSuchModel};
