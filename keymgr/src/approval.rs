//! The owner's approval of one request: asked for at the desk where the owner's agents wait, given or not, and written down.
//!
//! The invariant: a request waits at most [`PATIENCE`], at most [`MOST_WAITING`] wait, and one that nobody can answer is
//! refused at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use audit::{Asked, Caller, Deed, LogStore};
use keycard::{CardError, CardTransport, TransportError};
use proto::Pin;
use tokio::sync::{mpsc, oneshot};

use crate::broker::{About, Broker};
use crate::cards::seat::{Candidate, Target};
use crate::cards::vouch::Contact;
use crate::error::{BrokerError, Mismatch};
use crate::journal::Why;
use crate::policy::{Approval, Decision, Question, Reason};
use crate::reader::state::{Input, Phase};
use crate::seats::{Seat, Validity};
use crate::unlock::Unlocking;

/// What somebody wants of a card, as the policy and the owner see it.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// What the log calls it.
    pub(crate) asked: Asked,
    /// What its owner is told of it beyond that.
    pub(crate) detail: Option<String>,
    /// What the policy calls it.
    pub(crate) question: Result<Question, Reason>,
    /// Which card.
    pub(crate) target: Target,
}

/// The approval that a wish needs.
#[derive(Debug, Clone)]
pub(crate) struct Needed {
    /// The block that allows it then.
    pub(crate) key: String,
    /// What the owner does.
    pub(crate) approval: Approval,
    /// The card, as its owner is shown it.
    pub(crate) card: Candidate,
}

/// A request that waits for its owner.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its number at this desk.
    pub id: u64,
    /// The block that allows it if the owner does.
    pub key: String,
    /// What the owner does.
    pub approval: Approval,
    /// What is wanted, as the policy sees it.
    pub question: Question,
    /// All of it, in words.
    pub asked: String,
    /// Of which card.
    pub card: Candidate,
    /// By whom, and what for.
    pub why: Why,
}

/// What an agent hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// A request waits.
    Waits(Box<Waiting>),
    /// One waits no longer: how it ended.
    Settled(u64, String),
}

/// An owner's yes.
pub struct Yes {
    /// Who said it.
    pub by: Why,
    /// The PIN, where the block wants it.
    pub pin: Option<Pin>,
}

/// That the owner approved, in the request that it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Whether with the PIN.
    with_pin: bool,
}

/// Why nobody approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoApproval {
    /// Nobody was asked.
    #[error("this request was not put to the owner")]
    NotAsked,
    /// The owner said yes without the PIN.
    #[error("the owner's agent sent no PIN")]
    NoPin,
    /// No agent is there.
    #[error("no agent of the owner is connected; the owner starts one with `cardinal agent`")]
    NoAgent,
    /// Enough wait.
    #[error("too many requests wait for the owner")]
    TooMany,
    /// The owner did not answer.
    #[error("the owner did not answer in time")]
    TooLate,
    /// The card that was shown is not the one that is meant.
    #[error("another card is meant than the one that the owner was shown; ask again")]
    OtherCard,
    /// The owner said no.
    #[error("the owner denied it (uid {})", .0.uid)]
    Denied(Caller),
}

/// Where requests wait and agents answer.
#[derive(Clone)]
pub struct Desk {
    state: Arc<Mutex<State>>,
    /// How long a request waits.
    patience: Duration,
}

impl Default for Desk {
    fn default() -> Self {
        Self { state: Arc::default(), patience: PATIENCE }
    }
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, (Waiting, oneshot::Sender<Answer>)>,
    agents: BTreeMap<u64, mpsc::Sender<Heard>>,
}

/// What an agent says.
type Answer = Result<Yes, Caller>;

/// An agent at the desk; dropping it ends that.
pub struct Place {
    desk: Desk,
    id: u64,
    heard: mpsc::Receiver<Heard>,
}

impl Wish {
    /// Returns the wish for what is asked of a card.
    pub(crate) fn of(asked: Asked, target: &Target) -> Self {
        let question = Question::of(&asked);
        Self { asked, detail: None, question, target: target.clone() }
    }

    /// Returns all of it in words.
    pub(crate) fn words(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}, {detail}", self.asked),
            None => self.asked.to_string(),
        }
    }
}

