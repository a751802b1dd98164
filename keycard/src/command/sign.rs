//! SIGN `80 C0 P1 P2 Lc digest(32) [tweak(32)] [path]`.
//!
//! ```text
//! 4.0        P1 = 01, the path from m; P2 = 00 ECDSA, 03 Schnorr with a tweak (zeros: none)
//! 2.2 - 3.2  P1 = 00 current key, 01 path, 02 path, and make it current; | 40 from the current key's parent, | 80 from the
//!            current key; 03 the key for signing without a PIN. P2 is ignored: asked for Schnorr, the card signs ECDSA
//! ECDSA      A0 { 80 41 key, 30 { 02 r, 02 s } }      r and s may be short, or padded
//! Schnorr    A0 { 80 41 key before the tweak, 88 40 R.x || s }
//! ```
//! Up to 3.0 the card looks for the hardened bit of the path's first step in the hash, which comes before it: of half of all
//! hashes it signs with a key of nobody's when that step is not hardened. That is refused here.
//!
//! What comes back is verified: the key must be the one known for the path, and the signature must be its. ECDSA
//! signatures leave here with low S and the number that recovers the key.

use audit::{Operation, Recorded, Scheme, Signing};
use proto::{ChatKey, Digest, Fingerprint, KeyPath, KeyPlace, RecoverableSignature};

use crate::apdu::{Answer, Command};
use crate::card::{Card, Selected, Unlocked};
use crate::error::CardError;
use crate::schnorr::{self, SchnorrSignature};
use crate::signature;
use crate::tlv::Reader;
use crate::transport::{CardTransport, exchange};
use crate::version::Feature;

const NAME: &str = "SIGN";

/// The bit of a path's step, and by mistake of the hash.
const HARDENED: u8 = 0x80;

/// A signature and the key that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed<S> {
    /// The key; for a tweaked signature the one before the tweak.
    pub key: ChatKey,
    /// Its signature.
    pub signature: S,
}

