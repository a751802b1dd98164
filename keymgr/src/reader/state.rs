//! What becomes of one reader: cards that come and go, sessions that end, and readers that are lent. It is told what
//! happens and says what is to be done; it speaks to nobody.
//!
//! The invariant: a session (an open channel, or a validated PIN) ends with its card, its reader, its service, its time,
//! or its use, whichever comes first, and nothing but a PIN begins the next.

use std::time::Duration;

use proto::Instant;

/// A reader as its manager sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(Phase);

/// What a reader is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is not there, or the service of all readers is not.
    Absent,
    /// It is there without a card.
    Empty,
    /// It has a card that we do not hold, and perhaps should look at.
    Present(Option<Look>),
    /// It has an enrolled card, held, whose channel is open; until then, so that others come to it too.
    Recognised(Instant),
    /// It has a card, held, whose PIN is validated.
    Unlocked(Lifetime),
    /// Other programs have it until then, whatever becomes of it meanwhile.
    Lent(Instant),
    /// It failed with a card that we held. What is in it is known when it is seen again.
    Lost,
}

/// How long a PIN stays validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// Until then; without it until the card is drawn.
    pub until: Option<Instant>,
    /// Whether the first use ends it.
    pub each_use: bool,
}

/// A card that is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    at: Instant,
    tries: u8,
}

/// What the service of all readers says of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It is not there.
    NoReader,
    /// No card is in it.
    NoCard,
    /// A card is in it; if we held one, that one.
    Card,
    /// A card is in it, but not the one that we held, or that one was drawn meanwhile.
    OtherCard,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The readers were looked at.
    Sight(Sight),
    /// The card was looked at: it is enrolled, and its channel is open.
    Opened,
    /// The card was looked at, and is none to be held.
    Strange,
    /// The card could not be looked at, because of something that may pass.
    Busy,
    /// A PIN was validated.
    Validated(Lifetime),
    /// The validated PIN was used.
    Used,
    /// The session is to end, or has.
    Locked,
    /// The reader failed.
    Failed,
    /// Its card answered somebody's question.
    Answered,
    /// Other programs get it until then.
    Lends(Instant),
    /// It is taken back.
    TakenBack,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The session is to be ended, and its card reset.
    End,
    /// The card is to be looked at: [`Input::Opened`], [`Input::Strange`] or [`Input::Busy`] answers.
    Look,
    /// The time for which it was lent is over: [`Input::TakenBack`] answers.
    TakeBack,
}

impl Default for State {
    /// A card may be there; nobody looks until something changes.
    fn default() -> Self {
        Self(Phase::Present(None))
    }
}

