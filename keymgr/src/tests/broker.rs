//! What the broker asks of a card, when, and what is on disk by then.

use audit::SeedOrigin;
use proto::rpc::{Fault, seal};

use super::*;
use crate::error::{Left, Mismatch, PinRefused};
use crate::policy::{CHAT_PURPOSE, DATABASE_PURPOSE, Reason};

const ABANDON: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

fn fault<V>(result: Result<V, BrokerError>) -> Option<Fault> {
    result.err().map(|error| error.fault())
}

/// The keys of "abandon … about", as applet 4.0 gave them in jcardsim (reference/keycard section 9.3).
/// KC-04, KC-12, KC-17: a card is loaded from a mnemonic, and its keys are fetched from it.
#[test]
fn a_loaded_card_gives_the_keys_of_its_mnemonic() {
    let world = World::new();
    let mut broker = world.broker();
    let enrolled = provision(&mut broker, words(ABANDON)).unwrap();
    assert_eq!(enrolled.pins.seed, SeedOrigin::SeenByHost);
    assert!(enrolled.mnemonic.is_none());
    let key_uid = broker.unlock(unlocking(PIN), &why("unlock")).unwrap().key_uid;
    assert_eq!(key_uid.to_string(), "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1");
    for (text, purpose, want) in [
        (CHAT, CHAT_PURPOSE, "20e61d44eb73cb7d5ff4526bac8c0b96451d8e018b2d6c79022e7ce3b583a754"),
        (DATABASE, DATABASE_PURPOSE, "b827e4218e20d197e0de00fe3a55612ceb3bd8f5eed42f2ccb922ff28d5232e5"),
    ] {
        let (ours, caller) = one_time();
        let exported = broker.export_private(path(text), &caller, &why(purpose)).unwrap();
        let secret = ours.open(seal::KEY, &exported.sealed).unwrap();
        assert_eq!(hex::encode(&secret), want);
        let public = ChatKey::from(k256::SecretKey::from_slice(&secret).unwrap().public_key());
        assert_eq!(proto::Fingerprint::of(&public), exported.fingerprint);
    }
    let chat = broker.export_public(path(CHAT), None, &why(CHAT_PURPOSE)).unwrap();
    assert!(chat.key.to_string().starts_with("0x041c0b489f112aa9334a0c41e349757e3edd6b0ce761bebc6b14b4901a10aa7796"));
    assert_eq!(proto::Fingerprint::of(&chat.key), enrolled.pins.chat);
}

#[test]
fn an_export_is_recorded_before_and_after_and_sealed_to_the_caller() {
    let world = World::new();
    let mut broker = world.unlocked();
    let before = world.log.report().entries();
    let (ours, caller) = one_time();
    let exported = broker.export_private(path(DATABASE), &caller, &why(DATABASE_PURPOSE)).unwrap();
    assert_eq!(exported.entry, before + 1);
    assert_eq!(ours.open(seal::KEY, &exported.sealed).unwrap().len(), 32);
    let report = world.log.report();
    assert!(report.is_consistent());
    assert_eq!((report.entries(), report.unknown.len()), (before + 2, 0));
    let last = world.log.story().pop().unwrap();
    assert!(last.contains(&exported.fingerprint.to_string()), "{last}");
}

#[test]
fn an_export_whose_intent_cannot_be_written_sends_nothing_to_the_card() {
    let world = World::new();
    let mut broker = world.unlocked();
    let commands = world.reader.commands();
    world.log.full_after(0);
    let (_, caller) = one_time();
    let result = broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE));
    let error = result.err().unwrap();
    assert_eq!(error.fault(), Fault::LogUnwritable);
    assert!(
        error.to_string().contains("nothing was exported") && error.to_string().contains("disk is full"),
        "{error}"
    );
    assert_eq!(world.reader.commands(), commands, "no command was sent");
    assert!(world.log.report().is_consistent());
    // With space again, and the card unlocked again, it goes on.
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    assert!(broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE)).is_ok());
}

