//! A card, a log that fails on purpose, a clock that stands still, and a broker between them.

mod approvals;
mod broker;
mod canary;
mod cards;
mod closed_list;
mod crash;
mod edges;
mod faulty;
mod install;
mod lifetimes;
mod mirror;
mod roles;
mod rotation;
mod seats;
mod service;
mod signing;
mod worker;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use audit::{Caller, DataSlot, Head, Log, LogError, LogId, LogStore, Report, StoreError, When};
use keycard::{CardTransport, Mnemonic, TransportError, Trust};
use proto::shell::dice;
use proto::{CardId, ChatKey, Instant, KeyPath, Pin, Puk, UnixMillis};
use softcard::{Model, SoftCard};

use crate::archive::{Anchor, Archive};
use crate::broker::{Broker, Enrolment, Outside, Rules};
use crate::cards::Cards;
use crate::cards::known::KnownCards;
use crate::cards::pairings::Pairings;
use crate::cards::seat::{Readers, Target};
use crate::clock::Clock;
use crate::error::BrokerError;
use crate::files::StateError;
use crate::journal::Why;
use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::mirror::Mirrors;
use crate::pins::{PinnedCards, Pins};
use crate::policy::Policy;
use crate::provision::{Enrolled, Enrolling, KeySource};
use crate::reader::{Timed, view};
use crate::seats::Validity;
use crate::unlock::Unlocking;

pub(crate) const PIN: &str = "493817";
pub(crate) const WRONG: &str = "111111";
pub(crate) const PUK: &str = "201938475601";
pub(crate) const CHAT: &str = "m/43'/60'/1581'/0'/0";
pub(crate) const DATABASE: &str = "m/43'/60'/1581'/1'/0";

/// A directory of mode 0700.
pub(crate) fn private_dir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

/// What the transport does with the next answers.
#[derive(Clone, Copy)]
pub(crate) enum Tamper {
    /// Nothing.
    Pass,
    /// The answer ends after so many bytes.
    Cut(usize),
    /// So many bytes come after it.
    Extend(usize),
    /// There is no answer.
    Gone,
    /// The transport panics when the card has answered.
    Panic,
}

/// The two ends of a command that waits, on the card's side.
struct Hang {
    begun: mpsc::Sender<()>,
    end: mpsc::Receiver<()>,
}

/// A reader whose card others can hold too, so that a test can swap cards and restart managers.
#[derive(Clone)]
pub(crate) struct Reader {
    card: Arc<Mutex<SoftCard>>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) commands: usize,
    pub(crate) resets: usize,
    pub(crate) tampers: VecDeque<Tamper>,
    /// Hears of each reset.
    pub(crate) tell: Option<mpsc::Sender<()>>,
    /// The card is not in the reader.
    pub(crate) out: bool,
    /// The card was drawn since its last reset.
    pub(crate) drawn: bool,
    /// It cannot be reset.
    pub(crate) stuck: bool,
    /// The next command tells that it has come, and waits.
    hang: Option<Hang>,
    /// The log in which each command that matters must be recorded before it comes.
    log: Option<Memory>,
    /// The instruction inside the next secured command.
    inside: Option<u8>,
    /// Those that came.
    pub(crate) instructions: BTreeSet<u8>,
}

impl Reader {
    pub(crate) fn with_blank_card() -> Self {
        Self::with_model(Model::V4_0)
    }

    pub(crate) fn with_model(model: Model) -> Self {
        Self::of(SoftCard::in_memory(model, Box::new(dice())))
    }

