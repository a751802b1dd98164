//! What an owner does with cards: each request with software cards of several applets.

use audit::{Asked, DataSlot};
use keycard::Seed;
use proto::rpc::{Fault, seal};
use softcard::Model;
use zeroize::Zeroizing;

use super::*;
use crate::cards::access::Access;
use crate::cards::change::{Change, Unblocking};
use crate::cards::init::{Done, Initialising};
use crate::cards::key::Source;
use crate::cards::known::Duress;
use crate::cards::label::Remember;
use crate::cards::pair::{Form, Pairing, Which};
use crate::cards::seat::Target;
use crate::cards::slot::Content;
use crate::cards::uses::Signing;
use crate::cards::vouch::Contact;
use crate::error::Mismatch;

const NEW_PIN: &str = "271828";
const DURESS: &str = "314159";
pub(super) const PASSWORD: &str = "correct horse";
const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

pub(super) type Manager = Broker<Reader, Memory>;

pub(super) fn fault<V>(result: Result<V, BrokerError>) -> Option<Fault> {
    result.err().map(|error| error.fault())
}

fn puk(digits: &str) -> Puk {
    Puk::try_from(digits.as_bytes()).unwrap()
}

/// The contact of somebody who compared the fingerprint of the card in the manager's reader.
pub(super) fn compared(broker: &mut Manager, target: &Target) -> Contact {
    Contact { confirm: Some(broker.describe(target).unwrap().fingerprint), first_pairing: false }
}

pub(super) fn initialising(contact: Contact) -> Initialising {
    Initialising {
        target: Target::default(),
        contact,
        pin: pin(PIN),
        puk: puk(PUK),
        duress: Some(pin(DURESS)),
        tries: (0, 0),
        pairing_password: Some(Zeroizing::new(PASSWORD.to_owned())),
    }
}

pub(super) fn init(broker: &mut Manager) -> Done {
    let contact = compared(broker, &Target::default());
    broker.card_init(initialising(contact), &why("card init")).unwrap()
}

pub(super) fn access(digits: &str) -> Access {
    Access { target: Target::default(), contact: Contact::default(), pin: Some(pin(digits)), last_try: false }
}

fn session() -> Access {
    Access { pin: None, ..access(PIN) }
}

pub(super) fn load(broker: &mut Manager, digits: &str) -> Result<Done, BrokerError> {
    let words = Mnemonic::parse(WORDS).unwrap();
    let source = Source::Words(words, Zeroizing::default());
    broker.card_load_key(access(digits), source, &why("card key"))
}

pub(super) fn signing(path: &str) -> Signing {
    Signing { path: path.parse().unwrap(), hash: [7; 32].into(), schnorr: false, tweak: None }
}

/// Every kind of card from blank to blank: the way that the issue of a card takes, and its end.
#[test]
fn a_card_of_each_generation_is_initialised_used_changed_unblocked_and_reset() {
    for model in [Model::V3_1, Model::V3_2, Model::V4_0] {
        let world = World::with(model);
        allow(&world, "m/44'/60'/0'/0/0", "sign");
        let mut broker = world.broker();
        let card = init(&mut broker).card;
        let uid = load(&mut broker, PIN).unwrap().key_uid;
        assert!(uid.is_some());
        let signed = broker.card_sign(access(PIN), signing("m/44'/60'/0'/0/0"), &why("x")).unwrap();
        assert_eq!(signed.signature.len(), 65);

        broker.card_change(access(PIN), Change::Pin(pin(NEW_PIN)), &why("change")).unwrap();
        assert_eq!(fault(load(&mut broker, PIN)), Some(Fault::WrongPin));
        for _ in 0..2 {
            world.clock.pass(3600);
            let access = Access { last_try: true, ..access(WRONG) };
            assert!(fault(broker.card_remove_key(access, &why("x"))).is_some());
        }
        world.clock.pass(3600);
        assert_eq!(fault(load(&mut broker, NEW_PIN)), Some(Fault::PinBlocked), "{model}");
        let unblocking = |code: &str| Unblocking {
            target: Target::default(),
            contact: Contact::default(),
            puk: puk(code),
            new_pin: pin(PIN),
            last_try: false,
        };
        assert_eq!(fault(broker.card_unblock(unblocking("999999999999"), &why("unblock"))), Some(Fault::WrongPuk));
        broker.card_unblock(unblocking(PUK), &why("unblock")).unwrap();
        assert_eq!(fault(broker.card_unblock(unblocking(PUK), &why("unblock"))), Some(Fault::BadInput), "not blocked");

        let content = Content::Metadata("blue".to_owned(), vec![0, 1, 2]);
        broker.card_set_data(access(PIN), DataSlot::Public, content, &why("data")).unwrap();
        let stored = broker.card_data(&Target::default(), &Contact::default(), DataSlot::Public).unwrap();
        assert_eq!(stored.metadata, Some(("blue".to_owned(), vec![0..=2])));
        let record = keycard::NdefRecord::Uri("https://example.org".to_owned());
        broker.card_set_data(access(PIN), DataSlot::Ndef, Content::Record(record.clone()), &why("ndef")).unwrap();
        let stored = broker.card_data(&Target::default(), &Contact::default(), DataSlot::Ndef).unwrap();
        assert_eq!(stored.records, [record]);

        broker.card_remove_key(access(PIN), &why("remove")).unwrap();
        assert!(!broker.describe(&Target::default()).unwrap().has_key);

        assert_eq!(fault(broker.card_reset(&Target::default(), "yes", &why("reset"))), Some(Fault::BadInput));
        let erased = broker.card_reset(&Target::default(), &card.to_string(), &why("reset")).unwrap();
        assert_eq!(erased.before, card);
        assert!(!broker.describe(&Target::default()).unwrap().initialised);
        assert_eq!(fault(broker.card_reset(&Target::default(), "x", &why("reset"))), Some(Fault::CardBlank));
        let story = world.log.story().join("\n");
        for told in ["to take PIN and PUK", "to take a seed", "new PIN on the word of the PUK", "to erase everything"] {
            assert!(story.contains(told), "{told}: {story}");
        }
    }
}

