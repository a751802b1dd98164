//! Rate limits: how much a peer and an address may send in a second (6/WAKU1, 10/WAKU-USAGE, "Rate limits"; reference
//! section 2.7).
//!
//! As in status-go, no packet is dropped: what goes beyond is counted, and from the N-th excess on, each ends the
//! connection that it came over. That count is one for the node's whole life and all its peers. Invariant: there are never
//! more than [`MAX_BUCKETS`] buckets of a kind, however many peers and addresses come by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use proto::{ChatKey, Instant};

use super::status::{Options, RateLimits, Requirements};

/// What peers may send. The default is status-go's: 5 packets a peer, 10 an address, 1 MiB each; nobody is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// For each node, by its key.
    pub per_peer: Rate,
    /// For each address; all peers without one share theirs.
    pub per_address: Rate,
    /// Which excess is the first to end a connection; 0 means none ever does.
    pub tolerance: u64,
    /// Nodes whose packets count for their address only.
    pub spared_peers: Vec<ChatKey>,
    /// Addresses whose packets count for their peer only.
    pub spared_addresses: Vec<IpAddr>,
}

/// An amount in a second; 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Packets.
    pub packets: u64,
    /// Bytes of payload. One that is smaller than packets may be is exceeded by every packet of that size.
    pub bytes: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            per_peer: Rate { packets: 5, bytes: 1 << 20 },
            per_address: Rate { packets: 10, bytes: 1 << 20 },
            tolerance: 0,
            spared_peers: Vec::new(),
            spared_addresses: Vec::new(),
        }
    }
}

impl Allowance {
    /// Adds the options that say this to a status. Topics have no limit.
    pub(super) fn tell(&self, options: &mut Options) {
        let Self { per_peer, per_address, .. } = self;
        options.packet_limits = Some(RateLimits { ip: per_address.packets, peer: per_peer.packets, topic: 0 });
        options.byte_limits = Some(RateLimits { ip: per_address.bytes, peer: per_peer.bytes, topic: 0 });
    }
}

/// How often a peer may be sent something, by the limits it announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    packets: Option<u64>,
    bytes: Option<u64>,
}

impl Pace {
    /// The smaller of a peer's limits decides, because at its address we may be all there is.
    pub(super) fn of(requirements: &Requirements) -> Self {
        let least = |limits: RateLimits| [limits.ip, limits.peer].into_iter().filter(|limit| *limit > 0).min();
        Self { packets: least(requirements.packet_limits), bytes: least(requirements.byte_limits) }
    }

    pub(super) const fn is_limited(self) -> bool {
        self.packets.is_some() || self.bytes.is_some()
    }

    /// Returns how long to leave it alone after a packet of this length: half as long again as it asks for, because there
    /// are other packets than envelopes. Limits so small that nothing would ever arrive are not kept to.
    pub(super) fn rest(self, len: usize) -> Duration {
        let share = |limit: Option<u64>, used: u64| limit.map_or(0, |limit| used.saturating_mul(1_500) / limit);
        Duration::from_millis(share(self.packets, 1).max(share(self.bytes, len as u64))).min(LONGEST_REST)
    }
}

/// What a packet makes of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Within,
    /// Counted and forgiven.
    Excess,
    /// One too many.
    Intolerable,
}

/// The limits with what was sent lately.
pub(super) struct Limiter {
    allowance: Allowance,
    spared_peers: BTreeSet<[u8; 64]>,
    peers: Buckets<[u8; 64]>,
    addresses: Buckets<Option<IpAddr>>,
}

impl Limiter {
    pub(super) fn new(allowance: Allowance) -> Self {
        Self {
            spared_peers: allowance.spared_peers.iter().map(ChatKey::to_node_id).collect(),
            peers: Buckets::new(allowance.per_peer),
            addresses: Buckets::new(allowance.per_address),
            allowance,
        }
    }

