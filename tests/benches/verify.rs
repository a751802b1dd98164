//! `cardinal audit verify` on a log of many lines, with one head in a thousand signed; beside it the system's journal of as
//! many entries of that length, verified by `journalctl`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use audit::{
    Blob, Caller, ChannelOpened, Head, Log, LogId, LogStore, Operation, Outcome, Request, StoreError, Text, When,
};
use keycard::{Access, Card, CardTransport, InitSecrets, Opening, Selected, Selection, Trust, select};
use proto::{ExportPath, Instant, Pin, Puk, UnixMillis};
use rand_core::Rng as _;
use scenarios::dice::Seeded;
use sha2::{Digest as _, Sha256};
use softcard::{Model, SoftCard};

use crate::clock::{children, cost_us};
use crate::row::{Row, Unit};
use crate::{Bench, Trouble};

/// Measures the verification of a log.
pub(crate) fn rows(bench: &mut Bench) -> Result<(), Trouble> {
    if !bench.wants(WHAT) {
        return Ok(());
    }
    let program = bench.target().join("release/cardinal");
    if !program.exists() {
        return Err("build cardinal first: cargo build --release --bins".into());
    }
    let dir = tempfile::tempdir()?;
    let (log, anchor) = (dir.path().join("export.log"), dir.path().join("anchor"));
    let head = write(&log)?;
    std::fs::write(&anchor, format!("{head}\n"))?;
    let mut verify = Command::new(program);
    verify.args(["audit", "verify", "--ca", "test", "--anchor"]).arg(&anchor).arg(&log);
    let ours = per_entry(cheapest(&mut verify)?);

    let bytes = std::fs::read(&log)?;
    let floor = cost_us(|| Sha256::digest(&bytes)) / ENTRIES as f64;
    let peer = journal(bench, dir.path(), bytes.len() / ENTRIES)?.map(per_entry);
    bench.add(Row::new(WHAT, Unit::Us).ours(ours).peer(peer, "journalctl --verify").floor(floor).target(5.0));
    Ok(())
}

/// Returns the CPU time of the cheapest of several runs of a program that must succeed.
fn cheapest(program: &mut Command) -> Result<Duration, Trouble> {
    program.stdout(Stdio::null()).stderr(Stdio::null());
    let mut spent = Duration::MAX;
    for _ in 0..RUNS {
        let before = children()?;
        if !program.status()?.success() {
            return Err(format!("{} does not verify what is whole", program.get_program().display()).into());
        }
        spent = spent.min(children()?.saturating_sub(before));
    }
    Ok(spent)
}

fn per_entry(spent: Duration) -> f64 {
    spent.as_secs_f64() * 1e6 / ENTRIES as f64
}

/// Writes a log in which the chat key leaves again and again, and a software card signs the head of each thousandth line.
fn write(path: &Path) -> Result<Head, Trouble> {
    let store = Unsynced(BufWriter::new(File::create(path)?));
    let mut dice = Seeded::new(3);
    let mut seconds = 0;
    let mut now = || {
        seconds += 1;
        When {
            unix: UnixMillis::new(1_700_000_000_000 + seconds * 1000),
            monotonic: Instant::from_start(Duration::from_secs(seconds)),
        }
    };
    let mut signer = Signer::new()?;
    let mut log = Log::create(store, LogId::from([1; 16]), now())?;
    while log.head().entries < ENTRIES as u64 {
        let mut random = [0; 32];
        dice.fill_bytes(&mut random);
        let opened = signer.sign(&log.head(), random)?;
        let card = opened.card;
        log.channel_opened(now(), opened)?;
        for _ in 0..499 {
            let request = Request { card, key_uid: None, operation: Operation::ExportPrivate(ExportPath::chat()) };
            let caller = Caller {
                uid: 1000,
                pid: Some(42),
                binary: Some(Text::lossy("/usr/bin/cardinal-node")),
                binary_hash: Some([9; 32]),
                one_time_key: Some([2; 33]),
            };
            let recorded = log.intent(now(), request, "chat".parse()?, caller, [1; 32])?;
            log.outcome(now(), recorded, Outcome::done(Some("0001-0203-0405-0607".parse()?), None))?;
        }
    }
    let opened = signer.sign(&log.head(), [7; 32])?;
    log.channel_opened(now(), opened)?;
    Ok(log.head())
}

/// A software card of the public test authority.
struct Signer {
    card: Option<Card<Selected, Plugged>>,
    trust: Trust,
    dice: Seeded,
}

