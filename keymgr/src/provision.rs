//! Enrolment: a blank card that the manifest names gets PIN, PUK and a key, is read back, and is pinned.
//!
//! The card is locked afterwards: its owner unlocks it like any other.

use audit::{Asked, LogStore, Operation, Outcome, Request, SeedOrigin};
use keycard::{Card, CardError, CardTransport, InitSecrets, Mnemonic, Selected, Selection, Unlocked};
use proto::rpc::api::Sealed;
use proto::rpc::seal;
use proto::{ChatKey, Fingerprint, KeyUid, Pin, Puk};

use crate::broker::Broker;
use crate::cards::seat::Target;
use crate::cards::tries::Which;
use crate::cards::vouch::Voucher;
use crate::error::{BrokerError, Left, Mismatch};
use crate::guard::Guarded;
use crate::journal::Why;
use crate::pins::Pins;

/// What a card is enrolled with.
pub struct Enrolling {
    /// Which card; nothing: the one in the manager's own reader.
    pub target: Target,
    /// Its PIN.
    pub pin: Pin,
    /// Its PUK.
    pub puk: Puk,
    /// Where its key comes from.
    pub key: KeySource,
}

/// Where the key of a new card comes from.
pub enum KeySource {
    /// GENERATE KEY: the seed never leaves the card.
    Generate,
    /// LOAD KEY with the seed of these words.
    Mnemonic(Mnemonic),
    /// LOAD KEY with the seed of so many fresh words, which are sealed to this one-time key of the caller.
    Fresh {
        /// 12 to 24.
        words: usize,
        /// The caller's one-time public key.
        caller: ChatKey,
    },
}

/// What an enrolment made.
pub struct Enrolled {
    /// What was pinned.
    pub pins: Pins,
    /// The fresh words, sealed.
    pub mnemonic: Option<Sealed>,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Enrols the card in the reader.
    ///
    /// # Errors
    /// [`BrokerError`]; the card is reset then. What was refused is in the log. A card that has its PIN already when
    /// something fails stays initialised, and [`BrokerError::CutOff`] says so: it is reset to its factory state by its
    /// owner, not from here.
    pub fn provision(&mut self, enrolling: Enrolling, why: &Why) -> Result<Enrolled, BrokerError> {
        let target = enrolling.target.clone();
        self.at(&target, |broker| broker.provision_here(enrolling, why))
    }

    fn provision_here(&mut self, enrolling: Enrolling, why: &Why) -> Result<Enrolled, BrokerError> {
        self.try_provision(enrolling, why).map_err(|error| match error {
            BrokerError::Mismatch(_) | BrokerError::Card(CardError::Untrusted(_)) => {
                self.refused(Asked::Provision, why, error)
            }
            BrokerError::CutOff { ref cause, .. } if matches!(**cause, BrokerError::Mismatch(_)) => {
                self.refused(Asked::Provision, why, error)
            }
            other => other,
        })
    }

    fn try_provision(&mut self, enrolling: Enrolling, why: &Why) -> Result<Enrolled, BrokerError> {
        let Enrolling { target, pin, puk, key } = enrolling;
        if target == Target::default() && !self.enrolment.pinned.is_empty() {
            return Err(Mismatch::EnrolledAlready.into());
        }
        let (words, caller) = match key {
            KeySource::Generate => (None, None),
            KeySource::Mnemonic(words) => (Some(words), None),
            KeySource::Fresh { words, caller } => {
                let words = Mnemonic::generate(words, &mut *self.dice);
                (Some(words.map_err(|error| BrokerError::bad_input(error.to_string()))?), Some(caller))
            }
        };
        // Sealed before anything is written to the card, so that they can be handed over whenever it has them.
        let mnemonic = self.seal_words(words.as_ref(), caller)?;
        let (card, named) = match self.connect()? {
            Selection::Initialised(card) => {
                self.put_back(card.into_transport());
                return Err(Mismatch::NotBlank.into());
            }
            Selection::Blank(card) => match self.recognise(card.info()) {
                Ok(named) => (card, named),
                Err(error) => {
                    self.put_back(card.into_transport());
                    return Err(error);
                }
            },
        };
        let secrets = InitSecrets::new(pin, puk, &mut *self.dice);
        let (card, _) = self.init(card, &secrets, Voucher::Manifest, why)?;
        let mut card = self.open_with(card, secrets.pin()).map_err(|error| error.leaving(Left::Pin))?;
        drop(secrets);
        let result = self.give_key(&mut card, words.as_ref(), why);
        self.put_back(card.into_transport());
        let lost = mnemonic.as_ref().map(|_| Left::LostWords);
        let (key_uid, chat) = result.map_err(|error| error.leaving(lost.unwrap_or(Left::Unproven)))?;
        let seed = if words.is_some() { SeedOrigin::SeenByHost } else { SeedOrigin::GeneratedOnCard };
        let pins = Pins { label: named.label, card: named.card, generation: named.generation, key_uid, chat, seed };
        if let Err(error) = self.enrol(pins.clone()) {
            if lost.is_some() {
                self.unpin(&pins.card);
            }
            return Err(error.leaving(lost.unwrap_or(Left::Key)));
        }
        tracing::info!(label = pins.label, "the card is enrolled");
        Ok(Enrolled { pins, mnemonic })
    }

    fn open_with(
        &mut self,
        card: Card<Selected, Guarded<T>>,
        pin: &Pin,
    ) -> Result<Card<Unlocked, Guarded<T>>, BrokerError> {
        let card = self.open(card)?;
        let card = self.verify(card, pin, false)?;
        match self.remember_right(card.info(), Some(Which::Main)) {
            Ok(()) => Ok(card),
            Err(error) => {
                self.put_back(card.into_transport());
                Err(error)
            }
        }
    }

    fn give_key(
        &mut self,
        card: &mut Card<Unlocked, Guarded<T>>,
        words: Option<&Mnemonic>,
        why: &Why,
    ) -> Result<(KeyUid, Fingerprint), BrokerError> {
        let done = |key_uid: &KeyUid| Outcome::done(None, Some(*key_uid));
        let ask_for = |card: &Card<Unlocked, Guarded<T>>, operation| -> Request { card.request(operation) };
        let made = match words {
            Some(words) => {
                let seed = words.to_seed("");
                let request = ask_for(card, Operation::LoadKey);
                self.journal.carry_out(request, why, |recorded| card.load_seed(&seed, recorded), done)
            }
            None => {
                let request = ask_for(card, Operation::GenerateKey);
                self.journal.carry_out(request, why, |recorded| card.generate_key(recorded), done)
            }
        };
        made?;
        self.identify(card, why)
    }

    fn seal_words(&mut self, words: Option<&Mnemonic>, caller: Option<ChatKey>) -> Result<Option<Sealed>, BrokerError> {
        let (Some(words), Some(caller)) = (words, caller) else { return Ok(None) };
        seal::seal(&caller.to_compressed(), seal::MNEMONIC, words.expose().as_bytes(), &mut *self.dice)
            .map(Some)
            .map_err(|error| BrokerError::bad_input(error.to_string()))
    }
}