impl Granted {
    /// Whether this is what a block wants.
    pub(crate) fn suffices(granted: Option<Self>, approval: Approval) -> Result<(), NoApproval> {
        match (approval, granted) {
            (Approval::None, _) | (Approval::Prompt, Some(_)) | (Approval::Pin, Some(Self { with_pin: true })) => {
                Ok(())
            }
            (Approval::Prompt | Approval::Pin, None) => Err(NoApproval::NotAsked),
            (Approval::Pin, Some(Self { with_pin: false })) => Err(NoApproval::NoPin),
        }
    }
}

impl Desk {
    /// Puts a request to the owner's agents and waits for an answer.
    ///
    /// # Errors
    /// [`NoApproval`].
    pub async fn put(&self, mut waiting: Waiting) -> Result<(u64, Yes), NoApproval> {
        let (id, answer) = {
            let mut state = self.state();
            state.agents.retain(|_, agent| !agent.is_closed());
            if state.agents.is_empty() {
                return Err(NoApproval::NoAgent);
            }
            let of_user = state.waiting.values().filter(|(other, _)| other.why.caller.uid == waiting.why.caller.uid);
            if of_user.count() >= MOST_OF_A_USER || state.waiting.len() >= MOST_WAITING {
                return Err(NoApproval::TooMany);
            }
            state.next += 1;
            let id = state.next;
            waiting.id = id;
            let (say, answer) = oneshot::channel();
            state.tell(&Heard::Waits(Box::new(waiting.clone())));
            state.waiting.insert(id, (waiting, say));
            (id, answer)
        };
        // A caller that goes away meanwhile takes its request with it.
        let _leave = Leave { desk: self, id };
        match tokio::time::timeout(self.patience, answer).await {
            Ok(Ok(Ok(yes))) => Ok((id, yes)),
            Ok(Ok(Err(by))) => Err(NoApproval::Denied(by)),
            Ok(Err(_)) => Err(NoApproval::NoAgent),
            Err(_) => Err(NoApproval::TooLate),
        }
    }

    /// Takes a place for an agent, which hears of what waits already; nothing when there are too many agents.
    #[must_use]
    pub fn sit(&self) -> Option<Place> {
        let (tell, heard) = mpsc::channel(MOST_HEARD);
        let mut state = self.state();
        state.agents.retain(|_, agent| !agent.is_closed());
        if state.agents.len() >= MOST_AGENTS {
            return None;
        }
        for (waiting, _) in state.waiting.values() {
            drop(tell.try_send(Heard::Waits(Box::new(waiting.clone()))));
        }
        state.next += 1;
        let id = state.next;
        state.agents.insert(id, tell);
        Some(Place { desk: self.clone(), id, heard })
    }

    /// Returns what the owner does for a request that still waits.
    #[must_use]
    pub fn wants(&self, id: u64) -> Option<Approval> {
        self.state().waiting.get(&id).map(|(waiting, _)| waiting.approval)
    }

    /// Answers a request that waits; false when it does not, or no longer.
    pub fn answer(&self, id: u64, answer: Answer) -> bool {
        let waiting = self.state().waiting.remove(&id);
        waiting.is_some_and(|(_, say)| say.send(answer).is_ok())
    }

