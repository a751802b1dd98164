//! The Keycard applet between its commands: what of it is volatile, and how a command and its answer pass the channel.
//!
//! The invariant: 6982 is always in clear and the channel's keys are gone; every other answer of a command that came while a
//! channel was open, and did not end it, is encrypted.

use k256::SecretKey;
use proto::{KeyPath, Secret};
use rand_core::CryptoRng;

use crate::apdu::{Answer, Command};
use crate::channel::{v1, v2};
use crate::command::{self, factory_reset, identify_card, open_secure_channel, select, sign};
use crate::globalplatform::AppletName;
use crate::key::{MasterKey, Node};
use crate::memory::{Memory, Owner, PinKind};
use crate::status::StatusWord;

/// The applet's whole state: persistent memory, and what a SELECT or a power cut clears.
pub(crate) struct Applet {
    pub(crate) memory: Memory,
    /// The secure channel of a card before 4.0.
    pub(crate) v1: v1::Channel,
    /// The secure channel of 4.0, if one is open.
    pub(crate) v2: Option<v2::Session>,
    /// Whether the PIN last used (main or duress) is validated. It survives a new OPEN, not a SELECT.
    pub(crate) validated: bool,
    /// What the last derivation left behind: only a power cut or the loss of the key clears it.
    pub(crate) leftover: Leftover,
    pub(crate) rng: Box<dyn CryptoRng + Send>,
    /// Whether the card goes wrong on purpose: see [`crate::Faulty`].
    pub(crate) signs_wrongly: bool,
}

/// The buffer that derivations write to. Before 4.0, some exports show what another command left in it.
pub(crate) struct Leftover {
    pub(crate) key: Option<SecretKey>,
    /// The master key leaves it alone.
    pub(crate) chain: Secret<32>,
}

impl Leftover {
    fn none() -> Self {
        Self { key: None, chain: Secret::fill(|_| {}) }
    }
}

impl Applet {
    pub(crate) fn new(memory: Memory, rng: Box<dyn CryptoRng + Send>) -> Self {
        Self {
            memory,
            v1: v1::Channel::closed(),
            v2: None,
            validated: false,
            leftover: Leftover::none(),
            rng,
            signs_wrongly: false,
        }
    }

    /// Clears what does not outlive a selection.
    pub(crate) fn deselect(&mut self) {
        self.v1 = v1::Channel::closed();
        self.v2 = None;
        self.validated = false;
    }

    /// Clears what does not outlive a power cut.
    pub(crate) fn power_cut(&mut self) {
        self.deselect();
        self.leftover = Leftover::none();
    }

    /// Returns whether there is an instance of the applet.
    pub(crate) fn is_installed(&self) -> bool {
        self.memory.domain().instances().any(|instance| instance == AppletName::Keycard)
    }

