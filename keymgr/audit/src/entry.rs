//! The events of the log: a closed list. Nothing in them is secret; keys appear as fingerprints of public halves.

use proto::{CardId, Fingerprint, KeyPath, KeyUid};
use serde::{Deserialize, Serialize};

use crate::head::{HeadSigned, SecondWriter, Statement};
use crate::line::{Head, LogId};
use crate::operation::Operation;
use crate::owner::Owner;
use crate::paired::PairedChannelOpened;
use crate::recorded::Request;
use crate::text::{self, Blob, Purpose, Text};
use crate::tree::Root;

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The first line, and only that.
    LogCreated {
        /// The form of the lines, [`FORMAT`].
        format: Text<32>,
        /// The random name of this log.
        log: LogId,
    },
    /// The first line of a log that goes on in another file, and only that.
    LogContinued {
        /// The form of the lines, [`FORMAT`].
        format: Text<32>,
        /// How far the older file goes.
        #[serde(with = "text::shown")]
        previous: Head,
        /// The peaks of the tree over its lines and all before.
        peaks: Vec<Root>,
    },
    /// A manager started to write.
    LogOpened(LogOpened),
    /// Other rules are in force from here on.
    PolicyChanged {
        /// SHA-256 of the rules until here.
        #[serde(with = "text::hex_fixed")]
        from: [u8; 32],
        /// SHA-256 of the rules from here on.
        #[serde(with = "text::hex_fixed")]
        to: [u8; 32],
    },
    /// A card proved who it is, and a channel to it is open.
    ChannelOpened(Box<ChannelOpened>),
    /// A card took a pairing, and a channel to it is open.
    PairedChannelOpened(Box<PairedChannelOpened>),
    /// A card signed the log's head, without a channel being opened.
    HeadSigned(Box<HeadSigned>),
    /// A key on a card signed the log's head, on the word of its PIN.
    Statement(Box<Statement>),
    /// A card remembers another log, or more of this one.
    SecondWriter(SecondWriter),
    /// Something is about to be asked of a card.
    Intent(Intent),
    /// What came of it.
    Outcome {
        /// The line of the intent.
        intent: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// Something was not asked of a card, because the manager refused.
    Refusal(Refusal),
    /// A card was enrolled.
    Provisioning(Provisioning),
    /// A card shows other keys than before under the same account, and its owner wants that used and told.
    Decoy(Decoy),
    /// An owner did something at the manager, of which no card was asked.
    Owner(Owner),
}

/// The `format` of the first line.
pub const FORMAT: &str = "cardinal-export-log/2";

/// Which manager writes, under which rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogOpened {
    /// The manager's version.
    pub version: Text<64>,
    /// SHA-256 of the manager's own binary, when it could be read.
    #[serde(with = "text::hex_option")]
    pub binary: Option<[u8; 32]>,
    /// SHA-256 of the policy in force.
    #[serde(with = "text::hex_fixed")]
    pub policy: [u8; 32],
    /// Whether cards of the public test authority are taken.
    pub test_authority: bool,
}

/// The evidence of one channel opening: enough to check the card's signature again, offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelOpened {
    /// The card.
    #[serde(with = "text::shown")]
    pub card: CardId,
    /// The account on it, none while it holds no key.
    #[serde(with = "text::hex_option")]
    pub key_uid: Option<KeyUid>,
    /// The applet's version, for example `4.0`.
    pub applet: Text<16>,
    /// Who signed the certificate: `production`, `test`, or the hexadecimal key of an added authority.
    pub authority: Text<80>,
    /// The card's certificate.
    pub certificate: Blob<192>,
    /// What was hashed with the log's head into the salt of the opening ([`crate::Head::salt`]).
    #[serde(with = "text::hex_fixed")]
    pub random: [u8; 32],
    /// The salt itself.
    #[serde(with = "text::hex_fixed")]
    pub salt: [u8; 32],
    /// Our one-time key, uncompressed.
    pub host_key: Blob<65>,
    /// The card's one-time key, uncompressed.
    pub card_key: Blob<65>,
    /// The card's signature over the transcript, DER.
    pub signature: Blob<80>,
}

/// Who asks: the kernel's word for the user, evidence for the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The user.
    pub uid: u32,
    /// The process.
    pub pid: Option<i32>,
    /// The program of that process, when it could be read.
    pub binary: Option<Text<512>>,
    /// SHA-256 of that program's file.
    #[serde(with = "text::hex_option")]
    pub binary_hash: Option<[u8; 32]>,
    /// The one-time public key to which the answer is sealed, compressed; none when the answer is public.
    #[serde(with = "text::hex_option")]
    pub one_time_key: Option<[u8; 33]>,
}

