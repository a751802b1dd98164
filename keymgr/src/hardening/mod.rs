//! What the manager takes from itself before it meets a card or a client, and what of that the kernel gave.
//!
//! | measure | what it does |
//! |---|---|
//! | `no-core` | no core file, no debugger of the same user, no reading of `/proc/PID/mem` |
//! | `locked-memory` | no page with a PIN or a key is written to the swap |
//! | `no-new-privileges` | no program that it could start would get more rights than it has |
//! | `no-capabilities` | none of root's rights, whoever started it: those that callers' programs are looked at with are the witness's |
//! | `system-calls` | no network, no other program, no look into other processes (`seccomp`) |
//! | `files` | its own directories, and nothing else, can be written to; no TCP (`landlock`) |
//!
//! The invariant: a measure is either in force for every thread, or its name is in the log, in the status and in the metrics
//! with the reason why it is not.

mod files;
mod system_calls;

use std::path::{Path, PathBuf};

use proto::rpc::api;
use proto::shell::memory;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Where a manager works: everything else is closed to it.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Folders in which it makes, writes and removes files.
    pub written: Vec<PathBuf>,
    /// Files and folders that it reads.
    pub read: Vec<PathBuf>,
}

impl Places {
    /// Returns the places of a manager with this directory, which reads these files.
    pub fn of<'a>(dir: &Path, read: impl Iterator<Item = &'a PathBuf>) -> Self {
        // Folders, not files: a file that is replaced is another one.
        let read = read.map(|file| folder_of(file).to_owned()).chain(std::env::current_exe().ok()).collect();
        Self { written: vec![dir.to_owned()], read }
    }

    /// Lets it write files beside this one too, and this one.
    pub fn write_beside(&mut self, file: &Path) {
        self.written.push(folder_of(file).to_owned());
    }
}

/// Takes from a witness what it does not need either.
pub fn restrict_witness() {
    for applied in [
        memory::keep_private().map_err(|error| error.to_string()),
        system_calls::restrict().map_err(|error| error.to_string()),
    ] {
        if let Err(error) = applied {
            tracing::debug!("the witness is not hardened: {error}");
        }
    }
}

/// Gives up what this thread has of root's rights.
fn drop_capabilities() -> rustix::io::Result<()> {
    // A unit may forbid the call, and one that gives none needs none.
    if rustix::thread::capabilities(None)?.permitted.is_empty() {
        return Ok(());
    }
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// One measure, and why it is not in force if it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// Its name in the status and in the metrics.
    pub name: &'static str,
    /// Why it is not in force.
    pub missing: Option<String>,
}

/// What is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hardening(Vec<Measure>);

impl Hardening {
    /// Switches on what the kernel has, for this thread and every thread that it starts. What could not be switched on is
    /// logged.
    ///
    /// Called while there is no other thread, and after what needs more: sockets that were handed over, and the witness.
    #[must_use]
    pub fn apply(places: &Places) -> Self {
        let mut measures = vec![
            Measure::of("no-core", memory::keep_private()),
            Measure::of("locked-memory", memory::lock_all()),
            Measure::of("no-new-privileges", rustix::thread::set_no_new_privs(true)),
            // After the memory was locked, which may take one.
            Measure::of("no-capabilities", drop_capabilities()),
        ];
        // Files before system calls: the filter forbids to make another sandbox.
        measures.push(Measure::of("files", files::restrict(places)));
        measures.push(Measure::of("system-calls", system_calls::restrict()));
        for Measure { name, missing } in &measures {
            if let Some(why) = missing {
                tracing::warn!(measure = name, "not hardened: {why}");
            }
        }
        Self(measures)
    }

    /// Returns every measure.
    #[must_use]
    pub fn measures(&self) -> &[Measure] {
        &self.0
    }

    /// Returns what is not in force, in one line; nothing when all is.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let missing: Vec<String> = self
            .0
            .iter()
            .filter_map(|measure| measure.missing.as_ref().map(|why| format!("{}: {why}", measure.name)))
            .collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    }
}

impl Measure {
    /// Returns it as the status shows it.
    #[must_use]
    pub fn shown(&self) -> api::Measure {
        let Self { name, missing } = self;
        let in_force = missing.is_none();
        api::Measure { name: (*name).to_owned(), in_force, missing: missing.clone().unwrap_or_default() }
    }

    fn of<E: std::fmt::Display>(name: &'static str, applied: Result<(), E>) -> Self {
        Self { name, missing: applied.err().map(|error| error.to_string()) }
    }
}

#[cfg(test)]
mod tests;
