//! The other side of one of our sessions: a node that says what a recording has it say, rule or no rule.
//!
//! It stands on the same keys and frames as any session, but keeps none of its rules, and time passes as it likes.

use std::sync::Arc;
use std::time::Duration;

use k256::SecretKey;
use proto::{ChatKey, Instant, Turn, UnixMillis};
use wire::p2p::{Capability, Hello, Message as BaseMessage, Shared};
use wire::rlpx::handshake::open_ack;
use wire::rlpx::{
    DownReason, Event, FrameReader, FrameWriter, Initiator, Input, Local, Message, NodeKey, Output, Progress, Session,
    snappy,
};

use crate::dice::Seeded;

/// A session of ours that accepted a connection, and who is opposite to it.
pub(super) struct Opposite {
    session: Session,
    local: Arc<Local>,
    key: NodeKey,
    dice: Seeded,
    now: Instant,
    frames: Option<(FrameWriter, FrameReader)>,
    /// Bytes that the session wrote before there were frames.
    packet: Vec<u8>,
    /// The messages that the session sent, as they are in their frames: compressed or not.
    pub(super) heard: Vec<Message>,
    /// What the session said when it was up.
    pub(super) up: Option<(Box<Hello>, Vec<Shared>)>,
    /// How and when the session ended.
    pub(super) down: Option<(DownReason, Duration)>,
}

impl Opposite {
    /// Opens a stream to a session that speaks this.
    pub(super) fn connect(capabilities: Vec<Capability>) -> Result<Self, String> {
        let local = Arc::new(Local { key: key(1)?, client_name: "replay".to_owned(), listen_port: 0, capabilities });
        let (mut dice, now) = (Seeded::new(1), Instant::default());
        let session = Session::accept(&local, &mut turn(now, &mut dice));
        let (frames, packet, heard) = (None, Vec::new(), Vec::new());
        Ok(Self { session, local, key: key(2)?, dice, now, frames, packet, heard, up: None, down: None })
    }

    /// Begins the encryption handshake, and stops after so many bytes.
    pub(super) fn begin_to_shake_hands(&mut self, bytes: usize) -> Result<(), String> {
        let initiator = Initiator::start(&self.key, self.local.key.id(), &mut self.dice);
        self.write(initiator.auth().get(..bytes).unwrap_or(initiator.auth()))
    }

    /// Does the encryption handshake.
    pub(super) fn shake_hands(&mut self) -> Result<(), String> {
        let initiator = Initiator::start(&self.key, self.local.key.id(), &mut self.dice);
        self.write(initiator.auth())?;
        let Ok(Progress::Done(ack)) = open_ack(&self.key, &self.packet) else {
            return Err("our session did not answer the handshake".to_owned());
        };
        let (packet, rest) = self.packet.split_at_checked(ack.len).ok_or("the answer is too short")?;
        let (writer, mut reader) = initiator.finish(&ack, packet).into_frames();
        reader.extend(rest);
        self.frames = Some((writer, reader));
        self.listen()
    }

    /// Says a good hello and goes on compressed.
    pub(super) fn join(&mut self) -> Result<(), String> {
        let hello = Hello::ours(self.key.id(), "replay", 0, &self.local.capabilities);
        self.send(BaseMessage::HELLO, &hello.encode())?;
        if let Some((writer, _)) = &mut self.frames {
            writer.compress(true);
        }
        Ok(())
    }

    /// Returns the id of the key that the handshake was done with.
    pub(super) fn id(&self) -> &ChatKey {
        self.key.id()
    }

    /// Sends any message.
    pub(super) fn send(&mut self, code: u64, payload: &[u8]) -> Result<(), String> {
        let (writer, _) = self.frames.as_mut().ok_or("no handshake was done")?;
        let frame = writer.seal(code, payload).map_err(|error| error.to_string())?;
        self.write(&frame)
    }

    /// Writes any bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.session.handle(&mut turn(self.now, &mut self.dice), Input::Bytes(bytes));
        self.listen()
    }

    /// Has the session say farewell.
    pub(super) fn dismiss(&mut self, reason: wire::p2p::Reason) -> Result<(), String> {
        self.session.handle(&mut turn(self.now, &mut self.dice), Input::Disconnect(reason));
        self.listen()
    }

    /// Lets time pass, up to the session's next deadline when that is earlier; returns the time it is then.
    pub(super) fn pass(&mut self, until: Duration) -> Result<Duration, String> {
        let until = Instant::from_start(until);
        let wake_at = self.session.wake_at().filter(|wake_at| *wake_at <= until);
        self.now = wake_at.unwrap_or(until).max(self.now);
        if wake_at.is_some() {
            self.session.handle(&mut turn(self.now, &mut self.dice), Input::Tick);
        }
        self.listen()?;
        Ok(self.now.since_start())
    }

    fn listen(&mut self) -> Result<(), String> {
        while let Some(output) = self.session.poll() {
            match (output, &mut self.frames) {
                (Output::Send(bytes), None) => self.packet.extend(bytes),
                (Output::Send(bytes), Some((_, reader))) => reader.extend(&bytes),
                (Output::Event(Event::Up { hello, capabilities, .. }), _) => self.up = Some((hello, capabilities)),
                (Output::Event(Event::Down(reason)), _) => self.down = Some((reason, self.now.since_start())),
                (Output::Event(event), _) => return Err(format!("our session says {event:?}")),
            }
        }
        if let Some((_, reader)) = &mut self.frames {
            while let Some(message) = reader.next_message().map_err(|error| format!("our session's frames: {error}"))? {
                self.heard.push(message);
            }
        }
        Ok(())
    }
}

/// Returns what a payload says after the session has begun to compress.
pub(super) fn decompressed(payload: &[u8]) -> Result<Vec<u8>, String> {
    snappy::decompress(payload).map_err(|error| format!("our session sends bad snappy: {error}"))
}

fn key(byte: u8) -> Result<NodeKey, String> {
    Ok(SecretKey::from_slice(&[byte; 32]).map_err(|_| "no key".to_owned())?.into())
}

fn turn(now: Instant, dice: &mut Seeded) -> Turn<'_> {
    Turn { now, unix: UnixMillis::new(0), rng: dice }
}
