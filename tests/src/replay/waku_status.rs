//! `waku-status*.jsonl`: status packets and updates, as the peer writes them and as it reads them.
//!
//! Kinds `host` (the status of a node), `encode` (options to bytes), `status` and `update` (bytes to options, and to what
//! the node then believes of its peer), `light` (pairs of light nodes). Packets go through a whole host.

use k256::SecretKey;
use proto::{ChatKey, Instant, Topic, Turn, UnixMillis};
use wire::waku::code;
use wire::waku::status::{Options, RateLimits, StatusError};
use wire::waku::{
    Allowance, BloomFilter, Config, Confirmations, DropReason, Former, Host, Input, Interest, Output, PeerId, Rate,
    Requirements, Version, Wants,
};

use super::Outcome;
use super::case::{Case, check, same, same_bytes};
use super::differs::{self, Read};
use crate::dice::Seeded;

pub(super) fn replay(case: Case<'_>) -> Result<Outcome, String> {
    let version = match case.number("waku_version")? {
        0 => Version::V0,
        1 => Version::V1,
        other => return Err(format!("waku/{other} is unknown")),
    };
    let expect = case.at("expect")?;
    match case.text("kind")? {
        "host" => host(case, version, expect).map(|()| Outcome::Same),
        "encode" => {
            same("verdict", true, expect.is_accepted()?)?;
            let ours = options(case.at("values")?)?.to_update(version);
            same_bytes("options", &ours, &expect.bytes("options")?).map(|()| Outcome::Same)
        }
        "status" => received(case, Kind::Status, version, expect),
        "update" => received(case, Kind::Update, version, expect),
        "light" => light(case, version, expect).map(|()| Outcome::Same),
        _ => Ok(Outcome::Skipped),
    }
}

/// What our host says, set up like the peer's node.
fn host(case: Case<'_>, version: Version, expect: Case<'_>) -> Result<(), String> {
    same("verdict", true, expect.is_accepted()?)?;
    let (packet, values, config) = (expect.bytes("packet")?, expect.at("values")?, case.at("config")?);
    let mut theirs = Options::from_status(version, &packet).map_err(|error| error.to_string())?;
    compare_options(&theirs, values)?;
    same_bytes("written anew", &theirs.to_status(version), &packet)?;
    if let Some(topics) = &mut theirs.topics {
        // A set: the peer's has no order, ours is sorted.
        topics.sort_unstable();
        topics.dedup();
    }
    let interest = match (&theirs.bloom, &theirs.topics) {
        (Some(bloom), _) => match filter(bloom)? {
            full if full.is_full() => Interest::Full,
            filter => Interest::Bloom(filter),
        },
        (None, Some(topics)) => Interest::topics(topics.iter().copied()),
        (None, None) => Interest::Unsaid,
    };
    let max_size = usize::try_from(config.number("max_message_size")?).map_err(|_| "max_message_size is too large")?;
    let mut node = Node::new(Config {
        interest,
        min_pow: config.double("min_pow")?,
        light_node: config.says("light"),
        confirmations: if config.says("confirmations") { Confirmations::Always } else { Confirmations::Never },
        max_packet: max_size,
        max_envelope: max_size,
        allowance: Some(allowance(&theirs)),
        ..Config::default()
    })?;
    // The peer was told another minimum after its start: what it says is the one thing that tells which.
    if case.text("note")?.contains("changed") {
        let pow = f64::from_bits(theirs.pow_bits.ok_or("the status names no proof of work")?);
        node.handle(Input::MinPow { pow, former: Former::Tolerated });
    }
    let ours = node.meet(version).ok_or("our host says nothing")?;
    same_bytes("our host's status", &ours, &theirs.to_status(version))
}

/// Returns the limits of a node that says this; what it says is the one thing that tells them.
fn allowance(said: &Options) -> Allowance {
    let [packets, bytes] = [said.packet_limits, said.byte_limits].map(Option::unwrap_or_default);
    Allowance {
        per_peer: Rate { packets: packets.peer, bytes: bytes.peer },
        per_address: Rate { packets: packets.ip, bytes: bytes.ip },
        ..Allowance::default()
    }
}

