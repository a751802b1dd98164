//! The sealer: from a payload to an envelope ready to be posted, as a machine.
//!
//! It builds the plaintext, asks the holder of the identity key for the signature, encrypts, and searches the nonce for the
//! proof of work. Invariant: what is random comes from the turn's dice in this order: the padding (unless given) when the
//! letter comes in; then, once it is signed, the GCM nonce (12 bytes), or the one-time key and IV of ECIES (32 and 16).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proto::{Answer, Ask, AskId, ChatKey, Instant, Refusal, Topic, Turn};
use zeroize::Zeroizing;

use super::plaintext::{self, ToSign};
use super::symmetric::{NONCE, SymKey};
use crate::ecies;
use crate::waku::Envelope;
use crate::waku::envelope::Draft;
use crate::waku::pow::Search;

/// Joins a letter with what became of it. Chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealToken(pub u64);

/// What is to be sealed, and how.
pub struct Letter {
    /// The envelope's topic.
    pub topic: Topic,
    /// Who can open it.
    pub key: Key,
    /// The payload.
    pub payload: Zeroizing<Vec<u8>>,
    /// The padding; none means random bytes up to a multiple of 256.
    pub padding: Option<Vec<u8>>,
    /// Whose key signs it; none leaves it unsigned.
    pub signer: Option<ChatKey>,
    /// How long the envelope lives; 0 means 50 s.
    pub ttl_s: u32,
    /// The proof of work to reach; 0 means none.
    pub pow_target: f64,
    /// How long the search for it may take.
    pub work_time: Duration,
}

/// Who can open an envelope.
#[derive(Clone)]
pub enum Key {
    /// Whoever has this key.
    Symmetric(Arc<SymKey>),
    /// The owner of this public key.
    Asymmetric(ChatKey),
}

/// What happens to a sealer.
#[expect(clippy::large_enum_variant, reason = "an input is made for one call and kept nowhere")]
pub enum Input {
    /// A letter is to be sealed.
    Seal {
        /// Its token.
        token: SealToken,
        /// The letter.
        letter: Letter,
    },
    /// The holder of the identity key answered.
    Answer(AskId, Result<Answer, Refusal>),
    /// It is the time of [`Sealer::wake_at`].
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Ask the holder of the identity key.
    Ask(AskId, Ask),
    /// A letter is finished, one way or the other.
    Event(Event),
}

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is an envelope.
    Sealed {
        /// Its token.
        token: SealToken,
        /// The envelope.
        envelope: Envelope,
    },
    /// It could not be sealed.
    Failed {
        /// Its token.
        token: SealToken,
        /// Why.
        why: SealError,
    },
}

/// Why a letter could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Too many letters are waiting.
    #[error("too many letters are waiting to be sealed")]
    Busy,
    /// The payload has more than 2^24 - 1 bytes.
    #[error("the payload is too long")]
    TooLong,
    /// Sealing takes a symmetric key of 32 bytes.
    #[error("the symmetric key has not 32 bytes")]
    KeyLength,
    /// The target is negative or no number.
    #[error("impossible proof-of-work target")]
    Target,
    /// The identity key's holder gave no signature.
    #[error("no signature")]
    NotSigned {
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// The identity key's holder gave something that is no signature of the letter by that key.
    #[error("bad signature")]
    BadSignature,
    /// The search for proof of work took too long.
    #[error("failed to reach the proof-of-work target in time")]
    PowNotReached,
}

/// How a sealer behaves.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How many letters may wait at once, for a signature or for proof of work.
    pub capacity: usize,
    /// How long a signature is waited for.
    pub sign_timeout: Duration,
    /// How many nonces are tried before the caller has its turn again.
    pub tries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { capacity: 256, sign_timeout: Duration::from_secs(60), tries: 2_048 }
    }
}

/// Seals letters.
pub struct Sealer {
    config: Config,
    next_ask: u64,
    parked: BTreeMap<AskId, Parked>,
    working: VecDeque<Working>,
    last_now: Instant,
    outputs: VecDeque<Output>,
}

/// A letter that waits for its signature.
struct Parked {
    token: SealToken,
    manner: Manner,
    to_sign: ToSign,
    signer: ChatKey,
    until: Instant,
}

/// A letter that waits for its proof of work.
struct Working {
    token: SealToken,
    draft: Draft,
    search: Search,
    until: Instant,
}

/// What of a letter matters once its plaintext is built.
struct Manner {
    topic: Topic,
    key: Key,
    ttl_s: u32,
    pow_target: f64,
    work_time: Duration,
}

