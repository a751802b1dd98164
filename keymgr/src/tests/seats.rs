//! Several cards at once: sessions that come and go in several readers, and readers that are lent.

use proto::rpc::Fault;
use readers::{ReaderState, Slot, Use};

use super::*;
use crate::cards::access::Access;
use crate::cards::seat::Target;
use crate::cards::uses::Signing;
use crate::error::Mismatch;
use crate::policy::CHAT_PURPOSE;
use crate::reader::view::Seen as Heard;

pub(super) const THERE: &str = "soft:there";

/// A world with two blank cards that the manifest names, one of them in another reader.
pub(super) fn two_cards() -> (World, Reader) {
    let mut world = World::new();
    let other = Reader::with_blank_card();
    world.manifest = manifest(&[world.reader.identity(), other.identity()]);
    world.others.push((THERE.to_owned(), other.clone()));
    (world, other)
}

pub(super) fn named(card: &str) -> Target {
    Target { reader: None, card: Some(card.to_owned()) }
}

pub(super) fn in_reader(reader: &str) -> Target {
    Target { reader: Some(reader.to_owned()), card: None }
}

fn enrol(broker: &mut Broker<Reader, Memory>, target: Target) {
    let puk = Puk::try_from(PUK.as_bytes()).unwrap();
    let enrolling = Enrolling { target, pin: pin(PIN), puk, key: KeySource::Generate };
    broker.provision(enrolling, &why("enrol")).unwrap();
}

/// Both cards enrolled, and neither unlocked.
pub(super) fn both_enrolled(world: &World) -> Broker<Reader, Memory> {
    let mut broker = world.broker();
    enrol(&mut broker, Target::default());
    enrol(&mut broker, in_reader(THERE));
    broker
}

pub(super) fn at(target: Target) -> Unlocking {
    Unlocking { target, ..unlocking(PIN) }
}

/// Asks for a chat key, and returns whose it is.
pub(super) fn export(broker: &mut Broker<Reader, Memory>, target: &Target) -> Result<proto::Fingerprint, BrokerError> {
    let (_, caller) = one_time();
    let exported = broker.in_session(target, |broker| broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE)));
    exported.map(|exported| exported.fingerprint)
}

pub(super) fn fault<V>(result: Result<V, BrokerError>) -> Option<Fault> {
    result.err().map(|error| error.fault())
}

/// The state of every reader that is looked after, by its name.
pub(super) fn states(broker: &Broker<Reader, Memory>) -> Vec<(String, String)> {
    let mut states: Vec<_> = broker.status().seats.into_iter().map(|seat| (seat.reader, seat.state)).collect();
    states.sort();
    states
}

#[test]
fn several_cards_are_unlocked_at_once_each_with_its_own_key_and_lifetime() {
    let (world, other) = two_cards();
    let mut broker = both_enrolled(&world);
    broker.unlock(lasting(PIN, 60), &why("unlock")).map(drop).unwrap_or_else(|error| panic!("{error}"));
    let unlocked = broker.unlock(Unlocking { target: in_reader(THERE), ..lasting(PIN, 600) }, &why("unlock")).unwrap();
    assert_eq!((unlocked.reader.as_str(), unlocked.card, unlocked.seconds), (THERE, card_id(&other), 600));
    let (here, there) = (world.reader.commands(), other.commands());
    let one = export(&mut broker, &in_reader(OWN)).unwrap();
    assert_eq!((world.reader.commands(), other.commands()), (here + 1, there), "the other card was not asked");
    let two = export(&mut broker, &in_reader(THERE)).unwrap();
    assert_ne!(one, two);
    let pins: Vec<_> = broker.enrolment.pinned.all().map(|pins| pins.chat).collect();
    assert_eq!(pins, [one, two]);
    // By its label, its id, the beginning of its digits, and its account.
    let id = card_id(&other).to_string();
    let digits = id.split_once(':').unwrap().1.to_owned();
    for name in ["card 1", &id, &digits[..10], &unlocked.key_uid.to_string()] {
        assert_eq!(export(&mut broker, &named(name)).unwrap(), two, "{name}");
    }
    // One lifetime ends, the other does not.
    world.clock.pass(61);
    broker.heed();
    assert_eq!(fault(export(&mut broker, &in_reader(OWN))), Some(Fault::Locked));
    assert_eq!(export(&mut broker, &in_reader(THERE)).unwrap(), two);
    assert_eq!(states(&broker), [(OWN.to_owned(), "present".to_owned()), (THERE.to_owned(), "unlocked".to_owned())]);
    let resets = other.seen().resets;
    assert_eq!(broker.lock_cards(Some(&named("card 1"))).unwrap(), [card_id(&other)]);
    assert_eq!(other.seen().resets, resets + 1);
    assert_eq!(fault(export(&mut broker, &named("card 1"))), Some(Fault::Locked));
    assert_eq!(states(&broker), [(OWN.to_owned(), "present".to_owned())]);
    assert!(world.log.report().is_consistent());
}