    pub(crate) fn of(card: SoftCard) -> Self {
        Self { card: Arc::new(Mutex::new(card)), seen: Arc::default() }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(crate) fn commands(&self) -> usize {
        self.seen().commands
    }

    /// Draws the card: it loses power.
    pub(crate) fn draw(&self) {
        self.card.lock().unwrap().power_cycle();
        let mut seen = self.seen();
        (seen.out, seen.drawn) = (true, true);
    }

    /// Puts the card back.
    pub(crate) fn insert(&self) {
        self.seen().out = false;
    }

    /// Tampers with the answer after `after` more of them.
    pub(crate) fn tamper(&self, after: usize, tamper: Tamper) {
        let mut seen = self.seen();
        seen.tampers = std::iter::repeat_n(Tamper::Pass, after).chain([tamper]).collect();
    }

    /// Lets the next command wait until the sender is dropped; the receiver hears when it has come.
    pub(crate) fn hang(&self) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
        let ((begun, begins), (go, end)) = (mpsc::channel(), mpsc::channel());
        self.seen().hang = Some(Hang { begun, end });
        (begins, go)
    }

    /// Hears of each reset from here on.
    pub(crate) fn resets(&self) -> mpsc::Receiver<()> {
        let (tell, resets) = mpsc::channel();
        self.seen().tell = Some(tell);
        resets
    }

    pub(crate) fn identity(&self) -> [u8; 33] {
        self.card.lock().unwrap().identity().unwrap()
    }

    /// Says something to the card past everybody, as another program on the reader would.
    pub(crate) fn say(&self, command: &[u8]) -> Vec<u8> {
        self.card.lock().unwrap().transmit(command)
    }

    /// Makes the card blank, as anybody can who has it.
    pub(crate) fn factory_reset(&self) {
        self.say(&[0x00, 0xa4, 0x04, 0x00, 0x09, 0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01]);
        assert_eq!(self.say(&[0x80, 0xfd, 0xaa, 0x55]), [0x90, 0x00]);
    }
}

impl CardTransport for Reader {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let hang = self.seen().hang.take();
        if let Some(Hang { begun, end }) = hang {
            begun.send(()).unwrap();
            assert!(end.recv().is_err(), "the test lets go");
        }
        let (tamper, log, inside) = {
            let mut seen = self.seen();
            match (seen.out, seen.drawn) {
                (_, true) => return Err(TransportError::Removed),
                (true, false) => return Err(TransportError::NoCard),
                (false, false) => {}
            }
            seen.commands += 1;
            let inside = seen.inside.take();
            seen.instructions.extend(command.get(1).copied());
            seen.instructions.extend(inside);
            (seen.tampers.pop_front().unwrap_or(Tamper::Pass), seen.log.clone(), inside)
        };
        if let Some(log) = log {
            let is_recorded = log.with(|bytes| closed_list::is_recorded(command, inside, bytes));
            assert!(is_recorded, "{:02x?} inside {inside:02x?} came without a record", command.get(..4));
        }
        let mut answer = self.say(command);
        match tamper {
            Tamper::Pass => {}
            Tamper::Cut(at) => answer.truncate(at),
            Tamper::Extend(by) => answer.extend(std::iter::repeat_n(0x5a, by)),
            Tamper::Gone => return Err(TransportError::NoCard),
            Tamper::Panic => panic!("on purpose"),
        }
        Ok(answer)
    }

    fn announce(&mut self, instruction: u8) {
        self.seen().inside = Some(instruction);
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        if self.seen().stuck {
            return Err(TransportError::reader("it does not reset"));
        }
        self.card.lock().unwrap().power_cycle();
        let mut seen = self.seen();
        seen.drawn = false;
        seen.resets += 1;
        seen.tell = seen.tell.take().filter(|tell| tell.send(()).is_ok());
        Ok(())
    }

    fn is_there(&mut self) -> bool {
        let seen = self.seen();
        !seen.out && !seen.drawn
    }
}

/// The readers of a world, each with a card; the first is the manager's own.
struct Shelf<T> {
    readers: Vec<(String, Reader)>,
    take: Box<dyn Fn(Reader) -> T + Send>,
}

impl<T> Readers<T> for Shelf<T> {
    fn names(&mut self) -> Result<Vec<String>, BrokerError> {
        Ok(self.readers.iter().skip(1).map(|(name, _)| name.clone()).collect())
    }

