//! The engine: one task that owns the Waku host and, for a chat node, the chat side with its sealer and store.
//!
//! Everything reaches it over one bounded queue of [`Command`]s; it never waits for a peer or for a program. It does
//! wait for the disk: what is to be persisted is on it before anything after it is done.

pub(crate) mod command;
mod followers;
pub(crate) mod listener;
mod peers;
pub(crate) mod person;
mod posts;
mod sealing;
pub(crate) mod watchers;

use std::pin::pin;

use proto::{ChatKey, Instant};
use tokio::sync::mpsc;
use wire::p2p::Reason;
use wire::payload::Arrival;
use wire::waku::{self, Host};

use crate::clock::{Alarm, Clock};
use crate::config::{Interest, Waku};
use crate::counters::Counters;
use crate::error::NodeError;
use crate::identity::Answered;
use crate::network::dialer::Connected;
use crate::stop::Stop;
use command::{Change, Command, Snapshot};
use peers::Peers;
use person::{Effect, Person};
use watchers::{Happening, Watchers};

/// The owner of every machine.
pub(crate) struct Engine {
    clock: Clock,
    counters: Counters,
    host: Host,
    settings: Waku,
    full_node: bool,
    /// A smaller proof of work than the one that peers are asked for is still good.
    keeps_former_pow: bool,
    peers: Peers,
    /// None for a relay.
    person: Option<Person>,
    watchers: Watchers,
}

impl Engine {
    pub(crate) fn new(
        clock: Clock,
        counters: Counters,
        peers: Peers,
        person: Option<Person>,
        mut settings: Waku,
    ) -> Self {
        settings.host.interest = said(&settings.interest, person.as_ref());
        let host = Host::new(settings.host.clone());
        Self {
            clock,
            counters,
            host,
            settings,
            full_node: false,
            keeps_former_pow: false,
            peers,
            person,
            watchers: Watchers::default(),
        }
    }

