//! One line of the table.

use serde_json::{Value, json};

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds of one operation.
    Us,
    /// Milliseconds of one operation.
    Ms,
    /// Megabytes (10^6) a second: the only unit of which more is better.
    MbPerS,
    /// Memory: 1024 bytes.
    KiB,
    /// Memory: 1024 x 1024 bytes.
    MiB,
}

impl Unit {
    /// Returns its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Ms => "ms",
            Self::MbPerS => "MB/s",
            Self::KiB => "KiB",
            Self::MiB => "MiB",
        }
    }

    /// Whether `ours` is at least as good as `target`.
    fn meets(self, ours: f64, target: f64) -> bool {
        match self {
            Self::MbPerS => ours >= target,
            _ => ours <= target,
        }
    }
}

/// One line of the table. What was not measured in this run is absent.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// What all figures of the row count.
    pub(crate) unit: Unit,
    /// Our figure.
    pub(crate) ours: Option<f64>,
    /// The peer's, and who that is.
    pub(crate) peer: Option<(f64, String)>,
    /// What the work costs at least on this machine: the primitives it cannot avoid, measured in this run.
    pub(crate) floor: Option<f64>,
    /// What ours is to be.
    pub(crate) target: Option<f64>,
}

impl Row {
    /// Returns a row without any figure.
    pub(crate) fn new(what: impl Into<String>, unit: Unit) -> Self {
        Self { what: what.into(), unit, ours: None, peer: None, floor: None, target: None }
    }

    /// Sets our figure.
    pub(crate) fn ours(mut self, figure: f64) -> Self {
        self.ours = Some(figure);
        self
    }

    /// Sets the peer's figure, if there is one.
    pub(crate) fn peer(mut self, figure: Option<f64>, name: &str) -> Self {
        self.peer = figure.map(|figure| (figure, name.to_owned()));
        self
    }

    /// Sets the floor.
    pub(crate) fn floor(mut self, figure: f64) -> Self {
        self.floor = Some(figure);
        self
    }

    /// Sets the target.
    pub(crate) fn target(mut self, figure: f64) -> Self {
        self.target = Some(figure);
        self
    }

    /// Returns ours divided by the peer's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (peer, _) = self.peer.as_ref()?;
        self.ours.filter(|_| *peer > 0.0).map(|ours| ours / peer)
    }

    /// Whether the target is met, when there are both a target and a figure.
    pub(crate) fn met(&self) -> Option<bool> {
        Some(self.unit.meets(self.ours?, self.target?))
    }

    /// Returns the row as one element of `bench.json`.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "unit": self.unit.name(),
            "ours": self.ours,
            "peer": self.peer.as_ref().map(|(figure, _)| figure),
            "peer_name": self.peer.as_ref().map(|(_, name)| name),
            "ratio": self.ratio(),
            "floor": self.floor,
            "target": self.target,
            "met": self.met(),
        })
    }
}
