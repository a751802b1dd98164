//! The applet between its commands: what is plain, what is secured, and how an answer leaves.
//!
//! The invariant: 6982 is always in clear and the channel's keys are gone; every other answer of a command that came while a
//! channel was open, and did not end it, is encrypted and moves the counter on by one.

use rand_core::CryptoRng;

use crate::apdu::{Answer, Command};
use crate::channel::Session;
use crate::command::{self, factory_reset, open_secure_channel};
use crate::memory::{Memory, Owner};
use crate::status::StatusWord;

/// The applet's whole state: persistent memory, and what a SELECT or a power cut clears.
pub(crate) struct Applet {
    pub(crate) memory: Memory,
    /// The secure channel, if one is open.
    pub(crate) session: Option<Session>,
    /// Whether the PIN last used (main or duress) is validated. It survives a new OPEN, not a SELECT.
    pub(crate) validated: bool,
    pub(crate) rng: Box<dyn CryptoRng + Send>,
    /// Whether the card goes wrong on purpose: see [`crate::Faulty`].
    pub(crate) signs_wrongly: bool,
}

impl Applet {
    pub(crate) fn new(memory: Memory, rng: Box<dyn CryptoRng + Send>) -> Self {
        Self { memory, session: None, validated: false, rng, signs_wrongly: false }
    }

    /// Clears what does not outlive a selection.
    pub(crate) fn deselect(&mut self) {
        self.session = None;
        self.validated = false;
    }

    /// Returns the initialised part of the memory.
    ///
    /// # Errors
    /// 6985 on a blank card.
    pub(crate) fn owner(&self) -> Result<&Owner, StatusWord> {
        self.memory.owner().ok_or(StatusWord::CONDITIONS)
    }

    /// Returns the initialised part of the memory to who has validated a PIN.
    ///
    /// # Errors
    /// 6985 otherwise.
    pub(crate) fn unlocked(&self) -> Result<&Owner, StatusWord> {
        if !self.validated {
            return Err(StatusWord::CONDITIONS);
        }
        self.owner()
    }

    /// Answers one command that came over the wire.
    pub(crate) fn process(&mut self, command: &Command<'_>) -> Vec<u8> {
        if self.memory.model().has_pairings() {
            return plain(&Err(StatusWord::UNKNOWN_INS));
        }
        match command.ins {
            SECURED => self.secured(command.data),
            open_secure_channel::INS => match open_secure_channel::handle(self, command) {
                Ok(answer) => plain(&self.signed(command.ins, Ok(answer))),
                Err(status) => self.protect(Err(status)),
            },
            factory_reset::INS => {
                let answer = factory_reset::handle(self, command);
                self.protect(answer)
            }
            _ => self.protect(Err(StatusWord::CONDITIONS)),
        }
    }

    /// Answers a secured command (INS 18). The outer CLA, P1 and P2 mean nothing.
    fn secured(&mut self, sealed: &[u8]) -> Vec<u8> {
        let Some(session) = &self.session else {
            return plain(&Err(StatusWord::CONDITIONS));
        };
        let Some(bytes) = session.open(sealed) else {
            return self.abort();
        };
        let Some(command) = Command::parse_inner(&bytes) else {
            return self.abort();
        };
        let answer = command::handle(self, &command);
        let answer = self.signed(command.ins, answer);
        self.protect(answer)
    }

    /// Flips a bit of the signature that ends the answer, if the card goes wrong on purpose.
    fn signed(&self, ins: u8, mut answer: Answer) -> Answer {
        if self.signs_wrongly
            && SIGNING.contains(&ins)
            && let Ok(data) = &mut answer
            && let Some(last) = data.last_mut()
        {
            *last ^= 1;
        }
        answer
    }

    /// Encrypts the answer if a channel is open.
    fn protect(&mut self, answer: Answer) -> Vec<u8> {
        let Some(session) = &mut self.session else {
            return plain(&answer);
        };
        match session.seal(&answer) {
            Some(mut sealed) => {
                sealed.extend_from_slice(&StatusWord::OK.to_bytes());
                sealed
            }
            None => self.abort(),
        }
    }

    fn abort(&mut self) -> Vec<u8> {
        self.session = None;
        plain(&Err(StatusWord::SECURITY_STATUS))
    }
}

fn plain(answer: &Answer) -> Vec<u8> {
    match answer {
        Ok(data) => [data.as_slice(), &StatusWord::OK.to_bytes()].concat(),
        Err(status) => status.to_bytes().to_vec(),
    }
}

const SECURED: u8 = 0x18;
/// The commands whose answers end with a signature: OPEN SECURE CHANNEL.
const SIGNING: [u8; 1] = [open_secure_channel::INS];
