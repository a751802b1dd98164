//! What would follow from one key more: the one place where the policy asks for the closure of what left.

use audit::closure::facts::Extent;
use audit::closure::would_add;
use audit::{Given, Operation, Request};
use proto::{CardId, ExportPath, KeyUid};

use super::Policy;
use super::history::History;
use super::question::{Question, Use};
use super::reason::Reason;
use super::rule::{About, Key, Mode};

impl Policy {
    /// Checks that nobody could compute a private key after this and not before, but the one asked for and those that some
    /// block lets go; and that whoever uses keys leaves room to remember exports.
    ///
    /// Where it is not known which card is asked, none of those that the log names may give more than that.
    ///
    /// # Errors
    /// [`Reason::Enlarges`], [`Reason::TooMuchLeft`], [`Reason::TooManyUsed`].
    pub(super) fn enlarges_nothing(&self, about: &About, question: &Question, history: &History) -> Result<(), Reason> {
        let operation = match question.operation {
            Use::ExportPrivate => {
                Operation::ExportPrivate(ExportPath::try_from(question.path.clone()).map_err(Reason::NotExportable)?)
            }
            Use::Extended => Operation::ExportExtendedPublic(question.path.clone()),
            _ => return uses_no_room(about, question, history),
        };
        for place in places(about, history).ok_or(Reason::TooMuchLeft)? {
            let Place { card, key_uid } = place;
            if history.left().cut_off().is_some() && !history.left().knows(&card, key_uid, operation.gives()) {
                return Err(Reason::TooMuchLeft);
            }
            let request = Request { card, key_uid, operation: operation.clone() };
            for implied in would_add(history.left(), &request) {
                let what = implied.what;
                let own = what.path == question.path && question.operation == Use::ExportPrivate;
                if what.extent != Extent::PrivateKey || !(own || self.lets_go(&what.path, &place.about(about))) {
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

/// A card that may be meant, and the account on it.
#[derive(Debug, Clone, Copy)]
struct Place {
    card: CardId,
    key_uid: Option<KeyUid>,
}

impl Place {
    /// Returns what is known of this card: all of `about`, if that is of one card.
    fn about(&self, about: &About) -> About {
        let label = about.label.clone().filter(|_| about.card.is_some());
        About { card: Some(self.card), key_uid: self.key_uid, label }
    }
}

/// Returns the cards that may be meant; nothing when there are more than are remembered.
fn places(about: &About, history: &History) -> Option<Vec<Place>> {
    if let Some(card) = about.card {
        return Some(vec![Place { card, key_uid: about.key_uid }]);
    }
    let fits = |key_uid| about.key_uid.is_none() || key_uid == about.key_uid;
    Some(history.accounts()?.filter(|(_, uid)| fits(*uid)).map(|(card, key_uid)| Place { card, key_uid }).collect())
}

/// Checks that this use of a key has nothing new remembered in the room that is kept for exports.
fn uses_no_room(about: &About, question: &Question, history: &History) -> Result<(), Reason> {
    if !history.left().is_crowded() {
        return Ok(());
    }
    let given = match question.operation {
        Use::Ecdh | Use::Derive => Given::Agreement(&question.path),
        Use::Lee => Given::Lee(&question.path),
        Use::Bip85 => Given::Bip85(&question.path),
        _ => Given::Public(&question.path),
    };
    let places = places(about, history).ok_or(Reason::TooManyUsed)?;
    let known = places.iter().all(|Place { card, key_uid }| history.left().knows(card, *key_uid, given));
    if known { Ok(()) } else { Err(Reason::TooManyUsed) }
}
