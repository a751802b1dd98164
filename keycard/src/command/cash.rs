//! The Cash applet (3.0 and later): a key of its own, which signs for whoever holds the card.
//!
//! ```text
//! SELECT         00 A4 04 00 09 A00000080400010301 → A4 len { 80 41 key, 02 02 version, 82 len data }
//! SIGN           80 C0 00 00 20 digest             → as the Keycard applet's, with no channel and no PIN
//! IDENTIFY CARD  80 14 00 00 20 challenge          → as the Keycard applet's, 3.1 and 3.2
//! ```
//! `len` is one byte whatever its value, which BER writes in two from 80 on. Selecting it ends the session with the
//! Keycard applet. Nobody vouches for its key or its data, and nothing of it is secret.

use audit::{Operation, Recorded, Request};
use proto::{CardId, ChatKey, Digest, Fingerprint, KeyUid, RecoverableSignature};

use crate::apdu::Command;
use crate::card::Card;
use crate::command::{identify, sign};
use crate::error::{CardError, Failed, Unsuitable};
use crate::generation::Generation;
use crate::identification::Identification;
use crate::status_word::StatusWord;
use crate::tlv::Reader;
use crate::transport::{CardTransport, exchange};
use crate::trust::Trust;
use crate::version::{Feature, Version};

/// The application identifier of the first Cash instance.
const AID: [u8; 9] = [0xA0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x03, 0x01];

/// A selected Cash applet.
pub struct Cash<T> {
    card: CardId,
    key_uid: Option<KeyUid>,
    info: CashInfo,
    transport: T,
}

/// What the Cash applet says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CashInfo {
    /// Its public key.
    pub key: ChatKey,
    /// The applet's version.
    pub version: Version,
    /// What was stored in the cash slot.
    pub data: Vec<u8>,
}

impl<S, T: CardTransport> Card<S, T> {
    /// Selects the Cash applet, which ends this session.
    ///
    /// # Errors
    /// [`CardError::Unsuitable`] when there is none; [`CardError::Status`], [`CardError::Answer`], [`CardError::Transport`].
    pub fn select_cash(mut self) -> Result<Cash<T>, Failed<T>> {
        match read(&mut self.transport) {
            Ok(info) => Ok(Cash { card: self.id(), key_uid: self.info.key_uid, info, transport: self.transport }),
            Err(error) => Err(Failed { transport: self.transport, error }),
        }
    }
}

impl<T: CardTransport> Cash<T> {
    /// Returns what the applet said of itself.
    #[must_use]
    pub const fn info(&self) -> &CashInfo {
        &self.info
    }

    /// Returns the request that a record must hold for [`Self::sign`].
    #[must_use]
    pub const fn request(&self, digest: &Digest) -> Request {
        Request { card: self.card, key_uid: self.key_uid, operation: Operation::CashSign(*digest) }
    }

    /// Returns the signature of `digest` by the applet's key.
    ///
    /// # Errors
    /// [`CardError::NotRecorded`] before anything is sent; [`CardError::FalseSignature`] for another key's;
    /// [`CardError::Status`], [`CardError::Answer`], [`CardError::Transport`].
    pub fn sign(&mut self, digest: &Digest, recorded: &mut Recorded) -> Result<RecoverableSignature, CardError> {
        recorded.spend(&self.request(digest))?;
        let command = Command::with_body([0x80, 0xC0, 0x00, 0x00], &[digest.as_bytes()])?;
        let signed = sign::parse_ecdsa(exchange(&mut self.transport, command)?, digest)?;
        if signed.key == self.info.key {
            Ok(signed.signature)
        } else {
            Err(CardError::FalseSignature { expected: Fingerprint::of(&self.info.key) })
        }
    }

    /// Asks the applet which card it is on, and judges that. 3.1 and 3.2.
    ///
    /// # Errors
    /// [`CardError::Unsupported`] before anything is sent; [`CardError::Untrusted`], [`CardError::Impostor`],
    /// [`CardError::Status`] (6F00: no certificate), [`CardError::Answer`], [`CardError::Transport`].
    pub fn identify(&mut self, trust: &Trust, challenge: [u8; 32]) -> Result<Identification, CardError> {
        let version = self.info.version;
        if !version.supports(Feature::Identify) {
            return Err(CardError::Unsupported { command: "IDENTIFY CARD of the Cash applet", version });
        }
        let answer = exchange(&mut self.transport, identify::command(challenge)?)?;
        let identification = identify::parse(answer, challenge)?;
        identification.verify()?;
        trust.judge(&identification.certificate, Generation::V1)?;
        Ok(identification)
    }

    /// Gives the transport back.
    #[must_use]
    pub fn into_transport(self) -> T {
        self.transport
    }
}

