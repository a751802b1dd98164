//! `cardinal audit show`: the entries as sentences, or as the lines that they are.

use std::collections::BTreeMap;

use audit::Line;
use proto::rpc::Fault;
use serde_json::Value;

use super::args::ShowArgs;
use super::file::LogFiles;
use super::row::Rows;
use super::select::Selection;
use crate::clock::Moment;
use crate::error::CliError;
use crate::output::{Output, shown};

/// Prints what was asked for. An intent is printed together with its outcome when one of them is chosen by what it tells.
///
/// # Errors
/// [`Fault::LogBad`] at a line that is none; [`Fault::StateMissing`], [`Fault::BadInput`].
pub(super) fn run(out: Output, args: &ShowArgs) -> Result<(), CliError> {
    let selection = Selection::of(args)?;
    let files = LogFiles::of(&args.log)?;
    let mut printed = Ok(());
    let mut print = |line: &Shown| {
        // What cannot be printed does not end the reading: a bad line further down is worse.
        if printed.is_ok() {
            printed = line.print(out);
        }
    };
    let count = if selection.is_everything() {
        files.each(|line, bytes| {
            if selection.spans(line.seq, line.unix_ms) {
                print(&Shown::of(line, bytes));
            }
            Ok(())
        })?
    } else {
        let mut rows = Rows::default();
        let mut open: BTreeMap<u64, Shown> = BTreeMap::new();
        let count = files.each(|line, bytes| {
            let here = Shown::of(line, bytes);
            match rows.take(line) {
                None => drop(open.insert(line.seq, here)),
                Some(row) => {
                    let intent = open.remove(&row.seq);
                    if selection.wants(&row) && selection.spans(row.seq, row.unix_ms) {
                        intent.iter().for_each(&mut print);
                        print(&here);
                    }
                }
            }
            Ok(())
        })?;
        for row in rows.left().filter(|row| selection.wants(row) && selection.spans(row.seq, row.unix_ms)) {
            open.remove(&row.seq).iter().for_each(&mut print);
        }
        count
    };
    if count == 0 {
        return Err(empty(&files));
    }
    printed
}

/// Returns that a log has no line at all.
pub(super) fn empty(files: &LogFiles) -> CliError {
    let message = format!("{} is empty: every line is missing", files.newest().display());
    CliError::found(Fault::LogBad, message)
}

/// A line to be printed.
struct Shown {
    seq: u64,
    unix_ms: u64,
    told: String,
    bytes: Vec<u8>,
}

impl Shown {
    fn of(line: &Line, bytes: &[u8]) -> Self {
        Self { seq: line.seq, unix_ms: line.unix_ms, told: line.event.to_string(), bytes: bytes.to_vec() }
    }

    fn print(&self, out: Output) -> Result<(), CliError> {
        if out.is_json() {
            let object: Value = serde_json::from_slice(&self.bytes)
                .map_err(|error| CliError::found(Fault::LogBad, format!("line {}: {error}", self.seq)))?;
            return out.object(&object);
        }
        let when = Moment::from_millis(self.unix_ms);
        out.line(format!("{:>5}  {} {}Z  {}", self.seq, when.date(), when.time(), shown(&self.told)))
    }
}
