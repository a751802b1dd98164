//! Peers that break the rules: each is dropped, or what it sent is, with a named reason, and the others go on.

use std::time::Duration;

use chat::{ChatName, Input};
use proto::{Topic, UnixSecs};
use wire::rlp;
use wire::waku::Envelope;
use wire::waku::code::{MESSAGES, STATUS, STATUS_UPDATE};
use wire::waku::envelope::Draft;

use crate::world::{LinkId, NodeId, Shape, Tamper, Trade, World};

fn demo() -> ChatName {
    ChatName::try_from("demo").unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Alice, a relay and Bob in `#demo`, and Mallory, whose node is at the relay too.
struct Scene {
    world: World,
    alice: NodeId,
    bob: NodeId,
    relay: NodeId,
    mallory: NodeId,
    link: LinkId,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        let (alice, bob) = (world.add(Trade::Person), world.add(Trade::Person));
        let (relay, mallory) = (world.add(Trade::Relay { min_pow: 0.002 }), world.add(Trade::Stranger));
        for person in [alice, bob] {
            world.join(person, relay, Shape::millis(10));
            world.act(person, Input::Join(demo()));
        }
        let link = world.join(mallory, relay, Shape::millis(10));
        world.pass(secs(1));
        Self { world, alice, bob, relay, mallory, link }
    }

    /// A scene in which Mallory has said that it takes everything.
    fn greeted() -> Self {
        let mut scene = Self::new();
        scene.mutter(STATUS, &rlp::list(|_| ()));
        scene
    }

    fn mutter(&mut self, code: u64, payload: &[u8]) {
        self.world.mutter(self.mallory, self.link, code, payload);
        self.world.pass(secs(1));
    }

    fn mutter_envelopes(&mut self, envelopes: &[Envelope]) {
        let packet = rlp::list(|w| {
            for envelope in envelopes {
                w.raw(envelope.as_bytes());
            }
        });
        self.mutter(MESSAGES, &packet);
    }

    /// Alice and Bob still talk, and nothing else reached them.
    #[track_caller]
    fn assert_the_others_go_on(mut self) {
        self.world.say(self.alice, 1, &demo(), "still there?");
        self.world.pass(secs(1));
        self.world.say(self.bob, 1, &demo(), "still here");
        self.world.pass(secs(1));
        for person in [self.alice, self.bob] {
            let node = self.world.node(person);
            assert_eq!(node.person().reads(&demo()), ["still there?", "still here"]);
            assert!(node.ended.is_empty(), "{:?}", node.ended);
        }
    }

    #[track_caller]
    fn assert_ended(self, reason: &str) {
        assert!(self.world.node(self.relay).ended.contains(&reason), "{:?}", self.world.node(self.relay).ended);
        assert!(!self.world.is_open(self.link));
        self.assert_the_others_go_on();
    }

    /// The connection stays, and the relay counts what it refused.
    #[track_caller]
    fn assert_refused(self, name: &str, count: u32) {
        let relay = self.world.node(self.relay);
        assert_eq!(relay.refused.get(name), Some(&count), "{:?}", relay.refused);
        assert!(relay.ended.is_empty(), "{:?}", relay.ended);
        assert_eq!(relay.taken, 0);
        self.assert_the_others_go_on();
    }

    /// An envelope that is sent so many seconds from now, of at least this proof of work.
    fn envelope(&self, from_now_s: i64, ttl_s: u32, pow: f64) -> Envelope {
        let sent = self.world.unix_secs().checked_add_signed(from_now_s).unwrap();
        let draft = Draft::new(UnixSecs::new(sent), ttl_s, Topic::from([1, 2, 3, 4]), &[7; 200]);
        let mut search = draft.search(pow);
        let nonce = std::iter::repeat_with(|| search.advance(1000)).find_map(|found| found).unwrap();
        draft.seal(nonce).unwrap()
    }
}

const GOOD: f64 = 0.004;

/// A single bit, altered on the way, ends the connection at once.
#[test]
fn a_bad_mac_ends_the_connection() {
    let mut scene = Scene::greeted();
    scene.world.tamper(scene.link, Tamper::FlipAfter(3));
    scene.mutter(MESSAGES, &rlp::list(|_| ()));
    scene.assert_ended("bad_mac");
}

