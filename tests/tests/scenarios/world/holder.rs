//! The holder of an identity key: quick as memory, or slow as a card.

use std::collections::VecDeque;
use std::time::Duration;

use k256::ecdsa::SigningKey;
use proto::{Answer, Ask, AskId, ChatKey, Instant, RecoverableSignature, Refusal};

/// Which machine asks: each numbers its asks by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Engine,
    Sealer,
}

/// An answer, and whose it is.
pub(crate) type Answered = (Asker, AskId, Result<Answer, Refusal>);

pub(crate) struct Holder {
    key: SigningKey,
    takes: Duration,
    asked: VecDeque<(Instant, Asker, AskId, Ask)>,
}

impl Holder {
    pub(crate) fn new(key: SigningKey) -> Self {
        Self { key, takes: Duration::ZERO, asked: VecDeque::new() }
    }

    pub(crate) fn identity(&self) -> ChatKey {
        ChatKey::from(k256::PublicKey::from(self.key.verifying_key()))
    }

    pub(crate) const fn takes(&mut self, time: Duration) {
        self.takes = time;
    }

    pub(crate) fn ask(&mut self, now: Instant, asker: Asker, id: AskId, ask: Ask) {
        self.asked.push_back((now.after(self.takes), asker, id, ask));
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.asked.iter().map(|(at, ..)| *at).min()
    }

    pub(crate) fn answer(&mut self, now: Instant) -> Option<Answered> {
        let next = self.asked.iter().position(|(at, ..)| *at <= now)?;
        let (_, asker, id, ask) = self.asked.remove(next)?;
        let answer = match ask {
            Ask::Sign(digest) => Ok(Answer::Sign(RecoverableSignature::sign(&self.key, &digest))),
            Ask::Ecdh(_) => Err(Refusal::Refused),
        };
        Some((asker, id, answer))
    }

    pub(crate) fn forget(&mut self) {
        self.asked.clear();
    }
}
