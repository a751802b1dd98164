//! Pairings with cards of 2.x and 3.x: making, ending, importing, exporting them.
//!
//! The invariant: a pairing is on disk before a channel is opened with it.

use audit::{Deed, LogStore, Operation, Outcome, Recorded};
use keycard::{ApplicationInfo, Card, CardError, CardTransport, Kind, PairingSecret, Selected};
use proto::{CardId, ChatKey};
use zeroize::Zeroizing;

use crate::broker::Broker;
use crate::cards::access::Access;
use crate::cards::init::Done;
use crate::cards::pairings::{Imported, NotImported};
use crate::cards::seat::Target;
use crate::cards::vouch::Contact;
use crate::error::{BrokerError, PairingTrouble};
use crate::guard::Guarded;
use crate::journal::Why;

/// What a pairing is made with.
pub struct Pairing {
    /// Which card.
    pub target: Target,
    /// What its owner says of it.
    pub contact: Contact,
    /// The card's pairing password; without one the well-known one of other programs is tried.
    pub password: Option<Zeroizing<String>>,
}

/// A pairing that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paired {
    /// The verb's own report.
    pub done: Done,
    /// The slot.
    pub slot: u8,
    /// How many are free after that.
    pub free_slots: u8,
    /// Whether everybody knows the card's password.
    pub well_known: bool,
}

/// Which pairings are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one in this slot.
    Slot(u8),
    /// All but ours.
    Others,
    /// Ours.
    Ours,
}

/// What happened to the pairings of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpaired {
    /// The verb's own report.
    pub done: Done,
    /// How many slots are free after that.
    pub free_slots: u8,
}

