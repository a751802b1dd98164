//! Which entries somebody wants to see.

use std::str::FromStr;

use audit::{Operation, Outcome};
use proto::KeyPath;

use super::args::ShowArgs;
use super::row::{Row, What};
use crate::clock::Moment;
use crate::error::CliError;

/// Where to begin or to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// At a line.
    Line(u64),
    /// At a moment, in milliseconds since 1970, and the first one after what was written.
    Time(u64, u64),
}

impl FromStr for Edge {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(line) = text.parse() {
            return Ok(Self::Line(line));
        }
        let (moment, precision) = Moment::parse(text).ok_or("a line's number, 2026-11-21, or 2026-11-21T12:30:00")?;
        Ok(Self::Time(moment, moment.saturating_add(precision)))
    }
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ending {
    /// It was done.
    Done,
    /// It failed, and the key may have left.
    Failed,
    /// The card refused.
    RefusedByCard,
    /// The command was not sent.
    NotSent,
    /// Nobody knows.
    Unknown,
}

impl Ending {
    /// Returns how something ended, of which there is this outcome or none.
    pub(crate) const fn of(outcome: Option<&Outcome>) -> Self {
        match outcome {
            None => Self::Unknown,
            Some(Outcome::Done { .. }) => Self::Done,
            Some(Outcome::Failed { .. }) => Self::Failed,
            Some(Outcome::RefusedByCard { .. }) => Self::RefusedByCard,
            Some(Outcome::NotSent { .. }) => Self::NotSent,
        }
    }

    /// Returns the word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::RefusedByCard => "refused-by-card",
            Self::NotSent => "not-sent",
            Self::Unknown => "unknown",
        }
    }
}

/// What somebody wants to see.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    args: &'a ShowArgs,
    path: Option<(KeyPath, bool)>,
}

impl<'a> Selection<'a> {
    /// Returns what a command line asks for.
    ///
    /// # Errors
    /// [`CliError`] for a path that is none.
    pub(super) fn of(args: &'a ShowArgs) -> Result<Self, CliError> {
        let path = args.path.as_deref().map(|text| {
            let (path, below) = text.strip_suffix("/*").map_or((text, false), |above| (above, true));
            path.parse::<KeyPath>()
                .map(|path| (path, below))
                .map_err(|error| CliError::found(proto::rpc::Fault::BadInput, format!("--path {text}: {error}")))
        });
        Ok(Self { args, path: path.transpose()? })
    }

    /// Whether every entry is wanted, whatever it tells.
    pub(super) const fn is_everything(&self) -> bool {
        let ShowArgs { log: _, from: _, to: _, uid, card, path, operation, outcome, refusals, purpose } = self.args;
        uid.is_none()
            && card.is_none()
            && path.is_none()
            && operation.is_none()
            && outcome.is_none()
            && !*refusals
            && purpose.is_none()
    }

    /// Whether an entry lies between the edges.
    pub(super) fn spans(&self, seq: u64, unix_ms: u64) -> bool {
        let begun = match self.args.from {
            None => true,
            Some(Edge::Line(line)) => seq >= line,
            Some(Edge::Time(from, _)) => unix_ms >= from,
        };
        let ended = match self.args.to {
            None => false,
            Some(Edge::Line(line)) => seq > line,
            Some(Edge::Time(_, after)) => unix_ms >= after,
        };
        begun && !ended
    }

    /// Whether something that was asked is wanted.
    pub(super) fn wants(&self, row: &Row) -> bool {
        let ShowArgs { uid, card, operation, outcome, refusals, purpose, .. } = self.args;
        let asked = match &row.what {
            What::Asked { operation, .. } => Some(operation),
            What::Refused { .. } | What::Told => None,
        };
        let name = || asked.map(name_of);
        uid.is_none_or(|uid| row.uid() == Some(uid))
            && card.as_ref().is_none_or(|wanted| row.card.is_some_and(|card| card.to_string().contains(wanted)))
            && self.path.as_ref().is_none_or(|wanted| row.path.as_ref().is_some_and(|path| fits(wanted, path)))
            && operation.as_ref().is_none_or(|wanted| name().is_some_and(|name| name == *wanted))
            && outcome.is_none_or(|wanted| row.ending() == Some(wanted))
            && (!*refusals || matches!(row.what, What::Refused { .. }))
            && purpose.as_ref().is_none_or(|wanted| row.purpose.as_ref().is_some_and(|it| it.as_str() == wanted))
    }
}

fn fits((wanted, below): &(KeyPath, bool), path: &KeyPath) -> bool {
    path == wanted || (*below && path.components().starts_with(wanted.components()))
}

/// Returns the name of an operation in the log.
pub(super) fn name_of(operation: &Operation) -> String {
    match serde_json::to_value(operation) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(fields)) => fields.into_iter().next().map(|(name, _)| name).unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_a_line_a_day_or_a_second() {
        assert_eq!("17".parse(), Ok(Edge::Line(17)));
        assert_eq!("1970-01-02".parse(), Ok(Edge::Time(86_400_000, 172_800_000)));
        assert_eq!("1970-01-01T00:00:01".parse(), Ok(Edge::Time(1000, 2000)));
        for bad in ["", "yesterday", "2026-13-01", "2026-11-31", "2026-11-21T25:00:00", "2026-11-21T12:00"] {
            assert!(bad.parse::<Edge>().is_err(), "{bad}");
        }
    }

    #[test]
    fn operations_have_the_names_that_stand_in_the_log() {
        assert_eq!(name_of(&Operation::Init), "init");
        assert_eq!(name_of(&Operation::ExportPublic(KeyPath::master())), "export_public");
    }
}
