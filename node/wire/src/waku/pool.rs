//! The pool: every living envelope once, until it expires (reference sections 2.4 and 2.5).
//!
//! It is bounded in number and bytes. Invariant, the eviction rule: when there is no room, the envelopes with the least
//! proof of work make it, others' before our own, and a newcomer that has no more work than they is refused. Work is
//! counted per byte and second of life, so this is the price of a place, and a flood cannot push out what cost more. An
//! envelope that lives no second at all, whose work the peers take for infinite, pays for one second here.

use std::collections::{BTreeMap, BTreeSet};

use proto::EnvelopeHash;

use super::envelope::{Envelope, Work};

/// How much a pool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Envelopes.
    pub envelopes: usize,
    /// Bytes, each envelope counted with [`ENTRY_OVERHEAD`].
    pub bytes: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { envelopes: 100_000, bytes: 128 << 20 }
    }
}

/// Where an envelope lies in the pool. Reused once it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u32);

/// One envelope of the pool.
pub(super) struct Entry {
    pub(super) envelope: Envelope,
    pub(super) work: Work,
    /// The proof of work that counts: reduced for good when the envelope came from the future.
    pub(super) pow: f64,
    /// Posted here, not received.
    pub(super) own: bool,
}

impl Entry {
    fn cost(&self) -> usize {
        self.envelope.as_bytes().len() + ENTRY_OVERHEAD
    }

    fn worth(&self, slot: Slot) -> (bool, u64, Slot) {
        (self.own, self.price(), slot)
    }

    fn price(&self) -> u64 {
        let pow = if self.pow.is_finite() { self.pow } else { self.work.value(1, 0) };
        // No value is negative or no number, and such doubles order like their bits.
        pow.to_bits()
    }
}

/// The newcomer has no more work than what would have to go for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

pub(super) struct Pool {
    limits: PoolLimits,
    bytes: usize,
    slots: Vec<Option<Entry>>,
    free: Vec<Slot>,
    by_hash: BTreeMap<EnvelopeHash, Slot>,
    by_expiry: BTreeSet<(u32, Slot)>,
    by_worth: BTreeSet<(bool, u64, Slot)>,
}

impl Pool {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            bytes: 0,
            slots: Vec::new(),
            free: Vec::new(),
            by_hash: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            by_worth: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_hash.len()
    }

    pub(super) fn find(&self, hash: &EnvelopeHash) -> Option<Slot> {
        self.by_hash.get(hash).copied()
    }

    pub(super) fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub(super) fn hashes(&self) -> impl Iterator<Item = EnvelopeHash> + '_ {
        self.by_hash.keys().copied()
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.by_hash.values().copied()
    }

    /// Returns the envelopes that would have to go for this one, or that there is no room for it.
    pub(super) fn room_for(&self, entry: &Entry) -> Result<Vec<Slot>, Full> {
        let cost = entry.cost();
        if cost > self.limits.bytes || self.limits.envelopes == 0 {
            return Err(Full);
        }
        let mut going = Vec::new();
        let (mut count, mut bytes) = (self.len() + 1, self.bytes + cost);
        for (own, price, slot) in &self.by_worth {
            if count <= self.limits.envelopes && bytes <= self.limits.bytes {
                break;
            }
            if (*own, *price) >= (entry.own, entry.price()) {
                return Err(Full);
            }
            going.push(*slot);
            count -= 1;
            bytes -= self.entry(*slot).map_or(0, Entry::cost);
        }
        Ok(going)
    }

    /// Puts an envelope in, which must not be there yet, and for which room was made.
    pub(super) fn insert(&mut self, entry: Entry) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        });
        self.bytes += entry.cost();
        self.by_hash.insert(entry.envelope.hash(), slot);
        self.by_expiry.insert((entry.envelope.expiry_s(), slot));
        self.by_worth.insert(entry.worth(slot));
        if let Some(place) = self.slots.get_mut(slot.0 as usize) {
            *place = Some(entry);
        }
        slot
    }

    /// Takes an envelope out.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Entry> {
        let entry = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.bytes -= entry.cost();
        self.by_hash.remove(&entry.envelope.hash());
        self.by_expiry.remove(&(entry.envelope.expiry_s(), slot));
        self.by_worth.remove(&entry.worth(slot));
        self.free.push(slot);
        Some(entry)
    }

    /// Makes an envelope that a peer had brought one of our own.
    pub(super) fn adopt(&mut self, slot: Slot) {
        if let Some(Some(entry)) = self.slots.get_mut(slot.0 as usize) {
            self.by_worth.remove(&entry.worth(slot));
            entry.own = true;
            self.by_worth.insert(entry.worth(slot));
        }
    }

    /// Returns one envelope whose expiry lies before `now_s`, if there is any.
    pub(super) fn expired(&self, now_s: u32) -> Option<Slot> {
        self.by_expiry.first().filter(|(expiry, _)| *expiry < now_s).map(|(_, slot)| *slot)
    }
}

