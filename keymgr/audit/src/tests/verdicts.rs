//! Each verdict, by a history that asks for it.

use proto::UnixMillis;

use super::writer::{NEW, OLD, START, Writer, account, caller, done, on};
use crate::evidence::Authorities;
use crate::verify::Tail;
use crate::*;

fn audit(files: &[&[u8]], anchors: &[Anchor]) -> Report {
    let mut auditor = Auditor::new(Authorities::test()).with_anchors(anchors.iter().copied());
    for file in files {
        auditor.read(*file, |_, _| {}).unwrap();
    }
    auditor.finish()
}

fn kept(head: Head) -> Anchor {
    Anchor { head, kept: Kept::Elsewhere }
}

fn beside(head: Head) -> Anchor {
    Anchor { head, kept: Kept::Beside }
}

/// A manager that exported with both cards, each outcome signed.
fn busy() -> Writer {
    let mut writer = Writer::new(1);
    for card in [NEW, OLD] {
        writer.opens(card);
        writer.exports(card);
        writer.states(card);
    }
    writer
}

fn lines_of(log: &[u8]) -> Vec<Vec<u8>> {
    log.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Writes lines anew from this one on, so that sums and chain fit.
pub(super) fn rechained(lines: &[Vec<u8>], from: usize) -> Vec<u8> {
    let mut log: Vec<u8> = lines[..from].concat();
    let mut prev = if from == 0 { LineHash::ZERO } else { LineHash::of(&lines[from - 1]) };
    for (at, line) in lines.iter().enumerate().skip(from) {
        let mut line = Line::decode(line).unwrap();
        (line.prev, line.seq) = (prev, at as u64 + 1);
        let bytes = line.encode().unwrap();
        prev = LineHash::of(&bytes);
        log.extend(bytes);
    }
    log
}

fn verdicts(report: &Report) -> Vec<Verdict> {
    report.findings.iter().map(|finding| finding.verdict).collect()
}

#[test]
fn a_whole_log_is_complete_with_the_newest_head_and_consistent_without() {
    let writer = busy();
    let log = writer.bytes();
    let report = audit(&[&log], &[]);
    assert_eq!((report.verdict(), report.findings.as_slice()), (Verdict::Consistent, [].as_slice()));
    let report = audit(&[&log], &[kept(writer.head())]);
    assert_eq!(report.verdict(), Verdict::Complete, "{report}");
    let from_card = Anchor { head: writer.head(), kept: Kept::OnTheCard };
    assert_eq!(audit(&[&log], &[from_card]).verdict(), Verdict::Complete);
    assert_eq!(audit(&[&log], &[beside(writer.head())]).verdict(), Verdict::Consistent, "that proves nothing");
    assert_eq!(report.coverage.signed_to, report.entries() - 1);
    let cards: Vec<_> =
        report.coverage.spans.iter().map(|span| (span.card, span.authority.as_str(), span.taken)).collect();
    assert_eq!(cards, [(on(NEW), "test", true), (on(OLD), "test", true)]);
    assert_eq!(report.statements.len(), 2);
}

#[test]
fn each_line_of_evidence_that_is_changed_is_altered_at_that_line() {
    let lines = lines_of(&busy().bytes());
    let signed: Vec<usize> = (0..lines.len())
        .filter(|at| {
            !matches!(
                Line::decode(&lines[*at]).unwrap().event,
                Event::Intent(_) | Event::Outcome { .. } | Event::LogOpened(_) | Event::LogCreated { .. }
            )
        })
        .collect();
    assert_eq!(signed.len(), 8);
    for at in signed {
        let mut line = Line::decode(&lines[at]).unwrap();
        match &mut line.event {
            Event::ChannelOpened(opened) => opened.signature = broken(&opened.signature),
            Event::PairedChannelOpened(opened) => opened.signed.as_mut().unwrap().authority = Text::lossy("production"),
            Event::HeadSigned(head) => head.signed.signature = broken(&head.signed.signature),
            Event::Statement(statement) => statement.signature = Blob::try_from([5u8; 64].as_slice()).unwrap(),
            other => panic!("{other}"),
        }
        let mut changed = lines.clone();
        changed[at] = line.encode().unwrap();
        let cut = changed[..=at].concat();
        let report = audit(&[&cut], &[]);
        let finding = report.findings.iter().find(|finding| finding.verdict == Verdict::Altered).unwrap();
        assert_eq!(finding.lines, Lines::one(at as u64 + 1), "{report}");
    }
}

fn broken<const MAX: usize>(blob: &Blob<MAX>) -> Blob<MAX> {
    let mut bytes = blob.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    Blob::try_from(bytes.as_slice()).unwrap()
}

/// Attack list, line 13: a purpose is edited, and every sum and hash after it is computed anew.
#[test]
fn attack_an_edited_purpose_with_a_fitting_chain_is_altered_by_the_cards_signature() {
    let writer = busy();
    let lines = lines_of(&writer.bytes());
    let mut edited = lines.clone();
    let mut line = Line::decode(&lines[3]).unwrap();
    let Event::Intent(intent) = &mut line.event else { panic!("an intent") };
    intent.purpose = "other".parse().unwrap();
    edited[3] = line.encode().unwrap();
    let forged = rechained(&edited, 4);
    let report = audit(&[&forged], &[]);
    assert_eq!(report.verdict(), Verdict::Altered);
    let finding = &report.findings[0];
    assert_eq!((finding.verdict, finding.lines), (Verdict::Altered, Lines::from_to(3, 6)), "{report}");
    // Without the signatures only the anchor knows.
    let unsigned: Vec<Vec<u8>> = lines_of(&forged)[..5].to_vec();
    assert_eq!(audit(&[&unsigned.concat()], &[]).verdict(), Verdict::UnsignedTail);
    assert_eq!(audit(&[&unsigned.concat()], &[kept(writer.head())]).verdict(), Verdict::Truncated);
}

/// Attack list, line 13: the newest lines are cut off.
#[test]
fn attack_a_cut_tail_is_truncated_by_an_anchor_or_the_head_beside() {
    let writer = busy();
    let (log, head) = (writer.bytes(), writer.head());
    let lines = lines_of(&log);
    for keep in 1..lines.len() {
        let cut = lines[..keep].concat();
        for anchor in [kept(head), beside(head)] {
            let report = audit(&[&cut], &[anchor]);
            assert_eq!(report.verdict(), Verdict::Truncated, "{report}");
            let finding = report.findings.iter().find(|it| it.verdict == Verdict::Truncated).unwrap();
            assert_eq!(finding.lines, Lines::from_to(keep as u64 + 1, head.entries));
        }
        assert!(!verdicts(&audit(&[&cut], &[])).contains(&Verdict::Truncated), "no line says that others followed");
    }
}

/// Attack list, line 13: log and head beside it are replaced by those of last week.
#[test]
fn attack_an_old_log_with_its_own_head_is_rolled_back_by_an_anchor() {
    let mut writer = Writer::new(2);
    writer.opens(NEW);
    writer.exports(NEW);
    let (old, old_head) = (writer.bytes(), writer.head());
    writer.exports(NEW);
    let newest = kept(writer.head());
    let report = audit(&[&old], &[beside(old_head), newest]);
    assert_eq!(report.verdict(), Verdict::RolledBack, "{report}");
    // The manager goes on from the old state: a card signs what it writes, and the anchor knows other lines.
    let store = super::Memory::default();
    store.bytes.borrow_mut().extend(&old);
    writer.log = Log::open(store.clone(), old.as_slice(), None).unwrap();
    writer.store = store;
    writer.starts();
    writer.opens(NEW);
    writer.exports(NEW);
    assert_eq!(audit(&[&writer.bytes()], &[newest]).verdict(), Verdict::RolledBack);
    assert_eq!(audit(&[&writer.bytes()], &[]).verdict(), Verdict::Consistent, "only an anchor or the card knows");
}

/// Attack list, line 13: two managers on one card, and a log that was set back as the card remembers.
#[test]
fn attack_a_second_manager_shows_by_what_the_card_remembers() {
    let mut writer = busy();
    let found = Head { entries: 99, ..writer.head() };
    let when = writer.now();
    writer.log.second_writer(when, SecondWriter { card: on(NEW), found }).unwrap();
    let other = Head { log: LogId::from([9; 16]), ..found };
    let when = writer.now();
    writer.log.second_writer(when, SecondWriter { card: on(NEW), found: other }).unwrap();
    writer.signs(NEW);
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(verdicts(&report), [Verdict::RolledBack, Verdict::RolledBack]);
    assert!(matches!(report.findings[0].why, Why::CardRemembersMore { .. }));
    assert!(matches!(report.findings[1].why, Why::CardRemembersOther { .. }));
}

#[test]
fn lines_that_are_missing_between_others_are_a_gap_with_their_numbers() {
    let writer = busy();
    let mut lines = lines_of(&writer.bytes());
    lines.drain(4..7);
    let report = audit(&[&lines.concat()], &[kept(writer.head())]);
    let gap = report.findings.iter().find(|finding| finding.verdict == Verdict::Gap).unwrap();
    assert_eq!((gap.lines, report.verdict()), (Lines::from_to(5, 7), Verdict::Gap), "{report}");
    assert!(report.questions.iter().any(|question| matches!(question, Question::NotChecked { .. })));
}

#[test]
fn all_findings_are_told_and_the_worst_is_the_verdict() {
    let mut writer = busy();
    writer.set_clock(-3_600_000);
    writer.leaves(NEW);
    let mut lines = lines_of(&writer.bytes());
    lines.remove(3);
    lines[7][40] ^= 1;
    let report = audit(&[&lines.concat()], &[]);
    let mut found = verdicts(&report);
    found.dedup();
    for verdict in [Verdict::Gap, Verdict::Altered, Verdict::ClockStep, Verdict::UnsignedTail] {
        assert!(found.contains(&verdict), "{verdict} in {:?}", report.findings);
    }
    assert_eq!(report.verdict(), Verdict::Altered);
}

#[test]
fn an_outcome_after_the_last_signature_is_an_unsigned_tail() {
    let mut writer = busy();
    writer.leaves(NEW);
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(report.verdict(), Verdict::UnsignedTail, "{report}");
    assert_eq!(report.findings[0].lines, Lines::one(writer.head().entries));
    writer.signs(NEW);
    assert_eq!(audit(&[&writer.bytes()], &[kept(writer.head())]).verdict(), Verdict::Complete);
}

/// Somebody has a genuine card of their own.
#[test]
fn attack_a_genuine_card_does_not_vouch_for_what_another_was_asked() {
    let mut writer = busy();
    writer.leaves(NEW);
    let line = writer.head().entries;
    writer.signs(OLD);
    writer.exports(OLD);
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(verdicts(&report), [Verdict::UnsignedTail], "{report}");
    assert_eq!(report.findings[0].lines, Lines::one(line));
    writer.signs(NEW);
    assert_eq!(audit(&[&writer.bytes()], &[kept(writer.head())]).verdict(), Verdict::Complete);
}

/// A 3.x card is named by its instance, which is signed by nobody.
#[test]
fn attack_another_identity_does_not_sign_for_an_instance() {
    let mut writer = busy();
    let (when, head) = (writer.now(), writer.head());
    let signed = super::card::signed(3, &head, [1; 32]);
    writer.log.head_signed(when, HeadSigned { card: on(OLD), applet: Text::lossy("3.1"), signed }).unwrap();
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    let what = What::Unsigned(evidence::Unsigned::OtherCard);
    assert_eq!(report.bad, Some(Bad { line: writer.head().entries, what }));
    assert_eq!(report.verdict(), Verdict::Altered);
}

/// The instance of a 3.x card is another after a reset, so its name never signs again.
#[test]
fn what_a_card_was_asked_before_its_reset_is_covered_by_any_card() {
    let mut writer = busy();
    writer.leaves(OLD);
    let recorded = writer.asks(OLD, Operation::FactoryReset);
    writer.ends(recorded, Outcome::done(None, None));
    assert_eq!(audit(&[&writer.bytes()], &[]).verdict(), Verdict::UnsignedTail);
    writer.signs(NEW);
    assert_eq!(audit(&[&writer.bytes()], &[kept(writer.head())]).verdict(), Verdict::Complete);
}

/// Attack list, line 13: the clock is set back.
#[test]
fn attack_a_clock_that_was_set_back_is_told_within_a_run_and_across_runs() {
    let mut writer = busy();
    writer.set_clock(-600_000);
    writer.exports(NEW);
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(report.verdict(), Verdict::ClockStep, "{report}");
    let mut writer = busy();
    writer.set_clock(-600_000);
    writer.starts();
    writer.exports(NEW);
    assert_eq!(audit(&[&writer.bytes()], &[kept(writer.head())]).verdict(), Verdict::ClockStep);
    let mut writer = busy();
    writer.set_clock(600_000);
    writer.exports(NEW);
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(report.verdict(), Verdict::ClockStep, "sleep does not stop the other clock");
    assert!(matches!(report.findings[0].why, Why::SetForward { .. }));
    let mut writer = busy();
    writer.set_clock(600_000);
    writer.starts();
    writer.exports(NEW);
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(report.verdict(), Verdict::Complete, "nobody knows how long it was off");
}

/// A rotation in the middle of a run hides no step.
#[test]
fn attack_a_clock_that_is_set_before_the_log_goes_on_in_another_file_is_told() {
    for by in [-600_000, 600_000] {
        let mut writer = busy();
        let first = writer.bytes();
        writer.set_clock(by);
        writer.goes_on();
        writer.exports(NEW);
        let report = audit(&[&first, &writer.bytes()], &[kept(writer.head())]);
        assert_eq!(report.verdict(), Verdict::ClockStep, "{by}: {report}");
    }
}

/// A statement is only that of the key with which the card signed.
#[test]
fn attack_a_statement_by_another_key_than_the_outcome_names_is_altered() {
    let name = |key: u8, account, asked: Option<Outcome>| {
        let mut writer = busy();
        let (head, random) = (writer.head(), [7; 32]);
        let place = proto::KeyPlace::from(STATEMENT_PATH.parse::<proto::KeyPath>().unwrap());
        let signing =
            Signing { key: place, makes_current: false, scheme: Scheme::Ecdsa, digest: head.salt(&random).into() };
        let recorded = writer.asks(NEW, Operation::Sign(signing));
        let intent = recorded.seq();
        match asked {
            Some(outcome) => writer.ends(recorded, outcome),
            None => drop(recorded),
        }
        let statement = super::card::statement(key, (on(NEW), account), intent, &head, random);
        let when = writer.now();
        writer.log.statement(when, statement).unwrap();
        writer.signs(NEW);
        let report = audit(&[&writer.bytes()], &[]);
        (report.verdict(), report.statements.len())
    };
    let signed =
        |secret: u8| Outcome::done(Some(proto::Fingerprint::of(&super::card::public(secret))), Some(account()));
    assert_eq!(name(6, account(), Some(signed(6))), (Verdict::Consistent, 3));
    assert_eq!(name(7, account(), Some(signed(6))), (Verdict::Altered, 2), "signed by another key");
    assert_eq!(name(6, proto::KeyUid::from([9; 32]), Some(signed(6))), (Verdict::Altered, 2), "of another account");
    assert_eq!(name(6, account(), Some(Outcome::done(None, None))), (Verdict::Altered, 2), "no key is named");
    assert_eq!(name(6, account(), Some(Outcome::RefusedByCard { status: 0x6985 })), (Verdict::Altered, 2));
    assert_eq!(name(6, account(), None), (Verdict::Altered, 2), "nobody knows whether it signed");
}

#[test]
fn what_came_after_the_last_signature_is_counted_by_what_it_tells() {
    let mut writer = busy();
    let signed = writer.head().entries;
    let report = audit(&[&writer.bytes()], &[]);
    assert_eq!((report.coverage.signed_to, report.coverage.tail), (signed - 1, Tail::default()));
    drop(writer.asks(NEW, chat()));
    let when = writer.now();
    let decoy =
        Decoy { card: on(NEW), key_uid: Some(account()), chat_fingerprint: "0001-0203-0405-0602".parse().unwrap() };
    writer.log.decoy(when, decoy).unwrap();
    let lends = Deed::Lends { seconds: 9 };
    let when = writer.now();
    let owner = Owner { card: Some(on(NEW)), deed: lends, purpose: "lend".parse().unwrap(), caller: caller(0) };
    writer.log.owner(when, owner).unwrap();
    let tail = audit(&[&writer.bytes()], &[]).coverage.tail;
    assert_eq!(
        tail.to_string(),
        format!("lines {}-{}: 1 intent(s), 1 deed(s) of an owner, 1 use(s) of a decoy", signed + 1, signed + 3)
    );
    assert_eq!(audit(&[&Writer::new(3).bytes()], &[]).coverage.tail.to_string(), "lines 1-2: 2 other line(s)");
}

#[test]
fn a_log_from_the_future_is_told() {
    let writer = busy();
    let mut auditor = Auditor::new(Authorities::test()).with_now(UnixMillis::new(START - 3_600_000));
    auditor.read(writer.bytes().as_slice(), |_, _| {}).unwrap();
    let report = auditor.finish();
    assert_eq!(verdicts(&report), [Verdict::ClockStep]);
    assert_eq!(report.findings[0].lines, Lines::from_to(1, writer.head().entries));
}

#[test]
fn a_decoy_is_told_by_the_manager_or_by_fingerprints_that_differ() {
    let mut writer = busy();
    let decoy =
        Decoy { card: on(NEW), key_uid: Some(account()), chat_fingerprint: "0001-0203-0405-0602".parse().unwrap() };
    let when = writer.now();
    writer.log.decoy(when, decoy).unwrap();
    writer.signs(NEW);
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(report.verdict(), Verdict::DecoyWallet);

    let mut writer = busy();
    writer.exports(NEW);
    let before = writer.head().entries;
    for fingerprint in [2, 2] {
        let recorded = writer.asks(NEW, chat());
        writer.ends(recorded, done(fingerprint));
        writer.signs(NEW);
    }
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(verdicts(&report), [Verdict::DecoyWallet]);
    assert_eq!(report.findings[0].lines, Lines::one(before + 2));
}

fn chat() -> Operation {
    Operation::ExportPrivate(proto::ExportPath::chat())
}

/// A quiet duress mode keys the fingerprints: they differ in every line, and that must betray nothing.
#[test]
fn keyed_fingerprints_are_no_decoy() {
    let mut writer = Writer::new(3);
    writer.opens(NEW);
    writer.exports(NEW);
    writer.exports(NEW);
    let when = writer.now();
    let settings = Owner {
        card: Some(on(NEW)),
        deed: Deed::ChangesSettings,
        purpose: "settings".parse().unwrap(),
        caller: caller(0),
    };
    writer.log.owner(when, settings).unwrap();
    for fingerprint in 10..20 {
        let recorded = writer.asks(NEW, chat());
        writer.ends(recorded, done(fingerprint));
        writer.signs(NEW);
    }
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(report.verdict(), Verdict::Complete, "{report}");
    assert!(report.questions.iter().any(|question| matches!(question, Question::Fingerprints { .. })));
}

#[test]
fn a_card_that_signs_nothing_or_whose_authority_is_not_taken_is_unsigned() {
    let mut writer = Writer::new(4);
    writer.opens_mute();
    writer.leaves(OLD);
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(verdicts(&report), [Verdict::UnsignedCard]);
    assert!(matches!(report.findings[0].why, Why::SignsNothing { .. }));

    let writer = busy();
    let mut auditor = Auditor::new(Authorities::production()).with_anchors([kept(writer.head())]);
    auditor.read(writer.bytes().as_slice(), |_, _| {}).unwrap();
    let report = auditor.finish();
    assert_eq!(verdicts(&report), [Verdict::UnsignedCard; 2]);
    assert_eq!(report.coverage.signed_to, 0);
}

/// A genuine 3.x card signs whatever it is given, so it could sign the opening of a device that plays a 4.0 card.
#[test]
fn attack_an_identity_of_one_generation_is_not_taken_on_the_other() {
    let mut writer = Writer::new(5);
    writer.opens(OLD);
    let (when, head) = (writer.now(), writer.head());
    writer.log.channel_opened(when, super::card::opening(OLD, &head, [1; 32])).unwrap();
    let report = audit(&[&writer.bytes()], &[kept(writer.head())]);
    assert_eq!(report.bad, Some(Bad { line: 4, what: What::OtherGeneration }));
    assert_eq!(report.verdict(), Verdict::Altered);
}

#[test]
fn a_rotated_log_is_read_file_by_file_and_says_where_it_begins() {
    let mut writer = busy();
    let first = writer.bytes();
    writer.goes_on();
    writer.exports(NEW);
    let (second, head) = (writer.bytes(), writer.head());
    let report = audit(&[&first, &second], &[kept(head)]);
    assert_eq!(
        (report.verdict(), report.lines),
        (Verdict::Complete, Some(Lines::from_to(1, head.entries))),
        "{report}"
    );
    assert_eq!(audit(&[&[first.as_slice(), &second].concat()], &[kept(head)]).verdict(), Verdict::Complete);

    let report = audit(&[&second], &[kept(head)]);
    let begins = first.split(|byte| *byte == b'\n').count() as u64;
    assert_eq!((report.verdict(), report.lines), (Verdict::Consistent, Some(Lines::from_to(begins, head.entries))));
    assert!(report.to_string().starts_with(&format!("begins at entry {begins}, ")), "{report}");
    assert!(report.questions.contains(&Question::Begins { entry: begins }));

    // Another first file, one in the wrong order, and one that lost its end.
    assert_eq!(audit(&[&Writer::new(9).bytes(), &second], &[]).verdict(), Verdict::Altered);
    assert_ne!(audit(&[&second, &first], &[]).verdict(), Verdict::Consistent);
    let short = lines_of(&first)[..5].concat();
    let report = audit(&[&short, &second], &[kept(head)]);
    assert_eq!(report.findings[0].verdict, Verdict::Gap);
    assert_eq!(report.findings[0].lines, Lines::from_to(6, begins - 1));
}

#[test]
fn an_anchor_of_another_log_is_told() {
    let (writer, other) = (busy(), Writer::new(7));
    let report = audit(&[&writer.bytes()], &[kept(other.head())]);
    assert_eq!(report.verdict(), Verdict::RolledBack);
    assert_eq!(audit(&[&writer.bytes()], &[kept(other.head()), kept(writer.head())]).verdict(), Verdict::Complete);
    // Who replaced the log replaced the head beside it too.
    let beside = Anchor { head: writer.head(), kept: Kept::Beside };
    assert_eq!(audit(&[&writer.bytes()], &[kept(other.head()), beside]).verdict(), Verdict::RolledBack);
}

#[test]
fn what_was_not_sent_to_a_card_owes_no_signature() {
    let mut writer = busy();
    let recorded = writer.asks(NEW, Operation::GenerateKey);
    writer.ends(recorded, Outcome::NotSent { reason: Text::lossy("the applet cannot do this") });
    assert_eq!(audit(&[&writer.bytes()], &[kept(writer.head())]).verdict(), Verdict::Complete);
}

#[test]
fn heads_are_read_from_a_text_and_the_rest_of_a_line_does_not_count() {
    let head = busy().head();
    let text = format!("# kept\n\n{head}\n{head} sent 2026-01-01\n");
    assert_eq!(Anchor::listed(&text).unwrap(), [kept(head), kept(head)]);
    assert_eq!(Anchor::listed(&format!("{head}\nnonsense")).unwrap_err().line, 2);
}

/// One nonce for two hashes gives the private key, which then counts as exported.
#[test]
fn attack_a_repeated_nonce_gives_the_key_and_is_in_the_closure() {
    let mut writer = Writer::new(8);
    writer.opens(NEW);
    for digest in [1u8, 1, 2] {
        let key = proto::KeyPlace::from("m/44'/60'/0'/0/3".parse::<proto::KeyPath>().unwrap());
        let signing = Signing { key, makes_current: false, scheme: Scheme::Ecdsa, digest: [digest; 32].into() };
        let recorded = writer.asks(NEW, Operation::Sign(signing));
        writer.ends(recorded, Outcome::Done { fingerprint: None, key_uid: Some(account()), nonce: Some([5; 32]) });
    }
    writer.signs(NEW);
    let report = audit(&[&writer.bytes()], &[]);
    assert_eq!(report.repeated_nonces.len(), 1, "the same signature twice says nothing");
    let repeat = &report.repeated_nonces[0];
    assert_eq!((repeat.first.line, repeat.second.line, repeat.is_of_one_key()), (4, 8, true));
    assert!(report.closure.computable.iter().any(|it| it.what.extent.is_private() && it.what.follows));
}

#[test]
fn what_a_lent_reader_was_used_for_is_an_open_question() {
    let mut writer = busy();
    let lend = |writer: &mut Writer, deed| {
        let when = writer.now();
        let owner = Owner { card: Some(on(NEW)), deed, purpose: "lend".parse().unwrap(), caller: caller(0) };
        writer.log.owner(when, owner).unwrap()
    };
    let first = lend(&mut writer, Deed::Lends { seconds: 9 });
    let last = lend(&mut writer, Deed::TakesBack);
    let again = lend(&mut writer, Deed::Lends { seconds: 9 });
    let report = audit(&[&writer.bytes()], &[]);
    let card = Some(on(NEW));
    assert_eq!(
        report.questions,
        [
            Question::Lent { card, lines: Lines::from_to(first, last), returned: true },
            Question::Lent { card, lines: Lines::one(again), returned: false }
        ]
    );
}
