//! The pairings of this computer with cards of 2.x and 3.x: who has one may open a channel and try PINs.
//!
//! ```json
//! { "format": "cardinal-pairings/1", "pairings": {
//!     "<instance UID>": { "key": "<64 digits>", "index": 0, "well_known": false, "vouched": false } } }
//! ```
//! The file is written whole, mode 0600, before the channel that a pairing opens: a slot that nobody remembers is lost to
//! the card until somebody unpairs it. Other programs keep the same without the last two (desktop) or as base64 of
//! `index || key` (mobile): both are read and written here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use keycard::Pairing;
use proto::shell::file;
use proto::{CardId, Secret};
use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use crate::cards::base64;
use crate::files::StateError;

/// One pairing, and what its owner said of it.
pub struct Kept {
    /// The pairing.
    pub pairing: Pairing,
    /// Whether its owner said that it was made where nobody stood in between, although its password is well known.
    pub vouched: bool,
}

/// All pairings, and the file that they are in.
pub struct Pairings {
    path: PathBuf,
    kept: BTreeMap<[u8; 16], Kept>,
}

/// Why pairings of another program were not taken: none of them was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotImported {
    /// The text is no pairing of another program.
    #[error("these are no pairings: neither a desktop pairings.json nor the 44 base64 characters of a phone")]
    NotPairings,
    /// There would be more than this computer keeps.
    #[error("more than {MOST} pairings are not kept; import those of the cards that you use")]
    TooMany,
}

