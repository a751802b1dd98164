//! Ten thousand clean logs, which are all believed, and ten thousand that were tampered with, which are not.

use super::verdicts::rechained;
use super::writer::{Dice, NEW, Writer};
use crate::evidence::Authorities;
use crate::*;

/// What somebody does who has the file, and everything but the cards and the anchor.
#[derive(Debug, Clone, Copy)]
enum Tampering {
    Flip,
    Drop,
    DropAndRechain,
    Swap,
    SwapAndRechain,
    Cut,
    CutInside,
    Duplicate,
    Insert,
    Splice,
    ReplayOldHead,
    EditPurpose,
    EditPurposeAndRechain,
    EditTimeAndRechain,
}

const ALL: [Tampering; 14] = [
    Tampering::Flip,
    Tampering::Drop,
    Tampering::DropAndRechain,
    Tampering::Swap,
    Tampering::SwapAndRechain,
    Tampering::Cut,
    Tampering::CutInside,
    Tampering::Duplicate,
    Tampering::Insert,
    Tampering::Splice,
    Tampering::ReplayOldHead,
    Tampering::EditPurpose,
    Tampering::EditPurposeAndRechain,
    Tampering::EditTimeAndRechain,
];

fn life(seed: u64, most: u64) -> Writer {
    let mut writer = Writer::new(seed);
    writer.opens(NEW);
    for _ in 0..writer.dice.below(most) {
        writer.lives();
    }
    writer
}

fn split(log: &[u8]) -> Vec<Vec<u8>> {
    log.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn audit(log: &[u8], head: Head) -> Report {
    let anchor = Anchor { head, kept: Kept::Elsewhere };
    let mut auditor = Auditor::new(Authorities::test()).with_anchors([anchor]);
    auditor.read(log, |_, _| {}).unwrap();
    auditor.finish()
}

fn clean(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let writer = life(seed, 6);
        let report = audit(&writer.bytes(), writer.head());
        assert_eq!(report.findings, [], "log of seed {seed}");
        assert_eq!(report.verdict(), Verdict::Complete, "log of seed {seed}");
        assert!(report.coverage.signed_to > 0, "log of seed {seed}");
    }
}

fn tampered(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let (writer, other) = (life(seed, 8), life(seed + 1_000_000, 8));
        let (log, head) = (writer.bytes(), writer.head());
        let (lines, theirs) = (split(&log), split(&other.bytes()));
        let mut dice = Dice(seed | 1);
        for round in 0..50 {
            let tampering = ALL[round % ALL.len()];
            let changed = tamper(tampering, &lines, &theirs, &mut dice);
            if changed == log {
                continue;
            }
            let report = audit(&changed, head);
            let verdict = report.verdict();
            let found = matches!(verdict, Verdict::Altered | Verdict::Gap | Verdict::Truncated | Verdict::RolledBack);
            assert!(found, "{tampering:?} of the log of seed {seed}: {report}");
        }
    }
}

fn tamper(tampering: Tampering, lines: &[Vec<u8>], theirs: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut lines = lines.to_vec();
    let at = dice.below(lines.len() as u64) as usize;
    let to = dice.below(lines.len() as u64) as usize;
    match tampering {
        Tampering::Flip => {
            let byte = dice.below(lines[at].len() as u64) as usize;
            lines[at][byte] ^= 1 << dice.below(8);
        }
        Tampering::Drop => drop(lines.remove(at)),
        Tampering::DropAndRechain => {
            lines.remove(at);
            return rechained(&lines, at);
        }
        Tampering::Swap => lines.swap(at, to),
        Tampering::SwapAndRechain => {
            lines.swap(at, to);
            return rechained(&lines, at.min(to));
        }
        Tampering::Cut => lines.truncate(at),
        Tampering::CutInside => {
            lines.truncate(at + 1);
            let left = dice.below(lines[at].len() as u64) as usize;
            lines[at].truncate(left);
        }
        Tampering::Duplicate => lines.insert(to, lines[at].clone()),
        Tampering::Insert => {
            lines.insert(to, theirs[dice.below(theirs.len() as u64) as usize].clone());
            return rechained(&lines, to);
        }
        Tampering::Splice => {
            lines.truncate(at);
            lines.extend(theirs.iter().skip(at).cloned());
            return if dice.below(2) == 0 { lines.concat() } else { rechained(&lines, at) };
        }
        Tampering::ReplayOldHead => {
            let is_signed =
                |line: &Vec<u8>| Line::decode(line).is_ok_and(|line| matches!(line.event, Event::ChannelOpened(_)));
            let signed: Vec<usize> = (0..lines.len()).filter(|at| is_signed(&lines[*at])).collect();
            let [first, .., last] = signed.as_slice() else { return lines.concat() };
            lines[*last] = lines[*first].clone();
            return rechained(&lines, *last);
        }
        Tampering::EditPurpose | Tampering::EditPurposeAndRechain => {
            let is_intent =
                |line: &Vec<u8>| Line::decode(line).is_ok_and(|line| matches!(line.event, Event::Intent(_)));
            let Some(at) = lines.iter().position(is_intent) else { return lines.concat() };
            let mut line = Line::decode(&lines[at]).unwrap();
            let Event::Intent(intent) = &mut line.event else { return lines.concat() };
            intent.purpose = "harmless".parse().unwrap();
            lines[at] = line.encode().unwrap();
            if matches!(tampering, Tampering::EditPurposeAndRechain) {
                return rechained(&lines, at + 1);
            }
        }
        Tampering::EditTimeAndRechain => {
            let mut line = Line::decode(&lines[at]).unwrap();
            line.unix_ms += 1;
            lines[at] = line.encode().unwrap();
            return rechained(&lines, at + 1);
        }
    }
    lines.concat()
}

#[test]
fn five_thousand_clean_logs_are_complete() {
    clean(0..5_000);
}

#[test]
fn five_thousand_more_clean_logs_are_complete() {
    clean(5_000..10_000);
}

#[test]
fn five_thousand_tamperings_are_found_with_the_newest_head() {
    tampered(0..100);
}

#[test]
fn five_thousand_more_tamperings_are_found_with_the_newest_head() {
    tampered(100..200);
}

/// Not a test of right and wrong: `cargo test --release -p audit -- --ignored --nocapture speed` prints how fast it goes.
#[test]
#[ignore = "only a release build says something"]
fn speed_of_verification() {
    let mut writer = Writer::new(1);
    writer.opens(NEW);
    while writer.head().entries < 200_000 {
        writer.leaves(NEW);
        if writer.head().entries % 1000 < 2 {
            writer.signs(NEW);
        }
    }
    writer.signs(NEW);
    let (log, head) = (writer.bytes(), writer.head());
    // The time that this thread had a core, in nanoseconds: other programs do not count.
    let spent = || {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    for _ in 0..5 {
        let before = spent();
        assert_eq!(audit(&log, head).verdict(), Verdict::Complete);
        let nanos = spent() - before;
        let (entries, bytes) = (head.entries, log.len() as u64);
        println!("{} entries a second, {} bytes an entry", entries * 1_000_000_000 / nanos, bytes / entries);
    }
}
