//! Secure channel v2 of applet 4.0 (reference: Keycard applet, secure channel v2).
//!
//! ```text
//! X                = x of ECDH(client ephemeral, card ephemeral)
//! K_h2c || K_c2h   = HKDF-SHA256(ikm = X, salt, info = "sc_v2_ccm")                     16 + 16
//! command          = 80 18 00 00 Lc AES-128-CCM(K_h2c, nonce, CLA INS P1 P2 Lc data)     tag 8, nonce 13
//! answer           = AES-128-CCM(K_c2h, the same nonce, data || SW) 9000
//! nonce            = counter from 0, big-endian
//! ```
//! What nothing covers: CLA, P1 and P2 around a secured command. The card does not look at them, so changing them on the way
//! has no effect; INS decides whether it is a secured command at all, and the whole inner command is under the tag. Of an
//! answer, everything is covered.
//!
//! Invariant: a nonce is used up the moment a command is sealed, and until its answer was opened nothing else is sealed.

use aes::Aes128;
use ccm::Ccm;
use ccm::aead::AeadInOut as _;
use ccm::consts::{U8, U13};
use hmac::{Hmac, KeyInit as _, Mac as _};
use k256::ecdh::SharedSecret;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::apdu::{Answer, Command};
use crate::error::{CardError, Lost};
use crate::status_word::StatusWord;

/// HKDF's info, and the beginning of the transcript.
pub(crate) use audit::evidence::opening::LABEL;
/// The tag that follows each ciphertext.
const TAG: usize = 8;
/// What fits into one secured command: 255 bytes less the tag.
const MAX_INNER: usize = 247;

type Cipher = Ccm<Aes128, U8, U13>;
type Nonce = ccm::Nonce<U13>;

/// The keys and the counter. The keys are gone once the channel is lost.
pub(crate) struct ChannelV2 {
    keys: Option<Keys>,
    counter: u64,
    awaited: Option<Nonce>,
}

struct Keys {
    to_card: Cipher,
    from_card: Cipher,
}

impl ChannelV2 {
    /// Returns the channel that both sides derive from the shared point and the salt.
    pub(crate) fn derive(shared: &SharedSecret, salt: &[u8; 32]) -> Self {
        let okm = okm(shared.raw_secret_bytes(), salt);
        let (to_card, from_card) = okm.split_at(16);
        let keys = cipher(to_card).zip(cipher(from_card)).map(|(to_card, from_card)| Keys { to_card, from_card });
        Self { keys, counter: 0, awaited: None }
    }

    /// See [`super::Channel::seal`].
    pub(crate) fn seal(&mut self, command: &Command) -> Result<Command, CardError> {
        let inner = command.to_inner_bytes();
        if inner.len() > MAX_INNER {
            return Err(CardError::Misuse { what: "a secured command carries at most 242 bytes" });
        }
        if self.awaited.is_some() {
            self.close();
            return Err(Lost::OutOfStep.into());
        }
        let keys = self.keys.as_ref().ok_or(Lost::Closed)?;
        let nonce = nonce(self.counter);
        self.counter = self.counter.checked_add(1).ok_or(Lost::Closed)?;
        self.awaited = Some(nonce);
        let mut sealed = Zeroizing::new(Vec::with_capacity(inner.len() + TAG));
        sealed.extend_from_slice(&inner);
        let done = keys.to_card.encrypt_in_place(&nonce, &[], &mut *sealed);
        if done.is_err() {
            self.close();
            return Err(Lost::Closed.into());
        }
        Command::with_body([0x80, 0x18, 0x00, 0x00], &[&sealed])
    }