    fn connect(&mut self, name: &str) -> Result<T, BrokerError> {
        let found = self.readers.iter().find(|(other, _)| other == name);
        found.map(|(_, reader)| (self.take)(reader.clone())).ok_or_else(|| BrokerError::bad_input("no such reader"))
    }
}

/// The name of the manager's own reader.
pub(crate) const OWN: &str = "soft:test";

/// A log in memory whose next appends can be made to fail.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    appends: usize,
    full_at: Option<usize>,
    anchors: Vec<Anchor>,
}

impl Memory {
    /// The log as it stood, in a store of its own.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::default();
        copy.0.lock().unwrap().bytes = self.bytes();
        copy
    }

    pub(crate) fn with<V>(&self, look: impl FnOnce(&[u8]) -> V) -> V {
        look(&self.0.lock().unwrap().bytes)
    }

    /// The heads that were signed.
    pub(crate) fn anchors(&self) -> Vec<Anchor> {
        self.0.lock().unwrap().anchors.clone()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }

    /// The disk is full at the append after `after` more of them, and has space again at the next.
    pub(crate) fn full_after(&self, after: usize) {
        let mut lines = self.0.lock().unwrap();
        lines.full_at = Some(lines.appends + after + 1);
    }

    pub(crate) fn report(&self) -> Report {
        audit::verify(self.bytes().as_slice(), None).unwrap()
    }

    /// Waits until a card has signed all outcomes.
    pub(crate) async fn signed(&self) {
        let is_signed = || {
            let mut signed = false;
            let bad = audit::read(self.bytes().as_slice(), |line| match &line.event {
                audit::Event::Outcome { .. } => signed = false,
                audit::Event::ChannelOpened(_) | audit::Event::HeadSigned(_) => signed = true,
                _ => {}
            });
            bad.unwrap().is_none() && signed
        };
        for _ in 0..2000 {
            if is_signed() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no card signed the log's head");
    }

    /// What the log tells, one sentence an entry.
    pub(crate) fn story(&self) -> Vec<String> {
        let mut story = Vec::new();
        let bad = audit::read(self.bytes().as_slice(), |line| story.push(line.event.to_string())).unwrap();
        assert_eq!(bad, None);
        story
    }
}

/// Looks at the lines of a log in memory, and keeps the heads that were signed.
impl Archive<Self> for Memory {
    fn keep(&mut self, anchor: &Anchor) {
        self.0.lock().unwrap().anchors.push(*anchor);
    }

    fn is_full(&self) -> bool {
        false
    }

    fn rotate(&mut self, _: &Log<Self>, _: When) -> Result<Log<Self>, LogError> {
        unreachable!("it is never full")
    }

    fn head_at(&mut self, entries: u64) -> Result<Option<Head>, StateError> {
        Ok(crate::archive::head_at(self.bytes().as_slice(), entries).unwrap())
    }
}

impl LogStore for Memory {
    fn remember(&mut self, _: &Head) {}

    fn append_synced(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let mut lines = self.0.lock().unwrap();
        lines.appends += 1;
        if lines.full_at == Some(lines.appends) {
            return Err(StoreError::Full);
        }
        lines.bytes.extend_from_slice(line);
        Ok(())
    }
}

/// A clock that a test moves.
#[derive(Clone, Default)]
pub(crate) struct StillClock(Arc<AtomicU64>);

impl StillClock {
    pub(crate) fn pass(&self, seconds: u64) {
        self.pass_millis(seconds * 1000);
    }

