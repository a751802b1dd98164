//! EXPORT KEY `80 C2 P1 P2 Lc path`, and what the host adds to the card's own rule.
//!
//! ```text
//! P1 = 01                   the path from m
//! P2 = 00 private           A1 22 { 81 20 k }     up to 3.0: A1 65 { 80 41 key, 81 20 k }
//! P2 = 01 public            A1 43 { 80 41 key }
//! P2 = 02 extended public   A1 65 { 80 41 key, 82 20 chain code }       3.1 and later
//! ```
//! Up to 3.0 the public key of `m` comes out only while it is the current key (P1 = 00), or becomes that (P1 = 02); asked
//! with P1 = 01 the card gives the key that it derived last. Relative paths are never sent: which key they name is a
//! matter of who used the card before.
//!
//! Private keys are asked for by [`ExportPath`] only. The card gives extended public keys of `m/43'/60'/1581'` and one
//! level below, which together with a child's private key give the whole subtree away: here they are refused, and so is
//! that of `m`. A key must be the one known for its path, if one is; a private key is known by its public half.

use audit::{Operation, Recorded};
use proto::{ChatKey, ExportPath, KeyPath, Secret};

use crate::apdu::{Answer, Command};
use crate::card::{Card, Unlocked};
use crate::derivation;
use crate::error::CardError;
use crate::tlv::Reader;
use crate::transport::CardTransport;
use crate::version::Feature;

const NAME: &str = "EXPORT KEY";

/// A public key and its chain code: whoever has both knows every public key below that is not hardened.
pub struct ExtendedPublic {
    /// The key.
    pub key: ChatKey,
    /// The chain code.
    pub chain_code: Secret<32>,
}

impl<T: CardTransport> Card<Unlocked, T> {
    /// Returns the private key at `path`.
    ///
    /// # Errors
    /// [`CardError::NotRecorded`] before anything is sent; [`CardError::Status`] (6985: no key on the card);
    /// [`CardError::Answer`] also for a number that is no private key; [`CardError::OtherKey`]: the key left the card all
    /// the same; [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn export_private(&mut self, path: &ExportPath, recorded: &mut Recorded) -> Result<Secret<32>, CardError> {
        recorded.spend(&self.request(Operation::ExportPrivate(path.clone())))?;
        let (secret, key) = parse_private(self.call(&private(path.as_path())?)?)?;
        self.state.known.learn(path.as_path(), &key)?;
        Ok(secret)
    }

    /// Returns the public key at `path`. Up to 3.0, asking for that of `m` makes it the card's current key.
    ///
    /// # Errors
    /// As [`Card::export_private`]; [`CardError::OtherAccount`] for a master key that is not of the expected key UID.
    pub fn export_public(&mut self, path: &KeyPath, recorded: &mut Recorded) -> Result<ChatKey, CardError> {
        recorded.spend(&self.request(Operation::ExportPublic(path.clone())))?;
        let key = self.ask_public(path)?;
        self.state.known.learn(path, &key)?;
        Ok(key)
    }

    /// Returns the extended public key at `path`.
    ///
    /// # Errors
    /// [`CardError::Misuse`] for `m`, `m/43'/60'/1581'` and everything below, [`CardError::Unsupported`] up to 3.0: before
    /// anything is sent. [`CardError::OtherKey`] also when a key below it is known and does not follow from it; else as
    /// [`Card::export_private`].
    pub fn export_extended_public(
        &mut self,
        path: &KeyPath,
        recorded: &mut Recorded,
    ) -> Result<ExtendedPublic, CardError> {
        if path.is_master() || path.is_in_eip_1581() {
            return Err(CardError::Misuse {
                what: "extended public keys of m and at or below m/43'/60'/1581' never leave a card",
            });
        }
        self.require(Feature::ExtendedPublic, "EXPORT KEY with the chain code")?;
        recorded.spend(&self.request(Operation::ExportExtendedPublic(path.clone())))?;
        let extended = parse_extended_public(self.call(&command(0x01, 0x02, path)?)?)?;
        if !self.info.lee {
            self.state.known.check_extended(path, &extended)?;
        }
        self.state.known.learn(path, &extended.key)?;
        Ok(extended)
    }

    /// Asks for a public key under the caller's record.
    pub(crate) fn ask_public(&mut self, path: &KeyPath) -> Result<ChatKey, CardError> {
        let source = if !path.is_master() || self.supports(Feature::LazyDerivation) {
            0x01
        } else if self.current_path()?.is_master() {
            0x00
        } else {
            0x02
        };
        parse_public(self.call(&command(source, 0x01, path)?)?)
    }
}

