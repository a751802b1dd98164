//! Hosts against each other and against hostile peers, in virtual time: what the tests stand on.

mod direct;
mod forward;
mod handshake;
mod hostile;
mod pool;
mod rate_limits;
mod receive;
mod relay;

use proto::{ChatKey, TestDice, Topic, UnixMillis, UnixSecs};

use super::*;
use crate::rlp;
use crate::waku::envelope::Draft;
use crate::waku::interest::{Former, Interest};
use crate::waku::status::Version;

const START_MS: u64 = 1_600_000_000_250;

fn topic(n: u8) -> Topic {
    Topic::from([n; 4])
}

fn key(n: u8) -> ChatKey {
    k256::SecretKey::from_slice(&[n + 1; 32]).unwrap().public_key().into()
}

fn full() -> Config {
    Config { interest: Interest::Full, ..Config::default() }
}

fn options(config: &Config) -> Options {
    Options { confirmations: Some(config.confirmations == Confirmations::Always), ..Options::default() }
}

/// A packet of so many envelopes that are as short as can be.
fn many(count: usize) -> Vec<u8> {
    let tiny = rlp::list(|w| {
        w.uint(0).uint(0).bytes(&[1; 4]).bytes(&[]).uint(0);
    });
    rlp::list(|w| {
        w.raw(&tiny.repeat(count));
    })
}

/// An envelope sent `ago_s` seconds before the start, with a little work.
fn sent(ago_s: i64, ttl_s: u32, topic: Topic, n: u8) -> Envelope {
    let sent = (START_MS / 1000).checked_add_signed(-ago_s).unwrap();
    let draft = Draft::new(UnixSecs::new(sent), ttl_s, topic, &[n; 60]);
    let nonce = draft.search(0.002).advance(100_000).unwrap();
    draft.seal(nonce).unwrap()
}

fn fresh(topic: Topic, n: u8) -> Envelope {
    sent(0, 20, topic, n)
}

fn messages(envelopes: &[&Envelope]) -> Vec<u8> {
    rlp::list(|w| {
        for envelope in envelopes {
            w.raw(envelope.as_bytes());
        }
    })
}

fn hashes(payload: &[u8]) -> Vec<EnvelopeHash> {
    let mut list = rlp::Reader::new(payload).list().unwrap();
    let mut hashes = Vec::new();
    while !list.is_empty() {
        hashes.push(Envelope::decode(list.raw().unwrap()).unwrap().hash());
    }
    hashes
}

/// One host whose peers are the test.
struct Solo {
    host: Host,
    now: Duration,
    dice: TestDice,
}

impl Solo {
    fn new(config: Config) -> Self {
        Self { host: Host::new(config), now: Duration::ZERO, dice: TestDice::seeded(0) }
    }

    fn give(&mut self, input: Input) -> Vec<Output> {
        let unix = UnixMillis::new(START_MS).after(self.now);
        let mut turn = Turn { now: Instant::from_start(self.now), unix, rng: &mut self.dice };
        self.host.handle(&mut turn, input);
        std::iter::from_fn(|| self.host.poll()).collect()
    }

    fn packet(&mut self, peer: u64, code: u64, payload: &[u8]) -> Vec<Output> {
        self.give(Input::Packet { peer: PeerId(peer), code, payload: payload.to_vec() })
    }

    /// Connects a peer that says this in its status.
    fn connect(&mut self, peer: u64, status: &Options) {
        self.give(Input::PeerUp { peer: PeerId(peer), id: key(peer as u8), address: None, version: 1 });
        let told = self.packet(peer, code::STATUS, &status.to_status(Version::V1));
        assert!(matches!(told.first(), Some(Output::Event(Event::Ready { .. }))), "{told:?}");
    }

    /// Lets this much time pass, with a tick whenever one is due.
    fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(at) = self.host.wake_at().filter(|at| at.since_start() <= end) {
            self.now = self.now.max(at.since_start());
            outputs.extend(self.give(Input::Tick));
        }
        self.now = end;
        outputs
    }

    fn settle(&mut self) -> Vec<Output> {
        self.pass(Duration::from_millis(5))
    }
}