impl Signer {
    fn new() -> Result<Self, Trouble> {
        let (trust, mut dice) = (Trust::nobody().with_test_authority(), Seeded::new(1));
        let card = SoftCard::in_memory(Model::V4_0, Box::new(Seeded::new(2)));
        let Selection::Blank(card) = select(Plugged(card))? else { return Err("a new card is initialised".into()) };
        let (pin, puk) = (Pin::try_from(b"123456".as_slice())?, Puk::try_from(b"210987654321".as_slice())?);
        let mut receipt = recorded(card.request(Operation::Init))?;
        let card = card.init(&trust, &InitSecrets::new(pin, puk, &mut dice), &mut receipt, &mut dice)?;
        Ok(Self { card: Some(card), trust, dice })
    }

    /// Signs a head, as the manager has it signed at each opening.
    fn sign(&mut self, head: &Head, random: [u8; 32]) -> Result<ChannelOpened, Trouble> {
        let card = self.card.take().ok_or("the card is lost")?;
        let card = card.open(&Access::new(&self.trust, head.salt(&random)), &mut self.dice)?;
        let Opening::V2(opening) = card.opening() else { return Err("a channel of another kind".into()) };
        let opened = ChannelOpened {
            card: card.info().card_id(),
            key_uid: None,
            applet: Text::lossy("4.0"),
            authority: Text::lossy("test"),
            certificate: Blob::try_from(opening.certificate.as_bytes().as_slice())?,
            random,
            salt: opening.salt,
            host_key: Blob::try_from(opening.client_ephemeral.to_bytes().as_slice())?,
            card_key: Blob::try_from(opening.card_ephemeral.to_bytes().as_slice())?,
            signature: Blob::try_from(opening.signature.as_slice())?,
        };
        let mut reader = card.into_transport();
        reader.reset()?;
        let Selection::Initialised(card) = select(reader)? else { return Err("the card is blank".into()) };
        self.card = Some(card);
        Ok(opened)
    }
}

/// Has the journal of this system take as many entries of that length, and verified; nothing where it has no such programs.
fn journal(bench: &Bench, dir: &Path, len: usize) -> Result<Option<Duration>, Trouble> {
    let importer = bench.target().join("interop/journal-remote");
    if !importer.exists() {
        return Ok(None);
    }
    let mut child = Command::new(importer)
        .args(["--seal=no", "--compress=no", "--output"])
        .arg(dir.join("peer.journal"))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut entries = BufWriter::new(child.stdin.take().ok_or("no stdin")?);
    let (mut dice, mut random) = (Seeded::new(4), vec![0; len / 2]);
    let mut message = String::new();
    for at in 0..ENTRIES {
        dice.fill_bytes(&mut random);
        message.clear();
        write!(message, "{}", hex::encode(&random))?;
        let micros = 1_000_000 * (at + 1);
        writeln!(
            entries,
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={micros}\n_BOOT_ID={:032x}\nMESSAGE={message}\n",
            1_700_000_000_000_000 + micros,
            1,
        )?;
    }
    drop(entries);
    if !child.wait()?.success() {
        return Err("the journal does not take the entries".into());
    }
    let mut verify = Command::new("journalctl");
    verify.arg("--verify");
    for file in std::fs::read_dir(dir)? {
        let path: PathBuf = file?.path();
        if path.extension().is_some_and(|extension| extension == "journal") {
            verify.arg("--file").arg(path);
        }
    }
    Ok(Some(cheapest(&mut verify)?))
}

fn recorded(request: Request) -> Result<audit::Recorded, Trouble> {
    let when = When { unix: UnixMillis::new(0), monotonic: Instant::from_start(Duration::ZERO) };
    let caller = Caller { uid: 0, pid: None, binary: None, binary_hash: None, one_time_key: None };
    let mut log = Log::create(Unsynced(std::io::sink()), LogId::from([0; 16]), when)?;
    Ok(log.intent(when, request, "enrol".parse()?, caller, [0; 32])?)
}

/// A store that does not wait for the disk.
struct Unsynced<W>(W);

impl<W: std::io::Write> LogStore for Unsynced<W> {
    fn remember(&mut self, _: &Head) {}

    fn append_synced(&mut self, line: &[u8]) -> Result<(), StoreError> {
        self.0.write_all(line).map_err(|source| StoreError::Failed { source })
    }
}

/// The card in its reader.
struct Plugged(SoftCard);

impl CardTransport for Plugged {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, keycard::TransportError> {
        Ok(self.0.transmit(command))
    }

    fn reset(&mut self) -> Result<(), keycard::TransportError> {
        self.0.power_cycle();
        Ok(())
    }
}

const WHAT: &str = "audit verify, an entry, a head in a thousand signed";
const ENTRIES: usize = 200_000;
const RUNS: usize = 5;
