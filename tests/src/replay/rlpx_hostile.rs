//! `rlpx-hostile*.jsonl`: what the peer's readers make of bytes that keep the rules or break them.
//!
//! Kinds `auth` and `ack` (handshake packets), `frames`, `hello` (the first message) and `disconnect`. Each goes through
//! the reader alone, which must see what the peer's saw, and through a whole session, which must do what the peer did.

use std::sync::Arc;

use k256::SecretKey;
use proto::{ChatKey, Instant, Secret, Turn, UnixMillis};
use wire::p2p::{Capability, Hello, Message as BaseMessage, Reason, RemoteReason, Shared, negotiate};
use wire::rlpx::handshake::{Form, open_ack, open_auth};
use wire::rlpx::{DownReason, FrameReader, Input, Local, Mac, Message, NodeKey, Output, Progress, Session};

use super::case::{Case, check, same, same_bytes};
use super::opposite::{Opposite, decompressed};
use super::{Outcome, differs};
use crate::dice::Seeded;

pub(super) fn replay(case: Case<'_>) -> Result<Outcome, String> {
    let expect = case.at("expect")?;
    match case.text("kind")? {
        "auth" => auth(case, expect).map(|()| Outcome::Same),
        "ack" => ack(case, expect).map(|()| Outcome::Same),
        "frames" => frames(case, expect),
        "hello" => hello(case, expect).map(|()| Outcome::Same),
        "disconnect" => disconnect(case, expect).map(|()| Outcome::Same),
        _ => Ok(Outcome::Skipped),
    }
}

fn auth(case: Case<'_>, expect: Case<'_>) -> Result<(), String> {
    let (key, stream) = (static_key(case)?, case.bytes("stream")?);
    let opened = match open_auth(&key, &stream) {
        Ok(Progress::Done(auth)) => Some(auth),
        // No more bytes come.
        Ok(Progress::Needs(_)) | Err(_) => None,
    };
    same("verdict", opened.is_some(), expect.is_accepted()?)?;
    if let Some(auth) = &opened {
        same_bytes("initiator_public", &auth.initiator.to_node_id(), &expect.bytes("initiator_public")?)?;
        same("plain", Some(auth.form == Form::Plain), expect.flag("plain")?)?;
        compare_packet((&auth.ephemeral, &auth.nonce, auth.version, auth.extra_elements, auth.len), expect)?;
    }
    let local = local(key);
    let session = Session::accept(&local, &mut turn(&mut Seeded::new(1)));
    same("our session's answer", written(session, &stream) > 0, opened.is_some())
}

fn ack(case: Case<'_>, expect: Case<'_>) -> Result<(), String> {
    let (key, stream) = (static_key(case)?, case.bytes("stream")?);
    let opened = match open_ack(&key, &stream) {
        Ok(Progress::Done(ack)) => Some(ack),
        Ok(Progress::Needs(_)) | Err(_) => None,
    };
    same("verdict", opened.is_some(), expect.is_accepted()?)?;
    if let Some(ack) = &opened {
        compare_packet((&ack.ephemeral, &ack.nonce, ack.version, ack.extra_elements, ack.len), expect)?;
    }
    let local = local(key);
    let remote = SecretKey::from_slice(&[3; 32]).map_err(|_| "no key")?.public_key().into();
    let session = Session::dial(&local, remote, &mut turn(&mut Seeded::new(1)));
    // Its auth goes out first; it goes on with a hello only to who answered well.
    same("our session's hello", written(session, &stream) > 1, opened.is_some())
}

/// Ephemeral key, nonce, version, further elements and length of a handshake packet.
type Packet<'a> = (&'a ChatKey, &'a [u8; 32], u64, usize, usize);

fn compare_packet((ephemeral, nonce, version, extra, len): Packet<'_>, expect: Case<'_>) -> Result<(), String> {
    same_bytes("ephemeral_public", &ephemeral.to_node_id(), &expect.bytes("ephemeral_public")?)?;
    same_bytes("nonce", nonce, &expect.bytes("nonce")?)?;
    same("version", version, expect.number("version")?)?;
    same("extra_elements", extra as u64, expect.number("extra_elements")?)?;
    same("consumed", len as u64, expect.number("consumed")?)
}

/// Returns how many packets and frames a session writes that gets this stream in odd pieces.
fn written(mut session: Session, stream: &[u8]) -> usize {
    let mut dice = Seeded::new(2);
    for piece in stream.chunks(PIECE) {
        session.handle(&mut turn(&mut dice), Input::Bytes(piece));
    }
    session.handle(&mut turn(&mut dice), Input::Eof);
    std::iter::from_fn(|| session.poll()).filter(|output| matches!(output, Output::Send(_))).count()
}

