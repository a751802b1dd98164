//! What is in the readers, for `cardinal readers` and `cardinal doctor`.
//!
//! The invariant: a card that somebody uses is not spoken to, and one that nobody uses is reset afterwards.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use audit::LogStore;
use keycard::{CardError, CardTransport, Failed, Selection, TransportError, Unsuitable};
use proto::rpc::Fault;
use proto::rpc::api::{CardInfo, ReaderInfo, ReadersReply};
use readers::{Choice, Loan, ReaderState, Readers, Slot, Use};

use super::name::ReaderName;
use crate::broker::Broker;
use crate::error::{BrokerError, of_transport};
use crate::opening::describe;

/// Returns every PC/SC reader and what card is in it. No manager is asked, and nothing of the readers in `lent`, as
/// `--reader` takes them.
#[must_use]
pub fn all(readers: &Readers, lent: &[ReaderName]) -> ReadersReply {
    let name = |name: &ReaderName| if let ReaderName::Pcsc(name) = name { Some(readers.lend(name)) } else { None };
    let _loans: Vec<Loan> = lent.iter().filter_map(name).collect();
    match readers.list() {
        Ok(states) => ReadersReply {
            readers: states.iter().map(|state| look(readers, state)).collect(),
            ..ReadersReply::default()
        },
        Err(error) => unlisted(&error),
    }
}

/// Returns the same as JSON, the fields named as in the schema.
#[must_use]
pub fn to_json(reply: &ReadersReply) -> serde_json::Value {
    let card = |card: &CardInfo| {
        serde_json::json!({
            "card": card.card,
            "applet": card.applet,
            "key_uid": card.key_uid,
            "initialised": card.initialised,
            "authority": card.authority,
            "identity_fingerprint": card.identity_fingerprint,
        })
    };
    let reader = |reader: &ReaderInfo| {
        serde_json::json!({
            "name": reader.name,
            "state": reader.state,
            "atr": reader.atr,
            "card": reader.card.as_ref().map(card),
            "fault": reader.fault,
            "trouble": reader.trouble,
            "served": reader.served,
            "pin_tries": reader.pin_tries,
        })
    };
    serde_json::json!({
        "readers": reply.readers.iter().map(reader).collect::<Vec<_>>(),
        "fault": reply.fault,
        "trouble": reply.trouble,
    })
}

/// Returns every reader as a manager sees it, whose own is `served`.
pub(crate) fn of_manager<T: CardTransport, S: LogStore>(
    readers: &Readers,
    served: &ReaderName,
    broker: &mut Broker<T, S>,
) -> ReadersReply {
    let (mut reply, states) = match readers.list() {
        Ok(states) => (ReadersReply::default(), states),
        Err(error) => (unlisted(&error), Vec::new()),
    };
    let choice = served.choice();
    let served_name = served.to_string();
    let ours = choice.as_ref().and_then(|choice| choice.among(&states)).map(|state| state.name.clone());
    for state in &states {
        let held = matches!(state.slot, Slot::Card { used: Use::Ours, .. });
        let served = ours.as_ref() == Some(&state.name);
        // What is held at no seat of its own is held by the manager's own reader.
        let seat = Some(full_name(state)).filter(|name| broker.seat_named(name).is_some());
        let seat = seat.unwrap_or_else(|| served_name.clone());
        let mut info =
            if held { broker.at_seat(&seat, None, |broker| own(plain(state), broker)) } else { look(readers, state) };
        info.served = held || served;
        reply.readers.push(info);
    }
    if choice.is_none() {
        let state = if broker.status().unlocked { OURS } else { CARD };
        let info =
            ReaderInfo { name: served.to_string(), state: state.to_owned(), served: true, ..ReaderInfo::default() };
        reply.readers.push(own(info, broker));
    }
    reply
}

/// What was last heard of the readers. Copies hear the same.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Heard>>);

/// What was heard last, if anything.
#[derive(Debug, Default)]
struct Heard {
    /// How often something was.
    times: u64,
    /// What is there; nothing without a service that lists readers.
    states: Option<Option<Vec<ReaderState>>>,
}

impl Seen {
    /// Hears what is there, or that there is no list of readers.
    pub(crate) fn hear(&self, states: Option<Vec<ReaderState>>) {
        let mut heard = self.lock();
        heard.times = heard.times.saturating_add(1);
        heard.states = Some(states);
    }

    /// Returns what is there, if it was heard since `times`, which is set to now.
    pub(crate) fn news(&self, times: &mut u64) -> Option<Option<Vec<ReaderState>>> {
        let heard = self.lock();
        if std::mem::replace(times, heard.times) == heard.times {
            return None;
        }
        heard.states.clone()
    }

