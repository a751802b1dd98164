//! The signatures of cards over the lines before them, and the lines that no signature covers.

use std::collections::BTreeMap;

use proto::{CardId, Digest, Fingerprint, KeyUid};

use super::bad::What;
use super::coverage::{Coverage, Signed};
use super::question::Question;
use super::report::Stated;
use super::verdict::{Finding, Lines, Verdict, Why};
use crate::entry::{ChannelOpened, Event, Outcome};
use crate::evidence::{Authorities, Certificates, Checked, Unsigned};
use crate::head::{HeadSigned, Statement};
use crate::line::Line;
use crate::operation::Operation;
use crate::paired::PairedChannelOpened;
use crate::recorded::Request;

#[derive(Debug)]
pub(super) struct Signatures {
    taken: Authorities,
    known: Certificates,
    pub(super) coverage: Coverage,
    pub(super) statements: Vec<Stated>,
    /// Cards that vouch for nothing, and where that was seen.
    mute: BTreeMap<CardId, (Lines, Why)>,
    /// Outcomes after the last signature of their card that counts; without a name those that any card covers.
    uncovered: BTreeMap<Option<CardId>, (Lines, u64)>,
    /// The identity that signed first for each card that is not named by it.
    pinned: BTreeMap<CardId, [u8; 33]>,
    /// The identity keys that signed, and the secure channel of their cards.
    identities: BTreeMap<[u8; 33], Channel>,
    unchecked: Option<(u64, u64)>,
    /// What came of the intents of statements, by line.
    asked: BTreeMap<u64, Named>,
}

/// A signature by a card's identity key that holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByIdentity {
    pub(super) identity: [u8; 33],
    /// The X coordinate of R.
    pub(super) nonce: [u8; 32],
    pub(super) digest: Digest,
}

/// The key that signed a statement, as the outcome names it.
#[derive(Debug)]
struct Named {
    card: CardId,
    key_uid: Option<KeyUid>,
    fingerprint: Option<Fingerprint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    V1,
    V2,
}

impl Signatures {
    pub(super) fn of(taken: Authorities) -> Self {
        Self {
            taken,
            known: Certificates::default(),
            coverage: Coverage::default(),
            statements: Vec::new(),
            mute: BTreeMap::new(),
            uncovered: BTreeMap::new(),
            pinned: BTreeMap::new(),
            identities: BTreeMap::new(),
            unchecked: None,
            asked: BTreeMap::new(),
        }
    }

