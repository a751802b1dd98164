//! `softcard replay`: recordings of the real applet against the software card.

use std::io::{self, Write as _};
use std::path::PathBuf;

use proto::shell::dice;
use softcard::replay::Replay;

use crate::exit::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The recordings: one sequence of steps a line, as JSON.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Prints each mismatch on a line, and the sum on the last one.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut replay = Replay::new(|| Box::new(dice()));
    let read = args.files.iter().try_for_each(|file| replay.file(file));
    let report = replay.report();
    let mut stdout = io::stdout().lock();
    for mismatch in &report.mismatches {
        writeln!(stdout, "{mismatch}")?;
    }
    read?;
    let mismatches = report.mismatches.len();
    writeln!(
        stdout,
        "sequences={} steps={} mismatches={mismatches} skipped={}",
        report.sequences, report.steps, report.skipped
    )?;
    stdout.flush()?;
    if mismatches == 0 { Ok(()) } else { Err(Failure::Mismatches { count: mismatches }) }
}
