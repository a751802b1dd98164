//! Posts whose callers wait: until the message is kept, or until a peer has acknowledged it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chat::{NotPosted, Token};
use proto::rpc::Fault;
use proto::{EnvelopeHash, Instant, MessageId};
use tokio::sync::oneshot;

use super::command::{Posted, Trouble, Until};

type Reply = oneshot::Sender<Result<Posted, Trouble>>;

/// The waiting callers, and which envelope carries which message.
#[derive(Default)]
pub(super) struct Posts {
    last_token: u64,
    waiting: BTreeMap<Token, Waiting>,
    /// Oldest first. A message that is sent again has several.
    envelopes: VecDeque<(EnvelopeHash, MessageId)>,
}

struct Waiting {
    reply: Reply,
    since: Instant,
    deadline: Instant,
    until: Until,
    message: Option<MessageId>,
}

impl Posts {
    /// Takes in a caller; nothing when too many wait already, and then it is told so.
    pub(super) fn begin(&mut self, now: Instant, until: Until, within: Duration, reply: Reply) -> Option<Token> {
        if self.waiting.len() >= MAX_WAITING {
            drop(reply.send(Err(Trouble::busy("too many callers wait for their messages; try again later"))));
            return None;
        }
        self.last_token += 1;
        let token = Token(self.last_token);
        self.waiting.insert(token, Waiting { reply, since: now, deadline: now.after(within), until, message: None });
        Some(token)
    }

    /// A post became this message, which is kept from here on.
    pub(super) fn signed(&mut self, now: Instant, token: Token, message: MessageId) {
        let Some(mut waiting) = self.waiting.remove(&token) else { return };
        match waiting.until {
            Until::Kept => {
                let posted = Posted { id: message, envelope: None, after: now.since(waiting.since) };
                drop(waiting.reply.send(Ok(posted)));
            }
            Until::Acknowledged => {
                waiting.message = Some(message);
                self.waiting.insert(token, waiting);
            }
        }
    }

    /// A message goes out in this envelope.
    pub(super) fn sealed(&mut self, envelope: EnvelopeHash, message: MessageId) {
        if self.envelopes.len() >= MAX_ENVELOPES {
            self.envelopes.pop_front();
        }
        self.envelopes.push_back((envelope, message));
    }

    /// A peer acknowledged an envelope: the caller is told. Returns the message inside.
    pub(super) fn acknowledged(&mut self, now: Instant, envelope: EnvelopeHash) -> Option<MessageId> {
        let (_, message) = *self.envelopes.iter().find(|(hash, _)| *hash == envelope)?;
        let token = self.waiting.iter().find(|(_, waiting)| waiting.message == Some(message)).map(|(token, _)| *token);
        if let Some(waiting) = token.and_then(|token| self.waiting.remove(&token)) {
            let posted = Posted { id: message, envelope: Some(envelope), after: now.since(waiting.since) };
            drop(waiting.reply.send(Ok(posted)));
        }
        Some(message)
    }

    /// An envelope is no longer in the pool.
    pub(super) fn expired(&mut self, envelope: EnvelopeHash) {
        self.envelopes.retain(|(hash, _)| *hash != envelope);
    }

    /// A post came to nothing.
    pub(super) fn failed(&mut self, token: Token, trouble: Trouble) {
        if let Some(waiting) = self.waiting.remove(&token) {
            drop(waiting.reply.send(Err(trouble)));
        }
    }

    /// Tells those who wait for a signature that nothing can be written.
    pub(super) fn fail_unsigned(&mut self, trouble: &Trouble) {
        let unsigned = self.waiting.iter().filter(|(_, waiting)| waiting.message.is_none());
        for token in unsigned.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.failed(token, trouble.clone());
        }
    }

    /// Ends the waits that are over; `peers` are connected.
    pub(super) fn tick(&mut self, now: Instant, peers: usize) {
        let late = self.waiting.iter().filter(|(_, waiting)| waiting.deadline <= now);
        for (token, until) in late.map(|(token, waiting)| (*token, waiting.until)).collect::<Vec<_>>() {
            self.failed(token, if until == Until::Kept { not_signed() } else { not_acknowledged(peers) });
        }
    }

    /// Returns when the first wait is over.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }
}

fn not_signed() -> Trouble {
    Trouble::busy("the holder of the chat key has not signed the message yet; it is sent once that is done")
}

fn not_acknowledged(peers: usize) -> Trouble {
    let message = match peers {
        0 => "no peer is connected; the message is kept and offered again for two minutes (see `cardinal node status`)"
            .to_owned(),
        1 => {
            "the connected peer did not acknowledge the message in time; it is offered again for two minutes".to_owned()
        }
        n => format!("none of {n} peers acknowledged the message in time; it is offered again for two minutes"),
    };
    Trouble::new(Fault::NotAcknowledged, message)
}

