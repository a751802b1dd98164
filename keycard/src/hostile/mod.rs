//! Hostile answers: every response parser is given what no Keycard says, in corpora that are committed and a million times
//! at random (`make fuzz`). Each is refused or read, as the corpus says; nothing panics, and the memory does not grow.

mod mutation;
mod surface;

use std::fmt::Write as _;
use std::time::Instant;

use proto::TestDice;

use self::mutation::{mutate, noise};
use self::surface::{Bench, SURFACES};

/// One answer a line: the surface, what became of it, and the bytes with the status word.
const CORPUS: &str = include_str!("../../tests/data/hostile-answers.txt");

#[test]
fn every_committed_hostile_answer_is_refused_or_read_as_before() {
    let mut bench = Bench::new();
    let mut answers = 0;
    for line in CORPUS.lines().filter(|line| !line.starts_with('#')) {
        let [name, verdict, answer] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let surface = SURFACES.iter().find(|surface| surface.name == name).unwrap_or_else(|| panic!("{line}"));
        let read = bench.offer(surface, hex::decode(answer).unwrap());
        assert_eq!(if read { "read" } else { "refused" }, verdict, "{name} {answer}");
        answers += 1;
    }
    assert!(answers >= 10_000, "{answers} answers");
    for surface in SURFACES {
        let start = format!("{} ", surface.name);
        let hostile = CORPUS.lines().filter(|line| line.starts_with(&start)).count();
        assert!(hostile >= 100, "{hostile} for {}", surface.name);
    }
}

#[test]
fn what_a_keycard_answers_is_read_on_every_surface() {
    let mut bench = Bench::new();
    for surface in SURFACES {
        for good in (surface.good)() {
            assert!(bench.offer(surface, good.clone()), "{} {}", surface.name, hex::encode(good));
        }
    }
}

/// `FUZZ_SEED` draws others, `FUZZ_ANSWERS` more or fewer.
#[test]
#[ignore = "takes two minutes or so: make fuzz"]
fn a_million_random_answers_neither_panic_nor_grow_memory() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (seed, answers) = (number("FUZZ_SEED", 1), number("FUZZ_ANSWERS", 1_000_000));
    let goods: Vec<Vec<Vec<u8>>> = SURFACES.iter().map(|surface| (surface.good)()).collect();
    let mut dice = TestDice::seeded(seed);
    let mut bench = Bench::new();
    let (mut read, mut settled) = (0u64, 0);
    let began = Instant::now();
    for turn in 0..answers {
        let at = usize::try_from(turn).unwrap() % SURFACES.len();
        let answer = draw(&goods[at], turn / SURFACES.len() as u64, &mut dice);
        read += u64::from(bench.offer(&SURFACES[at], answer));
        if turn == answers / 10 {
            settled = resident_kib();
        }
    }
    let grown = resident_kib().saturating_sub(settled);
    println!(
        "answers={answers} surfaces={} read={read} refused={} seconds={} resident_kib={settled} grown_kib={grown} seed={seed}",
        SURFACES.len(),
        answers - read,
        began.elapsed().as_secs(),
    );
    assert!(grown < 4096, "{grown} KiB more after nine tenths of the answers");
}

/// Writes the corpus anew, for a surface that is added: the verdicts in it are to be read before they are committed.
#[test]
#[ignore = "writes tests/data/hostile-answers.txt"]
fn the_corpus_is_written() {
    let mut bench = Bench::new();
    let mut text = String::from(
        "# surface, verdict, answer with status word; written by keycard/src/hostile (the_corpus_is_written)\n",
    );
    let each = 10_000 / SURFACES.len() + 1;
    for surface in SURFACES {
        let (goods, mut dice) = ((surface.good)(), TestDice::seeded(7));
        for turn in 0..each as u64 {
            let answer = draw(&goods, turn, &mut dice);
            let shown = hex::encode(&answer);
            let verdict = if bench.offer(surface, answer) { "read" } else { "refused" };
            writeln!(text, "{} {verdict} {shown}", surface.name).unwrap();
        }
    }
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hostile-answers.txt"), text).unwrap();
}

/// Mostly harmed answers, and noise now and then.
fn draw(goods: &[Vec<u8>], turn: u64, dice: &mut TestDice) -> Vec<u8> {
    if turn % 8 == 7 {
        return noise(dice);
    }
    mutate(&goods[usize::try_from(turn).unwrap() % goods.len()], dice)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
