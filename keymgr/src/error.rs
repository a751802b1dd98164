//! Why the broker did not do what it was asked, with one cause ([`Fault`]) for each way to act on it.

use audit::{LogError, StoreError};
use keycard::globalplatform::InstallError;
use keycard::{CardError, NoService, TransportError, Unpaired, Unsuitable, Untrusted};
use proto::rpc::Fault;
use proto::{CardId, Fingerprint};

use crate::cards::seat::TargetError;
use crate::files::StateError;
use crate::lend::Loan;
use crate::policy::Refusal;

/// Why the broker did not do what it was asked. Each message is the whole line: its causes, each once, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The step with the card failed.
    #[error("{}{}", .0, advice(.0))]
    Card(#[from] CardError),
    /// The PIN did not unlock the card.
    #[error(transparent)]
    Pin(#[from] PinRefused),
    /// It is not the card that it should be, or not as it should be.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The card's PIN is not validated.
    #[error("the card is locked; run `cardinal unlock`")]
    Locked,
    /// Another program has the reader.
    #[error(transparent)]
    Lent(#[from] Loan),
    /// The card speaks of a history that this log does not have.
    #[error(
        "card {card} was used with log {log}, at entry {entries}, which this log never had: another key manager uses the \
         card, or this log was set back; restore the log, or go on in spite with `cardinal audit adopt`, which is recorded"
    )]
    SecondWriter {
        /// The card.
        card: CardId,
        /// The log of which it speaks.
        log: audit::LogId,
        /// How far that one went.
        entries: u64,
    },
    /// It is not clear which card is meant.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Nobody vouched for the card.
    #[error(
        "nobody vouched for card {card}: compare its fingerprint {fingerprint} with what its maker or issuer gave you, and \
         repeat with --confirm {fingerprint}"
    )]
    Unvouched {
        /// The card.
        card: CardId,
        /// What a person compares.
        fingerprint: Fingerprint,
    },
    /// The PUK did not unblock the PIN.
    #[error(transparent)]
    Puk(#[from] PukRefused),
    /// The applets were not installed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A pairing is missing, or not needed.
    #[error(transparent)]
    Pairing(#[from] PairingTrouble),
    /// The policy says no.
    #[error("refused: {0}")]
    Refused(Box<Refusal>),
    /// The log cannot be written, so nothing is handed on.
    #[error("nothing was exported: {}", unwritten(.0))]
    Log(#[from] LogError),
    /// An enrolment failed after the card had been changed.
    #[error("{cause}; {left}")]
    CutOff {
        /// Why it failed.
        cause: Box<BrokerError>,
        /// What the card is now.
        left: Left,
    },
    /// A state file cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The caller asked for what cannot be.
    #[error("{what}")]
    BadInput {
        /// What is wrong with it.
        what: String,
    },
}

/// Why a PIN did not unlock the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinRefused {
    /// It is the wrong one.
    #[error("wrong PIN, {tries} {} left", if *.tries == 1 { "try" } else { "tries" })]
    Wrong {
        /// How many more before the card blocks.
        tries: u8,
    },
    /// One was wrong a moment ago.
    #[error("no try was spent: the PIN was not sent, for one was wrong a moment ago; try again in {seconds} s")]
    TooSoon {
        /// How long until the next is taken.
        seconds: u64,
    },
    /// One more wrong PIN would block the card.
    #[error("only one PIN try is left, the PIN was not sent; repeat with --last-try to spend it")]
    LastTry,
    /// The card takes no PIN any more.
    #[error("the PIN is blocked; only the PUK unblocks it (`cardinal card recover` says how)")]
    Blocked,
}

/// Why a PUK did not unblock the PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PukRefused {
    /// It is the wrong one.
    #[error("wrong PUK, {tries} {} left", if *.tries == 1 { "try" } else { "tries" })]
    Wrong {
        /// How many more before only a factory reset helps.
        tries: u8,
    },
    /// One more wrong PUK would leave only a factory reset.
    #[error(
        "only one PUK try is left, the PUK was not sent; after a wrong one only a factory reset helps. Repeat with \
         --last-try to spend it"
    )]
    LastTry,
    /// The card takes no PUK any more.
    #[error(
        "the PUK is blocked: only a factory reset helps, which erases the key; load it again from its mnemonic \
         (`cardinal card reset`, `init`, `key load`)"
    )]
    Blocked,
    /// The PIN takes tries, so the card would refuse.
    #[error("the PIN is not blocked, so the PUK was not sent; change the PIN with `cardinal card pin change`")]
    NotNeeded,
}