impl State {
    /// Returns what the reader is at.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.0
    }

    /// Whether its card is held.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self.0, Phase::Recognised(_) | Phase::Unlocked(_))
    }

    /// Whether there is nothing to remember of it.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.0, Phase::Present(None))
    }

    /// Takes in what happens and returns what is to be done about it.
    pub fn handle(&mut self, now: Instant, input: Input) -> Option<Act> {
        let (next, act) = self.after(now, input);
        self.0 = next;
        act
    }

    /// Returns when [`Input::Tick`] is due.
    #[must_use]
    pub const fn wake_at(&self) -> Option<Instant> {
        match self.0 {
            Phase::Present(Some(look)) => Some(look.at),
            Phase::Recognised(until) | Phase::Lent(until) => Some(until),
            Phase::Unlocked(lifetime) => lifetime.until,
            Phase::Absent | Phase::Empty | Phase::Present(None) | Phase::Lost => None,
        }
    }

    fn after(self, now: Instant, input: Input) -> (Phase, Option<Act>) {
        let held = self.is_held();
        let end = held.then_some(Act::End);
        let at_once = Phase::Present(Some(Look { at: now, tries: 0 }));
        match (self.0, input) {
            // Only time and a word of its owner end a loan.
            (Phase::Lent(_), Input::TakenBack) => (Phase::Present(None), None),
            (Phase::Lent(until), Input::Tick) => (self.0, (now >= until).then_some(Act::TakeBack)),
            (Phase::Lent(_), Input::Lends(until)) => (Phase::Lent(until), None),
            (Phase::Lent(_), _) => (self.0, None),
            (_, Input::Lends(until)) => (Phase::Lent(until), end),

            (_, Input::Sight(Sight::NoReader)) => (Phase::Absent, end),
            (_, Input::Sight(Sight::NoCard)) => (Phase::Empty, end),
            (Phase::Absent | Phase::Empty | Phase::Lost, Input::Sight(_)) => (at_once, None),
            (_, Input::Sight(Sight::OtherCard)) if held => (at_once, Some(Act::End)),
            (_, Input::Sight(_)) => (self.0, None),

            (_, Input::Opened) => (Phase::Recognised(now.after(HOLD)), None),
            (_, Input::Validated(lifetime)) => (Phase::Unlocked(lifetime), None),
            (Phase::Present(Some(look)), Input::Busy) if look.tries < TRIES => {
                (Phase::Present(Some(Look { at: now.after(AGAIN), tries: look.tries.saturating_add(1) })), None)
            }
            (Phase::Present(_), Input::Busy | Input::Strange) => (Phase::Present(None), None),
            (Phase::Unlocked(Lifetime { each_use: true, .. }), Input::Used) | (_, Input::Locked) if held => {
                (Phase::Present(None), Some(Act::End))
            }
            (_, Input::Failed) => (Phase::Lost, end),

            (Phase::Present(Some(look)), Input::Tick) if now >= look.at => (self.0, Some(Act::Look)),
            (Phase::Recognised(until), Input::Tick) if now >= until => (Phase::Present(None), Some(Act::End)),
            (Phase::Unlocked(Lifetime { until: Some(until), .. }), Input::Tick) if now >= until => {
                (Phase::Present(None), Some(Act::End))
            }
            // Whoever spoke to the card has seen that it is there.
            (Phase::Absent | Phase::Empty | Phase::Lost, Input::Locked) => (self.0, None),
            (Phase::Lost, Input::Answered) => (Phase::Present(None), None),
            (_, Input::Tick | Input::Used | Input::Locked | Input::TakenBack) => (self.0, None),
            (_, Input::Busy | Input::Strange | Input::Answered) => (self.0, None),
        }
    }
}

impl Phase {
    /// Returns the word for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Empty => "empty",
            Self::Present(_) => "present",
            Self::Recognised(_) => "recognised",
            Self::Unlocked(_) => "unlocked",
            Self::Lent(_) => "lent",
            Self::Lost => "lost",
        }
    }
}