#[test]
fn each_card_signs_what_came_of_its_own_operations_and_no_other_gives_that_up() {
    let (world, other) = two_cards();
    let mut broker = both_enrolled(&world);
    for reader in [OWN, THERE] {
        broker.unlock(at(in_reader(reader)), &why("unlock")).unwrap();
    }
    broker.settle();
    let openings = |from: usize| {
        let mut cards = Vec::new();
        audit::read(world.log.bytes().as_slice(), |line| {
            if let audit::Event::ChannelOpened(opened) = &line.event {
                cards.push(opened.card);
            }
        })
        .unwrap();
        cards.split_off(from)
    };
    let before = openings(0).len();
    export(&mut broker, &in_reader(THERE)).unwrap();
    broker.settle();
    assert_eq!(openings(before), [card_id(&other)], "the one that was asked, though another is unlocked");
    for reader in [OWN, THERE] {
        export(&mut broker, &in_reader(reader)).unwrap();
    }
    world.reader.tamper(0, Tamper::Gone);
    broker.settle();
    assert_eq!(openings(before + 1), [card_id(&other)], "though the first one has gone");
    assert!(!broker.owes_signature());
    assert!(world.log.report().is_consistent());
}

#[test]
fn without_a_name_the_only_unlocked_card_is_meant_and_several_are_listed() {
    let (world, other) = two_cards();
    let mut broker = both_enrolled(&world);
    assert_eq!(fault(export(&mut broker, &Target::default())), Some(Fault::Locked));
    broker.unlock(at(in_reader(THERE)), &why("unlock")).unwrap();
    let two = export(&mut broker, &Target::default()).unwrap();
    assert_eq!(broker.status().card, card_id(&other).to_string());
    broker.unlock(at(Target::default()), &why("unlock")).unwrap();
    let (here, there) = (world.reader.commands(), other.commands());
    let error = export(&mut broker, &Target::default()).unwrap_err();
    assert_eq!(error.fault(), Fault::Ambiguous);
    let words = error.to_string();
    assert!(words.contains("--card") && words.contains("card 0") && words.contains("card 1"), "{words}");
    assert_eq!(fault(broker.lock_cards(Some(&Target::default()))), Some(Fault::Ambiguous));
    assert_eq!(fault(export(&mut broker, &named("nobody"))), Some(Fault::NoCard));
    assert_eq!((world.reader.commands(), other.commands()), (here, there), "no card was asked");
    assert_eq!(broker.lock_cards(None).unwrap().len(), 2);
    assert!(broker.lock_cards(None).unwrap().is_empty());
    broker.unlock(at(in_reader(THERE)), &why("unlock")).unwrap();
    assert_eq!(export(&mut broker, &Target::default()).unwrap(), two);
}

/// Whoever enrolled one card means it: no other card's keys go out because it is somewhere else, or locked.
#[test]
fn the_only_enrolled_card_is_found_in_whatever_reader_it_lies() {
    let (mut world, other) = two_cards();
    drop(world.enrolled());
    std::mem::swap(&mut world.reader, &mut world.others[0].1);
    let mut broker = world.broker();
    let unlocked = broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    assert_eq!((unlocked.reader.as_str(), unlocked.card), (THERE, card_id(&world.others[0].1)));
    assert_eq!(card_id(&other), card_id(&world.reader));
    assert_eq!(export(&mut broker, &Target::default()).unwrap(), world.pins().unwrap().chat);
}

