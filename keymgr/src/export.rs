//! Keys that leave the card: decided by the policy, recorded before and after, and private ones sealed to the caller.

use audit::{Asked, LogStore, Operation, Outcome};
use k256::SecretKey;
use keycard::{CardError, CardTransport};
use proto::rpc::api::Sealed;
use proto::rpc::seal;
use proto::{ChatKey, ExportPath, Fingerprint, KeyPath, Secret};

use crate::approval::Granted;
use crate::broker::{About, Broker};
use crate::error::{BrokerError, Mismatch};
use crate::guard::GuardedCard;
use crate::journal::{Journal, Why};
use crate::policy::{self, Decision, Question, Reason, Refusal, Request};

/// A private key on its way to the caller.
pub struct SealedKey {
    /// The key, sealed to the caller's one-time key.
    pub sealed: Sealed,
    /// Of its public half.
    pub fingerprint: Fingerprint,
    /// The number of the intent.
    pub entry: u64,
}

/// A public key.
pub struct PublicKey {
    /// The key.
    pub key: ChatKey,
    /// Its chain code, sealed to the caller's one-time key, when the extended form was asked for.
    pub chain_code: Option<Sealed>,
    /// The number of the intent.
    pub entry: u64,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Exports the private key at `path`, sealed to the caller's one-time key.
    ///
    /// # Errors
    /// [`BrokerError::Refused`], which is in the log; [`BrokerError::Locked`]; [`BrokerError::Log`], and then nothing left
    /// or it was wiped; [`BrokerError::Card`], [`BrokerError::Mismatch`]. After all but the first two the card is locked.
    pub fn export_private(&mut self, path: KeyPath, caller: &ChatKey, why: &Why) -> Result<SealedKey, BrokerError> {
        let about = self.about();
        self.decide(about, Asked::Private(path.clone()), why)?;
        let path = ExportPath::try_from(path).map_err(|error| BrokerError::bad_input(error.to_string()))?;
        self.private(&path, caller, why).inspect_err(|error| self.after(error))
    }

    /// Exports the public key at `path`; with a one-time key in `extended` also its chain code, sealed to that key.
    ///
    /// # Errors
    /// As [`Self::export_private`].
    pub fn export_public(
        &mut self,
        path: KeyPath,
        extended: Option<&ChatKey>,
        why: &Why,
    ) -> Result<PublicKey, BrokerError> {
        let operation = operation_public(path.clone(), extended.is_some());
        let about = self.about();
        self.decide(about, asked_public(path, extended.is_some()), why)?;
        self.public_key(operation, extended, why).inspect_err(|error| self.after(error))
    }

    /// Checks that the policy allows this. What it refuses is in the log, about this card.
    pub(crate) fn decide(&mut self, about: About, asked: Asked, why: &Why) -> Result<(), BrokerError> {
        let question = Question::of(&asked);
        self.decide_on(question, about, asked, why)
    }

    /// The same, where what is asked of the card is not all of the question.
    pub(crate) fn decide_on(
        &mut self,
        question: Result<Question, Reason>,
        about: About,
        asked: Asked,
        why: &Why,
    ) -> Result<(), BrokerError> {
        let reason = match self.weigh(question.as_ref(), about, why) {
            Decision::Allowed { key, approval } => match Granted::suffices(why.granted, approval) {
                Ok(()) => return Ok(()),
                Err(no) => Reason::NotApproved { key, why: no.to_string() },
            },
            // It is one that is locked, and what is locked is refused anyway.
            Decision::Refused(Reason::WhichCard { .. }) => return Err(BrokerError::Locked),
            Decision::Refused(reason) => reason,
        };
        tracing::info!(%asked, purpose = %why.purpose, "refused: {reason}");
        let error = self.refusal(reason, question.ok().as_ref(), why);
        Err(self.refused_about(about, asked, why, error))
    }

    /// Returns what the policy says.
    pub(crate) fn weigh(&self, question: Result<&Question, &Reason>, about: About, why: &Why) -> Decision {
        let Why { caller, doubt, purpose, .. } = why;
        let question = match question {
            Ok(question) => question,
            Err(reason) => return Decision::Refused(reason.clone()),
        };
        let (doubt, at) = (doubt.as_ref(), self.journal.unix());
        let (card, key_uid) = about;
        let about = &card.map_or_else(policy::About::default, |card| self.called(card, key_uid));
        let request = Request { caller, doubt, question, purpose, about, at };
        self.rules.policy.policy().decide(&request, self.journal.history())
    }

