//! Keycards in a virtual reader: the real pcscd, vpcd's driver, and our software card as the card.
//!
//! Keycard clients that nobody here wrote go through the whole flow they have; what a card has to answer is in [`vectors`].
//! Our card is the one that is judged there: where a client asks for something that no applet does, the head of
//! `tests/interop/README.md` says so. Our own way to a card is in [`reader`].

mod cap;
mod desk;
pub(crate) mod doctor;
pub(crate) mod flow;
pub(crate) mod install;
pub(crate) mod manager;
pub(crate) mod pypi;
pub(crate) mod reader;
pub(crate) mod scwallet;
mod signature;
pub(crate) mod together;
mod vectors;