impl<T: CardTransport> Card<Unlocked, T> {
    /// Returns the ECDSA signature of `digest` by the key at `place`.
    ///
    /// # Errors
    /// [`CardError::Unsupported`] for a place that the card's version does not know, [`CardError::Misuse`],
    /// [`CardError::NotRecorded`]: before anything is sent. [`CardError::FalseSignature`], [`CardError::OtherKey`],
    /// [`CardError::OtherAccount`] when the answer does not hold; [`CardError::Status`], [`CardError::Answer`],
    /// [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn sign(
        &mut self,
        place: &KeyPlace,
        digest: &Digest,
        recorded: &mut Recorded,
    ) -> Result<Signed<RecoverableSignature>, CardError> {
        self.sign_at(place, false, digest, recorded)
    }

    /// As [`Card::sign`], and makes that key the card's current one. Up to 3.2.
    ///
    /// # Errors
    /// As [`Card::sign`].
    pub fn sign_and_make_current(
        &mut self,
        place: &KeyPlace,
        digest: &Digest,
        recorded: &mut Recorded,
    ) -> Result<Signed<RecoverableSignature>, CardError> {
        self.require(Feature::CurrentPath, "SIGN that moves the current key")?;
        self.sign_at(place, true, digest, recorded)
    }

    fn sign_at(
        &mut self,
        place: &KeyPlace,
        makes_current: bool,
        digest: &Digest,
        recorded: &mut Recorded,
    ) -> Result<Signed<RecoverableSignature>, CardError> {
        if place.absolute().is_none() {
            self.require(Feature::CurrentPath, "SIGN with the current or the PIN-less key")?;
        }
        let (p1, path) = self.source(place, makes_current)?;
        if let ([hash, ..], Some(step)) = (digest.as_bytes(), path.first())
            && hash & HARDENED > step & HARDENED
        {
            // The key that an older applet would sign with is that of no path.
            self.require(Feature::LazyDerivation, "SIGN of this hash by a path whose first step is not hardened")?;
        }
        let signing = Signing { key: place.clone(), makes_current, scheme: Scheme::Ecdsa, digest: *digest };
        recorded.spend(&self.request(Operation::Sign(signing)))?;
        let command = Command::with_body([0x80, 0xC0, p1, 0x00], &[digest.as_bytes(), &path])?;
        let signed = parse_ecdsa(self.call(&command)?, digest)?;
        if let Some(path) = place.absolute() {
            self.state.known.learn(path, &signed.key)?;
        }
        Ok(signed)
    }

    /// Returns P1 and the path for a key at `place`.
    fn source(&mut self, place: &KeyPlace, makes_current: bool) -> Result<(u8, Vec<u8>), CardError> {
        let derive = if makes_current { 0x02 } else { 0x01 };
        Ok(match place {
            // Applets before 3.1 take no empty path here.
            KeyPlace::Absolute(path) if path.is_master() && !self.supports(Feature::LazyDerivation) => {
                if !self.current_path()?.is_master() {
                    return Err(CardError::Misuse {
                        what: "applets before 3.1 sign with m only while it is their current key; derive m first",
                    });
                }
                (0x00, Vec::new())
            }
            KeyPlace::Absolute(path) => (derive, path.to_bytes()),
            KeyPlace::BelowParent(path) => (derive | 0x40, path.to_bytes()),
            KeyPlace::BelowCurrent(path) if path.is_master() => (0x00, Vec::new()),
            KeyPlace::BelowCurrent(path) => (derive | 0x80, path.to_bytes()),
            KeyPlace::Pinless if makes_current => {
                return Err(CardError::Misuse { what: "the PIN-less key does not become the current one" });
            }
            KeyPlace::Pinless => (0x03, Vec::new()),
        })
    }

    /// Returns the BIP-340 signature of `digest` by the key at `path`, with `tweak` added to it. Applet 4.0 only: older
    /// ones would sign ECDSA without a word, so they are not asked.
    ///
    /// # Errors
    /// As [`Card::sign`]; [`CardError::Misuse`] also for a tweak that is zero or not below the order of the curve.
    pub fn sign_schnorr(
        &mut self,
        path: &KeyPath,
        digest: &Digest,
        tweak: Option<&[u8; 32]>,
        recorded: &mut Recorded,
    ) -> Result<Signed<SchnorrSignature>, CardError> {
        self.require(Feature::Schnorr, "SIGN with Schnorr")?;
        if tweak.is_some_and(|tweak| k256::SecretKey::from_slice(tweak).is_err()) {
            return Err(CardError::Misuse { what: "a tweak is a number from 1 to the order of the curve" });
        }
        let scheme = if tweak.is_some() { Scheme::TweakedSchnorr } else { Scheme::Schnorr };
        let signing = Signing { key: path.clone().into(), makes_current: false, scheme, digest: *digest };
        recorded.spend(&self.request(Operation::Sign(signing)))?;
        let (tweak_or_none, path_bytes) = (tweak.unwrap_or(&[0; 32]), path.to_bytes());
        let body: [&[u8]; 3] = [digest.as_bytes(), tweak_or_none, &path_bytes];
        let command = Command::with_body([0x80, 0xC0, 0x01, 0x03], &body)?;
        let signed = parse_schnorr(self.call(&command)?, digest, tweak)?;
        self.state.known.learn(path, &signed.key)?;
        Ok(signed)
    }
}

impl<T: CardTransport> Card<Selected, T> {
    /// Returns the ECDSA signature of `digest` by the key that signs without a PIN, over no channel. Up to 3.2.
    ///
    /// # Errors
    /// As [`Card::sign`] on an unlocked card; 6A88: there is no such key.
    pub fn sign_pinless(
        &mut self,
        digest: &Digest,
        recorded: &mut Recorded,
    ) -> Result<Signed<RecoverableSignature>, CardError> {
        self.require(Feature::PinlessPath, "SIGN without a PIN")?;
        let signing = Signing { key: KeyPlace::Pinless, makes_current: false, scheme: Scheme::Ecdsa, digest: *digest };
        recorded.spend(&self.request(Operation::Sign(signing)))?;
        let command = Command::with_body([0x80, 0xC0, 0x03, 0x00], &[digest.as_bytes()])?;
        parse_ecdsa(exchange(&mut self.transport, command)?, digest)
    }
}

