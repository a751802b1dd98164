//! Hosts against each other and against hostile peers, in virtual time.

use proptest::prelude::*;
use proto::{TestDice, Topic, UnixMillis, UnixSecs};

use super::*;
use crate::rlp;
use crate::waku::bloom::BloomFilter;
use crate::waku::confirm::BatchHash;
use crate::waku::envelope::Draft;
use crate::waku::interest::Interest;
use crate::waku::pool::PoolLimits;

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
    Options { confirmations: Some(config.confirmations), ..Options::default() }
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
        self.give(Input::PeerUp { peer: PeerId(peer), id: key(peer as u8), version: 1 });
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
            self.give(own, Input::PeerUp { peer: PeerId(other as u64), id: key(other as u8), version: 1 });
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

/// WAKU1-04, WAKU1-19, WAKU1-58: an envelope crosses a relay, and its sender learns that it was taken.
#[test]
fn the_middle_of_three_forwards_and_confirms() {
    let mut world = World::new(vec![wanting(&[1]), full(), wanting(&[1])]);
    world.link(0, 1);
    world.link(1, 2);
    world.run(Duration::from_millis(20));
    let envelope = fresh(topic(1), 1);
    world.give(0, Input::Post(envelope.clone()));
    world.run(Duration::from_millis(20));
    assert_eq!(world.envelopes_at(1), [envelope.hash()]);
    assert_eq!(world.envelopes_at(2), [envelope.hash()]);
    assert!(world.events.contains(&(0, Event::Acknowledged { hash: envelope.hash(), peer: PeerId(1) })));
    world.run(Duration::from_secs(30));
    assert!(world.events.contains(&(0, Event::Expired { hash: envelope.hash() })));
    assert!(world.hosts.iter().all(|host| host.pool_len() == 0 && host.wake_at().is_none()));
}

/// WAKU1-07: over a ring, nobody sends to a peer what it brought or has.
#[test]
fn nobody_sends_an_envelope_twice_over_a_link() {
    let mut world = World::new(vec![full(), full(), full()]);
    for (a, b) in [(0, 1), (1, 2), (2, 0)] {
        world.link(a, b);
    }
    world.run(Duration::from_millis(20));
    for n in 0..10 {
        world.give(usize::from(n % 3), Input::Post(fresh(topic(1), n)));
        world.run(Duration::from_millis(7));
    }
    world.run(Duration::from_secs(5));
    for host in 0..3 {
        let mut all = world.envelopes_at(host);
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(count, all.len(), "each is told once");
        assert_eq!(world.hosts[host].pool_len(), 10);
    }
    assert!(world.traffic.values().all(|count| *count <= 10), "{:?}", world.traffic);
}

/// WAKU1-41, WU10-07: a topic that a peer does not want never reaches it, until it says so.
#[test]
fn a_peer_gets_its_topics_and_what_it_asks_for_later() {
    let mut world = World::new(vec![full(), wanting(&[1])]);
    world.link(0, 1);
    world.run(Duration::from_millis(20));
    let (wanted, other) = (fresh(topic(1), 1), fresh(topic(2), 2));
    world.give(0, Input::Post(wanted.clone()));
    world.give(0, Input::Post(other.clone()));
    world.run(Duration::from_secs(1));
    assert_eq!(world.traffic[&(0, 1)], 1);
    assert_eq!(world.envelopes_at(1), [wanted.hash()]);
    world.give(1, Input::Interest(Interest::topics([topic(1), topic(2)])));
    world.run(Duration::from_secs(1));
    assert_eq!(world.envelopes_at(1), [wanted.hash(), other.hash()]);
    assert_eq!(world.traffic[&(0, 1)], 2);
}

#[test]
fn a_peer_that_connects_later_gets_what_is_still_alive() {
    let mut world = World::new(vec![full(), full()]);
    world.give(0, Input::Post(sent(0, 2, topic(1), 1)));
    world.give(0, Input::Post(fresh(topic(1), 2)));
    world.run(Duration::from_secs(5));
    world.link(0, 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.envelopes_at(1), [fresh(topic(1), 2).hash()]);
}