fn frames(case: Case<'_>, expect: Case<'_>) -> Result<Outcome, String> {
    let stream = case.bytes("stream")?;
    let snappy = case.flag("snappy")?.ok_or("the case does not say whether payloads are compressed")?;
    let (ours, is_good) = read_frames(case, snappy, &stream, stream.len().max(1))?;
    let in_pieces = read_frames(case, snappy, &stream, PIECE)?;
    check(in_pieces == (ours.clone(), is_good), "read in pieces it is something else than in one")?;
    let theirs: Vec<_> = expect.list("messages")?.collect();
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        same(&format!("code of message {index}"), ours.code, theirs.number("code")?)?;
        theirs.compare_large("payload", &ours.payload).map_err(|what| format!("message {index}: {what}"))?;
    }
    if let Some(further) = ours.get(theirs.len())
        && !expect.is_accepted()?
        && let (raw, _) = read_frames(case, false, &stream, PIECE)?
        && raw.get(theirs.len()).is_some_and(|raw| differs::uncompressed_disconnect(further, raw))
    {
        return Ok(Outcome::Listed);
    }
    same("messages", ours.len(), theirs.len())?;
    same("verdict", is_good, expect.is_accepted()?)?;
    Ok(Outcome::Same)
}

/// Returns the messages of a stream, and whether it ended between two frames.
fn read_frames(case: Case<'_>, snappy: bool, stream: &[u8], piece: usize) -> Result<(Vec<Message>, bool), String> {
    let secret = |name: &str| Secret::<32>::copy_from(&case.bytes(name)?).ok_or_else(|| format!("{name} is no key"));
    let mac = Mac::new(&secret("mac_secret")?, &[&case.bytes("ingress_mac_absorbed")?]);
    let mut reader = FrameReader::new(&secret("aes_secret")?, mac);
    reader.decompress(snappy);
    let mut messages = Vec::new();
    for piece in stream.chunks(piece) {
        reader.extend(piece);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return Ok((messages, false)),
            }
        }
    }
    Ok((messages, reader.is_between_frames()))
}

fn hello(case: Case<'_>, expect: Case<'_>) -> Result<(), String> {
    let (code, payload) = (case.number("code")?, case.payload("payload")?.ok_or("the case has no payload")?);
    let speaks = capabilities(case)?;
    let mut opposite = Opposite::connect(speaks.clone())?;
    opposite.shake_hands()?;
    opposite.heard.clear();
    if !expect.is_accepted()? {
        opposite.send(code, &payload)?;
        return refused(&opposite, code, expect);
    }
    same("code", code, BaseMessage::HELLO)?;
    let hello = Hello::decode(&payload).map_err(|error| error.to_string())?;
    let shared = negotiate(&speaks, &hello.capabilities);
    compare_hello(&hello, &shared, expect)?;
    // The same hello from who holds the key that it names: its id becomes that of the handshake.
    let id = [ID_HEADER.as_slice(), &hello.id].concat();
    let at = payload.windows(id.len()).position(|window| window == id).ok_or("the hello has no id")? + ID_HEADER.len();
    let (before, after) = (payload.get(..at).unwrap_or_default(), payload.get(at + 64..).unwrap_or_default());
    opposite.send(code, &[before, &opposite.id().to_node_id(), after].concat())?;
    let said = match (opposite.up.take(), expect.says("useless")) {
        (Some((ours, capabilities)), false) => {
            let named = Hello { id: hello.id, ..*ours };
            check(named == hello && capabilities == shared, "our session sees another hello than its reader")?;
            opposite.dismiss(Reason::Requested)?;
            Reason::Requested
        }
        (None, true) => {
            same("our session's end", opposite.down.map(|(why, _)| why), Some(DownReason::UselessPeer))?;
            Reason::UselessPeer
        }
        (up, _) => return Err(format!("useless: our session is up: {}", up.is_some())),
    };
    let [farewell] = opposite.heard.as_slice() else { return Err("our session does not say farewell once".to_owned()) };
    let snappy = expect.says("snappy");
    let text = if snappy { decompressed(&farewell.payload)? } else { farewell.payload.clone() };
    same("farewell", (farewell.code, text), (BaseMessage::DISCONNECT, said.encode()))
}

