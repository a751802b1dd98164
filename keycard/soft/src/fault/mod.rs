//! A card that goes wrong when it is told to, so that tests see what the other side makes of it.
//!
//! The invariant: what goes wrong is between the card and the host. The card itself has carried every command out.

mod spec;

use std::time::Duration;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use self::spec::Kind;
pub use self::spec::{Faults, NotAFault};
use crate::card::SoftCard;

/// A software card in a reader, between which and the host things go wrong.
pub struct Faulty {
    card: SoftCard,
    faults: Faults,
    commands: u64,
    inserted: bool,
    endless: bool,
    rng: Box<dyn CryptoRng + Send>,
}

/// What comes back for a command.
pub struct Reply {
    /// How long the answer takes to come, beside the card's own time.
    pub delay: Duration,
    /// The answer; none when the card is not, or no longer, in the reader.
    pub answer: Option<Zeroizing<Vec<u8>>>,
}

impl Faulty {
    /// Puts a card into the reader. `rng` draws the garbage.
    #[must_use]
    pub fn new(card: SoftCard, faults: Faults, rng: Box<dyn CryptoRng + Send>) -> Self {
        Self { card, faults, commands: 0, inserted: true, endless: false, rng }
    }

    /// Answers one command, or what became of the answer. Commands are counted from 1, over all sessions.
    #[must_use]
    pub fn transmit(&mut self, command: &[u8]) -> Reply {
        if !self.inserted {
            return Reply { delay: Duration::ZERO, answer: None };
        }
        self.commands = self.commands.saturating_add(1);
        let kinds: Vec<_> = self.faults.at(self.commands).collect();
        let answer = if kinds.contains(&Kind::Signature) {
            self.card.transmit_wrongly_signed(command)
        } else {
            self.card.transmit(command)
        };
        let mut reply = Reply { delay: Duration::ZERO, answer: Some(Zeroizing::new(answer)) };
        for kind in kinds {
            self.befall(kind, &mut reply);
        }
        if self.endless {
            reply.answer = reply.answer.map(|_| Zeroizing::new(MORE.to_vec()));
        }
        reply
    }

    fn befall(&mut self, kind: Kind, reply: &mut Reply) {
        let Some(answer) = &mut reply.answer else { return };
        match kind {
            Kind::Delay(delay) => reply.delay = reply.delay.saturating_add(delay),
            Kind::Remove => {
                reply.answer = None;
                self.remove();
            }
            Kind::Cut(bytes) => {
                let kept = answer.len().saturating_sub(bytes);
                answer.truncate(kept);
            }
            Kind::Garbage(bytes) => {
                answer.resize(bytes, 0);
                self.rng.fill_bytes(answer);
            }
            Kind::Signature => {}
            Kind::Sw1(sw1) => {
                if let Some([first, _]) = answer.last_chunk_mut() {
                    *first = sw1;
                }
            }
            Kind::Status(status) => **answer = status.to_be_bytes().to_vec(),
            Kind::Endless => self.endless = true,
        }
    }

    /// Pulls the card out: it loses its power, and nothing answers.
    pub fn remove(&mut self) {
        self.inserted = false;
        self.endless = false;
        self.card.power_cycle();
    }

    /// Puts the card back.
    pub fn insert(&mut self) {
        self.inserted = true;
    }

    /// Returns whether the card is in the reader.
    #[must_use]
    pub fn is_inserted(&self) -> bool {
        self.inserted
    }

    /// Returns the card.
    #[must_use]
    pub fn card(&self) -> &SoftCard {
        &self.card
    }

    /// Takes the card out of the reader for good, without its power.
    #[must_use]
    pub fn into_card(mut self) -> SoftCard {
        self.card.power_cycle();
        self.card
    }

    /// Takes the power away and gives it back.
    pub fn power_cycle(&mut self) {
        self.card.power_cycle();
    }
}

/// One byte, and the promise of more.
const MORE: [u8; 3] = [0xaa, 0x61, 0xff];
