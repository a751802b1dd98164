//! The key of a card: loading, generating, removing it, and its public keys.
//!
//! Whoever loads a key has seen it: the log says so, the words are wiped, and only GENERATE KEY keeps a seed on the card,
//! without any backup.

use audit::{Asked, LogStore, Operation, Outcome, Recorded, SeedOrigin};
use keycard::{CardError, CardTransport, ExtendedSecret, Mnemonic, Seed};
use proto::rpc::seal;
use proto::{ChatKey, KeyPath, KeyUid, Secret};
use zeroize::Zeroizing;

use crate::broker::Broker;
use crate::cards::access::{Access, is_meant};
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
    /// A seed of 16 to 64 bytes.
    Seed(Seed),
    /// The seed of words, as a LEE seed.
    Lee(Seed),
    /// A private key without a chain code.
    KeyPair(Secret<32>),
    /// A private key and its chain code.
    Extended(ExtendedSecret),
}

impl Source {
    const fn operation(&self) -> Operation {
        match self {
            Self::Generate => Operation::GenerateKey,
            Self::Words(..) | Self::Seed(_) => Operation::LoadKey,
            Self::Lee(_) => Operation::LoadLeeSeed,
            Self::KeyPair(_) => Operation::LoadKeyPair,
            Self::Extended(_) => Operation::LoadExtendedKey,
        }
    }
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Gives a card a key, in place of any other that it has.
    ///
    /// # Errors
    /// Those of [`Broker::with_card`] and of the card; [`BrokerError::BadInput`] in a session of the duress PIN, which is in
    /// the log. [`BrokerError::CutOff`] once the card may have the key, for one when it derives other keys than the seed.
    pub fn card_load_key(&mut self, access: Access, source: Source, why: &Why) -> Result<Done, BrokerError> {
        let origin =
            if matches!(source, Source::Generate) { SeedOrigin::GeneratedOnCard } else { SeedOrigin::SeenByHost };
        let target = access.target.clone();
        let (done, pins) = self.with_met_card(access, why, |broker, card, which| {
            broker.unless_duress(card, which, source.operation(), why)?;
            let (key_uid, entry) = load(card, &mut broker.journal, &source, why)?;
            let chat = match broker.identify(card, why) {
                Ok((_, chat)) => Some(chat),
                // A key without chain code has no other keys below it.
                Err(BrokerError::Card(CardError::Status { .. })) => None,
                Err(error) => return Err(error.leaving(Left::Unproven)),
            };
            let mut known = broker.known(card.info());
            (known.key_uid, known.chat) = (Some(key_uid), chat);
            broker.cards.known.keep(known).map_err(|error| BrokerError::from(error).leaving(Left::Unproven))?;
            Ok((Done { card: card.id(), key_uid: Some(key_uid), entry, warnings: Vec::new() }, (key_uid, chat)))
        })?;
        if let ((key_uid, Some(chat)), Some(old)) = (pins, self.enrolment.pinned.find(&done.card).cloned()) {
            tracing::info!(?target, "the enrolled card has another key: it is pinned anew");
            let pins = Pins { key_uid, chat, seed: origin, ..old };
            self.enrol(pins).map_err(|error| error.leaving(Left::Unproven))?;
        }
        Ok(done)
    }

    /// Leaves the key of a card as it is whose duress PIN was entered: it is the key of both.
    fn unless_duress(
        &mut self,
        card: &GuardedCard<T>,
        which: Option<Which>,
        operation: Operation,
        why: &Why,
    ) -> Result<(), BrokerError> {
        if which != Some(Which::Duress) {
            return Ok(());
        }
        let about = (Some(card.id()), card.info().key_uid);
        Err(self.refused_about(about, Asked::Operation(operation), why, BrokerError::bad_input(KEEPS_ITS_KEY)))
    }

    /// Takes the key of a card away.
    ///
    /// # Errors
    /// Those of [`Broker::with_card`] and of the card; [`BrokerError::BadInput`] as of [`Self::card_load_key`].
    pub fn card_remove_key(&mut self, access: Access, why: &Why) -> Result<Done, BrokerError> {
        self.with_met_card(access, why, |broker, card, which| {
            broker.unless_duress(card, which, Operation::RemoveKey, why)?;
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
        let about = self.meant(&access.target, access.pin.is_some())?;
        self.decide(about, crate::export::asked_public(path, extended.is_some()), why)?;
        let (key, chain_code, entry) = self.with_card(access, why, |card, journal| {
            is_meant(card, about)?;
            crate::export::ask_public(card, journal, &operation, why)
        })?;
        let chain_code = match (chain_code, extended) {
            (Some(code), Some(caller)) => Some(self.seal_bytes(caller, seal::CHAIN, code.expose())?),
            _ => None,
        };
        Ok(PublicKey { key, chain_code, entry })
    }
}

fn load<T: CardTransport, S: LogStore>(
    card: &mut GuardedCard<T>,
    journal: &mut Journal<S>,
    source: &Source,
    why: &Why,
) -> Result<(KeyUid, u64), BrokerError> {
    let mut asked = false;
    let done = |key_uid: &KeyUid| Outcome::done(None, Some(*key_uid));
    let request = card.request(source.operation());
    let ask = |recorded: &mut Recorded| {
        let made = match source {
            Source::Generate => card.generate_key(recorded),
            Source::Words(words, passphrase) => card.load_seed(&words.to_seed(passphrase), recorded),
            Source::Seed(seed) => card.load_seed(seed, recorded),
            Source::Lee(seed) => card.load_lee_seed(seed, recorded),
            Source::KeyPair(key) => card.load_key_pair(key, recorded),
            Source::Extended(key) => card.load_extended_key(key, recorded),
        };
        // A card that answers with a status word refused, and has what it had.
        asked = recorded.is_spent() && !matches!(made, Err(CardError::Status { .. }));
        made
    };
    journal
        .carry_out(request, why, ask, done)
        .map_err(|error| if asked { error.leaving(Left::Unproven) } else { error })
}

/// In a session of the duress PIN this would replace the key of both. It does not say so: who reads it may be the one who
/// compels.
const KEEPS_ITS_KEY: &str = "the card keeps the key that it has; `cardinal card reset` erases it";
