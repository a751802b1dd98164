//! Recordings of the real applet, replayed against the software card.
//!
//! A recording is a file of sequences, one JSON object a line: the release of the applet, steps at the level of plaintext
//! commands, and what the applet answered. Every sequence starts with a blank card. Channel keys and random numbers differ in
//! every run, so a client of our own carries the steps through the channel.
//!
//! - `script` reads the lines, `outcome` compares, `verify` checks what cannot be compared byte by byte;
//! - `client` is the client that the recordings' steps speak of, `channel` its side of both secure channels, `tamper` what it
//!   does to spoil a command.
//!
//! The invariant: a sequence ends at its first mismatch. A step whose outcome belongs to the recording's simulator is not
//! compared, and if our answer to it differs, neither is what follows it.

mod channel;
mod client;
mod outcome;
mod script;
mod tamper;
mod verify;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;

use crate::card::SoftCard;
use client::Client;
use script::Sequence;

/// Dice for one card and one client.
pub type Dice = Box<dyn CryptoRng + Send>;

/// Why recordings cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The operating system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The recording.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line is no sequence.
    #[error("{} line {line}: {what}", path.display())]
    Malformed {
        /// The recording.
        path: PathBuf,
        /// Which line, the first being 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// What came of a replay.
#[derive(Debug, Default)]
pub struct Report {
    /// How many sequences were replayed.
    pub sequences: usize,
    /// How many steps were compared.
    pub steps: usize,
    /// How many were not: those whose outcome is the simulator's, and what follows one that was answered otherwise.
    pub skipped: usize,
    /// Where the card differs, at most once a sequence.
    pub mismatches: Vec<Mismatch>,
}

/// A step to which the card gave another answer than the applet.
#[derive(Debug, thiserror::Error)]
#[error("{sequence} step {step} ({what}): expected {expected}, got {got}")]
pub struct Mismatch {
    /// The sequence's name.
    pub sequence: String,
    /// The step's number, the first being 0.
    pub step: usize,
    /// What the step does.
    pub what: String,
    /// What the applet answered.
    pub expected: String,
    /// What the card answered, or what is wrong with it.
    pub got: String,
}

/// A replay of any number of recordings.
pub struct Replay<D> {
    dice: D,
    /// The pairing secret of each password seen: 50,000 rounds each.
    secrets: BTreeMap<String, [u8; 32]>,
    report: Report,
}

impl<D: FnMut() -> Dice> Replay<D> {
    /// Returns a replay whose cards and clients take their randomness from `dice`.
    pub fn new(dice: D) -> Self {
        Self { dice, secrets: BTreeMap::new(), report: Report::default() }
    }

    /// Replays one recording.
    ///
    /// # Errors
    /// [`ReplayError`]: what came before the bad line is in the report all the same.
    pub fn file(&mut self, path: &Path) -> Result<(), ReplayError> {
        let io = |source| ReplayError::Io { path: path.to_owned(), source };
        let mut lines = BufReader::new(File::open(path).map_err(io)?);
        for line in 1.. {
            let malformed = |what: String| ReplayError::Malformed { path: path.to_owned(), line, what };
            let mut text = Vec::new();
            let length = lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut text).map_err(io)?;
            if length == 0 {
                break;
            }
            if length as u64 == MAX_LINE {
                return Err(malformed("it is too long".to_owned()));
            }
            if !text.trim_ascii().is_empty() {
                let sequence = Sequence::parse(&text).map_err(malformed)?;
                self.sequence(&sequence);
            }
        }
        Ok(())
    }

    /// Returns what came of it all.
    pub fn report(self) -> Report {
        self.report
    }

    fn sequence(&mut self, sequence: &Sequence) {
        self.report.sequences += 1;
        let card = if sequence.has_identity {
            SoftCard::in_memory(sequence.applet, (self.dice)())
        } else {
            SoftCard::without_identity(sequence.applet, (self.dice)())
        };
        let mut client = Client::new(card, (self.dice)(), &mut self.secrets);
        for (number, step) in sequence.steps.iter().enumerate() {
            let got = client.run(&step.action);
            let differs = step.expected.differs(&got);
            if step.is_simulator {
                self.report.skipped += 1;
                if differs.is_some() {
                    self.report.skipped += sequence.steps.len() - number - 1;
                    return;
                }
                continue;
            }
            self.report.steps += 1;
            if let Some(why) = differs {
                self.report.mismatches.push(Mismatch {
                    sequence: sequence.id.clone(),
                    step: number,
                    what: step.action.to_string(),
                    expected: step.expected.to_string(),
                    got: format!("{got}{why}"),
                });
                return;
            }
        }
    }
}

/// The longest sequence seen has 40,000 bytes.
const MAX_LINE: u64 = 4 << 20;