#[test]
fn a_crash_or_full_disk_between_intent_and_outcome_gives_no_key_and_reads_as_exported() {
    let world = World::new();
    let mut broker = world.unlocked();
    let commands = world.reader.commands();
    world.log.full_after(1);
    let (_, caller) = one_time();
    assert_eq!(fault(broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE))), Some(Fault::LogUnwritable));
    assert_eq!(world.reader.commands(), commands + 1, "the card had answered");
    drop(broker);
    let report = world.log.report();
    assert!(report.is_consistent());
    assert_eq!(report.unknown.len(), 1);
    let left: Vec<_> = report.left.iter().filter(|(key, _)| key.form == audit::verify::Form::Private).collect();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].1.times, left[0].1.unknown), (0, 1));
    world.broker().unlock(unlocking(PIN), &why("unlock")).unwrap();
}

#[test]
fn what_no_policy_can_allow_is_refused_logged_and_never_asked_of_the_card() {
    let world = World::new();
    let rules = [
        ("m", "extended", true),
        ("m/43'/60'/1581'", "extended", true),
        ("m/43'/60'/1581'/0'", "extended", true),
        ("m/43'/60'/1581'/5", "extended", true),
        ("m/43'/60'/1581'/5/6", "private", false),
        ("m/44'/60'/0'/0/0", "private", false),
        ("m/43'/60'/1581'", "private", false),
    ];
    for (path, ..) in rules.into_iter().filter(|(.., extended)| *extended) {
        allow(&world, path, "extended");
    }
    let mut broker = world.unlocked();
    let (commands, refusals) = (world.reader.commands(), world.log.report().refusals);
    let (_, caller) = one_time();
    for (text, _, extended) in rules {
        let result = if extended {
            broker.export_public(path(text), Some(&caller), &why("x")).map(drop)
        } else {
            broker.export_private(path(text), &caller, &why("x")).map(drop)
        };
        assert_eq!(fault(result), Some(Fault::Refused), "{text}");
    }
    // And what is possible, but not listed.
    assert_eq!(fault(broker.export_private(path(CHAT), &caller, &why("x"))), Some(Fault::Refused));
    assert_eq!(world.reader.commands(), commands);
    assert_eq!(world.log.report().refusals, refusals + 8);
    assert!(world.log.story().iter().any(|s| s.contains("no policy can allow it")), "{:?}", world.log.story());
}

#[test]
fn a_wallet_xpub_leaves_when_the_policy_lists_it() {
    let world = World::new();
    allow(&world, "m/44'/60'/0'/0", "extended");
    let mut broker = world.unlocked();
    let (ours, caller) = one_time();
    let exported = broker.export_public(path("m/44'/60'/0'/0"), Some(&caller), &why("x")).unwrap();
    assert_eq!(ours.open(seal::CHAIN, &exported.chain_code.unwrap()).unwrap().len(), 32);
    assert_eq!(fault(broker.export_public(path("m/44'/60'/0'/0"), None, &why("x"))), Some(Fault::Refused));
}

#[test]
fn a_refusal_that_cannot_be_written_says_so() {
    let world = World::new();
    let mut broker = world.unlocked();
    world.log.full_after(0);
    assert_eq!(fault(broker.export_public(path("m"), Some(&one_time().1), &why("x"))), Some(Fault::LogUnwritable));
}

#[test]
fn a_locked_card_exports_nothing() {
    let world = World::new();
    let mut broker = world.enrolled();
    let entries = world.log.report().entries();
    let (_, caller) = one_time();
    assert_eq!(fault(broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE))), Some(Fault::Locked));
    assert_eq!(world.log.report().entries(), entries);
}

/// KC-08: the tries left are told, and the card blocks after the last.
#[test]
fn wrong_pins_count_down_and_the_last_try_needs_a_word() {
    let world = World::new();
    let mut broker = world.enrolled();
    let mut tried = |digits: &str, last_try| {
        world.clock.pass(3600);
        let unlocking = Unlocking { last_try, ..unlocking(digits) };
        match broker.unlock(unlocking, &why("unlock")) {
            Err(BrokerError::Pin(refused)) => refused,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("unlocked"),
        }
    };
    assert_eq!(tried(WRONG, false), PinRefused::Wrong { tries: 2 });
    assert_eq!(tried(WRONG, false), PinRefused::Wrong { tries: 1 });
    assert_eq!(tried(WRONG, false), PinRefused::LastTry);
    assert_eq!(tried(PIN, false), PinRefused::LastTry, "the right PIN is not sent either");
    assert_eq!(tried(WRONG, true), PinRefused::Blocked);
    assert_eq!(tried(PIN, true), PinRefused::Blocked);
    assert_eq!(world.log.report().refusals, 6);
}

