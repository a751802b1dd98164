//! The readers beside the manager's own: the software cards of its profile, and those of PC/SC.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use keycard::CardError;
use readers::{Loan, ReaderState, Readers, Slot, Use};

use super::name::{NotAReader, ReaderName, SoftName};
use super::{AnyReader, view};
use crate::cards::seat::{self, TargetError};
use crate::error::BrokerError;
use crate::files::StateError;

/// All readers but the manager's own.
pub struct OtherReaders {
    dir: PathBuf,
    own: ReaderName,
    readers: Readers,
    /// The PC/SC readers that are lent, by the names of their seats.
    loans: BTreeMap<String, Loan>,
}

impl OtherReaders {
    /// Returns those of a profile's directory and of this computer, without `own`.
    #[must_use]
    pub fn new(dir: &Path, own: ReaderName, readers: Readers) -> Self {
        Self { dir: dir.to_owned(), own, readers, loans: BTreeMap::new() }
    }

    /// Whether this is the reader whose card the own seat holds: `auto` goes on with the card that it took when another is
    /// put in somewhere else.
    fn holds(&self, state: &ReaderState, others: &[String]) -> bool {
        let ours = matches!(state.slot, Slot::Card { used: Use::Ours, .. });
        ours && self.own == ReaderName::Auto && !others.contains(&view::full_name(state))
    }

    fn soft(&self) -> Result<Vec<ReaderName>, StateError> {
        let folder = self.dir.join("cards");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StateError::io(&folder, source)),
        };
        let mut names: Vec<SoftName> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok())
            .collect();
        names.sort();
        Ok(names.into_iter().map(ReaderName::Soft).collect())
    }
}

impl seat::Readers<AnyReader> for OtherReaders {
    fn names(&mut self) -> Result<Vec<String>, BrokerError> {
        // Without its service there are no PC/SC readers, which is no reason to find none of the others.
        let states = self.readers.list().unwrap_or_default();
        let own = self.own.choice().and_then(|choice| choice.among(&states).map(|state| state.name.clone()));
        let pcsc = to_look_into(&states).filter(|state| own.as_ref() != Some(&state.name)).map(view::full_name);
        let soft = self.soft()?.into_iter().filter(|name| *name != self.own).map(|name| name.to_string());
        Ok(soft.chain(pcsc).collect())
    }

    fn lend(&mut self, name: &str, others: &[String]) -> Result<(), BrokerError> {
        let parsed = name.parse::<ReaderName>().ok();
        let Some(choice) = parsed.as_ref().and_then(ReaderName::choice) else { return Ok(()) };
        let states = self.readers.list().map_err(CardError::from)?;
        let held = states.iter().find(|state| parsed.as_ref() == Some(&self.own) && self.holds(state, others));
        let Some(state) = held.or_else(|| choice.among(&states)) else {
            let readers = states.iter().map(view::full_name).collect();
            return Err(TargetError::NoSuchReader { wanted: name.to_owned(), readers }.into());
        };
        self.loans.insert(name.to_owned(), self.readers.lend(&state.name));
        Ok(())
    }

    fn take_back(&mut self, name: &str) {
        self.loans.remove(name);
    }

    fn connect(&mut self, name: &str) -> Result<AnyReader, BrokerError> {
        let name = match self.loans.get(name) {
            // It is asked for to be taken back, and no other in its place.
            Some(loan) => ReaderName::Pcsc(loan.reader().to_owned()),
            None => name.parse().map_err(|error: NotAReader| BrokerError::bad_input(error.to_string()))?,
        };
        Ok(AnyReader::open(&name, &self.dir, &self.readers)?)
    }

    fn resolve(&self, wanted: &str, others: &[String]) -> String {
        let choice = wanted.parse::<ReaderName>().ok().and_then(|name| name.choice());
        let Some(choice) = choice else { return wanted.to_owned() };
        let states = self.readers.list().unwrap_or_default();
        let found = choice.among(&states);
        let own = self.own.choice().and_then(|own| own.among(&states).cloned());
        if let Some(state) = found
            && let Some((seat, _)) = self.loans.iter().find(|(_, loan)| loan.reader() == state.name)
        {
            return seat.clone();
        }
        match found {
            Some(state) if own.as_ref() == Some(state) || self.holds(state, others) => self.own.to_string(),
            Some(state) => view::full_name(state),
            None => wanted.to_owned(),
        }
    }
}

/// Returns the readers with a card that has no seat: one that is held has, and so has one that is lent.
fn to_look_into(states: &[ReaderState]) -> impl Iterator<Item = &ReaderState> {
    states.iter().filter(|state| matches!(state.slot, Slot::Card { used: Use::Free | Use::Shared | Use::Held, .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_held_or_lent_is_not_looked_into_for_another_card() {
        let state = |name: &str, slot: Slot| ReaderState { name: name.to_owned(), slot, events: 0 };
        let card = |used: Use| Slot::Card { atr: vec![0x3b], used };
        let states = [
            state("free", card(Use::Free)),
            state("ours", card(Use::Ours)),
            state("lent", card(Use::Lent)),
            state("held", card(Use::Held)),
            state("empty", Slot::Empty),
        ];
        assert_eq!(to_look_into(&states).map(|state| state.name.as_str()).collect::<Vec<_>>(), ["free", "held"]);
    }
}