    /// Returns the state of a manager's reader in a word, as `KeymgrStatus.reader_state`.
    pub(crate) fn state_of(&self, served: &ReaderName) -> &'static str {
        let Some(choice) = served.choice() else { return CARD };
        match &self.lock().states {
            None => "",
            Some(None) => "no-service",
            Some(Some(states)) => match choice.among(states) {
                Some(state) => word(state),
                None if choice == Choice::OnlyWithCard && !states.is_empty() => "no-card",
                None => "no-reader",
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unlisted(error: &TransportError) -> ReadersReply {
    ReadersReply {
        readers: Vec::new(),
        fault: of_transport(error).name().to_owned(),
        trouble: match error {
            // There is nothing to be listed, and that is all that is wrong: whoever lists says what to do next.
            TransportError::Service(why) => why.to_string(),
            other => other.to_string(),
        },
    }
}

fn plain(state: &ReaderState) -> ReaderInfo {
    let atr = if let Slot::Card { atr, .. } = &state.slot { hex::encode(atr) } else { String::new() };
    ReaderInfo { name: full_name(state), state: word(state).to_owned(), atr, ..ReaderInfo::default() }
}

/// Returns a PC/SC reader's name as `--reader` takes it.
pub(crate) fn full_name(state: &ReaderState) -> String {
    ReaderName::Pcsc(state.name.clone()).to_string()
}

const fn word(state: &ReaderState) -> &'static str {
    match &state.slot {
        Slot::Empty => "empty",
        Slot::Mute => "mute",
        Slot::Card { used: Use::Free, .. } => CARD,
        Slot::Card { used: Use::Shared, .. } => "shared",
        Slot::Card { used: Use::Held, .. } => "held",
        Slot::Card { used: Use::Lent, .. } => "lent",
        Slot::Card { used: Use::Ours, .. } => OURS,
    }
}

/// Says what the manager knows of its card.
fn own<T: CardTransport, S: LogStore>(mut info: ReaderInfo, broker: &mut Broker<T, S>) -> ReaderInfo {
    match broker.glance() {
        Ok((card, tries)) => {
            info.card = Some(card);
            info.pin_tries = tries;
        }
        Err(error) => trouble(&mut info, error.fault(), error.to_string()),
    }
    info
}

/// Asks a card that nobody uses what it is.
fn look(readers: &Readers, state: &ReaderState) -> ReaderInfo {
    let mut info = plain(state);
    match &state.slot {
        Slot::Card { used: Use::Free, .. } => {}
        Slot::Card { used: Use::Held, .. } => {
            trouble(&mut info, Fault::ReaderHeld, "another program holds the reader".to_owned());
            return info;
        }
        Slot::Card { used: Use::Lent, .. } => {
            trouble(&mut info, Fault::Lent, LENT.to_owned());
            return info;
        }
        _ => return info,
    }
    // The end of the reader resets the card.
    match keycard::select(readers.reader(Choice::Named(state.name.clone()))) {
        Ok(selection) => {
            let found = match &selection {
                Selection::Blank(card) => card.info(),
                Selection::Initialised(card) => card.info(),
            };
            info.card = Some(describe(found, None));
            info.pin_tries = found.pin_tries.map(u32::from);
        }
        Err(Failed { mut transport, error, .. }) => {
            let error = match error {
                CardError::Unsuitable(Unsuitable::NoApplet) if !takes_applets(&mut transport) => {
                    trouble(&mut info, Fault::ForeignCard, "the card is no Keycard and no card for applets".to_owned());
                    return info;
                }
                CardError::Status { .. } | CardError::Answer { .. } => {
                    trouble(&mut info, Fault::ForeignCard, format!("the card is no Keycard: {error}"));
                    return info;
                }
                other => BrokerError::from(other),
            };
            if matches!(error, BrokerError::Card(CardError::Transport(TransportError::Hung { .. }))) {
                info.state = "hung".to_owned();
            }
            trouble(&mut info, error.fault(), error.to_string());
        }
    }
    info
}

/// Whether there is an issuer security domain, to which applets are given (GlobalPlatform 2.1.1, 9.9).
fn takes_applets(transport: &mut impl CardTransport) -> bool {
    const SELECT: [u8; 5] = [0x00, 0xA4, 0x04, 0x00, 0x00];
    let answer = transport.transmit(&SELECT).unwrap_or_default();
    answer.starts_with(&[0x6F]) && answer.ends_with(&[0x90, 0x00]) || answer.starts_with(&[0x61])
}

fn trouble(info: &mut ReaderInfo, fault: Fault, words: String) {
    info.fault = fault.name().to_owned();
    info.trouble = words;
}

const CARD: &str = "card";
const LENT: &str = "the reader is lent; `cardinal keymgr leases` says to whom, `cardinal keymgr take-back` ends that";
const OURS: &str = "ours";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lent_reader_hears_nothing_from_a_look_at_all_readers() {
        let state = |used: Use| {
            let slot = Slot::Card { atr: vec![0x3b], used };
            ReaderState { name: "R".to_owned(), slot, events: 0 }
        };
        // Whoever is looked for here would fail for want of a reader, or of the service of all readers.
        let readers = Readers::default();
        let lent = look(&readers, &state(Use::Lent));
        assert_eq!((lent.state.as_str(), lent.fault.as_str()), ("lent", Fault::Lent.name()));
        assert_ne!(look(&readers, &state(Use::Free)).fault, Fault::Lent.name());
    }
}