    pub(super) const fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Counts a packet of this node at this address: for the address first, and for the node only if that lets it pass.
    pub(super) fn count(&mut self, now: Instant, address: Option<IpAddr>, node: &[u8; 64], len: usize) -> Load {
        let tolerance = self.allowance.tolerance;
        let address_is_spared = address.is_some_and(|address| self.allowance.spared_addresses.contains(&address));
        let by_address =
            if address_is_spared { Load::Within } else { self.addresses.count(now, &address, len, tolerance) };
        if by_address == Load::Intolerable || self.spared_peers.contains(node) {
            return by_address;
        }
        match self.peers.count(now, node, len, tolerance) {
            Load::Within => by_address,
            excess => excess,
        }
    }
}

struct Buckets<K> {
    rate: Rate,
    levels: BTreeMap<K, Level>,
    excesses: u64,
}

/// What is left of a second's worth, and since when.
struct Level {
    packets: Tokens,
    bytes: Tokens,
    at: Instant,
}

impl<K: Ord + Clone> Buckets<K> {
    const fn new(rate: Rate) -> Self {
        Self { rate, levels: BTreeMap::new(), excesses: 0 }
    }

    fn count(&mut self, now: Instant, key: &K, len: usize, tolerance: u64) -> Load {
        let Rate { packets, bytes } = self.rate;
        if packets == 0 && bytes == 0 {
            return Load::Within;
        }
        if self.levels.len() >= MAX_BUCKETS && !self.levels.contains_key(key) {
            self.make_room(now);
        }
        let full = Level { packets: Tokens::full(packets), bytes: Tokens::full(bytes), at: now };
        let level = self.levels.entry(key.clone()).or_insert(full);
        let passed = now.since(level.at);
        level.at = now;
        // What there is of either is taken even where it is too little.
        let too_many = !level.packets.take(passed, packets, 1);
        let too_large = !level.bytes.take(passed, bytes, len as u64);
        if !too_many && !too_large {
            return Load::Within;
        }
        self.excesses = self.excesses.saturating_add(1);
        if tolerance > 0 && self.excesses >= tolerance { Load::Intolerable } else { Load::Excess }
    }

    /// A bucket that nobody drew from for a second is full, which is what a new one is.
    fn make_room(&mut self, now: Instant) {
        self.levels.retain(|_, level| now.since(level.at) < SECOND);
        while self.levels.len() >= MAX_BUCKETS {
            self.levels.pop_first();
        }
    }
}

/// Tokens of a bucket that holds one second's worth, in billionths, so that a nanosecond's refill is exact.
struct Tokens(u128);

impl Tokens {
    const fn full(rate: u64) -> Self {
        Self(rate as u128 * NANOS)
    }

    /// Takes as many as there are, up to `wanted`; says whether those were all. A rate of 0 gives without end.
    fn take(&mut self, passed: Duration, rate: u64, wanted: u64) -> bool {
        if rate == 0 {
            return true;
        }
        let refill = u128::from(rate) * passed.min(SECOND).as_nanos();
        let there = (self.0 + refill).min(u128::from(rate) * NANOS);
        let wanted = u128::from(wanted) * NANOS;
        self.0 = there.saturating_sub(wanted);
        there >= wanted
    }
}

/// The most buckets for peers, and for addresses.
pub const MAX_BUCKETS: usize = 4096;

/// Even of the shortest messages' time to live, which is 10 s, this leaves most.
const LONGEST_REST: Duration = Duration::from_secs(3);

