//! Keycard clients that nobody here wrote, on our software card, through the real pcscd and a virtual reader.
//!
//! Each goes through the whole flow it has; what a card has to answer is in [`vectors`]. Our card is the one that is judged
//! here: where a client asks for something that no applet does, the head of `tests/interop/README.md` says so.

mod desk;
pub(crate) mod flow;
pub(crate) mod pypi;
pub(crate) mod scwallet;
mod signature;
pub(crate) mod together;
mod vectors;
