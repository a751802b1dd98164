//! A log over memory that fails on purpose, and a log that was tampered with.

pub(crate) mod card;
mod hostile;
mod nonces;
mod tampering;
mod verdicts;
pub(crate) mod writer;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use proto::{CardId, ExportPath, Instant, KeyPath, KeyUid, UnixMillis};

use crate::verify::{Form, Key};
use crate::*;

/// Memory that a test can look into, and that fails at the append it is told to.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    bytes: Rc<RefCell<Vec<u8>>>,
    appends: Rc<RefCell<usize>>,
    fails: Option<(usize, Fails)>,
}

#[derive(Clone, Copy)]
enum Fails {
    Full,
    /// After this many bytes of the line.
    Torn(usize),
}

impl LogStore for Memory {
    fn remember(&mut self, _: &Head) {}

    fn append_synced(&mut self, line: &[u8]) -> Result<(), StoreError> {
        *self.appends.borrow_mut() += 1;
        match self.fails {
            Some((at, Fails::Full)) if *self.appends.borrow() == at => Err(StoreError::Full),
            Some((at, Fails::Torn(kept))) if *self.appends.borrow() == at => {
                self.bytes.borrow_mut().extend_from_slice(&line[..kept.min(line.len())]);
                Err(StoreError::Torn { source: std::io::Error::other("power cut") })
            }
            _ => {
                self.bytes.borrow_mut().extend_from_slice(line);
                Ok(())
            }
        }
    }
}

fn when(step: u64) -> When {
    When {
        unix: UnixMillis::new(1_700_000_000_000 + step),
        monotonic: Instant::from_start(Duration::from_millis(step)),
    }
}

fn card() -> CardId {
    CardId::Identity([2; 33])
}

fn request(operation: Operation) -> Request {
    Request { card: card(), key_uid: Some(KeyUid::from([7; 32])), operation }
}

fn chat() -> Request {
    request(Operation::ExportPrivate(ExportPath::chat()))
}

fn caller() -> Caller {
    Caller {
        uid: 1000,
        pid: Some(42),
        binary: Some(Text::lossy("/usr/bin/a \"quoted\" \u{1f}näme")),
        binary_hash: Some([9; 32]),
        one_time_key: Some([3; 33]),
    }
}

fn done() -> Outcome {
    Outcome::done("0001-0203-0405-06ff".parse().ok(), Some(KeyUid::from([7; 32])))
}

fn begun(store: Memory) -> Log<Memory> {
    Log::create(store, LogId::from([5; 16]), when(0)).unwrap()
}

fn intent(log: &mut Log<Memory>, step: u64, request: Request) -> Result<Recorded, LogError> {
    log.intent(when(step), request, "chat".parse().unwrap(), caller(), [1; 32])
}

/// Writes one event of each kind that `kinds` names, and returns the bytes.
fn history(kinds: &[u8]) -> Vec<u8> {
    let store = Memory::default();
    let mut log = begun(store.clone());
    let mut open = Vec::new();
    for (step, kind) in (1u64..).zip(kinds) {
        match kind % 8 {
            0 => open.push(intent(&mut log, step, chat()).unwrap()),
            1 => {
                let path = KeyPath::new(&[u32::from(*kind), 0x8000_0000 | u32::from(*kind)]).unwrap();
                open.push(intent(&mut log, step, request(Operation::ExportPublic(path))).unwrap());
            }
            2 => {
                if let Some(recorded) = open.pop() {
                    log.outcome(when(step), recorded, done()).unwrap();
                }
            }
            3 => {
                if !open.is_empty() {
                    let outcome = match kind / 8 % 3 {
                        0 => Outcome::Failed { reason: Text::lossy("the card was pulled\nout") },
                        1 => Outcome::RefusedByCard { status: 0x6985 },
                        _ => Outcome::NotSent { reason: Text::lossy("") },
                    };
                    log.outcome(when(step), open.remove(0), outcome).unwrap();
                }
            }
            4 => {
                log.refusal(
                    when(step),
                    Refusal {
                        card: None,
                        key_uid: None,
                        asked: Asked::ExtendedPublic(KeyPath::master()),
                        purpose: None,
                        caller: caller(),
                        reason: Text::lossy("never"),
                        policy: [1; 32],
                    },
                )
                .unwrap();
            }
            5 => {
                let random = [*kind; 32];
                let opened = card::opening(1, &log.head(), random);
                log.channel_opened(when(step), opened).unwrap();
            }
            6 => {
                let random = [*kind; 32];
                let signed = (kind / 8 % 2 == 0).then(|| card::signed(2, &log.head(), random));
                let opened = PairedChannelOpened {
                    card: CardId::Instance([5; 16]),
                    key_uid: None,
                    applet: Text::lossy("3.1"),
                    slot: 2,
                    well_known: true,
                    channel_key: Blob::try_from([4u8; 65].as_slice()).unwrap(),
                    signed,
                };
                log.paired_channel_opened(when(step), opened).unwrap();
            }
            _ => {
                log.provisioning(
                    when(step),
                    Provisioning {
                        card: card(),
                        label: Text::lossy("alice"),
                        generation: Text::lossy("v2"),
                        key_uid: KeyUid::from([7; 32]),
                        chat_fingerprint: "0001-0203-0405-06ff".parse().unwrap(),
                        seed: SeedOrigin::GeneratedOnCard,
                    },
                )
                .unwrap();
            }
        }
    }

    store.bytes.borrow().clone()
}

