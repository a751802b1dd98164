//! A relay with nothing to do: how soon it is there, and what it occupies.

use std::time::{Duration, Instant};

use scenarios::peer::connection::{Connection, somebody};
use scenarios::peer::error::Outcome;
use wire::p2p::Capability;

use super::subject::{Running, Subjects, Who};
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

/// From the start of the process, in a fresh directory, to its Waku status on a connection.
pub(super) fn start(bench: &mut Bench, subjects: &Subjects) -> Outcome {
    if !bench.wants(START) {
        return Ok(());
    }
    let local = somebody(&[Capability::WAKU_1])?;
    let connected = |who: Who| {
        let begin = Instant::now();
        let relay = subjects.start(who, true)?;
        let mut connection = Connection::dial(&local, &relay.enode)?;
        connection.up()?;
        connection.message(PATIENCE)?;
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    };
    let (mut ours, peer) = subjects.both(|who| (0..STARTS).map(|_| connected(who)).collect::<Outcome<Vec<f64>>>())?;
    let peer = peer.map(|mut starts| quantile(&mut starts, 0.5));
    let row = Row::new(START, Unit::Ms).ours(quantile(&mut ours, 0.5));
    bench.add(row.peer(peer, subjects.peer()).target(30.0));
    Ok(())
}

pub(super) const START: &str = "relay, start to connected";
pub(super) const IDLE: &str = "relay RSS, idle for 30 s";
const REST: Duration = Duration::from_secs(30);
const STARTS: usize = 11;
const PATIENCE: Duration = Duration::from_secs(5);
