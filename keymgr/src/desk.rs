//! The desk where requests wait for the owner, whose agents hear of them and answer.
//!
//! The invariant: a request waits at most [`PATIENCE`], at most [`MOST_WAITING`] wait, and one that nobody can answer is
//! refused at once. A user whom the owner denied something, or who got no answer, does not ask again for a while, twice as
//! long each time, until the owner says yes: nobody wears an owner out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use audit::Caller;
use proto::Pin;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::approval::NoApproval;
use crate::cards::seat::Candidate;
use crate::clock::{Clock, SystemClock};
use crate::journal::Why;
use crate::pause::Pauses;
use crate::policy::{Approval, Question};

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

/// Where requests wait and agents answer.
#[derive(Clone)]
pub struct Desk {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock + Send + Sync>,
    /// How long a request waits.
    patience: Duration,
}

impl Default for Desk {
    fn default() -> Self {
        let state =
            State { next: 0, waiting: BTreeMap::new(), agents: BTreeMap::new(), pauses: Pauses::new(FIRST, DOUBLINGS) };
        Self { state: Arc::new(Mutex::new(state)), clock: Arc::new(SystemClock::start()), patience: PATIENCE }
    }
}

struct State {
    next: u64,
    waiting: BTreeMap<u64, (Waiting, oneshot::Sender<Answer>)>,
    agents: BTreeMap<u64, Agent>,
    /// Of the users to whom the owner said no, or nothing.
    pauses: Pauses<u32>,
}

/// What an agent says.
type Answer = Result<Yes, Caller>;

/// An agent, and what it was told.
struct Agent {
    tell: mpsc::Sender<Heard>,
    /// The requests that it knows of, and has not heard the end of.
    told: BTreeSet<u64>,
    /// How some of those ended, which it had no room to hear.
    missed: Vec<(u64, String)>,
    /// Whether it had no room, so that it is told the rest once it has listened.
    behind: bool,
}

/// An agent at the desk; dropping it ends that.
pub struct Place {
    desk: Desk,
    id: u64,
    heard: mpsc::Receiver<Heard>,
}

impl Desk {
    /// Puts a request to the owner's agents and waits for an answer.
    ///
    /// # Errors
    /// [`NoApproval`].
    pub async fn put(&self, mut waiting: Waiting) -> Result<(u64, Yes), NoApproval> {
        let uid = waiting.why.caller.uid;
        let (id, answer) = {
            let mut state = self.state();
            if let Some(seconds) = state.pauses.left(&uid, self.clock.now().monotonic) {
                return Err(NoApproval::TooSoon { seconds });
            }
            if state.agents.is_empty() {
                return Err(NoApproval::NoAgent);
            }
            let of_user = state.waiting.values().filter(|(other, _)| other.why.caller.uid == uid);
            if of_user.count() >= MOST_OF_A_USER || state.waiting.len() >= MOST_WAITING {
                return Err(NoApproval::TooMany);
            }
            state.next += 1;
            let id = state.next;
            waiting.id = id;
            let (say, answer) = oneshot::channel();
            state.agents.values_mut().for_each(|agent| agent.hear_of(&waiting));
            state.waiting.insert(id, (waiting, say));
            (id, answer)
        };
        // A caller that goes away meanwhile takes its request with it.
        let _leave = Leave { desk: self, id };
        match tokio::time::timeout(self.patience, answer).await {
            Ok(Ok(Ok(yes))) => {
                self.state().pauses.right(&uid);
                Ok((id, yes))
            }
            Ok(Ok(Err(by))) => {
                self.pause(uid);
                Err(NoApproval::Denied(by))
            }
            Ok(Err(_)) => Err(NoApproval::AgentGone),
            Err(_) => Err(NoApproval::TooLate),
        }
    }

    /// Has a user wait before it asks again. What it asked at the same time counts as one.
    fn pause(&self, uid: u32) {
        let now = self.clock.now().monotonic;
        let mut state = self.state();
        if state.pauses.left(&uid, now).is_none() {
            state.pauses.wrong(uid, now);
        }
    }

