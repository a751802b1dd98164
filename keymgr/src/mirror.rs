//! The log's head in a card's own memory, so that a second manager on the card shows, and a log that was set back.
//!
//! ```text
//! "CML" || version(1) = 01 || log id(16) || entries(8, big-endian) || hash of the last line(32) || root(32)    92 bytes
//! ```
//! It is written before a session ends in which something came of an operation, and read before a PIN is given to the
//! card. Whoever has the card can read it, and whoever has its PIN can write it: it finds accidents and copies of a
//! computer, not an attacker with the PIN.
//!
//! The invariant: what is not a mirror of this very log is never written over, but on the word of the owner.

use std::collections::{BTreeMap, BTreeSet};

use audit::{DataSlot, Deed, Head, LineHash, LogId, LogStore, Operation, Outcome, Root, SecondWriter};
use keycard::{ApplicationInfo, Card, CardError, CardTransport, Feature, Open};
use proto::CardId;

use crate::broker::{Broker, Session};
use crate::caller::ourselves;
use crate::cards::seat::Target;
use crate::cards::vouch::Contact;
use crate::error::BrokerError;
use crate::files::StateError;
use crate::journal::{Journal, Why};

/// Where cards keep the head of this log, and what is known of what they keep.
#[derive(Debug, Default)]
pub struct Mirrors {
    slot: Option<DataSlot>,
    /// Heads of which the owner said that a card may speak of them.
    adopted: BTreeMap<CardId, Head>,
    /// Cards that were blank when this manager gave them a PIN: what their memory speaks of is of keys that are gone.
    fresh: BTreeSet<CardId>,
    /// What the log was told of.
    told: BTreeMap<CardId, Head>,
}

/// What a card's memory speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirror {
    /// Nothing.
    Empty,
    /// This head.
    Of(Head),
    /// What another program keeps there.
    Foreign,
}

/// A card and its mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mirrored {
    /// The card.
    pub card: CardId,
    /// Where it would be.
    pub slot: DataSlot,
    /// What is there.
    pub mirror: Mirror,
    /// Whether this log stood so.
    pub is_ours: bool,
}

impl Mirrors {
    /// Returns that heads are kept in this slot of each card; nowhere without one.
    #[must_use]
    pub fn in_slot(slot: Option<DataSlot>) -> Self {
        Self { slot, ..Self::default() }
    }

    /// A blank card was given a PIN.
    pub(crate) fn begins(&mut self, card: CardId) {
        self.fresh.insert(card);
    }

    fn slot_on(&self, info: &ApplicationInfo) -> Option<DataSlot> {
        let has_slots = info.version.is_some_and(|version| version.supports(Feature::DataSlots));
        self.slot.filter(|_| has_slots)
    }

    fn takes<S: LogStore>(&self, card: &CardId, found: &Head, journal: &mut Journal<S>) -> Result<bool, BrokerError> {
        Ok(self.adopted.get(card) == Some(found) || self.fresh.contains(card) || journal.stood_at(found)?)
    }
}

impl Mirror {
    /// Returns what these bytes of a slot are.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        if bytes.is_empty() || bytes == INSTALLED { Self::Empty } else { decode(bytes).map_or(Self::Foreign, Self::Of) }
    }

    /// Returns the bytes that say how far a log goes.
    #[must_use]
    pub fn bytes(head: &Head) -> Vec<u8> {
        let log = head.log.to_bytes();
        let entries = head.entries.to_be_bytes();
        [MAGIC.as_slice(), &log, &entries, head.hash.as_bytes(), head.root.as_bytes()].concat()
    }
}

