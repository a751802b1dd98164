//! The figures of go-ethereum, from a program that does the same operations with its packages
//! (`tests/interop/go/benchpeer`) and measures them by getrusage.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Bench, Trouble};

/// What the peer measured, by the names it gives its operations.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    name: String,
    figures: BTreeMap<String, f64>,
}

impl Figures {
    /// Returns the figure of an operation, when the peer has run it.
    pub(crate) fn figure(&self, operation: &str) -> Option<f64> {
        self.figures.get(operation).copied()
    }

    /// Returns the peer's name and version.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// Runs the peer, when it was built. Its rows have no peer otherwise, and the reason is said.
pub(crate) fn figures(bench: &Bench) -> Figures {
    match run(&bench.target().join("interop/benchpeer")) {
        Ok(figures) => figures,
        Err(why) => {
            eprintln!("no go-ethereum in this run: {why}");
            Figures::default()
        }
    }
}

fn run(program: &Path) -> Result<Figures, Trouble> {
    let told = |error| format!("{}: {error}", program.display());
    let mut child = Command::new(program).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(told)?;
    let deadline = Instant::now() + PATIENCE;
    // What it prints fits into the pipe: it can end before it is read.
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err("it took too long".into());
        }
        std::thread::sleep(POLL);
    }
    read(&child.wait_with_output()?.stdout).ok_or_else(|| "it printed no figures".into())
}

/// Reads `{"name": .., "figures": {operation: microseconds}}`.
fn read(json: &[u8]) -> Option<Figures> {
    let told: Value = serde_json::from_slice(json).ok()?;
    let figures = told.get("figures")?.as_object()?;
    Some(Figures {
        name: told.get("name")?.as_str()?.to_owned(),
        figures: figures.iter().filter_map(|(name, figure)| Some((name.clone(), figure.as_f64()?))).collect(),
    })
}

const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
