//! Those who follow a chat over the local API. A follower that does not read is let go, and never waited for.

use chat::ChatName;
use tokio::sync::{mpsc, oneshot};

use super::command::Following;
use crate::store::Line;

/// The followers of all chats. Their number is bounded by the service.
#[derive(Default)]
pub(super) struct Followers(Vec<Follower>);

struct Follower {
    chat: ChatName,
    lines: mpsc::Sender<Line>,
    slow: oneshot::Sender<TooSlow>,
}

/// Why the lines end: they were not read in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooSlow;

impl Followers {
    /// Adds a follower, who is given the history first.
    pub(super) fn add(&mut self, chat: ChatName, history: Vec<Line>) -> Following {
        self.0.retain(|follower| !follower.lines.is_closed());
        let (lines, live) = mpsc::channel(UNREAD);
        let (slow, ended) = oneshot::channel();
        self.0.push(Follower { chat, lines, slow });
        Following { history, live, ended }
    }

    /// Lets the followers of a chat go.
    pub(super) fn forget(&mut self, chat: &ChatName) {
        self.0.retain(|follower| follower.chat != *chat);
    }

    /// Tells the followers of a chat.
    pub(super) fn tell(&mut self, chat: &ChatName, line: &Line) {
        let (followers, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|follower| follower.chat == *chat);
        self.0 = others;
        for follower in followers {
            match follower.lines.try_send(line.clone()) {
                Ok(()) => self.0.push(follower),
                Err(mpsc::error::TrySendError::Full(_)) => drop(follower.slow.send(TooSlow)),
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
    }
}

/// Messages that a follower may have unread: a terminal that stands still for a busy minute.
const UNREAD: usize = 256;

#[cfg(test)]
mod tests {
    use proto::{ChatKey, MessageId, UnixMillis};

    use super::*;

    fn line(n: u64) -> Line {
        let author = ChatKey::from(k256::SecretKey::from_slice(&[7; 32]).unwrap().public_key());
        let (id, time) = (MessageId::from([1; 32]), UnixMillis::new(1));
        Line {
            id,
            chat: "demo".into(),
            author,
            own: false,
            clock: n,
            timestamp: time,
            received: time,
            text: "x".into(),
        }
    }

    fn room(name: &str) -> ChatName {
        ChatName::try_from(name).unwrap()
    }

    #[test]
    fn a_follower_hears_its_chat_only() {
        let mut followers = Followers::default();
        let mut following = followers.add(room("demo"), Vec::new());
        followers.tell(&room("other"), &line(1));
        followers.tell(&room("demo"), &line(2));
        assert_eq!(following.live.try_recv().unwrap().clock, 2);
        assert!(following.live.try_recv().is_err());
    }

    #[test]
    fn a_follower_that_does_not_read_is_let_go_after_what_it_can_hold() {
        let mut followers = Followers::default();
        let mut following = followers.add(room("demo"), Vec::new());
        for n in 0..=UNREAD as u64 {
            followers.tell(&room("demo"), &line(n));
        }
        let mut read = 0;
        while following.live.try_recv().is_ok() {
            read += 1;
        }
        assert_eq!(read, UNREAD);
        assert_eq!(following.ended.try_recv(), Ok(TooSlow));
        assert!(followers.0.is_empty());
    }
}