/// A log that could not be written is mended while the manager runs, and the reader must be there then.
#[test]
fn an_intent_that_cannot_be_written_leaves_card_and_reader_as_they_were() {
    let world = World::with(Model::V4_0);
    let mut broker = world.broker();
    let card = init(&mut broker).card;
    for _ in 0..3 {
        world.clock.pass(3600);
        let access = Access { last_try: true, ..access(WRONG) };
        assert!(broker.card_remove_key(access, &why("x")).is_err());
    }
    let unblocking = || Unblocking {
        target: Target::default(),
        contact: Contact::default(),
        puk: puk(PUK),
        new_pin: pin(PIN),
        last_try: false,
    };
    // The opening of the channel is the first line.
    world.log.full_after(1);
    assert_eq!(fault(broker.card_unblock(unblocking(), &why("unblock"))), Some(Fault::LogUnwritable));
    broker.card_unblock(unblocking(), &why("unblock")).unwrap();

    world.log.full_after(0);
    let reset = broker.card_reset(&Target::default(), &card.to_string(), &why("reset"));
    assert_eq!(fault(reset), Some(Fault::LogUnwritable));
    assert!(broker.describe(&Target::default()).unwrap().initialised);
    broker.card_reset(&Target::default(), &card.to_string(), &why("reset")).unwrap();
}

#[test]
fn a_card_that_was_erased_and_not_forgotten_is_forgotten_by_its_old_id() {
    for model in [Model::V3_2, Model::V4_0] {
        let world = World::with(model);
        let mut broker = world.broker();
        init(&mut broker);
        let card = load(&mut broker, PIN).unwrap().card;
        world.reader.factory_reset();
        let reset = |broker: &mut Manager, id: &str| broker.card_reset(&Target::default(), id, &why("reset"));
        assert_eq!(fault(reset(&mut broker, "identity:00")), Some(Fault::CardBlank));
        let erased = reset(&mut broker, &card.to_string()).unwrap();
        assert!(erased.before == card && erased.key_uid_before.is_some(), "{model}");
        assert!(broker.cards.pairings.find(&card).is_none());
        assert!(broker.cards.known.find(&card).is_none_or(|known| known.key_uid.is_none()));
        assert!(world.log.story().last().unwrap().starts_with("forgets what was remembered"));
        assert_eq!(fault(reset(&mut broker, &card.to_string())), Some(Fault::CardBlank), "nothing more to forget");
    }
}

#[test]
fn a_wrong_pin_is_told_and_logged_also_when_nothing_can_be_remembered_of_it() {
    let world = World::with(Model::V4_0);
    let mut broker = world.broker();
    init(&mut broker);
    load(&mut broker, PIN).unwrap();
    let known = world.dir.path().join("cards.toml");
    std::fs::remove_file(&known).unwrap();
    std::fs::create_dir_all(known.join("in the way")).unwrap();
    assert_eq!(fault(load(&mut broker, WRONG)), Some(Fault::WrongPin));
    assert!(world.log.story().last().unwrap().contains("wrong PIN"));
}

