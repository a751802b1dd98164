//! What can be checked of a card without the card: its certificate, and what it signed.
//!
//! A card signs the head of the log: on 4.0 inside the opening of a channel, on 3.1 and 3.2 as the challenge of IDENTIFY
//! CARD, and on request by a key under its PIN. Each such line holds all that is needed, so that it is checked offline and
//! years later. What it proves is that the log stood so at that moment, not that nothing else ever left the card.

pub mod authorities;
pub mod certificate;
mod check;
pub mod opening;
pub mod signature;

pub use authorities::{Authorities, BadList, keys_of};
pub use certificate::{Authority, Certificate, NotACertificate};
pub use check::Unsigned;
pub(crate) use check::{Certificates, Checked};
