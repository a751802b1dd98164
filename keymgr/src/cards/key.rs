//! The key of a card: loading, generating, removing it, and its public keys.
//!
//! Whoever loads a key has seen it: the log says so, the words are wiped, and only GENERATE KEY keeps a seed on the card,
//! without any backup.

use audit::{Asked, LogStore, Operation, Outcome, Recorded, SeedOrigin};
use keycard::{CardError, CardTransport, ExtendedSecret, Mnemonic, Seed};
use proto::rpc::api::Sealed;
use proto::rpc::seal;
use proto::{ChatKey, KeyPath, KeyUid, Secret};
use zeroize::Zeroizing;

use crate::broker::Broker;
use crate::cards::access::Access;
use crate::cards::init::Done;
use crate::cards::tries::Which;
use crate::error::{BrokerError, Left};
use crate::export::PublicKey;
use crate::guard::GuardedCard;
use crate::journal::{Journal, Why};
use crate::pins::Pins;

/// Where the key of a card comes from.
pub enum Source {
    /// GENERATE KEY.
    Generate,
    /// The seed of words with a passphrase.
    Words(Mnemonic, Zeroizing<String>),
    /// The seed of so many fresh words, which are sealed to this one-time key of the caller.
    Fresh {
        /// 12 to 24.
        words: usize,
        /// With them.
        passphrase: Zeroizing<String>,
        /// The caller's one-time public key.
        caller: ChatKey,
    },
    /// A seed of 16 to 64 bytes.
    Seed(Seed),
    /// The seed of words, as a LEE seed.
    Lee(Seed),
    /// A private key without a chain code.
    KeyPair(Secret<32>),
    /// A private key and its chain code.
    Extended(ExtendedSecret),
}

/// What a key came from, once nothing has to be drawn for it.
enum Ready {
    Generate,
    Seed(Seed),
    Lee(Seed),
    KeyPair(Secret<32>),
    Extended(ExtendedSecret),
}

impl Ready {
    const fn operation(&self) -> Operation {
        match self {
            Self::Generate => Operation::GenerateKey,
            Self::Seed(_) => Operation::LoadKey,
            Self::Lee(_) => Operation::LoadLeeSeed,
            Self::KeyPair(_) => Operation::LoadKeyPair,
            Self::Extended(_) => Operation::LoadExtendedKey,
        }
    }
}

/// A key that was loaded.
pub struct Loaded {
    /// The verb's own report.
    pub done: Done,
    /// The fresh words, sealed.
    pub mnemonic: Option<Sealed>,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Gives a card a key, in place of any other that it has.
    ///
    /// # Errors
    /// Those of [`Broker::with_card`] and of the card; [`BrokerError::BadInput`] in a session of the duress PIN, which is in
    /// the log. [`BrokerError::CutOff`] once the card may have the key, for one when it derives other keys than the seed.
    pub fn card_load_key(&mut self, access: Access, source: Source, why: &Why) -> Result<Loaded, BrokerError> {
        let (ready, mnemonic) = self.ready(source)?;
        let origin =
            if matches!(ready, Ready::Generate) { SeedOrigin::GeneratedOnCard } else { SeedOrigin::SeenByHost };
        // What an error says once the card may have the key.
        let left = if mnemonic.is_some() { Left::LostWords } else { Left::Unproven };
        let target = access.target.clone();
        let (done, pins) = self.with_met_card(access, why, |broker, card, which| {
            if which == Some(Which::Duress) {
                let about = (Some(card.id()), card.info().key_uid);
                let asked = Asked::Operation(ready.operation());
                return Err(broker.refused_about(about, asked, why, BrokerError::bad_input(KEEPS_ITS_KEY)));
            }
            let (key_uid, entry) = load(card, &mut broker.journal, &ready, left, why)?;
            let chat = match broker.identify(card, why) {
                Ok((_, chat)) => Some(chat),
                // A key without chain code has no other keys below it.
                Err(BrokerError::Card(CardError::Status { .. })) => None,
                Err(error) => return Err(error.leaving(left)),
            };
            let mut known = broker.known(card.info());
            (known.key_uid, known.chat) = (Some(key_uid), chat);
            broker.cards.known.keep(known).map_err(|error| BrokerError::from(error).leaving(left))?;
            Ok((Done { card: card.id(), key_uid: Some(key_uid), entry, warnings: Vec::new() }, (key_uid, chat)))
        })?;
        if let ((key_uid, Some(chat)), Some(old)) = (pins, self.enrolment.pinned.find(&done.card).cloned()) {
            tracing::info!(?target, "the enrolled card has another key: it is pinned anew");
            let pins = Pins { key_uid, chat, seed: origin, ..old };
            self.enrol(pins).map_err(|error| error.leaving(left))?;
        }
        Ok(Loaded { done, mnemonic })
    }

