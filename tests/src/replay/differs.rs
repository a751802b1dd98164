//! Where we choose to differ from the peer: every rule once, with its reason.
//!
//! A rule looks at the inputs of a case and foretells what the peer makes of them by its fault. Only a case in which the
//! peer did just that is listed: a recording that differs from us in any other way stays bad.

use proto::Topic;
use wire::p2p::Message as BaseMessage;
use wire::rlp::{self, Malformed, Reader};
use wire::rlpx::Message;
use wire::waku::status::RateLimits;
use wire::waku::{BloomFilter, Interest, Version};

/// What the peer's reader makes of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The same as of this packet.
    As(Vec<u8>),
    /// Nothing: it refuses the packet.
    Refused,
}

/// An option with an unknown key.
///
/// 6/WAKU1 wants unknown keys ignored, and they are how later versions speak. We skip the pair alone, and refuse one that
/// is no pair. status-go reads key and value, but never leaves the pair: what else is in it counts as options, and what
/// stands behind it is lost. In a waku/0 status, whose list it must leave, it fails unless nothing stands behind it.
///
/// Returns what status-go reads; nothing when the packet has no such option.
pub(super) fn unknown_key(version: Version, is_update: bool, packet: &[u8]) -> Option<Read> {
    let in_two_lists = version == Version::V0 && !is_update;
    let mut packet = Reader::new(packet);
    if in_two_lists {
        packet = packet.list().ok()?;
        packet.u64().ok().filter(|inner| *inner == 0)?;
    }
    let (read, nothing_behind) = inside_unknown_pairs(version, packet.list().ok()?).ok()??;
    if in_two_lists && !nothing_behind {
        return Some(Read::Refused);
    }
    let options = rlp::list(|w| {
        w.raw(&read);
    });
    Some(Read::As(if in_two_lists {
        rlp::list(|w| {
            w.uint(0).raw(&options);
        })
    } else {
        options
    }))
}

/// Returns the pairs that are read by who never leaves a pair with an unknown key, and whether nothing stood behind the
/// last of those in its own list.
fn inside_unknown_pairs(version: Version, mut pairs: Reader<'_>) -> Result<Option<(Vec<u8>, bool)>, Malformed> {
    let mut read = Vec::new();
    let mut nothing_behind = None;
    while !pairs.is_empty() {
        let whole = pairs.raw()?;
        let mut pair = Reader::new(whole).list()?;
        let is_known = match version {
            Version::V1 => pair.u64()? <= 6,
            Version::V0 => matches!(pair.bytes()?, [b'0'..=b'5']),
        };
        if is_known {
            read.extend_from_slice(whole);
        } else {
            pair.raw()?;
            nothing_behind = Some(pairs.is_empty());
            pairs = pair;
        }
    }
    Ok(nothing_behind.map(|nothing_behind| (read, nothing_behind)))
}

/// A disconnect that is not compressed although the connection is.
///
/// status-go sends one when it refuses a hello that we took, and then cannot read its own kind: it ends on bad snappy and
/// the reason is lost. We read it.
///
/// `ours` is the message we read where the peer failed, `raw` the same before decompression.
pub(super) fn uncompressed_disconnect(ours: &Message, raw: &Message) -> bool {
    ours.code == BaseMessage::DISCONNECT && matches!(ours.payload.as_slice(), [0xc1, _]) && ours == raw
}

/// A negative target for the proof of work.
///
/// status-go then seeks the best nonce for its whole time, and moves the expiry on by that time. We refuse to: a target
/// says how much is enough, and an envelope must not live longer than was asked.
pub(super) fn negative_target(pow_target: f64) -> bool {
    pow_target < 0.0
}

/// A light node.
///
/// 6/WAKU1 has it send its own envelopes and nobody else's: that is what makes it light, and what it tells its peers.
/// status-go sends on all that it has.
///
/// `is_own` says whether the envelope that status-go sends was posted at its node.
pub(super) fn light_node(is_light: bool, is_own: bool) -> bool {
    is_light && !is_own
}

/// A peer that announced limits.
///
/// 6/WAKU1 has a node respect them: ours sends such a peer a packet, and the next one after a rest. status-go notes the
/// limits and sends what it has every 300 ms.
pub(super) fn announced_limits(packets: RateLimits, bytes: RateLimits) -> bool {
    [packets, bytes].iter().any(|limits| limits.ip > 0 || limits.peer > 0)
}

/// The work of an envelope that came directly.
///
/// A filter's least proof of work is compared with that of the envelope, however it came. status-go compares the work of a
/// direct one before it has computed it, so that such a filter never reads any.
pub(super) fn direct_work(is_direct: bool, least_work: f64) -> bool {
    is_direct && least_work > 0.0
}

/// The bloom filter that is announced for topics.
///
/// Ours is the one of 6/WAKU1: a topic's three bits, ORed. status-go assigns each byte, so that of two bits in one byte the
/// earlier is lost. It finds its own value in ours; who goes by the specification does not find his in status-go's.
///
/// Returns what a filter becomes there when topics are added; nothing when the interest is no filter.
pub(super) fn lossy_filter(interest: &Interest, topics: &[Topic]) -> Option<Interest> {
    let Interest::Bloom(filter) = interest else { return None };
    Some(Interest::Bloom(topics.iter().fold(*filter, |all, topic| all.union(&BloomFilter::assigned(*topic)))))
}

