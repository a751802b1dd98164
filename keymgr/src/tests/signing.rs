//! Heads that cards sign after outcomes: when they are asked, what the log says then, and what when they cannot.

use audit::{Event, Line};
use softcard::Model;

use super::*;
use crate::cards::init::Initialising;
use crate::cards::key::Source;
use crate::cards::seat::Target;
use crate::cards::vouch::Contact;
use crate::policy::CHAT_PURPOSE;

type Manager = Broker<Reader, Memory>;

fn lines(log: &Memory) -> Vec<Line> {
    let mut lines = Vec::new();
    assert_eq!(audit::read(log.bytes().as_slice(), |line| lines.push(line.clone())).unwrap(), None);
    lines
}

/// What the last lines are.
fn kinds(log: &Memory, last: usize) -> Vec<&'static str> {
    let lines = lines(log);
    let from = lines.len().saturating_sub(last);
    let kind = |line: &Line| match &line.event {
        Event::Intent(_) => "intent",
        Event::Outcome { .. } => "outcome",
        Event::ChannelOpened(_) => "opened",
        Event::PairedChannelOpened(_) => "paired",
        Event::HeadSigned(_) => "signed",
        _ => "other",
    };
    lines[from..].iter().map(kind).collect()
}

fn export(broker: &mut Manager) -> Result<(), BrokerError> {
    let (_, caller) = one_time();
    broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE)).map(drop)
}

/// A card of any generation, initialised, with a key, enrolled as soon as it is unlocked, and unlocked.
fn ready(world: &mut World) -> Manager {
    let mut broker = world.broker();
    let description = broker.describe(&Target::default()).unwrap();
    let contact = Contact { confirm: Some(description.fingerprint).filter(|it| !it.is_empty()), first_pairing: false };
    let initialising = Initialising {
        target: Target::default(),
        contact: contact.clone(),
        pin: pin(PIN),
        puk: Puk::try_from(PUK.as_bytes()).unwrap(),
        duress: None,
        tries: (0, 0),
        pairing_password: None,
    };
    let card = broker.card_init(initialising, &why("card init")).unwrap().card;
    let access = crate::cards::access::Access {
        target: Target { reader: None, card: Some(card.to_string()) },
        contact,
        pin: Some(pin(PIN)),
        last_try: false,
    };
    broker.card_load_key(access, Source::Generate, &why("card key")).unwrap();
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    broker
}

#[test]
fn attack_a_4_0_signs_the_head_again_after_an_export_in_an_opening_that_keeps_the_pin() {
    let world = World::new();
    let mut broker = world.unlocked();
    broker.settle();
    let before = world.log.report().entries();
    export(&mut broker).unwrap();
    assert!(broker.owes_signature());
    assert_eq!(world.log.report().entries(), before + 2, "whoever asked is answered first");
    broker.settle();
    assert_eq!(kinds(&world.log, 3), ["intent", "outcome", "opened"]);
    assert!(!broker.owes_signature() && broker.status().unlocked);
    broker.settle();
    assert_eq!(world.log.report().entries(), before + 3, "one signature is enough");
    export(&mut broker).unwrap();
    assert!(world.log.report().is_consistent(), "each signature speaks of the lines before it");
}

#[test]
fn a_3_1_and_a_3_2_sign_the_head_inside_the_channel_that_is_open() {
    for model in [Model::V3_1, Model::V3_2] {
        let mut world = World::with(model);
        let mut broker = ready(&mut world);
        broker.settle();
        export(&mut broker).unwrap();
        broker.settle();
        assert_eq!(kinds(&world.log, 3), ["intent", "outcome", "signed"], "{model}");
        export(&mut broker).unwrap();
        assert!(broker.status().unlocked && world.log.report().is_consistent());
    }
}

#[test]
fn a_card_that_cannot_sign_is_not_asked() {
    for model in [Model::V2_2, Model::V3_0] {
        let mut world = World::with(model);
        let mut broker = ready(&mut world);
        export(&mut broker).unwrap();
        let commands = world.reader.commands();
        broker.settle();
        broker.lock();
        broker.settle();
        assert_eq!(world.reader.commands(), commands, "{model}");
        assert_eq!(kinds(&world.log, 2), ["intent", "outcome"], "{model}");
    }
}

