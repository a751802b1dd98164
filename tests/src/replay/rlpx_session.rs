//! `rlpx-session*.jsonl`: whole connections of the peer, every byte of both directions.
//!
//! Each is replayed three times. As a listener that holds both static keys: handshake packets are opened, both streams
//! are split into frames. As either side, with that side's dice: the packet we write must be the peer's to the byte, and
//! from the other side's stream our session must make the messages that the peer made.

use std::sync::Arc;
use std::time::Duration;

use k256::SecretKey;
use proto::{ChatKey, Instant, Turn, UnixMillis};
use wire::ecies;
use wire::p2p::{Capability, Hello, Message as BaseMessage, Offer, RemoteReason, Shared};
use wire::rlp::Reader;
use wire::rlpx::handshake::{Form, Initiator, answer, open_ack, open_auth};
use wire::rlpx::{
    Ack, Auth, DownReason, Event, Input, Local, NodeKey, Output, Progress, Role, Secrets, Session, Transcript,
};

use super::Outcome;
use super::case::{Case, check, same, same_bytes};
use crate::dice::Scripted;

pub(super) fn replay(case: Case<'_>) -> Result<Outcome, String> {
    let connection = Connection::of(case)?;
    for direction in [Direction::FromInitiator, Direction::FromResponder] {
        connection.listen(case, direction)?;
    }
    connection.take_the_initiators_place(case)?;
    connection.take_the_responders_place(case)?;
    Ok(Outcome::Same)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    FromInitiator,
    FromResponder,
}

impl Direction {
    const fn name(self) -> &'static str {
        match self {
            Self::FromInitiator => "i2r",
            Self::FromResponder => "r2i",
        }
    }
}

/// A message as the recording has it.
struct Recorded {
    code: u64,
    payload: Vec<u8>,
    snappy: bool,
}

/// One side: the keys that the recording gives of it.
struct Side {
    fixed: SecretKey,
    ephemeral: Option<SecretKey>,
    /// Of the ECIES message that its handshake packet is.
    once: Option<Vec<u8>>,
    packet: Vec<u8>,
}

impl Side {
    fn of(case: Case<'_>, name: &str, packet: &str) -> Result<Self, String> {
        let handshake = case.at("handshake")?;
        let key = |name: &str, bytes: &[u8]| SecretKey::from_slice(bytes).map_err(|_| format!("{name} is no key"));
        let ephemeral = case.bytes_if_there(&format!("{name}_ephemeral_private"))?;
        Ok(Self {
            fixed: key(name, &case.bytes(&format!("{name}_static_private"))?)?,
            ephemeral: ephemeral.map(|bytes| key(name, &bytes)).transpose()?,
            once: handshake.bytes_if_there(&format!("{packet}_ecies_ephemeral_private"))?,
            packet: handshake.bytes(packet)?,
        })
    }

    fn node_key(&self) -> NodeKey {
        NodeKey::from(self.fixed.clone())
    }

    fn public(&self) -> ChatKey {
        ChatKey::from(self.fixed.public_key())
    }

    /// Checks that the recorded private keys belong to what the packet shows.
    fn compare(&self, shown: &ChatKey, form: Form) -> Result<(), String> {
        if let Some(ephemeral) = &self.ephemeral {
            same("ephemeral key", ChatKey::from(ephemeral.public_key()), *shown)?;
        }
        if let Some(once) = &self.once {
            let once = SecretKey::from_slice(once).map_err(|_| "the ECIES key is none")?;
            let point = self.sealed(form)?.get(..65).ok_or("the packet is too short")?;
            same_bytes("ECIES key", &ChatKey::from(once.public_key()).to_bytes(), point)?;
        }
        Ok(())
    }

    /// The ECIES message in the packet.
    fn sealed(&self, form: Form) -> Result<&[u8], String> {
        let start = if form == Form::Plain { 0 } else { 2 };
        Ok(self.packet.get(start..).ok_or("the packet is too short")?)
    }

