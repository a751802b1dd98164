//! One connection: the bytes of a TCP stream on one side, the messages of capabilities on the other.
//!
//! ```text
//! dial:    auth out -> ack in -> hello out, hello in -> Up -> messages -> Down
//! accept:  auth in -> ack and hello out -> hello in  -> Up -> messages -> Down
//! ```
//!
//! The session ends by [`Event::Down`], once, with the reason; what it said in farewell stands before that event. All
//! times are those of the peers of this network: 5 s for handshake and hello together, a ping each 15 s, 30 s of silence.
//! Bad frames, bad handshakes and time-outs end without a farewell, as there.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use proto::{ChatKey, Instant, Turn};

use super::down::DownReason;
use super::frame::{FrameReader, FrameWriter, Message};
use super::handshake::{Initiator, Progress, answer, open_ack, open_auth};
use super::io::{Event, Input, Local, NotSent, Output};
use super::secrets::Secrets;
use crate::p2p::{self, BadHello, Capability, Hello, Reason, RemoteReason, Shared, negotiate};

/// The machine of one connection.
pub struct Session {
    local: Arc<Local>,
    phase: Phase,
    /// The session is over when this passes without a Tick having moved it.
    deadline: Instant,
    outputs: VecDeque<Output>,
}

enum Phase {
    AwaitAck { remote: ChatKey, initiator: Box<Initiator>, stream: Stream },
    AwaitAuth { stream: Stream },
    AwaitHello { link: Box<Link> },
    Up { link: Box<Link>, capabilities: Vec<Shared>, ping_at: Instant },
    Down,
}

/// The beginning of the other side's stream, until the handshake packet in it is whole.
struct Stream {
    bytes: Vec<u8>,
    needs: usize,
}

struct Link {
    peer: ChatKey,
    writer: FrameWriter,
    reader: FrameReader,
}

impl Session {
    /// Begins a session on a stream that was opened to the node of this key.
    #[must_use]
    pub fn dial(local: &Arc<Local>, remote: ChatKey, turn: &mut Turn<'_>) -> Self {
        let mut session = Self::new(local, turn.now);
        if remote == *local.key.id() {
            session.end(DownReason::SelfConnection);
            return session;
        }
        let initiator = Box::new(Initiator::start(&local.key, &remote, turn.rng));
        session.outputs.push_back(Output::Send(initiator.auth().to_vec()));
        session.phase = Phase::AwaitAck { remote, initiator, stream: Stream::new() };
        session
    }

    /// Begins a session on a stream that somebody opened to us.
    #[must_use]
    pub fn accept(local: &Arc<Local>, turn: &mut Turn<'_>) -> Self {
        Self::new(local, turn.now)
    }

