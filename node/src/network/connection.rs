//! One TCP connection: bytes to the RLPx session and back, Waku packets to the engine and from it.
//!
//! While bytes wait to be written the task goes on reading, until a crowd of packets waits for the peer: then the peer
//! has to take some of them before anything more is taken from it. One that takes nothing of what is written for 20 s,
//! lets the outbox fill up, or keeps pinging without reading the answers, is dropped.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use proto::ChatKey;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use wire::p2p::{Capability, Hello, Reason, Shared};
use wire::rlpx::{DownReason, Event, Input, Local, Output, Session};
use wire::waku::PeerId;

use super::backoff::Ended;
use super::handshakes::Slot;
use super::outbox::{Outboxes, Outgoing, Outgoings};
use super::pending::Pending;
use crate::clock::{Alarm, Clock};
use crate::counters::Counters;
use crate::engine::command::{Command, Peer};
use crate::stop::Stop;

/// What every connection of a node needs.
#[derive(Clone)]
pub(crate) struct Shell {
    pub(crate) local: Arc<Local>,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) engine: mpsc::Sender<Command>,
    /// Memory for packets on their way to the engine, in units of [`SHARE`].
    pub(crate) shares: Arc<Semaphore>,
    /// Memory for long frames that are not whole yet, in units of [`SHARE`].
    pub(crate) frames: Arc<Semaphore>,
    /// The queues to the connections.
    pub(crate) outboxes: Outboxes,
    /// Says when the node stops.
    pub(crate) stop: Stop,
    /// Held by every task: when the last one is gone, all have ended.
    pub(crate) _alive: mpsc::Sender<()>,
}

impl Shell {
    /// Serves a stream that somebody opened to us; gives `slot` back once the peer has shaken hands.
    pub(crate) async fn serve(self, stream: TcpStream, address: SocketAddr, slot: Slot) {
        let session = self.clock.turn(|turn| Session::accept(&self.local, turn));
        self.run(stream, session, address, Some(slot)).await;
    }

    /// Serves a stream that we opened to the node of this key.
    pub(crate) async fn dialled(self, stream: TcpStream, remote: ChatKey, address: SocketAddr) -> Ended {
        let session = self.clock.turn(|turn| Session::dial(&self.local, remote, turn));
        self.run(stream, session, address, None).await
    }

    async fn run(self, stream: TcpStream, session: Session, address: SocketAddr, slot: Option<Slot>) -> Ended {
        // Without it small packets wait for the acknowledgement of the ones before. Failing leaves them slow, no more.
        drop(stream.set_nodelay(true));
        let (reader, writer) = stream.into_split();
        let inbound = slot.is_some();
        let pending = Pending::new();
        let mut connection = Connection {
            shell: self,
            session,
            reader,
            writer,
            pending,
            received: VecDeque::new(),
            address,
            inbound,
            slot,
            up: None,
            room: None,
            over: None,
        };
        connection.live().await;
        connection.end().await
    }
}

struct Connection {
    shell: Shell,
    session: Session,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    pending: Pending,
    /// Packets of one read that the engine has not been given yet.
    received: VecDeque<(u64, Vec<u8>)>,
    address: SocketAddr,
    inbound: bool,
    slot: Option<Slot>,
    up: Option<Up>,
    /// Memory for a long frame, until the engine has what it held.
    room: Option<OwnedSemaphorePermit>,
    over: Option<Over>,
}

/// What is known once the peer has shaken hands.
struct Up {
    id: PeerId,
    capability: Capability,
    outgoings: Outgoings,
}

/// Why the connection is over.
enum Over {
    Session(DownReason),
    SlowPeer,
    DeafPeer,
    /// It had not shaken hands, and made room for another one.
    Displaced,
    Transport,
    EngineGone,
}

impl Connection {
    async fn live(&mut self) {
        let mut alarm = Alarm::new(self.shell.clock);
        let mut stop = self.shell.stop.clone();
        let mut stopped = pin!(stop.heard());
        self.settle().await;
        while self.over.is_none() {
            let wake = self.session.wake_at();
            let write_by = self.pending.deadline();
            let lacking = self.lacking();
            tokio::select! {
                biased;
                () = &mut stopped => self.input(Input::Disconnect(Reason::Quitting)),
                () = lost(&mut self.slot) => self.over = Some(Over::Displaced),
                () = alarm.reach(wake) => self.input(Input::Tick),
                () = reach(write_by) => self.over = Some(Over::SlowPeer),
                read = receive(&mut self.reader, &mut self.session, self.shell.clock), if lacking == 0 && self.received.is_empty() => match read {
                    Ok(0) => self.input(Input::Eof),
                    Ok(_) => {}
                    Err(_) => self.over = Some(Over::Transport),
                },
                room = Arc::clone(&self.shell.frames).acquire_many_owned(lacking), if lacking > 0 => self.room = room.ok(),
                written = self.writer.write(self.pending.rest()), if !self.pending.is_empty() => match written {
                    Ok(n) => self.pending.wrote(n),
                    Err(_) => self.over = Some(Over::Transport),
                },
                outgoing = next_outgoing(&mut self.up), if self.pending.has_room() => self.outgoing(outgoing),
            }
            self.settle().await;
        }
        // What it said before it ended the connection counts.
        while let Some((code, payload)) = self.received.pop_front() {
            self.pass_on(code, payload).await;
        }
    }

