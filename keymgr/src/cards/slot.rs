//! The data slots of a card: public, NDEF, cash. Anybody who holds the card can read them.

use std::ops::RangeInclusive;

use audit::{DataSlot, LogStore, Operation, Outcome, Recorded};
use keycard::{CardTransport, Metadata, NdefRecord};

use crate::broker::Broker;
use crate::cards::access::Access;
use crate::cards::init::Done;
use crate::cards::seat::Target;
use crate::cards::vouch::Contact;
use crate::error::BrokerError;
use crate::journal::Why;

/// What stands in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes; of the NDEF slot the message.
    pub bytes: Vec<u8>,
    /// What Status keeps there, if that is what it is.
    pub metadata: Option<(String, Vec<RangeInclusive<u32>>)>,
    /// The records of an NDEF message.
    pub records: Vec<NdefRecord>,
}

/// What is written into a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These bytes; of the NDEF slot a message.
    Bytes(Vec<u8>),
    /// A card's name and its wallet accounts, as Status writes them.
    Metadata(String, Vec<u32>),
    /// A message with one record.
    Record(NdefRecord),
}

impl Content {
    /// Returns the bytes.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`] when there is no such form, or not for this slot.
    fn encode(self, slot: DataSlot) -> Result<Vec<u8>, BrokerError> {
        match (self, slot) {
            (Self::Bytes(bytes), _) => Ok(bytes),
            (Self::Metadata(name, accounts), DataSlot::Public) => {
                let metadata = Metadata::new(&name, accounts).and_then(|metadata| metadata.encode());
                metadata.map_err(|error| BrokerError::bad_input(error.to_string()))
            }
            (Self::Record(record), DataSlot::Ndef) => {
                NdefRecord::encode(&[record]).map_err(|error| BrokerError::bad_input(error.to_string()))
            }
            (Self::Metadata(..), _) => Err(BrokerError::bad_input("the metadata of Status stands in the public slot")),
            (Self::Record(_), _) => Err(BrokerError::bad_input("records stand in the NDEF slot")),
        }
    }
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Reads a slot. It needs no PIN.
    ///
    /// # Errors
    /// Those of [`Broker::with_channel`] and of the card.
    pub fn card_data(&mut self, target: &Target, contact: &Contact, slot: DataSlot) -> Result<Stored, BrokerError> {
        let bytes = self.with_channel(target, contact, |mut card, _| Ok(card.data(slot)?))?;
        let metadata = match slot {
            DataSlot::Public => Metadata::decode(&bytes).ok(),
            DataSlot::Ndef | DataSlot::Cash => None,
        };
        let records = match slot {
            DataSlot::Ndef => NdefRecord::decode(&bytes).unwrap_or_default(),
            DataSlot::Public | DataSlot::Cash => Vec::new(),
        };
        let metadata = metadata.map(|metadata| (metadata.name().to_owned(), metadata.accounts().to_vec()));
        Ok(Stored { bytes, metadata, records })
    }

    /// Writes a slot.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`]; those of [`Broker::with_card`] and of the card.
    pub fn card_set_data(
        &mut self,
        access: Access,
        slot: DataSlot,
        content: Content,
        why: &Why,
    ) -> Result<Done, BrokerError> {
        let bytes = content.encode(slot)?;
        self.with_fresh_card(access, why, |broker, card| {
            let request = card.request(Operation::StoreData(slot));
            let key_uid = request.key_uid;
            let ask = |recorded: &mut Recorded| card.store_data(slot, &bytes, recorded);
            let done = |(): &()| Outcome::done(None, key_uid);
            let ((), entry) = broker.journal.carry_out(request, why, ask, done)?;
            Ok(Done { card: card.id(), key_uid, entry, warnings: Vec::new() })
        })
    }
}