fn decode(bytes: &[u8]) -> Option<Head> {
    let rest = bytes.strip_prefix(MAGIC.as_slice())?;
    let (log, rest) = rest.split_first_chunk::<16>()?;
    let (entries, rest) = rest.split_first_chunk::<8>()?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    let root: [u8; 32] = rest.try_into().ok()?;
    Some(Head {
        log: LogId::from(*log),
        entries: u64::from_be_bytes(*entries),
        hash: LineHash::from(*hash),
        root: Root::from(root),
    })
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Keeps the log's head in the memories of cards from here on, or no longer.
    #[must_use]
    pub fn with_mirrors(mut self, mirrors: Mirrors) -> Self {
        self.mirrors = mirrors;
        self
    }

    /// Checks that the card speaks of no other history than this log's, before it is given a PIN.
    ///
    /// # Errors
    /// [`BrokerError::SecondWriter`], which is in the log; [`BrokerError::State`] when the file of the log is gone that would
    /// tell; those of the card.
    pub(crate) fn compare_mirror<C: Open>(
        &mut self,
        card: &mut Card<C, crate::guard::Guarded<T>>,
    ) -> Result<(), BrokerError> {
        let Some(slot) = self.mirrors.slot_on(card.info()) else { return Ok(()) };
        let id = card.id();
        let Mirror::Of(found) = Mirror::read(&card.data(slot)?) else { return Ok(()) };
        if self.mirrors.takes(&id, &found, &mut self.journal)? {
            return Ok(());
        }
        if self.mirrors.told.get(&id) != Some(&found) {
            self.journal.second_writer(SecondWriter { card: id, found })?;
            self.mirrors.told.insert(id, found);
        }
        Err(BrokerError::SecondWriter { card: id, log: found.log, entries: found.entries })
    }

    /// Returns what a card's memory speaks of. It needs no PIN.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`] when no mirror is kept; those of [`Broker::with_channel`] and of the card.
    pub fn mirror(&mut self, target: &Target) -> Result<Mirrored, BrokerError> {
        let (mut mirrored, head) = self.remembered_by(target)?;
        mirrored.is_ours = head.map_or(Ok(false), |head| self.journal.stood_at(&head))?;
        Ok(mirrored)
    }

    /// The same without a look at the log, and the head of which the card's memory speaks.
    fn remembered_by(&mut self, target: &Target) -> Result<(Mirrored, Option<Head>), BrokerError> {
        let wanted = self.mirrors.slot.ok_or_else(|| BrokerError::bad_input(SWITCHED_OFF))?;
        let (card, bytes) = self.with_channel(target, &Contact::default(), |mut card, _| {
            Ok((card.request(Operation::StoreData(wanted)).card, card.data(wanted)?))
        })?;
        let mirror = Mirror::read(&bytes);
        let head = if let Mirror::Of(head) = mirror { Some(head) } else { None };
        Ok((Mirrored { card, slot: wanted, mirror, is_ours: false }, head))
    }

    /// Goes on with a card that speaks of another history: its owner knows why. What it speaks of is in the log, and is
    /// written over at the end of the card's next session.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`] when it speaks of none; those of [`Self::mirror`].
    pub fn adopt(&mut self, target: &Target, why: &Why) -> Result<(Mirrored, u64), BrokerError> {
        let (found, Some(head)) = self.remembered_by(target)? else {
            return Err(BrokerError::bad_input("the card's memory speaks of no log; there is nothing to adopt"));
        };
        // The owner may go on without the file that would tell.
        let is_ours = match self.journal.stood_at(&head) {
            Err(BrokerError::State(StateError::Missing { .. })) => false,
            other => other?,
        };
        if is_ours {
            return Err(BrokerError::bad_input("the card's memory speaks of this log; there is nothing to adopt"));
        }
        let entry = self.journal.owner(Some(found.card), Deed::Adopts { found: head }, why)?;
        self.mirrors.adopted.insert(found.card, head);
        Ok((found, entry))
    }
}

impl<T: CardTransport, S: LogStore> Session<'_, T, S> {
    /// Writes the log's head into the card's memory, if something came of an operation since, and the place is free or
    /// speaks of this log.
    ///
    /// # Errors
    /// Those of the card and of the log.
    pub(crate) fn mirror(&mut self) -> Result<(), BrokerError> {
        let Self { card, journal, mirrors, .. } = self;
        let id = card.id();
        let Some(slot) = mirrors.slot_on(card.info()).filter(|_| journal.tail().is_unmirrored(&id)) else {
            return Ok(());
        };
        let is_free = match Mirror::read(&card.data(slot)?) {
            Mirror::Empty => true,
            Mirror::Of(found) => mirrors.takes(&id, &found, journal)?,
            Mirror::Foreign => false,
        };
        if !is_free {
            tracing::debug!(card = %id, "the card's memory is another program's, and keeps no head of the log");
            journal.mirrored(&id, None);
            return Ok(());
        }
        let head = journal.head();
        let request = card.request(Operation::StoreData(slot));
        let key_uid = request.key_uid;
        let why = Why::new(ourselves(), purpose()?);
        let ask = |recorded: &mut audit::Recorded| card.store_data(slot, &Mirror::bytes(&head), recorded);
        journal.carry_out(request, &why, ask, |()| Outcome::done(None, key_uid))?;
        journal.mirrored(&id, Some(head));
        mirrors.adopted.remove(&id);
        mirrors.fresh.remove(&id);
        Ok(())
    }
}

fn purpose() -> Result<audit::Purpose, BrokerError> {
    PURPOSE.parse().map_err(|_| CardError::Misuse { what: "a purpose that is none" }.into())
}

const MAGIC: [u8; 4] = *b"CML\x01";
/// What installers leave in the Cash applet's memory: their own parameters, which it takes for data.
const INSTALLED: [u8; 2] = [0xc9, 0x00];
const PURPOSE: &str = "mirror";
const SWITCHED_OFF: &str = "this manager keeps no head in the memory of cards (--mirror off)";
