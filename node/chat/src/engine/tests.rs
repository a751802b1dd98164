use k256::ecdsa::SigningKey;
use proptest::prelude::*;
use prost::Message as _;
use proto::{Digest, RecoverableSignature, pb};
use rand_core::{TryCryptoRng, TryRng};

use super::*;
use crate::clock::ClockError;
use crate::message::MessageError;
use crate::protocol_message::InstallationId;
use crate::wrapper::WrapperError;

/// No part of the engine rolls dice: these would be noticed.
struct NoDice;

impl TryRng for NoDice {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        panic!("dice")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        panic!("dice")
    }

    fn try_fill_bytes(&mut self, _room: &mut [u8]) -> Result<(), Self::Error> {
        panic!("dice")
    }
}

impl TryCryptoRng for NoDice {}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn identity(seed: u8) -> ChatKey {
    ChatKey::from(k256::PublicKey::from(key(seed).verifying_key()))
}

fn demo() -> ChatName {
    ChatName::try_from("demo").unwrap()
}

const START: u64 = 1_600_000_000_000;

/// One person in virtual time: an engine, the key it asks, and the disk it persists to.
struct Person {
    seed: u8,
    engine: Engine,
    disk: State,
    millis: u64,
    /// When there is a holder of the key that answers at once.
    signs: bool,
    asks: Vec<(AskId, Digest)>,
    parcels: Vec<Parcel>,
    events: Vec<Event>,
    /// How many outputs are still completed before the power fails.
    power: Option<usize>,
}

impl Person {
    fn new(seed: u8) -> Self {
        let mut person = Self::resting(seed);
        person.input(Input::Join(demo()));
        person
    }

    fn resting(seed: u8) -> Self {
        let engine = Self::boot(seed, State::default(), START);
        Self {
            seed,
            engine,
            disk: State::default(),
            millis: START,
            signs: true,
            asks: vec![],
            parcels: vec![],
            events: vec![],
            power: None,
        }
    }

    fn boot(seed: u8, disk: State, millis: u64) -> Engine {
        let config = Config { identity: identity(seed), installation: InstallationId::try_from("i").unwrap() };
        Engine::new(config, disk, &turn(millis, &mut NoDice))
    }

    /// The process is gone; what is on disk starts again.
    fn reboot(&mut self) {
        (self.power, self.asks) = (None, vec![]);
        self.engine = Self::boot(self.seed, self.disk.clone(), self.millis);
        self.drain();
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(&mut turn(self.millis, &mut NoDice), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll() {
            match &mut self.power {
                Some(0) => return,
                Some(left) => *left -= 1,
                None => {}
            }
            match output {
                Output::Persist(change) => self.disk.apply(&change),
                Output::Send(parcel) => self.parcels.push(parcel),
                Output::Event(event) => self.events.push(event),
                Output::Ask(id, Ask::Sign(digest)) if self.signs => {
                    let answer = Ok(Answer::Sign(RecoverableSignature::sign(&key(self.seed), &digest)));
                    self.engine.handle(&mut turn(self.millis, &mut NoDice), Input::Answer(id, answer));
                }
                Output::Ask(id, Ask::Sign(digest)) => self.asks.push((id, digest)),
                Output::Ask(..) => panic!("only signatures are asked for"),
            }
        }
    }

    fn out(&self) -> bool {
        self.power == Some(0)
    }

    fn post(&mut self, token: u64, text: &str) {
        self.input(Input::Post { token: Token(token), chat: demo(), text: text.into(), response_to: None });
    }

    fn receive(&mut self, payload: Vec<u8>, signer: Option<ChatKey>) {
        let sent = UnixSecs::new(self.millis / 1000);
        self.input(Input::Received { chat: demo(), payload, signer, sent });
    }

    fn sign(&mut self, (id, digest): (AskId, Digest), seed: u8) {
        self.input(Input::Answer(id, Ok(Answer::Sign(RecoverableSignature::sign(&key(seed), &digest)))));
    }

    fn later(&mut self, duration: Duration) {
        self.millis += u64::try_from(duration.as_millis()).unwrap();
        self.input(Input::Tick);
    }

    fn texts(&self) -> Vec<&str> {
        let messages = self.events.iter().filter_map(|event| match event {
            Event::Message(message) => Some(message.text.as_str()),
            _ => None,
        });
        messages.collect()
    }

    fn refusals(&self) -> Vec<Refused> {
        self.events.iter().filter_map(|event| if let Event::Refused(why) = event { Some(*why) } else { None }).collect()
    }
}

fn turn<'a>(millis: u64, dice: &'a mut NoDice) -> Turn<'a> {
    Turn { now: Instant::from_start(Duration::from_millis(millis - START)), unix: UnixMillis::new(millis), rng: dice }
}

