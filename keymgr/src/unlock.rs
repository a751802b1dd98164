//! The owner enters the PIN: it goes to the card and is wiped, and the card then proves that it is the same as last time.

use audit::{Asked, LogStore, Operation, Outcome, SeedOrigin};
use keycard::{Card, CardError, CardTransport, Secured, Selected, Selection, Unlocked, VerifyError};
use proto::{ChatKey, ExportPath, Fingerprint, KeyPath, KeyUid, Pin};

use crate::broker::Broker;
use crate::cards::tries::Which;
use crate::error::{BrokerError, Mismatch, PinRefused};
use crate::guard::Guarded;
use crate::journal::Why;
use crate::manifest::Named;
use crate::pins::Pins;

/// A PIN and how it may be used. The PIN is sent to the card once and then wiped.
pub struct Unlocking {
    /// The PIN.
    pub pin: Pin,
    /// Whether it may be the card's last try.
    pub last_try: bool,
    /// How long it stays valid, in seconds; 0: until the manager stops.
    pub seconds: u64,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Unlocks the card and returns its account, proven inside the channel. Soon after a wrong PIN none is sent.
    ///
    /// # Errors
    /// [`BrokerError`]; the card is reset then. What was refused is in the log.
    pub fn unlock(&mut self, unlocking: Unlocking, why: &Why) -> Result<KeyUid, BrokerError> {
        self.lock();
        self.try_unlock(unlocking, why)
            .map_err(|error| if error.refuses() { self.refused(Asked::Unlock, why, error) } else { error })
    }

    fn try_unlock(&mut self, unlocking: Unlocking, why: &Why) -> Result<KeyUid, BrokerError> {
        let (card, named) = match self.connect()? {
            Selection::Blank(card) => {
                self.put_back(card.into_transport());
                return Err(Mismatch::Blank.into());
            }
            Selection::Initialised(card) => match self.recognise(card.info()) {
                Ok(Named { card: found, .. })
                    if !self.enrolment.pinned.is_empty() && self.enrolment.pinned.find(&found).is_none() =>
                {
                    self.put_back(card.into_transport());
                    return Err(Mismatch::OtherCard { card: found }.into());
                }
                Ok(_) if card.info().key_uid.is_none() => {
                    self.put_back(card.into_transport());
                    return Err(Mismatch::NoKey.into());
                }
                Ok(named) => (self.unless_paused(card)?, named),
                Err(error) => {
                    self.put_back(card.into_transport());
                    return Err(error);
                }
            },
        };
        let card = self.open(card)?;
        let Unlocking { pin, last_try, seconds } = unlocking;
        let mut card = self.verify(card, &pin, last_try)?;
        drop(pin);
        match self.prove(&mut card, &named, why) {
            Ok((key_uid, chat)) => {
                self.keep(card, seconds, chat);
                tracing::info!("the card is unlocked");
                Ok(key_uid)
            }
            Err(error) => {
                self.put_back(card.into_transport());
                Err(error)
            }
        }
    }

    /// Puts a card back on which a PIN was wrong a moment ago. Nothing was asked of it yet but who it is.
    pub(crate) fn unless_paused(
        &mut self,
        card: Card<Selected, Guarded<T>>,
    ) -> Result<Card<Selected, Guarded<T>>, BrokerError> {
        match self.pauses.left(&card.id(), self.journal.monotonic()) {
            Some(seconds) => {
                self.put_back(card.into_transport());
                Err(PinRefused::TooSoon { seconds }.into())
            }
            None => Ok(card),
        }
    }

