//! Those who follow a chat over the local API.

use chat::ChatName;

use super::command::Following;
use super::listener::Listener;
use crate::store::Line;

/// The followers of all chats. Their number is bounded by the service.
#[derive(Default)]
pub(super) struct Followers(Vec<(ChatName, Listener<Line>)>);

impl Followers {
    /// Adds a follower, who is given the history first.
    pub(super) fn add(&mut self, chat: ChatName, history: Vec<Line>) -> Following {
        self.0.retain(|(_, follower)| !follower.is_gone());
        let (follower, listening) = Listener::new(UNREAD);
        self.0.push((chat, follower));
        Following { history, listening }
    }

    /// Lets the followers of a chat go.
    pub(super) fn forget(&mut self, chat: &ChatName) {
        self.0.retain(|(follows, _)| follows != chat);
    }

    /// Tells the followers of a chat.
    pub(super) fn tell(&mut self, chat: &ChatName, line: &Line) {
        let all = std::mem::take(&mut self.0);
        self.0 = all
            .into_iter()
            .filter_map(|(follows, follower)| {
                let kept = if follows == *chat { follower.told(line) } else { Some(follower) };
                kept.map(|follower| (follows, follower))
            })
            .collect();
    }
}

/// Messages that a follower may have unread: a terminal that stands still for a busy minute.
const UNREAD: usize = 256;

#[cfg(test)]
mod tests {
    use proto::{ChatKey, MessageId, UnixMillis, UnixSecs};

    use super::super::listener::TooSlow;
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
            sent: UnixSecs::new(1),
            text: "x".into(),
            response_to: None,
            content_type: 1,
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
        assert_eq!(following.listening.live.try_recv().unwrap().clock, 2);
        assert!(following.listening.live.try_recv().is_err());
    }

    #[test]
    fn a_follower_that_does_not_read_is_let_go_after_what_it_can_hold() {
        let mut followers = Followers::default();
        let mut following = followers.add(room("demo"), Vec::new());
        for n in 0..=UNREAD as u64 {
            followers.tell(&room("demo"), &line(n));
        }
        let mut read = 0;
        while following.listening.live.try_recv().is_ok() {
            read += 1;
        }
        assert_eq!(read, UNREAD);
        assert_eq!(following.listening.ended.try_recv(), Ok(TooSlow));
        assert!(followers.0.is_empty());
    }
}
