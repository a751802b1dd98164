//! `softcard`: makes software cards, puts them into a virtual reader of pcscd, and holds them against recordings.

mod exit;
mod verb;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use exit::Failure;
use proto::shell::memory;
use verb::{create, replay, serve};

/// A software card: an independent model of the Keycard applet. It is no secure element: who reads its file has its keys.
#[derive(Debug, Parser)]
#[command(name = "softcard", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a blank card in a new file.
    Create(create::Args),
    /// Put the card of a file into the virtual reader of vsmartcard's vpcd, until SIGTERM or SIGINT.
    Serve(serve::Args),
    /// Replay recordings of the real applet on cards in memory, and say where ours differs.
    Replay(replay::Args),
}

fn main() -> ExitCode {
    let matches = Cli::command()
        .after_help(exit::TABLE)
        .mut_subcommands(|verb| verb.after_help(exit::TABLE))
        .mut_subcommand("serve", |serve| serve.after_help(format!("{}\n{}", serve::FAULTS, exit::TABLE)));
    let cli = Cli::from_arg_matches(&matches.get_matches()).unwrap_or_else(|error| error.exit());
    let result = memory::keep_private().map_err(Failure::from).and_then(|()| match cli.verb {
        Verb::Create(args) => create::run(&args),
        Verb::Serve(args) => serve::run(args),
        Verb::Replay(args) => replay::run(&args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            drop(writeln!(std::io::stderr(), "softcard: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Prints one JSON line at once.
fn print_line(value: &serde_json::Value) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{value}")?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
