//! What came out of a step, compared with what came out of the peer.

use std::collections::{BTreeMap, BTreeSet};

use proto::EnvelopeHash;
use wire::waku::confirm::Response;
use wire::waku::status::Options;
use wire::waku::{Completion, MailRequest, Version, code};

use super::super::case::{Case, check, same, same_bytes};
use super::super::differs;
use super::Rule;
use super::node::{Mail, Message, Node, Seen};
use super::script::hashes;

/// Compares; returns the rules by which ours differs.
pub(super) fn compare(node: &mut Node<'_>, seen: &Seen, step: Case<'_>) -> Result<BTreeSet<Rule>, String> {
    let expect = step.at("expect")?;
    let mut rules = BTreeSet::new();
    packets(node, seen, expect, &mut rules)?;
    closed(seen, expect)?;
    messages(node, seen, expect, &mut rules)?;
    mail(seen, expect)?;
    bookkeeping(seen, expect)?;
    pool(node, seen, expect)?;
    Ok(rules)
}

fn packets(node: &mut Node<'_>, seen: &Seen, expect: Case<'_>, rules: &mut BTreeSet<Rule>) -> Result<(), String> {
    let mut theirs = BTreeMap::<&str, Vec<(u64, Vec<u8>)>>::new();
    for packet in list(expect, "out")? {
        let payload = packet.bytes("payload")?;
        if packet.find("hashes").is_some() {
            let named = packet.texts("hashes")?.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
            same("envelopes of a packet", hashes(&payload)?, named)?;
        }
        theirs.entry(packet.text("peer")?).or_default().push((packet.number("code")?, payload));
    }
    let peers: BTreeSet<&str> = theirs.keys().copied().chain(seen.sent.keys().map(String::as_str)).collect();
    for peer in peers {
        let version = node.version(peer);
        let ours = Said::of(version, seen.sent.get(peer).map_or(&[], Vec::as_slice))?;
        let theirs = Said::of(version, theirs.get(peer).map_or(&[], Vec::as_slice))?;
        same(&format!("packets to {peer}"), &ours.packets, &theirs.packets)?;
        // What ours did not send at once it may send later, when the peer's has sent it already.
        let mut more = ours.envelopes.difference(&theirs.envelopes);
        if let Some(hash) = more.find(|hash| !node.had_peer_sent_on(peer, **hash)) {
            return Err(format!("{hash} is sent to {peer}, and not by the peer"));
        }
        for hash in theirs.envelopes.difference(&ours.envelopes) {
            // Between its expiry and the sweep it may be sent.
            if node.expiry(hash).is_some_and(|expiry| expiry < seen.now_s) {
                continue;
            }
            let rule = not_sent(node, peer, hash)?.ok_or_else(|| format!("{hash} is not sent to {peer}"))?;
            rules.insert(rule);
            node.peer_sent_on(peer, *hash);
        }
    }
    Ok(())
}

/// Returns the rule by which ours does not send an envelope of its pool that the peer's sends.
fn not_sent(node: &Node<'_>, to: &str, hash: &EnvelopeHash) -> Result<Option<Rule>, String> {
    let light = node.settings()?.says("light");
    Ok(match () {
        () if !node.pool().contains(hash) => None,
        () if differs::light_node(light, node.was_posted(hash)) => Some(Rule::LightNode),
        () if node.announced_limits(to) => Some(Rule::AnnouncedLimits),
        () => None,
    })
}

/// What one peer was sent in a step.
struct Said {
    /// All packets but those with envelopes.
    packets: Vec<Packet>,
    envelopes: BTreeSet<EnvelopeHash>,
}

/// A packet by its meaning.
#[derive(Debug, PartialEq)]
enum Packet {
    Status(Options),
    Update(Options),
    /// The batch, and what of it was refused under which code.
    Response(Vec<u8>, Vec<(EnvelopeHash, u64)>),
    Other(u64, String),
}