/// WAKU1-65, WAKU1-66, WAKU1-56: a light node sends its own and nobody else's.
#[test]
fn a_light_node_sends_only_its_own() {
    let mut world = World::new(vec![full(), Config { light_node: true, ..full() }, full()]);
    world.link(0, 1);
    world.link(1, 2);
    world.run(Duration::from_millis(20));
    let own = fresh(topic(1), 1);
    world.give(0, Input::Post(fresh(topic(1), 2)));
    world.give(1, Input::Post(own.clone()));
    world.run(Duration::from_secs(1));
    assert_eq!(world.envelopes_at(2), [own.hash()]);
    assert_eq!(world.envelopes_at(1).len(), 1);
}

/// WAKU1-20, WAKU1-24, WAKU1-25: whatever comes before the status ends the connection.
#[test]
fn a_packet_before_the_status_ends_the_connection() {
    for code in [code::MESSAGES, code::STATUS_UPDATE, code::BATCH_ACK, 99] {
        let mut solo = Solo::new(full());
        let told = solo.give(Input::PeerUp { peer: PeerId(1), id: key(1), version: 1 });
        assert_eq!(payloads(&told, 1, code::STATUS).len(), 1);
        assert_eq!(drops(&solo.packet(1, code, &[0xc0])), ["before-status"]);
        assert_eq!(solo.host.peers().count(), 0);
        assert!(solo.packet(1, code::STATUS, &[0xc0]).is_empty(), "it is forgotten");
    }
}

/// WAKU1-21: no envelope is sent to a peer whose status is not in.
#[test]
fn no_envelope_is_sent_before_the_peers_status() {
    let mut solo = Solo::new(full());
    solo.give(Input::PeerUp { peer: PeerId(1), id: key(1), version: 1 });
    let envelope = fresh(topic(1), 1);
    let mut told = solo.give(Input::Post(envelope.clone()));
    told.extend(solo.pass(Duration::from_secs(2)));
    assert!(sent_to(&told, 1).is_empty());
    let told = solo.packet(1, code::STATUS, &[0xc0]);
    assert_eq!(sent_to(&told, 1), [envelope.hash()]);
}

/// WAKU1-22: a peer that stays silent is dropped.
#[test]
fn a_status_that_does_not_come_is_not_waited_for() {
    let mut solo = Solo::new(Config { status_timeout: Duration::from_secs(3), ..full() });
    solo.give(Input::PeerUp { peer: PeerId(1), id: key(1), version: 1 });
    assert!(solo.pass(Duration::from_millis(2_999)).is_empty());
    assert_eq!(drops(&solo.pass(Duration::from_millis(1))), ["no-status"]);
}

/// WAKU1-23: an impossible status ends the connection.
#[test]
fn a_bad_status_ends_the_connection() {
    let bad = [
        Options { pow_bits: Some(f64::NAN.to_bits()), ..Options::default() },
        Options { bloom: Some(vec![1; 63]), ..Options::default() },
        Options { topics: Some(vec![topic(1); 10_001]), ..Options::default() },
    ];
    for payload in bad.iter().map(|o| o.to_status(Version::V1)).chain([vec![], vec![0x80], vec![0xc1]]) {
        let mut solo = Solo::new(full());
        solo.give(Input::PeerUp { peer: PeerId(1), id: key(1), version: 1 });
        assert_eq!(drops(&solo.packet(1, code::STATUS, &payload)), ["bad-status"]);
    }
}

/// WAKU1-26: a second status changes nothing. WAKU1-16, WAKU1-81: nor do codes that nobody knows.
#[test]
fn a_second_status_and_unknown_codes_are_ignored() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    let told =
        solo.packet(1, code::STATUS, &Options { topics: Some(vec![]), ..Options::default() }.to_status(Version::V1));
    assert_eq!(refusals(&told), [(Why::RepeatedStatus, 1)]);
    for code in [2, 3, 20, 21, 10, 127, 128, u64::MAX] {
        assert_eq!(refusals(&solo.packet(1, code, b"\xff\xff")), [(Why::UnknownCode, 1)]);
    }
    let mut told = solo.give(Input::Post(fresh(topic(1), 1)));
    told.extend(solo.settle());
    assert_eq!(sent_to(&told, 1).len(), 1);
}

