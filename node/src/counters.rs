//! Counters of the status: events by name, and what was dropped by reason.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts by name, shared by every task of the node. Names are literals, so there is a bounded number of them.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counters {
    /// Counts one more `area.what`.
    pub fn count(&self, area: &'static str, what: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() < NAMES || counts.contains_key(&format!("{area}.{what}")) {
            *counts.entry(format!("{area}.{what}")).or_default() += 1;
        }
    }

    /// Returns the counts, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(name, value)| (name.clone(), *value)).collect()
    }
}

/// More names than the code has: a name made of a peer's words must not become memory.
const NAMES: usize = 256;

#[cfg(test)]
mod tests {
    use super::{Counters, NAMES};

    #[test]
    fn names_are_counted_apart_and_never_without_bound() {
        let counters = Counters::default();
        counters.count("peer", "up");
        counters.count("peer", "up");
        counters.count("peer", "down");
        assert_eq!(counters.all(), [("peer.down".to_owned(), 1), ("peer.up".to_owned(), 2)]);
        for n in 0..2 * NAMES {
            counters.count("odd", &n.to_string());
        }
        assert_eq!(counters.all().len(), NAMES);
    }
}