    pub(crate) fn pass_millis(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for StillClock {
    fn now(&self) -> When {
        let ms = self.0.load(Ordering::Relaxed);
        When {
            unix: UnixMillis::new(1_700_000_000_000 + ms),
            monotonic: Instant::from_start(Duration::from_millis(ms)),
        }
    }
}

/// One manager's surroundings; brokers come and go in it.
pub(crate) struct World {
    pub(crate) reader: Reader,
    /// The name of the manager's own reader.
    pub(crate) own: String,
    /// Other readers by name.
    pub(crate) others: Vec<(String, Reader)>,
    pub(crate) log: Memory,
    pub(crate) clock: StillClock,
    pub(crate) test_authority: bool,
    pub(crate) manifest: String,
    pub(crate) pin_lifetime: Option<Duration>,
    pub(crate) mirror: Option<DataSlot>,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    /// A blank card that the manifest names, and the test authority allowed.
    pub(crate) fn new() -> Self {
        let mut world = Self::with(Model::V4_0);
        world.manifest = manifest(&[world.reader.identity()]);
        world
    }

    /// A blank card of a model, an empty manifest, and the test authority allowed.
    pub(crate) fn with(model: Model) -> Self {
        Self {
            reader: Reader::with_model(model),
            own: OWN.to_owned(),
            others: Vec::new(),
            log: Memory::default(),
            clock: StillClock::default(),
            test_authority: true,
            manifest: String::new(),
            pin_lifetime: None,
            mirror: None,
            dir: private_dir(),
        }
    }

    pub(crate) fn pins_path(&self) -> PathBuf {
        self.dir.path().join("pins.toml")
    }

    /// What was pinned of the only enrolled card.
    pub(crate) fn pins(&self) -> Option<Pins> {
        PinnedCards::read(&self.pins_path()).unwrap().only().cloned()
    }

    /// Changes what was pinned, past every manager.
    pub(crate) fn pin(&self, pins: Pins) {
        let mut pinned = PinnedCards::read(&self.pins_path()).unwrap();
        pinned.pin(pins);
        pinned.write(&self.pins_path()).unwrap();
    }

    /// A manager that starts now: what an earlier one wrote is what it knows.
    pub(crate) fn broker(&self) -> Broker<Reader, Memory> {
        self.broker_with(|reader| reader)
    }

    /// The same, with readers that reset their cards in time by themselves.
    pub(crate) fn timed_broker(&self) -> Broker<Timed<Reader>, Memory> {
        let clock = self.clock.clone();
        self.broker_with(move |reader| Timed::by(reader, clock.clone()))
    }

    fn broker_with<T: CardTransport + 'static>(
        &self,
        take: impl Fn(Reader) -> T + Send + 'static,
    ) -> Broker<T, Memory> {
        for reader in self.others.iter().map(|(_, reader)| reader).chain([&self.reader]) {
            reader.seen().log = Some(self.log.clone());
        }
        let bytes = self.log.bytes();
        let log = if bytes.is_empty() {
            Log::create(self.log.clone(), LogId::from([1; 16]), self.clock.now()).unwrap()
        } else {
            Log::open(self.log.clone(), bytes.as_slice(), None).unwrap()
        };
        let pinned = PinnedCards::read(&self.pins_path()).unwrap();
        let policy_path = self.dir.path().join("policy.toml");
        let policy = Policy::read(&policy_path).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let policy = policy.unwrap_or_else(|| Policy::parse(&Policy::initial(uid)).unwrap());
        let trust = Trust::production();
        let trust = if self.test_authority { trust.with_test_authority() } else { trust };
        let manifest = Manifest::parse(&self.manifest).unwrap();
        let rules = Rules {
            trust,
            test_authority: self.test_authority,
            manifest,
            policy: policy.into(),
            pin_lifetime: self.pin_lifetime,
        };
        let logged = self.log.report().enrolled;
        let enrolment = Enrolment { pinned, logged, pins_path: self.pins_path(), policy_path };
        let own = (self.own.clone(), self.reader.clone());
        let readers = std::iter::once(own).chain(self.others.iter().cloned()).collect();
        let card = take(self.reader.clone());
        let cards = Cards {
            known: KnownCards::read(&self.dir.path().join("cards.toml")).unwrap(),
            pairings: Pairings::read(&self.dir.path().join("pairings.json")).unwrap(),
            readers: Box::new(Shelf { readers, take: Box::new(take) }),
            own: self.own.clone(),
            seen: view::Seen::default(),
        };
        let outside =
            Outside { clock: Box::new(self.clock.clone()), dice: Box::new(dice()), metrics: Metrics::default() };
        let mut broker = Broker::new(card, log, rules, enrolment, cards, outside);
        let mut history = crate::policy::History::default();
        audit::read(bytes.as_slice(), |line| history.hear(line)).unwrap();
        broker.recall(history);
        broker = broker.with_archive(Box::new(self.log.clone())).with_mirrors(Mirrors::in_slot(self.mirror));
        broker.announce(None).unwrap();
        broker
    }

    /// A manager that has enrolled the card with a generated key.
    pub(crate) fn enrolled(&self) -> Broker<Reader, Memory> {
        let mut broker = self.broker();
        provision(&mut broker, KeySource::Generate).unwrap();
        broker
    }

    /// A manager whose card is unlocked until it stops.
    pub(crate) fn unlocked(&self) -> Broker<Reader, Memory> {
        let mut broker = self.enrolled();
        broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
        broker
    }
}

pub(crate) fn manifest(identities: &[[u8; 33]]) -> String {
    let card = |(n, identity)| {
        let identity = hex::encode(identity);
        format!("[[card]]\nlabel = \"card {n}\"\nidentity = \"{identity}\"\ngeneration = \"v2\"\n")
    };
    identities.iter().enumerate().map(card).collect()
}

/// Lets the policy allow our user one thing, for the purposes `x` and `chat identity`.
pub(crate) fn allow(world: &World, path: &str, operation: &str) {
    let file = world.dir.path().join("policy.toml");
    let mut policy = std::fs::read_to_string(&file).unwrap_or_default();
    if !policy.contains("[[client]]") {
        let uid = rustix::process::geteuid().as_raw();
        policy += &format!("[[client]]\nname = \"me\"\nuid = {uid}\n");
    }
    let name = policy.matches("[[key]]").count();
    let what = match operation {
        "private" => "mode = \"export\"".to_owned(),
        operation => format!("operations = [\"{operation}\"]"),
    };
    policy += &format!("[[key]]\nname = \"{name}\"\npath = \"{path}\"\n{what}\n");
    policy += "clients = [\"me\"]\npurposes = [\"x\", \"chat identity\"]\n";
    std::fs::write(file, policy).unwrap();
}

pub(crate) fn why(purpose: &str) -> Why {
    let uid = rustix::process::geteuid().as_raw();
    let caller = Caller { uid, pid: None, binary: None, binary_hash: None, one_time_key: None };
    Why::new(caller, purpose.parse().unwrap())
}

pub(crate) fn pin(digits: &str) -> Pin {
    Pin::try_from(digits.as_bytes()).unwrap()
}

pub(crate) fn unlocking(digits: &str) -> Unlocking {
    Unlocking::with(pin(digits))
}

/// A PIN that stays valid for so many seconds.
pub(crate) fn lasting(digits: &str, seconds: u64) -> Unlocking {
    Unlocking { validity: Validity { seconds, each_use: false }, ..unlocking(digits) }
}

pub(crate) fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

pub(crate) fn words(text: &str) -> KeySource {
    KeySource::Mnemonic(Mnemonic::parse(text).unwrap())
}

pub(crate) fn one_time() -> (proto::rpc::SealingKey, ChatKey) {
    let key = proto::rpc::SealingKey::generate(&mut dice());
    let public = ChatKey::try_from(key.public().as_slice()).unwrap();
    (key, public)
}

pub(crate) fn card_id(reader: &Reader) -> CardId {
    CardId::Identity(reader.identity())
}

pub(crate) fn provision(broker: &mut Broker<Reader, Memory>, key: KeySource) -> Result<Enrolled, BrokerError> {
    let puk = Puk::try_from(PUK.as_bytes()).unwrap();
    broker.provision(Enrolling { target: Target::default(), pin: pin(PIN), puk, key }, &why("enrol"))
}
