//! Our session machine on a TCP stream: what `cardinal-node` speaks below Waku, with every detail in the scenario's hand.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k256::SecretKey;
use proto::shell::{clock, dice};
use proto::{ChatKey, Turn};
use wire::p2p::{Capability, Enode, Hello, Reason, Shared};
use wire::rlpx::{DownReason, Event, Input, Local, NodeKey, Output, Session};

use super::error::Outcome;

/// One end of a connection, with our machine behind it.
pub struct Connection {
    stream: TcpStream,
    session: Session,
    /// What happened and nobody has asked for yet.
    events: VecDeque<Event>,
    begin: Instant,
}

/// What was agreed when the connection came up.
#[derive(Debug)]
pub struct Up {
    /// The node id of the other side.
    pub peer: ChatKey,
    /// What it said about itself.
    pub hello: Box<Hello>,
    /// What both speak.
    pub capabilities: Vec<Shared>,
}

/// Returns somebody with a fresh key who speaks these capabilities and does not listen.
///
/// # Errors
/// When the dice show what is no key.
pub fn somebody(capabilities: &[Capability]) -> Outcome<Arc<Local>> {
    let mut bytes = [0; 32];
    rand_core::Rng::fill_bytes(&mut dice(), &mut bytes);
    Ok(Arc::new(Local {
        key: NodeKey::from(SecretKey::from_slice(&bytes)?),
        client_name: "cardinal-interop".to_owned(),
        listen_port: 0,
        capabilities: capabilities.to_vec(),
    }))
}

impl Connection {
    /// Opens a connection to a node. It is not up yet.
    ///
    /// # Errors
    /// When there is no TCP connection.
    pub fn dial(local: &Arc<Local>, to: &Enode) -> Outcome<Self> {
        let stream = TcpStream::connect_timeout(&to.socket_addr(), PATIENCE)?;
        Self::begin(stream, |turn| Session::dial(local, to.key, turn))
    }

    /// Takes the next connection to a port of ours. It is not up yet.
    ///
    /// # Errors
    /// When nobody comes in time.
    pub fn accept(local: &Arc<Local>, listener: &TcpListener, within: Duration) -> Outcome<Self> {
        listener.set_nonblocking(true)?;
        let until = Instant::now() + within;
        loop {
            match listener.accept() {
                Ok((stream, _)) => return Self::begin(stream, |turn| Session::accept(local, turn)),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                Err(_) if Instant::now() >= until => return Err(format!("nobody connected within {within:?}").into()),
                Err(_) => std::thread::sleep(TICK),
            }
        }
    }

    fn begin(stream: TcpStream, session: impl FnOnce(&mut Turn<'_>) -> Session) -> Outcome<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let begin = Instant::now();
        let session = turn(begin, session);
        Ok(Self { stream, session, events: VecDeque::new(), begin })
    }

    /// Waits until the connection is up.
    ///
    /// # Errors
    /// When it goes down instead, or neither.
    pub fn up(&mut self) -> Outcome<Up> {
        match self.next(PATIENCE)? {
            Event::Up { peer, hello, capabilities } => Ok(Up { peer, hello, capabilities }),
            other => Err(format!("not up but {other:?}").into()),
        }
    }

    /// Sends a message of a capability.
    ///
    /// # Errors
    /// When the stream is broken.
    pub fn send(&mut self, capability: Capability, code: u64, payload: &[u8]) -> Outcome {
        self.input(Input::Send { capability, code, payload })
    }

    /// Ends the connection and says why.
    ///
    /// # Errors
    /// When the stream is broken.
    pub fn disconnect(&mut self, reason: Reason) -> Outcome {
        self.input(Input::Disconnect(reason))
    }

    /// Returns the next message: its capability, code and payload.
    ///
    /// # Errors
    /// When the connection goes down first, or nothing comes in time.
    pub fn message(&mut self, within: Duration) -> Outcome<(Capability, u64, Vec<u8>)> {
        match self.next(within)? {
            Event::Message { capability, code, payload } => Ok((capability, code, payload)),
            other => Err(format!("no message but {other:?}").into()),
        }
    }

    /// Waits until the connection is down; messages that come before are dropped.
    ///
    /// # Errors
    /// When it stays up.
    pub fn down(&mut self, within: Duration) -> Outcome<DownReason> {
        let until = Instant::now() + within;
        loop {
            if let Event::Down(reason) = self.next(until.saturating_duration_since(Instant::now()))? {
                return Ok(reason);
            }
        }
    }

    /// Returns what happens next.
    ///
    /// # Errors
    /// When nothing happens in time, or the stream is broken.
    pub fn next(&mut self, within: Duration) -> Outcome<Event> {
        let until = Instant::now() + within;
        let mut room = vec![0; ROOM];
        loop {
            self.settle()?;
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let now = Instant::now();
            if now >= until {
                return Err(format!("nothing happened on the connection within {within:?}").into());
            }
            let wake = self.session.wake_at().and_then(|at| self.begin.checked_add(at.since_start())).unwrap_or(until);
            let patience = until.min(wake).saturating_duration_since(now);
            self.stream.set_read_timeout(Some(patience.max(TICK)))?;
            let input = match self.stream.read(&mut room) {
                Ok(0) => Input::Eof,
                Ok(n) => Input::Bytes(room.get(..n).unwrap_or_default()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Input::Tick,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => Input::Eof,
                Err(error) => return Err(error.into()),
            };
            turn(self.begin, |turn| self.session.handle(turn, input));
        }
    }

    fn input(&mut self, input: Input<'_>) -> Outcome {
        turn(self.begin, |turn| self.session.handle(turn, input));
        self.settle()
    }

    /// Writes what the machine wants written; what happened waits.
    fn settle(&mut self) -> Outcome {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(bytes) => self.write(&bytes)?,
                Output::Event(event) => self.events.push_back(event),
            }
        }
        Ok(())
    }

    /// A peer that has closed the stream may still be read.
    fn write(&mut self, bytes: &[u8]) -> Outcome {
        match self.stream.write_all(bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }
}

fn turn<R>(begin: Instant, call: impl FnOnce(&mut Turn<'_>) -> R) -> R {
    let now = proto::Instant::from_start(begin.elapsed());
    call(&mut Turn { now, unix: clock::unix(), rng: &mut dice() })
}

/// For TCP, and for what the other side does at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const TICK: Duration = Duration::from_millis(2);
const ROOM: usize = 64 * 1024;