    /// Tells the agents how a request ended.
    pub fn settle(&self, id: u64, how: String) {
        self.state().tell(&Heard::Settled(id, how));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tells every agent. One that does not listen loses its place.
    fn tell(&mut self, what: &Heard) {
        self.agents.retain(|_, agent| agent.try_send(what.clone()).is_ok());
    }
}

impl Place {
    /// Returns what the agent hears next.
    pub fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Heard>> {
        self.heard.poll_recv(cx)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.agents.remove(&self.id);
        if state.agents.is_empty() {
            // Nobody can answer what waits: those who wait hear it by the end of their channel.
            state.waiting.clear();
        }
    }
}

/// Takes a request from the desk when whoever asked waits no longer.
struct Leave<'a> {
    desk: &'a Desk,
    id: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let waited = self.desk.state().waiting.remove(&self.id);
        if waited.is_some() {
            self.desk.settle(self.id, "it waits no longer".to_owned());
        }
    }
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Returns the block that allows this wish once the owner approves, how, and of which card; nothing where no approval
    /// is wanted, or none would help.
    ///
    /// # Errors
    /// Why it is not clear which card is meant, or why it cannot be shown: the owner is not asked then.
    pub(crate) fn wants_approval(&mut self, wish: &Wish, why: &Why) -> Result<Option<Needed>, BrokerError> {
        let about = self.about_target(&wish.target);
        match self.weigh(wish.question.as_ref(), about, why) {
            Decision::Allowed { key, approval } if approval != Approval::None => {
                let card = self.card_meant(&wish.target)?;
                Ok(Some(Needed { key, approval, card }))
            }
            _ => Ok(None),
        }
    }

    /// Returns the card that is meant: the unlocked one, or the one that its PIN would unlock.
    fn card_meant(&mut self, target: &Target) -> Result<Candidate, BrokerError> {
        let found = match self.session(target) {
            Ok(name) => self.at_seat(&name, None, Self::look_here)?,
            Err(BrokerError::Locked) => {
                let target = self.enrolled_target(target)?;
                self.at(&target, Self::look_here)?
            }
            Err(error) => return Err(error),
        };
        let found = found.ok_or_else(|| CardError::from(TransportError::NoCard))?;
        let pinned = &self.enrolment.pinned;
        if *target == Target::default() && !pinned.is_empty() && pinned.find(&found.card).is_none() {
            return Err(Mismatch::OtherCard { card: found.card }.into());
        }
        Ok(found)
    }

    /// Writes down that nobody approved, and returns the refusal.
    pub(crate) fn not_approved(&mut self, key: String, no: &NoApproval, wish: Wish, why: &Why) -> BrokerError {
        let about = self.about_target(&wish.target);
        let reason = Reason::NotApproved { key, why: no.to_string() };
        let error = self.refusal(reason, wish.question.ok().as_ref(), why);
        self.refused_about(about, wish.asked, why, error)
    }

    /// Does what the owner approved of the card that was shown, which is written down first. Where the owner sent the PIN,
    /// that card is asked whether it is right; a session that it had goes on with its old lifetime, and a card that was
    /// locked is locked again afterwards.
    pub(crate) fn with_approval<R>(
        &mut self,
        yes: Yes,
        needed: Needed,
        wish: Wish,
        why: Why,
        work: impl FnOnce(&mut Self, &Why) -> Result<R, BrokerError>,
    ) -> Result<R, BrokerError> {
        let Yes { by, pin } = yes;
        let with_pin = pin.is_some();
        let Needed { key, card: shown, .. } = needed;
        if !self.is_still(&shown, &wish.target)? {
            return Err(self.not_approved(key, &NoApproval::OtherCard, wish, &why));
        }
        let by = Why { purpose: why.purpose.clone(), ..by };
        self.journal.owner(Some(shown.card), Deed::Approves { uid: why.caller.uid, with_pin }, &by)?;
        let name = shown.reader;
        let before = self.seat_named(&name).and_then(|seat| match seat.state.phase() {
            Phase::Unlocked(lifetime) => Some(lifetime),
            _ => None,
        });
        if let Some(pin) = pin {
            let target = Target { reader: Some(name.clone()), card: None };
            let validity = Validity { seconds: 0, each_use: true };
            let unlocking = Unlocking { target, contact: Contact::default(), pin, last_try: false, validity };
            self.at_seat(&name, None, |broker| {
                broker.unless_lent()?;
                broker.unlock_here(unlocking, &by)?;
                if let Some(lifetime) = before {
                    broker.hear(Input::Validated(lifetime));
                }
                Ok::<_, BrokerError>(())
            })?;
        }
        let why = Why { granted: Some(Granted { with_pin }), ..why };
        let result = work(self, &why);
        if with_pin && before.is_none() && self.seat_named(&name).is_some_and(Seat::is_unlocked) {
            self.at_seat(&name, None, Self::lock);
        }
        result
    }

    /// Whether a target means the card that its owner was shown, and that card lies where it lay.
    fn is_still(&mut self, shown: &Candidate, target: &Target) -> Result<bool, BrokerError> {
        match self.session(target) {
            Ok(name) if name != shown.reader => return Ok(false),
            Ok(_) | Err(BrokerError::Locked) => {}
            Err(error) => return Err(error),
        }
        let found = self.at_seat(&shown.reader, None, Self::look_here)?;
        Ok(found.is_some_and(|found| found.card == shown.card))
    }

    /// Returns the card that a wish is about, where it is known without asking one.
    fn about_target(&self, target: &Target) -> About {
        let session = self.session(target).ok();
        match session.and_then(|name| self.seat_named(&name)).and_then(Seat::info) {
            Some(info) => (Some(info.card_id()), info.key_uid),
            None if *target == Target::default() => self.about(),
            None => (None, None),
        }
    }
}