/// A refusal names the card that was selected, or none: never the enrolled one when another was meant.
#[test]
fn a_refusal_is_about_the_card_that_was_meant() {
    let mut world = World::new();
    let other = Reader::with_model(Model::V4_0);
    world.others.push(("soft:other".to_owned(), other.clone()));
    world.manifest = manifest(&[world.reader.identity(), other.identity()]);
    let mut broker = world.enrolled();
    let there = || Target { reader: Some("soft:other".to_owned()), card: None };
    let contact = Contact::default();
    broker.card_init(Initialising { target: there(), ..initialising(contact) }, &why("init")).unwrap();
    let refused_about = || {
        let mut about = None;
        audit::read(world.log.bytes().as_slice(), |line| {
            if let audit::Event::Refusal(refusal) = &line.event {
                about = Some(refusal.card);
            }
        })
        .unwrap();
        about.unwrap()
    };
    let access = |digits| Access { target: there(), ..access(digits) };
    assert!(broker.card_sign(access(PIN), signing("m/44'/60'/0'/0/0"), &why("x")).is_err());
    assert_eq!(refused_about(), None, "no card was selected");
    assert!(broker.card_remove_key(access(WRONG), &why("x")).is_err());
    assert_eq!(refused_about(), Some(card_id(&other)));
    assert!(broker.card_remove_key(access(PIN), &why("x")).is_err(), "too soon");
    assert_eq!(refused_about(), Some(card_id(&other)));
    // Which keeps nobody from the other card.
    assert!(broker.unlock(unlocking(PIN), &why("unlock")).is_ok());
}

/// DESIGN section 9: on first contact a valid certificate is not enough.
#[test]
fn a_card_for_which_nobody_vouches_gets_no_pin_no_init_and_no_key() {
    for model in [Model::V3_2, Model::V4_0] {
        let world = World::with(model);
        let mut broker = world.broker();
        let refused = broker.card_init(initialising(Contact::default()), &why("x"));
        let fingerprint = broker.describe(&Target::default()).unwrap().fingerprint;
        assert!(refused.as_ref().unwrap_err().to_string().contains(&format!("--confirm {fingerprint}")));
        assert_eq!(fault(refused), Some(Fault::Unvouched));
        let wrong = Contact { confirm: Some("0000-0000-0000-0000".to_owned()), first_pairing: false };
        assert_eq!(fault(broker.card_init(initialising(wrong), &why("x"))), Some(Fault::Unvouched));
        init(&mut broker);
        let known = broker.describe(&Target::default()).unwrap();
        assert_eq!(known.vouched_by, "acquaintance");
        broker.remember(&Target::default(), &Contact::default(), Remember::Forget, &why("settings")).unwrap();
        let commands = world.reader.commands();
        assert_eq!(fault(load(&mut broker, PIN)), Some(Fault::Unvouched));
        assert_eq!(world.reader.commands(), commands + 1, "only SELECT");
        assert!(world.log.story().last().unwrap().contains("nobody vouched"));
    }
}

/// DESIGN section 9, attack 10: a card that is known as 4.0 and looks like 3.x is refused, and the other way round.
#[test]
fn a_card_whose_generation_or_channel_key_changed_is_refused() {
    let world = World::with(Model::V4_0);
    let mut broker = world.broker();
    init(&mut broker);
    let path = world.dir.path().join("cards.toml");
    drop(broker);
    let good = KnownCards::read(&path).unwrap();
    let card = good.all().next().unwrap().clone();
    for generation in [crate::manifest::Generation::V1, crate::manifest::Generation::V2] {
        let mut cards = KnownCards::read(&path).unwrap();
        cards.keep(crate::cards::known::Known { generation, ..card.clone() }).unwrap();
        let mut broker = world.broker();
        let want = (generation == crate::manifest::Generation::V1).then_some(Fault::OtherKey);
        assert_eq!(fault(load(&mut broker, PIN)), want);
    }

    let world = World::with(Model::V3_2);
    let mut broker = world.broker();
    init(&mut broker);
    drop(broker);
    let path = world.dir.path().join("cards.toml");
    let mut cards = KnownCards::read(&path).unwrap();
    let mut other = cards.all().next().unwrap().clone();
    other.channel = Some(one_time().1);
    cards.keep(other).unwrap();
    let error = load(&mut world.broker(), PIN).unwrap_err();
    assert_eq!(error.fault(), Fault::OtherKey);
    assert!(error.to_string().contains("channel key"), "{error}");
}