#[test]
fn a_wrong_pin_makes_the_next_wait_and_no_try_is_spent_meanwhile() {
    let world = World::new();
    let mut broker = world.enrolled();
    let mut tried = |digits| match broker.unlock(unlocking(digits), &why("unlock")) {
        Err(BrokerError::Pin(refused)) => Some(refused),
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    };
    assert_eq!(tried(WRONG), Some(PinRefused::Wrong { tries: 2 }));
    let commands = world.reader.commands();
    assert_eq!(tried(WRONG), Some(PinRefused::TooSoon { seconds: 2 }));
    world.clock.pass_millis(1999);
    assert_eq!(tried(PIN), Some(PinRefused::TooSoon { seconds: 1 }));
    assert_eq!(world.reader.commands(), commands + 2, "the card was asked who it is, and no more");
    let too_soon = BrokerError::from(PinRefused::TooSoon { seconds: 1 });
    assert_eq!(too_soon.fault(), Fault::TooSoon, "not that of a PIN that was sent");
    assert!(too_soon.to_string().contains("no try was spent"), "{too_soon}");
    world.clock.pass_millis(1);
    assert_eq!(tried(WRONG), Some(PinRefused::Wrong { tries: 1 }));
    world.clock.pass(2);
    assert_eq!(tried(PIN), Some(PinRefused::TooSoon { seconds: 2 }), "twice as long");
    assert_eq!(world.log.report().refusals, 5);
}

#[test]
fn the_last_try_unlocks_when_it_is_allowed_and_right() {
    let world = World::new();
    let mut broker = world.enrolled();
    for _ in 0..2 {
        assert_eq!(fault(broker.unlock(unlocking(WRONG), &why("unlock"))), Some(Fault::WrongPin));
        world.clock.pass(4);
    }
    let unlocking = Unlocking { last_try: true, ..unlocking(PIN) };
    assert!(broker.unlock(unlocking, &why("unlock")).is_ok());
}

#[test]
fn the_card_is_reset_at_the_end_of_the_pins_lifetime() {
    let world = World::new();
    let mut broker = world.enrolled();
    broker.unlock(lasting(PIN, 60), &why("unlock")).unwrap();
    let resets = world.reader.seen().resets;
    world.clock.pass(59);
    broker.heed();
    assert!(broker.status().unlocked);
    assert_eq!(broker.status().pin_seconds_left, 1);
    world.clock.pass(1);
    broker.heed();
    assert!(!broker.status().unlocked);
    assert_eq!(world.reader.seen().resets, resets + 1);
    let (_, caller) = one_time();
    assert_eq!(fault(broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE))), Some(Fault::Locked));
}

#[test]
fn no_pin_is_valid_for_longer_than_the_manager_was_told() {
    let world = World { pin_lifetime: Some(Duration::from_secs(600)), ..World::new() };
    let mut broker = world.enrolled();
    for (seconds, want) in [(0, 600), (60, 60), (600, 600), (u64::MAX, 600)] {
        broker.unlock(lasting(PIN, seconds), &why("unlock")).unwrap();
        assert_eq!(broker.status().pin_seconds_left, want);
    }
    world.clock.pass(600);
    broker.heed();
    assert!(!broker.status().unlocked);
}

#[test]
fn the_card_is_reset_on_lock_on_stop_and_on_a_wrong_pin() {
    let world = World::new();
    let mut broker = world.unlocked();
    let resets = || world.reader.seen().resets;
    let before = resets();
    broker.lock();
    assert_eq!(resets(), before + 1);
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    let before = resets();
    drop(broker);
    assert_eq!(resets(), before + 1, "a manager that stops");
    let mut broker = world.broker();
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    let before = resets();
    assert_eq!(fault(broker.unlock(unlocking(WRONG), &why("unlock"))), Some(Fault::WrongPin));
    assert!(resets() > before);
    assert!(!broker.status().unlocked, "a wrong PIN ends the validity of the right one");
}

