//! A manager without a card: it writes what a real one would, signed by the test card, and draws what happens from dice.

use std::time::Duration;

use proto::{CardId, ExportPath, Fingerprint, Instant, KeyPath, KeyPlace, KeyUid, UnixMillis};

use super::{Memory, card};
use crate::*;

/// Numbers that are the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.below(256) as u8)
    }
}

/// The secrets of the identities of the two test cards.
pub(crate) const NEW: u8 = 1;
pub(crate) const OLD: u8 = 2;

pub(crate) struct Writer {
    pub(crate) store: Memory,
    pub(crate) log: Log<Memory>,
    pub(crate) dice: Dice,
    unix: u64,
    mono: u64,
}

pub(crate) fn on(card: u8) -> CardId {
    if card == NEW { card::id(NEW) } else { CardId::Instance([5; 16]) }
}

pub(crate) fn account() -> KeyUid {
    KeyUid::from([7; 32])
}

pub(crate) fn caller(uid: u32) -> Caller {
    Caller {
        uid,
        pid: Some(42),
        binary: Some(Text::lossy("/usr/bin/client")),
        binary_hash: Some([9; 32]),
        one_time_key: None,
    }
}

/// The start of the wall clock.
pub(crate) const START: u64 = 1_700_000_000_000;

impl Writer {
    /// Begins a log, as its manager starts.
    pub(crate) fn new(seed: u64) -> Self {
        let store = Memory::default();
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let log = LogId::from(dice.bytes());
        let when = When { unix: UnixMillis::new(START), monotonic: Instant::from_start(Duration::ZERO) };
        let log = Log::create(store.clone(), log, when).unwrap();
        let mut begun = Self { store, log, dice, unix: START, mono: 0 };
        begun.starts();
        begun
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.store.bytes.borrow().clone()
    }

    pub(crate) fn head(&self) -> Head {
        self.log.head()
    }

    /// Both clocks, which go on by up to a minute.
    pub(crate) fn now(&mut self) -> When {
        let passed = self.dice.below(60_000);
        self.unix += passed;
        self.mono += passed;
        When { unix: UnixMillis::new(self.unix), monotonic: Instant::from_start(Duration::from_millis(self.mono)) }
    }

    /// Sets the wall clock.
    pub(crate) fn set_clock(&mut self, by: i64) {
        self.unix = self.unix.saturating_add_signed(by);
    }

    /// A manager starts, with a monotonic clock of its own.
    pub(crate) fn starts(&mut self) {
        self.mono = self.dice.below(1000);
        let opened =
            LogOpened { version: Text::lossy("0.1.0"), binary: Some([2; 32]), policy: [1; 32], test_authority: true };
        let when = self.now();
        self.log.opened(when, opened).unwrap();
    }

    /// The log goes on in another file.
    pub(crate) fn goes_on(&mut self) {
        let (store, when) = (Memory::default(), self.now());
        self.log = self.log.continued(store.clone(), when).unwrap();
        self.store = store;
    }

    /// A channel is opened, and the head is signed.
    pub(crate) fn opens(&mut self, card: u8) {
        let (when, random) = (self.now(), self.dice.bytes());
        if card == NEW {
            let opened = card::opening(NEW, &self.head(), random);
            self.log.channel_opened(when, opened).unwrap();
        } else {
            let signed = Some(card::signed(OLD, &self.head(), random));
            self.log.paired_channel_opened(when, paired("3.1", signed)).unwrap();
        }
    }

    /// A channel to a card that cannot sign is opened.
    pub(crate) fn opens_mute(&mut self) {
        let when = self.now();
        self.log.paired_channel_opened(when, paired("3.0", None)).unwrap();
    }

    /// The head is signed after an outcome.
    pub(crate) fn signs(&mut self, card: u8) {
        if card == NEW {
            return self.opens(NEW);
        }
        let (when, random) = (self.now(), self.dice.bytes());
        let signed = card::signed(OLD, &self.head(), random);
        self.log.head_signed(when, HeadSigned { card: on(OLD), applet: Text::lossy("3.1"), signed }).unwrap();
    }

    pub(crate) fn asks(&mut self, card: u8, operation: Operation) -> Recorded {
        let request = Request { card: on(card), key_uid: Some(account()), operation };
        let when = self.now();
        self.log.intent(when, request, "chat".parse().unwrap(), caller(1000), [1; 32]).unwrap()
    }

    pub(crate) fn ends(&mut self, recorded: Recorded, outcome: Outcome) {
        let when = self.now();
        self.log.outcome(when, recorded, outcome).unwrap();
    }

