//! The readers beside the manager's own: the software cards of its profile, and those of PC/SC.

use std::io;
use std::path::{Path, PathBuf};

use readers::{ReaderState, Readers, Slot, Use};

use super::name::{NotAReader, ReaderName, SoftName};
use super::{AnyReader, view};
use crate::cards::seat;
use crate::error::BrokerError;
use crate::files::StateError;

/// All readers but the manager's own.
pub struct OtherReaders {
    dir: PathBuf,
    own: ReaderName,
    readers: Readers,
}

impl OtherReaders {
    /// Returns those of a profile's directory and of this computer, without `own`.
    #[must_use]
    pub fn new(dir: &Path, own: ReaderName, readers: Readers) -> Self {
        Self { dir: dir.to_owned(), own, readers }
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
        // A card that is held has a seat already.
        let with_card =
            states.iter().filter(|state| matches!(state.slot, Slot::Card { used, .. } if used != Use::Ours));
        let pcsc = with_card.filter(|state| own.as_ref() != Some(&state.name)).map(view::full_name);
        let soft = self.soft()?.into_iter().filter(|name| *name != self.own).map(|name| name.to_string());
        Ok(soft.chain(pcsc).collect())
    }

    fn connect(&mut self, name: &str) -> Result<AnyReader, BrokerError> {
        let name = name.parse().map_err(|error: NotAReader| BrokerError::bad_input(error.to_string()))?;
        Ok(AnyReader::open(&name, &self.dir, &self.readers)?)
    }

    fn resolve(&self, wanted: &str, others: &[String]) -> String {
        let choice = wanted.parse::<ReaderName>().ok().and_then(|name| name.choice());
        let Some(choice) = choice else { return wanted.to_owned() };
        let states = self.readers.list().unwrap_or_default();
        let found = choice.among(&states);
        let own = self.own.choice().and_then(|own| own.among(&states).cloned());
        // `auto` goes on with the card that it took when another is put in somewhere else.
        let holds = |state: &ReaderState| {
            let ours = matches!(state.slot, Slot::Card { used: Use::Ours, .. });
            ours && self.own == ReaderName::Auto && !others.contains(&view::full_name(state))
        };
        match found {
            Some(state) if own.as_ref() == Some(state) || holds(state) => self.own.to_string(),
            Some(state) => view::full_name(state),
            None => wanted.to_owned(),
        }
    }
}
