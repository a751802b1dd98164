//! INIT of any blank card, and the pairing that goes with it on 2.x and 3.x.
//!
//! A card that pairs gets a random pairing secret, which nobody learns: this computer is paired with it at once, and that
//! pairing is on disk before the card is used. Others are let in with a password of the owner's.

use audit::{LogStore, Operation, Outcome, Recorded};
use keycard::{
    Blank, Card, CardError, CardTransport, Failed, Generation, InitSecrets, Lasting, Pairing, PairingSecret, Selected,
    Selection,
};
use proto::{CardId, Pin, Puk};
use zeroize::Zeroizing;

use crate::broker::Broker;
use crate::cards::pair::{WELL_KNOWN, secret_of};
use crate::cards::pairings::Kept;
use crate::cards::seat::Target;
use crate::cards::tries::Tries;
use crate::cards::vouch::{Contact, Voucher};
use crate::error::{BrokerError, Left, Mismatch};
use crate::guard::Guarded;
use crate::journal::Why;

/// What a blank card is given.
pub struct Initialising {
    /// Which card.
    pub target: Target,
    /// What its owner says of it.
    pub contact: Contact,
    /// Its PIN.
    pub pin: Pin,
    /// Its PUK.
    pub puk: Puk,
    /// Its duress PIN; without one it is drawn and known to nobody.
    pub duress: Option<Pin>,
    /// How many PIN and PUK tries it bears, 0 being the usual number.
    pub tries: (u8, u8),
    /// The password that pairs other computers with it; without one they cannot.
    pub pairing_password: Option<Zeroizing<String>>,
}

/// What a verb did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The card, as it is named afterwards.
    pub card: CardId,
    /// Its account afterwards.
    pub key_uid: Option<proto::KeyUid>,
    /// The number of the intent, 0 when nothing needed one.
    pub entry: u64,
    /// What its owner should know.
    pub warnings: Vec<String>,
}

/// A pairing that was made and is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paired {
    /// Its slot.
    pub slot: u8,
    /// Whether everybody knows the secret that it was made with.
    pub well_known: bool,
    /// The number of the intent.
    pub entry: u64,
}

/// Where a card is that is initialised.
enum Step<T> {
    Blank(Card<Blank, T>),
    Asked,
    Initialised(Card<Selected, T>),
    Failed(T),
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Initialises a blank card.
    ///
    /// # Errors
    /// [`BrokerError`]; the card is reset then. [`BrokerError::CutOff`] when it has its PIN already.
    pub fn card_init(&mut self, initialising: Initialising, why: &Why) -> Result<Done, BrokerError> {
        let Initialising { target, contact, pin, puk, duress, tries, pairing_password } = initialising;
        let mut secrets = self.init_secrets(pin, puk, duress, tries)?;
        if let Some(password) = &pairing_password {
            let secret = secret_of(Some(password), &contact, &mut *self.dice)?;
            secrets = secrets.with_pairing(secret)?;
        }
        let well_known = secrets.pairing().is_well_known();
        self.at(&target, |broker| {
            let (card, voucher) = broker.blank(&contact)?;
            let (mut card, entry) = broker.init(card, &secrets, voucher, why)?;
            let paired = broker.pair_new(&mut card, &secrets, why);
            let (id, key_uid, generation) = (card.id(), card.info().key_uid, card.info().generation());
            broker.put_back(card.into_transport());
            paired.map_err(|error| error.leaving(Left::Pin))?;
            let mut warnings = Vec::new();
            // A card of 4.0 has no pairings, whatever password was given.
            if well_known && generation == Generation::V1 {
                broker.cards.pairings.vouch(&id)?;
                warnings.push(WELL_KNOWN.to_owned());
            }
            Ok(Done { card: id, key_uid, entry, warnings })
        })
    }

    fn init_secrets(
        &mut self,
        pin: Pin,
        puk: Puk,
        duress: Option<Pin>,
        (pin_tries, puk_tries): (u8, u8),
    ) -> Result<InitSecrets, BrokerError> {
        let or = |asked: u8, usual| if asked == 0 { usual } else { asked };
        let tries = keycard::Tries::new(or(pin_tries, PIN_TRIES), or(puk_tries, PUK_TRIES))?;
        let mut secrets = InitSecrets::new(pin, puk, &mut *self.dice).with_tries(tries);
        if let Some(duress) = duress {
            secrets = secrets.with_duress(duress)?;
        }
        Ok(secrets)
    }