/// The form in which another program keeps its pairings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A desktop `pairings.json`.
    Desktop,
    /// The base64 text of a phone, for one card.
    Mobile,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Pairs with a card. A pairing that there is stays, unless the card does not take it any more.
    ///
    /// # Errors
    /// [`BrokerError::Pairing`] when this computer is paired with it already; those of the card.
    pub fn card_pair(&mut self, pairing: Pairing, why: &Why) -> Result<Paired, BrokerError> {
        let Pairing { target, contact, password } = pairing;
        let default = || Zeroizing::new(DEFAULT_PASSWORD.to_owned());
        let secrets = PairingSecret::of_password(&password.unwrap_or_else(default));
        self.at(&target, |broker| {
            let mut card = broker.selected(&contact)?;
            if broker.cards.pairings.find(&card.id()).is_some() {
                broker.unless_paired(card)?;
                card = broker.selected(&contact)?;
            }
            let (id, key_uid, free) = (card.id(), card.info().key_uid, free_slots(card.info()));
            let result = match &card.info().kind {
                Kind::V1 { free_slots: 0, .. } => Err(PairingTrouble::NoSlot.into()),
                Kind::V1 { .. } => broker.pair_with(&mut card, &secrets, why),
                _ => Err(PairingTrouble::NotNeeded.into()),
            };
            broker.put_back(card.into_transport());
            let paired = result?;
            if contact.first_pairing {
                broker.cards.pairings.vouch(&id)?;
            }
            let warnings = if paired.well_known { vec![WELL_KNOWN.to_owned()] } else { Vec::new() };
            let done = Done { card: id, key_uid, entry: paired.entry, warnings };
            let free_slots = free.saturating_sub(1);
            Ok(Paired { done, slot: paired.slot, free_slots, well_known: paired.well_known })
        })
    }

    /// Says no when the card takes the pairing that there is with it; the card is reset.
    fn unless_paired(&mut self, card: Card<Selected, Guarded<T>>) -> Result<(), BrokerError> {
        match self.open(card) {
            Ok(card) => {
                self.put_back(card.into_transport());
                Err(PairingTrouble::Already.into())
            }
            Err(BrokerError::Card(CardError::Unpaired(keycard::Unpaired::NotTaken { .. }))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends pairings of a card.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`] for a slot that the card has not; those of the card.
    pub fn card_unpair(&mut self, access: Access, which: Which, why: &Why) -> Result<Unpaired, BrokerError> {
        let target = access.target.clone();
        let done = self.with_fresh_card(access, why, |broker, card| {
            let (id, key_uid) = (card.id(), card.info().key_uid);
            let own = broker.cards.pairings.find(&id).map(|kept| kept.pairing.slot);
            let slots = match which {
                Which::Slot(slot) => slot..slot.saturating_add(1),
                // The first slot that the card has not ends this.
                Which::Others => 0..MAX_SLOTS,
                Which::Ours => {
                    let own = own.ok_or(PairingTrouble::None)?;
                    own..own.saturating_add(1)
                }
            };
            let mut entry = 0;
            for slot in slots {
                if which == Which::Others && Some(slot) == own {
                    continue;
                }
                let request = card.request(Operation::Unpair(slot));
                let ask = |recorded: &mut Recorded| card.unpair(slot, recorded);
                let done = |_: &bool| Outcome::done(None, key_uid);
                let (there, seq) = broker.journal.carry_out(request, why, ask, done)?;
                entry = seq;
                if Some(slot) == own {
                    broker.cards.pairings.forget(&id)?;
                }
                match (there, which) {
                    (true, _) => {}
                    (false, Which::Others) => break,
                    (false, _) => return Err(BrokerError::bad_input(format!("the card has no pairing slot {slot}"))),
                }
            }
            Ok(Done { card: id, key_uid, entry, warnings: Vec::new() })
        })?;
        let info = self.at(&target, |broker| broker.card_says())?;
        Ok(Unpaired { done, free_slots: free_slots(&info) })
    }

    /// Takes pairings of another program, and returns with which cards. Those that are known stay as they are.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`] when they are none; [`BrokerError::Pairing`] for a phone's pairing with a card that has one
    /// here, or has none at all; [`BrokerError::State`].
    pub fn import_pairings(
        &mut self,
        target: &Target,
        form: Form,
        text: &[u8],
        why: &Why,
    ) -> Result<Vec<CardId>, BrokerError> {
        let not = |error: NotImported| BrokerError::bad_input(error.to_string());
        let imported = match form {
            Form::Desktop => Imported::desktop(text).map_err(not)?,
            Form::Mobile => {
                let card = self.at(target, |broker| broker.card_says())?.card_id();
                let CardId::Instance(uid) = card else { return Err(PairingTrouble::NotNeeded.into()) };
                if self.cards.pairings.find(&card).is_some() {
                    return Err(PairingTrouble::Already.into());
                }
                Imported::mobile(uid, text).map_err(not)?
            }
        };
        self.cards.pairings.has_room_for(&imported).map_err(not)?;
        let cards = imported.cards();
        let deed = Deed::ImportsPairings { count: u32::try_from(cards.len()).unwrap_or(u32::MAX) };
        self.journal.owner(only(&cards), deed, why)?;
        self.cards.pairings.import(imported)?;
        Ok(cards)
    }

    /// Returns pairings in the form of another program, sealed to the caller's one-time key: of one card, or of all. The log
    /// has it before.
    ///
    /// # Errors
    /// [`BrokerError::Pairing`] when there is none with the card; [`BrokerError::Log`].
    pub fn export_pairings(
        &mut self,
        target: Option<&Target>,
        form: Form,
        caller: &ChatKey,
        why: &Why,
    ) -> Result<proto::rpc::api::Sealed, BrokerError> {
        let card = target.map(|target| self.at(target, |broker| broker.card_says())).transpose()?;
        let card = card.map(|info| info.card_id());
        if let Some(card) = &card
            && self.cards.pairings.find(card).is_none()
        {
            return Err(PairingTrouble::None.into());
        }
        let text = match (form, &card) {
            (Form::Desktop, card) => self.cards.pairings.export_desktop(card.as_ref()),
            (Form::Mobile, Some(card)) => self.cards.pairings.export_mobile(card).ok_or(PairingTrouble::None)?,
            (Form::Mobile, None) => {
                return Err(BrokerError::bad_input("a phone keeps the pairing of one card; name it"));
            }
        };
        let slot = card.and_then(|card| self.cards.pairings.find(&card)).map(|kept| kept.pairing.slot);
        let count = if card.is_some() { 1 } else { self.cards.pairings.count() };
        self.journal.owner(card, Deed::ExportsPairings { count, slot }, why)?;
        self.seal_bytes(caller, proto::rpc::seal::PAIRINGS, &text)
    }

    /// Returns what the card in the current seat says when it is selected. A session that it is in goes on.
    pub(crate) fn card_says(&mut self) -> Result<ApplicationInfo, BrokerError> {
        if let Ok((card, _)) = self.unlocked() {
            return Ok(card.info().clone());
        }
        let selection = self.connect()?;
        let info = crate::cards::seat::info_of(&selection).clone();
        self.put_back(crate::cards::seat::transport_of(selection));
        Ok(info)
    }

    /// Seals secret bytes to the caller's one-time key.
    pub(crate) fn seal_bytes(
        &mut self,
        caller: &ChatKey,
        context: &str,
        secret: &[u8],
    ) -> Result<proto::rpc::api::Sealed, BrokerError> {
        proto::rpc::seal::seal(&caller.to_compressed(), context, secret, &mut *self.dice)
            .map_err(|error| BrokerError::bad_input(error.to_string()))
    }
}

/// Returns the pairing secret that is meant: of a password, or a random one. A password that everybody knows is taken on the
/// word of the owner alone, whose other programs need it.
pub(crate) fn secret_of(
    password: Option<&str>,
    contact: &Contact,
    dice: &mut dyn rand_core::CryptoRng,
) -> Result<PairingSecret, BrokerError> {
    let Some(password) = password else { return Ok(PairingSecret::random(dice)) };
    let secret = PairingSecret::of_password(password).into_iter().next();
    let secret = secret.ok_or_else(|| BrokerError::bad_input("no pairing password"))?;
    if secret.is_well_known() && !contact.first_pairing {
        return Err(BrokerError::bad_input(EVERYBODY_KNOWS_IT));
    }
    Ok(if contact.first_pairing { secret.wanted() } else { secret })
}

/// Returns the card, where it is one.
fn only(cards: &[CardId]) -> Option<CardId> {
    match cards {
        [card] => Some(*card),
        _ => None,
    }
}

fn free_slots(info: &ApplicationInfo) -> u8 {
    match info.kind {
        Kind::V1 { free_slots, .. } => free_slots,
        _ => 0,
    }
}

/// More than any applet has.
const MAX_SLOTS: u8 = 128;
/// What the Status programs set, and try first.
const DEFAULT_PASSWORD: &str = "KeycardDefaultPairing";
const EVERYBODY_KNOWS_IT: &str = "everybody knows this pairing password, so whoever holds the card for a moment can pair with \
                                  it; take another one, or repeat with --first-pairing if other programs need this one";
pub(crate) const WELL_KNOWN: &str = "this card takes the pairing password that everybody knows: whoever holds it for a moment can pair \
                          with it. Set another one with `cardinal card pairings password`";
