//! Which envelopes a node asks its peers for, as it is written in settings (6/WAKU1, "Bloom filter" and "Topic interest").
//!
//! ```text
//! full                      everything: a full node
//! bloom:HEX128              what lies inside this filter of 64 bytes
//! bloom:TOPIC,TOPIC...      the same, for the filter of these topics
//! topics:TOPIC,TOPIC...     these topics (8 hexadecimal digits each), and nothing else; none means nothing
//! chats                     the topics of the chats that are followed
//! chats-bloom               the same, said as a filter: peers learn less, and send more than is wanted
//! ```

use std::fmt;
use std::str::FromStr;

use proto::Topic;
use wire::waku::{self, BloomFilter, TopicSet};

/// Which envelopes a node asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    /// Everything.
    Full,
    /// What lies inside a filter.
    Bloom(BloomFilter),
    /// These topics.
    Topics(TopicSet),
    /// The topics of the chats that are followed, as they are at each moment.
    Chats,
    /// The same, said as a filter.
    ChatsBloom,
}

/// A text that says no interest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnInterest {
    /// Not one of the forms.
    #[error("say full, bloom:FILTER, topics:TOPIC,TOPIC..., chats or chats-bloom")]
    Form,
    /// Neither a filter nor topics.
    #[error("a bloom filter is 128 hexadecimal digits, or topics of 8 digits each with commas between")]
    Bloom,
    /// Not a topic.
    #[error("`{text}` is no topic; a topic is 8 hexadecimal digits, for example aabbccdd")]
    Topic {
        /// What stands in its place.
        text: String,
    },
    /// More topics than peers take.
    #[error("{count} topics are more than the 10000 that peers take; say them as bloom:TOPIC,TOPIC...")]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl Interest {
    /// Returns what is said to peers while a node follows chats on `topics`.
    #[must_use]
    pub fn said(&self, topics: impl IntoIterator<Item = Topic>) -> waku::Interest {
        match self {
            Self::Full => waku::Interest::Full,
            Self::Bloom(filter) => waku::Interest::Bloom(*filter),
            Self::Topics(topics) => waku::Interest::Topics(topics.clone()),
            Self::Chats => waku::Interest::topics([]).widened(topics),
            Self::ChatsBloom => waku::Interest::Bloom(BloomFilter::EMPTY).widened(topics),
        }
    }

    /// Returns whether it depends on the chats that are followed.
    #[must_use]
    pub const fn follows_chats(&self) -> bool {
        matches!(self, Self::Chats | Self::ChatsBloom)
    }
}

impl FromStr for Interest {
    type Err = NotAnInterest;

    fn from_str(text: &str) -> Result<Self, NotAnInterest> {
        match (text, text.split_once(':')) {
            ("full", _) => Ok(Self::Full),
            ("chats", _) => Ok(Self::Chats),
            ("chats-bloom", _) => Ok(Self::ChatsBloom),
            (_, Some(("bloom", said))) => bloom(said).map(Self::Bloom),
            (_, Some(("topics", said))) => {
                let listed = topics(said)?;
                let count = listed.len();
                match waku::Interest::topics(listed) {
                    waku::Interest::Topics(set) => Ok(Self::Topics(set)),
                    _ => Err(NotAnInterest::TooMany { count }),
                }
            }
            _ => Err(NotAnInterest::Form),
        }
    }
}

impl fmt::Display for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Bloom(filter) => write!(f, "bloom:{}", hex::encode(filter.as_bytes())),
            Self::Topics(topics) => {
                let topics: Vec<String> = topics.as_slice().iter().map(|topic| hex::encode(topic.as_bytes())).collect();
                write!(f, "topics:{}", topics.join(","))
            }
            Self::Chats => f.write_str("chats"),
            Self::ChatsBloom => f.write_str("chats-bloom"),
        }
    }
}

fn bloom(text: &str) -> Result<BloomFilter, NotAnInterest> {
    let mut filter = [0; BloomFilter::LEN];
    if text.len() == 2 * filter.len() && hex::decode_to_slice(text, &mut filter).is_ok() {
        return Ok(BloomFilter::from(filter));
    }
    topics(text).map(BloomFilter::of_topics).map_err(|_| NotAnInterest::Bloom)
}

fn topics(text: &str) -> Result<Vec<Topic>, NotAnInterest> {
    let topic = |text: &str| {
        let mut bytes = [0; 4];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
            .map_err(|_| NotAnInterest::Topic { text: text.escape_default().to_string() })?;
        Ok(Topic::from(bytes))
    };
    text.split(',').filter(|_| !text.is_empty()).map(topic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(n: u8) -> Topic {
        Topic::from([n; 4])
    }

    #[test]
    fn what_is_said_is_read_back() {
        let filter = hex::encode(BloomFilter::of_topics([topic(1)]).as_bytes());
        let texts = ["full", "chats", "chats-bloom", "topics:", "topics:01010101,02020202", &format!("bloom:{filter}")];
        for text in texts {
            assert_eq!(text.parse::<Interest>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_filter_can_be_given_by_its_topics() {
        let filter = BloomFilter::of_topics([topic(1), topic(2)]);
        assert_eq!("bloom:0x01010101,02020202".parse(), Ok(Interest::Bloom(filter)));
        assert_eq!("bloom:".parse(), Ok(Interest::Bloom(BloomFilter::EMPTY)), "nothing is wanted");
    }

    #[test]
    fn what_says_nothing_is_refused_with_a_word_on_what_would() {
        let refused = |text: &str| text.parse::<Interest>().unwrap_err().to_string();
        assert!(refused("everything").contains("say full"));
        assert!(refused("topics:aabbccdd,xyz").contains("`xyz` is no topic"));
        assert!(refused("topics:aabbccdd,").contains("`` is no topic"));
        assert!(refused("bloom:ff").contains("128 hexadecimal digits"));
        let many: Vec<String> = (0..10_001u32).map(|n| format!("{n:08x}")).collect();
        assert!(refused(&format!("topics:{}", many.join(","))).contains("10001 topics"));
        assert!(format!("topics:{}", many[1..].join(",")).parse::<Interest>().is_ok());
    }

    #[test]
    fn chats_are_said_as_topics_or_as_their_filter() {
        let topics = [topic(1), topic(2)];
        assert_eq!(Interest::Chats.said(topics), waku::Interest::topics(topics));
        assert_eq!(Interest::ChatsBloom.said(topics), waku::Interest::Bloom(BloomFilter::of_topics(topics)));
        assert_eq!(Interest::Full.said(topics), waku::Interest::Full);
    }
}