/// Attack 8 and the leaks that users report: a pairing is on disk before the channel opens, and a lost one is explained.
#[test]
fn a_pairing_outlives_the_manager_and_a_lost_one_is_explained_with_the_way_out() {
    let world = World::with(Model::V3_2);
    let mut broker = world.broker();
    init(&mut broker);
    let free = broker.describe(&Target::default()).unwrap().free_slots();
    drop(broker);
    let mut broker = world.broker();
    load(&mut broker, PIN).unwrap();
    assert_eq!(broker.describe(&Target::default()).unwrap().free_slots(), free, "no other slot was taken");
    drop(broker);

    std::fs::remove_file(world.dir.path().join("pairings.json")).unwrap();
    let mut broker = world.broker();
    let error = load(&mut broker, PIN).unwrap_err();
    assert_eq!(error.fault(), Fault::NotPaired);
    assert!(error.to_string().contains("pairings.json was lost"), "{error}");
    let pairing = |password: &str| Pairing {
        target: Target::default(),
        contact: Contact::default(),
        password: Some(Zeroizing::new(password.to_owned())),
    };
    assert_eq!(fault(broker.card_pair(pairing("wrong password"), &why("pair"))), Some(Fault::WrongPairing));
    let paired = broker.card_pair(pairing(PASSWORD), &why("pair")).unwrap();
    assert_eq!((u32::from(paired.free_slots), paired.well_known), (free - 1, false));
    assert_eq!(fault(broker.card_pair(pairing(PASSWORD), &why("pair"))), Some(Fault::BadInput), "paired already");
    let unpaired = broker.card_unpair(access(PIN), Which::Others, &why("unpair")).unwrap();
    assert_eq!(u32::from(unpaired.free_slots), free);
    load(&mut broker, PIN).unwrap();
    broker.card_unpair(access(PIN), Which::Ours, &why("unpair")).unwrap();
    assert_eq!(fault(load(&mut broker, PIN)), Some(Fault::NotPaired));
}

#[test]
fn a_card_without_a_free_slot_is_named() {
    let world = World::with(Model::V3_1);
    let mut broker = world.broker();
    init(&mut broker);
    let pairings = world.dir.path().join("pairings.json");
    let pair = |broker: &mut Manager| {
        let password = Some(Zeroizing::new(PASSWORD.to_owned()));
        broker.card_pair(Pairing { target: Target::default(), contact: Contact::default(), password }, &why("pair"))
    };
    let mut last = None;
    for _ in 0..200 {
        std::fs::remove_file(&pairings).unwrap();
        broker = world.broker();
        match pair(&mut broker) {
            Ok(_) => {}
            Err(error) => {
                last = Some(error);
                break;
            }
        }
    }
    let error = last.unwrap();
    assert_eq!(error.fault(), Fault::NoSlot);
    assert!(error.to_string().contains("unpair --others"), "{error}");
}

/// Attack 8: a well-known pairing password is never set, warned of, and no PIN goes over it unasked.
#[test]
fn no_pin_goes_over_a_pairing_with_a_well_known_password_unless_its_owner_vouches_for_it() {
    let world = World::with(Model::V3_2);
    let mut broker = world.broker();
    let contact = compared(&mut broker, &Target::default());
    let weak = Initialising {
        pairing_password: Some(Zeroizing::new("KeycardDefaultPairing".to_owned())),
        ..initialising(contact)
    };
    assert_eq!(fault(broker.card_init(weak, &why("init"))), Some(Fault::BadInput));
    init(&mut broker);
    // Another program left the well-known password in place.
    let exported = {
        let (ours, caller) = one_time();
        let sealed = broker.export_pairings(None, Form::Desktop, &caller, &why("export")).unwrap();
        ours.open(seal::PAIRINGS, &sealed).unwrap()
    };
    std::fs::remove_file(world.dir.path().join("pairings.json")).unwrap();
    let mut broker = world.broker();
    assert_eq!(broker.import_pairings(&Target::default(), Form::Desktop, &exported, &why("import")).unwrap().len(), 1);
    let error = load(&mut broker, PIN).unwrap_err();
    assert_eq!(error.fault(), Fault::Unvouched);
    assert!(error.to_string().contains("--first-pairing"), "{error}");
    let first = Access { contact: Contact { first_pairing: true, ..Contact::default() }, ..access(PIN) };
    broker.card_remove_key(first, &why("x")).unwrap();
    load(&mut broker, PIN).unwrap();
    let (phone, why_not) = (b"nonsense", Some(Fault::BadInput));
    assert_eq!(
        fault(broker.import_pairings(&Target::default(), Form::Mobile, phone, &why("import"))),
        why_not,
        "paired already"
    );
    drop(broker);
    std::fs::remove_file(world.dir.path().join("pairings.json")).unwrap();
    let mut broker = world.broker();
    assert_eq!(
        fault(broker.import_pairings(&Target::default(), Form::Mobile, phone, &why("import"))),
        why_not,
        "no pairing"
    );
}

/// A phone's pairing does not say with which card it is; a card that has none is told apart from a damaged text.
#[test]
fn the_pairing_of_a_phone_is_not_taken_for_a_card_without_pairings() {
    for model in [Model::V3_2, Model::V4_0] {
        let world = World::with(model);
        let mut broker = world.broker();
        let phone = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";
        let import = broker.import_pairings(&Target::default(), Form::Mobile, phone, &why("import"));
        assert_eq!(fault(import), Some(Fault::Unsupported), "{model}");
    }
}

