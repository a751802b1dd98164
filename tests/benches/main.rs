//! What our code costs, beside a peer that runs on the same machine at the same time.
//!
//! ```text
//! make bench                                   everything, with the peers that are there
//! make bench BENCH="handshake envelope"        only rows whose name contains one of the words
//! ```
//!
//! A module measures one subject: its `rows(&mut Bench)` asks [`Bench::wants`] before it does work, and adds [`Row`]s;
//! a point of a scaling curve is a row whose name says which point. The table is printed, `target/bench.json` holds it
//! as a list, `target/bench.md` as the table of `docs/benchmarks.md`. Nothing is remembered from one run to the next: a
//! peer's figure is of this run, or absent.

mod broker;
mod card;
mod clock;
mod envelope;
mod frames;
mod geth;
mod handshake;
mod relay;
mod row;
mod table;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use row::Row;

/// Why a run has no result.
type Trouble = Box<dyn std::error::Error>;

/// One run: what was asked for, and the rows there are so far.
struct Bench {
    words: Vec<String>,
    target: PathBuf,
    rows: Vec<Row>,
}

impl Bench {
    /// Takes the filter words of the command line.
    fn new() -> Result<Self, Trouble> {
        // target/release/deps/cardinal-HASH
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(3).ok_or("the program is not in a target directory")?;
        let words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).map(|w| w.to_lowercase());
        Ok(Self { words: words.collect(), target: target.to_owned(), rows: Vec::new() })
    }

    /// Whether a row of this name was asked for.
    fn wants(&self, what: &str) -> bool {
        let what = what.to_lowercase();
        self.words.is_empty() || self.words.iter().any(|word| what.contains(word))
    }

    /// Returns where Cargo builds to: `release/` holds our programs, `interop/` those of the peers.
    fn target(&self) -> &std::path::Path {
        &self.target
    }

    /// Adds a row, if it was asked for, and says so.
    fn add(&mut self, row: Row) {
        if self.wants(&row.what) {
            eprintln!("{}", table::line(&row));
            self.rows.push(row);
        }
    }
}

fn run() -> Result<(), Trouble> {
    let mut arguments = std::env::args_os().skip(1);
    if let (Some(verb), Some(path)) = (arguments.next(), arguments.next())
        && verb == broker::ECHO
    {
        return broker::echo(path.as_ref());
    }
    let mut bench = Bench::new()?;
    let geth = geth::figures(&bench);
    handshake::rows(&mut bench, &geth)?;
    frames::rows(&mut bench, &geth)?;
    envelope::rows(&mut bench, &geth)?;
    card::rows(&mut bench)?;
    broker::rows(&mut bench)?;
    verify::rows(&mut bench)?;
    relay::rows(&mut bench).map_err(|trouble| -> Trouble { trouble })?;
    if bench.rows.is_empty() {
        return Err("no row has such a name".into());
    }
    println!("{}", table::text(&bench.rows));
    std::fs::write(bench.target().join("bench.json"), table::json(&bench.rows))?;
    std::fs::write(bench.target().join("bench.md"), table::markdown(&bench.rows))?;
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("bench: {trouble}");
            ExitCode::FAILURE
        }
    }
}
