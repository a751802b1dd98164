//! The protocol between vpcd, the virtual reader's driver in pcscd, and the card.
//!
//! ```text
//! message = length(2, big-endian) || body(length)
//! body of one byte, from the reader: 0 power off | 1 power on | 2 reset | 4 tell the ATR
//! any other body: a command, or the answer to one; only a command and "tell the ATR" are answered
//! ```
//! vpcd takes the end of the connection for a removed card, and connects or accepts again. It waits for ever after an
//! answer of no bytes (vsmartcard, `src/vpcd/vpcd.c`: `recv` of none with `MSG_WAITALL`), so none is ever sent.
//!
//! The invariant: whatever a peer sends, one message of it is held at a time, in a buffer that never grows.

use std::io;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_quickack;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

/// What the reader wants.
pub(crate) enum Message {
    /// Power off, power on or reset: the card forgets its session.
    Power,
    /// The answer to reset.
    Atr,
    /// An answer to this command.
    Command(Zeroizing<Vec<u8>>),
}

/// One connection to a reader. Every wait on it may be given up and taken up again.
pub(crate) struct Peer {
    stream: TcpStream,
    room: Zeroizing<Box<[u8]>>,
    filled: usize,
    answer: Zeroizing<Vec<u8>>,
    due: Option<Instant>,
}

impl Peer {
    /// Takes a connection over.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let room = Zeroizing::new(vec![0; LENGTH + MAX_BODY].into_boxed_slice());
        Ok(Self { stream, room, filled: 0, answer: Zeroizing::default(), due: None })
    }

    /// Sends `body` after `delay`, before the next message is read.
    pub(crate) fn answer(&mut self, body: &[u8], delay: Duration) {
        let body = body.get(..MAX_BODY).unwrap_or(body);
        let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
        self.answer = Zeroizing::new([&length.to_be_bytes(), body].concat());
        self.due = (!delay.is_zero()).then(|| Instant::now() + delay);
    }

    /// Sends what is to be sent, then waits for the next message.
    ///
    /// # Errors
    /// The socket's; [`io::ErrorKind::UnexpectedEof`] when the reader has gone.
    pub(crate) async fn next(&mut self) -> io::Result<Message> {
        loop {
            if let Some(due) = self.due {
                sleep_until(due).await;
                self.due = None;
            }
            if !self.answer.is_empty() {
                let sent = self.stream.write(&self.answer).await?;
                self.answer.drain(..sent);
                continue;
            }
            if let Some(body) = self.take() {
                match message(body) {
                    Some(message) => return Ok(message),
                    None => continue,
                }
            }
            // vpcd writes length and body apart and waits for our acknowledgement in between, which the kernel would
            // hold back for 40 ms. The option holds for one read only.
            set_tcp_quickack(&self.stream, true)?;
            let rest = self.room.get_mut(self.filled..).unwrap_or_default();
            match self.stream.read(rest).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.filled += read,
            }
        }
    }

    /// Takes the first whole body out of the buffer.
    fn take(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let (length, rest) = self.room.get(..self.filled)?.split_first_chunk::<LENGTH>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let body = Zeroizing::new(rest.get(..length)?.to_vec());
        self.room.copy_within(LENGTH + length..self.filled, 0);
        self.filled -= LENGTH + length;
        Some(body)
    }
}

/// Returns what a body means; nothing for what nobody sends.
fn message(body: Zeroizing<Vec<u8>>) -> Option<Message> {
    match **body {
        [] => None,
        [0..=2] => Some(Message::Power),
        [4] => Some(Message::Atr),
        [_] => None,
        _ => Some(Message::Command(body)),
    }
}

const LENGTH: usize = 2;
const MAX_BODY: usize = u16::MAX as usize;