/// A payload that `seed` wrote, spoilt before it was signed and after.
fn payload(
    seed: u8,
    spoil: impl FnOnce(&mut pb::ChatMessage),
    tamper: impl FnOnce(&mut pb::ApplicationMetadataMessage),
) -> Vec<u8> {
    let mut message = pb::ChatMessage {
        clock: START,
        timestamp: START,
        text: "hello".into(),
        chat_id: "demo".into(),
        message_type: 2,
        content_type: 1,
        ..pb::ChatMessage::default()
    };
    spoil(&mut message);
    let payload = message.encode_to_vec();
    let signature = RecoverableSignature::sign(&key(seed), &wrapper::to_sign(&payload));
    let signature = Some(signature.as_bytes().to_vec());
    let mut wrapper = pb::ApplicationMetadataMessage { signature, payload, r#type: 1 };
    tamper(&mut wrapper);
    wrapper.encode_to_vec()
}

#[test]
fn two_people_talk() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    alice.post(7, "hello bob");
    let sent = alice.parcels.pop().unwrap();
    assert_eq!((sent.token, &sent.chat), (Some(Token(7)), &demo()));
    bob.receive(sent.payload, Some(identity(1)));
    bob.post(8, "hello alice");
    alice.receive(bob.parcels.pop().unwrap().payload, Some(identity(2)));
    for person in [&alice, &bob] {
        assert_eq!(person.texts(), ["hello bob", "hello alice"]);
        assert_eq!(person.engine.state(), &person.disk);
    }
    let last = |person: &Person| match person.events.last().unwrap() {
        Event::Message(message) => (message.author, message.own, message.signed, message.clock),
        _ => panic!("no message"),
    };
    assert_eq!(last(&alice), (identity(2), false, true, Lamport::new(START + 1)));
    assert_eq!(last(&bob), (identity(2), true, true, Lamport::new(START + 1)));
}

/// PAY-33, PAY-36: what answers a message has the later clock, however wrong its author's wall clock is.
#[test]
fn an_answer_is_later_than_what_it_answers() {
    let (mut alice, mut bob) = (Person::new(1), Person::new(2));
    alice.millis += 60_000;
    alice.post(1, "from the future");
    bob.receive(alice.parcels.pop().unwrap().payload, None);
    bob.post(2, "already?");
    assert_eq!(bob.disk.chats[&demo()].clock, Lamport::new(START + 60_001));
}

#[test]
fn both_forms_of_a_public_message_are_read() {
    let bare = payload(2, |_| (), |_| ());
    let wrapped =
        protocol_message::seal(&InstallationId::try_from("them").unwrap(), &payload(2, |m| m.clock += 1, |_| ()));
    let mut alice = Person::new(1);
    alice.receive(bare, None);
    alice.receive(wrapped, None);
    assert_eq!(alice.texts(), ["hello", "hello"]);
}

