//! The chat side of a node: the chat engine, the sealer, the identity key's holder, the store, and who listens.
//!
//! Invariants: what the chat engine wants persisted is on the disk before anything after it is done; when the disk
//! refuses, the engine is thrown away as in a crash and begins again from what is on the disk. What arrived in between
//! is held, in bounds, and handed to it then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chat::{ChatName, Engine, Event, Input, Output, Parcel};
use proto::rpc::Fault;
use proto::{ChatKey, EnvelopeHash, Instant, Topic, UnixSecs};
use wire::payload::{Arrival, Filter, Filters, OpenError};
use wire::waku::Envelope;

use super::command::{Following, Post, Trouble};
use super::followers::Followers;
use super::posts::{Posts, not_posted};
use super::sealing::{Sealing, Step};
use super::watchers::Happening;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::identity::{Answered, Asker, Identity};
use crate::rooms::{Room, Rooms, TooMany};
use crate::store::{Line, Store, StoreError};

/// One person's chats.
pub(crate) struct Person {
    clock: Clock,
    counters: Counters,
    config: chat::Config,
    chat: Chat,
    sealing: Sealing,
    identity: Identity,
    store: Store,
    rooms: BTreeMap<ChatName, Arc<Room>>,
    filters: Filters<ChatName>,
    followers: Followers,
    posts: Posts,
    effects: VecDeque<Effect>,
}

/// What the chat side wants of the engine.
pub(super) enum Effect {
    /// Send this envelope.
    Post(Envelope),
    /// The topics of the chats have changed.
    Topics,
    /// Tell those who watch.
    Tell(Happening),
}

/// The chat engine, unless the disk is full.
enum Chat {
    Running(Box<Engine>),
    Suspended { until: Instant, why: Trouble, held: VecDeque<Received> },
}

/// An opened envelope.
#[derive(Clone)]
struct Received {
    chat: ChatName,
    payload: Vec<u8>,
    signer: Option<ChatKey>,
    sent: UnixSecs,
}

impl Received {
    fn into_input(self) -> Input {
        let Self { chat, payload, signer, sent } = self;
        Input::Received { chat, payload, signer, sent }
    }
}

