//! Proofs of a log that cards signed, and what they do not prove.

use super::*;
use crate::Operation;
use crate::tests::writer::{NEW, OLD, Writer};

/// A log of several days in three files, whose last line is the signature of the 4.0 card.
fn files() -> (Writer, Vec<Vec<u8>>) {
    let mut writer = Writer::new(3);
    let mut files = Vec::new();
    for day in 0..3 {
        if day > 0 {
            files.push(writer.bytes());
            writer.goes_on();
        }
        writer.opens(if day == 1 { OLD } else { NEW });
        writer.exports(NEW);
    }
    files.push(writer.bytes());
    (writer, files)
}

fn survey(files: &[Vec<u8>]) -> Result<Standing, CannotProve> {
    let mut survey = Survey::default();
    files.iter().try_for_each(|file| survey.read(file.as_slice()))?;
    survey.finish()
}

fn prove(files: &[Vec<u8>], ask: Ask, entries: u64) -> Result<Proof, CannotProve> {
    let mut prover = Prover::of(&[ask], entries)?;
    files.iter().try_for_each(|file| prover.read(file.as_slice()))?;
    Ok(prover.finish()?.pop().unwrap())
}

fn lines(files: &[Vec<u8>]) -> Vec<String> {
    let all = String::from_utf8(files.concat()).unwrap();
    all.split_inclusive('\n').map(str::to_owned).collect()
}

/// Every line and every head of a log are proven of every later head, by what is written as JSON and read again.
#[test]
fn every_line_and_every_older_head_of_a_rotated_log_is_proven_of_every_later_head() {
    let (writer, files) = files();
    let (lines, newest) = (lines(&files), writer.head());
    let standing = survey(&files).unwrap();
    assert_eq!(standing, Standing { head: newest, signed: newest.entries - 1 });
    let heads: Vec<TreeHead> =
        (1..=newest.entries).map(|entries| prove(&files, Ask::Line(1), entries).unwrap().head).collect();
    assert_eq!(heads.last(), Some(&newest.into()));
    let mut signed = 0;
    for head in &heads {
        for number in 1..=head.entries {
            let old = heads[number as usize - 1];
            for ask in [Ask::Line(number), Ask::Since(old)] {
                let proof = prove(&files, ask, head.entries).unwrap();
                let written = serde_json::to_string(&proof).unwrap();
                let proof: Proof = serde_json::from_str(&written).unwrap();
                let proven = proof.check().unwrap();
                assert_eq!(proof.head, *head);
                match ask {
                    Ask::Line(_) => {
                        assert_eq!(proven.line, Line::decode(lines[number as usize - 1].as_bytes()).ok());
                        assert!(proven.line.is_some());
                    }
                    Ask::Since(_) => assert_eq!((proven.line, proof.of), (None, Of::Head(old))),
                }
                signed += usize::from(proven.signed.is_some());
            }
        }
    }
    assert!(signed > 20, "{signed}");
    assert!(matches!(
        prove(&files, Ask::Line(newest.entries + 1), newest.entries),
        Err(CannotProve::AfterTheHead { .. })
    ));
    assert!(matches!(prove(&files, Ask::Line(1), newest.entries + 1), Err(CannotProve::Lost { .. })));
    assert!(prove(&files, Ask::Line(0), newest.entries).is_err());
}

