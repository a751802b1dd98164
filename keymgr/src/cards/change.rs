//! PIN, PUK and pairing secret: changing them, and the way out of a blocked PIN.
//!
//! CHANGE PIN acts on the PIN that was used last. Under a duress PIN that is the duress PIN, so a card whose keys are not
//! the remembered ones is refused before anything is changed, unless its owner chose otherwise.

use audit::{Asked, LogStore, Operation, Outcome, Recorded};
use keycard::{Card, CardError, CardTransport, PairingSecret, Secured, Status, UnblockError, Unpaired};
use proto::{Pin, Puk};
use zeroize::Zeroizing;

use crate::broker::Broker;
use crate::cards::access::Access;
use crate::cards::init::Done;
use crate::cards::pair::secret_of;
use crate::cards::seat::Target;
use crate::cards::vouch::Contact;
use crate::error::{BrokerError, PukRefused};
use crate::guard::Guarded;
use crate::journal::Why;

/// What is changed.
pub enum Change {
    /// The PIN.
    Pin(Pin),
    /// The PUK.
    Puk(Puk),
    /// The pairing secret: that of a password, or a random one.
    PairingSecret(Option<Zeroizing<String>>),
}

/// What unblocks a PIN.
pub struct Unblocking {
    /// Which card.
    pub target: Target,
    /// What its owner says of it.
    pub contact: Contact,
    /// The PUK.
    pub puk: Puk,
    /// The PIN from then on.
    pub new_pin: Pin,
    /// Whether the PUK may be the last try, after which only a factory reset helps.
    pub last_try: bool,
}

/// A change with everything that it needs.
enum Ready {
    Pin(Pin),
    Puk(Puk),
    PairingSecret(PairingSecret),
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Changes a secret of a card.
    ///
    /// # Errors
    /// Those of [`Broker::with_card`] and of the card.
    pub fn card_change(&mut self, access: Access, change: Change, why: &Why) -> Result<Done, BrokerError> {
        let ready = match change {
            Change::Pin(pin) => Ready::Pin(pin),
            Change::Puk(puk) => Ready::Puk(puk),
            Change::PairingSecret(password) => {
                let password = password.as_ref().map(|password| password.as_str());
                Ready::PairingSecret(secret_of(password, &access.contact, &mut *self.dice)?)
            }
        };
        self.with_fresh_card(access, why, |broker, card| {
            let (id, key_uid) = (card.id(), card.info().key_uid);
            let request = card.request(match ready {
                Ready::Pin(_) => Operation::ChangePin,
                Ready::Puk(_) => Operation::ChangePuk,
                Ready::PairingSecret(_) => Operation::ChangePairingSecret,
            });
            let ask = |recorded: &mut Recorded| match &ready {
                Ready::Pin(pin) => card.change_pin(pin, recorded),
                Ready::Puk(puk) => card.change_puk(puk, recorded),
                Ready::PairingSecret(secret) => card.change_pairing_secret(secret, recorded),
            };
            let done = |(): &()| Outcome::done(None, key_uid);
            let ((), entry) = broker.journal.carry_out(request, why, ask, done)?;
            if let (Ready::Pin(_), Some(mut tries)) = (&ready, broker.known(card.info()).tries) {
                tries.changed();
                broker.remember_tries(card.info(), tries)?;
            }
            Ok(Done { card: id, key_uid, entry, warnings: Vec::new() })
        })
    }

    /// Gives a blocked PIN a new value. The card is not sent a PUK that it does not need, and never the last try of it
    /// unasked.
    ///
    /// # Errors
    /// [`PukRefused`], which is in the log; those of the channel and of the card.
    pub fn card_unblock(&mut self, unblocking: Unblocking, why: &Why) -> Result<Done, BrokerError> {
        let Unblocking { target, contact, puk, new_pin, last_try } = unblocking;
        self.at(&target, |broker| {
            let card = broker.trusted_with_secrets(&target, &contact)?;
            let about = (Some(card.id()), card.info().key_uid);
            let card = broker.open(card)?;
            broker.unblock(card, &puk, &new_pin, last_try, why).map_err(|error| match error {
                BrokerError::Puk(_) => broker.refused_about(about, Asked::Operation(Operation::UnblockPin), why, error),
                other => other,
            })
        })
    }

    fn unblock(
        &mut self,
        mut card: Card<Secured, Guarded<T>>,
        puk: &Puk,
        new_pin: &Pin,
        last_try: bool,
        why: &Why,
    ) -> Result<Done, BrokerError> {
        let refused = match card.status() {
            Ok(Status { pin_tries: 1.., .. }) => Err(PukRefused::NotNeeded.into()),
            Ok(Status { puk_tries: 0, .. }) => Err(PukRefused::Blocked.into()),
            Ok(Status { puk_tries: 1, .. }) if !last_try => Err(PukRefused::LastTry.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(BrokerError::from(error)),
        };
        if let Err(error) = refused {
            self.put_back(card.into_transport());
            return Err(error);
        }
        let (info, request) = (card.info().clone(), card.request(Operation::UnblockPin));
        let (id, key_uid) = (info.card_id(), info.key_uid);
        // Whatever comes of it, the card comes back, or its transport.
        let (mut card, mut left) = (Some(card), None);
        let ask = |recorded: &mut Recorded| {
            let once = card.take().ok_or(CardError::Misuse { what: "a PUK is sent once" })?;
            let error = match once.unblock_pin(puk, new_pin, last_try, recorded) {
                Ok(card) => {
                    left = Some(card.into_transport());
                    return Ok(Tried::Right);
                }
                Err(UnblockError::Lost { transport, error }) => {
                    left = Some(transport);
                    return Err(error);
                }
                Err(error) => error,
            };
            let tried = match &error {
                UnblockError::Wrong { tries, .. } => Ok(Tried::Wrong { tries: *tries }),
                UnblockError::Exhausted { .. } => Ok(Tried::Wrong { tries: 0 }),
                UnblockError::Exposed { .. } => Err(Unpaired::WellKnown.into()),
                UnblockError::NotRecorded { error, .. } => Err((*error).into()),
                _ => Err(CardError::Misuse { what: "the tries of PIN and PUK changed meanwhile; try again" }),
            };
            left = Some(error.into_transport());
            tried
        };
        let done = |tried: &Tried| match tried {
            Tried::Right => Outcome::done(None, key_uid),
            Tried::Wrong { tries } => Outcome::RefusedByCard { status: 0x63c0 | u16::from(*tries & 0x0f) },
        };
        let result = self.journal.carry_out(request, why, ask, done);
        if let Some(transport) = left.or(card.map(Card::into_transport)) {
            self.put_back(transport);
        }
        match result? {
            (Tried::Right, entry) => {
                self.pauses.right(&id);
                if let Some(mut tries) = self.known(&info).tries {
                    tries.unblocked();
                    self.remember_tries(&info, tries)?;
                }
                Ok(Done { card: id, key_uid, entry, warnings: Vec::new() })
            }
            (Tried::Wrong { tries: 0 }, _) => Err(PukRefused::Blocked.into()),
            (Tried::Wrong { tries }, _) => Err(PukRefused::Wrong { tries }.into()),
        }
    }
}

/// What the card said of a PUK.
enum Tried {
    Right,
    Wrong { tries: u8 },
}
