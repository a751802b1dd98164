//! Status options: what two nodes tell each other first (Status, code 0) and later (Status Update, code 22).
//!
//! 6/WAKU1, "Status"; reference section 2.3. waku/1 sends a list of `[key, value]` pairs; waku/0 wraps it in
//! `[0, pairs]` for the status and writes keys as ASCII digits. Invariant: what a peer sent is first decoded whole,
//! then applied option by option up to the first bad one, as the network's nodes do.

use proto::Topic;

use super::bloom::BloomFilter;
use crate::rlp::{self, Malformed, Reader, Writer};

/// The version of the `waku` capability in use with a peer. Only the shape of the status differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// waku/0
    V0,
    /// waku/1
    V1,
}

/// Per-second limits a peer announced for itself; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// For one IP address.
    pub ip: u64,
    /// For one peer id.
    pub peer: u64,
    /// For one topic.
    pub topic: u64,
}

/// The options of one packet as they were sent: absent ones unchanged, none validated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Key 0: the least proof of work wanted, as the bits of a double.
    pub pow_bits: Option<u64>,
    /// Key 1: a filter of 64 bytes, or none at all (everything wanted).
    pub bloom: Option<Vec<u8>>,
    /// Key 2.
    pub light_node: Option<bool>,
    /// Key 3.
    pub confirmations: Option<bool>,
    /// Key 4: packets.
    pub packet_limits: Option<RateLimits>,
    /// Key 5: the topics wanted, and no others.
    pub topics: Option<Vec<Topic>>,
    /// Key 6: bytes; waku/1 only.
    pub byte_limits: Option<RateLimits>,
}

impl Options {
    /// Returns the payload of a Status packet.
    #[must_use]
    pub fn to_status(&self, version: Version) -> Vec<u8> {
        match version {
            Version::V1 => self.to_update(version),
            Version::V0 => rlp::list(|w| {
                w.uint(0).raw(&self.to_update(version));
            }),
        }
    }

    /// Returns the payload of a Status Update: the bare option list, keys ascending.
    #[must_use]
    pub fn to_update(&self, version: Version) -> Vec<u8> {
        rlp::list(|w| {
            if let Some(bits) = self.pow_bits {
                put(w, version, 0, |w| w.uint(bits));
            }
            if let Some(bloom) = &self.bloom {
                put(w, version, 1, |w| w.bytes(bloom));
            }
            if let Some(light) = self.light_node {
                put(w, version, 2, |w| w.boolean(light));
            }
            if let Some(confirmations) = self.confirmations {
                put(w, version, 3, |w| w.boolean(confirmations));
            }
            if let Some(limits) = self.packet_limits {
                put(w, version, 4, |w| put_limits(w, limits));
            }
            if let Some(topics) = &self.topics {
                put(w, version, 5, |w| {
                    w.list(|w| {
                        for topic in topics {
                            w.bytes(topic.as_bytes());
                        }
                    })
                });
            }
            if let (Some(limits), Version::V1) = (self.byte_limits, version) {
                put(w, version, 6, |w| put_limits(w, limits));
            }
        })
    }

    /// Reads the payload of a Status packet.
    ///
    /// # Errors
    /// [`StatusError::Malformed`], [`StatusError::Version`].
    pub fn from_status(version: Version, payload: &[u8]) -> Result<Self, StatusError> {
        match version {
            Version::V1 => Self::from_update(version, payload),
            Version::V0 => {
                let mut outer = Reader::new(payload).list()?;
                if outer.u64()? != 0 {
                    return Err(StatusError::Version);
                }
                let options = Self::read(version, &mut outer)?;
                outer.finish()?;
                Ok(options)
            }
        }
    }

    /// Reads the payload of a Status Update. Like its peers, it does not mind bytes behind the list.
    ///
    /// # Errors
    /// [`StatusError::Malformed`].
    pub fn from_update(version: Version, payload: &[u8]) -> Result<Self, StatusError> {
        Ok(Self::read(version, &mut Reader::new(payload))?)
    }

