//! The NDEF applet: a type 4 tag (NFC Forum) that anybody can read.
//!
//! ```text
//! SELECT FILE  00 A4 00 0C 02 E103 (capabilities) or E104 (message)
//! READ BINARY  00 B0 offset(2) Le
//! ```

use zeroize::Zeroizing;

use crate::apdu::{Answer, Command, done};
use crate::memory::Memory;
use crate::status::StatusWord;

/// Which file is selected, until another applet is.
#[derive(Default)]
pub(crate) struct NdefApplet {
    file: Option<File>,
}

#[derive(Clone, Copy)]
enum File {
    Capabilities,
    Message,
}

impl NdefApplet {
    pub(crate) fn handle(&mut self, memory: &Memory, command: &Command<'_>) -> Answer {
        match command.ins {
            SELECT_FILE => self.select(command),
            READ_BINARY => self.read(memory, command),
            _ => Err(StatusWord::UNKNOWN_INS),
        }
    }

    fn select(&mut self, command: &Command<'_>) -> Answer {
        if (command.p1, command.p2) != (0x00, 0x0c) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let id: &[u8; 2] = command.data.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
        self.file = Some(match id {
            [0xe1, 0x03] => File::Capabilities,
            [0xe1, 0x04] => File::Message,
            _ => return Err(StatusWord::NOT_FOUND),
        });
        done()
    }

    fn read(&self, memory: &Memory, command: &Command<'_>) -> Answer {
        let file = self.file.ok_or(StatusWord::CONDITIONS)?;
        let offset = usize::from(u16::from_be_bytes([command.p1, command.p2]));
        let wanted = match command.le {
            None | Some(0) => MAX_ANSWER,
            Some(wanted) => usize::from(wanted),
        };
        let part = match file {
            File::Capabilities => {
                let rest = CAPABILITIES.get(offset..).filter(|rest| !rest.is_empty()).ok_or(StatusWord::WRONG_P1_P2)?;
                rest.split_at_checked(wanted).map_or(rest, |(part, _)| part)
            }
            File::Message => memory.data().ndef(offset, wanted)?,
        };
        Ok(Zeroizing::new(part.to_vec()))
    }
}

const SELECT_FILE: u8 = 0xa4;
const READ_BINARY: u8 = 0xb0;
/// What the applet answers at most.
const MAX_ANSWER: usize = 255;
/// Type 4 tag, version 2.0: the message in file E104, of at most 0x400 bytes, everybody may read and nobody write it.
const CAPABILITIES: [u8; 15] =
    [0x00, 0x0f, 0x20, 0x00, 0xff, 0x00, 0x01, 0x04, 0x06, 0xe1, 0x04, 0x04, 0x00, 0x00, 0xff];