    /// Returns the dice that made this packet, if the recording gives them all and we would throw them for it.
    fn dice(&self, nonce: &[u8; 32], form: Form, reader: &SecretKey) -> Result<Option<Scripted>, String> {
        let (Some(ephemeral), Some(once)) = (&self.ephemeral, &self.once) else { return Ok(None) };
        let sealed = self.sealed(form)?;
        let iv = sealed.get(65..81).ok_or("the packet is too short")?;
        let ephemeral = ephemeral.to_bytes();
        if form == Form::Plain {
            return Ok(Some(Scripted::new(&[&ephemeral, nonce, once, iv])));
        }
        let size = self.packet.get(..2).ok_or("the packet is too short")?;
        let body = ecies::open(reader, size, sealed).map_err(|error| error.to_string())?;
        let mut outer = Reader::new(&body);
        outer.list().map_err(|error| error.to_string())?;
        let padding = outer.rest();
        let Some(length) = padding.len().checked_sub(100).filter(|length| *length <= 200) else { return Ok(None) };
        let length = u16::try_from(length).map_err(|_| "the padding is too long")?.to_be_bytes();
        Ok(Some(Scripted::new(&[&ephemeral, nonce, &length, padding, once, iv])))
    }
}

struct Connection {
    initiator: Side,
    responder: Side,
    auth: Auth,
    ack: Ack,
}

impl Connection {
    fn of(case: Case<'_>) -> Result<Self, String> {
        let (initiator, responder) = (Side::of(case, "initiator", "auth")?, Side::of(case, "responder", "ack")?);
        let auth = match open_auth(&responder.node_key(), &initiator.packet) {
            Ok(Progress::Done(auth)) => auth,
            Ok(Progress::Needs(_)) => return Err("the auth packet is cut short".to_owned()),
            Err(error) => return Err(format!("auth: {error}")),
        };
        let ack = match open_ack(&initiator.node_key(), &responder.packet) {
            Ok(Progress::Done(ack)) => ack,
            Ok(Progress::Needs(_)) => return Err("the ack packet is cut short".to_owned()),
            Err(error) => return Err(format!("ack: {error}")),
        };
        let handshake = case.at("handshake")?;
        same("auth length", auth.len, initiator.packet.len())?;
        same("ack length", ack.len, responder.packet.len())?;
        same_bytes("initiator's nonce", &auth.nonce, &handshake.bytes("initiator_nonce")?)?;
        same_bytes("responder's nonce", &ack.nonce, &handshake.bytes("responder_nonce")?)?;
        same("initiator's key", auth.initiator, initiator.public())?;
        initiator.compare(&auth.ephemeral, auth.form)?;
        responder.compare(&ack.ephemeral, ack.form)?;
        Ok(Self { initiator, responder, auth, ack })
    }

    /// The secrets as the reader of this direction has them.
    fn secrets(&self, direction: Direction) -> Result<Secrets, String> {
        let role = match direction {
            Direction::FromInitiator => Role::Responder,
            Direction::FromResponder => Role::Initiator,
        };
        let (ours, theirs) = match (&self.initiator.ephemeral, &self.responder.ephemeral) {
            (Some(ours), _) => (ours, &self.ack.ephemeral),
            (None, Some(ours)) => (ours, &self.auth.ephemeral),
            (None, None) => return Err("the recording gives no ephemeral key".to_owned()),
        };
        let seen = Transcript {
            initiator_nonce: &self.auth.nonce,
            responder_nonce: &self.ack.nonce,
            auth: &self.initiator.packet,
            ack: &self.responder.packet,
        };
        Ok(Secrets::derive(role, ours, theirs, seen))
    }

    /// What a direction carried behind its handshake packet; nothing if it was not recorded.
    fn frames(&self, case: Case<'_>, direction: Direction) -> Result<Option<Vec<u8>>, String> {
        let packet = match direction {
            Direction::FromInitiator => &self.initiator.packet,
            Direction::FromResponder => &self.responder.packet,
        };
        let Some(stream) = case.bytes_if_there(direction.name())? else { return Ok(None) };
        let frames = stream.strip_prefix(packet.as_slice()).ok_or("a stream does not begin with its packet")?;
        Ok(Some(frames.to_vec()))
    }