    /// Returns a refusal that says in which file what would allow it.
    pub(crate) fn refusal(&self, reason: Reason, question: Option<&Question>, why: &Why) -> BrokerError {
        let policy = self.rules.policy.policy();
        let block = question.filter(|_| reason.can_be_allowed()).and_then(|question| {
            policy.block_for(&why.caller, why.doubt.as_ref(), question, &why.purpose, reason.card())
        });
        BrokerError::Refused(Box::new(Refusal { reason, block, file: self.enrolment.policy_path.clone() }))
    }

    fn private(&mut self, path: &ExportPath, caller: &ChatKey, why: &Why) -> Result<SealedKey, BrokerError> {
        let shown = self.chat_to_show();
        let (card, journal) = self.unlocked()?;
        let request = card.request(Operation::ExportPrivate(path.clone()));
        let key_uid = request.key_uid;
        let ((secret, fingerprint), entry) = journal.carry_out(
            request,
            why,
            |recorded| {
                let secret = card.export_private(path, recorded)?;
                let fingerprint = fingerprint_of(&secret)?;
                Ok((secret, fingerprint))
            },
            |(_, fingerprint)| Outcome::done(Some(*fingerprint), key_uid),
        )?;
        if let Some(pinned) = shown.filter(|pinned| *path == ExportPath::chat() && *pinned != fingerprint) {
            // The log has what left the card; the caller does not get it.
            return Err(Mismatch::OtherChatKey { found: fingerprint, pinned }.into());
        }
        let sealed = self.seal(caller, seal::KEY, &secret)?;
        tracing::info!(%path, entry, "private key exported");
        Ok(SealedKey { sealed, fingerprint, entry })
    }

    fn public_key(
        &mut self,
        operation: Operation,
        caller: Option<&ChatKey>,
        why: &Why,
    ) -> Result<PublicKey, BrokerError> {
        let (card, journal) = self.unlocked()?;
        let (key, chain_code, entry) = ask_public(card, journal, &operation, why)?;
        let chain_code = match (chain_code, caller) {
            (Some(code), Some(caller)) => Some(self.seal(caller, seal::CHAIN, &code)?),
            _ => None,
        };
        Ok(PublicKey { key, chain_code, entry })
    }

    fn seal(&mut self, caller: &ChatKey, context: &str, secret: &Secret<32>) -> Result<Sealed, BrokerError> {
        seal::seal(&caller.to_compressed(), context, secret.expose(), &mut *self.dice)
            .map_err(|error| BrokerError::bad_input(error.to_string()))
    }
}

/// Returns the question for a public key.
pub(crate) fn asked_public(path: KeyPath, extended: bool) -> Asked {
    if extended { Asked::ExtendedPublic(path) } else { Asked::Public(path) }
}

/// Returns what the card is asked for it.
pub(crate) const fn operation_public(path: KeyPath, extended: bool) -> Operation {
    if extended { Operation::ExportExtendedPublic(path) } else { Operation::ExportPublic(path) }
}

/// Asks a card for a public key, with its chain code if that was asked for, and returns them with the number of the intent.
pub(crate) fn ask_public<T: CardTransport, S: LogStore>(
    card: &mut GuardedCard<T>,
    journal: &mut Journal<S>,
    operation: &Operation,
    why: &Why,
) -> Result<(ChatKey, Option<Secret<32>>, u64), BrokerError> {
    let request = card.request(operation.clone());
    let key_uid = request.key_uid;
    let done = |(key, _): &(ChatKey, _)| Outcome::done(Some(Fingerprint::of(key)), key_uid);
    let ask = |recorded: &mut audit::Recorded| match operation {
        Operation::ExportPublic(path) => card.export_public(path, recorded).map(|key| (key, None)),
        Operation::ExportExtendedPublic(path) => {
            card.export_extended_public(path, recorded).map(|extended| (extended.key, Some(extended.chain_code)))
        }
        _ => Err(CardError::Misuse { what: "this is no export of a public key" }),
    };
    let ((key, chain_code), entry) = journal.carry_out(request, why, ask, done)?;
    Ok((key, chain_code, entry))
}

fn fingerprint_of(secret: &Secret<32>) -> Result<Fingerprint, CardError> {
    let key =
        SecretKey::from_slice(secret.expose()).map_err(|_| CardError::Answer { what: "a private key of no curve" })?;
    Ok(Fingerprint::of(&ChatKey::from(key.public_key())))
}
