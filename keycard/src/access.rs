//! What a caller gives to open the secure channel of a card.

use crate::known::Known;
use crate::pairing::Pairing;
use crate::trust::Trust;

/// Whom to believe, and with what to open.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    pub(crate) trust: &'a Trust,
    pub(crate) salt: [u8; 32],
    pub(crate) known: Option<&'a Known>,
    pub(crate) pairing: Option<&'a Pairing>,
    pub(crate) first_pairing: bool,
}

impl<'a> Access<'a> {
    /// Returns the access to a card that `trust` takes.
    ///
    /// The salt is fresh each time; the head of a log may be hashed into it, for the card signs it: in the opening's
    /// transcript on 4.0, as IDENTIFY's challenge on 3.1 and 3.2.
    #[must_use]
    pub const fn new(trust: &'a Trust, salt: [u8; 32]) -> Self {
        Self { trust, salt, known: None, pairing: None, first_pairing: false }
    }

    /// Also wants it to be the card that is known.
    #[must_use]
    pub const fn to_known(mut self, known: &'a Known) -> Self {
        self.known = Some(known);
        self
    }

    /// Opens the channel of generation v1 with this pairing, which is on disk already.
    #[must_use]
    pub const fn paired(mut self, pairing: &'a Pairing) -> Self {
        self.pairing = Some(pairing);
        self
    }

    /// Lets a PIN and a PUK be sent over a pairing made with a password that everybody knows.
    ///
    /// Whoever relayed that pairing reads all that goes over it. The owner says so once, at a reader of their own.
    #[must_use]
    pub const fn allowing_first_pairing(mut self) -> Self {
        self.first_pairing = true;
        self
    }
}
