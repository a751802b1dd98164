//! A relay under load: ours, or the one that `PEER_RELAY` names.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use scenarios::peer::error::Outcome;
use scenarios::peer::{Place, Program, Relay, Tool, World};
use serde_json::Value;
use wire::p2p::Enode;

/// Whose relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Ours,
    Peer,
}

/// The relays that can be started, and the generator that loads them.
pub(super) struct Subjects {
    world: World,
    generator: PathBuf,
    /// Its name, when it was given.
    peer: Option<String>,
}

/// A relay that takes connections.
pub(super) struct Running {
    pub(super) program: Program,
    pub(super) enode: Enode,
    /// The directory of ours.
    _home: Option<tempfile::TempDir>,
}

/// What the generator saw.
#[derive(Debug)]
pub(super) struct Load {
    /// CPU time of the relay, an envelope.
    pub(super) cpu_us: f64,
    /// From the sender to the first listener.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// What the relay occupies more than before, an envelope.
    pub(super) kib: f64,
}

impl Subjects {
    /// Finds the generator, our relay, and the peer if one is given.
    pub(super) fn new() -> Outcome<Self> {
        let place = Place::here();
        let generator = place.find(Tool::Probe)?;
        place.find(Tool::Node)?;
        let given = place.find(PEER);
        let mut subjects = Self { world: World::new(place), generator, peer: None };
        match given {
            Err(why) => eprintln!("no peer of the relay in this run: {why}"),
            Ok(_) => {
                let (_program, started) = subjects.world.peer(PEER, &PEER_ARGUMENTS)?;
                let name = started.get("peer").and_then(Value::as_str).unwrap_or("PEER_RELAY");
                subjects.peer = Some(name.to_owned());
            }
        }
        Ok(subjects)
    }

    /// Returns what starts the programs, and ends them.
    pub(super) const fn world(&self) -> &World {
        &self.world
    }

    /// Returns the peer's name; nothing that anybody sees without one.
    pub(super) fn peer(&self) -> &str {
        self.peer.as_deref().unwrap_or_default()
    }

    /// Measures our relay and then the peer's, if there is one. A peer that fails has no figure, and it is said why.
    pub(super) fn both<T>(&self, measure: impl Fn(Who) -> Outcome<T>) -> Outcome<(T, Option<T>)> {
        let ours = measure(Who::Ours)?;
        let peer = self
            .peer
            .as_ref()
            .and_then(|name| measure(Who::Peer).inspect_err(|error| eprintln!("no figure of {name}: {error}")).ok());
        Ok((ours, peer))
    }

    /// Starts a relay with room for every load.
    pub(super) fn start(&self, who: Who, confirmed: bool) -> Outcome<Running> {
        match who {
            Who::Ours => {
                let quiet: &[&str] =
                    if confirmed { &["--confirmations", "always"] } else { &["--confirmations", "never"] };
                let Relay { program, enode, home } = self.world.relay(&[&OURS_ARGUMENTS, quiet].concat())?;
                Ok(Running { program, enode, _home: Some(home) })
            }
            Who::Peer => {
                let loud: &[&str] = if confirmed { &["-confirmations"] } else { &[] };
                let (program, started) = self.world.peer(PEER, &[&PEER_ARGUMENTS, loud].concat())?;
                let enode = started.get("enode").and_then(Value::as_str).unwrap_or_default().parse()?;
                Ok(Running { program, enode, _home: None })
            }
        }
    }

    /// Starts a relay and loads it.
    pub(super) fn load(&self, who: Who, confirmed: bool, load: &str) -> Outcome<Load> {
        let relay = self.start(who, confirmed)?;
        self.loaded(&relay, load)
    }

    /// Returns the median of one figure of [`ROUNDS`] loads.
    pub(super) fn median(&self, who: Who, confirmed: bool, load: &str, of: fn(&Load) -> f64) -> Outcome<f64> {
        let rounds = (0..ROUNDS).map(|_| Ok(of(&self.load(who, confirmed, load)?)));
        let mut figures = rounds.collect::<Outcome<Vec<f64>>>()?;
        Ok(crate::clock::quantile(&mut figures, 0.5))
    }

    /// Loads a relay; every envelope has to reach every listener.
    fn loaded(&self, relay: &Running, load: &str) -> Outcome<Load> {
        let (enode, pid) = (relay.enode.to_string(), relay.program.pid().to_string());
        // Envelopes need no more proof of work than a short life gives them.
        let fixed = ["load", "-enode", &enode, "-pid", &pid, "-noseal", "-ttl", "50"];
        let mut generator = Program::start(&self.generator, fixed.into_iter().chain(load.split_whitespace()))?;
        self.world.hold(&generator);
        let seen = generator.wait_for("the end of the load", PATIENCE, |line| {
            matches!(line.get("event").and_then(Value::as_str), Some("load" | "fatal"))
        })?;
        if let Some(error) = seen.get("error") {
            return Err(format!("load {load}: {error}").into());
        }
        let figure = |name: &str| {
            seen.pointer(name).and_then(Value::as_f64).ok_or_else(|| format!("the generator does not tell {name}"))
        };
        let (n, received) = (figure("/n")?, figure("/received")?);
        if n != received {
            return Err(format!("load {load}: {received} envelopes of {n} arrived").into());
        }
        Ok(Load {
            cpu_us: figure("/relay_cpu_us_per_env")?,
            p50_ms: figure("/latency_ms/p50")?,
            p99_ms: figure("/latency_ms/p99")?,
            kib: (figure("/relay_rss_kib")? - figure("/relay_rss0_kib")?) / n,
        })
    }
}

impl Running {
    /// Returns what it occupies.
    pub(super) fn mib(&self) -> Option<f64> {
        self.program.rss().map(|bytes| bytes as f64 / f64::from(1 << 20))
    }

    /// When nobody measures it before, it is left alone so long.
    pub(super) fn rest(since: Instant, time: Duration) {
        std::thread::sleep(time.saturating_sub(since.elapsed()));
    }
}

const PEER: Tool = Tool::Given("PEER_RELAY");
const PEER_ARGUMENTS: [&str; 2] = ["-listen", "127.0.0.1:0"];
/// The peer's pool knows no bound.
const OURS_ARGUMENTS: [&str; 4] = ["--pool-envelopes", "2000000", "--pool-bytes", "4000000000"];
const ROUNDS: usize = 3;
/// For the greatest load on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
