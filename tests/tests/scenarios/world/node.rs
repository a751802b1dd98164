//! A node of a world: the machines of `wire` and `chat`, and between them what a shell does.

mod person;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k256::SecretKey;
use proto::{ChatKey, Instant, Turn};
use wire::p2p::{Capability, Reason};
use wire::rlpx::{self, Local, NodeKey, Session};
use wire::waku::{self, Host, PeerId};

use self::person::Person;
use super::LinkId;

/// What a node is there for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Trade {
    /// Forwards envelopes of at least this proof of work.
    Relay { min_pow: f64 },
    /// Somebody's own.
    Person,
    /// Speaks RLPx as it should, and Waku as the scenario wants.
    Stranger,
}

/// What a node wants of its links.
pub(crate) enum Step {
    Write(LinkId, Vec<u8>),
    Close(LinkId),
}

pub(crate) struct Node {
    trade: Trade,
    local: Arc<Local>,
    alive: bool,
    sessions: BTreeMap<LinkId, Session>,
    host: Option<Host>,
    person: Option<Person>,
    steps: Vec<Step>,
    /// Why connections were ended, by name.
    pub(crate) ended: Vec<&'static str>,
    /// What was not taken from peers, by name.
    pub(crate) refused: BTreeMap<&'static str, u32>,
    /// Envelopes that came in new.
    pub(crate) taken: usize,
}

impl Node {
    pub(crate) fn new(number: u8, trade: Trade, turn: &Turn<'_>) -> Self {
        let local = Local {
            key: NodeKey::from(SecretKey::from_slice(&[number; 32]).unwrap()),
            client_name: format!("world/{number}"),
            listen_port: 0,
            capabilities: vec![Capability::WAKU_1],
        };
        let mut node = Self {
            trade,
            local: Arc::new(local),
            alive: false,
            sessions: BTreeMap::new(),
            host: None,
            person: (trade == Trade::Person).then(|| Person::new(100 + number)),
            steps: Vec::new(),
            ended: Vec::new(),
            refused: BTreeMap::new(),
            taken: 0,
        };
        node.boot(turn);
        node
    }

    pub(crate) fn public(&self) -> ChatKey {
        *self.local.key.id()
    }

    pub(crate) fn person(&self) -> &Person {
        self.person.as_ref().unwrap()
    }

    pub(crate) fn person_mut(&mut self) -> &mut Person {
        self.person.as_mut().unwrap()
    }

    /// Starts from what is on the disk.
    pub(crate) fn boot(&mut self, turn: &Turn<'_>) {
        let mut config = waku::Config::default();
        match self.trade {
            Trade::Relay { min_pow } => config.min_pow = min_pow,
            Trade::Person => config.interest = waku::Interest::topics([]),
            Trade::Stranger => {}
        }
        self.host = (self.trade != Trade::Stranger).then(|| Host::new(config));
        self.alive = true;
        if let Some(person) = &mut self.person {
            person.boot(turn);
        }
    }

    /// Loses everything that is not on the disk.
    pub(crate) fn die(&mut self) {
        (self.alive, self.host) = (false, None);
        self.sessions.clear();
        self.steps.clear();
        if let Some(person) = &mut self.person {
            person.die();
        }
    }

    pub(crate) fn has_blown(&self) -> bool {
        self.alive && self.person.as_ref().is_some_and(Person::has_blown)
    }

    pub(crate) fn dial(&mut self, link: LinkId, remote: ChatKey, turn: &mut Turn<'_>) {
        if self.alive {
            self.sessions.insert(link, Session::dial(&self.local, remote, turn));
            self.settle(turn);
        }
    }

    pub(crate) fn accept(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        if self.alive {
            self.sessions.insert(link, Session::accept(&self.local, turn));
            self.settle(turn);
        }
    }

    pub(crate) fn bytes(&mut self, link: LinkId, bytes: &[u8], turn: &mut Turn<'_>) {
        self.session(link, rlpx::Input::Bytes(bytes), turn);
    }

    pub(crate) fn eof(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        self.session(link, rlpx::Input::Eof, turn);
    }

    /// Sends a Waku packet as it is.
    pub(crate) fn mutter(&mut self, link: LinkId, code: u64, payload: &[u8], turn: &mut Turn<'_>) {
        self.session(link, rlpx::Input::Send { capability: Capability::WAKU_1, code, payload }, turn);
    }

