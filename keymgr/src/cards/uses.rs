//! What a card does with its key: signatures, shared secrets, entropy, LEE keys, and signing without a PIN.
//!
//! Each is allowed by a rule of the policy with its own form and the exact path, or it is refused and the refusal is in the
//! log; secrets go to the caller's one-time key.

use audit::{Agreement, Asked, Bip85, LogStore, Operation, Outcome, Recorded, Scheme};
use keycard::{CardError, CardTransport, StatusWord};
use proto::rpc::api::Sealed;
use proto::rpc::seal;
use proto::{ChatKey, Digest, Fingerprint, KeyPath, KeyPlace};
use zeroize::Zeroizing;

use crate::broker::Broker;
use crate::cards::access::{Access, is_meant};
use crate::cards::init::Done;
use crate::cards::seat::Target;
use crate::cards::vouch::Contact;
use crate::derive::Name;
use crate::error::{BrokerError, Mismatch};
use crate::guard::GuardedCard;
use crate::journal::Why;
use crate::policy::{Question, Reason, Use};

/// What is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// With which key.
    pub path: KeyPath,
    /// The hash.
    pub hash: Digest,
    /// Whether the signature is one of BIP-340.
    pub schnorr: bool,
    /// What is added to the key for that.
    pub tweak: Option<Digest>,
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// ECDSA: r, s and the number that recovers the key. Schnorr: R.x and s.
    pub signature: Vec<u8>,
    /// The key.
    pub key: ChatKey,
    /// The number of the intent.
    pub entry: u64,
}

/// What is to be derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deriving {
    path: KeyPath,
    name: Name,
    point: ChatKey,
    length: u8,
}

impl Signing {
    /// Returns what the log tells of it.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`] for a tweak of an ECDSA signature.
    pub(crate) fn recorded(&self) -> Result<audit::Signing, BrokerError> {
        let scheme = match (self.schnorr, self.tweak.is_some()) {
            (false, false) => Scheme::Ecdsa,
            (true, false) => Scheme::Schnorr,
            (true, true) => Scheme::TweakedSchnorr,
            (false, true) => return Err(BrokerError::bad_input("a tweak belongs to a Schnorr signature")),
        };
        Ok(audit::Signing { key: self.path.clone().into(), makes_current: false, scheme, digest: self.hash })
    }
}