#[test]
fn attack_a_card_with_another_key_than_last_time_is_refused_in_every_reader() {
    let (world, other) = two_cards();
    drop(both_enrolled(&world));
    other.factory_reset();
    // Somebody gives it the same PIN and another key.
    let mut elsewhere = World::new();
    elsewhere.reader = other.clone();
    elsewhere.manifest = manifest(&[other.identity()]);
    drop(elsewhere.enrolled());
    let mut broker = world.broker();
    let error = broker.unlock(at(in_reader(THERE)), &why("unlock")).unwrap_err();
    assert!(matches!(error, BrokerError::Mismatch(Mismatch::OtherKey)), "{error}");
    assert_eq!(fault(export(&mut broker, &in_reader(THERE))), Some(Fault::Locked));
    broker.unlock(at(Target::default()), &why("unlock")).unwrap();
    assert!(export(&mut broker, &Target::default()).is_ok());
}

#[test]
fn a_pin_for_each_use_is_good_for_one_use_and_no_longer_than_the_managers_own_limit() {
    let mut world = World::new();
    world.pin_lifetime = Some(Duration::from_secs(30));
    let mut broker = world.enrolled();
    let once = || Unlocking { validity: Validity { seconds: 0, each_use: true }, ..unlocking(PIN) };
    let unlocked = broker.unlock(once(), &why("unlock")).unwrap();
    assert_eq!(unlocked.seconds, 30);
    assert!(broker.status().seats[0].each_use);
    // What is refused is no use, and neither is a question about the card.
    let (_, caller) = one_time();
    let refused = broker.in_session(&Target::default(), |broker| {
        broker.export_private(path("m/44'/60'/0'/0/0"), &caller, &why("x")).map(drop)
    });
    assert_eq!(fault(refused), Some(Fault::Refused));
    broker.card_info().unwrap();
    let resets = world.reader.seen().resets;
    export(&mut broker, &Target::default()).unwrap();
    assert_eq!(world.reader.seen().resets, resets + 1);
    assert_eq!(fault(export(&mut broker, &Target::default())), Some(Fault::Locked));
    broker.unlock(once(), &why("unlock")).unwrap();
    world.clock.pass(30);
    broker.heed();
    assert_eq!(fault(export(&mut broker, &Target::default())), Some(Fault::Locked));
}

/// The same card in two readers is no card of ours: one of them is a copy.
#[test]
fn a_card_that_lies_in_two_readers_is_told_apart_by_them() {
    let mut world = World::new();
    world.others.push((THERE.to_owned(), world.reader.clone()));
    let mut broker = world.enrolled();
    let id = card_id(&world.reader).to_string();
    let error = broker.unlock(at(named(&id)), &why("unlock")).unwrap_err();
    let words = error.to_string();
    assert_eq!(error.fault(), Fault::Ambiguous);
    assert!(words.contains("--reader") && words.contains(OWN) && words.contains(THERE), "{words}");
}