const SECOND: Duration = Duration::from_secs(1);
const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_start(Duration::from_millis(millis))
    }

    fn address(n: u32) -> Option<IpAddr> {
        Some(Ipv4Addr::from(n).into())
    }

    fn limiter(per_peer: Rate, per_address: Rate, tolerance: u64) -> Limiter {
        Limiter::new(Allowance { per_peer, per_address, tolerance, ..Allowance::default() })
    }

    fn packets(packets: u64) -> Rate {
        Rate { packets, bytes: 0 }
    }

    const NONE: Rate = Rate { packets: 0, bytes: 0 };

    /// WU10-10, WU10-11, WAKU1-45, WAKU1-46: a second's worth may come at once, and more as time passes.
    #[test]
    fn a_seconds_worth_may_come_at_once_and_then_as_time_passes() {
        let mut limiter = limiter(packets(5), NONE, 0);
        let mut count = |millis| limiter.count(at(millis), None, &[1; 64], 10);
        assert!((0..5).all(|_| count(0) == Load::Within));
        assert_eq!(count(0), Load::Excess);
        assert_eq!(count(199), Load::Excess);
        assert_eq!(count(398), Load::Excess, "an excess takes what there is");
        assert_eq!(count(598), Load::Within);
        assert_eq!(count(598), Load::Excess);
        assert!((0..5).all(|_| count(100_000) == Load::Within));
        assert_eq!(count(100_000), Load::Excess, "no more than a second's worth is saved up");
    }

    /// WAKU1-54: packets and bytes are limited, and either may be exceeded.
    #[test]
    fn bytes_are_limited_as_packets_are() {
        let mut limiter = limiter(Rate { packets: 10, bytes: 1_000 }, NONE, 0);
        assert_eq!(limiter.count(at(0), None, &[1; 64], 600), Load::Within);
        assert_eq!(limiter.count(at(0), None, &[1; 64], 600), Load::Excess);
        assert_eq!(limiter.count(at(0), None, &[1; 64], 1), Load::Excess, "the excess took what was left");
        assert_eq!(limiter.count(at(500), None, &[1; 64], 500), Load::Within);
    }

    /// WU10-13, WAKU1-48: the count of excesses is shared by all peers and never starts again.
    #[test]
    fn the_nth_excess_of_the_nodes_life_is_intolerable_whoever_it_comes_from() {
        let mut limiter = limiter(packets(1), NONE, 3);
        let mut loads = Vec::new();
        for node in 0..3u8 {
            for _ in 0..2 {
                loads.push(limiter.count(at(u64::from(node) * 100_000), None, &[node; 64], 1));
            }
        }
        let (good, bad, worst) = (Load::Within, Load::Excess, Load::Intolerable);
        assert_eq!(loads, [good, bad, good, bad, good, worst]);
    }

    #[test]
    fn peers_of_one_address_share_its_limit_and_so_do_those_without_one() {
        let mut limiter = limiter(NONE, packets(2), 0);
        let mut count = |node: u8, address| limiter.count(at(0), address, &[node; 64], 1);
        for shared in [None, address(1)] {
            assert_eq!([1, 2, 3].map(|node| count(node, shared)), [Load::Within, Load::Within, Load::Excess]);
        }
        assert_eq!(count(1, address(2)), Load::Within);
    }

    /// WU10-12, WAKU1-47: who is spared is not counted.
    #[test]
    fn spared_peers_and_addresses_are_not_counted() {
        let key = |n: u8| -> ChatKey { k256::SecretKey::from_slice(&[n; 32]).unwrap().public_key().into() };
        let mut limiter = Limiter::new(Allowance {
            per_peer: packets(1),
            per_address: packets(1),
            tolerance: 1,
            spared_peers: vec![key(1)],
            spared_addresses: vec![Ipv4Addr::from(1).into()],
        });
        let (spared, other) = (key(1).to_node_id(), key(2).to_node_id());
        assert!((0..9).all(|_| limiter.count(at(0), address(1), &spared, 1) == Load::Within));
        assert_eq!(limiter.count(at(0), address(1), &other, 1), Load::Within);
        assert_eq!(limiter.count(at(0), address(1), &other, 1), Load::Intolerable, "the peer is not spared");
        assert_eq!(limiter.count(at(0), address(2), &spared, 1), Load::Within);
        assert_eq!(limiter.count(at(0), address(2), &spared, 1), Load::Intolerable, "the address is not spared");
    }

    /// WAKU1-49, WAKU1-50, WU10-14, WU10-15: the limits are said as they are.
    #[test]
    fn the_default_limits_are_said_in_the_status() {
        let mut options = Options::default();
        Allowance::default().tell(&mut options);
        assert_eq!(options.packet_limits, Some(RateLimits { ip: 10, peer: 5, topic: 0 }));
        assert_eq!(options.byte_limits, Some(RateLimits { ip: 1 << 20, peer: 1 << 20, topic: 0 }));
    }

    /// WU10-16, WAKU1-51, WAKU1-52: the smaller of a peer's limits decides, and without any there is no rest.
    #[test]
    fn a_peer_is_left_alone_by_its_smallest_limit() {
        let limits = |ip, peer| Some(RateLimits { ip, peer, topic: 1 });
        let rested = |packet_limits, byte_limits| {
            let said = Options { packet_limits, byte_limits, ..Options::default() };
            let pace = Pace::of(&Requirements::of_status(&said, false).unwrap());
            pace.is_limited().then(|| pace.rest(3_000).as_millis())
        };
        assert_eq!(rested(None, limits(0, 0)), None);
        assert_eq!(rested(limits(10, 5), None), Some(300));
        assert_eq!(rested(limits(10, 0), None), Some(150));
        assert_eq!(rested(limits(10, 5), limits(0, 9_000)), Some(500));
        assert_eq!(rested(limits(0, 1), limits(1, 1)), Some(3_000), "and not for ever");
        assert_eq!(rested(limits(u64::MAX, u64::MAX), limits(u64::MAX, 0)), Some(0));
    }

    #[test]
    fn however_many_come_by_the_buckets_stay_few() {
        let mut limiter = limiter(packets(1), packets(1), 0);
        for n in 0..3 * MAX_BUCKETS as u32 {
            let mut node = [0; 64];
            node[..4].copy_from_slice(&n.to_be_bytes());
            limiter.count(at(u64::from(n) / 100), address(n), &node, 1);
            assert!(limiter.peers.levels.len() <= MAX_BUCKETS && limiter.addresses.levels.len() <= MAX_BUCKETS);
        }
        let last = 3 * MAX_BUCKETS as u32 - 1;
        assert_eq!(limiter.count(at(125), address(last), &[9; 64], 1), Load::Excess, "the latest is not forgotten");
    }

    proptest! {
        /// In any second no more passes than twice a second's worth, and a peer that keeps to the rate never exceeds it.
        #[test]
        fn nobody_gets_more_than_the_rate(rate in 1..50u64, gaps in proptest::collection::vec(0..400u64, 1..200)) {
            let mut limiter = limiter(packets(rate), NONE, 0);
            let (mut now, mut passed) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                if limiter.count(at(now), None, &[1; 64], 1) == Load::Within {
                    passed.push(now);
                }
                let lately = passed.iter().filter(|then| **then + 1000 > now).count();
                prop_assert!(lately as u64 <= 2 * rate);
            }
            let mut paced = Limiter::new(Allowance { per_peer: packets(rate), per_address: NONE, ..Allowance::default() });
            for n in 0..200 {
                let when = Instant::from_start(Duration::from_nanos((n * 1_000_000_000u64).div_ceil(rate)));
                prop_assert_eq!(paced.count(when, None, &[1; 64], 1), Load::Within);
            }
        }

        #[test]
        fn no_limit_is_too_large(packets: u64, bytes: u64, len: usize, gap: u64) {
            let mut limiter = limiter(Rate { packets, bytes }, Rate { packets: bytes, bytes: packets }, 0);
            limiter.count(at(0), None, &[1; 64], len);
            limiter.count(at(gap), None, &[1; 64], len);
        }
    }
}