/// PAY-31: the timestamp is the time of writing, not of signing.
#[test]
fn clock_and_message_are_fixed_and_persisted_before_the_signature_is_asked_for() {
    let mut alice = Person::new(1);
    alice.signs = false;
    alice.post(1, "one");
    alice.millis += 5;
    alice.post(2, "two");
    assert_eq!(alice.asks.len(), 2);
    let drafts: Vec<_> = alice.disk.drafts.values().map(|draft| (draft.clock.get(), draft.text.as_str())).collect();
    assert_eq!(drafts, [(START, "one"), (START + 5, "two")]);
    // The slow signer answers late and in another order; nothing about the messages changes.
    alice.millis += 60_000;
    let (one, two) = (alice.asks[0], alice.asks[1]);
    alice.sign(two, 1);
    alice.sign(one, 1);
    assert_eq!(alice.texts(), ["two", "one"]);
    let clocks = alice.events.iter().filter_map(|event| match event {
        Event::Message(message) => Some((message.clock.get(), message.timestamp.get())),
        _ => None,
    });
    assert_eq!(clocks.collect::<Vec<_>>(), [(START + 5, START + 5), (START, START)]);
}

#[test]
fn each_send_follows_the_change_it_depends_on() {
    let mut alice = Person::new(1);
    alice.signs = false;
    alice.engine.handle(
        &mut turn(START, &mut NoDice),
        Input::Post { token: Token(1), chat: demo(), text: "x".into(), response_to: None },
    );
    assert!(matches!(alice.engine.poll(), Some(Output::Persist(Change::Drafted(_)))));
    let Some(Output::Ask(id, Ask::Sign(digest))) = alice.engine.poll() else { panic!("no ask") };
    let answer = Ok(Answer::Sign(RecoverableSignature::sign(&key(1), &digest)));
    alice.engine.handle(&mut turn(START, &mut NoDice), Input::Answer(id, answer));
    let order: Vec<_> = std::iter::from_fn(|| alice.engine.poll())
        .map(|output| match output {
            Output::Persist(Change::Signed(_)) => "persist",
            Output::Send(_) => "send",
            Output::Event(_) => "event",
            _ => "other",
        })
        .collect();
    assert_eq!(order, ["persist", "event", "event", "send"]);
}

#[test]
fn a_signature_by_another_key_is_not_sent() {
    let mut alice = Person::new(1);
    alice.signs = false;
    alice.post(1, "mine");
    let ask = alice.asks[0];
    alice.sign(ask, 2);
    assert!(alice.parcels.is_empty() && alice.disk.drafts.is_empty());
    let why = NotPosted::WrongSignature;
    assert_eq!(alice.events, [Event::NotPosted { token: Some(Token(1)), why }]);
    // The clock stays used: that signature may be somewhere.
    alice.signs = true;
    alice.post(2, "again");
    assert_eq!(alice.disk.chats[&demo()].clock, Lamport::new(START + 1));
}

#[test]
fn a_refusing_or_absent_signer_ends_the_post_with_its_reason() {
    for why in [Refusal::Unavailable, Refusal::Refused] {
        let mut alice = Person::new(1);
        alice.signs = false;
        alice.post(1, "mine");
        alice.input(Input::Answer(alice.asks[0].0, Err(why)));
        assert_eq!(alice.events, [Event::NotPosted { token: Some(Token(1)), why: NotPosted::Signature(why) }]);
        assert!(alice.disk.drafts.is_empty() && alice.parcels.is_empty());
    }
}

#[test]
fn a_silent_signer_is_given_up_and_its_late_answer_ignored() {
    let mut alice = Person::new(1);
    alice.signs = false;
    alice.post(1, "mine");
    assert_eq!(alice.engine.wake_at(), Some(Instant::from_start(SIGNING_PATIENCE)));
    alice.later(SIGNING_PATIENCE);
    let why = NotPosted::Signature(Refusal::Expired);
    assert_eq!(alice.events, [Event::NotPosted { token: Some(Token(1)), why }]);
    let ask = alice.asks[0];
    alice.sign(ask, 1);
    assert!(alice.parcels.is_empty() && alice.disk.drafts.is_empty() && alice.engine.wake_at().is_none());
}

