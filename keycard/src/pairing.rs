//! Pairing of a host with a card of generation v1 (reference: Keycard applet, pairing password and PAIR).
//!
//! ```text
//! secret = PBKDF2-HMAC-SHA256(password, "Keycard Pairing Password Salt", 50000 rounds, 32 bytes), or 32 random bytes
//! key    = SHA-256(secret || salt of the card)
//! ```
//! Who knows the secret at the moment of PAIR can stand between host and card for ever after. So a pairing knows whether
//! its secret was one that everybody knows, and the session refuses to carry a PIN over it unless it was asked to.

use proto::Secret;
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// What a card wants to hear before it pairs, set by INIT.
pub struct PairingSecret {
    secret: Secret<32>,
    /// Its owner wants it, although everybody may know it.
    is_wanted: bool,
}

impl PairingSecret {
    /// Returns a secret drawn from `rng`.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        Secret::fill(|bytes| rng.fill_bytes(bytes)).into()
    }

    /// Returns the secrets that this password may stand for, the likeliest first: one for ASCII, two for text that
    /// Unicode writes in more ways than one. Go, Python and nexum take the NFKD form, Java and keycard-rs the text as it is.
    #[must_use]
    pub fn of_password(password: &str) -> Vec<Self> {
        let mut normalised = Zeroizing::new(String::with_capacity(password.len() * MAX_GROWTH));
        normalised.extend(password.nfkd());
        let mut secrets = vec![Self::derive(&normalised)];
        if *normalised != password {
            secrets.push(Self::derive(password));
        }
        secrets
    }

    /// Returns the same, on the word of its owner good for a card even if everybody knows it: other programs need it.
    #[must_use]
    pub fn wanted(self) -> Self {
        Self { is_wanted: true, ..self }
    }

    /// Returns whether no card is given it: everybody knows it, and its owner did not say that it is wanted.
    pub(crate) fn is_given_to_no_card(&self) -> bool {
        self.is_well_known() && !self.is_wanted
    }

    /// Returns whether everybody knows it.
    #[must_use]
    pub fn is_well_known(&self) -> bool {
        WELL_KNOWN.iter().any(|(_, secret)| secret.ct_eq(self.secret.expose()).into())
    }

    /// Returns the bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.secret.expose()
    }

    fn derive(password: &str) -> Self {
        Secret::fill(|bytes| pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), SALT, ROUNDS, bytes)).into()
    }
}

impl From<Secret<32>> for PairingSecret {
    fn from(secret: Secret<32>) -> Self {
        Self { secret, is_wanted: false }
    }
}

/// What a host keeps of a pairing: with it channels are opened. It is on disk before the first one is.
pub struct Pairing {
    /// The card's slot, or [`Pairing::EPHEMERAL`].
    pub slot: u8,
    /// What both sides know.
    pub key: Secret<32>,
    /// Whether it was made with a secret that everybody knows.
    pub well_known: bool,
}

impl Pairing {
    /// The slot of a pairing that lives until the card is selected again or reset.
    pub const EPHEMERAL: u8 = 0xff;

    /// Returns whether the pairing ends with this session.
    #[must_use]
    pub const fn is_ephemeral(&self) -> bool {
        self.slot == Self::EPHEMERAL
    }
}

impl std::fmt::Debug for Pairing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { slot, key: _, well_known } = self;
        f.debug_struct("Pairing").field("slot", slot).field("well_known", well_known).finish_non_exhaustive()
    }
}

/// How long a pairing shall last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// Until it is unpaired or the card is reset. It takes one of the card's few slots.
    Persistent,
    /// Until the card is selected again: applet 3.2.
    Ephemeral,
}

/// Why a host and a card are not paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unpaired {
    /// A channel was to be opened to a card of generation v1 without a pairing.
    #[error("this host is not paired with the card; pair it first")]
    NoPairing,
    /// The card's cryptogram is not of the secret that we gave; ours was not sent.
    #[error(
        "the pairing password is not that of the card (or this is another card); nothing was sent that tells it. Take \
         the password that was set when the card was initialised"
    )]
    WrongSecret,
    /// PAIR answered 6A84.
    #[error(
        "all pairing slots of the card are taken; unpair a host that needs none from a paired one, or pair for this \
         session only (applet 3.2); a factory reset frees all and erases the key"
    )]
    SlotsExhausted,
    /// The card knows no such pairing.
    #[error("the card does not take the pairing of slot {slot}: it was unpaired, or the card was reset; pair it again")]
    NotTaken {
        /// The slot.
        slot: u8,
    },
    /// A PIN or PUK was to be sent over a pairing that anybody could have watched or relayed.
    #[error(
        "the pairing was made with a password that everybody knows, so another device may stand in between: no PIN is \
         sent over it unless you say that this is your first pairing and the reader is yours"
    )]
    WellKnown,
}

/// The salt of a pairing password.
const SALT: &[u8] = b"Keycard Pairing Password Salt";
/// The rounds of a pairing password.
const ROUNDS: u32 = 50_000;
/// The most bytes that NFKD makes of one byte of UTF-8 (U+FDFA: 3 bytes become 33).
const MAX_GROWTH: usize = 11;
/// The secrets of the passwords that programs set on their own.
const WELL_KNOWN: [(&str, [u8; 32]); 2] = [
    (
        "KeycardDefaultPairing",
        [
            0x67, 0x5d, 0xea, 0xbb, 0x0d, 0x7c, 0x72, 0x4b, 0x4a, 0x36, 0xca, 0xad, 0x0e, 0x28, 0x08, 0x26, 0x15, 0x9e,
            0x89, 0x88, 0x6f, 0x70, 0x82, 0x53, 0x5d, 0x43, 0x1e, 0x92, 0x48, 0x48, 0xbc, 0xf1,
        ],
    ),
    (
        "KeycardTest",
        [
            0x05, 0xc6, 0xce, 0x68, 0xc7, 0x87, 0x60, 0xfd, 0x52, 0x92, 0x32, 0xa3, 0x74, 0x84, 0xd9, 0x42, 0x0b, 0xce,
            0x34, 0x8f, 0xfc, 0xf0, 0x06, 0x89, 0xf0, 0x3f, 0xbc, 0x5f, 0x87, 0x61, 0x72, 0x3b,
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_secrets_are_those_of_their_passwords() {
        for (password, secret) in WELL_KNOWN {
            let [derived] = &PairingSecret::of_password(password)[..] else { panic!("one form of ASCII") };
            assert_eq!(derived.expose(), &secret);
            assert!(derived.is_well_known());
        }
        assert!(PairingSecret::of_password("KeycardTest2").iter().all(|secret| !secret.is_well_known()));
    }

    #[test]
    fn a_password_beyond_ascii_stands_for_its_nfkd_form_first_and_then_for_itself() {
        let [composed_first, composed_second] = &PairingSecret::of_password("n\u{e9}")[..] else { panic!("two forms") };
        let [decomposed] = &PairingSecret::of_password("ne\u{301}")[..] else { panic!("one form") };
        assert_eq!(composed_first.expose(), decomposed.expose());
        assert_ne!(composed_first.expose(), composed_second.expose());
    }

    #[test]
    fn no_text_outgrows_the_room_that_is_wiped() {
        for text in ["\u{fdfa}\u{fdfa}", "\u{1d160}", "\u{ac01}", "\u{390}\u{1f82}"] {
            let normalised: String = text.nfkd().collect();
            assert!(normalised.len() <= text.len() * MAX_GROWTH, "{text}");
        }
    }
}
