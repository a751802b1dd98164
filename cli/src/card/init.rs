//! `cardinal card init`, `pin change|unblock` and `puk change`.

use proto::rpc::api::{ChangeRequest, InitRequest, UnblockRequest, change_request};
use proto::rpc::seal;
use serde_json::json;

use crate::card::args::{AccessArgs, ChangePinArgs, ChangePukArgs, InitArgs, UnblockArgs};
use crate::card::done;
use crate::card::manager::Manager;
use crate::card::pairings::new_password;
use crate::client::answer;
use crate::error::CliError;
use crate::output::Output;

/// `card init`
pub(crate) async fn init(out: Output, args: &InitArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.contact.target).await?;
    let pin = manager.new_pin(args.pin_fd, "New PIN (6 digits)").await?;
    let puk = manager.new_puk(args.puk_fd, "New PUK (12 digits, write it down)").await?;
    let duress = match args.duress || args.duress_fd.is_some() {
        true => Some(manager.new_pin(args.duress_fd, "Duress PIN (6 digits, another one)").await?),
        false => None,
    };
    let password = match args.pairing_password || args.pairing_password_fd.is_some() {
        true => Some(new_password(args.pairing_password_fd).await?),
        false => None,
    };
    let reply = manager
        .contact(&args.contact, async |manager: &mut Manager, access| {
            let duress = match &duress {
                Some(duress) => Some(manager.sealed(seal::DURESS_PIN, duress.expose()).await?),
                None => None,
            };
            let pairing_password = match &password {
                Some(password) => Some(manager.sealed(seal::PAIRING_PASSWORD, password).await?),
                None => None,
            };
            let request = InitRequest {
                target: access.target,
                confirm: access.confirm,
                pin: Some(manager.sealed(seal::PIN, pin.expose()).await?),
                puk: Some(manager.sealed(seal::PUK, puk.expose()).await?),
                duress,
                pin_tries: args.pin_tries,
                puk_tries: args.puk_tries,
                pairing_password,
                first_pairing: access.first_pairing,
            };
            answer(manager.cards.init(request)).await
        })
        .await?;
    let known = duress.is_some();
    done(out, Some(reply), "The card has its PIN and PUK", vec![("duress_pin_known", json!(known))])
}

/// `card pin change`
pub(crate) async fn change_pin(out: Output, args: &ChangePinArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.access.contact.target).await?;
    let pin = manager.new_pin(args.new_pin_fd, "New PIN (6 digits)").await?;
    change(out, &mut manager, &args.access, "The PIN is changed", async |manager: &mut Manager| {
        Ok(change_request::What::Pin(manager.sealed(seal::NEW_PIN, pin.expose()).await?))
    })
    .await
}

/// `card puk change`
pub(crate) async fn change_puk(out: Output, args: &ChangePukArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.access.contact.target).await?;
    let puk = manager.new_puk(args.new_puk_fd, "New PUK (12 digits, write it down)").await?;
    change(out, &mut manager, &args.access, "The PUK is changed", async |manager: &mut Manager| {
        Ok(change_request::What::Puk(manager.sealed(seal::NEW_PUK, puk.expose()).await?))
    })
    .await
}

/// Changes what `what` seals.
pub(crate) async fn change(
    out: Output,
    manager: &mut Manager,
    args: &AccessArgs,
    said: &str,
    mut what: impl AsyncFnMut(&mut Manager) -> Result<change_request::What, CliError>,
) -> Result<(), CliError> {
    let reply = manager
        .with_pin(args, async |manager: &mut Manager, access| {
            let what = Some(what(manager).await?);
            answer(manager.cards.change(ChangeRequest { access: Some(access), what })).await
        })
        .await?;
    done(out, Some(reply), said, Vec::new())
}

/// `card pin unblock`
pub(crate) async fn unblock(out: Output, args: &UnblockArgs) -> Result<(), CliError> {
    let mut manager = Manager::of(&args.contact.target).await?;
    let puk = manager.puk(args.puk_fd).await?;
    let pin = manager.new_pin(args.new_pin_fd, "New PIN (6 digits)").await?;
    let reply = manager
        .contact(&args.contact, async |manager: &mut Manager, mut access| {
            access.last_try = args.last_try;
            let request = UnblockRequest {
                access: Some(access),
                puk: Some(manager.sealed(seal::PUK, puk.expose()).await?),
                new_pin: Some(manager.sealed(seal::NEW_PIN, pin.expose()).await?),
            };
            answer(manager.cards.unblock(request)).await
        })
        .await?;
    done(out, Some(reply), "The PIN takes tries again, and is the new one", Vec::new())
}