/// WAKU1-09, WAKU1-10: a packet above the limit ends the connection without being read.
#[test]
fn an_oversized_packet_ends_the_connection() {
    let mut solo = Solo::new(Config { max_packet: 1_000, ..full() });
    solo.connect(1, &Options::default());
    assert_eq!(refusals(&solo.packet(1, code::MESSAGES, &[0xff; 1_000])), [(Why::MalformedMessages, 1)]);
    assert_eq!(drops(&solo.packet(1, code::MESSAGES, &[0xff; 1_001])), ["oversize-packet"]);
}

/// WAKU1-11: the order of checks and their names, each with what the sender is told.
#[test]
fn each_refusal_has_its_name() {
    let mut solo = Solo::new(Config { max_envelope: 500, ..full() });
    solo.connect(1, &Options::default());
    solo.give(Input::MinPow { pow: 0.001, tolerate: false });
    let draft = |ttl, len: usize| Draft::new(UnixSecs::new(START_MS / 1000), ttl, topic(1), &vec![1; len]);
    let lazy = (0..).map(|n| draft(200, 400).seal(n).unwrap()).find(|e| e.pow(0) < 0.000_1).unwrap();
    let big = draft(20, 481);
    let nonce = big.search(0.01).advance(1_000_000).unwrap();
    let cases = [
        (sent(-11, 20, topic(1), 1), Why::FromFuture, true),
        (sent(41, 20, topic(1), 1), Why::VeryOld, true),
        (sent(21, 20, topic(1), 1), Why::Expired, false),
        (sent(40, 20, topic(1), 1), Why::Expired, false),
        (big.seal(nonce).unwrap(), Why::Oversize, true),
        (lazy, Why::LowPow, true),
    ];
    for (envelope, why, told) in cases {
        let outputs = solo.packet(1, code::MESSAGES, &messages(&[&envelope]));
        assert_eq!(refusals(&outputs), [(why, 1)], "{why}");
        let response = Response::decode(&payloads(&outputs, 1, code::MESSAGE_RESPONSE)[0]).unwrap().unwrap();
        let failed: Vec<_> = response.failures.iter().map(|f| (f.hash, f.code)).collect();
        assert_eq!(failed, if told { vec![(envelope.hash(), 21)] } else { vec![] }, "{why}");
        assert!(received(&outputs).is_empty());
    }
    for good in [sent(-10, 20, topic(1), 1), sent(20, 20, topic(1), 2)] {
        let outputs = solo.packet(1, code::MESSAGES, &messages(&[&good]));
        assert_eq!((received(&outputs), refusals(&outputs)), (vec![good.hash()], vec![]));
    }
}

/// WAKU1-34: what comes from the near future has less work, for peers too.
#[test]
fn an_envelope_from_the_near_future_loses_work_for_good() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    let early = sent(-10, 20, topic(1), 1);
    let (own, reduced) = (early.pow(0), early.pow(11));
    solo.connect(2, &Options { pow_bits: Some(reduced.to_bits()), ..Options::default() });
    solo.connect(3, &Options { pow_bits: Some(own.to_bits()), ..Options::default() });
    let mut told = solo.packet(1, code::MESSAGES, &messages(&[&early]));
    told.extend(solo.settle());
    assert!(told.iter().any(|o| matches!(o, Output::Event(Event::Envelope { pow, .. }) if *pow == reduced)));
    assert_eq!((sent_to(&told, 2).len(), sent_to(&told, 3).len()), (1, 0));
}

/// WAKU1-06: an expired envelope is not sent, even when nobody swept it yet.
#[test]
fn an_expired_envelope_is_never_sent() {
    let mut solo = Solo::new(Config { coalesce: Duration::from_secs(3), ..full() });
    solo.connect(1, &Options::default());
    solo.give(Input::Post(sent(0, 1, topic(1), 1)));
    let told = solo.pass(Duration::from_secs(10));
    assert!(sent_to(&told, 1).is_empty());
    assert!(told.iter().any(|o| matches!(o, Output::Event(Event::Expired { .. }))));
}