/// What is wrong with the pairing of this computer and a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairingTrouble {
    /// There is none.
    #[error(
        "this computer has no pairing with the card; if it had one, pairings.json was lost: restore it from a backup, or \
         pair again with `cardinal card pair`, which takes a free slot and the card's pairing password; a computer that is \
         still paired frees slots with `cardinal card unpair --others`; else only a factory reset helps, which erases the key"
    )]
    None,
    /// There is one.
    #[error("this computer is paired with the card already; end that pairing first with `cardinal card unpair --ours`")]
    Already,
    /// The card takes no more.
    #[error(
        "all pairing slots of the card are taken; free some from a paired computer with `cardinal card unpair --others`, or \
         reset the card to its factory state, which erases the key"
    )]
    NoSlot,
    /// The card has no pairings.
    #[error("a card of applet 4.0, or a blank one, has no pairings")]
    NotNeeded,
}

/// What an enrolment that was cut off left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Left {
    /// A PIN, a PUK, and no key.
    #[error("the card has its PIN but no key: reset it to its factory state and enrol it again")]
    Pin,
    /// Perhaps a key, of which nobody can say whether it is the right one.
    #[error("the card has its PIN and perhaps a key: reset it to its factory state and enrol it again")]
    Unproven,
    /// Everything, and the card can be unlocked.
    #[error("the card has its PIN and its key: unlock it, which ends its enrolment")]
    Key,
    /// A key that its owner cannot restore.
    #[error(
        "the card has its PIN and perhaps a key whose words were not handed over: reset it to its factory state and \
         enrol it again"
    )]
    LostWords,
}

/// How a card differs from the one that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// Nobody vouched for it.
    #[error("card {card} is not in the manifest; compare its identity with what its maker gave you, then add it")]
    NotInManifest {
        /// The card.
        card: CardId,
    },
    /// Another card was enrolled here.
    #[error(
        "this is card {card}, another than the one that was enrolled here; insert that one, or name this one with --card"
    )]
    OtherCard {
        /// The card.
        card: CardId,
    },
    /// The manifest names another generation than was pinned.
    #[error("the manifest names another generation for this card than was pinned; correct the manifest")]
    OtherGeneration,
    /// Its channel key is not the one that was remembered, and only INIT changes that, with a new name.
    #[error("the card has another channel key than last time: it is a copy, or a device in between; do not use it")]
    OtherChannel,
    /// It has no certificate.
    #[error("card {card} has no certificate, so it cannot prove who it is")]
    NoCertificate {
        /// The card.
        card: CardId,
    },
    /// It does not hold the key that was pinned.
    #[error("the card holds another key than last time; if you did not replace it, do not use this card")]
    OtherKey,
    /// Same account, other chat key: a card in duress mode, or one that derives otherwise.
    #[error("the card's chat key is {found}, it was {pinned}; the card is in duress mode or faulty")]
    OtherChatKey {
        /// Of the chat key that the card gave.
        found: Fingerprint,
        /// Of the one that was pinned.
        pinned: Fingerprint,
    },
    /// It answers as another account than its own key proves.
    #[error("the card's key is not the one that it claims to hold; do not use this card")]
    FalseKeyUid,
    /// It was initialised before.
    #[error("the card is initialised already and is left as it is; insert a blank one")]
    NotBlank,
    /// A card is enrolled here.
    #[error(
        "a card is enrolled here already and is left as it is; name another with --reader or --card, or use another --dir for it"
    )]
    EnrolledAlready,
    /// It is blank.
    #[error("the card is blank; enrol it, or initialise it with `cardinal card init`")]
    Blank,
    /// It has a PIN and no key.
    #[error(
        "the card is initialised but holds no key; `cardinal card key` gives it one. If its enrolment was cut off, reset it \
         and enrol it again"
    )]
    NoKey,
    /// It has no LEE key.
    #[error("the card holds no LEE key; `cardinal card key load --lee` gives it one, in place of any other key")]
    NoLeeKey,
}

