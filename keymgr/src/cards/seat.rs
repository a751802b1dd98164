//! Which card a verb means: the one in the manager's own reader, in a reader by its name, or by what the card is called.
//!
//! The invariant: a name that fits more than one card is refused, and a card that is unlocked stays as it is while another is
//! looked for.

use keycard::{ApplicationInfo, CardError, CardTransport, Selection};
use proto::{CardId, KeyUid};

use crate::broker::Broker;
use crate::error::BrokerError;
use crate::guard::Guarded;
use crate::reader::state::Phase;
use crate::seats::Seat;

/// The readers of this machine beside the manager's own.
pub trait Readers<T>: Send {
    /// Returns the names of those that may have a card in them.
    ///
    /// # Errors
    /// What the system says.
    fn names(&mut self) -> Result<Vec<String>, BrokerError>;

    /// Connects to the card in the reader of this name, for us alone.
    ///
    /// # Errors
    /// What the reader says: no card, in use by another program.
    fn connect(&mut self, name: &str) -> Result<T, BrokerError>;

    /// Looks into the reader of this name no more, which other programs get. `others` are the readers whose cards have a
    /// session, without the own one.
    ///
    /// # Errors
    /// That it is not clear which reader that is.
    fn lend(&mut self, name: &str, others: &[String]) -> Result<(), BrokerError> {
        let _ = (name, others);
        Ok(())
    }

    /// The reader of this name came back.
    fn take_back(&mut self, name: &str) {
        let _ = name;
    }

    /// Returns the whole name, among [`Readers::names`] or the own reader's, of what somebody calls a reader; `others` are
    /// those whose cards have a session, without the own one.
    fn resolve(&self, wanted: &str, others: &[String]) -> String {
        let _ = others;
        wanted.to_owned()
    }
}

/// What a verb says of the card that it means. Nothing: the card in the manager's own reader, or where a session is used,
/// that of the enrolled card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// A reader.
    pub reader: Option<String>,
    /// A label, a card's id, its digits or their beginning, or a key UID.
    pub card: Option<String>,
}

/// A card that may be the one that was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub reader: String,
    /// What it is.
    pub card: CardId,
    /// What people call it.
    pub label: Option<String>,
    /// What it says its account is.
    pub key_uid: Option<KeyUid>,
}

/// Why it is not clear which card is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Several fit.
    #[error(
        "{wanted:?} fits more than one card; choose one with {}: {}",
        how_to_choose(candidates),
        listed(candidates)
    )]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Those that fit.
        candidates: Vec<Candidate>,
    },
    /// Several are unlocked, and none was named.
    #[error("several cards are unlocked; choose one with {}: {}", how_to_choose(candidates), listed(candidates))]
    Several {
        /// They.
        candidates: Vec<Candidate>,
    },
    /// Several readers fit.
    #[error("several readers are lent; choose one with --reader: {}", readers.join(", "))]
    SeveralReaders {
        /// They.
        readers: Vec<String>,
    },
    /// None fits.
    #[error("no card is called {wanted:?}; there are: {}", listed(candidates))]
    NoSuchCard {
        /// What was asked for.
        wanted: String,
        /// Those that are there.
        candidates: Vec<Candidate>,
    },
    /// There is no such reader.
    #[error("there is no reader {wanted:?} with a card; there are: {}", readers.join(", "))]
    NoSuchReader {
        /// What was asked for.
        wanted: String,
        /// Those that are there.
        readers: Vec<String>,
    },
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reader, card, label, key_uid } = self;
        write!(f, "{card} in {reader}")?;
        if let Some(label) = label {
            write!(f, ", called {label:?}")?;
        }
        match key_uid {
            Some(uid) => write!(f, ", account {uid}"),
            None => Ok(()),
        }
    }
}

impl Candidate {
    /// Whether this is what somebody calls by these words.
    pub(crate) fn fits(&self, wanted: &str) -> bool {
        let id = self.card.to_string();
        let digits = id.split_once(':').map_or("", |(_, digits)| digits);
        let wanted = wanted.trim();
        let lower = wanted.to_ascii_lowercase();
        let begins = |whole: &str| lower.len() >= SHORTEST && whole.starts_with(&lower);
        self.label.as_deref() == Some(wanted)
            || id == lower
            || begins(digits)
            || self.key_uid.is_some_and(|uid| begins(&uid.to_string()))
    }
}

