//! Who has which card, for what, until when, as the local API tells it.

use audit::LogStore;
use keycard::CardTransport;
use proto::rpc::api;

use crate::broker::Broker;
use crate::reader::state::{Lifetime, Phase};
use crate::seats::Seat;

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Returns how long the PIN at a seat stays valid, as the local API tells it: the largest number is no end.
    pub(crate) fn pin_seconds_left(&self, seat: &Seat<T>) -> u64 {
        match seat.state.phase() {
            Phase::Unlocked(_) => self.pin_left(seat).map_or(u64::MAX, |left| left.as_secs()),
            _ => 0,
        }
    }

    /// Returns a reader that is looked after, and who has the card in it.
    pub(crate) fn told(&self, seat: &Seat<T>) -> Option<api::Seat> {
        if seat.name.is_empty() {
            return None;
        }
        let phase = seat.state.phase();
        let now = self.journal.monotonic();
        let info = seat.known();
        let card = info.map(|info| info.card_id());
        let (holder, purpose) = match (&seat.lease, phase) {
            (Some(lease), _) => (lease.holder.clone(), lease.purpose.clone()),
            (None, Phase::Recognised(_)) => ("the key manager".to_owned(), "its owner's PIN".to_owned()),
            (None, _) => Default::default(),
        };
        Some(api::Seat {
            reader: seat.name.clone(),
            state: phase.name().to_owned(),
            card: card.map(|card| card.to_string()).unwrap_or_default(),
            label: card.and_then(|card| self.label_of(&card)).unwrap_or_default(),
            key_uid: info.and_then(|info| info.key_uid).map(|uid| uid.to_string()).unwrap_or_default(),
            decoy: self.is_decoy_at(seat),
            holder,
            purpose,
            seconds_left: match phase {
                Phase::Unlocked(_) => self.pin_seconds_left(seat),
                Phase::Recognised(until) | Phase::Lent(until) => until.since(now).as_secs(),
                _ => 0,
            },
            each_use: matches!(phase, Phase::Unlocked(Lifetime { each_use: true, .. })),
        })
    }
}
