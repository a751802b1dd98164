//! The current key of each applet, followed through what cards are asked, against cards that keep one.

use super::*;
use crate::paired::PairedChannelOpened;
use crate::{Blob, Deed, Owner, Text};

/// A card as it is: an applet of this version, and what it remembers.
struct Real {
    version: &'static str,
    current: KeyPath,
    last: Option<KeyPath>,
}

impl Real {
    fn is_v4(&self) -> bool {
        self.version == "4.0"
    }

    fn leaks(&self) -> bool {
        matches!(self.version, "3.1" | "3.2")
    }

    fn id(&self) -> CardId {
        if self.is_v4() { NEW } else { OLD }
    }

    /// Returns one of the ways to name the key at a path.
    fn place(&self, to: &KeyPath, dice: &mut Dice) -> String {
        let below = |start: &[u32]| {
            let below = to.components().strip_prefix(start).filter(|_| !self.is_v4())?;
            Some(KeyPath::new(below).unwrap().to_string().replacen('m', "", 1))
        };
        let parent = self.current.components().split_last().map(|(_, parent)| parent);
        match (dice.below(3), below(self.current.components()), parent.and_then(below)) {
            (0, Some(rest), _) => format!("current{rest}"),
            (1, _, Some(rest)) if !rest.is_empty() => format!("parent{rest}"),
            _ => to.to_string(),
        }
    }
}

fn opened(version: &str) -> Event {
    Event::PairedChannelOpened(Box::new(PairedChannelOpened {
        card: OLD,
        key_uid: None,
        applet: Text::lossy(version),
        slot: 0,
        well_known: false,
        channel_key: Blob::try_from([4u8; 65].as_slice()).unwrap(),
        signed: None,
    }))
}

pub(super) fn lent(card: CardId) -> Event {
    let caller = Caller { uid: 0, pid: None, binary: None, binary_hash: None, one_time_key: None };
    let deed = Deed::Lends { seconds: 9 };
    Event::Owner(Owner { card: Some(card), deed, purpose: "lend".parse().unwrap(), caller })
}

pub(super) fn signs(card: CardId, place: &str, makes_current: bool) -> Request {
    let (key, digest) = (place.parse().unwrap(), [1; 32].into());
    on(card, Operation::Sign(Signing { key, makes_current, scheme: Scheme::Ecdsa, digest }))
}