#[test]
fn no_mnemonic_comes_over_a_pairing_with_a_well_known_password() {
    let world = World::with(Model::V3_2);
    let mut broker = world.broker();
    init(&mut broker);
    let (ours, caller) = one_time();
    let sealed = broker.export_pairings(None, Form::Desktop, &caller, &why("export")).unwrap();
    let exported = ours.open(seal::PAIRINGS, &sealed).unwrap();
    assert!(world.log.story().last().unwrap().starts_with("exports 1 pairing(s), for \"export\""));
    world.log.full_after(0);
    let unwritten = broker.export_pairings(None, Form::Desktop, &caller, &why("export"));
    assert_eq!(fault(unwritten), Some(Fault::LogUnwritable));
    std::fs::remove_file(world.dir.path().join("pairings.json")).unwrap();
    let mut broker = world.broker();
    broker.import_pairings(&Target::default(), Form::Desktop, &exported, &why("import")).unwrap();
    assert!(world.log.story().last().unwrap().starts_with("imports 1 pairing(s) of instance:"));
    let mut draw = |contact| broker.card_mnemonic(&Target::default(), &contact, 12, &caller, &why("words"));
    assert_eq!(fault(draw(Contact::default())), Some(Fault::Unvouched));
    assert!(draw(Contact { first_pairing: true, ..Contact::default() }).is_ok());
}

/// Attack 4 (right card picked): a name that fits two cards is refused and lists both.
#[test]
fn a_card_is_found_in_any_reader_by_what_it_is_called_and_two_that_fit_are_listed() {
    let mut world = World::new();
    let other = Reader::with_blank_card();
    world.others.push(("soft:other".to_owned(), other.clone()));
    world.manifest = manifest(&[world.reader.identity(), other.identity()]);
    let mut broker = world.unlocked();
    let by = |card: &str| Target { reader: None, card: Some(card.to_owned()) };
    let there = Target { reader: Some("soft:other".to_owned()), card: None };
    assert!(!broker.describe(&there).unwrap().initialised);
    assert_eq!(broker.describe(&by("card 1")).unwrap().card, card_id(&other).to_string());
    let mut initialising = initialising(Contact::default());
    initialising.target = by("card 1");
    broker.card_init(initialising, &why("init")).unwrap();
    let words = Source::Words(Mnemonic::parse(WORDS).unwrap(), Zeroizing::default());
    let access = Access { target: there.clone(), ..access(PIN) };
    let uid = broker.card_load_key(access, words, &why("key")).unwrap().key_uid.unwrap();
    assert!(broker.status().unlocked, "the own card's session went on");
    broker.export_private(path(CHAT), &one_time().1, &why(crate::policy::CHAT_PURPOSE)).unwrap();

    let seed = Seed::from_mnemonic(WORDS, "").unwrap();
    broker
        .card_load_key(Access { target: Target::default(), ..self::access(PIN) }, Source::Seed(seed), &why("key"))
        .unwrap();
    let error = broker.describe(&by(&uid.to_string())).err().unwrap();
    assert_eq!(error.fault(), Fault::Ambiguous);
    for named in ["soft:test", "soft:other", "card 0", "card 1"] {
        assert!(error.to_string().contains(named), "{error}");
    }
    let error = broker.describe(&by("nobody")).err().unwrap();
    assert!(error.fault() == Fault::NoCard && error.to_string().contains("card 1"), "{error}");
    let nowhere = Target { reader: Some("soft:nowhere".to_owned()), card: None };
    assert_eq!(fault(broker.describe(&nowhere)), Some(Fault::NoReader));
    assert_eq!(world.log.report().bad, None);
}

/// Attack 5: the tries of a card are not spent on the PIN of another one.
#[test]
fn without_a_name_only_the_enrolled_card_is_given_a_pin_or_a_puk() {
    let mut world = World::new();
    drop(world.enrolled());
    let first = world.reader.identity();
    world.reader = Reader::with_blank_card();
    let second = World { reader: world.reader.clone(), manifest: manifest(&[world.reader.identity()]), ..World::new() };
    drop(second.enrolled());
    world.manifest = manifest(&[first, world.reader.identity()]);
    let mut broker = world.broker();
    let commands = world.reader.commands();
    let error = broker.card_remove_key(access(NEW_PIN), &why("remove")).err().unwrap();
    assert!(matches!(error, BrokerError::Mismatch(Mismatch::OtherCard { .. })), "{error}");
    let (contact, puk, new_pin) = (Contact::default(), puk(PUK), pin(NEW_PIN));
    let unblocking = Unblocking { target: Target::default(), contact, puk, new_pin, last_try: false };
    let error = broker.card_unblock(unblocking, &why("unblock")).err().unwrap();
    assert!(matches!(error, BrokerError::Mismatch(Mismatch::OtherCard { .. })), "{error}");
    assert_eq!(world.reader.commands(), commands + 2, "SELECT alone");
    let named = Target { reader: None, card: Some(hex::encode(world.reader.identity())) };
    let wrong = Access { target: named, ..access(NEW_PIN) };
    assert_eq!(fault(broker.card_remove_key(wrong, &why("remove"))), Some(Fault::WrongPin), "it was meant");
}

