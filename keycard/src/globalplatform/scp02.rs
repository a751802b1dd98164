//! SCP02, the secure channel of a card's security domain, at level 01: commands are authenticated, nothing is encrypted.
//!
//! ```text
//! INITIALIZE UPDATE  80 50 00 00 08 host challenge(8)
//!   answer           diversification(10) || key version(1) || 02 || card challenge(8) || card cryptogram(8)
//! session key        3DES-CBC(static key, purpose(2) || sequence(2) || 00 x 12)     sequence = card challenge[0..2]
//! card cryptogram    full MAC(S-ENC, host challenge || card challenge)
//! host cryptogram    full MAC(S-ENC, card challenge || host challenge)
//! a command's MAC    retail MAC(S-MAC, CLA|04 INS P1 P2 Lc+8 data), started with DES(S-MAC[0..8], MAC before)
//! ```
//! The invariant: a [`Handshake`] becomes a [`Channel`] only through a card cryptogram that one of the known keys gives.

use proto::Secret;
use subtle::ConstantTimeEq as _;

use crate::apdu::Command;
use crate::error::CardError;
use crate::globalplatform::des::{self, Key, Sum};
use crate::globalplatform::error::InstallError;

/// The static keys that are tried, each as all three of a security domain: without asking the card.
const KNOWN_KEYS: [(&str, [u8; 16]); 2] = [
    (
        "the Keycard development key",
        [0xC2, 0x12, 0xE0, 0x73, 0xFF, 0x8B, 0x4B, 0xBF, 0xAF, 0xF4, 0xDE, 0x8A, 0xB6, 0x55, 0x22, 0x1F],
    ),
    (
        "the GlobalPlatform default key",
        [0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F],
    ),
];

/// What INITIALIZE UPDATE brought.
pub(crate) struct Handshake {
    host_challenge: Sum,
    card_challenge: Sum,
    cryptogram: Sum,
    /// Names the chip among those of its maker.
    pub(crate) diversification: [u8; 10],
}

impl Handshake {
    /// Returns INITIALIZE UPDATE.
    pub(crate) fn command(host_challenge: &Sum) -> Result<Command, CardError> {
        Ok(Command::with_body([0x80, 0x50, 0x00, 0x00], &[host_challenge])?.with_le(0))
    }

    /// Reads the answer to it.
    ///
    /// # Errors
    /// [`InstallError::OtherProtocol`] for a card that speaks another one; [`CardError::Answer`].
    pub(crate) fn parse(host_challenge: Sum, answer: &[u8]) -> Result<Self, InstallError> {
        const MALFORMED: CardError = CardError::Answer { what: "a malformed answer to INITIALIZE UPDATE" };
        let (diversification, rest) = answer.split_first_chunk().ok_or(MALFORMED)?;
        let ([_key_version, protocol], rest) = rest.split_first_chunk().ok_or(MALFORMED)?;
        if *protocol != SCP02 {
            return Err(InstallError::OtherProtocol { protocol: *protocol });
        }
        let (card_challenge, rest) = rest.split_first_chunk().ok_or(MALFORMED)?;
        let cryptogram = rest.try_into().map_err(|_| MALFORMED)?;
        Ok(Self { host_challenge, card_challenge: *card_challenge, cryptogram, diversification: *diversification })
    }

    /// Returns the channel of the known key that gives the card's cryptogram, and that key's name.
    ///
    /// # Errors
    /// [`InstallError::OtherKeys`] when none does.
    pub(crate) fn channel(&self) -> Result<(Channel, &'static str), InstallError> {
        for (name, key) in &KNOWN_KEYS {
            let key = Secret::fill(|room| *room = *key);
            let session = self.session_key(&key, ENCRYPTION);
            let cryptogram = des::full_mac(&session, &[self.host_challenge, self.card_challenge].concat());
            if cryptogram.ct_eq(&self.cryptogram).into() {
                let host_cryptogram = des::full_mac(&session, &[self.card_challenge, self.host_challenge].concat());
                return Ok((Channel { mac: self.session_key(&key, MAC), last: None, host_cryptogram }, name));
            }
        }
        Err(InstallError::OtherKeys)
    }

    fn session_key(&self, key: &Key, purpose: [u8; 2]) -> Key {
        let [high, low, ..] = self.card_challenge;
        let mut data = [0; 16];
        for (to, from) in data.iter_mut().zip(purpose.into_iter().chain([high, low])) {
            *to = from;
        }
        des::encrypt_cbc(key, &data)
    }
}

/// An open channel: the key that authenticates commands, and the MAC of the one before.
pub(crate) struct Channel {
    mac: Key,
    last: Option<Sum>,
    host_cryptogram: Sum,
}

impl Channel {
    /// Returns EXTERNAL AUTHENTICATE, the first command of the channel.
    pub(crate) fn authenticate(&mut self) -> Result<Command, CardError> {
        let cryptogram = self.host_cryptogram;
        self.wrap([0x80, 0x82, C_MAC, 0x00], &cryptogram)
    }

    /// Returns the command with its MAC. `data` is at most 247 bytes.
    ///
    /// # Errors
    /// [`CardError::Misuse`] for more.
    pub(crate) fn wrap(&mut self, [cla, ins, p1, p2]: [u8; 4], data: &[u8]) -> Result<Command, CardError> {
        const TOO_LONG: CardError = CardError::Misuse { what: "a command with a MAC carries at most 247 bytes" };
        let length = u8::try_from(data.len() + size_of::<Sum>()).map_err(|_| TOO_LONG)?;
        let header = [cla | SECURED, ins, p1, p2];
        let start = self.last.map(|last| des::encrypt_single(&self.mac, &last)).unwrap_or_default();
        let mac = des::retail_mac(&self.mac, &start, &[&header, &[length][..], data].concat());
        self.last = Some(mac);
        Command::with_body(header, &[data, &mac])
    }
}

