//! `cardinal card pair|unpair` and `pairings import|export|password`.

use std::fs::File;

use proto::rpc::api::{
    ExportPairingsRequest, ImportPairingsRequest, PairRequest, UnpairRequest, change_request, unpair_request,
};
use proto::rpc::{Fault, seal};
use serde_json::json;
use zeroize::Zeroizing;

use crate::card::args::{ExportArgs, ImportArgs, PairArgs, PasswordArgs, UnpairArgs};
use crate::card::manager::{Manager, OneTime};
use crate::card::{done, init};
use crate::client::answer;
use crate::error::CliError;
use crate::output::Output;
use crate::secret;

/// `card pair`
pub(crate) async fn pair(out: Output, args: &PairArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.contact.target).await?;
    let password = match args.password || args.password_fd.is_some() {
        true => Some(secret::ask(args.password_fd, "Pairing password: ".to_owned(), PASSWORD, LONGEST).await?),
        false => None,
    };
    let reply = manager
        .contact(&args.contact, async |manager: &mut Manager, access| {
            let password = match &password {
                Some(password) => Some(manager.sealed(seal::PAIRING_PASSWORD, password).await?),
                None => None,
            };
            answer(manager.cards.pair(PairRequest { access: Some(access), password })).await
        })
        .await?;
    let more = vec![
        ("slot", json!(reply.slot)),
        ("free_slots", json!(reply.free_slots)),
        ("well_known_password", json!(reply.well_known)),
    ];
    done(out, reply.done, "This computer is paired with the card", more)
}

/// `card unpair`
pub(crate) async fn unpair(out: Output, args: &UnpairArgs) -> Result<(), CliError> {
    let which = match (args.slot, args.others) {
        (Some(slot), _) => unpair_request::Which::Slot(slot),
        (None, true) => unpair_request::Which::Others(true),
        (None, false) => unpair_request::Which::Ours(true),
    };
    let mut manager = Manager::of(&args.access.contact.target).await?;
    let reply = manager
        .with_pin(&args.access, async |manager: &mut Manager, access| {
            let request = UnpairRequest { access: Some(access), which: Some(which) };
            answer(manager.cards.unpair(request)).await
        })
        .await?;
    let said = if args.ours { "This computer's pairing is ended" } else { "Slots are freed" };
    done(out, reply.done, said, vec![("free_slots", json!(reply.free_slots))])
}

/// `card pairings import`
pub(crate) async fn import(out: Output, args: &ImportArgs) -> Result<(), CliError> {
    let from = match (&args.file, args.fd) {
        (Some(path), _) => File::open(path).map_err(CliError::file(path))?,
        (None, Some(number)) => secret::descriptor(number)?,
        (None, None) => return Err(CliError::found(Fault::BadInput, "name a file or a file descriptor")),
    };
    let text = secret::whole(from, "pairings", LONGEST_FILE).await?;
    let mut manager = Manager::of(&args.target).await?;
    let pairings = Some(manager.sealed(seal::PAIRINGS, &text).await?);
    let request = ImportPairingsRequest { target: manager.target(), pairings, mobile: args.mobile };
    let cards = answer(manager.cards.import_pairings(request)).await?.cards;
    if out.is_json() {
        return out.report(vec![("cards", json!(cards))]);
    }
    out.line(format!("{} pairing(s) are known to this computer.", cards.len()))?;
    cards.iter().try_for_each(|card| out.line(format!("  {}", crate::output::shown(card))))
}

/// `card pairings export`
pub(crate) async fn export(out: Output, args: &ExportArgs) -> Result<(), CliError> {
    secret::check_writable(args.write_fd)?;
    let mut manager = Manager::of(&args.target).await?;
    let ours = OneTime::fresh();
    let request =
        ExportPairingsRequest { target: manager.target(), all: args.all, mobile: args.mobile, caller: ours.caller() };
    let reply = answer(manager.cards.export_pairings(request)).await?;
    let text = ours.open(seal::PAIRINGS, reply.pairings.as_ref())?;
    crate::card::words::hand_over(out, args.write_fd, "pairings", &text)?;
    if args.write_fd.is_some() { out.report(vec![("written", json!("pairings"))]) } else { Ok(()) }
}

/// `card pairings password`
pub(crate) async fn password(out: Output, args: &PasswordArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.access.contact.target).await?;
    let password = if args.random { None } else { Some(new_password(args.password_fd).await?) };
    let said = "The card has another pairing secret; pairings that there are go on";
    init::change(out, &mut manager, &args.access, said, async |manager: &mut Manager| {
        Ok(match &password {
            Some(password) => {
                change_request::What::PairingPassword(manager.sealed(seal::PAIRING_PASSWORD, password).await?)
            }
            None => change_request::What::PairingRandom(true),
        })
    })
    .await
}

/// Asks for a pairing password that is to be set.
///
/// # Errors
/// [`Fault::BadInput`] when there is none, or it is too short to be one.
pub(crate) async fn new_password(fd: Option<u32>) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let password = secret::ask_new(fd, "New pairing password", PASSWORD, LONGEST).await?;
    if password.len() < SHORTEST {
        let message =
            format!("a pairing password has {SHORTEST} characters at least: whoever holds the card can try them");
        return Err(CliError::found(Fault::BadInput, message));
    }
    Ok(password)
}

const PASSWORD: &str = "pairing password";
const SHORTEST: usize = 8;
const LONGEST: usize = 256;
const LONGEST_FILE: usize = 32 * 1024;
