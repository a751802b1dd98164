//! What a scenario has at hand: the programs it may start. None of them outlives it.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use wire::p2p::Enode;

use super::error::Outcome;
use super::leash::Leash;
use super::place::{Place, Tool};
use super::program::Program;

/// The surroundings of one scenario.
#[derive(Debug)]
pub struct World {
    place: Place,
    leashes: Mutex<Vec<Leash>>,
}

impl World {
    /// Returns the surroundings of a scenario.
    #[must_use]
    pub const fn new(place: Place) -> Self {
        Self { place, leashes: Mutex::new(Vec::new()) }
    }

    /// Where the programs are.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Starts a program.
    ///
    /// # Errors
    /// [`PeerError`](super::PeerError) when it is missing or cannot be started.
    pub fn start(&self, tool: Tool, arguments: &[&str]) -> Outcome<Program> {
        let program = Program::start(&self.place.find(tool)?, arguments)?;
        self.hold(&program);
        Ok(program)
    }

    /// Starts a peer and returns it with its event `started`, once it is the version that this scenario is about.
    ///
    /// # Errors
    /// As [`World::start`]; a peer that does not start, or is another one, fails the scenario.
    pub fn peer(&self, tool: Tool, arguments: &[&str]) -> Outcome<(Program, Value)> {
        let mut program = self.start(tool, arguments)?;
        let started = Self::started(tool, &mut program)?;
        Ok((program, started))
    }

    /// Returns the event `started` of a peer, once it is the version that this scenario is about.
    ///
    /// # Errors
    /// As [`World::peer`].
    pub fn started(tool: Tool, program: &mut Program) -> Outcome<Value> {
        let started = program.wait_for("started", START, |line| {
            matches!(line.get("event").and_then(Value::as_str), Some("started" | "listening" | "fatal"))
        })?;
        if let Some(error) = started.get("error") {
            return Err(format!("{tool} did not start: {error}").into());
        }
        let called = started.get("peer").and_then(Value::as_str).unwrap_or_default();
        match tool.version() {
            Some(version) if !called.starts_with(version) => {
                Err(format!("{tool} is of another version: it calls itself {called:?}").into())
            }
            _ => Ok(started),
        }
    }

    /// Starts a relay of ours in a fresh directory.
    ///
    /// # Errors
    /// As [`World::start`]; a relay that does not get ready fails the scenario.
    pub fn relay(&self, arguments: &[&str]) -> Outcome<Relay> {
        self.relay_in(tempfile::tempdir()?, "127.0.0.1:0", arguments)
    }

    /// Starts a relay of ours in the directory of one that was there before, at the same address.
    ///
    /// # Errors
    /// As [`World::relay`].
    pub fn relay_again(&self, before: (TempDir, Enode), arguments: &[&str]) -> Outcome<Relay> {
        let (home, enode) = before;
        self.relay_in(home, &enode.socket_addr().to_string(), arguments)
    }

    fn relay_in(&self, home: TempDir, listen: &str, arguments: &[&str]) -> Outcome<Relay> {
        let path = |name: &str| home.path().join(name).into_os_string().into_string().map_err(|_| odd_path());
        let (dir, socket) = (path("state")?, path("run/node.sock")?);
        let mut all = vec!["relay", "--until-stdin-closes", "--listen", listen, "--dir", &dir, "--socket", &socket];
        all.extend(arguments);
        let mut program = self.start(Tool::Node, &all)?;
        let ready = program.wait_for("its ready line", START, |line| line.get("ready").is_some())?;
        let enode = ready.get("enode").and_then(Value::as_str).unwrap_or_default().parse()?;
        Ok(Relay { program, enode, home })
    }

    /// Has a program ended when the scenario runs out of time.
    pub fn hold(&self, program: &Program) {
        self.leashes.lock().unwrap_or_else(PoisonError::into_inner).push(program.leash());
    }

    /// Ends every program that is still there.
    pub fn end(&self) {
        for leash in self.leashes.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            leash.pull();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end();
    }
}

/// A relay of ours that takes connections.
#[derive(Debug)]
pub struct Relay {
    /// Its process.
    pub program: Program,
    /// Where it is and who.
    pub enode: Enode,
    /// Its directory, which holds `state/` and `run/node.sock`.
    pub home: TempDir,
}

impl Relay {
    /// Ends it as a crash would, and keeps what it has on disk.
    #[must_use]
    pub fn kill(self) -> (TempDir, Enode) {
        self.program.kill();
        (self.home, self.enode)
    }

    /// Its directory, which holds `state/` and `run/node.sock`.
    #[must_use]
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }
}

fn odd_path() -> io::Error {
    io::Error::other("the temporary directory has a name that is no text")
}

/// For a program to get ready on a busy machine.
const START: Duration = Duration::from_secs(20);
