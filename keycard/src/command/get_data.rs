//! GET DATA `80 CA slot offset/4` → the data of a slot. It needs no PIN; up to 3.2 no channel either.
//!
//! ```text
//! slot 00 public, 02 cash    at most 127 bytes
//! slot 01 NDEF               3.0, 3.1: what was stored; 3.2: the first 223 bytes; 4.0: 244 bytes from the offset on
//! ```
//! Whoever has the card can read, and on a channel nobody but the card can have answered.

use audit::DataSlot;
use zeroize::Zeroizing;

use crate::apdu::{Answer, Command};
use crate::card::{Card, Open, Selected};
use crate::error::CardError;
use crate::ndef;
use crate::transport::{CardTransport, exchange};
use crate::version::Feature;

const NAME: &str = "GET DATA";

impl<S: Open, T: CardTransport> Card<S, T> {
    /// Returns the data of `slot`; of the NDEF slot its message.
    ///
    /// # Errors
    /// [`CardError::Unsupported`] up to 2.2, and on 3.2 for an NDEF message of more than 221 bytes, which only the NDEF
    /// applet gives whole; [`CardError::Status`], [`CardError::Answer`], [`CardError::ChannelLost`],
    /// [`CardError::Transport`].
    pub fn data(&mut self, slot: DataSlot) -> Result<Vec<u8>, CardError> {
        self.require(Feature::DataSlots, NAME)?;
        let file = self.file();
        let (session, transport) = (self.state.session(), &mut self.transport);
        read(slot, file, |command| session.call(transport, &command))
    }
}

impl<T: CardTransport> Card<Selected, T> {
    /// Returns the data of `slot` over no channel, as whoever stands between us and the card gives it. Up to 3.2.
    ///
    /// # Errors
    /// As on an open card; [`CardError::Unsupported`] on 4.0 too.
    pub fn data_in_clear(&mut self, slot: DataSlot) -> Result<Vec<u8>, CardError> {
        self.require(Feature::DataSlots, NAME)?;
        self.require(Feature::Pairing, "GET DATA without a channel")?;
        let file = self.file();
        read(slot, file, |command| exchange(&mut self.transport, command))
    }
}

/// How a card gives its NDEF file.
struct File {
    /// Whether what was stored must be a file.
    is_file: bool,
    /// Whether it gives more than the first part.
    parts: Result<(), CardError>,
}

impl<S, T> Card<S, T> {
    fn file(&self) -> File {
        File {
            is_file: self.supports(Feature::NdefParts),
            parts: self.require(Feature::NdefOffset, "GET DATA of an NDEF message of more than 221 bytes"),
        }
    }
}

fn read(
    slot: DataSlot,
    file: File,
    mut call: impl FnMut(Command) -> Result<Answer, CardError>,
) -> Result<Vec<u8>, CardError> {
    let mut part = |offset| call(Command::new([0x80, 0xCA, number(slot), offset]))?.success(NAME);
    let data = part(0)?.to_vec();
    match slot {
        DataSlot::Public | DataSlot::Cash if data.len() > MOST => {
            Err(CardError::Answer { what: "more data than a slot holds" })
        }
        DataSlot::Public | DataSlot::Cash => Ok(data),
        DataSlot::Ndef if file.is_file => message(data, file.parts, part),
        // What was stored need not be a file there.
        DataSlot::Ndef => Ok(match ndef::message_of_file(&data) {
            Some(message) => message.to_vec(),
            None => data,
        }),
    }
}

/// Returns the message of the file that begins with `file`.
fn message(
    mut file: Vec<u8>,
    parts: Result<(), CardError>,
    mut part: impl FnMut(u8) -> Result<Zeroizing<Vec<u8>>, CardError>,
) -> Result<Vec<u8>, CardError> {
    const MALFORMED: CardError = CardError::Answer { what: "a malformed NDEF file" };
    let whole = ndef::file_length(&file).filter(|length| *length <= ndef::LONGEST_FILE).ok_or(MALFORMED)?;
    if file.len() < whole {
        parts?;
    }
    while file.len() < whole {
        let offset = u8::try_from(file.len() / 4).map_err(|_| MALFORMED)?;
        let more = part(offset)?;
        if !file.len().is_multiple_of(4) || more.is_empty() {
            return Err(MALFORMED);
        }
        file.extend_from_slice(&more);
    }
    ndef::message_of_file(&file).map(<[u8]>::to_vec).ok_or(MALFORMED)
}

/// Returns P1 of a slot, also for STORE DATA.
pub(crate) const fn number(slot: DataSlot) -> u8 {
    match slot {
        DataSlot::Public => 0x00,
        DataSlot::Ndef => 0x01,
        DataSlot::Cash => 0x02,
    }
}

/// What the public and the cash slot hold: one byte of length, and the applet takes it for signed.
pub(crate) const MOST: usize = 127;
