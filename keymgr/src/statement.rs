//! A statement on request: the key at the path that is kept for it signs the log's head, which the card does only after its
//! PIN.

use audit::{Blob, Head, LogStore, Operation, Outcome, Recorded, STATEMENT_PATH, Scheme, Statement};
use keycard::{CardError, CardTransport, Signed};
use proto::{ChatKey, Digest, Fingerprint, KeyPath, KeyPlace};

use crate::broker::Broker;
use crate::cards::access::Access;
use crate::error::BrokerError;
use crate::journal::Why;

/// A head and the signature over its salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stated {
    /// The head.
    pub head: Head,
    /// What was hashed with it into the salt.
    pub random: [u8; 32],
    /// r and s.
    pub signature: [u8; 64],
    /// The key.
    pub key: ChatKey,
    /// The number of the line that holds it.
    pub entry: u64,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Has the key at [`STATEMENT_PATH`] sign the log's head as it stands.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`] where nothing in the log may tell one PIN from another; those of [`Broker::with_card`] and
    /// of the card.
    pub fn state(&mut self, access: Access, why: &Why) -> Result<Stated, BrokerError> {
        let path: KeyPath = STATEMENT_PATH.parse().map_err(|_| CardError::Misuse { what: "a path that is none" })?;
        let mut random = [0; 32];
        self.dice.fill_bytes(&mut random);
        self.with_card(access, why, |card, journal| {
            if journal.is_quiet() {
                return Err(BrokerError::bad_input(QUIET));
            }
            let head = journal.head();
            let salt = Digest::from(head.salt(&random));
            let key = KeyPlace::from(path);
            let signing =
                audit::Signing { key: key.clone(), makes_current: false, scheme: Scheme::Ecdsa, digest: salt };
            let request = card.request(Operation::Sign(signing));
            let (id, key_uid) = (request.card, request.key_uid);
            let ask = |recorded: &mut Recorded| card.sign(&key, &salt, recorded);
            let done = |signed: &Signed<proto::RecoverableSignature>| Outcome::Done {
                fingerprint: Some(Fingerprint::of(&signed.key)),
                key_uid,
                nonce: signed.signature.as_bytes().first_chunk().copied(),
            };
            let (signed, intent) = journal.carry_out(request, why, ask, done)?;
            let malformed = CardError::Answer { what: "a signature of another length" };
            let signature: [u8; 64] = *signed.signature.as_bytes().first_chunk().ok_or(malformed)?;
            let too_long = |_| CardError::Answer { what: "a key of another length" };
            let statement = Statement {
                card: id,
                key_uid,
                intent,
                key: Blob::try_from(signed.key.to_bytes().as_slice()).map_err(too_long)?,
                random,
                salt: *salt.as_bytes(),
                signature: Blob::try_from(signature.as_slice()).map_err(too_long)?,
            };
            let entry = journal.statement(statement)?;
            Ok(Stated { head, random, signature, key: signed.key, entry })
        })
    }
}

const QUIET: &str = "no statement is signed for a card in quiet duress mode: its key would tell which PIN was given";