impl BrokerError {
    /// Returns the cause that crosses the socket and names the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Card(error) => of_card(error),
            Self::Pin(PinRefused::Wrong { .. }) => Fault::WrongPin,
            Self::Pin(PinRefused::TooSoon { .. }) => Fault::TooSoon,
            Self::Pin(PinRefused::LastTry) => Fault::LastTry,
            Self::Pin(PinRefused::Blocked) => Fault::PinBlocked,
            Self::Mismatch(mismatch) => mismatch.fault(),
            Self::Target(
                TargetError::Ambiguous { .. } | TargetError::Several { .. } | TargetError::SeveralReaders { .. },
            ) => Fault::Ambiguous,
            Self::Target(TargetError::NoSuchReader { .. }) => Fault::NoReader,
            Self::Target(_) => Fault::NoCard,
            Self::Unvouched { .. } => Fault::Unvouched,
            Self::Install(error) => of_install(error),
            Self::Puk(PukRefused::Wrong { .. }) => Fault::WrongPuk,
            Self::Puk(PukRefused::LastTry) => Fault::LastPukTry,
            Self::Puk(PukRefused::Blocked) => Fault::PukBlocked,
            Self::Puk(PukRefused::NotNeeded) | Self::Pairing(PairingTrouble::Already) => Fault::BadInput,
            Self::Pairing(PairingTrouble::None) => Fault::NotPaired,
            Self::Pairing(PairingTrouble::NoSlot) => Fault::NoSlot,
            Self::Pairing(PairingTrouble::NotNeeded) => Fault::Unsupported,
            Self::Locked => Fault::Locked,
            Self::Lent(_) => Fault::Lent,
            Self::SecondWriter { .. } => Fault::SecondWriter,
            Self::Refused(_) => Fault::Refused,
            Self::Log(_) => Fault::LogUnwritable,
            Self::CutOff { cause, .. } => cause.fault(),
            Self::State(error) => error.fault(),
            Self::BadInput { .. } => Fault::BadInput,
        }
    }

    /// Returns whether a card or its PIN was refused, which the log tells: nothing that happened on the way to the card.
    pub(crate) const fn refuses(&self) -> bool {
        matches!(
            self,
            Self::Pin(_)
                | Self::SecondWriter { .. }
                | Self::Mismatch(_)
                | Self::Unvouched { .. }
                | Self::Card(
                    CardError::Untrusted(_) | CardError::Changed(_) | CardError::Unpaired(Unpaired::WellKnown)
                )
        )
    }

    /// Whether the card was reset at the end of its PIN's lifetime before the broker came to it.
    pub(crate) const fn is_expiry(&self) -> bool {
        matches!(self, Self::Card(CardError::Transport(TransportError::Expired)))
    }

    /// Returns what the log says of it: one line, without the text that would allow it.
    pub(crate) fn in_log(&self) -> String {
        match self {
            Self::Refused(refusal) => format!("refused: {}", refusal.reason),
            other => other.to_string(),
        }
    }

    /// Returns the same, with what the card is now.
    pub(crate) fn leaving(self, left: Left) -> Self {
        Self::CutOff { cause: Box::new(self), left }
    }

    pub(crate) fn bad_input(what: impl Into<String>) -> Self {
        Self::BadInput { what: what.into() }
    }
}

impl Mismatch {
    const fn fault(self) -> Fault {
        match self {
            Self::NotInManifest { .. } => Fault::UnknownCard,
            Self::OtherCard { .. } | Self::OtherGeneration | Self::OtherKey | Self::OtherChannel => Fault::OtherKey,
            Self::OtherChatKey { .. } | Self::FalseKeyUid => Fault::OtherKey,
            Self::NotBlank | Self::EnrolledAlready => Fault::NotBlank,
            Self::NoKey | Self::NoLeeKey => Fault::NoKey,
            Self::Blank => Fault::CardBlank,
            Self::NoCertificate { .. } => Fault::UnknownAuthority,
        }
    }
}