impl Pairings {
    /// Reads the file; there are no pairings when there is none.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Io`].
    pub fn read(path: &Path) -> Result<Self, StateError> {
        let none = || Self { path: path.to_owned(), kept: BTreeMap::new() };
        let bytes = match file::read_bounded(path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(none()),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(StateError::damaged(path, error.to_string()));
            }
            Err(source) => return Err(StateError::io(path, source)),
        };
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|_| StateError::damaged(path, "no pairings"))?;
        if document.format != FORMAT {
            return Err(StateError::damaged(path, "unknown format"));
        }
        let mut kept = BTreeMap::new();
        for (uid, entry) in document.pairings {
            let pairing = entry.kept().map_err(|_| StateError::damaged(path, "no pairing"))?;
            kept.insert(uid_of(&uid).map_err(|_| StateError::damaged(path, "no instance UID"))?, pairing);
        }
        Ok(Self { kept, ..none() })
    }

    /// Returns the pairing with this card.
    #[must_use]
    pub fn find(&self, card: &CardId) -> Option<&Kept> {
        let CardId::Instance(uid) = card else { return None };
        self.kept.get(uid)
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.kept.len()).unwrap_or(u32::MAX)
    }

    /// Returns where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a pairing, on disk before this returns.
    ///
    /// # Errors
    /// [`StateError::Io`], and then nothing has changed; [`StateError::Damaged`] for a card without instance UID.
    pub fn keep(&mut self, card: &CardId, pairing: Kept) -> Result<(), StateError> {
        let CardId::Instance(uid) = card else {
            return Err(StateError::damaged(&self.path, "only cards of applet 2.x and 3.x are paired with"));
        };
        let before = self.kept.insert(*uid, pairing);
        self.write().inspect_err(|_| {
            match before {
                Some(before) => self.kept.insert(*uid, before),
                None => self.kept.remove(uid),
            };
        })
    }

    /// Remembers that the owner vouches for how a pairing was made.
    ///
    /// # Errors
    /// [`StateError::Io`], and then nothing has changed.
    pub fn vouch(&mut self, card: &CardId) -> Result<(), StateError> {
        let CardId::Instance(uid) = card else { return Ok(()) };
        let before = match self.kept.get_mut(uid) {
            Some(kept) => std::mem::replace(&mut kept.vouched, true),
            None => return Ok(()),
        };
        if before {
            return Ok(());
        }
        self.write().inspect_err(|_| {
            if let Some(kept) = self.kept.get_mut(uid) {
                kept.vouched = false;
            }
        })
    }

    /// Forgets the pairing with a card.
    ///
    /// # Errors
    /// [`StateError::Io`], and then nothing has changed.
    pub fn forget(&mut self, card: &CardId) -> Result<(), StateError> {
        let CardId::Instance(uid) = card else { return Ok(()) };
        let Some(before) = self.kept.remove(uid) else { return Ok(()) };
        self.write().inspect_err(|_| {
            self.kept.insert(*uid, before);
        })
    }

    /// Keeps pairings of another program, all in one write. One that is known stays as it is.
    ///
    /// # Errors
    /// [`StateError::Io`], and then nothing has changed.
    pub fn import(&mut self, imported: Imported) -> Result<(), StateError> {
        let Imported(pairings) = imported;
        let mut fresh = Vec::new();
        for (uid, pairing) in pairings {
            if let Entry::Vacant(room) = self.kept.entry(uid) {
                room.insert(pairing);
                fresh.push(uid);
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        self.write().inspect_err(|_| self.kept.retain(|uid, _| !fresh.contains(uid)))
    }

    /// Returns whether there is room for these.
    ///
    /// # Errors
    /// [`NotImported::TooMany`].
    pub fn has_room_for(&self, imported: &Imported) -> Result<(), NotImported> {
        let fresh = imported.0.keys().filter(|uid| !self.kept.contains_key(*uid)).count();
        if self.kept.len().saturating_add(fresh) > MOST { Err(NotImported::TooMany) } else { Ok(()) }
    }

    /// Returns the pairings as a desktop `pairings.json`: of one card, or of all.
    #[must_use]
    pub fn export_desktop(&self, card: Option<&CardId>) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.kept.len() * ENTRY + 4));
        text.push(b'{');
        for (uid, kept) in &self.kept {
            if card.is_some_and(|card| *card != CardId::Instance(*uid)) {
                continue;
            }
            if text.len() > 1 {
                text.push(b',');
            }
            text.extend_from_slice(format!("\"{}\":{{\"key\":\"", hex::encode(uid)).as_bytes());
            text.extend_from_slice(kept.digits().as_slice());
            text.extend_from_slice(format!("\",\"index\":{}}}", kept.pairing.slot).as_bytes());
        }
        text.push(b'}');
        text
    }

    /// Returns the pairing with a card as a phone keeps it.
    #[must_use]
    pub fn export_mobile(&self, card: &CardId) -> Option<Zeroizing<Vec<u8>>> {
        let kept = self.find(card)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(33));
        bytes.push(kept.pairing.slot);
        bytes.extend_from_slice(kept.pairing.key.expose());
        Some(base64::encode(&bytes))
    }

    fn write(&self) -> Result<(), StateError> {
        let mut text = Zeroizing::new(Vec::with_capacity((self.kept.len() + 1) * ENTRY));
        text.extend_from_slice(format!("{{\"format\":\"{FORMAT}\",\"pairings\":{{").as_bytes());
        for (n, (uid, kept)) in self.kept.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            text.extend_from_slice(format!("{comma}\n\"{}\":{{\"key\":\"", hex::encode(uid)).as_bytes());
            text.extend_from_slice(kept.digits().as_slice());
            let Kept { pairing: Pairing { slot, key: _, well_known }, vouched } = kept;
            let rest = format!("\",\"index\":{slot},\"well_known\":{well_known},\"vouched\":{vouched}}}");
            text.extend_from_slice(rest.as_bytes());
        }
        text.extend_from_slice(b"}}\n");
        file::write_whole(&self.path, &text).map_err(|source| StateError::io(&self.path, source))
    }
}

/// Pairings of another program: the key and the slot of each are taken, and nothing that it says of their making.
pub struct Imported(BTreeMap<[u8; 16], Kept>);

impl Imported {
    /// Reads a desktop `pairings.json`.
    ///
    /// # Errors
    /// [`NotImported::NotPairings`].
    pub fn desktop(text: &[u8]) -> Result<Self, NotImported> {
        let entries: BTreeMap<String, Foreign> = serde_json::from_slice(text).map_err(|_| NotImported::NotPairings)?;
        let pairings = entries.into_iter().map(|(uid, entry)| Ok((uid_of(&uid)?, entry.kept()?)));
        pairings.collect::<Result<_, NotImported>>().map(Self)
    }

