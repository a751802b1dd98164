//! The public keys that a card showed before, and must show again.
//!
//! They are kept of sessions in which the main PIN was entered: under duress a card has other keys. In quiet mode none are,
//! for a file that changes with one PIN and not with the other tells which was entered.

use audit::LogStore;
use keycard::{ApplicationInfo, CardTransport, KnownKeys};
use proto::{ExportPath, Fingerprint, KeyUid};

use crate::broker::Broker;
use crate::cards::known::Duress;
use crate::guard::GuardedCard;

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Holds a card whose main PIN was entered to the keys that it showed before.
    pub(crate) fn hold_to_keys(&self, card: &mut GuardedCard<T>, key_uid: KeyUid, chat: Fingerprint) {
        let known = self.known(card.info());
        if known.duress == Duress::DecoyQuiet {
            return;
        }
        let mut keys =
            Some(known.keys).filter(|keys| keys.key_uid() == Some(key_uid)).unwrap_or(KnownKeys::of(key_uid));
        keys.insert(ExportPath::chat().as_path().clone(), chat);
        card.expect_keys(keys);
    }

    /// Ends a session: what came of it is signed, the card is reset, and then what it showed is remembered.
    pub(crate) fn finish(&mut self, mut card: GuardedCard<T>) {
        self.part_from(&mut card);
        self.dismiss(card);
    }

    /// Ends a session without asking the card for anything more.
    pub(crate) fn dismiss(&mut self, card: GuardedCard<T>) {
        let (info, keys) = (card.info().clone(), card.known_keys().clone());
        self.put_back(card.into_transport());
        self.remember_keys(&info, keys);
    }

    /// Remembers the keys that a card showed in a session that is over, if it was held to any.
    fn remember_keys(&mut self, info: &ApplicationInfo, keys: KnownKeys) {
        let mut known = self.known(info);
        if known.duress == Duress::DecoyQuiet || keys.key_uid().is_none() || keys.key_uid() != known.key_uid {
            return;
        }
        known.keys = keys;
        if let Err(error) = self.cards.known.keep(known) {
            tracing::warn!("the keys that the card showed are not remembered: {error}");
        }
    }
}
