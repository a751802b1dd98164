//! How a parcel of the chat engine becomes an envelope: with the room's topic and key, signed, and with the lifetime and
//! the proof of work that status-go gives its own.
//!
//! The invariant: each parcel ends as one [`Step::Sealed`] or one [`Step::Failed`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chat::Parcel;
use proto::{Answer, Ask, AskId, ChatKey, Instant, MessageId, Refusal, Turn};
use wire::payload::{Letter, SealError, SealToken, Sealer, sealer};
use wire::waku::Envelope;
use zeroize::Zeroizing;

use crate::rooms::Room;

/// The parcels that are being sealed.
pub(super) struct Sealing {
    signer: ChatKey,
    sealer: Sealer,
    messages: BTreeMap<SealToken, MessageId>,
    last: u64,
}

/// What comes of it.
pub(super) enum Step {
    /// The identity key's holder is asked.
    Ask(AskId, Ask),
    /// The message is in this envelope.
    Sealed { message: MessageId, envelope: Envelope },
    /// There is no envelope. The chat engine sends the message again after a while.
    Failed(SealError),
}

impl Sealing {
    /// Returns a machine whose parcels this identity signs.
    pub(super) fn new(signer: ChatKey) -> Self {
        Self { signer, sealer: Sealer::new(sealer::Config::default()), messages: BTreeMap::new(), last: 0 }
    }

    /// Begins to seal a parcel for a room.
    pub(super) fn begin(&mut self, turn: &mut Turn<'_>, room: &Room, parcel: Parcel) {
        self.last += 1;
        let token = SealToken(self.last);
        let letter = Letter {
            topic: room.topic,
            key: sealer::Key::Symmetric(Arc::clone(&room.key)),
            pow_target: if parcel.payload.len() > LARGE { LARGE_POW } else { POW },
            payload: Zeroizing::new(parcel.payload),
            padding: None,
            signer: Some(self.signer),
            ttl_s: TTL_S,
            work_time: WORK_TIME,
        };
        self.messages.insert(token, parcel.message);
        self.sealer.handle(turn, sealer::Input::Seal { token, letter });
    }

    /// Takes in an answer of the identity key's holder.
    pub(super) fn answer(&mut self, turn: &mut Turn<'_>, id: AskId, answer: Result<Answer, Refusal>) {
        self.sealer.handle(turn, sealer::Input::Answer(id, answer));
    }

    /// Goes on with what waits for its time.
    pub(super) fn tick(&mut self, turn: &mut Turn<'_>) {
        if self.wake_at().is_some_and(|at| at <= turn.now) {
            self.sealer.handle(turn, sealer::Input::Tick);
        }
    }

    /// Returns when [`Self::tick`] is due.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.sealer.wake_at()
    }

    /// Returns what came of it next.
    pub(super) fn poll(&mut self) -> Option<Step> {
        loop {
            let (token, envelope) = match self.sealer.poll()? {
                sealer::Output::Ask(id, ask) => return Some(Step::Ask(id, ask)),
                sealer::Output::Event(sealer::Event::Sealed { token, envelope }) => (token, Ok(envelope)),
                sealer::Output::Event(sealer::Event::Failed { token, why }) => (token, Err(why)),
            };
            // Every token is one of ours.
            let Some(message) = self.messages.remove(&token) else { continue };
            return Some(match envelope {
                Ok(envelope) => Step::Sealed { message, envelope },
                Err(why) => Step::Failed(why),
            });
        }
    }
}

/// How long an envelope lives (status-go; 10/WAKU-USAGE asks for 10 s at least).
const TTL_S: u32 = 15;
/// The proof of work of ordinary messages (status-go; 10/WAKU-USAGE).
const POW: f64 = 0.002;
/// The proof of work of large ones.
const LARGE_POW: f64 = 0.000_002;
/// Payloads longer than this are large (status-go: strictly longer).
const LARGE: usize = 50_000;
/// How long the search for a proof of work may take (status-go).
const WORK_TIME: Duration = Duration::from_secs(5);
