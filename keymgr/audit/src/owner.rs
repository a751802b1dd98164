//! What an owner does at the manager without asking a card: pairings that come and go, and what is remembered of a card.
//!
//! A pairing lets another computer try PINs, so its leaving is told like that of a key, before it leaves.

use std::fmt;

use proto::CardId;
use serde::{Deserialize, Serialize};

use crate::entry::Caller;
use crate::line::Head;
use crate::text::{self, Purpose};

/// Something that an owner did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The card; none where several are meant.
    #[serde(with = "text::shown_option")]
    pub card: Option<CardId>,
    /// What was done.
    pub deed: Deed,
    /// What for.
    pub purpose: Purpose,
    /// Who asked.
    pub caller: Caller,
}

/// What an owner did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Pairings were handed over.
    ExportsPairings {
        /// How many.
        count: u32,
        /// The slot, where it is one.
        slot: Option<u8>,
    },
    /// Pairings of another program were taken.
    ImportsPairings {
        /// How many.
        count: u32,
    },
    /// Its name, or what happens under duress: the line does not tell which.
    ChangesSettings,
    /// All that was remembered of it went.
    Forgets,
    /// Its reader was given to other programs.
    Lends {
        /// For how long at most.
        seconds: u32,
    },
    /// Its reader was taken back, or the time was over.
    TakesBack,
    /// Approved what somebody asks for, which the next intent or refusal tells.
    Approves {
        /// Who asks.
        uid: u32,
        /// Whether with the card's PIN.
        with_pin: bool,
    },
    /// It is used on, though its memory speaks of a head that this log never had: the owner knows why.
    Adopts {
        /// What it speaks of.
        #[serde(with = "text::shown")]
        found: Head,
    },
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, deed, purpose, caller } = self;
        match deed {
            Deed::ExportsPairings { count, slot: None } => write!(f, "exports {count} pairing(s)")?,
            Deed::ExportsPairings { count, slot: Some(slot) } => write!(f, "exports {count} pairing(s), slot {slot}")?,
            Deed::ImportsPairings { count } => write!(f, "imports {count} pairing(s)")?,
            Deed::ChangesSettings => f.write_str("changes the owner's settings")?,
            Deed::Forgets => f.write_str("forgets what was remembered")?,
            Deed::Lends { seconds } => write!(f, "lends for {seconds} s the reader")?,
            Deed::TakesBack => f.write_str("takes back the reader")?,
            Deed::Approves { uid, with_pin } => {
                let how = if *with_pin { " with the PIN" } else { "" };
                write!(f, "approves{how} what uid {uid} asks")?;
            }
            Deed::Adopts { found } => {
                write!(f, "goes on after log {} at entry {}, in spite", found.log, found.entries)?
            }
        }
        if let Some(card) = card {
            write!(f, " of {card}")?;
        }
        write!(f, ", for \"{purpose}\", for {caller}")
    }
}
