//! `replay FILE...`: feeds recordings of real peers to this project's machines.
//!
//! Prints for each file how many of its cases came out the same, and every bad case with what differed. Exits 0 only
//! when nothing was bad and nothing skipped, 1 otherwise, 2 when a file cannot be read.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use scenarios::replay;

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        eprintln!(
            "usage: replay FILE... (recordings, JSON Lines; what a file holds is told by the beginning of its name)"
        );
        return ExitCode::from(2);
    }
    let (mut bad, mut skipped) = (0, 0);
    let mut out = std::io::stdout().lock();
    for path in paths {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("replay: cannot read {}: {error}", path.display());
                return ExitCode::from(2);
            }
        };
        let report = replay::file(&path, &text);
        bad += report.bad.len();
        skipped += report.skipped;
        if writeln!(out, "{} {report}", path.display()).is_err() {
            return ExitCode::from(2);
        }
    }
    if bad == 0 && skipped == 0 {
        return ExitCode::SUCCESS;
    }
    // A closed pipe takes nothing away from the verdict.
    let _ = writeln!(out, "not all the same: {bad} bad, {skipped} skipped because nothing here reads their kind");
    ExitCode::from(1)
}
