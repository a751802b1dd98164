//! The ways to a card, each asked for by its name: a PC/SC reader, or a software card.
//!
//! There is no fallback from one to another: a name that is not known is an error, and a reader without a card is one
//! without a card.

mod name;
mod others;
mod soft;
pub mod state;
mod timed;
pub mod view;

use std::path::Path;
use std::time::Duration;

use keycard::{CardTransport, TransportError};
use readers::{PcscReader, Readers};

pub use self::name::{NotAReader, ReaderName, SoftName};
pub use self::others::OtherReaders;
pub use self::soft::SoftReader;
pub use self::timed::Timed;
use crate::clock::SystemClock;
use crate::files::StateError;

/// The reader of a manager, with or without a card. It resets its card in time by itself.
pub struct AnyReader(Timed<Way>);

enum Way {
    /// Over PC/SC. Neither the reader nor its card need be there before the card is spoken to.
    Pcsc(Box<PcscReader>),
    /// A software card, which is always there.
    Soft(Box<SoftReader>),
}

impl AnyReader {
    /// Returns the reader of this name.
    ///
    /// # Errors
    /// [`StateError`] of a software card: missing, damaged, in use.
    pub fn open(name: &ReaderName, dir: &Path, readers: &Readers) -> Result<Self, StateError> {
        match name {
            ReaderName::Soft(name) => SoftReader::load(name, dir).map(Self::from),
            ReaderName::Auto => Ok(Self::pcsc(readers, readers::Choice::OnlyWithCard)),
            ReaderName::Pcsc(name) => Ok(Self::pcsc(readers, readers::Choice::Named(name.clone()))),
        }
    }

    fn pcsc(readers: &Readers, choice: readers::Choice) -> Self {
        Self::of(Way::Pcsc(Box::new(readers.reader(choice))))
    }

    fn of(way: Way) -> Self {
        Self(Timed::by(way, SystemClock::start()))
    }
}

impl From<SoftReader> for AnyReader {
    fn from(reader: SoftReader) -> Self {
        Self::of(Way::Soft(Box::new(reader)))
    }
}

impl CardTransport for AnyReader {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.0.transmit(command)
    }

    fn announce(&mut self, instruction: u8) {
        self.0.announce(instruction);
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.0.reset()
    }

    fn reset_within(&mut self, left: Option<Duration>) {
        self.0.reset_within(left);
    }

    fn is_there(&mut self) -> bool {
        self.0.is_there()
    }
}

impl CardTransport for Way {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        match self {
            Self::Pcsc(reader) => reader.transmit(command),
            Self::Soft(reader) => reader.transmit(command),
        }
    }

    fn announce(&mut self, instruction: u8) {
        match self {
            Self::Pcsc(reader) => reader.announce(instruction),
            Self::Soft(reader) => reader.announce(instruction),
        }
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        match self {
            Self::Pcsc(reader) => reader.reset(),
            Self::Soft(reader) => reader.reset(),
        }
    }

    fn is_there(&mut self) -> bool {
        match self {
            Self::Pcsc(reader) => reader.is_there(),
            Self::Soft(reader) => reader.is_there(),
        }
    }
}
