//! Curves: what an envelope costs a relay with more listeners, a fuller pool, listeners of more topics.

use scenarios::peer::error::Outcome;

use super::subject::{Load, Subjects};
use crate::Bench;
use crate::row::{Row, Unit};

/// Measures the curves. `BENCH_FULL=1` adds the pool of a million envelopes, which takes a minute.
pub(super) fn rows(bench: &mut Bench, subjects: &Subjects) -> Outcome {
    for (listeners, n) in [(1, 10_000), (10, 5_000), (100, 1_000)] {
        let load = format!("-n {n} -batch 100 -listeners {listeners}");
        point(bench, subjects, &format!("relay CPU, {listeners} full listeners"), &load, None)?;
    }
    let mut pools = vec![1_000, 10_000, 100_000];
    if std::env::var_os("BENCH_FULL").is_some() {
        pools.push(1_000_000);
    }
    for pool in pools {
        let load = format!("-n 5000 -batch 100 -ttl 600 -prefill {pool}");
        point(bench, subjects, &format!("relay CPU, pool of {pool}"), &load, None)?;
    }
    for topics in [1, 100, 10_000] {
        let load = format!("-n 10000 -batch 100 -ntopics {topics}");
        point(bench, subjects, &format!("relay CPU, listener of {topics} topics"), &load, None)?;
    }
    if bench.wants(POOLED) {
        let (ours, peer) = subjects.both(|who| subjects.load(who, false, "-n 50000 -batch 100 -ttl 600"))?;
        let kib = |load: Load| load.kib;
        let row = Row::new(POOLED, Unit::KiB).ours(kib(ours)).peer(peer.map(kib), subjects.peer());
        bench.add(row.floor(super::SMALL as f64 / 1024.0).target(1.0));
    }
    Ok(())
}

fn point(bench: &mut Bench, subjects: &Subjects, what: &str, load: &str, target: Option<f64>) -> Outcome {
    if bench.wants(what) {
        let (ours, peer) = subjects.both(|who| subjects.load(who, false, load))?;
        let row = Row::new(what, Unit::Us).ours(ours.cpu_us).peer(peer.map(|load| load.cpu_us), subjects.peer());
        bench.add(Row { target, ..row });
    }
    Ok(())
}

pub(super) const POOLED: &str = "relay RSS, a pooled 558-byte envelope";
