//! The service that owns the readers, and what it says of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keycard::TransportError;
use pcsc::{Context, Scope, State};

use crate::hanging::Hanging;
use crate::line::Line;
use crate::patience::{self, ORDINARY};
use crate::reader::PcscReader;
use crate::trouble::Trouble;
use crate::watch::Watch;

/// The way to all readers. Copies know of the same calls that hang.
#[derive(Debug, Clone)]
pub struct Readers {
    pub(crate) hanging: Hanging,
    pub(crate) ours: Ours,
    limit: Duration,
}

/// Which reader to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The one with a card in it.
    OnlyWithCard,
    /// The one of this name, or whose name has this in it.
    Named(String),
}

/// A reader as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderState {
    /// Its name, which says its make and tells it from others of the same.
    pub name: String,
    /// What is in it.
    pub slot: Slot,
    /// How many cards have come and gone since the service began, by which one that was changed shows.
    pub events: u32,
}

/// What is in a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// No card.
    Empty,
    /// A card that does not come up: upside down, broken, or no chip card.
    Mute,
    /// A card.
    Card {
        /// Its answer to reset.
        atr: Vec<u8>,
        /// Who uses it.
        used: Use,
    },
}

/// Who uses a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Nobody.
    Free,
    /// Some program, which lets others use it too.
    Shared,
    /// Another program, which lets nobody else.
    Held,
    /// Another program, to which we lent its reader: nothing is said to it, whether that program is at it or not.
    Lent,
    /// We, and nobody else can.
    Ours,
}

impl ReaderState {
    /// Whether a card that comes up is in it.
    #[must_use]
    pub const fn has_card(&self) -> bool {
        matches!(self.slot, Slot::Card { .. })
    }

    /// Whether it is lent, with a card in it.
    #[must_use]
    pub const fn is_lent(&self) -> bool {
        matches!(self.slot, Slot::Card { used: Use::Lent, .. })
    }
}

impl Choice {
    /// Returns the reader that fits, if there is exactly one.
    #[must_use]
    pub fn among<'a>(&self, states: &'a [ReaderState]) -> Option<&'a ReaderState> {
        let name = choose(self, states).ok()?;
        states.iter().find(|state| state.name == name)
    }
}

impl Default for Readers {
    fn default() -> Self {
        Self::with_limit(Duration::MAX)
    }
}

impl Readers {
    /// Returns the way to all readers, no call to which has more time than this.
    #[must_use]
    pub fn with_limit(limit: Duration) -> Self {
        Self { hanging: Hanging::default(), ours: Ours::default(), limit }
    }

    /// Returns the readers that are there, as they stand.
    ///
    /// # Errors
    /// [`TransportError::Service`], [`TransportError::Hung`]. No reader is no error.
    pub fn list(&self) -> Result<Vec<ReaderState>, TransportError> {
        Ok(self.states()?)
    }

    /// Returns the way to the card in a reader. Neither need be there yet: both are looked for when the card is spoken to.
    #[must_use]
    pub fn reader(&self, choice: Choice) -> PcscReader {
        PcscReader::new(self.clone(), choice)
    }

    /// Counts a reader among those that are lent, until the loan is dropped: none of these is chosen for its card alone.
    #[must_use]
    pub fn lend(&self, name: &str) -> Loan {
        Loan(self.ours.note(name, |names| &mut names.lent))
    }

    /// Tells of every change, beginning with what is there, until it returns false or the [`Watch`] is dropped.
    ///
    /// # Errors
    /// The operating system's, when it gives no thread.
    pub fn watch(
        &self,
        tell: impl FnMut(Result<Vec<ReaderState>, TransportError>) -> bool + Send + 'static,
    ) -> std::io::Result<Watch> {
        Watch::start(self.ours.clone(), tell)
    }