    fn read(version: Version, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut options = Self::default();
        let mut pairs = reader.list()?;
        while !pairs.is_empty() {
            let mut pair = pairs.list()?;
            match key(version, &mut pair)? {
                Some(0) => options.pow_bits = Some(pair.u64()?),
                Some(1) => options.bloom = Some(pair.bytes()?.to_vec()),
                Some(2) => options.light_node = Some(pair.boolean()?),
                Some(3) => options.confirmations = Some(pair.boolean()?),
                Some(4) => options.packet_limits = Some(limits(&mut pair)?),
                Some(5) => options.topics = Some(topics(&mut pair)?),
                Some(6) if version == Version::V1 => options.byte_limits = Some(limits(&mut pair)?),
                // A later version's option: this pair alone is skipped, where status-go loses all that follow.
                _ => {
                    pair.raw()?;
                }
            }
            pair.finish()?;
        }
        Ok(options)
    }
}

/// What a peer wants of us, by its status and all its updates.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirements {
    /// The least proof of work.
    pub pow: f64,
    /// Which envelopes.
    pub wants: Wants,
    /// Whether it said that it forwards nothing.
    pub light_node: bool,
    /// Whether it confirms what it gets.
    pub confirmations: bool,
    /// Its packet limits.
    pub packet_limits: RateLimits,
    /// Its byte limits.
    pub byte_limits: RateLimits,
}

/// Which envelopes a peer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wants {
    /// All of them: it named no filter, an empty one, or one with every bit set.
    Everything,
    /// Those inside the filter.
    Bloom(BloomFilter),
    /// Those of these topics, sorted.
    Topics(Vec<Topic>),
}

impl Wants {
    /// Returns whether an envelope of this topic is wanted.
    #[must_use]
    pub fn admits(&self, topic: Topic) -> bool {
        match self {
            Self::Everything => true,
            Self::Bloom(filter) => filter.admits(topic),
            Self::Topics(topics) => topics.binary_search(&topic).is_ok(),
        }
    }
}

impl Requirements {
    /// Returns what a Status with these options asks, absent ones at their defaults.
    ///
    /// # Errors
    /// See [`Requirements::apply`]; in a status it ends the connection.
    pub fn of_status(options: &Options, refuse_light: bool) -> Result<Self, StatusError> {
        let mut requirements = Self {
            pow: DEFAULT_POW,
            wants: Wants::Everything,
            light_node: false,
            confirmations: false,
            packet_limits: RateLimits::default(),
            byte_limits: RateLimits::default(),
        };
        requirements.apply(options, refuse_light)?;
        Ok(requirements)
    }

    /// Applies the options one by one: proof of work, then topics or bloom, light node, confirmations, limits. Those
    /// before the first bad one stay applied.
    ///
    /// # Errors
    /// [`StatusError::TooManyTopics`], [`StatusError::Pow`], [`StatusError::BloomLength`], [`StatusError::LightPair`].
    pub fn apply(&mut self, options: &Options, refuse_light: bool) -> Result<(), StatusError> {
        // The list's length counts, repeats included, and before anything else.
        if let Some(count) = options.topics.as_ref().map(Vec::len).filter(|count| *count > MAX_TOPICS) {
            return Err(StatusError::TooManyTopics { count });
        }
        if let Some(bits) = options.pow_bits {
            let pow = f64::from_bits(bits);
            if !is_requirement(pow) {
                return Err(StatusError::Pow);
            }
            self.pow = pow;
        }
        if let Some(topics) = &options.topics {
            let mut topics = topics.clone();
            topics.sort_unstable();
            topics.dedup();
            self.wants = Wants::Topics(topics);
        } else if let Some(bloom) = &options.bloom {
            self.wants = match <[u8; 64]>::try_from(bloom.as_slice()).map(BloomFilter::from) {
                Ok(filter) if filter.is_full() => Wants::Everything,
                Ok(filter) => Wants::Bloom(filter),
                Err(_) if bloom.is_empty() => Wants::Everything,
                Err(_) => return Err(StatusError::BloomLength { len: bloom.len() }),
            };
        }
        if let Some(light) = options.light_node {
            if light && refuse_light {
                return Err(StatusError::LightPair);
            }
            self.light_node = light;
        }
        if let Some(confirmations) = options.confirmations {
            self.confirmations = confirmations;
        }
        if let Some(limits) = options.packet_limits {
            self.packet_limits = limits;
        }
        if let Some(limits) = options.byte_limits {
            self.byte_limits = limits;
        }
        Ok(())
    }
}