    /// Runs until everybody who could command it has gone. Followers and waiting callers are let go when `stop` says so.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut stop: Stop) -> Result<(), NodeError> {
        let mut stopping = false;
        let mut alarm = Alarm::new(self.clock);
        let mut stopped = pin!(stop.heard());
        self.settle().await?;
        loop {
            let wake = self.wake_at();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.commands(command, &mut commands).await?,
                    None => break,
                },
                answered = answer(&mut self.person) => if let Some(person) = &mut self.person {
                    person.answered(answered).await?;
                },
                () = alarm.reach(wake) => self.tick().await?,
                () = &mut stopped, if !stopping => {
                    stopping = true;
                    self.watchers = Watchers::default();
                    if let Some(person) = &mut self.person {
                        person.let_go();
                    }
                }
            }
            self.settle().await?;
        }
        match self.person {
            Some(person) => Ok(person.end().await?),
            None => Ok(()),
        }
    }

    /// Obeys a command and those that wait behind it, and has sent on together what they brought.
    async fn commands(&mut self, first: Command, others: &mut mpsc::Receiver<Command>) -> Result<(), NodeError> {
        self.command(first).await?;
        for _ in 1..AT_ONCE {
            let Ok(next) = others.try_recv() else { break };
            self.settle().await?;
            self.command(next).await?;
        }
        self.settle().await?;
        self.host_tick();
        Ok(())
    }

    fn wake_at(&self) -> Option<Instant> {
        let person = self.person.as_ref().and_then(Person::wake_at);
        [self.host.wake_at(), person].into_iter().flatten().min()
    }

    async fn tick(&mut self) -> Result<(), NodeError> {
        self.host_tick();
        if let Some(person) = &mut self.person {
            person.tick(self.peers.len()).await?;
        }
        Ok(())
    }

    fn host_tick(&mut self) {
        if self.host.wake_at().is_some_and(|at| at <= self.clock.now()) {
            self.host(waku::Input::Tick);
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), NodeError> {
        match command {
            Command::Up { peer, outbox, reply } => {
                let (id, address, version) = (peer.id, Some(peer.address.ip()), peer.version);
                let admitted = self.peers.admit(peer.clone(), outbox);
                if let Ok(admitted) = &admitted {
                    if let Some(replaced) = admitted.replaced {
                        self.host(waku::Input::PeerDown(replaced));
                        self.watchers.tell(&Happening::PeerDown { id, why: Reason::AlreadyConnected.name() });
                    }
                    self.watchers.tell(&Happening::PeerUp(peer));
                    self.counters.count("peer", "up");
                    self.host(waku::Input::PeerUp { peer: admitted.peer, id, address, version });
                }
                // When the connection has ended meanwhile, its Down is never sent.
                if let Err(Ok(peer)) = reply.send(admitted.map(|admitted| admitted.peer)) {
                    self.down(peer, "transport");
                }
            }
            Command::Packet { peer, code, payload, _share } => {
                self.host(waku::Input::Packet { peer, code, payload });
            }
            // The network's relays confirm nothing by default. Its clients take such an envelope for sent, and so do we.
            Command::Written(hash) => {
                self.counters.count("envelope", "unconfirmed");
                if let Some(person) = &mut self.person {
                    person.acknowledged(hash).await?;
                }
            }
            Command::Down { peer, why } => self.down(peer, why),
            Command::Dismiss(id) => {
                if let Some(peer) = self.peers.number(&id) {
                    self.host(waku::Input::PeerDown(peer));
                    self.dismiss(peer, Reason::Requested, "removed");
                }
            }
            Command::Status(reply) => {
                let snapshot = self.snapshot().await?;
                drop(reply.send(snapshot));
            }
            Command::Set { change, reply } => {
                self.set(change);
                let _gone = reply.send(());
            }
            Command::Join { room, history, reply } => {
                if let Some(person) = &mut self.person {
                    drop(reply.send(person.follow(room, history).await?));
                }
            }
            Command::Leave { chat, reply } => {
                if let Some(person) = &mut self.person {
                    drop(reply.send(person.leave(&chat).await?));
                }
            }
            Command::Post(post) => {
                if let Some(person) = &mut self.person {
                    person.post(post).await?;
                }
            }
            Command::History { chat, limit, reply } => {
                if let Some(person) = &mut self.person {
                    drop(reply.send(person.history(&chat, limit).await?));
                }
            }
            Command::Watch(reply) => drop(reply.send(self.watchers.add())),
        }
        Ok(())
    }

    /// Changes what peers are then told of in a Status Update.
    fn set(&mut self, change: Change) {
        match change {
            // What has not changed is not said again, unless it is to end what a former one still admits.
            Change::MinPow { pow, former: waku::Former::Tolerated }
                if pow == self.settings.host.min_pow && !self.keeps_former_pow => {}
            Change::MinPow { pow, former } => {
                self.settings.host.min_pow = pow;
                self.keeps_former_pow = former == waku::Former::Kept;
                self.host(waku::Input::MinPow { pow, former });
            }
            Change::Interest(interest) => {
                self.settings.interest = interest;
                self.say_interest();
            }
            Change::FullNode(full_node) if full_node == self.full_node => {}
            Change::FullNode(full_node) => {
                self.full_node = full_node;
                self.host(waku::Input::FullNode(full_node));
            }
        }
    }

    fn say_interest(&mut self) {
        let interest = said(&self.settings.interest, self.person.as_ref());
        if interest != self.settings.host.interest {
            self.settings.host.interest = interest.clone();
            self.host(waku::Input::Interest(interest));
        }
    }

    fn down(&mut self, peer: waku::PeerId, why: &'static str) {
        if let Some(id) = self.peers.forget(peer) {
            self.counters.count("peer", "down");
            self.host(waku::Input::PeerDown(peer));
            self.watchers.tell(&Happening::PeerDown { id, why });
        }
    }

    fn dismiss(&mut self, peer: waku::PeerId, reason: Reason, why: &'static str) {
        if let Some(id) = self.peers.dismiss(peer, reason) {
            self.watchers.tell(&Happening::PeerDown { id, why });
        }
    }

    fn host(&mut self, input: waku::Input) {
        self.clock.turn(|turn| self.host.handle(turn, input));
    }

    /// Does what the machines want, until nothing is left.
    async fn settle(&mut self) -> Result<(), NodeError> {
        loop {
            let mut carried = 0;
            while let Some(output) = self.host.poll() {
                match output {
                    waku::Output::Event(waku::Event::Envelope { .. }) if self.person.is_none() => carried += 1,
                    output => self.host_output(output).await?,
                }
            }
            if carried > 0 {
                self.counters.add("envelope", "new", carried);
            }
            match self.person.as_mut().and_then(Person::next_effect) {
                Some(Effect::Post(envelope)) => self.host(waku::Input::Post(envelope)),
                Some(Effect::Topics) => self.say_interest(),
                Some(Effect::Tell(happening)) => self.watchers.tell(&happening),
                None => return Ok(()),
            }
        }
    }

    async fn host_output(&mut self, output: waku::Output) -> Result<(), NodeError> {
        match output {
            waku::Output::Send { peer, code, payload } => {
                if self.peers.send(peer, code, payload).is_err() {
                    self.counters.count("peer.dropped", "slow");
                    self.down(peer, "slow");
                }
            }
            waku::Output::Drop { peer, reason } => {
                self.counters.count("peer.dropped", reason.name());
                tracing::debug!(?peer, %reason, "peer dropped");
                self.dismiss(peer, Reason::Subprotocol, reason.name());
            }
            waku::Output::Event(event) => self.host_event(event).await?,
        }
        Ok(())
    }

    async fn host_event(&mut self, event: waku::Event) -> Result<(), NodeError> {
        match event {
            waku::Event::Ready { .. } => self.counters.count("peer", "ready"),
            waku::Event::Envelope { envelope, pow, direct, .. } => {
                self.counters.count("envelope", "new");
                if let Some(person) = &mut self.person {
                    person.received(&envelope, Arrival { pow, direct }).await?;
                }
            }
            waku::Event::Direct { envelopes, .. } => {
                self.counters.add("envelope", "direct", envelopes.len() as u64);
                if let Some(person) = &mut self.person {
                    for envelope in &envelopes {
                        person.received(envelope, Arrival { pow: envelope.pow(0), direct: true }).await?;
                    }
                }
            }
            waku::Event::Posted { .. } => self.counters.count("envelope", "posted"),
            waku::Event::MailRequest { .. } => self.counters.count("mail", "request"),
            waku::Event::MailCompleted { .. } => self.counters.count("mail", "completed"),
            waku::Event::Acknowledged { hash, .. } => {
                self.counters.count("envelope", "acknowledged");
                if let Some(person) = &mut self.person {
                    person.acknowledged(hash).await?;
                }
            }
            waku::Event::Unconfirmed { hash, peer } => self.peers.mark(peer, hash),
            waku::Event::Rejected { .. } => self.counters.count("envelope", "rejected-by-peer"),
            waku::Event::Refused { why, count, .. } => self.counters.add("refused", why.name(), count.into()),
            waku::Event::NotPosted { why, .. } => {
                self.counters.count("envelope.not-posted", why.name());
                tracing::warn!(%why, "an envelope of ours was not taken into the pool");
            }
            waku::Event::Expired { hash } => {
                self.counters.count("envelope", "own-expired");
                if let Some(person) = &mut self.person {
                    person.expired(hash);
                }
            }
        }
        Ok(())
    }

    async fn snapshot(&mut self) -> Result<Snapshot, NodeError> {
        let (chats, stored) = match &self.person {
            Some(person) => (person.chats(), person.stored().await?),
            None => (Vec::new(), 0),
        };
        let pooled = u64::try_from(self.host.pool_len()).unwrap_or(u64::MAX);
        let (peers, settings, full_node) = (self.peers.list(), self.settings.clone(), self.full_node);
        Ok(Snapshot { peers, chats, pooled, stored, settings, full_node })
    }
}

/// What peers are told of an interest while these chats are followed.
fn said(interest: &Interest, person: Option<&Person>) -> waku::Interest {
    interest.said(person.into_iter().flat_map(Person::topics))
}

async fn answer(person: &mut Option<Person>) -> Answered {
    match person {
        Some(person) => person.answer().await,
        None => std::future::pending().await,
    }
}

/// Commands that are obeyed before anything else has its turn.
const AT_ONCE: usize = 64;

/// Returns an empty list of peers, and the watch on it.
pub(crate) fn peers(ours: ChatKey, limits: &crate::config::Limits) -> (Peers, Connected) {
    Peers::new(ours, limits)
}
