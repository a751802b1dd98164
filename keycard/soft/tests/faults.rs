//! What goes wrong when it is told to, and when it does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use proto::TestDice;
use softcard::{Faulty, Model, SoftCard};

const SELECT: &[u8] = &[0x00, 0xa4, 0x04, 0x00, 0x09, 0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01, 0x01, 0x01];

fn faulty(spec: &str) -> Faulty {
    let card = SoftCard::in_memory(Model::V4_0, Box::new(TestDice::seeded(7)));
    Faulty::new(card, spec.parse().unwrap(), Box::new(TestDice::seeded(8)))
}

fn answer(card: &mut Faulty) -> Option<Vec<u8>> {
    card.transmit(SELECT).answer.map(|answer| answer.to_vec())
}

/// What an undisturbed card answers.
fn right() -> Vec<u8> {
    SoftCard::in_memory(Model::V4_0, Box::new(TestDice::seeded(7))).transmit(SELECT)
}

#[test]
fn each_fault_befalls_its_own_command_and_no_other() {
    let mut card = faulty("cut=3@2,garbage=40@3,sw1=6c@4,sw=6f00@5,delay=70@6");
    let right = right();
    assert_eq!(answer(&mut card).as_ref(), Some(&right));
    assert_eq!(answer(&mut card).as_deref(), Some(&right[..right.len() - 3]));
    let garbage = answer(&mut card).unwrap();
    assert!(garbage.len() == 40 && garbage != right[..40]);
    let forced = answer(&mut card).unwrap();
    assert_eq!(forced[..right.len() - 2], right[..right.len() - 2]);
    assert_eq!(forced[right.len() - 2..], [0x6c, 0x00]);
    assert_eq!(answer(&mut card).as_deref(), Some(&[0x6f, 0x00][..]));
    let late = card.transmit(SELECT);
    assert_eq!((late.delay, late.answer.unwrap().to_vec()), (Duration::from_millis(70), right.clone()));
    assert_eq!(answer(&mut card).as_ref(), Some(&right));
}

#[test]
fn a_card_that_is_pulled_answers_nothing_until_it_is_put_back() {
    let mut card = faulty("remove@2");
    assert!(answer(&mut card).is_some());
    assert_eq!(answer(&mut card), None);
    assert!(!card.is_inserted());
    assert_eq!(answer(&mut card), None);
    card.insert();
    assert_eq!(answer(&mut card), Some(right()));
}

#[test]
fn more_is_promised_for_ever_and_only_pulling_the_card_ends_it() {
    let mut card = faulty("endless@1");
    for _ in 0..1000 {
        assert_eq!(answer(&mut card).as_deref(), Some(&[0xaa, 0x61, 0xff][..]));
    }
    card.remove();
    card.insert();
    assert_eq!(answer(&mut card), Some(right()));
}

#[test]
fn every_later_command_may_be_befallen_too() {
    let mut card = faulty("sw=6a82@2+");
    assert_eq!(answer(&mut card), Some(right()));
    for _ in 0..3 {
        assert_eq!(answer(&mut card).as_deref(), Some(&[0x6a, 0x82][..]));
    }
}