/// Which of the pool's envelopes a peer has: one bit a slot.
#[derive(Default)]
pub(super) struct Known(Vec<u64>);

impl Known {
    pub(super) fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        self.0.get(word).is_some_and(|w| w & bit != 0)
    }

    pub(super) fn insert(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(w) = self.0.get_mut(word) {
            *w |= bit;
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if let Some(w) = self.0.get_mut(word) {
            *w &= !bit;
        }
    }
}

fn place(slot: Slot) -> (usize, u64) {
    (slot.0 as usize / 64, 1 << (slot.0 % 64))
}

/// What an envelope is counted for beyond its bytes: its place in the pool's indexes.
pub const ENTRY_OVERHEAD: usize = 256;

#[cfg(test)]
mod tests {
    use proto::{Topic, UnixSecs};

    use super::super::envelope::Draft;
    use super::*;

    fn entry(n: u64, pow: f64, own: bool) -> Entry {
        let draft = Draft::new(UnixSecs::new(1_600_000_000), 10, Topic::from([1; 4]), &[0; 100]);
        let envelope = draft.seal(n).unwrap();
        Entry { work: envelope.work(), envelope, pow, own }
    }

    fn pool(envelopes: usize) -> Pool {
        Pool::new(PoolLimits { envelopes, bytes: 1 << 20 })
    }

    /// Puts it in as the host does, and says how many had to go.
    fn put(pool: &mut Pool, entry: Entry) -> Result<usize, Full> {
        let going = pool.room_for(&entry)?;
        for slot in &going {
            pool.remove(*slot);
        }
        pool.insert(entry);
        Ok(going.len())
    }

    #[test]
    fn a_full_pool_gives_up_what_has_the_least_work() {
        let mut pool = pool(2);
        for (n, pow) in [(1, 0.5), (2, 0.1)] {
            assert_eq!(put(&mut pool, entry(n, pow, false)), Ok(0));
        }
        assert_eq!(put(&mut pool, entry(3, 0.05, false)), Err(Full));
        assert_eq!(put(&mut pool, entry(4, 0.1, false)), Err(Full), "equal work does not push out");
        assert_eq!(put(&mut pool, entry(5, 0.2, false)), Ok(1));
        assert!(pool.find(&entry(1, 0.0, false).envelope.hash()).is_some());
        assert!(pool.find(&entry(2, 0.0, false).envelope.hash()).is_none());
        assert_eq!(pool.len(), 2);
    }

    #[test]
    fn our_own_never_go_for_others() {
        let mut pool = pool(1);
        assert_eq!(put(&mut pool, entry(1, 0.0, true)), Ok(0));
        assert_eq!(put(&mut pool, entry(2, f64::INFINITY, false)), Err(Full));
        assert_eq!(put(&mut pool, entry(3, 0.1, true)), Ok(1));
    }

    #[test]
    fn infinite_work_is_worth_one_second_of_its_real_work() {
        let mut pool = pool(1);
        let (lasting, endless) = (entry(1, 1e9, false), entry(2, f64::INFINITY, false));
        let real = endless.work.value(1, 0);
        assert_eq!(put(&mut pool, lasting), Ok(0));
        assert_eq!(put(&mut pool, endless), Err(Full));
        assert_eq!(put(&mut pool, entry(3, real / 2.0, true)), Ok(1));
        assert_eq!(put(&mut pool, entry(4, f64::INFINITY, true)), Ok(1), "and no less");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let size = entry(1, 0.0, false).cost();
        let mut pool = Pool::new(PoolLimits { envelopes: 100, bytes: size * 2 });
        for n in 1..=5u32 {
            let _ = put(&mut pool, entry(n.into(), n.into(), false));
        }
        assert_eq!(pool.len(), 2);
        assert!(pool.bytes <= size * 2);
    }

    #[test]
    fn a_slot_is_used_again() {
        let mut pool = pool(10);
        let first = pool.insert(entry(1, 0.1, false));
        assert_eq!(pool.expired(1_600_000_010), None, "the second of its expiry is its last");
        assert_eq!(pool.expired(1_600_000_011), Some(first));
        pool.remove(first);
        assert_eq!(pool.insert(entry(2, 0.1, false)), first);
        assert_eq!((pool.slots.len(), pool.by_expiry.len(), pool.by_worth.len()), (1, 1, 1));
    }

    #[test]
    fn known_envelopes_are_bits() {
        let mut known = Known::default();
        known.insert(Slot(70));
        assert!(known.contains(Slot(70)) && !known.contains(Slot(6)) && !known.contains(Slot(700)));
        known.remove(Slot(70));
        assert!(!known.contains(Slot(70)));
    }
}