#[test]
fn an_answer_that_is_cut_or_too_long_or_missing_locks_the_card_and_gives_nothing() {
    for (tamper, want) in [
        (Tamper::Cut(0), Fault::BadCardAnswer),
        (Tamper::Cut(1), Fault::BadCardAnswer),
        (Tamper::Cut(20), Fault::BadCardAnswer),
        (Tamper::Extend(1), Fault::BadCardAnswer),
        (Tamper::Extend(100_000), Fault::BadCardAnswer),
        (Tamper::Gone, Fault::NoCard),
    ] {
        let world = World::new();
        let mut broker = world.unlocked();
        world.reader.tamper(0, tamper);
        let (_, caller) = one_time();
        assert_eq!(fault(broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE))), Some(want));
        assert!(!broker.status().unlocked);
        let report = world.log.report();
        assert!(report.is_consistent());
        assert_eq!(report.unknown, [0u64; 0], "the failure is in the log");
        let (_, left) = report.left.iter().find(|(key, _)| key.form == audit::verify::Form::Private).unwrap();
        assert_eq!((left.times, left.unknown), (0, 1), "and reads as exported");
    }
}

#[test]
fn tampering_with_any_answer_of_an_enrolment_or_unlocking_is_an_error_and_never_a_panic() {
    for after in 0..12 {
        for tamper in [Tamper::Cut(1), Tamper::Extend(3), Tamper::Gone] {
            let world = World::new();
            let mut broker = world.broker();
            world.reader.tamper(after, tamper);
            let enrolled = provision(&mut broker, KeySource::Generate);
            let reached = world.reader.seen().tampers.is_empty();
            assert_eq!(enrolled.is_err(), reached, "answer {after}");
            assert!(!broker.status().unlocked);
            assert!(world.log.report().is_consistent());
        }
    }
    for after in 0..7 {
        let world = World::new();
        let mut broker = world.enrolled();
        world.reader.tamper(after, Tamper::Cut(2));
        let unlocked = broker.unlock(unlocking(PIN), &why("unlock"));
        assert_eq!(unlocked.is_err(), world.reader.seen().tampers.is_empty(), "answer {after}");
        assert_eq!(broker.status().unlocked, unlocked.is_ok());
    }
}

#[test]
fn a_card_that_the_manifest_does_not_name_gets_no_pin_and_no_init() {
    let mut world = World::new();
    let good = std::mem::replace(&mut world.manifest, manifest(&[]));
    let mut broker = world.broker();
    let card = card_id(&world.reader);
    assert!(matches!(
        provision(&mut broker, KeySource::Generate),
        Err(BrokerError::Mismatch(Mismatch::NotInManifest { card: found })) if found == card
    ));
    assert_eq!(world.reader.commands(), 1, "SELECT and no more");
    drop(broker);
    world.manifest = good;
    drop(world.enrolled());
    world.manifest = manifest(&[]);
    let mut broker = world.broker();
    let commands = world.reader.commands();
    assert_eq!(fault(broker.unlock(unlocking(PIN), &why("unlock"))), Some(Fault::UnknownCard));
    assert_eq!(world.reader.commands(), commands + 1);
    assert_eq!(world.log.report().refusals, 2);
}

#[test]
fn a_card_of_the_test_authority_is_refused_unless_allowed() {
    let mut world = World::new();
    world.test_authority = false;
    let mut broker = world.broker();
    assert_eq!(fault(provision(&mut broker, KeySource::Generate)), Some(Fault::UnknownAuthority));
    assert_eq!(fault(broker.unlock(unlocking(PIN), &why("unlock"))), Some(Fault::CardBlank), "it is blank still");
    drop(broker);
    world.test_authority = true;
    drop(world.enrolled());
    world.test_authority = false;
    let mut broker = world.broker();
    assert_eq!(fault(broker.unlock(unlocking(PIN), &why("unlock"))), Some(Fault::UnknownAuthority));
    assert_eq!(fault(broker.card_info()), Some(Fault::UnknownAuthority));
    let story = world.log.story();
    assert!(story.iter().any(|s| s.contains("taking cards of the public test authority")));
    assert!(story.iter().any(|s| s.starts_with("refuses to unlock the card")), "{story:?}");
}

