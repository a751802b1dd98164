//! Counters of the status: events by name, and what was dropped by reason.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts by name, shared by every task of the node. Names are literals, so there is a bounded number of them.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Mutex<BTreeMap<(&'static str, &'static str), u64>>>);

impl Counters {
    /// Counts one more `area.what`.
    pub fn count(&self, area: &'static str, what: &'static str) {
        self.add(area, what, 1);
    }

    /// Counts `more` of `area.what`.
    pub fn add(&self, area: &'static str, what: &'static str, more: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((area, what)).or_default() += more;
    }

    /// Returns the counts, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((area, what), value)| (format!("{area}.{what}"), *value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Counters;

    #[test]
    fn names_are_counted_apart() {
        let counters = Counters::default();
        counters.count("peer", "up");
        counters.add("peer", "up", 2);
        counters.count("peer", "down");
        assert_eq!(counters.all(), [("peer.down".to_owned(), 1), ("peer.up".to_owned(), 3)]);
    }
}
