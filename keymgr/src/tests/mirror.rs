//! The log's head in a card's memory: what it finds, and whose data it never writes over. And statements.

use audit::{Event, STATEMENT_PATH};
use proto::rpc::Fault;

use super::*;
use crate::cards::access::Access;
use crate::cards::known::Duress;
use crate::cards::label::Remember;
use crate::cards::seat::Target;
use crate::cards::slot::Content;
use crate::cards::vouch::Contact;
use crate::mirror::Mirror;
use crate::policy::CHAT_PURPOSE;

fn world() -> World {
    World { mirror: Some(DataSlot::Cash), ..World::new() }
}

/// Another manager on the same card, on another computer.
fn other(world: &World) -> World {
    let manifest = world.manifest.clone();
    World { reader: world.reader.clone(), manifest, mirror: world.mirror, ..World::new() }
}

fn access() -> Access {
    Access { target: Target::default(), contact: Contact::default(), pin: Some(pin(PIN)), last_try: false }
}

fn fault<V>(result: Result<V, BrokerError>) -> Option<Fault> {
    result.err().map(|error| error.fault())
}

fn unlock(broker: &mut Broker<Reader, Memory>) -> Result<(), BrokerError> {
    broker.unlock(unlocking(PIN), &why("unlock")).map(drop)
}

fn found(broker: &mut Broker<Reader, Memory>) -> Mirror {
    broker.mirror(&Target::default()).unwrap().mirror
}

#[test]
fn a_head_becomes_92_bytes_and_comes_back() {
    let hash = audit::LineHash::of(b"x");
    let head = Head { log: LogId::from([9; 16]), entries: 0x0102_0304, hash, root: audit::Root::leaf(&hash) };
    let bytes = Mirror::bytes(&head);
    assert_eq!(bytes.len(), 92);
    assert_eq!(Mirror::read(&bytes), Mirror::Of(head));
    assert_eq!(Mirror::read(&[]), Mirror::Empty);
    for at in 0..92 {
        assert_eq!(Mirror::read(&bytes[..at]), if at == 0 { Mirror::Empty } else { Mirror::Foreign });
    }
    assert_eq!(Mirror::read(&[bytes.as_slice(), &[0]].concat()), Mirror::Foreign);
    let later = [b"CML\x02".as_slice(), &bytes[4..]].concat();
    assert_eq!(Mirror::read(&later), Mirror::Foreign, "of another version");
}

#[test]
fn a_session_leaves_the_head_in_the_cards_memory_recorded_and_signed() {
    let world = world();
    let mut broker = world.unlocked();
    let (_, caller) = one_time();
    broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE)).unwrap();
    let before = world.log.report().head.unwrap();
    broker.lock();
    let story = world.log.story();
    let last: Vec<_> = story.iter().rev().take(3).rev().collect();
    assert!(last[0].contains("store data in its cash slot") && last[0].contains("mirror"), "{last:?}");
    assert!(last[1].contains("entry") && last[2].starts_with("channel to"), "{last:?}");
    assert_eq!(found(&mut broker), Mirror::Of(before));
    assert!(broker.mirror(&Target::default()).unwrap().is_ours);
    // A session in which nothing happened has nothing to keep; an unlocking is something.
    unlock(&mut broker).unwrap();
    drop(broker);
    let mut again = world.broker();
    unlock(&mut again).unwrap();
    assert!(world.log.report().is_consistent());
}

/// Attack list, line 13: two managers on one card.
#[test]
fn attack_two_managers_on_one_card_find_each_other() {
    let ours = world();
    let mut broker = ours.unlocked();
    drop(broker);
    let theirs = other(&ours);
    let mut stranger = theirs.broker();
    let commands = ours.reader.commands();
    assert_eq!(fault(unlock(&mut stranger)), Some(Fault::SecondWriter));
    assert_eq!(ours.reader.commands(), commands + 3, "SELECT, OPEN, GET DATA, and no PIN");
    let error = unlock(&mut stranger).unwrap_err().to_string();
    assert!(error.contains("cardinal audit adopt") && error.contains(&LogId::from([1; 16]).to_string()), "{error}");
    let lines = theirs.log.story();
    assert_eq!(lines.iter().filter(|line| line.contains("remembers log")).count(), 1, "told once: {lines:?}");
    assert!(stranger.card_info().is_ok(), "the service goes on");
    // They go on in spite, which is recorded; then we find them.
    stranger.adopt(&Target::default(), &why("audit adopt")).unwrap();
    unlock(&mut stranger).unwrap();
    drop(stranger);
    assert!(theirs.log.story().iter().any(|line| line.contains("goes on after log")));
    broker = ours.broker();
    assert_eq!(fault(unlock(&mut broker)), Some(Fault::SecondWriter));
    let Mirror::Of(head) = found(&mut broker) else { panic!("a head") };
    assert!(!broker.mirror(&Target::default()).unwrap().is_ours);
    broker.adopt(&Target::default(), &why("audit adopt")).unwrap();
    unlock(&mut broker).unwrap();
    drop(broker);
    let mut told = Vec::new();
    audit::read(ours.log.bytes().as_slice(), |line| {
        if let Event::SecondWriter(writer) = &line.event {
            told.push(writer.found);
        }
    })
    .unwrap();
    assert_eq!(told, [head]);
    assert_eq!(fault(unlock(&mut ours.broker())), None, "the card speaks of this log again");
}

