//! The figures of go-ethereum, from a program that does the same operations with its packages
//! (`tests/interop/go/benchpeer`) and measures them by getrusage.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::Bench;

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
    let program = bench.target().join("interop/benchpeer");
    match Command::new(&program).output() {
        Err(error) => {
            eprintln!("no go-ethereum in this run: {}: {error}", program.display());
            Figures::default()
        }
        Ok(out) => read(&out.stdout).unwrap_or_else(|| {
            eprintln!("no go-ethereum in this run: {}", String::from_utf8_lossy(&out.stderr).trim_end());
            Figures::default()
        }),
    }
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