    /// Reads the pairing of a phone, which does not say with which card.
    ///
    /// # Errors
    /// [`NotImported::NotPairings`].
    pub fn mobile(instance: [u8; 16], text: &[u8]) -> Result<Self, NotImported> {
        let bytes = base64::decode(text).ok_or(NotImported::NotPairings)?;
        let (index, key) = bytes.split_first().ok_or(NotImported::NotPairings)?;
        let key = Secret::copy_from(key).ok_or(NotImported::NotPairings)?;
        Ok(Self(BTreeMap::from([(instance, foreign(*index, key))])))
    }

    /// Returns with which cards they are.
    #[must_use]
    pub fn cards(&self) -> Vec<CardId> {
        self.0.keys().copied().map(CardId::Instance).collect()
    }
}

impl Kept {
    fn digits(&self) -> Zeroizing<[u8; 64]> {
        let mut digits = Zeroizing::new([0; 64]);
        // The room is exactly twice as long, so this cannot fail.
        let _ = hex::encode_to_slice(self.pairing.key.expose(), digits.as_mut_slice());
        digits
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    pairings: BTreeMap<String, Own>,
}

/// An entry of our own file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    key: String,
    index: u8,
    well_known: bool,
    vouched: bool,
}

/// An entry of another program's file.
#[derive(Deserialize)]
struct Foreign {
    key: String,
    index: u8,
}

impl Own {
    fn kept(self) -> Result<Kept, NotImported> {
        let pairing = Pairing { slot: self.index, key: key_of(self.key)?, well_known: self.well_known };
        Ok(Kept { pairing, vouched: self.vouched })
    }
}

impl Foreign {
    fn kept(self) -> Result<Kept, NotImported> {
        Ok(foreign(self.index, key_of(self.key)?))
    }
}

/// Returns a pairing that another program made: most take the well-known password, and nobody vouched for it here.
const fn foreign(slot: u8, key: Secret<32>) -> Kept {
    Kept { pairing: Pairing { slot, key, well_known: true }, vouched: false }
}

fn key_of(mut digits: String) -> Result<Secret<32>, NotImported> {
    let read = Secret::try_fill(|room| hex::decode_to_slice(&digits, room));
    digits.zeroize();
    read.map_err(|_| NotImported::NotPairings)
}

fn uid_of(digits: &str) -> Result<[u8; 16], NotImported> {
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(NotImported::NotPairings)
}

