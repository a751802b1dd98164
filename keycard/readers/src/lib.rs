//! Card readers over PC/SC: which there are, what is in them, and the way to one card.
//!
//! [`Readers`] is the way to the service that owns them (pcscd; Windows and macOS have their own), [`PcscReader`] one reader
//! with the card in it, [`Watch`] tells what changes. Nothing here waits for ever, although no call of PC/SC has a time-out:
//! each is made on a thread that is abandoned, with what it holds, when it does not come back in time.
//!
//! The invariants: a card that has heard a command through here is reset before anybody else can speak to it, and while it
//! is spoken to nobody else can.

mod hanging;
mod line;
mod patience;
mod reader;
mod service;
mod session;
mod trouble;
mod watch;

pub use reader::PcscReader;
pub use service::{Choice, Loan, ReaderState, Readers, Slot, Use};
pub use watch::Watch;
