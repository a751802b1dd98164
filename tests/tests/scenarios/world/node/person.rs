//! The person at a node: the chat engine, the sealer, the holder of the identity key, and the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use chat::{Change, ChatName, Config, Engine, Event, InstallationId, Message, Output, State, public};
use k256::ecdsa::SigningKey;
use proto::{ChatKey, EnvelopeHash, Instant, MessageId, Topic, Turn};
use wire::payload::{Letter, SealToken, Sealer, SymKey, open_symmetric, sealer};
use wire::waku::{self, Interest};
use zeroize::Zeroizing;

use super::{POW_TARGET, TTL_S, WORK_TIME};
use crate::world::holder::{Asker, Holder};

pub(crate) struct Person {
    holder: Holder,
    running: Option<Running>,
    /// What was persisted, and the history that a store would keep beside it.
    pub(crate) disk: State,
    pub(crate) history: Vec<Message>,
    /// What the engine told, messages left out: those are in the history.
    pub(crate) told: Vec<Event>,
    /// How many outputs of the engine are still completed before the process dies.
    pub(crate) fuse: Option<usize>,
}

/// What dies with the process.
struct Running {
    engine: Engine,
    sealer: Sealer,
    rooms: BTreeMap<Topic, (ChatName, Arc<SymKey>)>,
    sealing: BTreeMap<SealToken, MessageId>,
    posted: BTreeMap<EnvelopeHash, MessageId>,
    interest: Interest,
}

impl Person {
    pub(crate) fn new(number: u8) -> Self {
        Self {
            holder: Holder::new(SigningKey::from_slice(&[number; 32]).unwrap()),
            running: None,
            disk: State::default(),
            history: Vec::new(),
            told: Vec::new(),
            fuse: None,
        }
    }

    pub(crate) fn identity(&self) -> ChatKey {
        self.holder.identity()
    }

    /// How long the holder of the key takes to sign from here on.
    pub(crate) fn signs_in(&mut self, time: Duration) {
        self.holder.takes(time);
    }

    /// The texts of a chat in its order: by clock, then by id.
    pub(crate) fn reads(&self, chat: &ChatName) -> Vec<&str> {
        let mut messages: Vec<&Message> = self.history.iter().filter(|message| message.chat == *chat).collect();
        messages.sort_by_key(|message| (message.clock, message.seen.id));
        messages.into_iter().map(|message| message.text.as_str()).collect()
    }

    pub(crate) fn boot(&mut self, turn: &Turn<'_>) {
        let config = Config { identity: self.identity(), installation: InstallationId::try_from("world").unwrap() };
        self.running = Some(Running {
            engine: Engine::new(config, self.disk.clone(), turn),
            sealer: Sealer::new(sealer::Config::default()),
            rooms: BTreeMap::new(),
            sealing: BTreeMap::new(),
            posted: BTreeMap::new(),
            interest: Interest::topics([]),
        });
    }

    pub(crate) fn die(&mut self) {
        (self.running, self.fuse) = (None, None);
        self.holder.forget();
    }

    pub(crate) fn has_blown(&self) -> bool {
        self.fuse == Some(0)
    }

    pub(crate) fn act(&mut self, input: chat::Input, turn: &mut Turn<'_>) {
        if let Some(running) = &mut self.running {
            running.engine.handle(turn, input);
        }
    }

