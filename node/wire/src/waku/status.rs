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
                // A later version's option: this pair alone is skipped.
                _ => continue,
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
            // Minus zero is not below zero.
            if !pow.is_finite() || pow < 0.0 {
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