#[test]
fn another_card_and_another_key_on_the_same_card_are_named() {
    let mut world = World::new();
    drop(world.enrolled());
    let first = world.reader.clone();
    world.reader = Reader::with_blank_card();
    let second = World { reader: world.reader.clone(), manifest: manifest(&[world.reader.identity()]), ..World::new() };
    drop(second.enrolled());
    world.manifest = manifest(&[first.identity(), world.reader.identity()]);
    assert!(matches!(
        world.broker().unlock(unlocking(PIN), &why("unlock")),
        Err(BrokerError::Mismatch(Mismatch::OtherCard { .. }))
    ));
    // The first card again, but reset by somebody and given another key.
    world.reader = first.clone();
    first.factory_reset();
    assert_eq!(fault(world.broker().unlock(unlocking(PIN), &why("unlock"))), Some(Fault::CardBlank), "blank");
    let other = World { reader: first.clone(), manifest: manifest(&[first.identity()]), ..World::new() };
    drop(other.enrolled());
    let commands = first.commands();
    assert!(matches!(
        world.broker().unlock(unlocking(PIN), &why("unlock")),
        Err(BrokerError::Mismatch(Mismatch::OtherKey))
    ));
    assert_eq!(first.commands(), commands + 1, "its PIN was not sent");
}

#[test]
fn a_chat_key_that_is_not_the_pinned_one_is_not_handed_on_and_locks_the_card() {
    let world = World::new();
    let mut broker = world.unlocked();
    let before = world.reader.seen().resets;
    // The card gives a valid key, and another one was pinned.
    let other = Pins { chat: "0001-0203-0405-06ff".parse().unwrap(), ..world.pins().unwrap() };
    broker.enrolment.pinned.pin(other);
    let (_, caller) = one_time();
    let result = broker.export_private(path(CHAT), &caller, &why(CHAT_PURPOSE));
    assert!(matches!(result, Err(BrokerError::Mismatch(Mismatch::OtherChatKey { .. }))));
    assert!(!broker.status().unlocked);
    assert_eq!(world.reader.seen().resets, before + 1);
    let report = world.log.report();
    assert!(
        report.left.iter().any(|(key, _)| key.form == audit::verify::Form::Private),
        "the log has what left the card"
    );
}

#[test]
fn another_chat_key_under_the_same_account_is_named() {
    let world = World::new();
    drop(world.enrolled());
    world.pin(Pins { chat: "0001-0203-0405-06ff".parse().unwrap(), ..world.pins().unwrap() });
    let mut broker = world.broker();
    let result = broker.unlock(unlocking(PIN), &why("unlock"));
    assert!(matches!(result, Err(BrokerError::Mismatch(Mismatch::OtherChatKey { .. }))));
    assert!(!broker.status().unlocked);
}

#[test]
fn a_card_is_enrolled_once_and_an_initialised_one_is_left_as_it_is() {
    let world = World::new();
    let mut broker = world.enrolled();
    assert!(matches!(
        provision(&mut broker, KeySource::Generate),
        Err(BrokerError::Mismatch(Mismatch::EnrolledAlready))
    ));
    let elsewhere = World { reader: world.reader.clone(), manifest: world.manifest.clone(), ..World::new() };
    assert!(matches!(
        provision(&mut elsewhere.broker(), KeySource::Generate),
        Err(BrokerError::Mismatch(Mismatch::NotBlank))
    ));
    assert!(world.broker().unlock(unlocking(PIN), &why("unlock")).is_ok(), "PIN and key are as they were");
}

#[test]
fn an_initialised_card_that_the_manifest_names_is_pinned_at_its_first_unlocking() {
    let world = World::new();
    drop(world.enrolled());
    let elsewhere = World { reader: world.reader.clone(), manifest: world.manifest.clone(), ..World::new() };
    let mut broker = elsewhere.broker();
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    let pins = elsewhere.pins().unwrap();
    assert_eq!(pins.seed, SeedOrigin::BeforeEnrolment);
    assert_eq!(pins.chat, world.pins().unwrap().chat);
    assert_eq!(elsewhere.log.report().provisionings, 1);
}

