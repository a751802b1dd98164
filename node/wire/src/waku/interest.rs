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
use super::status::{MAX_TOPICS, Options, is_requirement};

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

    /// Returns the interest in these topics beside what this one asks for. Nothing is added to everything that was asked
    /// for; but where nothing was said, something is.
    #[must_use]
    pub fn widened(&self, topics: impl IntoIterator<Item = Topic>) -> Self {
        let mut topics = topics.into_iter().peekable();
        match self {
            Self::Unsaid if topics.peek().is_none() => Self::Unsaid,
            Self::Unsaid => Self::topics(topics),
            Self::Full => Self::Full,
            Self::Bloom(filter) => Self::Bloom(filter.union(&BloomFilter::of_topics(topics))),
            Self::Topics(already) => Self::topics(already.as_slice().iter().copied().chain(topics)),
        }
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
}

/// What becomes of the least proof of work that was asked for before another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Former {
    /// It stays good: more is asked for, not demanded. That is what status-go makes of a change "without tolerance".
    Kept,
    /// It is good for 10 s more, until peers have learnt of the change.
    Tolerated,
    /// It is refused at once.
    Refused,
}

/// Our interest and least proof of work, with what is still tolerated.
pub(super) struct Wanted {
    /// Everything is taken, whatever the interest.
    full_node: bool,
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
        // The first status of every peer to come says it: nobody needs a grace.
        let tolerated_bloom = if let Interest::Bloom(filter) = &interest { Some(*filter) } else { None };
        Self {
            full_node: false,
            interest,
            min_pow,
            tolerated_topics: None,
            tolerated_bloom,
            tolerated_pow: min_pow,
            pending: VecDeque::new(),
        }
    }

    /// Adds the options that say what is wanted to a status.
    pub(super) fn tell(&self, options: &mut Options) {
        options.pow_bits = Some(self.min_pow.to_bits());
        if self.full_node { Interest::Full.tell(options) } else { self.interest.tell(options) }
    }

    /// Sets the interest; returns the update that tells peers, unless this is a full node.
    pub(super) fn set_interest(&mut self, now: Instant, interest: Interest) -> Option<Options> {
        let mut told = Options::default();
        // There is no way to unsay a filter: what takes everything is said with the full one.
        let said =
            if interest == Interest::Unsaid && self.interest != Interest::Unsaid { &Interest::Full } else { &interest };
        said.tell(&mut told);
        self.later(now, Change::Interest(interest.clone()));
        self.interest = interest;
        (!self.full_node).then_some(told)
    }

    /// Has everything taken, or only what the interest says again; returns the update that tells peers.
    ///
    /// As in status-go only the end is told, and only with topics: peers that are connected go on sending what they know to
    /// be wanted.
    pub(super) fn set_full_node(&mut self, full_node: bool) -> Option<Options> {
        self.full_node = full_node;
        let mut told = Options::default();
        if let Interest::Topics(_) = self.interest {
            self.interest.tell(&mut told);
        }
        (!full_node).then_some(told)
    }

    /// Sets the least proof of work; returns the update that tells peers.
    pub(super) fn set_min_pow(&mut self, now: Instant, pow: f64, former: Former) -> Option<Options> {
        if !is_requirement(pow) {
            return None;
        }
        self.min_pow = pow;
        match former {
            Former::Kept => {}
            Former::Tolerated => self.later(now, Change::Pow(pow)),
            Former::Refused => {
                self.pending.retain(|(_, change)| !matches!(change, Change::Pow(_)));
                self.tolerated_pow = pow;
            }
        }
        Some(Options { pow_bits: Some(pow.to_bits()), ..Options::default() })
    }

    pub(super) fn admits_pow(&self, pow: f64) -> bool {
        pow >= self.min_pow || pow >= self.tolerated_pow
    }

    pub(super) fn admits_topic(&self, topic: Topic) -> bool {
        if self.full_node {
            return true;
        }
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
    fn a_filter_from_the_start_is_the_only_one() {
        let wanted = Wanted::new(Interest::Bloom(BloomFilter::of_topics([topic(1)])), 0.0);
        assert!(wanted.admits_topic(topic(1)) && !wanted.admits_topic(topic(2)));
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
    fn a_minimum_is_good_for_ten_seconds_more_when_tolerated() {
        let mut wanted = Wanted::new(Interest::Full, 0.1);
        wanted.set_min_pow(at(0), 0.2, Former::Tolerated);
        assert!(wanted.admits_pow(0.1) && !wanted.admits_pow(0.09));
        wanted.tick(at(9));
        assert!(wanted.admits_pow(0.1));
        wanted.tick(at(10));
        assert!(!wanted.admits_pow(0.1) && wanted.admits_pow(0.2));
    }

    #[test]
    fn a_minimum_stays_good_until_a_later_change_does_away_with_it() {
        let mut wanted = Wanted::new(Interest::Full, 0.1);
        wanted.set_min_pow(at(0), 0.2, Former::Kept);
        wanted.tick(at(100));
        assert!(wanted.admits_pow(0.1) && !wanted.admits_pow(0.09));
        wanted.set_min_pow(at(100), 0.3, Former::Tolerated);
        wanted.tick(at(110));
        assert!(!wanted.admits_pow(0.2));
        wanted.set_min_pow(at(111), 0.4, Former::Refused);
        assert!(!wanted.admits_pow(0.3) && wanted.admits_pow(0.4));
    }

    #[test]
    fn an_impossible_minimum_changes_nothing() {
        let mut wanted = Wanted::new(Interest::Full, 0.1);
        for pow in [f64::NAN, f64::INFINITY, -0.1] {
            assert_eq!(wanted.set_min_pow(at(0), pow, Former::Refused), None);
        }
        wanted.tick(at(10));
        assert!(wanted.admits_pow(0.1) && !wanted.admits_pow(0.09));
    }

    /// WAKU1-32: an update holds what is set and nothing else.
    #[test]
    fn only_what_is_set_is_told() {
        let mut wanted = Wanted::new(Interest::Unsaid, 0.1);
        let pow = Options { pow_bits: Some(0.2f64.to_bits()), ..Options::default() };
        assert_eq!(wanted.set_min_pow(at(0), 0.2, Former::Tolerated), Some(pow));
        let topics = Options { topics: Some(vec![topic(1), topic(3)]), ..Options::default() };
        assert_eq!(wanted.set_interest(at(0), wanting(&[3, 1, 3])), Some(topics));
        let bloom = Options { bloom: Some(vec![0xff; 64]), ..Options::default() };
        assert_eq!(wanted.set_interest(at(2), Interest::Unsaid), Some(bloom), "what was said cannot be unsaid");
        assert_eq!(wanted.set_interest(at(2), Interest::Unsaid), Some(Options::default()));
    }

    /// WAKU1-37: a full node takes everything and says so to whoever connects; its interest waits for its end.
    #[test]
    fn a_full_node_takes_everything_until_it_is_none() {
        let mut wanted = Wanted::new(wanting(&[1]), 0.1);
        assert_eq!(wanted.set_full_node(true), None);
        assert!(wanted.admits_topic(topic(2)));
        let mut status = Options::default();
        wanted.tell(&mut status);
        assert_eq!((status.bloom, status.topics), (Some(vec![0xff; 64]), None));
        assert_eq!(wanted.set_interest(at(0), wanting(&[3])), None);
        let told = wanted.set_full_node(false).unwrap();
        assert_eq!(told.topics, Some(vec![topic(3)]));
        assert!(wanted.admits_topic(topic(3)) && !wanted.admits_topic(topic(2)));
    }

    #[test]
    fn an_interest_is_widened_by_topics() {
        let widened = |interest: &Interest, topics: &[u8]| interest.widened(topics.iter().map(|n| topic(*n)));
        assert_eq!(widened(&wanting(&[1]), &[2, 1]), wanting(&[1, 2]));
        assert_eq!(widened(&Interest::Unsaid, &[2]), wanting(&[2]));
        assert_eq!(widened(&Interest::Unsaid, &[]), Interest::Unsaid);
        assert_eq!(widened(&Interest::Full, &[2]), Interest::Full);
        let bloom = |topics: &[u8]| Interest::Bloom(BloomFilter::of_topics(topics.iter().map(|n| topic(*n))));
        assert_eq!(widened(&bloom(&[1]), &[2]), bloom(&[1, 2]));
    }

    /// WAKU1-42: more topics than may be listed are said as a filter.
    #[test]
    fn too_many_topics_become_their_filter() {
        let topics = (0..10_001u32).map(|n| Topic::from(n.to_be_bytes()));
        assert!(matches!(Interest::topics(topics.clone().take(10_000)), Interest::Topics(_)));
        assert_eq!(Interest::topics(topics.clone()), Interest::Bloom(BloomFilter::of_topics(topics)));
    }
}
