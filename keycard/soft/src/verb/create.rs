//! `softcard create`: a blank card in a new file.

use std::path::PathBuf;

use proto::shell::dice;
use serde_json::json;
use softcard::{Model, SoftCard};

use crate::exit::Failure;
use crate::print_line;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to make, mode 0600.
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// The release of the applet: 2.2, 3.0, 3.1, 3.2 or 4.0. Nobody has compared 2.2 and 3.0 with a card.
    #[arg(long, value_name = "RELEASE", default_value_t = Model::V4_0)]
    applet: Model,
    /// Make a Java Card without applets and with the keys that everybody knows: the applets are still to be installed.
    #[arg(long)]
    bare: bool,
}

/// Makes the card and prints what it is, as one JSON line.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let create = if args.bare { SoftCard::create_bare } else { SoftCard::create };
    let card = create(&args.card, args.applet, Box::new(dice()))?;
    print_line(&json!({
        "card": args.card.display().to_string(),
        "applet": card.model().to_string(),
        "bare": args.bare,
        "identity": card.identity().map(hex::encode),
    }))?;
    Ok(())
}
