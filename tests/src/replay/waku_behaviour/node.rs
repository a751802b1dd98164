//! Our node in the place of the recorded one: its settings, and what each step does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proto::{EnvelopeHash, Instant, Topic, Turn, UnixMillis};
use wire::payload::{Arrival, Filter, Filters, SymKey};
use wire::waku::status::is_requirement;
use wire::waku::{
    BloomFilter, Completion, Envelope, Event, Former, Host, Input, Interest, MailRequest, Output, PeerId, Version, code,
};

use super::super::case::Case;
use super::super::differs::{self, Read};
use super::Rule;
use super::script::{completion, envelope, request, topics};
use super::settings::{Keys, config};
use crate::dice::Seeded;

/// How options are read, and what interest follows from those who listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// In our way.
    Ours,
    /// In the way that `differs` foretells of the peer.
    Peers,
}

/// A host, and who listens behind it.
pub(super) struct Node<'a> {
    case: Case<'a>,
    host: Host,
    filters: Filters<String>,
    /// The filters' topics and their least work, and all topics that ever were in a filter.
    listening: BTreeMap<String, (Vec<Topic>, f64)>,
    ever: Vec<Topic>,
    /// The interest as it was set by hand, and as it stands with the filters' topics.
    by_hand: Interest,
    interest: Interest,
    full: bool,
    manner: Manner,
    rules: BTreeSet<Rule>,
    /// What the peer's node has sent on to whom, which ours did not, or not yet.
    sent_on: BTreeSet<(PeerId, EnvelopeHash)>,
    /// The connections by their names in the script, with those that have ended.
    peers: BTreeMap<String, (PeerId, Version)>,
    keys: Keys,
    start_ms: u64,
    /// Every envelope that was in the pool: the last second it lives, and whether it was posted here.
    pooled: BTreeMap<EnvelopeHash, (u64, bool)>,
}

/// What came out of a step.
#[derive(Default)]
pub(super) struct Seen {
    /// Whether the node did what it was told.
    pub(super) accepted: bool,
    pub(super) sent: BTreeMap<String, Vec<(u64, Vec<u8>)>>,
    /// The connections that ended, and whether the node ended them.
    pub(super) closed: BTreeMap<String, bool>,
    pub(super) messages: Vec<Message>,
    pub(super) available: Vec<EnvelopeHash>,
    pub(super) mail: Vec<Mail>,
    pub(super) completed: Vec<(String, Completion)>,
    pub(super) now_s: u64,
}

/// What a filter received.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    pub(super) filter: String,
    pub(super) hash: EnvelopeHash,
    pub(super) payload: Vec<u8>,
    pub(super) p2p: bool,
    pub(super) signer: Option<Vec<u8>>,
}

/// A call of the mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mail {
    Archive(EnvelopeHash),
    Request(String, MailRequest),
}

impl<'a> Node<'a> {
    /// Returns a node with the settings of the recorded one.
    pub(super) fn new(case: Case<'a>, manner: Manner) -> Result<Self, String> {
        let settings = case.at("config")?;
        let mut keys = Keys::default();
        let config = config(settings, &mut keys)?;
        let (interest, full) = (config.interest.clone(), settings.says("full_node"));
        let mut node = Self {
            case,
            host: Host::new(config),
            filters: Filters::default(),
            listening: BTreeMap::new(),
            ever: Vec::new(),
            by_hand: interest.clone(),
            interest,
            full,
            manner,
            rules: BTreeSet::new(),
            sent_on: BTreeSet::new(),
            peers: BTreeMap::new(),
            keys,
            start_ms: case.number("start_ms")?,
            pooled: BTreeMap::new(),
        };
        let mut seen = Seen::default();
        let start = Clock { now: Instant::default(), unix: UnixMillis::new(node.start_ms) };
        node.give(start, Input::FullNode(full), &mut seen)?;
        Ok(node)
    }