#[test]
fn uses_of_a_key_go_to_the_session_of_the_unlocked_card_and_only_where_the_policy_lists_them() {
    let world = World::new();
    let mut broker = world.enrolled();
    drop(broker);
    allow(&world, CHAT, "sign");
    allow(&world, CHAT, "ecdh");
    allow(&world, "m/83696968'/39'", "bip85");
    broker = world.broker();
    assert_eq!(fault(broker.card_sign(session(), signing(CHAT), &why("x"))), Some(Fault::Locked));
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    let signed = broker.card_sign(session(), signing(CHAT), &why("x")).unwrap();
    let schnorr = Signing { schnorr: true, ..signing(CHAT) };
    assert_eq!(broker.card_sign(session(), schnorr, &why("x")).unwrap().signature.len(), 64);
    let (ours, caller) = one_time();
    let (sealed, _) = broker.card_ecdh(session(), path(CHAT), &signed.key, &caller, &why("x")).unwrap();
    assert_eq!(ours.open(seal::SECRET, &sealed).unwrap().len(), 32);
    let (ours, caller) = one_time();
    let (sealed, _) = broker.card_bip85(session(), path("m/83696968'/39'"), 20, &caller, &why("x")).unwrap();
    assert_eq!(ours.open(seal::SECRET, &sealed).unwrap().len(), 20);
    let refused = broker.card_sign(session(), signing("m/44'/60'/0'/0/0"), &why("x")).unwrap_err();
    let block = "path = \"m/44'/60'/0'/0/0\"\noperations = [\"sign\"]\nclients = [\"me\"]\npurposes = [\"x\"]";
    assert!(refused.to_string().contains(block), "{refused}");
    let (_, caller) = one_time();
    assert_eq!(fault(broker.card_lee(session(), path("m"), &caller, &why("x"))), Some(Fault::Refused));
    let (done, sealed) = {
        let (ours, caller) = one_time();
        let (done, sealed) =
            broker.card_mnemonic(&Target::default(), &Contact::default(), 15, &caller, &why("x")).unwrap();
        (done, ours.open(seal::MNEMONIC, &sealed).unwrap())
    };
    assert_eq!(sealed.split(|byte| *byte == b' ').count(), 15);
    assert!(done.entry > 0);
    assert_eq!(broker.card_challenge(&Target::default(), &Contact::default(), 9).unwrap().len(), 9);
    assert!(broker.status().unlocked, "all in one session");
    assert_eq!(world.log.report().bad, None);
    assert_eq!(world.log.report().refusals, 2);
}

#[test]
fn what_an_applet_cannot_do_is_said_before_anything_is_sent() {
    let world = World::with(Model::V3_2);
    allow(&world, CHAT, "ecdh");
    allow(&world, CHAT, "sign");
    allow(&world, CHAT, "pinless");
    let mut broker = world.broker();
    init(&mut broker);
    load(&mut broker, PIN).unwrap();
    let (_, caller) = one_time();
    let peer = caller;
    assert_eq!(fault(broker.card_ecdh(access(PIN), path(CHAT), &peer, &caller, &why("x"))), Some(Fault::Unsupported));
    let schnorr = Signing { schnorr: true, ..signing(CHAT) };
    assert_eq!(fault(broker.card_sign(access(PIN), schnorr, &why("x"))), Some(Fault::Unsupported));
    let challenge = broker.card_challenge(&Target::default(), &Contact::default(), 8);
    assert_eq!(fault(challenge), Some(Fault::Unsupported));
    broker.card_pinless(access(PIN), Some(path(CHAT)), &why("x")).unwrap();
    broker.card_pinless(access(PIN), None, &why("x")).unwrap();

    let world = World::with(Model::V4_0);
    let mut broker = world.broker();
    init(&mut broker);
    let pairing = Pairing { target: Target::default(), contact: Contact::default(), password: None };
    assert_eq!(fault(broker.card_pair(pairing, &why("x"))), Some(Fault::Unsupported));
    assert_eq!(fault(broker.card_pinless(access(PIN), None, &why("x"))), Some(Fault::Unsupported));
}

