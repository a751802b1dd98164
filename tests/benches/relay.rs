//! The relay: what a program costs that takes envelopes from one peer and sends them on to others.
//!
//! `wakuprobe load` is the sender and every listener, of our relay and of the one that `PEER_RELAY` names. Each figure is
//! of a relay that was started for it, and takes its CPU time from the kernel's account of that process. Neither side
//! confirms what it takes, as is the peer's custom, unless the row says so.

mod message;
mod rest;
mod scaling;
mod subject;

use scenarios::peer::error::Outcome;

use self::subject::{Load, Subjects};
use crate::Bench;
use crate::frames::{cipher_us, keccak_us};
use crate::row::{Row, Unit};

/// Measures relays, if the load generator is there.
pub(crate) fn rows(bench: &mut Bench) -> Outcome {
    let subjects = match Subjects::new() {
        Ok(subjects) => subjects,
        Err(missing) => {
            eprintln!("no row of a relay in this run: {missing}");
            return Ok(());
        }
    };
    let resting = rest::begin(bench, &subjects)?;
    costs(bench, &subjects)?;
    latency(bench, &subjects)?;
    message::rows(bench, &subjects)?;
    rest::start(bench, &subjects)?;
    scaling::rows(bench, &subjects)?;
    resting.rows(bench);
    Ok(())
}

/// CPU time an envelope, or a further listener.
fn costs(bench: &mut Bench, subjects: &Subjects) -> Outcome {
    let small = envelope_floor_us(SMALL, 2.0);
    // An incoming frame of its own squeezes four tags more.
    let alone = small + 4.0 * keccak_us(16);
    let points = [
        (FLAT, "-n 20000 -batch 100", false, small, Some(10.0)),
        (ALONE, "-n 10000 -batch 1", false, alone, Some(15.0)),
        (STEADY, "-n 5000 -batch 1 -rate 1000", false, alone, Some(20.0)),
        (LARGE, "-n 1000 -batch 10 -size 16384 -ttl 20", false, envelope_floor_us(16_686, 2.0), Some(120.0)),
        (FLAT_CONFIRMED, "-n 20000 -batch 100", true, small + keccak_us(SMALL), None),
        (ALONE_CONFIRMED, "-n 10000 -batch 1", true, alone + keccak_us(SMALL) + 8.0 * keccak_us(16), None),
    ];
    for (what, load, confirmed, floor, target) in points {
        if bench.wants(what) {
            let (ours, peer) = subjects.both(|who| subjects.median(who, confirmed, load, |load| load.cpu_us))?;
            let row = Row::new(what, Unit::Us).ours(ours).peer(peer, subjects.peer()).floor(floor);
            bench.add(Row { target, ..row });
        }
    }
    if bench.wants(LISTENER) {
        let cost = |who, load| subjects.median(who, false, load, |load: &Load| load.cpu_us);
        let (ours, peer) = subjects.both(|who| {
            let (one, many) = (cost(who, "-n 10000 -batch 100")?, cost(who, "-n 10000 -batch 100 -listeners 11")?);
            Ok((many - one) / 10.0)
        })?;
        let row = Row::new(LISTENER, Unit::Us).ours(ours).peer(peer, subjects.peer()).target(4.0);
        bench.add(row.floor(keccak_us(SMALL) + cipher_us(SMALL)));
    }
    Ok(())
}

fn latency(bench: &mut Bench, subjects: &Subjects) -> Outcome {
    for (rate, target) in [(200, Some(5.0)), (1000, None)] {
        let [p50, p99] = ["p50", "p99"].map(|part| format!("{HOP}, {rate} envelopes/s, {part}"));
        if bench.wants(&p50) || bench.wants(&p99) {
            let load = format!("-n {} -batch 1 -rate {rate}", rate * 3);
            let (ours, peer) = subjects.both(|who| subjects.load(who, false, &load))?;
            let row = |what, of: fn(&Load) -> f64| {
                Row::new(what, Unit::Ms).ours(of(&ours)).peer(peer.as_ref().map(of), subjects.peer())
            };
            bench.add(Row { target, ..row(p50, |load| load.p50_ms) });
            bench.add(row(p99, |load| load.p99_ms));
        }
    }
    Ok(())
}

/// What an envelope of so many bytes costs at least: its name, its proof of work, and on each of so many connections the
/// cipher and the running MAC.
fn envelope_floor_us(len: usize, connections: f64) -> f64 {
    2.0 * keccak_us(len) + connections * (keccak_us(len) + cipher_us(len))
}

/// An envelope with a payload of 256 bytes on the wire.
const SMALL: usize = 558;

const FLAT: &str = "relay CPU, 558-byte envelopes, 100 a packet, flat out";
const ALONE: &str = "relay CPU, 558-byte envelopes, 1 a packet, flat out";
const STEADY: &str = "relay CPU, 558-byte envelopes, 1 a packet, 1000/s";
const LARGE: &str = "relay CPU, 16 KiB envelopes, 10 a packet, flat out";
const FLAT_CONFIRMED: &str = "relay CPU, 558-byte envelopes, 100 a packet, flat out, confirmed";
const ALONE_CONFIRMED: &str = "relay CPU, 558-byte envelopes, 1 a packet, flat out, confirmed";
const LISTENER: &str = "relay CPU, each further full listener";
const HOP: &str = "relay latency through one hop";