#[test]
fn an_enrolment_that_was_cut_off_before_its_log_entry_is_told_at_the_next_unlocking() {
    let world = World::new();
    let mut broker = world.broker();
    // Everything up to the pins is written, and not the entry after them.
    let entries = {
        let trial = World::new();
        drop(trial.enrolled());
        usize::try_from(trial.log.report().entries()).unwrap()
    };
    world.log.full_after(entries - 3);
    assert_eq!(fault(provision(&mut broker, KeySource::Generate)), Some(Fault::LogUnwritable));
    drop(broker);
    assert_eq!(world.log.report().provisionings, 0);
    assert!(world.pins_path().exists());
    let mut broker = world.broker();
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    assert_eq!(world.log.report().provisionings, 1);
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    assert_eq!(world.log.report().provisionings, 1);
}

#[test]
fn init_needs_its_record_first() {
    let world = World::new();
    let mut broker = world.broker();
    world.log.full_after(0);
    assert_eq!(fault(provision(&mut broker, KeySource::Generate)), Some(Fault::LogUnwritable));
    assert_eq!(world.reader.commands(), 1, "SELECT and no more");
    assert!(!broker.card_info().unwrap().initialised);
    assert!(provision(&mut broker, KeySource::Generate).is_ok());
}

#[test]
fn a_full_disk_after_init_leaves_a_manager_that_goes_on_and_says_what_the_card_is() {
    let world = World::new();
    let mut broker = world.broker();
    world.log.full_after(1);
    let error = provision(&mut broker, KeySource::Generate).err().unwrap();
    assert_eq!(error.fault(), Fault::LogUnwritable);
    assert!(error.to_string().contains("the card has its PIN but no key"), "{error}");
    assert!(error.to_string().contains("reset it to its factory state"), "{error}");
    let info = broker.card_info().unwrap();
    assert!(info.initialised && !info.has_key);
    world.reader.factory_reset();
    assert!(provision(&mut broker, KeySource::Generate).is_ok());
}

#[test]
fn an_enrolment_that_fails_anywhere_after_init_says_what_the_card_is() {
    // Behind INIT's two lines: the opening, LOAD KEY and two exports with two lines each, the enrolment.
    let after = |lines: usize, key: KeySource| {
        let world = World::new();
        let mut broker = world.broker();
        world.log.full_after(lines);
        let error = provision(&mut broker, key).err().unwrap();
        assert!(broker.card_info().unwrap().initialised, "the manager goes on");
        let BrokerError::CutOff { left, .. } = error else { panic!("{error}") };
        (left, world.pins_path().exists(), broker.status().enrolled)
    };
    let fresh = || KeySource::Fresh { words: 12, caller: one_time().1 };
    assert_eq!(after(2, KeySource::Generate), (Left::Pin, false, false));
    assert_eq!(after(3, KeySource::Generate), (Left::Unproven, false, false));
    assert_eq!(after(9, KeySource::Generate), (Left::Key, true, true));
    assert_eq!(after(2, fresh()), (Left::Pin, false, false));
    for lines in 3..10 {
        assert_eq!(after(lines, fresh()), (Left::LostWords, false, false), "{lines}");
    }
}

#[test]
fn fresh_words_come_back_sealed_and_make_the_key_on_the_card() {
    let world = World::new();
    let mut broker = world.broker();
    let (ours, caller) = one_time();
    assert_eq!(fault(provision(&mut broker, KeySource::Fresh { words: 13, caller })), Some(Fault::BadInput));
    assert_eq!(world.reader.commands(), 0, "the card was not asked");
    let enrolled = provision(&mut broker, KeySource::Fresh { words: 12, caller }).unwrap();
    let text = ours.open(seal::MNEMONIC, &enrolled.mnemonic.unwrap()).unwrap();
    let text = std::str::from_utf8(&text).unwrap();
    assert_eq!(text.split(' ').count(), 12);
    let again = World::new();
    assert_eq!(provision(&mut again.broker(), words(text)).unwrap().pins.key_uid, enrolled.pins.key_uid);
}