impl Said {
    fn of(version: Version, sent: &[(u64, Vec<u8>)]) -> Result<Self, String> {
        let mut said = Self { packets: Vec::new(), envelopes: BTreeSet::new() };
        for (code, payload) in sent {
            if *code == code::MESSAGES {
                for hash in hashes(payload)? {
                    check(said.envelopes.insert(hash), "an envelope is sent twice")?;
                }
            } else {
                said.packets.push(Packet::of(version, *code, payload)?);
            }
        }
        Ok(said)
    }
}

impl Packet {
    fn of(version: Version, code: u64, payload: &[u8]) -> Result<Self, String> {
        let read = |options: Result<Options, _>| {
            let mut options = options.map_err(|error: wire::waku::status::StatusError| error.to_string())?;
            if let Some(topics) = &mut options.topics {
                // A set: its order and repeats say nothing.
                topics.sort_unstable();
                topics.dedup();
            }
            Ok::<_, String>(options)
        };
        match code {
            code::STATUS => Ok(Self::Status(read(Options::from_status(version, payload))?)),
            code::STATUS_UPDATE => Ok(Self::Update(read(Options::from_update(version, payload))?)),
            code::MESSAGE_RESPONSE => {
                let response = Response::decode(payload).map_err(|error| error.to_string())?;
                let response = response.ok_or("a response of another version")?;
                let failures = response.failures.iter().map(|failure| (failure.hash, failure.code)).collect();
                Ok(Self::Response(response.batch.as_bytes().to_vec(), failures))
            }
            code => Ok(Self::Other(code, hex::encode(payload))),
        }
    }
}

fn closed(seen: &Seen, expect: Case<'_>) -> Result<(), String> {
    let mut theirs = BTreeSet::new();
    for closed in list(expect, "closed")? {
        let peer = closed.text("peer")?;
        if seen.closed.get(peer) == Some(&true) {
            same("disconnect reason", SUBPROTOCOL, closed.number("disconnect_reason")?)?;
        }
        theirs.insert(peer.to_owned());
    }
    same("connections ended", seen.closed.keys().cloned().collect(), theirs)
}

fn messages(node: &Node<'_>, seen: &Seen, expect: Case<'_>, rules: &mut BTreeSet<Rule>) -> Result<(), String> {
    let theirs: Result<Vec<Message>, String> = list(expect, "messages")?.map(message).collect();
    let mut theirs = theirs?;
    let mut ours = seen.messages.clone();
    ours.sort();
    theirs.sort();
    let mut left = theirs.clone();
    for message in ours {
        if let Some(at) = left.iter().position(|other| *other == message) {
            left.remove(at);
        } else if differs::direct_work(message.p2p, node.least_work(&message.filter)) {
            rules.insert(Rule::DirectWork);
        } else {
            return Err(format!("filter {} reads {}, and not the peer's", message.filter, message.hash));
        }
    }
    let missing = left.first().map(|message| format!("filter {} does not read {}", message.filter, message.hash));
    missing.map_or(Ok(()), Err)
}

fn message(said: Case<'_>) -> Result<Message, String> {
    Ok(Message {
        filter: said.text("filter")?.to_owned(),
        hash: hash(said, "hash")?,
        payload: said.bytes("payload")?,
        p2p: said.says("p2p"),
        signer: said.bytes_if_there("signer")?.filter(|signer| !signer.is_empty()),
    })
}

fn mail(seen: &Seen, expect: Case<'_>) -> Result<(), String> {
    let theirs: Vec<Case<'_>> = list(expect, "mailserver")?.collect();
    same("calls of the mail server", seen.mail.len(), theirs.len())?;
    for (ours, theirs) in seen.mail.iter().zip(theirs) {
        let what = theirs.text("what")?;
        match ours {
            Mail::Archive(envelope) => {
                same("call of the mail server", "archive", what)?;
                same("archived", *envelope, hash(theirs, "hash")?)?;
            }
            Mail::Request(from, request) => {
                same("request of", from.as_str(), theirs.text("peer")?)?;
                compare_request(request, what, theirs)?;
            }
        }
    }
    Ok(())
}

