//! Frames: one message each, encrypted and authenticated (devp2p `rlpx.md`, "Framing").
//!
//! ```text
//! header (16): size (3 BE) || c28080 || zeros    header MAC (16)    body padded to 16: RLP(code) || payload    body MAC (16)
//! ```
//!
//! The invariant: no byte of a header or body is believed before its MAC was right, so a size that makes us wait or grow
//! was written by the peer itself. Room grows with the bytes received, never with the bytes announced.

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use proto::Secret;
use subtle::ConstantTimeEq;

use super::mac::Mac;
use super::snappy::{self, BadSnappy};
use crate::p2p;
use crate::rlp::{Reader, Writer};

/// The longest body of a frame, in bytes: 2^24 - 1.
pub const MAX_BODY: usize = (1 << 24) - 1;

/// A message of the base protocol or of a capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its absolute code.
    pub code: u64,
    /// What it carries, decompressed.
    pub payload: Vec<u8>,
}

/// A frame that ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The header was not written by the other side of the handshake, or not at this place.
    #[error("the MAC of a frame's header is wrong")]
    HeaderMac,
    /// The body was not.
    #[error("the MAC of a frame's body is wrong")]
    BodyMac,
    /// The body has no bytes at all.
    #[error("a frame is empty")]
    Empty,
    /// The body, or what it decompresses to, is longer than this reader takes.
    #[error("a message of {size} bytes is too long here")]
    TooLong {
        /// Its size.
        size: usize,
    },
    /// The body does not begin with a canonical integer.
    #[error("a message code cannot be read")]
    Code,
    /// The payload does not decompress.
    #[error(transparent)]
    Snappy(#[from] BadSnappy),
}

/// A payload that no frame can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payload of {len} bytes does not fit into a frame")]
pub struct TooLong {
    /// Its length.
    pub len: usize,
}

/// Seals messages for one direction of a connection.
pub struct FrameWriter {
    cipher: Ctr128BE<Aes256>,
    mac: Mac,
    snappy: Option<snap::raw::Encoder>,
}

impl FrameWriter {
    /// Returns a writer that begins right behind the handshake; it does not compress yet.
    #[must_use]
    pub fn new(aes: &Secret<32>, egress: Mac) -> Self {
        Self { cipher: cipher(aes), mac: egress, snappy: None }
    }

    /// Compresses payloads from the next message on, or not.
    pub fn compress(&mut self, on: bool) {
        self.snappy = on.then(snap::raw::Encoder::new);
    }

    /// Returns the frame of one message.
    ///
    /// # Errors
    /// [`TooLong`]; the writer is as before then.
    pub fn seal(&mut self, code: u64, payload: &[u8]) -> Result<Vec<u8>, TooLong> {
        let too_long = TooLong { len: payload.len() };
        if payload.len() > snappy::MAX_LEN {
            return Err(too_long);
        }
        let mut frame = Vec::new();
        let room = self.snappy.as_ref().map_or(payload.len(), |_| snap::raw::max_compress_len(payload.len()));
        frame.reserve_exact(HEADER + CODE + room + PADDING + TAG);
        frame.resize(HEADER, 0);
        let mut number = Writer::new();
        number.uint(code);
        frame.extend_from_slice(&number.into_vec());
        match &mut self.snappy {
            None => frame.extend_from_slice(payload),
            Some(encoder) => {
                let start = frame.len();
                frame.resize(start + room, 0);
                let block = frame.get_mut(start..).unwrap_or(&mut []);
                let written = encoder.compress(payload, block).map_err(|_| too_long)?;
                frame.truncate(start + written);
            }
        }
        let size = frame.len() - HEADER;
        if size > MAX_BODY {
            return Err(too_long);
        }
        frame.resize(HEADER + padded(size) + TAG, 0);
        self.encrypt(&mut frame, size).ok_or(too_long)?;
        Ok(frame)
    }

    /// Encrypts a frame in place whose body is there and whose header and tags are zeros.
    fn encrypt(&mut self, frame: &mut [u8], size: usize) -> Option<()> {
        let [_, size @ ..] = u32::try_from(size).ok()?.to_be_bytes();
        let (header, rest) = frame.split_first_chunk_mut::<16>()?;
        let (header_tag, rest) = rest.split_first_chunk_mut::<TAG>()?;
        let (body, body_tag) = rest.split_last_chunk_mut::<TAG>()?;
        let (fields, _) = header.split_first_chunk_mut::<6>()?;
        let [a, b, c] = size;
        *fields = [a, b, c, 0xc2, 0x80, 0x80];
        self.cipher.apply_keystream(header);
        *header_tag = self.mac.header(header);
        self.cipher.apply_keystream(body);
        *body_tag = self.mac.body(body);
        Some(())
    }
}

/// Opens the frames of one direction, whatever pieces they arrive in.
pub struct FrameReader {
    cipher: Ctr128BE<Aes256>,
    mac: Mac,
    snappy: bool,
    limit: usize,
    received: Vec<u8>,
    /// Where in `received` the next frame (or its body, when the header was read) begins.
    start: usize,
    expecting: Expecting,
}

#[derive(Clone, Copy)]
enum Expecting {
    Header,
    Body { size: usize },
    Nothing(FrameError),
}