    pub(crate) fn states(&self) -> Result<Vec<ReaderState>, Trouble> {
        let mut line = Line::<()>::start(&self.hanging, "")?;
        let ours = self.ours.clone();
        line.call(self.moment(), move |()| {
            let context = establish()?;
            let mut states = all(&context)?;
            if !states.is_empty() {
                context.get_status_change(Duration::ZERO, &mut states)?;
            }
            Ok(states.iter().map(|state| ours.describe(state)).collect())
        })?
        .map_err(Trouble::listing)
    }

    /// Returns the time for a command of this instruction.
    pub(crate) fn time_for(&self, instruction: u8) -> Duration {
        patience::time_for(instruction).min(self.limit)
    }

    /// Returns the time for a call that no card works for.
    pub(crate) fn moment(&self) -> Duration {
        ORDINARY.min(self.limit)
    }

    /// Returns the name of the reader that fits.
    pub(crate) fn find(&self, choice: &Choice) -> Result<String, Trouble> {
        choose(choice, &self.states()?)
    }
}

/// Returns a context of the service.
pub(crate) fn establish() -> Result<Context, pcsc::Error> {
    match Context::establish(Scope::User) {
        // A service that ends in this moment hangs up as one that lets us not in does.
        Err(pcsc::Error::SecurityViolation | pcsc::Error::NoAccess) => {
            std::thread::sleep(HUNG_UP);
            Context::establish(Scope::User)
        }
        other => other,
    }
}

/// Returns the readers that are there, their states not known.
pub(crate) fn all(context: &Context) -> Result<Vec<pcsc::ReaderState>, pcsc::Error> {
    match context.list_readers_owned() {
        Ok(names) => Ok(names.into_iter().map(|name| pcsc::ReaderState::new(name, State::UNAWARE)).collect()),
        Err(pcsc::Error::NoReadersAvailable) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Returns the name of the one that fits among readers.
fn choose(choice: &Choice, states: &[ReaderState]) -> Result<String, Trouble> {
    let only = |fitting: Vec<&ReaderState>, nothing: Trouble| match fitting.as_slice() {
        [] => Err(nothing),
        [one] => Ok(one.name.clone()),
        several => Err(Trouble::Ambiguous { readers: several.iter().map(|state| state.name.clone()).collect() }),
    };
    match choice {
        Choice::OnlyWithCard if states.is_empty() => Err(Trouble::NoReader { name: String::new() }),
        Choice::OnlyWithCard => {
            // A reader that is lent is none of those that we look into.
            let with_card = states.iter().filter(|state| state.has_card() && !state.is_lent());
            // A card that is held already is not the one that is looked for, unless there is no other.
            let free = |state: &&ReaderState| !matches!(state.slot, Slot::Card { used: Use::Ours, .. });
            let others: Vec<&ReaderState> = with_card.clone().filter(free).collect();
            only(if others.is_empty() { with_card.collect() } else { others }, Trouble::NoCard)
        }
        Choice::Named(name) => {
            if states.iter().any(|state| state.name == *name) {
                return Ok(name.clone());
            }
            let part = name.to_lowercase();
            let fitting = states.iter().filter(|state| state.name.to_lowercase().contains(&part)).collect();
            only(fitting, Trouble::NoReader { name: name.clone() })
        }
    }
}

/// The readers that are ours to speak of: those that we hold, and those that we lent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ours(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    held: Vec<String>,
    lent: Vec<String>,
}

/// Keeps a reader among those that are lent until it is dropped.
#[derive(Debug)]
pub struct Loan(Holding);

/// Keeps a reader in one of the lists until it is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    ours: Ours,
    list: fn(&mut Names) -> &mut Vec<String>,
    name: String,
}

impl Loan {
    /// Returns the name of the reader.
    #[must_use]
    pub fn reader(&self) -> &str {
        &self.0.name
    }
}

impl Ours {
    /// Counts a reader among those that we hold.
    pub(crate) fn hold(&self, name: &str) -> Holding {
        self.note(name, |names| &mut names.held)
    }

    fn note(&self, name: &str, list: fn(&mut Names) -> &mut Vec<String>) -> Holding {
        list(&mut self.lock()).push(name.to_owned());
        Holding { ours: self.clone(), list, name: name.to_owned() }
    }

