//! What an owner's requests say and leave behind where a card has not got what they are about.

use proto::rpc::Fault;
use zeroize::Zeroizing;

use super::cards::{Manager, PASSWORD, access, compared, fault, init, initialising, load, signing};
use super::*;
use crate::cards::access::Access;
use crate::cards::change::{Change, Unblocking};
use crate::cards::init::Initialising;
use crate::cards::label::Remember;
use crate::cards::pair::{Pairing, Which};
use crate::cards::vouch::Contact;

#[test]
fn a_card_without_a_key_a_lee_key_or_a_cash_applet_is_told_from_one_that_answers_nonsense() {
    let world = World::with(Model::V4_0);
    for (path, operation) in [("m/44'/60'/0'/0/0", "sign"), ("m/44'", "lee")] {
        allow(&world, path, operation);
    }
    let mut broker = world.broker();
    init(&mut broker);
    let (_, caller) = one_time();
    let lee = |broker: &mut Manager| fault(broker.card_lee(access(PIN), path("m/44'"), &caller, &why("x")));
    let sign = |broker: &mut Manager| fault(broker.card_sign(access(PIN), signing("m/44'/60'/0'/0/0"), &why("x")));
    assert_eq!((sign(&mut broker), lee(&mut broker)), (Some(Fault::NoKey), Some(Fault::NoKey)));
    load(&mut broker, PIN).unwrap();
    assert_eq!((sign(&mut broker), lee(&mut broker)), (None, Some(Fault::NoKey)));
    // The log tells what the card answered: nothing left it.
    assert!(world.log.story().iter().any(|line| line.contains("6985")), "{:#?}", world.log.story());

    let older = World::with(Model::V2_2);
    let mut broker = older.broker();
    let error = broker.card_cash(&Target::default(), None, &why("x")).unwrap_err();
    assert_eq!(error.fault(), Fault::NoApplet, "{error}");
}

#[test]
fn the_last_try_of_the_puk_is_another_cause_than_that_of_the_pin() {
    let world = World::new();
    let mut broker = world.enrolled();
    let mut try_puk = |digits: &str| {
        world.clock.pass(7200);
        let (contact, puk) = (Contact::default(), Puk::try_from(digits.as_bytes()).unwrap());
        let unblocking = Unblocking { target: Target::default(), contact, puk, new_pin: pin(PIN), last_try: false };
        broker.card_unblock(unblocking, &why("unblock"))
    };
    assert_eq!(fault(try_puk(PUK)), Some(Fault::BadInput), "not blocked");
    for _ in 0..3 {
        world.clock.pass(7200);
        let mut broker = world.broker();
        assert!(broker.unlock(Unlocking { last_try: true, ..unlocking(WRONG) }, &why("unlock")).is_err());
    }
    for _ in 0..4 {
        assert_eq!(fault(try_puk("999999999999")), Some(Fault::WrongPuk));
    }
    let error = try_puk(PUK).unwrap_err();
    assert_eq!(error.fault(), Fault::LastPukTry);
    assert_ne!(Fault::LastPukTry.exit_code(), Fault::LastTry.exit_code());
}

#[test]
fn a_label_is_taken_away_and_only_shown_when_nothing_is_said() {
    let world = World::new();
    let mut broker = world.enrolled();
    let mut say = |what| {
        let known = broker.remember(&Target::default(), &Contact::default(), what, &why("settings")).unwrap();
        known.label
    };
    assert_eq!(say(Remember::Label(Some("blue".to_owned()))).as_deref(), Some("blue"));
    assert_eq!(say(Remember::Nothing).as_deref(), Some("blue"));
    assert_eq!(say(Remember::Label(None)), None);
    assert_eq!(say(Remember::Nothing), None);
}

/// Whoever needs it for other programs says so, and is told what it means.
#[test]
fn a_pairing_password_that_everybody_knows_is_taken_on_the_word_of_the_owner_alone() {
    let world = World::with(Model::V3_2);
    let mut broker = world.broker();
    let blank = broker.describe(&Target::default()).unwrap();
    assert!(blank.pairs && blank.free_slots.is_none(), "a blank card does not say");
    let with_default = |contact| Initialising {
        pairing_password: Some(Zeroizing::new("KeycardDefaultPairing".to_owned())),
        ..initialising(contact)
    };
    let contact = compared(&mut broker, &Target::default());
    let refused = broker.card_init(with_default(contact.clone()), &why("card init")).unwrap_err();
    assert!(refused.fault() == Fault::BadInput && refused.to_string().contains("--first-pairing"), "{refused}");
    let contact = Contact { first_pairing: true, ..contact };
    let done = broker.card_init(with_default(contact), &why("card init")).unwrap();
    assert_eq!(done.warnings.len(), 1);
    load(&mut broker, PIN).expect("its owner vouched for the pairing too");
    let change = |broker: &mut Manager, first_pairing| {
        let password = Some(Zeroizing::new("KeycardTest".to_owned()));
        let contact = Contact { confirm: None, first_pairing };
        broker.card_change(Access { contact, ..access(PIN) }, Change::PairingSecret(password), &why("change"))
    };
    assert_eq!(fault(change(&mut broker, false)), Some(Fault::BadInput));
    change(&mut broker, true).unwrap();
    std::fs::remove_file(world.dir.path().join("pairings.json")).unwrap();
    drop(broker);
    let pairing = Pairing {
        target: Target::default(),
        contact: Contact::default(),
        password: Some(Zeroizing::new("KeycardTest".to_owned())),
    };
    assert!(world.broker().card_pair(pairing, &why("pair")).unwrap().well_known, "so can other programs");
}

#[test]
fn a_pairing_that_the_card_does_not_take_any_more_is_replaced_and_no_other() {
    let world = World::with(Model::V3_1);
    let mut broker = world.broker();
    init(&mut broker);
    let path = world.dir.path().join("pairings.json");
    let pair = |broker: &mut Manager| {
        let password = Some(Zeroizing::new(PASSWORD.to_owned()));
        broker.card_pair(Pairing { target: Target::default(), contact: Contact::default(), password }, &why("pair"))
    };
    let ours = std::fs::read(&path).unwrap();
    assert_eq!(fault(pair(&mut broker)), Some(Fault::BadInput), "it is taken");
    assert_eq!(std::fs::read(&path).unwrap(), ours);
    // Another computer, which is paired too, ends the pairing of this one.
    broker.card_unpair(access(PIN), Which::Ours, &why("unpair")).unwrap();
    drop(broker);
    std::fs::write(&path, &ours).unwrap();
    let mut broker = world.broker();
    assert_eq!(fault(load(&mut broker, PIN)), Some(Fault::WrongPairing));
    pair(&mut broker).unwrap();
    load(&mut broker, PIN).unwrap();
    let lost = Access { target: Target::default(), ..access(PIN) };
    broker.card_unpair(lost, Which::Others, &why("unpair")).unwrap();
    assert!(world.log.report().is_consistent());
}