const FORMAT: &str = "cardinal-pairings/1";
const MAX_BYTES: usize = 1 << 20;
/// More cards than anybody has.
const MOST: usize = 1000;
/// One pairing needs no more: 32 and 64 digits, an index, a word.
const ENTRY: usize = 192;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const CARD: CardId = CardId::Instance([7; 16]);

    fn kept() -> Kept {
        let key = Secret::fill(|room| room.fill(0xab));
        Kept { pairing: Pairing { slot: 3, key, well_known: false }, vouched: true }
    }

    #[test]
    fn a_pairing_is_on_disk_and_for_us_alone_when_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pairings.json");
        let mut pairings = Pairings::read(&path).unwrap();
        pairings.keep(&CARD, kept()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut read = Pairings::read(&path).unwrap();
        let Kept { pairing, vouched } = read.find(&CARD).unwrap();
        assert_eq!((pairing.slot, pairing.key.expose(), pairing.well_known, *vouched), (3, &[0xab; 32], false, true));
        read.forget(&CARD).unwrap();
        assert!(Pairings::read(&path).unwrap().find(&CARD).is_none());
        assert!(pairings.keep(&CardId::Identity([2; 33]), kept()).is_err(), "4.0 has no pairings");
    }

    #[test]
    fn a_pairing_that_cannot_be_written_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut pairings = Pairings::read(&dir.path().join("none").join("pairings.json")).unwrap();
        assert!(pairings.keep(&CARD, kept()).is_err());
        assert!(pairings.find(&CARD).is_none());
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pairings.json");
        for bad in ["", "{}", "{\"format\":\"cardinal-pairings/2\",\"pairings\":{}}"] {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(Pairings::read(&path), Err(StateError::Damaged { .. })), "{bad}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
        }
    }

    /// Reference, PAIR: the forms in which desktop and phone keep a pairing.
    #[test]
    fn the_forms_of_other_programs_are_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut ours = Pairings::read(&dir.path().join("ours.json")).unwrap();
        ours.keep(&CARD, kept()).unwrap();
        let desktop = ours.export_desktop(None);
        let want = format!("{{\"{}\":{{\"key\":\"{}\",\"index\":3}}}}", "07".repeat(16), "ab".repeat(32));
        assert_eq!(std::str::from_utf8(&desktop).unwrap(), want);
        assert_eq!(ours.export_desktop(Some(&CardId::Instance([8; 16]))).as_slice(), b"{}");
        let mobile = ours.export_mobile(&CARD).unwrap();
        assert_eq!(mobile.len(), 44);

        let mut theirs = Pairings::read(&dir.path().join("theirs.json")).unwrap();
        let imported = Imported::desktop(&desktop).unwrap();
        assert_eq!(imported.cards(), [CARD]);
        theirs.import(imported).unwrap();
        assert!(theirs.find(&CARD).unwrap().pairing.well_known, "where it comes from is not known");
        theirs.forget(&CARD).unwrap();
        theirs.import(Imported::mobile([7; 16], &mobile).unwrap()).unwrap();
        let Kept { pairing, vouched } = theirs.find(&CARD).unwrap();
        assert_eq!((pairing.slot, pairing.well_known, *vouched), (3, true, false));
        assert_eq!(theirs.find(&CARD).unwrap().pairing.key.expose(), &[0xab; 32]);
        for bad in ["", "[]", "{\"x\":1}", "AAAA"] {
            assert_eq!(Imported::desktop(bad.as_bytes()).err(), Some(NotImported::NotPairings), "{bad}");
            assert_eq!(Imported::mobile([7; 16], bad.as_bytes()).err(), Some(NotImported::NotPairings), "{bad}");
        }
    }

    #[test]
    fn an_import_leaves_what_is_known_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut pairings = Pairings::read(&dir.path().join("pairings.json")).unwrap();
        pairings.keep(&CARD, kept()).unwrap();
        let other = format!("{{\"{}\":{{\"key\":\"{}\",\"index\":0}}}}", "07".repeat(16), "cd".repeat(32));
        pairings.import(Imported::desktop(other.as_bytes()).unwrap()).unwrap();
        assert_eq!(pairings.find(&CARD).unwrap().pairing.key.expose(), &[0xab; 32]);
    }

    #[test]
    fn what_another_file_says_of_the_making_of_a_pairing_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let mut pairings = Pairings::read(&dir.path().join("pairings.json")).unwrap();
        let says = "\"well_known\":false,\"vouched\":true";
        let file = format!("{{\"{}\":{{\"key\":\"{}\",\"index\":0,{says}}}}}", "07".repeat(16), "cd".repeat(32));
        pairings.import(Imported::desktop(file.as_bytes()).unwrap()).unwrap();
        let Kept { pairing, vouched } = pairings.find(&CARD).unwrap();
        assert!(pairing.well_known && !vouched);
    }

    #[test]
    fn an_import_is_kept_whole_or_not_at_all_and_never_more_than_a_thousand() {
        let dir = tempfile::tempdir().unwrap();
        let many = |count: usize| {
            let entry = |n| format!("\"{n:032x}\":{{\"key\":\"{}\",\"index\":0}}", "cd".repeat(32));
            let entries: Vec<String> = (0..count).map(entry).collect();
            Imported::desktop(format!("{{{}}}", entries.join(",")).as_bytes()).unwrap()
        };
        let path = dir.path().join("pairings.json");
        let mut pairings = Pairings::read(&path).unwrap();
        pairings.keep(&CARD, kept()).unwrap();
        assert_eq!(pairings.has_room_for(&many(MOST)), Err(NotImported::TooMany));
        assert_eq!(pairings.has_room_for(&many(MOST - 1)), Ok(()));
        pairings.import(many(MOST - 1)).unwrap();
        assert_eq!(Pairings::read(&path).unwrap().kept.len(), MOST);

        let mut nowhere = Pairings::read(&dir.path().join("none").join("pairings.json")).unwrap();
        assert!(nowhere.import(many(3)).is_err());
        assert!(nowhere.kept.is_empty());
    }
}
