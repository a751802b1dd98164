//! SIGN `80 C0 P1 P2 Lc digest(32) [tweak(32)] [path]`.
//!
//! ```text
//! 4.0        P1 = 01, the path from m; P2 = 00 ECDSA, 03 Schnorr with a tweak (zeros: none)
//! 2.2 - 3.2  P1 = 00 current key, 01 path, 02 path, and make it current; | 40 from the current key's parent, | 80 from the
//!            current key; 03 the key for signing without a PIN. P2 is ignored: asked for Schnorr, the card signs ECDSA
//! ECDSA      A0 { 80 41 key, 30 { 02 r, 02 s } }      r and s may be short, or padded
//! Schnorr    A0 { 80 41 key before the tweak, 88 40 R.x || s }
//! ```
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
            KeyPlace::Absolute(path) if path.is_master() && !self.supports(Feature::ExtendedPublic) => {
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