fn received(case: Case<'_>, kind: Kind, version: Version, expect: Case<'_>) -> Result<Outcome, String> {
    let packet = case.bytes("packet")?;
    let Err(what) = Reading::of(kind, version, &packet)?.compare(kind, version, expect) else {
        return Ok(Outcome::Same);
    };
    let foretold = match differs::unknown_key(version, kind == Kind::Update, &packet) {
        None => return Err(what),
        Some(Read::Refused) => Reading::refused(kind, version)?,
        Some(Read::As(packet)) => Reading::of(kind, version, &packet)?,
    };
    match foretold.compare(kind, version, expect) {
        Ok(()) => Ok(Outcome::Listed),
        Err(other) => Err(format!("{what}; and the unknown key does not explain it: {other}")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Status,
    Update,
}

/// What a packet is read as.
struct Reading {
    /// Its options, if it decodes.
    options: Option<Options>,
    /// What the node believes of its peer afterwards, if the connection stays.
    state: Option<Requirements>,
}

impl Reading {
    fn of(kind: Kind, version: Version, packet: &[u8]) -> Result<Self, String> {
        let mut node = Node::new(Config::default())?;
        node.meet(version);
        let (options, code) = match kind {
            Kind::Status => (Options::from_status(version, packet), code::STATUS),
            Kind::Update => {
                node.packet(code::STATUS, &Options::default().to_status(version));
                (Options::from_update(version, packet), code::STATUS_UPDATE)
            }
        };
        node.packet(code, packet);
        Ok(Self { options: options.ok(), state: node.requirements() })
    }

    /// Returns what comes of a packet that does not decode.
    fn refused(kind: Kind, version: Version) -> Result<Self, String> {
        Self::of(kind, version, &[])
    }

    fn compare(&self, kind: Kind, version: Version, expect: Case<'_>) -> Result<(), String> {
        let Self { options, state } = self;
        same("decode", options.is_some(), expect.accepts("decode")?)?;
        if let Some(options) = options {
            compare_options(options, expect.at("decode")?.at("values")?)?;
        }
        match kind {
            Kind::Status => {
                same("handshake", state.is_some(), expect.accepts("handshake")?)?;
                same("verdict", state.is_some(), expect.is_accepted()?)?;
                state.as_ref().map_or(Ok(()), |state| compare_state(state, version, expect.at("handshake")?))
            }
            Kind::Update => {
                same("verdict", options.is_some(), expect.is_accepted()?)?;
                compare_open(state.as_ref(), version, expect.at("after_update")?)
            }
        }
    }
}

fn light(case: Case<'_>, version: Version, expect: Case<'_>) -> Result<(), String> {
    let (light_node, refuse_light_peers) = match case.text("host")? {
        "plain" => (false, true),
        "light" => (true, false),
        "light-restricted" => (true, true),
        other => return Err(format!("unknown host {other}")),
    };
    let mut node = Node::new(Config { light_node, refuse_light_peers, ..Config::default() })?;
    node.meet(version);
    node.packet(code::STATUS, &case.bytes("packet")?);
    let state = node.requirements();
    same("verdict", state.is_some(), expect.is_accepted()?)?;
    same("handshake", state.is_some(), expect.accepts("handshake")?)?;
    let Some(state) = state else {
        let reason = DropReason::BadStatus { source: StatusError::LightPair };
        return same("our host's reason", node.dropped, Some(reason));
    };
    compare_state(&state, version, expect.at("handshake")?)?;
    let to_light = Options { light_node: Some(true), ..Options::default() };
    node.packet(code::STATUS_UPDATE, &to_light.to_update(version));
    compare_open(node.requirements().as_ref(), version, expect.at("after_update_light_true")?)
}

/// One of our hosts, with one peer.
struct Node {
    host: Host,
    peer: ChatKey,
    dropped: Option<DropReason>,
}

impl Node {
    fn new(config: Config) -> Result<Self, String> {
        let peer = SecretKey::from_slice(&[1; 32]).map_err(|_| "no key")?.public_key().into();
        Ok(Self { host: Host::new(config), peer, dropped: None })
    }

    /// Connects the peer; returns the status that the host says to it.
    fn meet(&mut self, version: Version) -> Option<Vec<u8>> {
        let version = if version == Version::V0 { 0 } else { 1 };
        self.handle(Input::PeerUp { peer: PEER, id: self.peer, address: None, version })
    }

    /// Has the peer send a packet.
    fn packet(&mut self, code: u64, payload: &[u8]) {
        self.handle(Input::Packet { peer: PEER, code, payload: payload.to_vec() });
    }

    /// Returns the status in what comes out, if there is one.
    fn handle(&mut self, input: Input) -> Option<Vec<u8>> {
        let mut dice = Seeded::new(1);
        self.host.handle(&mut Turn { now: Instant::default(), unix: UnixMillis::new(0), rng: &mut dice }, input);
        let mut said = None;
        while let Some(output) = self.host.poll() {
            match output {
                Output::Send { code: code::STATUS, payload, .. } => said = Some(payload),
                Output::Drop { reason, .. } => self.dropped = Some(reason),
                Output::Send { .. } | Output::Event(_) => {}
            }
        }
        said
    }

    /// Returns what the host believes that the peer wants, while it is connected and its status in.
    fn requirements(&self) -> Option<Requirements> {
        self.host.peers().find_map(|(_, peer)| peer.requirements().cloned())
    }
}

/// Reads options from a recording.
fn options(values: Case<'_>) -> Result<Options, String> {
    let topics = values.find("topic_interest").map(|_| topics(values)).transpose()?;
    Ok(Options { topics, ..options_but_topics(values)? })
}

/// Reads all options but the topics: of a long list of them only the ends are told.
fn options_but_topics(values: Case<'_>) -> Result<Options, String> {
    let pow_bits = values.find("pow_requirement_bits").map(|_| values.array("pow_requirement_bits")).transpose()?;
    Ok(Options {
        pow_bits: pow_bits.map(u64::from_be_bytes),
        bloom: values.bytes_if_there("bloom_filter")?,
        light_node: values.flag("light_node")?,
        confirmations: values.flag("confirmations")?,
        packet_limits: values.find("packet_rate_limits").map(|_| limits(values, "packet_rate_limits")).transpose()?,
        topics: None,
        byte_limits: values.find("bytes_rate_limits").map(|_| limits(values, "bytes_rate_limits")).transpose()?,
    })
}

fn topics(values: Case<'_>) -> Result<Vec<Topic>, String> {
    values.texts("topic_interest")?.into_iter().map(topic).collect()
}

fn topic(text: &str) -> Result<Topic, String> {
    let bytes = hex::decode(text).unwrap_or_default();
    Topic::try_from(bytes.as_slice()).map_err(|_| format!("{text} is no topic"))
}

fn limits(values: Case<'_>, name: &str) -> Result<RateLimits, String> {
    let [ip, peer, topic] = values.three_numbers(name)?;
    Ok(RateLimits { ip, peer, topic })
}

fn filter(bloom: &[u8]) -> Result<BloomFilter, String> {
    let bytes: [u8; 64] = bloom.try_into().map_err(|_| format!("a filter of {} bytes", bloom.len()))?;
    Ok(BloomFilter::from(bytes))
}

fn compare_options(ours: &Options, values: Case<'_>) -> Result<(), String> {
    compare_topics(ours.topics.as_deref(), values)?;
    let ours = Options { topics: None, ..ours.clone() };
    same("options", ours, options_but_topics(values)?)
}

fn compare_topics(ours: Option<&[Topic]>, values: Case<'_>) -> Result<(), String> {
    let Some(theirs) = values.find("topic_interest") else {
        return same("topic_interest", ours.map(<[_]>::len), None);
    };
    let ours = ours.ok_or("topic_interest: ours has none")?;
    if theirs.find("count").is_none() {
        return same("topic_interest", ours, &topics(values)?);
    }
    same("number of topics", ours.len() as u64, theirs.number("count")?)?;
    same("first topic", ours.first().copied(), Some(topic(theirs.text("first")?)?))?;
    same("last topic", ours.last().copied(), Some(topic(theirs.text("last")?)?))
}

/// Compares what is believed after an update, which never ends a connection.
fn compare_open(ours: Option<&Requirements>, version: Version, expect: Case<'_>) -> Result<(), String> {
    same("connection", if ours.is_some() { "open" } else { "closed" }, expect.text("connection")?)?;
    ours.map_or(Ok(()), |ours| compare_state(ours, version, expect))
}

fn compare_state(ours: &Requirements, version: Version, expect: Case<'_>) -> Result<(), String> {
    let state = expect.at("state")?;
    // What ours takes from it; whether the peer is a light node is not shown, and nobody is trusted who was not asked.
    let Requirements { pow, wants, light_node: _, confirmations, packet_limits, byte_limits } = ours;
    same_bytes("pow_requirement", &pow.to_bits().to_be_bytes(), &state.bytes("pow_requirement_bits")?)?;
    same("confirmations", Some(*confirmations), state.flag("confirmations")?)?;
    same("packet_rate_limits", *packet_limits, limits(state, "packet_rate_limits")?)?;
    if version == Version::V1 {
        same("bytes_rate_limits", *byte_limits, limits(state, "bytes_rate_limits")?)?;
    }
    same("trusted", Some(false), state.flag("trusted")?)?;
    same("full_node", Some(*wants == Wants::Everything), state.flag("full_node")?)?;
    let bloom = state.bytes_if_there("bloom_filter")?;
    let sorted = match wants {
        // An empty filter and a full one say the same.
        Wants::Everything => {
            let bloom = bloom.ok_or("bloom_filter: the peer's has none")?;
            check(bloom.is_empty() || filter(&bloom)?.is_full(), "bloom_filter: ours takes everything")?;
            None
        }
        Wants::Bloom(ours) => {
            same_bytes("bloom_filter", ours.as_bytes(), &bloom.ok_or("bloom_filter: the peer's has none")?)?;
            None
        }
        Wants::Topics(topics) => {
            check(bloom.is_none(), "bloom_filter: ours has topics instead")?;
            Some(topics.as_slice())
        }
    };
    compare_topics(sorted, state)
}

const PEER: PeerId = PeerId(1);