impl FrameReader {
    /// Returns a reader that begins right behind the handshake; it does not decompress yet.
    #[must_use]
    pub fn new(aes: &Secret<32>, ingress: Mac) -> Self {
        Self {
            cipher: cipher(aes),
            mac: ingress,
            snappy: false,
            limit: MAX_BODY,
            received: Vec::new(),
            start: 0,
            expecting: Expecting::Header,
        }
    }

    /// Takes payloads for compressed from the next message on, or not.
    pub const fn decompress(&mut self, on: bool) {
        self.snappy = on;
    }

    /// Refuses frames with bodies longer than this from the next header on, and payloads that decompress to more.
    pub fn limit(&mut self, bytes: usize) {
        self.limit = bytes.min(MAX_BODY);
    }

    /// Takes bytes as they arrived.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Whether the stream stands between two frames.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.expecting, Expecting::Header) && self.received.len() == self.start
    }

    /// Returns how many bytes the frame takes whose header is in and whose body is not; none between two frames.
    #[must_use]
    pub const fn awaited(&self) -> usize {
        match self.expecting {
            Expecting::Body { size } => padded(size) + TAG,
            Expecting::Header | Expecting::Nothing(_) => 0,
        }
    }

    /// Returns the next message, or nothing until more bytes are there.
    ///
    /// # Errors
    /// [`FrameError`], and the same one ever after: the stream cannot be read on.
    pub fn next_message(&mut self) -> Result<Option<Message>, FrameError> {
        let message = self.advance();
        match message {
            Ok(Some(_)) => {}
            Ok(None) => self.release(),
            Err(error) => {
                self.expecting = Expecting::Nothing(error);
                self.received = Vec::new();
                self.start = 0;
            }
        }
        message
    }

    fn advance(&mut self) -> Result<Option<Message>, FrameError> {
        let waiting = self.received.get_mut(self.start..).unwrap_or(&mut []);
        let (size, waiting) = match self.expecting {
            Expecting::Nothing(error) => return Err(error),
            Expecting::Body { size } => (size, waiting),
            Expecting::Header => {
                let Some((header, rest)) = waiting.split_first_chunk_mut::<16>() else { return Ok(None) };
                let Some((tag, rest)) = rest.split_first_chunk_mut::<TAG>() else { return Ok(None) };
                if !bool::from(self.mac.header(header).ct_eq(tag)) {
                    return Err(FrameError::HeaderMac);
                }
                self.cipher.apply_keystream(header);
                let [a, b, c, ..] = *header;
                let size = u32::from_be_bytes([0, a, b, c]) as usize;
                if size == 0 {
                    return Err(FrameError::Empty);
                }
                if size > self.limit {
                    return Err(FrameError::TooLong { size });
                }
                self.start += HEADER;
                self.expecting = Expecting::Body { size };
                (size, rest)
            }
        };
        let Some((frame, _)) = waiting.split_at_mut_checked(padded(size) + TAG) else { return Ok(None) };
        let Some((body, tag)) = frame.split_last_chunk_mut::<TAG>() else { return Ok(None) };
        if !bool::from(self.mac.body(body).ct_eq(tag)) {
            return Err(FrameError::BodyMac);
        }
        self.cipher.apply_keystream(body);
        let message = message(body.get(..size).unwrap_or(&[]), self.snappy, self.limit)?;
        self.start += padded(size) + TAG;
        self.expecting = Expecting::Header;
        Ok(Some(message))
    }

    /// Gives up what was read, and the room of a burst once it has passed.
    fn release(&mut self) {
        if self.start == self.received.len() && self.received.capacity() > IDLE_ROOM {
            self.received = Vec::new();
        } else {
            self.received.drain(..self.start);
        }
        self.start = 0;
    }
}

/// Reads `RLP(code) || payload`.
fn message(body: &[u8], compressed: bool, limit: usize) -> Result<Message, FrameError> {
    let mut reader = Reader::new(body);
    let code = reader.u64().map_err(|_| FrameError::Code)?;
    let raw = reader.rest();
    if !compressed {
        return Ok(Message { code, payload: raw.to_vec() });
    }
    if let Ok(size) = snappy::planned_len(raw)
        && size > limit
    {
        return Err(FrameError::TooLong { size });
    }
    match snappy::decompress(raw) {
        Ok(payload) => Ok(Message { code, payload }),
        // status-go sends a disconnect that refuses our hello uncompressed, after we may have begun to decompress.
        Err(_) if code == p2p::Message::DISCONNECT && matches!(raw, [0xc1, _]) => {
            Ok(Message { code, payload: raw.to_vec() })
        }
        Err(bad) => Err(bad.into()),
    }
}

/// AES-256-CTR over the whole direction. The key is used once, so the IV may be zero.
fn cipher(aes: &Secret<32>) -> Ctr128BE<Aes256> {
    Ctr128BE::new(aes.expose().into(), &[0; 16].into())
}

const fn padded(size: usize) -> usize {
    size.next_multiple_of(16)
}

const HEADER: usize = 32;
const TAG: usize = 16;
/// Most bytes that the RLP of a code takes.
const CODE: usize = 9;
const PADDING: usize = 15;
/// Room that an idle reader keeps.
const IDLE_ROOM: usize = 64 * 1024;

#[cfg(test)]
mod tests;