    /// Takes in what the Waku host says.
    pub(crate) fn hear(&mut self, event: waku::Event, turn: &mut Turn<'_>) {
        let Some(running) = &mut self.running else { return };
        match event {
            waku::Event::Envelope { envelope, .. } => {
                let Some((chat, key)) = running.rooms.get(&envelope.topic()) else { return };
                let Ok(opened) = open_symmetric(&envelope, key) else { return };
                let (payload, signer) = (opened.payload().to_vec(), opened.signer());
                let input = chat::Input::Received { chat: chat.clone(), payload, signer, sent: envelope.sent() };
                running.engine.handle(turn, input);
            }
            waku::Event::Acknowledged { hash, .. } => {
                if let Some(message) = running.posted.get(&hash) {
                    running.engine.handle(turn, chat::Input::Delivered(*message));
                }
            }
            waku::Event::NotPosted { why, .. } => panic!("not posted: {why}"),
            _ => {}
        }
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        [running.engine.wake_at(), running.sealer.wake_at(), self.holder.wake_at()].into_iter().flatten().min()
    }

    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        if let Some(running) = &mut self.running {
            running.engine.handle(turn, chat::Input::Tick);
            running.sealer.handle(turn, sealer::Input::Tick);
        }
    }

    /// Completes outputs until the machines are silent, and returns what they want of the host.
    pub(crate) fn settle(&mut self, turn: &mut Turn<'_>) -> Vec<waku::Input> {
        let mut wanted = Vec::new();
        let Some(running) = &mut self.running else { return wanted };
        loop {
            let mut silent = true;
            while let Some(output) = running.engine.poll() {
                silent = false;
                match &mut self.fuse {
                    Some(0) => return wanted,
                    Some(left) => *left -= 1,
                    None => {}
                }
                match output {
                    Output::Persist(change) => {
                        self.disk.apply(&change);
                        if let Change::Signed(message) | Change::Received(message) = change {
                            self.history.push(*message);
                        }
                    }
                    Output::Send(parcel) => {
                        let token = SealToken(running.sealing.len() as u64);
                        running.sealing.insert(token, parcel.message);
                        let letter = letter(&parcel.chat, parcel.payload, self.holder.identity());
                        running.sealer.handle(turn, sealer::Input::Seal { token, letter });
                    }
                    Output::Ask(id, ask) => self.holder.ask(turn.now, Asker::Engine, id, ask),
                    Output::Event(Event::Message(_)) => {}
                    Output::Event(event) => self.told.push(event),
                }
            }
            while let Some(output) = running.sealer.poll() {
                silent = false;
                match output {
                    sealer::Output::Ask(id, ask) => self.holder.ask(turn.now, Asker::Sealer, id, ask),
                    sealer::Output::Event(sealer::Event::Sealed { token, envelope }) => {
                        running.posted.insert(envelope.hash(), running.sealing[&token]);
                        wanted.push(waku::Input::Post(envelope));
                    }
                    sealer::Output::Event(sealer::Event::Failed { why, .. }) => panic!("not sealed: {why}"),
                }
            }
            while let Some((asker, id, answer)) = self.holder.answer(turn.now) {
                silent = false;
                match asker {
                    Asker::Engine => running.engine.handle(turn, chat::Input::Answer(id, answer)),
                    Asker::Sealer => running.sealer.handle(turn, sealer::Input::Answer(id, answer)),
                }
            }
            if silent {
                break;
            }
        }
        running.rooms = rooms(&self.disk);
        let interest = Interest::topics(running.rooms.keys().copied());
        if interest != running.interest {
            running.interest = interest.clone();
            // First: the host takes no envelope, ours neither, that lies outside of what we want.
            wanted.insert(0, waku::Input::Interest(interest));
        }
        wanted
    }
}

fn rooms(disk: &State) -> BTreeMap<Topic, (ChatName, Arc<SymKey>)> {
    let joined = disk.chats.iter().filter(|(_, chat)| chat.joined).map(|(name, _)| name);
    joined.map(|name| (public::topic(name.as_str()), (name.clone(), key(name)))).collect()
}

fn letter(chat: &ChatName, payload: Vec<u8>, signer: ChatKey) -> Letter {
    Letter {
        topic: public::topic(chat.as_str()),
        key: sealer::Key::Symmetric(key(chat)),
        payload: Zeroizing::new(payload),
        padding: None,
        signer: Some(signer),
        ttl_s: TTL_S,
        pow_target: POW_TARGET,
        work_time: WORK_TIME,
    }
}

/// The key of a chat costs 65,356 rounds: once for all worlds.
fn key(chat: &ChatName) -> Arc<SymKey> {
    static KEYS: LazyLock<Mutex<BTreeMap<ChatName, Arc<SymKey>>>> = LazyLock::new(Mutex::default);
    let mut keys = KEYS.lock().unwrap();
    Arc::clone(keys.entry(chat.clone()).or_insert_with(|| Arc::new(SymKey::new(&public::sym_key(chat.as_str())))))
}
