//! Which card a verb means: the one in the manager's own reader, in a reader by its name, or by what the card is called.
//!
//! The invariant: a name that fits more than one card is refused, and what is in the own reader is put back as it was.

use keycard::{ApplicationInfo, CardError, CardTransport, Selection};
use proto::{CardId, KeyUid};

use crate::broker::Broker;
use crate::error::BrokerError;
use crate::guard::Guarded;

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

    /// Returns the whole name, among [`Readers::names`] or the own reader's, of what somebody calls a reader.
    fn resolve(&mut self, wanted: &str) -> String {
        wanted.to_owned()
    }
}

/// What a verb says of the card that it means. Nothing: the card in the manager's own reader.
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
    #[error("{wanted:?} fits more than one card; choose one with --card ID: {}", listed(candidates))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Those that fit.
        candidates: Vec<Candidate>,
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

/// Where the card is that was found.
enum Seat<T> {
    Own,
    Other(T),
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
    fn fits(&self, wanted: &str) -> bool {
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

fn listed(candidates: &[Candidate]) -> String {
    if candidates.is_empty() {
        return "none".to_owned();
    }
    candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl<T: CardTransport, S: audit::LogStore> Broker<T, S> {
    /// Does something with the card that is meant. A card in another reader takes the place of the own one meanwhile, which
    /// stays as it is, and is reset afterwards.
    pub(crate) fn at<R>(
        &mut self,
        target: &Target,
        work: impl FnOnce(&mut Self) -> Result<R, BrokerError>,
    ) -> Result<R, BrokerError> {
        match self.seat(target)? {
            Seat::Own => work(self),
            Seat::Other(transport) => {
                // Should `work` panic, both transports are on the stack, and their ends reset the cards.
                let own = self.visit(transport);
                let result = work(self);
                self.leave(own);
                result
            }
        }
    }

    fn seat(&mut self, target: &Target) -> Result<Seat<Guarded<T>>, BrokerError> {
        let reader = target.reader.as_ref().map(|reader| self.cards.readers.resolve(reader));
        match (reader, &target.card) {
            (None, None) => Ok(Seat::Own),
            (Some(reader), None) if reader == self.cards.own => Ok(Seat::Own),
            (Some(reader), None) => self.seat_of(&reader),
            (reader, Some(wanted)) => self.search(reader.as_deref(), wanted),
        }
    }

    fn seat_of(&mut self, reader: &str) -> Result<Seat<Guarded<T>>, BrokerError> {
        let mut readers = self.cards.readers.names()?;
        if !readers.iter().any(|name| name == reader) {
            readers.insert(0, self.cards.own.clone());
            return Err(TargetError::NoSuchReader { wanted: reader.to_owned(), readers }.into());
        }
        Ok(Seat::Other(Guarded::new(self.cards.readers.connect(reader)?, self.metrics.clone())))
    }

    /// Looks at every card, or at that of one reader, for the one that is called so.
    fn search(&mut self, reader: Option<&str>, wanted: &str) -> Result<Seat<Guarded<T>>, BrokerError> {
        let mut found = Vec::new();
        let mut others = Vec::new();
        let own = self.cards.own.clone();
        if reader.is_none_or(|reader| reader == own)
            && let Some(candidate) = self.look_at_own()?
        {
            if candidate.fits(wanted) { found.push((candidate, Seat::Own)) } else { others.push(candidate) }
        }
        for name in self.cards.readers.names()? {
            if reader.is_some_and(|reader| reader != name) || name == own {
                continue;
            }
            // A reader that is empty or in use by another program has no card for us.
            let Ok(transport) = self.cards.readers.connect(&name) else { continue };
            let Ok((transport, candidate)) = self.look(Guarded::new(transport, self.metrics.clone()), &name) else {
                continue;
            };
            if candidate.fits(wanted) {
                found.push((candidate, Seat::Other(transport)));
            } else {
                others.push(candidate);
            }
        }
        let wanted = wanted.to_owned();
        match (found.pop(), found.is_empty()) {
            (Some((_, seat)), true) => Ok(seat),
            (Some(last), false) => {
                let candidates = found.into_iter().chain([last]).map(|(candidate, _)| candidate).collect();
                Err(TargetError::Ambiguous { wanted, candidates }.into())
            }
            (None, _) => Err(TargetError::NoSuchCard { wanted, candidates: others }.into()),
        }
    }

    /// Looks at the card in the own reader, whose session stays as it is; nothing when there is none.
    fn look_at_own(&mut self) -> Result<Option<Candidate>, BrokerError> {
        let own = self.cards.own.clone();
        if let Ok((card, _)) = self.unlocked() {
            let info = card.info().clone();
            return Ok(Some(self.candidate(&info, &own)));
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
        Ok(Some(self.candidate(&info, &own)))
    }

    fn look(&mut self, mut transport: Guarded<T>, reader: &str) -> Result<(Guarded<T>, Candidate), BrokerError> {
        transport.reset().map_err(CardError::from)?;
        let selection = keycard::select(transport).map_err(|failed| failed.error)?;
        let candidate = self.candidate(info_of(&selection), reader);
        Ok((transport_of(selection), candidate))
    }

    fn candidate(&self, info: &ApplicationInfo, reader: &str) -> Candidate {
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