/// Cards that say that they are the same are told apart by their readers.
fn how_to_choose(candidates: &[Candidate]) -> &'static str {
    let twice = |one: &Candidate| candidates.iter().filter(|other| other.card == one.card).count() > 1;
    if candidates.iter().any(twice) { "--reader" } else { "--card ID" }
}

fn listed(candidates: &[Candidate]) -> String {
    if candidates.is_empty() {
        return "none".to_owned();
    }
    candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl<T: CardTransport, S: audit::LogStore> Broker<T, S> {
    /// Does something with the card that is meant, at its seat: there is the manager's own reader, or another. A card in
    /// another that was not unlocked is reset afterwards.
    pub(crate) fn at<R>(
        &mut self,
        target: &Target,
        work: impl FnOnce(&mut Self) -> Result<R, BrokerError>,
    ) -> Result<R, BrokerError> {
        let (name, transport) = self.find(target)?;
        let elsewhere = name != self.seat.name;
        self.at_seat(&name, transport, |broker| {
            broker.unless_lent()?;
            let owing = broker.journal.tail().owing();
            let result = work(broker);
            if elsewhere && !broker.seat.state.is_held() {
                broker.settle_leaving(owing);
            }
            result
        })
    }

    /// Does something in the session of the unlocked card that is meant. When it is locked, `work` finds no session, so that
    /// what no rule allows is refused whether the card is locked or not.
    ///
    /// # Errors
    /// [`TargetError`] when it is not clear which is meant; [`BrokerError::Lent`].
    pub fn in_session<R>(
        &mut self,
        target: &Target,
        work: impl FnOnce(&mut Self) -> Result<R, BrokerError>,
    ) -> Result<R, BrokerError> {
        let name = match self.session(target) {
            Ok(name) => name,
            Err(BrokerError::Locked) => NOWHERE.to_owned(),
            Err(error) => return Err(error),
        };
        self.at_seat(&name, None, |broker| {
            let result = work(broker);
            if result.is_ok() {
                broker.used();
            }
            result
        })
    }

    /// Returns the seat of the unlocked card that is meant: of what is named; else the enrolled card if there is one, and
    /// of several the only unlocked one.
    pub(crate) fn session(&self, target: &Target) -> Result<String, BrokerError> {
        let unlocked = self.unlocked_cards();
        let of = |candidate: &Candidate| candidate.reader.clone();
        let wanted = target.reader.as_ref().map(|reader| self.whole_name(reader));
        let fits = |candidate: &Candidate| {
            wanted.as_ref().is_none_or(|wanted| *wanted == candidate.reader)
                && target.card.as_ref().is_none_or(|card| candidate.fits(card))
        };
        let only = self.enrolment.pinned.only().filter(|_| *target == Target::default()).map(|pins| pins.card);
        let fitting: Vec<Candidate> =
            unlocked.iter().filter(|it| fits(it) && only.is_none_or(|only| it.card == only)).cloned().collect();
        match (fitting.as_slice(), &target.card) {
            ([one], _) => return Ok(of(one)),
            ([_, _, ..], Some(wanted)) => {
                return Err(TargetError::Ambiguous { wanted: wanted.clone(), candidates: fitting }.into());
            }
            ([_, _, ..], None) => return Err(TargetError::Several { candidates: fitting }.into()),
            ([], _) => {}
        }
        // It is not unlocked. Perhaps somebody else has it, and perhaps it was never heard of.
        let mut lent = self.seats().filter(|seat| matches!(seat.state.phase(), Phase::Lent(_)));
        let meant = |seat: &&Seat<T>| {
            let card = seat.lease.as_ref().and_then(|lease| lease.card.as_deref());
            let called = |wanted: &String| card.is_some_and(|card| self.candidate(card, &seat.name).fits(wanted));
            let enrolled = only.is_none_or(|only| card.is_some_and(|card| card.card_id() == only));
            wanted.as_ref().is_none_or(|wanted| *wanted == seat.name)
                && target.card.as_ref().is_none_or(called)
                && enrolled
        };
        if let Some(seat) = lent.find(meant) {
            return Err(self.loan_of(seat).map_or(BrokerError::Locked, BrokerError::from));
        }
        match &target.card {
            Some(wanted) if !self.has_heard_of(wanted) => {
                Err(TargetError::NoSuchCard { wanted: wanted.clone(), candidates: unlocked }.into())
            }
            _ => Err(BrokerError::Locked),
        }
    }

    /// Returns the unlocked cards.
    pub(crate) fn unlocked_cards(&self) -> Vec<Candidate> {
        let unlocked = self.seats().filter(|seat| seat.is_unlocked());
        unlocked.filter_map(|seat| Some(self.candidate(seat.info()?, &seat.name))).collect()
    }

    /// Whether a card that is called so was met before.
    fn has_heard_of(&self, wanted: &str) -> bool {
        let pinned = self.enrolment.pinned.all().map(|pins| (pins.card, Some(pins.key_uid)));
        let known = self.cards.known.all().map(|known| (known.card, known.key_uid));
        pinned.chain(known).any(|(card, key_uid)| {
            Candidate { reader: String::new(), card, label: self.label_of(&card), key_uid }.fits(wanted)
        })
    }

    /// Returns the whole name of what somebody calls a reader.
    pub(crate) fn whole_name(&self, wanted: &str) -> String {
        self.cards.readers.resolve(wanted, &self.other_seats())
    }

    /// Returns the names of the seats without the own one.
    pub(crate) fn other_seats(&self) -> Vec<String> {
        self.seat_names().into_iter().filter(|name| *name != self.cards.own).collect()
    }

    /// Returns the seat of the card that is meant, with the transport if it is a new one.
    pub(crate) fn find(&mut self, target: &Target) -> Result<(String, Option<Guarded<T>>), BrokerError> {
        let reader = target.reader.as_ref().map(|reader| self.whole_name(reader));
        match (reader, &target.card) {
            (None, None) => Ok((self.cards.own.clone(), None)),
            (Some(reader), None) => self.seat_of(reader),
            (reader, Some(wanted)) => self.search(reader.as_deref(), wanted),
        }
    }

    fn seat_of(&mut self, reader: String) -> Result<(String, Option<Guarded<T>>), BrokerError> {
        if self.seat_named(&reader).is_some() {
            return Ok((reader, None));
        }
        let mut readers = self.cards.readers.names()?;
        if !readers.contains(&reader) {
            readers.splice(0..0, self.seat_names());
            readers.dedup();
            return Err(TargetError::NoSuchReader { wanted: reader, readers }.into());
        }
        let transport = self.cards.readers.connect(&reader)?;
        let transport = self.guarded(transport);
        Ok((reader, Some(transport)))
    }

    /// Looks at every card, or at that of one reader, for the one that is called so.
    fn search(&mut self, reader: Option<&str>, wanted: &str) -> Result<(String, Option<Guarded<T>>), BrokerError> {
        let mut found = Vec::new();
        let mut others = Vec::new();
        let mut names = self.seat_names();
        for name in self.cards.readers.names()? {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names.into_iter().filter(|name| reader.is_none_or(|reader| reader == name)) {
            let seen = if self.seat_named(&name).is_some() {
                match self.at_seat(&name, None, Self::look_here) {
                    Ok(Some(candidate)) => Some((candidate, None)),
                    // Whoever names a reader is told who has it.
                    Err(error @ BrokerError::Lent(_)) if reader.is_some() => return Err(error),
                    Ok(None) | Err(BrokerError::Lent(_)) => None,
                    Err(error) => return Err(error),
                }
            } else {
                // A reader that is empty or in use by another program has no card for us.
                let transport = self.cards.readers.connect(&name).ok().map(|transport| self.guarded(transport));
                let looked = transport.and_then(|transport| self.look(transport, &name).ok());
                looked.map(|(transport, candidate)| (candidate, Some(transport)))
            };
            match seen {
                Some((candidate, transport)) if candidate.fits(wanted) => found.push((candidate, transport)),
                Some((candidate, _)) => others.push(candidate),
                None => {}
            }
        }
        let wanted = wanted.to_owned();
        match (found.pop(), found.is_empty()) {
            (Some((candidate, transport)), true) => Ok((candidate.reader, transport)),
            (Some(last), false) => {
                let candidates = found.into_iter().chain([last]).map(|(candidate, _)| candidate).collect();
                Err(TargetError::Ambiguous { wanted, candidates }.into())
            }
            (None, _) => Err(TargetError::NoSuchCard { wanted, candidates: others }.into()),
        }
    }

    /// Looks at the card of the current seat, whose session stays as it is; nothing when there is none.
    pub(crate) fn look_here(&mut self) -> Result<Option<Candidate>, BrokerError> {
        self.unless_lent()?;
        let name = self.seat.name.clone();
        if let Some(info) = self.seat.info() {
            return Ok(Some(self.candidate(info, &name)));
        }
        let info = match self.connect() {
            Ok(selection) => {
                let info = info_of(&selection).clone();
                self.put_back(transport_of(selection));
                info
            }
            // A reader that is empty, or cannot be used, has no card for us.
            Err(BrokerError::Card(CardError::Transport(_) | CardError::Unsuitable(_))) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(self.candidate(&info, &name)))
    }

    fn look(&mut self, mut transport: Guarded<T>, reader: &str) -> Result<(Guarded<T>, Candidate), BrokerError> {
        transport.reset().map_err(CardError::from)?;
        let selection = keycard::select(transport).map_err(|failed| failed.error)?;
        let candidate = self.candidate(info_of(&selection), reader);
        Ok((transport_of(selection), candidate))
    }

    pub(crate) fn candidate(&self, info: &ApplicationInfo, reader: &str) -> Candidate {
        let card = info.card_id();
        Candidate { reader: reader.to_owned(), card, label: self.label_of(&card), key_uid: info.key_uid }
    }

    /// Returns what people call a card: the owner's own label first, then the manifest's.
    pub(crate) fn label_of(&self, card: &CardId) -> Option<String> {
        let known = self.cards.known.find(card).and_then(|known| known.label.clone());
        known.or_else(|| self.rules.manifest.find(card).map(|named| named.label.clone()))
    }
}

pub(crate) fn info_of<T>(selection: &Selection<T>) -> &ApplicationInfo {
    match selection {
        Selection::Blank(card) => card.info(),
        Selection::Initialised(card) => card.info(),
    }
}

pub(crate) fn transport_of<T>(selection: Selection<T>) -> T {
    match selection {
        Selection::Blank(card) => card.into_transport(),
        Selection::Initialised(card) => card.into_transport(),
    }
}

/// The seat at which there never is a card.
const NOWHERE: &str = "";
/// Fewer digits fit too much.
const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_called_by_its_label_its_id_or_enough_of_its_digits() {
        let candidate = Candidate {
            reader: "soft:a".to_owned(),
            card: CardId::Instance([0xab; 16]),
            label: Some("blue".to_owned()),
            key_uid: Some(KeyUid::from([0xcd; 32])),
        };
        let id = format!("instance:{}", "ab".repeat(16));
        for wanted in ["blue", " blue ", &id, &id.to_uppercase(), &"ab".repeat(16), "ABABABAB", "cdcdcdcd"] {
            assert!(candidate.fits(wanted), "{wanted}");
        }
        for other in ["", "Blue", "ab", "abababa", "abababac", "soft:a", &"ab".repeat(17)] {
            assert!(!candidate.fits(other), "{other}");
        }
        assert_eq!(
            TargetError::Ambiguous { wanted: "x".to_owned(), candidates: vec![candidate] }.to_string(),
            format!(
                "\"x\" fits more than one card; choose one with --card ID: {id} in soft:a, called \"blue\", account {}",
                "cd".repeat(32)
            )
        );
    }
}