/// How long a recognised card is held for its owner's PIN.
const HOLD: Duration = Duration::from_secs(5 * 60);
/// Until the next look at a card that another program was quicker to look at.
const AGAIN: Duration = Duration::from_millis(200);
/// So often, which is within 2 s of its insertion.
const TRIES: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_start(Duration::from_millis(millis))
    }

    /// A reader to which all this happened, a second apart.
    fn after(inputs: &[Input]) -> State {
        let mut state = State::default();
        for (n, input) in (0..).zip(inputs) {
            state.handle(at(n * 1000), *input);
        }
        state
    }

    const FOR_A_MINUTE: Lifetime =
        Lifetime { until: Some(Instant::from_start(Duration::from_secs(60))), each_use: false };
    const DRAWN: Input = Input::Sight(Sight::NoCard);
    const UNPLUGGED: Input = Input::Sight(Sight::NoReader);
    const INSERTED: Input = Input::Sight(Sight::Card);

    #[test]
    fn a_session_ends_with_its_card_its_reader_its_time_its_use_and_a_word() {
        let unlocked = [Input::Validated(FOR_A_MINUTE)];
        let once = Lifetime { each_use: true, ..FOR_A_MINUTE };
        for (begun, end, left) in [
            (unlocked, DRAWN, "empty"),
            (unlocked, UNPLUGGED, "absent"),
            (unlocked, Input::Sight(Sight::OtherCard), "present"),
            (unlocked, Input::Locked, "present"),
            (unlocked, Input::Failed, "lost"),
            (unlocked, Input::Lends(at(90_000)), "lent"),
            ([Input::Validated(once)], Input::Used, "present"),
            ([Input::Opened], DRAWN, "empty"),
            ([Input::Opened], Input::Lends(at(90_000)), "lent"),
        ] {
            let mut state = after(&begun);
            assert!(state.is_held());
            assert_eq!(state.handle(at(1), end), Some(Act::End), "{begun:?} {end:?}");
            assert_eq!((state.phase().name(), state.is_held()), (left, false));
        }
        let mut state = after(&unlocked);
        assert_eq!(state.wake_at(), FOR_A_MINUTE.until);
        assert_eq!(state.handle(at(59_999), Input::Tick), None);
        assert_eq!(state.handle(at(30_000), Input::Used), None, "used as often as wanted");
        assert_eq!(state.handle(at(60_000), Input::Tick), Some(Act::End));
        assert_eq!((state.phase(), state.wake_at()), (Phase::Present(None), None));
    }

    #[test]
    fn a_card_that_comes_back_is_looked_at_and_never_unlocked_by_itself() {
        for gone in [DRAWN, UNPLUGGED, Input::Failed] {
            let mut state = after(&[Input::Validated(Lifetime::default()), gone]);
            assert_eq!(state.handle(at(5000), INSERTED), None);
            assert_eq!(state.wake_at(), Some(at(5000)), "at once");
            assert_eq!(state.handle(at(5000), Input::Tick), Some(Act::Look));
            assert_eq!(state.handle(at(5100), Input::Opened), None);
            assert_eq!(state.phase().name(), "recognised");
            assert_eq!(state.handle(at(5100), INSERTED), None);
            let until = state.wake_at().unwrap();
            assert_eq!(state.handle(until, Input::Tick), Some(Act::End), "it is not held for ever");
        }
    }

    #[test]
    fn a_card_that_somebody_else_looks_at_first_is_looked_at_again_within_2_s() {
        let mut state = after(&[DRAWN]);
        state.handle(at(0), INSERTED);
        let mut last = at(0);
        let mut looks = 0;
        while let Some(now) = state.wake_at() {
            assert_eq!(state.handle(now, Input::Tick), Some(Act::Look));
            state.handle(now, Input::Busy);
            (last, looks) = (now, looks + 1);
        }
        assert_eq!((looks, last.since(at(0)) < Duration::from_secs(2)), (9, true));
        assert!(state.is_idle());
        // And a strange one is let be.
        let mut state = after(&[DRAWN, INSERTED, Input::Strange]);
        assert_eq!(state.handle(at(9000), Input::Tick), None);
        assert!(state.is_idle());
    }

    #[test]
    fn a_reader_that_is_lent_is_nobodys_concern_until_it_is_taken_back() {
        let mut state = after(&[Input::Lends(at(60_000))]);
        for input in [DRAWN, UNPLUGGED, INSERTED, Input::Used, Input::Locked, Input::Failed, Input::Opened] {
            assert_eq!(state.handle(at(10_000), input), None);
            assert_eq!(state.phase(), Phase::Lent(at(60_000)), "{input:?}");
        }
        assert_eq!(state.handle(at(59_999), Input::Tick), None);
        assert_eq!(state.handle(at(60_000), Input::Tick), Some(Act::TakeBack));
        assert_eq!(state.handle(at(60_000), Input::TakenBack), None);
        assert!(state.is_idle());
    }

    /// Whatever happens, in whatever order: a PIN is validated by a PIN alone, and every session that ends is ended.
    #[test]
    fn no_order_of_events_begins_a_session_or_forgets_to_end_one() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |bound: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).unwrap() % bound
        };
        let (mut state, mut now) = (State::default(), 0);
        for _ in 0..200_000 {
            now += u64::try_from(draw(40_000)).unwrap();
            let until = at(now + 30_000);
            let inputs = [
                INSERTED,
                DRAWN,
                UNPLUGGED,
                Input::Sight(Sight::OtherCard),
                Input::Opened,
                Input::Strange,
                Input::Busy,
                Input::Validated(Lifetime { until: Some(until), each_use: draw(2) == 0 }),
                Input::Used,
                Input::Locked,
                Input::Failed,
                Input::Answered,
                Input::Lends(until),
                Input::TakenBack,
                Input::Tick,
            ];
            let input = inputs[draw(inputs.len())];
            let before = state;
            let act = state.handle(at(now), input);
            let begins = matches!(input, Input::Opened | Input::Validated(_));
            assert_eq!(act == Some(Act::End), before.is_held() && !state.is_held(), "{before:?} {input:?} {state:?}");
            assert!(before.is_held() || !state.is_held() || begins, "{before:?} {input:?} {state:?}");
            let unlocked = |state: &State| matches!(state.phase(), Phase::Unlocked(_));
            assert!(!unlocked(&state) || unlocked(&before) || matches!(input, Input::Validated(_)));
            if input == Input::Tick && !matches!(act, Some(Act::Look | Act::TakeBack)) {
                assert!(state.wake_at().is_none_or(|wake| wake > at(now)), "{state:?} would be late");
            }
        }
    }
}