impl Person {
    /// Starts from what the store holds; what a crash interrupted goes on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn begin(
        clock: Clock,
        counters: Counters,
        identity: Identity,
        store: Store,
        rooms: &Rooms,
    ) -> Result<Self, StoreError> {
        let config = chat::Config { identity: identity.public(), installation: store.installation().await? };
        let state = store.state().await?;
        let mut joined = BTreeMap::new();
        for (name, _) in state.chats.iter().filter(|(_, chat)| chat.joined) {
            match rooms.of(name.clone()).await {
                Ok(room) => drop(joined.insert(name.clone(), room)),
                Err(TooMany { limit }) => tracing::warn!(limit, "a joined chat is over the limit and stays silent"),
            }
        }
        let engine = Box::new(clock.turn(|turn| Engine::new(config.clone(), state, turn)));
        let mut person = Self {
            clock,
            counters,
            config,
            chat: Chat::Running(engine),
            sealing: Sealing::new(identity.public()),
            identity,
            store,
            filters: joined.values().fold(Filters::default(), |mut filters, room| {
                filters.insert(room.name.clone(), filter(room));
                filters
            }),
            rooms: joined,
            followers: Followers::default(),
            posts: Posts::default(),
            effects: VecDeque::new(),
        };
        person.say_topics();
        person.settle().await?;
        Ok(person)
    }

    /// Returns whose chats they are.
    pub(crate) fn owner(&self) -> ChatKey {
        self.identity.public()
    }

    /// Returns the next thing that is to be done.
    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Waits for an answer of the identity key's holder.
    pub(super) async fn answer(&mut self) -> Answered {
        self.identity.answer().await
    }

    /// Takes in an answer of the identity key's holder.
    pub(super) async fn answered(&mut self, answered: Answered) -> Result<(), StoreError> {
        self.pass_on(answered);
        self.settle().await
    }

    /// Opens an envelope for the first of the chats on its topic whose key it has.
    pub(super) async fn received(&mut self, envelope: &Envelope, arrival: Arrival) -> Result<(), StoreError> {
        let mut received = None;
        for (chat, opened) in self.filters.open(envelope, arrival) {
            match opened {
                Ok(opened) => {
                    let (payload, signer) = (opened.payload().to_vec(), opened.signer());
                    received = Some(Received { chat: chat.clone(), payload, signer, sent: envelope.sent() });
                    break;
                }
                Err(OpenError::Decrypt) => self.counters.count("payload", "not-ours"),
                Err(_) => self.counters.count("payload", "malformed"),
            }
        }
        match received {
            Some(received) => self.take(received).await,
            None => Ok(()),
        }
    }

    /// A peer has an envelope of ours.
    pub(super) async fn acknowledged(&mut self, envelope: EnvelopeHash) -> Result<(), StoreError> {
        let now = self.clock.now();
        if let (Some(message), Chat::Running(engine)) = (self.posts.acknowledged(now, envelope), &mut self.chat) {
            self.clock.turn(|turn| engine.handle(turn, Input::Delivered(message)));
        }
        self.settle().await
    }

    /// An envelope of ours is no longer in the pool.
    pub(super) fn expired(&mut self, envelope: EnvelopeHash) {
        self.posts.expired(envelope);
    }

    /// Follows a chat, joining it first if need be.
    pub(super) async fn follow(
        &mut self,
        room: Arc<Room>,
        history: u32,
    ) -> Result<Result<Following, Trouble>, StoreError> {
        if let Err(trouble) = self.join(&room).await? {
            return Ok(Err(trouble));
        }
        let past = self.store.history(room.name.as_str().to_owned(), history).await?;
        Ok(Ok(self.followers.add(room.name.clone(), past)))
    }

    /// Leaves a chat, and lets those go who follow it. Returns whether it was joined.
    pub(super) async fn leave(&mut self, name: &ChatName) -> Result<Result<bool, Trouble>, StoreError> {
        match &mut self.chat {
            Chat::Suspended { why, .. } => return Ok(Err(why.clone())),
            Chat::Running(engine) => self.clock.turn(|turn| engine.handle(turn, Input::Leave(name.clone()))),
        }
        self.settle().await?;
        if let Chat::Suspended { why, .. } = &self.chat {
            return Ok(Err(why.clone()));
        }
        let was_joined = self.rooms.remove(name).is_some();
        self.filters.remove(name);
        self.followers.forget(name);
        if was_joined {
            self.effects.push_back(Effect::Tell(Happening::Left(name.clone())));
        }
        self.say_topics();
        Ok(Ok(was_joined))
    }

    /// Writes in a chat, joining it first if need be.
    pub(super) async fn post(&mut self, post: Post) -> Result<(), StoreError> {
        let Post { room, text, response_to, until, within, reply } = post;
        if let Err(trouble) = self.join(&room).await? {
            drop(reply.send(Err(trouble)));
            return Ok(());
        }
        let Some(token) = self.posts.begin(self.clock.now(), until, within, reply) else { return Ok(()) };
        if let Chat::Running(engine) = &mut self.chat {
            let input = Input::Post { token, chat: room.name.clone(), text, response_to };
            self.clock.turn(|turn| engine.handle(turn, input));
        }
        self.settle().await
    }

    /// Ends what has waited long enough; `peers` are connected.
    pub(super) async fn tick(&mut self, peers: usize) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.posts.tick(now, peers);
        self.clock.turn(|turn| self.sealing.tick(turn));
        match &mut self.chat {
            Chat::Running(engine) if engine.wake_at().is_some_and(|at| at <= now) => {
                self.clock.turn(|turn| engine.handle(turn, Input::Tick));
            }
            Chat::Suspended { until, .. } if *until <= now => self.resume().await?,
            _ => {}
        }
        self.settle().await
    }

    /// Returns when [`Self::tick`] is due.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let chat = match &self.chat {
            Chat::Running(engine) => engine.wake_at(),
            Chat::Suspended { until, .. } => Some(*until),
        };
        [chat, self.sealing.wake_at(), self.posts.wake_at()].into_iter().flatten().min()
    }

    /// Returns the names of the followed chats.
    pub(super) fn chats(&self) -> Vec<String> {
        self.rooms.keys().map(|name| name.as_str().to_owned()).collect()
    }

    /// Returns their topics.
    pub(super) fn topics(&self) -> impl Iterator<Item = Topic> {
        self.filters.topics()
    }

    /// Returns the latest stored messages of a chat, oldest first.
    pub(super) async fn history(&self, chat: &ChatName, limit: u32) -> Result<Vec<Line>, StoreError> {
        self.store.history(chat.as_str().to_owned(), limit).await
    }

    /// Returns how many messages are kept.
    pub(super) async fn stored(&self) -> Result<u64, StoreError> {
        self.store.count().await
    }

    /// Lets everybody go who follows or waits, because the node stops.
    pub(super) fn let_go(&mut self) {
        self.followers = Followers::default();
        self.posts = Posts::default();
    }

    /// Closes the store.
    pub(super) async fn end(self) -> Result<(), StoreError> {
        self.store.close().await
    }

    async fn join(&mut self, room: &Arc<Room>) -> Result<Result<(), Trouble>, StoreError> {
        if self.rooms.contains_key(&room.name) {
            return Ok(match &self.chat {
                Chat::Running(_) => Ok(()),
                Chat::Suspended { why, .. } => Err(why.clone()),
            });
        }
        if let Chat::Running(engine) = &mut self.chat {
            self.clock.turn(|turn| engine.handle(turn, Input::Join(room.name.clone())));
        }
        self.settle().await?;
        match &self.chat {
            Chat::Running(engine) if engine.state().is_joined(&room.name) => {
                self.rooms.insert(room.name.clone(), Arc::clone(room));
                self.filters.insert(room.name.clone(), filter(room));
                self.effects.push_back(Effect::Tell(Happening::Joined(room.name.clone())));
                self.say_topics();
                Ok(Ok(()))
            }
            Chat::Running(_) => Ok(Err(Trouble::busy("this node follows as many chats as it can"))),
            Chat::Suspended { why, .. } => Ok(Err(why.clone())),
        }
    }

    /// Hands an opened envelope to the chat engine, or holds it while the disk is full.
    async fn take(&mut self, received: Received) -> Result<(), StoreError> {
        if let Chat::Running(engine) = &mut self.chat {
            let again = received.clone();
            self.clock.turn(|turn| engine.handle(turn, received.into_input()));
            self.settle().await?;
            if let Chat::Suspended { held, .. } = &mut self.chat {
                held.push_front(again);
            }
            return Ok(());
        }
        if let Chat::Suspended { held, .. } = &mut self.chat {
            if held.len() >= HELD || held.iter().map(|one| one.payload.len()).sum::<usize>() >= HELD_BYTES {
                self.counters.count("message", "lost-disk-full");
            } else {
                held.push_back(received);
            }
        }
        Ok(())
    }

    /// Does what the machines want, in order.
    async fn settle(&mut self) -> Result<(), StoreError> {
        loop {
            if let Some(step) = self.sealing.poll() {
                self.sealed(step);
                continue;
            }
            let Chat::Running(engine) = &mut self.chat else { return Ok(()) };
            match engine.poll() {
                None => return Ok(()),
                Some(Output::Persist(change)) => match self.store.persist(change).await {
                    Ok(()) => {}
                    Err(error @ StoreError::DiskFull { .. }) => self.suspend(&error),
                    Err(error) => return Err(error),
                },
                Some(Output::Send(parcel)) => self.seal(parcel),
                Some(Output::Ask(id, ask)) => {
                    if let Some(refused) = self.identity.ask(Asker::Chat, id, ask) {
                        self.pass_on(refused);
                    }
                }
                Some(Output::Event(event)) => self.event(event),
            }
        }
    }

    fn pass_on(&mut self, Answered { asker, id, answer }: Answered) {
        match (asker, &mut self.chat) {
            (Asker::Sealer, _) => {
                self.clock.turn(|turn| self.sealing.answer(turn, id, answer));
            }
            (Asker::Chat, Chat::Running(engine)) => {
                self.clock.turn(|turn| engine.handle(turn, Input::Answer(id, answer)));
            }
            // The engine that begins again asks again.
            (Asker::Chat, Chat::Suspended { .. }) => {}
        }
    }

    fn suspend(&mut self, error: &StoreError) {
        tracing::error!(%error, "nothing can be written; trying again every second");
        self.counters.count("store", "disk-full");
        let why = Trouble::new(Fault::DiskFull, error.to_string());
        self.posts.fail_unsigned(&why);
        self.chat = Chat::Suspended { until: self.clock.now().after(RETRY), why, held: VecDeque::new() };
    }

    async fn resume(&mut self) -> Result<(), StoreError> {
        let state = self.store.state().await?;
        let config = self.config.clone();
        let engine = Box::new(self.clock.turn(|turn| Engine::new(config, state, turn)));
        let Chat::Suspended { mut held, .. } = std::mem::replace(&mut self.chat, Chat::Running(engine)) else {
            return Ok(());
        };
        self.settle().await?;
        while let Some(received) = held.pop_front() {
            // What does not fit yet is held again, in its order.
            self.take(received).await?;
        }
        Ok(())
    }

    fn seal(&mut self, parcel: Parcel) {
        if let Some(room) = self.rooms.get(&parcel.chat) {
            self.clock.turn(|turn| self.sealing.begin(turn, room, parcel));
        }
    }

    fn sealed(&mut self, step: Step) {
        match step {
            Step::Ask(id, ask) => {
                if let Some(refused) = self.identity.ask(Asker::Sealer, id, ask) {
                    self.pass_on(refused);
                }
            }
            Step::Sealed { message, envelope } => {
                self.posts.sealed(envelope.hash(), message);
                self.effects.push_back(Effect::Post(envelope));
            }
            Step::Failed(why) => {
                self.counters.count("seal", "failed");
                tracing::warn!(%why, "a message could not be sealed");
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Message(message) => {
                self.counters.count("message", if message.own { "own" } else { "received" });
                let line = Line::from(&*message);
                self.followers.tell(&message.chat, &line);
                self.effects.push_back(Effect::Tell(Happening::Message(Box::new(line))));
            }
            Event::Posted { token: Some(token), message } => self.posts.signed(self.clock.now(), token, message),
            Event::NotPosted { token: Some(token), why } => self.posts.failed(token, not_posted(why)),
            Event::Posted { token: None, .. } | Event::NotPosted { token: None, .. } => {}
            Event::Delivered(message) => {
                self.counters.count("message", "delivered");
                self.effects.push_back(Effect::Tell(Happening::Sent(message)));
            }
            // The caller is told by `join`, which looks whether it was joined.
            Event::TooManyChats(_) => self.counters.count("chat", "too-many"),
            Event::Undelivered(message) => {
                self.counters.count("message", "undelivered");
                self.effects.push_back(Effect::Tell(Happening::Expired(message)));
            }
            Event::Ignored(why) => self.counters.count("message.ignored", ignored(why)),
            Event::Refused(why) => {
                self.counters.count("message.refused", refused(why));
                tracing::debug!(%why, "message refused");
            }
        }
    }

    fn say_topics(&mut self) {
        self.effects.push_back(Effect::Topics);
    }
}

/// What a chat reads: everything on its topic, old envelopes from a trusted peer among it.
fn filter(room: &Room) -> Filter {
    Filter { topics: vec![room.topic], key: Arc::clone(&room.key), min_pow: 0.0, direct: true }
}

fn ignored(why: chat::Ignored) -> &'static str {
    match why {
        chat::Ignored::NotJoined => "not-joined",
        chat::Ignored::Duplicate => "duplicate",
        chat::Ignored::UnknownType(_) => "unknown-type",
        chat::Ignored::Elsewhere => "elsewhere",
        _ => "other",
    }
}

fn refused(why: chat::Refused) -> &'static str {
    match why {
        chat::Refused::Wrapper(_) => "wrapper",
        chat::Refused::Message(_) => "content",
        chat::Refused::OtherChat => "other-chat",
        _ => "other",
    }
}

/// How long to wait before a full disk is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Messages that may be held while the disk is full.
const HELD: usize = 1024;
/// Bytes of payload that may be held while the disk is full.
const HELD_BYTES: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;