    /// The chat key leaves, and the head is signed again.
    pub(crate) fn exports(&mut self, card: u8) {
        self.leaves(card);
        self.signs(card);
    }

    /// The chat key leaves, and nobody signs.
    pub(crate) fn leaves(&mut self, card: u8) {
        let recorded = self.asks(card, Operation::ExportPrivate(ExportPath::chat()));
        self.ends(recorded, done(1));
    }

    /// The key for statements states the head.
    pub(crate) fn states(&mut self, card: u8) {
        let (head, random) = (self.head(), self.dice.bytes());
        let place = KeyPlace::from(STATEMENT_PATH.parse::<KeyPath>().unwrap());
        let digest = head.salt(&random).into();
        let signing = Signing { key: place, makes_current: false, scheme: Scheme::Ecdsa, digest };
        let recorded = self.asks(card, Operation::Sign(signing));
        let intent = recorded.seq();
        let fingerprint = Some(Fingerprint::of(&card::public(6)));
        self.ends(recorded, Outcome::Done { fingerprint, key_uid: Some(account()), nonce: Some(random) });
        let when = self.now();
        self.log.statement(when, card::statement(6, (on(card), account()), intent, &head, random)).unwrap();
        self.signs(card);
    }

    /// One of the things that happen, chosen by the dice; a card signs at its end.
    pub(crate) fn lives(&mut self) {
        let card = if self.dice.below(2) == 0 { NEW } else { OLD };
        match self.dice.below(12) {
            0 => {
                self.starts();
                self.opens(card);
            }
            1 => self.opens(card),
            2 => self.states(card),
            3 => {
                let when = self.now();
                self.log.refusal(when, refusal()).unwrap();
            }
            4 => {
                let reason = Text::lossy("the card was pulled out");
                let path = self.path();
                let recorded = self.asks(card, Operation::ExportPublic(path));
                let outcome = match self.dice.below(3) {
                    0 => Outcome::Failed { reason },
                    1 => Outcome::RefusedByCard { status: 0x6985 },
                    _ => Outcome::NotSent { reason },
                };
                self.ends(recorded, outcome);
                self.signs(card);
            }
            5 => {
                // A crash: nobody knows what came of it.
                drop(self.asks(card, Operation::ExportPrivate(ExportPath::database())));
                self.starts();
                self.opens(card);
            }
            6 => {
                let (digest, nonce) = (self.dice.bytes::<32>().into(), self.dice.bytes());
                let key = KeyPlace::from("m/44'/60'/0'/0/0".parse::<KeyPath>().unwrap());
                let signing = Signing { key, makes_current: false, scheme: Scheme::Ecdsa, digest };
                let recorded = self.asks(card, Operation::Sign(signing));
                let fingerprint = "0102-0304-0506-0708".parse().ok();
                self.ends(recorded, Outcome::Done { fingerprint, key_uid: Some(account()), nonce: Some(nonce) });
                self.signs(card);
            }
            7 => {
                let when = self.now();
                self.log.policy_changed(when, [1; 32], self.dice.bytes()).unwrap();
            }
            8 => {
                for deed in [Deed::Lends { seconds: 60 }, Deed::TakesBack] {
                    let when = self.now();
                    let purpose = "lend".parse().unwrap();
                    self.log.owner(when, Owner { card: Some(on(card)), deed, purpose, caller: caller(0) }).unwrap();
                }
            }
            _ => self.exports(card),
        }
    }

    fn path(&mut self) -> KeyPath {
        KeyPath::new(&[0x8000_002c, self.dice.below(5) as u32]).unwrap()
    }
}

fn paired(applet: &str, signed: Option<SignedHead>) -> PairedChannelOpened {
    PairedChannelOpened {
        card: on(OLD),
        key_uid: Some(account()),
        applet: Text::lossy(applet),
        slot: 2,
        well_known: false,
        channel_key: Blob::try_from([4u8; 65].as_slice()).unwrap(),
        signed,
    }
}

pub(crate) fn done(fingerprint: u8) -> Outcome {
    Outcome::done(format!("0001-0203-0405-06{fingerprint:02x}").parse().ok(), Some(account()))
}

fn refusal() -> Refusal {
    Refusal {
        card: None,
        key_uid: None,
        asked: Asked::ExtendedPublic(KeyPath::master()),
        purpose: None,
        caller: caller(1001),
        reason: Text::lossy("never"),
        policy: [1; 32],
    }
}
