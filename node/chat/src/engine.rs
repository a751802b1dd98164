//! The engine of public chats: one owner, no clock, no dice, no key of its own.
//!
//! Posting: the message and its clock are fixed and persisted first, then the signature is asked for, and what was
//! signed is persisted before it is sent. Receiving: verify, commit, persist, tell. So a forged message changes
//! nothing, and a crash after any output neither loses a message nor uses a clock twice: drafts are asked for again
//! and unsent messages are sent again, with the same bytes, which receivers count once.

mod input;
mod output;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::{Answer, Ask, AskId, ChatKey, Instant, MessageId, Refusal, Turn, UnixMillis, UnixSecs};

use crate::clock::Lamport;
use crate::message::{ChatMessage, Content, Decoded, check_text};
use crate::name::ChatName;
use crate::protocol_message::{self, InstallationId};
use crate::seen::Seen;
use crate::state::{Change, Draft, Message, State};
use crate::wrapper::{self, Kind, Wrapper};

pub use self::input::{Input, Token};
pub use self::output::{Event, Ignored, NotPosted, Output, Parcel, Refused};

/// Who the engine speaks for.
#[derive(Debug, Clone)]
pub struct Config {
    /// The chat key: signatures by any other are refused, whoever brings them.
    pub identity: ChatKey,
    /// This device's installation.
    pub installation: InstallationId,
}

/// The machine.
pub struct Engine {
    config: Config,
    state: State,
    asked: BTreeMap<AskId, Asked>,
    sending: BTreeMap<MessageId, Sending>,
    last_ask: u64,
    outputs: VecDeque<Output>,
}

/// A draft whose signature was asked for.
struct Asked {
    chat: ChatName,
    clock: Lamport,
    token: Option<Token>,
    deadline: Instant,
}

/// How an unsent message stands.
struct Sending {
    token: Option<Token>,
    attempts: u32,
    next: Instant,
}

impl Engine {
    /// Returns the engine over what was persisted, or over [`State::default`].
    ///
    /// What a crash interrupted goes on at once: drafts are asked for, unsent messages are sent.
    #[must_use]
    pub fn new(config: Config, state: State, turn: &Turn<'_>) -> Self {
        let mut engine = Self {
            config,
            state,
            asked: BTreeMap::new(),
            sending: BTreeMap::new(),
            last_ask: 0,
            outputs: VecDeque::new(),
        };
        let drafts: Vec<Draft> = engine.state.drafts.values().cloned().collect();
        for draft in &drafts {
            engine.ask(draft, None, turn.now);
        }
        let unsent: Vec<MessageId> = engine.state.unsent.keys().copied().collect();
        for id in unsent {
            engine.sending.insert(id, Sending { token: None, attempts: 0, next: turn.now });
            engine.send(id, turn.now);
        }
        engine
    }

    /// Takes one input. What it leads to is drained by [`Engine::poll`].
    pub fn handle(&mut self, turn: &mut Turn<'_>, input: Input) {
        match input {
            Input::Join(chat) => self.join(chat),
            Input::Leave(chat) => {
                if self.state.is_joined(&chat) {
                    self.commit(Change::Left(chat));
                }
            }
            Input::Post { token, chat, text, response_to } => {
                if let Err(why) = self.post(turn, token, chat, text, response_to) {
                    self.tell(Event::NotPosted { token: Some(token), why });
                }
            }
            Input::Received { chat, payload, signer, sent } => {
                match self.receive(turn.unix, &chat, &payload, signer, sent) {
                    Ok(Verdict::New(message)) => {
                        self.commit(Change::Received(message.clone()));
                        self.tell(Event::Message(message));
                    }
                    Ok(Verdict::NotForUs(why)) => self.tell(Event::Ignored(why)),
                    Err(why) => self.tell(Event::Refused(why)),
                }
            }
            Input::Answer(id, answer) => self.answered(turn, id, answer),
            Input::Delivered(id) => self.settle(id, Event::Delivered(id)),
            Input::Tick => self.tick(turn.now),
        }
    }