/// Says why a post came to nothing, and whose fault that is.
pub(super) fn not_posted(why: NotPosted) -> Trouble {
    match why {
        NotPosted::TooMany => Trouble::busy("too many messages wait for a signature or a peer; try again later"),
        NotPosted::Signature(_) | NotPosted::WrongSignature => Trouble::new(Fault::Refused, why.to_string()),
        _ => Trouble::new(Fault::BadInput, why.to_string()),
    }
}

/// Callers that may wait at once: more posts than a person's programs have.
const MAX_WAITING: usize = 64;
/// Envelopes of ours that may be in the pool: each unsent message of the chat engine has at most two at a time.
const MAX_ENVELOPES: usize = 2 * chat::engine::UNSENT_LIMIT;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_start(Duration::from_millis(millis))
    }

    fn begin(posts: &mut Posts) -> (Token, oneshot::Receiver<Result<Posted, Trouble>>) {
        let (reply, answer) = oneshot::channel();
        (posts.begin(at(0), Until::Acknowledged, Duration::from_secs(10), reply).unwrap(), answer)
    }

    #[test]
    fn the_caller_learns_of_the_first_acknowledgement_of_any_envelope_of_its_message() {
        let mut posts = Posts::default();
        let (token, mut answer) = begin(&mut posts);
        let (message, first, second) = (MessageId::from([1; 32]), EnvelopeHash::from([2; 32]), [3; 32].into());
        posts.signed(at(0), token, message);
        posts.sealed(first, message);
        posts.sealed(second, message);
        assert_eq!(posts.acknowledged(at(1), EnvelopeHash::from([9; 32])), None);
        assert_eq!(posts.acknowledged(at(7), second), Some(message));
        let posted = answer.try_recv().unwrap().unwrap();
        assert_eq!((posted.id, posted.envelope, posted.after), (message, Some(second), Duration::from_millis(7)));
        assert_eq!(posts.acknowledged(at(8), first), Some(message), "told once, known still");
        posts.expired(first);
        assert_eq!(posts.acknowledged(at(9), first), None);
    }

    #[test]
    fn who_waits_for_no_peer_is_answered_when_the_message_is_kept() {
        let mut posts = Posts::default();
        let ((reply, mut kept), (late, mut unsigned)) = (oneshot::channel(), oneshot::channel());
        let token = posts.begin(at(0), Until::Kept, Duration::from_secs(10), reply).unwrap();
        posts.begin(at(0), Until::Kept, Duration::from_secs(10), late).unwrap();
        posts.signed(at(3), token, MessageId::from([1; 32]));
        let posted = kept.try_recv().unwrap().unwrap();
        assert_eq!((posted.envelope, posted.after), (None, Duration::from_millis(3)));
        posts.tick(at(10_000), 1);
        assert!(unsigned.try_recv().unwrap().unwrap_err().message.contains("not signed"));
    }

    #[test]
    fn a_late_acknowledgement_is_a_failure_that_says_how_many_peers_there_are() {
        let mut posts = Posts::default();
        let (_, mut answer) = begin(&mut posts);
        posts.tick(at(9_999), 0);
        assert!(answer.try_recv().is_err());
        assert_eq!(posts.wake_at(), Some(at(10_000)));
        posts.tick(at(10_000), 0);
        let trouble = answer.try_recv().unwrap().unwrap_err();
        assert_eq!(trouble.fault, Some(Fault::NotAcknowledged));
        assert!(trouble.message.contains("no peer is connected"));
        assert_eq!(posts.wake_at(), None);
    }

    #[test]
    fn more_callers_than_may_wait_are_told_to_come_later() {
        let mut posts = Posts::default();
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| begin(&mut posts)).collect();
        let (reply, mut answer) = oneshot::channel();
        assert_eq!(posts.begin(at(0), Until::Acknowledged, Duration::ZERO, reply), None);
        assert_eq!(answer.try_recv().unwrap().unwrap_err().fault, None);
        assert_eq!(waiting.len(), MAX_WAITING);
    }

    #[test]
    fn a_full_disk_is_told_to_those_whose_message_is_not_signed_yet() {
        let mut posts = Posts::default();
        let ((token, mut signed), (_, mut unsigned)) = (begin(&mut posts), begin(&mut posts));
        posts.signed(at(0), token, MessageId::from([1; 32]));
        posts.fail_unsigned(&Trouble::new(Fault::DiskFull, "full"));
        assert_eq!(unsigned.try_recv().unwrap().unwrap_err().fault, Some(Fault::DiskFull));
        assert!(signed.try_recv().is_err(), "that one is on the disk and on its way");
    }
}