/// What a card shows is compared with what it showed for that account before, in whichever session.
#[test]
fn a_card_that_shows_another_key_than_in_an_earlier_session_is_refused() {
    const ACCOUNT: &str = "m/44'/60'/0'/0/0";
    for model in [Model::V3_2, Model::V4_0] {
        let world = World::with(model);
        allow(&world, ACCOUNT, "sign");
        let mut broker = world.broker();
        init(&mut broker);
        load(&mut broker, PIN).unwrap();
        let sign = |broker: &mut Manager| broker.card_sign(access(PIN), signing(ACCOUNT), &why("x"));
        sign(&mut broker).unwrap();
        sign(&mut broker).unwrap();
        drop(broker);
        let mut cards = KnownCards::read(&world.dir.path().join("cards.toml")).unwrap();
        let mut card = cards.all().next().unwrap().clone();
        assert!(card.keys.iter().any(|(path, _)| path.to_string() == ACCOUNT));
        card.keys.insert(ACCOUNT.parse().unwrap(), "0001-0203-0405-06ff".parse().unwrap());
        cards.keep(card).unwrap();
        let error = sign(&mut world.broker()).unwrap_err();
        assert_eq!(error.fault(), Fault::OtherKey, "{model}");
        assert!(error.to_string().contains("0001-0203-0405-06ff"), "{error}");
    }
}

/// Attack 5: with `refuse`, a duress PIN changes nothing and gives nothing away; in the other modes its keys are used.
#[test]
fn under_duress_a_card_is_refused_or_its_other_keys_are_used_as_its_owner_chose() {
    for (mode, works) in [(Duress::Refuse, false), (Duress::DecoyMarked, true), (Duress::DecoyQuiet, true)] {
        let mut world = World::with(Model::V4_0);
        world.others.push(("soft:other".to_owned(), Reader::with_blank_card()));
        let mut broker = world.broker();
        init(&mut broker);
        load(&mut broker, PIN).unwrap();
        broker.remember(&Target::default(), &Contact::default(), Remember::Duress(mode), &why("settings")).unwrap();
        broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
        let chat = |broker: &mut Manager| {
            let (ours, caller) = one_time();
            let key = broker.export_private(path(CHAT), &caller, &why(crate::policy::CHAT_PURPOSE))?;
            Ok::<_, BrokerError>((ours.open(seal::KEY, &key.sealed).unwrap(), key.fingerprint))
        };
        let (own, own_fingerprint) = chat(&mut broker).unwrap();
        assert_eq!(broker.unlock(unlocking(DURESS), &why("unlock")).is_ok(), works, "{mode:?}");
        let story = world.log.story();
        assert_eq!(story.iter().any(|line| line.contains("decoy")), mode == Duress::DecoyMarked, "{mode:?}");
        if !works {
            assert!(!broker.status().unlocked);
            assert_eq!(fault(load(&mut broker, DURESS)), Some(Fault::OtherKey));
            continue;
        }
        let log = world.log.report().refusals;
        assert_eq!(fault(load(&mut broker, DURESS)), Some(Fault::BadInput), "it would replace the key of both PINs");
        let removed = broker.card_remove_key(access(DURESS), &why("card key remove"));
        assert_eq!(fault(removed), Some(Fault::BadInput), "it would take the key of both PINs away");
        assert!(broker.describe(&Target::default()).unwrap().has_key);
        assert_eq!(world.log.report().refusals, log + 2);
        broker.unlock(unlocking(DURESS), &why("unlock")).unwrap();
        assert_eq!((broker.is_decoy(), broker.status().decoy), (mode == Duress::DecoyMarked, broker.is_decoy()));
        let (decoy, decoy_fingerprint) = chat(&mut broker).unwrap();
        assert_ne!(own, decoy);
        if mode == Duress::DecoyQuiet {
            // Work on another card meanwhile does not let the own one's fingerprints be told.
            let there = Target { reader: Some("soft:other".to_owned()), card: None };
            let contact = compared(&mut broker, &there);
            broker.card_init(Initialising { target: there.clone(), ..initialising(contact) }, &why("init")).unwrap();
            let words = Source::Words(Mnemonic::parse(WORDS).unwrap(), Zeroizing::default());
            broker.card_load_key(Access { target: there, ..access(PIN) }, words, &why("key")).unwrap();
            chat(&mut broker).unwrap();
        }
        let told = |fingerprint: proto::Fingerprint| {
            world.log.story().iter().any(|line| line.contains(&fingerprint.to_string()))
        };
        assert_eq!(told(decoy_fingerprint), mode == Duress::DecoyMarked, "{mode:?}: keyed in quiet mode");
        assert!(told(own_fingerprint), "from before the mode was chosen");
        assert_eq!(world.log.report().bad, None);
    }
}