/// A log that tells all, of a card that was loaded with its key: what the closure says is what can be computed.
#[test]
fn what_a_card_is_asked_relative_to_its_current_key_closes_exactly() {
    let mut algebra = Algebra::default();
    let all = universe();
    let tree = tree(&mut algebra, 9);
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let (mut relative, mut moved, mut leaked) = (0, 0, 0);
    for round in 0..3_000 {
        let version = ["2.2", "3.0", "3.1", "3.2", "4.0"][round % 5];
        let mut real = Real { version, current: KeyPath::master(), last: None };
        let (card, mut story) = (real.id(), Story::default());
        let mut known: BTreeMap<KeyPath, Numbers> = BTreeMap::new();
        let mut told = String::new();
        if !real.is_v4() {
            story.line(opened(version));
        }
        story.done(1, &on(card, Operation::LoadKey));
        // Whether the log tells where the current key is.
        let mut is_known = true;
        for _ in 0..2 + dice.below(6) {
            let target = if dice.below(3) == 0 { KeyPath::master() } else { all[dice.below(all.len())].clone() };
            let place = if is_known { real.place(&target, &mut dice) } else { target.to_string() };
            relative += usize::from(place.starts_with(['c', 'p']));
            let to = known.entry(target.clone()).or_default();
            let from = tree[&target];
            match dice.below(6) {
                0 => {
                    let makes_current = !real.is_v4() && dice.below(2) == 0;
                    // Up to 3.0 it signs with m only as the current key.
                    let signable = !target.is_master() || real.leaks() || real.is_v4() || real.current.is_master();
                    if !signable {
                        continue;
                    }
                    told.push_str(&format!("sign {place} {makes_current}\n"));
                    story.done(1, &signs(card, &place, makes_current));
                    to.public = from.public;
                    if makes_current {
                        (real.current, is_known) = (target.clone(), true);
                    }
                }
                1 if !real.is_v4() => {
                    told.push_str(&format!("derive {place}\n"));
                    story.done(1, &on(card, Operation::DeriveKey(place.parse().unwrap())));
                    (real.current, is_known) = (target, true);
                    continue;
                }
                2 if real.leaks() || (real.is_v4() && !target.is_master()) => {
                    told.push_str(&format!("extended {target}\n"));
                    story.done(1, &extended(card, &target.to_string()));
                    to.public = from.public;
                    if !target.is_master() {
                        to.chain = from.chain;
                    } else if let Some(last) = &real.last {
                        known.entry(last.clone()).or_default().chain = tree[last].chain;
                        leaked += 1;
                    }
                }
                3 => {
                    // Another program used the card: it moved the current key, and the memory was cleared when it was done.
                    story.line(lent(card));
                    told.push_str("lent\n");
                    real.current = all[dice.below(all.len())].clone();
                    is_known = false;
                    continue;
                }
                4 => {
                    story.history.take_written(&format!("{target} private 4.0")).unwrap();
                    told.push_str(&format!("private {target}\n"));
                    to.private = from.private;
                    continue;
                }
                _ => {
                    told.push_str(&format!("public {target}\n"));
                    story.done(1, &on(card, Operation::ExportPublic(target.clone())));
                    to.public = from.public;
                    if target.is_master() && matches!(version, "2.2" | "3.0") {
                        moved += usize::from(!real.current.is_master());
                        (real.current, is_known) = (KeyPath::master(), true);
                    }
                }
            }
            if !target.is_master() {
                real.last = Some(target);
            }
        }
        let known = brute(&mut algebra, known, &all);
        let closed = closed(&story.history, Account::KeyUid(KeyUid::from([7; 32])));
        for path in &all {
            let computed = known.get(path).copied().unwrap_or_default();
            let said = [Part::Private, Part::Public, Part::Chain].map(|part| closed.knows(path, part));
            let had = [computed.private.is_some(), computed.public.is_some(), computed.chain.is_some()];
            assert_eq!(said, had, "{path} of {version}:\n{told}");
        }
    }
    assert!(relative > 1_000 && moved > 100 && leaked > 100, "{relative} relative, {moved} moved, {leaked} leaked");
}

/// A log that tells little, of commands of which nobody saw the end: a place is followed rightly or not at all.
#[test]
fn a_current_key_that_is_not_known_is_never_guessed() {
    let all = universe();
    let mut dice = Dice(0x853c_49e6_748f_ea9b);
    let (mut followed, mut unknown) = (0, 0);
    for round in 0..10_000 {
        let version = ["2.2", "3.0", "3.1", "3.2"][round % 4];
        let mut real = Real { version, current: all[dice.below(all.len())].clone(), last: None };
        let mut story = Story::default();
        if dice.below(2) == 0 {
            story.line(opened(version));
        }
        for _ in 0..2 + dice.below(6) {
            let target = if dice.below(3) == 0 { KeyPath::master() } else { all[dice.below(all.len())].clone() };
            let place = real.place(&target, &mut dice);
            let (request, moves_to) = match dice.below(4) {
                0 => (on(OLD, Operation::DeriveKey(place.parse().unwrap())), Some(target)),
                1 => (signs(OLD, &place, true), Some(target)),
                2 => (on(OLD, Operation::ExportPublic(target.clone())), Some(target).filter(|it| it.is_master())),
                _ => (on(OLD, Operation::LoadKey), Some(KeyPath::master())),
            };
            let is_export = matches!(request.operation, Operation::ExportPublic(_));
            let moves_to = moves_to.filter(|_| !is_export || matches!(version, "2.2" | "3.0"));
            let line = story.intent(1, &request);
            let (outcome, was_done) = match dice.below(4) {
                0 => (Outcome::Failed { reason: Text::lossy("pulled") }, dice.below(2) == 0),
                1 => (Outcome::NotSent { reason: Text::lossy("") }, false),
                _ => (Outcome::done(None, request.key_uid), true),
            };
            story.outcome(line, outcome);
            if let Some(moved) = moves_to.filter(|_| was_done) {
                real.current = moved;
            }
            match story.history.signer(&signs(OLD, "current", false)) {
                Some((_, path)) => {
                    assert_eq!(path, real.current, "{version}");
                    followed += 1;
                }
                None => unknown += 1,
            }
        }
    }
    assert!(followed > 5_000 && unknown > 5_000, "{followed} followed, {unknown} not known");
}