fn compare_request(request: &MailRequest, what: &str, theirs: Case<'_>) -> Result<(), String> {
    match request {
        MailRequest::Sealed(envelope) => {
            same("call of the mail server", "request_envelope", what)?;
            same("request", envelope.hash(), hash(theirs, "hash")?)
        }
        MailRequest::Open(request) => {
            same("call of the mail server", "messages_request", what)?;
            same_bytes("id", &request.id, &theirs.bytes("id")?)?;
            same("from", u64::from(request.from_s), theirs.number("from_unix_s")?)?;
            same("to", u64::from(request.to_s), theirs.number("to_unix_s")?)?;
            same("limit", u64::from(request.limit), theirs.number("limit")?)?;
            same_bytes("cursor", &request.cursor, &theirs.bytes("cursor")?)?;
            same_bytes("bloom", &request.bloom, &theirs.bytes("bloom")?)?;
            let topics: Vec<String> = request.topics.iter().map(hex::encode).collect();
            same("topics", topics, theirs.texts("topics")?.into_iter().map(str::to_owned).collect())
        }
    }
}

/// Of the peer's own bookkeeping: what it showed its filters, and how its requests ended.
fn bookkeeping(seen: &Seen, expect: Case<'_>) -> Result<(), String> {
    let (mut available, mut completed) = (Vec::new(), Vec::new());
    for event in list(expect, "events")? {
        match event.text("event")? {
            "envelope.available" => available.push(hash(event, "hash")?),
            "mailserver.request.completed" => completed.push((event.text("peer")?.to_owned(), completion(event)?)),
            _ => {}
        }
    }
    let mut ours = seen.available.clone();
    ours.sort_unstable();
    available.sort_unstable();
    same("envelopes shown to filters", ours, available)?;
    same("completed requests", &seen.completed, &completed)
}

fn completion(event: Case<'_>) -> Result<Completion, String> {
    let (request, response) = (event.array("hash")?, event.at("mail_response")?);
    if response.find("error").is_some() || response.find("error_hex").is_some() {
        return Ok(Completion::Failed { request, text: response.bytes("error_hex")? });
    }
    let last = Some(hash(response, "last_envelope_hash")?).filter(|hash| *hash.as_bytes() != [0; 32]);
    let cursor = response.bytes("cursor")?;
    Ok(Completion::Done { request, last, cursor: cursor.try_into().ok() })
}

fn pool(node: &Node<'_>, seen: &Seen, expect: Case<'_>) -> Result<(), String> {
    let theirs = expect.texts("pool")?.into_iter().map(parse).collect::<Result<BTreeSet<_>, _>>()?;
    for hash in node.pool().symmetric_difference(&theirs) {
        if node.expiry(hash).is_none_or(|expiry| expiry >= seen.now_s) {
            let whose = if theirs.contains(hash) { "the peer's" } else { "our" };
            return Err(format!("{hash} is in {whose} pool only"));
        }
    }
    Ok(())
}

fn list<'a>(from: Case<'a>, name: &str) -> Result<impl Iterator<Item = Case<'a>>, String> {
    Ok(from.find(name).map(|_| from.list(name)).transpose()?.into_iter().flatten())
}

fn hash(from: Case<'_>, name: &str) -> Result<EnvelopeHash, String> {
    from.array(name).map(EnvelopeHash::from)
}

fn parse(text: &str) -> Result<EnvelopeHash, String> {
    let bytes = hex::decode(text).unwrap_or_default();
    EnvelopeHash::try_from(bytes.as_slice()).map_err(|_| format!("{text} is no envelope hash"))
}

/// The reason of a disconnect that Waku asks for.
const SUBPROTOCOL: u64 = 16;