/// What was sent to a peer under this code.
fn payloads(outputs: &[Output], to: u64, of: u64) -> Vec<Vec<u8>> {
    let matching = outputs.iter().filter_map(|output| match output {
        Output::Send { peer, code, payload } if *peer == PeerId(to) && *code == of => Some(payload.clone()),
        _ => None,
    });
    matching.collect()
}

/// The envelopes that were sent to a peer.
fn sent_to(outputs: &[Output], to: u64) -> Vec<EnvelopeHash> {
    payloads(outputs, to, code::MESSAGES).iter().flat_map(|payload| hashes(payload)).collect()
}

fn refusals(outputs: &[Output]) -> Vec<(Why, u32)> {
    let matching = outputs.iter().filter_map(|output| match output {
        Output::Event(Event::Refused { why, count, .. }) => Some((*why, *count)),
        _ => None,
    });
    matching.collect()
}

fn drops(outputs: &[Output]) -> Vec<&'static str> {
    let matching = outputs.iter().filter_map(|output| match output {
        Output::Drop { reason, .. } => Some(reason.name()),
        _ => None,
    });
    matching.collect()
}

fn received(outputs: &[Output]) -> Vec<EnvelopeHash> {
    let matching = outputs.iter().filter_map(|output| match output {
        Output::Event(Event::Envelope { envelope, .. }) => Some(envelope.hash()),
        _ => None,
    });
    matching.collect()
}

/// What happened, but for handshakes.
fn events(outputs: Vec<Output>) -> Vec<Event> {
    let matching = outputs.into_iter().filter_map(|output| match output {
        Output::Event(event) => Some(event),
        _ => None,
    });
    matching.filter(|event| !matches!(event, Event::Ready { .. })).collect()
}

/// Several hosts joined by links with a delay of 1 ms.
struct World {
    hosts: Vec<Host>,
    now: Duration,
    dice: TestDice,
    /// (when, to, input), in the order of sending.
    wire: Vec<(Duration, usize, Input)>,
    /// (host, event)
    events: Vec<(usize, Event)>,
    /// How many envelopes each host sent to each.
    traffic: BTreeMap<(usize, usize), usize>,
}

impl World {
    fn new(configs: Vec<Config>) -> Self {
        let hosts = configs.into_iter().map(Host::new).collect();
        Self {
            hosts,
            now: Duration::ZERO,
            dice: TestDice::seeded(0),
            wire: vec![],
            events: vec![],
            traffic: BTreeMap::new(),
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        for (own, other) in [(a, b), (b, a)] {
            self.give(
                own,
                Input::PeerUp { peer: PeerId(other as u64), id: key(other as u8), address: None, version: 1 },
            );
        }
    }

    fn give(&mut self, to: usize, input: Input) {
        let unix = UnixMillis::new(START_MS).after(self.now);
        let mut turn = Turn { now: Instant::from_start(self.now), unix, rng: &mut self.dice };
        self.hosts[to].handle(&mut turn, input);
        while let Some(output) = self.hosts[to].poll() {
            match output {
                Output::Send { peer, code, payload } => {
                    if code == code::MESSAGES {
                        *self.traffic.entry((to, peer.0 as usize)).or_default() += hashes(&payload).len();
                    }
                    let input = Input::Packet { peer: PeerId(to as u64), code, payload };
                    self.wire.push((self.now + Duration::from_millis(1), peer.0 as usize, input));
                }
                Output::Drop { peer, reason } => panic!("{to} drops {peer:?}: {reason}"),
                Output::Event(event) => self.events.push((to, event)),
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.wire.first().map(|(at, ..)| *at);
            let tick = self.hosts.iter().enumerate().filter_map(|(i, h)| Some((h.wake_at()?.since_start(), i))).min();
            let next = arrival.into_iter().chain(tick.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, to, input) = self.wire.remove(0);
                self.give(to, input);
            } else if let Some((_, host)) = tick {
                self.give(host, Input::Tick);
            }
        }
        self.now = end;
    }

    fn envelopes_at(&self, host: usize) -> Vec<EnvelopeHash> {
        let matching = self.events.iter().filter_map(|(at, event)| match event {
            Event::Envelope { envelope, .. } if *at == host => Some(envelope.hash()),
            _ => None,
        });
        matching.collect()
    }
}

fn wanting(topics: &[u8]) -> Config {
    Config { interest: Interest::topics(topics.iter().map(|n| topic(*n))), ..Config::default() }
}
