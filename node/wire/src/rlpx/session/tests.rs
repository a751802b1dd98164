//! Sessions against each other, against a script, and against nonsense, in virtual time.

use k256::SecretKey;
use proptest::prelude::*;
use proto::{TestDice, UnixMillis};

use super::*;
use crate::p2p::Offer;
use crate::rlpx::{FrameError, HandshakeError, NodeKey, TooLong};

fn local(seed: u8, capabilities: &[Capability]) -> Arc<Local> {
    let key = NodeKey::from(SecretKey::from_slice(&[seed; 32]).unwrap());
    let client_name = "Cardinal/test".to_owned();
    Arc::new(Local { key, client_name, listen_port: 30303, capabilities: capabilities.to_vec() })
}

const WAKU: &[Capability] = &[Capability::WAKU_1];

/// One side: its session, what it wants written, and what it told.
struct Side {
    session: Session,
    out: Vec<u8>,
    events: Vec<Event>,
}

impl Side {
    fn dial(local: &Arc<Local>, remote: &Arc<Local>) -> Self {
        turned(0, |turn| Self::of(Session::dial(local, *remote.key.id(), turn)))
    }

    fn accept(local: &Arc<Local>) -> Self {
        turned(0, |turn| Self::of(Session::accept(local, turn)))
    }

    fn of(session: Session) -> Self {
        let mut side = Self { session, out: Vec::new(), events: Vec::new() };
        side.drain();
        side
    }

    fn tell(&mut self, at_ms: u64, input: Input<'_>) {
        turned(at_ms, |turn| self.session.handle(turn, input));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(bytes) => self.out.extend(bytes),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn down(&self) -> Option<DownReason> {
        match self.events.last() {
            Some(Event::Down(why)) => Some(*why),
            _ => None,
        }
    }

    fn is_up(&self) -> bool {
        matches!(self.session.phase, Phase::Up { .. })
    }
}

fn turned<T>(at_ms: u64, act: impl FnOnce(&mut Turn<'_>) -> T) -> T {
    let mut dice = TestDice::seeded(at_ms);
    let now = at(at_ms);
    act(&mut Turn { now, unix: UnixMillis::new(1_600_000_000_000 + at_ms), rng: &mut dice })
}

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_millis(ms))
}