#[test]
fn posts_that_wait_for_signatures_are_bounded() {
    let mut alice = Person::new(1);
    alice.signs = false;
    for n in 0..=DRAFTS_LIMIT {
        alice.post(n as u64, "again");
    }
    assert_eq!(alice.disk.drafts.len(), DRAFTS_LIMIT);
    let token = Some(Token(DRAFTS_LIMIT as u64));
    assert_eq!(alice.events, [Event::NotPosted { token, why: NotPosted::TooMany }]);
}

#[test]
fn posts_that_nobody_acknowledges_are_bounded() {
    let mut alice = Person::new(1);
    for n in 0..=UNSENT_LIMIT {
        alice.post(n as u64, "again");
    }
    assert_eq!(alice.disk.unsent.len(), UNSENT_LIMIT);
    let token = Some(Token(UNSENT_LIMIT as u64));
    assert_eq!(alice.events.last(), Some(&Event::NotPosted { token, why: NotPosted::TooMany }));
}

#[test]
fn a_post_that_every_receiver_would_refuse_is_refused_here() {
    let mut alice = Person::new(1);
    alice.post(1, " \u{3000}\n");
    alice.post(2, &"x".repeat(4097));
    alice.input(Input::Post {
        token: Token(3),
        chat: ChatName::try_from("other").unwrap(),
        text: "x".into(),
        response_to: None,
    });
    let why = alice.events.iter().map(|event| match event {
        Event::NotPosted { why, .. } => *why,
        _ => panic!("posted"),
    });
    let [blank, long] = [MessageError::Blank, MessageError::TooLong].map(NotPosted::Text);
    assert_eq!(why.collect::<Vec<_>>(), [blank, long, NotPosted::NotJoined]);
    assert_eq!(alice.disk.chats[&demo()].clock, Lamport::new(0));
}

/// Forged, broken or misdirected: each leaves the state as it was.
#[test]
fn what_breaks_the_rules_changes_nothing() {
    let spoilt: [(Vec<u8>, Refused); 9] = [
        (vec![0xff; 40], WrapperError::Malformed.into()),
        (payload(2, |_| (), |w| w.signature = Some(vec![])), WrapperError::BadSignature.into()),
        (payload(2, |_| (), |w| w.signature = None), WrapperError::NoAuthor.into()),
        (payload(2, |_| (), |w| w.payload = b"\xff".to_vec()), MessageError::Malformed.into()),
        (payload(2, |m| m.clock = 0, |_| ()), MessageError::Clock(ClockError::Zero).into()),
        (payload(2, |m| m.clock += 120_001, |_| ()), MessageError::Clock(ClockError::Ahead).into()),
        (payload(2, |m| m.text = "\u{a0}".into(), |_| ()), MessageError::Blank.into()),
        (payload(2, |m| m.chat_id = "other".into(), |_| ()), Refused::OtherChat),
        (payload(2, |m| m.message_type = 4, |_| ()), MessageError::LocalOnly.into()),
    ];
    let mut alice = Person::new(1);
    let before = alice.disk.clone();
    for (payload, why) in spoilt {
        alice.receive(payload, None);
        assert_eq!(alice.refusals().last(), Some(&why));
        assert!(alice.texts().is_empty());
        assert_eq!((&alice.disk, alice.engine.state()), (&before, &before), "{why}");
    }
}

/// A forger cannot speak as somebody else: a changed text recovers another author.
#[test]
fn a_changed_text_has_another_author() {
    let mut alice = Person::new(1);
    let original = payload(2, |_| (), |_| ());
    let at = original.windows(5).position(|five| five == b"hello").unwrap();
    let mut forged = original;
    forged[at] = b'j';
    alice.receive(forged, Some(identity(2)));
    let author = alice.events.iter().find_map(|event| match event {
        Event::Message(message) => Some(message.author),
        _ => None,
    });
    assert_ne!(author, Some(identity(2)));
}