    /// Returns the memory that has to be had before more is read of a long frame. A peer that announces one and does not
    /// send it keeps others' long frames waiting, until its time is over, but takes no memory beyond what there is.
    fn lacking(&mut self) -> u32 {
        let awaited = self.session.awaited();
        if awaited < LONG {
            if self.received.is_empty() {
                self.room = None;
            }
            return 0;
        }
        let wanted = shares(awaited);
        if self.room.as_ref().is_some_and(|room| room.num_permits() >= wanted as usize) {
            return 0;
        }
        // What is too little is given back first, so that nobody holds some while he waits for more.
        self.room = None;
        wanted
    }

    fn input(&mut self, input: Input<'_>) {
        self.shell.clock.turn(|turn| self.session.handle(turn, input));
    }

    fn outgoing(&mut self, outgoing: Option<Outgoing>) {
        match (outgoing, &self.up) {
            (Some(Outgoing::Packet { code, payload }), Some(up)) => {
                let capability = up.capability;
                self.input(Input::Send { capability, code, payload: &payload });
            }
            // The packet before it is framed by now.
            (Some(Outgoing::Mark(envelope)), _) => self.pending.mark(envelope),
            (Some(Outgoing::Disconnect(reason)), _) => self.input(Input::Disconnect(reason)),
            (Some(Outgoing::Packet { .. }), None) => {}
            // The engine let go of us without a word, because our outbox is full or because it has stopped.
            (None, _) => self.over = Some(Over::SlowPeer),
        }
    }

    /// Does what the session wants, in order, gives the engine what came as long as its answers find room, and writes
    /// at once what the socket takes.
    async fn settle(&mut self) {
        self.serve_session().await;
        while self.over.is_none()
            && !self.is_crowded()
            && let Some((code, payload)) = self.received.pop_front()
        {
            self.pass_on(code, payload).await;
        }
        // Whatever waits goes with one write.
        while self.over.is_none()
            && self.pending.has_room()
            && let Some(outgoing) = self.up.as_mut().and_then(|up| up.outgoings.waiting())
        {
            self.outgoing(Some(outgoing));
            self.serve_session().await;
        }
        if self.over.is_none() && !self.pending.is_empty() {
            match self.writer.try_write(self.pending.rest()) {
                Ok(n) => self.pending.wrote(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.over = Some(Over::Transport),
            }
        }
        while let Some(envelope) = self.pending.passed() {
            if self.shell.engine.send(Command::Written(envelope)).await.is_err() {
                self.over = Some(Over::EngineGone);
            }
        }
    }

    fn is_crowded(&self) -> bool {
        self.up.as_ref().is_some_and(|up| up.outgoings.is_crowded())
    }

    async fn serve_session(&mut self) {
        while self.over.is_none()
            && let Some(output) = self.session.poll()
        {
            match output {
                Output::Send(bytes) => {
                    if self.pending.push(&bytes).is_err() {
                        self.over = Some(Over::DeafPeer);
                    }
                }
                Output::Event(Event::Up { peer, hello, capabilities }) => self.greet(peer, &hello, &capabilities).await,
                Output::Event(Event::Message { code, payload, .. }) => self.received.push_back((code, payload)),
                Output::Event(Event::NotSent { why, .. }) => {
                    self.shell.counters.count("connection", "not-sent");
                    tracing::debug!(%why, "packet not sent");
                }
                Output::Event(Event::Down(reason)) => self.over = Some(Over::Session(reason)),
            }
        }
    }

    /// Shows the peer to the engine, which takes it or not.
    async fn greet(&mut self, id: ChatKey, hello: &Hello, capabilities: &[Shared]) {
        self.slot = None;
        let Some(waku) = capabilities.iter().find(|shared| shared.capability.name == "waku") else {
            return self.input(Input::Disconnect(Reason::UselessPeer));
        };
        let (outbox, outgoings) = self.shell.outboxes.open();
        let (reply, answer) = oneshot::channel();
        let version = waku.capability.version;
        let client = hello.client_name.get(..CLIENT_NAME).unwrap_or(&hello.client_name).escape_ascii().to_string();
        let peer = Peer { id, client, address: self.address, inbound: self.inbound, version };
        if self.shell.engine.send(Command::Up { peer, outbox, reply }).await.is_err() {
            self.over = Some(Over::EngineGone);
            return;
        }
        match answer.await {
            Ok(Ok(id)) => self.up = Some(Up { id, capability: waku.capability, outgoings }),
            Ok(Err(reason)) => self.input(Input::Disconnect(reason)),
            Err(_) => self.over = Some(Over::EngineGone),
        }
    }

    /// Hands a packet to the engine, once there is memory for it: until then this peer's bytes stay in the kernel.
    async fn pass_on(&mut self, code: u64, payload: Vec<u8>) {
        let Some(up) = &self.up else { return };
        let peer = up.id;
        let shares = Arc::clone(&self.shell.shares).acquire_many_owned(shares(payload.len()));
        let Ok(share) = shares.await else { return };
        if self.shell.engine.send(Command::Packet { peer, code, payload, _share: share }).await.is_err() {
            self.over = Some(Over::EngineGone);
        }
    }

    /// Writes the farewell, closes, and says how it ended.
    async fn end(mut self) -> Ended {
        let why = match &self.over {
            Some(Over::Session(reason)) => reason.name(),
            Some(Over::SlowPeer) => "slow_peer",
            Some(Over::DeafPeer) => "deaf_peer",
            Some(Over::Displaced) => "displaced",
            Some(Over::Transport) => "transport",
            Some(Over::EngineGone) | None => "stopping",
        };
        if let Some(up) = &self.up {
            drop(self.shell.engine.send(Command::Down { peer: up.id, why }).await);
        }
        // A peer that breaks the rules gets no more of our time than this.
        let farewell = async {
            self.writer.write_all(self.pending.rest()).await?;
            self.writer.shutdown().await
        };
        let slow = matches!(self.over, Some(Over::SlowPeer | Over::DeafPeer | Over::Displaced | Over::Transport));
        if !slow {
            drop(tokio::time::timeout(FAREWELL, farewell).await);
        }
        self.shell.counters.count("connection.ended", why);
        tracing::debug!(address = %self.address, inbound = self.inbound, up = self.up.is_some(), why, "connection ended");
        ended(self.over.as_ref(), self.up.is_some())
    }
}

/// How a connection ended that was up or not.
fn ended(over: Option<&Over>, up: bool) -> Ended {
    let refused = match over {
        Some(Over::Session(DownReason::Theirs(reason))) => {
            reason.named() != Some(Reason::Quitting) && reason.named() != Some(Reason::Requested)
        }
        // It broke the rules, and would break them again at once.
        Some(Over::Session(DownReason::Ours(reason))) => *reason == Reason::Subprotocol,
        _ => false,
    };
    match (refused, up) {
        (true, _) => Ended::Refused,
        (false, true) => Ended::Lost,
        (false, false) => Ended::Failed,
    }
}

/// Waits for bytes, hands them to the session, and says how many they were. They lie on the stack meanwhile, so a
/// connection at rest keeps no room for them.
async fn receive(reader: &mut OwnedReadHalf, session: &mut Session, clock: Clock) -> io::Result<usize> {
    poll_fn(|context| {
        let mut room = [MaybeUninit::uninit(); READ];
        let mut bytes = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut bytes))?;
        if !bytes.filled().is_empty() {
            clock.turn(|turn| session.handle(turn, Input::Bytes(bytes.filled())));
        }
        Poll::Ready(Ok(bytes.filled().len()))
    })
    .await
}