    /// Returns the settings of the recorded node.
    pub(super) fn settings(&self) -> Result<Case<'a>, String> {
        self.case.at("config")
    }

    /// Returns the rules by which the peer's way was not ours.
    pub(super) fn rules(&self) -> &BTreeSet<Rule> {
        &self.rules
    }

    /// Returns which Waku is spoken with a peer.
    pub(super) fn version(&self, peer: &str) -> Version {
        self.peers.get(peer).map_or(Version::V1, |(_, version)| *version)
    }

    pub(super) fn least_work(&self, filter: &str) -> f64 {
        self.listening.get(filter).map_or(0.0, |(_, min_pow)| *min_pow)
    }

    /// Returns whether a peer announced limits.
    pub(super) fn announced_limits(&self, peer: &str) -> bool {
        let id = self.peers.get(peer).map(|(id, _)| *id);
        let wants = self.host.peers().find(|(other, _)| Some(*other) == id).and_then(|(_, peer)| peer.requirements());
        wants.is_some_and(|wants| differs::announced_limits(wants.packet_limits, wants.byte_limits))
    }

    /// Notes that the peer's node has sent an envelope on.
    pub(super) fn peer_sent_on(&mut self, to: &str, hash: EnvelopeHash) {
        if let Some((peer, _)) = self.peers.get(to) {
            self.sent_on.insert((*peer, hash));
        }
    }

    /// Returns whether the peer's node had sent an envelope on before.
    pub(super) fn had_peer_sent_on(&self, to: &str, hash: EnvelopeHash) -> bool {
        self.peers.get(to).is_some_and(|(peer, _)| self.sent_on.contains(&(*peer, hash)))
    }

    /// Returns the envelopes in the pool.
    pub(super) fn pool(&self) -> BTreeSet<EnvelopeHash> {
        self.host.pooled().collect()
    }

    /// Returns the last second in which an envelope lives that was in the pool.
    pub(super) fn expiry(&self, hash: &EnvelopeHash) -> Option<u64> {
        self.pooled.get(hash).map(|(expiry, _)| *expiry)
    }

    pub(super) fn was_posted(&self, hash: &EnvelopeHash) -> bool {
        self.pooled.get(hash).is_some_and(|(_, own)| *own)
    }

    /// Has the step happen, and time pass until the next one. The wall clock stands still meanwhile.
    pub(super) fn step(&mut self, step: Case<'_>) -> Result<Seen, String> {
        let at_ms = step.number("at_ms")?;
        let since_start = Duration::from_millis(at_ms.saturating_sub(self.start_ms));
        let clock = Clock { now: Instant::from_start(since_start), unix: UnixMillis::new(at_ms) };
        let mut seen = Seen { accepted: true, now_s: at_ms / 1000, ..Seen::default() };
        self.happens(step, clock, &mut seen)?;
        let end = clock.now.after(Duration::from_millis(step.number("settle_ms")?));
        let mut now = clock.now;
        while let Some(due) = self.host.wake_at().filter(|due| *due < end) {
            now = now.max(due);
            self.give(Clock { now, ..clock }, Input::Tick, &mut seen)?;
        }
        Ok(seen)
    }

    fn happens(&mut self, step: Case<'_>, clock: Clock, seen: &mut Seen) -> Result<(), String> {
        match step.text("op")? {
            "connect" => self.connect(step, clock, seen),
            "disconnect" => {
                let name = step.text("peer")?;
                let peer = self.peer(name)?;
                seen.closed.insert(name.to_owned(), false);
                self.give(clock, Input::PeerDown(peer), seen)
            }
            "send" => self.packet(step.text("peer")?, step, clock, seen),
            "send_both" => step.texts("peers")?.into_iter().try_for_each(|peer| self.packet(peer, step, clock, seen)),
            "burst" => {
                let mut packets = step.list("packets")?;
                let peer = step.text("peer")?;
                packets.try_for_each(|packet| self.packet(peer, packet, clock, seen))
            }
            "wait" => self.give(clock, Input::Tick, seen),
            "set_min_pow" => {
                let pow = step.double("value")?;
                seen.accepted = is_requirement(pow);
                // What the peer calls tolerance ends its old minimum; without, it stays good.
                let former = if step.says("tolerate") { Former::Tolerated } else { Former::Kept };
                self.give(clock, Input::MinPow { pow, former }, seen)
            }
            "set_topic_interest" => self.set_by_hand(Interest::topics(topics(step)?), clock, seen),
            "set_bloom" => {
                let filter = BloomFilter::from(step.array::<64>("bloom")?);
                self.set_by_hand(Interest::Bloom(filter), clock, seen)
            }
            "set_full_node" => {
                self.full = step.says("on");
                self.give(clock, Input::FullNode(self.full), seen)
            }
            "subscribe" => self.subscribe(step, clock, seen),
            "unsubscribe" => self.unsubscribe(step.text("filter")?, clock, seen),
            "trust" => self.tell(step, clock, seen, Input::Trust),
            "post" => {
                let envelope = envelope(&step.bytes("envelope")?)?;
                self.give(clock, Input::Post(envelope), seen)
            }
            "request_mail" => {
                let request = MailRequest::Sealed(envelope(&step.bytes("envelope")?)?);
                self.tell(step, clock, seen, |peer| Input::Request { peer, request })
            }
            "request_messages" => self.request_messages(step, clock, seen),
            "send_p2p_raw" => {
                let envelopes = step.texts("envelopes")?.into_iter();
                let decoded = envelopes.map(|text| envelope(&hex::decode(text).map_err(|_| "envelopes")?));
                let envelopes = decoded.collect::<Result<_, String>>()?;
                self.tell(step, clock, seen, |peer| Input::SendDirect { peer, envelopes })
            }
            "send_complete" => {
                let completion = completion(&step.bytes("body")?)?;
                self.tell(step, clock, seen, |peer| Input::Complete { peer, completion })
            }
            op => Err(format!("nothing here knows how to {op}")),
        }
    }

    fn connect(&mut self, step: Case<'_>, clock: Clock, seen: &mut Seen) -> Result<(), String> {
        let id = self.keys.of(step.text("peer_id")?)?;
        let version = u32::try_from(step.number("waku_version")?).map_err(|_| "waku_version")?;
        let peer = PeerId(clock.unix.get() * 16 + self.peers.len() as u64);
        let spoken = if version == 0 { Version::V0 } else { Version::V1 };
        self.peers.insert(step.text("peer")?.to_owned(), (peer, spoken));
        self.give(clock, Input::PeerUp { peer, id, address: None, version }, seen)
    }

    fn packet(&mut self, name: &str, packet: Case<'_>, clock: Clock, seen: &mut Seen) -> Result<(), String> {
        let code = packet.number("code")?;
        let mut payload = packet.payload("payload")?.ok_or("a packet without a payload")?;
        if self.manner == Manner::Peers && matches!(code, code::STATUS | code::STATUS_UPDATE) {
            let read = differs::unknown_key(self.version(name), code == code::STATUS_UPDATE, &payload);
            self.rules.extend(read.as_ref().map(|_| Rule::UnknownKey));
            match read {
                None => {}
                Some(Read::As(options)) => payload = options,
                Some(Read::Refused) => payload = Vec::new(),
            }
        }
        let input = Input::Packet { peer: self.peer(name)?, code, payload };
        self.give(clock, input, seen)
    }

    fn peer(&self, name: &str) -> Result<PeerId, String> {
        self.peers.get(name).map(|(peer, _)| *peer).ok_or_else(|| format!("peer {name} has never connected"))
    }

    /// Does something to the step's peer, which must be there.
    fn tell(
        &mut self,
        step: Case<'_>,
        clock: Clock,
        seen: &mut Seen,
        input: impl FnOnce(PeerId) -> Input,
    ) -> Result<(), String> {
        let peer = self.peer(step.text("peer")?)?;
        seen.accepted = self.host.peers().any(|(id, _)| id == peer);
        self.give(clock, input(peer), seen)
    }

    fn request_messages(&mut self, step: Case<'_>, clock: Clock, seen: &mut Seen) -> Result<(), String> {
        let request = request(step.at("request")?)?;
        if request.validate().is_err() {
            seen.accepted = false;
            return Ok(());
        }
        self.tell(step, clock, seen, |peer| Input::Request { peer, request: MailRequest::Open(request) })
    }

    fn set_by_hand(&mut self, interest: Interest, clock: Clock, seen: &mut Seen) -> Result<(), String> {
        self.by_hand = interest.clone();
        self.set_interest(interest, clock, seen)
    }

    fn set_interest(&mut self, interest: Interest, clock: Clock, seen: &mut Seen) -> Result<(), String> {
        self.interest = interest.clone();
        self.give(clock, Input::Interest(interest), seen)
    }

    /// Listens, and asks for the topics unless everything is wanted, or with a filter in which they lie.
    fn subscribe(&mut self, step: Case<'_>, clock: Clock, seen: &mut Seen) -> Result<(), String> {
        let (name, topics) = (step.text("filter")?.to_owned(), topics(step)?);
        let key = Arc::new(SymKey::from_bytes(&step.bytes("sym_key")?).ok_or("sym_key")?);
        let min_pow = step.double("min_pow")?;
        let filter = Filter { topics: topics.clone(), key, min_pow, direct: step.says("allow_p2p") };
        self.filters.insert(name.clone(), filter);
        self.listening.insert(name, (topics.clone(), min_pow));
        self.ever.extend(&topics);
        let bloom_mode = self.settings()?.says("bloom_mode");
        let widened = self.widened(&topics, bloom_mode);
        if bloom_mode && (self.interest == Interest::Unsaid || widened == self.interest) {
            return Ok(());
        }
        self.set_interest(widened, clock, seen)
    }

    /// Returns the interest with the topics of a new filter.
    fn widened(&mut self, topics: &[Topic], bloom_mode: bool) -> Interest {
        let ours = self.interest.widened(topics.iter().copied());
        let (rule, peers) = match self.manner {
            Manner::Ours => return ours,
            Manner::Peers if self.full => {
                (Rule::SubscribingWhileFull, differs::subscribing_while_full(&self.interest, bloom_mode, topics))
            }
            Manner::Peers => match differs::lossy_filter(&self.interest, topics) {
                Some(lossy) => (Rule::LossyFilter, lossy),
                None => return ours,
            },
        };
        if peers != ours {
            self.rules.insert(rule);
        }
        peers
    }

    fn unsubscribe(&mut self, name: &str, clock: Clock, seen: &mut Seen) -> Result<(), String> {
        seen.accepted = self.filters.remove(&name.to_owned());
        self.listening.remove(name);
        let interest = match self.manner {
            Manner::Ours => Some(self.by_hand.widened(self.filters.topics())),
            Manner::Peers => {
                self.rules.insert(Rule::Unsubscribing);
                differs::unsubscribing(self.case.text("peer")?, &self.ever)
            }
        };
        let Some(interest) = interest else { return Ok(()) };
        self.set_interest(interest, clock, seen)
    }

    fn give(&mut self, clock: Clock, input: Input, seen: &mut Seen) -> Result<(), String> {
        let mut dice = Seeded::new(1);
        self.host.handle(&mut Turn { now: clock.now, unix: clock.unix, rng: &mut dice }, input);
        while let Some(output) = self.host.poll() {
            match output {
                Output::Send { peer, code, payload } => {
                    let name = self.name(peer)?;
                    seen.sent.entry(name).or_default().push((code, payload));
                }
                Output::Drop { peer, .. } => {
                    let name = self.name(peer)?;
                    seen.closed.insert(name, true);
                }
                Output::Event(event) => self.event(event, seen)?,
            }
        }
        Ok(())
    }

    fn name(&self, peer: PeerId) -> Result<String, String> {
        let name = self.peers.iter().find(|(_, (id, _))| *id == peer).map(|(name, _)| name.clone());
        name.ok_or_else(|| "our host speaks to nobody".to_owned())
    }

    fn event(&mut self, event: Event, seen: &mut Seen) -> Result<(), String> {
        match event {
            Event::Envelope { envelope, pow, direct, .. } => {
                self.pooled(&envelope, false, seen)?;
                self.deliver(&envelope, Arrival { pow, direct }, seen);
            }
            Event::Posted { envelope, pow } => {
                self.pooled(&envelope, true, seen)?;
                self.deliver(&envelope, Arrival { pow, direct: false }, seen);
            }
            Event::Direct { envelopes, .. } => {
                for envelope in envelopes {
                    let arrival = Arrival { pow: envelope.pow(0), direct: true };
                    self.deliver(&envelope, arrival, seen);
                }
            }
            Event::NotPosted { .. } => seen.accepted = false,
            Event::MailRequest { request, from } => seen.mail.push(Mail::Request(self.name(from)?, request)),
            Event::MailCompleted { completion, from } => seen.completed.push((self.name(from)?, completion)),
            _ => {}
        }
        Ok(())
    }

    fn pooled(&mut self, envelope: &Envelope, own: bool, seen: &mut Seen) -> Result<(), String> {
        self.pooled.insert(envelope.hash(), (envelope.expiry().get(), own));
        if self.settings()?.says("mailserver") {
            seen.mail.push(Mail::Archive(envelope.hash()));
        }
        Ok(())
    }

    fn deliver(&self, envelope: &Envelope, arrival: Arrival, seen: &mut Seen) {
        seen.available.push(envelope.hash());
        for (filter, opened) in self.filters.open(envelope, arrival) {
            let Ok(opened) = opened else { continue };
            seen.messages.push(Message {
                filter: filter.clone(),
                hash: envelope.hash(),
                payload: opened.payload().to_vec(),
                p2p: arrival.direct,
                signer: opened.signer().map(|key| key.to_bytes().to_vec()),
            });
        }
    }
}

#[derive(Clone, Copy)]
struct Clock {
    now: Instant,
    unix: UnixMillis,
}
