//! One card and how far the session with it has come, as a type.
//!
//! ```text
//! select ─▶ Card<Blank> ── init ──▶ Card<Selected> ── open ──▶ Card<Secured> ── verify_pin ──▶ Card<Unlocked>
//!                                        └─ identify, pair: generation v1
//! ```
//! Invariants: no PIN, PUK, seed or key goes to or from the card outside the secure channel (INIT of generation v1, whose
//! key nobody vouches for, is the one exception), and a lost channel never comes back: its keys are wiped, and all that is
//! left is the transport.
//!
//! Each command has its file under `command/`, with the bytes that it sends and the form of its answer.

use std::time::Duration;

use audit::{Operation, Request};
use proto::CardId;

use crate::apdu::{Answer, Command};
use crate::application_info::ApplicationInfo;
use crate::channel::Channel;
use crate::error::CardError;
use crate::identification::Identity;
use crate::known_keys::KnownKeys;
use crate::opening::Opening;
use crate::status_word::StatusWord;
use crate::transport::{CardTransport, exchange};

/// One card, reached over `T`, in the state `S`: [`Blank`], [`Selected`], [`Secured`] or [`Unlocked`].
pub struct Card<S, T> {
    pub(crate) state: S,
    pub(crate) info: Box<ApplicationInfo>,
    pub(crate) transport: T,
}

/// Not initialised: no PIN, no key.
pub struct Blank {
    /// What it answered to IDENTIFY CARD, if it was asked.
    pub(crate) identity: Option<Identity>,
}

/// Initialised. What SELECT said is known, and nobody has vouched for it.
pub struct Selected {
    /// What it answered to IDENTIFY CARD, if it was asked.
    pub(crate) identity: Option<Identity>,
}

/// The channel is open, and the card has proved to hold the key of its certificate, or of the pairing.
pub struct Secured {
    pub(crate) session: Box<Session>,
    /// The PIN tries left, as far as the card has said.
    pub(crate) tries: Option<u8>,
    /// Whether somebody could listen, and nobody has said that this does not matter: no PIN and no PUK goes over it, and no
    /// mnemonic comes.
    pub(crate) exposed: bool,
}

/// The PIN is validated: keys may be loaded and exported.
pub struct Unlocked {
    pub(crate) session: Box<Session>,
    /// What the card's public keys must be.
    pub(crate) known: KnownKeys,
}

/// [`Secured`] or [`Unlocked`]: a state with an open channel.
pub trait Open: open::Channelled {}

impl Open for Secured {}

impl Open for Unlocked {}

mod open {
    use super::{Secured, Session, Unlocked};

    pub trait Channelled {
        fn session(&mut self) -> &mut Session;

        /// Whether somebody could listen.
        fn is_exposed(&self) -> bool;
    }

    impl Channelled for Secured {
        fn session(&mut self) -> &mut Session {
            &mut self.session
        }

        fn is_exposed(&self) -> bool {
            self.exposed
        }
    }

    impl Channelled for Unlocked {
        fn session(&mut self) -> &mut Session {
            &mut self.session
        }

        /// No PIN and no PUK goes over an exposed channel, so it never gets here.
        fn is_exposed(&self) -> bool {
            false
        }
    }
}

/// What SELECT finds.
pub enum Selection<T> {
    /// A card to be initialised.
    Blank(Card<Blank, T>),
    /// A card with a PIN, and perhaps a key.
    Initialised(Card<Selected, T>),
}

impl<S, T> Card<S, T> {
    /// Returns what the card says of itself. Its key UID is a hint: nobody signs the answer to SELECT.
    #[must_use]
    pub fn info(&self) -> &ApplicationInfo {
        &self.info
    }

    /// Returns the card's name.
    #[must_use]
    pub fn id(&self) -> CardId {
        self.info.card_id()
    }

    /// Returns the request that a record must hold for `operation` on this card, as it stands.
    #[must_use]
    pub fn request(&self, operation: Operation) -> Request {
        Request { card: self.id(), key_uid: self.info.key_uid, operation }
    }

    /// Ends the session on our side and gives the transport back. The card's validated PIN ends with
    /// [`CardTransport::reset`].
    #[must_use]
    pub fn into_transport(self) -> T {
        self.transport
    }
}

impl<S, T: CardTransport> Card<S, T> {
    /// Whether the card is still there, as far as its transport can tell without asking it.
    pub fn is_there(&mut self) -> bool {
        self.transport.is_there()
    }
}

impl<T: CardTransport> Card<Unlocked, T> {
    /// Has the card reset in so long at the latest, which ends its validated PIN; without a time when somebody resets it.
    pub fn reset_within(&mut self, left: Option<Duration>) {
        self.transport.reset_within(left);
    }
}

impl<T> Card<Secured, T> {
    /// Returns the evidence of how the channel was opened.
    #[must_use]
    pub fn opening(&self) -> &Opening {
        &self.state.session.opening
    }
}

impl<T> Card<Unlocked, T> {
    /// Returns the evidence of how the channel was opened.
    #[must_use]
    pub fn opening(&self) -> &Opening {
        &self.state.session.opening
    }
}

impl<T> Card<Unlocked, T> {
    /// Tells what the card's public keys must be; what it shows is compared from then on. Without this the card is only
    /// held to what it showed itself.
    pub fn expect_keys(&mut self, known: KnownKeys) {
        self.state.known = known;
    }

    /// Returns what is known of the card's public keys, with all that it showed in this session.
    #[must_use]
    pub const fn known_keys(&self) -> &KnownKeys {
        &self.state.known
    }
}

impl<S: Open, T: CardTransport> Card<S, T> {
    /// Sends one command through the channel.
    pub(crate) fn call(&mut self, command: &Command) -> Result<Answer, CardError> {
        self.state.session().call(&mut self.transport, command)
    }
}

impl<T: CardTransport> Card<Unlocked, T> {
    /// Sends one command whose success carries no data; `what` names one that does.
    ///
    /// A blank 4.0, which somebody made SELECT show as initialised, answers such a success to everything and does nothing.
    /// So a card that has said nothing else in this session is asked for its status first.
    ///
    /// # Errors
    /// [`CardError::Status`], [`CardError::Answer`], [`CardError::ChannelLost`], [`CardError::Transport`].
    pub(crate) fn carry_out(
        &mut self,
        command: &Command,
        name: &'static str,
        what: &'static str,
    ) -> Result<(), CardError> {
        if !self.state.session.spoken {
            self.status()?;
        }
        self.call(command)?.bare_success(name, what)
    }
}

/// An open channel and the evidence of its opening.
pub struct Session {
    pub(crate) channel: Channel,
    pub(crate) opening: Opening,
    /// Whether the card has said anything inside that a blank one would not say.
    pub(crate) spoken: bool,
}

impl Session {
    /// Sends one command through the channel and returns the answer from inside.
    ///
    /// # Errors
    /// [`CardError::Transport`], [`CardError::ChannelLost`], [`CardError::Answer`]: the channel is closed after each.
    pub(crate) fn call<T: CardTransport>(&mut self, transport: &mut T, command: &Command) -> Result<Answer, CardError> {
        let sealed = self.channel.seal(command)?;
        let [_, instruction, ..] = command.header();
        transport.announce(instruction);
        // Whether the card saw the command is unknown after a failure, so its counter is too.
        let answer = exchange(transport, sealed).inspect_err(|_| self.channel.close())?;
        let answer = self.channel.open(answer).inspect_err(|_| self.channel.close())?;
        self.spoken |= !answer.data.is_empty() || answer.status != StatusWord::OK;
        Ok(answer)
    }
}