/// The protocol byte in the answer to INITIALIZE UPDATE.
const SCP02: u8 = 0x02;
/// Security level: commands carry a MAC.
const C_MAC: u8 = 0x01;
/// The bit of CLA that says so.
const SECURED: u8 = 0x04;
/// What the session keys are for.
const ENCRYPTION: [u8; 2] = [0x01, 0x82];
const MAC: [u8; 2] = [0x01, 0x01];

#[cfg(test)]
impl Handshake {
    /// What a card with this static key answers to INITIALIZE UPDATE, in hexadecimal.
    pub(crate) fn answer_of(key: [u8; 16], host_challenge: Sum) -> String {
        let card_challenge = [0, 5, 1, 2, 3, 4, 5, 6];
        let mut handshake =
            Self { host_challenge, card_challenge, cryptogram: Sum::default(), diversification: [0xD1; 10] };
        let session = handshake.session_key(&Secret::fill(|room| *room = key), ENCRYPTION);
        handshake.cryptogram = des::full_mac(&session, &[host_challenge, card_challenge].concat());
        let Self { card_challenge, cryptogram, diversification, .. } = handshake;
        hex::encode([&diversification[..], &[0xFF, SCP02], &card_challenge, &cryptogram].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(digits: &str) -> [u8; N] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    fn key(digits: &str) -> Key {
        Secret::fill(|room| *room = bytes(digits))
    }

    /// keycard-go `globalplatform/session_test.go`: a card with the default key.
    const ANSWER: &str = "000002650183039536622002000de9c62ba1c4c8e55fcb91b6654ce4";
    const CHALLENGE: &str = "f0467f908e5ca23f";

    fn handshake(answer: &str) -> Result<Handshake, InstallError> {
        Handshake::parse(bytes(CHALLENGE), &hex::decode(answer).unwrap())
    }

    #[test]
    fn the_session_of_keycard_go_opens_with_the_default_key() {
        let (mut channel, name) = handshake(ANSWER).unwrap().channel().unwrap();
        assert_eq!(name, "the GlobalPlatform default key");
        let command = channel.authenticate().unwrap().to_bytes();
        assert_eq!(command[..5], [0x84, 0x82, 0x01, 0x00, 0x10]);
        assert_eq!(command.len(), 21);
    }

    #[test]
    fn a_cryptogram_with_any_bit_flipped_opens_nothing() {
        for at in 12..28 {
            for bit in 0..8 {
                let mut answer = hex::decode(ANSWER).unwrap();
                answer[at] ^= 1 << bit;
                let handshake = handshake(&hex::encode(answer)).unwrap();
                assert!(matches!(handshake.channel(), Err(InstallError::OtherKeys)), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn another_protocol_and_another_length_are_told_apart() {
        let scp03 = ANSWER.replacen("2002", "2003", 1) + "000001";
        assert!(matches!(handshake(&scp03), Err(InstallError::OtherProtocol { protocol: 3 })));
        for answer in ["", "00", &ANSWER[..ANSWER.len() - 2], &format!("{ANSWER}00")] {
            assert!(matches!(handshake(answer), Err(InstallError::Card(CardError::Answer { .. }))), "{answer}");
        }
    }

    /// keycard-go `globalplatform/crypto_test.go`: DeriveKey.
    #[test]
    fn the_session_key_of_keycard_go() {
        let mut handshake = handshake(ANSWER).unwrap();
        handshake.card_challenge = bytes("0065000000000000");
        let session = handshake.session_key(&key("404142434445464748494a4b4c4d4e4f"), ENCRYPTION);
        assert_eq!(*session.expose(), bytes("85E72AAF47874218A202BF5EF891DD21"));
    }

    /// keycard-go `globalplatform/crypto_test.go`: VerifyCryptogram.
    #[test]
    fn the_card_cryptogram_of_keycard_go() {
        let data = [bytes::<8>("32da078d7aac1cff"), bytes("007284f64a7d6465")].concat();
        assert_eq!(des::full_mac(&key("16B5867FF50BE7239C2BF1245B83A362"), &data), bytes("05c4bb8a86014e22"));
    }

    /// keycard-go `globalplatform/apdu_wrapper_test.go`: two commands, the second starting from the first one's MAC.
    #[test]
    fn the_wrapped_commands_of_keycard_go() {
        let mac = key("2983BA77D709C2DAA1E6000ABCCAC951");
        let mut channel = Channel { mac, last: None, host_cryptogram: Sum::default() };
        let first = channel.wrap([0x80, 0x82, 0x01, 0x00], &bytes::<8>("1d4de92eaf7a2c9f")).unwrap();
        assert_eq!(hex::encode_upper(&*first.to_bytes()), "84820100101D4DE92EAF7A2C9F8F9B0DF681C1D3EC");
        let second = channel.wrap([0x80, 0xF2, 0x80, 0x02], &[0x4F, 0x00]).unwrap().with_le(0);
        assert_eq!(hex::encode_upper(&*second.to_bytes()), "84F280020A4F0030F149209E17B39700");
    }

    #[test]
    fn a_command_too_long_for_its_mac_is_refused() {
        let mut channel = handshake(ANSWER).unwrap().channel().unwrap().0;
        assert!(channel.wrap([0x80, 0xE8, 0, 0], &[0; 247]).is_ok());
        assert!(matches!(channel.wrap([0x80, 0xE8, 0, 0], &[0; 248]), Err(CardError::Misuse { .. })));
    }
}
