//! `cardinal card reset`: everything on a card is erased, after two steps that no slip of the finger takes.

use std::io::IsTerminal as _;

use proto::rpc::Fault;
use proto::rpc::api::ResetRequest;
use serde_json::json;

use crate::card::args::ResetArgs;
use crate::card::ask_line;
use crate::card::info::describe;
use crate::card::manager::Manager;
use crate::client::answer;
use crate::error::CliError;
use crate::output::{Output, shown};

/// `card reset`
pub(crate) async fn reset(out: Output, args: &ResetArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.target).await?;
    let id = match &args.yes_wipe {
        Some(id) => id.clone(),
        None => typed(&mut manager).await?,
    };
    let request = ResetRequest { target: manager.target(), id };
    let reply = answer(manager.cards.reset(request)).await?;
    if !out.is_json() {
        out.line(format!("{} is erased; a fresh look at it found it blank.", shown(&reply.card_before)))?;
    }
    out.report(vec![
        ("card_before", json!(reply.card_before)),
        ("key_uid_before", json!(reply.key_uid_before)),
        ("card", json!(reply.card)),
        ("blank", json!(reply.blank)),
        ("log_entry", json!(reply.log_entry)),
    ])
}

/// Shows what would be lost, and asks for the card's whole id.
async fn typed(manager: &mut Manager) -> Result<String, CliError> {
    if !std::io::stdin().is_terminal() {
        let message = "nothing was erased: there is no terminal to ask at; name the card with --yes-wipe ID";
        return Err(CliError::found(Fault::BadInput, message));
    }
    let card = describe(manager).await?;
    let named = |text: &str| if text.is_empty() { "none".to_owned() } else { shown(text) };
    eprintln!("This erases everything on the card in {}: key, PIN, PUK and pairings.", named(&card.reader));
    eprintln!("  card     {}", named(&card.card));
    eprintln!("  label    {}", named(&card.label));
    eprintln!("  account  {}", named(&card.key_uid));
    eprintln!("Without the words of its mnemonic the key is lost for good.");
    let typed = ask_line("Type the card's whole id to erase it, or nothing to stop: ").await?;
    if typed == card.card {
        return Ok(typed);
    }
    Err(CliError::found(Fault::BadInput, "nothing was erased: that is not the card's id"))
}