    /// See [`super::Channel::open`].
    pub(crate) fn open(&mut self, answer: Answer) -> Result<Answer, CardError> {
        // Taken, and put back only after a success.
        let keys = self.keys.take().ok_or(Lost::Closed)?;
        let nonce = self.awaited.take().ok_or(Lost::OutOfStep)?;
        let Answer { mut data, status } = answer;
        if status != StatusWord::OK {
            return Err(Lost::Outside { status }.into());
        }
        keys.from_card.decrypt_in_place(&nonce, &[], &mut *data).map_err(|_| Lost::Unverifiable)?;
        let answer = Answer::split(data)?;
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

/// Returns HKDF-SHA256 of the shared X: one block, so two HMACs, written out to wipe what is between them.
fn okm(shared: &[u8], salt: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let prk = hmac(salt, &[shared]);
    hmac(&prk, &[LABEL, &[1]])
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut room = Zeroizing::new([0; 32]);
    // A key of any length is a key of HMAC.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) {
        for part in parts {
            mac.update(part);
        }
        let mut output = mac.finalize().into_bytes();
        room.copy_from_slice(&output);
        output.as_mut_slice().zeroize();
    }
    room
}

fn cipher(key: &[u8]) -> Option<Cipher> {
    Cipher::new_from_slice(key).ok()
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce.as_mut_slice().split_at_mut(5).1.copy_from_slice(&counter.to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client() -> k256::SecretKey {
        k256::SecretKey::from_slice(&[1; 32]).unwrap()
    }

    fn shared() -> SharedSecret {
        let card = k256::SecretKey::from_slice(&[2; 32]).unwrap().public_key();
        k256::ecdh::diffie_hellman(client().to_nonzero_scalar(), card.as_affine())
    }

    fn salt() -> [u8; 32] {
        std::array::from_fn(|i| i as u8)
    }

    fn channel() -> ChannelV2 {
        ChannelV2::derive(&shared(), &salt())
    }

    fn command(inner: &str) -> Command {
        let inner = hex::decode(inner).unwrap();
        assert_eq!(usize::from(inner[4]), inner.len() - 5);
        Command::with_body(inner[..4].try_into().unwrap(), &[&inner[5..]]).unwrap()
    }

    fn answer(text: &str) -> Answer {
        Answer::parse(hex::decode(text).unwrap()).unwrap()
    }

    /// Reference section 9.4, V2: (inner command, command, inner answer, answer).
    const STEPS: [(&str, &str, &str, &str); 4] = [
        (
            "80f2000000",
            "801800000defd85ada2f90a203e2f61c4e6b",
            "a3090201030201050101ff9000",
            "b7f724742f02e3098fea838b53116334e1c55170269000",
        ),
        (
            "8020000006303030303030",
            "8018000013804f26fb3329e885f6b5ccaf40a75daafe0b82",
            "9000",
            "6f02499da0e4bc86e72e9000",
        ),
        (
            "80c20100148000002b8000003c8000062d8000000100000000",
            "8018000021d2c4a0b37677ba2537e31f26ef7441a604db403930f27d6b2ff2c145e7a12dce95",
            "a1228120b827e4218e20d197e0de00fe3a55612ceb3bd8f5eed42f2ccb922ff28d5232e59000",
            "89ab091f3258f7a18ba4b501870b7b47916c0ab89eb161ba163627bec05c0f086a5882b92e88d62d3747db979ede9000",
        ),
        ("80c2010000", "801800000d3bf87546c2f25a2ba2b19fe032", "6985", "90229763f0935c9a00289000"),
    ];

    #[test]
    fn the_shared_point_and_the_derived_keys_are_those_of_the_vector() {
        let shared = shared();
        assert_eq!(
            hex::encode(shared.raw_secret_bytes()),
            "d0158a38faf6118af133af12d9bfa388eab4a08d1a2088ea6e6ec1269e03567f"
        );
        let prk = hmac(&salt(), &[shared.raw_secret_bytes()]);
        assert_eq!(hex::encode(*prk), "a385f5584ec945ae967c7cb767cdbe6350814639fd141edf0683f6e6dc1dae35");
        let okm = okm(shared.raw_secret_bytes(), &salt());
        assert_eq!(hex::encode(*okm), "d68099fe63e43df5ff84e6843ebf075ba5ea7e41ea533cfc17eda1aa14d3c2e1");
    }

    #[test]
    fn the_synthetic_session_is_sealed_and_opened_byte_for_byte() {
        let mut channel = channel();
        for (inner, sealed, inner_answer, sealed_answer) in STEPS {
            assert_eq!(hex::encode(&*channel.seal(&command(inner)).unwrap().to_bytes()), sealed);
            let opened = channel.open(answer(sealed_answer)).unwrap();
            assert_eq!(hex::encode([opened.data.as_slice(), &opened.status.to_bytes()].concat()), inner_answer);
        }
    }

    fn assert_lost(result: Result<Answer, CardError>, channel: &mut ChannelV2) {
        assert!(matches!(result, Err(CardError::ChannelLost(_))));
        assert!(channel.keys.is_none(), "the keys are wiped");
        let after = channel.seal(&command("80f2000000"));
        assert!(matches!(after, Err(CardError::ChannelLost(Lost::Closed))));
    }

    #[test]
    fn an_answer_outside_the_channel_wipes_the_keys() {
        for text in ["6982", "6985", "b7f724742f02e3098fea838b53116334e1c55170269001"] {
            let mut channel = channel();
            channel.seal(&command("80f2000000")).unwrap();
            let result = channel.open(answer(text));
            assert_lost(result, &mut channel);
        }
    }

    #[test]
    fn a_second_command_before_the_answer_wipes_the_keys() {
        let mut channel = channel();
        channel.seal(&command("80f2000000")).unwrap();
        assert!(matches!(channel.seal(&command("80c2010000")), Err(CardError::ChannelLost(Lost::OutOfStep))));
        let result = channel.open(answer(STEPS[0].3));
        assert_lost(result, &mut channel);
    }

    #[test]
    fn an_answer_to_nothing_and_an_answer_given_twice_wipe_the_keys() {
        let mut fresh = channel();
        let result = fresh.open(answer(STEPS[0].3));
        assert_lost(result, &mut fresh);
        let mut twice = channel();
        twice.seal(&command("80f2000000")).unwrap();
        twice.open(answer(STEPS[0].3)).unwrap();
        let result = twice.open(answer(STEPS[0].3));
        assert_lost(result, &mut twice);
    }

    #[test]
    fn a_replayed_answer_does_not_verify() {
        let mut channel = channel();
        channel.seal(&command(STEPS[0].0)).unwrap();
        channel.open(answer(STEPS[0].3)).unwrap();
        channel.seal(&command(STEPS[0].0)).unwrap();
        let result = channel.open(answer(STEPS[0].3));
        assert_lost(result, &mut channel);
    }

    #[test]
    fn a_command_that_does_not_fit_is_refused_and_the_channel_survives() {
        let mut channel = channel();
        let longest = Command::with_body([0x80, 0xE2, 0, 0], &[&[0; 242]]).unwrap();
        let longer = Command::with_body([0x80, 0xE2, 0, 0], &[&[0; 243]]).unwrap();
        assert!(matches!(channel.seal(&longer), Err(CardError::Misuse { .. })));
        assert_eq!(channel.seal(&longest).unwrap().to_bytes().len(), 5 + 255);
    }

    #[test]
    fn the_nonce_is_the_counter_in_thirteen_bytes() {
        assert_eq!(nonce(0).as_slice(), [0; 13]);
        assert_eq!(nonce(0x0102).as_slice(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    proptest! {
        #[test]
        fn any_altered_answer_wipes_the_keys(at in 0usize..23, flip in 1u8.., cut in 0usize..23, extra in any::<bool>()) {
            let good = hex::decode(STEPS[0].3).unwrap();
            let mut altered = good.clone();
            altered[at] ^= flip;
            let mut longer = good.clone();
            longer.insert(at.min(20), flip);
            let bytes = if extra { longer } else if cut > 2 { good[good.len() - cut..].to_vec() } else { altered };
            prop_assume!(bytes != good);
            let mut channel = channel();
            channel.seal(&command("80f2000000")).unwrap();
            let result = channel.open(Answer::parse(bytes).unwrap());
            assert_lost(result, &mut channel);
        }
    }
}