async fn next_outgoing(up: &mut Option<Up>) -> Option<Outgoing> {
    match up {
        Some(up) => up.outgoings.next().await,
        None => std::future::pending().await,
    }
}

async fn lost(slot: &mut Option<Slot>) {
    match slot {
        Some(slot) => slot.lost().await,
        None => std::future::pending().await,
    }
}

/// The memory that so many bytes take.
fn shares(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(SHARE)).unwrap_or(u32::MAX).clamp(1, SHARES)
}

async fn reach(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// For the last words (go-ethereum's deadline for the disconnect message).
const FAREWELL: Duration = Duration::from_secs(1);
/// A peer's name is kept and shown up to this length.
const CLIENT_NAME: usize = 128;
/// A frame of at least so many bytes has to find memory before it is read.
const LONG: usize = 256 * 1024;
/// The unit of memory for long frames, and for packets on their way to the engine.
const SHARE: usize = 1024;
/// All of that memory, for each of the two: 64 MiB, four packets of the greatest size.
pub(crate) const SHARES: u32 = 64 * 1024;

#[cfg(test)]
mod tests {
    use wire::p2p::RemoteReason;

    use super::*;

    #[test]
    fn whoever_refuses_or_is_refused_is_not_dialled_again_at_once() {
        let of = |reason, up| ended(Some(&Over::Session(reason)), up);
        let theirs = |reason: Reason| DownReason::Theirs(RemoteReason::decode(&[0xc1, reason as u8]));
        assert_eq!(of(theirs(Reason::TooManyPeers), false), Ended::Refused);
        assert_eq!(of(theirs(Reason::Subprotocol), true), Ended::Refused);
        assert_eq!(of(DownReason::Ours(Reason::Subprotocol), true), Ended::Refused);
        assert_eq!(of(DownReason::Ours(Reason::AlreadyConnected), true), Ended::Lost);
        assert_eq!(of(theirs(Reason::Quitting), true), Ended::Lost);
        assert_eq!(of(DownReason::Closed, false), Ended::Failed);
        assert_eq!(ended(Some(&Over::SlowPeer), true), Ended::Lost);
    }
}
