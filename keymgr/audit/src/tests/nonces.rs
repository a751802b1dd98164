//! What an auditor says of signatures that share a nonce, and of those whose nonce nobody knows.

use proto::KeyUid;

use super::writer::{NEW, OLD, Writer, account, caller, on};
use crate::closure::{Account, Bond};
use crate::evidence::Authorities;
use crate::*;

fn sign(scheme: Scheme, digest: u8) -> Operation {
    let key = proto::KeyPlace::from("m/44'/60'/0'/0/3".parse::<proto::KeyPath>().unwrap());
    Operation::Sign(Signing { key, makes_current: false, scheme, digest: [digest; 32].into() })
}

fn cash(digest: u8) -> Operation {
    Operation::CashSign([digest; 32].into())
}

/// Asks a card, by its account or without, and returns the line.
fn asks(writer: &mut Writer, card: u8, key_uid: Option<KeyUid>, operation: Operation) -> Recorded {
    let when = writer.now();
    let request = Request { card: on(card), key_uid, operation };
    writer.log.intent(when, request, "chat".parse().unwrap(), caller(1000), [1; 32]).unwrap()
}

fn gives(writer: &mut Writer, key_uid: Option<KeyUid>, operation: Operation, nonce: u8) -> u64 {
    let recorded = asks(writer, OLD, key_uid, operation);
    let line = recorded.seq();
    writer.ends(recorded, Outcome::Done { fingerprint: None, key_uid, nonce: Some([nonce; 32]) });
    line
}

fn begun() -> Writer {
    let mut writer = Writer::new(8);
    writer.opens_mute();
    writer
}

/// A card that no line names by its account.
fn nameless() -> Writer {
    Writer::new(8)
}

fn audit(writer: &Writer) -> Report {
    let mut auditor = Auditor::new(Authorities::test());
    auditor.read(writer.bytes().as_slice(), |_, _| {}).unwrap();
    auditor.finish()
}

/// The keys of which the closure has the private one.
fn private(report: &Report) -> Vec<String> {
    let private = report.closure.computable.iter().filter(|it| it.what.extent.is_private());
    private.map(|it| format!("{} of {}", it.what.path, it.wallet)).collect()
}

fn said(report: &Report) -> Vec<String> {
    report.questions.iter().map(ToString::to_string).collect()
}

#[test]
fn attack_a_repeated_nonce_of_the_cash_applet_gives_its_key() {
    let mut writer = begun();
    let lines = [gives(&mut writer, Some(account()), cash(1), 5), gives(&mut writer, Some(account()), cash(2), 5)];
    let report = audit(&writer);
    assert_eq!(private(&report), [format!("m of the Cash applet of {}", on(OLD))]);
    let repeat = &report.repeated_nonces[0];
    assert_eq!(([repeat.first.line, repeat.second.line], repeat.is_of_one_key()), (lines, true));
}

/// A list without an account counts to trees of keys, and the Cash applet has none.
#[test]
fn attack_a_nonce_that_the_cash_applet_shares_with_the_wallet_ties_their_keys() {
    let mut writer = begun();
    gives(&mut writer, Some(account()), cash(1), 5);
    gives(&mut writer, Some(account()), sign(Scheme::Ecdsa, 1), 5);
    let report = audit(&writer);
    assert!(private(&report).is_empty());
    assert!(matches!(report.questions.as_slice(), [Question::SharedNonce(_)]), "{:?}", report.questions);
    let mut history = report.history;
    history.take_written("m private 4.0\nm/44'/60'/0'/0/3 private 4.0\n").unwrap();
    let closure = Closure::of(&history, &Filter::default());
    let cash = closure.computable.iter().filter(|it| it.wallet.account == Account::Cash(on(OLD)));
    let cash: Vec<_> = cash.map(|it| (it.what.path.to_string(), it.what.follows, it.what.from.len())).collect();
    assert_eq!(cash, [("m".to_owned(), true, 3)], "by the wallet's key and two signatures");
}

#[test]
fn attack_a_repeated_nonce_of_an_identity_key_gives_that_key() {
    let mut writer = Writer::new(8);
    writer.opens(NEW);
    let signed = |log: &[u8]| {
        let mut nonce = None;
        read(log, |line| {
            if let Event::ChannelOpened(opened) = &line.event {
                nonce =
                    evidence::signature::parse(opened.signature.as_bytes()).and_then(|rs| rs.first_chunk().copied());
            }
        })
        .unwrap();
        nonce.unwrap()
    };
    let nonce: [u8; 32] = signed(&writer.bytes());
    let recorded = asks(&mut writer, NEW, Some(account()), sign(Scheme::Ecdsa, 1));
    writer.ends(recorded, Outcome::Done { fingerprint: None, key_uid: Some(account()), nonce: Some(nonce) });
    let report = audit(&writer);
    let [Question::SharedNonce(repeat)] = report.questions.as_slice() else { panic!("{:?}", report.questions) };
    assert_eq!((repeat.first.line, repeat.second.line), (3, 4));
    assert!(repeat.first.key.0.to_string().starts_with("the identity key 0"), "{}", repeat.first.key.0);
}

