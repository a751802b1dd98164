//! `cardinal keymgr lend`, `take-back` and `leases`: a reader goes to other programs and comes back, and who has which card.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitStatus;

use proto::rpc::api::{LendRequest, Seat, TakeBackReply, TakeBackRequest};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::args::{LendArgs, ProfileArg};
use crate::card::args::TargetArgs;
use crate::card::manager::Manager;
use crate::client::{self, answer};
use crate::error::CliError;
use crate::network;
use crate::output::{Output, shown};
use crate::paths::Layout;
use crate::signals::Signals;

/// Lends a reader; with a command only for as long as that runs.
///
/// # Errors
/// What the key manager answered; [`CliError::Interrupted`]; the command's exit code.
pub(crate) async fn lend(out: Output, args: LendArgs) -> Result<(), CliError> {
    let LendArgs { target, minutes, command } = args;
    let mut manager = Manager::of(&target).await?;
    let seconds = minutes.map(|minutes| u64::from(minutes) * 60);
    let seconds = seconds.unwrap_or(if command.is_empty() { 0 } else { A_DAY });
    let request = LendRequest { target: manager.target(), seconds, purpose: purpose(&command) };
    let lent = answer(manager.cards.lend(request)).await?;
    let Some((program, arguments)) = command.split_first() else {
        if out.is_json() {
            return out.object(&json!({ "reader": lent.reader, "card": lent.card, "seconds": lent.seconds }));
        }
        return out.line(format!(
            "The reader {} is lent for {} s; `cardinal keymgr take-back` ends that.",
            shown(&lent.reader),
            lent.seconds
        ));
    };
    let ended = run(program, arguments).await;
    // Whatever became of the command, the reader comes back.
    let mut target = manager.target().unwrap_or_default();
    target.reader.clone_from(&lent.reader);
    target.card.clear();
    let returned = answer(manager.cards.take_back(TakeBackRequest { target: Some(target) })).await;
    let code = ended?.code();
    tell(out, returned?)?;
    let program = shown(&program.to_string_lossy());
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(CliError::Ended { program, code: u8::try_from(code).unwrap_or(1) }),
        None => Err(CliError::Other(format!("{program} was ended by a signal"))),
    }
}

/// Takes a reader back.
///
/// # Errors
/// What the key manager answered.
pub(crate) async fn take_back(out: Output, args: TargetArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args).await?;
    let named = args.reader.is_some() || args.card.is_some();
    let target = manager.target().filter(|_| named);
    let returned = answer(manager.cards.take_back(TakeBackRequest { target })).await?;
    tell(out, returned)
}

/// Says who has which card, for what, until when.
///
/// # Errors
/// What the key manager answered.
pub(crate) async fn leases(out: Output, args: ProfileArg) -> Result<(), CliError> {
    let profile = Layout::of_user()?.choose(args.profile.as_deref())?;
    let mut manager = client::keymgr(&profile.keymgr_socket).await?;
    let seats = network::keymgr_status(&mut manager).await?.seats;
    if out.is_json() {
        return out.object(&json!({ "readers": seats.iter().map(json_of).collect::<Vec<_>>() }));
    }
    seats.iter().try_for_each(|seat| out.line(shown(&line_of(seat))))
}

/// Returns a reader as people read it, with foreign text in it.
pub(crate) fn line_of(seat: &Seat) -> String {
    let Seat { reader, state, card, label, holder, purpose, .. } = seat;
    let name = if label.is_empty() { card } else { label };
    let card = if name.is_empty() { String::new() } else { format!(", card {name}") };
    match holder.as_str() {
        "" => format!("{reader}: {state}{card}"),
        holder => format!("{reader}: {state}{card}, by {holder} for \"{purpose}\", {}", until(seat)),
    }
}

/// Returns a reader as JSON shows it.
pub(crate) fn json_of(seat: &Seat) -> Value {
    let Seat { reader, state, card, label, key_uid, decoy, holder, purpose, seconds_left, each_use } = seat;
    json!({
        "reader": reader,
        "state": state,
        "card": card,
        "label": label,
        "key_uid": key_uid,
        "decoy": decoy,
        "holder": holder,
        "purpose": purpose,
        // Not a number of seconds: until the card is drawn.
        "seconds_left": (*seconds_left != u64::MAX).then_some(seconds_left),
        "each_use": each_use,
    })
}

fn until(seat: &Seat) -> String {
    let once = if seat.each_use { " or the next use" } else { "" };
    match seat.seconds_left {
        u64::MAX => format!("until it is drawn{once}"),
        seconds => format!("for {seconds} s more{once}"),
    }
}

/// Runs a command to its end. What ends us is the command's to hear; the reader is taken back after it.
async fn run(program: &OsString, arguments: &[OsString]) -> Result<ExitStatus, CliError> {
    let mut signals = Signals::listen()?;
    let failed = |error: std::io::Error| CliError::Other(format!("{}: {error}", shown(&program.to_string_lossy())));
    let mut child = Command::new(program).args(arguments).kill_on_drop(true).spawn().map_err(failed)?;
    tokio::select! {
        ended = child.wait() => ended.map_err(failed),
        interrupted = signals.received() => {
            // A terminal told the command too.
            match tokio::time::timeout(GRACE, child.wait()).await {
                Ok(_) => {}
                Err(_) => drop(child.kill().await),
            }
            Err(interrupted)
        }
    }
}

fn tell(out: Output, returned: TakeBackReply) -> Result<(), CliError> {
    let TakeBackReply { reader, card, changes } = returned;
    if out.is_json() {
        return out.object(&json!({ "reader": reader, "card": card, "changes": changes }));
    }
    out.line(match card.as_str() {
        "" => format!("The reader {} is back, without a card that answers.", shown(&reader)),
        card => format!("The reader {} is back, with the card {}.", shown(&reader), shown(card)),
    })?;
    changes.iter().try_for_each(|change| out.line(format!("Since it was lent: {}.", shown(change))))
}

/// The command's name as a purpose: the log takes few letters.
fn purpose(command: &[OsString]) -> String {
    let name = command.first().and_then(|program| Path::new(program).file_name()).unwrap_or_default();
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.to_string_lossy().chars().map(fits).take(LONGEST).collect();
    if name.is_empty() { "other programs".to_owned() } else { name }
}

/// A command that runs longer loses the reader.
const A_DAY: u64 = 24 * 3600;
/// For a command to end that was told to.
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);
/// Of a purpose.
const LONGEST: usize = 32;