    /// Returns what the service says of a reader, in our words.
    pub(crate) fn describe(&self, state: &pcsc::ReaderState) -> ReaderState {
        let name = state.name().to_string_lossy().into_owned();
        let event = state.event_state();
        let names = self.lock();
        let used = if names.held.contains(&name) {
            Use::Ours
        } else if names.lent.contains(&name) {
            Use::Lent
        } else if event.contains(State::EXCLUSIVE) {
            Use::Held
        } else if event.contains(State::INUSE) {
            Use::Shared
        } else {
            Use::Free
        };
        drop(names);
        let slot = if !event.contains(State::PRESENT) {
            Slot::Empty
        } else if event.contains(State::MUTE) {
            Slot::Mute
        } else {
            Slot::Card { atr: state.atr().to_vec(), used }
        };
        ReaderState { name, slot, events: state.event_count() }
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut all = self.ours.lock();
        let names = (self.list)(&mut all);
        if let Some(at) = names.iter().position(|name| *name == self.name) {
            names.swap_remove(at);
        }
    }
}

/// For a service to end.
const HUNG_UP: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(name: &str, slot: Slot) -> ReaderState {
        ReaderState { name: name.to_owned(), slot, events: 0 }
    }

    fn card() -> Slot {
        Slot::Card { atr: vec![0x3b], used: Use::Free }
    }

    #[test]
    fn the_only_reader_with_a_card_is_taken_and_two_are_ambiguous() {
        let choose = |states: &[ReaderState]| choose(&Choice::OnlyWithCard, states);
        assert_eq!(choose(&[]), Err(Trouble::NoReader { name: String::new() }));
        assert_eq!(choose(&[reader("A", Slot::Empty), reader("B", Slot::Mute)]), Err(Trouble::NoCard));
        assert_eq!(choose(&[reader("A", Slot::Empty), reader("B", card())]), Ok("B".to_owned()));
        let both = vec!["A".to_owned(), "B".to_owned()];
        assert_eq!(choose(&[reader("A", card()), reader("B", card())]), Err(Trouble::Ambiguous { readers: both }));
    }

    #[test]
    fn a_reader_that_is_lent_is_not_chosen_for_its_card_until_it_is_back() {
        let readers = Readers::default();
        let states = |used: Use| [reader("A", Slot::Empty), reader("B", Slot::Card { atr: vec![], used })];
        let chosen = |used: Use| choose(&Choice::OnlyWithCard, &states(used));
        assert_eq!(chosen(Use::Free), Ok("B".to_owned()));
        assert_eq!(chosen(Use::Lent), Err(Trouble::NoCard));
        assert_eq!(choose(&Choice::Named("B".to_owned()), &states(Use::Lent)), Ok("B".to_owned()), "to take it back");
        let loan = readers.lend("B");
        let again = readers.lend("B");
        drop(again);
        assert_eq!((loan.reader(), readers.ours.lock().lent.as_slice()), ("B", ["B".to_owned()].as_slice()));
        drop(loan);
        assert!(readers.ours.lock().lent.is_empty());
    }

    #[test]
    fn a_name_is_the_whole_or_a_part_that_only_one_reader_has() {
        let states =
            [reader("ACS ACR39U 00 00", card()), reader("ACS ACR39U 01 00", Slot::Empty), reader("ACS", card())];
        let choose = |name: &str| choose(&Choice::Named(name.to_owned()), &states);
        assert_eq!(choose("ACS"), Ok("ACS".to_owned()), "a whole name wins");
        assert_eq!(choose("acr39u 01"), Ok("ACS ACR39U 01 00".to_owned()));
        assert!(matches!(choose("acr39u"), Err(Trouble::Ambiguous { readers }) if readers.len() == 2));
        assert_eq!(choose("Omnikey"), Err(Trouble::NoReader { name: "Omnikey".to_owned() }));
    }
}