fn lines(log: &[u8]) -> Vec<&[u8]> {
    log.split_inclusive(|b| *b == b'\n').collect()
}

fn line_of(log: &[u8], at: usize) -> u64 {
    1 + u64::try_from(log[..at].iter().filter(|b| **b == b'\n').count()).unwrap()
}

fn bad(log: &[u8]) -> Option<Bad> {
    verify(log, None).unwrap().bad
}

#[test]
fn a_receipt_is_spent_once_and_on_its_own_request_only() {
    let mut log = begun(Memory::default());
    let mut recorded = intent(&mut log, 1, chat()).unwrap();
    let other = request(Operation::ExportPrivate(ExportPath::database()));
    let elsewhere = Request { card: CardId::Identity([3; 33]), ..chat() };
    assert_eq!(recorded.spend(&other), Err(NotRecorded::OtherRequest));
    assert_eq!(recorded.spend(&elsewhere), Err(NotRecorded::OtherRequest));
    assert!(!recorded.is_spent());
    assert_eq!(recorded.spend(&chat()), Ok(()));
    assert_eq!(recorded.spend(&chat()), Err(NotRecorded::Spent));
    assert_eq!(recorded.seq(), 2);
}

#[test]
fn no_receipt_exists_when_the_intent_was_not_synced() {
    for n in 2..6 {
        let store = Memory { fails: Some((n, Fails::Full)), ..Memory::default() };
        let mut log = begun(store.clone());
        let mut made = 0;
        for step in 1..6 {
            match intent(&mut log, step, chat()) {
                Ok(_) => made += 1,
                Err(LogError::Store(StoreError::Full)) => assert_eq!(*store.appends.borrow(), n),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(made, 4, "the log goes on when there is space again");
        assert_eq!(lines(&store.bytes.borrow()).len(), 5);
        assert_eq!(bad(&store.bytes.borrow()), None);
    }
}

#[test]
fn after_a_torn_write_nothing_more_is_appended_and_opening_names_the_line() {
    for kept in [0, 1, 100] {
        let store = Memory { fails: Some((3, Fails::Torn(kept))), ..Memory::default() };
        let mut log = begun(store.clone());
        drop(intent(&mut log, 1, chat()).unwrap());
        assert!(matches!(intent(&mut log, 2, chat()), Err(LogError::Store(StoreError::Torn { .. }))));
        assert!(matches!(intent(&mut log, 3, chat()), Err(LogError::Torn)));
        let bytes = store.bytes.borrow().clone();
        let opened = Log::open(store.clone(), bytes.as_slice(), None);
        match opened {
            Ok(log) => assert_eq!((kept, log.head().entries), (0, 2)),
            Err(OpenError::Bad { bad, good_bytes }) => {
                assert_eq!(bad, Bad { line: 3, what: What::CutOff });
                let good = usize::try_from(good_bytes).unwrap();
                assert_eq!(lines(&bytes[..good]).len(), 2);
                assert!(Log::open(store.clone(), &bytes[..good], None).is_ok(), "cut back, it goes on");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn an_opened_log_goes_on_where_it_ended() {
    let store = Memory::default();
    let mut log = begun(store.clone());
    let recorded = intent(&mut log, 1, chat()).unwrap();
    log.outcome(when(2), recorded, done()).unwrap();
    let head = log.head();
    drop(log);
    let bytes = store.bytes.borrow().clone();
    let mut log = Log::open(store.clone(), bytes.as_slice(), None).unwrap();
    assert_eq!(log.head(), head);
    drop(intent(&mut log, 3, chat()).unwrap());
    assert_eq!(bad(&store.bytes.borrow()), None);
}

#[test]
fn an_empty_log_is_an_error_and_not_a_fresh_start() {
    assert!(matches!(Log::open(Memory::default(), [].as_slice(), None), Err(OpenError::Empty)));
    let report = verify([].as_slice(), None).unwrap();
    assert!(!report.is_consistent());
    assert_eq!(report.to_string(), "no line at all: every line is missing");
}

#[test]
fn an_intent_without_an_outcome_reads_as_exported() {
    let log = history(&[0, 0, 2, 1]);
    let report = verify(log.as_slice(), None).unwrap();
    assert_eq!(report.unknown, [2, 5]);
    let chat =
        Key { key_uid: Some(KeyUid::from([7; 32])), path: ExportPath::chat().as_path().clone(), form: Form::Private };
    let left = &report.left[&chat];
    assert_eq!((left.times, left.unknown, left.last), (1, 1, 3));
    assert_eq!(left.fingerprints.len(), 1);
    assert!(report.to_string().starts_with("consistent up to entry 5, end not proven"), "{report}");
}

#[test]
fn what_the_card_refused_or_never_got_did_not_leave() {
    // Intent and refusal by the card; intent and never sent; intent and failure.
    let report = verify(history(&[0, 11, 0, 19, 1, 3]).as_slice(), None).unwrap();
    assert_eq!(report.unknown, [0u64; 0]);
    assert_eq!(report.left.len(), 1);
    assert!(report.left.values().all(|left| (left.times, left.unknown) == (0, 1)));
}

#[test]
fn flipping_any_byte_names_the_line_that_was_changed() {
    let log = history(&[0, 2, 4, 5, 7, 1, 3]);
    for at in 0..log.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut altered = log.clone();
            altered[at] ^= mask;
            let bad = bad(&altered).unwrap_or_else(|| panic!("byte {at} ^ {mask:#x} goes unseen"));
            assert_eq!(bad.line, line_of(&log, at), "byte {at} ^ {mask:#x}: {bad}");
            if log[at] != b'\n' {
                assert_eq!(bad.what, What::Altered, "byte {at} ^ {mask:#x}");
            }
        }
    }
}

#[test]
fn a_line_that_was_rewritten_with_a_fitting_checksum_is_named_by_the_chain() {
    let log = history(&[0, 2, 0, 2]);
    let mut rewritten = Vec::new();
    for (n, line) in (1u64..).zip(lines(&log)) {
        if n == 3 {
            let mut line = Line::decode(line).unwrap();
            line.event = Event::Outcome { intent: 2, outcome: Outcome::RefusedByCard { status: 0x6985 } };
            rewritten.extend(line.encode().unwrap());
        } else {
            rewritten.extend_from_slice(line);
        }
    }
    assert_eq!(bad(&rewritten), Some(Bad { line: 3, what: What::Replaced }));
}

#[test]
fn a_removed_an_inserted_and_a_swapped_line_are_named() {
    let log = history(&[4, 4, 4, 4]);
    let whole = lines(&log);
    let removed = [&whole[..2], &whole[3..]].concat().concat();
    assert_eq!(bad(&removed), Some(Bad { line: 3, what: What::OutOfSequence { found: 4 } }));
    let inserted = [&whole[..3], &whole[2..]].concat().concat();
    assert_eq!(bad(&inserted), Some(Bad { line: 4, what: What::OutOfSequence { found: 3 } }));
    let mut swapped = whole.clone();
    swapped.swap(2, 3);
    assert_eq!(bad(&swapped.concat()), Some(Bad { line: 3, what: What::OutOfSequence { found: 4 } }));
    assert_eq!(bad(&whole[1..].concat()), Some(Bad { line: 1, what: What::OutOfSequence { found: 2 } }));
}

#[test]
fn an_outcome_that_ends_nothing_is_named() {
    let log = history(&[4]);
    let forge = |intent| {
        let line = Line {
            seq: 3,
            unix_ms: 1,
            mono_ms: 1,
            prev: LineHash::of(lines(&log)[1]),
            event: Event::Outcome { intent, outcome: done() },
        };
        [log.clone(), line.encode().unwrap()].concat()
    };
    assert_eq!(bad(&forge(2)), Some(Bad { line: 3, what: What::OutcomeWithoutIntent { intent: 2 } }));
    assert_eq!(bad(&forge(9)), Some(Bad { line: 3, what: What::OutcomeWithoutIntent { intent: 9 } }));
}

#[test]
fn an_opening_of_another_history_is_named() {
    let log = history(&[5]);
    let mut line = Line::decode(lines(&log)[1]).unwrap();
    let Event::ChannelOpened(opened) = &mut line.event else { panic!("not an opening") };
    opened.random = [0xee; 32];
    let forged = [lines(&log)[0], &line.encode().unwrap()].concat();
    assert_eq!(bad(&forged), Some(Bad { line: 2, what: What::OtherHead }));
}

#[test]
fn a_paired_opening_that_was_signed_for_another_history_is_named_and_an_unsigned_one_says_so() {
    let log = history(&[6]);
    let mut line = Line::decode(lines(&log)[1]).unwrap();
    assert!(
        line.event.to_string().contains("(applet 3.1, slot 2, test authority, paired with a password"),
        "{}",
        line.event
    );
    let Event::PairedChannelOpened(opened) = &mut line.event else { panic!("not an opening") };
    opened.signed.as_mut().unwrap().random = [0xee; 32];
    let forged = [lines(&log)[0], &line.encode().unwrap()].concat();
    assert_eq!(bad(&forged), Some(Bad { line: 2, what: What::OtherHead }));

    let log = history(&[14]);
    assert_eq!(bad(&log), None);
    assert!(Line::decode(lines(&log)[1]).unwrap().event.to_string().contains("unsigned card"));
}

#[test]
fn a_line_in_another_form_is_malformed_though_its_checksum_fits() {
    let log = history(&[4]);
    let whole = lines(&log);
    let text = std::str::from_utf8(whole[1]).unwrap();
    for (from, to) in [
        ("\"unix_ms\":", "\"unix_ms\": "),
        ("\"prev\":\"", "\"prev\":\"AB"),
        ("\"seq\":2", "\"seq\":2,\"seq\":2"),
        ("\"seq\":2", "\"seq\":2,\"note\":1"),
        ("\"refusal\"", "\"exported\""),
        ("never", "\\u006eever"),
        ("\"uid\":1000", "\"uid\":-1"),
    ] {
        let body = text.replacen(from, to, 1);
        assert_ne!(body, text, "{from}");
        let body = &body[..body.rfind(",\"sum\"").unwrap()];
        let digest: [u8; 32] = sha2::Digest::finalize(sha2::Digest::chain_update(sha2::Sha256::default(), body)).into();
        let forged = format!("{body},\"sum\":\"{}\"}}\n", hex::encode(&digest[..8]));
        let forged = [whole[0], forged.as_bytes()].concat();
        assert_eq!(bad(&forged), Some(Bad { line: 2, what: What::Malformed }), "{from} -> {to}");
    }
}

#[test]
fn a_line_without_end_is_refused_without_reading_it_all() {
    let mut log = history(&[4]);
    log.resize(log.len() + 1_000_000, b'x');
    assert_eq!(bad(&log), Some(Bad { line: 3, what: What::TooLong }));
}

#[test]
fn the_longest_entry_fits_a_line() {
    let mut log = begun(Memory::default());
    let caller = Caller { binary: Some(Text::lossy(&"\"".repeat(9999))), ..caller() };
    let path = KeyPath::new(&[0xffff_ffff; 10]).unwrap();
    let asked = request(Operation::ExportPublic(path.clone()));
    assert!(log.intent(when(u64::MAX / 2), asked, "x".repeat(32).parse().unwrap(), caller.clone(), [255; 32]).is_ok());
    let refusal = Refusal {
        card: Some(card()),
        key_uid: Some(KeyUid::from([255; 32])),
        asked: Asked::ExtendedPublic(path),
        purpose: "x".repeat(32).parse().ok(),
        caller,
        reason: Text::lossy(&"\\".repeat(9999)),
        policy: [255; 32],
    };
    assert!(log.refusal(when(1), refusal).is_ok());
}

#[test]
fn every_line_reads_as_a_sentence_of_one_line() {
    let log = history(&[0, 2, 1, 3, 1, 11, 4, 5, 6, 7]);
    let mut sentences = Vec::new();
    assert_eq!(read(log.as_slice(), |line| sentences.push(line.event.to_string())).unwrap(), None);
    assert_eq!(sentences.len(), 11);
    assert!(sentences.iter().all(|s| !s.is_empty() && !s.contains('\n')), "{sentences:?}");
    assert_eq!(
        sentences[1],
        "asks the card for the private key of m/43'/60'/1581'/0'/0, for \"chat\", for uid 1000 (/usr/bin/a \"quoted\" ?näme)"
    );
    assert_eq!(sentences[2], "entry 2 is done, fingerprint 0001-0203-0405-06ff");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_history_verifies_and_any_changed_byte_is_named(
        kinds in proptest::collection::vec(any::<u8>(), 0..30),
        at in any::<prop::sample::Index>(),
        mask in 1u8..,
    ) {
        let log = history(&kinds);
        let report = verify(log.as_slice(), None).unwrap();
        prop_assert_eq!(report.bad, None);
        prop_assert_eq!(report.entries(), u64::try_from(lines(&log).len()).unwrap());
        let mut altered = log.clone();
        let at = at.index(log.len());
        altered[at] ^= mask;
        prop_assert_eq!(bad(&altered).map(|bad| bad.line), Some(line_of(&log, at)));
    }

    #[test]
    fn cutting_at_a_line_leaves_the_end_unproven_and_cutting_inside_one_names_it(
        kinds in proptest::collection::vec(any::<u8>(), 0..30),
        at in any::<prop::sample::Index>(),
    ) {
        let log = history(&kinds);
        let cut = &log[..=at.index(log.len())];
        let report = verify(cut, None).unwrap();
        if cut.ends_with(b"\n") {
            prop_assert!(report.is_consistent());
            let end = format!("consistent up to entry {}, end not proven", lines(cut).len());
            prop_assert!(report.to_string().starts_with(&end), "{}", report);
        } else {
            prop_assert_eq!(report.bad, Some(Bad { line: line_of(&log, cut.len() - 1), what: What::CutOff }));
        }
    }

    #[test]
    fn noise_never_panics_the_verifier(noise in proptest::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(verify(noise.as_slice(), None).unwrap().bad.is_some() || noise.is_empty());
    }
}

#[test]
fn a_log_that_lost_its_last_lines_is_bad_at_the_first_of_them_when_its_head_was_kept() {
    let log = history(&[0, 11, 0, 19, 1, 3]);
    let head = verify(log.as_slice(), None).unwrap().head.unwrap();
    assert_eq!(head.to_string().parse(), Ok(head));
    assert!(verify(log.as_slice(), Some(head)).unwrap().is_consistent());

    let end = log[..log.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let report = verify(&log[..end], Some(head)).unwrap();
    assert_eq!(report.bad, Some(Bad { line: head.entries, what: What::Missing { written: head.entries } }));
    let opened = Log::open(Memory::default(), &log[..end], Some(head));
    assert!(matches!(opened, Err(OpenError::Bad { bad: Bad { what: What::Missing { .. }, .. }, .. })));

    let behind = verify(&log[..end], None).unwrap().head;
    assert!(verify(log.as_slice(), behind).unwrap().is_consistent(), "a head may lag behind");

    let other = Head { hash: LineHash::ZERO, ..head };
    let report = verify(log.as_slice(), Some(other)).unwrap();
    assert_eq!(report.bad, Some(Bad { line: head.entries, what: What::NotAsWritten }));
}

#[test]
fn only_three_words_are_a_head() {
    for text in ["", "00 1", "zz 1 00", "00 1 00", "07070707070707070707070707070707 x 00"] {
        assert_eq!(text.parse::<Head>(), Err(NotAHead), "{text}");
    }
}

#[test]
fn a_log_goes_on_in_another_file_and_its_tree_with_it() {
    let (old, new) = (Memory::default(), Memory::default());
    let mut log = begun(old.clone());
    for step in 1..6 {
        let recorded = intent(&mut log, step, chat()).unwrap();
        log.outcome(when(step), recorded, done()).unwrap();
    }
    let mut next = log.continued(new.clone(), when(7)).unwrap();
    let recorded = intent(&mut next, 8, chat()).unwrap();
    next.outcome(when(8), recorded, done()).unwrap();
    let (old, new) = (old.bytes.borrow().clone(), new.bytes.borrow().clone());

    let whole = verify([old.as_slice(), &new].concat().as_slice(), None).unwrap();
    assert!(whole.is_consistent(), "{whole}");
    let alone = verify(new.as_slice(), None).unwrap();
    assert_eq!(alone.head, whole.head, "the second file knows of the first");
    assert_eq!(alone.head, Some(next.head()));

    let mut other = old.clone();
    let cut = other[..other.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    other.truncate(cut);
    let bad = verify([other.as_slice(), &new].concat().as_slice(), None).unwrap().bad.unwrap();
    assert_eq!((bad.line, bad.what), (11, What::OutOfSequence { found: 12 }));
}