    /// Takes a place for an agent, which hears of what waits already; nothing when there are too many agents.
    #[must_use]
    pub fn sit(&self) -> Option<Place> {
        let (tell, heard) = mpsc::channel(MOST_HEARD);
        let mut state = self.state();
        if state.agents.len() >= MOST_AGENTS {
            return None;
        }
        let mut agent = Agent { tell, told: BTreeSet::new(), missed: Vec::new(), behind: false };
        state.waiting.values().for_each(|(waiting, _)| agent.hear_of(waiting));
        state.next += 1;
        let id = state.next;
        state.agents.insert(id, agent);
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
    pub fn settle(&self, id: u64, how: &str) {
        self.state().agents.values_mut().for_each(|agent| agent.hear_end(id, how));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agent {
    /// Tells of a request, at once or when there is room.
    fn hear_of(&mut self, waiting: &Waiting) {
        if self.tells(Heard::Waits(Box::new(waiting.clone()))) {
            self.told.insert(waiting.id);
        }
    }

    /// Tells how a request ended of which it knows.
    fn hear_end(&mut self, id: u64, how: &str) {
        if self.told.remove(&id) && !self.tells(Heard::Settled(id, how.to_owned())) {
            self.missed.push((id, how.to_owned()));
        }
    }

    /// Tells something, unless there is no room, or was none for something before it.
    fn tells(&mut self, what: Heard) -> bool {
        self.behind = self.behind || matches!(self.tell.try_send(what), Err(TrySendError::Full(_)));
        !self.behind
    }

    /// Tells what there was no room for; returns whether there was anything like that.
    fn catch_up(&mut self, waiting: &BTreeMap<u64, (Waiting, oneshot::Sender<Answer>)>) -> bool {
        if !std::mem::take(&mut self.behind) {
            return false;
        }
        for (id, how) in std::mem::take(&mut self.missed) {
            if !self.tells(Heard::Settled(id, how.clone())) {
                self.missed.push((id, how));
            }
        }
        for (waiting, _) in waiting.values() {
            if !self.told.contains(&waiting.id) {
                self.hear_of(waiting);
            }
        }
        true
    }
}

impl Place {
    /// Returns what the agent hears next. One that has listened to all there was room for hears the rest then.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Heard>> {
        match self.heard.poll_recv(cx) {
            Poll::Pending if self.catch_up() => self.heard.poll_recv(cx),
            heard => heard,
        }
    }

    fn catch_up(&self) -> bool {
        let mut state = self.desk.state();
        let State { waiting, agents, .. } = &mut *state;
        agents.get_mut(&self.id).is_some_and(|agent| agent.catch_up(waiting))
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
        if let Some((waiting, _)) = waited {
            // Hanging up before the answer is no way around a no.
            self.desk.pause(waiting.why.caller.uid);
            self.desk.settle(self.id, "it waits no longer");
        }
    }
}

/// How long a request waits for its owner.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How many requests wait at most.
pub const MOST_WAITING: usize = 16;
const MOST_OF_A_USER: usize = 8;
const MOST_AGENTS: usize = 8;
/// What an agent that does not listen is told at once; the rest it hears when it listens again.
const MOST_HEARD: usize = 64;
/// How long a user does not ask again after the first no.
const FIRST: Duration = Duration::from_secs(30);
/// Eight minutes at most: an owner who comes back is asked again soon.
const DOUBLINGS: u32 = 4;

#[cfg(test)]
mod tests {
    use audit::Asked;

    use super::*;
    use crate::tests::{StillClock, why};

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
        // Of two agents one stays: it may still answer.
        let other = desk.sit().unwrap();
        drop(place);
        assert_eq!(desk.state().waiting.len(), 1);
        drop(other);
        assert_eq!(no(put.await.unwrap()), NoApproval::AgentGone);
    }

    /// Has the only request that waits answered.
    async fn answered(desk: &Desk, place: &mut Place, answer: Answer) -> Result<(u64, Yes), NoApproval> {
        let put = tokio::spawn({
            let desk = desk.clone();
            async move { desk.put(waiting()).await }
        });
        let Heard::Waits(heard) = next(place).await else { panic!("something else") };
        assert!(desk.answer(heard.id, answer));
        let result = put.await.unwrap();
        desk.settle(heard.id, "done");
        assert!(matches!(next(place).await, Heard::Settled(..)));
        result
    }

    #[tokio::test]
    async fn attack_an_owner_who_said_no_is_not_asked_again_at_once_for_ever() {
        let clock = StillClock::default();
        let desk = Desk { clock: Arc::new(clock.clone()), ..Desk::default() };
        let mut place = desk.sit().unwrap();
        for (user, seconds) in (1..).zip([30, 60, 120, 240, 480, 480]) {
            let denied = no(answered(&desk, &mut place, Err(why("x").caller)).await);
            assert!(matches!(denied, NoApproval::Denied(_)));
            clock.pass(1);
            assert_eq!(no(desk.put(waiting()).await), NoApproval::TooSoon { seconds: seconds - 1 });
            // Another user is asked for meanwhile: only whoever got a no waits.
            let mut other = waiting();
            other.why.caller.uid += user;
            let put = tokio::spawn({
                let (desk, other) = (desk.clone(), other.clone());
                async move { desk.put(other).await }
            });
            assert!(matches!(next(&mut place).await, Heard::Waits(_)));
            put.abort();
            assert!(matches!(next(&mut place).await, Heard::Settled(..)));
            assert_eq!(
                no(desk.put(other).await),
                NoApproval::TooSoon { seconds: 30 },
                "hanging up is no way around it"
            );
            clock.pass(seconds - 1);
        }
        assert!(answered(&desk, &mut place, Ok(Yes { by: why("approval"), pin: None })).await.is_ok());
        answered(&desk, &mut place, Err(why("x").caller)).await.err().unwrap();
        assert_eq!(no(desk.put(waiting()).await), NoApproval::TooSoon { seconds: 30 }, "a yes ends the count");
        clock.pass(30);
        // No answer is as good as a no, and what waited together counts once.
        let desk = Desk { patience: Duration::ZERO, ..desk };
        let all = futures_of(&desk, 3).await;
        assert_eq!(all, vec![NoApproval::TooLate; 3]);
        assert_eq!(no(desk.put(waiting()).await), NoApproval::TooSoon { seconds: 60 });
    }

    async fn futures_of(desk: &Desk, count: usize) -> Vec<NoApproval> {
        let puts: Vec<_> = (0..count).map(|_| Box::pin(desk.put(waiting()))).collect();
        let mut puts: Vec<_> = puts.into_iter().map(|put| (put, None)).collect();
        // All of them are put before any of them ends.
        std::future::poll_fn(|cx| {
            for (put, ended) in puts.iter_mut().filter(|(_, ended)| ended.is_none()) {
                if let Poll::Ready(result) = put.as_mut().poll(cx) {
                    *ended = Some(no(result));
                }
            }
            if puts.iter().all(|(_, ended)| ended.is_some()) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        puts.into_iter().filter_map(|(_, ended)| ended).collect()
    }

    #[tokio::test]
    async fn an_agent_that_did_not_listen_keeps_its_place_and_hears_what_waits_when_it_does() {
        let desk = Desk::default();
        let mut place = desk.sit().unwrap();
        let put = |uid: u32| {
            let desk = desk.clone();
            let mut waiting = waiting();
            waiting.why.caller.uid = uid;
            tokio::spawn(async move { desk.put(waiting).await })
        };
        let known = put(1);
        let Heard::Waits(first) = next(&mut place).await else { panic!("something else") };
        // Requests come and go until there is no room for what the agent should hear.
        let waiting_now = |count: usize| {
            let desk = desk.clone();
            async move {
                while desk.state().waiting.len() != count {
                    tokio::task::yield_now().await;
                }
            }
        };
        for n in 0..MOST_HEARD {
            // Whoever hung up waits before it asks again.
            let gone = put(u32::try_from(n).unwrap() + 10);
            waiting_now(2).await;
            gone.abort();
            waiting_now(1).await;
        }
        assert!(desk.answer(first.id, Ok(Yes { by: why("approval"), pin: None })));
        assert!(known.await.unwrap().is_ok());
        desk.settle(first.id, "done");
        let late = put(2);
        waiting_now(1).await;
        assert!(desk.state().agents[&place.id].behind);
        let (mut open, mut ended) = (BTreeSet::from([first.id]), Vec::new());
        while open.len() != 1 || !ended.contains(&first.id) {
            match next(&mut place).await {
                Heard::Waits(waiting) => assert!(open.insert(waiting.id), "told once"),
                Heard::Settled(id, how) => {
                    assert!(open.remove(&id) && (how == "done") == (id == first.id));
                    ended.push(id);
                }
            }
        }
        let last = open.into_iter().next().unwrap();
        assert!(desk.answer(last, Ok(Yes { by: why("approval"), pin: None })));
        assert_eq!(late.await.unwrap().unwrap().0, last);
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
}