#[test]
fn what_is_not_for_us_is_ignored_with_its_reason() {
    let mut alice = Person::resting(1);
    alice.receive(payload(2, |_| (), |_| ()), None);
    alice.input(Input::Join(demo()));
    let before = alice.disk.clone();
    alice.receive(payload(2, |_| (), |w| w.r#type = 22), None);
    alice.receive(payload(2, |m| m.message_type = 1, |_| ()), None);
    assert_eq!(alice.disk, before);
    alice.input(Input::Leave(demo()));
    alice.receive(payload(2, |_| (), |_| ()), None);
    let why = [Ignored::NotJoined, Ignored::UnknownType(22), Ignored::Elsewhere, Ignored::NotJoined];
    assert_eq!(alice.events, why.map(Event::Ignored));
}

#[test]
fn a_message_counts_once_however_it_is_wrapped() {
    let mut alice = Person::new(1);
    let first = payload(2, |_| (), |_| ());
    let mut again = first.clone();
    again.extend([0xf8, 0x07, 0x01]); // an unknown field: another id
    alice.receive(first.clone(), None);
    alice.receive(first, None);
    alice.receive(again, None);
    assert_eq!(alice.texts(), ["hello"]);
    alice.reboot();
    alice.receive(payload(2, |_| (), |_| ()), None);
    assert_eq!(alice.texts(), ["hello"]);
}

#[test]
fn our_own_message_that_comes_back_is_recognised() {
    let mut alice = Person::new(1);
    alice.post(1, "hello");
    let echo = alice.parcels[0].payload.clone();
    alice.receive(echo.clone(), Some(identity(1)));
    alice.reboot();
    alice.receive(echo, Some(identity(1)));
    assert_eq!(alice.texts(), ["hello"]);
    assert_eq!(alice.events.iter().filter(|event| **event == Event::Ignored(Ignored::Duplicate)).count(), 2);
    // From another device of ours it is new, and ours.
    alice.receive(payload(1, |m| m.clock += 9, |_| ()), None);
    assert!(matches!(alice.events.last(), Some(Event::Message(message)) if message.own));
}

/// PAY-03: the shell can tell what must not be passed on.
#[test]
fn an_unsigned_message_is_marked() {
    let mut alice = Person::new(1);
    alice.receive(payload(2, |_| (), |w| w.signature = None), Some(identity(2)));
    let Some(Event::Message(message)) = alice.events.last() else { panic!("no message") };
    assert_eq!((message.author, message.signed), (identity(2), false));
}

#[test]
fn a_message_is_sent_again_until_a_peer_has_it() {
    let mut alice = Person::new(1);
    alice.post(1, "anybody?");
    alice.later(ATTEMPT_EVERY);
    assert_eq!(alice.parcels.len(), 2);
    assert_eq!(alice.parcels[0], alice.parcels[1]);
    let id = alice.parcels[0].message;
    alice.input(Input::Delivered(id));
    alice.input(Input::Delivered(id));
    assert_eq!(alice.events.iter().filter(|event| **event == Event::Delivered(id)).count(), 1);
    assert!(alice.disk.unsent.is_empty() && alice.engine.wake_at().is_none());
}

#[test]
fn a_message_that_nobody_takes_is_given_up_and_said_to_be() {
    let mut alice = Person::new(1);
    alice.post(1, "anybody?");
    for _ in 0..ATTEMPTS {
        alice.later(ATTEMPT_EVERY);
    }
    assert_eq!(alice.parcels.len(), ATTEMPTS as usize);
    assert_eq!(alice.events.last(), Some(&Event::Undelivered(alice.parcels[0].message)));
    assert!(alice.disk.unsent.is_empty() && alice.engine.wake_at().is_none());
}

#[test]
fn a_chat_that_is_left_keeps_its_clock() {
    let mut alice = Person::new(1);
    alice.post(1, "one");
    alice.input(Input::Leave(demo()));
    alice.post(2, "nobody hears");
    alice.input(Input::Join(demo()));
    alice.post(3, "two");
    assert_eq!(alice.disk.chats[&demo()].clock, Lamport::new(START + 1));
    assert_eq!(alice.texts(), ["one", "two"]);
}

#[test]
fn chats_are_bounded() {
    let mut alice = Person::resting(1);
    for n in 0..=CHATS_LIMIT {
        alice.input(Input::Join(ChatName::try_from(format!("chat-{n}").as_str()).unwrap()));
    }
    assert_eq!(alice.disk.chats.len(), CHATS_LIMIT);
    assert!(matches!(alice.events.as_slice(), [Event::TooManyChats(_)]));
}

/// The power fails after any output: what was written is sent at last, once for its readers, and no clock is used by
/// two messages.
#[test]
fn a_crash_after_any_output_loses_nothing_and_uses_no_clock_twice() {
    let script = |alice: &mut Person, bob: &mut Person, step: usize| match step {
        0 => alice.post(1, "one"),
        1 => alice.receive(payload(3, |m| m.clock += 50_000, |_| ()), None),
        2 => alice.post(2, "two"),
        3 => alice.later(ATTEMPT_EVERY),
        4 => alice.post(3, "three"),
        _ => {
            let _ = bob;
        }
    };
    for crash_after in 0.. {
        let (mut alice, mut bob) = (Person::new(1), Person::new(2));
        alice.power = Some(crash_after);
        let mut crashed = false;
        for step in 0..5 {
            script(&mut alice, &mut bob, step);
            if alice.out() && !crashed {
                crashed = true;
                alice.millis += 1;
                alice.reboot();
                // The user or the network repeats what had left no trace on the disk.
                if !kept(&alice.disk, step) {
                    script(&mut alice, &mut bob, step);
                }
            }
        }
        for parcel in &alice.parcels {
            bob.receive(parcel.payload.clone(), Some(identity(1)));
        }
        let mut texts = bob.texts();
        texts.sort_unstable();
        assert_eq!(texts, ["one", "three", "two"], "after output {crash_after}");
        let mut clocks: Vec<_> = bob
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Message(message) => Some(message.clock),
                _ => None,
            })
            .collect();
        clocks.sort_unstable();
        clocks.dedup();
        assert_eq!(clocks.len(), 3, "after output {crash_after}");
        assert!(alice.disk.chats[&demo()].clock > Lamport::new(START + 50_000));
        assert_eq!(alice.engine.state(), &alice.disk);
        if !crashed {
            assert!(crash_after > 12, "the script has more outputs than that");
            break;
        }
    }
}