/// WAKU1-59, WAKU1-60: every packet that decodes is confirmed by 12 and 11, the empty one too, and no other.
#[test]
fn every_packet_that_decodes_is_confirmed() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    for payload in [messages(&[]), messages(&[&fresh(topic(1), 1), &fresh(topic(1), 2)])] {
        let told = solo.packet(1, code::MESSAGES, &payload);
        let codes: Vec<u64> =
            told.iter().filter_map(|o| if let Output::Send { code, .. } = o { Some(*code) } else { None }).collect();
        assert_eq!(codes, [code::MESSAGE_RESPONSE, code::BATCH_ACK]);
        assert_eq!(read_batch_ack(&payloads(&told, 1, code::BATCH_ACK)[0]), Ok(BatchHash::of(&payload)));
    }
    let mut bad = messages(&[&fresh(topic(1), 3)]);
    bad.push(0);
    let told = solo.packet(1, code::MESSAGES, &bad);
    assert_eq!(refusals(&told), [(Why::MalformedMessages, 1)]);
    assert!(!told.iter().any(|o| matches!(o, Output::Send { .. } | Output::Drop { .. })));

    let mut quiet = Solo::new(Config { confirmations: false, ..full() });
    quiet.connect(1, &Options::default());
    let told = quiet.packet(1, code::MESSAGES, &messages(&[&fresh(topic(1), 1)]));
    assert!(!told.iter().any(|o| matches!(o, Output::Send { .. })));
}

/// WAKU1-61: a peer's answer settles each envelope of the batch once.
#[test]
fn a_response_settles_the_batch_once() {
    let mut solo = Solo::new(full());
    solo.connect(1, &options(&full()));
    let (good, bad) = (fresh(topic(1), 1), fresh(topic(1), 2));
    solo.give(Input::Post(good.clone()));
    solo.give(Input::Post(bad.clone()));
    let told = solo.settle();
    let [payload] = payloads(&told, 1, code::MESSAGES).try_into().unwrap();
    let batch = BatchHash::of(&payload);
    let failures = vec![crate::waku::confirm::Failure { hash: bad.hash(), code: 1, text: b"late".to_vec() }];
    let told = solo.packet(1, code::MESSAGE_RESPONSE, &Response { batch, failures }.encode());
    let settled: Vec<Event> =
        told.into_iter().filter_map(|o| if let Output::Event(e) = o { Some(e) } else { None }).collect();
    let peer = PeerId(1);
    assert!(settled.contains(&Event::Acknowledged { hash: good.hash(), peer }));
    assert!(settled.contains(&Event::Rejected { hash: bad.hash(), peer, code: 1 }));
    assert_eq!(settled.len(), 2);
    assert!(solo.packet(1, code::BATCH_ACK, &crate::waku::confirm::batch_ack(&batch)).is_empty());
}

#[test]
fn a_confirmation_of_what_was_not_sent_to_that_peer_means_nothing() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    solo.connect(2, &Options { topics: Some(vec![]), ..Options::default() });
    solo.give(Input::Post(fresh(topic(1), 1)));
    let told = solo.settle();
    let ack = crate::waku::confirm::batch_ack(&BatchHash::of(&payloads(&told, 1, code::MESSAGES)[0]));
    assert!(solo.packet(2, code::BATCH_ACK, &ack).is_empty());
    assert_eq!(refusals(&solo.packet(1, code::BATCH_ACK, &ack[..9])), [(Why::MalformedConfirmation, 1)]);
    assert_eq!(solo.packet(1, code::BATCH_ACK, &ack).len(), 1);
}

/// WAKU1-08: what is sent stays below 1 MiB a packet, and what could not be sent on is not let in.
#[test]
fn packets_stay_below_one_mebibyte() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options { pow_bits: Some(0), ..Options::default() });
    let large = |n: u8| {
        Draft::new(UnixSecs::new(START_MS / 1000), 20, topic(1), &vec![n; 400_000]).seal(u64::from(n) << 20).unwrap()
    };
    let mut told = Vec::new();
    solo.give(Input::MinPow { pow: 0.0, tolerate: false });
    for n in 0..6 {
        told.extend(solo.give(Input::Post(large(n))));
    }
    told.extend(solo.settle());
    let packets = payloads(&told, 1, code::MESSAGES);
    assert_eq!(packets.iter().map(|p| hashes(p).len()).collect::<Vec<_>>(), [2, 2, 2]);
    assert!(packets.iter().all(|p| p.len() < 1 << 20));
    let huge = Draft::new(UnixSecs::new(START_MS / 1000), 20, topic(1), &vec![1; (1 << 20) - 20]).seal(0).unwrap();
    let told = solo.give(Input::Post(huge));
    assert!(matches!(told.as_slice(), [Output::Event(Event::NotPosted { why: Why::Oversize, .. })]));
}