pub(crate) fn private(path: &KeyPath) -> Result<Command, CardError> {
    command(0x01, 0x00, path)
}

fn command(source: u8, form: u8, path: &KeyPath) -> Result<Command, CardError> {
    Command::with_body([0x80, 0xC2, source, form], &[&path.to_bytes()])
}

fn parse_private(answer: Answer) -> Result<(Secret<32>, ChatKey), CardError> {
    let data = answer.success(NAME)?;
    let mut inside = Reader::new(&data, "a malformed private key").only(0xA1)?;
    // Up to 3.0 the public key may come along.
    let shown = if inside.tag() == Some(0x80) { Some(point(&mut inside)?) } else { None };
    let secret = inside.array::<32>(0x81)?;
    inside.end()?;
    let secret = Secret::fill(|room| room.copy_from_slice(secret));
    let key = derivation::public_key(&secret)
        .ok_or(CardError::Answer { what: "a private key of zero, or not below the order of the curve" })?;
    if shown.is_some_and(|shown| shown != key) {
        return Err(CardError::Answer { what: "a private key with the public key of another" });
    }
    Ok((secret, key))
}

pub(crate) fn parse_public(answer: Answer) -> Result<ChatKey, CardError> {
    let data = answer.success(NAME)?;
    let mut inside = Reader::new(&data, "a malformed public key").only(0xA1)?;
    let key = point(&mut inside)?;
    inside.end()?;
    Ok(key)
}

fn parse_extended_public(answer: Answer) -> Result<ExtendedPublic, CardError> {
    let data = answer.success(NAME)?;
    let mut inside = Reader::new(&data, "a malformed extended public key").only(0xA1)?;
    let key = point(&mut inside)?;
    let chain_code = inside.array::<32>(0x82)?;
    inside.end()?;
    Ok(ExtendedPublic { key, chain_code: Secret::fill(|room| room.copy_from_slice(chain_code)) })
}

fn point(inside: &mut Reader<'_>) -> Result<ChatKey, CardError> {
    let bytes = inside.array::<65>(0x80)?;
    ChatKey::try_from(bytes.as_slice()).map_err(|_| inside.malformed())
}

#[cfg(test)]
mod tests {
    use proto::Fingerprint;

    use super::*;
    use crate::fake::{FakeCard, aged, export_answer, public as public_key, recorded, unlocked};
    use crate::known_keys::KnownKeys;
    use crate::version::Version;

    const K: &str = "20e61d44eb73cb7d5ff4526bac8c0b96451d8e018b2d6c79022e7ce3b583a754";
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

    fn answer(text: &str) -> Answer {
        Answer::parse(hex::decode(text).unwrap()).unwrap()
    }

    fn private_answer(k: &str) -> String {
        format!("a1228120{k}9000")
    }

    /// KC-17: the chat key is at m/43'/60'/1581'/0'/0 and comes with its private part.
    #[test]
    fn a_recorded_private_export_gives_the_key() {
        let mut card = unlocked(FakeCard::initialised().answering(&private_answer(K)));
        let path = ExportPath::chat();
        let mut receipt = recorded(card.request(Operation::ExportPrivate(path.clone())));
        let key = card.export_private(&path, &mut receipt).unwrap();
        assert_eq!(hex::encode(key.expose()), K);
        let fake = card.into_transport();
        let sent = hex::encode(fake.inner_commands().last().unwrap());
        assert_eq!(sent, "80c20100148000002b8000003c8000062d8000000000000000");
    }