/// Attack 5, reference two-PIN logic: on 4.0 the card shows the counter of the PIN used last, and the manager knows both.
#[test]
fn the_last_try_of_the_main_pin_is_not_spent_because_the_card_shows_that_of_the_duress_pin() {
    let world = World::with(Model::V4_0);
    let mut broker = world.broker();
    init(&mut broker);
    load(&mut broker, PIN).unwrap();
    broker
        .remember(&Target::default(), &Contact::default(), Remember::Duress(Duress::DecoyMarked), &why("settings"))
        .unwrap();
    let unlock = |broker: &mut Manager, digits| {
        world.clock.pass(7200);
        fault(broker.unlock(unlocking(digits), &why("unlock")))
    };
    assert_eq!(unlock(&mut broker, PIN), None);
    assert_eq!(unlock(&mut broker, WRONG), Some(Fault::WrongPin));
    assert_eq!(unlock(&mut broker, DURESS), None);
    assert_eq!(unlock(&mut broker, WRONG), Some(Fault::WrongPin), "main 1, duress 2");
    assert_eq!(broker.describe(&Target::default()).unwrap().pin_tries, 1);
    let commands = world.reader.commands();
    assert_eq!(unlock(&mut broker, WRONG), Some(Fault::LastTry));
    assert_eq!(world.reader.commands(), commands + 3, "SELECT, OPEN and GET STATUS, no PIN");
    drop(broker);
    let mut broker = world.broker();
    assert_eq!(unlock(&mut broker, WRONG), Some(Fault::LastTry), "remembered by the next manager");
    let unlocking = Unlocking { last_try: true, ..unlocking(PIN) };
    world.clock.pass(7200);
    broker.unlock(unlocking, &why("unlock")).unwrap();
    assert_eq!(broker.describe(&Target::default()).unwrap().pin_tries, 3);
}

#[test]
fn an_enrolled_card_that_is_reset_can_be_enrolled_again_and_one_with_another_key_is_pinned_anew() {
    let world = World::new();
    let mut broker = world.enrolled();
    load(&mut broker, PIN).unwrap();
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    let card = card_id(&world.reader);
    broker.card_reset(&Target::default(), &card.to_string(), &why("reset")).unwrap();
    assert_eq!(world.pins(), None);
    assert!(world.log.report().enrolled.is_empty());
    drop(broker);
    let mut broker = world.broker();
    provision(&mut broker, KeySource::Generate).unwrap();
    assert_eq!(world.log.report().enrolled, [card].into());
}

#[test]
fn a_label_names_one_card_and_a_key_pair_without_chain_code_is_a_key() {
    let mut world = World::with(Model::V4_0);
    world.others.push(("soft:other".to_owned(), Reader::with_blank_card()));
    let mut broker = world.broker();
    let there = Target { reader: Some("soft:other".to_owned()), card: None };
    for (target, label) in [(Target::default(), "blue"), (there.clone(), "green")] {
        let contact = compared(&mut broker, &target);
        broker.remember(&target, &contact, Remember::Label(Some(label.to_owned())), &why("settings")).unwrap();
    }
    let taken =
        broker.remember(&there, &Contact::default(), Remember::Label(Some("blue".to_owned())), &why("settings"));
    assert_eq!(fault(taken), Some(Fault::BadInput));
    let blue = Target { reader: None, card: Some("blue".to_owned()) };
    assert_eq!(broker.describe(&blue).unwrap().reader, "");
    let none =
        broker.card_init(Initialising { target: blue.clone(), ..initialising(Contact::default()) }, &why("init"));
    none.unwrap();
    let key = Source::KeyPair(proto::Secret::fill(|room| room.fill(5)));
    let access = Access { target: blue.clone(), ..access(PIN) };
    broker.card_load_key(access, key, &why("key")).unwrap();
    assert!(broker.describe(&blue).unwrap().has_key);
    let identity = broker.verify_identity(&blue).unwrap();
    assert!(identity.in_channel && identity.test_card);
}

#[test]
fn a_refused_puk_or_pin_is_in_the_log_with_the_card_that_it_was_for() {
    let world = World::with(Model::V4_0);
    let mut broker = world.broker();
    let card = init(&mut broker).card;
    assert_eq!(fault(load(&mut broker, WRONG)), Some(Fault::WrongPin));
    let mut refusals = Vec::new();
    audit::read(world.log.bytes().as_slice(), |line| {
        if let audit::Event::Refusal(refusal) = &line.event {
            refusals.push((refusal.card, refusal.asked.clone()));
        }
    })
    .unwrap();
    assert_eq!(refusals, [(Some(card), Asked::Unlock)]);
}
