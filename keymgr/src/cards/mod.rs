//! What its owner does with cards: any card in any reader, one at a time, beside the one that is enrolled.
//!
//! - [`seat`] finds the card that a verb means, [`access`] takes it: vouched for, channel open, PIN verified;
//! - [`known`], [`pairings`] and [`tries`] are what is remembered of cards;
//! - the other files hold one group of verbs each, and `service` the local API in front of them.
//!
//! The invariant: no PIN, no INIT and no LOAD KEY before somebody vouched for the card, and every verb that carries a
//! secret or changes who may use one is recorded before and after.

pub mod access;
mod base64;
mod calls;
pub mod cash;
pub mod change;
pub mod describe;
mod duress;
pub mod init;
pub mod install;
pub mod key;
pub mod known;
pub mod label;
pub mod pair;
pub mod pairings;
pub mod reset;
pub mod seat;
mod service;
mod shown;
pub mod slot;
pub mod tries;
pub mod uses;
pub mod vouch;

use crate::cards::known::KnownCards;
use crate::cards::pairings::Pairings;
use crate::cards::seat::Readers;
use crate::reader::view::Seen;

/// What is remembered of cards, and where others may be met.
pub struct Cards<T> {
    /// The cards that were taken before.
    pub known: KnownCards,
    /// The pairings with some of them.
    pub pairings: Pairings,
    /// The other readers.
    pub readers: Box<dyn Readers<T>>,
    /// The name of the manager's own reader.
    pub own: String,
    /// What is heard of all readers.
    pub seen: Seen,
}