    /// Selects a blank card for which somebody vouches.
    fn blank(&mut self, contact: &Contact) -> Result<(Card<Blank, Guarded<T>>, Voucher), BrokerError> {
        let card = match self.connect()? {
            Selection::Initialised(card) => {
                self.put_back(card.into_transport());
                return Err(Mismatch::NotBlank.into());
            }
            Selection::Blank(card) => card,
        };
        match self.vouch(card.info(), contact) {
            Ok(voucher) => Ok((card, voucher)),
            Err(error) => {
                self.put_back(card.into_transport());
                Err(error)
            }
        }
    }

    /// Gives the card its PIN and PUK, and remembers it.
    pub(crate) fn init(
        &mut self,
        card: Card<Blank, Guarded<T>>,
        secrets: &InitSecrets,
        voucher: Voucher,
        why: &Why,
    ) -> Result<(Card<Selected, Guarded<T>>, u64), BrokerError> {
        let request = card.request(Operation::Init);
        let blank = request.card;
        let mut step = Step::Blank(card);
        // Somebody vouched for this card, with or without a certificate.
        let trust = self.trust().with_uncertified_cards();
        let dice = &mut *self.dice;
        // The card is in `step` at every moment but while it is asked, so that no failure to record loses it.
        let ask = |recorded: &mut Recorded| {
            let Step::Blank(card) = std::mem::replace(&mut step, Step::Asked) else {
                return Err(CardError::Misuse { what: "a card is initialised once" });
            };
            match card.init(&trust, secrets, recorded, dice) {
                Ok(card) => step = Step::Initialised(card),
                Err(Failed { transport, error, .. }) => {
                    step = Step::Failed(transport);
                    return Err(error);
                }
            }
            Ok(())
        };
        let done = |(): &()| Outcome::done(None, None);
        let recorded = self.journal.carry_out(request, why, ask, done);
        match (step, recorded) {
            (Step::Initialised(card), Ok(((), entry))) => {
                let mut known = self.known(card.info());
                known.tries = Some(Tries::fresh(card.info().generation().into(), secrets.pin_tries()));
                (known.key_uid, known.chat) = (None, None);
                known.confirmed |= voucher == Voucher::Person;
                // INIT gives a card of 2.x or 3.x another name; what its owner called it stays.
                if let Some(before) = self.cards.known.find(&blank).filter(|_| blank != known.card) {
                    (known.label, known.duress) = (before.label.clone(), before.duress);
                }
                self.mirrors.begins(known.card);
                match self.cards.known.replace_with(&blank, known) {
                    Ok(()) => Ok((card, entry)),
                    Err(error) => {
                        self.put_back(card.into_transport());
                        Err(BrokerError::from(error).leaving(Left::Pin))
                    }
                }
            }
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

    /// Pairs with a card that was just initialised, if its generation pairs.
    pub(crate) fn pair_new(
        &mut self,
        card: &mut Card<Selected, Guarded<T>>,
        secrets: &InitSecrets,
        why: &Why,
    ) -> Result<(), BrokerError> {
        match card.info().generation() {
            Generation::V1 => self.pair_with(card, std::slice::from_ref(secrets.pairing()), why).map(drop),
            Generation::V2 => Ok(()),
        }
    }

    /// Pairs with a card. The pairing is on disk when this returns.
    pub(crate) fn pair_with(
        &mut self,
        card: &mut Card<Selected, Guarded<T>>,
        secrets: &[PairingSecret],
        why: &Why,
    ) -> Result<Paired, BrokerError> {
        let (id, key_uid) = (card.id(), card.info().key_uid);
        let request = card.request(Operation::Pair);
        let dice = &mut *self.dice;
        let ask = |recorded: &mut Recorded| card.pair(secrets, Lasting::Persistent, recorded, dice);
        let done = |_: &Pairing| Outcome::done(None, key_uid);
        let (pairing, entry) = self.journal.carry_out(request, why, ask, done)?;
        let paired = Paired { slot: pairing.slot, well_known: pairing.well_known, entry };
        self.cards.pairings.keep(&id, Kept { pairing, vouched: false })?;
        Ok(paired)
    }
}

/// The error of a step that did not end with an initialised card.
fn unasked<V>(recorded: Result<V, BrokerError>) -> BrokerError {
    recorded.err().unwrap_or(BrokerError::Card(CardError::Misuse { what: "a card is initialised once" }))
}

const PIN_TRIES: u8 = 3;
const PUK_TRIES: u8 = 5;