    /// Takes the key of a card away.
    ///
    /// # Errors
    /// Those of [`Broker::with_card`] and of the card.
    pub fn card_remove_key(&mut self, access: Access, why: &Why) -> Result<Done, BrokerError> {
        self.with_fresh_card(access, why, |broker, card| {
            let request = card.request(Operation::RemoveKey);
            let ask = |recorded: &mut Recorded| card.remove_key(recorded);
            let done = |(): &()| Outcome::done(None, None);
            let ((), entry) = broker.journal.carry_out(request, why, ask, done)?;
            let mut known = broker.known(card.info());
            (known.key_uid, known.chat) = (None, None);
            broker.cards.known.keep(known)?;
            Ok(Done { card: card.id(), key_uid: None, entry, warnings: Vec::new() })
        })
    }

    /// Exports a public key of any card that the policy lists; with a one-time key in `extended` also its chain code.
    ///
    /// # Errors
    /// As [`Broker::export_public`].
    pub fn card_public_key(
        &mut self,
        access: Access,
        path: KeyPath,
        extended: Option<&ChatKey>,
        why: &Why,
    ) -> Result<PublicKey, BrokerError> {
        if access.pin.is_none() && access.target == crate::cards::seat::Target::default() {
            return self.in_session(&access.target, |broker| broker.export_public(path, extended, why));
        }
        let operation = crate::export::operation_public(path.clone(), extended.is_some());
        let about = self.meant(&access);
        self.decide(about, crate::export::asked_public(path, extended.is_some()), why)?;
        let (key, chain_code, entry) =
            self.with_card(access, why, |card, journal| crate::export::ask_public(card, journal, &operation, why))?;
        let chain_code = match (chain_code, extended) {
            (Some(code), Some(caller)) => Some(self.seal_bytes(caller, seal::CHAIN, code.expose())?),
            _ => None,
        };
        Ok(PublicKey { key, chain_code, entry })
    }

    fn ready(&mut self, source: Source) -> Result<(Ready, Option<Sealed>), BrokerError> {
        Ok(match source {
            Source::Generate => (Ready::Generate, None),
            Source::Seed(seed) => (Ready::Seed(seed), None),
            Source::Lee(seed) => (Ready::Lee(seed), None),
            Source::KeyPair(key) => (Ready::KeyPair(key), None),
            Source::Extended(key) => (Ready::Extended(key), None),
            Source::Words(words, passphrase) => (Ready::Seed(words.to_seed(&passphrase)), None),
            Source::Fresh { words, passphrase, caller } => {
                let words = Mnemonic::generate(words, &mut *self.dice);
                let words = words.map_err(|error| BrokerError::bad_input(error.to_string()))?;
                // Sealed before anything is written to the card, so that they can be handed over whenever it has them.
                let sealed = self.seal_bytes(&caller, seal::MNEMONIC, words.expose().as_bytes())?;
                (Ready::Seed(words.to_seed(&passphrase)), Some(sealed))
            }
        })
    }
}

fn load<T: CardTransport, S: LogStore>(
    card: &mut GuardedCard<T>,
    journal: &mut Journal<S>,
    ready: &Ready,
    left: Left,
    why: &Why,
) -> Result<(KeyUid, u64), BrokerError> {
    let mut asked = false;
    let done = |key_uid: &KeyUid| Outcome::done(None, Some(*key_uid));
    let request = card.request(ready.operation());
    let ask = |recorded: &mut Recorded| {
        let made = match ready {
            Ready::Generate => card.generate_key(recorded),
            Ready::Seed(seed) => card.load_seed(seed, recorded),
            Ready::Lee(seed) => card.load_lee_seed(seed, recorded),
            Ready::KeyPair(key) => card.load_key_pair(key, recorded),
            Ready::Extended(key) => card.load_extended_key(key, recorded),
        };
        // A card that answers with a status word refused, and has what it had.
        asked = recorded.is_spent() && !matches!(made, Err(CardError::Status { .. }));
        made
    };
    journal.carry_out(request, why, ask, done).map_err(|error| if asked { error.leaving(left) } else { error })
}

/// In a session of the duress PIN this would replace the key of both. It does not say so: who reads it may be the one who
/// compels.
const KEEPS_ITS_KEY: &str = "the card keeps the key that it has; `cardinal card reset` erases it";
