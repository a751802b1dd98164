//! Secure channel v1 of applets 2.x and 3.x (reference: Keycard applet, secure channel v1).
//!
//! ```text
//! Kenc || Kmac  = SHA-512(x of ECDH(client ephemeral, card static) || pairing key(32) || salt(32))      32 + 32
//! command       = CLA INS P1 P2 Lc MAC(16) || C       C   = AES-256-CBC(Kenc, IV, data || 80 00..)
//!                                                     MAC = CBC-MAC(Kmac, CLA INS P1 P2 Lc 00*11 || C)
//! answer        = MAC'(16) || C' 9000                 C'  = AES-256-CBC(Kenc, IV, data || SW || 80 00..)
//!                                                     MAC'= CBC-MAC(Kmac, Lr 00*15 || C')
//! IV            = the one of OPEN SECURE CHANNEL's answer, then always the last MAC, of either direction
//! ```
//! An error that the applet raises before it decrypts (an unknown instruction) is one block encrypted with the IV of the
//! answer before.
//!
//! Invariant: the MAC is compared, in constant time, before anything is decrypted, and an answer that fails any check
//! wipes the keys.
//!
//! What no MAC covers: **the IV**. The first one comes in clear and can be changed on the way: it garbles the first 16
//! bytes that the card decrypts, which are random bytes (MUTUALLY AUTHENTICATE), and nothing else, for each later IV is a
//! MAC that both sides have checked. And an older answer of the same session keeps its valid MAC, with only its first
//! block garbled by the newer IV: every MAC is therefore taken once in a session. An instruction byte that the applet does
//! not know it refuses before it verifies; that error comes back inside the channel, and the session goes on.

use std::collections::BTreeSet;

use aes::Aes256;
use aes::cipher::KeyInit as _;
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::apdu::{Answer, Command};
use crate::channel::cbc::{self, BLOCK, Block};
use crate::error::{CardError, Lost};
use crate::status_word::StatusWord;

/// What fits into one protected command.
const MAX_PLAINTEXT: usize = 223;
/// How many answers one session takes at most; it bounds the memory of their MACs.
const MAX_ANSWERS: usize = 1 << 16;

/// The keys, the IV and the answers so far. The keys are gone once the channel is lost.
pub(crate) struct ChannelV1 {
    keys: Option<Keys>,
    /// The last MAC of either direction.
    iv: Block,
    /// While an answer is due: the IV before the command.
    awaited: Option<Block>,
    taken: BTreeSet<Block>,
}

struct Keys {
    encryption: Aes256,
    mac: Aes256,
}

impl ChannelV1 {
    /// Returns the channel that both sides derive from the shared point, the pairing and OPEN SECURE CHANNEL's answer.
    pub(crate) fn derive(shared: &[u8], pairing_key: &[u8; 32], salt: &[u8; 32], iv: Block) -> Self {
        let mut hasher = Sha512::new();
        hasher.update(shared);
        hasher.update(pairing_key);
        hasher.update(salt);
        let mut digest = hasher.finalize();
        let (encryption, mac) = digest.split_at(32);
        let cipher = |key: &[u8]| Aes256::new_from_slice(key).ok();
        let keys = cipher(encryption).zip(cipher(mac)).map(|(encryption, mac)| Keys { encryption, mac });
        digest.as_mut_slice().zeroize();
        Self { keys, iv, awaited: None, taken: BTreeSet::new() }
    }