/// A computer on which the log and what stands beside it were set back to before the card's last session.
fn set_back() -> World {
    let mut world = world();
    drop(world.unlocked());
    let old = world.log.copy();
    unlock(&mut world.broker()).unwrap();
    world.log = old;
    world
}

/// Attack list, line 13: a computer is set back, its log and what stands beside it alike.
#[test]
fn attack_a_log_that_was_set_back_shows_at_the_card() {
    let world = set_back();
    let mut broker = world.broker();
    assert_eq!(fault(unlock(&mut broker)), Some(Fault::SecondWriter));
    assert!(world.log.story().last().unwrap().contains("refuses"), "{:?}", world.log.story());
}

/// The same number of entries, and other ones.
#[test]
fn attack_a_log_that_was_set_back_and_went_on_shows_at_the_card() {
    let world = set_back();
    // It grows past the entry of which the card speaks, without the card.
    let mut broker = world.broker();
    for n in 0..20 {
        broker.export_public(path("m"), None, &why(&format!("x{n}"))).err().unwrap();
        world.clock.pass(60);
    }
    assert_eq!(fault(unlock(&mut broker)), Some(Fault::SecondWriter));
}

#[test]
fn what_another_program_keeps_there_is_left_alone() {
    let world = World { mirror: Some(DataSlot::Public), ..World::new() };
    drop(world.enrolled());
    let mut plain = World { reader: world.reader.clone(), manifest: world.manifest.clone(), ..World::new() };
    plain.mirror = None;
    let contents = [Content::Bytes(vec![1, 2, 3]), Content::Metadata("blue".to_owned(), vec![0, 1])];
    for content in contents {
        plain.broker().card_set_data(access(), DataSlot::Public, content, &why("card data")).unwrap();
        let mut broker = world.broker();
        let before = broker.card_data(&Target::default(), &Contact::default(), DataSlot::Public).unwrap();
        unlock(&mut broker).unwrap();
        broker.lock();
        let after = broker.card_data(&Target::default(), &Contact::default(), DataSlot::Public).unwrap();
        assert_eq!(before, after);
        assert_eq!(found(&mut broker), Mirror::Foreign);
        assert_eq!(fault(broker.adopt(&Target::default(), &why("x"))), Some(Fault::BadInput));
    }
}

#[test]
fn a_card_without_data_slots_and_a_manager_without_mirrors_keep_nothing() {
    let world = World { mirror: None, ..World::new() };
    let mut broker = world.unlocked();
    broker.lock();
    assert!(!world.log.story().iter().any(|line| line.contains("cash slot")));
    assert_eq!(fault(broker.mirror(&Target::default())), Some(Fault::BadInput));
}

/// INIT gives a card a new life: what its memory speaks of is of keys that are gone.
#[test]
fn a_card_that_was_blank_is_not_refused_for_what_it_remembers() {
    let first = world();
    drop(first.unlocked());
    first.reader.factory_reset();
    let second = other(&first);
    let mut broker = second.broker();
    provision(&mut broker, KeySource::Generate).unwrap();
    unlock(&mut broker).unwrap();
    drop(broker);
    unlock(&mut second.broker()).unwrap();
}

#[test]
fn a_statement_is_signed_by_its_own_key_over_the_head_and_recorded() {
    let world = World::new();
    let mut broker = world.unlocked();
    let head = world.log.report().head.unwrap();
    let session = Access { pin: None, ..access() };
    let stated = broker.state(session, &why("audit sign")).unwrap();
    assert_eq!((stated.head, stated.entry), (head, head.entries + 3));
    let mut found = None;
    audit::read(world.log.bytes().as_slice(), |line| {
        if let Event::Statement(statement) = &line.event {
            found = Some(statement.clone());
        }
    })
    .unwrap();
    let statement = found.unwrap();
    assert_eq!((statement.intent, statement.salt), (head.entries + 1, head.salt(&statement.random)));
    let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(statement.key.as_bytes()).unwrap();
    let signature = k256::ecdsa::Signature::from_slice(statement.signature.as_bytes()).unwrap();
    use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
    key.verify_prehash(&statement.salt, &signature).unwrap();
    assert!(world.log.story().iter().any(|line| line.contains(STATEMENT_PATH)));
    assert!(world.log.report().is_consistent());
    // With a PIN in a session of its own; and no key tells in a log that must not.
    assert!(broker.state(access(), &why("audit sign")).is_ok());
    let quiet = Remember::Duress(Duress::DecoyQuiet);
    broker.remember(&Target::default(), &Contact::default(), quiet, &why("card settings")).unwrap();
    assert_eq!(fault(broker.state(access(), &why("audit sign"))), Some(Fault::BadInput));
}

#[test]
fn each_head_that_a_card_signed_is_kept_to_be_sent_off() {
    let world = World::new();
    let mut broker = world.unlocked();
    broker.lock();
    let anchors = world.log.anchors();
    assert!(anchors.len() >= 3);
    for anchor in anchors {
        assert_eq!(anchor.line, anchor.head.entries + 1);
        assert_eq!(
            crate::archive::head_at(world.log.bytes().as_slice(), anchor.head.entries).unwrap(),
            Some(anchor.head)
        );
        assert_eq!(anchor.card, Some(card_id(&world.reader)));
    }
}