#[test]
fn a_lent_reader_is_let_go_and_whoever_asks_is_told_who_has_it() {
    let (world, other) = two_cards();
    let mut broker = both_enrolled(&world);
    broker.unlock(at(Target::default()), &why("unlock")).unwrap();
    broker.unlock(at(in_reader(THERE)), &why("unlock")).unwrap();
    let resets = other.seen().resets;
    let lent = broker.lend(&named("card 1"), 600, &why("gpg")).unwrap();
    assert_eq!((lent.reader.as_str(), lent.card, lent.seconds), (THERE, Some(card_id(&other)), 600));
    assert!(other.seen().resets > resets);
    let commands = other.commands();
    for error in [
        export(&mut broker, &in_reader(THERE)).unwrap_err(),
        export(&mut broker, &named("card 1")).unwrap_err(),
        broker.unlock(at(in_reader(THERE)), &why("unlock")).unwrap_err(),
        broker.describe(&in_reader(THERE)).map(drop).unwrap_err(),
        broker.lend(&in_reader(THERE), 60, &why("again")).unwrap_err(),
    ] {
        let words = error.to_string();
        assert_eq!(error.fault(), Fault::Lent, "{words}");
        assert!(words.contains("gpg") && words.contains("uid ") && words.contains("s more"), "{words}");
    }
    let seat = broker.status().seats.into_iter().find(|seat| seat.reader == THERE).unwrap();
    assert_eq!((seat.state.as_str(), seat.purpose.as_str(), seat.seconds_left), ("lent", "gpg", 600));
    // The other card is not concerned.
    export(&mut broker, &Target::default()).unwrap();
    assert_eq!(other.commands(), commands, "nothing was sent to it");
    let returned = broker.take_back(&Target::default(), &why("take back")).unwrap();
    assert_eq!((returned.card, returned.changes.as_slice()), (Some(card_id(&other)), [].as_slice()));
    broker.unlock(at(in_reader(THERE)), &why("unlock")).unwrap();
    export(&mut broker, &in_reader(THERE)).unwrap();
    let story = world.log.story();
    assert!(story.iter().any(|line| line.contains("lends for 600 s the reader")), "{story:?}");
    assert!(story.iter().any(|line| line.contains("takes back the reader")), "{story:?}");
    assert!(broker.take_back(&Target::default(), &why("take back")).is_err(), "it is not lent");
}

#[test]
fn a_loan_ends_by_itself_and_what_became_of_the_card_is_told() {
    let world = World::new();
    let mut broker = world.unlocked();
    broker.lend(&Target::default(), 60, &why("wallet")).unwrap();
    world.clock.pass(59);
    broker.heed();
    assert_eq!(fault(broker.card_info()), Some(Fault::Lent));
    world.clock.pass(1);
    broker.heed();
    assert_eq!(states(&broker), [(OWN.to_owned(), "present".to_owned())]);
    assert!(world.log.story().iter().any(|line| line.contains("takes back the reader")));
    assert_eq!(fault(export(&mut broker, &Target::default())), Some(Fault::Locked), "it comes back locked");
    // What somebody did to it meanwhile.
    for (done, told) in [(true, "blank"), (false, "does not answer")] {
        broker.lend(&Target::default(), 0, &why("wallet")).unwrap();
        if done {
            world.reader.factory_reset()
        } else {
            world.reader.draw()
        }
        let returned = broker.take_back(&Target::default(), &why("take back")).unwrap();
        assert!(returned.changes.iter().any(|change| change.contains(told)), "{returned:?}");
    }
}

#[test]
fn the_end_of_a_loan_is_told_as_soon_as_the_log_can_be_written_again() {
    let world = World::new();
    let mut broker = world.unlocked();
    broker.lend(&Target::default(), 60, &why("wallet")).unwrap();
    world.clock.pass(60);
    world.log.full_after(0);
    broker.heed();
    assert_eq!(
        states(&broker),
        [(OWN.to_owned(), "present".to_owned())],
        "it is no longer its borrower's all the same"
    );
    let told =
        || world.log.story().into_iter().filter(|line| line.contains("takes back the reader")).collect::<Vec<_>>();
    assert_eq!(told(), [""; 0]);
    for _ in 0..2 {
        broker.heed();
        assert!(told().len() == 1 && told()[0].contains("the time is over"), "{:?}", told());
    }
}

/// Both cards enrolled, under a policy that lets our user have the chat key of the second one, and sign with it.
fn second_card_only() -> (World, Reader, Broker<Reader, Memory>) {
    let (world, other) = two_cards();
    allow(&world, CHAT, "private");
    allow(&world, CHAT, "sign");
    let file = world.dir.path().join("policy.toml");
    let policy = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, policy.replace("purposes =", "cards = [\"card 1\"]\npurposes =")).unwrap();
    let broker = both_enrolled(&world);
    (world, other, broker)
}