/// WAKU1-17: a change of ours reaches every peer as an update, and what is unchanged is not sent.
#[test]
fn our_changes_are_told_to_every_peer() {
    let mut solo = Solo::new(wanting(&[1]));
    solo.connect(1, &Options::default());
    solo.give(Input::PeerUp { peer: PeerId(2), id: key(2), version: 0 });
    let told = solo.give(Input::Interest(Interest::topics([topic(3)])));
    let update = Options { topics: Some(vec![topic(3)]), ..Options::default() };
    assert_eq!(payloads(&told, 1, code::STATUS_UPDATE), [update.to_update(Version::V1)]);
    assert_eq!(payloads(&told, 2, code::STATUS_UPDATE), [update.to_update(Version::V0)]);
    assert!(solo.give(Input::Interest(Interest::topics([topic(3)]))).is_empty());
    let told = solo.give(Input::MinPow { pow: 0.5, tolerate: true });
    let update = Options { pow_bits: Some(0.5f64.to_bits()), ..Options::default() };
    assert_eq!(payloads(&told, 1, code::STATUS_UPDATE), [update.to_update(Version::V1)]);
}

/// A bad update never ends the connection, and what came before the bad option counts.
#[test]
fn a_bad_update_is_counted_and_survived() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options::default());
    let bad = Options { pow_bits: Some(9f64.to_bits()), bloom: Some(vec![0; 3]), ..Options::default() };
    assert_eq!(refusals(&solo.packet(1, code::STATUS_UPDATE, &bad.to_update(Version::V1))), [(Why::BadUpdate, 1)]);
    assert_eq!(refusals(&solo.packet(1, code::STATUS_UPDATE, b"\xc5")), [(Why::BadUpdate, 1)]);
    let peer = solo.host.peers().next().unwrap().1;
    assert_eq!(peer.requirements().unwrap().pow, 9.0);
}

/// A Go peer's filter lacks bits that two of a topic's bits share; its topic must reach it all the same.
#[test]
fn a_go_peers_lossy_filter_admits_its_topic() {
    let lossy = Topic::from([0, 1, 2, 0]);
    let mut solo = Solo::new(full());
    let bloom = Some(BloomFilter::assigned(lossy).as_bytes().to_vec());
    solo.connect(1, &Options { bloom, ..Options::default() });
    let mut told = solo.give(Input::Post(fresh(lossy, 1)));
    told.extend(solo.give(Input::Post(fresh(topic(9), 1))));
    told.extend(solo.settle());
    assert_eq!(sent_to(&told, 1), [fresh(lossy, 1).hash()]);
}

#[test]
fn a_full_pool_keeps_what_has_more_work() {
    let pool = PoolLimits { envelopes: 3, bytes: 1 << 20 };
    let mut solo = Solo::new(Config { pool, ..full() });
    solo.connect(1, &Options::default());
    let mut many: Vec<Envelope> = (0..20).map(|n| fresh(topic(1), n)).collect();
    let told = solo.packet(1, code::MESSAGES, &messages(&many.iter().collect::<Vec<_>>()));
    assert!(refusals(&told).iter().any(|(why, count)| *why == Why::PoolFull && *count > 5));
    many.sort_by(|a, b| b.pow(0).total_cmp(&a.pow(0)));
    let least = many[..3].iter().map(|e| e.pow(0)).fold(f64::INFINITY, f64::min);
    assert_eq!(solo.host.pool_len(), 3);
    assert!(many.iter().filter(|e| e.pow(0) > least).all(|e| solo.host.pooled().any(|h| h == e.hash())));
}