/// WAKU1-24, WAKU1-25: nothing is heard before the status.
#[test]
fn a_packet_before_the_status_ends_the_connection() {
    let mut scene = Scene::new();
    let envelope = scene.envelope(0, 50, GOOD);
    scene.mutter_envelopes(&[envelope]);
    assert_eq!(scene.world.node(scene.relay).taken, 0);
    scene.assert_ended("before-status");
}

/// WAKU1-22: whoever keeps its status to itself is not waited for.
#[test]
fn a_peer_without_a_status_is_not_waited_for() {
    let mut scene = Scene::new();
    scene.world.pass(secs(31));
    scene.assert_ended("no-status");
}

#[test]
fn a_status_of_garbage_ends_the_connection() {
    let mut scene = Scene::new();
    scene.mutter(STATUS, b"\xc3garbage");
    scene.assert_ended("bad-status");
}

/// WAKU1-09, WAKU1-10: too large a packet is not even looked into.
#[test]
fn an_oversized_packet_ends_the_connection() {
    let mut scene = Scene::greeted();
    scene.mutter(MESSAGES, &vec![0; (10 << 20) + 1]);
    scene.assert_ended("oversize-packet");
}

#[test]
fn an_envelope_of_little_work_is_refused() {
    let mut scene = Scene::greeted();
    let weak: Vec<_> = (1..40).map(|ttl| scene.envelope(0, 100 + ttl, 0.0)).filter(|e| e.pow(0) < 0.002).collect();
    assert!(weak.len() > 10);
    scene.mutter_envelopes(&weak);
    let count = u32::try_from(weak.len()).unwrap();
    scene.assert_refused("low-pow", count);
}

#[test]
fn an_expired_envelope_is_refused() {
    let mut scene = Scene::greeted();
    let late = scene.envelope(-60, 50, GOOD);
    scene.mutter_envelopes(&[late]);
    scene.assert_refused("expired", 1);
}

#[test]
fn an_envelope_that_expired_long_ago_is_refused() {
    let mut scene = Scene::greeted();
    let old = scene.envelope(-100, 50, GOOD);
    scene.mutter_envelopes(&[old]);
    scene.assert_refused("very-old", 1);
}

#[test]
fn an_envelope_from_the_future_is_refused() {
    let mut scene = Scene::greeted();
    let early = scene.envelope(12, 50, GOOD);
    scene.mutter_envelopes(&[early]);
    scene.assert_refused("from-future", 1);
}

/// Seconds ahead is no future: clocks differ.
#[test]
fn an_envelope_of_a_clock_that_is_a_little_ahead_is_taken() {
    let mut scene = Scene::greeted();
    let early = scene.envelope(9, 50, 1.0);
    scene.mutter_envelopes(&[early]);
    assert_eq!(scene.world.node(scene.relay).taken, 1);
    scene.assert_the_others_go_on();
}

#[test]
fn a_malformed_packet_is_refused() {
    let mut scene = Scene::greeted();
    scene.mutter(MESSAGES, b"\xc3\x01\x02");
    scene.assert_refused("malformed-messages", 1);
}

#[test]
fn a_malformed_update_is_refused() {
    let mut scene = Scene::greeted();
    scene.mutter(STATUS_UPDATE, b"\xff");
    scene.assert_refused("bad-update", 1);
}

/// WAKU1-16
#[test]
fn an_unknown_code_is_ignored() {
    let mut scene = Scene::greeted();
    scene.mutter(99, b"whatever");
    scene.assert_refused("unknown-code", 1);
}

/// Good envelopes on the chat's own topic, sealed with something else: they are carried, and read by nobody.
#[test]
fn garbage_on_a_chats_topic_changes_nothing() {
    let mut scene = Scene::greeted();
    let before = scene.world.node(scene.bob).person().disk.clone();
    let topic = chat::public::topic("demo");
    let draft = Draft::new(UnixSecs::new(scene.world.unix_secs()), 50, topic, &[9; 300]);
    let mut search = draft.search(GOOD);
    let nonce = std::iter::repeat_with(|| search.advance(1000)).find_map(|found| found).unwrap();
    let envelope = draft.seal(nonce).unwrap();
    scene.mutter_envelopes(&[envelope]);
    assert_eq!(scene.world.node(scene.bob).taken, 1);
    assert_eq!(scene.world.node(scene.bob).person().disk, before);
    scene.assert_the_others_go_on();
}
