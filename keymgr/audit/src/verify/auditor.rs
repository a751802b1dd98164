//! Reads the files of a log and says all that is to be said of it: no card, no manager and no network is needed.
//!
//! After a bad line it goes on with what can be read, so that every finding is told. What is gathered grows with the number
//! of different keys and cards, not with that of the lines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use proto::{CardId, KeyPath, UnixMillis};

use super::anchor::{Anchor, Kept};
use super::bad::{Bad, What};
use super::clock::{Clock, WrittenIn};
use super::left::{Leavings, shown_key};
use super::nonces::{Nonces, Repeat, Shared, Tally};
use super::question::Question;
use super::report::{Manager, Report};
use super::signatures::Signatures;
use super::verdict::{Finding, Lines, Verdict, Why};
use super::wallets::Wallets;
use crate::closure::{Account, Closure, Filter, History, Source, Wallet};
use crate::entry::{Event, Intent, LogOpened, Outcome, SeedOrigin};
use crate::evidence::Authorities;
use crate::head::SecondWriter;
use crate::line::{Head, Line};
use crate::operation::{Operation, Scheme};
use crate::owner::{Deed, Owner};
use crate::recorded::Request;
use crate::replay::{self, Replay};

/// Reads one log, file by file, the oldest first.
#[derive(Debug)]
pub struct Auditor {
    replay: Replay,
    anchors: Vec<Anchor>,
    /// The first anchor that was not passed yet.
    next: usize,
    matched: BTreeSet<(Kept, u64)>,
    /// The last line that tells more than that the head was signed or kept.
    told_to: u64,
    differ: Vec<Anchor>,
    notes: Notes,
    clock: Clock,
    signatures: Signatures,
    wallets: Wallets,
    nonces: Nonces,
    /// Signatures whose nonce is not in the log, and those of unknown outcome.
    not_told: Tally,
    unknown: Tally,
    repeats: Vec<Repeat>,
    more_repeats: u64,
    leavings: Leavings,
    history: History,
    managers: Vec<Manager>,
    lent: BTreeMap<Option<CardId>, u64>,
    lines: Option<Lines>,
    written: Option<(u64, u64)>,
    bad: Option<Bad>,
    refusals: u64,
    provisionings: u64,
    enrolled: BTreeSet<CardId>,
    erased: BTreeSet<CardId>,
    met: BTreeSet<CardId>,
}

/// Findings and questions, as many as are kept.
#[derive(Debug, Default)]
struct Notes {
    findings: Vec<Finding>,
    more_findings: u64,
    questions: Vec<Question>,
    more_questions: u64,
}

impl Notes {
    fn find(&mut self, finding: Finding) {
        if self.findings.len() < MOST_NOTES {
            self.findings.push(finding);
            return;
        }
        // A verdict must not be lost among a thousand others.
        if self.findings.iter().all(|it| it.verdict != finding.verdict) {
            self.findings.push(finding);
        }
        self.more_findings = self.more_findings.saturating_add(1);
    }

    fn ask(&mut self, question: Question) {
        if self.questions.len() < MOST_NOTES {
            self.questions.push(question);
        } else {
            self.more_questions = self.more_questions.saturating_add(1);
        }
    }
}

impl Auditor {
    /// Returns an auditor that takes the cards of these authorities for genuine.
    #[must_use]
    pub fn new(taken: Authorities) -> Self {
        Self {
            replay: Replay::default(),
            anchors: Vec::new(),
            next: 0,
            matched: BTreeSet::new(),
            told_to: 0,
            differ: Vec::new(),
            notes: Notes::default(),
            clock: Clock::default(),
            signatures: Signatures::of(taken),
            wallets: Wallets::default(),
            nonces: Nonces::default(),
            not_told: Tally::default(),
            unknown: Tally::default(),
            repeats: Vec::new(),
            more_repeats: 0,
            leavings: Leavings::default(),
            history: History::default(),
            managers: Vec::new(),
            lent: BTreeMap::new(),
            lines: None,
            written: None,
            bad: None,
            refusals: 0,
            provisionings: 0,
            enrolled: BTreeSet::new(),
            erased: BTreeSet::new(),
            met: BTreeSet::new(),
        }
    }

    /// Holds the log against these heads, too.
    #[must_use]
    pub fn with_anchors(mut self, anchors: impl IntoIterator<Item = Anchor>) -> Self {
        self.anchors.extend(anchors);
        self.anchors.sort_by_key(|anchor| anchor.head.entries);
        self
    }

