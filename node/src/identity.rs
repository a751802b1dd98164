//! The holder of the identity key. Here it is the exported chat key; for the machines it could as well be a card.
//!
//! Questions go to a task of its own and answers come back over a channel, so the engine never waits for a key. What
//! does not fit into the queue is answered at once with [`Refusal::Expired`].

use k256::SecretKey;
use k256::ecdsa::SigningKey;
use proto::{Answer, Ask, AskId, ChatKey, RecoverableSignature, Refusal, Secret, purpose};
use tokio::sync::mpsc;

use crate::keys::{ExportedKey, KeysError};

/// Which machine asked; ids of asks are unique within one machine only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// The chat engine.
    Chat,
    /// The envelope sealer.
    Sealer,
}

/// An answer on its way back to the machine that asked.
#[derive(Debug)]
pub struct Answered {
    /// Which machine asked.
    pub asker: Asker,
    /// Its question.
    pub id: AskId,
    /// The answer.
    pub answer: Result<Answer, Refusal>,
}

/// Where questions to the identity key go, and where answers come from.
#[derive(Debug)]
pub struct Identity {
    public: ChatKey,
    questions: mpsc::Sender<(Asker, AskId, Ask)>,
    answers: mpsc::Receiver<Answered>,
}

impl Identity {
    /// Starts the holder of an exported key.
    ///
    /// # Errors
    /// [`KeysError::BadAnswer`] when the bytes are no key, which [`crate::keys::fetch`] has ruled out.
    pub fn hold(key: ExportedKey) -> Result<Self, KeysError> {
        let secret = SecretKey::from_slice(key.secret.expose())
            .map_err(|_| KeysError::BadAnswer { purpose: purpose::CHAT, what: "it is no key of the curve" })?;
        let (questions, mut asked) = mpsc::channel::<(Asker, AskId, Ask)>(WAITING);
        let (answered, answers) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            while let Some((asker, id, ask)) = asked.recv().await {
                let answer = Ok(answer(&secret, &ask));
                if answered.send(Answered { asker, id, answer }).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self { public: key.public, questions, answers })
    }

    /// Returns the public key: who we are.
    #[must_use]
    pub const fn public(&self) -> ChatKey {
        self.public
    }

    /// Asks. The answer comes from [`Self::answer`]; if it cannot be asked, the refusal is returned here.
    pub fn ask(&self, asker: Asker, id: AskId, ask: Ask) -> Option<Answered> {
        let refusal = match self.questions.try_send((asker, id, ask)) {
            Ok(()) => return None,
            Err(mpsc::error::TrySendError::Full(_)) => Refusal::Expired,
            Err(mpsc::error::TrySendError::Closed(_)) => Refusal::Unavailable,
        };
        Some(Answered { asker, id, answer: Err(refusal) })
    }

    /// Waits for the next answer; for ever when the holder is gone, and then every question is refused.
    pub async fn answer(&mut self) -> Answered {
        match self.answers.recv().await {
            Some(answered) => answered,
            None => std::future::pending().await,
        }
    }
}

fn answer(secret: &SecretKey, ask: &Ask) -> Answer {
    match ask {
        Ask::Sign(digest) => Answer::Sign(RecoverableSignature::sign(&SigningKey::from(secret), digest)),
        Ask::Ecdh(point) => {
            let shared = k256::ecdh::diffie_hellman(secret.to_nonzero_scalar(), point.as_point().as_affine());
            Answer::Ecdh(Secret::fill(|room| room.copy_from_slice(shared.raw_secret_bytes())))
        }
    }
}

/// Questions that may wait: a person writes a few messages a second at most, and each asks twice.
const WAITING: usize = 64;

#[cfg(test)]
mod tests {
    use proto::Digest;

    use super::*;

    fn key(byte: u8) -> ExportedKey {
        let secret = Secret::fill(|room| *room = [byte; 32]);
        let public = ChatKey::from(SecretKey::from_slice(secret.expose()).unwrap().public_key());
        ExportedKey { secret, public }
    }

    #[tokio::test]
    async fn a_signature_comes_back_to_the_machine_that_asked() {
        let mut identity = Identity::hold(key(7)).unwrap();
        let digest = Digest::from([3; 32]);
        assert!(identity.ask(Asker::Sealer, AskId(5), Ask::Sign(digest)).is_none());
        let answered = identity.answer().await;
        assert_eq!((answered.asker, answered.id), (Asker::Sealer, AskId(5)));
        let Ok(Answer::Sign(signature)) = answered.answer else { panic!("no signature") };
        assert_eq!(signature.recover(&digest), Some(identity.public()));
    }

    #[tokio::test]
    async fn both_sides_of_an_agreement_get_the_same_secret() {
        let (mut one, mut two) = (Identity::hold(key(1)).unwrap(), Identity::hold(key(2)).unwrap());
        one.ask(Asker::Chat, AskId(0), Ask::Ecdh(two.public()));
        two.ask(Asker::Chat, AskId(0), Ask::Ecdh(one.public()));
        let (a, b) = (one.answer().await.answer, two.answer().await.answer);
        let (Ok(Answer::Ecdh(a)), Ok(Answer::Ecdh(b))) = (a, b) else { panic!("no secret") };
        assert!(a.is_same(&b));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let identity = Identity::hold(key(1)).unwrap();
        // The holder's task has not run yet: nothing here awaits.
        let refused = (0..=WAITING as u64)
            .filter_map(|n| identity.ask(Asker::Chat, AskId(n), Ask::Sign(Digest::from([0; 32]))))
            .map(|answered| (answered.id, answered.answer.err()))
            .collect::<Vec<_>>();
        assert_eq!(refused, [(AskId(WAITING as u64), Some(Refusal::Expired))]);
    }
}
