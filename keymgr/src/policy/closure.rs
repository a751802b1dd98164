//! What would follow from one key more: the one place where the policy asks for the closure of what left.

use audit::closure::facts::Extent;
use audit::closure::would_add;
use audit::{Operation, Request};
use proto::{CardId, ExportPath, KeyUid};

use super::Policy;
use super::history::History;
use super::question::{Question, Use};
use super::rule::Mode;

impl Policy {
    /// Returns the first private key that somebody could compute after this and not before, that is not the one asked for,
    /// and that no block lets go.
    ///
    /// Where it is not known which card is asked, none of those that the log names may give more than that.
    pub(super) fn beyond_allowed(
        &self,
        (card, account): (Option<CardId>, Option<KeyUid>),
        question: &Question,
        history: &History,
    ) -> Option<String> {
        let operation = match question.operation {
            Use::ExportPrivate => Operation::ExportPrivate(ExportPath::try_from(question.path.clone()).ok()?),
            Use::Extended => Operation::ExportExtendedPublic(question.path.clone()),
            _ => return None,
        };
        let places: Vec<_> = match card {
            Some(card) => vec![(card, account)],
            None => history.accounts().filter(|(_, uid)| account.is_none() || *uid == account).collect(),
        };
        let asked = places.into_iter().map(|(card, key_uid)| Request { card, key_uid, operation: operation.clone() });
        asked.flat_map(|request| would_add(history.left(), &request)).find_map(|implied| {
            let what = implied.what;
            let own = what.path == question.path && question.operation == Use::ExportPrivate;
            let allowed = what.extent == Extent::PrivateKey && (own || self.lets_go(&what.path));
            (!allowed).then(|| format!("the {} of {}", what.extent, what.path))
        })
    }

    /// Whether some block lets the private key at this path leave.
    fn lets_go(&self, path: &proto::KeyPath) -> bool {
        ExportPath::try_from(path.clone()).is_ok()
            && self.keys.iter().any(|key| key.mode == Mode::Export && key.covers(path))
    }
}