/// Reads an ECDSA signature of `digest` and checks it.
pub(crate) fn parse_ecdsa(answer: Answer, digest: &Digest) -> Result<Signed<RecoverableSignature>, CardError> {
    let data = answer.success(NAME)?;
    let (key, inside) = template(&data)?;
    let signature = signature::recoverable(&signature::parse(inside.rest())?, digest, &key)?;
    Ok(Signed { key, signature })
}

fn parse_schnorr(
    answer: Answer,
    digest: &Digest,
    tweak: Option<&[u8; 32]>,
) -> Result<Signed<SchnorrSignature>, CardError> {
    let data = answer.success(NAME)?;
    let (key, mut inside) = template(&data)?;
    let signature = *inside.array::<64>(0x88)?;
    inside.end()?;
    let signs = schnorr::tweaked(&key, tweak).is_some_and(|signer| schnorr::verifies(&signature, digest, &signer));
    if signs {
        Ok(Signed { key, signature })
    } else {
        Err(CardError::FalseSignature { expected: Fingerprint::of(&key) })
    }
}

/// Reads the key, and returns what follows it.
fn template(data: &[u8]) -> Result<(ChatKey, Reader<'_>), CardError> {
    let mut inside = Reader::new(data, "a malformed answer to SIGN").only(0xA0)?;
    let bytes = inside.array::<65>(0x80)?;
    let key = ChatKey::try_from(bytes.as_slice()).map_err(|_| inside.malformed())?;
    Ok((key, inside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{
        FakeCard, Script, aged, ecdsa_answer, public, recorded, schnorr, select_data, selected, signed_answer, unlocked,
    };
    use crate::known_keys::KnownKeys;
    use crate::version::Version;

    fn digest() -> Digest {
        Digest::from([9; 32])
    }

    fn place(text: &str) -> KeyPlace {
        text.parse().unwrap()
    }

    fn operation(key: &KeyPlace, makes_current: bool, scheme: Scheme) -> Operation {
        Operation::Sign(Signing { key: key.clone(), makes_current, scheme, digest: digest() })
    }

    type Answered<S> = (Result<Signed<S>, CardError>, Vec<String>);

    /// Asks for a signature, and returns what was sent after VERIFY PIN without the digest.
    fn asked(version: Version, key: &str, current: bool, answers: &[&str]) -> Answered<RecoverableSignature> {
        let fake = answers.iter().fold(FakeCard::initialised(), |fake, answer| fake.answering(answer));
        let mut card = aged(unlocked(fake), version);
        let key = place(key);
        let mut receipt = recorded(card.request(operation(&key, current, Scheme::Ecdsa)));
        let result = if current {
            card.sign_and_make_current(&key, &digest(), &mut receipt)
        } else {
            card.sign(&key, &digest(), &mut receipt)
        };
        let sent = card.into_transport().inner_commands()[1..].iter().map(hex::encode).collect();
        (result, sent)
    }

    fn signing(header: &str, path: &str) -> String {
        format!("80c0{header}{:02x}{}{path}", 32 + path.len() / 2, "09".repeat(32))
    }

    /// KC-07: a hash is signed by path, giving 65 bytes from which the key is recovered.
    #[test]
    fn a_signature_names_its_key() {
        let (signed, sent) = asked(Version::V4, "m/44'/0", false, &[&ecdsa_answer(5, &digest())]);
        let signed = signed.unwrap();
        assert_eq!(signed.key, public(5));
        assert_eq!(signed.signature.recover(&digest()), Some(public(5)));
        assert_eq!(sent, [signing("0100", "8000002c00000000")]);
    }

    #[test]
    fn each_place_has_its_p1() {
        for (key, current, header, path) in [
            ("m/1", false, "0100", "00000001"),
            ("m", false, "0100", ""),
            ("m/1", true, "0200", "00000001"),
            ("current", false, "0000", ""),
            ("current", true, "0000", ""),
            ("current/1", false, "8100", "00000001"),
            ("current/1", true, "8200", "00000001"),
            ("parent/2'", false, "4100", "80000002"),
            ("parent/2'", true, "4200", "80000002"),
            ("pinless", false, "0300", ""),
        ] {
            let (signed, sent) = asked(Version::V3_2, key, current, &[&ecdsa_answer(5, &digest())]);
            assert!(signed.is_ok(), "{key}");
            assert_eq!(sent, [signing(header, path)], "{key}");
        }
    }

    #[test]
    fn applets_before_3_1_sign_with_m_only_as_the_current_key() {
        for version in [Version::V2_2, Version::V3_0] {
            let (signed, sent) = asked(version, "m", false, &["9000", &ecdsa_answer(5, &digest())]);
            assert!(signed.is_ok());
            assert_eq!(sent, ["80f2010000".to_owned(), signing("0000", "")]);
            let (refused, sent) = asked(version, "m", false, &["000000019000"]);
            assert!(matches!(refused, Err(CardError::Misuse { .. })));
            assert_eq!(sent.len(), 1);
        }
    }

    /// Found in the applet's source, 2.2 to 3.0.2.
    #[test]
    fn applets_before_3_1_are_not_asked_for_signatures_by_a_key_of_nobodys() {
        let high = Digest::from([0x80; 32]);
        let answer = ecdsa_answer(5, &high);
        for (version, key, asked) in [
            (Version::V2_2, "current/1", false),
            (Version::V3_0, "m/1/2'", false),
            (Version::V3_0, "m/1'/2", true),
            (Version::V3_0, "current", true),
            (Version::V3_1, "current/1", true),
            (Version::V4, "m/1", true),
        ] {
            let mut card = aged(unlocked(FakeCard::initialised().answering(&answer)), version);
            let key = place(key);
            let signing = Signing { key: key.clone(), makes_current: false, scheme: Scheme::Ecdsa, digest: high };
            let mut receipt = recorded(card.request(Operation::Sign(signing)));
            let result = card.sign(&key, &high, &mut receipt);
            assert_eq!(receipt.is_spent(), asked, "{version} {key}");
            assert!(result.is_ok() || matches!(result, Err(CardError::Unsupported { .. })));
        }
        let (low, _) = asked(Version::V3_0, "current/1", false, &[&ecdsa_answer(5, &digest())]);
        assert!(low.is_ok());
    }

    #[test]
    fn what_4_0_does_not_know_is_not_sent() {
        for (key, current) in [("current", false), ("parent/1", false), ("pinless", false), ("m/1", true)] {
            let (result, sent) = asked(Version::V4, key, current, &[]);
            assert!(matches!(result, Err(CardError::Unsupported { .. })), "{key}");
            assert!(sent.is_empty());
        }
        let (result, sent) = asked(Version::V3_2, "pinless", true, &[]);
        assert!(matches!(result, Err(CardError::Misuse { .. })) && sent.is_empty());
    }

    #[test]
    fn a_record_of_another_digest_or_place_sends_nothing() {
        let mut card = unlocked(FakeCard::initialised());
        let mut receipt = recorded(card.request(operation(&place("m/1"), false, Scheme::Ecdsa)));
        for (key, digest) in [("m/1", Digest::from([8; 32])), ("m/2", digest())] {
            assert!(matches!(card.sign(&place(key), &digest, &mut receipt), Err(CardError::NotRecorded(_))));
        }
        let path = "m/1".parse().unwrap();
        assert!(matches!(card.sign_schnorr(&path, &digest(), None, &mut receipt), Err(CardError::NotRecorded(_))));
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }

    #[test]
    fn the_key_that_signs_must_be_the_one_known_for_the_path() {
        let answer = ecdsa_answer(5, &digest());
        let mut card = unlocked(FakeCard::initialised().answering(&answer).answering(&answer));
        let mut known = KnownKeys::default();
        known.insert("m/1".parse().unwrap(), Fingerprint::of(&public(6)));
        card.expect_keys(known);
        let mut receipt = recorded(card.request(operation(&place("m/1"), false, Scheme::Ecdsa)));
        let error = card.sign(&place("m/1"), &digest(), &mut receipt).unwrap_err();
        let CardError::OtherKey { expected, found, .. } = error else { panic!("{error}") };
        assert_eq!((expected, found), (Fingerprint::of(&public(6)), Fingerprint::of(&public(5))));
        let mut receipt = recorded(card.request(operation(&place("m/2"), false, Scheme::Ecdsa)));
        assert!(card.sign(&place("m/2"), &digest(), &mut receipt).is_ok(), "nothing is known of it");
    }

    fn schnorr_asked(version: Version, tweak: Option<[u8; 32]>, answer: &str) -> Answered<SchnorrSignature> {
        let mut card = aged(unlocked(FakeCard::initialised().answering(answer)), version);
        let path: KeyPath = "m/1".parse().unwrap();
        let scheme = if tweak.is_some() { Scheme::TweakedSchnorr } else { Scheme::Schnorr };
        let mut receipt = recorded(card.request(operation(&path.clone().into(), false, scheme)));
        let result = card.sign_schnorr(&path, &digest(), tweak.as_ref(), &mut receipt);
        let sent = card.into_transport().inner_commands()[1..].iter().map(hex::encode).collect();
        (result, sent)
    }

    fn schnorr_answer(secret: u8, tweak: Option<[u8; 32]>) -> String {
        signed_answer(&public(secret), &[&[0x88, 64], schnorr(secret, tweak, &digest()).as_slice()].concat())
    }

    #[test]
    fn a_schnorr_signature_is_that_of_the_tweaked_key() {
        // The public keys of 5 and 6 have Y of either parity.
        for secret in [1, 2, 3, 4, 5, 6] {
            for tweak in [None, Some([3; 32])] {
                let (signed, sent) = schnorr_asked(Version::V4, tweak, &schnorr_answer(secret, tweak));
                assert_eq!(signed.unwrap().key, public(secret));
                let tweak = hex::encode(tweak.unwrap_or_default());
                assert_eq!(sent, [format!("80c0010344{}{tweak}00000001", "09".repeat(32))]);
            }
        }
        let (untweaked, _) = schnorr_asked(Version::V4, Some([3; 32]), &schnorr_answer(5, None));
        assert!(matches!(untweaked, Err(CardError::FalseSignature { .. })));
    }

    /// lambda-prize 18: 3.2 answers 9000 and an ECDSA signature to that.
    #[test]
    fn schnorr_is_asked_of_4_0_only() {
        for version in [Version::V2_2, Version::V3_0, Version::V3_1, Version::V3_2] {
            let (result, sent) = schnorr_asked(version, None, "9000");
            assert!(matches!(result, Err(CardError::Unsupported { version: found, .. }) if found == version));
            assert!(sent.is_empty());
        }
    }

    #[test]
    fn a_tweak_that_is_no_tweak_is_not_sent() {
        for tweak in [[0; 32], [0xff; 32]] {
            let (result, sent) = schnorr_asked(Version::V4, Some(tweak), "9000");
            assert!(matches!(result, Err(CardError::Misuse { .. })) && sent.is_empty());
        }
    }

    #[test]
    fn the_pin_less_key_signs_with_no_channel_up_to_3_2() {
        let command = format!("80c0030020{}", "09".repeat(32));
        let select = hex::encode(select_data(0x13, None)) + "9000";
        let answer = ecdsa_answer(5, &digest());
        let script = [("00a4040009a00000080400010101", select.as_str()), (command.as_str(), answer.as_str())];
        let mut card = selected(Script::new(script));
        let mut receipt = recorded(card.request(operation(&KeyPlace::Pinless, false, Scheme::Ecdsa)));
        assert!(matches!(card.sign_pinless(&digest(), &mut receipt), Err(CardError::Unsupported { .. })), "4.0");
        let mut card = aged(card, Version::V3_1);
        assert_eq!(card.sign_pinless(&digest(), &mut receipt).unwrap().key, public(5));
        card.into_transport().finish();
    }
}