/// How long a request waits for its owner.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How many requests wait at most.
pub const MOST_WAITING: usize = 16;
const MOST_OF_A_USER: usize = 8;
const MOST_AGENTS: usize = 8;
/// What an agent that does not listen may miss before it loses its place.
const MOST_HEARD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::why;

    fn waiting() -> Waiting {
        let question = Question::of(&Asked::Private("m/43'/60'/1581'/0'/0".parse().unwrap())).unwrap();
        let card = Candidate {
            reader: "soft:here".to_owned(),
            card: proto::CardId::Instance([1; 16]),
            label: None,
            key_uid: None,
        };
        let (key, asked) = ("chat".to_owned(), "the private key".to_owned());
        Waiting { id: 0, key, approval: Approval::Prompt, question, asked, card, why: why("x") }
    }

    async fn next(place: &mut Place) -> Heard {
        std::future::poll_fn(|cx| place.poll_next(cx)).await.unwrap()
    }

    fn no(result: Result<(u64, Yes), NoApproval>) -> NoApproval {
        result.err().unwrap()
    }

    #[tokio::test]
    async fn a_request_is_answered_by_an_agent_and_refused_at_once_where_none_is() {
        let desk = Desk::default();
        assert_eq!(no(desk.put(waiting()).await), NoApproval::NoAgent);
        let mut place = desk.sit().unwrap();
        let put = tokio::spawn({
            let desk = desk.clone();
            async move { desk.put(waiting()).await }
        });
        let Heard::Waits(heard) = next(&mut place).await else { panic!("something else") };
        assert!(desk.answer(heard.id, Ok(Yes { by: why("approval"), pin: None })));
        assert_eq!(put.await.unwrap().unwrap().0, heard.id);
        assert!(!desk.answer(heard.id, Err(why("x").caller)), "it waits no longer");
        let put = tokio::spawn({
            let desk = desk.clone();
            async move { desk.put(waiting()).await }
        });
        let Heard::Waits(_) = next(&mut place).await else { panic!("something else") };
        drop(place);
        assert_eq!(no(put.await.unwrap()), NoApproval::NoAgent, "the agent went away");
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_time_and_number() {
        let desk = Desk { patience: Duration::ZERO, ..Desk::default() };
        let mut place = desk.sit().unwrap();
        assert_eq!(no(desk.put(waiting()).await), NoApproval::TooLate);
        assert!(matches!(next(&mut place).await, Heard::Waits(_)));
        assert!(matches!(next(&mut place).await, Heard::Settled(..)));
        let desk = Desk::default();
        let mut place = desk.sit().unwrap();
        let mut puts = Vec::new();
        for _ in 0..MOST_OF_A_USER {
            let desk = desk.clone();
            puts.push(tokio::spawn(async move { desk.put(waiting()).await }));
            assert!(matches!(next(&mut place).await, Heard::Waits(_)));
        }
        assert_eq!(no(desk.put(waiting()).await), NoApproval::TooMany);
        // Whoever asks and goes away takes its request along.
        puts.pop().unwrap().abort();
        assert!(matches!(next(&mut place).await, Heard::Settled(..)));
        assert_eq!(desk.state().waiting.len(), MOST_OF_A_USER - 1);
        let places: Vec<_> = std::iter::from_fn(|| desk.sit()).collect();
        assert_eq!(places.len() + 1, MOST_AGENTS);
        for put in puts {
            put.abort();
        }
    }

    #[test]
    fn an_approval_without_the_pin_is_none_where_the_pin_is_wanted() {
        let (said, entered) = (Some(Granted { with_pin: false }), Some(Granted { with_pin: true }));
        for (approval, granted, want) in [
            (Approval::None, None, Ok(())),
            (Approval::Prompt, None, Err(NoApproval::NotAsked)),
            (Approval::Prompt, said, Ok(())),
            (Approval::Prompt, entered, Ok(())),
            (Approval::Pin, None, Err(NoApproval::NotAsked)),
            (Approval::Pin, said, Err(NoApproval::NoPin)),
            (Approval::Pin, entered, Ok(())),
        ] {
            assert_eq!(Granted::suffices(granted, approval), want, "{approval:?} {granted:?}");
        }
    }
}
