//! The Cash applet of a card: a key of its own, which signs for whoever holds the card.

use audit::{LogStore, Outcome, Recorded};
use keycard::{CardTransport, Cash, CashInfo, Failed, Selection};
use proto::{Digest, Fingerprint, RecoverableSignature};

use crate::broker::Broker;
use crate::cards::seat::Target;
use crate::error::BrokerError;
use crate::guard::Guarded;
use crate::journal::Why;

/// What the Cash applet says of itself, and its signature if one was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CashSaid {
    /// Its key, version and data.
    pub info: CashInfo,
    /// The signature and the number of its intent.
    pub signed: Option<(RecoverableSignature, u64)>,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Asks the Cash applet of a card. A session with the card ends with it.
    ///
    /// # Errors
    /// Those of the card.
    pub fn card_cash(&mut self, target: &Target, hash: Option<Digest>, why: &Why) -> Result<CashSaid, BrokerError> {
        self.at(target, |broker| {
            let selected = match broker.connect()? {
                Selection::Blank(card) => card.select_cash(),
                Selection::Initialised(card) => card.select_cash(),
            };
            let mut cash = match selected {
                Ok(cash) => cash,
                Err(Failed { transport, error, .. }) => {
                    broker.put_back(transport);
                    return Err(error.into());
                }
            };
            let info = cash.info().clone();
            let signed = hash.map(|hash| broker.cash_sign(&mut cash, &hash, why)).transpose();
            broker.put_back(cash.into_transport());
            Ok(CashSaid { info, signed: signed? })
        })
    }

    fn cash_sign(
        &mut self,
        cash: &mut Cash<Guarded<T>>,
        hash: &Digest,
        why: &Why,
    ) -> Result<(RecoverableSignature, u64), BrokerError> {
        let request = cash.request(hash);
        let (key_uid, fingerprint) = (request.key_uid, Fingerprint::of(&cash.info().key));
        let ask = |recorded: &mut Recorded| cash.sign(hash, recorded);
        let done = |signature: &RecoverableSignature| Outcome::Done {
            fingerprint: Some(fingerprint),
            key_uid,
            nonce: signature.as_bytes().first_chunk().copied(),
        };
        self.journal.carry_out(request, why, ask, done)
    }
}