#[test]
fn attack_a_rule_for_one_card_gives_nothing_of_another_that_is_unlocked_beside_it() {
    let (world, other, mut broker) = second_card_only();
    assert_eq!(fault(export(&mut broker, &Target::default())), Some(Fault::Locked), "nobody knows yet which is meant");
    for reader in [OWN, THERE] {
        broker.unlock(at(in_reader(reader)), &why("unlock")).unwrap();
    }
    let (here, there) = (world.reader.commands(), other.commands());
    let refused = export(&mut broker, &in_reader(OWN)).unwrap_err();
    assert_eq!((refused.fault(), world.reader.commands()), (Fault::Refused, here));
    assert!(refused.to_string().contains("card 1") && refused.to_string().contains("card 0"), "{refused}");
    export(&mut broker, &in_reader(THERE)).unwrap();
    assert!(other.commands() > there);
    // With a PIN that comes along it is the card in the reader, which is looked at first.
    let sign = |broker: &mut Broker<Reader, Memory>, target: Target| {
        let access = Access { target, contact: Default::default(), pin: Some(pin(PIN)), last_try: false };
        let signing = Signing { path: path(CHAT), hash: proto::Digest::from([7; 32]), schnorr: false, tweak: None };
        broker.card_sign(access, signing, &why("x"))
    };
    assert_eq!(fault(sign(&mut broker, in_reader(OWN))), Some(Fault::Refused));
    assert_eq!(fault(sign(&mut broker, Target::default())), Some(Fault::Refused));
    sign(&mut broker, in_reader(THERE)).unwrap();
    assert!(world.log.report().is_consistent());
}

#[test]
fn attack_a_client_hears_nothing_of_cards_that_no_rule_lets_it_use() {
    let (_world, other, mut broker) = second_card_only();
    let ours = rustix::process::geteuid().as_raw();
    for reader in [OWN, THERE] {
        broker.unlock(at(in_reader(reader)), &why("unlock")).unwrap();
    }
    let status = broker.status_for(ours);
    assert_eq!(status.seats.iter().map(|seat| seat.reader.as_str()).collect::<Vec<_>>(), [THERE]);
    assert_eq!((status.card, status.label.as_str(), status.unlocked), (card_id(&other).to_string(), "card 1", true));
    let nobody = broker.status_for(ours + 1);
    assert!(nobody.seats.is_empty() && nobody.card.is_empty() && !nobody.unlocked && !nobody.enrolled);
    assert_eq!(broker.status().seats.len(), 2, "its owner hears of all");
    // Who has a reader is nobody's business either; a reader without a card is told as before.
    broker.lend(&in_reader(OWN), 60, &why("wallet")).unwrap();
    assert!(broker.status_for(ours).seats.iter().all(|seat| seat.reader == THERE));
    broker.take_back(&in_reader(OWN), &why("take back")).unwrap();
    assert_eq!(broker.status_for(ours).seats.len(), 2);
}

#[test]
fn a_loan_ends_with_its_manager_and_the_log_says_so() {
    let (world, other) = two_cards();
    let mut broker = both_enrolled(&world);
    broker.lend(&Target::default(), 600, &why("gpg")).unwrap();
    broker.lend(&in_reader(THERE), 600, &why("wallet")).unwrap();
    let (here, there) = (world.reader.commands(), other.commands());
    drop(broker);
    assert_eq!((world.reader.commands(), other.commands()), (here, there), "nothing is said to a reader that is lent");
    let ends = |line: &String| line.contains("takes back the reader") && line.contains("the key manager stops");
    assert_eq!(world.log.story().iter().filter(|line| ends(line)).count(), 2, "{:?}", world.log.story());
}

#[test]
fn a_reader_is_not_lent_when_the_log_cannot_tell() {
    let world = World::new();
    let mut broker = world.enrolled();
    broker.settle();
    world.log.full_after(0);
    assert_eq!(fault(broker.lend(&Target::default(), 60, &why("wallet"))), Some(Fault::LogUnwritable));
    assert_eq!(states(&broker), [(OWN.to_owned(), "present".to_owned())]);
}