impl Sealer {
    /// Returns a sealer with nothing to do.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            next_ask: 0,
            parked: BTreeMap::new(),
            working: VecDeque::new(),
            last_now: Instant::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened, and does a piece of the work that is waiting.
    pub fn handle(&mut self, turn: &mut Turn<'_>, input: Input) {
        self.last_now = turn.now;
        match input {
            Input::Seal { token, letter } => {
                if let Err(why) = self.take(turn, token, letter) {
                    self.fail(token, why);
                }
            }
            Input::Answer(id, answer) => {
                // An answer to a question that was given up means nothing.
                if let Some(parked) = self.parked.remove(&id) {
                    let token = parked.token;
                    if let Err(why) = self.sign(turn, parked, answer) {
                        self.fail(token, why);
                    }
                }
            }
            Input::Tick => {}
        }
        self.expire(turn.now);
        self.work(turn.now);
    }

    /// Returns the next thing to do; to be called until there is none after each [`Sealer::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`Input::Tick`] is due: at once while there is proof of work to be found.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        if self.working.is_empty() {
            return self.parked.values().map(|parked| parked.until).min();
        }
        Some(self.last_now)
    }

    fn take(&mut self, turn: &mut Turn<'_>, token: SealToken, letter: Letter) -> Result<(), SealError> {
        if self.parked.len() + self.working.len() >= self.config.capacity {
            return Err(SealError::Busy);
        }
        let Letter { topic, key, payload, padding, signer, ttl_s, pow_target, work_time } = letter;
        if !pow_target.is_finite() || pow_target < 0.0 {
            return Err(SealError::Target);
        }
        let padding = padding.unwrap_or_else(|| {
            let mut random = vec![0; plaintext::padding_len(payload.len(), signer.is_some())];
            turn.rng.fill_bytes(&mut random);
            random
        });
        let manner = Manner { topic, key, ttl_s, pow_target, work_time };
        let Some(signer) = signer else {
            let plaintext = plaintext::unsigned(&payload, &padding).ok_or(SealError::TooLong)?;
            return self.encrypt(turn, token, &manner, &plaintext);
        };
        let to_sign = ToSign::new(&payload, &padding).ok_or(SealError::TooLong)?;
        let id = AskId(self.next_ask);
        self.next_ask += 1;
        self.outputs.push_back(Output::Ask(id, Ask::Sign(to_sign.digest())));
        self.parked
            .insert(id, Parked { token, manner, to_sign, signer, until: turn.now.after(self.config.sign_timeout) });
        Ok(())
    }

    fn sign(&mut self, turn: &mut Turn<'_>, parked: Parked, answer: Result<Answer, Refusal>) -> Result<(), SealError> {
        let Parked { token, manner, to_sign, signer, until: _ } = parked;
        match answer {
            Ok(Answer::Sign(signature)) if signature.recover(&to_sign.digest()) == Some(signer) => {
                self.encrypt(turn, token, &manner, &to_sign.signed(&signature))
            }
            Ok(_) => Err(SealError::BadSignature),
            Err(refusal) => Err(SealError::NotSigned { refusal }),
        }
    }

    fn encrypt(
        &mut self,
        turn: &mut Turn<'_>,
        token: SealToken,
        manner: &Manner,
        plaintext: &[u8],
    ) -> Result<(), SealError> {
        let data = match &manner.key {
            Key::Symmetric(key) => {
                let mut nonce = [0; NONCE];
                turn.rng.fill_bytes(&mut nonce);
                key.encrypt(nonce, plaintext).ok_or(SealError::KeyLength)?
            }
            Key::Asymmetric(recipient) => ecies::seal(recipient, &[], plaintext, turn.rng),
        };
        let draft = Draft::new(turn.unix.to_secs(), manner.ttl_s, manner.topic, &data);
        let search = draft.search(manner.pow_target);
        self.working.push_back(Working { token, draft, search, until: turn.now.after(manner.work_time) });
        Ok(())
    }

    /// Tries some nonces for the letter whose turn it is.
    fn work(&mut self, now: Instant) {
        let Some(mut job) = self.working.pop_front() else { return };
        match job.search.advance(self.config.tries) {
            Some(nonce) => match job.draft.seal(nonce) {
                Ok(envelope) => self.outputs.push_back(Output::Event(Event::Sealed { token: job.token, envelope })),
                Err(_) => self.fail(job.token, SealError::TooLong),
            },
            None if job.until <= now => self.fail(job.token, SealError::PowNotReached),
            None => self.working.push_back(job),
        }
    }

    fn expire(&mut self, now: Instant) {
        for (_, parked) in self.parked.extract_if(.., |_, parked| parked.until <= now) {
            let why = SealError::NotSigned { refusal: Refusal::Expired };
            self.outputs.push_back(Output::Event(Event::Failed { token: parked.token, why }));
        }
    }

    fn fail(&mut self, token: SealToken, why: SealError) {
        self.outputs.push_back(Output::Event(Event::Failed { token, why }));
    }
}

#[cfg(test)]
mod tests;
