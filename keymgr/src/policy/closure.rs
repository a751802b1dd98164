//! What would follow from one key more: the one place where the policy asks for the closure of what left.

use audit::closure::facts::Extent;
use audit::closure::would_add;
use audit::{Operation, Request};
use proto::{CardId, ExportPath};

use super::Policy;
use super::history::History;
use super::question::{Question, Use};
use super::reason::Reason;
use super::rule::{About, Key, Mode};

impl Policy {
    /// Checks that nobody could compute a private key after this and not before, but the one asked for and those that some
    /// block lets go.
    ///
    /// Where it is not known which card is asked, none of those that the log names may give more than that.
    ///
    /// # Errors
    /// [`Reason::Enlarges`], [`Reason::TooMuchLeft`].
    pub(super) fn enlarges_nothing(&self, about: &About, question: &Question, history: &History) -> Result<(), Reason> {
        let operation = match question.operation {
            Use::ExportPrivate => {
                Operation::ExportPrivate(ExportPath::try_from(question.path.clone()).map_err(Reason::NotExportable)?)
            }
            Use::Extended => Operation::ExportExtendedPublic(question.path.clone()),
            _ => return Ok(()),
        };
        let places: Vec<(CardId, About)> = match about.card {
            Some(card) => vec![(card, about.clone())],
            None => {
                let known = history.accounts().ok_or(Reason::TooMuchLeft)?;
                let known = known.filter(|(_, uid)| about.key_uid.is_none() || *uid == about.key_uid);
                known.map(|(card, key_uid)| (card, About { card: Some(card), key_uid, label: None })).collect()
            }
        };
        for (card, place) in places {
            let request = Request { card, key_uid: place.key_uid, operation: operation.clone() };
            if history.left().cut_off().is_some() && !history.left().knows(&request) {
                return Err(Reason::TooMuchLeft);
            }
            for implied in would_add(history.left(), &request) {
                let what = implied.what;
                let own = what.path == question.path && question.operation == Use::ExportPrivate;
                if what.extent != Extent::PrivateKey || !(own || self.lets_go(&what.path, &place)) {
                    return Err(Reason::Enlarges { implied: format!("the {} of {}", what.extent, what.path) });
                }
            }
        }
        Ok(())
    }

    /// Whether some block lets the private key at this path leave this card.
    fn lets_go(&self, path: &proto::KeyPath, card: &About) -> bool {
        let lets = |key: &Key| key.mode == Mode::Export && key.covers(path) && key.is_of(card);
        ExportPath::try_from(path.clone()).is_ok() && self.keys.iter().any(lets)
    }
}