/// Of each kind one question with the first lines, however many there are.
#[test]
fn signatures_without_a_nonce_and_of_unknown_outcome_are_one_question_each() {
    let mut writer = begun();
    for n in 0..20 {
        let recorded =
            asks(&mut writer, OLD, Some(account()), if n % 2 == 0 { cash(n) } else { sign(Scheme::Ecdsa, n) });
        writer.ends(recorded, Outcome::done(None, Some(account())));
        let recorded = asks(&mut writer, OLD, Some(account()), sign(Scheme::Ecdsa, n));
        writer.ends(recorded, Outcome::Failed { reason: Text::lossy("pulled") });
        let recorded = asks(&mut writer, OLD, Some(account()), sign(Scheme::Ecdsa, n));
        writer.ends(recorded, Outcome::RefusedByCard { status: 0x6985 });
    }
    let report = audit(&writer);
    let [Question::NonceNotTold(not_told), Question::SignatureUnknown(unknown)] = report.questions.as_slice() else {
        panic!("{:?}", report.questions)
    };
    assert_eq!((not_told.signatures, not_told.lines.len(), not_told.lines[0]), (20, 16, 4));
    assert_eq!((unknown.signatures, unknown.lines.len(), unknown.lines[0]), (20, 16, 6));
    assert!(said(&report)[0].contains("4, 10, 16") && said(&report)[0].contains("and 4 more"), "{:?}", said(&report));
}

/// First the card names the key, then the account does: it is one, and gives itself away.
#[test]
fn attack_a_nonce_that_one_key_repeats_under_two_names_gives_that_key() {
    for order in [[None, Some(account())], [Some(account()), None]] {
        let mut writer = nameless();
        for (digest, key_uid) in (1..).zip(order) {
            gives(&mut writer, key_uid, sign(Scheme::Ecdsa, digest), 5);
        }
        let report = audit(&writer);
        assert_eq!(private(&report), [format!("m/44'/60'/0'/0/3 of account {}", account())]);
        assert!(report.questions.is_empty(), "{:?}", report.questions);
    }
}

#[test]
fn one_signature_of_one_key_under_two_names_says_nothing() {
    let mut writer = nameless();
    for n in 1..4 {
        for key_uid in [None, Some(account())] {
            gives(&mut writer, key_uid, sign(Scheme::Ecdsa, n), n);
        }
    }
    let report = audit(&writer);
    assert!(private(&report).is_empty() && report.repeated_nonces.is_empty() && report.closure.bonds.is_empty());
}

/// A key was put on the card in between: whether it is the one before, no line tells.
#[test]
fn keys_that_may_be_one_are_a_question_and_no_claim() {
    for (nonces, digests, asked) in [([5, 5], [1, 2], "everybody has it"), ([5, 5], [1, 1], "this is one signature")] {
        let mut writer = nameless();
        gives(&mut writer, None, sign(Scheme::Ecdsa, digests[0]), nonces[0]);
        gives(&mut writer, None, sign(Scheme::Ecdsa, 9), 9);
        gives(&mut writer, None, Operation::LoadKey, 0);
        gives(&mut writer, Some(account()), sign(Scheme::Ecdsa, digests[1]), nonces[1]);
        gives(&mut writer, Some(account()), sign(Scheme::Ecdsa, 9), 9);
        let report = audit(&writer);
        let is_solved = digests == [1, 2];
        // Two hashes and one: as one key it is given away by the first nonce, as two keys they are by both.
        assert_eq!(private(&report).len(), if is_solved { 2 } else { 0 }, "{:?}", private(&report));
        assert_eq!(report.closure.bonds.iter().map(Bond::may_be_solved).collect::<Vec<_>>(), [!is_solved]);
        assert!(said(&report).iter().any(|it| it.contains(asked)), "{:?}", said(&report));
    }
}

#[test]
fn one_hash_signed_twice_with_tweaks_is_a_question_and_no_claim() {
    let mut writer = begun();
    for _ in 0..3 {
        gives(&mut writer, Some(account()), sign(Scheme::TweakedSchnorr, 1), 5);
    }
    let report = audit(&writer);
    assert!(private(&report).is_empty() && report.repeated_nonces.is_empty());
    assert!(matches!(report.questions.as_slice(), [Question::Tweaks(_)]), "{:?}", report.questions);
    gives(&mut writer, Some(account()), sign(Scheme::TweakedSchnorr, 2), 5);
    assert_eq!(private(&audit(&writer)).len(), 1, "of another hash another thing is said");
}

/// What follows from signatures is anybody's, and told as that.
#[test]
fn keys_that_follow_from_signatures_are_told_as_such_to_who_was_given_none() {
    let mut writer = begun();
    gives(&mut writer, Some(account()), sign(Scheme::Ecdsa, 1), 5);
    gives(&mut writer, Some(account()), sign(Scheme::Ecdsa, 2), 5);
    let filter = Filter { holder: Some(999), account: None };
    let closure = Closure::of(&audit(&writer).history, &filter);
    let [bond] = closure.bonds.as_slice() else { panic!("{:?}", closure.bonds) };
    assert!(bond.solved);
    assert_eq!((closure.exported, closure.count().private_keys), (0, 1));
    assert_eq!(closure.computable[0].what.from, bond.from);
}