    /// Looks at a line that was taken, and returns the signature that it holds by a card's identity key. `speaks` says whether
    /// what it signs is known to be the head before it; after lines that are missing nobody knows.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub(super) fn see(&mut self, line: &Line, speaks: bool) -> Result<Option<ByIdentity>, What> {
        match &line.event {
            Event::ChannelOpened(opened) => self.opened(line.seq, opened, speaks),
            Event::PairedChannelOpened(opened) => self.paired(line.seq, opened, speaks),
            Event::HeadSigned(signed) => self.head(line.seq, signed, speaks),
            Event::Statement(statement) => self.stated(line.seq, statement, speaks).map(|()| None),
            _ => Ok(None),
        }
    }

    /// Takes an outcome, which the next signature of its card will cover: another card, genuine as it may be, was not
    /// there. A card that is reset, or has no name of its own, can sign no more or not yet: any card covers what it was asked.
    pub(super) fn outcome(&mut self, line: u64, intent: u64, request: &Request, outcome: &Outcome) {
        // Nothing was asked of the card, so it owes no signature.
        if matches!(outcome, Outcome::NotSent { .. }) {
            return;
        }
        let card = request.card;
        let is_nameless = matches!(card, CardId::Chip(_) | CardId::Blank(_));
        let is_reset = request.operation == Operation::FactoryReset;
        let name = (!is_nameless && !is_reset).then_some(card);
        self.add(name, (Lines::one(line), 1));
        let Outcome::Done { fingerprint, .. } = outcome else { return };
        match &request.operation {
            Operation::FactoryReset => {
                if let Some(before) = self.uncovered.remove(&Some(card)) {
                    self.add(None, before);
                }
            }
            // Another identity goes in.
            Operation::Personalise(_) if is_nameless => self.pinned.clear(),
            Operation::Personalise(_) => drop(self.pinned.remove(&card)),
            Operation::Sign(_) if request.operation.is_statement() => {
                let named = Named { card, key_uid: request.key_uid, fingerprint: *fingerprint };
                self.asked.insert(intent, named);
                if self.asked.len() > MOST_ASKED {
                    self.asked.pop_first();
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, card: Option<CardId>, (lines, count): (Lines, u64)) {
        let (all, counted) = self.uncovered.entry(card).or_insert((lines, 0));
        *all = Lines { first: all.first.min(lines.first), last: all.last.max(lines.last) };
        *counted = counted.saturating_add(count);
    }

    /// Returns what remains to be said, when all lines were read.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .mute
            .values()
            .map(|(lines, why)| Finding { lines: *lines, verdict: Verdict::UnsignedCard, why: why.clone() })
            .collect();
        // Where every card is mute, what is told of those stands for the outcomes of blank cards and chips too.
        let all_mute = self.coverage.signed_to == 0 && !self.mute.is_empty();
        let is_mute = |card: &Option<CardId>| card.is_some_and(|card| self.mute.contains_key(&card));
        let tail = self.uncovered.iter().filter(|(card, _)| !all_mute && !is_mute(card));
        let tail = tail.map(|(_, (lines, count))| (*lines, *count)).reduce(|(a, n), (b, m)| {
            (Lines { first: a.first.min(b.first), last: a.last.max(b.last) }, n.saturating_add(m))
        });
        if let Some((lines, outcomes)) = tail {
            findings.push(Finding { lines, verdict: Verdict::UnsignedTail, why: Why::NotSigned { outcomes } });
        }
        findings
    }

    /// Returns what could not be checked.
    pub(super) fn question(&self) -> Option<Question> {
        self.unchecked.map(|(line, heads)| Question::NotChecked { heads, line })
    }

    fn opened(&mut self, line: u64, opened: &ChannelOpened, speaks: bool) -> Result<Option<ByIdentity>, What> {
        let checked = opened.check(&mut self.known).map_err(What::Unsigned)?;
        self.signed(line, opened.card, opened.applet.as_str(), Channel::V2, checked, speaks)
    }

    fn paired(&mut self, line: u64, opened: &PairedChannelOpened, speaks: bool) -> Result<Option<ByIdentity>, What> {
        let applet = opened.applet.as_str();
        match opened.check(&mut self.known) {
            Some(checked) => {
                self.signed(line, opened.card, applet, Channel::V1, checked.map_err(What::Unsigned)?, speaks)
            }
            None => {
                let why = Why::SignsNothing { card: opened.card, applet: applet.to_owned() };
                self.is_mute(line, opened.card, why);
                Ok(None)
            }
        }
    }

    fn head(&mut self, line: u64, head: &HeadSigned, speaks: bool) -> Result<Option<ByIdentity>, What> {
        let checked = head.check(&mut self.known).map_err(What::Unsigned)?;
        self.signed(line, head.card, head.applet.as_str(), Channel::V1, checked, speaks)
    }

    fn stated(&mut self, line: u64, statement: &Statement, speaks: bool) -> Result<(), What> {
        let key = statement.check().map_err(What::Unsigned)?;
        let covers = statement.intent.saturating_sub(1);
        let named = self.asked.remove(&statement.intent);
        if !speaks {
            self.not_checked(line);
            return Ok(());
        }
        // No outcome of a statement has a keyed fingerprint: under a quiet duress PIN none is made.
        let of = |named: &Named| (named.card, named.key_uid, named.fingerprint);
        if named.as_ref().map(of) != Some((statement.card, statement.key_uid, Some(Fingerprint::of(&key)))) {
            return Err(What::Unsigned(Unsigned::OtherKey));
        }
        if self.statements.len() < MOST_STATEMENTS {
            self.statements.push(Stated { line, covers, card: statement.card, key: key.to_compressed() });
        }
        Ok(())
    }

    fn signed(
        &mut self,
        line: u64,
        card: CardId,
        applet: &str,
        channel: Channel,
        Checked { identity, authority, nonce, digest }: Checked,
        speaks: bool,
    ) -> Result<Option<ByIdentity>, What> {
        // No card has ever had a certificate before 3.1.
        if matches!(applet, "2.2" | "3.0") {
            return Err(What::Unsigned(Unsigned::OtherCard));
        }
        let identity = identity.to_compressed();
        let named = match card {
            CardId::Identity(key) => key,
            CardId::Instance(_) | CardId::Chip(_) | CardId::Blank(_) => *self.pinned.entry(card).or_insert(identity),
        };
        if named != identity {
            return Err(What::Unsigned(Unsigned::OtherCard));
        }
        if *self.identities.entry(identity).or_insert(channel) != channel {
            return Err(What::OtherGeneration);
        }
        let made = Some(ByIdentity { identity, nonce, digest });
        if !speaks {
            self.not_checked(line);
            return Ok(made);
        }
        let taken = authority.is_some_and(|authority| self.taken.take(&authority));
        if taken {
            self.uncovered.remove(&Some(card));
            self.uncovered.remove(&None);
        } else {
            let by = authority.map_or_else(|| "nobody".to_owned(), |authority| authority.to_string());
            self.is_mute(line, card, Why::NotTaken { card, authority: by });
        }
        self.coverage.add(Signed { line, card, identity, authority, taken });
        Ok(made)
    }

    fn is_mute(&mut self, line: u64, card: CardId, why: Why) {
        self.mute.entry(card).or_insert((Lines::one(line), why)).0.last = line;
    }

    fn not_checked(&mut self, line: u64) {
        let (_, heads) = self.unchecked.get_or_insert((line, 0));
        *heads = heads.saturating_add(1);
    }
}

const MOST_STATEMENTS: usize = 1000;
/// Statements that were asked for and not yet given: a manager asks for one at a time.
const MOST_ASKED: usize = 16;