    /// Sends the PIN.
    pub(crate) fn verify(
        &mut self,
        mut card: Card<Secured, Guarded<T>>,
        pin: &Pin,
        last_try: bool,
    ) -> Result<Card<Unlocked, Guarded<T>>, BrokerError> {
        let info = card.info().clone();
        let shown = match card.status() {
            Ok(status) => status.pin_tries,
            Err(error) => {
                self.put_back(card.into_transport());
                return Err(error.into());
            }
        };
        let mut tries = self.tries_of(&info, shown);
        if shown > 0 && tries.fewest() <= 1 && !last_try {
            self.put_back(card.into_transport());
            return Err(PinRefused::LastTry.into());
        }
        if let Err(error) = self.hush(&info) {
            self.put_back(card.into_transport());
            return Err(error);
        }
        let (transport, error) = match card.verify_pin(pin, last_try) {
            Ok(card) => {
                self.pauses.right(&info.card_id());
                return match self.remember_tries(&info, tries) {
                    Ok(()) => Ok(card),
                    Err(error) => {
                        self.put_back(card.into_transport());
                        Err(error)
                    }
                };
            }
            Err(VerifyError::Wrong { card, tries: left }) => {
                tries.wrong(left);
                (card.into_transport(), PinRefused::Wrong { tries: left.min(tries.fewest().max(1)) }.into())
            }
            Err(VerifyError::LastTry { card }) => (card.into_transport(), PinRefused::LastTry.into()),
            Err(VerifyError::Blocked { card }) => {
                if shown > 0 {
                    tries.wrong(0);
                }
                (card.into_transport(), PinRefused::Blocked.into())
            }
            Err(VerifyError::Exposed { card }) => {
                (card.into_transport(), CardError::from(keycard::Unpaired::WellKnown).into())
            }
            Err(VerifyError::Lost { transport, error }) => (transport, error.into()),
            Err(other) => {
                // A kind that this manager does not know.
                let error = BrokerError::bad_input(other.to_string());
                (other.into_transport(), error)
            }
        };
        self.put_back(transport);
        if matches!(error, BrokerError::Pin(PinRefused::Wrong { .. } | PinRefused::Blocked)) {
            self.pauses.wrong(info.card_id(), self.journal.monotonic());
            // Of the two errors the owner needs the PIN's, and so does the log; the card itself bounds the tries.
            if let Err(unwritten) = self.remember_tries(&info, tries) {
                tracing::error!("the tries of the card are not remembered: {unwritten}");
            }
        }
        Err(error)
    }

    /// Compares the card's keys with the pinned ones, or pins them at the first meeting.
    fn prove(
        &mut self,
        card: &mut Card<Unlocked, Guarded<T>>,
        named: &Named,
        why: &Why,
    ) -> Result<(KeyUid, Fingerprint), BrokerError> {
        let (key_uid, chat) = self.identify(card, why)?;
        let mut which = None;
        match self.enrolment.pinned.find(&named.card).cloned() {
            Some(pins) if pins.key_uid != key_uid => return Err(Mismatch::OtherKey.into()),
            Some(pins) if pins.chat != chat => {
                self.under_duress(card.info(), chat, pins.chat)?;
                which = Some(Which::Duress);
            }
            Some(_) => {
                which = Some(Which::Main);
                self.tell_of_enrolment(&named.card)?;
            }
            None => {
                let pins = Pins {
                    label: named.label.clone(),
                    card: named.card,
                    generation: named.generation,
                    key_uid,
                    chat,
                    seed: SeedOrigin::BeforeEnrolment,
                };
                self.enrol(pins)?;
            }
        }
        self.remember_right(card.info(), which)?;
        if which == Some(Which::Main) {
            self.hold_to_keys(card, key_uid, chat);
        }
        Ok((key_uid, chat))
    }

    /// Fetches the public keys that say whose card this is: of `m`, which is the account, and of the chat path.
    ///
    /// SELECT's key UID is signed by nobody; these come through the channel.
    pub(crate) fn identify(
        &mut self,
        card: &mut Card<Unlocked, Guarded<T>>,
        why: &Why,
    ) -> Result<(KeyUid, Fingerprint), BrokerError> {
        let key_uid = KeyUid::of_master(&self.public(card, KeyPath::master(), why)?);
        if card.info().key_uid != Some(key_uid) {
            return Err(Mismatch::FalseKeyUid.into());
        }
        let chat = self.public(card, ExportPath::chat().as_path().clone(), why)?;
        Ok((key_uid, Fingerprint::of(&chat)))
    }

    fn public(
        &mut self,
        card: &mut Card<Unlocked, Guarded<T>>,
        path: KeyPath,
        why: &Why,
    ) -> Result<ChatKey, BrokerError> {
        let request = card.request(Operation::ExportPublic(path.clone()));
        let key_uid = request.key_uid;
        let done = |key: &ChatKey| Outcome::done(Some(Fingerprint::of(key)), key_uid);
        let ask = |recorded: &mut audit::Recorded| card.export_public(&path, recorded);
        self.journal.carry_out(request, why, ask, done).map(|(key, _)| key)
    }
}
