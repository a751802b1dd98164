//! The public chats that were asked about: topic and key of each, computed once.
//!
//! PBKDF2 takes tens of milliseconds, so it runs on a thread that may block, never in the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chat::{ChatName, public};
use proto::Topic;
use wire::payload::SymKey;

/// A public chat as the envelope layer sees it.
pub(crate) struct Room {
    /// Its name.
    pub(crate) name: ChatName,
    /// The topic of its envelopes.
    pub(crate) topic: Topic,
    /// The key of their payloads, which everybody has who knows the name.
    pub(crate) key: Arc<SymKey>,
}

/// The rooms by name, bounded.
#[derive(Clone)]
pub(crate) struct Rooms {
    known: Arc<Mutex<BTreeMap<ChatName, Arc<Room>>>>,
    limit: usize,
}

/// There are as many rooms as the configuration allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node follows {limit} chats already, which is its limit")]
pub(crate) struct TooMany {
    pub(crate) limit: usize,
}

impl Rooms {
    pub(crate) fn new(limit: usize) -> Self {
        Self { known: Arc::default(), limit }
    }

    /// Gives the place of a room that was left to another.
    pub(crate) fn forget(&self, name: &ChatName) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Returns the room of this name.
    pub(crate) async fn of(&self, name: ChatName) -> Result<Arc<Room>, TooMany> {
        let too_many = TooMany { limit: self.limit };
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(room) = known.get(&name) {
                return Ok(Arc::clone(room));
            }
            if known.len() >= self.limit {
                return Err(too_many);
            }
        }
        let make = move || {
            let key = Arc::new(SymKey::new(&public::sym_key(name.as_str())));
            Room { topic: public::topic(name.as_str()), key, name }
        };
        // The closure does not panic and the runtime outlives us, so a failed join is the end of the process.
        let room = Arc::new(tokio::task::spawn_blocking(make).await.map_err(|_| too_many)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.limit && !known.contains_key(&room.name) {
            return Err(too_many);
        }
        Ok(Arc::clone(known.entry(room.name.clone()).or_insert(room)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_room_is_made_once_and_rooms_are_bounded() {
        let rooms = Rooms::new(1);
        let name = ChatName::try_from("demo").unwrap();
        let room = rooms.of(name.clone()).await.unwrap();
        assert!(Arc::ptr_eq(&room, &rooms.of(name).await.unwrap()));
        let other = ChatName::try_from("other").unwrap();
        assert!(rooms.of(other.clone()).await.is_err());
        rooms.forget(&room.name);
        assert!(rooms.of(other).await.is_ok(), "the place of a room that was left is free");
    }
}