#[test]
fn a_proof_needs_no_file_before_that_of_its_line_and_names_the_line_that_it_misses() {
    let (writer, files) = files();
    let entries = writer.head().entries;
    let begins: Vec<u64> = files
        .iter()
        .map(|file| Line::decode(file.split_inclusive(|byte| *byte == b'\n').next().unwrap()).unwrap().seq)
        .collect();
    for (from, begins) in begins.into_iter().enumerate() {
        let fewer = &files[from..];
        for line in 1..=entries {
            let whole = prove(&files, Ask::Line(line), entries).unwrap();
            match prove(fewer, Ask::Line(line), entries) {
                Ok(proof) => assert_eq!(proof, whole),
                Err(CannotProve::OlderFile { line: missing }) => assert!(line < begins && missing < begins),
                Err(error) => panic!("{error}"),
            }
            let old = prove(&files, Ask::Line(1), line).unwrap().head;
            match prove(fewer, Ask::Since(old), entries) {
                Ok(proof) => assert!(proof.check().is_ok()),
                // The end of a file is told by the next one.
                Err(CannotProve::OlderFile { .. }) => assert!(line < begins - 1),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_log_is_held_against_the_heads_that_are_known_of_it() {
    let (writer, files) = files();
    let newest = TreeHead::from(writer.head());
    let first = Line::decode(files[1].split_inclusive(|byte| *byte == b'\n').next().unwrap()).unwrap().seq;
    let heads: Vec<TreeHead> =
        (1..=newest.entries).map(|entries| prove(&files, Ask::Line(1), entries).unwrap().head).collect();
    let said = |files: &[Vec<u8>], known: &[TreeHead]| {
        let mut survey = Survey::against(known.iter().rev().copied());
        files.iter().try_for_each(|file| survey.read(file.as_slice())).unwrap();
        survey.finish()
    };
    assert!(said(&files, &heads).is_ok() && said(&files[1..], &heads).is_ok());
    for head in &heads {
        let other = TreeHead { root: Root::leaf(&LineHash::ZERO), ..*head };
        let known = [heads.clone(), vec![other]].concat();
        assert!(
            matches!(said(&files, &known), Err(CannotProve::OtherHead { entries }) if entries == head.entries),
            "{head:?}"
        );
        // The end of the file before is told by the first one that is there.
        assert_eq!(said(&files[1..], &known).is_ok(), head.entries < first - 1, "{head:?}");
    }
    for cut in 1..newest.entries {
        let lines = lines(&files)[..cut as usize].concat().into_bytes();
        let lines_lost = crate::Lines::from_to(cut + 1, newest.entries);
        let Err(why @ CannotProve::Lost { lines: found }) = said(&[lines], &heads) else { panic!("{cut}") };
        assert_eq!(found, lines_lost);
        assert!(why.to_string().starts_with(&format!("the log lost {lines_lost}: ")), "{why}");
    }
    // What is not there because an older file is missing was not lost.
    assert!(matches!(prove(&files[1..], Ask::Line(1), 2), Err(CannotProve::OlderFile { line: 2 })));
}

/// Who makes a proof up has no way to the root that a card signed.
#[test]
fn attack_a_proof_of_another_line_head_or_signature_does_not_hold() {
    let (writer, files) = files();
    let entries = writer.head().entries - 1;
    let whole = prove(&files, Ask::Line(4), entries).unwrap();
    assert!(whole.check().unwrap().signed.is_some());
    let lines = lines(&files);
    let with = |change: &dyn Fn(&mut Proof)| {
        let mut proof = whole.clone();
        change(&mut proof);
        proof.check().unwrap_err()
    };
    let of = |number: u64, entry: &str| Of::Line { number, entry: entry.to_owned() };
    assert_eq!(with(&|it| it.format = Text::lossy("cardinal-proof/2")), NotProven::UnknownFormat);
    assert_eq!(with(&|it| it.of = of(4, &lines[2])), NotProven::NotThatLine);
    assert_eq!(with(&|it| it.of = of(4, "hello\n")), NotProven::NotThatLine);
    assert_eq!(with(&|it| it.of = of(0, &lines[3])), NotProven::NotThatLine);
    assert_eq!(with(&|it| it.of = of(3, &lines[2])), NotProven::OtherRoot);
    let mut edited = Line::decode(lines[3].as_bytes()).unwrap();
    edited.unix_ms += 1;
    let edited = String::from_utf8(edited.encode().unwrap()).unwrap();
    assert_eq!(with(&|it| it.of = of(4, &edited)), NotProven::OtherRoot);
    assert_eq!(with(&|it| it.path.truncate(1)), NotProven::OtherRoot);
    assert_eq!(with(&|it| it.head.entries += 64), NotProven::OtherRoot);
    assert_eq!(with(&|it| it.head.log = [9; 16].into()), NotProven::OtherHead, "no card signed the head of that log");
    assert_eq!(with(&|it| it.signed = Some(lines[3].clone())), NotProven::OtherHead);
    assert_eq!(with(&|it| it.signed = Some("x\n".to_owned())), NotProven::OtherHead);
    let mut forged = Line::decode(lines.last().unwrap().as_bytes()).unwrap();
    let Event::ChannelOpened(opened) = &mut forged.event else { panic!("an opening") };
    opened.signature = crate::Blob::try_from([5u8; 8].as_slice()).unwrap();
    let forged = String::from_utf8(forged.encode().unwrap()).unwrap();
    assert_eq!(with(&|it| it.signed = Some(forged.clone())), NotProven::Unsigned(Unsigned::Malformed));
    let other = TreeHead { log: [9; 16].into(), ..whole.head };
    assert_eq!(with(&|it| it.of = Of::Head(other)), NotProven::OtherLog);
    assert_eq!(with(&|it| it.of = Of::Head(it.head)), NotProven::OtherRoot, "it needs no path");
}

#[test]
fn nothing_is_proven_of_a_log_that_is_not_whole_or_of_a_head_of_another() {
    let (writer, files) = files();
    let entries = writer.head().entries;
    let mut broken = files.clone();
    broken[0][200] ^= 1;
    assert!(matches!(survey(&broken), Err(CannotProve::Bad { .. })));
    assert!(matches!(prove(&broken, Ask::Line(3), entries), Err(CannotProve::Bad { .. })));
    assert!(matches!(survey(&[]), Err(CannotProve::Empty)));
    let mut old = prove(&files, Ask::Line(1), 5).unwrap().head;
    old.root = Root::leaf(&LineHash::ZERO);
    assert!(matches!(prove(&files, Ask::Since(old), entries), Err(CannotProve::OtherHead { entries: 5 })));
}

/// A head that no card signed is proven too, and says that nobody vouches for it.
#[test]
fn a_head_without_a_signature_has_none_in_its_proof() {
    let mut writer = Writer::new(4);
    drop(writer.asks(NEW, Operation::GenerateKey));
    let files = [writer.bytes()];
    assert_eq!(survey(&files).unwrap(), Standing { head: writer.head(), signed: 0 });
    let proof = prove(&files, Ask::Line(3), 3).unwrap();
    assert_eq!(proof.check().unwrap().signed, None);
}
