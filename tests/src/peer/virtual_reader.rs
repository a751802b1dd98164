//! The real pcscd with vpcd's virtual reader, in namespaces of its own, and the cards that are put into it.
//!
//! Programs outside reach it by its socket, which [`VirtualReader::command`] names to them. The invariant: everything in
//! the namespaces ends with them, and they end with the scenario.

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use super::error::Outcome;
use super::place::Tool;
use super::program::Program;
use super::world::World;

/// A reader with room for one card, as every PC/SC client sees it. vpcd shows a second one, which stays empty.
#[derive(Debug)]
pub struct VirtualReader {
    card: Option<Program>,
    service: Option<Program>,
    /// The first process of the namespaces, and its id.
    place: (Program, String),
    folder: TempDir,
    /// Where clients find libpcsclite if the machine has none.
    library: Option<PathBuf>,
}

impl VirtualReader {
    /// The name of the reader that cards are put into.
    pub const NAME: &'static str = "Virtual PCD 00 00";
    /// The name of the one that stays empty.
    pub const EMPTY: &'static str = "Virtual PCD 00 01";
    /// Where cards find the reader, in its namespaces.
    pub const ADDRESS: &'static str = "127.0.0.1:35963";

    /// Starts a reader without a card.
    ///
    /// # Errors
    /// [`PeerError`](super::PeerError) when pcscd is missing or does not come up.
    pub fn start(world: &World) -> Outcome<Self> {
        let mut reader = Self::without_service(world)?;
        reader.start_service(world)?;
        Ok(reader)
    }

    /// Makes the place of a reader, in which no pcscd runs.
    ///
    /// # Errors
    /// As [`VirtualReader::start`].
    pub fn without_service(world: &World) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let (place, started) = world.peer(Tool::Pcscd, &["place", text(folder.path())?])?;
        let pid = started.get("pid").and_then(Value::as_u64).ok_or("the namespaces have no process")?.to_string();
        let library = Some(world.place().peers().join("pcsc-library")).filter(|library| library.exists());
        Ok(Self { card: None, service: None, place: (place, pid), folder, library })
    }

    /// Starts pcscd, which waits for cards.
    ///
    /// # Errors
    /// As [`VirtualReader::start`].
    pub fn start_service(&mut self, world: &World) -> Outcome {
        self.serve(world, &[])
    }

    /// Starts pcscd, whose driver connects to a card that listens. Such a card must never leave: vpcd 3.3 ends pcscd then.
    ///
    /// # Errors
    /// As [`VirtualReader::start`]; without a card that listens pcscd does not come up.
    pub fn start_service_that_connects(&mut self, world: &World) -> Outcome {
        self.serve(world, &["listen"])
    }

    fn serve(&mut self, world: &World, way: &[&str]) -> Outcome {
        self.stop_service();
        let mut arguments = vec!["serve", &self.place.1, text(self.folder.path())?];
        arguments.extend(way);
        let service = world.start(Tool::Pcscd, &arguments)?;
        let until = Instant::now() + START;
        while UnixStream::connect(self.socket()).is_err() {
            if Instant::now() >= until {
                return Err(format!("pcscd did not come up within {START:?}{}", service.said()).into());
            }
            std::thread::sleep(TICK);
        }
        self.service = Some(service);
        Ok(())
    }

    /// Ends pcscd as a crash would.
    pub fn stop_service(&mut self) {
        if let Some(service) = self.service.take() {
            service.kill();
        }
    }

    /// Puts the card of this file into the reader, in place of the one that is there.
    ///
    /// # Errors
    /// [`PeerError`](super::PeerError) when `softcard` is missing or does not reach the reader.
    pub fn insert(&mut self, world: &World, card: &Path, options: &[&str]) -> Outcome {
        let mut arguments = vec!["serve", "--card", text(card)?, "--connect", Self::ADDRESS];
        arguments.extend(options);
        self.remove();
        self.card = Some(self.start_card(world, &arguments)?);
        Ok(())
    }

    /// Puts the card of this file where [`VirtualReader::start_service_that_connects`] finds it.
    ///
    /// # Errors
    /// As [`VirtualReader::insert`].
    pub fn lay_out(&mut self, world: &World, card: &Path, options: &[&str]) -> Outcome {
        let mut arguments = vec!["serve", "--card", text(card)?, "--listen", Self::ADDRESS];
        arguments.extend(options);
        self.remove();
        self.card = Some(self.start_card(world, &arguments)?);
        Ok(())
    }

    fn start_card(&self, world: &World, arguments: &[&str]) -> Outcome<Program> {
        let softcard = world.place().find(Tool::Softcard)?;
        let mut inside = vec!["in", &self.place.1, text(&softcard)?];
        inside.extend(arguments);
        let mut card = world.start(Tool::Pcscd, &inside)?;
        card.wait_for("the ready line of the card", START, |line| line.get("ready").is_some())?;
        Ok(card)
    }

    /// Draws the card.
    pub fn remove(&mut self) {
        if let Some(card) = self.card.take() {
            card.kill();
        }
    }

    /// Has the card in the reader answer nothing more, for as long as it is there.
    pub fn freeze(&self) {
        let pid = self.card.as_ref().and_then(|card| Pid::from_raw(card.pid().cast_signed()));
        if let Some(pid) = pid {
            // Its programs lead a group, and it is ours until it is removed.
            let _gone = kill_process_group(pid, Signal::STOP);
        }
    }

    /// The card that is in the reader, as the program that plays it.
    pub const fn card(&mut self) -> Option<&mut Program> {
        self.card.as_mut()
    }

    /// pcscd's socket, as it is reached from outside.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("run/pcscd/pcscd.comm")
    }

    /// What a client's environment has to say.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let socket = ("PCSCLITE_CSOCK_NAME", self.socket().into_os_string());
        let library = self.library.as_ref().map(|library| ("LD_LIBRARY_PATH", library.clone().into_os_string()));
        std::iter::once(socket).chain(library).collect()
    }

    /// Returns a client that is to be run, in the environment that names this reader.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment());
        command
    }

    /// Starts a client of this reader.
    ///
    /// # Errors
    /// As [`World::start`].
    pub fn client(&self, world: &World, tool: Tool, arguments: &[&str]) -> Outcome<Program> {
        let mut command = self.command(&world.place().find(tool)?);
        command.args(arguments);
        let program = Program::spawn(command)?;
        world.hold(&program);
        Ok(program)
    }
}

fn text(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| format!("{} is no text", path.display()).into())
}

/// For a program to get ready on a busy machine.
const START: Duration = Duration::from_secs(20);
/// Between two looks at a socket.
const TICK: Duration = Duration::from_millis(10);