/// The borrower would have the validated PIN of a card that was not reset.
#[test]
fn attack_a_reader_whose_card_cannot_be_reset_is_not_lent() {
    let world = World::new();
    let mut broker = world.enrolled();
    broker.unlock(at(Target::default()), &why("unlock")).unwrap();
    world.reader.seen().stuck = true;
    assert_eq!(fault(broker.lend(&Target::default(), 60, &why("wallet"))), Some(Fault::ReaderFailed));
    world.reader.seen().stuck = false;
    let resets = world.reader.seen().resets;
    broker.lend(&Target::default(), 60, &why("wallet")).unwrap();
    assert!(world.reader.seen().resets > resets);
}

/// A world whose own reader is one that cards come to and go from.
fn plugged() -> (World, Heard) {
    let mut world = World::new();
    world.own = "pcsc:A".to_owned();
    (world, Heard::default())
}

fn hear(heard: &Heard, readers: &[(&str, bool)]) {
    let state = |(name, card): &(&str, bool)| ReaderState {
        name: (*name).to_owned(),
        slot: if *card { Slot::Card { atr: vec![0x3b], used: Use::Free } } else { Slot::Empty },
        events: 0,
    };
    heard.hear(Some(readers.iter().map(state).collect()));
}

fn phase(broker: &Broker<Reader, Memory>) -> String {
    broker.status().seats[0].state.clone()
}

/// All that is missing after a card was put back is its PIN.
#[test]
fn a_pin_never_survives_removal_and_a_card_that_is_back_has_an_open_channel() {
    let (world, heard) = plugged();
    let mut broker = world.unlocked();
    broker.listen(heard.clone());
    hear(&heard, &[("A", true)]);
    broker.heed();
    assert_eq!(phase(&broker), "unlocked");
    for (gone, state) in [(Some(vec![("A", false)]), "empty"), (Some(vec![]), "absent"), (None, "absent")] {
        world.reader.draw();
        match &gone {
            Some(readers) => hear(&heard, readers),
            None => heard.hear(None),
        }
        broker.heed();
        assert_eq!(phase(&broker), state);
        assert_eq!(fault(export(&mut broker, &Target::default())), Some(Fault::Locked));
        world.reader.insert();
        let (commands, entries) = (world.reader.commands(), world.log.report().entries());
        hear(&heard, &[("A", true)]);
        broker.heed();
        assert_eq!(phase(&broker), "recognised");
        assert_eq!(world.log.report().entries(), entries + 1, "the opening of the channel");
        assert!(world.reader.commands() > commands);
        assert_eq!(fault(export(&mut broker, &Target::default())), Some(Fault::Locked));
        let before = world.log.story();
        broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
        let opened = world.log.story().split_off(before.len());
        assert!(!opened.iter().any(|line| line.contains("channel")), "no other opening: {opened:?}");
        export(&mut broker, &Target::default()).unwrap();
    }
    // A card that is not unlocked is not held for ever.
    broker.lock();
    hear(&heard, &[("A", false)]);
    broker.heed();
    hear(&heard, &[("A", true)]);
    broker.heed();
    assert_eq!(phase(&broker), "recognised");
    world.clock.pass(300);
    broker.heed();
    assert_eq!(phase(&broker), "present");
    assert!(world.log.report().is_consistent());
}

/// It was drawn and put back between two looks at the readers.
#[test]
fn attack_a_card_that_was_swapped_unseen_has_no_session() {
    let (world, heard) = plugged();
    let mut broker = world.unlocked();
    broker.listen(heard.clone());
    world.reader.draw();
    world.reader.insert();
    hear(&heard, &[("A", true)]);
    broker.heed();
    assert_eq!(phase(&broker), "recognised");
    assert_eq!(fault(export(&mut broker, &Target::default())), Some(Fault::Locked));
}

#[test]
fn a_strange_card_is_let_be_and_what_was_heard_before_a_session_does_not_end_it() {
    let (mut world, heard) = plugged();
    drop(world.enrolled());
    let own = std::mem::replace(&mut world.reader, Reader::with_blank_card());
    let mut broker = world.broker();
    broker.listen(heard.clone());
    hear(&heard, &[("A", false)]);
    broker.heed();
    hear(&heard, &[("A", true)]);
    broker.heed();
    assert_eq!(phase(&broker), "present");
    drop(broker);
    world.reader = own;
    let mut broker = world.broker();
    broker.listen(heard.clone());
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    hear(&heard, &[("A", false)]);
    broker.heed();
    assert_eq!(phase(&broker), "unlocked", "its reader knows better");
}

