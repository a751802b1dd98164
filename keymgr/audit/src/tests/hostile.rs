//! A log of 200,000 lines that is written to keep a verifier busy.

use super::writer::{NEW, OLD, START, account, caller, on};
use crate::evidence::Authorities;
use crate::*;

const LINES: u64 = 200_000;

/// The time that this thread had a core: other programs do not count.
fn spent() -> std::time::Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    std::time::Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn path(n: u64) -> proto::KeyPath {
    proto::KeyPath::new(&[(n >> 16) as u32, (n & 0xffff) as u32]).unwrap()
}

/// Keys that are shown, settings that change, nonces that all keys share, clocks that jump, and an end that is not there.
fn event(line: u64) -> Event {
    let request = |operation| Request { card: on(NEW), key_uid: Some(account()), operation };
    let number = line / 4;
    let purpose: Purpose = "chat".parse().unwrap();
    match line % 4 {
        2 => {
            let digest = proto::Digest::from([(number % 250) as u8; 32]);
            let key = path(number % 30_000).into();
            let signing = Signing { key, makes_current: false, scheme: Scheme::Ecdsa, digest };
            let request = request(Operation::Sign(signing));
            Event::Intent(Intent { request, purpose, caller: caller(1), policy: [1; 32] })
        }
        3 => {
            let fingerprint = format!("0001-0203-0405-{:04x}", number & 0xffff).parse().ok();
            let nonce = Some([(number % 7) as u8; 32]);
            Event::Outcome { intent: line - 1, outcome: Outcome::Done { fingerprint, key_uid: None, nonce } }
        }
        0 => {
            let card = Some(if number.is_multiple_of(2) { on(OLD) } else { on(NEW) });
            let deed = if number.is_multiple_of(3) { Deed::ChangesSettings } else { Deed::Lends { seconds: 9 } };
            Event::Owner(Owner { card, deed, purpose, caller: caller(0) })
        }
        _ => {
            let request = request(Operation::ExportPublic(path(number)));
            Event::Intent(Intent { request, purpose, caller: caller(number as u32), policy: [1; 32] })
        }
    }
}

#[test]
fn attack_a_hostile_log_of_200_000_lines_is_verified_in_bounded_time() {
    let mut auditor = Auditor::new(Authorities::test());
    let (mut prev, mut log) = (LineHash::ZERO, Vec::new());
    for seq in 1..=LINES {
        let event = if seq == 1 { Event::created(LogId::from([5; 16])) } else { event(seq) };
        let line = Line { seq, unix_ms: START + seq % 5 * 60_000, mono_ms: seq, prev, event };
        let bytes = line.encode().unwrap();
        prev = LineHash::of(&bytes);
        log.extend(bytes);
    }
    let before = spent();
    auditor.read(log.as_slice(), |_, _| {}).unwrap();
    let report = auditor.finish();
    let spent = spent() - before;
    println!("{} lines, {} MiB, {spent:?}", report.entries(), log.len() >> 20);
    assert_eq!((report.entries(), report.bad), (LINES, None));
    assert!(spent < std::time::Duration::from_secs(100), "{spent:?}");
    assert_eq!((report.findings.len(), report.questions.len()), (1000 + 1, 1000));
    assert!(report.more_findings > 1000 && report.more_questions > 1000 && report.more_repeated_nonces > 1000);
    assert_eq!(report.unknown.len() as u64, LINES / 4 - 1, "the first line begins the log");
}
