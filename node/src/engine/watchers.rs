//! What happens to the node, and those who want to know all of it.

use chat::ChatName;
use proto::{ChatKey, MessageId};

use super::command::Peer;
use super::listener::{Listener, Listening};
use crate::store::Line;

/// Something that happened, and that a program may act on.
#[derive(Clone)]
pub(crate) enum Happening {
    /// A peer has shaken hands.
    PeerUp(Peer),
    /// A peer is gone.
    PeerDown {
        /// Its node key.
        id: ChatKey,
        /// A word for why.
        why: &'static str,
    },
    /// A chat was joined.
    Joined(ChatName),
    /// A chat was left.
    Left(ChatName),
    /// A message was stored, one of ours included.
    Message(Box<Line>),
    /// A peer has a message of ours.
    Sent(MessageId),
    /// No peer acknowledged a message of ours, and it is given up.
    Expired(MessageId),
}

/// Those who watch. Their number is bounded by the service.
#[derive(Default)]
pub(super) struct Watchers(Vec<Listener<Happening>>);

impl Watchers {
    /// Adds one.
    pub(super) fn add(&mut self) -> Listening<Happening> {
        self.0.retain(|watcher| !watcher.is_gone());
        let (watcher, listening) = Listener::new(UNREAD);
        self.0.push(watcher);
        listening
    }

    /// Tells all of them.
    pub(super) fn tell(&mut self, happening: &Happening) {
        let all = std::mem::take(&mut self.0);
        self.0 = all.into_iter().filter_map(|watcher| watcher.told(happening)).collect();
    }
}

/// What a watcher may have unread: the messages of a busy relay's pool, which come at once.
const UNREAD: usize = 1024;