    fn new(local: &Arc<Local>, now: Instant) -> Self {
        Self {
            local: Arc::clone(local),
            phase: Phase::AwaitAuth { stream: Stream::new() },
            deadline: now.after(HANDSHAKE_TIME),
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input. Once the session is down, inputs change nothing.
    pub fn handle(&mut self, turn: &mut Turn<'_>, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => self.receive(turn, bytes),
            Input::Eof => self.end(DownReason::Closed),
            Input::Send { capability, code, payload } => self.send(capability, code, payload),
            Input::Disconnect(reason) => self.leave(reason, DownReason::Ours(reason)),
            Input::Tick => self.tick(turn.now),
        }
    }

    /// Returns the next output; nothing when all were taken.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns by when [`Input::Tick`] is due; nothing once the session is down.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Down => None,
            Phase::Up { ping_at, .. } => Some(self.deadline.min(*ping_at)),
            _ => Some(self.deadline),
        }
    }

    /// Returns how many bytes the frame takes of which not all are in, once its header has told.
    #[must_use]
    pub fn awaited(&self) -> usize {
        match &self.phase {
            Phase::AwaitHello { link } | Phase::Up { link, .. } => link.reader.awaited(),
            Phase::AwaitAck { .. } | Phase::AwaitAuth { .. } | Phase::Down => 0,
        }
    }

    fn tick(&mut self, now: Instant) {
        if now >= self.deadline {
            let reason = match self.phase {
                Phase::Up { .. } => DownReason::ReadTimeout,
                _ => DownReason::HandshakeTimeout,
            };
            self.end(reason);
        }
        if let Phase::Up { ping_at, .. } = &mut self.phase
            && now >= *ping_at
        {
            *ping_at = now.after(PING_INTERVAL);
            self.tell(p2p::Message::PING, &p2p::Message::NOTHING);
        }
    }

    fn send(&mut self, capability: Capability, code: u64, payload: &[u8]) {
        let sealed = match &mut self.phase {
            Phase::Down => return,
            Phase::Up { link, capabilities, .. } => {
                match capabilities.iter().find(|shared| shared.capability == capability) {
                    None => Err(NotSent::NotShared),
                    Some(_) if code >= capability.length => Err(NotSent::CodeOutOfRange),
                    Some(shared) => link.writer.seal(shared.offset + code, payload).map_err(NotSent::TooLong),
                }
            }
            _ => Err(NotSent::NotShared),
        };
        self.outputs.push_back(match sealed {
            Ok(frame) => Output::Send(frame),
            Err(why) => Output::Event(Event::NotSent { capability, code, why }),
        });
    }

    fn receive(&mut self, turn: &mut Turn<'_>, bytes: &[u8]) {
        match &mut self.phase {
            Phase::Down => return,
            Phase::AwaitAck { stream, .. } | Phase::AwaitAuth { stream } => {
                stream.bytes.extend_from_slice(bytes);
                if stream.bytes.len() < stream.needs {
                    return;
                }
                self.shake_hands(turn);
            }
            Phase::AwaitHello { link } | Phase::Up { link, .. } => link.reader.extend(bytes),
        }
        while let Phase::AwaitHello { link } | Phase::Up { link, .. } = &mut self.phase {
            match link.reader.next_message() {
                Ok(Some(message)) => self.take(turn.now, message),
                Ok(None) => break,
                Err(error) => self.end(error.into()),
            }
        }
    }

    fn shake_hands(&mut self, turn: &mut Turn<'_>) {
        match mem::replace(&mut self.phase, Phase::Down) {
            Phase::AwaitAck { remote, initiator, mut stream } => match open_ack(&self.local.key, &stream.bytes) {
                Ok(Progress::Needs(needs)) => {
                    stream.needs = needs;
                    self.phase = Phase::AwaitAck { remote, initiator, stream };
                }
                Ok(Progress::Done(ack)) => {
                    let (packet, frames) = stream.bytes.split_at_checked(ack.len).unwrap_or((&stream.bytes, &[]));
                    self.greet(remote, initiator.finish(&ack, packet), frames);
                }
                Err(error) => self.over(error.into()),
            },
            Phase::AwaitAuth { mut stream } => match open_auth(&self.local.key, &stream.bytes) {
                Ok(Progress::Needs(needs)) => {
                    stream.needs = needs;
                    self.phase = Phase::AwaitAuth { stream };
                }
                Ok(Progress::Done(auth)) => {
                    let (packet, frames) = stream.bytes.split_at_checked(auth.len).unwrap_or((&stream.bytes, &[]));
                    let (ack, secrets) = answer(&auth, packet, turn.rng);
                    self.outputs.push_back(Output::Send(ack));
                    self.greet(auth.initiator, secrets, frames);
                }
                Err(error) => self.over(error.into()),
            },
            other => self.phase = other,
        }
    }

    /// The handshake is done: says hello, or why not, and goes on with the frames that came along.
    fn greet(&mut self, peer: ChatKey, secrets: Secrets, frames: &[u8]) {
        let (writer, mut reader) = secrets.into_frames();
        reader.limit(HELLO_FRAME);
        reader.extend(frames);
        self.phase = Phase::AwaitHello { link: Box::new(Link { peer, writer, reader }) };
        let local = Arc::clone(&self.local);
        if peer == *local.key.id() {
            self.leave(Reason::SelfConnection, DownReason::SelfConnection);
            return;
        }
        let hello = Hello::ours(local.key.id(), &local.client_name, local.listen_port, &local.capabilities);
        self.tell(p2p::Message::HELLO, &hello.encode());
    }

    fn take(&mut self, now: Instant, message: Message) {
        if matches!(self.phase, Phase::AwaitHello { .. }) {
            self.take_first(now, &message);
            return;
        }
        self.deadline = now.after(READ_TIME);
        let Message { code, payload } = message;
        match code {
            p2p::Message::DISCONNECT => self.dismissed(RemoteReason::decode(&payload)),
            p2p::Message::PING => self.tell(p2p::Message::PONG, &p2p::Message::NOTHING),
            // A pong has done its work by coming; a second hello and the codes that mean nothing do no harm.
            0..p2p::BASE_LENGTH => {}
            _ => {
                let Phase::Up { link, capabilities, .. } = &mut self.phase else { return };
                link.reader.limit(super::frame::MAX_BODY);
                match capabilities.iter().find_map(|s| s.relative(code).map(|code| (s.capability, code))) {
                    Some((capability, code)) => {
                        self.outputs.push_back(Output::Event(Event::Message { capability, code, payload }));
                    }
                    None => self.end(DownReason::CodeOutOfRange { code }),
                }
            }
        }
    }

    fn take_first(&mut self, now: Instant, message: &Message) {
        if message.payload.len() > Hello::MAX_LEN {
            self.end(BadHello::TooLong.into());
            return;
        }
        match p2p::Message::decode(message.code, &message.payload) {
            Ok(Some(p2p::Message::Hello(hello))) => self.meet(now, hello),
            Ok(Some(p2p::Message::Disconnect(reason))) => self.dismissed(reason),
            Ok(_) => self.end(DownReason::NoHello { code: message.code }),
            // Before the hello was taken nothing is compressed, this farewell neither.
            Err(error @ BadHello::NullIdentity) => self.leave(Reason::NullIdentity, error.into()),
            Err(error) => self.end(error.into()),
        }
    }

    fn meet(&mut self, now: Instant, hello: Hello) {
        let Phase::AwaitHello { link } = &mut self.phase else { return };
        let compressed = hello.version >= p2p::VERSION;
        link.writer.compress(compressed);
        link.reader.decompress(compressed);
        link.reader.limit(FIRST_FRAME);
        let peer = link.peer;
        if hello.id != peer.to_node_id() {
            self.leave(Reason::UnexpectedIdentity, DownReason::UnexpectedIdentity);
            return;
        }
        let capabilities = negotiate(&self.local.capabilities, &hello.capabilities);
        if capabilities.is_empty() {
            self.leave(Reason::UselessPeer, DownReason::UselessPeer);
            return;
        }
        if let Phase::AwaitHello { link } = mem::replace(&mut self.phase, Phase::Down) {
            self.deadline = now.after(READ_TIME);
            self.phase = Phase::Up { link, capabilities: capabilities.clone(), ping_at: now.after(PING_INTERVAL) };
            self.outputs.push_back(Output::Event(Event::Up { peer, hello: Box::new(hello), capabilities }));
        }
    }

    /// The other side ended the connection. Its reason is echoed, as the peers do: all but reason 1, and never a number
    /// without a name, because one of them ends a peer's process.
    fn dismissed(&mut self, reason: RemoteReason) {
        match reason.named() {
            Some(echo) if echo != Reason::TcpError => self.leave(echo, DownReason::Theirs(reason)),
            _ => self.end(DownReason::Theirs(reason)),
        }
    }

    /// Says farewell, when there is a way to say it, and ends.
    fn leave(&mut self, farewell: Reason, why: DownReason) {
        self.tell(p2p::Message::DISCONNECT, &farewell.encode());
        self.end(why);
    }

    /// Sends a message of the base protocol.
    fn tell(&mut self, code: u64, payload: &[u8]) {
        let (Phase::AwaitHello { link } | Phase::Up { link, .. }) = &mut self.phase else { return };
        if let Ok(frame) = link.writer.seal(code, payload) {
            self.outputs.push_back(Output::Send(frame));
        }
    }

    fn end(&mut self, why: DownReason) {
        if !matches!(self.phase, Phase::Down) {
            self.over(why);
        }
    }

    fn over(&mut self, why: DownReason) {
        self.phase = Phase::Down;
        self.outputs.push_back(Output::Event(Event::Down(why)));
    }
}

impl Stream {
    const fn new() -> Self {
        Self { bytes: Vec::new(), needs: 0 }
    }
}

/// For the encryption handshake and the hello together.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Between two whole messages.
const READ_TIME: Duration = Duration::from_secs(30);
/// Until the first message of a capability, which is its status: one of Waku with 10,000 topics has 60 KiB.
const FIRST_FRAME: usize = 1 << 20;
/// A hello and its code.
const HELLO_FRAME: usize = Hello::MAX_LEN + 9;

#[cfg(test)]
mod tests;