/// What is wrong with a status or an update.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The options do not decode.
    #[error("malformed status options")]
    Malformed {
        /// Where it broke.
        #[from]
        source: Malformed,
    },
    /// A waku/0 status of another inner version than 0.
    #[error("status of another version")]
    Version,
    /// More than 10,000 topics.
    #[error("{count} topics are too many")]
    TooManyTopics {
        /// How many, repeats included.
        count: usize,
    },
    /// The proof of work is no number, infinite or negative.
    #[error("impossible proof-of-work requirement")]
    Pow,
    /// The filter has neither 64 bytes nor none.
    #[error("bloom filter of {len} bytes")]
    BloomLength {
        /// How many it has.
        len: usize,
    },
    /// Both sides are light nodes, and ours does not want such peers.
    #[error("two light nodes are of no use to each other")]
    LightPair,
}

/// Returns whether this much proof of work can be asked for. Minus zero is not below zero.
#[must_use]
pub fn is_requirement(pow: f64) -> bool {
    pow.is_finite() && pow >= 0.0
}

/// The proof of work assumed of a peer whose status names none (reference section 9.1).
pub const DEFAULT_POW: f64 = 0.001;

/// The most topics that a topic interest may list (6/WAKU1).
pub const MAX_TOPICS: usize = 10_000;

fn key(version: Version, pair: &mut Reader<'_>) -> Result<Option<u8>, Malformed> {
    match version {
        Version::V1 => Ok(u8::try_from(pair.u64()?).ok()),
        Version::V0 => Ok(match pair.bytes()? {
            [digit @ b'0'..=b'9'] => Some(digit - b'0'),
            _ => None,
        }),
    }
}

fn limits(pair: &mut Reader<'_>) -> Result<RateLimits, Malformed> {
    let mut list = pair.list()?;
    let limits = RateLimits { ip: list.u64()?, peer: list.u64()?, topic: list.u64()? };
    list.finish()?;
    Ok(limits)
}

fn topics(pair: &mut Reader<'_>) -> Result<Vec<Topic>, Malformed> {
    let mut list = pair.list()?;
    let mut topics = Vec::with_capacity(list.rest().len() / 5);
    while !list.is_empty() {
        topics.push(Topic::from(list.array::<4>()?));
    }
    Ok(topics)
}

fn put(out: &mut Writer, version: Version, key: u8, value: impl FnOnce(&mut Writer) -> &mut Writer) {
    out.list(|w| {
        match version {
            Version::V1 => w.uint(key.into()),
            Version::V0 => w.bytes(&[b'0' + key]),
        };
        value(w);
    });
}