/// An envelope with a time to live of 0 s is taken and passed on, as the peers do, and its work counts as infinite there.
/// Making it so costs nothing, so it does not push out what has work.
#[test]
fn a_flood_of_envelopes_that_live_no_second_pushes_out_nothing_that_has_work() {
    let pool = PoolLimits { envelopes: 4, bytes: 1 << 20 };
    let mut solo = Solo::new(Config { pool, ..full() });
    solo.connect(1, &Options::default());
    let worked = |n: u8| {
        let draft = Draft::new(UnixSecs::new(START_MS / 1000), 20, topic(1), &[n; 60]);
        let nonce = draft.search(0.5).advance(100_000).unwrap();
        draft.seal(nonce).unwrap()
    };
    let real = [worked(1), worked(2), worked(3)];
    solo.packet(1, code::MESSAGES, &messages(&real.each_ref()));
    let idle = |n: u16| {
        let raw = rlp::list(|w| {
            w.uint(START_MS / 1000).uint(0).bytes(&[1; 4]).bytes(&n.to_be_bytes().repeat(100)).uint(0);
        });
        Envelope::decode(&raw).unwrap()
    };
    let flood: Vec<Envelope> = (0..1000).map(idle).filter(|e| e.work().value(1, 0) < 0.1).collect();
    assert!(flood.len() > 900 && flood.iter().all(|e| e.pow(0).is_infinite()));
    let told = solo.packet(1, code::MESSAGES, &messages(&flood.iter().collect::<Vec<_>>()));
    assert!(
        told.iter().any(|it| matches!(it, Output::Event(Event::Envelope { .. }))),
        "they are taken while there is room"
    );
    assert_eq!(solo.host.pool_len(), 4);
    assert!(real.iter().all(|e| solo.host.pooled().any(|hash| hash == e.hash())));
}

#[test]
fn our_own_that_must_make_room_is_told() {
    let mut solo = Solo::new(Config { pool: PoolLimits { envelopes: 1, bytes: 1 << 20 }, ..full() });
    let mut two = [fresh(topic(1), 1), fresh(topic(1), 2)];
    two.sort_by(|a, b| a.pow(0).total_cmp(&b.pow(0)));
    solo.give(Input::Post(two[0].clone()));
    let told = solo.give(Input::Post(two[1].clone()));
    let [Output::Event(Event::NotPosted { hash, why: Why::PoolFull })] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(*hash, if two[0].pow(0) < two[1].pow(0) { two[0].hash() } else { two[1].hash() });
}

/// A peer that changes its mind all the time does not make us go through the pool all the time.
#[test]
fn the_whole_pool_is_gone_through_at_most_every_300_ms_for_a_peer() {
    let mut solo = Solo::new(full());
    solo.connect(1, &Options { topics: Some(vec![]), ..Options::default() });
    solo.give(Input::Post(fresh(topic(1), 1)));
    solo.settle();
    let change = |n| Options { topics: Some(vec![topic(n)]), ..Options::default() }.to_update(Version::V1);
    assert!(sent_to(&solo.packet(1, code::STATUS_UPDATE, &change(2)), 1).is_empty());
    assert!(sent_to(&solo.packet(1, code::STATUS_UPDATE, &change(1)), 1).is_empty());
    assert!(sent_to(&solo.pass(Duration::from_millis(299)), 1).is_empty());
    assert_eq!(sent_to(&solo.pass(Duration::from_millis(1)), 1).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a peer sends, in whatever order, the host stays alive and the other peer is served.
    #[test]
    fn a_hostile_peer_harms_nobody_else(packets: Vec<(u8, Vec<u8>)>, flips: Vec<(prop::sample::Index, u8)>, seconds in 0..40u64) {
        let mut solo = Solo::new(full());
        solo.connect(1, &Options::default());
        solo.connect(2, &Options::default());
        let good = messages(&[&fresh(topic(1), 1), &fresh(topic(2), 2)]);
        for (code, payload) in &packets {
            solo.packet(1, u64::from(*code) % 24, payload);
        }
        for (at, bit) in &flips {
            let mut near = good.clone();
            let place = at.index(near.len());
            near[place] ^= 1 << (bit % 8);
            solo.packet(1, code::MESSAGES, &near);
            let _ = solo.settle();
        }
        solo.pass(Duration::from_secs(seconds));
        prop_assert!(solo.host.peers().any(|(id, _)| id == PeerId(2)));
        let now = UnixMillis::new(START_MS).after(solo.now).to_secs();
        let draft = Draft::new(now, 20, topic(3), b"still here");
        let nonce = draft.search(0.002).advance(100_000).unwrap();
        let envelope = draft.seal(nonce).unwrap();
        let mut told = solo.give(Input::Post(envelope.clone()));
        told.extend(solo.settle());
        prop_assert_eq!(sent_to(&told, 2), [envelope.hash()]);
    }
}