    pub(crate) fn act(&mut self, input: chat::Input, turn: &mut Turn<'_>) {
        if self.alive {
            self.person_mut().act(input, turn);
            self.settle(turn);
        }
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        if !self.alive {
            return None;
        }
        let sessions = self.sessions.values().filter_map(Session::wake_at);
        let host = self.host.as_ref().and_then(Host::wake_at);
        sessions.chain(host).chain(self.person.as_ref().and_then(Person::wake_at)).min()
    }

    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        for session in self.sessions.values_mut() {
            session.handle(turn, rlpx::Input::Tick);
        }
        if let Some(host) = &mut self.host {
            host.handle(turn, waku::Input::Tick);
        }
        if let Some(person) = &mut self.person {
            person.tick(turn);
        }
        self.settle(turn);
    }

    /// Returns what is to be done with the links.
    pub(crate) fn steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    fn session(&mut self, link: LinkId, input: rlpx::Input<'_>, turn: &mut Turn<'_>) {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.handle(turn, input);
            self.settle(turn);
        }
    }

    /// Carries outputs from machine to machine until all are silent.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        while self.settle_sessions(turn) | self.settle_host(turn) | self.settle_person(turn) {}
    }

    fn settle_sessions(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut moved = false;
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        for link in links {
            let peer = PeerId(link.0 as u64);
            while let Some(output) = self.sessions.get_mut(&link).and_then(Session::poll) {
                moved = true;
                let input = match output {
                    rlpx::Output::Send(bytes) => {
                        self.steps.push(Step::Write(link, bytes));
                        continue;
                    }
                    rlpx::Output::Event(rlpx::Event::Up { peer: id, capabilities, .. }) => {
                        waku::Input::PeerUp { peer, id, address: None, version: capabilities[0].capability.version }
                    }
                    rlpx::Output::Event(rlpx::Event::Message { code, payload, .. }) => {
                        waku::Input::Packet { peer, code, payload }
                    }
                    rlpx::Output::Event(rlpx::Event::NotSent { why, .. }) => panic!("not sent: {why}"),
                    rlpx::Output::Event(rlpx::Event::Down(reason)) => {
                        self.ended.push(reason.name());
                        self.sessions.remove(&link);
                        self.steps.push(Step::Close(link));
                        waku::Input::PeerDown(peer)
                    }
                };
                if let Some(host) = &mut self.host {
                    host.handle(turn, input);
                }
            }
        }
        moved
    }

    fn settle_host(&mut self, turn: &mut Turn<'_>) -> bool {
        let mut moved = false;
        while let Some(output) = self.host.as_mut().and_then(Host::poll) {
            moved = true;
            match output {
                waku::Output::Send { peer, code, payload } => {
                    let capability = Capability::WAKU_1;
                    if let Some(session) = self.sessions.get_mut(&link(peer)) {
                        session.handle(turn, rlpx::Input::Send { capability, code, payload: &payload });
                    }
                }
                waku::Output::Drop { peer, reason } => {
                    self.ended.push(reason.name());
                    if let Some(session) = self.sessions.get_mut(&link(peer)) {
                        session.handle(turn, rlpx::Input::Disconnect(Reason::Subprotocol));
                    }
                }
                waku::Output::Event(waku::Event::Refused { why, count, .. }) => {
                    *self.refused.entry(why.name()).or_default() += count;
                }
                waku::Output::Event(event) => {
                    self.taken += usize::from(matches!(event, waku::Event::Envelope { .. }));
                    if let Some(person) = &mut self.person {
                        person.hear(event, turn);
                    }
                }
            }
        }
        moved
    }

    fn settle_person(&mut self, turn: &mut Turn<'_>) -> bool {
        let (Some(person), Some(host)) = (&mut self.person, &mut self.host) else { return false };
        let inputs = person.settle(turn);
        let moved = !inputs.is_empty();
        for input in inputs {
            host.handle(turn, input);
        }
        moved
    }
}

fn link(peer: PeerId) -> LinkId {
    LinkId(usize::try_from(peer.0).unwrap())
}

/// What our nodes send with: 10/WAKU-USAGE.
const TTL_S: u32 = 15;
const POW_TARGET: f64 = 0.002;
const WORK_TIME: Duration = Duration::from_secs(5);