    #[test]
    fn a_receipt_of_another_request_or_a_spent_one_sends_nothing() {
        let mut card = unlocked(FakeCard::initialised().answering(&private_answer(K)));
        let (chat, database) = (ExportPath::chat(), ExportPath::database());
        let mut other = recorded(card.request(Operation::ExportPrivate(database.clone())));
        assert!(matches!(card.export_private(&chat, &mut other), Err(CardError::NotRecorded(_))));
        let mut public_only = recorded(card.request(Operation::ExportPublic(chat.as_path().clone())));
        assert!(matches!(card.export_private(&chat, &mut public_only), Err(CardError::NotRecorded(_))));
        assert!(card.export_private(&database, &mut other).is_ok());
        assert!(matches!(card.export_private(&database, &mut other), Err(CardError::NotRecorded(_))), "spent");
        assert_eq!(card.into_transport().inner_commands().len(), 2, "VERIFY PIN and one export");
    }

    #[test]
    fn extended_keys_of_the_master_and_of_eip_1581_are_never_asked_for() {
        let mut card = unlocked(FakeCard::initialised());
        for path in ["m", "m/43'/60'/1581'", "m/43'/60'/1581'/0'", "m/43'/60'/1581'/0'/0"] {
            let path: KeyPath = path.parse().unwrap();
            let mut receipt = recorded(card.request(Operation::ExportExtendedPublic(path.clone())));
            assert!(matches!(card.export_extended_public(&path, &mut receipt), Err(CardError::Misuse { .. })));
            assert!(!receipt.is_spent());
        }
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }

    /// KC-09: the public key of a derived path.
    #[test]
    fn an_older_applet_may_show_the_public_key_too_and_it_must_fit() {
        let with = |key: &ChatKey| answer(&format!("a1658041{}8120{K}9000", hex::encode(key.to_bytes())));
        let (_, ours) = parse_private(answer(&private_answer(K))).unwrap();
        assert_eq!(parse_private(with(&ours)).unwrap().1, ours);
        assert!(parse_private(with(&public_key(9))).is_err());
    }

    #[test]
    fn public_and_extended_public_keys_are_read() {
        let key = hex::encode(public_key(5).to_bytes());
        let chain = "0c".repeat(32);
        let fake =
            FakeCard::initialised().answering(&export_answer(&key)).answering(&format!("a1658041{key}8220{chain}9000"));
        let mut card = unlocked(fake);
        let path: KeyPath = "m/44'/60'/0'/0".parse().unwrap();
        let mut receipt = recorded(card.request(Operation::ExportPublic(path.clone())));
        assert_eq!(card.export_public(&path, &mut receipt).unwrap(), public_key(5));
        let mut receipt = recorded(card.request(Operation::ExportExtendedPublic(path.clone())));
        let extended = card.export_extended_public(&path, &mut receipt).unwrap();
        assert_eq!((extended.key, *extended.chain_code.expose()), (public_key(5), [0x0c; 32]));
        let fake = card.into_transport();
        let forms: Vec<_> = fake.inner_commands()[1..].iter().map(|command| command[3]).collect();
        assert_eq!(forms, [1, 2]);
    }

    #[test]
    fn a_number_that_is_no_private_key_is_refused() {
        assert!(parse_private(answer(&private_answer(&"00".repeat(32)))).is_err());
        assert!(parse_private(answer(&private_answer(ORDER))).is_err());
        assert!(parse_private(answer(&private_answer(&ORDER.replace("4141", "4142")))).is_err());
        assert!(parse_private(answer(&private_answer(&ORDER.replace("4141", "4140")))).is_ok(), "n - 1");
    }

