//! What INIT gives a blank card.
//!
//! Invariant: the duress PIN is neither the PIN (a 4.0 card would then live in duress mode for ever) nor the beginning of
//! the PUK (which 3.x takes when it is given none, so that everybody who knows applets tries it), and the pairing secret
//! is not one that everybody knows, but on the word of the owner.

use proto::{Pin, Puk};
use rand_core::CryptoRng;

use crate::error::CardError;
use crate::pairing::PairingSecret;

/// The secrets of a new card, and how many tries they bear.
pub struct InitSecrets {
    pin: Pin,
    puk: Puk,
    duress: Duress,
    pairing: PairingSecret,
    tries: Tries,
}

/// Where the duress PIN comes from.
enum Duress {
    /// Nobody knows it: it is there to differ.
    Drawn(Pin),
    /// Its owner chose it and counts on it.
    Chosen(Pin),
}

impl Duress {
    fn pin(&self) -> &Pin {
        match self {
            Self::Drawn(pin) | Self::Chosen(pin) => pin,
        }
    }
}

/// How many wrong entries block PIN and PUK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    pin: u8,
    puk: u8,
}

impl InitSecrets {
    /// Returns the secrets of a card with this PIN and PUK. The duress PIN is drawn and told to nobody: it is only there to
    /// differ. The pairing secret is drawn too; a card of generation v2 has no use for it.
    pub fn new(pin: Pin, puk: Puk, rng: &mut dyn CryptoRng) -> Self {
        let duress = loop {
            let duress = Pin::random(rng);
            if differs(&duress, &pin, &puk) {
                break duress;
            }
        };
        let duress = Duress::Drawn(duress);
        Self { pin, puk, duress, pairing: PairingSecret::random(rng), tries: Tries::default() }
    }

    /// Takes a duress PIN that its owner knows.
    ///
    /// # Errors
    /// [`CardError::Misuse`] when it is the PIN or the beginning of the PUK.
    pub fn with_duress(self, duress: Pin) -> Result<Self, CardError> {
        if differs(&duress, &self.pin, &self.puk) {
            Ok(Self { duress: Duress::Chosen(duress), ..self })
        } else {
            Err(CardError::Misuse { what: "the duress PIN must differ from the PIN and from the beginning of the PUK" })
        }
    }

    /// Takes a pairing secret for other programs too, which know its password.
    ///
    /// # Errors
    /// [`CardError::Misuse`] when everybody knows it and it is not [`PairingSecret::wanted`].
    pub fn with_pairing(self, pairing: PairingSecret) -> Result<Self, CardError> {
        if pairing.is_given_to_no_card() {
            return Err(CardError::Misuse { what: "everybody knows this pairing password; take another one" });
        }
        Ok(Self { pairing, ..self })
    }

    /// Takes other numbers of tries than 3 and 5. Applets before 3.1 have these always, and are not initialised with others.
    #[must_use]
    pub fn with_tries(self, tries: Tries) -> Self {
        Self { tries, ..self }
    }

    /// Returns the PIN.
    #[must_use]
    pub const fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Returns how many wrong PINs block the card.
    #[must_use]
    pub const fn pin_tries(&self) -> u8 {
        self.tries.pin
    }

    /// Returns what pairs hosts with the new card.
    #[must_use]
    pub const fn pairing(&self) -> &PairingSecret {
        &self.pairing
    }

    /// PIN and PUK: what every INIT begins with.
    pub(crate) fn numbers(&self) -> [&[u8]; 2] {
        [self.pin.expose(), self.puk.expose()]
    }

    /// Tries and duress PIN: what INIT ends with since 3.1.
    pub(crate) fn limits_and_duress(&self) -> ([u8; 2], &[u8; 6]) {
        ([self.tries.pin, self.tries.puk], self.duress.pin().expose())
    }

