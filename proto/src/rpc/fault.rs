//! What can go wrong across a local socket, with one exit code for each cause.

use tonic::{Code, Status};

/// The metadata key under which a fault's name travels.
const KEY: &str = "cardinal-fault";

macro_rules! faults {
    ($($variant:ident = $exit:literal, $name:literal, $code:ident, $meaning:literal;)*) => {
        /// A cause that the caller can act on. Its number is the exit code of `cardinal`, `cardinal-keymgr` and
        /// `cardinal-node`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Fault {
            $(#[doc = $meaning] $variant = $exit,)*
        }

        impl Fault {
            /// Every fault, in the order of the exit codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name that travels and that `--json` prints.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns what it means, for `--help`.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code,)* }
            }
        }
    };
}

faults! {
    WrongPin = 10, "wrong-pin", PermissionDenied, "wrong PIN; the message says how many tries are left";
    LastTry = 11, "last-try", FailedPrecondition, "only one PIN try is left; repeat with --last-try to spend it";
    PinBlocked = 12, "pin-blocked", FailedPrecondition, "the PIN is blocked; `cardinal card recover` says the way out";
    OtherKey = 13, "other-key", FailedPrecondition, "the card holds another key, or is another card, than last time";
    BadCardAnswer = 14, "bad-card-answer", DataLoss, "the card answered something a Keycard does not answer";
    UnknownAuthority = 15, "unknown-ca", FailedPrecondition, "the card's certificate is signed by an authority that is not trusted";
    UnknownCard = 16, "unknown-card", FailedPrecondition, "the card is not in the manifest";
    NoCard = 17, "no-card", Unavailable, "no card answers in this reader";
    Locked = 18, "locked", FailedPrecondition, "the card is locked; run `cardinal unlock`";
    NotBlank = 19, "not-blank", FailedPrecondition, "the card is initialised already and is left as it is";
    Refused = 20, "refused", PermissionDenied, "the key manager's policy refuses this";
    LogUnwritable = 21, "log-unwritable", ResourceExhausted, "the export log cannot be written, so nothing was exported";
    LogBad = 22, "log-bad", DataLoss, "the export log does not verify";
    WrongPuk = 23, "wrong-puk", PermissionDenied, "wrong PUK; the message says how many tries are left";
    PukBlocked = 24, "puk-blocked", FailedPrecondition, "the PUK is blocked too; only a factory reset helps";
    NotPaired = 25, "not-paired", FailedPrecondition, "this computer has no pairing with the card; run `cardinal card pair`";
    WrongPairing = 26, "wrong-pairing", PermissionDenied, "the card does not take this pairing or its password";
    NoSlot = 27, "no-slot", ResourceExhausted, "all pairing slots of the card are taken";
    Unvouched = 28, "unvouched", FailedPrecondition, "nobody vouched for the card or its channel; the message says what to confirm";
    Unsupported = 29, "unsupported", Unimplemented, "the card's applet cannot do this";
    InUse = 30, "in-use", AlreadyExists, "it runs already, is in use, or is there already";
    StateMissing = 31, "state-missing", NotFound, "a state file that should exist is missing";
    StateDamaged = 32, "state-damaged", DataLoss, "a state file is damaged";
    NotRunning = 33, "not-running", Unavailable, "the service is not running";
    DiskFull = 34, "disk-full", ResourceExhausted, "the disk is full or not writable";
    Lent = 35, "lent", Unavailable, "the reader is lent to another program; the message says to whom and until when";
    TooSoon = 36, "too-soon", Unavailable, "a PIN was wrong a moment ago, so none was sent; the message says when to try again";
    CardBlank = 37, "card-blank", FailedPrecondition, "the card is not initialised; run `cardinal card init`";
    NoKey = 38, "no-key", FailedPrecondition, "there is no key on the card; run `cardinal card key`";
    SecondWriter = 39, "second-writer", FailedPrecondition, "the card was used with another log; `cardinal audit adopt` goes on in spite";
    NotAcknowledged = 40, "not-acknowledged", DeadlineExceeded, "no peer acknowledged the message in time";
    BadInput = 41, "bad-input", InvalidArgument, "the input is malformed";
    LastPukTry = 42, "last-puk-try", FailedPrecondition, "only one PUK try is left; repeat with --last-try to spend it";
    NotHardened = 46, "not-hardened", FailedPrecondition, "a measure of hardening that was required is not in force";
    Leak = 47, "leak", DataLoss, "a secret was found where none may be";
    NoPcscd = 50, "no-pcscd", Unavailable, "pcscd, which speaks to card readers, is not installed";
    PcscdStopped = 51, "pcscd-stopped", Unavailable, "pcscd, which speaks to card readers, does not answer";
    ReaderDenied = 52, "reader-denied", PermissionDenied, "this user may not use card readers";
    NoDriver = 53, "no-driver", Unavailable, "the driver of the card reader is not installed";
    NoReader = 54, "no-reader", Unavailable, "there is no such card reader";
    ReaderHeld = 55, "reader-held", Unavailable, "another program holds the card reader";
    ReaderFailed = 56, "reader-failed", Unavailable, "the card reader failed, or does not answer";
    ForeignCard = 57, "foreign-card", FailedPrecondition, "the card in the reader is no Keycard";
    NoApplet = 58, "no-applet", FailedPrecondition, "the Keycard applet is not on the card, or not ready for use";
    Ambiguous = 59, "ambiguous", FailedPrecondition, "several readers or cards fit; name one of them";
    LogConsistent = 60, "log-consistent", FailedPrecondition, "the export log is whole as far as it goes; that it ends there is not proven";
    LogGap = 61, "log-gap", DataLoss, "lines of the export log are missing";
    LogAltered = 62, "log-altered", DataLoss, "lines of the export log are not as they were written";
    LogTruncated = 63, "log-truncated", DataLoss, "the export log lost its end";
    LogRolledBack = 64, "log-rolled-back", DataLoss, "the export log is older than what the card or an anchor knows, or another one";
    LogUnsignedTail = 65, "log-unsigned-tail", DataLoss, "no card has signed the last lines of the export log";
    LogClockStep = 66, "log-clock-step", DataLoss, "the clock was set while the export log was written";
    LogDecoyWallet = 67, "log-decoy-wallet", DataLoss, "the card showed other keys than before, as under its duress PIN";
    LogUnsignedCard = 68, "log-unsigned-card", DataLoss, "no card that counts as genuine vouches for the export log";
    Unreachable = 69, "unreachable", Unavailable, "a place to which heads are sent does not take them";
}