    fn listen(&self, case: Case<'_>, direction: Direction) -> Result<(), String> {
        let name = direction.name();
        let messages = recorded(case, direction)?;
        let Some(frames) = self.frames(case, direction)? else {
            return check(messages.is_empty(), "messages of a stream that was not recorded");
        };
        let (_, mut reader) = self.secrets(direction)?.into_frames();
        reader.extend(&frames);
        for (index, message) in messages.iter().enumerate() {
            let at = |what: &str| format!("{name} message {index}: {what}");
            reader.decompress(message.snappy);
            match reader.next_message() {
                Ok(Some(ours)) => {
                    same(&at("code"), ours.code, message.code)?;
                    same_bytes(&at("payload"), &ours.payload, &message.payload)?;
                }
                Ok(None) => return Err(at("the stream ends before it")),
                Err(error) => return Err(at(&error.to_string())),
            }
        }
        reader.decompress(true);
        match reader.next_message() {
            Ok(Some(ours)) => Err(format!("{name}: a message of code {} that was not recorded", ours.code)),
            // An unfinished frame, whose writer lost the socket, or bytes that are no frame.
            Ok(None) => Ok(()),
            Err(_) if case.find("garbage_tail").is_some() && direction == Direction::FromInitiator => Ok(()),
            Err(error) => Err(format!("{name}: behind the last message: {error}")),
        }
    }

    fn take_the_initiators_place(&self, case: Case<'_>) -> Result<(), String> {
        let Side { packet, .. } = &self.initiator;
        if self.auth.form == Form::Plain || self.auth.extra_elements > 0 || self.auth.version != 4 {
            return Ok(());
        }
        let dice = || self.initiator.dice(&self.auth.nonce, self.auth.form, &self.responder.fixed);
        let (remote, Some(mut thrown)) = (self.responder.public(), dice()?) else { return Ok(()) };
        let auth = Initiator::start(&self.initiator.node_key(), &remote, &mut thrown);
        same_bytes("auth written anew", auth.auth(), packet)?;
        check(thrown.is_spent(), "we threw the dice more or less often than the initiator")?;
        let (Some(local), Some(mut thrown)) = (self.local(case, Direction::FromInitiator)?, dice()?) else {
            return Ok(());
        };
        if remote == self.initiator.public() {
            return Ok(());
        }
        let session = Session::dial(&local, remote, &mut turn(&mut thrown));
        self.drive(case, session, &mut thrown, Direction::FromResponder)
    }

    fn take_the_responders_place(&self, case: Case<'_>) -> Result<(), String> {
        let Side { packet, .. } = &self.responder;
        if self.ack.extra_elements > 0 || self.ack.version != 4 || self.ack.form != self.auth.form {
            return Ok(());
        }
        let dice = || self.responder.dice(&self.ack.nonce, self.ack.form, &self.initiator.fixed);
        let Some(mut thrown) = dice()? else { return Ok(()) };
        let (ack, _) = answer(&self.auth, &self.initiator.packet, &mut thrown);
        same_bytes("ack written anew", &ack, packet)?;
        check(thrown.is_spent(), "we threw the dice more or less often than the responder")?;
        let (Some(local), Some(mut thrown)) = (self.local(case, Direction::FromResponder)?, dice()?) else {
            return Ok(());
        };
        let session = Session::accept(&local, &mut turn(&mut thrown));
        self.drive(case, session, &mut thrown, Direction::FromInitiator)
    }

    /// A node that speaks what the writer of this direction spoke; nothing if its capabilities have lengths that the
    /// recording does not tell.
    fn local(&self, case: Case<'_>, writer: Direction) -> Result<Option<Arc<Local>>, String> {
        let side = if writer == Direction::FromInitiator { &self.initiator } else { &self.responder };
        let reader =
            if writer == Direction::FromInitiator { Direction::FromResponder } else { Direction::FromInitiator };
        // Who wrote no good hello spoke, for all we know, what the other side spoke.
        let offers = match offers(case, writer)? {
            Some(offers) => offers,
            None => offers(case, reader)?.unwrap_or_default(),
        };
        let mut capabilities = Vec::new();
        for offer in &offers {
            let Some(name) = NAMES.into_iter().find(|name| name.as_bytes() == offer.name) else { return Ok(None) };
            let Ok(version) = u32::try_from(offer.version) else { return Ok(None) };
            let length = match name {
                "waku" | "shh" => 128,
                // Alone on its connection it may be of any length.
                _ if offers.iter().all(|other| other.name == offer.name) => u64::from(u32::MAX),
                _ => return Ok(None),
            };
            capabilities.push(Capability { name, version, length });
        }
        let local = Local { key: side.node_key(), client_name: "replay".to_owned(), listen_port: 0, capabilities };
        Ok(Some(Arc::new(local)))
    }