/// Whether the step's message reached the disk: in the chat's clock, if not in a draft or a signed message.
fn kept(disk: &State, step: usize) -> bool {
    let clock = disk.chats[&demo()].clock.get();
    match step {
        0 => clock >= START,
        1 => clock >= START + 50_000,
        2 => clock > START + 50_000,
        4 => clock > START + 50_001,
        _ => true,
    }
}

proptest! {
    #[test]
    fn any_payload_is_taken_without_harm(bytes: Vec<u8>, signed: bool, sent: u64) {
        let mut alice = Person::new(1);
        let before = alice.disk.clone();
        let signer = signed.then(|| identity(2));
        alice.input(Input::Received { chat: demo(), payload: bytes, signer, sent: UnixSecs::new(sent) });
        prop_assert_eq!(&alice.disk, &before);
        prop_assert_eq!(alice.events.len(), 1);
    }

    /// A flipped bit makes it another author's, or nobody's: never a second message of the author.
    #[test]
    fn a_damaged_message_is_nobody_elses_word(at in 0_usize..100, bit in 0_u8..8) {
        let mut bytes = payload(2, |_| (), |_| ());
        prop_assume!(at < bytes.len());
        bytes[at] ^= 1 << bit;
        let mut alice = Person::new(1);
        alice.receive(bytes, None);
        for event in &alice.events {
            if let Event::Message(message) = event {
                prop_assert!(message.author != identity(2));
            }
        }
    }
}