    /// Answers a SELECT of the applet.
    pub(crate) fn select(&mut self) -> Answer {
        let starts_with_main = self.memory.model().has_pairings();
        if starts_with_main && self.memory.owner().is_some_and(|owner| owner.active != PinKind::Main) {
            self.memory.update(|owner| owner.active = PinKind::Main)?;
        }
        select::template(&self.memory)
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

    /// Returns the master key to who has validated a PIN.
    ///
    /// # Errors
    /// 6985 otherwise, or when there is no key.
    pub(crate) fn unlocked_key(&self) -> Result<&MasterKey, StatusWord> {
        self.unlocked()?.key.as_ref().ok_or(StatusWord::CONDITIONS)
    }

    /// Returns the key at a path in the tree of the PIN verified last, and leaves it where the applet does.
    ///
    /// # Errors
    /// Those of [`MasterKey::derive`]; 6985 without a key.
    pub(crate) fn derive(&mut self, path: &KeyPath) -> Result<Node, StatusWord> {
        let key = self.owner()?.key.as_ref().ok_or(StatusWord::CONDITIONS)?;
        let node = key.derive(path, self.memory.tree())?;
        self.leftover.key = Some(node.key().clone());
        if let Some(chain) = node.chain() {
            self.leftover.chain = Secret::fill(|room| *room = *chain.expose());
        }
        Ok(node)
    }

    /// Returns the key derived last.
    ///
    /// # Errors
    /// 6F00 when there is none: zeros are no key.
    pub(crate) fn last_derived(&self) -> Result<Node, StatusWord> {
        let key = self.leftover.key.clone().ok_or(StatusWord::INTERNAL)?;
        Ok(Node::left_over(key))
    }

    /// Forgets what the last derivation left behind.
    pub(crate) fn forget_leftover(&mut self) {
        self.leftover = Leftover::none();
    }

    /// Answers one command that came over the wire.
    pub(crate) fn process(&mut self, command: &Command<'_>) -> Vec<u8> {
        if self.memory.model().has_pairings() {
            let answer = command::before_v4(self, command);
            let answer =
                if command.ins == open_secure_channel::INS { answer } else { self.signed(command.ins, answer) };
            return self.protect_v1(&answer);
        }
        if self.memory.identity().is_none() {
            return plain(&Err(StatusWord::CONDITIONS));
        }
        match command.ins {
            SECURED => self.secured(command.data),
            open_secure_channel::INS => match open_secure_channel::v2(self, command) {
                Ok(answer) => plain(&self.signed(command.ins, Ok(answer))),
                Err(status) => self.protect_v2(&Err(status)),
            },
            factory_reset::INS => {
                let answer = factory_reset::handle(self, command);
                self.protect_v2(&answer)
            }
            _ => self.protect_v2(&Err(StatusWord::CONDITIONS)),
        }
    }

    /// Answers a secured command of 4.0 (INS 18). The outer CLA, P1 and P2 mean nothing.
    fn secured(&mut self, sealed: &[u8]) -> Vec<u8> {
        let Some(session) = &self.v2 else {
            return plain(&Err(StatusWord::CONDITIONS));
        };
        let Some(bytes) = session.open(sealed) else {
            return self.abort();
        };
        let Some(command) = Command::parse_inner(&bytes) else {
            return self.abort();
        };
        let answer = command::from_v4(self, &command);
        let answer = self.signed(command.ins, answer);
        self.protect_v2(&answer)
    }

    /// Flips a bit of the signature that ends the answer, if the card goes wrong on purpose.
    pub(crate) fn signed(&self, ins: u8, mut answer: Answer) -> Answer {
        if self.signs_wrongly
            && SIGNING.contains(&ins)
            && let Ok(data) = &mut answer
            && let Some(last) = data.last_mut()
        {
            *last ^= 1;
        }
        answer
    }

    /// Encrypts the answer if a channel is open that this answer does not end.
    fn protect_v1(&mut self, answer: &Answer) -> Vec<u8> {
        if !self.v1.is_open() || matches!(answer, Err(StatusWord::SECURITY_STATUS)) {
            return plain(answer);
        }
        // An answer that does not fit makes the applet run into an exception, which it can still say.
        let too_long = Err(StatusWord::INTERNAL);
        match self.v1.seal(answer).or_else(|| self.v1.seal(&too_long)) {
            Some(sealed) => wire(&sealed),
            None => plain(&too_long),
        }
    }

    /// Encrypts the answer if a channel is open.
    fn protect_v2(&mut self, answer: &Answer) -> Vec<u8> {
        let Some(session) = &mut self.v2 else {
            return plain(answer);
        };
        match session.seal(answer) {
            Some(sealed) => wire(&sealed),
            None => self.abort(),
        }
    }

    fn abort(&mut self) -> Vec<u8> {
        self.v2 = None;
        plain(&Err(StatusWord::SECURITY_STATUS))
    }
}

/// Returns an answer as it goes over the wire, in clear.
pub(crate) fn plain(answer: &Answer) -> Vec<u8> {
    match answer {
        Ok(data) => wire(data),
        Err(status) => status.to_bytes().to_vec(),
    }
}

fn wire(data: &[u8]) -> Vec<u8> {
    [data, &StatusWord::OK.to_bytes()].concat()
}

const SECURED: u8 = 0x18;
/// The commands whose answers end with a signature; OPEN SECURE CHANNEL on 4.0 only.
const SIGNING: [u8; 3] = [open_secure_channel::INS, sign::INS, identify_card::INS];