#[test]
fn a_reader_that_fails_in_a_session_is_lost_until_it_is_seen_again() {
    let (world, heard) = plugged();
    let mut broker = world.unlocked();
    broker.settle();
    broker.listen(heard.clone());
    world.reader.tamper(0, Tamper::Gone);
    assert_eq!(fault(export(&mut broker, &Target::default())), Some(Fault::NoCard));
    assert_eq!(phase(&broker), "lost");
    broker.card_info().unwrap();
    assert_eq!(phase(&broker), "present", "its card answers");
    world.reader.tamper(0, Tamper::Gone);
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap_err();
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    broker.settle();
    world.reader.tamper(0, Tamper::Gone);
    assert_eq!(fault(export(&mut broker, &Target::default())), Some(Fault::NoCard));
    hear(&heard, &[("A", true)]);
    broker.heed();
    assert_eq!(phase(&broker), "recognised");
}

/// Runs the test below in a process of its own, where nothing else counts.
#[test]
fn ten_thousand_insertions_and_removals_lose_nothing() {
    let own = std::env::current_exe().unwrap();
    let name = "tests::seats::ten_thousand_insertions_and_removals";
    let output = std::process::Command::new(own).args([name, "--exact", "--ignored", "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{trouble}");
    println!("{said}");
}

#[test]
#[ignore = "runs in a process of its own"]
fn ten_thousand_insertions_and_removals() {
    const CYCLES: u64 = 10_000;
    let (mut world, heard) = plugged();
    let other = Reader::with_blank_card();
    world.manifest = manifest(&[world.reader.identity(), other.identity()]);
    world.others.push((THERE.to_owned(), other.clone()));
    let mut broker = both_enrolled(&world);
    broker.listen(heard.clone());
    // A session in another reader that goes on all the while.
    broker.unlock(at(in_reader(THERE)), &why("unlock")).unwrap();
    let kept = export(&mut broker, &in_reader(THERE)).unwrap();
    let entries = world.log.report().entries();
    world.reader.draw();
    hear(&heard, &[("A", false)]);
    broker.heed();
    let mut cycle = |n: u64| {
        world.reader.insert();
        hear(&heard, &[("A", true)]);
        broker.heed();
        assert_eq!(phase(&broker), "recognised", "cycle {n}");
        if n.is_multiple_of(100) {
            broker.unlock(at(in_reader("pcsc:A")), &why("unlock")).unwrap();
            export(&mut broker, &in_reader("pcsc:A")).unwrap();
            broker.settle();
        }
        world.reader.draw();
        let gone = if n.is_multiple_of(3) { vec![] } else { vec![("A", false)] };
        hear(&heard, &gone);
        broker.heed();
        assert!(matches!(phase(&broker).as_str(), "empty" | "absent"), "cycle {n}");
    };
    (0..100).for_each(&mut cycle);
    let before = (threads(), descriptors());
    let (memory, log) = (resident(), world.log.bytes().len());
    (100..CYCLES).for_each(&mut cycle);
    assert_eq!((threads(), descriptors()), before);
    let grown = resident().saturating_sub(memory);
    // The log is in memory here, and a vector that grows has up to twice its size.
    let allowed = 2 * (world.log.bytes().len() - log) + (4 << 20);
    assert!(grown < allowed, "{grown} bytes more, of which the log may have {allowed}");
    assert_eq!(export(&mut broker, &in_reader(THERE)).unwrap(), kept, "the session in the other reader goes on");
    assert_eq!(broker.status().seats.len(), 2);
    let report = world.log.report();
    assert!(report.is_consistent() && report.unknown.is_empty());
    let mut openings = 0;
    audit::read(world.log.bytes().as_slice(), |line| {
        openings += u64::from(line.seq > entries && matches!(line.event, audit::Event::ChannelOpened(_)));
    })
    .unwrap();
    assert!(openings >= CYCLES, "{openings} openings of {CYCLES} insertions are in the log");
    println!("{CYCLES} cycles, {} lines, {grown} bytes more", report.entries() - entries);
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Over the socket: both cards are unlocked, each request says which it means, and a reader is lent and comes back.
#[tokio::test]
async fn requests_over_the_socket_name_the_card_that_they_mean() {
    use proto::rpc::api::cards_client::CardsClient;
    use proto::rpc::api::{
        CardTarget, ExportPrivateRequest, KeymgrStatusRequest, LendRequest, LockRequest, TakeBackRequest, UnlockRequest,
    };
    use proto::rpc::{SealingKey, seal, socket};

    let (world, other) = two_cards();
    drop(both_enrolled(&world));
    let mut running = service::Running::start(&world).await;
    let path = world.dir.path().join("run").join("keymgr.sock");
    let mut cards = CardsClient::new(socket::connect(&path).await.unwrap());
    let named = |card: &str| Some(CardTarget { card: card.to_owned(), ..CardTarget::default() });
    for card in ["card 0", "card 1"] {
        let pin = Some(running.sealed(seal::PIN, PIN).await);
        let request = UnlockRequest { pin, seconds: 600, target: named(card), ..UnlockRequest::default() };
        let reply = running.client.unlock(request).await.unwrap().into_inner();
        assert!(reply.seconds_left > 590 && reply.seconds_left <= 600);
    }
    let mut export = async |target| {
        let ours = SealingKey::generate(&mut dice());
        let request = ExportPrivateRequest {
            path: CHAT.to_owned(),
            purpose: CHAT_PURPOSE.to_owned(),
            caller: ours.public().to_vec(),
            target,
        };
        running.client.export_private(request).await.map(|reply| reply.into_inner().fingerprint)
    };
    let (one, two) = (export(named("card 0")).await.unwrap(), export(named("card 1")).await.unwrap());
    assert_ne!(one, two);
    let unnamed = export(None).await.unwrap_err();
    assert_eq!(Fault::of(&unnamed), Some(Fault::Ambiguous), "{unnamed}");
    let purpose = "wallet".to_owned();
    let lent = cards.lend(LendRequest { target: named("card 1"), seconds: 60, purpose }).await.unwrap().into_inner();
    assert_eq!((lent.reader.as_str(), lent.card), (THERE, card_id(&other).to_string()));
    let refused = export(named("card 1")).await.unwrap_err();
    assert_eq!(Fault::of(&refused), Some(Fault::Lent), "{refused}");
    assert_eq!(export(named("card 0")).await.unwrap(), one, "the other card is not concerned");
    let seats = running.client.status(KeymgrStatusRequest {}).await.unwrap().into_inner().seats;
    let told: Vec<_> = seats.iter().map(|seat| (seat.reader.as_str(), seat.state.as_str())).collect();
    assert_eq!(told, [(OWN, "unlocked"), (THERE, "lent")]);
    assert!(seats.iter().all(|seat| seat.holder.starts_with("uid ") && seat.seconds_left > 0));
    let back = cards.take_back(TakeBackRequest::default()).await.unwrap().into_inner();
    assert_eq!((back.reader.as_str(), back.changes.len()), (THERE, 0));
    let locked = running.client.lock(LockRequest { all: true, ..LockRequest::default() }).await.unwrap().into_inner();
    assert_eq!(locked.cards, [card_id(&world.reader).to_string()]);
    drop(cards);
    running.stop().await;
    assert!(world.log.report().is_consistent());
}

#[test]
fn attack_a_request_that_no_card_was_asked_for_leaves_the_session_as_it_is() {
    let world = World::new();
    let mut broker = world.enrolled();
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    let version = keycard::Version::V3_0;
    for error in [
        keycard::CardError::Misuse { what: "BIP-85 gives 1 to 64 bytes" },
        keycard::CardError::Unsupported { command: "ECDH", version },
    ] {
        broker.after(&error.into());
        assert!(broker.seat.is_unlocked());
    }
    broker.after(&keycard::CardError::Impostor.into());
    assert!(!broker.seat.is_unlocked());
}