fn read<T: CardTransport>(transport: &mut T) -> Result<CashInfo, CardError> {
    let answer = exchange(transport, Command::with_body([0x00, 0xA4, 0x04, 0x00], &[&AID])?)?;
    if answer.status == StatusWord::NOT_FOUND {
        return Err(Unsuitable::NoCash.into());
    }
    parse(&answer.success("SELECT of the Cash applet")?)
}

fn parse(data: &[u8]) -> Result<CashInfo, CardError> {
    const WHAT: &str = "a malformed answer to SELECT of the Cash applet";
    let [0xA4, length, inside @ ..] = data else { return Err(CardError::Answer { what: WHAT }) };
    if usize::from(*length) != inside.len() {
        return Err(CardError::Answer { what: WHAT });
    }
    let mut inside = Reader::new(inside, WHAT);
    let key = ChatKey::try_from(inside.array::<65>(0x80)?.as_slice()).map_err(|_| inside.malformed())?;
    let version = Version::new(*inside.array(0x02)?);
    let data = inside.value(0x82)?.to_vec();
    inside.end()?;
    Ok(CashInfo { key, version, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Script, identity_certificate, public, recorded, selected, trust};
    use crate::fake::{ecdsa_answer, select_data};

    const SELECT: &str = "00a4040009a00000080400010101";
    const SELECT_CASH: &str = "00a4040009a00000080400010301";

    fn info(version: &str, data: &[u8]) -> String {
        let key = hex::encode(public(7).to_bytes());
        let inside = format!("8041{key}0202{version}82{:02x}{}", data.len(), hex::encode(data));
        format!("a4{:02x}{inside}9000", inside.len() / 2)
    }

    fn cash(version: &str, steps: &[(&str, &str)]) -> Cash<Script> {
        let keycard = hex::encode(select_data(0x13, None)) + "9000";
        let shown = info(version, b"gift");
        let mut all = vec![(SELECT, keycard.as_str()), (SELECT_CASH, shown.as_str())];
        all.extend_from_slice(steps);
        selected(Script::new(all)).select_cash().unwrap()
    }

    #[test]
    fn the_applet_says_its_key_its_version_and_its_data() {
        let cash = cash("0302", &[]);
        assert_eq!(*cash.info(), CashInfo { key: public(7), version: Version::V3_2, data: b"gift".to_vec() });
        cash.into_transport().finish();
    }

    #[test]
    fn the_length_is_one_byte_even_where_ber_writes_two() {
        let long = hex::decode(info("0400", &[7; 127])).unwrap();
        assert_eq!(long[1], 71 + 2 + 127);
        assert_eq!(parse(&long[..long.len() - 2]).unwrap().data, [7; 127]);
    }

    #[test]
    fn it_signs_what_was_recorded_with_the_key_that_it_showed() {
        let digest = Digest::from([9; 32]);
        let command = format!("80c0000020{}", "09".repeat(32));
        let answer = ecdsa_answer(7, &digest);
        let mut cash = cash("0302", &[(&command, &answer)]);
        let mut other = recorded(cash.request(&Digest::from([8; 32])));
        assert!(matches!(cash.sign(&digest, &mut other), Err(CardError::NotRecorded(_))));
        let mut receipt = recorded(cash.request(&digest));
        let signature = cash.sign(&digest, &mut receipt).unwrap();
        assert_eq!(signature.recover(&digest), Some(public(7)));
    }

    #[test]
    fn a_signature_by_another_key_than_the_shown_one_is_refused() {
        let digest = Digest::from([9; 32]);
        let command = format!("80c0000020{}", "09".repeat(32));
        let mut cash = cash("0302", &[(&command, &ecdsa_answer(8, &digest))]);
        let mut receipt = recorded(cash.request(&digest));
        let error = cash.sign(&digest, &mut receipt).unwrap_err();
        assert!(matches!(error, CardError::FalseSignature { expected } if expected == Fingerprint::of(&public(7))));
    }

    #[test]
    fn it_says_which_card_it_is_on_where_the_version_knows_that() {
        let challenge = Digest::from([5; 32]);
        let signature = crate::fake::der(3, &challenge);
        let inside = [&[0x8A, 98], &identity_certificate().as_bytes()[..], &signature].concat();
        let answer = format!("a081{:02x}{}9000", inside.len(), hex::encode(&inside));
        let mut cash_3_2 = cash("0302", &[(&format!("8014000020{challenge}"), &answer)]);
        let proof = cash_3_2.identify(&trust(), [5; 32]).unwrap();
        assert_eq!(proof.certificate, identity_certificate());
        for version in ["0300", "0400"] {
            assert!(matches!(cash(version, &[]).identify(&trust(), [5; 32]), Err(CardError::Unsupported { .. })));
        }
    }

    #[test]
    fn any_other_form_is_refused() {
        let whole = hex::decode(info("0302", b"gift")).unwrap();
        let whole = &whole[..whole.len() - 2];
        assert!(parse(whole).is_ok());
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(parse(&[whole, &[0]].concat()).is_err());
    }
}