/// Compares how our session ended over a first message that the peer refused.
fn refused(opposite: &Opposite, code: u64, expect: Case<'_>) -> Result<(), String> {
    let Some((down, _)) = opposite.down else { return Err("our session takes it".to_owned()) };
    let reason = expect.find("reason").map(|_| expect.number("reason")).transpose()?;
    match (code, down) {
        (BaseMessage::DISCONNECT, DownReason::Theirs(ours)) => return same("reason", Some(ours.code()), reason),
        (BaseMessage::DISCONNECT, _) => check(reason.is_none(), "the peer read a reason")?,
        (BaseMessage::HELLO, DownReason::Hello(_)) | (_, DownReason::NoHello { .. } | DownReason::Frame(_)) => {}
        (_, other) => return Err(format!("our session ended otherwise: {other}")),
    }
    // Before the hello was taken nothing is compressed.
    let farewells: Vec<_> = opposite.heard.iter().map(|message| (message.code, message.payload.as_slice())).collect();
    match (farewells.as_slice(), reason) {
        ([], None) => Ok(()),
        ([(BaseMessage::DISCONNECT, payload)], Some(_)) if code == BaseMessage::HELLO => {
            same("reason", Some(RemoteReason::decode(payload).code()), reason)
        }
        _ => Err(format!("our session says {farewells:?} in farewell, the peer gives reason {reason:?}")),
    }
}

fn compare_hello(hello: &Hello, shared: &[Shared], expect: Case<'_>) -> Result<(), String> {
    let theirs = expect.at("hello")?;
    same("version", hello.version, theirs.number("version")?)?;
    same_bytes("name", &hello.client_name, &theirs.bytes("name")?)?;
    same("listen_port", hello.listen_port, theirs.number("listen_port")?)?;
    same_bytes("id", &hello.id, &theirs.bytes("id")?)?;
    same("extra_elements", hello.extra_elements as u64, theirs.number("extra_elements")?)?;
    let ours: Vec<_> = hello
        .capabilities
        .iter()
        .map(|offer| (String::from_utf8_lossy(&offer.name).into_owned(), offer.version))
        .collect();
    let caps = theirs.list("caps")?.map(|cap| Ok((cap.text("name")?.to_owned(), cap.number("version")?)));
    same("caps", ours, caps.collect::<Result<_, String>>()?)?;
    let mut negotiated = expect
        .list("negotiated")?
        .map(|cap| Ok((cap.text("name")?, cap.number("version")?, cap.number("offset")?, cap.number("length")?)))
        .collect::<Result<Vec<_>, String>>()?;
    negotiated.sort_unstable();
    let ours: Vec<_> = shared
        .iter()
        .map(|Shared { capability, offset }| {
            (capability.name, u64::from(capability.version), *offset, capability.length)
        })
        .collect();
    same("negotiated", ours, negotiated)
}

/// What the node of the case speaks.
fn capabilities(case: Case<'_>) -> Result<Vec<Capability>, String> {
    let known = [Capability::SHH_6, Capability::WAKU_0, Capability::WAKU_1];
    let named = |name: &str| {
        known.into_iter().find(|known| known.to_string() == name).ok_or_else(|| format!("unknown capability {name}"))
    };
    case.texts("own_caps")?.into_iter().map(named).collect()
}

fn disconnect(case: Case<'_>, expect: Case<'_>) -> Result<(), String> {
    let payload = case.payload("payload")?.ok_or("the case has no payload")?;
    check(expect.is_accepted()?, "the peer always takes a disconnect")?;
    let reason = RemoteReason::decode(&payload);
    same("reason", reason.code(), expect.number("reason")?)?;
    let mut opposite = Opposite::connect(vec![Capability::WAKU_1])?;
    opposite.shake_hands()?;
    opposite.join()?;
    opposite.heard.clear();
    opposite.send(BaseMessage::DISCONNECT, &payload)?;
    same("our session's end", opposite.down.map(|(why, _)| why), Some(DownReason::Theirs(reason)))?;
    let echo = opposite.heard.iter().map(|message| decompressed(&message.payload)).collect::<Result<Vec<_>, _>>()?;
    let named = reason.named().filter(|named| *named != Reason::TcpError);
    same("echo", echo, named.map(Reason::encode).into_iter().collect())?;
    // Whoever prints this reason dies of it: we print it, and never send it.
    check(!expect.says("text_panics") || reason.named().is_none(), "we have a name for a reason that ends the peer")?;
    check(!reason.to_string().is_empty(), "the reason has no text")
}

fn static_key(case: Case<'_>) -> Result<NodeKey, String> {
    let bytes = case.bytes("static_private")?;
    Ok(SecretKey::from_slice(&bytes).map_err(|_| "static_private is no key".to_owned())?.into())
}

fn local(key: NodeKey) -> Arc<Local> {
    let capabilities = vec![Capability::WAKU_1];
    Arc::new(Local { key, client_name: "replay".to_owned(), listen_port: 0, capabilities })
}

fn turn(dice: &mut Seeded) -> Turn<'_> {
    Turn { now: Instant::default(), unix: UnixMillis::new(0), rng: dice }
}

/// Stands before a node id: the RLP header of a string of 64 bytes.
const ID_HEADER: [u8; 2] = [0xb8, 0x40];
/// TCP may cut anywhere.
const PIECE: usize = 97;