fn of_card(error: &CardError) -> Fault {
    match error {
        CardError::Transport(error) => of_transport(error),
        CardError::Unsuitable(Unsuitable::NoApplet | Unsuitable::NoCash | Unsuitable::NotPersonalised) => {
            Fault::NoApplet
        }
        CardError::Untrusted(Untrusted::OtherGeneration { .. }) | CardError::Changed(_) => Fault::OtherKey,
        CardError::Untrusted(_) => Fault::UnknownAuthority,
        CardError::OtherKey { .. } | CardError::OtherAccount { .. } => Fault::OtherKey,
        CardError::Unpaired(Unpaired::NoPairing) => Fault::NotPaired,
        CardError::Unpaired(Unpaired::SlotsExhausted) => Fault::NoSlot,
        CardError::Unpaired(Unpaired::WellKnown) => Fault::Unvouched,
        CardError::Unpaired(_) => Fault::WrongPairing,
        CardError::Unsupported { .. } => Fault::Unsupported,
        CardError::NotRecorded(_) => Fault::LogUnwritable,
        CardError::Misuse { .. } => Fault::BadInput,
        _ => Fault::BadCardAnswer,
    }
}

fn of_install(error: &InstallError) -> Fault {
    match error {
        InstallError::Card(error) => of_card(error),
        InstallError::Occupied => Fault::NotBlank,
        InstallError::NoSecurityDomain | InstallError::OtherProtocol { .. } | InstallError::OtherKeys => {
            Fault::ForeignCard
        }
        InstallError::Locked => Fault::ForeignCard,
        _ => Fault::BadCardAnswer,
    }
}

/// Returns the cause of a transport that gave no answer.
pub(crate) const fn of_transport(error: &TransportError) -> Fault {
    match error {
        TransportError::Store { .. } => Fault::DiskFull,
        TransportError::Expired => Fault::Locked,
        TransportError::NoReader { .. } => Fault::NoReader,
        TransportError::Ambiguous { .. } => Fault::Ambiguous,
        TransportError::Service(NoService::Library) => Fault::NoPcscd,
        TransportError::Service(NoService::Denied) => Fault::ReaderDenied,
        TransportError::Service(_) => Fault::PcscdStopped,
        TransportError::Held => Fault::ReaderHeld,
        TransportError::Reader { .. } | TransportError::Hung { .. } => Fault::ReaderFailed,
        _ => Fault::NoCard,
    }
}

fn advice(error: &CardError) -> &'static str {
    match error {
        CardError::Answer { .. } | CardError::Status { .. } => "; insert it again and retry, or use another card",
        CardError::NotRecorded(_) => "; start the key manager again",
        CardError::Unpaired(Unpaired::WellKnown) => "; then repeat with --first-pairing, which is remembered",
        CardError::Unpaired(Unpaired::NoPairing) => {
            "; `cardinal card recover` says how, also when pairings.json was lost"
        }
        // The others say themselves what to do.
        _ => "",
    }
}

fn unwritten(error: &LogError) -> String {
    match error {
        LogError::Store(StoreError::Full) => {
            "the export log cannot be written: the disk is full; free some space and try again".to_owned()
        }
        LogError::Store(StoreError::Failed { source }) => {
            format!("the export log cannot be written: {source}; mend its rights or its disk and try again")
        }
        LogError::Store(error @ StoreError::Displaced) => {
            format!("{error}; keep what is there, restore the log and start the key manager again")
        }
        LogError::Store(StoreError::Torn { source }) => {
            format!(
                "what the disk holds of the export log's last line is unknown: {source}; mend the disk, check the log with \
                 `cardinal audit verify` and start the key manager again"
            )
        }
        LogError::TooLong => format!("{error}; give a shorter purpose"),
        LogError::Torn => {
            "nobody knows what the disk holds of the export log's last line; check the log with `cardinal audit verify` \
             and start the key manager again"
                .to_owned()
        }
        // Says itself what to do.
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_cannot_be_written_names_each_cause_once_and_ends_with_what_to_do() {
        let line = |error: StoreError| BrokerError::from(LogError::from(error)).to_string();
        assert_eq!(
            line(StoreError::Full),
            "nothing was exported: the export log cannot be written: the disk is full; free some space and try again"
        );
        let source = std::io::Error::from_raw_os_error(5);
        assert_eq!(
            line(StoreError::Failed { source }),
            "nothing was exported: the export log cannot be written: Input/output error (os error 5); \
             mend its rights or its disk and try again"
        );
    }
}