    /// Checks that an applet before 3.1 can do all that the owner asks for.
    ///
    /// # Errors
    /// [`CardError::Misuse`] for a duress PIN of the owner's, or other numbers of tries than 3 and 5.
    pub(crate) fn suit_applets_before_3_1(&self) -> Result<(), CardError> {
        if matches!(self.duress, Duress::Chosen(_)) {
            return Err(CardError::Misuse { what: "this card has no duress PIN: its applet is older than 3.1" });
        }
        if self.tries != Tries::default() {
            return Err(CardError::Misuse {
                what: "this card bears 3 PIN tries and 5 PUK tries: its applet is older than 3.1",
            });
        }
        Ok(())
    }
}

fn differs(duress: &Pin, pin: &Pin, puk: &Puk) -> bool {
    duress.expose() != pin.expose() && !puk.expose().starts_with(duress.expose())
}

impl Tries {
    /// Returns these numbers of tries.
    ///
    /// # Errors
    /// [`CardError::Misuse`] for what some applet does not bear: 4.0 is left half initialised by more than 6 PIN tries.
    pub const fn new(pin: u8, puk: u8) -> Result<Self, CardError> {
        match (pin, puk) {
            (2..=6, 3..=12) => Ok(Self { pin, puk }),
            _ => Err(CardError::Misuse { what: "a card bears 2 to 6 PIN tries and 3 to 12 PUK tries" }),
        }
    }
}

impl Default for Tries {
    fn default() -> Self {
        Self { pin: 3, puk: 5 }
    }
}

#[cfg(test)]
mod tests {
    use proto::TestDice;

    use super::*;

    fn secrets() -> InitSecrets {
        let puk = Puk::try_from(b"012345678901".as_slice()).unwrap();
        InitSecrets::new(Pin::try_from(b"000000".as_slice()).unwrap(), puk, &mut TestDice::seeded(1))
    }

    /// Attack 5: duress = PIN, duress = the beginning of the PUK.
    #[test]
    fn a_duress_pin_equal_to_the_pin_or_the_beginning_of_the_puk_is_drawn_again() {
        let dice = b"\0\0\0\0\0\0\0\x01\x02\x03\x04\x05\x09\x08\x07\x06\x05\x04";
        let mut dice = TestDice::playing(&[&dice[..], &[7; 32]].concat());
        let puk = Puk::try_from(b"012345678901".as_slice()).unwrap();
        let secrets = InitSecrets::new(Pin::try_from(b"000000".as_slice()).unwrap(), puk, &mut dice);
        assert_eq!(secrets.duress.pin().expose(), b"987654");
        assert_eq!(secrets.pairing.expose(), &[7; 32]);
    }

    #[test]
    fn such_a_duress_pin_is_refused_from_the_owner_too() {
        for bad in [b"000000", b"012345"] {
            assert!(secrets().with_duress(Pin::try_from(bad.as_slice()).unwrap()).is_err());
        }
        assert!(secrets().with_duress(Pin::try_from(b"123456".as_slice()).unwrap()).is_ok());
    }

    /// Attack 8: the default pairing password is not left in place.
    #[test]
    fn a_pairing_password_that_everybody_knows_is_refused() {
        for password in ["KeycardDefaultPairing", "KeycardTest"] {
            let secret = PairingSecret::of_password(password).remove(0);
            assert!(secrets().with_pairing(secret).is_err());
        }
        assert!(secrets().with_pairing(PairingSecret::of_password("my own").remove(0)).is_ok());
        let wanted = PairingSecret::of_password("KeycardTest").remove(0).wanted();
        assert!(secrets().with_pairing(wanted).unwrap().pairing().is_well_known());
    }

    #[test]
    fn only_tries_that_every_applet_bears_are_taken() {
        for (pin, puk) in [(1, 5), (7, 5), (3, 2), (3, 13)] {
            assert!(Tries::new(pin, puk).is_err(), "{pin} {puk}");
        }
        assert_eq!(Tries::new(3, 5).unwrap(), Tries::default());
    }
}
