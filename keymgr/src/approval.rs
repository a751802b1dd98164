//! The owner's approval of one request: whether it is wanted, of which card, and what is done once it was given at the
//! [`crate::desk`] or not.
//!
//! The invariant: what is done is done with the card that its owner was shown, and is written down first.

use audit::{Asked, Caller, Deed, LogStore};
use keycard::{CardError, CardTransport, TransportError};

use crate::broker::{About, Broker};
use crate::cards::access::Access;
use crate::cards::seat::{Candidate, Target};
use crate::cards::vouch::Contact;
use crate::desk::Yes;
use crate::error::{BrokerError, Mismatch};
use crate::journal::Why;
use crate::policy::{Approval, Decision, Question, Reason};
use crate::reader::state::Phase;
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
    /// Whether its PIN comes along: then it is the card that lies there, whichever is unlocked.
    pub(crate) with_pin: bool,
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
    /// The last agent went while the request waited.
    #[error("the owner's agent went away before it answered; the owner starts it again with `cardinal agent`")]
    AgentGone,
    /// The owner did not answer.
    #[error("the owner did not answer in time")]
    TooLate,
    /// The owner said no to this user, or nothing, a moment ago.
    #[error("this user got no approval a moment ago, so the owner was not asked; ask again in {seconds} s")]
    TooSoon {
        /// How long until the owner is asked again.
        seconds: u64,
    },
    /// The card that was shown is not the one that is meant.
    #[error("another card is meant than the one that the owner was shown; ask again")]
    OtherCard,
    /// The owner said no.
    #[error("the owner denied it (uid {})", .0.uid)]
    Denied(Caller),
}

impl Wish {
    /// Returns the wish for what is asked of a card.
    pub(crate) fn of(asked: Asked, target: &Target) -> Self {
        let question = Question::of(&asked);
        Self { asked, detail: None, question, target: target.clone(), with_pin: false }
    }

    /// Returns the wish for what is asked of a card that is opened so.
    pub(crate) fn by(asked: Asked, access: &Access) -> Self {
        Self { with_pin: access.pin.is_some(), ..Self::of(asked, &access.target) }
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

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Returns the block that allows this wish once the owner approves, how, and of which card; nothing where no approval
    /// is wanted, or none would help.
    ///
    /// # Errors
    /// Why it is not clear which card is meant, or why it cannot be shown: the owner is not asked then.
    pub(crate) fn wants_approval(&mut self, wish: &Wish, why: &Why) -> Result<Option<Needed>, BrokerError> {
        let about = self.about_wish(wish)?;
        let decision = match self.weigh(wish.question.as_ref(), about, why) {
            Decision::Refused(Reason::WhichCard { .. }) => {
                let card = self.card_meant(wish)?;
                self.weigh(wish.question.as_ref(), (Some(card.card), card.key_uid), why)
            }
            decision => decision,
        };
        match decision {
            Decision::Allowed { key, approval } if approval != Approval::None => {
                let card = self.card_meant(wish)?;
                Ok(Some(Needed { key, approval, card }))
            }
            _ => Ok(None),
        }
    }

    /// Returns the card that is meant: the one that lies there when its PIN comes along, else the unlocked one, or the one that
    /// its PIN would unlock.
    fn card_meant(&mut self, wish: &Wish) -> Result<Candidate, BrokerError> {
        let target = &wish.target;
        let found = match self.session(target) {
            _ if wish.with_pin => self.at(target, Self::look_here)?,
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
    pub(crate) fn not_approved(&mut self, needed: Needed, no: &NoApproval, wish: Wish, why: &Why) -> BrokerError {
        let Needed { key, card, .. } = needed;
        let about = (Some(card.card), card.key_uid);
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
        if !self.is_still(&needed.card, &wish)? {
            return Err(self.not_approved(needed, &NoApproval::OtherCard, wish, &why));
        }
        let shown = needed.card;
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
                    broker.goes_on(lifetime);
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

    /// Whether a wish means the card that its owner was shown, and that card lies where it lay.
    fn is_still(&mut self, shown: &Candidate, wish: &Wish) -> Result<bool, BrokerError> {
        if wish.with_pin {
            let found = self.at(&wish.target, Self::look_here)?;
            return Ok(found.is_some_and(|found| (found.card, found.reader) == (shown.card, shown.reader.clone())));
        }
        match self.session(&wish.target) {
            Ok(name) if name != shown.reader => return Ok(false),
            Ok(_) | Err(BrokerError::Locked) => {}
            Err(error) => return Err(error),
        }
        let found = self.at_seat(&shown.reader, None, Self::look_here)?;
        Ok(found.is_some_and(|found| found.card == shown.card))
    }

    /// Returns the card that a wish is about, as far as the rules want it known.
    fn about_wish(&mut self, wish: &Wish) -> Result<About, BrokerError> {
        match self.meant(&wish.target, wish.with_pin)? {
            (None, None) if wish.target == Target::default() && !wish.with_pin => Ok(self.about()),
            about => Ok(about),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
