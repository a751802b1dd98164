//! A peer of ours to command: it shakes hands properly, and then sends what the test wants.

use std::sync::Arc;

use node::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::p2p::{Capability, Enode, Reason};
use wire::rlpx::{DownReason, Event, Input, Local, NodeKey, Output, Session};

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
        while !matches!(peer.next().await, Some(Event::Up { .. })) {}
        peer
    }

    /// Sends a Waku packet.
    pub(crate) async fn send(&mut self, code: u64, payload: &[u8]) {
        let input = Input::Send { capability: Capability::WAKU_1, code, payload };
        self.clock.turn(|turn| self.session.handle(turn, input));
        self.flush().await;
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
            match self.stream.read(&mut room).await {
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