fn put_limits(out: &mut Writer, limits: RateLimits) -> &mut Writer {
    out.list(|w| {
        w.uint(limits.ip).uint(limits.peer).uint(limits.topic);
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::try_from(hex::decode(text).unwrap().as_slice()).unwrap()
    }

    fn example() -> Options {
        Options {
            pow_bits: Some(0.002f64.to_bits()),
            light_node: Some(false),
            confirmations: Some(true),
            packet_limits: Some(RateLimits { ip: 10, peer: 5, topic: 1 }),
            ..Options::default()
        }
    }

    fn read(text: &str) -> Result<Options, StatusError> {
        Options::from_status(Version::V1, &hex::decode(text).unwrap())
    }

    fn requirements(options: &Options) -> Result<Requirements, StatusError> {
        Requirements::of_status(options, false)
    }

    /// WAKU1-27, WU10-06: reference section 10.7, made by status-go 0.62.18.
    #[test]
    fn the_recorded_status_packets_are_written_and_read() {
        let with_topics = Options {
            topics: Some(vec![topic("aabbccdd"), topic("01020304")]),
            byte_limits: Some(RateLimits { ip: 1 << 20, peer: 1 << 20, topic: 0 }),
            ..example()
        };
        let with_bloom =
            Options { bloom: Some(BloomFilter::assigned(topic("aabbccdd")).as_bytes().to_vec()), ..example() };
        let bloom_text = format!(
            "f85cca80883f60624dd2f1a9fcf84301b840{}c20280c20301c504c30a0501",
            hex::encode(BloomFilter::assigned(topic("aabbccdd")).as_bytes())
        );
        let cases = [
            (
                with_topics,
                "f0ca80883f60624dd2f1a9fcc20280c20301c504c30a0501cc05ca84aabbccdd8401020304cb06c9831000008310000080",
            ),
            (with_bloom, bloom_text.as_str()),
        ];
        for (options, text) in cases {
            assert_eq!(hex::encode(options.to_status(Version::V1)), text);
            assert_eq!(read(text), Ok(options));
        }
        let v0 = Options { topics: Some(vec![topic("aabbccdd")]), ..example() };
        let packet = hex::decode("e180dfca30883f60624dd2f1a9fcc23280c23301c534c30a0501c735c584aabbccdd").unwrap();
        assert_eq!(v0.to_status(Version::V0), packet);
        assert_eq!(Options::from_status(Version::V0, &packet), Ok(v0));
    }

    /// WAKU1-28: pairs come in any order.
    #[test]
    fn the_order_of_pairs_does_not_matter() {
        assert_eq!(read("c6c20201c20301"), read("c6c20301c20201"));
    }

    /// WAKU1-29, WAKU1-75: an unknown option is skipped and nothing else.
    #[test]
    fn an_unknown_key_takes_no_other_option_with_it() {
        let options = read("c6c20907c20201").unwrap();
        assert_eq!(options, Options { light_node: Some(true), ..Options::default() });
        assert_eq!(read("c8c409c20301c20201"), Ok(options), "a list as value");
        assert!(read("c7c3090707c20201").is_err(), "two values");
    }

    /// WAKU1-31, WAKU1-30: what an update leaves out stays; an empty one changes nothing.
    #[test]
    fn what_is_left_out_is_unchanged() {
        let mut wants = requirements(&example()).unwrap();
        let before = wants.clone();
        wants.apply(&Options::from_update(Version::V1, &[0xc0]).unwrap(), false).unwrap();
        assert_eq!(wants, before);
        wants.apply(&Options { confirmations: Some(false), ..Options::default() }, false).unwrap();
        assert_eq!(wants, Requirements { confirmations: false, ..before });
    }

    /// WAKU1-37, WAKU1-40, WAKU1-44: what a silent peer, a full filter, an empty filter and an empty list mean.
    #[test]
    fn silence_means_everything_and_an_empty_list_nothing() {
        let wants = |bloom: Option<Vec<u8>>, topics: Option<Vec<Topic>>| {
            requirements(&Options { bloom, topics, ..Options::default() }).unwrap().wants
        };
        assert_eq!(wants(None, None), Wants::Everything);
        assert_eq!(wants(Some(vec![0xff; 64]), None), Wants::Everything);
        assert_eq!(wants(Some(vec![]), None), Wants::Everything);
        assert!(!wants(Some(vec![0; 64]), None).admits(topic("aabbccdd")));
        assert!(!wants(None, Some(vec![])).admits(topic("aabbccdd")));
    }

    /// WAKU1-38, WAKU1-39, WAKU1-43: topics win over a filter, and each replaces the other.
    #[test]
    fn topics_win_and_each_filter_replaces_the_other() {
        let (a, b) = (topic("aabbccdd"), topic("01020304"));
        let bloom = Some(BloomFilter::specified(b).as_bytes().to_vec());
        let both = Options { topics: Some(vec![a]), bloom: bloom.clone(), ..Options::default() };
        let mut wants = requirements(&both).unwrap();
        assert!(wants.wants.admits(a) && !wants.wants.admits(b));
        wants.apply(&Options { bloom, ..Options::default() }, false).unwrap();
        assert!(!wants.wants.admits(a) && wants.wants.admits(b));
        wants.apply(&Options { topics: Some(vec![a]), ..Options::default() }, false).unwrap();
        assert!(wants.wants.admits(a) && !wants.wants.admits(b));
    }

    /// WAKU1-33: no number, infinite and negative requirements are refused.
    #[test]
    fn impossible_requirements_are_refused() {
        for pow in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1] {
            let options = Options { pow_bits: Some(pow.to_bits()), ..Options::default() };
            assert_eq!(requirements(&options), Err(StatusError::Pow), "{pow}");
        }
        for len in [1, 63, 65] {
            let options = Options { bloom: Some(vec![1; len]), ..Options::default() };
            assert_eq!(requirements(&options), Err(StatusError::BloomLength { len }));
        }
    }

    /// WAKU1-42: 10,000 topics are the most, repeats included.
    #[test]
    fn more_than_ten_thousand_topics_are_refused() {
        let of = |count| Options { topics: Some(vec![topic("aabbccdd"); count]), ..Options::default() };
        assert!(requirements(&of(10_000)).is_ok());
        assert_eq!(requirements(&of(10_001)), Err(StatusError::TooManyTopics { count: 10_001 }));
    }

    #[test]
    fn what_came_before_a_bad_option_stays() {
        let mut wants = requirements(&Options::default()).unwrap();
        let bad = Options {
            pow_bits: Some(0.5f64.to_bits()),
            bloom: Some(vec![1]),
            confirmations: Some(true),
            ..Options::default()
        };
        assert!(wants.apply(&bad, false).is_err());
        assert_eq!((wants.pow, wants.confirmations), (0.5, false));
    }

    /// WAKU1-67: two light nodes part.
    #[test]
    fn a_light_node_refuses_another_when_told_to() {
        let light = Options { light_node: Some(true), ..Options::default() };
        assert_eq!(Requirements::of_status(&light, true), Err(StatusError::LightPair));
        assert!(Requirements::of_status(&light, false).unwrap().light_node);
    }

    fn any_options() -> impl Strategy<Value = Options> {
        let limits = || prop::option::of((any::<u64>(), any::<u64>(), any::<u64>()));
        let to_limits = |l: Option<(u64, u64, u64)>| l.map(|(ip, peer, topic)| RateLimits { ip, peer, topic });
        (
            any::<Option<u64>>(),
            any::<Option<Vec<u8>>>(),
            any::<Option<bool>>(),
            any::<Option<bool>>(),
            limits(),
            any::<Option<Vec<[u8; 4]>>>(),
            limits(),
        )
            .prop_map(move |(pow_bits, bloom, light_node, confirmations, packets, topics, bytes)| Options {
                pow_bits,
                bloom,
                light_node,
                confirmations,
                packet_limits: to_limits(packets),
                topics: topics.map(|t| t.into_iter().map(Topic::from).collect()),
                byte_limits: to_limits(bytes),
            })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(options in any_options()) {
            prop_assert_eq!(Options::from_status(Version::V1, &options.to_status(Version::V1)), Ok(options.clone()));
            let older = Options { byte_limits: None, ..options };
            prop_assert_eq!(Options::from_status(Version::V0, &older.to_status(Version::V0)), Ok(older.clone()));
            prop_assert_eq!(Options::from_update(Version::V0, &older.to_update(Version::V0)), Ok(older));
        }

        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>, options in any_options(), at: prop::sample::Index, bit in 0..8u8) {
            for version in [Version::V0, Version::V1] {
                let mut near = options.to_status(version);
                let place = at.index(near.len());
                near[place] ^= 1 << bit;
                for packet in [&bytes, &near] {
                    if let Ok(options) = Options::from_status(version, packet) {
                        let _ = requirements(&options);
                    }
                }
            }
        }
    }
}