/// Whoever can stop the manager must not gain a try by it.
#[test]
fn attack_a_pause_after_wrong_pins_outlives_the_manager() {
    let world = World::new();
    let mut broker = world.enrolled();
    for seconds in [2, 4] {
        assert_eq!(fault(broker.unlock(unlocking(WRONG), &why("unlock"))), Some(Fault::WrongPin));
        drop(broker);
        broker = world.broker();
        world.clock.pass(seconds - 1);
        let commands = world.reader.commands();
        let error = broker.unlock(unlocking(PIN), &why("unlock")).unwrap_err();
        assert!(error.fault() == Fault::TooSoon && error.to_string().contains("in 1 s"), "{error}");
        assert_eq!(world.reader.commands(), commands + 1, "SELECT, and no PIN");
        world.clock.pass(1);
    }
    broker.unlock(Unlocking { last_try: true, ..unlocking(PIN) }, &why("unlock")).unwrap();
    drop(broker);
    let mut broker = world.broker();
    assert!(broker.unlock(unlocking(PIN), &why("unlock")).is_ok(), "a right one ends it");
}

/// KC-01, in the form of applet 4.0.
#[test]
fn the_card_describes_itself_without_a_pin() {
    let world = World::new();
    let mut broker = world.broker();
    let blank = broker.card_info().unwrap();
    assert!(!blank.initialised && !blank.has_key && blank.key_uid.is_empty());
    provision(&mut broker, KeySource::Generate).unwrap();
    let locked = broker.card_info().unwrap();
    assert_eq!((locked.applet.as_str(), locked.authority.as_str()), ("4.0", "test"));
    assert_eq!((locked.pin_tries, locked.puk_tries, locked.has_key), (3, 5, true));
    assert_eq!(locked.card, card_id(&world.reader).to_string());
    broker.unlock(unlocking(PIN), &why("unlock")).unwrap();
    assert!(broker.card_info().unwrap() == locked);
    assert!(broker.status().unlocked, "asking does not lock");
}

#[test]
fn a_locked_card_is_described_again_after_some_seconds_or_when_it_was_used() {
    let world = World::new();
    let mut broker = world.enrolled();
    let described = broker.card_info().unwrap();
    let entries = world.log.report().entries();
    world.clock.pass(4);
    assert!(broker.card_info().unwrap() == described);
    assert_eq!(world.log.report().entries(), entries, "the channel was not opened again");
    world.clock.pass(1);
    broker.card_info().unwrap();
    assert_eq!(world.log.report().entries(), entries + 1);
    assert_eq!(fault(broker.unlock(unlocking(WRONG), &why("unlock"))), Some(Fault::WrongPin));
    assert_eq!(broker.card_info().unwrap().pin_tries, 2, "what an unlocking changed shows at once");
}

#[test]
fn refusals_in_a_loop_are_written_a_hundred_times_a_minute_and_spent_tries_always() {
    let world = World::new();
    let mut broker = world.enrolled();
    let (_, caller) = one_time();
    let refusals = || world.log.report().refusals;
    let before = refusals();
    for _ in 0..150 {
        assert_eq!(fault(broker.export_private(path(CHAT), &caller, &why("x"))), Some(Fault::Refused));
    }
    assert_eq!(refusals(), before + 101);
    assert!(world.log.story().pop().unwrap().contains("too many refusals"));
    assert_eq!(fault(broker.unlock(unlocking(WRONG), &why("unlock"))), Some(Fault::WrongPin));
    assert_eq!(refusals(), before + 102);
    world.clock.pass(60);
    assert_eq!(fault(broker.export_private(path(CHAT), &caller, &why("x"))), Some(Fault::Refused));
    assert_eq!(refusals(), before + 103);
}

#[test]
fn refusals_are_told_by_their_reasons() {
    let world = World::new();
    let mut broker = world.unlocked();
    let result = broker.export_public(path("m/43'/60'/1581'/0'"), Some(&one_time().1), &why("x"));
    assert!(matches!(result, Err(BrokerError::Refused(refusal)) if refusal.reason == Reason::ExtendedSubtree));
    assert!(broker.status().unlocked, "a refusal costs nobody the PIN");
}
