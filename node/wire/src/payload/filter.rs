//! Filters: who wants to read which envelopes, and with what key (reference section 2.10, "Filter object").
//!
//! Invariant: an envelope is tried only with the keys of filters on its topic, so its price does not grow with the number of
//! topics that are listened to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::Topic;

use super::{OpenError, Opened, SymKey, open_symmetric};
use crate::waku::Envelope;

/// What one listener wants to read.
#[derive(Clone)]
pub struct Filter {
    /// On these topics; none means on every topic.
    pub topics: Vec<Topic>,
    /// What it opens with.
    pub key: Arc<SymKey>,
    /// The least proof of work, however the envelope came; 0 takes any.
    pub min_pow: f64,
    /// Whether it takes what a trusted peer sent directly.
    pub direct: bool,
}

/// How an envelope came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// The proof of work that counts.
    pub pow: f64,
    /// Past the pool, or to a light node.
    pub direct: bool,
}

impl Filter {
    fn admits(&self, arrival: Arrival) -> bool {
        (self.direct || !arrival.direct) && arrival.pow >= self.min_pow
    }
}

/// The filters of a node, by the name of who listens.
pub struct Filters<K> {
    filters: BTreeMap<K, Filter>,
    on_topic: BTreeMap<Topic, BTreeSet<K>>,
    on_every_topic: BTreeSet<K>,
}

impl<K> Default for Filters<K> {
    fn default() -> Self {
        Self { filters: BTreeMap::new(), on_topic: BTreeMap::new(), on_every_topic: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Filters<K> {
    /// Puts a filter in the place of the listener's last one.
    pub fn insert(&mut self, listener: K, filter: Filter) {
        self.remove(&listener);
        if filter.topics.is_empty() {
            self.on_every_topic.insert(listener.clone());
        }
        for topic in &filter.topics {
            self.on_topic.entry(*topic).or_default().insert(listener.clone());
        }
        self.filters.insert(listener, filter);
    }

    /// Takes the listener's filter away; says whether there was one.
    pub fn remove(&mut self, listener: &K) -> bool {
        let Some(filter) = self.filters.remove(listener) else { return false };
        self.on_every_topic.remove(listener);
        for topic in &filter.topics {
            if let Some(listeners) = self.on_topic.get_mut(topic) {
                listeners.remove(listener);
                if listeners.is_empty() {
                    self.on_topic.remove(topic);
                }
            }
        }
        true
    }

    /// Returns the topics that are listened to, each once.
    pub fn topics(&self) -> impl Iterator<Item = Topic> + '_ {
        self.on_topic.keys().copied()
    }

    /// Opens an envelope for everybody on its topic who wants such a one. Whoever has another key gets
    /// [`OpenError::Decrypt`].
    pub fn open<'a>(
        &'a self,
        envelope: &'a Envelope,
        arrival: Arrival,
    ) -> impl Iterator<Item = (&'a K, Result<Opened, OpenError>)> + 'a {
        let on_topic = self.on_topic.get(&envelope.topic()).into_iter().flatten();
        let listeners = on_topic.chain(&self.on_every_topic);
        let wanting = listeners.filter_map(move |listener| {
            self.filters.get(listener).filter(|filter| filter.admits(arrival)).map(|filter| (listener, filter))
        });
        wanting.map(move |(listener, filter)| (listener, open_symmetric(envelope, &filter.key)))
    }
}

#[cfg(test)]
mod tests {
    use proto::{Secret, UnixSecs};

    use super::*;
    use crate::payload::plaintext;
    use crate::waku::envelope::Draft;

    fn topic(n: u8) -> Topic {
        Topic::from([n; 4])
    }

    fn key(n: u8) -> Arc<SymKey> {
        Arc::new(SymKey::new(&Secret::copy_from(&[n; 32]).unwrap()))
    }

    fn on(topics: &[u8], key_of: u8) -> Filter {
        let topics = topics.iter().map(|n| topic(*n)).collect();
        Filter { topics, key: key(key_of), min_pow: 0.0, direct: true }
    }

    fn sealed(on: u8, with: u8) -> Envelope {
        let plain = plaintext::unsigned(b"hello", &[]).unwrap();
        let data = key(with).encrypt([7; 12], &plain).unwrap();
        Draft::new(UnixSecs::new(1_600_000_000), 20, topic(on), &data).seal(0).unwrap()
    }

    const RELAYED: Arrival = Arrival { pow: 1.0, direct: false };

    fn readers(filters: &Filters<u8>, envelope: &Envelope, arrival: Arrival) -> Vec<u8> {
        filters.open(envelope, arrival).filter(|(_, opened)| opened.is_ok()).map(|(listener, _)| *listener).collect()
    }

    /// MAIL-18: whoever listens on the topic and has the key reads it.
    #[test]
    fn an_envelope_is_read_by_those_on_its_topic_with_its_key() {
        let mut filters = Filters::default();
        for (listener, filter) in
            [(1, on(&[1], 1)), (2, on(&[1, 2], 1)), (3, on(&[1], 3)), (4, on(&[], 1)), (5, on(&[2], 1))]
        {
            filters.insert(listener, filter);
        }
        assert_eq!(readers(&filters, &sealed(1, 1), RELAYED), [1, 2, 4]);
        assert_eq!(readers(&filters, &sealed(2, 1), RELAYED), [2, 5, 4]);
        assert_eq!(readers(&filters, &sealed(9, 1), RELAYED), [4]);
        let tried: Vec<u8> = filters.open(&sealed(1, 3), RELAYED).map(|(listener, _)| *listener).collect();
        assert_eq!(tried, [1, 2, 3, 4], "one with another key is told so");
        assert_eq!(filters.topics().collect::<Vec<_>>(), [topic(1), topic(2)]);
    }

    #[test]
    fn the_least_work_holds_however_it_came_and_not_everybody_takes_it_directly() {
        let mut filters = Filters::default();
        filters.insert(1, Filter { min_pow: 0.5, ..on(&[1], 1) });
        filters.insert(2, Filter { direct: false, ..on(&[1], 1) });
        let envelope = sealed(1, 1);
        let cases = [(0.5, false, vec![1, 2]), (0.4, false, vec![2]), (0.5, true, vec![1]), (0.4, true, vec![])];
        for (pow, direct, expected) in cases {
            assert_eq!(readers(&filters, &envelope, Arrival { pow, direct }), expected, "{pow} {direct}");
        }
    }

    #[test]
    fn a_filter_that_was_replaced_or_removed_leaves_nothing_behind() {
        let mut filters = Filters::default();
        filters.insert(1, on(&[1], 1));
        filters.insert(2, on(&[1], 1));
        filters.insert(1, on(&[2], 1));
        assert_eq!(readers(&filters, &sealed(1, 1), RELAYED), [2]);
        assert!(filters.remove(&1) && !filters.remove(&1));
        filters.insert(2, on(&[], 1));
        assert!(filters.remove(&2));
        assert_eq!((filters.topics().count(), filters.on_every_topic.len()), (0, 0));
    }
}