impl Fault {
    /// Returns the exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        self as u8
    }

    /// Returns the gRPC status that carries this fault and one line that says what to do.
    #[must_use]
    pub fn status(self, message: impl Into<String>) -> Status {
        let mut status = Status::new(self.code(), message);
        status.metadata_mut().insert(KEY, tonic::metadata::MetadataValue::from_static(self.name()));
        status
    }

    /// Returns the exit codes as every `--help` lists them, one a line.
    #[must_use]
    pub fn exit_code_table() -> String {
        let mut text = String::from("Exit codes:\n   0  done\n   1  another error\n   2  wrong usage\n");
        for fault in Self::ALL {
            text.push_str(&format!("  {:>2}  {} ({})\n", fault.exit_code(), fault.meaning(), fault.name()));
        }
        text
    }

    /// Returns the fault that a status carries, if any.
    #[must_use]
    pub fn of(status: &Status) -> Option<Self> {
        let name = status.metadata().get(KEY)?.to_str().ok()?;
        Self::ALL.iter().copied().find(|fault| fault.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn every_fault_survives_the_socket_with_its_own_exit_code() {
        for (i, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(Fault::of(&fault.status("x")), Some(*fault));
            assert!(
                Fault::ALL[..i]
                    .iter()
                    .all(|other| other.exit_code() != fault.exit_code() && other.name() != fault.name())
            );
        }
        assert_eq!(Fault::of(&tonic::Status::internal("x")), None);
    }

    #[test]
    fn the_table_of_exit_codes_has_every_fault() {
        let table = Fault::exit_code_table();
        for fault in Fault::ALL {
            let line = format!("  {}  {} ({})", fault.exit_code(), fault.meaning(), fault.name());
            assert!(table.lines().any(|it| it == line), "{line}");
        }
        assert_eq!(table.lines().count(), Fault::ALL.len() + 4);
    }
}