    #[test]
    fn every_other_form_is_refused() {
        let whole = hex::decode(private_answer(K)).unwrap();
        let body = &whole[..whole.len() - 2];
        for cut in 0..body.len() {
            let bytes = [&body[..cut], &[0x90, 0]].concat();
            assert!(parse_private(Answer::parse(bytes).unwrap()).is_err(), "{cut}");
        }
        assert!(parse_private(answer(&format!("a1228120{K}009000"))).is_err(), "a byte too many");
        let key = hex::encode(public_key(5).to_bytes());
        assert!(parse_private(answer(&format!("a1658041{key}8120{K}9000"))).is_err(), "the form of 3.0");
        assert!(parse_public(answer(&private_answer(K))).is_err());
        assert!(parse_public(answer(&format!("a1658041{key}8220{K}9000"))).is_err(), "more than was asked for");
        assert!(parse_public(answer(&export_answer(&key.replacen("04", "05", 1)))).is_err());
        assert!(parse_extended_public(answer(&export_answer(&key))).is_err());
        assert!(matches!(parse_private(answer("6985")), Err(CardError::Status { .. })));
    }

    fn public_of(version: Version, path: &str, answers: &[&str]) -> (Result<ChatKey, CardError>, Vec<String>) {
        let fake = answers.iter().fold(FakeCard::initialised(), |fake, answer| fake.answering(answer));
        let mut card = aged(unlocked(fake), version);
        let path: KeyPath = path.parse().unwrap();
        let mut receipt = recorded(card.request(Operation::ExportPublic(path.clone())));
        let result = card.export_public(&path, &mut receipt);
        let sent = card.into_transport().inner_commands()[1..].iter().map(hex::encode).collect();
        (result, sent)
    }

    #[test]
    fn up_to_3_0_the_master_key_is_asked_for_as_the_current_key() {
        let answer = export_answer(&hex::encode(public_key(5).to_bytes()));
        for version in [Version::V2_2, Version::V3_0] {
            let (key, sent) = public_of(version, "m", &["9000", &answer]);
            assert_eq!((key.unwrap(), sent), (public_key(5), vec!["80f2010000".into(), "80c2000100".to_owned()]));
            let (_, sent) = public_of(version, "m", &["000000019000", &answer]);
            assert_eq!(sent[1], "80c2020100", "it becomes that");
            let (_, sent) = public_of(version, "m/1", &[&answer]);
            assert_eq!(sent, ["80c201010400000001"]);
        }
        for version in [Version::V3_1, Version::V3_2, Version::V4] {
            assert_eq!(public_of(version, "m", &[&answer]).1, ["80c2010100"]);
        }
    }

    #[test]
    fn a_chain_code_is_not_asked_of_cards_that_do_not_give_it() {
        let path: KeyPath = "m/44'".parse().unwrap();
        let mut card = aged(unlocked(FakeCard::initialised()), Version::V3_0);
        let mut receipt = recorded(card.request(Operation::ExportExtendedPublic(path.clone())));
        assert!(matches!(card.export_extended_public(&path, &mut receipt), Err(CardError::Unsupported { .. })));
        assert!(!receipt.is_spent());
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }

    #[test]
    fn a_card_that_shows_another_key_than_before_is_found_out() {
        let key = |secret| export_answer(&hex::encode(public_key(secret).to_bytes()));
        let mut card = unlocked(FakeCard::initialised().answering(&key(5)).answering(&key(6)));
        let path: KeyPath = "m/1".parse().unwrap();
        let ask = |card: &mut Card<Unlocked, FakeCard>| {
            let mut receipt = recorded(card.request(Operation::ExportPublic(path.clone())));
            card.export_public(&path, &mut receipt)
        };
        assert!(ask(&mut card).is_ok());
        assert!(matches!(ask(&mut card), Err(CardError::OtherKey { .. })));
    }

    #[test]
    fn a_private_key_is_compared_by_its_public_half() {
        let mut card = unlocked(FakeCard::initialised().answering(&private_answer(K)));
        let mut known = KnownKeys::default();
        known.insert(ExportPath::chat().as_path().clone(), Fingerprint::of(&public_key(5)));
        card.expect_keys(known);
        let mut receipt = recorded(card.request(Operation::ExportPrivate(ExportPath::chat())));
        assert!(matches!(card.export_private(&ExportPath::chat(), &mut receipt), Err(CardError::OtherKey { .. })));
    }
}
