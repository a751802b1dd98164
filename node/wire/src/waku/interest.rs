//! What we want: our topic interest or bloom filter, our least proof of work, and the grace after each change.
//!
//! Reference section 2.4 items 5 and 6. Peers need a moment to learn of a change, so what stood before is tolerated for
//! 10 s. Invariant: a value becomes the tolerated one 10 s after it was set, as in status-go: an earlier topic set counts
//! only if it had stood that long, and until a first filter has stood that long every topic is inside it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proto::{Instant, Topic};

use super::bloom::BloomFilter;
use super::status::{MAX_TOPICS, Options};

/// Which envelopes a node wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Interest {
    /// Nothing was said yet: the status names no filter, which peers read as everything.
    #[default]
    Unsaid,
    /// Everything, said with a filter of all bits.
    Full,
    /// What lies inside a filter.
    Bloom(BloomFilter),
    /// These topics.
    Topics(TopicSet),
}

/// At most 10,000 different topics, sorted. Cloning shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSet(Arc<[Topic]>);

impl TopicSet {
    /// Returns whether the topic is among them.
    #[must_use]
    pub fn contains(&self, topic: Topic) -> bool {
        self.0.binary_search(&topic).is_ok()
    }

    /// Returns the topics in ascending order.
    #[must_use]
    pub fn as_slice(&self) -> &[Topic] {
        &self.0
    }
}

impl Interest {
    /// Returns the interest in these topics; when they are more than a status may list, their bloom filter.
    #[must_use]
    pub fn topics(topics: impl IntoIterator<Item = Topic>) -> Self {
        let mut topics: Vec<Topic> = topics.into_iter().collect();
        topics.sort_unstable();
        topics.dedup();
        if topics.len() > MAX_TOPICS {
            return Self::Bloom(BloomFilter::of_topics(topics));
        }
        Self::Topics(TopicSet(topics.into()))
    }

    /// Adds the option that says this to a status or an update.
    pub(super) fn tell(&self, options: &mut Options) {
        match self {
            Self::Unsaid => {}
            Self::Full => options.bloom = Some(BloomFilter::FULL.as_bytes().to_vec()),
            Self::Bloom(filter) => options.bloom = Some(filter.as_bytes().to_vec()),
            Self::Topics(topics) => options.topics = Some(topics.as_slice().to_vec()),
        }
    }

    fn takes_everything(&self) -> bool {
        matches!(self, Self::Unsaid | Self::Full)
    }
}

/// Our interest and least proof of work, with what is still tolerated.
pub(super) struct Wanted {
    interest: Interest,
    min_pow: f64,
    tolerated_topics: Option<TopicSet>,
    /// None tolerates everything.
    tolerated_bloom: Option<BloomFilter>,
    tolerated_pow: f64,
    pending: VecDeque<(Instant, Change)>,
}

enum Change {
    Interest(Interest),
    Pow(f64),
}

impl Wanted {
    pub(super) fn new(interest: Interest, min_pow: f64) -> Self {
        Self {
            interest,
            min_pow,
            tolerated_topics: None,
            tolerated_bloom: None,
            tolerated_pow: min_pow,
            pending: VecDeque::new(),
        }
    }

    pub(super) fn interest(&self) -> &Interest {
        &self.interest
    }

    pub(super) fn min_pow(&self) -> f64 {
        self.min_pow
    }

    /// Sets the interest; returns the option that tells peers, if there is anything new to tell.
    pub(super) fn set_interest(&mut self, now: Instant, interest: Interest) -> Option<Options> {
        if interest == self.interest {
            return None;
        }
        let mut told = Options::default();
        if !(interest.takes_everything() && self.interest.takes_everything()) {
            // There is no way to unsay a filter: what takes everything is said with the full one.
            let said = if interest == Interest::Unsaid { &Interest::Full } else { &interest };
            said.tell(&mut told);
        }
        self.later(now, Change::Interest(interest.clone()));
        self.interest = interest;
        (told != Options::default()).then_some(told)
    }

    /// Sets the least proof of work; `tolerate` keeps the one before for 10 s.
    pub(super) fn set_min_pow(&mut self, now: Instant, pow: f64, tolerate: bool) -> Option<Options> {
        let changed = pow != self.min_pow;
        self.min_pow = pow;
        if tolerate {
            self.later(now, Change::Pow(pow));
        } else {
            self.pending.retain(|(_, change)| !matches!(change, Change::Pow(_)));
            self.tolerated_pow = pow;
        }
        changed.then(|| Options { pow_bits: Some(pow.to_bits()), ..Options::default() })
    }

    pub(super) fn admits_pow(&self, pow: f64) -> bool {
        pow >= self.min_pow || pow >= self.tolerated_pow
    }

