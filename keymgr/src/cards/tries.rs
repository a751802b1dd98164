//! How many tries both PINs of a card have left, as far as this manager has seen (reference: Keycard applet, two-PIN
//! logic).
//!
//! A card shows the counter of one PIN only, the one used last. On 4.0 the duress PIN's success does not restore the main
//! PIN's counter, so a card that shows three tries may block the main PIN for good with the next mistake. This is the
//! model of both:
//!
//! ```text
//! 3.x  wrong: both lose a try           main or duress right: both are full, the right one is active; SELECT: main is
//! 4.0  wrong: both lose a try           main right: both are full       duress right: only duress is full
//! 3.x  UNBLOCK PIN: both are full       4.0  UNBLOCK PIN: only the active one is
//! ```
//! The invariant: a counter that was seen from its INIT on is the card's own; one that was not is never too low by what
//! was seen since.

use serde::{Deserialize, Serialize};

use crate::manifest::Generation;

/// One of the two PINs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// Opens the owner's own keys.
    Main,
    /// Opens other keys under the same account.
    Duress,
}

/// The tries of one card's PINs and PUK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tries {
    generation: Generation,
    limit: u8,
    main: u8,
    duress: u8,
    active: Which,
}

impl Tries {
    /// Returns the tries of a card that was just initialised with this limit.
    #[must_use]
    pub const fn fresh(generation: Generation, limit: u8) -> Self {
        Self { generation, limit, main: limit, duress: limit, active: Which::Main }
    }

    /// Returns what can be told of a card that is met for the first time and shows so many tries.
    #[must_use]
    pub const fn met(generation: Generation, shown: u8) -> Self {
        Self {
            generation,
            limit: if shown < USUAL { USUAL } else { shown },
            main: shown,
            duress: shown,
            active: Which::Main,
        }
    }

    /// The card was selected. Applet 3.x makes the main PIN the active one then.
    pub fn selected(&mut self) {
        if self.generation == Generation::V1 {
            self.active = Which::Main;
        }
    }

    /// The card showed so many tries: another program may have used it meanwhile.
    pub fn shown(&mut self, tries: u8) {
        self.limit = self.limit.max(tries);
        *self.active_mut() = tries;
        if self.generation == Generation::V1 {
            // Nothing on 3.x moves one counter without the other.
            (self.main, self.duress) = (tries, tries);
        }
    }

    /// A PIN was wrong for both, and the card said how many tries the active one has left.
    pub fn wrong(&mut self, left: u8) {
        self.main = self.main.saturating_sub(1);
        self.duress = self.duress.saturating_sub(1);
        self.shown(left);
    }

    /// A PIN was right. Which one it was is known only to who compares the keys; when it is not known, nothing is taken to
    /// be restored that may not be.
    pub fn right(&mut self, which: Option<Which>) {
        self.duress = self.limit;
        if which == Some(Which::Main) || self.generation == Generation::V1 {
            self.main = self.limit;
        }
        self.active = which.unwrap_or(self.active);
    }

    /// The PUK gave the active PIN a new value.
    pub fn unblocked(&mut self) {
        *self.active_mut() = self.limit;
        if self.generation == Generation::V1 {
            (self.main, self.duress) = (self.limit, self.limit);
        }
    }

    /// The active PIN was changed.
    pub fn changed(&mut self) {
        *self.active_mut() = self.limit;
    }

    /// Returns how many tries a PIN has left.
    #[must_use]
    pub const fn left(&self, which: Which) -> u8 {
        match which {
            Which::Main => self.main,
            Which::Duress => self.duress,
        }
    }

    /// Returns the fewest tries of the main PIN and the one that was used last: what a person can still get wrong. A duress
    /// PIN that was not used last is full again with the next right main PIN.
    #[must_use]
    pub fn fewest(&self) -> u8 {
        self.main.min(self.left(self.active))
    }

    /// Returns the PIN whose counter the card shows.
    #[must_use]
    pub const fn active(&self) -> Which {
        self.active
    }

    fn active_mut(&mut self) -> &mut u8 {
        match self.active {
            Which::Main => &mut self.main,
            Which::Duress => &mut self.duress,
        }
    }
}

/// The limit of most cards (INIT without limits).
const USUAL: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// The recorded example of applet 4.0, limit 3 (reference, two-PIN logic).
    #[test]
    fn on_4_0_the_duress_pin_does_not_restore_the_main_pin_and_the_puk_repairs_only_the_active_one() {
        let mut tries = Tries::fresh(Generation::V2, 3);
        let both = |tries: &Tries| (tries.left(Which::Main), tries.left(Which::Duress));
        tries.wrong(2);
        tries.right(Some(Which::Duress));
        assert_eq!(both(&tries), (2, 3));
        tries.wrong(2);
        tries.wrong(1);
        assert_eq!(both(&tries), (0, 1));
        tries.wrong(0);
        tries.unblocked();
        assert_eq!(both(&tries), (0, 3), "the main PIN stays blocked");
        tries.wrong(2);
        assert_eq!((both(&tries), tries.fewest()), ((0, 2), 0));
    }

    #[test]
    fn on_3_x_both_counters_go_together() {
        let mut tries = Tries::fresh(Generation::V1, 3);
        tries.wrong(2);
        tries.right(Some(Which::Duress));
        tries.selected();
        assert_eq!((tries.fewest(), tries.active()), (3, Which::Main));
        tries.wrong(2);
        tries.wrong(1);
        tries.wrong(0);
        tries.unblocked();
        assert_eq!(tries.fewest(), 3);
    }

    #[test]
    fn a_right_pin_of_which_nothing_is_known_restores_only_what_either_would() {
        let mut tries = Tries::fresh(Generation::V2, 5);
        tries.wrong(4);
        tries.right(None);
        assert_eq!((tries.left(Which::Main), tries.left(Which::Duress)), (4, 5));
    }

    #[test]
    fn what_the_card_shows_wins_over_the_model() {
        let mut tries = Tries::met(Generation::V2, 2);
        assert_eq!(tries.fewest(), 2);
        tries.shown(1);
        assert_eq!(tries.left(Which::Main), 1);
        tries.right(Some(Which::Main));
        assert_eq!(tries.fewest(), 3, "three is the usual limit");
    }
}
