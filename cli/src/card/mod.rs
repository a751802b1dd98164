//! `cardinal card`: what its owner does with a card. Everything is done by the key manager; a secret that is typed here
//! goes to it sealed, and one that comes back is opened, shown once and wiped.

pub(crate) mod args;
mod data;
mod info;
mod init;
mod install;
mod key;
pub(crate) mod manager;
mod pairings;
mod recover;
mod reset;
mod uses;
mod words;

use proto::rpc::api::CardDone;
use serde_json::{Value, json};

use crate::card::args::{CardVerb, DataVerb, KeyVerb, NdefVerb, PairingsVerb, PinVerb, PukVerb};
use crate::error::CliError;
use crate::output::{Output, shown};

/// Does what the verb says.
///
/// # Errors
/// What the key manager answered, or what is wrong with what was typed.
pub(crate) async fn run(out: Output, verb: CardVerb) -> Result<(), CliError> {
    match verb {
        CardVerb::Info(args) => info::info(out, &args).await,
        CardVerb::Slots(args) => info::slots(out, &args).await,
        CardVerb::VerifyIdentity(args) => info::verify_identity(out, &args).await,
        CardVerb::Label(args) => info::label(out, &args).await,
        CardVerb::Duress(args) => info::duress(out, &args).await,
        CardVerb::Init(args) => init::init(out, &args).await,
        CardVerb::Pin(PinVerb::Change(args)) => init::change_pin(out, &args).await,
        CardVerb::Pin(PinVerb::Unblock(args)) => init::unblock(out, &args).await,
        CardVerb::Puk(PukVerb::Change(args)) => init::change_puk(out, &args).await,
        CardVerb::Pair(args) => pairings::pair(out, &args).await,
        CardVerb::Unpair(args) => pairings::unpair(out, &args).await,
        CardVerb::Pairings(PairingsVerb::Import(args)) => pairings::import(out, &args).await,
        CardVerb::Pairings(PairingsVerb::Export(args)) => pairings::export(out, &args).await,
        CardVerb::Pairings(PairingsVerb::Password(args)) => pairings::password(out, &args).await,
        CardVerb::Key(KeyVerb::Load(args)) => key::load(out, &args).await,
        CardVerb::Key(KeyVerb::Generate(args)) => key::generate(out, &args).await,
        CardVerb::Key(KeyVerb::Remove(args)) => key::remove(out, &args).await,
        CardVerb::Key(KeyVerb::ExportPublic(args)) => key::export_public(out, &args).await,
        CardVerb::Mnemonic(args) => key::mnemonic(out, &args).await,
        CardVerb::Sign(args) => uses::sign(out, &args).await,
        CardVerb::Ecdh(args) => uses::ecdh(out, &args).await,
        CardVerb::Bip85(args) => uses::bip85(out, &args).await,
        CardVerb::Lee(args) => uses::lee(out, &args).await,
        CardVerb::Pinless(args) => uses::pinless(out, &args).await,
        CardVerb::Challenge(args) => uses::challenge(out, &args).await,
        CardVerb::Cash(args) => uses::cash(out, &args).await,
        CardVerb::Install(args) => install::install(out, &args).await,
        CardVerb::Data(DataVerb::Get(args)) => data::get(out, &args).await,
        CardVerb::Data(DataVerb::Set(args)) => data::set(out, &args).await,
        CardVerb::Ndef(NdefVerb::Get(args)) => data::ndef_get(out, &args).await,
        CardVerb::Ndef(NdefVerb::Set(args)) => data::ndef_set(out, &args).await,
        CardVerb::Reset(args) => reset::reset(out, &args).await,
        CardVerb::Recover(args) => recover::recover(out, &args).await,
    }
}

/// Reports what a verb did. `said` is the sentence for people.
fn done(out: Output, done: Option<CardDone>, said: &str, more: Vec<(&'static str, Value)>) -> Result<(), CliError> {
    let CardDone { card, key_uid, log_entry, warnings } = done.unwrap_or_default();
    if out.is_json() {
        let mut fields = vec![
            ("card", json!(card)),
            ("key_uid", json!(key_uid)),
            ("log_entry", json!(log_entry)),
            ("warnings", json!(warnings)),
        ];
        fields.extend(more);
        return out.report(fields);
    }
    out.line(format!("{said} ({}).", shown(&card)))?;
    for (name, value) in more {
        let value = value.as_str().map_or_else(|| value.to_string(), shown);
        out.line(format!("{name}  {value}"))?;
    }
    for warning in warnings {
        eprintln!("warning: {}", shown(&warning));
    }
    Ok(())
}

/// Asks a question on the terminal, whose answer is no secret.
///
/// # Errors
/// [`CliError::Other`] when nobody answers.
pub(crate) async fn ask_line(question: &str) -> Result<String, CliError> {
    use std::io::Write as _;
    eprint!("{question}");
    let _ = std::io::stderr().flush();
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line.trim().to_owned())
    });
    let line = read.await.map_err(|error| CliError::Other(error.to_string()))?;
    line.map_err(|error| CliError::Other(format!("nothing can be read from the terminal ({error})")))
}