    pub(super) fn admits_topic(&self, topic: Topic) -> bool {
        match &self.interest {
            Interest::Unsaid | Interest::Full => true,
            Interest::Topics(topics) => {
                topics.contains(topic) || self.tolerated_topics.as_ref().is_some_and(|t| t.contains(topic))
            }
            Interest::Bloom(filter) => filter.admits(topic) || self.tolerated_bloom.is_none_or(|t| t.admits(topic)),
        }
    }

    /// Ends the graces that are over.
    pub(super) fn tick(&mut self, now: Instant) {
        while self.pending.front().is_some_and(|(at, _)| *at <= now) {
            match self.pending.pop_front() {
                Some((_, Change::Interest(Interest::Topics(topics)))) => self.tolerated_topics = Some(topics),
                Some((_, Change::Interest(Interest::Bloom(filter)))) => self.tolerated_bloom = Some(filter),
                Some((_, Change::Pow(pow))) => self.tolerated_pow = pow,
                _ => {}
            }
        }
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.pending.front().map(|(at, _)| *at)
    }

    fn later(&mut self, now: Instant, change: Change) {
        if self.pending.len() >= MAX_PENDING {
            // Whoever changes its mind this often loses the grace of its oldest change.
            self.pending.pop_front();
        }
        self.pending.push_back((now.after(GRACE), change));
    }
}

/// How long what stood before a change is still taken.
pub(super) const GRACE: Duration = Duration::from_secs(10);

const MAX_PENDING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    fn topic(n: u8) -> Topic {
        Topic::from([n; 4])
    }

    fn wanting(topics: &[u8]) -> Interest {
        Interest::topics(topics.iter().map(|n| topic(*n)))
    }

    #[test]
    fn a_topic_set_that_stood_ten_seconds_is_tolerated_for_ten_more() {
        let mut wanted = Wanted::new(Interest::Unsaid, 0.0);
        assert!(wanted.admits_topic(topic(1)));
        wanted.set_interest(at(0), wanting(&[1]));
        assert!(!wanted.admits_topic(topic(2)), "the first set has no predecessor");
        wanted.tick(at(12));
        wanted.set_interest(at(12), wanting(&[2]));
        wanted.tick(at(21));
        assert!(wanted.admits_topic(topic(1)) && wanted.admits_topic(topic(2)));
        wanted.tick(at(22));
        assert!(!wanted.admits_topic(topic(1)) && wanted.admits_topic(topic(2)));
    }

    #[test]
    fn a_topic_set_that_stood_less_is_not_tolerated() {
        let mut wanted = Wanted::new(Interest::Unsaid, 0.0);
        wanted.set_interest(at(0), wanting(&[1]));
        wanted.set_interest(at(5), wanting(&[2]));
        wanted.tick(at(6));
        assert!(!wanted.admits_topic(topic(1)));
    }

    #[test]
    fn everything_is_inside_the_first_filter_for_ten_seconds() {
        let mut wanted = Wanted::new(Interest::Unsaid, 0.0);
        wanted.set_interest(at(0), Interest::Bloom(BloomFilter::of_topics([topic(1)])));
        wanted.tick(at(9));
        assert!(wanted.admits_topic(topic(2)));
        wanted.tick(at(10));
        assert!(!wanted.admits_topic(topic(2)) && wanted.admits_topic(topic(1)));
    }

    #[test]
    fn a_raised_minimum_tolerates_the_old_one_only_when_asked() {
        let mut wanted = Wanted::new(Interest::Full, 0.1);
        wanted.set_min_pow(at(0), 0.2, true);
        assert!(wanted.admits_pow(0.1) && !wanted.admits_pow(0.09));
        wanted.tick(at(10));
        assert!(!wanted.admits_pow(0.1));
        wanted.set_min_pow(at(11), 0.3, false);
        assert!(!wanted.admits_pow(0.2) && wanted.admits_pow(0.3));
    }

    /// WAKU1-32: unchanged fields are not sent.
    #[test]
    fn only_changes_are_told() {
        let mut wanted = Wanted::new(Interest::Unsaid, 0.1);
        assert_eq!(wanted.set_min_pow(at(0), 0.1, true), None);
        assert_eq!(wanted.set_interest(at(0), Interest::Full), None, "silence meant everything already");
        let told = wanted.set_interest(at(0), wanting(&[3, 1, 3])).unwrap();
        assert_eq!(told.topics, Some(vec![topic(1), topic(3)]));
        assert_eq!(wanted.set_interest(at(1), wanting(&[1, 3])), None);
        let told = wanted.set_interest(at(2), Interest::Unsaid).unwrap();
        assert_eq!(told.bloom, Some(vec![0xff; 64]));
    }

    /// WAKU1-42: more topics than may be listed are said as a filter.
    #[test]
    fn too_many_topics_become_their_filter() {
        let topics = (0..10_001u32).map(|n| Topic::from(n.to_be_bytes()));
        assert!(matches!(Interest::topics(topics.clone().take(10_000)), Interest::Topics(_)));
        assert_eq!(Interest::topics(topics.clone()), Interest::Bloom(BloomFilter::of_topics(topics)));
    }
}
