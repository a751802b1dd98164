//! The three data slots (applet 3.0 and later): public, NDEF, cash. NDEF and Cash applets show theirs to everybody.
//!
//! ```text
//! public, cash   at most 127 bytes, replaced whole
//! NDEF           3.0, 3.1: the content, replaced whole
//!                3.2, 4.0: a file of 512 bytes that starts with the length(2) of what follows, written at an offset
//! ```

use serde::{Deserialize, Serialize};

use crate::file::hexadecimal;
use crate::model::Model;
use crate::status::StatusWord;

/// The content of the slots. FACTORY RESET clears the public one only.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    #[serde(with = "hexadecimal::open")]
    pub(crate) public: Vec<u8>,
    #[serde(with = "hexadecimal::open")]
    ndef: Vec<u8>,
    #[serde(with = "hexadecimal::open")]
    pub(crate) cash: Vec<u8>,
}

/// Which slot a P1 names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataSlot {
    Public,
    Ndef,
    Cash,
}

impl DataSlot {
    /// # Errors
    /// 6A86 for a P1 that names none.
    pub(crate) fn of(p1: u8) -> Result<Self, StatusWord> {
        match p1 {
            0x00 => Ok(Self::Public),
            0x01 => Ok(Self::Ndef),
            0x02 => Ok(Self::Cash),
            _ => Err(StatusWord::WRONG_P1_P2),
        }
    }
}

impl Data {
    /// Makes a slot what it is after the installation of its applet.
    pub(crate) fn forget(&mut self, slot: DataSlot, model: Model) {
        let Self { public, ndef, cash } = Self::installed(model);
        match slot {
            DataSlot::Public => self.public = public,
            DataSlot::Ndef => self.ndef = ndef,
            DataSlot::Cash => self.cash = cash,
        }
    }

    /// Returns what installers leave: nothing, and their own parameters where the Cash applet takes them for data.
    pub(crate) fn installed(model: Model) -> Self {
        let ndef = if model.has_long_ndef() { vec![0; FILE] } else { Vec::new() };
        Self { public: Vec::new(), ndef, cash: vec![0xc9, 0x00] }
    }

    /// Puts data into a slot.
    ///
    /// # Errors
    /// 6A80 for too much of it, or an offset outside the file; 6F00 for an offset that 3.2 takes for a negative one.
    pub(crate) fn store(&mut self, slot: DataSlot, p2: u8, data: &[u8], model: Model) -> Result<(), StatusWord> {
        let room = match slot {
            DataSlot::Public => &mut self.public,
            DataSlot::Cash => &mut self.cash,
            DataSlot::Ndef if model.has_long_ndef() => {
                let start = offset(p2, model).ok_or(StatusWord::INTERNAL)?;
                let room = self.ndef.get_mut(start..start + data.len()).ok_or(StatusWord::WRONG_DATA)?;
                room.copy_from_slice(data);
                return Ok(());
            }
            DataSlot::Ndef => {
                self.ndef = data.to_vec();
                return Ok(());
            }
        };
        if data.len() > MAX_DATA {
            return Err(StatusWord::WRONG_DATA);
        }
        *room = data.to_vec();
        Ok(())
    }

    /// Returns what GET DATA shows of a slot.
    ///
    /// # Errors
    /// 6A86 for an offset at or past the end of the NDEF file (4.0); 6F00 for an NDEF file of an impossible length.
    pub(crate) fn show(&self, slot: DataSlot, p2: u8, model: Model) -> Result<&[u8], StatusWord> {
        match slot {
            DataSlot::Public => Ok(&self.public),
            DataSlot::Cash => Ok(&self.cash),
            DataSlot::Ndef if model == Model::V4_0 => self.ndef(usize::from(p2) * 4, MAX_PART),
            DataSlot::Ndef => {
                let length = usize::try_from(self.ndef_length()).map_err(|_| StatusWord::INTERNAL)?;
                self.ndef.get(..length.min(MAX_ANSWER)).ok_or(StatusWord::INTERNAL)
            }
        }
    }

    /// Returns at most `most` bytes of the NDEF file, from `start` on and as far as it says that it goes.
    ///
    /// # Errors
    /// 6A86 when it does not go so far; 6F00 when it says that it goes farther than there is room.
    pub(crate) fn ndef(&self, start: usize, most: usize) -> Result<&[u8], StatusWord> {
        let length = usize::try_from(self.ndef_length()).unwrap_or(0);
        let end = length.min(start + most);
        if end <= start {
            return Err(StatusWord::WRONG_P1_P2);
        }
        self.ndef.get(start..end).ok_or(StatusWord::INTERNAL)
    }

    /// Returns how long the NDEF file says that it is, with the two bytes that say so. The applet counts in signed numbers.
    fn ndef_length(&self) -> i16 {
        match self.ndef.first_chunk() {
            Some(length) if self.ndef.len() == FILE => i16::from_be_bytes(*length).wrapping_add(2),
            _ => i16::try_from(self.ndef.len()).unwrap_or(i16::MAX),
        }
    }

    /// Returns whether this can be what the model wrote.
    pub(crate) fn is_sound(&self, model: Model) -> bool {
        let ndef = if model.has_long_ndef() { self.ndef.len() == FILE } else { self.ndef.len() <= 255 };
        ndef && self.public.len() <= MAX_DATA && self.cash.len() <= MAX_DATA
    }
}

/// Returns where P2 points to, in steps of four bytes. 3.2 takes it for a signed byte.
fn offset(p2: u8, model: Model) -> Option<usize> {
    (model == Model::V4_0 || p2 < 0x80).then_some(usize::from(p2) * 4)
}

const FILE: usize = 512;
const MAX_DATA: usize = 127;
/// What 4.0 shows of the NDEF file at once.
const MAX_PART: usize = 244;
/// The longest answer that fits into the channel of 3.2.
const MAX_ANSWER: usize = 223;