    /// Returns the next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns by when [`Input::Tick`] is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.asked.values().map(|asked| asked.deadline).chain(self.sending.values().map(|sending| sending.next)).min()
    }

    /// Returns what the engine holds to be true, all of it handed out in [`Output::Persist`].
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    fn join(&mut self, chat: ChatName) {
        if self.state.is_joined(&chat) {
            return;
        }
        if self.state.chats.len() < CHATS_LIMIT || self.state.chats.contains_key(&chat) {
            self.commit(Change::Joined(chat));
        } else {
            self.tell(Event::TooManyChats(chat));
        }
    }

    fn post(
        &mut self,
        turn: &Turn<'_>,
        token: Token,
        name: ChatName,
        text: String,
        response_to: Option<MessageId>,
    ) -> Result<(), NotPosted> {
        let chat = self.state.chats.get(&name).filter(|chat| chat.joined).ok_or(NotPosted::NotJoined)?;
        check_text(&text)?;
        if self.state.drafts.len() >= DRAFTS_LIMIT || self.state.unsent.len() >= UNSENT_LIMIT {
            return Err(NotPosted::TooMany);
        }
        let clock = chat.clock.next(turn.unix).ok_or(NotPosted::ClockRanOut)?;
        let draft = Draft { chat: name, clock, timestamp: turn.unix, text, response_to };
        self.commit(Change::Drafted(draft.clone()));
        self.ask(&draft, Some(token), turn.now);
        Ok(())
    }

    fn ask(&mut self, draft: &Draft, token: Option<Token>, now: Instant) {
        self.last_ask += 1;
        let id = AskId(self.last_ask);
        let deadline = now.after(SIGNING_PATIENCE);
        self.asked.insert(id, Asked { chat: draft.chat.clone(), clock: draft.clock, token, deadline });
        self.outputs.push_back(Output::Ask(id, Ask::Sign(wrapper::to_sign(&draft.payload()))));
    }

    fn answered(&mut self, turn: &Turn<'_>, id: AskId, answer: Result<Answer, Refusal>) {
        // An answer that nobody waits for came too late.
        let Some(asked) = self.asked.remove(&id) else { return };
        let signed = match self.state.drafts.get(&(asked.chat.clone(), asked.clock)) {
            Some(draft) => self.signed(draft, answer, turn.unix),
            None => return,
        };
        match signed {
            Ok(message) => {
                let (id, message) = (message.seen.id, Box::new(message));
                self.commit(Change::Signed(message.clone()));
                self.tell(Event::Posted { token: asked.token, message: id });
                self.tell(Event::Message(message));
                self.sending.insert(id, Sending { token: asked.token, attempts: 0, next: turn.now });
                self.send(id, turn.now);
            }
            Err(why) => self.abandon(asked, why),
        }
    }

    /// Returns the message that a draft becomes by this answer.
    fn signed(&self, draft: &Draft, answer: Result<Answer, Refusal>, now: UnixMillis) -> Result<Message, NotPosted> {
        let Answer::Sign(signature) = answer? else { return Err(NotPosted::WrongSignature) };
        let (author, payload) = (self.config.identity, draft.payload());
        if signature.recover(&wrapper::to_sign(&payload)) != Some(author) {
            return Err(NotPosted::WrongSignature);
        }
        let sealed = wrapper::seal(&payload, &author, &signature);
        Ok(Message {
            seen: Seen { id: sealed.id, content: sealed.content },
            author,
            own: true,
            signed: true,
            chat: draft.chat.clone(),
            clock: draft.clock,
            timestamp: draft.timestamp,
            sent: now.to_secs(),
            received: now,
            text: draft.text.clone(),
            response_to: draft.response_to.map(|id| format!("0x{id}")).unwrap_or_default(),
            content: Content::Text,
            wrapper: sealed.bytes,
        })
    }

    fn abandon(&mut self, asked: Asked, why: NotPosted) {
        self.commit(Change::Abandoned { chat: asked.chat, clock: asked.clock });
        self.tell(Event::NotPosted { token: asked.token, why });
    }

    fn send(&mut self, id: MessageId, now: Instant) {
        let (Some(unsent), Some(sending)) = (self.state.unsent.get(&id), self.sending.get_mut(&id)) else { return };
        sending.attempts += 1;
        sending.next = now.after(ATTEMPT_EVERY);
        let payload = protocol_message::seal(&self.config.installation, &unsent.wrapper);
        let parcel = Parcel { message: id, token: sending.token, chat: unsent.chat.clone(), payload };
        self.outputs.push_back(Output::Send(parcel));
    }

    fn settle(&mut self, id: MessageId, event: Event) {
        if self.sending.remove(&id).is_some() {
            self.commit(Change::Settled(id));
            self.tell(event);
        }
    }

    /// Judges what arrived, and changes nothing.
    fn receive(
        &self,
        now: UnixMillis,
        chat: &ChatName,
        payload: &[u8],
        signer: Option<ChatKey>,
        sent: UnixSecs,
    ) -> Result<Verdict, Refused> {
        if !self.state.is_joined(chat) {
            return Ok(Verdict::NotForUs(Ignored::NotJoined));
        }
        let bytes = protocol_message::open(payload);
        let wrapper = Wrapper::open(&bytes, signer)?;
        if let Kind::Other(number) = wrapper.kind {
            return Ok(Verdict::NotForUs(Ignored::UnknownType(number)));
        }
        let seen = Seen { id: wrapper.id, content: wrapper.content };
        if self.state.seen.contains(&seen) {
            return Ok(Verdict::NotForUs(Ignored::Duplicate));
        }
        let Decoded::Public(message) = ChatMessage::decode(&wrapper.payload, sent)? else {
            return Ok(Verdict::NotForUs(Ignored::Elsewhere));
        };
        if message.chat != *chat {
            return Err(Refused::OtherChat);
        }
        Ok(Verdict::New(Box::new(Message {
            seen,
            author: wrapper.author,
            own: wrapper.author == self.config.identity,
            signed: wrapper.signed,
            chat: message.chat,
            clock: message.clock,
            timestamp: message.timestamp,
            sent,
            received: now,
            text: message.text,
            response_to: message.response_to,
            content: message.content,
            wrapper: bytes,
        })))
    }

    fn tick(&mut self, now: Instant) {
        let late: Vec<AskId> = due(&self.asked, now, |asked| asked.deadline);
        for id in late {
            if let Some(asked) = self.asked.remove(&id) {
                self.abandon(asked, NotPosted::Signature(Refusal::Expired));
            }
        }
        let again: Vec<MessageId> = due(&self.sending, now, |sending| sending.next);
        for id in again {
            if self.sending.get(&id).is_some_and(|sending| sending.attempts >= ATTEMPTS) {
                self.settle(id, Event::Undelivered(id));
            } else {
                self.send(id, now);
            }
        }
    }

    /// Takes a step and has it persisted. Everything that depends on it is put out afterwards.
    fn commit(&mut self, change: Change) {
        self.state.apply(&change);
        self.outputs.push_back(Output::Persist(change));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// What a payload turned out to be.
enum Verdict {
    New(Box<Message>),
    NotForUs(Ignored),
}

fn due<K: Copy, V>(waiting: &BTreeMap<K, V>, now: Instant, at: impl Fn(&V) -> Instant) -> Vec<K> {
    waiting.iter().filter(|(_, value)| at(value) <= now).map(|(key, _)| *key).collect()
}

/// Posts that may wait for signatures at once.
pub const DRAFTS_LIMIT: usize = 64;
/// Signed posts that may wait for peers at once.
pub const UNSENT_LIMIT: usize = 256;
/// Chats that may ever be joined: the peers refuse a topic interest of more (6/WAKU1).
pub const CHATS_LIMIT: usize = 10_000;
/// How long a draft waits for its signature: a card may want a PIN first.
pub const SIGNING_PATIENCE: Duration = Duration::from_secs(120);
/// How often a message is sent until a peer acknowledges it (status-go's `MaxMessageDeliveryAttempts`, as shipped).
pub const ATTEMPTS: u32 = 6;
/// The time between two of them: longer than the 15 s that an envelope lives.
pub const ATTEMPT_EVERY: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