    /// See [`super::Channel::seal`].
    pub(crate) fn seal(&mut self, command: &Command) -> Result<Command, CardError> {
        let plaintext = command.body();
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(CardError::Misuse { what: "a protected command carries at most 223 bytes" });
        }
        if self.awaited.is_some() {
            self.close();
            return Err(Lost::OutOfStep.into());
        }
        let keys = self.keys.as_ref().ok_or(Lost::Closed)?;
        let mut ciphertext = cbc::padded(0, &[plaintext]);
        cbc::encrypt(&keys.encryption, &self.iv, &mut ciphertext);
        let [cla, ins, p1, p2] = command.header();
        let mac =
            cbc::mac(&keys.mac, &first_block(&[cla, ins, p1, p2, low_byte(BLOCK + ciphertext.len())]), &ciphertext);
        self.awaited = Some(std::mem::replace(&mut self.iv, mac));
        Command::with_body([cla, ins, p1, p2], &[&mac, &ciphertext])
    }

    /// See [`super::Channel::open`].
    pub(crate) fn open(&mut self, answer: Answer) -> Result<Answer, CardError> {
        // Taken, and put back only after a success.
        let keys = self.keys.take().ok_or(Lost::Closed)?;
        let before = self.awaited.take().ok_or(Lost::OutOfStep)?;
        let Answer { mut data, status } = answer;
        if status != StatusWord::OK {
            return Err(Lost::Outside { status }.into());
        }
        let length = low_byte(data.len());
        let (mac, ciphertext) = data.split_first_chunk_mut::<BLOCK>().ok_or(Lost::Unverifiable)?;
        if ciphertext.is_empty() || ciphertext.len() % BLOCK != 0 {
            return Err(Lost::Unverifiable.into());
        }
        let expected = cbc::mac(&keys.mac, &first_block(&[length]), ciphertext);
        if !bool::from(expected.ct_eq(mac)) || self.taken.len() >= MAX_ANSWERS || !self.taken.insert(expected) {
            return Err(Lost::Unverifiable.into());
        }
        let ours = std::mem::replace(&mut self.iv, expected);
        let answer = match early_error(&keys.encryption, &before, ciphertext) {
            Some(status) => Answer { data: Zeroizing::default(), status },
            None => {
                cbc::decrypt(&keys.encryption, &ours, ciphertext);
                let length = cbc::unpadded(ciphertext).ok_or(Lost::Unverifiable)?;
                data.drain(..BLOCK);
                data.truncate(length);
                Answer::split(data)?
            }
        };
        if answer.status == StatusWord::CHANNEL_BROKEN {
            return Err(Lost::Outside { status: answer.status }.into());
        }
        self.keys = Some(keys);
        Ok(answer)
    }

    /// See [`super::Channel::close`].
    pub(crate) fn close(&mut self) {
        self.keys = None;
        self.awaited = None;
    }
}

/// Returns the status word of an error that the card raised before it took our MAC for its IV.
fn early_error(encryption: &Aes256, before: &Block, ciphertext: &[u8]) -> Option<StatusWord> {
    let mut block = Zeroizing::new(Block::try_from(ciphertext).ok()?);
    cbc::decrypt(encryption, before, &mut *block);
    let [sw1, sw2, padding @ ..] = &*block;
    (cbc::unpadded(padding) == Some(0)).then(|| StatusWord::from([*sw1, *sw2]))
}

/// Returns the first block under a MAC: `start`, then zeros.
fn first_block(start: &[u8]) -> Block {
    let mut block = Block::default();
    for (byte, value) in block.iter_mut().zip(start) {
        *byte = *value;
    }
    block
}

