//! A relay with nothing to do: how soon it is there, and what it occupies.

use std::cell::Cell;
use std::time::{Duration, Instant};

use scenarios::peer::connection::{Connection, somebody};
use scenarios::peer::error::Outcome;
use wire::p2p::{Capability, Enode};

use super::subject::{Running, Subjects};
use crate::Bench;
use crate::clock::quantile;
use crate::row::{Row, Unit};

/// Relays that are left alone while others are measured.
pub(super) struct Resting<'a> {
    subjects: &'a Subjects,
    since: Instant,
    relays: Option<(Running, Option<Running>)>,
}

/// Starts the relays that are left alone.
pub(super) fn begin<'a>(bench: &Bench, subjects: &'a Subjects) -> Outcome<Resting<'a>> {
    let relays = bench.wants(IDLE).then(|| subjects.both(|who| subjects.start(who, true))).transpose()?;
    Ok(Resting { subjects, since: Instant::now(), relays })
}

impl Resting<'_> {
    /// Says what they occupy, half a minute after their start or later.
    pub(super) fn rows(self, bench: &mut Bench) {
        let Some((ours, peer)) = self.relays else { return };
        Running::rest(self.since, REST);
        if let Some(mib) = ours.mib() {
            let peer = peer.and_then(|peer| peer.mib());
            bench.add(Row::new(IDLE, Unit::MiB).ours(mib).peer(peer, self.subjects.peer()).target(10.0));
        }
    }
}

/// From the start of the process to its Waku status on a connection. Ours is the start of a relay that has been there
/// before, except in the row of its first one, which writes its key to the disk; the peer's has nothing on disk.
pub(super) fn start(bench: &mut Bench, subjects: &Subjects) -> Outcome {
    if !bench.wants(START) && !bench.wants(FIRST) {
        return Ok(());
    }
    let local = somebody(&[Capability::WAKU_1])?;
    let connected = |enode: &Enode| -> Outcome {
        let mut connection = Connection::dial(&local, enode)?;
        connection.up()?;
        connection.message(PATIENCE)?;
        Ok(())
    };
    let (mut ours, peer) = subjects.both(|who| {
        let start = || {
            let relay = subjects.start(who, true)?;
            connected(&relay.enode)?;
            Ok(relay)
        };
        timed(start, drop)
    })?;
    let peer = peer.map(|mut starts| quantile(&mut starts, 0.5));
    let first = quantile(&mut ours, 0.5);
    let before = Cell::new(Some(subjects.world().relay(&[])?.kill()));
    let start = || {
        let relay = subjects.world().relay_again(before.take().ok_or("there was none before")?, &[])?;
        connected(&relay.enode)?;
        Ok(relay)
    };
    let mut ours = timed(start, |relay| before.set(Some(relay.kill())))?;
    let row = Row::new(START, Unit::Ms).ours(quantile(&mut ours, 0.5));
    bench.add(row.peer(peer, subjects.peer()).target(30.0));
    bench.add(Row::new(FIRST, Unit::Ms).ours(first));
    Ok(())
}

/// Returns how long each of [`STARTS`] takes, in milliseconds; what ends them takes no part in it.
fn timed<T>(start: impl Fn() -> Outcome<T>, end: impl Fn(T)) -> Outcome<Vec<f64>> {
    let one = |_| {
        let begin = Instant::now();
        let started = start()?;
        let time = begin.elapsed().as_secs_f64() * 1e3;
        end(started);
        Ok(time)
    };
    (0..STARTS).map(one).collect()
}

const FIRST: &str = "relay, first start to connected";
const START: &str = "relay, start to connected";
const IDLE: &str = "relay RSS, idle for 30 s";
const REST: Duration = Duration::from_secs(30);
const STARTS: usize = 11;
const PATIENCE: Duration = Duration::from_secs(5);