impl Deriving {
    /// Returns what is derived of the key at `path` under a name, so many bytes.
    ///
    /// # Errors
    /// What is wrong with the name or the number.
    pub fn new(path: KeyPath, name: &str, length: u8) -> Result<Self, &'static str> {
        let name = Name::try_from(name)?;
        if !(1..=64).contains(&length) {
            return Err("a derived secret has 1 to 64 bytes");
        }
        let point = name.point()?;
        Ok(Self { path, name, point, length })
    }

    pub(crate) const fn path(&self) -> &KeyPath {
        &self.path
    }

    /// Returns what the log tells of it: an agreement with the point of the name.
    pub(crate) fn agreement(&self) -> Agreement {
        Agreement { path: self.path.clone(), peer: Fingerprint::of(&self.point) }
    }
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Signs a hash.
    ///
    /// # Errors
    /// [`BrokerError::Unlisted`] and [`BrokerError::Refused`], which are in the log; those of [`Broker::with_card`] and of
    /// the card.
    pub fn card_sign(&mut self, access: Access, signing: Signing, why: &Why) -> Result<Signed, BrokerError> {
        let recorded = signing.recorded()?;
        let Signing { path, hash, schnorr, tweak } = signing;
        let key = KeyPlace::from(path.clone());
        let about = self.meant(&access.target, access.pin.is_some())?;
        let operation = Operation::Sign(recorded);
        self.decide(about, Asked::Operation(operation.clone()), why)?;
        self.with_card(access, why, |card, journal| {
            is_meant(card, about)?;
            let request = card.request(operation);
            let key_uid = request.key_uid;
            let ask = |recorded: &mut Recorded| {
                if schnorr {
                    let tweak = tweak.as_ref().map(Digest::as_bytes);
                    let signed = card.sign_schnorr(&path, &hash, tweak, recorded)?;
                    return Ok((signed.signature.to_vec(), signed.key));
                }
                let signed = card.sign(&key, &hash, recorded)?;
                Ok((signed.signature.as_bytes().to_vec(), signed.key))
            };
            let done = |(signature, key): &(Vec<u8>, ChatKey)| Outcome::Done {
                fingerprint: Some(Fingerprint::of(key)),
                key_uid,
                nonce: signature.first_chunk().copied(),
            };
            let ((signature, key), entry) = journal.carry_out(request, why, ask, done)?;
            Ok(Signed { signature, key, entry })
        })
    }

    /// Agrees on a secret with a public key, and returns its X coordinate sealed.
    ///
    /// # Errors
    /// As [`Self::card_sign`].
    pub fn card_ecdh(
        &mut self,
        access: Access,
        path: KeyPath,
        peer: &ChatKey,
        caller: &ChatKey,
        why: &Why,
    ) -> Result<(Sealed, u64), BrokerError> {
        let agreement = Agreement { path: path.clone(), peer: Fingerprint::of(peer) };
        self.secret_use(access, Operation::Ecdh(agreement), caller, why, |card, recorded| {
            Ok(Zeroizing::new(card.ecdh(&path, peer, recorded)?.expose().to_vec()))
        })
    }

    /// Derives a secret from the agreement of a key with the point of a name, sealed ([`crate::derive`]).
    ///
    /// # Errors
    /// As [`Self::card_sign`].
    pub fn card_derive(
        &mut self,
        access: Access,
        deriving: Deriving,
        caller: &ChatKey,
        why: &Why,
    ) -> Result<(Sealed, u64), BrokerError> {
        let question = Question { operation: Use::Derive, path: deriving.path.clone() };
        let operation = Operation::Ecdh(deriving.agreement());
        let Deriving { path, name, point, length } = deriving;
        self.secret_use_as(Ok(question), access, operation, caller, why, |card, recorded| {
            let agreed = card.ecdh(&path, &point, recorded)?;
            name.expand(&agreed, length).map_err(|what| CardError::Misuse { what })
        })
    }

    /// Derives entropy, sealed.
    ///
    /// # Errors
    /// As [`Self::card_sign`].
    pub fn card_bip85(
        &mut self,
        access: Access,
        path: KeyPath,
        bytes: u8,
        caller: &ChatKey,
        why: &Why,
    ) -> Result<(Sealed, u64), BrokerError> {
        let operation = Operation::ExportBip85(Bip85 { path: path.clone(), bytes });
        self.secret_use(access, operation, caller, why, |card, recorded| card.export_bip85(&path, bytes, recorded))
    }

    /// Exports nullifier and viewing keys, 32 and 64 bytes, sealed.
    ///
    /// # Errors
    /// As [`Self::card_sign`].
    pub fn card_lee(
        &mut self,
        access: Access,
        path: KeyPath,
        caller: &ChatKey,
        why: &Why,
    ) -> Result<(Sealed, u64), BrokerError> {
        let exported = self.secret_use(access, Operation::ExportLee(path.clone()), caller, why, |card, recorded| {
            let keys = card.export_lee(&path, recorded)?;
            let mut both = Zeroizing::new(Vec::with_capacity(96));
            both.extend_from_slice(keys.nullifier.expose());
            both.extend_from_slice(keys.viewing.expose());
            Ok(both)
        });
        exported.map_err(|error| match error {
            BrokerError::Card(CardError::Status { status, .. }) if status == StatusWord::PRECONDITION => {
                Mismatch::NoLeeKey.into()
            }
            other => other,
        })
    }

    /// Lets the key at a path sign without a PIN, or none.
    ///
    /// # Errors
    /// As [`Self::card_sign`].
    pub fn card_pinless(&mut self, access: Access, path: Option<KeyPath>, why: &Why) -> Result<Done, BrokerError> {
        let about = self.meant(&access.target, access.pin.is_some())?;
        let operation = match &path {
            Some(path) => {
                let operation = Operation::SetPinlessPath(path.clone());
                self.decide(about, Asked::Operation(operation.clone()), why)?;
                operation
            }
            None => Operation::ClearPinlessPath,
        };
        self.with_fresh_card(access, why, |broker, card| {
            is_meant(card, about)?;
            let request = card.request(operation);
            let key_uid = request.key_uid;
            let ask = |recorded: &mut Recorded| match &path {
                Some(path) => card.set_pinless_path(path, recorded),
                None => card.clear_pinless_path(recorded),
            };
            let done = |(): &()| Outcome::done(None, key_uid);
            let ((), entry) = broker.journal.carry_out(request, why, ask, done)?;
            Ok(Done { card: card.id(), key_uid, entry, warnings: Vec::new() })
        })
    }

    /// Draws a mnemonic on the card, which keeps nothing of it, and returns it sealed. It needs no PIN.
    ///
    /// # Errors
    /// Those of [`Broker::with_channel`] and of the card.
    pub fn card_mnemonic(
        &mut self,
        target: &Target,
        contact: &Contact,
        words: u8,
        caller: &ChatKey,
        why: &Why,
    ) -> Result<(Done, Sealed), BrokerError> {
        let (words, done) = self.with_channel(target, contact, |mut card, journal| {
            let request = card.request(Operation::GenerateMnemonic(words));
            let (id, key_uid) = (request.card, request.key_uid);
            let done = |_: &keycard::Mnemonic| Outcome::done(None, key_uid);
            let ask = |recorded: &mut Recorded| card.generate_mnemonic(words, recorded);
            let (words, entry) = journal.carry_out(request, why, ask, done)?;
            Ok((words, Done { card: id, key_uid, entry, warnings: Vec::new() }))
        })?;
        let sealed = self.seal_bytes(caller, seal::MNEMONIC, words.expose().as_bytes())?;
        Ok((done, sealed))
    }

    /// Returns random bytes of the card. It needs no PIN.
    ///
    /// # Errors
    /// Those of [`Broker::with_channel`] and of the card.
    pub fn card_challenge(&mut self, target: &Target, contact: &Contact, bytes: u8) -> Result<Vec<u8>, BrokerError> {
        self.with_channel(target, contact, |mut card, _| Ok(card.challenge(bytes)?.to_vec()))
    }

    fn secret_use(
        &mut self,
        access: Access,
        operation: Operation,
        caller: &ChatKey,
        why: &Why,
        work: impl FnOnce(&mut GuardedCard<T>, &mut Recorded) -> Result<Zeroizing<Vec<u8>>, CardError>,
    ) -> Result<(Sealed, u64), BrokerError> {
        let question = Question::of_operation(&operation);
        self.secret_use_as(question, access, operation, caller, why, work)
    }

    fn secret_use_as(
        &mut self,
        question: Result<Question, Reason>,
        access: Access,
        operation: Operation,
        caller: &ChatKey,
        why: &Why,
        work: impl FnOnce(&mut GuardedCard<T>, &mut Recorded) -> Result<Zeroizing<Vec<u8>>, CardError>,
    ) -> Result<(Sealed, u64), BrokerError> {
        let about = self.meant(&access.target, access.pin.is_some())?;
        self.decide_on(question, about, Asked::Operation(operation.clone()), why)?;
        let (secret, entry) = self.with_card(access, why, |card, journal| {
            is_meant(card, about)?;
            let request = card.request(operation);
            let key_uid = request.key_uid;
            let done = |_: &Zeroizing<Vec<u8>>| Outcome::done(None, key_uid);
            journal.carry_out(request, why, |recorded| work(card, recorded), done)
        })?;
        Ok((self.seal_bytes(caller, seal::SECRET, &secret)?, entry))
    }
}