    /// Also says what was written later than `now`.
    #[must_use]
    pub fn with_now(mut self, now: UnixMillis) -> Self {
        self.clock = Clock::at(Some(now.get()));
        self
    }

    /// Also counts what left before the log.
    #[must_use]
    pub fn with_history(mut self, before: History) -> Self {
        self.history = before;
        self
    }

    /// Reads the next file, and shows each line that can be read to `see`, with the intent that an outcome ends.
    ///
    /// # Errors
    /// Only when it cannot be read; whatever is wrong with what was read is in the [`Report`].
    pub fn read(&mut self, mut file: impl BufRead, mut see: impl FnMut(&Line, Option<&Intent>)) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        while replay::next(&mut file, &mut bytes)? {
            let taken = match self.replay.take(&bytes) {
                Ok((line, ended)) => Some((line, ended, true)),
                Err(bad) => {
                    let speaks = self.is_wrong(bad);
                    self.replay.resume(&bytes, &bad).map(|(line, ended)| (line, ended, speaks))
                }
            };
            if let Some((line, ended, speaks)) = taken {
                self.look_at(&line, ended.as_ref(), speaks);
                see(&line, ended.as_ref());
                if let Some((line, intent)) = self.replay.keep(line) {
                    self.lost(line, &intent);
                }
            }
        }
        Ok(())
    }

    /// Returns what is to be said, when all files were read.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.close_anchors();
        self.notes.findings.extend(self.clock.future());
        let findings = self.signatures.findings();
        findings.into_iter().for_each(|finding| self.notes.find(finding));
        let (_, last, _) = self.replay.place();
        let end_proven = self.lines.is_some()
            && self.matched.iter().any(|(kept, entries)| *kept != Kept::Beside && *entries >= self.told_to);
        for (card, line) in std::mem::take(&mut self.lent) {
            self.notes.ask(Question::Lent { card, lines: Lines::from_to(line, last), returned: false });
        }
        let questions: Vec<Question> = self.wallets.questions().chain(self.signatures.question()).collect();
        questions.into_iter().for_each(|question| self.notes.ask(question));
        self.compare_nonces();
        let head = self.replay.head();
        let open = std::mem::take(&mut self.replay).into_open();
        open.iter().for_each(|(line, intent)| self.lost(*line, intent));
        if self.lines.is_none() {
            self.notes.find(Finding { lines: Lines::one(1), verdict: Verdict::Truncated, why: Why::Nothing });
        }
        let closure = Closure::of(&self.history, &Filter::default());
        if let Some(line) = closure.cut_off {
            self.notes.ask(Question::ClosureCutOff { line });
        }
        if closure.not_counted > 0 {
            self.notes.ask(Question::ListNotCounted { accounts: closure.not_counted });
        }
        let Notes { mut findings, more_findings, questions, more_questions } = self.notes;
        findings.sort_by_key(|finding| finding.lines);
        let Signatures { coverage, statements, .. } = self.signatures;
        Report {
            head,
            lines: self.lines,
            written: self.written,
            bad: self.bad,
            findings,
            more_findings,
            end_proven,
            questions,
            more_questions,
            coverage,
            statements,
            managers: self.managers,
            left: self.leavings.left,
            closure,
            history: self.history,
            repeated_nonces: self.repeats,
            more_repeated_nonces: self.more_repeats,
            unknown: open.into_keys().collect(),
            refusals: self.refusals,
            provisionings: self.provisionings,
            enrolled: self.enrolled,
            erased: self.erased,
            met: self.met,
        }
    }

    /// Notes a bad line, and returns whether a signature in it is to be held against the lines before.
    fn is_wrong(&mut self, bad: Bad) -> bool {
        let Bad { line, what } = bad;
        self.bad.get_or_insert(bad);
        let (lines, verdict, why) = match what {
            What::OutOfSequence { found } if found > line => {
                (Lines::from_to(line, found.saturating_sub(1)), Verdict::Gap, Why::Removed)
            }
            What::CutOff => (Lines::one(line), Verdict::Truncated, Why::Line(what)),
            // What the card signed last stands; since then lines were changed.
            What::OtherHead => {
                let first = self.signatures.coverage.signed_to.saturating_add(1).min(line);
                (Lines::from_to(first, line), Verdict::Altered, Why::Line(what))
            }
            _ => (Lines::one(line), Verdict::Altered, Why::Line(what)),
        };
        self.notes.find(Finding { lines, verdict, why });
        false
    }

    /// Notes an intent of which nothing came.
    fn lost(&mut self, line: u64, intent: &Intent) {
        self.leavings.lost(line, intent);
        self.notes.ask(Question::Unknown { line });
    }

    fn look_at(&mut self, line: &Line, ended: Option<&Intent>, speaks: bool) {
        let seq = line.seq;
        let lines = self.lines.get_or_insert(Lines::one(seq));
        lines.last = seq.max(lines.first);
        let written = self.written.get_or_insert((line.unix_ms, line.unix_ms));
        written.1 = line.unix_ms;
        let written = match line.event {
            Event::LogOpened(_) => WrittenIn::Another,
            Event::LogContinued { .. } => WrittenIn::Either,
            _ => WrittenIn::Same,
        };
        let step = self.clock.read(seq, line.unix_ms, line.mono_ms, written);
        step.into_iter().for_each(|finding| self.notes.find(finding));
        self.pass_anchors(seq);
        let speaks = speaks && !self.replay.is_broken();
        match self.signatures.see(line, speaks) {
            Ok(Some(made)) => {
                let key = (Wallet { account: Account::Identity(made.identity), decoy: false }, KeyPath::master());
                self.nonces.take(seq, key, &made.nonce, &made.digest, Scheme::Ecdsa);
            }
            Ok(None) => {}
            Err(what) => drop(self.is_wrong(Bad { line: seq, what })),
        }
        if let (Event::Outcome { intent, outcome }, Some(asked)) = (&line.event, ended) {
            self.outcome(seq, *intent, asked, outcome);
        }
        self.signatures.coverage.pass(line);
        if !keeps_head(line, ended) {
            self.told_to = seq;
        }
        self.history.see(line);
        self.event(line);
    }

    fn event(&mut self, line: &Line) {
        let seq = line.seq;
        match &line.event {
            Event::LogContinued { previous, .. } if self.lines == Some(Lines::one(seq)) => {
                self.notes.ask(Question::Begins { entry: seq });
                self.hold_against(*previous);
            }
            Event::LogOpened(opened) => self.manager(Manager::of(seq, opened)),
            Event::PolicyChanged { to, .. } => {
                self.manager(Manager { line: seq, version: None, binary: None, policy: *to, test_authority: None });
            }
            Event::ChannelOpened(opened) => drop(self.met.insert(opened.card)),
            Event::PairedChannelOpened(opened) => drop(self.met.insert(opened.card)),
            Event::SecondWriter(found) => self.second_writer(seq, found),
            Event::Refusal(_) => self.refusals = self.refusals.saturating_add(1),
            Event::Provisioning(provisioning) => {
                self.provisionings = self.provisionings.saturating_add(1);
                self.enrolled.insert(provisioning.card);
                self.erased.remove(&provisioning.card);
                if provisioning.seed == SeedOrigin::BeforeEnrolment {
                    self.notes.ask(Question::SeedOfUnknownOrigin { card: provisioning.card, line: seq });
                }
            }
            Event::Decoy(decoy) => {
                let why = Why::Decoy { card: decoy.card };
                self.notes.find(Finding { lines: Lines::one(seq), verdict: Verdict::DecoyWallet, why });
            }
            Event::Owner(owner) => self.owner(seq, owner),
            _ => {}
        }
    }

    fn outcome(&mut self, seq: u64, intent: u64, asked: &Intent, outcome: &Outcome) {
        let request = &asked.request;
        self.leavings.count(intent, asked, outcome);
        self.signatures.outcome(seq, intent, request, outcome);
        self.signature(intent, request, outcome);
        let Outcome::Done { fingerprint, .. } = outcome else { return };
        if request.operation == Operation::FactoryReset && self.enrolled.remove(&request.card) {
            self.erased.insert(request.card);
        }
        let wallet = self.history.wallet(request);
        if let (Some(fingerprint), Some(path)) = (fingerprint, shown_key(&request.operation)) {
            let finding = self.wallets.show(seq, request.card, wallet, path, *fingerprint);
            finding.into_iter().for_each(|finding| self.notes.find(finding));
        }
    }

    /// Takes what came of a request for a signature.
    fn signature(&mut self, line: u64, request: &Request, outcome: &Outcome) {
        let (digest, scheme) = match &request.operation {
            Operation::Sign(signing) => (&signing.digest, signing.scheme),
            Operation::CashSign(digest) => (digest, Scheme::Ecdsa),
            _ => return,
        };
        let nonce = match outcome {
            Outcome::Done { nonce, .. } => nonce,
            Outcome::Failed { .. } => return self.unknown.add(line),
            Outcome::RefusedByCard { .. } | Outcome::NotSent { .. } => return,
        };
        match (self.history.signer(request), nonce) {
            (None, _) => self.notes.ask(Question::UnknownPlace { line }),
            (Some(key), Some(nonce)) => self.nonces.take(line, key, nonce, digest, scheme),
            (Some(_), None) => self.not_told.add(line),
        }
    }

    /// Compares the nonces of all signatures, once every line told what it has to tell of their keys.
    fn compare_nonces(&mut self) {
        let nonces = std::mem::take(&mut self.nonces);
        if let Some(line) = nonces.left_out {
            self.notes.ask(Question::NoncesNotCompared { line });
        }
        if self.not_told.signatures > 0 {
            self.notes.ask(Question::NonceNotTold(std::mem::take(&mut self.not_told)));
        }
        if self.unknown.signatures > 0 {
            self.notes.ask(Question::SignatureUnknown(std::mem::take(&mut self.unknown)));
        }
        for shared in nonces.named(|wallet| self.history.named(wallet)).shared() {
            match shared {
                Shared::Tie(repeat) => self.repeated(repeat),
                Shared::Tweaked(repeat) => self.notes.ask(Question::Tweaks(Box::new(repeat))),
            }
        }
    }

    fn repeated(&mut self, repeat: Repeat) {
        let from = [Source::Line(repeat.first.line), Source::Line(repeat.second.line)];
        self.history.tie(repeat.first.key.clone(), repeat.second.key.clone(), from);
        if !repeat.is_of_one_key() {
            self.notes.ask(Question::SharedNonce(Box::new(repeat.clone())));
        }
        if self.repeats.len() < MOST_NOTES {
            self.repeats.push(repeat);
        } else {
            self.more_repeats = self.more_repeats.saturating_add(1);
        }
    }

    fn owner(&mut self, seq: u64, owner: &Owner) {
        match owner.deed {
            Deed::Lends { .. } => drop(self.lent.insert(owner.card, seq)),
            Deed::TakesBack => {
                if let Some(first) = self.lent.remove(&owner.card) {
                    let lines = Lines::from_to(first, seq);
                    self.notes.ask(Question::Lent { card: owner.card, lines, returned: true });
                }
            }
            Deed::ChangesSettings => {
                let questions = self.wallets.settings_changed(owner.card);
                questions.into_iter().for_each(|question| self.notes.ask(question));
            }
            Deed::ExportsPairings { .. }
            | Deed::ImportsPairings { .. }
            | Deed::Forgets
            | Deed::Adopts { .. }
            | Deed::Approves { .. } => {}
        }
    }

    fn second_writer(&mut self, seq: u64, second: &SecondWriter) {
        let found = second.found;
        let (log, ..) = self.replay.place();
        let why =
            if log == Some(found.log) { Why::CardRemembersMore { found } } else { Why::CardRemembersOther { found } };
        self.notes.find(Finding { lines: Lines::one(seq), verdict: Verdict::RolledBack, why });
    }

    fn manager(&mut self, manager: Manager) {
        if self.managers.len() < MOST_NOTES {
            self.managers.push(manager);
        }
    }

    /// Compares the anchors that speak of the line that was just taken.
    fn pass_anchors(&mut self, seq: u64) {
        while let Some(anchor) = self.anchors.get(self.next).filter(|anchor| anchor.head.entries <= seq).copied() {
            self.next = self.next.saturating_add(1);
            let (log, entries, hash) = self.replay.place();
            if let (Some(log), Some(hash)) = (log, hash)
                && (log, entries) == (anchor.head.log, anchor.head.entries)
            {
                let same = hash == anchor.head.hash && self.replay.root().is_none_or(|root| root == anchor.head.root);
                self.compared(anchor, same);
            }
        }
    }

    /// Compares the anchors that speak of the end of the files before the first.
    fn hold_against(&mut self, previous: Head) {
        let before: Vec<Anchor> =
            self.anchors.iter().filter(|anchor| anchor.head.entries == previous.entries).copied().collect();
        for anchor in before.into_iter().filter(|anchor| anchor.head.log == previous.log) {
            self.compared(anchor, anchor.head == previous);
        }
    }

    fn compared(&mut self, anchor: Anchor, same: bool) {
        if same {
            self.matched.insert((anchor.kept, anchor.head.entries));
        } else {
            self.differ.push(anchor);
        }
    }

    /// Says what the anchors found.
    fn close_anchors(&mut self) {
        let (Some(log), last, _) = self.replay.place() else { return };
        // Who can replace the log can replace what stands beside it: that one speaks for no other.
        for kept in Kept::ALL {
            let mut of_kind = self.anchors.iter().filter(|anchor| anchor.kept == kept);
            if let Some(anchor) = of_kind.clone().next().copied()
                && !of_kind.any(|anchor| anchor.head.log == log)
            {
                let why = Why::AnchorOfOtherLog { anchor };
                self.notes.find(Finding { lines: Lines::one(1), verdict: Verdict::RolledBack, why });
            }
        }
        for anchor in std::mem::take(&mut self.differ) {
            let entries = anchor.head.entries;
            let before = |kept: Kept| {
                self.matched.range((kept, 0)..(kept, entries)).next_back().map(|(_, at)| at.saturating_add(1))
            };
            let first = Kept::ALL.into_iter().filter_map(before).max().unwrap_or(1);
            let lines = Lines::from_to(first, entries);
            // A card signed other lines than the anchor knows: they were written by a manager, after it was set back.
            let signed = self.signatures.coverage.signed_to >= entries;
            let (verdict, why) = match anchor.kept {
                Kept::Beside => (Verdict::Altered, self.first_bad(entries, What::NotAsWritten)),
                _ if signed => (Verdict::RolledBack, Why::AnchorKnowsOther { anchor }),
                _ => (Verdict::Altered, Why::AnchorKnowsOther { anchor }),
            };
            self.notes.find(Finding { lines, verdict, why });
        }
        let beyond = self.anchors.iter().filter(|anchor| anchor.head.log == log && anchor.head.entries > last);
        let newest: BTreeMap<Kept, Anchor> = beyond.map(|anchor| (anchor.kept, *anchor)).collect();
        // What stands beside the log is as old as the log: both were set back together.
        let set_back = self.matched.contains(&(Kept::Beside, last));
        for (kept, anchor) in newest {
            let lines = Lines::from_to(last.saturating_add(1), anchor.head.entries);
            let (verdict, why) = match kept {
                Kept::Beside => {
                    let what = What::Missing { written: anchor.head.entries };
                    (Verdict::Truncated, self.first_bad(lines.first, what))
                }
                _ if set_back => (Verdict::RolledBack, Why::AnchorKnowsMore { anchor }),
                _ => (Verdict::Truncated, Why::AnchorKnowsMore { anchor }),
            };
            self.notes.find(Finding { lines, verdict, why });
        }
    }

    fn first_bad(&mut self, line: u64, what: What) -> Why {
        self.bad.get_or_insert(Bad { line, what });
        Why::Line(what)
    }
}

impl Manager {
    fn of(line: u64, opened: &LogOpened) -> Self {
        Self {
            line,
            version: Some(opened.version.as_str().to_owned()),
            binary: opened.binary,
            policy: opened.policy,
            test_authority: Some(opened.test_authority),
        }
    }
}

/// Of findings, of questions and of managers.
const MOST_NOTES: usize = 1000;

/// Whether a line only tells that the head before it was signed, or is kept by a card: who kept that head elsewhere knows
/// that nothing was asked of a card since.
fn keeps_head(line: &Line, ended: Option<&Intent>) -> bool {
    let is_mirror = |intent: &Intent| {
        matches!(intent.request.operation, Operation::StoreData(_)) && intent.purpose.as_str() == MIRROR_PURPOSE
    };
    match &line.event {
        Event::ChannelOpened(_) | Event::PairedChannelOpened(_) | Event::HeadSigned(_) => true,
        Event::Intent(intent) => is_mirror(intent),
        Event::Outcome { .. } => ended.is_some_and(is_mirror),
        _ => false,
    }
}

/// What for a manager stores the head in a card's memory.
const MIRROR_PURPOSE: &str = "mirror";
