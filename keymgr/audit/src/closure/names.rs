//! Whose the keys are that lines name by a card alone: of the account that a line before or after sees on that card, as long as
//! no other key was put on it in between. What another program puts there while a reader is lent shows by its account.

use proto::{CardId, KeyUid};

use super::history::{Account, History, Wallet};
use crate::recorded::Request;

/// Which key a card holds, as far as lines tell.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    /// How many it held before.
    pub(super) before: u32,
    /// The account, when a line told it.
    pub(super) key_uid: Option<KeyUid>,
    /// Whether something was asked of it before a line told.
    pub(super) is_nameless: bool,
}

impl Held {
    /// Returns the next key, of which nothing is told yet.
    pub(super) fn next(self) -> Self {
        Self { before: self.before.saturating_add(1), ..Self::default() }
    }
}

impl History {
    /// Returns a tree by the name that the lines up to here give it.
    pub(crate) fn named(&self, wallet: &Wallet) -> Wallet {
        let Account::Card(card, before) = wallet.account else { return *wallet };
        let account = self.names.get(&(card, before)).map_or(wallet.account, |uid| Account::KeyUid(*uid));
        Wallet { account, decoy: wallet.decoy }
    }

    /// Takes that a card was asked for something, by its account or without.
    pub(super) fn asked_of(&mut self, Request { card, key_uid, .. }: &Request) {
        let held = &mut self.cards.entry(*card).or_default().held;
        match key_uid {
            None => held.is_nameless |= held.key_uid.is_none(),
            same if held.key_uid == *same => {}
            key_uid => self.holds(card, *key_uid),
        }
    }

    /// Takes the account that a line sees on a card.
    pub(super) fn holds(&mut self, card: &CardId, key_uid: Option<KeyUid>) {
        let Some(key_uid) = key_uid else { return };
        let held = &mut self.cards.entry(*card).or_default().held;
        if held.key_uid.is_some_and(|before| before != key_uid) {
            *held = held.next();
        }
        if held.key_uid.replace(key_uid).is_none() && held.is_nameless {
            self.names.insert((*card, held.before), key_uid);
        }
    }

    /// Returns what is known once a request is recorded that tells whose the keys are that its card was asked for before;
    /// nothing when it does not.
    pub(super) fn naming(&self, request: &Request) -> Option<Self> {
        let held = self.cards.get(&request.card)?.held;
        let tells = held.is_nameless && held.key_uid.is_none() && request.key_uid.is_some();
        tells.then(|| {
            let mut named = self.clone();
            named.holds(&request.card, request.key_uid);
            named
        })
    }
}