/// The interest when somebody subscribes at a full node.
///
/// Ours grows by the topics, and counts when the node is full no more. status-go looks at what it wants at the moment,
/// which is everything, and so takes the topics alone in the place of all that it had, or adds nothing to its filter.
pub(super) fn subscribing_while_full(interest: &Interest, bloom_mode: bool, topics: &[Topic]) -> Interest {
    if bloom_mode { interest.clone() } else { Interest::Unsaid.widened(topics.iter().copied()) }
}

/// The interest when somebody unsubscribes.
///
/// Ours is that of the filters that are left: who leaves a chat wants no more of it. status-go 0.62 tells its peers nothing,
/// so that its interest stays; later ones announce the topics of all filters that ever were, with those of the removed
/// one, and in bloom mode in the place of the filter.
///
/// Returns the interest that the peer announces, if it does.
pub(super) fn unsubscribing(peer: &str, ever: &[Topic]) -> Option<Interest> {
    (!peer.contains("0.62")).then(|| Interest::Unsaid.widened(ever.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: Version, is_update: bool, packet: &str) -> Option<String> {
        unknown_key(version, is_update, &hex::decode(packet).unwrap()).map(|read| match read {
            Read::As(packet) => hex::encode(packet),
            Read::Refused => "refused".to_owned(),
        })
    }

    #[test]
    fn nothing_is_said_of_packets_whose_keys_are_all_known() {
        assert_eq!(read(Version::V1, false, "c6c20301c20201"), None);
        assert_eq!(read(Version::V1, true, "c0"), None);
        assert_eq!(read(Version::V0, false, "c580c3c23201"), None);
        assert_eq!(read(Version::V1, false, "c7c20907"), None, "cut short");
    }

    #[test]
    fn what_stands_behind_an_unknown_key_is_lost() {
        assert_eq!(read(Version::V1, false, "c9c20301c20907c20201").as_deref(), Some("c3c20301"));
        assert_eq!(read(Version::V0, true, "c9c23301c23907c23201").as_deref(), Some("c3c23301"));
        assert_eq!(read(Version::V1, true, "c7c5090700c20201"), None, "more than a pair, and no option");
        assert_eq!(read(Version::V1, true, "c9c50907c20301c20201").as_deref(), Some("c3c20301"), "an option in a pair");
    }

    #[test]
    fn only_a_waku_0_status_is_refused_for_it() {
        assert_eq!(read(Version::V0, false, "c880c6c23907c23201").as_deref(), Some("refused"));
        assert_eq!(read(Version::V0, false, "c880c6c23201c23907").as_deref(), Some("c580c3c23201"));
        assert_eq!(read(Version::V0, false, "c880c6c23607c23201").as_deref(), Some("refused"), "key 6 is of waku/1");
    }

    #[test]
    fn a_light_node_differs_in_others_envelopes_and_a_filter_in_direct_ones() {
        assert!(light_node(true, false) && !light_node(true, true) && !light_node(false, false));
        assert!(direct_work(true, 0.1) && !direct_work(true, 0.0) && !direct_work(false, 0.1));
    }

    #[test]
    fn only_limits_for_us_make_a_peer_wait() {
        let (none, topic) = (RateLimits::default(), RateLimits { topic: 1, ..RateLimits::default() });
        assert!(
            announced_limits(none, RateLimits { ip: 1, ..none })
                && announced_limits(RateLimits { peer: 1, ..none }, none)
        );
        assert!(!announced_limits(none, none) && !announced_limits(topic, topic));
    }

    #[test]
    fn a_lossy_filter_has_no_bit_that_ours_has_not() {
        let topic = Topic::from([0, 1, 2, 0]);
        let none = Interest::Bloom(BloomFilter::EMPTY);
        assert_eq!(lossy_filter(&none, &[topic]), Some(Interest::Bloom(BloomFilter::assigned(topic))));
        assert_ne!(lossy_filter(&none, &[topic]), Some(none.widened([topic])));
        assert_eq!(lossy_filter(&Interest::Unsaid, &[topic]), None);
    }

    #[test]
    fn a_full_node_forgets_its_topics_when_somebody_subscribes() {
        let (old, new) = (Interest::topics([Topic::from([1; 4])]), [Topic::from([2; 4])]);
        assert_eq!(subscribing_while_full(&old, false, &new), Interest::topics(new));
        assert_eq!(subscribing_while_full(&old, true, &new), old);
    }

    #[test]
    fn the_older_peer_says_nothing_and_the_younger_too_much() {
        let ever = [Topic::from([1; 4]), Topic::from([2; 4])];
        assert_eq!(unsubscribing("status-go 0.62.13", &ever), None);
        assert_eq!(unsubscribing("status-go 0.75.2", &ever), Some(Interest::topics(ever)));
        assert_eq!(unsubscribing("status-go 0.75.2", &[]), Some(Interest::Unsaid));
    }

    #[test]
    fn only_a_disconnect_may_come_uncompressed() {
        let message = |code, payload: &[u8]| Message { code, payload: payload.to_vec() };
        let (plain, block) = (message(1, &[0xc1, 4]), message(1, &[2, 4, 0xc1, 4]));
        assert!(uncompressed_disconnect(&plain, &plain));
        assert!(!uncompressed_disconnect(&plain, &block), "it was compressed");
        assert!(!uncompressed_disconnect(&message(2, &[0xc1, 4]), &message(2, &[0xc1, 4])));
    }
}
