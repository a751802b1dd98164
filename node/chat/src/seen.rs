//! What was seen before: the last messages by their id and by what they say, so that nothing counts twice.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use proto::{Digest, MessageId};

/// The two names of a message under which it may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Of the exact wrapper.
    pub id: MessageId,
    /// Of author, type and payload, which no third party can vary.
    pub content: Digest,
}

/// The last [`SeenSet::LIMIT`] messages; older ones are forgotten, oldest first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SeenSet {
    order: VecDeque<Seen>,
    ids: BTreeSet<MessageId>,
    contents: BTreeSet<Digest>,
}

impl SeenSet {
    /// How many messages are remembered: about 5 MiB.
    pub const LIMIT: usize = 16_384;

    /// Returns whether this message was seen under either name.
    #[must_use]
    pub fn contains(&self, message: &Seen) -> bool {
        self.ids.contains(&message.id) || self.contents.contains(&message.content)
    }

    /// Remembers a message, and forgets the oldest when there are too many.
    pub fn insert(&mut self, message: Seen) {
        if self.contains(&message) {
            return;
        }
        if self.order.len() >= Self::LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest.id);
            self.contents.remove(&oldest.content);
        }
        self.ids.insert(message.id);
        self.contents.insert(message.content);
        self.order.push_back(message);
    }
}

impl fmt::Debug for SeenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeenSet({} messages)", self.order.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(n: usize) -> Seen {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        Seen { id: MessageId::from(bytes), content: Digest::from(bytes) }
    }

    #[test]
    fn either_name_is_enough_to_be_known() {
        let mut set = SeenSet::default();
        set.insert(seen(1));
        assert!(set.contains(&Seen { id: seen(2).id, content: seen(1).content }));
        assert!(set.contains(&Seen { id: seen(1).id, content: seen(2).content }));
        assert!(!set.contains(&seen(2)));
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let mut set = SeenSet::default();
        for n in 0..=SeenSet::LIMIT {
            set.insert(seen(n));
        }
        assert!(!set.contains(&seen(0)));
        assert!(set.contains(&seen(1)) && set.contains(&seen(SeenSet::LIMIT)));
        assert_eq!(
            (set.order.len(), set.ids.len(), set.contents.len()),
            (SeenSet::LIMIT, SeenSet::LIMIT, SeenSet::LIMIT)
        );
    }
}
