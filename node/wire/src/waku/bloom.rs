//! Bloom filters over topics: 64 bytes, in which each topic sets up to three bits (6/WAKU1, "Bloom filter field").
//!
//! The specification ORs a topic's bits; status-go *assigns* each byte, so that of two bits in one byte the earlier is
//! lost. The lossy value is always a subset of the specified one. Invariant: we advertise the specified value and test
//! with the lossy one, so that nothing is lost in either direction.

use std::fmt;

use proto::Topic;

/// A filter of 512 bits; bit n lives in byte n / 8, least significant bit first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BloomFilter([u8; 64]);

impl BloomFilter {
    /// How many bytes.
    pub const LEN: usize = 64;
    /// Every bit set: the filter of a full node.
    pub const FULL: Self = Self([0xff; 64]);
    /// No bit set: nothing is wanted.
    pub const EMPTY: Self = Self([0; 64]);

    /// Returns the specified value of a topic: its three bits, ORed.
    #[must_use]
    pub fn specified(topic: Topic) -> Self {
        let mut filter = Self::EMPTY;
        for (byte, mask) in bits(topic) {
            if let Some(b) = filter.0.get_mut(byte) {
                *b |= mask;
            }
        }
        filter
    }

    /// Returns the value that status-go gives a topic: each byte assigned, an earlier bit of the same byte lost.
    #[must_use]
    pub fn assigned(topic: Topic) -> Self {
        let mut filter = Self::EMPTY;
        for (byte, mask) in bits(topic) {
            if let Some(b) = filter.0.get_mut(byte) {
                *b = mask;
            }
        }
        filter
    }

    /// Returns the filter to advertise for these topics: the OR of their specified values.
    #[must_use]
    pub fn of_topics(topics: impl IntoIterator<Item = Topic>) -> Self {
        topics.into_iter().fold(Self::EMPTY, |all, topic| all.union(&Self::specified(topic)))
    }

    /// Returns the bits that are in either filter.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
        self
    }

    /// Returns whether an envelope of this topic passes: its Go value or its specified value lies inside the filter.
    ///
    /// The Go value is a subset of the specified one, so testing it decides both.
    #[must_use]
    pub fn admits(&self, topic: Topic) -> bool {
        let bits = bits(topic);
        bits.iter().enumerate().all(|(i, (byte, mask))| {
            let overwritten = bits.iter().skip(i + 1).any(|(later, _)| later == byte);
            overwritten || self.0.get(*byte).is_some_and(|b| b & mask == *mask)
        })
    }

    /// Returns whether every bit is set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.iter().all(|b| *b == 0xff)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl From<[u8; 64]> for BloomFilter {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for BloomFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: u32 = self.0.iter().map(|b| b.count_ones()).sum();
        write!(f, "BloomFilter({set} bits)")
    }
}

/// Returns the three bits of a topic as byte index and mask: bit i is byte i, plus 256 when bit i of the last byte is
/// set.
fn bits(topic: Topic) -> [(usize, u8); 3] {
    let [t0, t1, t2, high] = *topic.as_bytes();
    let place = |low: u8, i: u8| {
        let n = usize::from(low) + if high >> i & 1 == 1 { 256 } else { 0 };
        (n / 8, 1 << (n % 8))
    };
    [place(t0, 0), place(t1, 1), place(t2, 2)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::try_from(hex::decode(text).unwrap().as_slice()).unwrap()
    }

    fn with(bytes: &[(usize, u8)]) -> BloomFilter {
        let mut filter = [0; 64];
        for (i, b) in bytes {
            filter[*i] = *b;
        }
        BloomFilter::from(filter)
    }

    /// WAKU1-36: the filters that status-go 0.62.18 made of five topics, and what the specification makes of them.
    #[test]
    fn the_go_value_loses_bits_that_share_a_byte() {
        let cases = [
            ("aabbccdd", vec![(23, 0x08), (53, 0x04), (57, 0x10)], vec![(23, 0x08), (53, 0x04), (57, 0x10)]),
            ("00010200", vec![(0, 0x04)], vec![(0, 0x07)]),
            ("10119007", vec![(34, 0x02), (50, 0x01)], vec![(34, 0x03), (50, 0x01)]),
            ("ffffffff", vec![(63, 0x80)], vec![(63, 0x80)]),
            ("00000600", vec![(0, 0x40)], vec![(0, 0x41)]),
        ];
        for (text, assigned, specified) in cases {
            assert_eq!(BloomFilter::assigned(topic(text)), with(&assigned), "{text}");
            assert_eq!(BloomFilter::specified(topic(text)), with(&specified), "{text}");
        }
    }

    /// WAKU1-40: a filter without bits admits nothing.
    #[test]
    fn an_empty_filter_admits_nothing_and_a_full_one_everything() {
        assert!(!BloomFilter::EMPTY.admits(topic("aabbccdd")));
        assert!(BloomFilter::FULL.admits(topic("aabbccdd")));
        assert!(BloomFilter::FULL.is_full() && !BloomFilter::EMPTY.is_full());
    }

    #[test]
    fn a_filter_that_lacks_one_bit_of_a_topic_does_not_admit_it() {
        let whole = BloomFilter::specified(topic("aabbccdd"));
        assert!(whole.admits(topic("aabbccdd")));
        for (byte, _) in bits(topic("aabbccdd")) {
            let mut less = *whole.as_bytes();
            less[byte] = 0;
            assert!(!BloomFilter::from(less).admits(topic("aabbccdd")));
        }
    }

    proptest! {
        #[test]
        fn what_either_side_advertises_admits_its_topics(topics in proptest::collection::vec(any::<[u8; 4]>(), 1..20)) {
            let topics: Vec<Topic> = topics.into_iter().map(Topic::from).collect();
            let ours = BloomFilter::of_topics(topics.iter().copied());
            let theirs = topics.iter().fold(BloomFilter::EMPTY, |all, t| all.union(&BloomFilter::assigned(*t)));
            for topic in topics {
                prop_assert!(ours.admits(topic));
                prop_assert!(theirs.admits(topic));
            }
        }

        #[test]
        fn admitting_is_having_the_go_value_inside(topic in any::<[u8; 4]>(), filter in any::<[u8; 32]>()) {
            let mut bytes = [0xff; 64];
            bytes[..32].copy_from_slice(&filter);
            let (topic, filter) = (Topic::from(topic), BloomFilter::from(bytes));
            let go = BloomFilter::assigned(topic);
            prop_assert_eq!(filter.admits(topic), filter.union(&go) == filter);
        }
    }
}
