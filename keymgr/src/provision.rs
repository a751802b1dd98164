//! Enrolment: a blank card that the manifest names gets PIN, PUK and a key, is read back, and is pinned.
//!
//! The card is locked afterwards: its owner unlocks it like any other.

use audit::{Asked, LogStore, Operation, Outcome, Request, SeedOrigin};
use keycard::{Blank, Card, CardError, CardTransport, Failed, InitSecrets, Mnemonic, Selected, Selection, Unlocked};
use proto::rpc::api::Sealed;
use proto::rpc::seal;
use proto::{ChatKey, Fingerprint, KeyUid, Pin, Puk};

use crate::broker::Broker;
use crate::error::{BrokerError, Left, Mismatch};
use crate::guard::Guarded;
use crate::journal::Why;
use crate::pins::Pins;

/// What a card is enrolled with.
pub struct Enrolling {
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

/// Where a card is that is initialised.
enum Step<T> {
    Blank(Card<Blank, T>),
    Asked,
    Initialised(Card<Selected, T>),
    Failed(T),
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Enrols the card in the reader.
    ///
    /// # Errors
    /// [`BrokerError`]; the card is reset then. What was refused is in the log. A card that has its PIN already when
    /// something fails stays initialised, and [`BrokerError::CutOff`] says so: it is reset to its factory state by its
    /// owner, not from here.
    pub fn provision(&mut self, enrolling: Enrolling, why: &Why) -> Result<Enrolled, BrokerError> {
        self.lock();
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
        let Enrolling { pin, puk, key } = enrolling;
        if self.enrolment.pins.is_some() {
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
        // Sealed before anything is written to the card, so that they can be handed over whenever it has them.
        let mnemonic = self.seal_words(words.as_ref(), caller)?;
        let secrets = InitSecrets::new(pin, puk, &mut *self.dice);
        let card = self.init(card, &secrets, why)?;
        let mut card = self.enter(card, secrets.pin()).map_err(|error| error.leaving(Left::Pin))?;
        drop(secrets);
        let result = self.give_key(&mut card, words.as_ref(), why);
        self.put_back(card.into_transport());
        let lost = mnemonic.as_ref().map(|_| Left::LostWords);
        let (key_uid, chat) = result.map_err(|error| error.leaving(lost.unwrap_or(Left::Unproven)))?;
        let seed = if words.is_some() { SeedOrigin::SeenByHost } else { SeedOrigin::GeneratedOnCard };
        let pins = Pins { label: named.label, card: named.card, generation: named.generation, key_uid, chat, seed };
        if let Err(error) = self.enrol(pins.clone()) {
            if lost.is_some() {
                self.unpin();
            }
            return Err(error.leaving(lost.unwrap_or(Left::Key)));
        }
        tracing::info!(label = pins.label, "the card is enrolled");
        Ok(Enrolled { pins, mnemonic })
    }

    fn enter(
        &mut self,
        card: Card<Selected, Guarded<T>>,
        pin: &Pin,
    ) -> Result<Card<Unlocked, Guarded<T>>, BrokerError> {
        let card = self.open(card)?;
        self.verify(card, pin, false)
    }

    fn init(
        &mut self,
        card: Card<Blank, Guarded<T>>,
        secrets: &InitSecrets,
        why: &Why,
    ) -> Result<Card<Selected, Guarded<T>>, BrokerError> {
        let request = card.request(Operation::Init);
        let mut step = Step::Blank(card);
        let (trust, dice) = (&self.rules.trust, &mut *self.dice);
        // The card is in `step` at every moment but while it is asked, so that no failure to record loses it.
        let ask = |recorded: &mut audit::Recorded| {
            let Step::Blank(card) = std::mem::replace(&mut step, Step::Asked) else {
                return Err(CardError::Misuse { what: "a card is initialised once" });
            };
            match card.init(trust, secrets, recorded, dice) {
                Ok(card) => step = Step::Initialised(card),
                Err(Failed { transport, error, .. }) => {
                    step = Step::Failed(transport);
                    return Err(error);
                }
            }
            Ok(())
        };
        let done = |(): &()| Outcome::Done { fingerprint: None, key_uid: None };
        let recorded = self.journal.carry_out(request, why, ask, done);
        match (step, recorded) {
            (Step::Initialised(card), Ok(_)) => Ok(card),
            (Step::Initialised(card), Err(error)) => {
                self.put_back(card.into_transport());
                Err(error.leaving(Left::Pin))
            }
            (Step::Blank(card), recorded) => {
                self.put_back(card.into_transport());
                Err(unasked(recorded))
            }
            (Step::Failed(transport), recorded) => {
                self.put_back(transport);
                Err(unasked(recorded))
            }
            (Step::Asked, recorded) => Err(unasked(recorded)),
        }
    }

    fn give_key(
        &mut self,
        card: &mut Card<Unlocked, Guarded<T>>,
        words: Option<&Mnemonic>,
        why: &Why,
    ) -> Result<(KeyUid, Fingerprint), BrokerError> {
        let done = |key_uid: &KeyUid| Outcome::Done { fingerprint: None, key_uid: Some(*key_uid) };
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

/// The error of a step that did not end with an initialised card.
fn unasked<V>(recorded: Result<V, BrokerError>) -> BrokerError {
    recorded.err().unwrap_or(BrokerError::Card(CardError::Misuse { what: "a card is initialised once" }))
}