    /// Feeds the session what the other side wrote, in odd pieces, and compares what it makes of it.
    fn drive(&self, case: Case<'_>, mut session: Session, dice: &mut Scripted, from: Direction) -> Result<(), String> {
        let Some(stream) = case.bytes_if_there(from.name())? else { return Ok(()) };
        let (packet, place, peer) = match from {
            Direction::FromInitiator => (&self.responder.packet, "responder", self.initiator.public()),
            Direction::FromResponder => (&self.initiator.packet, "initiator", self.responder.public()),
        };
        let at = |what: &str| format!("in the {place}'s place: {what}");
        for piece in stream.chunks(PIECE) {
            session.handle(&mut turn(dice), Input::Bytes(piece));
        }
        session.handle(&mut turn(dice), Input::Eof);
        let messages = recorded(case, from)?;
        let mut expected = messages.iter().filter(|message| !is_silent(message.code)).peekable();
        let mut shared: Vec<Shared> = Vec::new();
        let mut first = true;
        while let Some(output) = session.poll() {
            match output {
                Output::Send(bytes) if first => {
                    same_bytes(&at("handshake packet"), &bytes, packet)?;
                    first = false;
                }
                Output::Send(_) => {}
                Output::Event(Event::Up { peer: ours, capabilities, .. }) => {
                    same(&at("peer"), ours, peer)?;
                    shared = capabilities;
                }
                Output::Event(Event::Message { capability, code, payload }) => {
                    let offset =
                        shared.iter().find(|shared| shared.capability == capability).map(|shared| shared.offset);
                    let theirs = expected.next().ok_or_else(|| at("a message that was not recorded"))?;
                    same(&at("code"), offset.map(|offset| offset + code), Some(theirs.code))?;
                    same_bytes(&at("payload"), &payload, &theirs.payload)?;
                }
                Output::Event(Event::NotSent { .. }) => return Err(at("something was not sent")),
                Output::Event(Event::Down(reason)) => {
                    let next = expected.peek();
                    let explained = match reason {
                        DownReason::Theirs(reason) => next.is_some_and(|next| {
                            next.code == BaseMessage::DISCONNECT && RemoteReason::decode(&next.payload) == reason
                        }),
                        DownReason::CodeOutOfRange { code } => next.is_some_and(|next| next.code == code),
                        // A rule was broken on purpose.
                        reason if reason.is_misbehaviour() && is_hostile(case)? => true,
                        // We ended it by ourselves: nothing but a farewell may be left unread.
                        _ => expected.all(|message| message.code == BaseMessage::DISCONNECT),
                    };
                    return check(explained, &at(&format!("the session ended: {reason}")));
                }
            }
        }
        Err(at("the session did not end"))
    }
}

/// What the hello of this direction offers, if there is a good one.
fn offers(case: Case<'_>, writer: Direction) -> Result<Option<Vec<Offer>>, String> {
    let hello = recorded(case, writer)?.into_iter().find(|message| message.code == BaseMessage::HELLO);
    Ok(hello.and_then(|hello| Hello::decode(&hello.payload).ok()).map(|hello| hello.capabilities))
}

fn recorded(case: Case<'_>, direction: Direction) -> Result<Vec<Recorded>, String> {
    let of_direction = |message: &Case<'_>| message.text("dir") == Ok(direction.name());
    let messages = case.at("expect")?.list("messages")?.filter(of_direction).map(|message| {
        let payload = message.payload("payload")?.ok_or("a message without a payload")?;
        Ok(Recorded { code: message.number("code")?, payload, snappy: message.says("snappy") })
    });
    messages.collect()
}

/// Whether a session makes nothing to see of this code: hello, ping, pong and the codes without a meaning.
const fn is_silent(code: u64) -> bool {
    code < wire::p2p::BASE_LENGTH && code != BaseMessage::DISCONNECT
}

fn is_hostile(case: Case<'_>) -> Result<bool, String> {
    Ok(case.texts("tags")?.contains(&"hostile-live"))
}

fn turn(dice: &mut Scripted) -> Turn<'_> {
    Turn { now: Instant::from_start(Duration::ZERO), unix: UnixMillis::new(0), rng: dice }
}

/// Names of capabilities in the recordings.
const NAMES: [&str; 4] = ["waku", "shh", "test", "one"];
/// TCP may cut anywhere.
const PIECE: usize = 1009;
