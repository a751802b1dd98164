//! A peer of ours to command: it shakes hands properly, and then sends what the test wants.

use std::sync::Arc;

use node::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use wire::p2p::{self, BASE_LENGTH, Capability, Enode, Hello, Reason};
use wire::rlpx::handshake::open_ack;
use wire::rlpx::{DownReason, Event, FrameWriter, Initiator, Input, Local, NodeKey, Output, Progress, Session};
use wire::waku::code;

use super::PATIENCE;

pub(crate) struct RawPeer {
    stream: TcpStream,
    session: Session,
    clock: Clock,
}

impl RawPeer {
    /// Connects, up to and with Hello.
    pub(crate) async fn connect(enode: Enode, key: u8, capability: Capability) -> Self {
        let local = Arc::new(Local {
            key: NodeKey::from(k256::SecretKey::from_slice(&[key; 32]).unwrap()),
            client_name: "raw\u{1b}[31m".to_owned(),
            listen_port: 0,
            capabilities: vec![capability],
        });
        let clock = Clock::start();
        let session = clock.turn(|turn| Session::dial(&local, enode.key, turn));
        let mut peer = Self { stream: TcpStream::connect(enode.socket_addr()).await.unwrap(), session, clock };
        loop {
            match peer.next().await {
                Some(Event::Up { .. }) => return peer,
                Some(Event::Down(reason)) => panic!("down: {reason}"),
                Some(_) => {}
                None => panic!("the connection broke"),
            }
        }
    }

    /// Sends a Waku packet.
    pub(crate) async fn send(&mut self, code: u64, payload: &[u8]) {
        let input = Input::Send { capability: Capability::WAKU_1, code, payload };
        self.clock.turn(|turn| self.session.handle(turn, input));
        self.flush().await;
    }

    /// Sends a packet so many times in one burst, and reads meanwhile until as many of the code `wanted` have come.
    pub(crate) async fn burst(&mut self, code: u64, payload: &[u8], times: usize, wanted: u64) {
        for _ in 0..times {
            let input = Input::Send { capability: Capability::WAKU_1, code, payload };
            self.clock.turn(|turn| self.session.handle(turn, input));
        }
        let (mut frames, mut sent, mut came) = (Vec::new(), 0, 0);
        let mut room = vec![0; 64 * 1024];
        loop {
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Send(bytes) => frames.extend(bytes),
                    Output::Event(Event::Message { code, .. }) => came += usize::from(code == wanted),
                    Output::Event(event) => panic!("{event:?} after {came} answers"),
                }
            }
            if came >= times {
                return;
            }
            let (mut reader, mut writer) = self.stream.split();
            tokio::select! {
                read = reader.read(&mut room) => match read.unwrap() {
                    0 => panic!("the end after {came} answers"),
                    n => self.clock.turn(|turn| self.session.handle(turn, Input::Bytes(&room[..n]))),
                },
                written = writer.write(&frames[sent..]), if sent < frames.len() => sent += written.unwrap(),
            }
        }
    }

    /// Sends bytes that are no frame.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The packets of this code that come until the connection ends, and how it ends.
    pub(crate) async fn until_down(&mut self) -> DownReason {
        loop {
            match self.next().await {
                Some(Event::Down(reason)) => return reason,
                Some(_) => {}
                None => return DownReason::Ours(Reason::TcpError),
            }
        }
    }

    /// Waits for a packet of this code.
    pub(crate) async fn until_packet(&mut self, wanted: u64) -> Vec<u8> {
        loop {
            match self.next().await {
                Some(Event::Message { code, payload, .. }) if code == wanted => return payload,
                Some(Event::Down(reason)) => panic!("down: {reason}"),
                Some(_) => {}
                None => panic!("the connection broke"),
            }
        }
    }

    async fn next(&mut self) -> Option<Event> {
        let mut room = vec![0; 4096];
        loop {
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Send(bytes) => drop(self.stream.write_all(&bytes).await),
                    Output::Event(event) => return Some(event),
                }
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut room)).await;
            match read.expect("something comes") {
                Ok(0) => self.clock.turn(|turn| self.session.handle(turn, Input::Eof)),
                Ok(n) => self.clock.turn(|turn| self.session.handle(turn, Input::Bytes(&room[..n]))),
                Err(_) => return None,
            }
        }
    }

    async fn flush(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(bytes) => self.stream.write_all(&bytes).await.unwrap(),
                Output::Event(event) => panic!("{event:?}"),
            }
        }
    }
}

/// A status that promises confirmations, so that a relay confirms in return; every other option is at its default.
pub(crate) const STATUS: &[u8] = &[0xc3, 0xc2, 0x03, 0x01];

/// A peer that talks and hardly listens: after handshake, hello and status it only pings.
pub(crate) struct DeafPeer {
    stream: TcpStream,
    writer: FrameWriter,
}

impl DeafPeer {
    pub(crate) async fn connect(enode: Enode, key: u8) -> Self {
        let key = NodeKey::from(k256::SecretKey::from_slice(&[key; 32]).unwrap());
        let initiator = Clock::start().turn(|turn| Initiator::start(&key, &enode.key, turn.rng));
        let socket = TcpSocket::new_v4().unwrap();
        // What it does not read is to wait with the other side, not in the kernel.
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(enode.socket_addr()).await.unwrap();
        stream.write_all(initiator.auth()).await.unwrap();
        let mut packet = Vec::new();
        let ack = loop {
            match open_ack(&key, &packet).unwrap() {
                Progress::Needs(_) => packet.push(stream.read_u8().await.unwrap()),
                Progress::Done(ack) => break ack,
            }
        };
        let (writer, _) = initiator.finish(&ack, &packet).into_frames();
        let mut peer = Self { stream, writer };
        let hello = Hello::ours(key.id(), "deaf", 0, &[Capability::WAKU_1]).encode();
        peer.stream.write_all(&peer.writer.seal(p2p::Message::HELLO, &hello).unwrap()).await.unwrap();
        peer.writer.compress(true);
        let status = peer.writer.seal(BASE_LENGTH + code::STATUS, STATUS).unwrap();
        peer.stream.write_all(&status).await.unwrap();
        peer
    }

    /// Sends a packet, as long as the other side takes it; says whether it did.
    pub(crate) async fn send(&mut self, code: u64, payload: &[u8]) -> bool {
        let frame = self.writer.seal(BASE_LENGTH + code, payload).unwrap();
        self.stream.write_all(&frame).await.is_ok()
    }

    /// Sends a thousand pings and reads a little, so that there is progress; says whether the other side still takes them.
    pub(crate) async fn ping(&mut self) -> bool {
        let mut frames = Vec::new();
        for _ in 0..1000 {
            frames.extend(self.writer.seal(p2p::Message::PING, &p2p::Message::NOTHING).unwrap());
        }
        let _nothing_there = self.stream.try_read(&mut [0; 4096]);
        self.stream.write_all(&frames).await.is_ok()
    }
}