/// Carries bytes both ways, in pieces of the given sizes, until nothing moves.
fn settle(a: &mut Side, b: &mut Side, cuts: &[usize]) {
    let mut cuts = cuts.iter().cycle();
    while !a.out.is_empty() || !b.out.is_empty() {
        for a_to_b in [true, false] {
            let (from, to) = if a_to_b { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
            let piece: Vec<u8> = from.out.drain(..from.out.len().min(*cuts.next().unwrap())).collect();
            if !piece.is_empty() {
                to.tell(1, Input::Bytes(&piece));
            }
        }
    }
}

fn connected(ours: &[Capability], theirs: &[Capability]) -> (Side, Side) {
    let (a, b) = (local(1, ours), local(2, theirs));
    let (mut dialler, mut listener) = (Side::dial(&a, &b), Side::accept(&b));
    settle(&mut dialler, &mut listener, &[usize::MAX]);
    (dialler, listener)
}

/// A dialling peer whose every message the test writes.
struct Script {
    writer: FrameWriter,
    reader: FrameReader,
    id: ChatKey,
}

impl Script {
    /// Shakes hands with a listening session and reads its hello.
    fn meet(side: &mut Side, seed: u8) -> Self {
        let mut script = Self::shake(side, seed);
        let hello = script.read(side).unwrap();
        assert_eq!(hello.code, 0);
        script
    }

    fn shake(side: &mut Side, seed: u8) -> Self {
        let key = NodeKey::from(SecretKey::from_slice(&[seed; 32]).unwrap());
        let initiator = Initiator::start(&key, side.session.local.key.id(), &mut TestDice::seeded(9));
        side.tell(0, Input::Bytes(initiator.auth()));
        let Ok(Progress::Done(ack)) = open_ack(&key, &side.out) else { panic!("no ack") };
        let packet: Vec<u8> = side.out.drain(..ack.len).collect();
        let (writer, reader) = initiator.finish(&ack, &packet).into_frames();
        Self { writer, reader, id: *key.id() }
    }

    fn hello(&self, capabilities: &[Capability]) -> Hello {
        Hello::ours(&self.id, "script", 0, capabilities)
    }

    fn say(&mut self, side: &mut Side, code: u64, payload: &[u8]) {
        let frame = self.writer.seal(code, payload).unwrap();
        side.tell(2, Input::Bytes(&frame));
    }

    /// Says hello and begins to compress.
    fn come_up(&mut self, side: &mut Side) {
        let hello = self.hello(WAKU).encode();
        self.say(side, 0, &hello);
        self.writer.compress(true);
        self.reader.decompress(true);
        assert!(side.is_up());
    }

    fn read(&mut self, side: &mut Side) -> Option<Message> {
        self.reader.extend(&mem::take(&mut side.out));
        self.reader.next_message().unwrap()
    }
}

/// A listener that a script has met, with hellos exchanged.
fn scripted() -> (Side, Script) {
    let mut side = Side::accept(&local(2, WAKU));
    let mut script = Script::meet(&mut side, 1);
    script.come_up(&mut side);
    (side, script)
}

/// CLIENT-01, WAKU1-01, WAKU1-13: messages of a subprotocol run over RLPx version 5.
#[test]
fn two_sessions_come_up_and_carry_messages() {
    let (mut a, mut b) = connected(WAKU, WAKU);
    let [Event::Up { peer, hello, capabilities }] = a.events.as_slice() else { panic!("{:?}", a.events) };
    assert_eq!(peer, b.session.local.key.id());
    assert_eq!(hello.client_name, b"Cardinal/test");
    assert_eq!(capabilities.as_slice(), [Shared { capability: Capability::WAKU_1, offset: 16 }]);
    b.events.clear();
    a.tell(3, Input::Send { capability: Capability::WAKU_1, code: 127, payload: b"status" });
    settle(&mut a, &mut b, &[usize::MAX]);
    let payload = b"status".to_vec();
    assert_eq!(b.events, [Event::Message { capability: Capability::WAKU_1, code: 127, payload }]);
}

/// CLIENT-03, WAKU1-72, WAKU1-73: waku/1 is in the hello, and is what is spoken when waku/0 is offered too.
#[test]
fn the_highest_common_version_is_spoken_behind_shh() {
    let all = [Capability::WAKU_0, Capability::WAKU_1, Capability::SHH_6];
    let (mut a, mut b) = connected(&all, &all);
    let Some(Event::Up { capabilities, .. }) = a.events.last() else { panic!() };
    let expected =
        [Shared { capability: Capability::SHH_6, offset: 16 }, Shared { capability: Capability::WAKU_1, offset: 144 }];
    assert_eq!(capabilities.as_slice(), expected);
    a.tell(3, Input::Send { capability: Capability::WAKU_1, code: 0, payload: &[0xc0] });
    settle(&mut a, &mut b, &[usize::MAX]);
    assert!(matches!(b.events.last(), Some(Event::Message { capability: Capability::WAKU_1, code: 0, .. })));
}

/// The first message of a capability is its status: until then a stranger cannot make us hold much.
#[test]
fn a_long_message_is_taken_behind_a_first_short_one_only() {
    let long = vec![0; FIRST_FRAME + 1];
    let (mut side, mut script) = scripted();
    script.say(&mut side, 16, &long);
    assert_eq!(side.down(), Some(DownReason::Frame(FrameError::TooLong { size: long.len() })), "even compressed");
    let (mut side, mut script) = scripted();
    script.say(&mut side, 2, &[0xc0]);
    script.say(&mut side, 16, &long[..FIRST_FRAME]);
    script.say(&mut side, 17, &long);
    assert!(matches!(side.events.last(), Some(Event::Message { code: 1, payload, .. }) if *payload == long));
}

#[test]
fn a_message_that_cannot_be_sent_is_reported() {
    let (mut a, _) = connected(WAKU, WAKU);
    let huge = vec![0; 1 << 24];
    for (capability, code, payload, expected) in [
        (Capability::SHH_6, 0, &[][..], NotSent::NotShared),
        (Capability::WAKU_1, 128, &[], NotSent::CodeOutOfRange),
        (Capability::WAKU_1, 1, &huge, NotSent::TooLong(TooLong { len: 1 << 24 })),
    ] {
        a.tell(3, Input::Send { capability, code, payload });
        assert_eq!(a.events.pop(), Some(Event::NotSent { capability, code, why: expected }));
    }
    let mut early = Side::accept(&local(1, WAKU));
    early.tell(0, Input::Send { capability: Capability::WAKU_1, code: 0, payload: &[] });
    assert!(matches!(early.events.as_slice(), [Event::NotSent { why: NotSent::NotShared, .. }]));
}

#[test]
fn the_handshake_has_five_seconds() {
    let (a, b) = (local(1, WAKU), local(2, WAKU));
    let mut half = Side::accept(&b);
    half.tell(10, Input::Bytes(&[1, 200, 3]));
    let mut without_hello = Side::accept(&b);
    let _ = Script::meet(&mut without_hello, 1);
    for mut side in [Side::dial(&a, &b), Side::accept(&b), half, without_hello] {
        assert_eq!(side.session.wake_at(), Some(at(5000)));
        side.tell(4999, Input::Tick);
        assert_eq!(side.down(), None);
        side.tell(5000, Input::Tick);
        assert_eq!(side.down(), Some(DownReason::HandshakeTimeout));
        assert_eq!(side.session.wake_at(), None);
    }
}

#[test]
fn a_ping_goes_out_every_fifteen_seconds_and_pongs_keep_the_session_up() {
    let (mut a, mut b) = connected(WAKU, WAKU);
    assert_eq!(a.session.wake_at(), Some(at(15_001)));
    for round in 1..10 {
        a.tell(round * 15_001, Input::Tick);
        assert!(!a.out.is_empty(), "a ping");
        let ping = mem::take(&mut a.out);
        b.tell(round * 15_001, Input::Bytes(&ping));
        let pong = mem::take(&mut b.out);
        a.tell(round * 15_001, Input::Bytes(&pong));
        assert!(a.is_up() && a.out.is_empty());
    }
}

#[test]
fn thirty_seconds_without_a_whole_message_end_the_session() {
    let (mut side, mut script) = scripted();
    let frame = script.writer.seal(2, &[0xc0]).unwrap();
    side.tell(20_000, Input::Bytes(&frame[..10]));
    side.tell(30_001, Input::Tick);
    assert_eq!(script.read(&mut side), Some(Message { code: 2, payload: vec![0xc0] }), "a ping");
    side.tell(30_002, Input::Tick);
    assert_eq!(side.down(), Some(DownReason::ReadTimeout), "half a header is no message");
    assert!(side.out.is_empty(), "no farewell");
}

/// Its bytes count for nothing until it is whole, however many there are and whenever they come.
#[test]
fn a_long_frame_that_trickles_in_ends_the_session_after_thirty_seconds() {
    let (mut side, mut script) = scripted();
    script.say(&mut side, 16, &[0xc0]);
    // Bytes that do not compress.
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let long: Vec<u8> = std::iter::repeat_with(&mut byte).take(1 << 20).collect();
    let frame = script.writer.seal(17, &long).unwrap();
    let piece = frame.len() / 64;
    for (second, bytes) in (1..31).zip(frame.chunks(piece)) {
        side.tell(second * 1000, Input::Bytes(bytes));
        side.tell(second * 1000, Input::Tick);
        assert!(side.is_up() && side.session.awaited() >= 1 << 20, "second {second}");
    }
    assert!(side.session.wake_at() <= Some(at(30_002)));
    side.tell(30_002, Input::Tick);
    assert_eq!(side.down(), Some(DownReason::ReadTimeout));
    assert_eq!(side.session.awaited(), 0, "and nothing is kept of it");
}

#[test]
fn a_ping_is_answered_whatever_it_carries() {
    let (mut side, mut script) = scripted();
    script.say(&mut side, 2, b"odd");
    assert_eq!(script.read(&mut side), Some(Message { code: 3, payload: vec![0xc0] }));
}

#[test]
fn a_second_hello_and_unassigned_codes_do_no_harm() {
    let (mut side, mut script) = scripted();
    let hello = script.hello(WAKU).encode();
    for code in [0, 3, 4, 15] {
        script.say(&mut side, code, if code == 0 { &hello } else { b"?" });
    }
    assert!(side.is_up() && side.out.is_empty());
    assert_eq!(side.events.len(), 1, "only Up");
}

#[test]
fn a_code_beyond_every_capability_ends_the_session_without_a_word() {
    let (mut side, mut script) = scripted();
    script.say(&mut side, 16 + 128, &[]);
    assert_eq!(side.down(), Some(DownReason::CodeOutOfRange { code: 144 }));
    assert!(side.out.is_empty());
}

#[test]
fn a_node_does_not_connect_to_itself() {
    let me = local(2, WAKU);
    let mut side = Side::dial(&me, &me);
    assert_eq!(side.down(), Some(DownReason::SelfConnection));
    side.tell(0, Input::Bytes(&[0; 400]));
    assert_eq!(side.events.len(), 1);

    let mut side = Side::accept(&me);
    let mut script = Script::shake(&mut side, 2);
    assert_eq!(side.down(), Some(DownReason::SelfConnection));
    assert_eq!(script.read(&mut side), Some(Message { code: 1, payload: vec![0xc1, 10] }), "instead of a hello, plain");
}

#[test]
fn a_hello_with_another_id_is_refused_with_reason_9() {
    let mut side = Side::accept(&local(2, WAKU));
    let mut script = Script::meet(&mut side, 1);
    let hello = Hello { id: local(3, WAKU).key.id().to_node_id(), ..script.hello(WAKU) };
    script.say(&mut side, 0, &hello.encode());
    assert_eq!(side.down(), Some(DownReason::UnexpectedIdentity));
    script.reader.decompress(true);
    assert_eq!(script.read(&mut side), Some(Message { code: 1, payload: vec![0xc1, 9] }));
}

#[test]
fn a_hello_without_an_id_is_refused_with_reason_7_uncompressed() {
    let mut side = Side::accept(&local(2, WAKU));
    let mut script = Script::meet(&mut side, 1);
    let hello = Hello { id: [0; 64], ..script.hello(WAKU) };
    script.say(&mut side, 0, &hello.encode());
    assert_eq!(side.down(), Some(DownReason::Hello(BadHello::NullIdentity)));
    assert_eq!(script.read(&mut side), Some(Message { code: 1, payload: vec![0xc1, 7] }));
}

#[test]
fn a_peer_that_shares_nothing_is_refused_with_reason_3() {
    let (mut a, b) = connected(&[Capability::WAKU_0], WAKU);
    assert_eq!(b.down(), Some(DownReason::UselessPeer));
    assert_eq!(a.down(), Some(DownReason::UselessPeer), "each finds it out by itself");

    let mut side = Side::accept(&local(2, WAKU));
    let mut script = Script::meet(&mut side, 1);
    let hello = Hello { capabilities: vec![Offer { name: b"les".to_vec(), version: 3 }], ..script.hello(&[]) };
    script.say(&mut side, 0, &hello.encode());
    script.reader.decompress(true);
    assert_eq!(script.read(&mut side), Some(Message { code: 1, payload: vec![0xc1, 3] }));
    a.tell(9, Input::Disconnect(Reason::Quitting));
    assert_eq!(a.events.len(), 1, "down is said once");
}

#[test]
fn a_peer_of_version_4_is_spoken_to_uncompressed() {
    let mut side = Side::accept(&local(2, WAKU));
    let mut script = Script::meet(&mut side, 1);
    let hello = Hello { version: 4, ..script.hello(WAKU) };
    script.say(&mut side, 0, &hello.encode());
    side.tell(2, Input::Send { capability: Capability::WAKU_1, code: 0, payload: b"plain" });
    assert_eq!(script.read(&mut side), Some(Message { code: 16, payload: b"plain".to_vec() }));
    script.say(&mut side, 16, b"plain too");
    assert!(matches!(side.events.last(), Some(Event::Message { payload, .. }) if payload == b"plain too"));
}

/// As the peers do, but for numbers without a name: 17 would end a status-go process.
#[test]
fn a_disconnect_is_echoed_unless_it_is_a_tcp_error_or_has_no_name() {
    for code in 0..20u8 {
        let (mut side, mut script) = scripted();
        script.say(&mut side, 1, &rlp_reason(code));
        let Some(DownReason::Theirs(reason)) = side.down() else { panic!("{:?}", side.events) };
        assert_eq!(reason.code(), u64::from(code));
        let echo = script.read(&mut side).map(|message| message.payload);
        let expected = (code != 1 && !(12..16).contains(&code) && code < 17).then(|| rlp_reason(code));
        assert_eq!(echo, expected, "{code}");
    }
}

fn rlp_reason(code: u8) -> Vec<u8> {
    crate::rlp::list(|w| {
        w.uint(code.into());
    })
}

#[test]
fn a_disconnect_instead_of_a_hello_is_understood() {
    let mut side = Side::accept(&local(2, WAKU));
    let mut script = Script::meet(&mut side, 1);
    script.say(&mut side, 1, &[0xc1, 4]);
    assert!(matches!(side.down(), Some(DownReason::Theirs(reason)) if reason.named() == Some(Reason::TooManyPeers)));
}

#[test]
fn an_uncompressed_refusal_behind_the_hello_is_understood() {
    let (mut side, mut script) = scripted();
    script.writer.compress(false);
    script.say(&mut side, 1, &[0xc1, 4]);
    assert!(matches!(side.down(), Some(DownReason::Theirs(reason)) if reason.named() == Some(Reason::TooManyPeers)));
}

#[test]
fn our_own_farewell_is_compressed_once_hellos_were_exchanged() {
    let (mut side, mut script) = scripted();
    side.tell(5, Input::Disconnect(Reason::Quitting));
    assert_eq!(side.down(), Some(DownReason::Ours(Reason::Quitting)));
    assert_eq!(script.read(&mut side), Some(Message { code: 1, payload: vec![0xc1, 8] }));

    let mut side = Side::accept(&local(2, WAKU));
    let mut script = Script::meet(&mut side, 1);
    side.tell(5, Input::Disconnect(Reason::TooManyPeers));
    assert_eq!(script.read(&mut side), Some(Message { code: 1, payload: vec![0xc1, 4] }));

    let mut side = Side::accept(&local(2, WAKU));
    side.tell(5, Input::Disconnect(Reason::TooManyPeers));
    assert_eq!(side.down(), Some(DownReason::Ours(Reason::TooManyPeers)));
    assert!(side.out.is_empty(), "nobody can read it yet");
}

#[test]
fn the_end_of_the_stream_is_the_end_of_the_session() {
    let (mut side, _) = scripted();
    side.tell(5, Input::Eof);
    assert_eq!(side.down(), Some(DownReason::Closed));
}

#[test]
fn the_first_message_must_be_a_hello_of_two_kib_at_most() {
    let first = |code: u64, payload: &[u8]| {
        let mut side = Side::accept(&local(2, WAKU));
        let mut script = Script::meet(&mut side, 1);
        let frame = script.writer.seal(code, payload).unwrap();
        // The header is enough to refuse what is far too long.
        side.tell(0, Input::Bytes(&frame[..frame.len().min(64)]));
        if side.down().is_none() {
            side.tell(0, Input::Bytes(frame.get(64..).unwrap_or(&[])));
        }
        assert!(side.out.is_empty(), "no farewell");
        side.down().unwrap()
    };
    assert_eq!(first(2, &[0xc0]), DownReason::NoHello { code: 2 });
    assert_eq!(first(16, &[0xc0]), DownReason::NoHello { code: 16 });
    assert_eq!(first(0, &[0; 2049]), DownReason::Hello(BadHello::TooLong));
    assert_eq!(first(0, &[0; 3000]), DownReason::Frame(FrameError::TooLong { size: 3001 }));
    assert_eq!(first(0, &[0; 3000]).name(), "oversized_frame");
    assert!(matches!(first(0, &[0xc0]), DownReason::Hello(BadHello::Malformed(_))));
}

#[test]
fn each_broken_frame_is_named() {
    let broken = |bytes: &dyn Fn(&mut Script) -> Vec<u8>| {
        let (mut side, mut script) = scripted();
        let bytes = bytes(&mut script);
        side.tell(5, Input::Bytes(&bytes));
        assert!(side.out.is_empty(), "no farewell");
        side.down().unwrap().name()
    };
    assert_eq!(broken(&|_| vec![7; 32]), "bad_mac");
    assert_eq!(
        broken(&|script| {
            script.writer.compress(false);
            script.writer.seal(17, &[0xff, 0xff, 0xff, 0x7f, 0, 0]).unwrap()
        }),
        "snappy_bomb"
    );
    assert_eq!(
        broken(&|script| {
            script.writer.compress(false);
            script.writer.seal(17, b"no snappy").unwrap()
        }),
        "bad_snappy"
    );
}

#[test]
fn a_peer_that_does_not_know_our_key_fails_the_handshake() {
    let (a, b, other) = (local(1, WAKU), local(2, WAKU), local(3, WAKU));
    let dialler = Side::dial(&a, &other);
    let mut listener = Side::accept(&b);
    listener.tell(0, Input::Bytes(&dialler.out));
    assert_eq!(listener.down(), Some(DownReason::Handshake(HandshakeError::DoesNotOpen)));
    assert_eq!(listener.down().unwrap().name(), "bad_handshake");
    assert!(listener.out.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_pieces_carry_any_messages(
        cuts in prop::collection::vec(1..400usize, 1..8),
        messages in prop::collection::vec((0..128u64, prop::collection::vec(any::<u8>(), 0..900)), 0..8),
    ) {
        let (a, b) = (local(1, WAKU), local(2, WAKU));
        let (mut dialler, mut listener) = (Side::dial(&a, &b), Side::accept(&b));
        settle(&mut dialler, &mut listener, &cuts);
        prop_assert!(dialler.is_up() && listener.is_up());
        for (code, payload) in &messages {
            dialler.tell(1, Input::Send { capability: Capability::WAKU_1, code: *code, payload });
            listener.tell(1, Input::Send { capability: Capability::WAKU_1, code: *code, payload });
        }
        settle(&mut dialler, &mut listener, &cuts);
        for side in [dialler, listener] {
            let got: Vec<_> = side.events.into_iter().skip(1).map(|event| match event {
                Event::Message { code, payload, .. } => (code, payload),
                other => panic!("{other:?}"),
            }).collect();
            prop_assert_eq!(&got, &messages);
        }
    }

    #[test]
    fn nonsense_ends_a_session_once_and_never_more(
        phase in 0..3u8,
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..6),
    ) {
        let mut side = match phase {
            0 => Side::accept(&local(2, WAKU)),
            1 => Side::dial(&local(2, WAKU), &local(1, WAKU)),
            _ => scripted().0,
        };
        for piece in &pieces {
            side.tell(3, Input::Bytes(piece));
        }
        side.tell(40_000, Input::Tick);
        side.tell(40_001, Input::Eof);
        let downs = side.events.iter().filter(|event| matches!(event, Event::Down(_))).count();
        prop_assert_eq!(downs, 1);
        prop_assert!(side.down().is_some(), "and nothing behind it");
        prop_assert_eq!(side.session.wake_at(), None);
    }

    #[test]
    fn a_flipped_bit_anywhere_never_reaches_a_message(at in 0..4000usize, bit in 0..8u8) {
        let (a, b) = (local(1, WAKU), local(2, WAKU));
        let (mut dialler, mut listener) = (Side::dial(&a, &b), Side::accept(&b));
        let (mut sent, mut told) = (0, 0);
        for round in 0..8u64 {
            if dialler.is_up() {
                dialler.tell(1, Input::Send { capability: Capability::WAKU_1, code: round, payload: &[7; 300] });
                told += 1;
            }
            let mut bytes = mem::take(&mut dialler.out);
            if (sent..sent + bytes.len()).contains(&at) {
                bytes[at - sent] ^= 1 << bit;
            }
            sent += bytes.len();
            listener.tell(1, Input::Bytes(&bytes));
            let back = mem::take(&mut listener.out);
            dialler.tell(1, Input::Bytes(&back));
        }
        let payloads: Vec<_> = listener.events.iter().filter_map(|event| match event {
            Event::Message { code, payload, .. } => Some((*code, payload.as_slice())),
            _ => None,
        }).collect();
        prop_assert!(payloads.iter().all(|(_, payload)| *payload == [7; 300]));
        // A size field whose high bits were flipped may leave the listener waiting for more.
        prop_assert!(at >= sent || listener.down().is_some() || !listener.is_up() || payloads.len() < told);
    }
}