/// What is about to be asked of a card, synced to disk before the command is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The card, the account and the operation.
    pub request: Request,
    /// What for.
    pub purpose: Purpose,
    /// For whom.
    pub caller: Caller,
    /// SHA-256 of the policy in force. It allowed what a client asked for. INIT, LOAD KEY, GENERATE KEY, and the public keys
    /// of `m` and of the chat path that every unlocking and enrolment fetches, do not depend on it: they are steps of the
    /// manager's own, with the purposes `unlock` and `enrol`.
    #[serde(with = "text::hex_fixed")]
    pub policy: [u8; 32],
}

/// How an operation ended, synced to disk before anything is handed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It was done.
    Done {
        /// Of the public half of the key that left; none when none did.
        #[serde(with = "text::shown_option")]
        fingerprint: Option<Fingerprint>,
        /// The account on the card afterwards.
        #[serde(with = "text::hex_option")]
        key_uid: Option<KeyUid>,
        /// The X coordinate of R of a signature. The same with another hash gives the key away.
        #[serde(with = "text::hex_option", default, skip_serializing_if = "Option::is_none")]
        nonce: Option<[u8; 32]>,
    },
    /// It failed, and the key may have left the card.
    Failed {
        /// Why.
        reason: Text<200>,
    },
    /// The card refused, with this status word: nothing left it.
    RefusedByCard {
        /// SW1 SW2.
        status: u16,
    },
    /// The manager did not send the command: nothing left the card.
    NotSent {
        /// Why.
        reason: Text<200>,
    },
}

/// What was refused. Unlike an [`crate::Operation`] it can name what must never be asked of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// The card's PIN was to be given to it.
    Unlock,
    /// The card was to be initialised and given a key.
    Provision,
    /// A private key.
    Private(#[serde(with = "text::shown")] KeyPath),
    /// A public key.
    Public(#[serde(with = "text::shown")] KeyPath),
    /// A public key with its chain code.
    ExtendedPublic(#[serde(with = "text::shown")] KeyPath),
    /// Anything else that a card can do.
    Operation(Operation),
}

/// Something that the manager refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The card, when one was known.
    #[serde(with = "text::shown_option")]
    pub card: Option<CardId>,
    /// The account on it.
    #[serde(with = "text::hex_option")]
    pub key_uid: Option<KeyUid>,
    /// What was asked.
    pub asked: Asked,
    /// What for; none where the question has no purpose.
    pub purpose: Option<Purpose>,
    /// Who asked.
    pub caller: Caller,
    /// Why not.
    pub reason: Text<200>,
    /// SHA-256 of the policy in force.
    #[serde(with = "text::hex_fixed")]
    pub policy: [u8; 32],
}

/// A card was initialised, given a key, and pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provisioning {
    /// The card.
    #[serde(with = "text::shown")]
    pub card: CardId,
    /// Its name in the manifest.
    pub label: Text<64>,
    /// The generation of its applet, as the manifest names it.
    pub generation: Text<8>,
    /// The account it holds.
    #[serde(with = "text::hex_fixed")]
    pub key_uid: KeyUid,
    /// Of its chat public key.
    #[serde(with = "text::shown")]
    pub chat_fingerprint: Fingerprint,
    /// Where the seed came from.
    pub seed: SeedOrigin,
}

/// A card's duress PIN was entered, and its owner wants the keys that it shows then to be used, and that to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoy {
    /// The card.
    #[serde(with = "text::shown")]
    pub card: CardId,
    /// The account on it, which is the same for both PINs.
    #[serde(with = "text::hex_option")]
    pub key_uid: Option<KeyUid>,
    /// Of the chat public key that it shows.
    #[serde(with = "text::shown")]
    pub chat_fingerprint: Fingerprint,
}

/// Where a card's seed came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeedOrigin {
    /// The host had the seed in its memory (LOAD KEY).
    SeenByHost,
    /// The card drew it (GENERATE KEY): no one else ever had it.
    GeneratedOnCard,
    /// The card came with a key: nobody here knows where it was drawn and who has seen it.
    BeforeEnrolment,
}

impl Event {
    /// Returns the first event of a log.
    #[must_use]
    pub fn created(log: LogId) -> Self {
        Self::LogCreated { format: Text::lossy(FORMAT), log }
    }

    /// Returns the first event of a file that goes on where another ended.
    #[must_use]
    pub fn continued(previous: Head, peaks: Vec<Root>) -> Self {
        Self::LogContinued { format: Text::lossy(FORMAT), previous, peaks }
    }
}

impl Outcome {
    /// Returns that it was done: a key with this fingerprint left, or none did.
    #[must_use]
    pub const fn done(fingerprint: Option<Fingerprint>, key_uid: Option<KeyUid>) -> Self {
        Self::Done { fingerprint, key_uid, nonce: None }
    }
}

impl ChannelOpened {
    /// Returns whether the salt speaks of the log as it stood before this line.
    #[must_use]
    pub fn vouches_for(&self, head: &Head) -> bool {
        head.salt(&self.random) == self.salt
    }
}