#[test]
fn no_session_ends_before_what_came_of_it_is_signed() {
    let world = World::new();
    let mut broker = world.unlocked();
    assert_eq!(kinds(&world.log, 1), ["outcome"], "of the unlocking");
    broker.lock();
    assert_eq!(kinds(&world.log, 1), ["opened"]);
    // The PIN's lifetime, a manager that stops, a refusal of the card, an owner's verb.
    let seconds = lasting(PIN, 5);
    broker.unlock(seconds, &why("unlock")).unwrap();
    world.clock.pass(5);
    broker.heed();
    assert_eq!(kinds(&world.log, 2), ["outcome", "opened"]);
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    drop(broker);
    assert_eq!(kinds(&world.log, 2), ["outcome", "opened"]);
    let mut broker = world.broker();
    let access = crate::cards::access::Access {
        target: Target::default(),
        contact: Contact::default(),
        pin: Some(pin(PIN)),
        last_try: false,
    };
    broker.card_remove_key(access, &why("card key")).unwrap();
    assert_eq!(kinds(&world.log, 3), ["intent", "outcome", "opened"]);
    assert!(!broker.owes_signature());
}

#[test]
fn what_leaves_no_session_behind_is_signed_when_the_card_lies_idle() {
    let world = World::new();
    let mut broker = world.broker();
    let (_, caller) = one_time();
    provision(&mut broker, KeySource::Generate).unwrap();
    assert!(broker.owes_signature());
    broker.settle();
    assert_eq!(kinds(&world.log, 3), ["outcome", "other", "opened"], "the enrolment is signed too");
    let target = Target::default();
    broker.card_mnemonic(&target, &Contact::default(), 12, &caller, &why("x")).unwrap();
    assert!(broker.owes_signature());
    broker.settle();
    assert_eq!(kinds(&world.log, 3), ["intent", "outcome", "opened"]);
    // A card that is blank, or gone, is asked once.
    broker.card_reset(&target, &card_id(&world.reader).to_string(), &why("x")).unwrap();
    broker.settle();
    assert!(!broker.owes_signature());
    assert_eq!(kinds(&world.log, 2), ["intent", "outcome"]);
}

#[test]
fn a_signature_that_fails_leaves_the_tail_unsigned_and_ends_the_session() {
    for tamper in [Tamper::Gone, Tamper::Cut(1), Tamper::Cut(70), Tamper::Extend(1)] {
        let world = World::new();
        let mut broker = world.unlocked();
        broker.settle();
        export(&mut broker).unwrap();
        let (entries, resets) = (world.log.report().entries(), world.reader.seen().resets);
        world.reader.tamper(0, tamper);
        broker.settle();
        assert!(!broker.status().unlocked);
        assert_eq!(world.reader.seen().resets, resets + 1);
        assert_eq!(world.log.report().entries(), entries, "nothing is said that is not so");
        broker.settle();
        assert_eq!(world.log.report().entries(), entries, "nor asked again and again");
        broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
        assert!(world.log.report().is_consistent(), "the next opening signs it");
    }
}

#[tokio::test]
async fn the_worker_answers_first_and_has_the_head_signed_in_the_lull_after_it() {
    let world = World::new();
    let (worker, mut ended) = crate::worker::Worker::start(world.unlocked()).unwrap();
    for _ in 0..3 {
        worker.ask(export).await.unwrap().unwrap();
        world.log.signed().await;
    }
    let before = world.log.report().entries();
    // What is answered when the manager stops is signed before it does.
    worker.ask(export).await.unwrap().unwrap();
    worker.stop();
    ended.wait().await;
    assert_eq!(world.log.report().entries(), before + 3);
    assert_eq!(kinds(&world.log, 3), ["intent", "outcome", "opened"]);
}

#[test]
fn a_log_that_cannot_be_written_is_not_signed_and_the_session_is_over() {
    let world = World::new();
    let mut broker = world.unlocked();
    world.log.full_after(0);
    broker.settle();
    assert!(!broker.status().unlocked);
    assert_eq!(kinds(&world.log, 1), ["outcome"]);
}