/// Returns the length byte of a MAC's first block: an answer of 256 bytes has 00.
const fn low_byte(length: usize) -> u8 {
    let [low, ..] = length.to_le_bytes();
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fake_v1::{SealedCard, synthetic};

    /// Reference section 9.4, V1: OPEN's salt and IV.
    fn channel() -> ChannelV1 {
        let client = k256::SecretKey::from_slice(&[1; 32]).unwrap();
        let card = k256::SecretKey::from_slice(&[2; 32]).unwrap().public_key();
        let shared = k256::ecdh::diffie_hellman(client.to_nonzero_scalar(), card.as_affine());
        let pairing_key = hex::decode("f989ba059e5fb6162d7831b4a25107b691f0ba00c79d0f8ad7170bfb0c0c366a").unwrap();
        let salt = std::array::from_fn(|i| 0x60 + i as u8);
        let iv = std::array::from_fn(|i| 0x80 + i as u8);
        ChannelV1::derive(shared.raw_secret_bytes(), pairing_key.as_slice().try_into().unwrap(), &salt, iv)
    }

    fn command(text: &str) -> Command {
        let bytes = hex::decode(text).unwrap();
        Command::with_body(bytes[..4].try_into().unwrap(), &[&bytes[5..]]).unwrap()
    }

    fn answer(text: &str) -> Answer {
        Answer::parse(hex::decode(text).unwrap()).unwrap()
    }

    /// Reference section 9.4, V1, after MUTUALLY AUTHENTICATE: (command, protected, inner answer, answer).
    const STATUS: (&str, &str, &str, &str) = (
        "80f2000000",
        "80f200002012526f5ce5d4048f3595f8d0ead9945e2cd08434ce1fafbe726997738e94ecbd",
        "a3090201030201050101ff9000",
        "af153065a34a6215aeaaa60731c547e614d07c82983fe4dec0cc6b4afa3103929000",
    );
    const STEPS: [(&str, &str, &str, &str); 3] = [
        STATUS,
        (
            "8020000006303030303030",
            "8020000020056ec6839389d4c6d34951d421cc9d03695acbae18d0a6b447369ffec87348df",
            "9000",
            "f603894415cc965899dbe389a76ce7b7ed9ace06298565829a58a421bd5c4a209000",
        ),
        (
            "80c20100148000002b8000003c8000062d8000000100000000",
            "80c2010030c99e617628f6d0bc5908e704dc3885b546eb71fba2d0c6b0b4b32a5a72ce9ab64847d5b298a6662af38e664187c72306",
            "a1228120b827e4218e20d197e0de00fe3a55612ceb3bd8f5eed42f2ccb922ff28d5232e59000",
            "a7f4605871d9ff3b0a659241584127b5a7515902f150d6f119c3bdead9d1cecfcd82c21c1a64b32338cca78311d96f4bb1a1930ed9e15d\
             bc3d8e203ab2a9e04b9000",
        ),
    ];
    const AUTHENTICATE: &str = "8011000040f5f77e86af97a20dd37ef0f1f419880f93594bb1a285edba60fe95b97e402ed790d86f937ffe6bf0\
        adad96b2d023299b2f4f53ff0b04f1e92ccc93707cddf73d";
    const AUTHENTICATED: &str = "6f7553146bc1b612088db6e642bba839d0e56f650fb789331a206f922ee9ee3a0a1ea0b26464f5e6be0188ea4\
        100b83c8c4a8b62968455f597488b7c1f5b2a809000";

    /// The channel after MUTUALLY AUTHENTICATE, whose command the vector gives encrypted only.
    fn authenticated() -> ChannelV1 {
        let mut channel = channel();
        let sealed = hex::decode(AUTHENTICATE).unwrap();
        channel.awaited = Some(channel.iv);
        channel.iv = sealed[5..21].try_into().unwrap();
        assert_eq!(channel.open(answer(AUTHENTICATED)).unwrap().data.len(), 32);
        channel
    }

    /// keycard-go `secure_channel_test.go`: session keys, and one protected command.
    #[test]
    fn keycard_gos_session_keys_and_protected_command_are_ours() {
        let bytes = |text: &str| hex::decode(text).unwrap();
        let secret = bytes("B410E816DA313545151807E25A830201FA389913A977066AB0C6DE0E8631E400");
        let pairing = bytes("544FF0B9B0737E4BFC4ECDFCE09F522B837051BBE4FFCEC494FA420D8525670E");
        let salt = bytes("1D7C033E75E10EC578AB538F69F1B02538571BA3831441F1649E3F24B5B3E3E7");
        let iv = bytes("1D7BC2D6A3D02FC8CB2FBB3FD8711BB5").try_into().unwrap();
        let channel =
            ChannelV1::derive(&secret, pairing.as_slice().try_into().unwrap(), salt.as_slice().try_into().unwrap(), iv);
        let expected = Keys {
            encryption: Aes256::new_from_slice(&bytes(
                "4FF496554C01BAE0A52323E3481B448C99D43982118D95C6918FE0354D224B90",
            ))
            .unwrap(),
            mac: Aes256::new_from_slice(&bytes("185811013138EA1B4FFDBBFA7343EF2DBE3E54C2C231885E867F792448AC2FE5"))
                .unwrap(),
        };
        let keys = channel.keys.unwrap();
        for (ours, theirs) in [(&keys.encryption, &expected.encryption), (&keys.mac, &expected.mac)] {
            assert_eq!(cbc::mac(ours, &[7; 16], &[]), cbc::mac(theirs, &[7; 16], &[]), "the same key");
        }

        let key = |text: &str| Aes256::new_from_slice(&bytes(text)).unwrap();
        let keys = Keys {
            encryption: key("FDBCB1637597CF3F8F5E8263007D4E45F64C12D44066D4576EB1443D60AEF441"),
            mac: key("2FB70219E6635EE0958AB3F7A428BA87E8CD6E6F873A5725A55F25B102D0F1F7"),
        };
        let iv = bytes("627E64358FA9BDCDAD4442BD8006E0A5").try_into().unwrap();
        let mut channel = ChannelV1 { keys: Some(keys), iv, awaited: None, taken: BTreeSet::new() };
        let data = bytes("D545A5E95963B6BCED86A6AE826D34C5E06AC64A1217EFFA1415A96674A82500");
        let sealed = channel.seal(&Command::with_body([0x80, 0x11, 0, 0], &[&data]).unwrap()).unwrap();
        assert_eq!(
            hex::encode_upper(sealed.body()),
            "BA796BF8FAD1FD50407B87127B94F5023EF8903AE926EAD8A204F961B8A0EDAEE7CCCFE7F7F6380CE2C6F188E598E4468B7DEDD0E807C1\
             8CCBDA71A55F3E1F9A"
        );
    }

    #[test]
    fn the_synthetic_session_is_sealed_and_opened_byte_for_byte() {
        let mut channel = authenticated();
        for (inner, sealed, inner_answer, sealed_answer) in STEPS {
            assert_eq!(hex::encode(&*channel.seal(&command(inner)).unwrap().to_bytes()), sealed);
            let opened = channel.open(answer(sealed_answer)).unwrap();
            assert_eq!(hex::encode([opened.data.as_slice(), &opened.status.to_bytes()].concat()), inner_answer);
        }
    }

    fn assert_lost(result: Result<Answer, CardError>, channel: &mut ChannelV1) {
        assert!(matches!(result, Err(CardError::ChannelLost(_))));
        assert!(channel.keys.is_none(), "the keys are wiped");
        assert!(matches!(channel.seal(&command(STATUS.0)), Err(CardError::ChannelLost(Lost::Closed))));
    }

    fn asked() -> ChannelV1 {
        let mut channel = authenticated();
        channel.seal(&command(STATUS.0)).unwrap();
        channel
    }

    #[test]
    fn every_flipped_bit_of_an_answer_is_refused_and_ends_the_session() {
        for (inner, _, _, sealed) in [STEPS[0], STEPS[2]] {
            let good = hex::decode(sealed).unwrap();
            for bit in 0..good.len() * 8 {
                let mut bytes = good.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let mut channel = authenticated();
                if inner != STATUS.0 {
                    for (inner, _, _, sealed) in &STEPS[..2] {
                        channel.seal(&command(inner)).unwrap();
                        channel.open(answer(sealed)).unwrap();
                    }
                }
                channel.seal(&command(inner)).unwrap();
                let result = channel.open(Answer::parse(bytes).unwrap());
                assert_lost(result, &mut channel);
            }
        }
    }

    /// The card's view, with a card of the tests: it is the card that checks our MAC.
    #[test]
    fn every_flipped_bit_of_a_command_is_refused_by_the_card() {
        let sealed = asked_bytes();
        let mut card = synthetic();
        assert!(card.opens(&sealed), "unharmed");
        // Lc is bytes 4: a transport that alters it alters the length of the command too.
        for bit in (0..sealed.len() * 8).filter(|bit| bit / 8 != 4) {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!synthetic().opens(&bytes), "bit {bit}");
        }
    }

    fn asked_bytes() -> Vec<u8> {
        let mut channel = SealedCard::channel_of_the_client();
        channel.seal(&command(STATUS.0)).unwrap().to_bytes().to_vec()
    }

    #[test]
    fn an_answer_outside_the_channel_wipes_the_keys() {
        for text in ["6982", "6985", "9000", &STATUS.3.replace("9000", "9001")] {
            let mut channel = asked();
            let result = channel.open(answer(text));
            assert_lost(result, &mut channel);
        }
    }

    #[test]
    fn an_answer_of_an_odd_length_wipes_the_keys() {
        let good = hex::decode(STATUS.3).unwrap();
        for length in (0..good.len() - 2).chain([33, 48]) {
            let mut bytes = good[..good.len() - 2].to_vec();
            bytes.resize(length, 0);
            let mut channel = asked();
            let result = channel.open(Answer::parse([bytes, vec![0x90, 0]].concat()).unwrap());
            assert_lost(result, &mut channel);
        }
    }

    #[test]
    fn a_second_command_before_the_answer_and_an_answer_to_nothing_wipe_the_keys() {
        let mut channel = asked();
        assert!(matches!(channel.seal(&command(STATUS.0)), Err(CardError::ChannelLost(Lost::OutOfStep))));
        assert!(channel.keys.is_none());
        let mut fresh = authenticated();
        let result = fresh.open(answer(STATUS.3));
        assert_lost(result, &mut fresh);
    }

    /// What no MAC covers, second part: an older answer verifies under a newer IV. Here both are of more than one block, so
    /// that all but the first would be read without a flaw.
    #[test]
    fn an_answer_that_is_played_again_is_refused_although_its_mac_is_right() {
        let mut card = synthetic();
        let mut channel = SealedCard::channel_of_the_client();
        let (first, second) = ([0x11; 40], [0x22; 40]);
        let sealed = channel.seal(&command(STATUS.0)).unwrap();
        let played = card.answer(&sealed.to_bytes(), &first);
        assert_eq!(*channel.open(Answer::parse(played.clone()).unwrap()).unwrap().data, first);
        let sealed = channel.seal(&command(STATUS.0)).unwrap();
        card.answer(&sealed.to_bytes(), &second);
        let result = channel.open(Answer::parse(played).unwrap());
        assert_lost(result, &mut channel);
    }

    /// What no MAC covers, first part: whoever changes the first IV on the way changes 16 bytes of the card's view of
    /// MUTUALLY AUTHENTICATE, which are random, and nothing after it.
    #[test]
    fn a_changed_first_iv_garbles_sixteen_random_bytes_and_nothing_else() {
        let mut card = synthetic();
        let mut channel = SealedCard::channel_of_the_client();
        channel.iv[3] ^= 0x40;
        let challenge: Vec<u8> = (0..32).collect();
        let sealed = channel.seal(&Command::with_body([0x80, 0x11, 0, 0], &[&challenge]).unwrap()).unwrap();
        let answer = card.answer(&sealed.to_bytes(), &[0xB0; 32]);
        let mut seen = challenge.clone();
        seen[3] ^= 0x40;
        assert_eq!(card.last_plaintext(), seen, "the card takes it, garbled");
        assert_eq!(*channel.open(Answer::parse(answer).unwrap()).unwrap().data, [0xB0; 32]);
        let sealed = channel.seal(&Command::with_body([0x80, 0x20, 0, 0], &[b"123456"]).unwrap()).unwrap();
        card.answer(&sealed.to_bytes(), &[]);
        assert_eq!(card.last_plaintext(), b"123456", "the chain has found itself again");
    }

    #[test]
    fn an_error_under_the_iv_before_is_read_and_the_session_goes_on() {
        let mut card = synthetic();
        let mut channel = SealedCard::channel_of_the_client();
        let sealed = channel.seal(&command("80ff000000")).unwrap();
        let early = card.early(&sealed.to_bytes(), [0x6D, 0x00]);
        let answer = channel.open(Answer::parse(early).unwrap()).unwrap();
        assert_eq!((answer.status, answer.data.len()), (StatusWord::UNKNOWN_INSTRUCTION, 0));
        let sealed = channel.seal(&command(STATUS.0)).unwrap();
        let next = card.answer(&sealed.to_bytes(), &[1, 2, 3]);
        assert_eq!(*channel.open(Answer::parse(next).unwrap()).unwrap().data, [1, 2, 3]);
    }

    #[test]
    fn a_broken_channel_inside_and_a_wrong_padding_wipe_the_keys_too() {
        let mut card = synthetic();
        let mut channel = SealedCard::channel_of_the_client();
        let sealed = channel.seal(&command(STATUS.0)).unwrap();
        let result = channel.open(Answer::parse(card.whole(&sealed.to_bytes(), &[0x69, 0x82, 0x80])).unwrap());
        assert_lost(result, &mut channel);
        let mut card = synthetic();
        let mut channel = SealedCard::channel_of_the_client();
        let sealed = channel.seal(&command(STATUS.0)).unwrap();
        let result = channel.open(Answer::parse(card.whole(&sealed.to_bytes(), &[0x90, 0, 1])).unwrap());
        assert_lost(result, &mut channel);
    }

    /// Reference section 14.3: the length byte under the MAC of an answer of 256 bytes is 00.
    #[test]
    fn the_longest_answer_is_read() {
        let mut card = synthetic();
        let mut channel = SealedCard::channel_of_the_client();
        let sealed = channel.seal(&command(STATUS.0)).unwrap();
        let answer = card.answer(&sealed.to_bytes(), &[7; 222]);
        assert_eq!(answer.len(), 256 + 2);
        assert_eq!(channel.open(Answer::parse(answer).unwrap()).unwrap().data.len(), 222);
    }

    #[test]
    fn a_command_that_does_not_fit_is_refused_and_the_channel_survives() {
        let mut channel = authenticated();
        let longest = Command::with_body([0x80, 0xE2, 0, 0], &[&[0; 223]]).unwrap();
        let longer = Command::with_body([0x80, 0xE2, 0, 0], &[&[0; 224]]).unwrap();
        assert!(matches!(channel.seal(&longer), Err(CardError::Misuse { .. })));
        assert_eq!(channel.seal(&longest).unwrap().to_bytes().len(), 5 + 240);
    }

    proptest! {
        #[test]
        fn any_answer_but_the_right_one_wipes_the_keys(bytes in proptest::collection::vec(any::<u8>(), 2..258)) {
            let mut channel = asked();
            let result = channel.open(Answer::parse(bytes).unwrap());
            assert_lost(result, &mut channel);
        }

        #[test]
        fn whatever_both_sides_say_arrives(
            turns in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..=223), proptest::collection::vec(any::<u8>(), 0..=222)), 1..6
            )
        ) {
            let mut card = synthetic();
            let mut channel = SealedCard::channel_of_the_client();
            for (body, data) in turns {
                let sealed = channel.seal(&Command::with_body([0x80, 0xC0, 1, 2], &[&body]).unwrap()).unwrap();
                let answer = card.answer(&sealed.to_bytes(), &data);
                prop_assert_eq!(card.last_plaintext(), body);
                let opened = channel.open(Answer::parse(answer).unwrap()).unwrap();
                prop_assert_eq!(&*opened.data, &data);
                prop_assert_eq!(opened.status, StatusWord::OK);
            }
        }
    }
}
